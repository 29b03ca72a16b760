// Packing and the sweep of A panels over B panels, written once over tile_f32 / tile_bf16 of the level.
// Included inside a level's namespace. K is never split; an accumulator lives in `acc` from first to last k.

static inline int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
static inline int64_t padded_k(int64_t k, Operand operand) {
  return operand == Operand::kBF16 ? up(k, kBf16Block) : k;
}
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

// Rows that lie apart are not foreseen by the hardware: they are asked for this many rows ahead.
constexpr int64_t kAhead = 12, kRowsAhead = 2;
constexpr int64_t kValuesAhead = 128;  // dimensions
static inline void prefetch_row(const float* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(row + i);
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

// Two k rows of 32 columns become 32 (even, odd) pairs.
static inline void store_pairs(const float* even, const float* odd, uint16_t* dst) {
  float* out = reinterpret_cast<float*>(dst);
  store(out, join_bf16(round_bf16(load(even)), round_bf16(load(odd))));
  store(out + 16, join_bf16(round_bf16(load(even + 16)), round_bf16(load(odd + 16))));
}

static inline void load_columns(const float* row, int64_t columns, float* out) {
  if (columns == kPanelCols) {
    store(out, load(row));
    store(out + 16, load(row + 16));
    return;
  }
  for (int64_t j = 0; j < kPanelCols; ++j) out[j] = j < columns ? row[j] : 0.0f;
}

static void pack_b_cols(const float* src, int64_t ld, const int32_t* index, int64_t columns, int64_t k,
                        Operand operand, void* dst) {
  const auto row = [&](int64_t kk) { return src + (index ? index[kk] : kk) * ld; };
  const auto ahead = [&](int64_t kk) {
    if (kk + kAhead < k) prefetch_row(row(kk + kAhead), columns);
  };
  if (operand == Operand::kF32) {
    for (int64_t kk = 0; kk < k; ++kk) {
      ahead(kk);
      load_columns(row(kk), columns, static_cast<float*>(dst) + kk * kPanelCols);
    }
    return;
  }
  float zero[kPanelCols] = {}, even[kPanelCols], odd[kPanelCols];
  for (int64_t kk = 0; kk < padded_k(k, operand); kk += 2) {
    ahead(kk);
    ahead(kk + 1);
    load_columns(kk < k ? row(kk) : zero, kk < k ? columns : kPanelCols, even);
    load_columns(kk + 1 < k ? row(kk + 1) : zero, kk + 1 < k ? columns : kPanelCols, odd);
    store_pairs(even, odd, static_cast<uint16_t*>(dst) + kk * kPanelCols);
  }
}

// Squares of 16 columns x 16 k are transposed in registers.
static void pack_b_rows(const float* src, int64_t ld, int64_t columns, int64_t k, Operand operand,
                        void* dst) {
  const int64_t k_padded = padded_k(k, operand);
  f32x16 v[16];
  for (int64_t half = 0; half < kPanelCols; half += 16) {
    for (int64_t at = 0; at < k_padded; at += 16) {
      const int n = static_cast<int>(k - at < 16 ? (k > at ? k - at : 0) : 16);
      for (int64_t j = 0; j < 16; ++j) {
        const float* from = src + (half + j) * ld + at;
        v[j] = half + j >= columns || n == 0 ? set1(0.0f) : n == 16 ? load(from) : load_first(from, n, 0.0f);
      }
      transpose16(v);
      if (operand == Operand::kF32) {
        for (int64_t kk = 0; kk < 16 && at + kk < k; ++kk)
          store(static_cast<float*>(dst) + (at + kk) * kPanelCols + half, v[kk]);
      } else {
        for (int64_t kk = 0; kk < 16; kk += 2)
          store(static_cast<float*>(dst) + (at + kk) / 2 * kPanelCols + half,
                join_bf16(round_bf16(v[kk]), round_bf16(v[kk + 1])));
      }
    }
  }
}

// Where keys begin with the values (level.h, value_panel): squares of 16 keys x 16 dimensions are transposed in
// registers, of bf16 as 8 x 8 pieces of two keys and two dimensions.
static void value_panel(const void* keys, int64_t key_panel_bytes, int64_t first, int64_t dims, Operand operand,
                        void* dst) {
  f32x16 v[16];
  float* out = static_cast<float*>(dst);
  for (int64_t key = 0; key < kKeyBlock; key += 16) {
    const float* panel = reinterpret_cast<const float*>(static_cast<const char*>(keys) + key / kPanelCols * key_panel_bytes);
    const float* in = panel + key % kPanelCols;
    for (int64_t half = 0; half < kPanelCols; half += 16) {
      if (operand == Operand::kBF16) {  // a lane holds two dimensions
        const float* from = in + (first + half) / 2 * kPanelCols;
        for (int i = 0; i < 8; ++i) {
          __builtin_prefetch(from + (kValuesAhead / 2 + i) * kPanelCols);
          v[i] = swap_middle_words(load(from + i * kPanelCols));
        }
        transpose8_wide(v);
        for (int i = 0; i < 8; ++i) store(out + i * kPanelCols + half, v[i]);
      } else {
        for (int64_t i = 0; i < 16; ++i)
          v[i] = half + i < dims ? load(in + (first + half + i) * kPanelCols) : set1(0.0f);
        transpose16(v);
        for (int64_t i = 0; i < 16; ++i) store(out + i * kPanelCols + half, v[i]);
      }
    }
    out += (operand == Operand::kBF16 ? 8 : 16) * kPanelCols;
  }
}

// A group of a panel becomes bf16 in the nearest cache, then serves all rows.
static void fp8_sweep(const Fp8SweepArgs& s) {
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
