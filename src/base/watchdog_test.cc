#include "base/watchdog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <vector>

namespace frugal {
namespace {

TEST(Watchdog, NamesWhatTakesLongAndWhenItEnded) {
  std::mutex mutex;
  std::vector<std::string> said;
  const auto count = [&] {
    std::lock_guard lock(mutex);
    return said.size();
  };
  {
    Watchdog dog(0.05, [&](const std::string& text) {
      std::lock_guard lock(mutex);
      said.push_back(text);
    });
    dog.phase(Track::kMain, "quick");
    dog.phase(Track::kMain, nullptr);
    dog.phase(Track::kWriter, "writing");
    while (count() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    dog.phase(Track::kWriter, nullptr);
  }
  ASSERT_GE(said.size(), 3u);  // again when the time has doubled, and at the end
  for (size_t i = 0; i + 1 < said.size(); ++i)
    EXPECT_NE(said[i].find("writing has taken"), std::string::npos) << said[i];
  EXPECT_NE(said.back().find("writing has ended after"), std::string::npos) << said.back();
}

TEST(Watchdog, ZeroIsOff) {
  Watchdog dog(0, [](const std::string& text) { ADD_FAILURE() << text; });
  dog.phase(Track::kMain, "sleeping");
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  dog.phase(Track::kMain, nullptr);
}

}  // namespace
}  // namespace frugal
