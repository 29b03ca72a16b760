#include "train/machine_record.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/build.h"
#include "base/files.h"
#include "kernels/machine.h"

namespace frugal::train {

void write_machine_record(const Recipe& recipe, kernels::Ctx& ctx, double peak_flops) {
  const nlohmann::json record = {{"cpu", kernels::cpu_name()},
                                 {"cores", std::thread::hardware_concurrency()},
                                 {"memory_bytes", static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                                                      static_cast<double>(sysconf(_SC_PAGESIZE))},
                                 {"threads", ctx.pool.size()},
                                 {"level", ctx.level.name},
                                 {"peak_flops", peak_flops},
                                 {"compiler", kCompiler},
                                 {"version", kVersion}};
  write_file_atomic(recipe.out + "/machine.json", record.dump(2) + "\n");
}

}  // namespace frugal::train
