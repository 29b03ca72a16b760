#include "kernels/profile.h"

#include <algorithm>

namespace frugal::kernels {

void ProfileScope::record() {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  auto row = std::find_if(profile_->rows.begin(), profile_->rows.end(),
                          [&](const ProfileRow& r) { return r.name == name_ && r.detail == detail_; });
  if (row == profile_->rows.end()) row = profile_->rows.insert(row, ProfileRow{name_, detail_});
  ++row->calls;
  row->seconds += seconds;
  row->flops += flops_;
}

}  // namespace frugal::kernels
