#include "data/corpus.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"

namespace frugal::data {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";

bool is_blank(std::string_view text) { return text.find_first_not_of(kWhiteSpace) == std::string_view::npos; }

int64_t line_of(std::string_view text, size_t offset) {
  return 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
}

// Bytes of the well-formed UTF-8 sequence at the start of `s` (1 to 4), 0 if there is none
// (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_sequence(std::string_view s) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : uint8_t{0}; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t b0 = byte(0), b1 = byte(1);
  if (s.empty()) return 0;
  if (b0 < 0x80) return 1;
  if (b0 < 0xC2) return 0;
  if (b0 < 0xE0) return tail(1) ? 2 : 0;
  if (b0 < 0xF0) {
    const bool valid = (b0 == 0xE0 ? b1 >= 0xA0 : true) && (b0 == 0xED ? b1 < 0xA0 : true);
    return valid && tail(1) && tail(2) ? 3 : 0;
  }
  if (b0 < 0xF5) {
    const bool valid = (b0 == 0xF0 ? b1 >= 0x90 : true) && (b0 == 0xF4 ? b1 < 0x90 : true);
    return valid && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void check_text(const std::string& path, std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    // Eight bytes at a time while they are ASCII without a zero byte: corpora are large and mostly that.
    uint64_t word = 0;
    if (text.size() - i >= sizeof word) {
      std::memcpy(&word, text.data() + i, sizeof word);
      const uint64_t high_bits = 0x8080808080808080u, ones = 0x0101010101010101u;
      if ((word & high_bits) == 0 && ((word - ones) & high_bits) == 0) {
        i += sizeof word;
        continue;
      }
    }
    if (text[i] == '\0')
      fail(fmt::format("{}:{}", path, line_of(text, i)),
           fmt::format("a NUL byte at byte offset {}: this is a binary file", i),
           "give UTF-8 text or .jsonl files (unpack compressed ones)");
    const size_t n = utf8_sequence(text.substr(i));
    if (n == 0)
      fail(fmt::format("{}:{}", path, line_of(text, i)),
           fmt::format("invalid UTF-8 at byte offset {} (byte 0x{:02X})", i, static_cast<uint8_t>(text[i])),
           "convert the file to UTF-8 (iconv -f CHARSET -t UTF-8)");
    i += n;
  }
}

// Takes documents in, leaves blank ones out and counts them.
struct Collector {
  std::vector<Document>& documents;
  int64_t skipped_blank = 0;

  void add(std::string text, std::string source) { add(Document{std::move(text), std::move(source)}); }
  void add(Document document) {
    if (is_blank(document.text))
      ++skipped_blank;
    else
      documents.push_back(std::move(document));
  }
};

void read_text(const std::string& path, std::string_view text, const std::string& separator, Collector& out) {
  if (separator.empty()) return out.add(std::string(text), path);
  if (text.find(separator) == std::string_view::npos)
    warn("{}: the separator does not occur; the file is one document", path);
  // A separator after the last document ends it and starts no further one.
  int64_t line = 1;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    out.add(std::string(text.substr(begin, end - begin)), fmt::format("{}:{}", path, line));
    const size_t next = std::min(end + separator.size(), text.size());
    line += line_of(text.substr(begin, next - begin), next - begin) - 1;
    begin = next;
  }
}

Document parse_conversation(const std::string& where, const nlohmann::json& messages) {
  const char* remedy = R"(a conversation is {"messages": [{"role": "user", "content": "..."}, ...]})";
  if (!messages.is_array())
    fail(where, fmt::format("the field \"messages\" is a {}", messages.type_name()), remedy);
  Document document{"", where};
  for (const nlohmann::json& m : messages) {
    const auto text_of = [&](const char* name) {
      const bool has = m.is_object() && m.contains(name) && m[name].is_string();
      if (!has) fail(where, fmt::format("a message has no string \"{}\"", name), remedy);
      return m[name].get<std::string>();
    };
    document.messages.push_back({text_of("role"), text_of("content")});
  }
  text::check_messages(document.messages, where);
  document.text = text::chat_text(document.messages);
  return document;
}

