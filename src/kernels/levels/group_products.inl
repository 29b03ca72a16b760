// Products with int8 and int4 weights (level.h, GroupSweepArgs), written once over the level's lanes of four
// bytes. Included inside a level's namespace.

template <bool INT4>
struct GroupLayout {
  static constexpr int64_t kScaleBytes = kPanelCols * 4;
  static constexpr int64_t kBytes = kScaleBytes + kPanelCols * kQuantGroup / (INT4 ? 2 : 1);
  static constexpr int32_t kOffset = INT4 ? 8 : 128;  // what was added to the numbers to make them unsigned
};

// ROWS rows of A times one group of a panel, onto acc [ROWS][32].
template <bool INT4, int ROWS>
static inline void group_tile(const GroupSweepArgs& s, int64_t row, int64_t group, const uint8_t* b, float* acc) {
  const int64_t k = s.groups * kQuantGroup;
  const int8_t* a = s.a + row * k + group * kQuantGroup;
  const uint8_t* w = b + GroupLayout<INT4>::kScaleBytes;
  i32x16 p[ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i) p[i][0] = p[i][1] = zero_i32();
  for (int64_t at = 0; at < kQuantGroup; at += INT4 ? 8 : 4, w += 128) {
    __builtin_prefetch(w + 4096);
    __builtin_prefetch(w + 4096 + 64);
    const quads x0 = load_quads(w), x1 = load_quads(w + 64);
    const quads w0 = INT4 ? low_halves(x0) : x0, w1 = INT4 ? low_halves(x1) : x1;
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const quad q = broadcast_quad(a + i * k + at);
      p[i][0] = dot4(p[i][0], w0, q);
      p[i][1] = dot4(p[i][1], w1, q);
    }
    if constexpr (INT4) {
      const quads h0 = high_halves(x0), h1 = high_halves(x1);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) {
        const quad q = broadcast_quad(a + i * k + at + 4);
        p[i][0] = dot4(p[i][0], h0, q);
        p[i][1] = dot4(p[i][1], h1, q);
      }
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
      store(out, fma(float_of_difference(p[i][h], offset), mul(s_a, load(scale + 16 * h)), load(out)));
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
    for (; i + kGroupRows <= s.rows; i += kGroupRows) group_panel<INT4, kGroupRows>(s, i, b, columns, c + i * s.ldc);
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
