#include "kernels/amx.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "kernels/gemm.h"

namespace frugal::kernels {

bool processor_has_amx() {
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25, kAll = kBf16 | kTile | kInt8;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAll) == kAll &&
         __builtin_cpu_supports("avx512bf16");
}

namespace {
// The system must save tiles (XCR0, bits 17 and 18), and lets a process use them only if asked.
bool system_permits_tiles() {
  unsigned a, b, c, d;
  constexpr unsigned kXgetbv = 1u << 27, kTileState = 3u << 17;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kXgetbv)) return false;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTileState) != kTileState) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Products with edges everywhere, of numbers with several exponents.
std::vector<float> sample(const Level& level) {
  constexpr int64_t kRows = 37, kColumns = 43, kK = 130, kGroups = 2;
  std::vector<float> a, b;
  uint32_t state = 1;
  const auto next = [&state] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
  };
  for (int64_t i = 0; i < kRows * kK; ++i) a.push_back(next() * static_cast<float>(1 << i % 9));
  for (int64_t i = 0; i < kColumns * kK; ++i) b.push_back(next());
  std::vector<float> packed(static_cast<size_t>(packed_a_rows_size(kRows, kK))), c(2 * kRows * kColumns);
  const int64_t panel = packed_b_bytes(kPanelCols, kK, Operand::kBF16);
  std::vector<std::byte> panels(static_cast<size_t>(packed_b_bytes(kColumns, kK, Operand::kBF16)));
  level.pack_a_rows(a.data(), kK, nullptr, kRows, kK, Operand::kBF16, packed.data());
  for (int64_t j = 0; j < kColumns; j += kPanelCols)
    level.pack_b_rows(b.data() + j * kK, kK, std::min(kPanelCols, kColumns - j), kK, Operand::kBF16,
                      panels.data() + j / kPanelCols * panel);
  level.sweep({.a = packed.data(),
               .a_layout = ALayout::kRowMajor,
               .rows = kRows,
               .b = panels.data(),
               .k = kK,
               .columns = kColumns,
               .c = c.data(),
               .ldc = kColumns,
               .accumulate = Accumulate::kStore,
               .operand = Operand::kBF16});
  std::vector<int8_t> q(static_cast<size_t>(round_up(kRows, kMostPanelRows) * kGroups * kQuantGroup));
  std::vector<float> scale(kRows * kGroups);
  std::vector<int32_t> sum(kRows * kGroups);
  for (int64_t r = 0; r < kRows; ++r)
    level.quantise_groups(a.data() + r * kK, kK, 127.0f, q.data() + r * kGroups * kQuantGroup,
                          scale.data() + r * kGroups, sum.data() + r * kGroups);
  std::vector<std::byte> integers(static_cast<size_t>(packed_b_bytes(kColumns, kK, Operand::kInt8)));
  Matrix m{.operand = Operand::kInt8, .out = kColumns, .in = kK, .panels = integers.data()};
  for (int64_t row = 0; row < kColumns; row += kPanelCols) pack_stripe(level, b.data(), m, row);
  level.group_sweep({.a = q.data(),
                     .a_scale = scale.data(),
                     .a_sum = sum.data(),
                     .rows = kRows,
                     .groups = kGroups,
                     .b = integers.data(),
                     .columns = kColumns,
                     .c = c.data() + kRows * kColumns,
                     .ldc = kColumns,
                     .operand = Operand::kInt8});
  return c;
}

bool right_bits() {
  const bool same = same_products(level_amx(), level_avx512());
  if (!same)
    warn(
        "AMX of this processor gives other bits than AVX-512, so level avx512 is used; please report it with "
        "the output "
        "of frugal doctor");
  return same;
}
}  // namespace

bool same_products(const Level& a, const Level& b) {
  const std::vector<float> x = sample(a), y = sample(b);
  return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

bool amx_runs_here() {
  static const bool runs = processor_has_amx() && system_permits_tiles() && right_bits();
  return runs;
}

}  // namespace frugal::kernels

#endif
