// What the files of the course share: choosing, digits, worked columns.
#pragma once

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "data/course.h"
#include "data/draws.h"

namespace frugal::data {

template <class T, size_t N>
const T& pick(Draws& draws, const std::array<T, N>& values) {
  return values[static_cast<size_t>(draws.below(static_cast<int64_t>(N)))];
}

inline int number_between(Draws& draws, int low, int high) {
  return static_cast<int>(draws.between(low, high));
}

inline int digit(int number, int column) {
  for (; column > 0; --column) number /= 10;
  return number % 10;
}

inline void append_step(std::string* work, std::string_view step) {
  if (!work->empty()) *work += ' ';
  *work += step;
}

// Columns from the right, the carry written: "8+6=14 9+0+1=10 0+0+1=1".
std::string add_columns(int a, int b, int columns);
// The same for a - b, a >= b; a column that borrows shows its upper digit with the ten added: "14-6=8
// 9-0-1=8".
std::string subtract_columns(int a, int b, int columns);
// a * b for a one-digit b: "7*6=42 4*6=24+4=28 3*6=18+2=20".
std::string multiply_columns(int a, int b, int columns);

// The kinds, one file each or two that are alike.
std::vector<Form> sum_forms();
std::vector<Form> product_forms();
std::vector<Form> comparison_forms();
std::vector<Form> letter_forms();
std::vector<Form> calendar_forms();
std::vector<Form> unit_forms();
std::vector<Form> story_forms();
std::vector<Form> logic_forms();

}  // namespace frugal::data
