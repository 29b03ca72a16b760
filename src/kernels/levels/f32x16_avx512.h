// f32x16 as one AVX-512 register. Included inside a level's namespace; same bits as f32x16_array.h.
struct f32x16 {
  __m512 v;
};
constexpr int kFmaChains = 12;  // as many as fit the registers and keep the units busy

static inline __mmask16 lanes_below(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
static inline f32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
static inline f32x16 load_first(const float* p, int n, float other) {
  return {_mm512_mask_loadu_ps(_mm512_set1_ps(other), lanes_below(n), p)};
}
static inline void store(float* p, f32x16 a) { _mm512_storeu_ps(p, a.v); }
static inline void store_first(float* p, int n, f32x16 a) { _mm512_mask_storeu_ps(p, lanes_below(n), a.v); }
static inline f32x16 set1(float x) { return {_mm512_set1_ps(x)}; }
static inline f32x16 add(f32x16 a, f32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
static inline f32x16 sub(f32x16 a, f32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
static inline f32x16 mul(f32x16 a, f32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
static inline f32x16 div(f32x16 a, f32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
static inline f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static inline f32x16 max(f32x16 a, f32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
static inline f32x16 sqrt(f32x16 a) { return {_mm512_sqrt_ps(a.v)}; }
static inline f32x16 select_less(f32x16 a, f32x16 b, f32x16 x, f32x16 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
static inline f32x16 blend_first(int n, f32x16 a, f32x16 b) {
  return {_mm512_mask_blend_ps(lanes_below(n), b.v, a.v)};
}
#ifdef FRUGAL_AVX512_BF16  // an instruction rounds as products do, denormals and NaN included
static inline __m256i narrow(f32x16 a) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)); }
static inline f32x16 round_bf16(f32x16 a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow(a)), 16))};
}
#else
static inline f32x16 round_bf16(f32x16 a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), u, _mm512_set1_epi32(0x00400000));
  r = _mm512_and_si512(r, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  const __mmask16 zero = _mm512_testn_epi32_mask(u, _mm512_set1_epi32(0x7f800000));
  r = _mm512_mask_and_epi32(r, zero, u, _mm512_set1_epi32(static_cast<int>(0x80000000u)));
  return {_mm512_castsi512_ps(r)};
}
static inline __m256i narrow(f32x16 a) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(round_bf16(a).v), 16));
}
#endif
static inline f32x16 load_bf16(const uint16_t* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}
static inline void store_bf16(uint16_t* p, f32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(a));
}
static inline f32x16 add_exponent(f32x16 a, f32x16 t) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_slli_epi32(_mm512_castps_si512(t.v), 23)))};
}
static inline f32x16 split_exponent(f32x16 x, f32x16* e) {
  const __m512i offset = _mm512_set1_epi32(0x3f3504f3);
  const __m512i u = _mm512_sub_epi32(_mm512_castps_si512(x.v), offset);
  e->v = _mm512_cvtepi32_ps(_mm512_srai_epi32(u, 23));
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(u, _mm512_set1_epi32(0x007fffff)), offset))};
}
// Pairs of the upper halves of a and b, a's in the lower half of a lane.
static inline f32x16 join_bf16(f32x16 a, f32x16 b) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm512_castsi512_ps(_mm512_or_epi32(_mm512_srli_epi32(_mm512_castps_si512(a.v), 16),
                                              _mm512_and_epi32(_mm512_castps_si512(b.v), high)))};
}
static inline f32x16 swap_middle_words(f32x16 a) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  return {_mm512_castsi512_ps(_mm512_shuffle_epi8(_mm512_castps_si512(a.v), order))};
}
// 8 rows of 8 numbers of 64 bits.
static inline void transpose8_wide(f32x16* rows) {
  __m512d pair[8], v[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) v[i] = _mm512_castps_pd(rows[i].v);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm512_unpacklo_pd(v[i], v[i + 1]);
    pair[i + 1] = _mm512_unpackhi_pd(v[i], v[i + 1]);
  }
  // In the 128-bit part q of pair[2 g + c]: column 2 q + c of the rows 2 g and 2 g + 1.
