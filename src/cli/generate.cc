// frugal generate MODEL "text": continues a text, streaming.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "infer/engine.h"
#include "model/model_files.h"
#include "text/tokenizer.h"

namespace frugal::cli {

namespace {
struct GenerateOptions {
  std::string model, prompt, precision;
  HoldArgument hold;
  infer::SamplingParams sampling;
  int64_t max_tokens = 256, context = 0;
  int threads = 0;
  std::vector<std::string> stop;
  bool ignore_eos = false, json = false, quiet = false;
};

// Holds back text that may be the beginning of a stop string; `stopped` once one is complete.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  std::string push(const std::string& piece) {
    held_ += piece;
    for (const std::string& stop : stops_) {
      const size_t at = held_.find(stop);
      if (at == std::string::npos || stop.empty()) continue;
      stopped = true;
      return held_.substr(0, at);
    }
    size_t keep = 0;
    for (const std::string& stop : stops_)
      for (size_t n = std::min(stop.size(), held_.size()); n > keep; --n)
        if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    std::string out = held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return out;
  }
  std::string rest() const { return held_; }
  bool stopped = false;

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

infer::Request make_request(const GenerateOptions& o, const model::ModelConfig& config,
                            const text::Tokenizer& tokenizer, const std::string& prompt) {
  infer::Request request;
  // A self-trained model saw BOS before every document; a published one says so in tokenizer_config.json.
  if (tokenizer.add_bos_token() && tokenizer.bos_id() >= 0) request.prompt.push_back(tokenizer.bos_id());
  for (const int32_t id : tokenizer.encode(prompt)) request.prompt.push_back(id);
  request.sampling = o.sampling;
  request.max_tokens = o.max_tokens;
  if (!o.ignore_eos) {
    request.stop_tokens = config.eos_token_ids;
    if (tokenizer.eos_id() >= 0) request.stop_tokens.push_back(tokenizer.eos_id());
  }
  return request;
}

void emit(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail("standard output", fmt::format("cannot write: {}", std::strerror(errno)),
         "free disk space or write elsewhere");
}

void run_generate(const GenerateOptions& o) {
  const std::string directory = model_directory(o.model);
  infer::check_sampling(o.sampling);
  if (o.max_tokens < 0)
    fail("--max-tokens", fmt::format("{} is negative", o.max_tokens),
         "use 0 (up to the context's end) or more");
  if (o.context < 0)
    fail("--ctx-size", fmt::format("{} is negative", o.context), "use 0 (what is needed) or more");
  std::string prompt = o.prompt;
  if (prompt == "-") prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  kernels::Ctx ctx(o.threads);
  const text::Tokenizer tokenizer = text::Tokenizer::load(directory);
  const model::ModelConfig config = model::load_config(directory);
  check_tokenizer(tokenizer, config, directory);
  infer::Request request = make_request(o, config, tokenizer, prompt);
  infer::EngineOptions options;
  const kernels::Operand operand = operand_argument(o.precision, config);
  options.cache = cache_argument(o.hold, config, operand);
  if (o.context > config.max_position_embeddings)
    fail("--ctx-size",
         fmt::format("{} exceeds the model's {} positions", o.context, config.max_position_embeddings),
         "use at most max_position_embeddings of config.json");
  const int64_t positions = config.max_position_embeddings, n = static_cast<int64_t>(request.prompt.size());
  const int64_t wanted = o.max_tokens > 0 && o.max_tokens < positions - n ? n + o.max_tokens : positions;
  options.max_context = o.context > 0 ? o.context : wanted;
  auto m = model::load_model(
      ctx, directory,
      {operand, false, options.cache.absorbed, infer::Engine::memory_bytes(config, operand, options), o.hold.map_files});
  infer::Engine engine(ctx, *m, options);
  const size_t prompt_tokens = request.prompt.size();
  const int64_t room = options.max_context - static_cast<int64_t>(prompt_tokens);
  if (o.max_tokens > room && room > 0)
    warn("the context of {} positions leaves room for {} of the {} tokens asked for", options.max_context,
         room, o.max_tokens);
  const int64_t id = engine.add(std::move(request));

  text::StreamDecoder decoder(tokenizer, true);
  StopFilter filter(o.stop);
  const auto start = std::chrono::steady_clock::now();
  double prefill_seconds = 0;
  int64_t sampled = 0;
  if (!o.json && !o.quiet) emit(o.prompt == "-" ? "" : prompt);
  while (!engine.idle()) {
    for (const infer::Event& e : engine.step()) {
      if (e.token < 0) continue;
      if (sampled++ == 0) prefill_seconds = seconds_since(start);
      std::string piece = e.finish == infer::Finish::kStop ? "" : filter.push(decoder.push(e.token));
      if (o.json) {
        emit(fmt::format("{{\"token\": {}, \"logprob\": {:.9g}}}\n", e.token, e.logprob));
      } else {
        emit(piece);
      }
      if (filter.stopped) engine.cancel(id);
    }
  }
  if (!o.json) {
    if (!filter.stopped) emit(filter.push(decoder.finish()) + filter.rest());
    emit("\n");
  }
  const double decode_seconds = seconds_since(start) - prefill_seconds;
  info("prompt {} tokens, {:.1f} tok/s; generated {} tokens, {:.1f} tok/s", prompt_tokens,
       static_cast<double>(prompt_tokens) / prefill_seconds, sampled,
       sampled > 1 ? static_cast<double>(sampled - 1) / decode_seconds : 0.0);
}
}  // namespace

void add_generate_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("generate", "continue a text: frugal generate MODEL \"Once upon a time\"");
  auto o = std::make_shared<GenerateOptions>();
  o->sampling.temperature = 0.8f;
  o->sampling.top_p = 0.95f;
  c->add_option("model", o->model, "model directory, or run directory (its newest checkpoint)")->required();
  c->add_option("prompt", o->prompt, "text to continue; - reads standard input");
  c->add_option("-n,--max-tokens", o->max_tokens, "tokens to generate; 0: up to the context's end")
      ->capture_default_str();
  c->add_option("--temperature", o->sampling.temperature, "0: always the most probable token")
      ->capture_default_str();
  c->add_option("--top-k", o->sampling.top_k, "draw among the k most probable; 0: off")
      ->capture_default_str();
  c->add_option("--top-p", o->sampling.top_p, "draw among the most probable that hold this share")
      ->capture_default_str();
  c->add_option("--min-p", o->sampling.min_p, "drop tokens below this share of the most probable")
      ->capture_default_str();
  c->add_option("--seed", o->sampling.seed, "same seed, same text")
      ->capture_default_str()
      ->check(not_negative);
  c->add_option("--stop", o->stop, "stop before this text; may be repeated");
  c->add_option("-c,--ctx-size", o->context,
                "positions of the cache; 0: what the prompt and --max-tokens need");
  add_hold_options(c, &o->hold);
  c->add_option("--precision", o->precision, "bf16 or f32; default: as stored");
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->add_flag("--ignore-eos", o->ignore_eos, "go on after the end-of-text token");
  c->add_flag("--json", o->json, "one JSON object per token: id and log-probability");
  c->add_flag("-q,--quiet", o->quiet, "do not repeat the prompt");
  c->callback([o] { run_generate(*o); });
}

}  // namespace frugal::cli
