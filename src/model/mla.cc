#include "model/mla.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/norm.h"

namespace frugal::model {

using kernels::Accumulate;

// Legend: T tokens, H heads, qk = nope + rope.
namespace {
struct Dims {
  int64_t T, H, nope, rope, qk, v, kv_lora, hidden;
};
Dims dims_of(const Pass& p) {
  const ModelConfig& c = p.config;
  return {p.tokens(),      c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim,
          c.qk_head_dim(), c.v_head_dim,          c.kv_lora_rank,     c.hidden_size};
}

// k [n, heads, qk] from kv [n, heads, nope + v] and k_pe (row stride ld_pe).
void assemble_keys(const Pass& p, int64_t heads, const float* kv, const float* k_pe, int64_t ld_pe, int64_t n,
                   float* k) {
  const Dims d = dims_of(p);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, 8.0 * static_cast<double>(n * heads * d.qk)}, "keys");
  p.ctx.pool.parallel_for(n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        float* out = k + (t * heads + h) * d.qk;
        std::memcpy(out, kv + (t * heads + h) * (d.nope + d.v), static_cast<size_t>(d.nope) * sizeof(float));
        std::memcpy(out + d.nope, k_pe + t * ld_pe, static_cast<size_t>(d.rope) * sizeof(float));
      }
    }
  });
}

using PageList = kernels::List<std::byte*>;

// Pages of one layer for `tokens` positions, cut from `base`.
PageList page_list(const Pass& p, const kernels::PageLayout& layout, std::byte* base, int64_t tokens) {
  auto list = p.ctx.list<std::byte*>();
  for (int64_t t = 0; t < tokens; t += kernels::kPageTokens)
    list.push_back(base + t / kernels::kPageTokens * layout.page_bytes());
  return list;
}
PageList cache_pages(const Pass& p, const BatchSequence& s) {
  auto list = p.ctx.list<std::byte*>();
  for (int64_t t = 0; t < s.first_position + s.tokens; t += kernels::kPageTokens)
    list.push_back(p.cache->page(p.layer, s.pages[t / kernels::kPageTokens]));
  return list;
}
int64_t pages_for(int64_t tokens) { return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens; }

// 7, every token's keys at hand: training, or an expanded cache.
void attend_expanded(const Pass& p, LayerSaved* s) {
  const Dims d = dims_of(p);
  const kernels::PageLayout layout = expanded_layout(p.config, p.operand);
  float* k = p.arena.alloc<float>(d.T * d.H * d.qk);
  assemble_keys(p, d.H, s->kv, s->kv_a + d.kv_lora, d.kv_lora + d.rope, d.T, k);
  auto pages = p.ctx.list<PageList>();  // per sequence
  auto writes = p.ctx.list<kernels::PageWrite>();
  auto sequences = p.ctx.list<kernels::AttentionSequence>();
  pages.reserve(p.batch.sequences.size());
  for (const BatchSequence& q : p.batch.sequences) {
    if (p.cache) {
      pages.push_back(cache_pages(p, q));
    } else {
      FRUGAL_ASSERT(q.first_position == 0, "a sequence from position {} needs a cache", q.first_position);
      const int64_t bytes = pages_for(q.tokens) * layout.page_bytes();
      std::byte* base = p.arena.alloc<std::byte>(bytes);
      if (q.tokens % kernels::kPageTokens != 0)  // whole pages are written whole
        std::memset(base + bytes - layout.page_bytes(), 0, static_cast<size_t>(layout.page_bytes()));
      pages.push_back(page_list(p, layout, base, q.tokens));
    }
    const kernels::Pages list{pages.back().data()};
    writes.push_back({layout, list, q.first_position, q.tokens, k + q.first_row * d.H * d.qk, d.H * d.qk,
                      s->kv + q.first_row * d.H * (d.nope + d.v) + d.nope, d.H * (d.nope + d.v),
                      d.nope + d.v});
    sequences.push_back({list, q.first_row, q.tokens, q.first_position});
  }
  kernels::write_pages(p.ctx, writes);
  kernels::attention(p.ctx, {layout, d.H, p.config.softmax_scale(), s->q, s->attn, s->lse}, sequences);
}

