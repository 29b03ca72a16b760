// 16 lanes of four bytes and of one int32, as one AVX-512 register. Included inside a level's namespace
// behind f32x16_avx512.h. With FRUGAL_VNNI one instruction makes the four products and their sum.
constexpr int kGroupRows = 12, kHalfRows = 12;  // rows of a tile
constexpr int kHalvesAtOnce = 2;
constexpr bool kBytesAreSigned = false;
// Sums have the type of the instructions that add to them. As __m512i they would be converted and back at
// every one, which g++ 12 pays for with a store of every sum in every step.
struct i32x16 {
  __v16si v;
};
static inline __m512i bits(i32x16 x) { return reinterpret_cast<__m512i>(x.v); }
static inline i32x16 as_i32(__m512i x) { return {reinterpret_cast<__v16si>(x)}; }
struct quads {
  __m512i v;
};

static inline i32x16 zero_i32() { return as_i32(_mm512_setzero_si512()); }
static inline i32x16 add_i32(i32x16 a, i32x16 b) { return as_i32(_mm512_add_epi32(bits(a), bits(b))); }
static inline quads load_quads(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
static inline quads low_halves(quads x) { return {_mm512_and_si512(x.v, _mm512_set1_epi8(15))}; }
static inline quads high_halves(quads x) {
  return {_mm512_and_si512(_mm512_srli_epi16(x.v, 4), _mm512_set1_epi8(15))};
}
static inline quads weights(quads x) { return x; }
static inline __m512i broadcast_bytes(const int8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return _mm512_set1_epi32(bytes);
}
#ifdef FRUGAL_VNNI
struct quad {
  __m512i v;
};
static inline quad broadcast_quad(const int8_t* p) { return {broadcast_bytes(p)}; }
static inline i32x16 dot4(i32x16 acc, quads w, quad a) {
  return as_i32(_mm512_dpbusd_epi32(bits(acc), w.v, a.v));
}
#include "kernels/levels/half_sums_i32.h"
#else
struct quad {
  __m512i even, odd;  // int16: bytes 0 and 2, bytes 1 and 3
};
static inline quad broadcast_quad(const int8_t* p) {
  const __m512i x = broadcast_bytes(p);
  return {_mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8), _mm512_srai_epi16(x, 8)};
}
static inline i32x16 dot4(i32x16 acc, quads w, quad a) {
  const __m512i even = _mm512_and_si512(w.v, _mm512_set1_epi16(255)), odd = _mm512_srli_epi16(w.v, 8);
  const __m512i sum = _mm512_add_epi32(bits(acc), _mm512_madd_epi16(even, a.even));
  return as_i32(_mm512_add_epi32(sum, _mm512_madd_epi16(odd, a.odd)));
}
// See quads_avx2.h.
constexpr int kHalfDots = 8;
struct half_sums {
  __v32hi v;
};
static inline half_sums as_i16(__m512i x) { return {reinterpret_cast<__v32hi>(x)}; }
struct half_quad {
  __m512i v;
};
static inline half_sums zero_half_sums() { return as_i16(_mm512_setzero_si512()); }
static inline half_quad broadcast_half_quad(const int8_t* p) { return {broadcast_bytes(p)}; }
static inline half_sums dot4_half(half_sums acc, quads w, half_quad a) {
  return as_i16(_mm512_add_epi16(reinterpret_cast<__m512i>(acc.v), _mm512_maddubs_epi16(w.v, a.v)));
}
static inline i32x16 widen_sums(half_sums x) {
  return as_i32(_mm512_madd_epi16(reinterpret_cast<__m512i>(x.v), _mm512_set1_epi16(1)));
}
#endif
static inline f32x16 float_of_difference(i32x16 x, int32_t n) {
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(bits(x), _mm512_set1_epi32(n)))};
}

// See quads_array.h.
static inline i32x16 low_bytes(f32x16 x) {
  return as_i32(_mm512_srai_epi32(_mm512_slli_epi32(_mm512_castps_si512(x.v), 24), 24));
}
static inline void store_bytes(int8_t* p, i32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(bits(x)));
}
static inline int32_t sum_of(i32x16 x) { return _mm512_reduce_add_epi32(bits(x)); }
