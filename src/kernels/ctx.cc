#include "kernels/ctx.h"

#include <cstdlib>

#include "base/error.h"
#include "kernels/amx.h"

namespace frugal::kernels {

namespace {
struct Entry {
  const char* name;
  bool (*runs_here)();
  const Level& (*table)();
};

// AVX-512 and AVX2 need the kernel to save their registers as well; __builtin_cpu_supports checks XCR0.
#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
}
#endif

// By speed.
constexpr Entry kLevels[] = {
    {"scalar", [] { return true; },
     []() -> const Level& {
#if defined(__x86_64__)
       if (__builtin_cpu_supports("avx") && __builtin_cpu_supports("fma")) return level_scalar_fma();
#endif
       return level_scalar();
     }},
#if defined(__x86_64__)
    {"amx-emulated",
     [] { return has_avx512() && __builtin_cpu_supports("avx512bf16") && !processor_has_amx(); },
     level_amx_emulated},
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, level_avx2},
    {"avx512", has_avx512, level_avx512},
    {"amx", [] { return has_avx512() && amx_runs_here(); }, level_amx},
#endif
};
}  // namespace

std::vector<std::string> available_levels() {
  std::vector<std::string> names;
  for (const Entry& e : kLevels)
    if (e.runs_here()) names.emplace_back(e.name);
  return names;
}

const Level& level_by_name(const std::string& name) {
  std::string known;
  for (const Entry& e : kLevels) {
    known += std::string(known.empty() ? "" : ", ") + e.name;
    if (name != e.name) continue;
    if (!e.runs_here())
      fail("FRUGAL_ISA", "this machine cannot run level " + name, "unset it for the best level");
    return e.table();
  }
  fail("FRUGAL_ISA", "unknown level '" + name + "'", "known: " + known);
}

const Level& default_level() {
  const char* forced = std::getenv("FRUGAL_ISA");
  if (forced != nullptr && forced[0] != '\0') return level_by_name(forced);
  return level_by_name(available_levels().back());
}

Ctx::Ctx(int threads, const Level& level_table)
    : pool(threads), level(level_table), buffers_(static_cast<size_t>(pool.size() * kSlots)) {}

}  // namespace frugal::kernels
