#include "base/files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/error.h"
#include "test_values.h"

namespace frugal {
namespace {

using test::TemporaryDirectory;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Files, MapsBytes) {
  const TemporaryDirectory d;
  const std::string bytes("a\0b\n", 4);
  write_file_atomic(d / "f", bytes);
  const MappedFile file(d / "f");
  EXPECT_EQ(file.text(), bytes);
  EXPECT_EQ(file.bytes().size(), 4u);
  EXPECT_EQ(file.path(), d / "f");
  EXPECT_EQ(read_file(d / "f"), bytes);
}

TEST(Files, AnEmptyFileIsAnEmptySpan) {
  const TemporaryDirectory d;
  write_file_atomic(d / "f", "");
  EXPECT_EQ(MappedFile(d / "f").bytes().size(), 0u);
  EXPECT_EQ(read_file(d / "f"), "");
}

TEST(Files, AMovedMapKeepsItsBytes) {
  const TemporaryDirectory d;
  write_file_atomic(d / "f", "first");
  write_file_atomic(d / "g", "second");
  MappedFile a(d / "f");
  MappedFile b(std::move(a));
  EXPECT_EQ(b.text(), "first");
  MappedFile c(d / "g");
  c = std::move(b);
  EXPECT_EQ(c.text(), "first");
  EXPECT_EQ(c.path(), d / "f");
}

// Larger than the pieces that threads read; nobody who held a pointer notices.
TEST(Files, ACopyInMemoryOutlivesTheFile) {
  const TemporaryDirectory d;
  std::string text((size_t{17} << 20) + 13, ' ');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i >> 5);
  write_file_atomic(d / "f", text);
  MappedFile file(d / "f");
  const std::string_view before = file.text();
  ThreadPool pool(3);
  file.copy_to_memory(pool);
  std::filesystem::resize_file(d / "f", 10);
  EXPECT_EQ(before.data(), file.text().data());
  EXPECT_TRUE(file.text() == text);
  write_file_atomic(d / "empty", "");
  MappedFile empty(d / "empty");
  empty.copy_to_memory(pool);
  EXPECT_EQ(empty.bytes().size(), 0u);
}

TEST(Files, AFileThatChangedIsNotCopied) {
  const TemporaryDirectory d;
  ThreadPool pool(2);
  const auto refused = [&](auto change) {
    write_file_atomic(d / "f", "some bytes");
    MappedFile file(d / "f");
    change();
    return error_of([&] { file.copy_to_memory(pool); });
  };
  const std::string changed = (d / "f") + ": has changed since it was opened";
  EXPECT_NE(refused([&] { std::filesystem::resize_file(d / "f", 4); }).find(changed), std::string::npos);
  EXPECT_NE(refused([&] { write_file_atomic(d / "f", "other byte"); }).find(changed), std::string::npos);
  EXPECT_NE(refused([&] { std::filesystem::remove(d / "f"); }).find("cannot open"), std::string::npos);
}

// Across blocks, in pieces of all sizes; the file holds the same bytes as one written through the cache.
TEST(Files, WritingPastTheCacheIsTheSameFile) {
  const TemporaryDirectory d;
  for (const size_t bytes : {size_t{0}, size_t{5}, size_t{4} << 20, (size_t{9} << 20) + 4095}) {
    std::string text(bytes, ' ');
    for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * i >> 3);
    FileWriter out(d / "f", PageCache::kBypass);
    for (size_t at = 0, piece = 1; at < bytes; at += piece, piece = piece * 3 + 1) {
      piece = std::min(piece, bytes - at);
      out.write(text.data() + at, piece);
    }
    out.close();
    EXPECT_EQ(read_file(d / "f"), text) << bytes;
  }
}

