#include "data/shards.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <xxhash.h>

#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "text/json_checked.h"

namespace frugal::data {

namespace {
constexpr char kMagic[8] = {'F', 'R', 'U', 'G', 'A', 'L', 'S', 'H'};
constexpr uint32_t kVersion = 1;
constexpr const char* kRemedy = "restore the file, or build the shards again";

struct ShardHeader {
  char magic[8];
  uint32_t version;
  uint32_t unused;
  uint64_t documents;
  uint64_t tokens;
  uint64_t checksum;  // XXH3 of all that follows the header
  uint64_t zeros[2];
  uint64_t header_checksum;  // XXH3 of the 56 bytes before it
};
static_assert(sizeof(ShardHeader) == 64);
constexpr size_t kCheckedHeader = offsetof(ShardHeader, header_checksum);

uint64_t checksum_of(std::span<const DocumentRecord> records, std::span<const int32_t> tokens) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, records.data(), records.size_bytes());
  XXH3_64bits_update(state, tokens.data(), tokens.size_bytes());
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}
}  // namespace

ShardView parse_shard(std::span<const std::byte> bytes, const std::string& name) {
  ShardHeader h;
  if (bytes.size() < sizeof h)
    fail(name, fmt::format("has {} bytes, less than the {} of a shard's header", bytes.size(), sizeof h),
         kRemedy);
  std::memcpy(&h, bytes.data(), sizeof h);
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0) fail(name, "is not a shard of frugal", kRemedy);
  if (h.version != kVersion)
    fail(name, fmt::format("is a shard of version {}", h.version),
         fmt::format("this program reads version {}: build the shards again", kVersion));
  if (XXH3_64bits(bytes.data(), kCheckedHeader) != h.header_checksum)
    fail(name, "the checksum of the header does not hold: the file is damaged", kRemedy);
  const uint64_t rest = bytes.size() - sizeof h;
  // Divisions, so that no count can overflow.
  if (h.documents > rest / sizeof(DocumentRecord) ||
      h.tokens != (rest - h.documents * sizeof(DocumentRecord)) / sizeof(int32_t) ||
      rest != h.documents * sizeof(DocumentRecord) + h.tokens * sizeof(int32_t))
    fail(name,
         fmt::format("has {} bytes, its header says {} documents of {} tokens: the file is cut or damaged",
                     bytes.size(), h.documents, h.tokens),
         kRemedy);
  ShardView view;
  view.records = {reinterpret_cast<const DocumentRecord*>(bytes.data() + sizeof h), h.documents};
  view.tokens = {reinterpret_cast<const int32_t*>(view.records.data() + h.documents), h.tokens};
  view.checksum = h.checksum;
  uint64_t tokens = 0;
  for (const DocumentRecord& r : view.records) tokens += uint64_t{r.tokens} + r.fim_tokens;
  if (tokens != h.tokens)
    fail(name, fmt::format("its documents have {} tokens, the header says {}", tokens, h.tokens), kRemedy);
  return view;
}

void verify_shard(const ShardView& shard, int64_t vocab_size, const std::string& name) {
  if (checksum_of(shard.records, shard.tokens) != shard.checksum)
    fail(name, "its checksum does not hold: the file is damaged", kRemedy);
  for (const int32_t id : shard.tokens)
    if (id < 0 || id >= vocab_size)
      fail(name, fmt::format("holds the id {}, the tokenizer has {} tokens", id, vocab_size), kRemedy);
}

std::string shard_bytes(std::span<const DocumentRecord> records, std::span<const int32_t> tokens) {
  ShardHeader h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.version = kVersion;
  h.documents = records.size();
  h.tokens = tokens.size();
  h.checksum = checksum_of(records, tokens);
  h.header_checksum = XXH3_64bits(&h, kCheckedHeader);
  std::string bytes;
  bytes.reserve(sizeof h + records.size_bytes() + tokens.size_bytes());
  bytes.append(reinterpret_cast<const char*>(&h), sizeof h);
  bytes.append(reinterpret_cast<const char*>(records.data()), records.size_bytes());
  bytes.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return bytes;
}

namespace {
std::string hex(uint64_t v) { return fmt::format("{:016x}", v); }

uint64_t parse_hex(const text::Field& field) {
  const std::string& s = field.string();
  uint64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, 16);
  if (s.size() != 16 || error != std::errc() || end != s.data() + s.size())
    field.fail_here("is not 16 hexadecimal digits", kRemedy);
  return v;
}

constexpr int64_t kMaxCount = int64_t{1} << 53;
constexpr const char* kFormat = "frugal shards 1";
}  // namespace

