// frugal chat MODEL: a conversation on the terminal, or over lines.
#include "cli/chat.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/math64.h"
#include "base/progress.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/line_editor.h"
#include "cli/model_argument.h"
#include "data/course.h"
#include "eval/exam.h"
#include "eval/solver.h"
#include "model/model_files.h"

namespace frugal::cli {

namespace {

constexpr const char* kHelp =
    "  an empty line   a question of the exam; the solver marks the answer\n"
    "  /quiz [N]       the same; with N, an exam of N questions\n"
    "  /exact          compares all log-probabilities with a training forward, bit by bit (expanded cache)\n"
    "  /probs          shades each token by its probability (again: off)\n"
    "  /retry          answers the last question again\n"
    "  /system TEXT    a new conversation under this system message\n"
    "  /clear          a new conversation\n"
    "  /set KEY=VALUE  temperature, top_k, top_p, min_p, seed, max_tokens; alone: shows them\n"
    "  /save FILE      writes the conversation as JSON\n"
    "  /quit           or Ctrl-D\n"
    "  Ctrl-C stops an answer.\n";

class Chat {
 public:
  Chat(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer, const ChatOptions& o)
      : ctx_(ctx),
        model_(model),
        tokenizer_(tokenizer),
        cache_(o.cache),
        session_(ctx, model, tokenizer, o.context, o.cache),
        out_(detect_terminal(STDOUT_FILENO)),
        interrupt_(false),
        editor_(out_.utf8 ? "› " : "> ") {
    session_.sampling = o.sampling;
    session_.thinking = o.thinking;
    session_.max_tokens = o.max_tokens;
    session_.set_system(o.system);
  }

  void run() {
    if (isatty(STDIN_FILENO) == 1)
      say("An empty line draws a question of the exam; /help lists the commands.");
    std::string line;
    while (true) {
      interrupt_.clear();
      const LineEditor::Read read = editor_.read(&line);
      if (read == LineEditor::Read::kEnd) return;
      if (read == LineEditor::Read::kInterrupted) continue;
      try {
        if (!handle(line)) return;
      } catch (const Error& e) {
        say(std::string("error: ") + e.what());  // of this line; the conversation goes on
      }
    }
  }

 private:
  // False: leave.
  bool handle(const std::string& line) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string command = line.substr(0, space);
    const std::string rest = line.substr(std::min(line.find_first_not_of(' ', space), line.size()));
    if (line.find_first_not_of(" \t") == std::string::npos)
      quiz();
    else if (line[0] != '/')
      ask(line);
    else if (command == "/quit" || command == "/exit")
      return false;
    else if (command == "/help")
      std::fputs(kHelp, stderr);
    else if (command == "/quiz")
      rest.empty() ? quiz() : exam(rest);
    else if (command == "/exact")
      exact();
    else if (command == "/probs")
      say((shades_ = !shades_) ? "tokens are shaded by their probability" : "tokens are shown plainly");
    else if (command == "/retry")
      retry();
    else if (command == "/system")
      system(rest);
    else if (command == "/clear")
      clear();
    else if (command == "/set")
      set(rest);
    else if (command == "/save")
      save(rest);
    else
      say("error: unknown command " + command + "; /help lists them");
    return true;
  }

  void say(const std::string& text) const {
    std::fprintf(stderr, "%s\n", colored(detect_terminal(STDERR_FILENO), Color::kDim, text).c_str());
  }

  void emit(const std::string& text) const {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      fail("standard output", "cannot write", "free disk space or write elsewhere");
  }

  // A piece of an answer, shaded by the probability of its token: dark grey to white, or "[piece 37%]"
  // without colours.
  std::string shaded(const ChatPiece& piece) const {
    if (!shades_ || piece.text.empty()) return piece.text;
    const double p = exp64(static_cast<double>(piece.logprob));
    if (!out_.color) return p > 0.9 ? piece.text : fmt::format("[{} {:.0f}%]", piece.text, 100 * p);
    return fmt::format("\033[38;5;{}m{}\033[0m", 240 + static_cast<int>(15 * p), piece.text);
  }

