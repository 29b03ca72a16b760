#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace frugal {

namespace {
spdlog::logger& sink() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto l = std::make_shared<spdlog::logger>("frugal", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    l->set_pattern("%v");
    return l;
  }();
  return *logger;
}
}  // namespace

void log_info(const std::string& message) { sink().info("{}", message); }
void log_warning(const std::string& message) { sink().warn("warning: {}", message); }

}  // namespace frugal
