#!/usr/bin/python3
"""The model and the recipe of `frugal train`, written a second time, in PyTorch.

Two questions: does frugal reach the loss that this model reaches elsewhere (quality), and how fast is PyTorch on the same
work (--speed)? Written from the DeepSeek-V3 report (arXiv 2412.19437, sections 2.1, 2.2 and 4.2); shapes and recipe are
read from the recipe.toml of a run of frugal, so nothing is stated twice. bench/README.md says how to run it.
"""
import argparse, ctypes, glob, json, math, os, struct, time, tomllib
from types import SimpleNamespace


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", help="run directory of frugal: recipe.toml and tokenizer/ are read")
    p.add_argument("--train-ids", help="file of token ids, separated by white space, of the training text")
    p.add_argument("--valid-ids", help="the same of the validation text")
    p.add_argument("--valid-bytes", type=int, help="bytes of the validation text")
    p.add_argument("--steps", type=int, help="optimizer steps; default: the recipe's")
    p.add_argument("--lr", type=float, help="peak learning rate; default: the recipe's")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--eval-every", type=int, default=50)
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="bf16: autocast, f32 weights and optimizer")
    p.add_argument("--speed", type=int, metavar="STEPS", help="time this many steps on random tokens instead")
    p.add_argument("--check", metavar="DIR", help="compare losses and gradients with a golden directory instead")
    p.add_argument("--split", nargs=2, metavar=("TEXT", "DIR"), help="write DIR/train.txt and DIR/valid.txt instead")
    return p.parse_args()


def prepare_process(threads):
    """What PyTorch needs to be fast on a CPU. Must run before numpy and torch are loaded."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    # OpenBLAS takes its slowest kernels for a processor newer than itself: name a core type by feature.
    flags = open("/proc/cpuinfo").read()
    if " avx512f" in flags:
        os.environ.setdefault("OPENBLAS_CORETYPE", "Cooperlake" if "avx512_bf16" in flags else "SkylakeX")
    # The OpenMP build shares PyTorch's thread pool; the default build brings a second one that fights it. A library of
    # the same name that is loaded already is the one PyTorch gets.
    for library in glob.glob("/usr/lib/*/openblas-openmp/libblas.so.3"):
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    # glibc returns large blocks to the kernel at once, and every step pays for the page faults again.
    m_trim_threshold, m_mmap_max, unlimited = -1, -4, 2**31 - 1
    ctypes.CDLL(None).mallopt(m_mmap_max, 0)
    ctypes.CDLL(None).mallopt(m_trim_threshold, unlimited)


ARGS = arguments()
prepare_process(ARGS.threads)
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(ARGS.threads)
torch.set_flush_denormal(True)


# ---- parameters ------------------------------------------------------------------------------------------------------
def is_moe(c, layer):
    """Layer num_hidden_layers is the MTP module's."""
    if c.n_routed_experts == 0:
        return False
    return layer >= c.num_hidden_layers or (layer >= c.first_k_dense_replace and layer % c.moe_layer_freq == 0)


def mlp_parameters(c, at, width):
    yield at + "gate_up_proj.weight", (2 * width, c.hidden_size)  # gate_proj over up_proj
    yield at + "down_proj.weight", (c.hidden_size, width)


def layer_parameters(c, layer):
    at, heads, hidden = f"model.layers.{layer}.", c.num_attention_heads, c.hidden_size
    qk = c.qk_nope_head_dim + c.qk_rope_head_dim
    yield at + "input_layernorm.weight", (hidden,)
    yield at + "self_attn.q_a_proj.weight", (c.q_lora_rank, hidden)
    yield at + "self_attn.q_a_layernorm.weight", (c.q_lora_rank,)
    yield at + "self_attn.q_b_proj.weight", (heads * qk, c.q_lora_rank)
    yield at + "self_attn.kv_a_proj_with_mqa.weight", (c.kv_lora_rank + c.qk_rope_head_dim, hidden)
    yield at + "self_attn.kv_a_layernorm.weight", (c.kv_lora_rank,)
    yield at + "self_attn.kv_b_proj.weight", (heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank)
    yield at + "self_attn.o_proj.weight", (hidden, heads * c.v_head_dim)
    yield at + "post_attention_layernorm.weight", (hidden,)
    if not is_moe(c, layer):
        yield from mlp_parameters(c, at + "mlp.", c.intermediate_size)
        return
    yield at + "mlp.gate.weight", (c.n_routed_experts, hidden)
    yield from mlp_parameters(c, at + "mlp.shared_experts.", c.n_shared_experts * c.moe_intermediate_size)
    for e in range(c.n_routed_experts):
        yield from mlp_parameters(c, f"{at}mlp.experts.{e}.", c.moe_intermediate_size)


