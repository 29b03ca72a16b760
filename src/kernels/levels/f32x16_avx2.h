// f32x16 as two AVX2 registers. Included inside a level's namespace; same bits as f32x16_array.h.
struct f32x16 {
  __m256 lo, hi;
};
constexpr int kFmaChains = 6;  // as many as fit the registers and keep the units busy

static inline __m256i lanes_below(int n, int base) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline f32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void store(float* p, f32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
static inline f32x16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline f32x16 blend_first(int n, f32x16 a, f32x16 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(lanes_below(n, 0))),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(lanes_below(n, 8)))};
}
static inline f32x16 load_first(const float* p, int n, float other) {
  const f32x16 a = {_mm256_maskload_ps(p, lanes_below(n, 0)), _mm256_maskload_ps(p + 8, lanes_below(n, 8))};
  return blend_first(n, a, set1(other));
}
static inline void store_first(float* p, int n, f32x16 a) {
  _mm256_maskstore_ps(p, lanes_below(n, 0), a.lo);
  _mm256_maskstore_ps(p + 8, lanes_below(n, 8), a.hi);
}
static inline f32x16 add(f32x16 a, f32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
static inline f32x16 sub(f32x16 a, f32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
static inline f32x16 mul(f32x16 a, f32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
static inline f32x16 div(f32x16 a, f32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
static inline f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
static inline f32x16 max(f32x16 a, f32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
static inline f32x16 sqrt(f32x16 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
static inline f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}

static inline __m256 round_bf16_8(__m256 x) {
  const __m256i u = _mm256_castps_si256(x);
  const __m256i exponent = _mm256_and_si256(u, _mm256_set1_epi32(0x7f800000));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x00400000));
  const __m256i zero = _mm256_and_si256(u, _mm256_set1_epi32(static_cast<int>(0x80000000u)));
  const __m256i is_zero = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  __m256i r = _mm256_blendv_epi8(rounded, quiet, is_nan);
  r = _mm256_and_si256(r, _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
  return _mm256_castsi256_ps(_mm256_blendv_epi8(r, zero, is_zero));
}
static inline f32x16 round_bf16(f32x16 a) { return {round_bf16_8(a.lo), round_bf16_8(a.hi)}; }

static inline __m256 load_bf16_8(const uint16_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
static inline f32x16 load_bf16(const uint16_t* p) { return {load_bf16_8(p), load_bf16_8(p + 8)}; }
static inline void store_bf16(uint16_t* p, f32x16 a) {
  const __m256i lo = _mm256_srli_epi32(_mm256_castps_si256(round_bf16_8(a.lo)), 16);
  const __m256i hi = _mm256_srli_epi32(_mm256_castps_si256(round_bf16_8(a.hi)), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
}

static inline __m256 add_exponent_8(__m256 a, __m256 t) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
static inline f32x16 add_exponent(f32x16 a, f32x16 t) {
  return {add_exponent_8(a.lo, t.lo), add_exponent_8(a.hi, t.hi)};
}
static inline __m256 split_exponent_8(__m256 x, __m256* e) {
  const __m256i offset = _mm256_set1_epi32(0x3f3504f3);
  const __m256i u = _mm256_sub_epi32(_mm256_castps_si256(x), offset);
  *e = _mm256_cvtepi32_ps(_mm256_srai_epi32(u, 23));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(u, _mm256_set1_epi32(0x007fffff)), offset));
}
static inline f32x16 split_exponent(f32x16 x, f32x16* e) {
  return {split_exponent_8(x.lo, &e->lo), split_exponent_8(x.hi, &e->hi)};
}
static inline __m256 join_bf16_8(__m256 a, __m256 b) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return _mm256_castsi256_ps(_mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(a), 16),
                                             _mm256_and_si256(_mm256_castps_si256(b), high)));
}
static inline f32x16 join_bf16(f32x16 a, f32x16 b) {
  return {join_bf16_8(a.lo, b.lo), join_bf16_8(a.hi, b.hi)};
}
static inline __m256 swap_middle_words_8(__m256 a) {
  const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_castps_si256(a), order));
}
static inline f32x16 swap_middle_words(f32x16 a) { return {swap_middle_words_8(a.lo), swap_middle_words_8(a.hi)}; }
// 4 rows of 4 numbers of 64 bits.
static inline void transpose4_wide(__m256* rows) {
  __m256d v[4];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_castps_pd(rows[i]);
  const __m256d even01 = _mm256_unpacklo_pd(v[0], v[1]), odd01 = _mm256_unpackhi_pd(v[0], v[1]);
  const __m256d even23 = _mm256_unpacklo_pd(v[2], v[3]), odd23 = _mm256_unpackhi_pd(v[2], v[3]);
  rows[0] = _mm256_castpd_ps(_mm256_permute2f128_pd(even01, even23, 0x20));
  rows[1] = _mm256_castpd_ps(_mm256_permute2f128_pd(odd01, odd23, 0x20));
  rows[2] = _mm256_castpd_ps(_mm256_permute2f128_pd(even01, even23, 0x31));
  rows[3] = _mm256_castpd_ps(_mm256_permute2f128_pd(odd01, odd23, 0x31));
}
static inline void transpose8_wide(f32x16* rows) {
  __m256 quarter[4][4];
  for (int i = 0; i < 8; ++i) {
    quarter[i / 4][i % 4] = rows[i].lo;
    quarter[2 + i / 4][i % 4] = rows[i].hi;
  }
  for (__m256(&q)[4] : quarter) transpose4_wide(q);
  for (int i = 0; i < 8; ++i) rows[i] = {quarter[i / 4 * 2][i % 4], quarter[i / 4 * 2 + 1][i % 4]};
}
static inline void transpose8(const __m256* in, __m256* out) {
  __m256 pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(in[i], in[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(in[i], in[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int h = 0; h < 2; ++h) {
      four[i + 2 * h] = _mm256_shuffle_ps(pair[i + h], pair[i + h + 2], 0x44);
      four[i + 2 * h + 1] = _mm256_shuffle_ps(pair[i + h], pair[i + h + 2], 0xee);
    }
  }
  for (int c = 0; c < 4; ++c) {
    out[c] = _mm256_permute2f128_ps(four[c], four[4 + c], 0x20);
    out[4 + c] = _mm256_permute2f128_ps(four[c], four[4 + c], 0x31);
  }
}
static inline void transpose16(f32x16* rows) {
  __m256 quarter[4][8];
  for (int i = 0; i < 16; ++i) {
    quarter[i / 8][i % 8] = rows[i].lo;
    quarter[2 + i / 8][i % 8] = rows[i].hi;
  }
  for (__m256(&q)[8] : quarter) transpose8(q, q);
  for (int i = 0; i < 16; ++i) rows[i] = {quarter[i / 8 * 2][i % 8], quarter[i / 8 * 2 + 1][i % 8]};
}
static inline float first(f32x16 a) { return _mm256_cvtss_f32(a.lo); }
static inline f32x16 swap_pairs(f32x16 a) {
  return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
static inline f32x16 load_twice(const float* p, int n) {
  const __m256 v = _mm256_maskload_ps(p, lanes_below(n, 0));
  return {_mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}
static inline f32x16 fma_add_odd(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmaddsub_ps(a.lo, b.lo, c.lo), _mm256_fmaddsub_ps(a.hi, b.hi, c.hi)};
}

static inline float reduce_add(f32x16 a) {
  const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
static inline float reduce_max(f32x16 a) {
  const __m256 s8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// ---- tiles: acc[rows][32], rows ld apart; fresh: from zero, else it continues. 16 registers: up to 6 rows x
// 16 columns (f32), 3 x 16 (bf16) ----
// Asks for a line of B that lies 8 KiB ahead.
static inline void prefetch_panel(const void* b) {
  _mm_prefetch(static_cast<const char*>(b) + 8192, _MM_HINT_T0);
}
template <int RS, int KS, int ROWS>
static inline void tile_f32_part(const float* a, const float* b, int64_t k, float* acc, int64_t ld,
                                 bool fresh) {
  for (int half = 0; half < 32; half += 16) {
    __m256 c[ROWS][2];
    for (int i = 0; i < ROWS; ++i) {
      c[i][0] = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(acc + i * ld + half);
      c[i][1] = fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(acc + i * ld + half + 8);
    }
    for (int64_t kk = 0; kk < k; ++kk) {
      prefetch_panel(b + kk * 32 + half);
      const __m256 b0 = _mm256_loadu_ps(b + kk * 32 + half), b1 = _mm256_loadu_ps(b + kk * 32 + half + 8);
      for (int i = 0; i < ROWS; ++i) {
        const __m256 ai = _mm256_broadcast_ss(a + i * RS + kk * KS);
        c[i][0] = _mm256_fmadd_ps(ai, b0, c[i][0]);
        c[i][1] = _mm256_fmadd_ps(ai, b1, c[i][1]);
      }
    }
    for (int i = 0; i < ROWS; ++i) {
      _mm256_storeu_ps(acc + i * ld + half, c[i][0]);
      _mm256_storeu_ps(acc + i * ld + half + 8, c[i][1]);
    }
  }
}
template <int RS, int KS, int ROWS>
static inline void tile_f32(const float* a, const float* b, int64_t k, float* acc, int64_t ld, bool fresh) {
  if constexpr (ROWS > 6) {
    tile_f32_part<RS, KS, 6>(a, b, k, acc, ld, fresh);
    tile_f32_part<RS, KS, ROWS - 6>(a + 6 * RS, b, k, acc + 6 * ld, ld, fresh);
  } else {
    tile_f32_part<RS, KS, ROWS>(a, b, k, acc, ld, fresh);
  }
}
// 3 rows x 16 columns, even and odd: 12 accumulators. The even halves of two B registers are used up before
// the odd ones are loaded, so that everything fits 16 registers.
template <int RS, int KS, int ROWS>
static inline void tile_bf16_part(const float* a, const uint16_t* b, int64_t blocks, float* acc, int64_t ld,
                                  bool fresh) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  for (int64_t block = 0; block < blocks; ++block, a += 32 * KS, b += 32 * 32) {
    for (int q = 0; q < 32; q += 16) {
      __m256 even[ROWS][2], odd[ROWS][2];
#pragma GCC unroll 3
      for (int i = 0; i < ROWS; ++i) even[i][0] = even[i][1] = odd[i][0] = odd[i][1] = _mm256_setzero_ps();
      for (int p = 0; p < 16; ++p) {
        const __m256i* pairs = reinterpret_cast<const __m256i*>(b + (p * 32 + q) * 2);
        const float* ap = a + 2 * p * KS;
        prefetch_panel(pairs);
        const __m256 e0 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(pairs), 16));
        const __m256 e1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(pairs + 1), 16));
#pragma GCC unroll 3
        for (int i = 0; i < ROWS; ++i) {
          const __m256 x = _mm256_broadcast_ss(ap + i * RS);
          even[i][0] = _mm256_fmadd_ps(x, e0, even[i][0]);
          even[i][1] = _mm256_fmadd_ps(x, e1, even[i][1]);
        }
        const __m256 o0 = _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(pairs), high));
        const __m256 o1 = _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(pairs + 1), high));
