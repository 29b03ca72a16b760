// frugal tokenizer train | encode | decode. Results go to stdout, what is said about them to stderr.
#include "text/tokenizer.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "data/corpus.h"
#include "text/tokenizer_train.h"

namespace frugal::cli {

namespace {

std::string read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n > 0) {
      text.append(buffer, static_cast<size_t>(n));
    } else if (errno != EINTR) {
      fail("standard input", fmt::format("cannot read: {}", std::strerror(errno)));
    }
  }
}

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail("standard output", fmt::format("cannot write: {}", std::strerror(errno)));
  }
}

struct TrainArguments {
  std::vector<std::string> paths;
  text::TokenizerTrainOptions options;
  std::string out;
  int threads = 0;
  int64_t memory_mib = 0;
};

// One line for both parts of the work: reading `total` bytes, then finding merges up to `vocab_size`.
class TrainProgress {
 public:
  TrainProgress(int64_t total, int32_t vocab_size) : total_(total), vocab_size_(vocab_size) {}

  void show(int64_t bytes, int32_t vocab) {
    if (vocab > 0 && merging_since_ == Time()) {
      merging_since_ = std::chrono::steady_clock::now();
      first_ = vocab;
    }
    vocab > 0 ? show_merging(vocab) : show_reading(bytes);
  }
  void finish() { line_.finish(); }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void show_reading(int64_t bytes) {
    const double seconds = seconds_since(start_), done = static_cast<double>(bytes);
    const double total =
        std::max(done, static_cast<double>(total_));  // packed files hold more than their size
    line_.show(fmt::format("counting pieces  {:.1f} of {:.1f} MB  {:.1f} MB/s  ETA {}", done * 1e-6,
                           total * 1e-6, done * 1e-6 / seconds,
                           format_seconds((total - done) * seconds / done)));
  }
  void show_merging(int32_t vocab) {
    const double seconds = seconds_since(merging_since_), done = vocab - first_;
    const double rest = done > 0 ? (vocab_size_ - vocab) * seconds / done : 0;
    line_.show(fmt::format("merging  {} of {} tokens{}", vocab, vocab_size_,
                           done > 0 ? "  ETA " + format_seconds(rest) : ""));
  }

  int64_t total_;
  int32_t vocab_size_;
  Time start_ = std::chrono::steady_clock::now(), merging_since_{};
  int32_t first_ = 0;
  ProgressLine line_;
};

// Of a conversation, what was said: the template around it is no text.
void add_documents(const std::vector<data::Document>& documents, text::TokenizerTrainer* trainer) {
  std::vector<std::string_view> texts;
  for (const data::Document& d : documents) {
    if (d.messages.empty()) texts.push_back(d.text);
    for (const text::Message& m : d.messages) texts.push_back(m.content);
  }
  trainer->add(texts);
}

// Reads as `frugal train` does, in batches: threads share the texts of one.
void add_files(const std::vector<std::string>& files, text::TokenizerTrainer* trainer) {
  constexpr size_t kBatchBytes = size_t{16} << 20;
  data::DocumentReader reader(files, {});
  std::vector<data::Document> batch;
  size_t bytes = 0;
  for (data::Document d; reader.next(&d);) {
    bytes += d.text.size();
    batch.push_back(std::move(d));
    if (bytes < kBatchBytes) continue;
    add_documents(batch, trainer);
    batch.clear();
    bytes = 0;
  }
  data::require_documents(reader.report(), files[0]);
  data::print_report(reader.report());
  add_documents(batch, trainer);
}

void run_train(const TrainArguments& arguments) {
  // Another model's checkpoints may depend on a tokenizer that is there already.
  const std::string target = (std::filesystem::path(arguments.out) / "tokenizer.json").string();
  if (file_exists(target)) fail(target, "exists already", "choose another --out, or remove it");
  std::vector<std::string> files;
  for (const data::Source& source : data::find_sources(arguments.paths)) {
    if (source.shards) fail(source.path, "holds shards, not texts", "give the texts they were made from");
    if (source.weight > 0) fail(source.name, "a weight has no meaning here", "leave it out");
    files.insert(files.end(), source.files.begin(), source.files.end());
  }
  const int64_t total = data::bytes_on_disk(files);

  text::TokenizerTrainOptions options = arguments.options;
  options.memory = arguments.memory_mib << 20;
  ThreadPool pool(arguments.threads);
  TrainProgress progress(total, options.vocab_size);
  text::TokenizerTrainer trainer(options, pool,
                                 [&](int64_t bytes, int32_t vocab) { progress.show(bytes, vocab); });
  add_files(files, &trainer);
  const text::Tokenizer tokenizer = trainer.finish();
  progress.finish();
  tokenizer.save(arguments.out);
  if (trainer.forgotten() > 0) {
    warn("{} rare pieces of the text were left out to keep within {} MiB; more --memory counts them all",
         trainer.forgotten(), arguments.memory_mib);
  }
  if (tokenizer.vocab_size() < options.vocab_size) {
    warn("the vocabulary has {} tokens, not {}: no pair of tokens occurs {} times any more; give more text",
         tokenizer.vocab_size(), options.vocab_size, options.min_count);
  }
  write_stdout(fmt::format("{}: {} tokens; {} bytes of text are {} tokens ({:.2f} bytes per token)\n", target,
                           tokenizer.vocab_size(), trainer.bytes(), trainer.tokens(),
                           static_cast<double>(trainer.bytes()) / static_cast<double>(trainer.tokens())));
}