def parameters(c):
    yield "model.embed_tokens.weight", (c.vocab_size, c.hidden_size)
    for layer in range(c.num_hidden_layers):
        yield from layer_parameters(c, layer)
    yield "model.norm.weight", (c.hidden_size,)
    yield "lm_head.weight", (c.vocab_size, c.hidden_size)
    if c.num_nextn_predict_layers:
        at = f"model.layers.{c.num_hidden_layers}."
        yield at + "enorm.weight", (c.hidden_size,)
        yield at + "hnorm.weight", (c.hidden_size,)
        yield at + "eh_proj.weight", (c.hidden_size, 2 * c.hidden_size)
        yield from layer_parameters(c, c.num_hidden_layers)
        yield at + "shared_head.norm.weight", (c.hidden_size,)


class FlatParameters:
    """Parameters of one kind side by side in one tensor: clipping and AdamW then cost a few operations, not thousands."""

    def __init__(self, named_shapes):
        self.flat = torch.zeros(sum(math.prod(shape) for _, shape in named_shapes), requires_grad=True)
        self.flat.grad = torch.zeros_like(self.flat)
        self.views, at = {}, 0
        for name, shape in named_shapes:
            n = math.prod(shape)
            leaf = self.flat.detach()[at:at + n].view(shape).requires_grad_()
            leaf.grad = self.flat.grad[at:at + n].view(shape)  # backward adds into it
            self.views[name] = leaf
            at += n


class Model:
    def __init__(self, c, seed):
        assert not c.tie_word_embeddings and c.q_lora_rank and c.n_shared_experts, "shapes that no preset has"
        self.c = c
        table = list(parameters(c))
        self.matrices = FlatParameters([row for row in table if len(row[1]) == 2])  # weight decay
        self.norms = FlatParameters([row for row in table if len(row[1]) == 1])     # none
        self.w = {**self.matrices.views, **self.norms.views}
        self.bias = {l: torch.zeros(c.n_routed_experts)
                     for l in range(c.num_hidden_layers + c.num_nextn_predict_layers) if is_moe(c, l)}
        self.counts = {}  # layer -> tokens that chose each expert in the last pass
        # Section 4.2: standard deviation 0.006 at width 7168; a product keeps its size with width^-0.5.
        std = 0.006 * math.sqrt(7168 / c.hidden_size)
        with torch.no_grad():
            self.matrices.flat.normal_(0, std, generator=torch.Generator().manual_seed(seed))
            self.norms.flat.fill_(1)

    def groups(self):
        return [self.matrices.flat, self.norms.flat]


