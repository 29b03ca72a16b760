#include "base/disk.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_strict.h"
#include "base/safetensors_index.h"
#include "test_values.h"

namespace frugal {
namespace {

namespace fs = std::filesystem;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Disk, FreeSpaceIsThatOfTheNearestDirectory) {
  const test::TemporaryDirectory d;
  EXPECT_GT(free_disk_bytes(d.path()), 0);
  EXPECT_GT(free_disk_bytes(d / "not/yet/there"), 0);
  EXPECT_NO_THROW(require_disk(d / "x", 1, "a test"));
  const std::string e = error_of([&] { require_disk(d / "x", int64_t{1} << 62, "a test"); });
  EXPECT_NE(e.find("a test needs"), std::string::npos) << e;
  EXPECT_NE(e.find("MB are free"), std::string::npos) << e;
}

TEST(WritingDirectory, AppearsWholeOrNotAtAll) {
  const test::TemporaryDirectory d;
  const std::string path = d / "out";
  {
    WritingDirectory w(path + "/");  // as shells complete it
    std::ofstream(w.path() + "/a") << "1";
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path + ".writing"));
  // What a killed writer left is still there, until it is cleared.
  fs::create_directories(path + ".writing/below");
  std::ofstream(path + ".writing/old") << "1";
  {
    WritingDirectory w(path);
    EXPECT_TRUE(fs::exists(w.path() + "/old"));
    w.clear();
    EXPECT_TRUE(fs::is_empty(w.path()));
    EXPECT_NE(error_of([&] { WritingDirectory second(path); }).find("another process"), std::string::npos);
    std::ofstream(w.path() + "/a") << "1";
    w.publish();
  }
  EXPECT_TRUE(fs::exists(path + "/a"));
  EXPECT_FALSE(fs::exists(path + ".writing"));
  EXPECT_NE(error_of([&] { WritingDirectory again(path); }).find("exists already"), std::string::npos);
}

TEST(WritingDirectory, UnfinishedWorkStaysWhereItIsToGoOn) {
  const test::TemporaryDirectory d;
  {
    WritingDirectory w(d / "out");
    std::ofstream(w.path() + "/part") << "1";
    w.keep_unfinished();
  }
  EXPECT_TRUE(fs::exists(d / "out.writing/part"));
}

TEST(WritingDirectory, DoesNotReplaceWhatAppearedMeanwhile) {
  const test::TemporaryDirectory d;
  WritingDirectory w(d / "out");
  fs::create_directories(d / "out");
  EXPECT_NE(error_of([&] { w.publish(); }).find("exists already"), std::string::npos);
  fs::remove(d / "out");
  fs::create_symlink("nowhere", d / "out");
  EXPECT_NE(error_of([&] { w.publish(); }).find("exists already"), std::string::npos);
}

TEST(SafetensorsIndex, RoundTrip) {
  const WeightMap map = {{"a", "model-00001-of-00002.safetensors"}, {"b\"\n", "x"}};
  EXPECT_EQ(parse_safetensors_index(safetensors_index_json(map, 12), "i"), map);
  EXPECT_EQ(shard_name(0, 1), "model.safetensors");
  EXPECT_EQ(shard_name(1, 12), "model-00002-of-00012.safetensors");
}

TEST(SafetensorsIndex, RefusesWhatIsNoIndex) {
  const auto refused = [](const std::string& text, const std::string& words) {
    const std::string e = error_of([&] { parse_safetensors_index(text, "index"); });
    EXPECT_NE(e.find("index"), std::string::npos) << text << ": " << e;
    EXPECT_NE(e.find(words), std::string::npos) << text << ": " << e;
  };
  refused("", "not JSON");
  refused("[]", "not an object");
  refused("{}", "weight_map");
  refused(R"({"weight_map": []})", "weight_map");
  refused(R"({"weight_map": {"a": 1}})", "not a file name");
  refused(R"({"weight_map": {"a": "x", "a": "y"}})", "stands twice");
  refused(std::string("{\"weight_map\": {}}\0 ", 20), "NUL");
  for (const char* shard : {"", ".", "..", "../x", "a/b", "/etc/passwd", "a\\u0000b"})
    refused(std::string(R"({"weight_map": {"a": ")") + shard + "\"}}", "not a file of this directory");
  refused(R"({"weight_map": {"a": [[[[[[[[[[]]]]]]]]]]}})", "nests deeper");
}

TEST(JsonStrict, NamesWhatIsWrong) {
  const JsonLimits limits{.max_bytes = 40, .max_depth = 2, .remedy = "look again"};
  const auto error = [&](const std::string& text) {
    return error_of([&] { parse_json_object(text, "f", limits); });
  };
  EXPECT_EQ(error(R"({"a": {"b": 1}})"), "");
  EXPECT_NE(error(R"({"a": {"b": {"c": 1}}})").find("f: nests deeper than 2 levels; look again"),
            std::string::npos);
  EXPECT_NE(error(R"({"a": {"b": 1, "b": 2}})").find("f: b: stands twice"), std::string::npos);
  EXPECT_EQ(error(R"({"a": {"b": 1}, "b": 2})"), "");
  EXPECT_NE(error(std::string(41, ' ')).find("41 bytes"), std::string::npos);
  EXPECT_NE(error("3").find("holds 3, not an object"), std::string::npos);
  EXPECT_NE(error("{} x").find("not JSON"), std::string::npos);
}

}  // namespace
}  // namespace frugal
