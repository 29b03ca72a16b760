// Products with int8 and int4 weights (level.h, GroupSweepArgs), written once over the level's lanes of four
// bytes. Included inside a level's namespace.

template <bool INT4>
struct GroupLayout {
  static constexpr int64_t kScaleBytes = kPanelCols * 4;
  static constexpr int64_t kBytes = kScaleBytes + kPanelCols * kQuantGroup / (INT4 ? 2 : 1);
  // What was added to the numbers to make them unsigned, and is still in the sums.
  static constexpr int32_t kOffset = INT4 ? 8 : kBytesAreSigned ? 0 : 128;
  static constexpr int kRows = INT4 ? kHalfRows : kGroupRows;
};

constexpr int64_t kGroupAhead = 8192;  // bytes: memory's latency at its full speed

static inline void prefetch_quads(const uint8_t* w) {
  __builtin_prefetch(w + kGroupAhead);
  __builtin_prefetch(w + kGroupAhead + 64);
}

// Both halves of a panel are written out below, not looped over: g++ 12 unrolls the loop over rows soon enough for the sums
// to live in registers if no loop is left inside.

// The exact sums of ROWS rows of A, k numbers apart, times the bytes of one group of a panel.
template <int ROWS>
static inline void sum_bytes(const int8_t* a, int64_t k, const uint8_t* w, i32x16 (*sum)[2]) {
  // With few rows a sum would wait for the one before it: two chains, which are exact however they are added.
  constexpr int kChains = ROWS <= 3 ? 2 : 1;
  i32x16 p[ROWS][2], other[ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) p[i][0] = p[i][1] = other[i][0] = other[i][1] = zero_i32();
  for (int64_t at = 0; at < kQuantGroup; at += 8, w += 256) {
    prefetch_quads(w);
    prefetch_quads(w + 128);
    const auto w0 = weights(load_quads(w)), w1 = weights(load_quads(w + 64));
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const quad q = broadcast_quad(a + i * k + at);
      p[i][0] = dot4(p[i][0], w0, q);
      p[i][1] = dot4(p[i][1], w1, q);
    }
    const auto w2 = weights(load_quads(w + 128)), w3 = weights(load_quads(w + 192));
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const quad q = broadcast_quad(a + i * k + at + 4);
      if constexpr (kChains == 2) {
        other[i][0] = dot4(other[i][0], w2, q);
        other[i][1] = dot4(other[i][1], w3, q);
      } else {
        p[i][0] = dot4(p[i][0], w2, q);
        p[i][1] = dot4(p[i][1], w3, q);
      }
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) {
    sum[i][0] = kChains == 2 ? add_i32(p[i][0], other[i][0]) : p[i][0];
    sum[i][1] = kChains == 2 ? add_i32(p[i][1], other[i][1]) : p[i][1];
  }
}

// The same for numbers of four bits, whose products are so small that several fit a half_sums. HALVES of the panel's
// two times 16 columns from w on.
template <int ROWS, int HALVES>
static inline void sum_halves(const int8_t* a, int64_t k, const uint8_t* w, i32x16 (*sum)[2]) {
  constexpr int kChains = kHalfDots < 32 || ROWS > 3 ? 1 : 2;               // as in sum_bytes
  constexpr int64_t kSteps = kHalfDots < 32 ? kHalfDots * 4 : kQuantGroup;  // k per half_sums
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) {
    sum[i][0] = zero_i32();
    if constexpr (HALVES == 2) sum[i][1] = zero_i32();
  }
  for (int64_t from = 0; from < kQuantGroup; from += kSteps) {
    half_sums p[ROWS][2], other[ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) p[i][0] = p[i][1] = other[i][0] = other[i][1] = zero_half_sums();
    for (int64_t at = from; at < from + kSteps; at += 8, w += 128) {
      prefetch_quads(w);
      const quads first = load_quads(w), second = load_quads(w + 64 * (HALVES - 1));
      const quads low0 = low_halves(first), low1 = low_halves(second);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) {
        const half_quad q = broadcast_half_quad(a + i * k + at);
        p[i][0] = dot4_half(p[i][0], low0, q);
        if constexpr (HALVES == 2) p[i][1] = dot4_half(p[i][1], low1, q);
      }
      const quads high0 = high_halves(first), high1 = high_halves(second);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) {
        const half_quad q = broadcast_half_quad(a + i * k + at + 4);
        if constexpr (kChains == 2) {
          other[i][0] = dot4_half(other[i][0], high0, q);
          if constexpr (HALVES == 2) other[i][1] = dot4_half(other[i][1], high1, q);
        } else {
          p[i][0] = dot4_half(p[i][0], high0, q);
          if constexpr (HALVES == 2) p[i][1] = dot4_half(p[i][1], high1, q);
        }
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      sum[i][0] = add_i32(sum[i][0], widen_sums(p[i][0]));
      if constexpr (HALVES == 2) sum[i][1] = add_i32(sum[i][1], widen_sums(p[i][1]));
      if constexpr (kChains == 2) {
        sum[i][0] = add_i32(sum[i][0], widen_sums(other[i][0]));
        if constexpr (HALVES == 2) sum[i][1] = add_i32(sum[i][1], widen_sums(other[i][1]));
      }
    }
  }
}

