// Sums of products with numbers of four bits where four products and their sum cost no more than of bytes: they are
// those of bytes. Included inside a level's namespace behind its dot4. kHalfDots of them fit a half_sums: a group.
constexpr int kHalfDots = 32;
using half_sums = i32x16;
using half_quad = quad;
static inline half_sums zero_half_sums() { return zero_i32(); }
static inline half_quad broadcast_half_quad(const int8_t* p) { return broadcast_quad(p); }
// acc + the sum of the four products, w 0 .. 15.
static inline half_sums dot4_half(half_sums acc, quads w, half_quad a) { return dot4(acc, w, a); }
static inline i32x16 widen_sums(half_sums x) { return x; }