// Latent and k_pe of this call's tokens into an absorbed cache.
void write_latents(const Pass& p, const LayerSaved& s, const float* c_kv) {
  const Dims d = dims_of(p);
  const int64_t width = d.kv_lora + d.rope;
  float* keys = p.arena.alloc<float>(d.T * width);
  for (int64_t t = 0; t < d.T; ++t) {
    std::memcpy(keys + t * width, c_kv + t * d.kv_lora, static_cast<size_t>(d.kv_lora) * sizeof(float));
    std::memcpy(keys + t * width + d.kv_lora, s.kv_a + t * width + d.kv_lora,
                static_cast<size_t>(d.rope) * sizeof(float));
  }
  for (const BatchSequence& q : p.batch.sequences) {
    const auto list = cache_pages(p, q);
    const kernels::PageWrite w{p.cache->layout(),
                               {list.data()},
                               q.first_position,
                               q.tokens,
                               keys + q.first_row * width,
                               width,
                               c_kv + q.first_row * d.kv_lora,
                               d.kv_lora,
                               0};
    kernels::write_pages(p.ctx, {&w, 1});
  }
}

}  // namespace

namespace {
// How keys and values are expanded from latents: the pages of some heads over all positions, which are filled
// a stretch of positions at a time. Half of the limit is for either.
struct Expansion {
  kernels::PageLayout layout;  // of `heads` heads
  int64_t heads, stretch;      // stretch: whole pages
  int64_t page_bytes, stretch_floats;
  int64_t bytes() const { return page_bytes + 4 * stretch_floats; }
};
Expansion expansion_of(const ModelConfig& c, kernels::Operand operand, int64_t positions, int64_t limit) {
  const int64_t head = c.qk_nope_head_dim + c.v_head_dim, all = c.num_attention_heads;
  const int64_t step =
      kernels::kPanelCols / std::gcd(kernels::kPanelCols, head);  // kv_b_proj is cut between panels
  kernels::PageLayout layout = expanded_layout(c, operand);
  const int64_t per_head = pages_for(positions) * layout.page_bytes() / all;
  const int64_t heads = std::min(all, std::max<int64_t>(1, limit / 2 / per_head / step) * step);
  layout.kv_heads = heads;
  const int64_t floats = c.kv_lora_rank + c.qk_rope_head_dim + heads * (head + c.qk_head_dim());
  const int64_t pages =
      std::clamp<int64_t>(limit / 2 / (floats * 4 * kernels::kPageTokens), 1, pages_for(positions));
  const int64_t stretch = pages * kernels::kPageTokens;
  return {layout, heads, stretch, pages_for(positions) * layout.page_bytes(), stretch * floats};
}
}  // namespace

int64_t expanding_bytes(const ModelConfig& c, kernels::Operand operand, int64_t positions, int64_t limit) {
  return expansion_of(c, operand, positions, limit).bytes();
}

