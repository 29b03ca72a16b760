#include "kernels/profile.h"

#include <algorithm>

namespace frugal::kernels {

void ProfileScope::record() {
  const auto since = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  const double seconds = since(start_, std::chrono::steady_clock::now());
  if (profile_->keep_events)
    profile_->events.push_back({name_, detail_, since(profile_->start, start_), seconds, work_});
  auto row = std::find_if(profile_->rows.begin(), profile_->rows.end(),
                          [&](const ProfileRow& r) { return r.name == name_ && r.detail == detail_; });
  if (row == profile_->rows.end())
    row = profile_->rows.insert(row, ProfileRow{.name = name_, .detail = detail_, .work = {}});
  ++row->calls;
  row->seconds += seconds;
  row->work.flops += work_.flops;
  row->work.bytes += work_.bytes;
}

}  // namespace frugal::kernels
