#include "kernels/machine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <vector>

#include "kernels/gemm.h"

namespace frugal::kernels {

namespace {
using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

namespace {
// The best of several short runs: neighbours only ever slow it down.
double product_flops(Ctx& ctx, Operand operand) {
  constexpr int64_t kRows = kBlockRows, kK = 256, kColumns = 128;
  constexpr int kRepeats = 20, kRuns = 30;
  struct Work {
    std::vector<float> a, source;
    AlignedPtr<std::byte> b;
    AlignedPtr<float> c;
  };
  std::vector<Work> work(static_cast<size_t>(ctx.pool.size()));
  for (Work& w : work) {
    w.a.assign(static_cast<size_t>((kRows + kPanelRows) * (kK / kChunk + 1) * kChunkStride), 0.5f);
    w.source.assign(static_cast<size_t>(kPanelCols * kK), 0.25f);
    w.b = aligned_array<std::byte>(kColumns * kK * 4);
    w.c = aligned_array<float>(kRows * kColumns);
    if (is_integer(operand)) {
      std::memset(w.b.get(), 1, static_cast<size_t>(kColumns * kK * 4));
      continue;
    }
    for (int64_t j = 0; j < kColumns; j += kPanelCols)
      ctx.level.pack_b_rows(w.source.data(), kK, kPanelCols, kK, operand,
                            w.b.get() + j * kK * (operand == Operand::kF32 ? 4 : 2));
  }
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    ctx.pool.parallel_for(ctx.pool.size(), [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        Work& w = work[static_cast<size_t>(t)];
        for (int r = 0; r < kRepeats; ++r) {
          if (is_integer(operand)) {
            ctx.level.group_sweep({.a = reinterpret_cast<const int8_t*>(w.a.data()),
                                   .a_scale = w.source.data(),
                                   .a_sum = reinterpret_cast<const int32_t*>(w.source.data()),
                                   .rows = kRows,
                                   .groups = kK / kQuantGroup,
                                   .b = w.b.get(),
                                   .columns = kColumns,
                                   .c = w.c.get(),
                                   .ldc = kColumns,
                                   .operand = operand});
            continue;
          }
          ctx.level.sweep({.a = w.a.data(),
                           .a_layout = ALayout::kRowMajor,
                           .rows = kRows,
                           .b = w.b.get(),
                           .k = kK,
                           .columns = kColumns,
                           .c = w.c.get(),
                           .ldc = kColumns,
                           .accumulate = Accumulate::kStore,
                           .operand = operand});
        }
      }
    });
    best = std::max(best, 2.0 * kRows * kK * kColumns * kRepeats * ctx.pool.size() / since(start));
  }
  return best;
}

}  // namespace

double read_bandwidth(Ctx& ctx) {
  constexpr int64_t kBytes = 256 << 20, kBlock = 16384;
  const auto memory = aligned_array<float>(kBytes / 4);
  ctx.pool.parallel_for(kBytes / 4, [&](int64_t begin, int64_t end, int) {
    std::memset(memory.get() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  std::vector<float> sums(static_cast<size_t>(ctx.pool.size()));
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    const auto start = Clock::now();
    ctx.pool.parallel_for(kBytes / 4 / kBlock, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i)
        sums[static_cast<size_t>(thread)] += ctx.level.read(memory.get() + i * kBlock, kBlock);
    });
    best = std::max(best, static_cast<double>(kBytes) / since(start));
  }
  return best;
}

double fma_peak(const Level& level) {
  constexpr int64_t kRounds = 100000;  // a millisecond or two
  volatile float sink = 0;
  double best = 0;
  // A neighbour may have the core for a while: many short runs, of which one is undisturbed.
  for (int run = 0; run < 24; ++run) {
    const auto start = Clock::now();
    sink = level.fma_chain(kRounds);
    best = std::max(best, 2.0 * 16 * kRounds * level.fma_chains / since(start));
  }
  (void)sink;
  return best;
}

Machine measure_machine(Ctx& ctx, Operand operand) {
  Machine m;
  m.cpu = cpu_name();
  m.memory_bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  m.flops = product_flops(ctx, operand);
  m.read_bytes = read_bandwidth(ctx);
  return m;
}

}  // namespace frugal::kernels
