#!/usr/bin/python3
"""The model in plain PyTorch, as an independent reference for the Go program.

    reference.py init     --out DIR [--hidden 64 --layers 2 ...]      a small model directory, always the same
    reference.py tokens   --out FILE.u16 --count N [--vocab 64]       ids with something to learn in them
    reference.py logprobs --model DIR (--data FILE.u16 --seq S [--rows N] | --ids 1,2,3)
    reference.py train    --init DIR --data FILE.u16 --out losses.jsonl [--batch B --seq S --accum A --steps N ...]
    reference.py pack     --model DIR --out DIR                       online form -> offline form
    reference.py compare  A.jsonl B.jsonl --key loss [--rtol 1e-3] [--atol 0] [--share 0]

A model directory is transformers' form of BitNetForCausalLM: config.json and
model.safetensors, nothing else is read. Three forms of weights are understood,
as config.json's quantization_config says: none (nothing is quantised), online
(float masters, quantised at every forward) and offline (packed U8 with
weight_scale). Runs on PyTorch 1.13 and later; needs neither transformers nor
the safetensors package.
"""
import argparse
import json
import os
import sys
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

import tensorfile

DTYPES = {"f32": torch.float32, "f64": torch.float64}
ACTIVATIONS = {"silu": F.silu, "relu2": lambda x: F.relu(x).pow(2)}


# --- quantisation (arXiv 2402.17764) ----------------------------------------

def quantize_activations(x):
    """Codes in -128..127 and scale s per token (last axis): x is about codes / s."""
    s = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
    return (x * s).round().clamp(-128, 127), s


def quantize_weights(w):
    """Codes in -1, 0, 1 and the scale s of the whole matrix: w is about codes / s."""
    s = 1 / w.abs().mean().clamp(min=1e-5)
    return (w * s).round().clamp(-1, 1), s


class BitLinear(torch.autograd.Function):
    """y = x_q @ w_q^T / s_x / s_w, with the gradient straight through both roundings.

    The product of the codes is exact in float32 up to a width of 2^24 / 127.
    """

    @staticmethod
    def forward(ctx, x, w):
        x_q, s_x = quantize_activations(x)
        w_q, s_w = quantize_weights(w)
        ctx.save_for_backward(x_q / s_x, w_q / s_w)
        return x_q @ w_q.T / s_x / s_w

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return dy @ w, dy.flatten(0, -2).T @ x.flatten(0, -2)


def linear_plain(weights, name, x):
    return x @ weights[name + ".weight"].T


def linear_online(weights, name, x):
    return BitLinear.apply(x, weights[name + ".weight"])


def linear_offline(weights, name, x):
    """Packed codes are unpacked when loaded; weight_scale is the absmean and multiplies."""
    x_q, s_x = quantize_activations(x)
    return x_q @ weights[name + ".weight"].T / s_x * weights[name + ".weight_scale"]


LINEAR = {"none": linear_plain, "online": linear_online, "offline": linear_offline}


def unpack(packed):
    """U8 [out/4, in] -> codes int8 [out, in]: bits 2i, 2i+1 of byte [r, c] hold code[i*out/4 + r, c] + 1."""
    return np.concatenate([(packed >> (2 * i)) & 3 for i in range(4)]).astype(np.int8) - 1


def pack(codes):
    """The inverse of unpack; out has to be a multiple of 4."""
    parts = (codes + 1).astype(np.uint8).reshape(4, -1, codes.shape[-1])
    return parts[0] | parts[1] << 2 | parts[2] << 4 | parts[3] << 6


# --- the model ----------------------------------------------------------------

