// Block FP8: the codec, quantisation and the block-scaled product.
#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "eval/verify_cases.h"
#include "kernels/quant.h"

namespace frugal::eval {

namespace {
using kernels::Ctx;

void verify_codec(GoldenFile& g, CaseReport* report) {
  const int64_t n = g.shape("e4m3.encode_in", 1)[0];
  const std::vector<float> in = g.f32("e4m3.encode_in", {n});
  std::vector<float> table;
  for (int byte = 0; byte < 256; ++byte) table.push_back(f32_from_e4m3(static_cast<uint8_t>(byte)));
  check_absolute(report, "e4m3.decode_table", table, g.f32("e4m3.decode_table", {256}), 0);
  for (bool saturate : {true, false}) {
    const std::string name = saturate ? "e4m3.encode_saturating" : "e4m3.encode_nan_overflow";
    std::vector<uint8_t> bytes;
    for (float x : in) bytes.push_back(e4m3_from_f32(x, saturate));
    check_bits(report, name, bytes, g.e4m3(name, {n}));
  }
}

// The largest error relative to the largest value of its row; with half_bf16_step only what exceeds the
// rounding of the stored value.
double error_of_rows(const std::vector<float>& got, const std::vector<float>& want, int64_t rows,
                     bool half_bf16_step) {
  const size_t columns = want.size() / static_cast<size_t>(rows);
  double worst = 0;
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    double largest = 0, error = 0;
    for (size_t i = r * columns; i < (r + 1) * columns; ++i) {
      const double w = static_cast<double>(want[i]);
      const double slack = half_bf16_step && w != 0 ? std::ldexp(1.0, std::ilogb(w) - 8) : 0;
      largest = std::max(largest, std::fabs(w));
      error = std::max(error, distance(static_cast<double>(got[i]), w) - slack);
    }
    if (error > 0) worst = std::max(worst, error / largest);
  }
  return worst;
}

void verify_block_product(Ctx& ctx, GoldenFile& g, CaseReport* report) {
  const int64_t m = g.shape("act.q", 2)[0], k = g.shape("act.q", 2)[1], n = g.shape("gemm.b_q", 2)[0];
  const int64_t blocks = kernels::quant_blocks(k);
  const std::vector<uint8_t> b_q = g.e4m3("gemm.b_q", {n, k});
  const std::vector<float> b_scale = g.f32("gemm.b_scale_inv", {kernels::quant_blocks(n), blocks});
  constexpr double kTolerance = 2e-6;
  for (bool ue8m0 : {false, true}) {
    const std::string prefix = ue8m0 ? "act.ue8m0." : "act.", name = ue8m0 ? "gemm.c_ue8m0" : "gemm.c";
    const std::vector<uint8_t> a_q = g.e4m3(prefix + "q", {m, k});
    const std::vector<float> a_scale = g.f32(prefix + "scale", {m, blocks});
    std::vector<float> c(static_cast<size_t>(m * n));
    kernels::BlockScaledProduct p;
    p.m = m;
    p.n = n;
    p.k = k;
    p.a_q = a_q.data();
    p.a_scale = a_scale.data();
    p.b_q = b_q.data();
    p.b_scale = b_scale.data();
    p.c = c.data();
    kernels::block_scaled_product(ctx, p);
    add_check(report, name, error_of_rows(c, g.f32(name, {m, n}), m, false),
              {kTolerance, "of the row maximum"});
    if (!ue8m0)
      add_check(report, "gemm.c_bf16", error_of_rows(c, g.widened_bf16("gemm.c_bf16", {m, n}), m, true),
                {kTolerance, "of the row maximum, beyond half a bf16 step"});
  }
}
}  // namespace

void verify_quantisation(Ctx& ctx, GoldenFile& g, CaseReport* report) {
  verify_codec(g, report);
  const int64_t rows = g.shape("act.x", 2)[0], channels = g.shape("act.x", 2)[1];
  const int64_t blocks = kernels::quant_blocks(channels);
  const std::vector<float> x = g.f32("act.x", {rows, channels});
  std::vector<uint8_t> q(x.size());
  std::vector<float> scale(static_cast<size_t>(rows * blocks)), back(x.size());
  for (bool ue8m0 : {false, true}) {
    const std::string prefix = ue8m0 ? "act.ue8m0." : "act.";
    kernels::quantise_activations(ctx, x.data(), channels, rows, channels, ue8m0, q.data(), scale.data());
    kernels::dequantise_activations(ctx, q.data(), scale.data(), rows, channels, back.data());
    check_bits(report, prefix + "q", q, g.e4m3(prefix + "q", {rows, channels}));
    check_bits(report, prefix + "scale", scale, g.f32(prefix + "scale", {rows, blocks}));
    check_bits(report, prefix + "dequant", back, g.f32(prefix + "dequant", {rows, channels}));
  }
  const int64_t out = g.shape("weight.w", 2)[0], in = g.shape("weight.w", 2)[1];
  const std::vector<float> w = g.f32("weight.w", {out, in});
  q.resize(w.size());
  back.resize(w.size());
  const Shape scale_shape{kernels::quant_blocks(out), kernels::quant_blocks(in)};
  scale.resize(static_cast<size_t>(scale_shape.elements()));
  kernels::quantise_weights(ctx, w.data(), out, in, q.data(), scale.data());
  kernels::dequantise_weights(ctx, q.data(), scale.data(), out, in, back.data());
  check_bits(report, "weight.q", q, g.e4m3("weight.q", {out, in}));
  check_bits(report, "weight.scale_inv", scale, g.f32("weight.scale_inv", scale_shape));
  check_bits(report, "weight.dequant", back, g.f32("weight.dequant", {out, in}));
  verify_block_product(ctx, g, report);
}

}  // namespace frugal::eval
