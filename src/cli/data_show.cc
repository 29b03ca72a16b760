// frugal data show: what a run sees of its data: rows as they were cut, packed and masked, and a summary.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/progress.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/data_commands.h"
#include "data/fim.h"
#include "text/utf8.h"
#include "train/run_data.h"

namespace frugal::cli {

namespace {
struct DataShowOptions {
  std::vector<std::string> words;
  std::string tokenizer, recipe = "nano";
  int64_t rows = 3, row = -1;
};

// A word KEY=VALUE with a recipe's key is a setting, unless a file has that name.
bool is_setting(const std::string& word) {
  const size_t eq = word.find('=');
  if (eq == std::string::npos || std::filesystem::exists(word)) return false;
  for (const train::RecipeOption& o : train::recipe_options())
    if (word.substr(0, eq) == o.name) return true;
  return false;
}

train::Recipe recipe_of(const DataShowOptions& o) {
  std::vector<std::string> settings, data;
  for (const std::string& w : o.words) (is_setting(w) ? settings : data).push_back(w);
  train::Recipe r = train::load_recipe(o.recipe, settings);
  if (!data.empty()) r.data = data;
  if (r.data.empty()) fail("data show", "names no data", "give files, folders or shards");
  if (!o.tokenizer.empty()) r.tokenizer = o.tokenizer;
  bool has_tokenizer = !r.tokenizer.empty();
  for (const std::string& d : r.data) has_tokenizer = has_tokenizer || data::is_shard_directory(d);
  // No model is made: a tokenizer that is there already may have any size.
  if (has_tokenizer) r.model.vocab_size = int64_t{1} << 24;
  r.sample_every = 0;
  return r;
}

// A token's text for people: nothing in it moves the cursor.
std::string printable(const std::string& bytes) {
  std::string out;
  const bool whole = text::well_formed_prefix(bytes) == bytes.size();
  for (const char c : bytes) {
    const auto b = static_cast<uint8_t>(c);
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (b < 0x20 || b == 0x7F || (b >= 0x80 && !whole))
      out += fmt::format("\\x{:02X}", b);
    else
      out += c;
  }
  return out;
}

class RowPrinter {
 public:
  RowPrinter(const train::RunData& run, int64_t length)
      : run_(run), length_(length), terminal_(detect_terminal(STDOUT_FILENO)) {}

  void print(int64_t position) {
    const data::Loader& loader = *run_.loader;
    const data::Packing& packing = loader.packing();
    const int64_t row = loader.row_at(position);
    std::vector<int32_t> slots(static_cast<size_t>(length_ + data::kLookAhead));
    data::fill_row(loader.documents(), packing, row, slots);
    int64_t used = 0, main = 0, mtp = 0;
    for (int64_t i = 0; i < length_; ++i) {
      used += slots[i] >= 0;
      main += slots[i] >= 0 && slots[i + 1] >= 0;
      mtp += slots[i] >= 0 && slots[i + 2] >= 0;
    }
    const int64_t pieces = packing.row_starts[row + 1] - packing.row_starts[row];
    line(Color::kBold,
         fmt::format("row {} of {}: {} tokens in {} piece{}, {} padding; {} targets, {} of MTP", position,
                     loader.rows(), used, pieces, pieces == 1 ? "" : "s", length_ - used, main, mtp));
    for (int64_t p = packing.row_starts[row]; p < packing.row_starts[row + 1]; ++p)
      print_piece(packing.pieces[p]);
    if (used < length_) line(Color::kDim, fmt::format("  padding {}: no input, no target", length_ - used));
    if (slots[length_] >= 0) {
      std::string text;
      line_start_ = true;
      for (int64_t i = length_; i < length_ + data::kLookAhead && slots[i] >= 0; ++i)
        append_token(slots[i], &text);
      line(Color::kDim, "  look-ahead (targets only)");
      std::printf("    %s\n", text.c_str());
    }
  }

 private:
  void line(Color color, const std::string& text) {
    std::printf("%s\n", colored(terminal_, color, text).c_str());
  }

  void print_piece(const data::Piece& piece) {
    const std::span<const int32_t> document = run_.loader->documents().documents[piece.document];
    const int64_t size = static_cast<int64_t>(document.size());
    std::string what = piece.length == size ? "whole"
                                            : fmt::format("tokens {} to {} of {}", piece.begin,
                                                          piece.begin + piece.length - 1, size);
    if (piece.begin > 0) what += ", begun elsewhere";
    if (piece.continues) what += ", goes on elsewhere";
    line(Color::kDim, fmt::format("  document {}, {}", piece.document, what));
    std::string text = "    ";
    line_start_ = true;
    for (const int32_t id : document.subspan(piece.begin, piece.length)) append_token(id, &text);
    std::printf("%s\n", text.c_str());
  }

