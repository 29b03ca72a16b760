// Products by tiles (tiles.h). Included inside level amx's namespace behind panels.inl. What differs from products.inl:
//
//   - A block of a bf16 product holds bf16, one row after the other: kRowMajor rows of `row_floats(k)` floats, kKMajor
//     rows of k, kTransposed [k][kChunkStride floats] with bf16 in front. Behind the last row there is memory for
//     more, up to whole tiles (packed_a_rows_size), whose contents reach no row of C.
//   - 32 rows at once are two tiles of A, two of B and four of C, which fill the eight; 16 rows take half.
//   - With few rows int8 and int4 weights are multiplied as in level avx512: memory is the limit of both.

static_assert(kTileRows == kMostPanelRows);
constexpr int64_t kTileAhead = 8192;  // bytes of B that are asked for in advance

static inline int64_t row_floats(int64_t k) { return up(k, kChunk) / kChunk * kChunkStride; }

static inline void prefetch_lines(const void* p, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(p) + at);
}

// Two numbers each of 16 rows become one lane: a and b rounded to bf16, a in the low half.
static inline f32x16 pair_bf16(const float* a, const float* b, int n) {
  const auto row = [n](const float* p) { return p == nullptr ? set1(0.0f) : load_first(p, n, 0.0f); };
  return join_bf16(round_bf16(row(a)), round_bf16(row(b)));
}

static inline void narrow_row(const float* src, int64_t n, int64_t padded, uint16_t* dst) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(dst + i, load(src + i));
  for (; i < padded; i += 16)
    store_bf16(dst + i, i < n ? load_first(src + i, static_cast<int>(n - i), 0.0f) : set1(0.0f));
}

static void pack_a_rows(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k,
                        Operand operand, float* dst) {
  if (operand != Operand::kBF16) return level_avx512().pack_a_rows(src, ld, index, rows, k, operand, dst);
  for (int64_t r = 0; r < rows; ++r, dst += row_floats(k)) {
    if (index && r + kRowsAhead < rows) prefetch_row(src + index[r + kRowsAhead] * ld, k);
    narrow_row(src + (index ? index[r] : r) * ld, k, up(k, kBf16Block), reinterpret_cast<uint16_t*>(dst));
  }
}

// Squares of 16 rows x 32 k are transposed in registers, as pairs of k.
static void pack_a_cols(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k,
                        Operand operand, float* dst) {
  if (operand != Operand::kBF16) return level_avx512().pack_a_cols(src, ld, index, rows, k, operand, dst);
  const int64_t padded = up(k, kBf16Block);
  uint16_t* out = reinterpret_cast<uint16_t*>(dst);
  const auto row = [&](int64_t kk) { return src + (index ? index[kk] : kk) * ld; };
  f32x16 v[16];
  for (int64_t at = 0; at < padded; at += kBf16Block) {
    for (int64_t kk = at + kBf16Block; kk < at + 2 * kBf16Block && kk < k; ++kk) prefetch_row(row(kk), rows);
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const int n = static_cast<int>(rows - i < kTileRows ? rows - i : kTileRows);
      for (int64_t p = 0; p < 16; ++p) {
        const int64_t kk = at + 2 * p;
        v[p] = pair_bf16(kk < k ? row(kk) + i : nullptr, kk + 1 < k ? row(kk + 1) + i : nullptr, n);
      }
      transpose16(v);
      for (int64_t r = 0; r < n; ++r) store(reinterpret_cast<float*>(out + (i + r) * padded + at), v[r]);
    }
  }
}

// A block that is read across (ALayout::kTransposed): its numbers [k][rows] become rows [rows][kKeyBlock].
static inline void turn_block(const float* block, int64_t rows, int64_t k, uint16_t* out) {
  f32x16 v[16];
  for (int64_t at = 0; at < k; at += kBf16Block) {
    const uint16_t* in = reinterpret_cast<const uint16_t*>(block + at * kChunkStride);
    for (int64_t i = 0; i < rows; i += kTileRows) {
      for (int64_t p = 0; p < 16; ++p)
        v[p] = join_bf16(load_bf16(in + 4 * p * kChunkStride + i), load_bf16(in + (4 * p + 2) * kChunkStride + i));
      transpose16(v);
      for (int64_t r = 0; r < 16; ++r) store(reinterpret_cast<float*>(out + (i + r) * kKeyBlock + at), v[r]);
    }
  }
}

