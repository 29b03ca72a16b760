#include "data/shard_build.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/disk.h"
#include "base/error.h"
#include "base/file_lock.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/threads.h"

namespace frugal::data {

namespace {
constexpr size_t kBatchBytes = size_t{4} << 20, kBatchDocuments = 8192;

std::string settings_json(const ShardBuild& b, const text::Tokenizer& tokenizer) {
  return nlohmann::json{{"data", b.data},
                        {"separator", b.corpus.read.separator},
                        {"text_field", b.corpus.read.text_field},
                        {"extensions", b.corpus.extensions},
                        {"dedupe", dedupe_name(b.corpus.dedupe)},
                        {"fim_rate", b.fim_rate},
                        {"shard_tokens", b.shard_tokens},
                        {"tokenizer", fmt::format("{:016x}", tokenizer_hash(tokenizer))}}
             .dump(1) +
         "\n";
}

// Refuses before hours of work when the disk will not do. output: bytes of shards that the texts up to
// `consumed` of `total` bytes of files became; written: those that lie on the disk already.
void check_room(const std::string& directory, int64_t output, int64_t written, int64_t consumed,
                int64_t total) {
  const int64_t free = free_disk_bytes(directory);
  if (free < 0 || consumed <= 0 || total <= 0) return;
  const double needed =
      static_cast<double>(output) * static_cast<double>(total) / static_cast<double>(consumed) -
      static_cast<double>(written);
  if (needed > static_cast<double>(free))
    fail(directory,
         fmt::format("the shards need about {:.1f} MB more, {:.1f} MB are free", needed * 1e-6,
                     static_cast<double>(free) * 1e-6),
         "free disk space and repeat the command, which goes on from here");
}

// DIR.building, held by one process at a time.
class BuildDirectory {
 public:
  BuildDirectory(const std::string& path, const std::string& settings) : path_(path) {
    make_directories(path);
    lock_ = lock_directory(path);
    const std::string file = path + "/build.json";
    if (!file_exists(file)) {
      write_file_atomic(file, settings);
    } else if (read_file(file) != settings) {
      ::close(lock_);
      fail(path, "holds an unfinished build with other settings (build.json)",
           "repeat the command that began it, or remove the directory");
    }
  }
  ~BuildDirectory() { ::close(lock_); }
  BuildDirectory(const BuildDirectory&) = delete;
  BuildDirectory& operator=(const BuildDirectory&) = delete;

  std::string shard(size_t n) const { return fmt::format("{}/shard-{:05d}.bin", path_, n); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int lock_ = -1;
};

// The shards that an interrupted build left, in order: whole ones, whose texts are compared instead of being
// tokenised again.
struct FoundShards {
  std::vector<MappedFile> files;
  std::vector<ShardView> views;
  int64_t documents = 0;
};
FoundShards find_shards(const BuildDirectory& directory, int64_t vocab_size) {
  FoundShards found;
  for (size_t n = 0; file_exists(directory.shard(n)); ++n) {
    const std::string path = directory.shard(n);
    try {
      MappedFile file(path);
      const ShardView view = parse_shard(file.bytes(), path);
      verify_shard(view, vocab_size, path);
      found.files.push_back(std::move(file));
      found.views.push_back(view);
      found.documents += static_cast<int64_t>(view.records.size());
    } catch (const Error& e) {
      warn("{}; it and what follows is built again", e.what());
      break;
    }
  }
  return found;
}

struct TextBatch {
  std::vector<Document> documents;
  int64_t consumed = 0;  // of the files, at its end
  bool last = false;
};
TextBatch read_batch(DocumentReader& reader) {
  TextBatch batch;
  size_t bytes = 0;
  Document document;
  while (bytes < kBatchBytes && batch.documents.size() < kBatchDocuments) {
    if (!reader.next(&document)) {
      batch.last = true;
      break;
    }
    bytes += document.text.size();
    batch.documents.push_back(std::move(document));
  }
  batch.consumed = reader.consumed();
  return batch;
}

class Builder {
 public:
  Builder(const ShardBuild& build, const text::Tokenizer& tokenizer, const BuildDirectory& directory,
          FoundShards found)
      : build_(build),
        encoder_(encoder_of(tokenizer, build.fim_rate)),
        directory_(directory),
        found_(std::move(found)),
        pool_(build.threads),
        seen_(build.corpus.dedupe) {}

