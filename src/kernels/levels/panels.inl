// Packing of B panels (level.h). Included inside a level's namespace.

static inline int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
static inline int64_t padded_k(int64_t k, Operand operand) {
  return operand == Operand::kBF16 ? up(k, kBf16Block) : k;
}

// Rows that lie apart are not foreseen by the hardware: they are asked for this many rows ahead.
constexpr int64_t kAhead = 12, kRowsAhead = 2;
static inline void prefetch_row(const float* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(row + i);
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
        for (int i = 0; i < 8; ++i) v[i] = swap_middle_words(load(from + i * kPanelCols));
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
