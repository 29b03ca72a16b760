// 16 lanes of four bytes and of one int32, as two AVX2 registers. Included inside a level's namespace behind
// f32x16_avx2.h. vpmaddubsw adds pairs of products of unsigned and signed bytes as int16. It would saturate with 255;
// |w| and sign(w) a are at most 127, whose pairs fit. With numbers of four bits a pair is at most 2 * 15 * 127 = 3,810,
// and int16 holds eight of these.
constexpr int kGroupRows = 2, kHalfRows = 4;  // rows of a tile of bytes, of four bits
constexpr int kHalvesAtOnce = 1;              // 16 columns, where rows are many: the sums stay in registers
constexpr bool kBytesAreSigned = true;        // after weights()
// Sums have the type of the instructions that add to them, not __m256i: see quads_avx512.h.
struct i32x16 {
  __v8si lo, hi;
};
static inline i32x16 as_i32(__m256i lo, __m256i hi) {
  return {reinterpret_cast<__v8si>(lo), reinterpret_cast<__v8si>(hi)};
}
static inline __m256i bits(__v8si x) { return reinterpret_cast<__m256i>(x); }
struct quads {
  __m256i lo, hi;
};
struct signed_quads {
  __m256i lo, hi, abs_lo, abs_hi;
};
struct quad {
  __m256i v;
};

static inline i32x16 zero_i32() { return as_i32(_mm256_setzero_si256(), _mm256_setzero_si256()); }
static inline i32x16 add_i32(i32x16 a, i32x16 b) {
  return as_i32(_mm256_add_epi32(bits(a.lo), bits(b.lo)), _mm256_add_epi32(bits(a.hi), bits(b.hi)));
}
static inline quads load_quads(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
static inline quads low_halves(quads x) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(x.lo, mask), _mm256_and_si256(x.hi, mask)};
}
static inline quads high_halves(quads x) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(_mm256_srli_epi16(x.lo, 4), mask),
          _mm256_and_si256(_mm256_srli_epi16(x.hi, 4), mask)};
}
static inline quad broadcast_quad(const int8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return {_mm256_set1_epi32(bytes)};
}
static inline signed_quads weights(quads x) {
  const __m256i offset = _mm256_set1_epi8(-128);
  const __m256i lo = _mm256_xor_si256(x.lo, offset), hi = _mm256_xor_si256(x.hi, offset);
  return {lo, hi, _mm256_abs_epi8(lo), _mm256_abs_epi8(hi)};
}
static inline __m256i dot4_lanes(__m256i acc, __m256i w, __m256i abs_w, __m256i a) {
  const __m256i pairs = _mm256_maddubs_epi16(abs_w, _mm256_sign_epi8(a, w));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline i32x16 dot4(i32x16 acc, signed_quads w, quad a) {
  return as_i32(dot4_lanes(bits(acc.lo), w.lo, w.abs_lo, a.v), dot4_lanes(bits(acc.hi), w.hi, w.abs_hi, a.v));
}
constexpr int kHalfDots = 8;  // dot4_half's that a half_sums holds
struct half_sums {
  __v16hi lo, hi;
};
static inline half_sums as_i16(__m256i lo, __m256i hi) {
  return {reinterpret_cast<__v16hi>(lo), reinterpret_cast<__v16hi>(hi)};
}
static inline __m256i bits(__v16hi x) { return reinterpret_cast<__m256i>(x); }
using half_quad = quad;
static inline half_sums zero_half_sums() { return as_i16(_mm256_setzero_si256(), _mm256_setzero_si256()); }
static inline half_quad broadcast_half_quad(const int8_t* p) { return broadcast_quad(p); }
static inline half_sums dot4_half(half_sums acc, quads w, half_quad a) {
  return as_i16(_mm256_add_epi16(bits(acc.lo), _mm256_maddubs_epi16(w.lo, a.v)),
                _mm256_add_epi16(bits(acc.hi), _mm256_maddubs_epi16(w.hi, a.v)));
}
static inline i32x16 widen_sums(half_sums x) {
  const __m256i one = _mm256_set1_epi16(1);
  return as_i32(_mm256_madd_epi16(bits(x.lo), one), _mm256_madd_epi16(bits(x.hi), one));
}
static inline f32x16 float_of_difference(i32x16 x, int32_t n) {
  const __m256i m = _mm256_set1_epi32(n);
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(bits(x.lo), m)),
          _mm256_cvtepi32_ps(_mm256_sub_epi32(bits(x.hi), m))};
}

// See quads_array.h.
static inline i32x16 low_bytes(f32x16 x) {
  return as_i32(_mm256_srai_epi32(_mm256_slli_epi32(_mm256_castps_si256(x.lo), 24), 24),
                _mm256_srai_epi32(_mm256_slli_epi32(_mm256_castps_si256(x.hi), 24), 24));
}
static inline void store_bytes(int8_t* p, i32x16 x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(bits(x.lo), bits(x.hi)), 0xd8);
  const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}
static inline int32_t sum_of(i32x16 x) {
  const __m256i eight = _mm256_add_epi32(bits(x.lo), bits(x.hi));
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
}