#pragma GCC unroll 3
        for (int i = 0; i < ROWS; ++i) {
          const __m256 x = _mm256_broadcast_ss(ap + i * RS + KS);
          odd[i][0] = _mm256_fmadd_ps(x, o0, odd[i][0]);
          odd[i][1] = _mm256_fmadd_ps(x, o1, odd[i][1]);
        }
      }
#pragma GCC unroll 3
      for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          float* out = acc + i * ld + q + 8 * h;
          const __m256 before = fresh && block == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(out);
          _mm256_storeu_ps(out, _mm256_add_ps(before, _mm256_add_ps(even[i][h], odd[i][h])));
        }
      }
    }
  }
}
template <int RS, int KS, int ROWS>
static inline void tile_bf16(const float* a, const uint16_t* b, int64_t blocks, float* acc, int64_t ld,
                             bool fresh) {
  if constexpr (ROWS == 4) {  // a row alone would use each register of B once
    tile_bf16_part<RS, KS, 2>(a, b, blocks, acc, ld, fresh);
    tile_bf16_part<RS, KS, 2>(a + 2 * RS, b, blocks, acc + 2 * ld, ld, fresh);
  } else if constexpr (ROWS > 3) {
    tile_bf16_part<RS, KS, 3>(a, b, blocks, acc, ld, fresh);
    tile_bf16<RS, KS, ROWS - 3>(a + 3 * RS, b, blocks, acc + 3 * ld, ld, fresh);
  } else {
    tile_bf16_part<RS, KS, ROWS>(a, b, blocks, acc, ld, fresh);
  }
}

