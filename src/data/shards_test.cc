#include "data/shards.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "data/shard_build.h"
#include "text/tokenizer_train.h"

namespace frugal::data {
namespace {

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::span<const std::byte> bytes_of(const std::string& s) {
  return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}

std::string example_shard() {
  DocumentRecord a, b;
  a.hash = 11, a.text_bytes = 5, a.content_bytes = 4, a.tokens = 3, a.fim_tokens = 2;
  b.hash = 12, b.tokens = 1, b.is_conversation = 1;
  const std::vector<DocumentRecord> records = {a, b};
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6};
  return shard_bytes(records, tokens);
}

TEST(Shard, ReadsBack) {
  const std::string bytes = example_shard();
  const ShardView view = parse_shard(bytes_of(bytes), "s");
  ASSERT_EQ(view.records.size(), 2u);
  EXPECT_EQ(view.records[0].hash, 11u);
  EXPECT_EQ(view.records[0].fim_tokens, 2u);
  EXPECT_EQ(view.records[1].is_conversation, 1u);
  EXPECT_EQ(std::vector<int32_t>(view.tokens.begin(), view.tokens.end()),
            (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  verify_shard(view, 7, "s");
  EXPECT_NE(error_of([&] { verify_shard(view, 6, "s"); }).find("s: holds the id 6"), std::string::npos);
}

TEST(Shard, EveryFlippedBitAndEveryCutIsFound) {
  const std::string good = example_shard();
  for (size_t i = 0; i < good.size() * 8; ++i) {
    std::string bad = good;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    const std::string message = error_of([&] { verify_shard(parse_shard(bytes_of(bad), "s"), 7, "s"); });
    ASSERT_TRUE(message.starts_with("s: ")) << "bit " << i << ": " << message;
  }
  for (size_t n = 0; n < good.size(); ++n)
    ASSERT_TRUE(error_of([&] { parse_shard(bytes_of(good.substr(0, n)), "s"); }).starts_with("s: ")) << n;
  EXPECT_TRUE(error_of([&] { parse_shard(bytes_of(good + "more"), "s"); }).starts_with("s: "));
}

class ShardBuildTest : public testing::Test {
 protected:
  void SetUp() override {
    remove_all(root);
    make_directories(root);
    std::string lines;
    for (int i = 0; i < 3000; ++i)
      lines += "{\"text\": \"document " + std::to_string(i * 7919 % 2500) + " has some words\"}\n";
    write_file_atomic(root + "/a.jsonl", lines);
    write_file_atomic(root + "/b.txt", "A text beside the lines.\n");
  }
  void TearDown() override { remove_all(root); }

  ShardBuild build(const std::string& out, int threads) const {
    ShardBuild b;
    b.data = {root + "/a.jsonl", root + "/b.txt"};
    b.out = root + "/" + out;
    b.corpus.dedupe = Dedupe::kExact;
    b.threads = threads;
    b.shard_tokens = 4000;
    return b;
  }
  // Every file of a directory of shards with its bytes.
  static std::string contents(const std::string& directory) {
    std::string all;
    for (const std::string& name : list_directory(directory))
      if (!is_directory(directory + "/" + name)) all += name + ":" + read_file(directory + "/" + name);
    return all;
  }
  std::string root = "/tmp/frugal_shards_" + std::to_string(getpid());
  text::Tokenizer tokenizer = [] {
    text::TokenizerTrainOptions options;
    options.vocab_size = 262;
    return text::train_tokenizer(std::vector<std::string_view>{"some words of a document"}, options);
  }();
};

TEST_F(ShardBuildTest, SameBytesWithAnyThreadsAndAfterAnInterruption) {
  const ShardBuildResult one = build_shards(build("one", 1), tokenizer);
  EXPECT_EQ(one.manifest.documents, 2501);
  EXPECT_EQ(one.report.of(LeftOut::kEqual), 500);
  EXPECT_GT(one.manifest.shards.size(), 10u);
  build_shards(build("three", 3), tokenizer);
  EXPECT_EQ(contents(root + "/one"), contents(root + "/three"));
  // As if it had been killed after its first shards: the last of them cut, a temporary file left.
  build_shards(build("parts", 2), tokenizer);
  const std::string parts = root + "/parts", building = parts + ".building";
  publish_directory(parts, building);
  for (const std::string& name : list_directory(building))
    if (name > "shard-00006.bin" && name.starts_with("shard-")) remove_all(building + "/" + name);
  remove_all(building + "/shards.json");
  const std::string cut = read_file(building + "/shard-00006.bin");
  write_file_atomic(building + "/shard-00006.bin", cut.substr(0, cut.size() / 2));
  const ShardBuildResult again = build_shards(build("parts", 2), tokenizer);
  EXPECT_GT(again.resumed_documents, 500);
  EXPECT_LT(again.resumed_documents, 2000);
  EXPECT_EQ(contents(root + "/one"), contents(parts));
}

TEST_F(ShardBuildTest, AnInterruptedBuildOfOtherTextsOrSettingsIsRefused) {
  build_shards(build("x", 1), tokenizer);
  const auto interrupt = [&] { publish_directory(root + "/x", root + "/x.building"); };
  interrupt();
  ShardBuild other = build("x", 1);
  other.corpus.dedupe = Dedupe::kNone;
  EXPECT_NE(error_of([&] { build_shards(other, tokenizer); }).find("other settings"), std::string::npos);
  std::string lines = read_file(root + "/a.jsonl");
  lines[lines.find("some words")] = 'S';
  write_file_atomic(root + "/a.jsonl", lines);
  const std::string message = error_of([&] { build_shards(build("x", 1), tokenizer); });
  EXPECT_NE(message.find("a.jsonl:1: the text is not the one"), std::string::npos) << message;
}

TEST_F(ShardBuildTest, OpenNamesWhatIsWrong) {
  build_shards(build("x", 1), tokenizer);
  const std::string x = root + "/x";
  const ShardSet set = open_shards(x);
  EXPECT_EQ(set.manifest.documents, 2501);
  const auto with = [&](const std::string& file, const std::function<void(std::string*)>& change) {
    const std::string good = read_file(x + "/" + file);
    std::string bad = good;
    change(&bad);
    write_file_atomic(x + "/" + file, bad);
    const std::string message = error_of([&] { open_shards(x); });
    write_file_atomic(x + "/" + file, good);
    EXPECT_TRUE(message.starts_with(x + "/" + file)) << message;
    return message;
  };
  with("shard-00003.bin", [](std::string* s) { s->pop_back(); });
  with("shard-00003.bin", [](std::string* s) { (*s)[s->size() - 2] ^= 1; });
  with("shard-00003.bin", [](std::string* s) { s->clear(); });
  // Whole, but of another place.
  const std::string other = read_file(x + "/shard-00002.bin");
  with("shard-00003.bin", [&](std::string* s) { *s = other; });
  with("shards.json", [](std::string* s) { s->resize(s->size() / 2); });
  with("shards.json", [](std::string* s) { s->replace(s->find("shard-00001"), 11, "../../../et"); });
  EXPECT_EQ(error_of([&] { open_shards(x); }), "no error");
  remove_all(x + "/shard-00004.bin");
  EXPECT_NE(error_of([&] { open_shards(x); }).find("shard-00004.bin: is missing"), std::string::npos);
}

}  // namespace
}  // namespace frugal::data
