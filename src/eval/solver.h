// Answers the questions of the course by reading them. It shares no code with what writes them
// (data/course.h): numbers come from the text, dates from the calendar, and logic is decided by trying every
// possible world.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace frugal::eval {

// The answer in the course's form ("104", "yes", "ESUOH", "3 hours 25 minutes"); nothing for a question it
// cannot read.
std::optional<std::string> solve(std::string_view question);

}  // namespace frugal::eval
