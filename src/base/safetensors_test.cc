#include "base/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "test_values.h"

namespace frugal {
namespace {

using test::TemporaryDirectory;

std::string length_bytes(uint64_t n) { return std::string(reinterpret_cast<const char*>(&n), 8); }

class Safetensors : public ::testing::Test {
 protected:
  // A file of this header and data.
  std::string write(const std::string& header, const std::string& data) {
    return raw(length_bytes(header.size()) + header + data);
  }
  std::string raw(const std::string& bytes) {
    const std::string path = directory_ / "t.safetensors";
    std::ofstream(path, std::ios::binary) << bytes;  // no sync: there are many
    return path;
  }
  // Reading must fail, and the message must name the file and everything in `parts`.
  void expect_error(const std::string& path, const std::vector<std::string>& parts) {
    try {
      const SafetensorsFile file(path);
      ADD_FAILURE() << "was read";
    } catch (const Error& e) {
      const std::string message = e.what();
      EXPECT_NE(message.find(path), std::string::npos) << message;
      for (const std::string& part : parts)
        EXPECT_NE(message.find(part), std::string::npos) << message << "\n lacks " << part;
    }
  }
  TemporaryDirectory directory_;
};

const std::string kTwo = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
const std::string kTwoData = std::string("\0\0\x80\x3f\0\0\0\xc0", 8) + "xyz";

// One entry `t` with the given fields.
std::string entry(const std::string& fields) { return "{\"t\":{" + fields + "}}"; }

TEST_F(Safetensors, ReadsFrozenBytes) {
  const SafetensorsFile file(write(kTwo, kTwoData));
  ASSERT_EQ(file.tensors().size(), 2u);
  const Tensor& a = file.at("a");
  EXPECT_EQ(a.dtype, Dtype::kF32);
  EXPECT_EQ(a.shape, (Shape{2}));
  EXPECT_EQ(to_f32(a), (std::vector<float>{1.0f, -2.0f}));
  const Tensor& b = file.at("b");
  EXPECT_EQ(b.dtype, Dtype::kU8);
  EXPECT_EQ(std::string(b.as<char>(), 3), "xyz");
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_TRUE(file.metadata().empty());
  EXPECT_THROW(file.at("c"), Error);
}

TEST_F(Safetensors, WritesFrozenBytes) {
  float a[] = {1.0f, -2.0f};
  char b[] = {'x', 'y', 'z'};
  const std::string path = directory_ / "w.safetensors";
  write_safetensors(path, {{"a", {a, Dtype::kF32, {2}}}, {"b", {b, Dtype::kU8, {3}}}}, {{"format", "pt"}});
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  header.resize((header.size() + 8 + 63) / 64 * 64 - 8, ' ');
  EXPECT_EQ(read_file(path), length_bytes(header.size()) + header + kTwoData);
}

TEST_F(Safetensors, WhatIsWrittenIsRead) {
  std::vector<float> x = test::normal("x", 24);
  std::vector<uint16_t> h(6, 0x3f80);
  const std::string path = directory_ / "w.safetensors";
  // Names in an order of their own, a scalar, an empty tensor.
  write_safetensors(path,
                    {{"z", {x.data(), Dtype::kF32, {2, 3, 4}}},
                     {"a", {h.data(), Dtype::kBF16, {6}}},
                     {"scalar", {x.data(), Dtype::kF32, {}}},
                     {"empty", {nullptr, Dtype::kI64, {0, 7}}}},
                    {{"k", "v\"\n"}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.at("z").shape, (Shape{2, 3, 4}));
  EXPECT_TRUE(test::same_bits(to_f32(file.at("z")), x));
  EXPECT_EQ(to_f32(file.at("a")), std::vector<float>(6, 1.0f));
  EXPECT_EQ(file.at("scalar").shape.rank, 0);
  EXPECT_EQ(to_f32(file.at("scalar"))[0], x[0]);
  EXPECT_EQ(file.at("empty").elements(), 0);
  EXPECT_EQ(file.metadata().at("k"), "v\"\n");
}

TEST_F(Safetensors, ValuesNeedNoAlignment) {
  const SafetensorsFile file(write(R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                   R"("x":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
                                   std::string("!") + std::string("\0\0\x80\x3f", 4)));
  EXPECT_EQ(to_f32(file.at("x")), std::vector<float>{1.0f});
}

TEST_F(Safetensors, WidensEveryFloat) {
  double d = -0.5;
  uint16_t bf = 0xc000, half = 0xc000;
  uint8_t e4m3 = 0xc0;
  EXPECT_EQ(to_f32({&d, Dtype::kF64, {1}})[0], -0.5f);
  EXPECT_EQ(to_f32({&bf, Dtype::kBF16, {1}})[0], -2.0f);
  EXPECT_EQ(to_f32({&half, Dtype::kF16, {1}})[0], -2.0f);
  EXPECT_EQ(to_f32({&e4m3, Dtype::kF8E4M3, {1}})[0], -2.0f);
  int32_t i = 1;
  EXPECT_THROW(to_f32({&i, Dtype::kI32, {1}}), Error);
}

TEST_F(Safetensors, RefusesFilesThatAreTooShort) {
  expect_error(raw(""), {"0 bytes"});
  expect_error(raw("1234567"), {"7 bytes"});
  expect_error(raw(length_bytes(1)), {"header length 1"});
  const std::string whole = length_bytes(kTwo.size()) + kTwo + kTwoData;
  // Every truncation is damage.
  for (size_t n = 0; n < whole.size(); ++n) expect_error(raw(whole.substr(0, n)), {"damaged"});
  expect_error(raw(whole.substr(0, whole.size() - 1)), {": b", "8..11", "10 bytes"});
  expect_error(directory_ / "absent", {"open"});
}

TEST_F(Safetensors, RefusesOversizeHeaders) {
  expect_error(raw(length_bytes(~uint64_t{0}) + "{}"), {"header length 18446744073709551615"});
  expect_error(raw(length_bytes(uint64_t{1} << 63) + "{}"), {"header length"});
  expect_error(raw(length_bytes(3) + "{}"), {"header length 3"});
  // Beyond the reference implementation's limit, although the file is as long.
  const std::string sparse = raw(length_bytes(100'000'001));
  std::filesystem::resize_file(sparse, 8 + 100'000'001);
  expect_error(sparse, {"header length 100000001"});
}

TEST_F(Safetensors, RefusesBytesThatNoTensorOwns) {
  expect_error(write(kTwo, kTwoData + "!"), {"1 bytes after the last tensor"});
  expect_error(write(entry(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])"), "abc"),
               {": t", "1 unused bytes"});
  expect_error(write("{}", "abc"), {"3 bytes after"});
  EXPECT_TRUE(SafetensorsFile(write("{}", "")).tensors().empty());
}

TEST_F(Safetensors, RefusesOverlaps) {
  expect_error(write(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                     R"("b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}})",
                     "12345"),
               {": b", "overlaps", "byte 2"});
  expect_error(write(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                     R"("b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
                     "123"),
               {"overlaps"});
}

