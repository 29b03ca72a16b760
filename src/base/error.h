// The one exception type of frugal: what happened, where, and what to do about it.
// Thrown at the boundary that saw the problem, caught once in cli/main.cc (docs/architecture.md, "Errors").
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace frugal {

class Error : public std::runtime_error {
 public:
  // where: file, tensor, key, line or offset. what: the rule that broke. remedy: what the user can do ("" if
  // nothing sensible). The message reads "where: what; remedy".
  Error(const std::string& where, const std::string& what, const std::string& remedy);
};

[[noreturn]] void fail(const std::string& where, const std::string& what, const std::string& remedy = "");

// Programming errors (a broken invariant of our own code), with values in the message. Never for user input.
[[noreturn]] void assertion_failed(const char* file, int line, const std::string& message);

}  // namespace frugal

#define FRUGAL_ASSERT(condition, ...)                                                           \
  do {                                                                                          \
    if (!(condition)) ::frugal::assertion_failed(__FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (0)
