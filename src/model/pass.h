// What every part of a forward or backward pass needs, in one struct.
#pragma once

#include <functional>
#include <string>

#include "base/arena.h"
#include "kernels/ctx.h"
#include "kernels/rope.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/params.h"
#include "model/saved.h"

namespace frugal::model {

// Receives intermediate results by name ("layers.1.attn_out", [rows, columns]); used by `frugal verify`.
using Probe = std::function<void(const std::string& name, const float* data, int64_t rows, int64_t columns)>;

struct Pass {
  kernels::Ctx& ctx;
  const ModelConfig& config;
  const TokenBatch& batch;
  const kernels::RopeTable& rope;
  Arena& arena;              // temporaries
  kernels::Operand operand;  // of all products but the router's
  int64_t version = 0;       // of the packed weights; a stale panel is an assertion
  KvCache* cache = nullptr;
  const Probe* probe = nullptr;
  int64_t layer = 0;  // index in names and in the cache
  std::string name;   // prefix of probe names: "layers.3." or "mtp."

  int64_t tokens() const { return batch.size(); }
  void report(const char* what, const float* data, int64_t rows, int64_t columns) const {
    if (probe) (*probe)(name + what, data, rows, columns);
  }
};

// The balance loss of one microbatch.
struct BalanceContext {
  kernels::BalanceArgs args;  // alpha 0: no balance loss
};

// Where forward writes n values of a row marked * in saved.h: *rows, or temporary memory where bf16 is kept.
inline void begin_rows(const Pass& p, const uint16_t* kept, int64_t n, float** rows) {
  if (kept) *rows = p.arena.alloc<float>(n);
}
// Rounds what was written; nothing to do where f32 is kept.
inline void keep_rows(const Pass& p, float** rows, int64_t n, uint16_t* kept) {
  if (!kept) return;
  const kernels::ProfileScope timed(p.ctx.profile, "row operations", {0, 6.0 * static_cast<double>(n)},
                                    "keep");
  p.ctx.pool.parallel_for(n, [&](int64_t begin, int64_t end, int) {
    p.ctx.level.narrow_bf16(*rows + begin, end - begin, kept + begin);
  });
  *rows = nullptr;  // temporary
}
// For backward.
inline void widen_rows(const Pass& p, const uint16_t* kept, int64_t n, float** rows) {
  if (!kept) return;
  begin_rows(p, kept, n, rows);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations", {0, 6.0 * static_cast<double>(n)},
                                    "keep");
  p.ctx.pool.parallel_for(n, [&](int64_t begin, int64_t end, int) {
    p.ctx.level.widen_bf16(kept + begin, end - begin, *rows + begin);
  });
}

// y [rows, out] (+)= x [rows, in] W^T.
inline void linear(const Pass& p, const Weight& w, const float* x, int64_t ldx, int64_t rows, float* y,
                   kernels::Accumulate accumulate = kernels::Accumulate::kStore) {
  FRUGAL_ASSERT(w.matrix.version == p.version, "stale panel: version {} of {}", w.matrix.version, p.version);
  kernels::gemm(p.ctx, {x, ldx, nullptr, rows, w.matrix.forward(), y, w.out}, accumulate);
}
// dx [rows, in] (+)= dy [rows, out] W.
inline void input_gradient(const Pass& p, const Weight& w, const float* dy, int64_t rows, float* dx,
                           kernels::Accumulate accumulate = kernels::Accumulate::kStore) {
  FRUGAL_ASSERT(w.matrix.version == p.version, "stale panel: version {} of {}", w.matrix.version, p.version);
  kernels::gemm(p.ctx, {dy, w.out, nullptr, rows, w.matrix.backward(), dx, w.in}, accumulate);
}
// dw += dy^T x.
inline void add_weight_gradient(const Pass& p, const Weight& w, const float* dy, const float* x, int64_t ldx,
                                int64_t rows, float* grads) {
  kernels::weight_gradient(
      p.ctx, {dy, w.out, x, ldx, nullptr, rows, grads + w.offset, w.out, w.in, w.matrix.operand, w.label},
      kernels::Accumulate::kAddFinished);
}
// Both.
inline void linear_backward(const Pass& p, const Weight& w, const float* dy, const float* x, int64_t ldx,
                            int64_t rows, float* dx, float* grads,
                            kernels::Accumulate accumulate = kernels::Accumulate::kStore) {
  input_gradient(p, w, dy, rows, dx, accumulate);
  add_weight_gradient(p, w, dy, x, ldx, rows, grads);
}

}  // namespace frugal::model