@dataclass
class Config:
    """What the forward needs of config.json, under its names there."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    hidden_act: str
    rms_norm_eps: float
    rope_theta: float
    form: str = "online"  # none, online or offline

    @property
    def head_dim(self):
        return self.hidden_size // self.num_attention_heads


def read_config(directory):
    with open(os.path.join(directory, "config.json")) as f:
        raw = json.load(f)
    want = {"model_type": "bitnet", "architectures": ["BitNetForCausalLM"], "tie_word_embeddings": True, "attention_bias": False}
    for key, value in want.items():
        if raw.get(key) != value:
            sys.exit(f"{directory}/config.json: {key} is {raw.get(key)!r}; this script knows only {value!r}")
    quantization = raw.get("quantization_config")
    if quantization is None:
        form = "none"
    else:
        form = quantization.get("quantization_mode", "offline")
        if quantization.get("quant_method") != "bitnet" or quantization.get("linear_class") != "autobitlinear" or form not in LINEAR:
            sys.exit(f"{directory}/config.json: this script knows quant_method bitnet, linear_class autobitlinear, mode online or offline")
    try:
        fields = {name: raw[name] for name in Config.__dataclass_fields__ if name != "form"}
    except KeyError as key:
        sys.exit(f"{directory}/config.json: {key} is missing")
    return Config(form=form, **fields)


def read_weights(directory, config, dtype):
    """{name: tensor}; every tensor that the architecture has, and no other."""
    arrays, _ = tensorfile.load(os.path.join(directory, "model.safetensors"))
    shapes = tensor_shapes(config)
    if set(arrays) != set(shapes):
        sys.exit(f"{directory}/model.safetensors: tensors missing {sorted(set(shapes) - set(arrays))}, unknown {sorted(set(arrays) - set(shapes))}")
    weights = {}
    for name, shape in shapes.items():
        array = arrays[name]
        if array.dtype == np.uint8:
            array = unpack(array)
        if array.shape != shape:
            sys.exit(f"{directory}/model.safetensors: {name} is {array.shape}, config.json makes it {shape}")
        weights[name] = torch.tensor(np.array(array)).to(dtype)
    return weights


def tensor_shapes(config):
    """{name: shape} of all tensors, weights [out, in], in the order in which they are written."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    kv = config.num_key_value_heads * config.head_dim
    shapes = {"model.embed_tokens.weight": (config.vocab_size, hidden)}
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}."
        norms = {"input_layernorm": hidden, "self_attn.attn_sub_norm": hidden, "post_attention_layernorm": hidden, "mlp.ffn_sub_norm": ffn}
        linears = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
                   "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn)}
        shapes.update({f"{layer}{name}.weight": (width,) for name, width in norms.items()})
        shapes.update({f"{layer}{name}.weight": shape for name, shape in linears.items()})
        if config.form == "offline":
            shapes.update({f"{layer}{name}.weight_scale": (1,) for name in linears})
    shapes["model.norm.weight"] = (hidden,)
    return shapes


def rms_norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def rope_tables(config, seq, dtype):
    """cos and sin [seq, 1, head_dim/2] of pos * theta^(-2i/head_dim), rounded once from float64."""
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(seq, dtype=torch.float64)[:, None, None] * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x, cos, sin):
    """Rotate-half: element i turns with element i + head_dim/2. x [batch, seq, heads, head_dim]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention(q, k, v):
    """Causal, grouped: q [batch, seq, heads, head_dim], k and v with fewer heads. -> [batch, seq, hidden]"""
    seq, group = q.shape[1], q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def forward(config, weights, ids):
    """Logits [batch, seq, vocab] of ids [batch, seq]."""
    batch, seq = ids.shape
    embed = weights["model.embed_tokens.weight"]
    cos, sin = rope_tables(config, seq, embed.dtype)
    act = ACTIVATIONS[config.hidden_act]

    def linear(name, x):
        return LINEAR[config.form](weights, name, x)

    def norm(name, x):
        return rms_norm(x, weights[name + ".weight"], config.rms_norm_eps)

    x = embed[ids]
    for i in range(config.num_hidden_layers):
        attn, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
        h = norm(f"model.layers.{i}.input_layernorm", x)
        q, k, v = (linear(attn + name, h).unflatten(-1, (-1, config.head_dim)) for name in ("q_proj", "k_proj", "v_proj"))
        h = attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + linear(attn + "o_proj", norm(attn + "attn_sub_norm", h))
        h = norm(f"model.layers.{i}.post_attention_layernorm", x)
        h = act(linear(mlp + "gate_proj", h)) * linear(mlp + "up_proj", h)
        x = x + linear(mlp + "down_proj", norm(mlp + "ffn_sub_norm", h))
    return norm("model.norm", x) @ embed.T


# --- training -------------------------------------------------------------------

def learning_rate(step, steps, peak, warmup):
    """Learning rate of step `step`, counted from 0.

    Warm-up: peak * (step+1) / warmup while step < warmup. Then the piecewise
    linear function of step through (warmup, peak), (steps/2, 2/3 peak) and
    (steps, 0.001 peak); steps/2 is a real number, and step `steps` itself is
    never taken.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    half = steps / 2
    if step < half:
        return peak * (1 - (step - warmup) / (half - warmup) / 3)
    return peak * (2 / 3 + (0.001 - 2 / 3) * (step - half) / (steps - half))


