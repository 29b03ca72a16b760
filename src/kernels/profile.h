// Where the time of a pass goes. Operations open a scope with their name and what they must do; with no
// profile in the context a scope costs one test. Scopes inside a scope belong to the outer one, so that times
// add up.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::kernels {

struct ProfileRow {
  std::string_view name;
  std::string_view detail;  // which of the operations of that name, or empty
  int64_t calls = 0;
  double seconds = 0, flops = 0;
};

struct Profile {
  std::vector<ProfileRow> rows;  // in order of first appearance
  int depth = 0;
};

class ProfileScope {
 public:
  // name and detail must outlive the profile (literals). profile may be null.
  ProfileScope(Profile* profile, std::string_view name, double flops = 0, std::string_view detail = {})
      : profile_(profile), name_(name), detail_(detail), flops_(flops) {
    if (profile_ != nullptr && profile_->depth++ == 0) start_ = std::chrono::steady_clock::now();
  }
  ~ProfileScope() {
    if (profile_ != nullptr && --profile_->depth == 0) record();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  void record();

  Profile* profile_;
  std::string_view name_, detail_;
  double flops_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace frugal::kernels
