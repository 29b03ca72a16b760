// Products Y[M,N] = X[M,K] W[N,K]^T on one thread: kernels::gemm with a packed Matrix against oneDNN's
// matmul, whose weights are packed too and whose primitive is made once. Both stand in every repetition of
// the same run, so a neighbour on the machine meets both; times are CPU time of the process, medians.
// bench/README.md.
//   fraction  of the FMA peak of f32, measured in the same repetitions
//   ratio     frugal / oneDNN, more is better
//   hash      of frugal's Y: equal on every machine (docs/numerics.md)
#include "kernels/gemm.h"

#include <fmt/format.h>
#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/rng.h"

#ifdef FRUGAL_BENCH_ONEDNN
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace frugal {
namespace {
using kernels::Operand;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

uint64_t hash(const std::vector<float>& x) {  // FNV-1a over the bits
  uint64_t h = 0xcbf29ce484222325u;
  for (const float v : x) h = (h ^ std::bit_cast<uint32_t>(v)) * 0x100000001b3u;
  return h;
}

std::vector<float> numbers(const char* name, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  const uint64_t key = rng_key(1, name);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng_uniform(key, i) - 0.5);
  return x;
}

// ---- the peak: FMAs on registers only. Two units times a latency of 4 need 8 independent ones; 12 leave
// room. ----
constexpr int kChains = 12;
constexpr int64_t kPeakRounds = 400000;

__attribute__((target("avx512f"))) int64_t fma_avx512() {
  __m512 a[kChains], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
  for (auto& v : a) v = y;
  for (int64_t r = 0; r < kPeakRounds; ++r) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) a[c] = _mm512_fmadd_ps(a[c], x, y);
    asm volatile("" : "+v"(x));  // or the loop is folded
  }
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) asm volatile("" ::"v"(a[c]));
  return kPeakRounds * kChains * 16 * 2;
}

__attribute__((target("avx2,fma"))) int64_t fma_avx2() {
  __m256 a[kChains], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
  for (auto& v : a) v = y;
  for (int64_t r = 0; r < kPeakRounds; ++r) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) a[c] = _mm256_fmadd_ps(a[c], x, y);
    asm volatile("" : "+x"(x));
  }
#pragma GCC unroll 12
  for (int c = 0; c < kChains; ++c) asm volatile("" ::"x"(a[c]));
  return kPeakRounds * kChains * 8 * 2;
}

// GFLOP/s of one call.
double peak() {
  const double start = cpu_seconds();
  const int64_t flops = __builtin_cpu_supports("avx512f") ? fma_avx512() : fma_avx2();
  return static_cast<double>(flops) / (cpu_seconds() - start) * 1e-9;
}

// ---- the two competitors: a call computes Y once ----
struct Problem {
  int64_t m, n, k;
  Operand operand;
  const float *x, *w;
};
using Product = std::function<void()>;

Product frugal_product(kernels::Ctx& ctx, const Problem& p, float* y) {
  const auto panels =
      std::shared_ptr<std::byte[]>(aligned_array<std::byte>(kernels::packed_b_bytes(p.n, p.k, p.operand)));
  kernels::Matrix matrix{.operand = p.operand, .out = p.n, .in = p.k, .panels = panels.get()};
  kernels::pack_matrix(ctx, p.w, &matrix, 1);
  return [&ctx, p, y, matrix, panels] {
    kernels::gemm(ctx, {p.x, p.k, nullptr, p.m, matrix.forward(), y, p.n}, kernels::Accumulate::kStore);
  };
}

#ifdef FRUGAL_BENCH_ONEDNN
// Its bf16 product reads an X that is rounded already, frugal's rounds X in every call.
Product onednn_product(const Problem& p, float* y) {
  using namespace dnnl;
  using tag = memory::format_tag;
  const auto f32 = memory::data_type::f32;
  const auto type = p.operand == Operand::kBF16 ? memory::data_type::bf16 : f32;
  engine cpu(engine::kind::cpu, 0);
  stream s(cpu);
  const memory::desc x_desc({p.m, p.k}, type, tag::ab), any_w({p.k, p.n}, type, tag::any),
      y_desc({p.m, p.n}, f32, tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  const matmul::primitive_desc primitive(cpu, x_desc, any_w, y_desc);
#else
  const matmul::primitive_desc primitive({x_desc, any_w, y_desc}, cpu);
#endif
  memory x_given({{p.m, p.k}, f32, tag::ab}, cpu, const_cast<float*>(p.x)), x(x_desc, cpu);
  memory w_given({{p.k, p.n}, f32, tag::ba}, cpu, const_cast<float*>(p.w)), w(primitive.weights_desc(), cpu);
  reorder(x_given, x).execute(s, x_given, x);
  reorder(w_given, w).execute(s, w_given, w);
  s.wait();
  memory out(y_desc, cpu, y);
  return [op = matmul(primitive), s, x, w, out]() mutable {
    omp_set_num_threads(1);
    op.execute(s, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, out}});
    s.wait();
  };
}
// A machine or version without this type throws; the column then stays empty.
Product try_onednn(const Problem& p, float* y) {
  try {
    return onednn_product(p, y);
  } catch (const dnnl::error&) {
    return {};
  }
}
#else
Product try_onednn(const Problem&, float*) { return {}; }
#endif

