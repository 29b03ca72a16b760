// Attention's softmax and its gradient: rows of 64 products in registers; V of their four parts have a visible key.
// Included inside a level's namespace behind maths.inl.

template <int N>
struct int_constant {
  static constexpr int value = N;
};

constexpr int kParts = kKeyBlock / 16;

// Numbers 16 i .. 16 i + 15 of a row of A. FRUGAL_NARROW_A: a level whose A blocks of bf16 are 16 bits wide.
static inline void store_operand(float* row, int i, f32x16 x, Operand operand) {
#ifdef FRUGAL_NARROW_A
  if (operand == Operand::kBF16) return store_bf16(reinterpret_cast<uint16_t*>(row) + 16 * i, x);
#endif
  store(row + 16 * i, operand == Operand::kBF16 ? round_bf16(x) : x);
}
static inline void zero_rows(float* p, int64_t first, int64_t last) {
  for (int64_t r = first; r < last; ++r)
    for (int i = 0; i < kParts; ++i) store(p + r * kChunkStride + 16 * i, set1(0.0f));
}
// Calls f with the number of parts as a compile-time constant; 1 <= n <= 64.
template <class F>
static inline void with_parts(int64_t n, F f) {
  switch ((n + 15) / 16) {
    case 1:
      return f(int_constant<1>{});
    case 2:
      return f(int_constant<2>{});
    case 3:
      return f(int_constant<3>{});
    default:
      return f(int_constant<4>{});
  }
}

template <int V>
static inline float softmax_row(const SoftmaxTile& t, int64_t r, int64_t n) {
  const float* s = t.s + r * kKeyBlock;
  float* p = t.p + r * kChunkStride;
  f32x16 x[V];
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) x[i] = mul(set1(t.scale), load(s + 16 * i));
  x[V - 1] = blend_first(static_cast<int>(n - 16 * (V - 1)), x[V - 1], set1(-__builtin_inff()));
  f32x16 top = x[0];
#pragma GCC unroll 4
  for (int i = 1; i < V; ++i) top = max(top, x[i]);
  const float block_max = reduce_max(top);
  t.m[r] = !t.first_block && t.m[r] > block_max ? t.m[r] : block_max;
  const f32x16 m = set1(t.m[r]);
  f32x16 sum = x[0] = exp(sub(x[0], m));
#pragma GCC unroll 4
  for (int i = 1; i < V; ++i) {
    x[i] = exp(sub(x[i], m));  // zero at the -inf of keys that are not seen
    sum = add(sum, x[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) store_operand(p, i, x[i], t.operand);
#pragma GCC unroll 4
  for (int i = V; i < kParts; ++i) store_operand(p, i, set1(0.0f), t.operand);
  return reduce_add(sum);
}

static void softmax_tile(const SoftmaxTile& t) {
  float before[kKeyBlock], sum[kKeyBlock];
  for (int64_t r = 0; r < t.rows; ++r) {
    const int64_t seen = t.visible + t.step * r, n = seen < kKeyBlock ? seen : kKeyBlock;
    before[r] = t.first_block ? 0.0f : t.m[r];
    sum[r] = 0;
    if (n > 0)
      with_parts(n, [&](auto parts) { sum[r] = softmax_row<decltype(parts)::value>(t, r, n); });
    else
      zero_rows(t.p, r, r + 1);
  }
  zero_rows(t.p, t.rows, t.capacity);
  if (t.first_block) {
    map16(t.rows, t.factor, [](int64_t, int) { return set1(0.0f); });
    map16(t.rows, t.l, [&](int64_t i, int m) { return take(sum + i, m); });
    return;
  }
  // A row without a visible key: the factor is 1 and the sum 0.
  map16(t.rows, t.factor, [&](int64_t i, int m) { return exp(sub(take(before + i, m), take(t.m + i, m))); });
  map16(t.rows, t.l,
        [&](int64_t i, int m) { return fma(take(t.l + i, m), take(t.factor + i, m), take(sum + i, m)); });
}

template <int V>
static inline void softmax_backward_row(const SoftmaxBackwardTile& t, int64_t r, int64_t n) {
  const int64_t in = r * kKeyBlock, out = r * kChunkStride;
  const f32x16 scale = set1(t.scale), lse = set1(t.lse[r]), delta = set1(t.delta[r]), zero = set1(0.0f);
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) {
    f32x16 p = exp(sub(mul(load(t.s + in + 16 * i), scale), lse));
    f32x16 ds = mul(mul(p, sub(load(t.dp + in + 16 * i), delta)), scale);
    if (i == V - 1) {
      p = blend_first(static_cast<int>(n - 16 * (V - 1)), p, zero);
      ds = blend_first(static_cast<int>(n - 16 * (V - 1)), ds, zero);
    }
    store_operand(t.p + out, i, p, t.operand);
    store_operand(t.ds + out, i, ds, t.operand);
  }
#pragma GCC unroll 4
  for (int i = V; i < kParts; ++i) {
    store_operand(t.p + out, i, zero, t.operand);
    store_operand(t.ds + out, i, zero, t.operand);
  }
}

static void softmax_backward_tile(const SoftmaxBackwardTile& t) {
  for (int64_t r = 0; r < t.rows; ++r) {
    const int64_t n = t.visible + r < kKeyBlock ? t.visible + r : kKeyBlock;
    if (n > 0) {
      with_parts(n, [&](auto parts) { softmax_backward_row<decltype(parts)::value>(t, r, n); });
    } else {
      zero_rows(t.p, r, r + 1);
      zero_rows(t.ds, r, r + 1);
    }
  }
  zero_rows(t.p, t.rows, t.capacity);
  zero_rows(t.ds, t.rows, t.capacity);
}