# ---- forward ---------------------------------------------------------------------------------------------------------
def rms_norm(x, weight, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x, turns):
    """RoPE: the adjacent numbers 2j, 2j+1 are a complex one. x [B, S, heads, rope], turns [S, 1, rope / 2]."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


def attention(m, at, x, turns, mask):
    """Multi-head latent attention, section 2.1.1. x [B, S, hidden]."""
    c, w, heads = m.c, m.w, m.c.num_attention_heads
    linear = lambda name, v: F.linear(v, w[f"{at}self_attn.{name}.weight"])
    norm = lambda name, v: rms_norm(v, w[f"{at}self_attn.{name}.weight"], 1e-6)
    q = linear("q_b_proj", norm("q_a_layernorm", linear("q_a_proj", x))).unflatten(-1, (heads, -1))
    q_nope, q_pe = q.split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
    latent, k_pe = linear("kv_a_proj_with_mqa", x).split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
    kv = linear("kv_b_proj", norm("kv_a_layernorm", latent)).unflatten(-1, (heads, -1))
    k_nope, v = kv.split([c.qk_nope_head_dim, c.v_head_dim], -1)
    k_pe = rotate(k_pe.unsqueeze(2), turns).to(kv.dtype).expand(-1, -1, heads, -1)  # one for all heads
    q = torch.cat([q_nope, rotate(q_pe, turns).to(q.dtype)], -1)
    k = torch.cat([k_nope, k_pe], -1)
    by_head = lambda t: t.transpose(1, 2).flatten(0, 1)  # [B heads, S, dim]
    scores = torch.bmm(by_head(q), by_head(k).transpose(1, 2)) * q.shape[-1] ** -0.5 + mask
    out = torch.bmm(torch.softmax(scores.float(), -1).to(v.dtype), by_head(v))
    return linear("o_proj", out.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2))


def mlp(m, at, x):
    gate, up = F.linear(x, m.w[at + "gate_up_proj.weight"]).chunk(2, -1)
    return F.linear(F.silu(gate) * up, m.w[at + "down_proj.weight"])


def route(m, at, layer, x, length):
    """Expert ids [T, K], their weights [T, K], and the balance loss without its factor alpha."""
    c, experts, top_k = m.c, m.c.n_routed_experts, m.c.num_experts_per_tok
    with torch.autocast("cpu", enabled=False):
        s = torch.sigmoid(F.linear(x.float(), m.w[at + "gate.weight"]))  # [T, E]
    with torch.no_grad():
        # The bias takes part in the choice only (auxiliary-loss-free balancing).
        choice = (s + m.bias[layer]).unflatten(-1, (c.n_group, -1))
        if c.n_group > 1:
            best = choice.topk(2, -1).values.sum(-1).topk(c.topk_group, -1).indices
            open_group = torch.zeros(choice.shape[:2], dtype=torch.bool).scatter(1, best, True)
            choice = choice.masked_fill(~open_group.unsqueeze(-1), -math.inf)
        ids = choice.flatten(1).topk(top_k, -1).indices
        m.counts[layer] = torch.bincount(ids.flatten(), minlength=experts)
        # Balance loss: f counts the largest raw scores, section 2.1.2; no gradient.
        raw = s.topk(top_k, -1).indices.view(-1, length * top_k)
        f = torch.stack([torch.bincount(r, minlength=experts) for r in raw]) * (experts / (top_k * length))
    p = (s / s.sum(-1, keepdim=True)).view(-1, length, experts).mean(1)
    chosen = s.gather(1, ids)
    weights = chosen / (chosen.sum(-1, keepdim=True) + 1e-20) * c.routed_scaling_factor
    return ids, weights, (f * p).sum(-1).mean()


class Gather(torch.autograd.Function):
    """rows of x by `index`; backward gathers with the inverse permutation and sums the `copies` of each row, because
    PyTorch's own backward (index_add) is slow on a CPU."""

    @staticmethod
    def forward(ctx, x, index, inverse, copies):
        ctx.save_for_backward(inverse)
        ctx.copies = copies
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx, grad):
        grad = grad.index_select(0, ctx.saved_tensors[0])
        return (grad.view(-1, ctx.copies, grad.shape[-1]).sum(1) if ctx.copies > 1 else grad), None, None, None


def moe(m, at, layer, x):
    """Shared expert plus the chosen ones, section 2.1.2."""
    c, top_k = m.c, m.c.num_experts_per_tok
    shape, length = x.shape, x.shape[1]
    x = x.flatten(0, 1)
    ids, weights, balance = route(m, at + "mlp.", layer, x, length)
    order = ids.flatten().argsort(stable=True)  # slot -> token * K + choice, sorted by expert
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel())
    sorted_x = Gather.apply(x, torch.div(order, top_k, rounding_mode="floor"), inverse, top_k)
    parts = sorted_x.split(m.counts[layer].tolist())
    outs = [mlp(m, f"{at}mlp.experts.{e}.", part) for e, part in enumerate(parts) if len(part)]
    back = Gather.apply(torch.cat(outs), inverse, order, 1).view(-1, top_k, c.hidden_size)
    y = mlp(m, at + "mlp.shared_experts.", x) + (back * weights.unsqueeze(-1)).sum(1)
    return y.view(shape), balance


