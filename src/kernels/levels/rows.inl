// Row kernels, written once over f32x16 and compiled per level: equal bits by construction.
// Included inside a level's namespace behind maths.inl. Reductions: element i in lane i mod 16, lanes fold 8, 4, 2, 1.

static void round_bf16_row(const float* x, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return round_bf16(take(x + i, m)); });
}
static void narrow_bf16(const float* x, int64_t n, uint16_t* y) {
  each16(
      n, [&](int64_t i) { store_bf16(y + i, load(x + i)); },
      [&](int64_t i, int m) {
        uint16_t rest[16];
        store_bf16(rest, load_first(x + i, m, 0.0f));
        for (int j = 0; j < m; ++j) y[i + j] = rest[j];
      });
}
static void widen_bf16(const uint16_t* x, int64_t n, float* y) {
  each16(
      n, [&](int64_t i) { store(y + i, load_bf16(x + i)); },
      [&](int64_t i, int m) {
        uint16_t rest[16] = {};
        for (int j = 0; j < m; ++j) rest[j] = x[i + j];
        store_first(y + i, m, load_bf16(rest));
      });
}
static void widen_e4m3_row(const uint8_t* q, int64_t n, float scale, float* y) {
  alignas(64) uint16_t words[64];
  uint8_t rest[64] = {};
  const f32x16 s = set1(scale);
  for (int64_t i = 0; i < n; i += 64) {
    if (n - i < 64)
      for (int64_t j = 0; j < n - i; ++j) rest[j] = q[i + j];
    widen_e4m3(n - i < 64 ? rest : q + i, kE4m3.word, words);
    for (int64_t j = 0; j < 64 && i + j < n; j += 16)
      store_first(y + i + j, static_cast<int>(n - i - j < 16 ? n - i - j : 16), mul(load_bf16(words + j), s));
  }
}
static void add_row(const float* a, const float* b, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return add(take(a + i, m), take(b + i, m)); });
}
static void add_scaled(float s, const float* x, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return fma(set1(s), take(x + i, m), take(y + i, m)); });
}
static void scale_row(float s, const float* x, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return mul(set1(s), take(x + i, m)); });
}
static void divide(float s, const float* x, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return div(take(x + i, m), set1(s)); });
}

// Lanes without an element hold +0; a lane starts with its first element.
template <class First, class Next>
static inline float reduce_sum(int64_t n, First first_value, Next next) {
  const int head = static_cast<int>(n < 16 ? n : 16);
  f32x16 s = blend_first(head, first_value(0, head), set1(0.0f));
  for (int64_t i = 16; i < n; i += 16) {
    const int m = static_cast<int>(n - i < 16 ? n - i : 16);
    s = m == 16 ? next(s, i, 16) : blend_first(m, next(s, i, m), s);
  }
  return reduce_add(s);
}
static float dot(const float* a, const float* b, int64_t n) {
  return reduce_sum(
      n, [&](int64_t i, int m) { return mul(take(a + i, m), take(b + i, m)); },
      [&](f32x16 s, int64_t i, int m) { return fma(take(a + i, m), take(b + i, m), s); });
}
static float sum_squares(const float* x, int64_t n) { return dot(x, x, n); }
static float row_max(const float* x, int64_t n) {
  const float lowest = -__builtin_inff();
  f32x16 s = load_first(x, static_cast<int>(n < 16 ? n : 16), lowest);
  for (int64_t i = 16; i < n; i += 16)
    s = max(s, load_first(x + i, static_cast<int>(n - i < 16 ? n - i : 16), lowest));
  return reduce_max(s);
}

static float exp1(float x) { return first(exp(set1(x))); }
static float log1(float x) { return first(log(set1(x))); }