struct EncodeArguments {
  std::string tokenizer;
  std::string text;
  bool text_given = false, json = false, no_special = false;
};

void run_encode(const EncodeArguments& arguments) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(arguments.tokenizer);
  const std::string text = arguments.text_given ? arguments.text : read_stdin();
  const std::vector<int32_t> ids = tokenizer.encode(text, !arguments.no_special);
  if (arguments.json) {
    write_stdout(fmt::format("{{\"ids\": [{}], \"count\": {}}}\n", fmt::join(ids, ", "), ids.size()));
  } else {
    write_stdout(fmt::format("{}\n", fmt::join(ids, " ")));
  }
}

struct DecodeArguments {
  std::string tokenizer;
  std::vector<std::string> ids;
  bool skip_special = false;
};

// Appends the ids written in `text`, separated by white space, commas or brackets (so that JSON lists are
// fine).
void parse_ids(std::string_view text, const text::Tokenizer& tokenizer, std::vector<int32_t>* ids) {
  constexpr std::string_view kSeparators = " \t\r\n,[]";
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size()) {
      fail("ids to decode", fmt::format("\"{}\" is not a token id", word), "give whole numbers");
    }
    tokenizer.token_text(id);  // throws for an id that the vocabulary lacks
    ids->push_back(id);
    at = text.find_first_not_of(kSeparators, end);
  }
}

void run_decode(const DecodeArguments& arguments) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(arguments.tokenizer);
  std::vector<int32_t> ids;
  for (const std::string& word : arguments.ids) parse_ids(word, tokenizer, &ids);
  if (arguments.ids.empty()) parse_ids(read_stdin(), tokenizer, &ids);
  std::string text = tokenizer.decode(ids, arguments.skip_special);
  // Exactly the text, so that pipes lose and add nothing; a person's prompt starts on a new line.
  if (::isatty(STDOUT_FILENO) != 0 && !text.ends_with('\n')) text += '\n';
  write_stdout(text);
}

void add_train(CLI::App& parent) {
  auto a = std::make_shared<TrainArguments>();
  CLI::App* train = parent.add_subcommand("train", "Learn a byte-level BPE vocabulary from text");
  train->add_option("PATH", a->paths, "Text files, .jsonl files, folders of them")->required();
  train->add_option("--vocab-size", a->options.vocab_size, "Tokens in all: 3 special ones, 256 bytes, merges")
      ->required();
  train->add_option("--out", a->out, "Directory for tokenizer.json and tokenizer_config.json")->required();
  train->add_option("--digits", a->options.digits, "Digits of a number that may form one token (1 to 9)")
      ->capture_default_str();
  train->add_option("--min-count", a->options.min_count, "A pair seen less often does not become a token")
      ->capture_default_str();
  train
      ->add_option(
          "--add-token", a->options.added_tokens,
          "Token that is always whole, such as <｜User｜>; gets one of the last ids; may be repeated")
      ->allow_extra_args(false);
  a->memory_mib = a->options.memory >> 20;
  train
      ->add_option("--memory", a->memory_mib,
                   "MiB for distinct pieces of text; when there are more, the rarest are left out")
      ->capture_default_str()
      ->check(CLI::Range(text::TokenizerTrainOptions::kLeastMemory >> 20, int64_t{1} << 24));
  train->add_option("-t,--threads", a->threads, "0: every core; the result is the same with any number")
      ->check(CLI::NonNegativeNumber);
  train->callback([a] { run_train(*a); });
}

}  // namespace

void add_tokenizer_command(CLI::App& app) {
  CLI::App* tokenizer =
      app.add_subcommand("tokenizer", "Train a tokenizer, or turn text into token ids and back");
  tokenizer->require_subcommand(1);
  add_train(*tokenizer);

  auto e = std::make_shared<EncodeArguments>();
  CLI::App* encode =
      tokenizer->add_subcommand("encode", "Print the token ids of a text (no BOS or EOS is added)");
  encode->add_option("TOKENIZER", e->tokenizer, "tokenizer.json, tiktoken.model or the directory that holds it")->required();
  CLI::Option* text = encode->add_option("TEXT", e->text, "The text; without it, standard input");
  encode->add_flag("--json", e->json, "Print a JSON object with ids and count");
  encode->add_flag("--no-special", e->no_special, "Special tokens in the text are plain text");
  encode->callback([e, text] {
    e->text_given = text->count() > 0;
    run_encode(*e);
  });

  auto d = std::make_shared<DecodeArguments>();
  CLI::App* decode = tokenizer->add_subcommand("decode", "Print the text of token ids");
  decode->add_option("TOKENIZER", d->tokenizer, "tokenizer.json, tiktoken.model or the directory that holds it")->required();
  decode->add_option("IDS", d->ids, "The ids; without them, standard input");
  decode->add_flag("--skip-special", d->skip_special, "Leave out special tokens");
  decode->callback([d] { run_decode(*d); });
}

}  // namespace frugal::cli
