// Packing of A and the sweep of its panels over B panels, written once over tile_f32 / tile_bf16 of the level.
// Included inside a level's namespace behind panels.inl. K is never split; an accumulator lives in `acc` from first to
// last k.

// Tiles exist for 1, 2, 4, 8 and 12 rows; packed rows up to there are zero.
static inline int64_t tile_rows(int64_t rows) { return rows > 8 ? 12 : rows > 4 ? 8 : rows > 2 ? 4 : rows; }

template <int RS, int KS, int ROWS>
static inline void tile_chunks(const float* a, const void* b, int64_t k, Operand operand, float* acc,
                               int64_t ld, bool fresh) {
  constexpr bool kChunked = KS == 1;
  const int64_t step = kChunked ? kChunk : k;
  if (k == 0 && fresh)  // the empty sum is zero
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < 32; ++j) acc[i * ld + j] = 0.0f;
  for (int64_t at = 0; at < k; at += step, fresh = false) {
    const int64_t n = k - at < step ? k - at : step;
    const float* chunk = kChunked ? a + at / kChunk * (kPanelRows * kChunkStride) : a;
    if (operand == Operand::kF32) {
      tile_f32<RS, KS, ROWS>(chunk, static_cast<const float*>(b) + at * kPanelCols, n, acc, ld, fresh);
    } else {
      tile_bf16<RS, KS, ROWS>(chunk, static_cast<const uint16_t*>(b) + at * kPanelCols, n / kBf16Block, acc,
                              ld, fresh);
    }
  }
}

template <int RS, int KS>
static inline void tile_any(int64_t rows, const float* a, const void* b, int64_t k, Operand operand,
                            float* acc, int64_t ld, bool fresh) {
  switch (tile_rows(rows)) {
    case 1:
      tile_chunks<RS, KS, 1>(a, b, k, operand, acc, ld, fresh);
      break;
    case 2:
      tile_chunks<RS, KS, 2>(a, b, k, operand, acc, ld, fresh);
      break;
    case 4:
      tile_chunks<RS, KS, 4>(a, b, k, operand, acc, ld, fresh);
      break;
    case 8:
      tile_chunks<RS, KS, 8>(a, b, k, operand, acc, ld, fresh);
      break;
    default:
      tile_chunks<RS, KS, 12>(a, b, k, operand, acc, ld, fresh);
      break;
  }
}

// The edge of C, or a product that is added once it is finished: through a tile of our own.
static inline void load_accumulators(const SweepArgs& s, int64_t rows, int64_t columns, const float* c,
                                     float* acc) {
  for (int64_t i = 0; i < tile_rows(rows); ++i)
    for (int64_t j = 0; j < kPanelCols; ++j)
      acc[i * kPanelCols + j] = i < rows && j < columns ? c[i * s.ldc + j] : 0.0f;
}
static inline void write_accumulators(const SweepArgs& s, int64_t rows, int64_t columns, const float* acc,
                                      float* c) {
  const bool finished = s.accumulate == Accumulate::kAddFinished;
  for (int64_t i = 0; i < rows; ++i, acc += kPanelCols, c += s.ldc) {
    if (columns == kPanelCols) {
      const f32x16 x = load(acc), y = load(acc + 16);
      store(c, finished ? add(load(c), x) : x);
      store(c + 16, finished ? add(load(c + 16), y) : y);
    } else {
      for (int64_t j = 0; j < columns; ++j) c[j] = finished ? c[j] + acc[j] : acc[j];
    }
  }
}

static void sweep(const SweepArgs& s) {
  alignas(64) float own[kPanelRows * kPanelCols];
  const int64_t k = padded_k(s.k, s.operand);
  const int64_t a_panel = s.a_layout == ALayout::kRowMajor
                              ? up(k, kChunk) / kChunk * kPanelRows * kChunkStride
                          : s.a_layout == ALayout::kKMajor ? k * kPanelRows
                                                           : kPanelRows;
  const int64_t b_panel =
      s.b_stride != 0 ? s.b_stride : k * kPanelCols * (s.operand == Operand::kF32 ? 4 : 2);
  const bool fresh = s.accumulate != Accumulate::kContinue;
  const char* b = static_cast<const char*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols, b += b_panel) {
    const int64_t columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols;
    for (int64_t i = 0; i < s.rows; i += kPanelRows) {
      const int64_t rows = s.rows - i < kPanelRows ? s.rows - i : kPanelRows;
      const float* a = s.a + i / kPanelRows * a_panel;
      float* c = s.c + i * s.ldc + j;
      for (int64_t r = 0; r < kPanelRows && i + kPanelRows + r < s.rows; ++r)  // of the next tile
        prefetch_row(c + (kPanelRows + r) * s.ldc, columns);
      const bool direct =
          s.accumulate != Accumulate::kAddFinished && columns == kPanelCols && rows == tile_rows(rows);
      float* acc = direct ? c : own;
      const int64_t ld = direct ? s.ldc : kPanelCols;
      if (!direct && !fresh) load_accumulators(s, rows, columns, c, acc);
      switch (s.a_layout) {
        case ALayout::kRowMajor:
          tile_any<kChunkStride, 1>(rows, a, b, k, s.operand, acc, ld, fresh);
          break;
        case ALayout::kKMajor:
          tile_any<1, kPanelRows>(rows, a, b, k, s.operand, acc, ld, fresh);
          break;
        case ALayout::kTransposed:
          tile_any<1, kChunkStride>(rows, a, b, k, s.operand, acc, ld, fresh);
          break;
      }
      if (!direct) write_accumulators(s, rows, columns, acc, c);
    }
  }
}