  // consumed, total: bytes of the files up to here and in all; total is -1 when it cannot be told.
  // `meanwhile` is called once, beside the tokenising.
  template <class F>
  void take(std::vector<Document> documents, int64_t consumed, int64_t total, F&& meanwhile) {
    remove_duplicates(&documents);
    size_t first = 0;  // not in a shard already
    while (first < documents.size() && compare_with_found(documents[first])) ++first;
    const int64_t fresh = static_cast<int64_t>(documents.size() - first);
    std::vector<std::vector<int32_t>> plain(fresh), fim(fresh);
    pool_.run(1 + fresh, [&](int64_t part, int) {
      if (part == 0) return meanwhile();
      const int64_t i = part - 1;
      plain[i] = encode_document(documents[first + i], encoder_);
      fim[i] = encode_fim(documents[first + i], encoder_);
    });
    int64_t output = output_bytes();
    for (int64_t i = 0; i < fresh; ++i)
      output +=
          static_cast<int64_t>(sizeof(DocumentRecord) + (plain[i].size() + fim[i].size()) * sizeof(int32_t));
    if (fresh > 0) check_room(directory_.path(), output, shard_bytes_, consumed, total);
    for (int64_t i = 0; i < fresh; ++i) append(documents[first + i], plain[i], fim[i]);
  }

  // The last shard may be small; there is none without a document.
  void finish() {
    if (compared_ < found_.documents)
      fail(build_.data[0],
           fmt::format("the texts now give {} documents, the interrupted build had {} already", compared_,
                       found_.documents),
           "restore the texts, or remove " + directory_.path());
    if (!records_.empty()) flush();
  }

  int64_t tokens() const { return manifest_tokens_ + static_cast<int64_t>(tokens_.size()); }
  int64_t documents() const { return compared_ + appended_; }
  int64_t content() const { return content_; }
  const ReadReport& duplicates() const { return duplicates_; }

 private:
  int64_t output_bytes() const {
    return shard_bytes_ +
           static_cast<int64_t>(records_.size() * sizeof(DocumentRecord) + tokens_.size() * sizeof(int32_t));
  }

  void remove_duplicates(std::vector<Document>* documents) {
    if (build_.corpus.dedupe == Dedupe::kNone) return;
    std::vector<std::vector<uint64_t>> bands(documents->size());
    if (build_.corpus.dedupe == Dedupe::kNear)
      pool_.run(static_cast<int64_t>(documents->size()),
                [&](int64_t i, int) { bands[i] = near_bands((*documents)[i].text); });
    std::vector<Document> kept;
    for (size_t i = 0; i < documents->size(); ++i) {
      Document& d = (*documents)[i];
      const SeenDocuments::Verdict verdict = seen_.see(text_hash(d.text), bands[i]);
      if (verdict == SeenDocuments::Verdict::kNew)
        kept.push_back(std::move(d));
      else
        duplicates_.count(verdict == SeenDocuments::Verdict::kEqual ? LeftOut::kEqual : LeftOut::kAlike);
    }
    *documents = std::move(kept);
  }

  // True while the documents stand in the shards that were found.
  bool compare_with_found(const Document& document) {
    if (found_shard_ == found_.views.size()) return false;
    const ShardView& view = found_.views[found_shard_];
    const DocumentRecord& record = view.records[found_record_];
    if (record.hash != text_hash(document.text))
      fail(document.source, "the text is not the one that the interrupted build read",
           "restore the texts, or remove " + directory_.path());
    ++compared_;
    content_ += record.content_bytes;
    if (++found_record_ == view.records.size()) {
      shard_bytes_ += static_cast<int64_t>(found_.files[found_shard_].bytes().size());
      manifest_tokens_ += static_cast<int64_t>(view.tokens.size());
      ++found_shard_;
      found_record_ = 0;
    }
    return true;
  }

  void append(const Document& document, const std::vector<int32_t>& plain, const std::vector<int32_t>& fim) {
    DocumentRecord r;
    r.hash = text_hash(document.text);
    r.text_bytes = static_cast<uint32_t>(document.text.size());
    r.content_bytes = static_cast<uint32_t>(content_bytes(document));
    r.tokens = static_cast<uint32_t>(plain.size());
    r.fim_tokens = static_cast<uint32_t>(fim.size());
    r.is_conversation = !document.messages.empty();
    records_.push_back(r);
    tokens_.insert(tokens_.end(), plain.begin(), plain.end());
    tokens_.insert(tokens_.end(), fim.begin(), fim.end());
    ++appended_;
    content_ += r.content_bytes;
    if (static_cast<int64_t>(tokens_.size()) >= build_.shard_tokens) flush();
  }

  void flush() {
    const std::string bytes = shard_bytes(records_, tokens_);
    write_file_atomic(directory_.shard(found_.views.size() + written_++), bytes);
    shard_bytes_ += static_cast<int64_t>(bytes.size());
    manifest_tokens_ += static_cast<int64_t>(tokens_.size());
    records_.clear();
    tokens_.clear();
  }

