// The golden cases without a model: which there are, and products to the bit.
#include "base/error.h"
#include "base/files.h"
#include "eval/verify_cases.h"

namespace frugal::eval {

using kernels::Ctx;

void matrix_product(Ctx& ctx, const std::vector<float>& a, const std::vector<float>& b, int64_t m, int64_t n,
                    int64_t k, kernels::Operand operand, kernels::Accumulate accumulate,
                    std::vector<float>* y) {
  std::vector<char> packed(static_cast<size_t>(kernels::packed_b_bytes(n, k, operand)));
  kernels::pack_b_rows(ctx, b.data(), k, n, k, operand, packed.data());
  y->resize(static_cast<size_t>(m * n));
  kernels::GemmGroup g;
  g.a = a.data();
  g.lda = k;
  g.rows = m;
  g.b = {operand, packed.data(), n, k};
  g.c = y->data();
  g.ldc = n;
  kernels::gemm(ctx, g, accumulate);
}

namespace {
void verify_int8(GoldenFile& g, CaseReport* report) {
  const int64_t m = g.shape("int8.a", 2)[0], k = g.shape("int8.a", 2)[1], n = g.shape("int8.b", 2)[0];
  const std::vector<int8_t> a = g.i8("int8.a", {m, k}), b = g.i8("int8.b", {n, k});
  std::vector<int32_t> c;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t sum = 0;
      for (int64_t l = 0; l < k; ++l)
        sum += a[static_cast<size_t>(i * k + l)] * b[static_cast<size_t>(j * k + l)];
      c.push_back(static_cast<int32_t>(sum));
    }
  }
  check_bits(report, "int8.c", c, g.i32("int8.c", {m, n}));
}
}  // namespace

void verify_products(Ctx& ctx, GoldenFile& g, CaseReport* report) {
  for (const std::string& level : kernels::available_levels()) {
    Ctx local(ctx.pool.size(), kernels::level_by_name(level));
    for (const std::string& prefix : g.prefixes(".a")) {
      if (!prefix.starts_with("bf16.")) continue;
      const int64_t m = g.shape(prefix + ".a", 2)[0], k = g.shape(prefix + ".a", 2)[1],
                    n = g.shape(prefix + ".b", 2)[0];
      const bool continued = g.has(prefix + ".c0");
      std::vector<float> c;
      if (continued) c = g.f32(prefix + ".c0", {m, n});
      matrix_product(local, g.widened_bf16(prefix + ".a", {m, k}), g.widened_bf16(prefix + ".b", {n, k}), m,
                     n, k, kernels::Operand::kBF16,
                     continued ? kernels::Accumulate::kContinue : kernels::Accumulate::kStore, &c);
      check_bits(report, prefix + ".c [" + level + "]", c, g.f32(prefix + ".c", {m, n}));
    }
  }
  if (g.has("int8.a")) verify_int8(g, report);
}

CaseReport verify_vectors(Ctx& ctx, const std::string& directory) {
  CaseReport report{directory, {}, {}};
  GoldenFile g(directory + "/golden.safetensors");
  set_denormals_to_zero();  // what is called without the pool runs in this thread
  if (g.has("gate.weight") && g.has("params")) verify_routing(ctx, g, &report);
  if (g.has("e4m3.decode_table")) verify_quantisation(ctx, g, &report);
  if (g.has("positions") && !g.prefixes(".inv_freq").empty()) verify_rope(ctx, g, directory, &report);
  if (!g.prefixes(".a").empty()) verify_products(ctx, g, &report);
  if (g.has("clip_factor") && g.has("lr")) verify_adamw(ctx, g, directory, &report);
  report.unchecked = g.unused();
  for (const std::string& file : list_directory(directory))
    if (file.ends_with(".safetensors") && file != "golden.safetensors") report.unchecked.push_back(file);
  return report;
}

}  // namespace frugal::eval