def weight_decay(step, steps, first):
    """`first` in the first half of the steps, 0 from step >= steps/2 on."""
    return first if step < steps / 2 else 0.0


def window(data, index, seq):
    """Row `index` of the unshuffled stream: the seq+1 ids from index * seq on."""
    return data[index * seq:index * seq + seq + 1]


def micro_batch(data, step, micro, args):
    """ids [batch, seq] and targets [batch, seq]; row r is window (step*accum + micro)*batch + r."""
    first = (step * args.accum + micro) * args.batch
    rows = np.stack([window(data, first + r, args.seq) for r in range(args.batch)])
    rows = torch.tensor(rows.astype(np.int64))
    return rows[:, :-1], rows[:, 1:]


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) with the scale of Moonlight (arXiv 2502.16982).

    m <- 0.95 m + g; u = g + 0.95 m; p <- p (1 - lr wd) - lr 0.2 sqrt(max(rows, cols)) NS(u)
    """

    def __init__(self, params):
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.mul_(0.95).add_(p.grad)
                change = newton_schulz(p.grad + 0.95 * m) * (0.2 * max(p.shape) ** 0.5)
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change * group["lr"])


def newton_schulz(u):
    """Five steps of x <- 3.4445 x - 4.7750 x^3 + 2.0315 x^5 on u / |u|, where x^3 is x x^T x."""
    x = u / (u.norm() + 1e-7)
    if x.shape[0] > x.shape[1]:
        return newton_schulz(u.T).T
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x


def optimizers(args, weights):
    """A list of optimizers; the first group of each decays."""
    matrices = [w for w in weights.values() if w.dim() == 2]  # the embedding is one of them
    norms = [w for w in weights.values() if w.dim() == 1]
    muon = []
    if args.optimizer == "muon":
        muon, matrices = matrices[1:], matrices[:1]
    adamw = torch.optim.AdamW([{"params": matrices}, {"params": norms, "weight_decay": 0.0}], betas=(0.9, 0.95), eps=1e-8)
    return [adamw] + ([Muon([{"params": muon}])] if muon else [])


def train(args):
    config = read_config(args.init)
    if config.form != "online":
        sys.exit(f"{args.init}: training needs float masters: quantization_mode online, not {config.form}")
    if args.warmup >= args.steps / 2:
        sys.exit("--warmup has to end before half of --steps")
    data = np.fromfile(args.data, "<u2")
    need = args.steps * args.accum * args.batch * args.seq + 1
    if len(data) < need:
        sys.exit(f"{args.data} holds {len(data)} ids; these arguments need {need}")
    weights = read_weights(args.init, config, DTYPES[args.dtype])
    for w in weights.values():
        w.requires_grad_()
    parts = optimizers(args, weights)
    with open(args.out, "w") if args.out else sys.stdout as out:
        for step in range(args.steps):
            lr, wd = learning_rate(step, args.steps, args.lr, args.warmup), weight_decay(step, args.steps, args.wd)
            for part in parts:
                part.param_groups[0]["weight_decay"] = wd
                for group in part.param_groups:
                    group["lr"] = lr
                part.zero_grad()
            total = 0.0
            for micro in range(args.accum):
                ids, targets = micro_batch(data, step, micro, args)
                loss = F.cross_entropy(forward(config, weights, ids).flatten(0, 1), targets.flatten()) / args.accum
                loss.backward()
                total += loss.item()
            norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), args.clip)
            for part in parts:
                part.step()
            print(json.dumps({"step": step, "loss": total, "lr": lr, "wd": wd, "grad_norm": norm.item()}), file=out, flush=True)
    if args.save:
        write_model(args.save, config, {name: w.detach().float().numpy() for name, w in weights.items()})


# --- the other commands -----------------------------------------------------------

def write_model(directory, config, arrays):
    os.makedirs(directory, exist_ok=True)
    raw = {name: getattr(config, name) for name in Config.__dataclass_fields__ if name != "form"}
    raw.update(architectures=["BitNetForCausalLM"], model_type="bitnet", max_position_embeddings=256, tie_word_embeddings=True,
               attention_bias=False, bos_token_id=1, eos_token_id=2, torch_dtype="float32",
               quantization_config={"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": config.form})
    with open(os.path.join(directory, "config.json"), "w") as f:
        json.dump(raw, f, indent=2, sort_keys=True)
        f.write("\n")
    tensorfile.save(os.path.join(directory, "model.safetensors"), arrays, {"format": "pt"})


def init(args):
    """Embedding from N(0, std), other matrices from N(0, linear_std), norms 1."""
    config = Config(args.vocab, args.hidden, args.ffn, args.layers, args.heads, args.kv_heads, args.act, 1e-5, 10000.0)
    rng = np.random.RandomState(args.seed)
    arrays = {}
    for name, shape in tensor_shapes(config).items():
        std = args.std if name == "model.embed_tokens.weight" else args.linear_std
        arrays[name] = (rng.standard_normal(shape) * std if len(shape) == 2 else np.ones(shape)).astype(np.float32)
    write_model(args.out, config, arrays)


def tokens(args):
    """A chain in which every id has four successors, with chances 0.5, 0.25, 0.15 and 0.1 (entropy 1.21 nats)."""
    rng = np.random.RandomState(args.seed)
    successors = rng.randint(0, args.vocab, (args.vocab, 4))
    choices = rng.choice(4, args.count, p=[0.5, 0.25, 0.15, 0.1])
    ids, at = np.empty(args.count, "<u2"), 0
    for i, choice in enumerate(choices):
        ids[i] = at = successors[at, choice]
    ids.tofile(args.out)


def logprobs(args):
    """One line per predicted id: row (window), pos (of the id in the window, from 1), token, logprob (natural)."""
    config = read_config(args.model)
    weights = read_weights(args.model, config, DTYPES[args.dtype])
    if args.ids:
        rows = [np.array([int(i) for i in args.ids.split(",")])]
    else:
        data = np.fromfile(args.data, "<u2")
        rows = [window(data, r, args.seq) for r in range(min((len(data) - 1) // args.seq, args.rows or len(data)))]
    with torch.no_grad(), open(args.out, "w") if args.out else sys.stdout as out:
        for r, row in enumerate(rows):
            row = torch.tensor(row.astype(np.int64))
            logp = forward(config, weights, row[None, :-1])[0].log_softmax(-1)
            for pos, token in enumerate(row[1:].tolist(), 1):
                print(json.dumps({"row": r, "pos": pos, "token": token, "logprob": logp[pos - 1, token].item()}), file=out)


def pack_model(args):
    """Write the offline form: U8 codes, and the absmean as weight_scale."""
    config = read_config(args.model)
    if config.form != "online":
        sys.exit(f"{args.model}: only the online form, which has float masters, can be packed")
    weights = read_weights(args.model, config, torch.float32)
    packed = {}
    config.form = "offline"
    for name in tensor_shapes(config):
        if name.endswith("_scale"):
            w = weights[name[:-len("_scale")]]
            packed[name] = (1 / quantize_weights(w)[1]).reshape(1).numpy()
        elif name + "_scale" in tensor_shapes(config):
            packed[name] = pack(quantize_weights(weights[name])[0].numpy())
        else:
            packed[name] = weights[name].numpy()
    write_model(args.out, config, packed)


def compare(args):
    """Line by line; fails where |a - b| > atol + rtol * |a| on more than `share` of the lines, or on no lines."""
    a, b = ([json.loads(line)[args.key] for line in open(path) if line.strip()] for path in (args.a, args.b))
    if len(a) != len(b) or not a:
        sys.exit(f"{args.a} has {len(a)} lines, {args.b} has {len(b)}")
    a, b = np.array(a, float), np.array(b, float)
    gap = np.abs(a - b)
    relative = gap / np.maximum(np.abs(a), 1e-30)
    bad = int((~(gap <= args.atol + args.rtol * np.abs(a))).sum())
    print(json.dumps({"key": args.key, "lines": len(a), "max_abs": gap.max(), "max_rel": relative.max(),
                      "median_rel": float(np.median(relative)), "median_abs": float(np.median(gap)), "mean_a": a.mean(), "mean_b": b.mean(), "worst_line": int(relative.argmax()), "over_bound": bad}))
    if bad > args.share * len(a):
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    p = commands.add_parser("init", help=init.__doc__)
    p.add_argument("--out", required=True)
    for name, value in dict(vocab=64, hidden=64, layers=2, heads=4, kv_heads=2, ffn=96, seed=1).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    p.add_argument("--std", type=float, default=0.02)
    p.add_argument("--linear-std", type=float, default=0.02)
    p.add_argument("--act", choices=ACTIVATIONS, default="silu")
    p.set_defaults(run=init)

    p = commands.add_parser("tokens", help="make a file of ids")
    p.add_argument("--out", required=True)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--vocab", type=int, default=64)
    p.add_argument("--seed", type=int, default=1)
    p.set_defaults(run=tokens)

    p = commands.add_parser("logprobs", help="log-probability of each id")
    p.add_argument("--model", required=True)
    p.add_argument("--data", help="raw little-endian uint16 ids")
    p.add_argument("--seq", type=int, default=32)
    p.add_argument("--rows", type=int, help="default: all windows")
    p.add_argument("--ids", help="one row, instead of --data")
    p.add_argument("--out", help="default: standard output")
    p.add_argument("--dtype", choices=DTYPES, default="f32")
    p.set_defaults(run=logprobs)

    p = commands.add_parser("train", help="train and print a line per step")
    p.add_argument("--init", required=True)
    p.add_argument("--data", required=True, help="raw little-endian uint16 ids")
    p.add_argument("--out", help="default: standard output")
    p.add_argument("--save", help="directory for the trained model")
    for name, value in dict(batch=2, seq=32, accum=2, steps=200, warmup=20).items():
        p.add_argument("--" + name, type=int, default=value)
    for name, value in dict(lr=1.5e-3, wd=0.1, clip=1.0).items():
        p.add_argument("--" + name, type=float, default=value)
    p.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw", help="muon: for the projections")
    p.add_argument("--dtype", choices=DTYPES, default="f32")
    p.set_defaults(run=train)

    p = commands.add_parser("pack", help="online form to packed offline form")
    p.add_argument("--model", required=True)
    p.add_argument("--out", required=True)
    p.set_defaults(run=pack_model)

    p = commands.add_parser("compare", help="compare two files of JSON lines by one key")
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--key", default="loss")
    p.add_argument("--rtol", type=float, default=0.0)
    p.add_argument("--atol", type=float, default=0.0)
    p.add_argument("--share", type=float, default=0.0, help="share of the lines that may be over the bound")
    p.set_defaults(run=compare)

    args = parser.parse_args()
    if args.command == "logprobs" and bool(args.data) == bool(args.ids):
        parser.error("logprobs needs one of --data and --ids")
    torch.set_num_threads(1)  # the order of float sums, and so the output, is the same each time
    args.run(args)


if __name__ == "__main__":
    main()
