#!/usr/bin/python3
"""Time of a training step of the older PyTorch trainer's architecture, to compare with.

    bench_torch.py --exp arithmetic|tinystories|baseline [--batch B --seq S --steps N]
                   [--precision f32|tf32|bf16] [--compile] [--device cpu|cuda]

It differs from the model that this project trains (reference.py has that one):
a parameterless RMSNorm inside every BitLinear as well as the norms of the
block, one BitLinear with one absmean for q, k and v together and one for gate
and up, straight-through written as x + (quantised(x) - x).detach(). Written as
one would write it in PyTorch, with its fused AdamW and attention where the
version has them. A step is forward, backward, clip and AdamW, on random ids.

Prints one JSON object. Runs on PyTorch 1.13 (explicit softmax attention, no
--compile) and on 2.x.
"""
import argparse
import json
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

EXPERIMENTS = {  # vocab, hidden, layers, heads, KV heads, FFN; batch, seq; parameters
    "arithmetic": (32, 256, 4, 4, 2, 768, 64, 64, 3_156_224),
    "tinystories": (2048, 384, 6, 8, 4, 1152, 8, 256, 11_408_256),
    "baseline": (32000, 768, 8, 12, 6, 3072, 2, 256, 95_367_936),
}
EPS, THETA = 1e-5, 10000.0
FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


def normalise(x):
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return normalise(x) * self.weight


class BitLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * 0.02)

    def forward(self, x):
        x = normalise(x)
        s = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        x = x + ((x * s).round().clamp(-128, 127) / s - x).detach()
        w = self.weight
        s = 1 / w.abs().mean().clamp(min=1e-5)
        w = w + ((w * s).round().clamp(-1, 1) / s - w).detach()
        return F.linear(x, w)


def rotate(x, cos, sin):
    """x [batch, heads, seq, head_dim]; cos and sin [seq, head_dim/2]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Block(nn.Module):
    def __init__(self, hidden, heads, kv_heads, ffn, act):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.act = heads, kv_heads, hidden // heads, act
        self.attn_norm, self.ffn_norm = RMSNorm(hidden), RMSNorm(hidden)
        self.qkv = BitLinear(hidden, (heads + 2 * kv_heads) * self.head_dim)
        self.out = BitLinear(hidden, hidden)
        self.gate_up = BitLinear(hidden, 2 * ffn)
        self.down = BitLinear(ffn, hidden)

    def attention(self, x, cos, sin, mask):
        qkv = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if FUSED_ATTENTION:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            o = (q @ k.transpose(-1, -2) * self.head_dim ** -0.5 + mask).softmax(-1) @ v
        return self.out(o.transpose(1, 2).flatten(2))

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(self.attn_norm(x), cos, sin, mask)
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down((F.silu(gate) if self.act == "silu" else F.relu(gate).square()) * up)


class Model(nn.Module):
    def __init__(self, vocab, hidden, layers, heads, kv_heads, ffn, seq, act):
        super().__init__()
        self.embed = nn.Embedding(vocab, hidden)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(hidden, heads, kv_heads, ffn, act) for _ in range(layers))
        self.norm = RMSNorm(hidden)
        half = hidden // heads // 2
        angle = torch.arange(seq)[:, None] * THETA ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        self.register_buffer("mask", torch.full((seq, seq), float("-inf")).triu(1), persistent=False)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def settings():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp", choices=EXPERIMENTS, default="arithmetic")
    parser.add_argument("--batch", type=int, help="default: 64, 8, 2")
    parser.add_argument("--seq", type=int, help="default: 64, 256, 256")
    parser.add_argument("--accum", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--act", choices=["relu2", "silu"], default="relu2")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    args = parser.parse_args()
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("this PyTorch has no CUDA device: use --device cpu")
    if args.compile and not hasattr(torch, "compile"):
        parser.error(f"PyTorch {torch.__version__} has no torch.compile: it came with 2.0; leave --compile out")
    if args.precision == "tf32" and args.device == "cpu":
        parser.error("tf32 is a mode of CUDA devices: use --precision f32 or bf16 here")
    return args


def main():
    args = settings()
    *shape, batch, seq, parameters = EXPERIMENTS[args.exp]
    batch, seq = args.batch or batch, args.seq or seq
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")
    cuda = args.device == "cuda"

    model = Model(*shape, seq, args.act).to(args.device)
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters, f"{count} parameters, not {parameters}"
    decayed = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    fused = cuda and int(torch.__version__.split(".")[0]) >= 2
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), **({"fused": True} if fused else {}))
    run = torch.compile(model) if args.compile else model
    ids = torch.randint(shape[0], (args.accum, batch, seq + 1), device=args.device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for micro in ids:
            with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
                loss = run(micro[:, :-1], micro[:, 1:]) / args.accum
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if cuda:
            torch.cuda.synchronize()
        return total

    first = step().item()
    for _ in range(args.warmup):
        step()
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        last = step()
        times.append(time.perf_counter() - begin)
    median = statistics.median(times)
    print(json.dumps({
        "exp": args.exp, "batch": batch, "seq": seq, "accum": args.accum, "parameters": count, "act": args.act,
        "precision": args.precision, "compile": args.compile, "attention": "fused" if FUSED_ATTENTION else "explicit softmax",
        "tokens_per_s": round(batch * seq * args.accum / median, 1), "step_ms": round(median * 1e3, 2),
        "fastest_ms": round(min(times) * 1e3, 2), "slowest_ms": round(max(times) * 1e3, 2), "steps": args.steps,
        "first_loss": round(first, 4), "last_loss": round(last.item(), 4),
        "device": torch.cuda.get_device_name() if cuda else "cpu", "threads": args.threads, "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1), "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
        "peak_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None,
    }))


if __name__ == "__main__":
    main()
