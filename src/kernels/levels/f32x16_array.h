// f32x16 as an array of 16 floats: the reference that every other implementation must equal bit for bit.
// Included inside a level's namespace.
struct f32x16 {
  float v[16];
};
constexpr int kFmaChains = 1;  // as many as fit the registers and keep the units busy

static inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

#define FRUGAL_EACH(expression)                       \
  f32x16 r;                                           \
  for (int i = 0; i < 16; ++i) r.v[i] = (expression); \
  return r

static inline f32x16 load(const float* p) { FRUGAL_EACH(p[i]); }
static inline f32x16 load_first(const float* p, int n, float other) { FRUGAL_EACH(i < n ? p[i] : other); }
static inline void store(float* p, f32x16 a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
static inline void store_first(float* p, int n, f32x16 a) {
  for (int i = 0; i < n; ++i) p[i] = a.v[i];
}
static inline f32x16 set1(float x) { FRUGAL_EACH(x); }
static inline f32x16 add(f32x16 a, f32x16 b) { FRUGAL_EACH(a.v[i] + b.v[i]); }
static inline f32x16 sub(f32x16 a, f32x16 b) { FRUGAL_EACH(a.v[i] - b.v[i]); }
static inline f32x16 mul(f32x16 a, f32x16 b) { FRUGAL_EACH(a.v[i] * b.v[i]); }
static inline f32x16 div(f32x16 a, f32x16 b) { FRUGAL_EACH(a.v[i] / b.v[i]); }
static inline f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { FRUGAL_EACH(fma1(a.v[i], b.v[i], c.v[i])); }
static inline f32x16 max(f32x16 a, f32x16 b) { FRUGAL_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
static inline f32x16 sqrt(f32x16 a) { FRUGAL_EACH(__builtin_sqrtf(a.v[i])); }
// Lane-wise a < b ? x : y.
static inline f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  FRUGAL_EACH(a.v[i] < b.v[i] ? x.v[i] : y.v[i]);
}
// First n lanes of a, the rest of b.
static inline f32x16 blend_first(int n, f32x16 a, f32x16 b) { FRUGAL_EACH(i < n ? a.v[i] : b.v[i]); }

static inline uint32_t bits_of(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}
static inline float float_of(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}
static inline float round_bf16_1(float x) {
  const uint32_t u = bits_of(x), exponent = u & 0x7f800000u;
  if (exponent == 0) return float_of(u & 0x80000000u);
  if (exponent == 0x7f800000u && (u & 0x007fffffu) != 0) return float_of((u | 0x00400000u) & 0xffff0000u);
  return float_of((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
}
static inline f32x16 round_bf16(f32x16 a) { FRUGAL_EACH(round_bf16_1(a.v[i])); }
static inline f32x16 load_bf16(const uint16_t* p) {
  FRUGAL_EACH(float_of(static_cast<uint32_t>(p[i]) << 16));
}
static inline void store_bf16(uint16_t* p, f32x16 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(bits_of(round_bf16_1(a.v[i])) >> 16);
}
// bits(a) + (bits(t) << 23): multiplies a by 2^n when t is n plus the rounding constant of exp().
static inline f32x16 add_exponent(f32x16 a, f32x16 t) {
  FRUGAL_EACH(float_of(bits_of(a.v[i]) + (bits_of(t.v[i]) << 23)));
}
// x = m * 2^e with m in [sqrt(1/2), sqrt(2)): returns m, stores e. x positive and normal.
static inline f32x16 split_exponent(f32x16 x, f32x16* e) {
  f32x16 m;
  for (int i = 0; i < 16; ++i) {
    const uint32_t u = bits_of(x.v[i]) - 0x3f3504f3u;  // sqrt(1/2)
    e->v[i] = static_cast<float>(static_cast<int32_t>(u) >> 23);
    m.v[i] = float_of((u & 0x007fffffu) + 0x3f3504f3u);
  }
  return m;
}
// Two bf16 values per lane, as the B panels hold them: a below b. Both are rounded already.
static inline f32x16 join_bf16(f32x16 a, f32x16 b) {
  FRUGAL_EACH(float_of((bits_of(a.v[i]) >> 16) | (bits_of(b.v[i]) & 0xffff0000u)));
}
// The low 16 bits of every lane moved up.
// In every 64 bits the two words in the middle swapped: (a0, a1), (b0, b1) becomes (a0, b0), (a1, b1).
static inline f32x16 swap_middle_words(f32x16 a) {
  for (int i = 0; i < 16; i += 2) {
    const uint32_t x = bits_of(a.v[i]), y = bits_of(a.v[i + 1]);
    a.v[i] = float_of((x & 0xffffu) | y << 16);
    a.v[i + 1] = float_of(x >> 16 | (y & 0xffff0000u));
  }
  return a;
}
// 8 rows of 8 numbers of 64 bits.
static inline void transpose8_wide(f32x16* rows) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < i; ++j) {
      for (int h = 0; h < 2; ++h) {
        const float x = rows[i].v[2 * j + h];
        rows[i].v[2 * j + h] = rows[j].v[2 * i + h];
        rows[j].v[2 * i + h] = x;
      }
    }
  }
}
static inline void transpose16(f32x16* rows) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const float x = rows[i].v[j];
      rows[i].v[j] = rows[j].v[i];
      rows[j].v[i] = x;
    }
  }
}
static inline float first(f32x16 a) { return a.v[0]; }
// Adjacent pairs swapped: (a1, a0, a3, a2, ...).
static inline f32x16 swap_pairs(f32x16 a) { FRUGAL_EACH(a.v[i ^ 1]); }
// Eight values, each twice: (p0, p0, p1, p1, ...).
static inline f32x16 load_twice(const float* p, int n) { FRUGAL_EACH(i / 2 < n ? p[i / 2] : 0.0f); }
// Odd lanes a * b + c, even lanes a * b - c, each rounded as fma(a, b, +-c).
static inline f32x16 fma_add_odd(f32x16 a, f32x16 b, f32x16 c) {
  FRUGAL_EACH(fma1(a.v[i], b.v[i], i % 2 ? c.v[i] : -c.v[i]));
}