static inline void copy_row(const float* src, int64_t n, int64_t padded, Operand operand, float* dst) {
  int64_t i = 0;
  if (operand == Operand::kBF16) {
    for (; i + 16 <= n; i += 16) store(dst + i, round_bf16(load(src + i)));
    if (i < n)
      store_first(dst + i, static_cast<int>(n - i),
                  round_bf16(load_first(src + i, static_cast<int>(n - i), 0.0f)));
  } else {
    for (; i + 16 <= n; i += 16) store(dst + i, load(src + i));
    if (i < n)
      store_first(dst + i, static_cast<int>(n - i), load_first(src + i, static_cast<int>(n - i), 0.0f));
  }
  for (i = n; i < padded; ++i) dst[i] = 0.0f;
}

static void pack_a_rows(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k,
                        Operand operand, float* dst) {
  const int64_t chunks = up(k, kChunk) / kChunk;
  for (int64_t i = 0; i < rows; i += kPanelRows, dst += chunks * kPanelRows * kChunkStride) {
    const int64_t n = rows - i < kPanelRows ? rows - i : kPanelRows;
    for (int64_t r = 0; r < tile_rows(n); ++r) {
      if (index && i + r + kRowsAhead < rows) prefetch_row(src + index[i + r + kRowsAhead] * ld, k);
      const float* row = r < n ? src + (index ? index[i + r] : i + r) * ld : nullptr;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t at = chunk * kChunk;
        const int64_t len = k - at < kChunk ? k - at : kChunk;
        float* out = dst + (chunk * kPanelRows + r) * kChunkStride;
        if (row) {
          copy_row(row + at, len, padded_k(len, operand), operand, out);
        } else {
          for (int64_t kk = 0; kk < padded_k(len, operand); ++kk) out[kk] = 0.0f;
        }
      }
    }
  }
}

// k outside: a source row of the block is read in one go, since rows may lie a page apart.
static void pack_a_cols(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k,
                        Operand operand, float* dst) {
  const int64_t k_padded = padded_k(k, operand);
  const auto row = [&](int64_t kk) { return src + (index ? index[kk] : kk) * ld; };
  for (int64_t kk = 0; kk < k_padded; ++kk) {
    if (kk + kAhead < k) prefetch_row(row(kk + kAhead), rows);
    float* out = dst + kk * kPanelRows;
    for (int64_t i = 0; i < rows; i += kPanelRows, out += k_padded * kPanelRows) {
      const int n = static_cast<int>(rows - i < kPanelRows ? rows - i : kPanelRows);
      f32x16 v = kk < k ? load_first(row(kk) + i, n, 0.0f) : set1(0.0f);
      if (operand == Operand::kBF16) v = round_bf16(v);
      store_first(out, kPanelRows, v);
    }
  }
}

#ifdef FRUGAL_DIRECT_E4M3
// With few rows weights are widened in registers, times 2^-8, and p is multiplied with 2^8 once it is finished. That
// is exact where no chain can leave the range of numbers: they are sums of multiples of 2^-16 |a|, at most 2^16 |a|
// large, for the smallest and the largest |a| that are not zero. Weights that are not numbers have such scales.
constexpr int kDirectRows = 12;
constexpr float kLeastA = 0x1p-100f, kMostA = 0x1p100f;

static inline bool direct(const Fp8SweepArgs& s) {
  if (s.rows > kDirectRows) return false;
  f32x16 outside = set1(0.0f);
  const f32x16 zero = set1(0.0f), one = set1(1.0f);
  for (int64_t r = 0; r < s.rows; ++r)
    for (int64_t k = 0; k < up(s.k, kBf16Block); k += 16) {
      const f32x16 x = load(s.a + (k / kChunk * kPanelRows + r) * kChunkStride + k % kChunk);
      const f32x16 size = max(x, sub(zero, x)), small = select_less(zero, size, one, zero);
      const f32x16 large = select_less(set1(kMostA), size, one, zero);
      outside = max(outside, select_less(size, set1(kLeastA), small, large));
    }
  return reduce_max(outside) == 0.0f;
}