namespace {
// Keys and values of heads [head, head + heads) at all positions of q, written to `pages`. floats: temporary.
void expand_heads(const Pass& p, const AttentionWeights& w, const BatchSequence& q, const PageList& cached,
                  const Expansion& e, int64_t head, int64_t heads, const PageList& pages, float* floats) {
  const Dims d = dims_of(p);
  const int64_t n = q.first_position + q.tokens, width = d.kv_lora + d.rope, per_head = d.nope + d.v;
  const kernels::PackedB kv_b =
      kernels::columns_of(w.kv_b_proj.matrix.forward(), head * per_head, heads * per_head);
  FRUGAL_ASSERT(w.kv_b_proj.matrix.version == p.version, "stale panels: version {} of {}",
                w.kv_b_proj.matrix.version, p.version);
  float *latents = floats, *kv = latents + e.stretch * width, *k = kv + e.stretch * heads * per_head;
  kernels::PageLayout layout = e.layout;
  layout.kv_heads = heads;
  for (int64_t at = 0; at < n; at += e.stretch) {
    const int64_t count = std::min(e.stretch, n - at), page = at / kernels::kPageTokens;
    kernels::read_keys(p.ctx, p.cache->layout(), {cached.data() + page}, count, latents);
    kernels::gemm(p.ctx, {latents, width, nullptr, count, kv_b, kv, heads * per_head}, Accumulate::kStore);
    assemble_keys(p, heads, kv, latents + d.kv_lora, width, count, k);
    if (count % kernels::kPageTokens != 0)  // whole pages are written whole
      std::memset(pages[static_cast<size_t>(pages_for(n) - 1)], 0, static_cast<size_t>(layout.page_bytes()));
    const kernels::PageWrite write{layout,      {pages.data()},   at,      count, k, heads * d.qk,
                                   kv + d.nope, heads * per_head, per_head};
    kernels::write_pages(p.ctx, {&write, 1});
  }
}

// 7 for the prompt tokens of one sequence in an absorbed cache: keys and values of all positions so far are
// expanded again from the cached latents, so that the bits are those of training.
void attend_from_latents(const Pass& p, const AttentionWeights& w, const BatchSequence& q, LayerSaved* s) {
  const Dims d = dims_of(p);
  const int64_t n = q.first_position + q.tokens;
  const auto cached = cache_pages(p, q);
  const Expansion e = expansion_of(p.config, p.operand, n, p.cache->expanding_limit);
  std::byte* memory = p.cache->expanding(e.bytes());
  float* floats = reinterpret_cast<float*>(memory + e.page_bytes);
  for (int64_t head = 0; head < d.H; head += e.heads) {
    const int64_t heads = std::min(e.heads, d.H - head);
    kernels::PageLayout layout = e.layout;
    layout.kv_heads = heads;
    const auto pages = page_list(p, layout, memory, n);
    expand_heads(p, w, q, cached, e, head, heads, pages, floats);
    const kernels::AttentionSequence sequence{{pages.data()}, q.first_row, q.tokens, q.first_position};
    kernels::attention(
        p.ctx,
        {layout, heads, p.config.softmax_scale(), s->q + head * d.qk, s->attn + head * d.v, nullptr, d.H},
        {&sequence, 1});
  }
}

// 6 and 7 for sampled tokens in an absorbed cache.
void attend_absorbed(const Pass& p, const AttentionWeights& w, const kernels::List<BatchSequence>& absorbed,
                     LayerSaved* s) {
  const Dims d = dims_of(p);
  const int64_t width = d.kv_lora + d.rope;
  FRUGAL_ASSERT(static_cast<int64_t>(w.absorbed_k.size()) == d.H,
                "absorbed weights of layer {} are not packed", p.layer);
  auto rows = p.ctx.list<int32_t>();
  auto lists = p.ctx.list<PageList>();
  auto sequences = p.ctx.list<kernels::AttentionSequence>();
  lists.reserve(absorbed.size());
  for (const BatchSequence& q : absorbed) {
    lists.push_back(cache_pages(p, q));
    sequences.push_back(
        {{lists.back().data()}, static_cast<int64_t>(rows.size()), q.tokens, q.first_position});
    for (int64_t t = 0; t < q.tokens; ++t) rows.push_back(static_cast<int32_t>(q.first_row + t));
  }
  const int64_t n = static_cast<int64_t>(rows.size());
  float* qa = p.arena.alloc<float>(n * d.H * width);
  float* context = p.arena.alloc<float>(n * d.H * d.kv_lora);
  float* out = p.arena.alloc<float>(n * d.H * d.v);
  auto groups = p.ctx.list<kernels::GemmGroup>();
  for (int64_t h = 0; h < d.H; ++h)
    groups.push_back({s->q + h * d.qk, d.H * d.qk, rows.data(), n,
                      w.absorbed_k[static_cast<size_t>(h)].forward(), qa + h * width, d.H * width});
  kernels::grouped_gemm(p.ctx, groups, Accumulate::kStore);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t h = 0; h < d.H; ++h)
      std::memcpy(qa + (i * d.H + h) * width + d.kv_lora,
                  s->q + (rows[static_cast<size_t>(i)] * d.H + h) * d.qk + d.nope,
                  static_cast<size_t>(d.rope) * sizeof(float));
  kernels::attention(p.ctx, {p.cache->layout(), d.H, p.config.softmax_scale(), qa, context, nullptr},
                     sequences);
  groups.clear();
  for (int64_t h = 0; h < d.H; ++h)
    groups.push_back({context + h * d.kv_lora, d.H * d.kv_lora, nullptr, n,
                      w.absorbed_v[static_cast<size_t>(h)].forward(), out + h * d.v, d.H * d.v});
  kernels::grouped_gemm(p.ctx, groups, Accumulate::kStore);
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(s->attn + rows[static_cast<size_t>(i)] * d.H * d.v, out + i * d.H * d.v,
                static_cast<size_t>(d.H * d.v) * sizeof(float));
}

