#include "report/expert_history.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/math64.h"

namespace frugal::report {

void ExpertHistory::add(int64_t step, std::vector<float> load, std::vector<float> bias) {
  FRUGAL_ASSERT(load.size() == rows_ && bias.size() == rows_, "{} loads and {} biases of {} experts",
                load.size(), bias.size(), rows_);
  const auto append = [](Column* to, const Column& from) {
    to->step = from.step;
    to->lines += from.lines;
    for (size_t r = 0; r < to->load.size(); ++r) {
      to->load[r] += from.load[r];
      to->bias[r] += from.bias[r];
    }
  };
  Column line{step, 1, std::move(load), std::move(bias)};
  if (!columns_.empty() && columns_.back().lines < lines_per_column_)
    append(&columns_.back(), line);
  else
    columns_.push_back(std::move(line));
  if (columns_.size() <= max_columns_) return;
  lines_per_column_ *= 2;
  std::vector<Column> merged;
  for (size_t c = 0; c < columns_.size(); ++c) {
    if (c % 2 == 0)
      merged.push_back(std::move(columns_[c]));
    else
      append(&merged.back(), columns_[c]);
  }
  columns_ = std::move(merged);
}

float ExpertHistory::load(size_t column, size_t row) const {
  return columns_[column].load[row] / static_cast<float>(columns_[column].lines);
}
float ExpertHistory::bias(size_t column, size_t row) const {
  return columns_[column].bias[row] / static_cast<float>(columns_[column].lines);
}

std::string ExpertHistory::load_base64() const {
  constexpr double kLn2 = 0.69314718055994530942;
  std::vector<uint8_t> bytes;
  for (size_t r = 0; r < rows_; ++r)
    for (size_t c = 0; c < columns(); ++c) {
      const double v = static_cast<double>(load(c, r));
      const double level = v > 0 ? std::clamp(128 + 32 * log64(v) / kLn2, 1.0, 255.0) : 0;
      bytes.push_back(static_cast<uint8_t>(std::lround(level)));
    }
  return base64(bytes);
}

std::string ExpertHistory::bias_base64(float scale) const {
  std::vector<uint8_t> bytes;
  for (size_t r = 0; r < rows_; ++r)
    for (size_t c = 0; c < columns(); ++c) {
      const float level = scale > 0 ? 128 + 127 * std::clamp(bias(c, r) / scale, -1.0f, 1.0f) : 128;
      bytes.push_back(static_cast<uint8_t>(std::lround(level)));
    }
  return base64(bytes);
}

float ExpertHistory::largest_bias() const {
  float largest = 0;
  for (size_t c = 0; c < columns(); ++c)
    for (size_t r = 0; r < rows_; ++r) largest = std::max(largest, std::fabs(bias(c, r)));
  return largest;
}

std::string base64(const std::vector<uint8_t>& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (k < n ? bytes[i + k] : 0u);
    for (size_t k = 0; k < 4; ++k) text += k <= n ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace frugal::report