// Rows from `row` on by the panel b.
template <int ROWS>
static void fp8_panel_direct(const Fp8SweepArgs& s, int64_t row, const uint8_t* b, int64_t columns, float* c) {
  alignas(64) float p[ROWS * kPanelCols];
  const f32x16 factor = set1(256.0f);
  f32x16 acc[ROWS][2];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) acc[i][0] = acc[i][1] = set1(0.0f);
  for (int64_t k = 0; k < s.k; k += kQuantGroup, b += kPanelCols * 4 + kQuantGroup * kPanelCols) {
    const int64_t n = s.k - k < kQuantGroup ? up(s.k - k, kBf16Block) : kQuantGroup;
    tile_e4m3<kChunkStride, ROWS>(s.a + (k / kChunk * kPanelRows + row) * kChunkStride + k % kChunk,
                                  b + kPanelCols * 4, n / kBf16Block, p);
    const float* scale = reinterpret_cast<const float*>(b);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i)
      for (int h = 0; h < 2; ++h)
        acc[i][h] = fma(mul(load(p + i * kPanelCols + 16 * h), factor), load(scale + 16 * h), acc[i][h]);
  }
  for (int i = 0; i < ROWS; ++i)
    for (int64_t h = 0; h < 2 && 16 * h < columns; ++h)
      store_first(c + (row + i) * s.ldc + 16 * h, static_cast<int>(columns - 16 * h < 16 ? columns - 16 * h : 16),
                  acc[i][h]);
}

static inline bool swept_directly(const Fp8SweepArgs& s) {
  if (!direct(s)) return false;
  using Panel = void (*)(const Fp8SweepArgs&, int64_t, const uint8_t*, int64_t, float*);
  constexpr Panel kPanels[] = {fp8_panel_direct<1>, fp8_panel_direct<2>, fp8_panel_direct<3>,
                               fp8_panel_direct<4>, fp8_panel_direct<5>, fp8_panel_direct<6>};
  const int64_t first = s.rows > 6 ? (s.rows + 1) / 2 : s.rows;
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  const int64_t panel_bytes = up(s.k, kQuantGroup) / kQuantGroup * kPanelCols * (4 + kQuantGroup);
  for (int64_t j = 0; j < s.columns; j += kPanelCols, b += panel_bytes) {
    const int64_t columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols;
    kPanels[first - 1](s, 0, b, columns, s.c + j);
    if (first < s.rows) kPanels[s.rows - first - 1](s, first, b, columns, s.c + j);
  }
  return true;
}
#else
static inline bool swept_directly(const Fp8SweepArgs&) { return false; }
#endif

// A group of a panel becomes bf16 in the nearest cache, then serves all rows.
static void fp8_sweep(const Fp8SweepArgs& s) {
  if (swept_directly(s)) return;
  alignas(64) uint16_t wide[kQuantGroup * kPanelCols];
  alignas(64) float p[kPanelRows * kPanelCols], acc[kBlockRows * kPanelCols];
  const int64_t groups = up(s.k, kQuantGroup) / kQuantGroup;
  const int64_t a_panel = up(s.k, kChunk) / kChunk * kPanelRows * kChunkStride;
  constexpr int64_t kScaleBytes = kPanelCols * 4, kGroupBytes = kScaleBytes + kQuantGroup * kPanelCols;
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols) {
    const int64_t columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols;
    for (int64_t i = 0; i < s.rows * kPanelCols; i += 16) store(acc + i, set1(0.0f));
    for (int64_t g = 0; g < groups; ++g, b += kGroupBytes) {
      const int64_t rest = s.k - g * kQuantGroup, k = up(rest < kQuantGroup ? rest : kQuantGroup, kBf16Block);
      for (int64_t at = 0; at < k * kPanelCols; at += 64) {
        __builtin_prefetch(b + kScaleBytes + at + 8192);
        widen_e4m3(b + kScaleBytes + at, kE4m3.word, wide + at);
      }
      const float* scale = reinterpret_cast<const float*>(b);
      const f32x16 s0 = load(scale), s1 = load(scale + 16);
      const float* a = s.a + g * kQuantGroup / kChunk * (kPanelRows * kChunkStride) + g * kQuantGroup % kChunk;
      for (int64_t i = 0; i < s.rows; i += kPanelRows, a += a_panel) {
        const int64_t rows = s.rows - i < kPanelRows ? s.rows - i : kPanelRows;
        tile_any<kChunkStride, 1>(rows, a, wide, k, Operand::kBF16, p, kPanelCols, true);
        for (int64_t r = 0; r < rows; ++r) {
          float* to = acc + (i + r) * kPanelCols;
          store(to, fma(load(p + r * kPanelCols), s0, load(to)));
          store(to + 16, fma(load(p + r * kPanelCols + 16), s1, load(to + 16)));
        }
      }
    }
    for (int64_t i = 0; i < s.rows; ++i)
      for (int64_t c = 0; c < columns; ++c) s.c[i * s.ldc + j + c] = acc[i * kPanelCols + c];
  }
}
static_assert(kChunk % kQuantGroup == 0);
