#include "cli/chat_session.h"

#include <bit>
#include <chrono>

#include "base/error.h"
#include "base/progress.h"
#include "model/objective.h"

namespace frugal::cli {

namespace {
int64_t context_of(const model::ModelConfig& c, int64_t context) {
  return context > 0 ? std::min(context, c.max_position_embeddings) : c.max_position_embeddings;
}
infer::EngineOptions engine_options(const model::ModelConfig& c, int64_t context, const infer::CacheForm& cache) {
  infer::EngineOptions o;
  o.max_context = context_of(c, context);
  o.keep_last = true;
  o.cache = cache;
  return o;
}
}  // namespace

ChatSession::ChatSession(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer,
                         int64_t context, const infer::CacheForm& cache)
    : ctx_(ctx),
      model_(model),
      tokenizer_(tokenizer),
      template_(text::chat_template(tokenizer)),
      context_(context_of(model.config, context)),
      absorbed_(cache.absorbed),
      engine_(ctx, model, engine_options(model.config, context, cache)) {}

int64_t ChatSession::memory_bytes(const model::ModelConfig& config, kernels::Operand operand,
                                  int64_t context, const infer::CacheForm& cache) {
  return infer::Engine::memory_bytes(config, operand, engine_options(config, context, cache));
}

void ChatSession::set_system(const std::string& text) {
  messages_.clear();
  if (!text.empty()) messages_.push_back({"system", text});
}

void ChatSession::clear() {
  set_system(messages_.empty() || messages_[0].role != "system" ? "" : messages_[0].content);
}

std::string ChatSession::take_back() {
  if (messages_.size() < 2 || messages_.back().role != "assistant") return "";
  messages_.pop_back();
  const std::string question = messages_.back().content;
  messages_.pop_back();
  if (!records_.empty()) records_.pop_back();
  return question;
}

// Drops the oldest exchanges until there is room for an answer of a quarter of the context.
std::vector<int32_t> ChatSession::fitting_prompt(int64_t* forgotten) {
  const size_t first = messages_[0].role == "system" ? 1 : 0;
  while (true) {
    std::vector<int32_t> prompt = text::encode_chat(tokenizer_, template_, messages_,
                                                    {.generation_prompt = true, .thinking = thinking});
    const int64_t room = context_ - static_cast<int64_t>(prompt.size());
    const bool alone = messages_.size() - first < 3;
    if (room >= context_ / 4 || (alone && room > 0)) return prompt;
    if (alone)
      fail("message",
           fmt::format("{} tokens with the system message do not fit the context of {}", prompt.size(),
                       context_),
           "shorten it");
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(first),
                    messages_.begin() + static_cast<std::ptrdiff_t>(first) + 2);
    ++*forgotten;
  }
}

ChatAnswer ChatSession::ask(const std::string& question,
                            const std::function<bool(const ChatPiece&)>& on_piece) {
  const std::vector<text::Message> before = messages_;
  messages_.push_back({"user", question});
  ChatAnswer answer;
  infer::Request request;
  try {
    request.prompt = fitting_prompt(&answer.forgotten);
  } catch (...) {
    messages_ = before;
    throw;
  }
  request.sampling = sampling;
  request.sampling.stream = turn_++;
  request.max_tokens = max_tokens;
  request.stop_tokens = text::chat_stop_tokens(tokenizer_, template_);
  Record record{request.prompt, {}};
  answer.prompt_tokens = static_cast<int64_t>(request.prompt.size());

  const auto start = std::chrono::steady_clock::now();
  text::StreamDecoder decoder(tokenizer_, true);
  int64_t id = 0;
  try {
    id = engine_.add(std::move(request));
  } catch (...) {
    messages_ = before;
    throw;
  }
  while (!engine_.idle()) {
    for (const infer::Event& e : engine_.step()) {
      if (e.token < 0) continue;
      if (answer.tokens++ == 0) {
        answer.prefill_seconds = seconds_since(start);
        answer.reused_tokens = engine_.reused();
      }
      record.tokens.push_back(e.token);
      record.logprobs.push_back(e.logprob);
      answer.cut = e.finish == infer::Finish::kLength;
      if (e.finish == infer::Finish::kStop) continue;
      const std::string piece = decoder.push(e.token);
      answer.text += piece;
      if (!on_piece({piece, e.logprob}) && !answer.stopped) {
        answer.stopped = true;
        engine_.cancel(id);
      }
    }
  }
  const std::string rest = decoder.finish();
  answer.text += rest;
  if (!rest.empty()) on_piece({rest, 0});
  answer.decode_seconds = seconds_since(start) - answer.prefill_seconds;
  messages_.push_back({"assistant", answer.text});
  records_.push_back(std::move(record));
  return answer;
}

Exactness ChatSession::check_exactness() {
  if (absorbed_)
    fail("/exact", "with an absorbed cache the log-probabilities of sampled tokens are not those of a training pass",
         "start the chat with --attention expanded");
  Exactness result;
  for (const Record& record : records_) {
    std::vector<int32_t> row = record.tokens;
    const int64_t length = static_cast<int64_t>(row.size()) - 1;
    row.push_back(-1);  // [1, length + 2]
    model::Objective objective(model_.config, model_.operand, 1, length, false);
    model::ObjectiveArgs args;
    args.input = {row.data(), 1, length};
    const model::ObjectiveResult& trained = objective.run(ctx_, model_, args);
    const size_t first = record.tokens.size() - record.logprobs.size() - 1;
    for (size_t i = 0; i < record.logprobs.size(); ++i) {
      const float again = -trained.token_nll[first + i];
      result.different +=
          std::popcount(std::bit_cast<uint32_t>(again) ^ std::bit_cast<uint32_t>(record.logprobs[i]));
      result.bits += 32;
    }
    ++result.answers;
  }
  return result;
}

}  // namespace frugal::cli
