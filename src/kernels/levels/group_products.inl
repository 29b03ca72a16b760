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

// The exact sums of ROWS rows of A, k numbers apart, times the bytes of one group of a panel.
template <int ROWS>
static inline void sum_bytes(const int8_t* a, int64_t k, const uint8_t* w, i32x16 (*sum)[2]) {
  // With few rows a sum would wait for the one before it: two chains, which are exact however they are added.
  constexpr int kChains = ROWS <= 2 ? 2 : 1;
  i32x16 p[kChains][ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS * kChains; ++i) p[i / ROWS][i % ROWS][0] = p[i / ROWS][i % ROWS][1] = zero_i32();
  for (int64_t at = 0; at < kQuantGroup; at += 8) {
#pragma GCC unroll 2
    for (int c = 0; c < 2; ++c) {
      prefetch_quads(w);
      const auto w0 = weights(load_quads(w)), w1 = weights(load_quads(w + 64));
      w += 128;
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) {
        const quad q = broadcast_quad(a + i * k + at + 4 * c);
        i32x16* to = p[c % kChains][i];
        to[0] = dot4(to[0], w0, q);
        to[1] = dot4(to[1], w1, q);
      }
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i)
    for (int h = 0; h < 2; ++h) sum[i][h] = kChains == 2 ? add_i32(p[0][i][h], p[kChains - 1][i][h]) : p[0][i][h];
}

// The same for numbers of four bits, whose products are so small that several fit a half_sums. HALVES of the panel's
// two times 16 columns from w on.
template <int ROWS, int HALVES>
static inline void sum_halves(const int8_t* a, int64_t k, const uint8_t* w, i32x16 (*sum)[2]) {
  constexpr int kChains = kHalfDots < 32 || ROWS > 2 ? 1 : 2;               // as in sum_bytes
  constexpr int64_t kSteps = kHalfDots < 32 ? kHalfDots * 4 : kQuantGroup;  // k per half_sums
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i)
    for (int h = 0; h < HALVES; ++h) sum[i][h] = zero_i32();
  for (int64_t from = 0; from < kQuantGroup; from += kSteps) {
    half_sums p[kChains][ROWS][HALVES];
#pragma GCC unroll 12
    for (int i = 0; i < ROWS * kChains; ++i)
      for (int h = 0; h < HALVES; ++h) p[i / ROWS][i % ROWS][h] = zero_half_sums();
    for (int64_t at = from; at < from + kSteps; at += 8, w += 128) {
      prefetch_quads(w);
      quads both[HALVES];
      for (int h = 0; h < HALVES; ++h) both[h] = load_quads(w + 64 * h);
#pragma GCC unroll 2
      for (int c = 0; c < 2; ++c) {
        quads part[HALVES];
        for (int h = 0; h < HALVES; ++h) part[h] = c == 0 ? low_halves(both[h]) : high_halves(both[h]);
#pragma GCC unroll 12
        for (int i = 0; i < ROWS; ++i) {
          const half_quad q = broadcast_half_quad(a + i * k + at + 4 * c);
          half_sums* to = p[c % kChains][i];
          for (int h = 0; h < HALVES; ++h) to[h] = dot4_half(to[h], part[h], q);
        }
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < ROWS * kChains; ++i)
      for (int h = 0; h < HALVES; ++h)
        sum[i % ROWS][h] = add_i32(sum[i % ROWS][h], widen_sums(p[i / ROWS][i % ROWS][h]));
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

template <bool INT4>
static inline void group_sweep_of(const GroupSweepArgs& s) {
  const uint8_t* b = static_cast<const uint8_t*>(s.b);
  for (int64_t j = 0; j < s.columns; j += kPanelCols, b += s.groups * GroupLayout<INT4>::kBytes) {
    const int64_t columns = s.columns - j < kPanelCols ? s.columns - j : kPanelCols;
    float* c = s.c + j;
    int64_t i = 0;
    constexpr int kRows = GroupLayout<INT4>::kRows;
    for (; i + kRows <= s.rows; i += kRows) group_panel<INT4, kRows>(s, i, b, columns, c + i * s.ldc);
    for (; i + 4 <= s.rows; i += 4) group_panel<INT4, 4>(s, i, b, columns, c + i * s.ldc);
    for (; i + 2 <= s.rows; i += 2) group_panel<INT4, 2>(s, i, b, columns, c + i * s.ldc);
    for (; i < s.rows; ++i) group_panel<INT4, 1>(s, i, b, columns, c + i * s.ldc);
  }
}

static void group_sweep(const GroupSweepArgs& s) {
  if (s.operand == Operand::kInt4)
    group_sweep_of<true>(s);
  else
    group_sweep_of<false>(s);
}
