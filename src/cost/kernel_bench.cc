#include "cost/kernel_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/math64.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/machine.h"

namespace frugal::cost {

using kernels::Operand;

namespace {
using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

const char* name(Operand operand) { return operand == Operand::kBF16 ? "bf16" : "f32"; }

AlignedPtr<float> numbers(kernels::Ctx& ctx, int64_t n) {
  auto x = aligned_array<float>(n);
  ctx.pool.parallel_for(n, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i % 97 - 48) * 0.01f;
  });
  return x;
}

// Repeats `call` and the peak in turn; each repetition lasts at least kShortest.
template <class Call>
KernelRow measure(kernels::Ctx& ctx, Operand operand, std::string kernel, std::string shape,
                  kernels::Work work, Call call) {
  constexpr double kShortest = 0.004;
  constexpr int kRepetitions = 9;
  call();
  const auto start = Clock::now();
  call();
  const auto calls = static_cast<int64_t>(std::max(1.0, std::ceil(kShortest / since(start))));
  std::vector<double> times, peaks;
  for (int r = 0; r < kRepetitions; ++r) {
    peaks.push_back(kernels::product_peak(ctx.level, operand));
    const auto begin = Clock::now();
    for (int64_t i = 0; i < calls; ++i) call();
    times.push_back(since(begin) / static_cast<double>(calls));
  }
  return {std::move(kernel), std::move(shape), ctx.pool.size(), median(times), work, median(peaks)};
}

struct PackedWeights {
  PackedWeights(kernels::Ctx& ctx, int64_t n, int64_t k, Operand operand)
      : panels(aligned_array<std::byte>(kernels::packed_b_bytes(n, k, operand))),
        b{operand, panels.get(), n, k} {
    const auto source = numbers(ctx, n * k);
    kernels::pack_b_rows(ctx, source.get(), k, n, k, operand, panels.get());
  }
  AlignedPtr<std::byte> panels;
  kernels::PackedB b;
};

KernelRow bench_gemm(kernels::Ctx& ctx, Operand operand, int64_t m, int64_t n, int64_t k) {
  const PackedWeights w(ctx, n, k, operand);
  const auto x = numbers(ctx, m * k), y = numbers(ctx, m * n);
  return measure(ctx, operand, fmt::format("gemm {}", name(operand)),
                 fmt::format("M {}, N {}, K {}", m, n, k),
                 {static_cast<double>(kernels::gemm_flops(m, n, k)), 0}, [&] {
                   kernels::gemm(ctx, {x.get(), k, nullptr, m, w.b, y.get(), n}, kernels::Accumulate::kStore);
                 });
}

KernelRow bench_weight_gradient(kernels::Ctx& ctx, Operand operand, int64_t rows, int64_t out, int64_t in) {
  const auto dy = numbers(ctx, rows * out), x = numbers(ctx, rows * in), dw = numbers(ctx, out * in);
  return measure(ctx, operand, fmt::format("weight gradient {}", name(operand)),
                 fmt::format("tokens {}, out {}, in {}", rows, out, in),
                 {static_cast<double>(kernels::gemm_flops(rows, out, in)), 0}, [&] {
                   kernels::weight_gradient(
                       ctx, {dy.get(), out, x.get(), in, nullptr, rows, dw.get(), out, in, operand},
                       kernels::Accumulate::kStore);
                 });
}

// Few rows: weights come from memory, one matrix of several after the other.
KernelRow bench_streaming(kernels::Ctx& ctx, Operand operand, int64_t m) {
  constexpr int64_t kN = 8192, kK = 2048, kMatrices = 8;
  std::vector<PackedWeights> w;
  for (int64_t i = 0; i < kMatrices; ++i) w.emplace_back(ctx, kN, kK, operand);
  const auto x = numbers(ctx, m * kK), y = numbers(ctx, m * kN);
  size_t next = 0;
  return measure(ctx, operand, fmt::format("gemm {}, weights from memory", name(operand)),
                 fmt::format("M {}, N {}, K {}", m, kN, kK),
                 {static_cast<double>(kernels::gemm_flops(m, kN, kK)),
                  static_cast<double>(kernels::packed_b_bytes(kN, kK, operand))},
                 [&] {
                   const kernels::PackedB& b = w[next++ % w.size()].b;
                   kernels::gemm(ctx, {x.get(), kK, nullptr, m, b, y.get(), kN}, kernels::Accumulate::kStore);
                 });
}

KernelRow bench_grouped(kernels::Ctx& ctx, Operand operand, int64_t experts, int64_t rows, int64_t n,
                        int64_t k) {
  std::vector<PackedWeights> w;
  for (int64_t e = 0; e < experts; ++e) w.emplace_back(ctx, n, k, operand);
  const auto x = numbers(ctx, experts * rows * k), y = numbers(ctx, experts * rows * n);
  std::vector<kernels::GemmGroup> groups;
  for (int64_t e = 0; e < experts; ++e)
    groups.push_back(
        {x.get() + e * rows * k, k, nullptr, rows, w[static_cast<size_t>(e)].b, y.get() + e * rows * n, n});
  return measure(ctx, operand, fmt::format("grouped gemm {}", name(operand)),
                 fmt::format("{} experts x {} rows, N {}, K {}", experts, rows, n, k),
                 {static_cast<double>(experts * kernels::gemm_flops(rows, n, k)), 0},
                 [&] { kernels::grouped_gemm(ctx, groups, kernels::Accumulate::kStore); });
}