def decoder_layer(m, layer, x, turns, mask):
    at, eps = f"model.layers.{layer}.", m.c.rms_norm_eps
    x = x + attention(m, at, rms_norm(x, m.w[at + "input_layernorm.weight"], eps), turns, mask)
    h = rms_norm(x, m.w[at + "post_attention_layernorm.weight"], eps)
    if not is_moe(m.c, layer):
        return x + mlp(m, at + "mlp.", h), 0.0
    y, balance = moe(m, at, layer, h)
    return x + y, balance


def nll_sum(m, h, targets):
    logits = F.linear(h, m.w["lm_head.weight"]).float().flatten(0, 1)
    return F.cross_entropy(logits, targets.flatten(), ignore_index=-1, reduction="sum")


def objective(m, rows, with_mtp):
    """rows [B, S + 2], -1: no token. Sums of nll of t+1 and t+2 with their counts, and the balance loss without alpha."""
    c, length = m.c, rows.shape[1] - 2
    now, next1, next2 = (rows[:, i:i + length] for i in range(3))
    # A target counts only if every token before it is there.
    targets1 = next1.masked_fill(now < 0, -1)
    targets2 = next2.masked_fill((now < 0) | (next1 < 0), -1)
    frequencies = c.rope_theta ** (-torch.arange(0, c.qk_rope_head_dim, 2, dtype=torch.float64) / c.qk_rope_head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64).unsqueeze(1)
    mask = torch.full((length, length), -math.inf).triu(1)
    embed = lambda t: F.embedding(t.clamp(min=0), m.w["model.embed_tokens.weight"])

    x, balance = embed(now), 0.0
    for layer in range(c.num_hidden_layers):
        x, b = decoder_layer(m, layer, x, turns, mask)
        balance = balance + b
    h = rms_norm(x, m.w["model.norm.weight"], c.rms_norm_eps)
    r = SimpleNamespace(main=nll_sum(m, h, targets1), main_count=int((targets1 >= 0).sum()), mtp=torch.zeros(()),
                        mtp_count=int((targets2 >= 0).sum()))
    if with_mtp and c.num_nextn_predict_layers:  # section 2.2; embedding first, hidden state after the final norm
        at = f"model.layers.{c.num_hidden_layers}."
        norm = lambda name, v: rms_norm(v, m.w[f"{at}{name}.weight"], c.rms_norm_eps)
        x = F.linear(torch.cat([norm("enorm", embed(next1)), norm("hnorm", h)], -1), m.w[at + "eh_proj.weight"])
        x, b = decoder_layer(m, c.num_hidden_layers, x, turns, mask)
        balance = balance + b
        r.mtp = nll_sum(m, norm("shared_head.norm", x), targets2)
    r.balance = balance
    return r


# ---- training --------------------------------------------------------------------------------------------------------
def learning_rate(c, step):
    if step < c.warmup_steps:
        return c.learning_rate * (step + 1) / c.warmup_steps
    p = step / c.steps
    if p >= c.tail_from:
        return c.learning_rate * c.tail_learning_rate_ratio
    if p >= c.cosine_until:
        return c.learning_rate * c.min_learning_rate_ratio
    if p < c.constant_until:
        return c.learning_rate
    x = (p - c.constant_until) / (c.cosine_until - c.constant_until)
    return c.learning_rate * (c.min_learning_rate_ratio + (1 - c.min_learning_rate_ratio) * 0.5 * (1 + math.cos(math.pi * x)))