// Two times TILES tiles of C: 16 TILES rows of A by one panel of B, in steps of 32 k. Strides in bytes.
template <int TILES>
static inline void multiply_bf16(const uint16_t* a, int64_t a_stride, const void* b, int64_t steps, bool ahead) {
  const char* panel = static_cast<const char*>(b);
  for (int64_t step = 0; step < steps; ++step, a += kBf16Block, panel += 16 * 128) {
    if (ahead) prefetch_lines(panel + kTileAhead, 16 * 128);
    tile_load<6>(panel, 128);
    tile_load<7>(panel + 64, 128);
    tile_load<4>(a, a_stride);
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    if constexpr (TILES == 2) {
      tile_load<5>(reinterpret_cast<const char*>(a) + kTileRows * a_stride, a_stride);
      tile_dot_bf16<2, 5, 6>();
      tile_dot_bf16<3, 5, 7>();
    }
  }
}
template <int TILES>
static inline void zero_accumulators() {
  tile_zero<0>();
  tile_zero<1>();
  if constexpr (TILES == 2) {
    tile_zero<2>();
    tile_zero<3>();
  }
}
template <int TILES>
static inline void load_accumulators(const float* c, int64_t ldc) {
  tile_load<0>(c, ldc * 4);
  tile_load<1>(c + 16, ldc * 4);
  if constexpr (TILES == 2) {
    tile_load<2>(c + kTileRows * ldc, ldc * 4);
    tile_load<3>(c + kTileRows * ldc + 16, ldc * 4);
  }
}
template <int TILES>
static inline void store_accumulators(void* c, int64_t ldc) {
  float* to = static_cast<float*>(c);
  tile_store<0>(to, ldc * 4);
  tile_store<1>(to + 16, ldc * 4);
  if constexpr (TILES == 2) {
    tile_store<2>(to + kTileRows * ldc, ldc * 4);
    tile_store<3>(to + kTileRows * ldc + 16, ldc * 4);
  }
}

// The part of C that a step of `sweep` writes, and A's rows for it.
struct TilePart {
  const uint16_t* a;
  int64_t a_stride;  // bytes
  int64_t rows;      // at most 16 TILES
  const void* b;
  int64_t steps, columns;
  float* c;
  bool ahead;
};

// The edge of C, or a product that is added once it is finished: through accumulators of our own.
template <int TILES>
static inline void multiply_aside(const SweepArgs& s, const TilePart& t) {
  alignas(64) float own[TILES * kTileRows * kPanelCols];
  if (s.accumulate == Accumulate::kContinue) {
    for (int64_t i = 0; i < TILES * kTileRows; ++i)
      for (int64_t j = 0; j < kPanelCols; ++j)
        own[i * kPanelCols + j] = i < t.rows && j < t.columns ? t.c[i * s.ldc + j] : 0.0f;
    load_accumulators<TILES>(own, kPanelCols);
  } else {
    zero_accumulators<TILES>();
  }
  multiply_bf16<TILES>(t.a, t.a_stride, t.b, t.steps, t.ahead);
  store_accumulators<TILES>(own, kPanelCols);
  const bool finished = s.accumulate == Accumulate::kAddFinished;
  for (int64_t i = 0; i < t.rows; ++i) {
    float* c = t.c + i * s.ldc;
    for (int64_t j = 0; j < t.columns; j += 16) {
      const int n = static_cast<int>(t.columns - j < 16 ? t.columns - j : 16);
      const f32x16 x = load(own + i * kPanelCols + j);
      store_first(c + j, n, finished ? add(load_first(c + j, n, 0.0f), x) : x);
    }
  }
}

template <int TILES>
static inline void sweep_tiles(const SweepArgs& s, const TilePart& t) {
  if (t.rows < TILES * kTileRows || t.columns < kPanelCols || s.accumulate == Accumulate::kAddFinished)
    return multiply_aside<TILES>(s, t);
  if (s.accumulate == Accumulate::kContinue)
    load_accumulators<TILES>(t.c, s.ldc);
  else
    zero_accumulators<TILES>();
  multiply_bf16<TILES>(t.a, t.a_stride, t.b, t.steps, t.ahead);
  store_accumulators<TILES>(t.c, s.ldc);
}