Document parse_jsonl_line(const std::string& where, std::string_view line) {
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& e) {
    fail(where, fmt::format("not valid JSON at byte {} of the line", e.byte),
         "a .jsonl file holds one complete JSON object per line");
  } catch (const nlohmann::json::exception& e) {  // a number out of range
    fail(where, fmt::format("not valid JSON: {}", e.what()), "correct the line");
  }
  const char* remedy = "every line must look like {\"text\": \"...\"} or {\"messages\": [...]}";
  if (!value.is_object())
    fail(where, fmt::format("a JSON {} instead of an object", value.type_name()), remedy);
  if (value.contains("messages")) return parse_conversation(where, value["messages"]);
  const auto field = value.find("text");
  if (field == value.end()) fail(where, "the object has no field \"text\"", remedy);
  if (!field->is_string())
    fail(where, fmt::format("the field \"text\" is a {} instead of a string", field->type_name()), remedy);
  return {std::move(field->get_ref<std::string&>()), where};
}

void read_jsonl(const std::string& path, std::string_view text, Collector& out) {
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    const std::string where = fmt::format("{}:{}", path, number);
    if (!is_blank(line)) out.add(parse_jsonl_line(where, line));
    begin = end + 1;
  }
}

void read_one(const std::string& path, const CorpusOptions& options, Collector& out) {
  if (is_directory(path)) fail(path, "is a directory", "give the files in it (`frugal demo` takes folders)");
  if (!std::filesystem::exists(path)) fail(path, "no such file", "check the path");
  const MappedFile file(path);
  std::string_view text = file.text();
  if (text.empty()) fail(path, "the file is empty", "give a file with text, or leave it out");
  check_text(path, text);
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (path.ends_with(".jsonl"))
    read_jsonl(path, text, out);
  else
    read_text(path, text, options.separator, out);
}

void check_fraction(double fraction) {
  if (!(fraction >= 0.0 && fraction <= 0.5))  // so written that NaN fails
    fail("validation_fraction", fmt::format("{} is outside [0, 0.5]", fraction), "0.1 is usual");
}

// Byte offset at which the validation part of a single document begins.
size_t cut_single(const Document& document, double fraction) {
  const std::string_view text = document.text;
  if (!document.messages.empty())
    fail(document.source, "the corpus is one conversation and cannot be split",
         "give more, or set validation_fraction=0");
  // White space at either end is no text: a part made of it would be blank.
  const size_t first = text.find_first_not_of(kWhiteSpace);
  const size_t last = text.find_last_not_of(kWhiteSpace);
  const size_t size = last + 1;
  const size_t target = size - static_cast<size_t>(std::ceil(fraction * static_cast<double>(size)));

  size_t best = 0;
  const auto consider = [&](size_t newline) {
    if (newline == std::string_view::npos) return;
    const size_t cut = newline + 1;
    if (newline < first || cut > last || 2 * cut < size) return;
    const auto distance = [&](size_t c) { return c > target ? c - target : target - c; };
    if (best == 0 || distance(cut) < distance(best)) best = cut;
  };
  if (target > 0) consider(text.rfind('\n', target - 1));
  consider(text.find('\n', target));
  if (best != 0) return best;

  size_t cut = std::max(target, first + 1);
  while (cut < size && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) ++cut;
  if (cut >= size) {  // the target lies in the last character: cut before it
    cut = last;
    while (cut > first && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) --cut;
  }
  if (cut <= first || cut >= size)
    fail(document.source, "the corpus is one document of one character and cannot be split",
         "give more text, or set validation_fraction=0");
  return cut;
}