std::string manifest_to_json(const ShardManifest& m) {
  using nlohmann::json;
  json shards = json::array(), left_out = json::object();
  for (const ShardEntry& s : m.shards)
    shards.push_back({{"file", s.file},
                      {"bytes", s.bytes},
                      {"documents", s.documents},
                      {"tokens", s.tokens},
                      {"xxh3_64", hex(s.checksum)}});
  for (const auto& [kind, count] : m.left_out) left_out[kind] = count;
  const json all = {{"format", kFormat},    {"tokenizer", hex(m.tokenizer_hash)},
                    {"dedupe", m.dedupe},   {"fim_rate", m.fim_rate},
                    {"left_out", left_out}, {"documents", m.documents},
                    {"tokens", m.tokens},   {"bytes", m.bytes},
                    {"shards", shards}};
  return all.dump(1) + "\n";
}

ShardManifest parse_manifest(std::string_view text, const std::string& name) {
  const nlohmann::json json = text::parse_checked(text, name);
  const text::Field root = text::Field::root(json, name).object();
  if (root.at("format").string() != kFormat)
    root.at("format").fail_here("is not '" + std::string(kFormat) + "'", "build the shards again");
  ShardManifest m;
  m.tokenizer_hash = parse_hex(root.at("tokenizer"));
  m.dedupe = root.at("dedupe").string();
  const text::Field rate = root.at("fim_rate");
  if (!rate.json().is_number()) rate.fail_here("is not a number", kRemedy);
  m.fim_rate = rate.json().get<double>();
  if (!(m.fim_rate >= 0 && m.fim_rate <= 1)) rate.fail_here("is outside [0, 1]", kRemedy);
  m.documents = root.at("documents").integer(1, kMaxCount);
  m.tokens = root.at("tokens").integer(0, kMaxCount);
  m.bytes = root.at("bytes").integer(0, kMaxCount);
  const text::Field shards = root.at("shards").array();
  for (size_t i = 0; i < shards.size(); ++i) {
    const text::Field s = shards.at(i);
    ShardEntry entry;
    entry.file = s.at("file").string();
    if (entry.file != fmt::format("shard-{:05d}.bin", i))
      s.at("file").fail_here("is not the name of shard " + std::to_string(i), kRemedy);
    entry.bytes = s.at("bytes").integer(0, kMaxCount);
    entry.documents = s.at("documents").integer(0, kMaxCount);
    entry.tokens = s.at("tokens").integer(0, kMaxCount);
    entry.checksum = parse_hex(s.at("xxh3_64"));
    m.shards.push_back(std::move(entry));
  }
  return m;
}

uint64_t tokenizer_hash(const text::Tokenizer& tokenizer) {
  const uint64_t first = XXH3_64bits(tokenizer.vocabulary_file().data(), tokenizer.vocabulary_file().size());
  return XXH3_64bits_withSeed(tokenizer.config_json().data(), tokenizer.config_json().size(), first);
}

ShardSet open_shards(const std::string& directory) {
  ShardSet set;
  set.directory = directory;
  set.manifest = parse_manifest(read_file(directory + "/shards.json"), directory + "/shards.json");
  const text::Tokenizer tokenizer = text::Tokenizer::load(directory + "/tokenizer");
  if (tokenizer_hash(tokenizer) != set.manifest.tokenizer_hash)
    fail(directory + "/tokenizer", "is not the tokenizer that made the shards", kRemedy);
  auto files = std::make_shared<std::vector<MappedFile>>();
  ProgressLine line;
  double done = 0, total = 0;
  for (const ShardEntry& entry : set.manifest.shards) total += static_cast<double>(entry.bytes);
  constexpr double kWorthShowing = 4e9;  // bytes; below it the check takes a second or two
  int64_t documents = 0;
  for (const ShardEntry& entry : set.manifest.shards) {
    const std::string path = directory + "/" + entry.file;
    if (!file_exists(path)) fail(path, "is missing", kRemedy);
    files->emplace_back(path);
    const std::span<const std::byte> bytes = files->back().bytes();
    const ShardView shard = parse_shard(bytes, path);
    if (shard.checksum != entry.checksum) fail(path, "is not the shard that shards.json names", kRemedy);
    verify_shard(shard, tokenizer.vocab_size(), path);
    // What was read for the check need not stay: the loader maps it again where it reads.
    ::madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), MADV_DONTNEED);
    ::madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), MADV_RANDOM);
    set.shards.push_back(shard);
    documents += static_cast<int64_t>(shard.records.size());
    done += static_cast<double>(bytes.size());
    if (total >= kWorthShowing)
      line.show(fmt::format("checking {}: {:.1f} of {:.1f} GB", directory, done * 1e-9, total * 1e-9));
  }
  line.finish();
  if (documents != set.manifest.documents)
    fail(directory,
         fmt::format("its shards have {} documents, shards.json says {}", documents, set.manifest.documents),
         kRemedy);
  set.files = std::move(files);
  return set;
}

}  // namespace frugal::data
