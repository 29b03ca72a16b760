// The AMX instructions that level amx uses. Included inside a level's namespace.
//
// Statements of our own instead of the compiler's intrinsics, because those of g++ 12 do not tell it that a
// tile is loaded from memory: what was just stored there may be thrown away. A tile's number is part of the
// instruction, hence templates.
//
// All eight tiles are always 16 rows of 64 bytes. A product C += A B takes A as 16 rows of K and B as pairs
// (bf16) or fours (int8) of k of 16 columns, as panels have them.

// What LDTILECFG reads (Intel SDM, volume 1, section 18.3).
struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr int64_t kTileRows = 16, kTileBytes = 64;

// A thread's tiles stay as they were set up; the system keeps them for each thread. So nothing else may use
// tiles in a thread that computes.
static inline void set_up_tiles() {
  static thread_local bool ready = false;
  if (ready) return;
  alignas(64) const TileConfig config;
  asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  ready = true;
}

template <int T>
static inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
// stride: bytes from row to row.
template <int T>
static inline void tile_load(const void* p, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
template <int T>
static inline void tile_store(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
// C += A B in bf16: per 32 k a chain of FMAs over the even and one over the odd, then their sum onto C.
template <int C, int A, int B>
static inline void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
// C += A B in int32, A signed bytes, B unsigned ones.
template <int C, int A, int B>
static inline void tile_dot_bytes() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