// Which documents go to validation. Equal documents (equal hashes) form a group that stays together.
std::vector<bool> choose_validation(const std::vector<Document>& documents, double fraction) {
  using Entry = std::tuple<uint64_t, size_t>;  // hash of the text, index
  std::vector<Entry> order;
  size_t total = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::string& text = documents[i].text;
    order.emplace_back(XXH64(text.data(), text.size(), 0), i);
    total += text.size();
  }
  std::sort(order.begin(), order.end());

  struct Group {
    size_t begin, end, bytes;  // entries [begin, end) of order
  };
  std::vector<Group> groups;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || std::get<0>(order[i]) != std::get<0>(order[i - 1])) groups.push_back({i, i, 0});
    groups.back().end = i + 1;
    groups.back().bytes += documents[std::get<1>(order[i])].text.size();
  }
  if (groups.size() < 2)
    fail(documents[0].source, fmt::format("all {} documents of the corpus are equal", documents.size()),
         "give different documents, or set validation_fraction=0");

  std::vector<bool> chosen(documents.size(), false);
  const auto choose = [&](const Group& g) {
    for (size_t i = g.begin; i < g.end; ++i) chosen[std::get<1>(order[i])] = true;
  };
  // At most half of the bytes, and no larger group is taken: so one group at least is always left for
  // training.
  const double target = fraction * static_cast<double>(total);
  double bytes = 0;
  size_t taken = 0;
  for (const Group& g : groups) {
    if (bytes >= target) break;
    if (static_cast<double>(g.bytes) > target) continue;
    choose(g);
    bytes += static_cast<double>(g.bytes);
    ++taken;
  }
  if (taken == 0)
    choose(*std::min_element(groups.begin(), groups.end(),
                             [](const Group& a, const Group& b) { return a.bytes < b.bytes; }));
  return chosen;
}

}  // namespace

namespace {
bool is_text_file(const std::string& path) {
  try {
    const MappedFile file(path);
    check_text(path, file.text());
    return !is_blank(file.text());
  } catch (const Error&) {
    return false;
  }
}
}  // namespace

std::vector<std::string> text_files(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  int64_t left_out = 0;
  for (const std::string& path : paths) {
    if (!is_directory(path)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    std::error_code error;
    for (auto it = fs::recursive_directory_iterator(path, error);
         !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (it->path().filename().string().starts_with('.')) {
        if (it->is_directory()) it.disable_recursion_pending();
        continue;
      }
      if (!it->is_regular_file()) continue;
      if (is_text_file(it->path().string()))
        found.push_back(it->path().string());
      else
        ++left_out;
    }
    if (error) fail(path, "cannot be read: " + error.message(), "check the permissions");
    if (found.empty())
      fail(path, fmt::format("holds no text ({} files are empty or not UTF-8 text)", left_out),
           "give a folder with text");
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  if (left_out > 0) warn("{} files that are empty or not UTF-8 text are left out", left_out);
  return files;
}

std::vector<Document> read_documents(const std::vector<std::string>& paths, const CorpusOptions& options,
                                     int64_t* skipped_blank) {
  if (paths.empty()) fail("data", "no file is given", "name at least one text or .jsonl file");
  std::vector<Document> documents;
  Collector collector{documents};
  for (const std::string& path : paths) read_one(path, options, collector);
  if (documents.empty())
    fail(paths[0],
         fmt::format("the corpus has no usable document ({} blank ones in {} file(s))",
                     collector.skipped_blank, paths.size()),
         "give files with text");
  if (skipped_blank != nullptr) *skipped_blank += collector.skipped_blank;
  return documents;
}

Corpus split_documents(std::vector<Document> documents, const CorpusOptions& options) {
  check_fraction(options.validation_fraction);
  FRUGAL_ASSERT(!documents.empty(), "split_documents without a document");
  Corpus corpus;
  if (options.validation_fraction == 0.0) {
    corpus.train = std::move(documents);
  } else if (documents.size() == 1) {
    const size_t cut = cut_single(documents[0], options.validation_fraction);
    corpus.train.push_back({documents[0].text.substr(0, cut), documents[0].source});
    corpus.validation.push_back({documents[0].text.substr(cut), documents[0].source});
  } else {
    const std::vector<bool> chosen = choose_validation(documents, options.validation_fraction);
    for (size_t i = 0; i < documents.size(); ++i)
      (chosen[i] ? corpus.validation : corpus.train).push_back(std::move(documents[i]));
  }
  return corpus;
}

Corpus load_corpus(const std::vector<std::string>& paths, const CorpusOptions& options) {
  check_fraction(options.validation_fraction);  // before reading gigabytes
  int64_t skipped_blank = 0;
  Corpus corpus = split_documents(read_documents(paths, options, &skipped_blank), options);
  corpus.skipped_blank = skipped_blank;
  return corpus;
}

}  // namespace frugal::data