#pragma GCC unroll 2
  for (int c = 0; c < 2; ++c) {
    const __m512d even01 = _mm512_shuffle_f64x2(pair[c], pair[2 + c], 0x88);
    const __m512d odd01 = _mm512_shuffle_f64x2(pair[c], pair[2 + c], 0xdd);
    const __m512d even23 = _mm512_shuffle_f64x2(pair[4 + c], pair[6 + c], 0x88);
    const __m512d odd23 = _mm512_shuffle_f64x2(pair[4 + c], pair[6 + c], 0xdd);
    rows[c].v = _mm512_castpd_ps(_mm512_shuffle_f64x2(even01, even23, 0x88));
    rows[2 + c].v = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd01, odd23, 0x88));
    rows[4 + c].v = _mm512_castpd_ps(_mm512_shuffle_f64x2(even01, even23, 0xdd));
    rows[6 + c].v = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd01, odd23, 0xdd));
  }
}
static inline void transpose16(f32x16* rows) {
  __m512 pair[16], four[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    pair[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  // four[4 g + c]: in its 128-bit part q, column 4 q + c of the rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    for (int h = 0; h < 2; ++h) {
      const __m512d a = _mm512_castps_pd(pair[i + h]), b = _mm512_castps_pd(pair[i + h + 2]);
      four[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      four[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even01 = _mm512_shuffle_f32x4(four[c], four[4 + c], 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(four[c], four[4 + c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(four[8 + c], four[12 + c], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(four[8 + c], four[12 + c], 0xdd);
    rows[c].v = _mm512_shuffle_f32x4(even01, even23, 0x88);
    rows[4 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    rows[8 + c].v = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    rows[12 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
}
static inline float first(f32x16 a) { return _mm512_cvtss_f32(a.v); }
static inline f32x16 swap_pairs(f32x16 a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
static inline f32x16 load_twice(const float* p, int n) {
  const __m512 v = _mm512_maskz_loadu_ps(lanes_below(n < 8 ? n : 8), p);
  return {_mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), v)};
}
static inline f32x16 fma_add_odd(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmaddsub_ps(a.v, b.v, c.v)}; }

static inline __m256 upper_half(__m512 v) { return _mm512_extractf32x8_ps(v, 1); }
static inline float reduce_add(f32x16 a) {
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), upper_half(a.v));
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
static inline float reduce_max(f32x16 a) {
  const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), upper_half(a.v));
  const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// ---- tiles: acc[rows][32], rows ld apart; fresh: from zero, else it continues. 32 registers: 12 rows x 32
// columns (f32),
// ---- 6 x 32 even and odd (bf16) ----
// Asks for the two lines of B that lie 8 KiB ahead: with many rows too few loads fit the processor's window
// to hide memory's latency.
static inline void prefetch_panel(const void* b) {
  _mm_prefetch(static_cast<const char*>(b) + 8192, _MM_HINT_T0);
  _mm_prefetch(static_cast<const char*>(b) + 8192 + 64, _MM_HINT_T0);
}
template <int RS, int KS, int ROWS>
static inline void tile_f32(const float* a, const float* b, int64_t k, float* acc, int64_t ld, bool fresh) {
  __m512 c[ROWS][2];
  if (fresh) {
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) c[i][0] = c[i][1] = _mm512_setzero_ps();
  } else {
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      c[i][0] = _mm512_loadu_ps(acc + i * ld);
      c[i][1] = _mm512_loadu_ps(acc + i * ld + 16);
    }
  }
  for (int64_t kk = 0; kk < k; ++kk, a += KS, b += 32) {
    prefetch_panel(b);
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const __m512 ai = _mm512_set1_ps(a[i * RS]);
      c[i][0] = _mm512_fmadd_ps(ai, b0, c[i][0]);
      c[i][1] = _mm512_fmadd_ps(ai, b1, c[i][1]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) {
    _mm512_storeu_ps(acc + i * ld, c[i][0]);
    _mm512_storeu_ps(acc + i * ld + 16, c[i][1]);
  }
}
// The end of a block of the bf16 rule: acc = acc + (even + odd), from zero if `first`.
template <int ROWS>
__attribute__((always_inline)) static inline void add_chains(const __m512 (&even)[ROWS][2],
                                                             const __m512 (&odd)[ROWS][2], float* acc,
                                                             int64_t ld, bool first) {
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) {
    for (int h = 0; h < 2; ++h) {
      float* out = acc + i * ld + 16 * h;
      const __m512 before = first ? _mm512_setzero_ps() : _mm512_loadu_ps(out);
      _mm512_storeu_ps(out, _mm512_add_ps(before, _mm512_add_ps(even[i][h], odd[i][h])));
    }
  }
}
template <int RS, int KS, int ROWS>
static inline void tile_bf16_part(const float* a, const uint16_t* b, int64_t blocks, float* acc, int64_t ld,
                                  bool fresh) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int64_t block = 0; block < blocks; ++block) {
    __m512 even[ROWS][2], odd[ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) even[i][0] = even[i][1] = odd[i][0] = odd[i][1] = _mm512_setzero_ps();
    for (int p = 0; p < 16; ++p, a += 2 * KS, b += 64) {
      prefetch_panel(b);
      const __m512i p0 = _mm512_loadu_si512(b), p1 = _mm512_loadu_si512(b + 32);
      const __m512 e0 = _mm512_castsi512_ps(_mm512_slli_epi32(p0, 16));
      const __m512 e1 = _mm512_castsi512_ps(_mm512_slli_epi32(p1, 16));
      const __m512 o0 = _mm512_castsi512_ps(_mm512_and_si512(p0, high));
      const __m512 o1 = _mm512_castsi512_ps(_mm512_and_si512(p1, high));
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; ++i) {
        const __m512 ae = _mm512_set1_ps(a[i * RS]), ao = _mm512_set1_ps(a[i * RS + KS]);
        even[i][0] = _mm512_fmadd_ps(ae, e0, even[i][0]);
        even[i][1] = _mm512_fmadd_ps(ae, e1, even[i][1]);
        odd[i][0] = _mm512_fmadd_ps(ao, o0, odd[i][0]);
        odd[i][1] = _mm512_fmadd_ps(ao, o1, odd[i][1]);
      }
    }
    add_chains<ROWS>(even, odd, acc, ld, fresh && block == 0);
  }
}
template <int RS, int KS, int ROWS>
static inline void tile_bf16(const float* a, const uint16_t* b, int64_t blocks, float* acc, int64_t ld,
                             bool fresh) {
  if constexpr (ROWS > 6) {
    tile_bf16_part<RS, KS, 6>(a, b, blocks, acc, ld, fresh);
    tile_bf16_part<RS, KS, ROWS - 6>(a + 6 * RS, b, blocks, acc + 6 * ld, ld, fresh);
  } else {
    tile_bf16_part<RS, KS, ROWS>(a, b, blocks, acc, ld, fresh);
  }
}

// ROWS rows of A (RS apart, k contiguous) times a group of e4m3 weights [blocks 16][32][2]: p [ROWS][32] by
// the bf16 rule, of weights taken times 2^-8. That is what an e4m3 byte is as f16, its exponent and mantissa
// seven bits up, the smallest numbers included.
template <int RS, int ROWS>
static inline void tile_e4m3(const float* a, const uint8_t* q, int64_t blocks, float* p) {
  const __m512i kept = _mm512_set1_epi16(static_cast<int16_t>(0xbf80));
  for (int64_t block = 0; block < blocks; ++block) {
    __m512 even[ROWS][2], odd[ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) even[i][0] = even[i][1] = odd[i][0] = odd[i][1] = _mm512_setzero_ps();
    for (int pair = 0; pair < 16; ++pair, a += 2, q += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(q) + 8192, _MM_HINT_T0);
      const __m512i both = _mm512_loadu_si512(q);
      const __m512i e = _mm512_and_si512(_mm512_srai_epi16(_mm512_slli_epi16(both, 8), 1), kept);
      const __m512i o = _mm512_and_si512(_mm512_srai_epi16(both, 1), kept);
      const __m512 e0 = _mm512_cvtph_ps(_mm512_castsi512_si256(e)),
                   o0 = _mm512_cvtph_ps(_mm512_castsi512_si256(o));
      const __m512 e1 = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(e, 1));
      const __m512 o1 = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(o, 1));
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; ++i) {
        const __m512 ae = _mm512_set1_ps(a[i * RS]), ao = _mm512_set1_ps(a[i * RS + 1]);
        even[i][0] = _mm512_fmadd_ps(ae, e0, even[i][0]);
        even[i][1] = _mm512_fmadd_ps(ae, e1, even[i][1]);
        odd[i][0] = _mm512_fmadd_ps(ao, o0, odd[i][0]);
        odd[i][1] = _mm512_fmadd_ps(ao, o1, odd[i][1]);
      }
    }
    add_chains<ROWS>(even, odd, p, 32, block == 0);
  }
}

// 64 e4m3 bytes to bf16, exact. table: bf16 of the bytes below 128.
static inline void widen_e4m3(const uint8_t* q, const uint16_t* table, uint16_t* out) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 32);
  const __m512i t2 = _mm512_loadu_si512(table + 64), t3 = _mm512_loadu_si512(table + 96);
  for (int half = 0; half < 2; ++half) {
    const __m512i w = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q) + half));
    const __mmask32 upper = _mm512_test_epi16_mask(w, _mm512_set1_epi16(64));
    const __m512i low = _mm512_permutex2var_epi16(t0, w, t1), high = _mm512_permutex2var_epi16(t2, w, t3);
    const __m512i sign = _mm512_slli_epi16(_mm512_and_si512(w, _mm512_set1_epi16(128)), 8);
    _mm512_storeu_si512(out + 32 * half, _mm512_or_si512(_mm512_mask_blend_epi16(upper, low, high), sign));
  }
}