def make_optimizer(c, m):
    groups = [{"params": [m.matrices.flat], "weight_decay": c.weight_decay}, {"params": [m.norms.flat], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=c.learning_rate, betas=(c.beta1, c.beta2), eps=c.eps)


def train_step(c, m, optimizer, rows, step):
    progress = step / c.steps
    optimizer.zero_grad(set_to_none=False)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=ARGS.dtype == "bf16"):
        r = objective(m, rows, True)
    mtp_lambda = c.mtp_lambda if progress < c.mtp_lambda_switch else c.mtp_lambda_late
    loss = r.main / r.main_count + mtp_lambda * r.mtp / max(1, r.mtp_count) + c.balance_alpha * r.balance
    loss.backward()
    if c.max_grad_norm > 0:
        torch.nn.utils.clip_grad_norm_(m.groups(), c.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(c, step)
    optimizer.step()
    if progress < c.bias_update_until:
        for layer, count in m.counts.items():
            m.bias[layer] += c.bias_update_speed * torch.sign(count.float().mean() - count.float())
    return r.main.item() / r.main_count


def make_rows(ids, length, first):
    """One document cut into rows of length + 2 slots as src/data/packing.h says; `first` is the length of its first piece.
    The two pieces that are not full share a row if they fit."""
    cuts = [0, *range(first, len(ids), length), len(ids)] if first < len(ids) else [0, len(ids)]
    pieces = list(zip(cuts, cuts[1:]))
    full = [p for p in pieces if p[1] - p[0] == length]
    short = [p for p in pieces if p[1] - p[0] < length]
    if len(short) == 2 and sum(e - b for b, e in short) <= length:
        short = [short[::-1]]  # the document's end first: what follows a piece must not be another text
    rows = []
    for group in [[p] for p in full] + [list(s) if isinstance(s[0], tuple) else [s] for s in short]:
        row = np.concatenate([ids[b:e] for b, e in group])
        end = group[-1][1]
        if len(row) == length:
            row = np.concatenate([row, ids[end:end + 2]])
        rows.append(np.pad(row, (0, length + 2 - len(row)), constant_values=-1))
    return np.stack(rows)


def batches(ids, c, seed):
    """Endless; every epoch has other cuts and another order."""
    random, queue = np.random.default_rng(seed), np.empty((0, c.sequence_length + 2), dtype=np.int64)
    while True:
        while len(queue) < c.batch:
            rows = make_rows(ids, c.sequence_length, 1 + int(random.integers(c.sequence_length)))
            queue = np.concatenate([queue, random.permutation(rows)])
        yield torch.from_numpy(queue[:c.batch])
        queue = queue[c.batch:]


def bits_per_byte(m, c, rows, valid_bytes):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=ARGS.dtype == "bf16"):
        nll = sum(objective(m, r, False).main.item() for r in torch.from_numpy(rows).split(c.batch))
    return nll / (valid_bytes * math.log(2))


def load_recipe(run):
    with open(os.path.join(run, "recipe.toml"), "rb") as f:
        c = SimpleNamespace(**tomllib.load(f))
    c.steps = ARGS.steps or c.steps
    c.learning_rate = ARGS.lr or c.learning_rate
    return c


def read_document(path, run):
    """The ids of a text between BOS and EOS."""
    files = [json.load(open(os.path.join(run, "tokenizer", n))) for n in ("tokenizer.json", "tokenizer_config.json")]
    special = {t["content"]: t["id"] for t in files[0]["added_tokens"]}
    ids = np.fromstring(open(path).read(), dtype=np.int64, sep=" ")
    return np.concatenate([[special[files[1]["bos_token"]]], ids, [special[files[1]["eos_token"]]]])


def train():
    c = load_recipe(ARGS.run)
    m = Model(c, ARGS.seed)
    optimizer = make_optimizer(c, m)
    data = batches(read_document(ARGS.train_ids, ARGS.run), c, ARGS.seed)
    document = read_document(ARGS.valid_ids, ARGS.run)
    valid_rows = make_rows(document, c.sequence_length, c.sequence_length)
    print(json.dumps({"parameters": m.matrices.flat.numel() + m.norms.flat.numel(), "valid_rows": len(valid_rows)}), flush=True)
    best, seconds, losses = (math.inf, 0), [], []
    for step in range(1, c.steps + 1):
        start = time.perf_counter()
        losses.append(train_step(c, m, optimizer, next(data), step - 1))
        seconds.append(time.perf_counter() - start)
        if step % ARGS.eval_every == 0 or step == c.steps:
            bits = bits_per_byte(m, c, valid_rows, ARGS.valid_bytes)
            best = min(best, (bits, step))
            print(json.dumps({"step": step, "loss": round(float(np.mean(losses[-ARGS.eval_every:])), 4),
                              "val_bits_per_byte": round(bits, 4), "step_ms": round(1e3 * float(np.median(seconds)), 1)}), flush=True)
    print(f"best validation bits per byte {best[0]:.4f} at step {best[1]}")


