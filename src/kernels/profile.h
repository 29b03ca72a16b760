// Where the time of a pass goes. Operations open a scope with their name and what they must do; with no
// profile in the context a scope costs one test. Scopes inside a scope belong to the outer one, so that times
// add up.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::kernels {

// What an operation cannot do without: floating-point operations, and bytes read or written once.
struct Work {
  double flops = 0, bytes = 0;
};

struct ProfileRow {
  std::string_view name;
  std::string_view detail;  // which of the operations of that name, or empty
  int64_t calls = 0;
  double seconds = 0;
  Work work;
};

// One operation on the time line.
struct ProfileEvent {
  std::string_view name, detail;
  double start = 0, seconds = 0;  // since the profile was made
  Work work;
};

struct Profile {
  std::vector<ProfileRow> rows;  // in order of first appearance
  int depth = 0;
  bool keep_events = false;
  std::vector<ProfileEvent> events;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

class ProfileScope {
 public:
  // name and detail must outlive the profile (literals). profile may be null.
  ProfileScope(Profile* profile, std::string_view name, Work work = {}, std::string_view detail = {})
      : profile_(profile), name_(name), detail_(detail), work_(work) {
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
  Work work_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace frugal::kernels