  // exam_question: it is one of the exam's, and is marked even if no answer can be read out of the response.
  void ask(const std::string& question, bool exam_question = false) {
    const ChatAnswer a = session_.ask(question, [&](const ChatPiece& piece) {
      emit(shaded(piece));
      return !interrupt_.interrupted();
    });
    emit(a.text.ends_with('\n') ? "" : "\n");
    if (const auto expected = eval::solve(question);
        expected && (exam_question || !data::final_answer(a.text).empty()))
      mark(a, *expected);
    if (a.forgotten > 0)
      say(fmt::format("the context was full: the {} oldest exchange{} forgotten", a.forgotten,
                      a.forgotten == 1 ? " is" : "s are"));
    if (a.cut) say("the answer is cut: the context is full, or max_tokens is reached; /clear starts anew");
    say(fmt::format("{}{} tokens, {:.0f} tok/s; prompt {} tokens, {} of them from the cache",
                    a.stopped ? "stopped after " : "", a.tokens,
                    a.tokens > 1 ? static_cast<double>(a.tokens - 1) / a.decode_seconds : 0.0,
                    a.prompt_tokens, a.reused_tokens));
  }

  void mark(const ChatAnswer& a, const std::string& expected) const {
    const bool right = data::final_answer(a.text) == expected;
    const std::string sign = out_.utf8 ? (right ? "✓" : "✗") : (right ? "right" : "wrong");
    emit(colored(out_, right ? Color::kGreen : Color::kRed,
                 right ? sign : sign + " the solver says " + expected) +
         "\n");
  }

  void quiz() {
    if (quiz_.empty()) quiz_ = data::draw_exam(session_.sampling.seed + 1000, 400);
    const std::string question = quiz_[asked_++ % quiz_.size()].problem.question;
    session_.clear();  // in the exam, too, every question stands alone
    emit(colored(out_, Color::kBold, question) + "\n");
    ask(question, true);
  }

  void exam(const std::string& count_text) {
    int64_t count = 0;
    const auto [end, ec] = std::from_chars(count_text.data(), count_text.data() + count_text.size(), count);
    if (ec != std::errc() || end != count_text.data() + count_text.size() || count < 1 || count > 20000)
      fail("/quiz", "'" + count_text + "' is not a number of questions", "use 1 to 20000");
    const auto questions = data::draw_exam(session_.sampling.seed + 1000, count);
    const auto answers =
        eval::take_exam(ctx_, model_, tokenizer_, questions, std::min<int64_t>(count, 64), {}, cache_);
    emit(eval::exam_table(eval::scores_by_kind(answers), eval::chance_by_kind(questions), {}));
  }

  void exact() {
    const Exactness e = session_.check_exactness();
    emit(fmt::format(
        "log-probabilities of this chat against a training forward: {} of {} bits differ ({} answers)\n",
        e.different, e.bits, e.answers));
  }

  void retry() {
    const std::string question = session_.take_back();
    if (question.empty()) fail("/retry", "there is no answer yet", "ask something first");
    ask(question);
  }

  void system(const std::string& text) {
    session_.set_system(text);
    say(text.empty() ? "a new conversation without a system message"
                     : "a new conversation under this system message");
  }

  void clear() {
    session_.clear();
    say("a new conversation");
  }

  void set(const std::string& setting) {
    infer::SamplingParams p = session_.sampling;
    int64_t max_tokens = session_.max_tokens;
    const size_t eq = setting.find('=');
    if (setting.empty())
      return say(fmt::format("temperature={} top_k={} top_p={} min_p={} seed={} max_tokens={}", p.temperature,
                             p.top_k, p.top_p, p.min_p, p.seed, max_tokens));
    const std::string key = setting.substr(0, eq),
                      value = eq == std::string::npos ? "" : setting.substr(eq + 1);
    double v = 0;
    const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), v);
    if (ec != std::errc() || end != value.data() + value.size())
      fail("/set", "'" + setting + "' is not KEY=NUMBER", "for example /set temperature=0.6");
    const auto whole = [&] {
      if (v != std::floor(v) || v < 0 || v > 9e15)
        fail("/set", key + " is a whole number of at least 0", "for example /set " + key + "=1");
      return static_cast<int64_t>(v);
    };
    if (key == "temperature")
      p.temperature = static_cast<float>(v);
    else if (key == "top_p")
      p.top_p = static_cast<float>(v);
    else if (key == "min_p")
      p.min_p = static_cast<float>(v);
    else if (key == "top_k")
      p.top_k = whole();
    else if (key == "seed")
      p.seed = static_cast<uint64_t>(whole());
    else if (key == "max_tokens")
      max_tokens = whole();
    else
      fail("/set", "unknown key '" + key + "'", "temperature, top_k, top_p, min_p, seed, max_tokens");
    infer::check_sampling(p);
    session_.sampling = p;
    session_.max_tokens = max_tokens;
    say(setting);
  }

  void save(const std::string& file) {
    if (file.empty()) fail("/save", "names no file", "/save FILE");
    if (file_exists(file)) fail(file, "exists already", "name another");
    nlohmann::ordered_json messages = nlohmann::json::array();
    for (const text::Message& m : session_.messages()) {
      nlohmann::ordered_json one;
      one["role"] = m.role;
      one["content"] = m.content;
      messages.push_back(one);
    }
    nlohmann::ordered_json all;
    all["messages"] = messages;
    write_file_atomic(file, all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    say("wrote " + file);
  }

  kernels::Ctx& ctx_;
  model::Model& model_;
  const text::Tokenizer& tokenizer_;
  infer::CacheForm cache_;
  ChatSession session_;
  Terminal out_;
  InterruptGuard interrupt_;
  LineEditor editor_;
  std::vector<data::Asked> quiz_;
  size_t asked_ = 0;
  bool shades_ = false;
};

