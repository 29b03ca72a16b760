// Level amx on processors without AMX: its instructions stop at such a processor with SIGILL, whose handler
// does what Intel's manual says that they do and goes on behind them. Every instruction of the level's
// machine code is met with its own operands, so that a test sees wrong tiles, strides and layouts, everything
// but speed: an instruction costs microseconds. Intel SDM, volume 2, the entries of LDTILECFG .. TDPBUSD.
#include <immintrin.h>
#include <signal.h>
#include <ucontext.h>

#include "kernels/level.h"

namespace frugal::kernels {
namespace {

constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

struct Tiles {
  bool configured = false;
  int rows[kTiles] = {}, bytes[kTiles] = {};  // bytes of a row
  alignas(64) uint8_t data[kTiles][kMostRows][kMostBytes] = {};
};
thread_local Tiles tiles;

// An instruction with a three-byte VEX prefix of map 0F38, as far as AMX uses them.
struct Instruction {
  int length, opcode, prefix;  // prefix: 0 none, 1 66, 2 F3, 3 F2
  int reg, rm, source;         // ModRM's fields and VEX.vvvv
  bool memory, sib;
  const uint8_t* address;  // of memory, without the index
  int64_t stride;          // index << scale
};

int64_t register_value(const ucontext_t* context, int number) {
  constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return context->uc_mcontext.gregs[kOrder[number]];
}

bool decode(const ucontext_t* context, Instruction* out) {
  const uint8_t* start = reinterpret_cast<const uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
  const uint8_t *p = start, vex1 = p[1], vex2 = p[2];
  if (p[0] != 0xc4 || (vex1 & 31) != 2 || (vex2 & 0x84) != 0) return false;  // W = 0, L = 0
  const int x = vex1 & 64 ? 0 : 8, base = vex1 & 32 ? 0 : 8;
  const uint8_t modrm = p[4];
  *out = {};
  out->opcode = p[3];
  out->prefix = vex2 & 3;
  out->source = ~(vex2 >> 3) & 15;
  out->reg = (modrm >> 3 & 7) | (vex1 & 128 ? 0 : 8);
  p += 5;
  const int mode = modrm >> 6;
  out->rm = (modrm & 7) | base;
  out->memory = mode != 3;
  if (out->memory) {
    int64_t address = 0;
    bool displaced =
        mode == 0 && (modrm & 7) == 5;  // 32 bits behind the instruction pointer, or without a base
    const bool relative = displaced;
    if ((modrm & 7) == 4) {
      out->sib = true;
      const uint8_t sib = *p++;
      const int index = (sib >> 3 & 7) | x;
      if (index != 4) out->stride = register_value(context, index) << (sib >> 6);
      displaced = mode == 0 && (sib & 7) == 5;
      if (!displaced) address = register_value(context, (sib & 7) | base);
    } else if (!relative) {
      address = register_value(context, out->rm);
    }
    if (mode == 1) address += static_cast<int8_t>(*p++);
    if (mode == 2 || displaced) {
      int32_t displacement;
      __builtin_memcpy(&displacement, p, 4);
      p += 4;
      address += displacement;
    }
    if (relative) address += reinterpret_cast<int64_t>(p);
    out->address = reinterpret_cast<const uint8_t*>(address);
  }
  out->length = static_cast<int>(p - start);
  return true;
}

bool configure(const uint8_t* config) {
  if (config[0] != 1 || config[1] != 0) return false;
  for (int i = 2; i < 16; ++i)
    if (config[i] != 0) return false;
  Tiles next;
  for (int t = 0; t < 16; ++t) {
    const int bytes = config[16 + 2 * t] | config[17 + 2 * t] << 8, rows = config[48 + t];
    if (bytes > kMostBytes || rows > kMostRows || (bytes == 0) != (rows == 0) || (t >= kTiles && bytes > 0))
      return false;
    if (t < kTiles) next.rows[t] = rows, next.bytes[t] = bytes;
  }
  next.configured = true;
  tiles = next;
  return true;
}

bool usable(int t) { return tiles.configured && t < kTiles && tiles.rows[t] > 0; }
void zero_behind(int t, int first_row) {
  __builtin_memset(tiles.data[t][first_row], 0, static_cast<size_t>((kMostRows - first_row) * kMostBytes));
}

bool load(int t, const uint8_t* from, int64_t stride) {
  if (!usable(t)) return false;
  zero_behind(t, 0);
  for (int r = 0; r < tiles.rows[t]; ++r)
    __builtin_memcpy(tiles.data[t][r], from + r * stride, static_cast<size_t>(tiles.bytes[t]));
  return true;
}
bool store(int t, uint8_t* to, int64_t stride) {
  if (!usable(t)) return false;
  for (int r = 0; r < tiles.rows[t]; ++r)
    __builtin_memcpy(to + r * stride, tiles.data[t][r], static_cast<size_t>(tiles.bytes[t]));
  return true;
}

// Tile c and the sizes of a and b must belong together, and the three must differ.
bool fit(int c, int a, int b) {
  return usable(c) && usable(a) && usable(b) && c != a && c != b && a != b && tiles.bytes[a] % 4 == 0 &&
         tiles.bytes[b] % 4 == 0 && tiles.rows[c] == tiles.rows[a] && tiles.bytes[c] == tiles.bytes[b] &&
         tiles.bytes[a] / 4 == tiles.rows[b];
}

bool dot_bf16(int c, int a, int b) {
  if (!fit(c, a, b)) return false;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x8040);  // to nearest even, denormals are zero, exceptions masked
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const __mmask16 columns = static_cast<__mmask16>((1u << (tiles.bytes[c] / 4)) - 1u);
  for (int m = 0; m < tiles.rows[c]; ++m) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int k = 0; k < tiles.rows[b]; ++k) {
      int32_t pair;
      __builtin_memcpy(&pair, tiles.data[a][m] + 4 * k, 4);
      const __m512i x = _mm512_set1_epi32(pair), y = _mm512_load_si512(tiles.data[b][k]);
      even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                             _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), even);
      odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                            _mm512_castsi512_ps(_mm512_and_si512(y, high)), odd);
    }
    float* out = reinterpret_cast<float*>(tiles.data[c][m]);
    _mm512_store_ps(out, _mm512_maskz_add_ps(columns, _mm512_load_ps(out), _mm512_add_ps(even, odd)));
  }
  zero_behind(c, tiles.rows[c]);
  _mm_setcsr(before);
  return true;
}