double gflops(const Problem& p, const Product& product) {
  const double start = cpu_seconds();
  product();
  return static_cast<double>(kernels::gemm_flops(p.m, p.n, p.k)) / (cpu_seconds() - start) * 1e-9;
}
// In a thread of its own: oneDNN sets up the AMX tiles of its thread in its way, frugal's stay as they are.
double gflops_apart(const Problem& p, const Product& product) {
  double result = 0;
  std::thread([&] { result = gflops(p, product); }).join();
  return result;
}

// Both must compute the same thing; K products of numbers below 1/2.
void check_equal(const Problem& p, const std::vector<float>& ours, const std::vector<float>& theirs) {
  const double tolerance = (p.operand == Operand::kBF16 ? 1e-5 : 1e-6) * std::sqrt(static_cast<double>(p.k));
  for (size_t i = 0; i < ours.size(); ++i)
    if (!(std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i])) <= tolerance))
      fail("gemm", fmt::format("element {}: frugal {} but oneDNN {}", i, ours[i], theirs[i]));
}

// Returns frugal / oneDNN, 0 without oneDNN.
double run(kernels::Ctx& ctx, const Problem& p, int repetitions) {
  std::vector<float> y(static_cast<size_t>(p.m * p.n)), y_onednn(y.size());
  const Product ours = frugal_product(ctx, p, y.data()), theirs = try_onednn(p, y_onednn.data());
  std::vector<double> peaks, our_speed, their_speed;
  for (int r = 0; r <= repetitions; ++r) {  // the first one warms up
    if (r == 1) peaks.clear(), our_speed.clear(), their_speed.clear();
    peaks.push_back(peak());
    our_speed.push_back(gflops(p, ours));
    if (theirs) their_speed.push_back(gflops_apart(p, theirs));
  }
  if (theirs) check_equal(p, y, y_onednn);
  const double fraction = median(our_speed) / median(peaks);
  const double ratio = theirs ? median(our_speed) / median(their_speed) : 0;
  fmt::print("{:8.3f} {:>5} {:5} {:5} {:5} {:9.1f} {:>9} {:>6} {:8.1f}  {:016x}\n", fraction,
             p.operand == Operand::kBF16 ? "bf16" : "f32", p.m, p.n, p.k, median(our_speed),
             theirs ? fmt::format("{:.1f}", median(their_speed)) : "-",
             theirs ? fmt::format("{:.2f}", ratio) : "-", median(peaks), hash(y));
  std::fflush(stdout);
  return ratio;
}

void run_all(int repetitions) {
  kernels::Ctx ctx(1);
  fmt::print("level {}, one thread, {} repetitions, GFLOP/s\n", ctx.level.name, repetitions);
  fmt::print("fraction  type     M     N     K    frugal    oneDNN  ratio     peak  hash\n");
  const std::vector<float> x = numbers("x", 2048 * 2048), w = numbers("w", 2048 * 2048);
  for (const Operand operand : {Operand::kF32, Operand::kBF16}) {
    double logs = 0;
    int count = 0;
    for (const int64_t m : {512, 1024, 2048})
      for (const int64_t n : {512, 1024, 2048})
        for (const int64_t k : {512, 1024, 2048}) {
          const double ratio = run(ctx, {m, n, k, operand, x.data(), w.data()}, repetitions);
          if (ratio > 0) logs += std::log(ratio), ++count;
        }
    const char* type = operand == Operand::kBF16 ? "bf16" : "f32";
    if (count > 0)
      fmt::print("{} geometric mean of frugal / oneDNN: {:.3f}\n", type, std::exp(logs / count));
    else
      fmt::print("{}: nothing to compare with (built without oneDNN, or it lacks the type here)\n", type);
  }
}
}  // namespace
}  // namespace frugal

int main(int argc, char** argv) {
  const int repetitions = argc > 1 ? std::atoi(argv[1]) : 7;
  if (argc > 2 || repetitions < 1) {
    fmt::print(stderr, "usage: {} [REPETITIONS]\n", argv[0]);
    return 2;
  }
  try {
    frugal::run_all(repetitions);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
