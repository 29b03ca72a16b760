#include "cli/demo_screen.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/progress.h"

namespace frugal::cli {

namespace {
constexpr size_t kRecent = 24;  // answers of a kind that its bar shows
constexpr double kDrawSeconds = 0.25, kPlainSeconds = 10;
}  // namespace

DemoScreen::DemoScreen(double tokens_per_step, double flops_per_token, double peak_flops)
    : terminal_(detect_terminal(STDERR_FILENO)),
      panel_(terminal_),
      tokens_per_step_(tokens_per_step),
      flops_per_token_(flops_per_token),
      peak_flops_(peak_flops),
      last_draw_(std::chrono::steady_clock::now() - std::chrono::hours(1)),
      recent_(data::course_kinds().size()) {}

void DemoScreen::progress(const train::Progress& p) {
  now_ = p;
  losses_.push_back(p.report.loss);
  if (seconds_since(last_draw_) < (terminal_.ansi ? kDrawSeconds : kPlainSeconds)) return;
  last_draw_ = std::chrono::steady_clock::now();
  if (terminal_.ansi)
    panel_.draw(panel_lines());
  else
    panel_.print(plain_line());
}

void DemoScreen::quiz(const std::vector<eval::ExamAnswer>& answers) {
  for (const eval::ExamAnswer& a : answers) {
    std::deque<bool>& r = recent_[a.kind];
    r.push_back(a.right);
    if (r.size() > kRecent) r.pop_front();
  }
  if (terminal_.ansi) return;
  std::string text = fmt::format("step {}  held out:", now_.step);
  for (size_t k = 0; k < recent_.size(); ++k)
    text += fmt::format("  {} {:.0f} %", data::course_kinds()[k].name, 100 * recent_share(k));
  panel_.print(text);
}

double DemoScreen::recent_share(size_t kind) const {
  const std::deque<bool>& r = recent_[kind];
  return r.empty()
             ? 0
             : static_cast<double>(std::count(r.begin(), r.end(), true)) / static_cast<double>(r.size());
}

void DemoScreen::show(const eval::ExamAnswer& a) {
  const std::string sign = terminal_.utf8 ? (a.right ? "✓" : "✗") : (a.right ? "right:" : "wrong:");
  std::string response = a.response;
  std::replace(response.begin(), response.end(), '\n', ' ');
  // A model that knows little yet answers at length.
  if (response.size() > 300) response = clip(response, 300, terminal_.utf8);
  panel_.print(colored(terminal_, Color::kBold, "? " + a.question));
  panel_.print(colored(terminal_, a.right ? Color::kGreen : Color::kRed, sign) + " " + response +
               (a.right ? "" : colored(terminal_, Color::kDim, "   (" + a.expected + ")")));
}

void DemoScreen::line(const std::string& text) { panel_.print(text); }
void DemoScreen::close() {
  if (terminal_.ansi && now_.step > 0) panel_.draw(panel_lines());
  panel_.close();
}

std::string DemoScreen::bar_line(const std::string& name, double share, int asked) const {
  const int columns = detect_terminal(STDERR_FILENO).columns;
  const int width = std::clamp(columns - 30, 5, 40);
  if (asked == 0) return fmt::format("{:<19} {}", name, colored(terminal_, Color::kDim, "not asked yet"));
  const Color color = share >= 0.9 ? Color::kGreen : share >= 0.5 ? Color::kYellow : Color::kRed;
  return fmt::format("{:<19} {} {:>3.0f} %", name,
                     colored(terminal_, color, bar(share, width, terminal_.utf8)), 100 * share);
}

std::vector<std::string> DemoScreen::panel_lines() const {
  const int columns = detect_terminal(STDERR_FILENO).columns;
  const double done = static_cast<double>(now_.step) / static_cast<double>(now_.steps);
  const double tokens = static_cast<double>(now_.step) * tokens_per_step_,
               flops = now_.tokens_per_second * flops_per_token_;
  std::vector<std::string> lines = {""};
  lines.push_back(fmt::format("{} {:.0f} %  {} left",
                              bar(done, std::clamp(columns - 30, 5, 40), terminal_.utf8), 100 * done,
                              format_seconds(now_.eta_seconds)));
  lines.push_back(fmt::format("step {}/{}  {} tokens  {} tok/s  {:.0f} GFLOP/s = {:.0f} % of the cores' peak",
                              now_.step, now_.steps, format_count(tokens),
                              format_count(now_.tokens_per_second), flops * 1e-9, 100 * flops / peak_flops_));
  lines.push_back(fmt::format("loss {:.3f}  {}", now_.smooth_loss,
                              colored(terminal_, Color::kCyan,
                                      spark_line(losses_, std::clamp(columns - 14, 5, 60), terminal_.utf8))));
  std::string load = "experts, busiest / mean by layer:";
  for (const double ratio : now_.report.expert_load) load += fmt::format(" {:.2f}", ratio);
  if (!now_.report.expert_load.empty()) lines.push_back(load);
  bool asked = false;
  for (const auto& r : recent_) asked = asked || !r.empty();
  if (!asked) return lines;
  lines.push_back("");
  lines.push_back(
      colored(terminal_, Color::kBold, "questions that are not in the course, right answers lately"));
  for (size_t k = 0; k < recent_.size(); ++k)
    lines.push_back(bar_line(std::string(data::course_kinds()[k].name), recent_share(k),
                             static_cast<int>(recent_[k].size())));
  return lines;
}

std::string DemoScreen::plain_line() const {
  const double flops = now_.tokens_per_second * flops_per_token_;
  return fmt::format("step {}/{}  loss {:.3f}  {} tok/s  {:.0f} % of peak  ETA {}", now_.step, now_.steps,
                     now_.smooth_loss, format_count(now_.tokens_per_second), 100 * flops / peak_flops_,
                     format_seconds(now_.eta_seconds));
}

}  // namespace frugal::cli