TEST_F(Safetensors, RefusesSizesThatDoNotFitTheirBytes) {
  expect_error(write(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "1234"),
               {": t", "F32 [2] needs 8 bytes", "gives 4"});
  expect_error(write(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,5])"), "12345"),
               {"needs 4 bytes", "gives 5"});
  expect_error(write(entry(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])"), "1234"), {": t", "4..0"});
  expect_error(write(entry(R"("dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551615])"), "1234"),
               {": t"});
  expect_error(
      write(entry(R"("dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,18446744073709551615])"),
            "1234"),
      {": t"});
}

TEST_F(Safetensors, RefusesSizesThatOverflow) {
  const std::string tail = R"(,"data_offsets":[0,0])";
  // The product wraps to zero in 64 bits.
  expect_error(write(entry(R"("dtype":"F32","shape":[4294967296,4294967296])" + tail), ""), {": t"});
  expect_error(write(entry(R"("dtype":"F32","shape":[281474976710656,281474976710656])" + tail), ""),
               {": t", "too large"});
  expect_error(write(entry(R"("dtype":"F32","shape":[9223372036854775808])" + tail), ""),
               {": t", "bad size"});
  expect_error(write(entry(R"("dtype":"F32","shape":[-1])" + tail), ""), {": t", "bad size"});
  expect_error(write(entry(R"("dtype":"F32","shape":[1.0])" + tail), ""), {": t", "bad size"});
  expect_error(write(entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1])" + tail), ""), {": t", "at most 8"});
}

TEST_F(Safetensors, RefusesWrongEntries) {
  expect_error(write(R"({"t":7})", ""), {": t", "needs dtype"});
  expect_error(write(entry(R"("dtype":"U8","shape":[0])"), ""), {": t", "data_offsets"});
  expect_error(write(entry(R"("dtype":"U8","data_offsets":[0,0])"), ""), {": t", "shape"});
  expect_error(write(entry(R"("shape":[0],"data_offsets":[0,0])"), ""), {": t", "dtype"});
  expect_error(write(entry(R"("dtype":"F8_E5M2","shape":[0],"data_offsets":[0,0])"), ""), {": t", "F8_E5M2"});
  expect_error(write(entry(R"("dtype":5,"shape":[0],"data_offsets":[0,0])"), ""), {": t", "dtype 5"});
  expect_error(write(entry(R"("dtype":"U8","shape":0,"data_offsets":[0,0])"), ""), {": t", "shape"});
  expect_error(write(entry(R"("dtype":"U8","shape":[0],"data_offsets":[0])"), ""), {": t", "data_offsets"});
  expect_error(write(entry(R"("dtype":"U8","shape":[0],"data_offsets":[0,-1])"), ""),
               {": t", "data_offsets"});
  expect_error(write(entry(R"("dtype":"U8","shape":[0],"data_offsets":"ab")"), ""), {": t", "data_offsets"});
}

TEST_F(Safetensors, RefusesANameTwice) {
  const std::string t = R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_error(write("{" + t + "," + t + "}", "a"), {": t", "stands twice"});
  expect_error(write(R"({"__metadata__":{},"__metadata__":{}})", ""), {"__metadata__", "twice"});
}

TEST_F(Safetensors, RefusesHeadersThatAreNoObject) {
  expect_error(write("[]", ""), {"not an object"});
  expect_error(write("{", ""), {"not JSON"});
  expect_error(write("", ""), {"not JSON"});
  expect_error(write("{\"a\xff\":1}", ""), {"not JSON"});
  expect_error(write(std::string("{}\0{}", 5), ""), {"NUL"});
  expect_error(write(R"({"__metadata__":[]})", ""), {"__metadata__"});
  expect_error(write(R"({"__metadata__":{"k":1}})", ""), {"__metadata__.k"});
}

TEST_F(Safetensors, RefusesDeepNesting) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "[";
  expect_error(write("{\"t\":" + deep, ""), {"nests deeper"});
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  expect_error(write(objects, ""), {"nests deeper"});
}

}  // namespace
}  // namespace frugal