// ROWS rows of A times one group of a panel, onto acc [ROWS][32].
template <bool INT4, int ROWS>
static inline void group_tile(const GroupSweepArgs& s, int64_t row, int64_t group, const uint8_t* b, float* acc) {
  const int64_t k = s.groups * kQuantGroup;
  const int8_t* a = s.a + row * k + group * kQuantGroup;
  const uint8_t* w = b + GroupLayout<INT4>::kScaleBytes;
  i32x16 sum[ROWS][2];
  if constexpr (!INT4) {
    sum_bytes<ROWS>(a, k, w, sum);
  } else if constexpr (ROWS <= 2 || kHalvesAtOnce == 2) {  // few rows wait for memory: one pass over it
    sum_halves<ROWS, 2>(a, k, w, sum);
  } else {
    for (int h = 0; h < 2; ++h) {
      i32x16 half[ROWS][2];
      sum_halves<ROWS, 1>(a, k, w + 64 * h, half);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) sum[i][h] = half[i][0];
    }
  }
  const float* scale = reinterpret_cast<const float*>(b);
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) {
    const int64_t g = (row + i) * s.groups + group;
    const int32_t offset = GroupLayout<INT4>::kOffset * s.a_sum[g];
    const f32x16 s_a = set1(s.a_scale[g]);
    for (int h = 0; h < 2; ++h) {
      float* out = acc + i * kPanelCols + 16 * h;
      store(out, fma(float_of_difference(sum[i][h], offset), mul(s_a, load(scale + 16 * h)), load(out)));
    }
  }
}

template <bool INT4, int ROWS>
static inline void group_panel(const GroupSweepArgs& s, int64_t row, const uint8_t* b, int64_t columns, float* c) {
  alignas(64) float acc[ROWS * kPanelCols] = {};
  for (int64_t g = 0; g < s.groups; ++g, b += GroupLayout<INT4>::kBytes)
    group_tile<INT4, ROWS>(s, row, g, b, acc);
  for (int64_t i = 0; i < ROWS; ++i, c += s.ldc) {
    if (columns == kPanelCols) {
      store(c, load(acc + i * kPanelCols));
      store(c + 16, load(acc + i * kPanelCols + 16));
    } else {
      for (int64_t j = 0; j < columns; ++j) c[j] = acc[i * kPanelCols + j];
    }
  }
}

// The rows that are fewer than a tile's, in one pass over the panel, or in two that are about equal.
template <bool INT4>
static inline void group_rest(const GroupSweepArgs& s, int64_t row, const uint8_t* b, int64_t columns, float* c) {
  constexpr int kMost = GroupLayout<INT4>::kRows / 2;
  using Panel = void (*)(const GroupSweepArgs&, int64_t, const uint8_t*, int64_t, float*);
  static constexpr Panel kPanels[] = {
      group_panel<INT4, 1>,
      group_panel<INT4, kMost < 2 ? 1 : 2>,
      group_panel<INT4, kMost < 3 ? 1 : 3>,
      group_panel<INT4, kMost < 4 ? 1 : 4>,
      group_panel<INT4, kMost < 5 ? 1 : 5>,
      group_panel<INT4, kMost < 6 ? 1 : 6>};
  static_assert(kMost <= 6);
  while (row < s.rows) {
    const int64_t rest = s.rows - row, rows = rest > kMost ? (rest + 1) / 2 : rest;
    kPanels[rows - 1](s, row, b, columns, c + row * s.ldc);
    row += rows;
  }
}

template <bool INT4>
static inline void group_sweep_of(const GroupSweepArgs& s) {
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols, b += s.groups * GroupLayout<INT4>::kBytes) {
    const int64_t columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols;
    float* c = s.c + j;
    int64_t i = 0;
    constexpr int kRows = GroupLayout<INT4>::kRows;
    for (; i + kRows <= s.rows; i += kRows) group_panel<INT4, kRows>(s, i, b, columns, c + i * s.ldc);
    group_rest<INT4>(s, i, b, columns, c);
  }
}

static void group_sweep(const GroupSweepArgs& s) {
  if (s.operand == Operand::kInt4)
    group_sweep_of<true>(s);
  else
    group_sweep_of<false>(s);
}