static inline float reduce_add(f32x16 a) {
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) a.v[i] = a.v[i] + a.v[i + w];
  return a.v[0];
}
static inline float reduce_max(f32x16 a) {
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) a.v[i] = a.v[i] > a.v[i + w] ? a.v[i] : a.v[i + w];
  return a.v[0];
}
#undef FRUGAL_EACH

// ---- tiles: acc[rows][32], rows ld apart; fresh: from zero, else it continues. a(i, k) = a[i * RS + k * KS]
// ----
template <int ROWS>
static inline void start_tile(float* acc, int64_t ld, bool fresh) {
  for (int i = 0; i < ROWS && fresh; ++i)
    for (int j = 0; j < 32; ++j) acc[i * ld + j] = 0.0f;
}
template <int RS, int KS, int ROWS>
static inline void tile_f32(const float* a, const float* b, int64_t k, float* acc, int64_t ld, bool fresh) {
  start_tile<ROWS>(acc, ld, fresh);
  for (int i = 0; i < ROWS; ++i) {
    float row[32];
    for (int j = 0; j < 32; ++j) row[j] = acc[i * ld + j];
    for (int64_t kk = 0; kk < k; ++kk)
      for (int j = 0; j < 32; ++j) row[j] = fma1(a[i * RS + kk * KS], b[kk * 32 + j], row[j]);
    for (int j = 0; j < 32; ++j) acc[i * ld + j] = row[j];
  }
}
// blocks of 32 k
template <int RS, int KS, int ROWS>
static inline void tile_bf16(const float* a, const uint16_t* b, int64_t blocks, float* acc, int64_t ld,
                             bool fresh) {
  start_tile<ROWS>(acc, ld, fresh);
  for (int64_t block = 0; block < blocks; ++block, a += 32 * KS, b += 32 * 32) {
    for (int i = 0; i < ROWS; ++i) {
      float even[32] = {}, odd[32] = {};
      for (int p = 0; p < 16; ++p) {
        const float ae = a[i * RS + 2 * p * KS], ao = a[i * RS + (2 * p + 1) * KS];
        for (int j = 0; j < 32; ++j) {
          even[j] = fma1(ae, float_of(static_cast<uint32_t>(b[(p * 32 + j) * 2]) << 16), even[j]);
          odd[j] = fma1(ao, float_of(static_cast<uint32_t>(b[(p * 32 + j) * 2 + 1]) << 16), odd[j]);
        }
      }
      for (int j = 0; j < 32; ++j) acc[i * ld + j] = acc[i * ld + j] + (even[j] + odd[j]);
    }
  }
}

// 64 e4m3 bytes to bf16, exact. table: bf16 of the bytes below 128.
static inline void widen_e4m3(const uint8_t* q, const uint16_t* table, uint16_t* out) {
  for (int i = 0; i < 64; ++i) out[i] = static_cast<uint16_t>(table[q[i] & 127] | (q[i] & 128) << 8);
}