  const ShardBuild& build_;
  TextEncoder encoder_;
  const BuildDirectory& directory_;
  FoundShards found_;
  ThreadPool pool_;
  SeenDocuments seen_;
  ReadReport duplicates_;
  size_t found_shard_ = 0, found_record_ = 0;
  int64_t compared_ = 0, appended_ = 0, content_ = 0;
  std::vector<DocumentRecord> records_;  // of the shard at hand
  std::vector<int32_t> tokens_;
  size_t written_ = 0;
  int64_t shard_bytes_ = 0, manifest_tokens_ = 0;  // of whole shards
};

std::vector<std::pair<std::string, int64_t>> left_out_counts(const ReadReport& report) {
  const char* const names[] = {"empty",       "unreadable", "binary", "not_utf8",
                               "broken_line", "blank",      "equal",  "alike"};
  std::vector<std::pair<std::string, int64_t>> counts;
  for (size_t k = 0; k < kLeftOutKinds; ++k) counts.emplace_back(names[k], report.left_out[k]);
  return counts;
}

ShardManifest describe(const ShardBuild& build, const text::Tokenizer& tokenizer,
                       const std::string& directory, const ReadReport& report) {
  ShardManifest m;
  m.tokenizer_hash = tokenizer_hash(tokenizer);
  m.dedupe = dedupe_name(build.corpus.dedupe);
  m.fim_rate = build.fim_rate;
  m.left_out = left_out_counts(report);
  for (size_t n = 0;; ++n) {
    ShardEntry entry;
    entry.file = fmt::format("shard-{:05d}.bin", n);
    const std::string path = directory + "/" + entry.file;
    if (!file_exists(path)) break;
    const MappedFile file(path);
    const ShardView view = parse_shard(file.bytes(), path);
    entry.bytes = static_cast<int64_t>(file.bytes().size());
    entry.documents = static_cast<int64_t>(view.records.size());
    entry.tokens = static_cast<int64_t>(view.tokens.size());
    entry.checksum = view.checksum;
    m.documents += entry.documents;
    for (const DocumentRecord& r : view.records) {
      m.tokens += r.tokens;
      m.bytes += r.content_bytes;
    }
    m.shards.push_back(std::move(entry));
  }
  return m;
}
}  // namespace

ShardBuildResult build_shards(const ShardBuild& build, const text::Tokenizer& tokenizer) {
  const auto start = std::chrono::steady_clock::now();
  std::string out = build.out;
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  if (file_exists(out) || is_directory(out)) fail(out, "exists already", "name another --out");
  std::vector<std::string> files;
  for (const Source& source : find_sources(build.data, build.corpus.extensions)) {
    if (source.shards) fail(source.path, "holds shards already", "give texts");
    if (source.weight > 0)
      fail(source.name, "a weight has no meaning here",
           "build each source by itself and weigh them in `data` of the run");
    files.insert(files.end(), source.files.begin(), source.files.end());
  }
  encoder_of(tokenizer, build.fim_rate);  // its errors before a directory is made
  const int64_t total = bytes_on_disk(files);
  const BuildDirectory directory(out + ".building", settings_json(build, tokenizer));
  FoundShards found = find_shards(directory, tokenizer.vocab_size());
  ShardBuildResult result;
  result.resumed_documents = found.documents;
  for (size_t n = found.views.size(); file_exists(directory.shard(n)); ++n) remove_all(directory.shard(n));

  DocumentReader reader(std::move(files), build.corpus.read);
  Builder builder(build, tokenizer, directory, std::move(found));
  ProgressLine line;
  TextBatch next = read_batch(reader);
  for (bool last = false; !last;) {
    TextBatch batch = std::move(next);
    last = batch.last;
    builder.take(std::move(batch.documents), batch.consumed, total, [&] {
      if (!last) next = read_batch(reader);
    });
    const double seconds = seconds_since(start);
    std::string text = fmt::format("{} documents, {:.1f} MB of text, {} tokens, {:.1f} MB/s",
                                   format_count(static_cast<double>(builder.documents())),
                                   static_cast<double>(builder.content()) * 1e-6,
                                   format_count(static_cast<double>(builder.tokens())),
                                   static_cast<double>(builder.content()) * 1e-6 / seconds);
    if (total > 0 && batch.consumed > 0)
      text += fmt::format(
          ", ETA {}",
          format_seconds(seconds * (static_cast<double>(total) / static_cast<double>(batch.consumed) - 1)));
    line.show(text);
  }
  builder.finish();
  line.finish();
  result.report = reader.report();
  result.report.add(builder.duplicates());
  if (result.report.documents == 0) remove_all(directory.path());
  require_documents(result.report, build.data[0]);
  result.manifest = describe(build, tokenizer, directory.path(), result.report);
  tokenizer.save(directory.path() + "/tokenizer");
  write_file_atomic(directory.path() + "/shards.json", manifest_to_json(result.manifest));
  publish_directory(directory.path(), out);
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace frugal::data