void attend_with_latent_cache(const Pass& p, const AttentionWeights& w, const float* c_kv, LayerSaved* s) {
  write_latents(p, *s, c_kv);
  auto absorbed = p.ctx.list<BatchSequence>();
  for (const BatchSequence& q : p.batch.sequences) {
    if (q.absorbed)
      absorbed.push_back(q);
    else
      attend_from_latents(p, w, q, s);
  }
  if (!absorbed.empty()) attend_absorbed(p, w, absorbed, s);
}
}  // namespace

void mla_forward(const Pass& p, const AttentionWeights& w, const Weight& norm, LayerSaved* s) {
  const Dims d = dims_of(p);
  const ModelConfig& c = p.config;
  const int64_t width = d.kv_lora + d.rope;
  const int64_t mark = p.arena.used();
  // 1 norm_in
  float* norm_in = p.arena.alloc<float>(d.T * d.hidden);
  float* c_kv = p.arena.alloc<float>(d.T * d.kv_lora);
  kernels::rmsnorm(p.ctx, s->x_in, d.hidden, norm.data, static_cast<float>(c.rms_norm_eps), d.T, d.hidden,
                   norm_in, s->r_in);
  const int64_t q_size = d.T * d.H * d.qk, kv_size = d.T * d.H * (d.nope + d.v), attn_size = d.T * d.H * d.v;
  begin_rows(p, s->q_bf16, q_size, &s->q);
  begin_rows(p, s->kv_bf16, kv_size, &s->kv);
  begin_rows(p, s->attn_bf16, attn_size, &s->attn);
  // 2 q
  if (c.q_lora_rank == 0) {
    linear(p, w.q_proj, norm_in, d.hidden, d.T, s->q);
  } else {
    float* q_norm = p.arena.alloc<float>(d.T * c.q_lora_rank);
    linear(p, w.q_a_proj, norm_in, d.hidden, d.T, s->q_a);
    kernels::rmsnorm(p.ctx, s->q_a, c.q_lora_rank, w.q_a_layernorm.data, kLoraNormEps, d.T, c.q_lora_rank,
                     q_norm, s->r_q);
    linear(p, w.q_b_proj, q_norm, c.q_lora_rank, d.T, s->q);
  }
  // 3 kv_a
  linear(p, w.kv_a_proj, norm_in, d.hidden, d.T, s->kv_a);
  // 4 c_kv
  kernels::rmsnorm(p.ctx, s->kv_a, width, w.kv_a_layernorm.data, kLoraNormEps, d.T, d.kv_lora, c_kv, s->r_kv);
  // 5 rope
  kernels::rope(p.ctx, p.rope, p.batch.positions.data(), d.T, d.H, s->q + d.nope, d.H * d.qk, d.qk, 1.0f);
  kernels::rope(p.ctx, p.rope, p.batch.positions.data(), d.T, 1, s->kv_a + d.kv_lora, width, width, 1.0f);
  p.report("latent", c_kv, d.T, d.kv_lora);
  if (p.probe) {
    float* k_pe = p.arena.alloc<float>(d.T * d.rope);
    for (int64_t t = 0; t < d.T; ++t)
      std::memcpy(k_pe + t * d.rope, s->kv_a + t * width + d.kv_lora,
                  static_cast<size_t>(d.rope) * sizeof(float));
    p.report("k_pe_rotated_pairs", k_pe, d.T, d.rope);
  }
  // 6 kv, 7 attention
  if (p.cache && p.cache->absorbed()) {
    attend_with_latent_cache(p, w, c_kv, s);
  } else {
    linear(p, w.kv_b_proj, c_kv, d.kv_lora, d.T, s->kv);
    attend_expanded(p, s);
  }
  // 8 out
  float* out = p.arena.alloc<float>(d.T * d.hidden);
  linear(p, w.o_proj, s->attn, d.H * d.v, d.T, out);
  p.report("attn_out", out, d.T, d.hidden);
  keep_rows(p, &s->q, q_size, s->q_bf16);
  keep_rows(p, &s->kv, kv_size, s->kv_bf16);
  keep_rows(p, &s->attn, attn_size, s->attn_bf16);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, 12.0 * static_cast<double>(d.T * d.hidden)}, "residual");
  p.ctx.pool.parallel_for(d.T, [&](int64_t begin, int64_t end, int) {
    p.ctx.level.add(s->x_in + begin * d.hidden, out + begin * d.hidden, (end - begin) * d.hidden,
                    s->x_mid + begin * d.hidden);
  });
  p.arena.rewind(mark);
}

