#include "base/file_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"

namespace frugal {
namespace {

TEST(DirectoryLock, KeepsASecondOneOutAndNamesTheFirst) {
  const std::string directory = "/tmp/frugal_lock_" + std::to_string(getpid());
  make_directories(directory);
  {
    const DirectoryLock first(directory);
    try {
      const DirectoryLock second(directory);
      ADD_FAILURE() << "locked twice";
    } catch (const Error& e) {
      EXPECT_NE(
          std::string(e.what()).find(fmt::format("{}: is in use by process {} on ", directory, getpid())),
          std::string::npos)
          << e.what();
    }
  }
  EXPECT_EQ(read_file(directory + "/lock"), "");
  { const DirectoryLock again(directory); }
  EXPECT_THROW(DirectoryLock("/nowhere/at/all"), Error);
  remove_all(directory);
}

}  // namespace
}  // namespace frugal