// 64 e4m3 bytes to bf16, exact. table: bf16 of the bytes below 128; the first 8 (no exponent) and the last (not a
// number) do not follow from the bits.
static inline void widen_e4m3(const uint8_t* q, const uint16_t* table, uint16_t* out) {
  alignas(16) uint8_t low_bytes[16] = {}, high_bytes[16] = {};
  for (int i = 0; i < 8; ++i) {
    low_bytes[i] = static_cast<uint8_t>(table[i]);
    high_bytes[i] = static_cast<uint8_t>(table[i] >> 8);
  }
  const __m256i small_low = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(low_bytes)));
  const __m256i small_high = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(high_bytes)));
  for (int i = 0; i < 64; i += 32) {
    // The two bytes of the words apart; in the order in which the unpacking below takes them.
    const __m256i w = _mm256_permute4x64_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + i)), 0xd8);
    const __m256i m = _mm256_and_si256(w, _mm256_set1_epi8(127));
    // With an exponent: (m << 4) + (120 << 7).
    __m256i low = _mm256_and_si256(_mm256_slli_epi16(m, 4), _mm256_set1_epi8(-16));
    __m256i high = _mm256_add_epi8(_mm256_and_si256(_mm256_srli_epi16(m, 4), _mm256_set1_epi8(15)), _mm256_set1_epi8(60));
    const __m256i small = _mm256_cmpgt_epi8(_mm256_set1_epi8(8), m), nan = _mm256_cmpeq_epi8(m, _mm256_set1_epi8(127));
    low = _mm256_or_si256(_mm256_blendv_epi8(low, _mm256_shuffle_epi8(small_low, m), small), nan);
    high = _mm256_or_si256(_mm256_blendv_epi8(high, _mm256_shuffle_epi8(small_high, m), small), nan);
    high = _mm256_or_si256(high, _mm256_and_si256(w, _mm256_set1_epi8(-128)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_unpacklo_epi8(low, high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i + 16), _mm256_unpackhi_epi8(low, high));
  }
}