// One sequence of `tokens`, forward or backward.
KernelRow bench_attention(kernels::Ctx& ctx, Operand operand, bool backward, int64_t tokens) {
  constexpr int64_t kHeads = 8, kKey = 96, kValue = 64;
  const auto q = numbers(ctx, tokens * kHeads * kKey), k = numbers(ctx, tokens * kHeads * kKey),
             v = numbers(ctx, tokens * kHeads * kValue), out = numbers(ctx, tokens * kHeads * kValue),
             dout = numbers(ctx, tokens * kHeads * kValue), lse = numbers(ctx, tokens * kHeads),
             dq = numbers(ctx, tokens * kHeads * kKey), dk = numbers(ctx, tokens * kHeads * kKey),
             dv = numbers(ctx, tokens * kHeads * kValue);
  const kernels::PageLayout layout{operand, kHeads, kKey, kValue};
  const int64_t count = (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  const auto memory = aligned_array<std::byte>(count * layout.page_bytes());
  std::fill_n(memory.get(), count * layout.page_bytes(), std::byte{0});
  std::vector<std::byte*> pages;
  for (int64_t i = 0; i < count; ++i) pages.push_back(memory.get() + i * layout.page_bytes());
  const kernels::AttentionSequence sequence{{pages.data()}, 0, tokens, 0};
  const kernels::PageWrite write{layout,  {pages.data()},  0,     tokens, k.get(), kHeads * kKey,
                                 v.get(), kHeads * kValue, kValue};
  kernels::write_pages(ctx, {&write, 1});
  const auto forward = [&] {
    kernels::attention(ctx, {layout, kHeads, 0.1f, q.get(), out.get(), lse.get()}, {&sequence, 1});
  };
  forward();
  const int64_t per_pair = backward ? 2 * (3 * kKey + 2 * kValue) : 2 * (kKey + kValue);
  const kernels::Work work = kernels::attention_work({&sequence, 1}, kHeads, per_pair, 0);
  const std::string shape = fmt::format("{} tokens, {} heads of {} and {}", tokens, kHeads, kKey, kValue);
  if (!backward)
    return measure(ctx, operand, fmt::format("attention {}", name(operand)), shape, work, forward);
  return measure(ctx, operand, fmt::format("attention backward {}", name(operand)), shape, work, [&] {
    kernels::attention_backward(ctx,
                                {.operand = operand,
                                 .heads = kHeads,
                                 .key_dim = kKey,
                                 .value_dim = kValue,
                                 .scale = 0.1f,
                                 .q = q.get(),
                                 .k = k.get(),
                                 .v = v.get(),
                                 .v_stride = kHeads * kValue,
                                 .v_head_stride = kValue,
                                 .out = out.get(),
                                 .dout = dout.get(),
                                 .lse = lse.get(),
                                 .dq = dq.get(),
                                 .dk = dk.get(),
                                 .dv = dv.get()},
                                {&sequence, 1});
  });
}
}  // namespace

std::vector<KernelRow> bench_kernels(kernels::Ctx& one, kernels::Ctx& all,
                                     const std::function<void(const KernelRow&)>& report) {
  std::vector<KernelRow> rows;
  const auto add = [&](KernelRow row) {
    report(row);
    rows.push_back(std::move(row));
  };
  for (Operand operand : {Operand::kF32, Operand::kBF16}) {
    for (int64_t m : {128, 512, 2048})
      for (auto [n, k] : {std::pair<int64_t, int64_t>{512, 512}, {2048, 512}, {512, 2048}, {2048, 2048}})
        add(bench_gemm(one, operand, m, n, k));
    for (auto [out, in] : {std::pair<int64_t, int64_t>{512, 512}, {1024, 512}, {512, 1280}})
      add(bench_weight_gradient(one, operand, 2048, out, in));
    for (int64_t m : {1, 4, 8, 16}) add(bench_streaming(one, operand, m));
    add(bench_grouped(all, operand, 64, 128, 1408, 2048));
    add(bench_grouped(all, operand, 16, 512, 128, 256));
    add(bench_attention(all, operand, false, 1024));
    add(bench_attention(all, operand, true, 1024));
  }
  return rows;
}

double mean_share(const std::vector<KernelRow>& rows, const std::string& kernel) {
  double product = 1;
  int64_t n = 0;
  for (const KernelRow& r : rows) {
    if (r.kernel != kernel) continue;
    product *= r.share_of_peak();
    ++n;
  }
  return n == 0 ? 0 : pow64(product, 1.0 / static_cast<double>(n));
}

}  // namespace frugal::cost