static void sweep(const SweepArgs& s) {
  if (s.operand != Operand::kBF16) return level_avx512().sweep(s);
  set_up_tiles();
  alignas(64) uint16_t turned[kKeyBlock * kKeyBlock];
  const int64_t k = up(s.k, kBf16Block), b_panel = s.b_stride != 0 ? s.b_stride : k * kPanelCols * 2;
  const bool across = s.a_layout == ALayout::kTransposed;
  if (across) turn_block(s.a, s.rows, k, turned);
  const uint16_t* first = across ? turned : reinterpret_cast<const uint16_t*>(s.a);
  const int64_t a_stride = across ? kKeyBlock * 2 : s.a_layout == ALayout::kKMajor ? k * 2 : row_floats(k) * 4;
  const char* b = static_cast<const char*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols, b += b_panel) {
    for (int64_t i = 0; i < s.rows;) {
      const int64_t left = s.rows - i, step = left > kTileRows ? 2 * kTileRows : kTileRows;
      const TilePart part{.a = first + i * a_stride / 2,
                          .a_stride = a_stride,
                          .rows = left < step ? left : step,
                          .b = b,
                          .steps = k / kBf16Block,
                          .columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols,
                          .c = s.c + i * s.ldc + j,
                          .ahead = i == 0};
      for (int64_t r = step; r < left && r < 2 * step; ++r) prefetch_row(part.c + r * s.ldc, part.columns);
      if (step == kTileRows)
        sweep_tiles<1>(s, part);
      else
        sweep_tiles<2>(s, part);
      i += step;
    }
  }
}

// Two times two products on tiles that are there already.
constexpr double kTileChainOperations = 4 * 2.0 * 16 * 16 * 32;
static void tile_chain(int64_t rounds) {
  set_up_tiles();
  zero_accumulators<2>();
  tile_zero<4>();
  tile_zero<5>();
  tile_zero<6>();
  tile_zero<7>();
  for (int64_t r = 0; r < rounds; ++r) {
    tile_dot_bf16<0, 4, 6>();
    tile_dot_bf16<1, 4, 7>();
    tile_dot_bf16<2, 5, 6>();
    tile_dot_bf16<3, 5, 7>();
  }
}

// ---- weights in groups of 128: a group of a panel serves all rows, whose sums lie in the nearest caches ----

constexpr int64_t kScaleBytes = kPanelCols * 4;

static inline void write_sums(const float* acc, int64_t rows, int64_t columns, float* c, int64_t ldc) {
  for (int64_t i = 0; i < rows; ++i, acc += kPanelCols, c += ldc)
    for (int64_t j = 0; j < columns; j += 16)
      store_first(c + j, static_cast<int>(columns - j < 16 ? columns - j : 16), load(acc + j));
}

// acc = fma(p, s_b, acc) for `rows` rows.
static inline void add_group(const float* p, int64_t rows, const float* scale, float* acc) {
  const f32x16 s0 = load(scale), s1 = load(scale + 16);
  for (int64_t r = 0; r < rows; ++r, p += kPanelCols, acc += kPanelCols) {
    store(acc, fma(load(p), s0, load(acc)));
    store(acc + 16, fma(load(p + 16), s1, load(acc + 16)));
  }
}

// 16 TILES rows of A by a group that was widened to bf16, from +0.
template <int TILES>
static inline void multiply_wide(const uint16_t* a, int64_t a_stride, const uint16_t* wide, int64_t steps, float* p) {
  zero_accumulators<TILES>();
  multiply_bf16<TILES>(a, a_stride, wide, steps, false);
  store_accumulators<TILES>(p, kPanelCols);
}

static void fp8_sweep(const Fp8SweepArgs& s) {
  set_up_tiles();
  alignas(64) uint16_t wide[kQuantGroup * kPanelCols];
  alignas(64) float p[2 * kTileRows * kPanelCols], acc[kMostBlockRows * kPanelCols];
  const int64_t groups = up(s.k, kQuantGroup) / kQuantGroup, a_stride = row_floats(s.k) * 4;
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols) {
    for (int64_t i = 0; i < s.rows * kPanelCols; i += 16) store(acc + i, set1(0.0f));
    for (int64_t g = 0; g < groups; ++g, b += kScaleBytes + kQuantGroup * kPanelCols) {
      const int64_t rest = s.k - g * kQuantGroup, k = up(rest < kQuantGroup ? rest : kQuantGroup, kBf16Block);
      for (int64_t at = 0; at < k * kPanelCols; at += 64) {
        __builtin_prefetch(b + kScaleBytes + at + kTileAhead);
        widen_e4m3(b + kScaleBytes + at, kE4m3.word, wide + at);
      }
      const uint16_t* a = reinterpret_cast<const uint16_t*>(s.a) + g * kQuantGroup;
      for (int64_t i = 0; i < s.rows; i += 2 * kTileRows) {
        const int64_t rows = s.rows - i < 2 * kTileRows ? s.rows - i : 2 * kTileRows;
        const uint16_t* from = a + i * a_stride / 2;
        if (rows > kTileRows)
          multiply_wide<2>(from, a_stride, wide, k / kBf16Block, p);
        else
          multiply_wide<1>(from, a_stride, wide, k / kBf16Block, p);
        add_group(p, rows, reinterpret_cast<const float*>(b), acc + i * kPanelCols);
      }
    }
    write_sums(acc, s.rows, s.columns - j < kPanelCols ? s.columns - j : kPanelCols, s.c + j, s.ldc);
  }
}

