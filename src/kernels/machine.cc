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
constexpr int64_t kRows = kBlockRows, kColumns = 128;  // of a product
constexpr int64_t kRunK = 20 * 256;                    // of the products of a run together
constexpr int64_t kReadMemory = 256 << 20, kReadRun = kReadMemory / 4, kReadBlock = 16384;
}  // namespace

ReadProbe::ReadProbe(Ctx& ctx)
    : ctx_(ctx), memory_(aligned_array<float>(kReadMemory / 4)), sums_(static_cast<size_t>(ctx.pool.size())) {
  ctx.pool.parallel_for(kReadMemory / 4, [&](int64_t begin, int64_t end, int) {
    std::memset(memory_.get() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  double plain = 0, ahead = 0;
  for (int run_number = 0; run_number < 5; ++run_number) {
    read_ = ctx_.level.read;
    plain = std::max(plain, run());
    read_ = ctx_.level.read_ahead;
    ahead = std::max(ahead, run());
  }
  if (plain > ahead) read_ = ctx_.level.read;
}

double ReadProbe::run() {
  const auto start = Clock::now();
  ctx_.pool.parallel_for(kReadRun / 4 / kReadBlock, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i)
      sums_[static_cast<size_t>(thread)] += read_(memory_.get() + at_ + i * kReadBlock, kReadBlock);
  });
  at_ = (at_ + kReadRun / 4) % (kReadMemory / 4);
  return static_cast<double>(kReadRun) / since(start);
}

ProductProbe::ProductProbe(Ctx& ctx, Operand operand)
    : ctx_(ctx),
      operand_(operand),
      k_(is_integer(operand) ? 1024 : 256),
      work_(static_cast<size_t>(ctx.pool.size())) {
  for (Work& w : work_) {
    w.a.assign(static_cast<size_t>(packed_a_rows_size(kRows, k_)), 0.5f);
    w.source.assign(static_cast<size_t>(kPanelCols * k_), 0.25f);
    w.b = aligned_array<std::byte>(kColumns * k_ * 4);
    w.c = aligned_array<float>(kRows * kColumns);
    if (is_integer(operand)) {
      std::memset(w.b.get(), 1, static_cast<size_t>(kColumns * k_ * 4));
      continue;
    }
    for (int64_t j = 0; j < kColumns; j += kPanelCols)
      ctx.level.pack_b_rows(w.source.data(), k_, kPanelCols, k_, operand,
                            w.b.get() + j * k_ * (operand == Operand::kF32 ? 4 : 2));
  }
}

void ProductProbe::multiply(Work& w) const {
  if (is_integer(operand_)) {
    ctx_.level.group_sweep({.a = reinterpret_cast<const int8_t*>(w.a.data()),
                            .a_scale = w.source.data(),
                            .a_sum = reinterpret_cast<const int32_t*>(w.source.data()),
                            .rows = kRows,
                            .groups = k_ / kQuantGroup,
                            .b = w.b.get(),
                            .columns = kColumns,
                            .c = w.c.get(),
                            .ldc = kColumns,
                            .operand = operand_});
    return;
  }
  ctx_.level.sweep({.a = w.a.data(),
                    .a_layout = ALayout::kRowMajor,
                    .rows = kRows,
                    .b = w.b.get(),
                    .k = k_,
                    .columns = kColumns,
                    .c = w.c.get(),
                    .ldc = kColumns,
                    .accumulate = Accumulate::kStore,
                    .operand = operand_});
}

double ProductProbe::run() {
  const int64_t products = kRunK / k_ * ctx_.pool.size();
  const auto multiply_all = [&](int64_t n) {
    ctx_.pool.run(n, [&](int64_t, int thread) { multiply(work_[static_cast<size_t>(thread)]); });
  };
  multiply_all(ctx_.pool.size());  // what lay in the caches was something else
  const auto start = Clock::now();
  multiply_all(products);
  return 2.0 * static_cast<double>(kRows * k_ * kColumns * products) / since(start);
}

double read_bandwidth(Ctx& ctx) {
  ReadProbe probe(ctx);
  double best = 0;
  for (int run = 0; run < 12; ++run) best = std::max(best, probe.run());
  return best;
}

double product_peak(const Level& level, Operand operand) {
  constexpr int64_t kRounds = 100000;  // a millisecond or two
  constexpr int64_t kTileRounds = 10000;
  const bool tiles = operand == Operand::kBF16 && level.tile_chain != nullptr;
  volatile float sink = 0;
  double best = 0;
  // A neighbour may have the core for a while: many short runs, of which one is undisturbed.
  for (int run = 0; run < 24; ++run) {
    const auto start = Clock::now();
    if (tiles)
      level.tile_chain(kTileRounds);
    else
      sink = level.fma_chain(kRounds);
    const double operations =
        tiles ? kTileRounds * level.tile_chain_operations : 2.0 * 16 * kRounds * level.fma_chains;
    best = std::max(best, operations / since(start));
  }
  (void)sink;
  return best;
}

Machine measure_machine(Ctx& ctx, Operand operand) {
  Machine m;
  m.cpu = cpu_name();
  m.memory_bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  ProductProbe products(ctx, operand);
  for (int run = 0; run < 30; ++run) m.flops = std::max(m.flops, products.run());
  m.read_bytes = read_bandwidth(ctx);
  return m;
}

}  // namespace frugal::kernels