static void rmsnorm_again(const float* x, const float* w, float r, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return mul(mul(take(x + i, m), set1(r)), take(w + i, m)); });
}
static float rmsnorm(const float* x, const float* w, float eps, int64_t n, float* y) {
  const float mean = sum_squares(x, n) / static_cast<float>(n);
  const float r = 1.0f / first(sqrt(set1(mean + eps)));
  rmsnorm_again(x, w, r, n, y);
  return r;
}
static void rmsnorm_backward(const float* x, const float* w, float r, const float* dy, int64_t n, float* dx,
                             float* dw_sum) {
  const auto weighted = [&](int64_t i, int m) { return mul(take(w + i, m), take(dy + i, m)); };
  const float d = reduce_sum(
      n, [&](int64_t i, int m) { return mul(weighted(i, m), take(x + i, m)); },
      [&](f32x16 s, int64_t i, int m) { return fma(weighted(i, m), take(x + i, m), s); });
  const f32x16 c = set1(-(d * (r * r * r) / static_cast<float>(n)));
  map16(n, dx, [&](int64_t i, int m) {
    return add(take(dx + i, m), fma(c, take(x + i, m), mul(set1(r), weighted(i, m))));
  });
  map16(n, dw_sum, [&](int64_t i, int m) {
    return fma(take(dy + i, m), mul(take(x + i, m), set1(r)), take(dw_sum + i, m));
  });
}

static void rope(const float* x, const float* cos, const float* sin, float sign, int64_t pairs, float* y) {
  for (int64_t p = 0; p < pairs; p += 8) {
    const int m = static_cast<int>(pairs - p < 8 ? pairs - p : 8);
    const f32x16 v = take(x + 2 * p, 2 * m);
    const f32x16 c = load_twice(cos + p, m), s = mul(set1(sign), load_twice(sin + p, m));
    const f32x16 rotated = fma_add_odd(v, c, mul(swap_pairs(v), s));
    if (m == 8)
      store(y + 2 * p, rotated);
    else
      store_first(y + 2 * p, 2 * m, rotated);
  }
}

static void swiglu(const float* gate, const float* up_row, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) {
    const f32x16 g = take(gate + i, m);
    return mul(mul(g, sigmoid16(g)), take(up_row + i, m));
  });
}
static float swiglu_backward(const float* gate, const float* up_row, const float* dy, float weight, int64_t n,
                             float* dgate, float* dup, float* act) {
  struct Lanes {
    f32x16 a, d;
  };
  const auto put = [](float* p, int m, f32x16 v) {
    if (m == 16)
      store(p, v);
    else
      store_first(p, m, v);
  };
  const auto value = [&](int64_t i, int m) {
    const f32x16 g = take(gate + i, m), u = take(up_row + i, m), raw = take(dy + i, m);
    const f32x16 d = mul(set1(weight), raw), s = sigmoid16(g), gs = mul(g, s), a = mul(gs, u);
    put(dgate + i, m, mul(mul(d, u), fma(gs, sub(set1(1.0f), s), s)));
    put(dup + i, m, mul(d, gs));
    put(act + i, m, mul(set1(weight), a));
    return Lanes{a, raw};
  };
  return reduce_sum(
      n,
      [&](int64_t i, int m) {
        const Lanes v = value(i, m);
        return mul(v.a, v.d);
      },
      [&](f32x16 s, int64_t i, int m) {
        const Lanes v = value(i, m);
        return fma(v.a, v.d, s);
      });
}
static void sigmoid(const float* x, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return sigmoid16(take(x + i, m)); });
}
static float exp_sum(const float* x, float m0, int64_t n, float* y) {
  const auto value = [&](int64_t i, int m) {
    const f32x16 e = exp(sub(take(x + i, m), set1(m0)));
    if (y != nullptr && m == 16) store(y + i, e);
    if (y != nullptr && m < 16) store_first(y + i, m, e);
    return e;
  };
  return reduce_sum(n, value, [&](f32x16 s, int64_t i, int m) { return add(s, value(i, m)); });
}
static void exp_scaled(const float* x, float m0, float s, int64_t n, float* y) {
  map16(n, y, [&](int64_t i, int m) { return mul(set1(s), exp(sub(take(x + i, m), set1(m0)))); });
}
static void softmax(const float* x, int64_t n, float* y) {
  const float l = exp_sum(x, row_max(x, n), n, y);
  map16(n, y, [&](int64_t i, int m) { return div(take(y + i, m), set1(l)); });
}

static void rescale_add(const float* factor, const float* x, int64_t rows, int64_t n, float* y, int64_t ldy) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += ldy)
    map16(n, y, [&](int64_t i, int m) { return fma(take(y + i, m), set1(factor[r]), take(x + i, m)); });
}

