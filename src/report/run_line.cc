#include "report/run_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"

namespace frugal::report {

namespace {
constexpr size_t kMostValues = 64;
constexpr int kNarrowestCurve = 8, kWidestCurve = 24;
}  // namespace

void LossHistory::add(double loss) {
  sum_ += loss;
  if (++count_ < steps_per_value_) return;
  means_.push_back(sum_ / count_);
  sum_ = count_ = 0;
  if (means_.size() < kMostValues) return;
  for (size_t i = 0; i < kMostValues / 2; ++i) means_[i] = (means_[2 * i] + means_[2 * i + 1]) / 2;
  means_.resize(kMostValues / 2);
  steps_per_value_ *= 2;
}

std::string run_line(const train::Progress& p, const LossHistory& losses, const Terminal& terminal) {
  const std::string gap = "  ";
  const std::string head = fmt::format("step {}/{}{}loss {:.4f}", p.step, p.steps, gap, p.smooth_loss);
  std::vector<std::string> parts = {fmt::format("ETA {}", format_seconds(p.eta_seconds)),
                                    format_count(p.tokens_per_second) + " tok/s"};
  if (p.peak_share > 0) parts.back() += fmt::format(" ({:.0f} % of peak)", 100 * p.peak_share);
  parts.push_back(fmt::format("|g| {:.2f}", p.report.grad_norm));
  if (p.report.mtp_loss > 0) parts.push_back(fmt::format("mtp {:.4f}", p.report.mtp_loss));
  parts.push_back(fmt::format("lr {:.2e}", p.report.learning_rate));
  int room = terminal.ansi ? terminal.columns - 1 - display_width(head) : 1 << 20;
  std::string tail;
  for (const std::string& part : parts) {
    const int width = display_width(gap + part);
    // The curve comes before what follows rate and ETA.
    const int reserved = terminal.ansi && &part - parts.data() >= 2 ? kNarrowestCurve + 1 : 0;
    if (width + reserved > room) break;
    tail += gap + part;
    room -= width;
  }
  std::string curve;
  if (terminal.ansi && room > kNarrowestCurve)
    curve = " " + colored(terminal, Color::kCyan,
                          spark_line(losses.means(), std::min(room - 1, kWidestCurve), terminal.utf8));
  return head + curve + tail;
}

}  // namespace frugal::report
