#include "report/tfevents.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"
#include "report/tensorboard.h"

namespace frugal::report {
namespace {

std::string bytes(std::initializer_list<int> list) {
  std::string s;
  for (const int b : list) s += static_cast<char>(b);
  return s;
}

TEST(TfEvents, Crc32cHasThePublishedAnswers) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(TfEvents, FileStartsAsTensorBoardsDo) {
  // Every event file starts with a record of 24 bytes, so with these twelve.
  const std::string record = tfrecord(version_event(0));
  EXPECT_EQ(record.substr(0, 12), bytes({0x18, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22}));
  EXPECT_EQ(record.substr(21, 15), bytes({0x1A, 13}) + "brain.Event:2");
  EXPECT_EQ(record.size(), 24u + 16u);
}

TEST(TfEvents, ScalarEventIsTheProtobufMessage) {
  EXPECT_EQ(scalar_event(1.0, 300, {{"a/b", 0.5}}),
            bytes({0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0x10, 0xAC, 0x02, 0x2A, 12, 0x0A, 10, 0x0A, 3}) +
                "a/b" + bytes({0x15, 0, 0, 0, 0x3F}));
}

TEST(TfEvents, IntactBytesEndAtALaterStepOrDamage) {
  std::string file = tfrecord(version_event(1));
  std::vector<size_t> ends = {file.size()};
  for (int64_t step = 1; step <= 4; ++step) {
    file += tfrecord(scalar_event(2, step, {{"x", 1}}));
    ends.push_back(file.size());
  }
  EXPECT_EQ(intact_bytes(file, 100), file.size());
  EXPECT_EQ(intact_bytes(file, 2), ends[2]);
  EXPECT_EQ(intact_bytes(file, 0), ends[0]);
  EXPECT_EQ(intact_bytes(file.substr(0, file.size() - 1), 100), ends[3]);
  for (size_t at = ends[1]; at < ends[2]; ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_EQ(intact_bytes(damaged, 100), ends[1]) << at;
  }
  EXPECT_EQ(intact_bytes(bytes({0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0}), 9),
            0u);
}

TEST(TfEvents, FileGoesOnWithoutDuplicates) {
  const std::string directory = "/tmp/frugal_events_" + std::to_string(getpid());
  remove_all(directory);
  {
    EventFile f(directory, 0);
    for (int64_t step = 1; step <= 5; ++step) f.add(step, {{"x", 1}});
  }
  {
    EventFile f(directory, 3);
    for (int64_t step = 4; step <= 6; ++step) f.add(step, {{"x", 1}});
  }
  ASSERT_EQ(list_directory(directory).size(), 1u);
  const std::string file = read_file(directory + "/" + list_directory(directory)[0]);
  EXPECT_EQ(intact_bytes(file, 6), file.size());
  EXPECT_EQ(file.size(), 40u + 6 * tfrecord(scalar_event(1, 1, {{"x", 1}})).size());
  remove_all(directory);
}

TEST(TensorBoard, LogLinesBecomeScalars) {
  int64_t step = 0;
  const auto scalars = scalars_of(R"({"step":7,"loss":2.5,"grad_norms":[1,2],"expert_load":[1.5]})",
                                  {"embedding", "layer 0"}, {"layer 0"}, &step);
  EXPECT_EQ(step, 7);
  ASSERT_EQ(scalars.size(), 4u);
  EXPECT_EQ(scalars[0].tag, "train/loss");
  EXPECT_EQ(scalars[2].tag, "gradient_norm/layer_0");
  EXPECT_EQ(scalars[2].value, 2);
  EXPECT_EQ(scalars[3].tag, "busiest_expert_by_mean/layer_0");
  EXPECT_TRUE(scalars_of(R"({"step":7,"expert_tokens":[[1]]})", {}, {}, &step).empty());
}

}  // namespace
}  // namespace frugal::report
