// 16 lanes of four bytes and of one int32, as two AVX2 registers. Included inside a level's namespace behind
// f32x16_avx2.h. With bytes vpmaddubsw would saturate; even and odd bytes as int16 do not. With numbers of four
// bits it does not: a pair of products is at most 2 * 15 * 127 = 3,810, and int16 holds eight of these.
constexpr int kGroupRows = 2;  // rows of a tile
struct i32x16 {
  __m256i lo, hi;
};
struct quads {
  __m256i lo, hi;
};
struct quad {
  __m256i even, odd;  // int16: bytes 0 and 2, bytes 1 and 3
};

static inline i32x16 zero_i32() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline i32x16 add_i32(i32x16 a, i32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
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
  const __m256i x = _mm256_set1_epi32(bytes);
  return {_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), _mm256_srai_epi16(x, 8)};
}
static inline __m256i dot4_lanes(__m256i acc, __m256i w, quad a) {
  const __m256i even = _mm256_and_si256(w, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(w, 8);
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, a.even));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(odd, a.odd));
}
static inline i32x16 dot4(i32x16 acc, quads w, quad a) {
  return {dot4_lanes(acc.lo, w.lo, a), dot4_lanes(acc.hi, w.hi, a)};
}
constexpr int kHalfDots = 8;  // dot4_half's that a half_sums holds
struct half_sums {
  __m256i lo, hi;  // int16
};
struct half_quad {
  __m256i v;
};
static inline half_sums zero_half_sums() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline half_quad broadcast_half_quad(const int8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return {_mm256_set1_epi32(bytes)};
}
static inline half_sums dot4_half(half_sums acc, quads w, half_quad a) {
  return {_mm256_add_epi16(acc.lo, _mm256_maddubs_epi16(w.lo, a.v)),
          _mm256_add_epi16(acc.hi, _mm256_maddubs_epi16(w.hi, a.v))};
}
static inline i32x16 widen_sums(half_sums x) {
  const __m256i one = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(x.lo, one), _mm256_madd_epi16(x.hi, one)};
}
static inline f32x16 float_of_difference(i32x16 x, int32_t n) {
  const __m256i m = _mm256_set1_epi32(n);
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(x.lo, m)), _mm256_cvtepi32_ps(_mm256_sub_epi32(x.hi, m))};
}