namespace {
// 7 backward: dk -> the nope halves of dkv and the sum over heads (ascending) of the shared rope part; dv ->
// dkv.
void scatter_key_gradients(const Pass& p, const float* dk, const float* dv, float* dkv, float* dkv_a) {
  const Dims d = dims_of(p);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, 8.0 * static_cast<double>(d.T * d.H * (d.qk + d.v))}, "keys");
  p.ctx.pool.parallel_for(d.T, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* k_pe = dkv_a + t * (d.kv_lora + d.rope) + d.kv_lora;
      for (int64_t h = 0; h < d.H; ++h) {
        const int64_t row = t * d.H + h;
        std::memcpy(dkv + row * (d.nope + d.v), dk + row * d.qk, static_cast<size_t>(d.nope) * sizeof(float));
        std::memcpy(dkv + row * (d.nope + d.v) + d.nope, dv + row * d.v,
                    static_cast<size_t>(d.v) * sizeof(float));
        p.ctx.level.add(k_pe, dk + row * d.qk + d.nope, d.rope, k_pe);
      }
    }
  });
}
}  // namespace

void mla_backward(const Pass& p, const AttentionWeights& w, const Weight& norm, const LayerSaved& saved,
                  float* dx, float* grads) {
  const Dims d = dims_of(p);
  const ModelConfig& c = p.config;
  const int64_t width = d.kv_lora + d.rope;
  const int64_t mark = p.arena.used();
  LayerSaved s = saved;
  widen_rows(p, s.q_bf16, d.T * d.H * d.qk, &s.q);
  widen_rows(p, s.kv_bf16, d.T * d.H * (d.nope + d.v), &s.kv);
  widen_rows(p, s.attn_bf16, d.T * d.H * d.v, &s.attn);
  // 8 out
  float* dattn = p.arena.alloc<float>(d.T * d.H * d.v);
  linear_backward(p, w.o_proj, dx, s.attn, d.H * d.v, d.T, dattn, grads);
  // 7 attention
  float* k = p.arena.alloc<float>(d.T * d.H * d.qk);
  assemble_keys(p, d.H, s.kv, s.kv_a + d.kv_lora, width, d.T, k);
  float* dq = p.arena.alloc<float>(d.T * d.H * d.qk);
  float* dk = p.arena.alloc<float>(d.T * d.H * d.qk);
  float* dv = p.arena.alloc<float>(d.T * d.H * d.v);
  auto sequences = p.ctx.list<kernels::AttentionSequence>();
  for (const BatchSequence& q : p.batch.sequences) sequences.push_back({{}, q.first_row, q.tokens, 0});
  kernels::attention_backward(p.ctx,
                              {.operand = p.operand,
                               .heads = d.H,
                               .key_dim = d.qk,
                               .value_dim = d.v,
                               .scale = c.softmax_scale(),
                               .q = s.q,
                               .k = k,
                               .v = s.kv + d.nope,
                               .v_stride = d.H * (d.nope + d.v),
                               .v_head_stride = d.nope + d.v,
                               .out = s.attn,
                               .dout = dattn,
                               .lse = s.lse,
                               .dq = dq,
                               .dk = dk,
                               .dv = dv},
                              sequences);
  float* dkv = p.arena.alloc<float>(d.T * d.H * (d.nope + d.v));
  float* dkv_a = p.arena.alloc<float>(d.T * width);
  std::memset(dkv_a, 0, static_cast<size_t>(d.T * width) * sizeof(float));
  scatter_key_gradients(p, dk, dv, dkv, dkv_a);
  // 6 kv
  float* dc_kv = p.arena.alloc<float>(d.T * d.kv_lora);
  float* c_kv = p.arena.alloc<float>(d.T * d.kv_lora);
  kernels::rmsnorm_again(p.ctx, s.kv_a, width, w.kv_a_layernorm.data, s.r_kv, d.T, d.kv_lora, c_kv);
  linear_backward(p, w.kv_b_proj, dkv, c_kv, d.kv_lora, d.T, dc_kv, grads);
  // 5 rope
  kernels::rope(p.ctx, p.rope, p.batch.positions.data(), d.T, d.H, dq + d.nope, d.H * d.qk, d.qk, -1.0f);
  kernels::rope(p.ctx, p.rope, p.batch.positions.data(), d.T, 1, dkv_a + d.kv_lora, width, width, -1.0f);
  // 4 c_kv
  kernels::rmsnorm_backward(p.ctx, s.kv_a, width, w.kv_a_layernorm.data, s.r_kv, dc_kv, d.T, d.kv_lora, dkv_a,
                            width, grads + w.kv_a_layernorm.offset);
  // 3 kv_a
  float* dnorm = p.arena.alloc<float>(d.T * d.hidden);
  float* norm_in = p.arena.alloc<float>(d.T * d.hidden);
  kernels::rmsnorm_again(p.ctx, s.x_in, d.hidden, norm.data, s.r_in, d.T, d.hidden, norm_in);
  linear_backward(p, w.kv_a_proj, dkv_a, norm_in, d.hidden, d.T, dnorm, grads);
  // 2 q
  if (c.q_lora_rank == 0) {
    linear_backward(p, w.q_proj, dq, norm_in, d.hidden, d.T, dnorm, grads, Accumulate::kAddFinished);
  } else {
    float* dq_norm = p.arena.alloc<float>(d.T * c.q_lora_rank);
    float* q_norm = p.arena.alloc<float>(d.T * c.q_lora_rank);
    kernels::rmsnorm_again(p.ctx, s.q_a, c.q_lora_rank, w.q_a_layernorm.data, s.r_q, d.T, c.q_lora_rank,
                           q_norm);
    linear_backward(p, w.q_b_proj, dq, q_norm, c.q_lora_rank, d.T, dq_norm, grads);
    float* dq_a = p.arena.alloc<float>(d.T * c.q_lora_rank);
    std::memset(dq_a, 0, static_cast<size_t>(d.T * c.q_lora_rank) * sizeof(float));
    kernels::rmsnorm_backward(p.ctx, s.q_a, c.q_lora_rank, w.q_a_layernorm.data, s.r_q, dq_norm, d.T,
                              c.q_lora_rank, dq_a, c.q_lora_rank, grads + w.q_a_layernorm.offset);
    linear_backward(p, w.q_a_proj, dq_a, norm_in, d.hidden, d.T, dnorm, grads, Accumulate::kAddFinished);
  }
  // 1 norm_in
  kernels::rmsnorm_backward(p.ctx, s.x_in, d.hidden, norm.data, s.r_in, dnorm, d.T, d.hidden, dx, d.hidden,
                            grads + norm.offset);
  p.arena.rewind(mark);
}

