// 16 lanes of four bytes and of one int32, as arrays: the reference for the other levels. Included inside a
// level's namespace behind f32x16_array.h.
constexpr int kGroupRows = 1, kHalfRows = 1;  // rows of a tile: of weights of bytes, of four bits
constexpr int kHalvesAtOnce = 2;              // of a tile of four bits: 16 columns each
constexpr bool kBytesAreSigned = false;       // whether weights() takes off what was added to the bytes
struct i32x16 {
  int32_t v[16];
};
struct quads {  // unsigned
  uint8_t v[64];
};
struct quad {  // signed, the same in every lane
  int8_t v[4];
};

static inline i32x16 zero_i32() { return {}; }
static inline i32x16 add_i32(i32x16 a, i32x16 b) {
  for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
  return a;
}
static inline quads load_quads(const uint8_t* p) {
  quads r;
  for (int i = 0; i < 64; ++i) r.v[i] = p[i];
  return r;
}
static inline quads low_halves(quads x) {
  for (int i = 0; i < 64; ++i) x.v[i] &= 15;
  return x;
}
static inline quads high_halves(quads x) {
  for (int i = 0; i < 64; ++i) x.v[i] = static_cast<uint8_t>(x.v[i] >> 4);
  return x;
}
// Bytes made ready for dot4.
static inline quads weights(quads x) { return x; }
static inline quad broadcast_quad(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
// acc + the sum of the four products, exact.
static inline i32x16 dot4(i32x16 acc, quads w, quad a) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 4; ++j) acc.v[i] += w.v[4 * i + j] * a.v[j];
  return acc;
}
#include "kernels/levels/half_sums_i32.h"
// float(x - n)
static inline f32x16 float_of_difference(i32x16 x, int32_t n) {
  f32x16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(x.v[i] - n);
  return r;
}

// The lowest bytes of 16 numbers' bits, signed.
static inline i32x16 low_bytes(f32x16 x) {
  i32x16 r;
  for (int i = 0; i < 16; ++i) {
    int32_t bits;
    __builtin_memcpy(&bits, x.v + i, 4);
    r.v[i] = static_cast<int8_t>(bits & 255);
  }
  return r;
}
static inline void store_bytes(int8_t* p, i32x16 x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.v[i]);
}
static inline int32_t sum_of(i32x16 x) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += x.v[i];
  return sum;
}
