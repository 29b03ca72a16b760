// The table of e4m3. Included inside a level's namespace.

// bf16 of the e4m3 bytes below 128 (1-4-3, bias 7, 127 not a number).
struct E4m3Table {
  uint16_t word[128];
};
static constexpr E4m3Table e4m3_table() {
  E4m3Table t{};
  for (int b = 8; b < 127; ++b) t.word[b] = static_cast<uint16_t>((b << 4) + (120 << 7));
  for (int m = 1; m < 8; ++m) {  // m 2^-9
    int shift = 0;
    while ((m << shift) < 8) ++shift;
    t.word[m] = static_cast<uint16_t>(((127 - 6 - shift) << 7) | (((m << shift) & 7) << 4));
  }
  t.word[127] = 0x7fc0;
  return t;
}
static constexpr E4m3Table kE4m3 = e4m3_table();