int64_t absorbed_bytes(const ModelConfig& c, kernels::Operand operand) {
  return c.num_hidden_layers * c.num_attention_heads *
         (kernels::packed_b_bytes(c.kv_lora_rank, c.qk_nope_head_dim, operand) +
          kernels::packed_b_bytes(c.v_head_dim, c.kv_lora_rank, operand));
}

void pack_absorbed(kernels::Ctx& ctx, const ModelConfig& c, kernels::Operand operand, const float* kv_b,
                   int64_t version, AttentionWeights* w, std::vector<AlignedPtr<std::byte>>* memory) {
  const int64_t nope = c.qk_nope_head_dim, v = c.v_head_dim, lora = c.kv_lora_rank;
  // One block for the layer, in the order in which it is read.
  const int64_t k_bytes = kernels::packed_b_bytes(lora, nope, operand),
                v_bytes = kernels::packed_b_bytes(v, lora, operand);
  memory->push_back(aligned_array<std::byte>(c.num_attention_heads * (k_bytes + v_bytes)));
  std::byte *k_at = memory->back().get(), *v_at = k_at + c.num_attention_heads * k_bytes;
  w->absorbed_k.clear();
  w->absorbed_v.clear();
  for (int64_t h = 0; h < c.num_attention_heads; ++h) {
    const float* rows = kv_b + h * (nope + v) * lora;
    w->absorbed_k.push_back({operand, lora, nope, k_at + h * k_bytes, nullptr, version, "absorbed k"});
    kernels::pack_b_cols(ctx, rows, lora, lora, nope, operand, w->absorbed_k.back().panels);
    w->absorbed_v.push_back({operand, v, lora, v_at + h * v_bytes, nullptr, version, "absorbed v"});
    kernels::pack_b_rows(ctx, rows + nope * lora, lora, v, lora, operand, w->absorbed_v.back().panels);
  }
}

}  // namespace frugal::model