// The kernel's SIGBUS becomes one sentence.
TEST(Files, AMappedFileThatIsCutShortIsNamed) {
  const TemporaryDirectory d;
  const std::string path = d / "shrinking";
  write_file_atomic(path, std::string(3 << 16, 'x'));
  EXPECT_EXIT(
      {
        const MappedFile file(path);
        std::filesystem::resize_file(path, 10);
        std::exit(static_cast<int>(file.bytes()[2 << 16]));
      },
      ::testing::ExitedWithCode(1), "shrinking: cannot be read any more: it was cut short");
}

TEST(Files, ErrorsNameThePathAndTheReason) {
  const TemporaryDirectory d;
  EXPECT_NE(error_of([&] { MappedFile f(d / "absent"); }).find((d / "absent") + ": cannot open"),
            std::string::npos);
  EXPECT_NE(error_of([&] { MappedFile f(d.path()); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { FileWriter f(d / "no/such"); }).find("cannot create"), std::string::npos);
  EXPECT_NE(error_of([&] { (void)list_directory(d / "absent"); }).find("cannot list"), std::string::npos);
  write_file_atomic(d / "file", "x");
  EXPECT_NE(error_of([&] { make_directories(d / "file/below"); }).find("cannot create directory"),
            std::string::npos);
}

TEST(Files, AtomicReplaceKeepsOldMapsAndLeavesNothingBeside) {
  const TemporaryDirectory d;
  write_file_atomic(d / "f", "old contents");
  const MappedFile old(d / "f");
  write_file_atomic(d / "f", "new");
  EXPECT_EQ(old.text(), "old contents");
  EXPECT_EQ(read_file(d / "f"), "new");
  EXPECT_EQ(list_directory(d.path()), std::vector<std::string>{"f"});
}

TEST(Files, AFailedReplaceLeavesTheOldFile) {
  const TemporaryDirectory d;
  write_file_atomic(d / "f", "old");
  make_directories(d / "f.tmp");  // the temporary file cannot be created
  EXPECT_THROW(write_file_atomic(d / "f", "new"), Error);
  EXPECT_EQ(read_file(d / "f"), "old");
}

TEST(Files, WriterReportsAFullDisk) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  FileWriter out("/dev/full");
  const std::string message = error_of([&] { out.write("x"); });
  EXPECT_NE(message.find("/dev/full: cannot write"), std::string::npos) << message;
  EXPECT_NE(message.find("free disk space"), std::string::npos) << message;
}

TEST(Files, WriterWritesInOrder) {
  const TemporaryDirectory d;
  {
    FileWriter out(d / "f");
    out.write("ab");
    out.write("", 0);
    const char more[] = {'c', '\0'};
    out.write(more, 2);
    out.close();
  }
  EXPECT_EQ(read_file(d / "f"), std::string("abc\0", 4));
}

TEST(Files, PublishesWholeDirectories) {
  const TemporaryDirectory d;
  make_directories(d / "work/deep/er");
  write_file_atomic(d / "work/f", "1");
  publish_directory(d / "work", d / "done");
  EXPECT_FALSE(is_directory(d / "work"));
  EXPECT_TRUE(is_directory(d / "done/deep/er"));
  EXPECT_EQ(list_directory(d / "done"), (std::vector<std::string>{"deep", "f"}));
  // A directory with contents is never replaced.
  make_directories(d / "work");
  EXPECT_THROW(publish_directory(d / "work", d / "done"), Error);
  EXPECT_EQ(read_file(d / "done/f"), "1");
}

TEST(Files, KindsOfPaths) {
  const TemporaryDirectory d;
  write_file_atomic(d / "f", "");
  EXPECT_TRUE(file_exists(d / "f"));
  EXPECT_FALSE(file_exists(d.path()));
  EXPECT_FALSE(file_exists(d / "g"));
  EXPECT_TRUE(is_directory(d.path()));
  EXPECT_FALSE(is_directory(d / "f"));
  remove_all(d / "f");
  EXPECT_FALSE(file_exists(d / "f"));
  remove_all(d / "f");  // nothing to do is no error
}

}  // namespace
}  // namespace frugal
