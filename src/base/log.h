// Log lines go to stderr; results go to stdout (docs/architecture.md). spdlog stays behind log.cc.
#pragma once

#include <fmt/format.h>

#include <string>

namespace frugal {

void log_info(const std::string& message);
void log_warning(const std::string& message);

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  log_info(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  log_warning(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace frugal
