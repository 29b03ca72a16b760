// Loops over 16 lanes and the functions exp, log and sigmoid, written once over f32x16 and compiled per level.
// Included inside a level's namespace.

// Runs full(i) for whole registers and tail(i, n) for the rest.
template <class Full, class Tail>
static inline void each16(int64_t n, Full full, Tail tail) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) full(i);
  if (i < n) tail(i, static_cast<int>(n - i));
}

// Elementwise y[i] = f(x[i]...): `at(i, n)` computes from registers loaded with n valid lanes.
template <class F>
static inline void map16(int64_t n, float* y, F f) {
  each16(
      n, [&](int64_t i) { store(y + i, f(i, 16)); },
      [&](int64_t i, int m) { store_first(y + i, m, f(i, m)); });
}
static inline f32x16 take(const float* p, int n) { return n == 16 ? load(p) : load_first(p, n, 0.0f); }

// exp: 2^n e^r, |r| <= ln2 / 2, degree-5 polynomial after Cephes expf; relative error below 8.5e-8
// (levels_test.cc). Results below the smallest normal number are zero.
static inline f32x16 exp(f32x16 x) {
  const f32x16 rounding = set1(12582912.0f);  // 1.5 * 2^23: the sum's low bits are the nearest integer
  const f32x16 t = fma(x, set1(1.44269504088896341f), rounding);
  const f32x16 n = sub(t, rounding);
  f32x16 r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  f32x16 p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(p, mul(r, r), r), set1(1.0f));
  p = add_exponent(p, t);
  p = select_less(x, set1(-87.33654f), set1(0.0f), p);
  return select_less(set1(88.72283f), x, set1(__builtin_inff()), p);
}

// log of positive normal numbers, after Cephes logf; relative error below 8.2e-8 (levels_test.cc).
static inline f32x16 log(f32x16 x) {
  f32x16 e;
  const f32x16 f = sub(split_exponent(x, &e), set1(1.0f));
  const f32x16 z = mul(f, f);
  f32x16 p = set1(7.0376836292e-2f);
  p = fma(p, f, set1(-1.1514610310e-1f));
  p = fma(p, f, set1(1.1676998740e-1f));
  p = fma(p, f, set1(-1.2420140846e-1f));
  p = fma(p, f, set1(1.4249322787e-1f));
  p = fma(p, f, set1(-1.6668057665e-1f));
  p = fma(p, f, set1(2.0000714765e-1f));
  p = fma(p, f, set1(-2.4999993993e-1f));
  p = fma(p, f, set1(3.3333331174e-1f));
  p = mul(mul(p, f), z);
  p = fma(e, set1(-2.12194440e-4f), p);
  p = fma(z, set1(-0.5f), p);
  return fma(e, set1(0.693359375f), add(f, p));
}

// Relative error below 1.5e-7 (levels_test.cc); zero below -88.72.
static inline f32x16 sigmoid16(f32x16 x) { return div(set1(1.0f), add(set1(1.0f), exp(sub(set1(0.0f), x)))); }