// int4 [k / 8][32][4] to the layout of int8, [k / 4][32][4].
static inline void widen_int4(const uint8_t* q, uint8_t* out) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t at = 0; at < kQuantGroup * kPanelCols / 2; at += 128, q += 128, out += 256) {
    for (int64_t half = 0; half < 128; half += 64) {
      __builtin_prefetch(q + half + kTileAhead);
      const __m512i both = _mm512_loadu_si512(q + half);
      _mm512_storeu_si512(out + half, _mm512_and_si512(both, low));
      _mm512_storeu_si512(out + 128 + half, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
    }
  }
}

// 16 TILES rows of A, a_stride bytes apart, by a group of a panel: exact sums.
template <int TILES>
static inline void multiply_group(const int8_t* a, int64_t a_stride, const uint8_t* w, int32_t* p) {
  zero_accumulators<TILES>();
  for (int64_t k = 0; k < kQuantGroup; k += kTileBytes, a += kTileBytes, w += 16 * 128) {
    tile_load<6>(w, 128);
    tile_load<7>(w + 64, 128);
    tile_load<4>(a, a_stride);
    tile_dot_bytes<0, 4, 6>();
    tile_dot_bytes<1, 4, 7>();
    if constexpr (TILES == 2) {
      tile_load<5>(a + kTileRows * a_stride, a_stride);
      tile_dot_bytes<2, 5, 6>();
      tile_dot_bytes<3, 5, 7>();
    }
  }
  store_accumulators<TILES>(p, kPanelCols);
}

// acc = fma(float(p - offset sum(a)), s_a s_b, acc) for rows from `row` on.
static inline void add_integer_group(const GroupSweepArgs& s, int64_t row, int64_t rows, int64_t group, int32_t offset,
                                     const int32_t* p, const float* scale, float* acc) {
  const f32x16 s0 = load(scale), s1 = load(scale + 16);
  for (int64_t r = 0; r < rows; ++r, p += kPanelCols, acc += kPanelCols) {
    const int64_t at = (row + r) * s.groups + group;
    const __m512i taken = _mm512_set1_epi32(offset * s.a_sum[at]);
    const f32x16 s_a = set1(s.a_scale[at]);
    const f32x16 p0{_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(p), taken))};
    const f32x16 p1{_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_load_si512(p + 16), taken))};
    store(acc, fma(p0, mul(s_a, s0), load(acc)));
    store(acc + 16, fma(p1, mul(s_a, s1), load(acc + 16)));
  }
}

static void group_sweep(const GroupSweepArgs& s) {
  constexpr int64_t kFewRows = 4;
  if (s.rows <= kFewRows) return level_avx512().group_sweep(s);
  set_up_tiles();
  alignas(64) uint8_t wide[kQuantGroup * kPanelCols];
  alignas(64) int32_t p[2 * kTileRows * kPanelCols];
  alignas(64) float acc[kMostBlockRows * kPanelCols];
  const bool int4 = s.operand == Operand::kInt4;
  const int64_t group_bytes = kQuantGroup * kPanelCols / (int4 ? 2 : 1), a_stride = s.groups * kQuantGroup;
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols) {
    for (int64_t i = 0; i < s.rows * kPanelCols; i += 16) store(acc + i, set1(0.0f));
    for (int64_t g = 0; g < s.groups; ++g, b += kScaleBytes + group_bytes) {
      const uint8_t* w = b + kScaleBytes;
      if (int4)
        widen_int4(w, wide);
      else
        prefetch_lines(w + kTileAhead, group_bytes);
      for (int64_t i = 0; i < s.rows; i += 2 * kTileRows) {
        const int64_t rows = s.rows - i < 2 * kTileRows ? s.rows - i : 2 * kTileRows;
        const int8_t* a = s.a + i * a_stride + g * kQuantGroup;
        if (rows > kTileRows)
          multiply_group<2>(a, a_stride, int4 ? wide : w, p);
        else
          multiply_group<1>(a, a_stride, int4 ? wide : w, p);
        add_integer_group(s, i, rows, g, int4 ? 8 : 128, p, reinterpret_cast<const float*>(b), acc + i * kPanelCols);
      }
    }
    write_sums(acc, s.rows, s.columns - j < kPanelCols ? s.columns - j : kPanelCols, s.c + j, s.ldc);
  }
}