static void adamw(const AdamwArgs& a) {
  const f32x16 one_minus_beta1 = set1(1.0f - a.beta1), one_minus_beta2 = set1(1.0f - a.beta2);
  const auto step = [&](int64_t i, int m, auto save) {
    const f32x16 g = mul(take(a.grad + i, m), set1(a.grad_scale));
    const f32x16 p = take(a.param + i, m);
    const f32x16 avg = fma(one_minus_beta1, g, mul(set1(a.beta1), take(a.exp_avg + i, m)));
    const f32x16 avg_sq = fma(mul(one_minus_beta2, g), g, mul(set1(a.beta2), take(a.exp_avg_sq + i, m)));
    const f32x16 denominator = add(sqrt(div(avg_sq, set1(a.bias_correction2))), set1(a.eps));
    const f32x16 update = fma(set1(a.weight_decay), p, div(div(avg, set1(a.bias_correction1)), denominator));
    save(a.exp_avg + i, avg);
    save(a.exp_avg_sq + i, avg_sq);
    save(a.param + i, fma(set1(-a.learning_rate), update, p));
  };
  each16(
      a.n, [&](int64_t i) { step(i, 16, [](float* p, f32x16 v) { store(p, v); }); },
      [&](int64_t i, int m) { step(i, m, [m](float* p, f32x16 v) { store_first(p, m, v); }); });
}

static float fma_chain(int64_t rounds) {
  f32x16 chain[kFmaChains];
  float start[16];  // different in every lane and chain, or the compiler would compute one of them only
  for (int c = 0; c < kFmaChains; ++c) {
    for (int i = 0; i < 16; ++i) start[i] = static_cast<float>(rounds % 7 + 16 * c + i);
    chain[c] = load(start);
  }
  const f32x16 factor = set1(0.5f), term = set1(0.25f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int c = 0; c < kFmaChains; ++c) chain[c] = fma(chain[c], factor, term);
  }
  f32x16 sum = chain[0];
  for (int c = 1; c < kFmaChains; ++c) sum = add(sum, chain[c]);
  return reduce_add(sum);
}

// Eight sums, so that no addition waits for the one before it.
template <bool AHEAD>
static float read_floats(const float* x, int64_t n) {
  f32x16 sum[8];
  for (int j = 0; j < 8; ++j) sum[j] = set1(0.0f);
  for (int64_t i = 0; i < n; i += 256) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      if constexpr (AHEAD) __builtin_prefetch(x + i + 16 * j + 1024);
      sum[j % 8] = add(sum[j % 8], load(x + i + 16 * j));
    }
  }
  for (int j = 1; j < 8; ++j) sum[0] = add(sum[0], sum[j]);
  return reduce_add(sum[0]);
}

// Groups of 128 (the last padded with zeros): s = amax / limit, q = x / s to nearest even. A group that no
// normal scale can represent has scale 1 and zeros; a value that is not finite makes its scale NaN.
static void quantise_groups(const float* x, int64_t n, float limit, int8_t* q, float* scale, int32_t* sum) {
  const f32x16 rounding = set1(12582912.0f);  // 1.5 * 2^23: the sum's low bits are the nearest integer
  for (int64_t at = 0; at < n; at += kQuantGroup, q += kQuantGroup, ++scale, ++sum) {
    const int64_t length = n - at < kQuantGroup ? n - at : kQuantGroup;
    f32x16 amax = set1(0.0f), bad = set1(0.0f);
    const auto value = [&](int64_t i) {
      const int m = static_cast<int>(length - i < 16 ? length - i : 16);
      return m <= 0 ? set1(0.0f) : m == 16 ? load(x + at + i) : load_first(x + at + i, m, 0.0f);
    };
    for (int64_t i = 0; i < length; i += 16) {
      const f32x16 v = value(i);
      amax = max(amax, max(v, sub(set1(0.0f), v)));
      bad = fma(v, set1(0.0f), bad);
    }
    const float s = reduce_max(amax) / limit;
    const float divisor = s < 1.17549435e-38f ? 1.0f : s;
    *scale = divisor + reduce_add(bad);
    i32x16 total = zero_i32();
    for (int64_t i = 0; i < kQuantGroup; i += 16) {
      const i32x16 bytes = low_bytes(add(div(value(i), set1(divisor)), rounding));
      store_bytes(q + i, bytes);
      total = add_i32(total, bytes);
    }
    *sum = sum_of(total);
  }
}