struct ChatCommand {
  std::string model, precision, thinking;
  HoldArgument hold;
  ChatOptions chat;
  int threads = 0;
};

text::Thinking thinking_argument(const std::string& thinking) {
  if (thinking.empty()) return text::Thinking::kDefault;
  if (thinking != "on" && thinking != "off")
    fail("--thinking", "'" + thinking + "' is neither", "use on or off");
  return thinking == "on" ? text::Thinking::kOn : text::Thinking::kOff;
}

void run_chat(ChatCommand o) {
  infer::check_sampling(o.chat.sampling);
  if (o.chat.max_tokens < 0)
    fail("--max-tokens", fmt::format("{} is negative", o.chat.max_tokens),
         "use 0 (up to the context's end) or more");
  kernels::Ctx ctx(o.threads);
  const std::string directory = model_directory(o.model);
  const model::ModelConfig config = model::load_config(directory);
  o.chat.thinking = thinking_argument(o.thinking);
  // Now rather than after the weights.
  text::check_thinking(text::chat_template(text::Tokenizer::load(directory)), o.chat.thinking, "--thinking");
  if (o.chat.context < 0 || o.chat.context > config.max_position_embeddings)
    fail("--ctx-size", fmt::format("{} is out of range", o.chat.context),
         fmt::format("use 0 (all) or up to the model's {} positions", config.max_position_embeddings));
  const kernels::Operand operand = operand_argument(o.precision, config);
  o.chat.cache = cache_argument(o.hold, config, operand);
  const int64_t bytes = ChatSession::memory_bytes(config, operand, o.chat.context, o.chat.cache);
  const LoadedModel m = load_model_argument(ctx, o.model, o.precision, bytes, o.chat.cache.absorbed, o.hold.map_files);
  run_chat(ctx, *m.model, m.tokenizer, o.chat);
}
}  // namespace

void run_chat(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer,
              const ChatOptions& options) {
  Chat(ctx, model, tokenizer, options).run();
}

void add_chat_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("chat", "talk to a model: frugal chat MODEL");
  auto o = std::make_shared<ChatCommand>();
  o->chat.sampling.temperature = 0.6f;
  o->chat.sampling.top_p = 0.95f;
  c->add_option("model", o->model, "model directory, or run directory (its newest checkpoint)")->required();
  c->add_option("--system", o->chat.system, "system message");
  c->add_option("--thinking", o->thinking,
                "on or off, for R1 and V3.1; default: as the model's chat template has it");
  c->add_option("-n,--max-tokens", o->chat.max_tokens, "tokens of an answer; 0: up to the context's end")
      ->capture_default_str();
  c->add_option("--temperature", o->chat.sampling.temperature, "0: always the most probable token")
      ->capture_default_str();
  c->add_option("--top-k", o->chat.sampling.top_k, "draw among the k most probable; 0: off")
      ->capture_default_str();
  c->add_option("--top-p", o->chat.sampling.top_p, "draw among the most probable that hold this share")
      ->capture_default_str();
  c->add_option("--min-p", o->chat.sampling.min_p, "drop tokens below this share of the most probable")
      ->capture_default_str();
  c->add_option("--seed", o->chat.sampling.seed, "same seed and questions, same answers")
      ->capture_default_str()
      ->check(not_negative);
  c->add_option("-c,--ctx-size", o->chat.context,
                "positions of the cache; 0: the model's max_position_embeddings");
  add_hold_options(c, &o->hold);
  c->add_option("--precision", o->precision, "bf16 or f32; default: as stored");
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->footer([] { return std::string("In the chat:\n") + kHelp; });
  c->callback([o] { run_chat(*o); });
}

}  // namespace frugal::cli