  // Neighbouring tokens differ in colour; without colour a bar stands between them.
  void append_token(int32_t id, std::string* out) {
    const text::Tokenizer& t = *run_.tokenizer;
    const std::string bytes = t.has_token(id) ? t.token_text(id) : fmt::format("<{}>", id);
    const bool fim = bytes == data::kFimBegin || bytes == data::kFimHole || bytes == data::kFimEnd;
    const bool added = t.is_special(id) || t.find_added(bytes) == id;
    const Color color = fim              ? Color::kYellow
                        : added          ? Color::kGreen
                        : (odd_ = !odd_) ? Color::kNone
                                         : Color::kCyan;
    if (!terminal_.color && !line_start_) *out += '|';
    *out += colored(terminal_, color, printable(bytes));
    line_start_ = bytes.ends_with('\n');
    if (line_start_) *out += "\n    ";
  }

  const train::RunData& run_;
  int64_t length_;
  Terminal terminal_;
  bool odd_ = false, line_start_ = true;
};

void print_summary(const train::RunData& run, int64_t length) {
  const data::TokenizedDocuments& train = run.loader->documents();
  const data::Packing& packing = run.loader->packing();
  int64_t inputs = 0;
  std::vector<bool> cut(train.documents.size(), false), used(train.documents.size(), false);
  for (const data::Piece& p : packing.pieces) {
    inputs += p.length;
    used[p.document] = true;
    if (p.continues) cut[p.document] = true;
  }
  const auto count = [](const std::vector<bool>& v) {
    return static_cast<int64_t>(std::count(v.begin(), v.end(), true));
  };
  const double slots = static_cast<double>(packing.rows() * length);
  const double documents = static_cast<double>(std::max<int64_t>(1, count(used)));
  if (run.report.files > 0)
    std::printf("texts       %lld files, %lld documents, %s bytes%s\n",
                static_cast<long long>(run.report.files), static_cast<long long>(run.report.documents),
                format_count(static_cast<double>(run.report.bytes)).c_str(),
                data::left_out_text(run.report).empty()
                    ? ""
                    : ("; left out: " + data::left_out_text(run.report)).c_str());
  const auto part = [](const char* name, int64_t n, int64_t tokens, double bytes) {
    std::printf("%-11s %lld documents, %s tokens, %.2f bytes per token\n", name, static_cast<long long>(n),
                format_count(static_cast<double>(tokens)).c_str(),
                bytes / static_cast<double>(std::max<int64_t>(1, tokens)));
  };
  part("training", train.count(), train.tokens, static_cast<double>(train.bytes));
  if (run.validation_documents > 0)
    part("validation", run.validation_documents, run.validation_tokens, run.validation_bytes);
  for (size_t s = 0; s < train.weights.size(); ++s) {
    int64_t n = 0;
    for (const data::Piece& p : packing.pieces)
      if (p.document >= train.source_starts[s] && p.document < train.source_starts[s + 1]) n += p.length;
    std::printf("source %-4zu %.1f %% of the first epoch's tokens\n", s + 1,
                100 * static_cast<double>(n) / static_cast<double>(inputs));
  }
  std::printf(
      "packing     %lld rows of %lld: %.2f %% filled, %.2f %% padding; %lld of %lld documents cut (%.2f "
      "%%)\n",
      static_cast<long long>(packing.rows()), static_cast<long long>(length),
      100 * static_cast<double>(inputs) / slots, 100 - 100 * static_cast<double>(inputs) / slots,
      static_cast<long long>(count(cut)), static_cast<long long>(count(used)),
      100 * static_cast<double>(count(cut)) / documents);
}

void run_data_show(const DataShowOptions& o) {
  const train::Recipe recipe = recipe_of(o);
  const train::RunData data = train::load_run_data(recipe, recipe.tokenizer);
  const int64_t rows = data.loader->rows();
  if (o.row >= rows)
    fail("--row", fmt::format("{} is not there: the first epoch has rows 0 to {}", o.row, rows - 1),
         "take another");
  RowPrinter printer(data, recipe.sequence_length);
  const int64_t first = o.row >= 0 ? o.row : 0, last = o.row >= 0 ? o.row + 1 : std::min(o.rows, rows);
  for (int64_t position = first; position < last; ++position) printer.print(position);
  print_summary(data, recipe.sequence_length);
}
}  // namespace

void add_data_show_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand(
      "show", "print how documents are cut, packed and masked, as `frugal train` would see them");
  auto o = std::make_shared<DataShowOptions>();
  c->add_option("DATA", o->words, "files, folders, shards; and key=value settings as of `frugal train`")
      ->required();
  c->add_option("--tokenizer", o->tokenizer,
                "directory, tokenizer.json or tiktoken.model; default: that of the shards, or one is trained");
  c->add_option("--recipe", o->recipe, "preset or file that the settings come from")->capture_default_str();
  c->add_option("--rows", o->rows, "how many rows of the first epoch, in the order of training")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  c->add_option("--row", o->row, "only this row, counted from 0")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  c->callback([o] { run_data_show(*o); });
}

}  // namespace frugal::cli