def speed():
    c = load_recipe(ARGS.run)
    m = Model(c, ARGS.seed)
    optimizer = make_optimizer(c, m)
    random = np.random.default_rng(ARGS.seed)
    seconds = []
    for step in range(ARGS.speed + 1):
        rows = torch.from_numpy(random.integers(0, c.vocab_size, (c.batch, c.sequence_length + 2)))
        start = time.perf_counter()
        train_step(c, m, optimizer, rows, step)
        seconds.append(time.perf_counter() - start)
    median = float(np.median(seconds[1:]))  # the first step pays for page faults
    print("RESULT " + json.dumps({"dtype": ARGS.dtype, "threads": ARGS.threads, "step_ms": round(1e3 * median, 1),
                                  "tok_s": round(c.batch * c.sequence_length / median)}))


# ---- golden directories ----------------------------------------------------------------------------------------------
def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    types = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "BF16": "<u2"}
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        a = np.frombuffer(body[begin:end], dtype=types[t["dtype"]])
        if t["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = torch.from_numpy(a.reshape(t["shape"]).copy())
    return out


def fused(tensors, name):
    """gate_up_proj is gate_proj over up_proj in a file."""
    if "gate_up_proj" not in name:
        return tensors[name]
    return torch.cat([tensors[name.replace("gate_up_proj", part)] for part in ("gate_proj", "up_proj")])


def check(directory):
    """Losses, balance loss and all gradients against the float64 values of a golden directory."""
    c = SimpleNamespace(**json.load(open(os.path.join(directory, "config.json"))))
    weights, golden = (read_safetensors(os.path.join(directory, f)) for f in ("model.safetensors", "golden.safetensors"))
    m = Model(c, 0)
    with torch.no_grad():
        for name, value in m.w.items():
            value.copy_(fused(weights, name))
    for layer in m.bias:
        m.bias[layer] = weights[f"model.layers.{layer}.mlp.gate.e_score_correction_bias"].clone()
    r = objective(m, F.pad(golden["input_ids"], (0, 2), value=-1), True)
    main, mtp = r.main / r.main_count, r.mtp / max(1, r.mtp_count)
    alpha = golden["alpha"].item() if "alpha" in golden else 0.0
    balance = alpha * torch.as_tensor(r.balance)
    loss = main + (golden["lambda"].item() * mtp if "lambda" in golden else 0) + balance
    loss.backward()
    worst = 0.0
    for name, ours in (("loss", main), ("loss_main", main), ("loss_mtp", mtp), ("loss_balance", balance), ("loss_total", loss)):
        if name not in golden:
            continue
        difference = abs(ours.item() - golden[name].item())
        worst = max(worst, difference)
        print(f"{name:13} {ours.item():.7f}  golden {golden[name].item():.7f}  difference {difference:.1e}")
    grads = [(fused(golden, "grad." + n), p.grad) for n, p in m.w.items() if "grad.model.norm.weight" in golden]
    relative = [((g - p).norm() / g.norm().clamp(min=1e-12)).item() for g, p in grads if g.norm() > 0 or p.norm() > 0]
    if grads:
        print(f"gradients     {len(grads)} tensors, largest relative difference {max(relative):.1e}")
    ok = worst < 1e-4 and max(relative, default=0) < 1e-3
    print("agrees" if ok else "DIFFERS")
    return 0 if ok else 1


def split(text_path, out):
    """The split of src/data/corpus.cc for one text: the last tenth, cut at the nearest end of a line."""
    text = open(text_path, "rb").read()
    size = len(text.rstrip(b" \t\r\n\v\f"))
    target = size - math.ceil(0.1 * size)
    cuts = {text.rfind(b"\n", 0, target) + 1, text.find(b"\n", target) + 1} - {0}
    cut = min(sorted(cuts), key=lambda cut: abs(cut - target))
    for name, part in (("train.txt", text[:cut]), ("valid.txt", text[cut:])):
        open(os.path.join(out, name), "wb").write(part)
        print(f"{name} {len(part)} bytes")


if ARGS.check:
    raise SystemExit(check(ARGS.check))
if ARGS.split:
    split(*ARGS.split)
elif ARGS.speed:
    speed()
else:
    train()