// Of bytes; the prefix says which side is signed.
bool dot_bytes(int c, int a, int b, bool a_signed, bool b_signed) {
  if (!fit(c, a, b)) return false;
  for (int m = 0; m < tiles.rows[c]; ++m) {
    int32_t* out = reinterpret_cast<int32_t*>(tiles.data[c][m]);
    for (int k = 0; k < tiles.rows[b]; ++k)
      for (int i = 0; i < 4; ++i) {
        const uint8_t x = tiles.data[a][m][4 * k + i];
        const int32_t left = a_signed ? static_cast<int8_t>(x) : x;
        for (int n = 0; n < tiles.bytes[c] / 4; ++n) {
          const uint8_t y = tiles.data[b][k][4 * n + i];
          out[n] += left * (b_signed ? static_cast<int8_t>(y) : y);
        }
      }
    for (int n = tiles.bytes[c] / 4; n < kMostBytes / 4; ++n) out[n] = 0;
  }
  zero_behind(c, tiles.rows[c]);
  return true;
}

bool execute(const Instruction& i) {
  constexpr int kNone = 0, k66 = 1, kF3 = 2, kF2 = 3;
  switch (i.opcode) {
    case 0x49:
      if (i.source != 0) return false;
      if (i.memory) return i.prefix == kNone && i.reg == 0 && configure(i.address);
      if (i.prefix == kNone && i.reg == 0 && i.rm == 0) {  // TILERELEASE
        tiles = {};
        return true;
      }
      if (i.prefix != kF2 || i.rm != 0 || !usable(i.reg)) return false;
      zero_behind(i.reg, 0);
      return true;
    case 0x4b:
      if (i.source != 0 || !i.memory || !i.sib) return false;
      if (i.prefix == kF2 || i.prefix == k66) return load(i.reg, i.address, i.stride);
      return i.prefix == kF3 && store(i.reg, const_cast<uint8_t*>(i.address), i.stride);
    case 0x5c:
      return !i.memory && i.prefix == kF3 && dot_bf16(i.reg, i.rm, i.source);
    case 0x5e:
      return !i.memory && dot_bytes(i.reg, i.rm, i.source, i.prefix == kF2 || i.prefix == kF3,
                                    i.prefix == kF2 || i.prefix == k66);
    default:
      return false;
  }
}

void on_illegal_instruction(int signal_number, siginfo_t*, void* context) {
  ucontext_t* state = static_cast<ucontext_t*>(context);
  Instruction instruction;
  if (decode(state, &instruction) && execute(instruction))
    state->uc_mcontext.gregs[REG_RIP] += instruction.length;
  else
    signal(signal_number, SIG_DFL);  // it is met once more, and ends the program
}

}  // namespace

const Level& level_amx_emulated() {
  static const Level table = [] {
    struct sigaction action {};
    action.sa_sigaction = on_illegal_instruction;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, nullptr);
    Level t = level_amx();
    t.name = "amx-emulated";
    return t;
  }();
  return table;
}

}  // namespace frugal::kernels
