#!/usr/bin/env python3
"""Small float models of the Llama form (transformers' LlamaForCausalLM), for bitnet train --init.

    llama.py ids --out ids.u16 FILE...                 the bytes of text files, as ids
    llama.py train --data ids.u16 --out DIR            train a model and write it as transformers does
    llama.py loss --model DIR --data ids.u16           its mean loss over all windows
    llama.py golden --out DIR                          a model of random weights, and its logits in float64

Needs PyTorch and numpy. The parts of the model are those of reference.py; nothing is quantised,
and a layer has two norms instead of four.
"""
import argparse
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

import reference
import tensorfile


def shapes(config):
    return {name: shape for name, shape in reference.tensor_shapes(config).items() if "sub_norm" not in name}


def forward(config, weights, ids):
    """Logits [batch, seq, vocab] of ids [batch, seq]."""
    embed = weights["model.embed_tokens.weight"]
    cos, sin = reference.rope_tables(config, ids.shape[1], embed.dtype)

    def linear(name, x):
        return F.linear(x, weights[name + ".weight"])

    def norm(name, x):
        return reference.rms_norm(x, weights[name + ".weight"], config.rms_norm_eps)

    x = embed[ids]
    for i in range(config.num_hidden_layers):
        attn, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
        h = norm(f"model.layers.{i}.input_layernorm", x)
        q, k, v = (linear(attn + name, h).unflatten(-1, (-1, config.head_dim)) for name in ("q_proj", "k_proj", "v_proj"))
        x = x + linear(attn + "o_proj", reference.attention(reference.rotate(q, cos, sin), reference.rotate(k, cos, sin), v))
        h = norm(f"model.layers.{i}.post_attention_layernorm", x)
        x = x + linear(mlp + "down_proj", F.silu(linear(mlp + "gate_proj", h)) * linear(mlp + "up_proj", h))
    return norm("model.norm", x) @ embed.T


def ids(args):
    text = b"".join(open(path, "rb").read() for path in args.files)
    np.frombuffer(text, np.uint8).astype("<u2").tofile(args.out)
    print(f"{len(text)} ids below 256")


def train(args):
    torch.manual_seed(args.seed)
    config = reference.Config(args.vocab, args.hidden, args.ffn, args.layers, args.heads, args.kv_heads, "silu", 1e-5, 10000.0, "none")
    weights = {name: (torch.ones(shape) if len(shape) == 1 else 0.02 * torch.randn(shape)).requires_grad_() for name, shape in shapes(config).items()}
    data = np.fromfile(args.data, "<u2")
    optimizer = torch.optim.AdamW(weights.values(), betas=(0.9, 0.95), weight_decay=args.wd)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = reference.learning_rate(step, args.steps, args.lr, args.warmup)
        at = torch.randint(len(data) - args.seq - 1, (args.batch,)).tolist()
        rows = torch.tensor(np.stack([data[a:a + args.seq + 1] for a in at]).astype(np.int64))
        loss = F.cross_entropy(forward(config, weights, rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        if step % 50 == 0 or step + 1 == args.steps:
            print(json.dumps({"step": step, "loss": round(loss.item(), 4)}), flush=True)
    save(args.out, config, {name: w.detach().numpy() for name, w in weights.items()})


def save(out, config, arrays):
    """Writes a model directory of transformers."""
    os.makedirs(out, exist_ok=True)
    raw = {name: getattr(config, name) for name in reference.Config.__dataclass_fields__ if name != "form"}
    raw.update(architectures=["LlamaForCausalLM"], model_type="llama", max_position_embeddings=256, tie_word_embeddings=True, attention_bias=False,
               mlp_bias=False, pretraining_tp=1, rope_interleaved=False, rope_scaling=None, torch_dtype="float32", bos_token_id=0, eos_token_id=0)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(raw, f, indent=2, sort_keys=True)
    tensorfile.save(os.path.join(out, "model.safetensors"), arrays, {"format": "pt"})


def golden(args):
    """Three rows of ids [3, 20], and their logits [3, 20, 37] in float64."""
    rng = np.random.RandomState(1)
    config = reference.Config(37, 24, 20, 2, 6, 2, "silu", 1e-5, 10000.0, "none")
    arrays = {name: (rng.standard_normal(shape) * (0.2 if len(shape) == 1 else 0.3) + (len(shape) == 1)).astype(np.float32)
              for name, shape in shapes(config).items()}
    save(args.out, config, arrays)
    rows = rng.randint(0, 37, (3, 20))
    logits = forward(config, {name: torch.tensor(a, dtype=torch.float64) for name, a in arrays.items()}, torch.tensor(rows))
    tensorfile.save(os.path.join(args.out, "values.safetensors"), {"ids": rows.astype(np.int64), "logits": logits.numpy().astype(np.float32)}, {})


def loss(args):
    with open(os.path.join(args.model, "config.json")) as f:
        raw = json.load(f)
    config = reference.Config(form="none", **{name: raw[name] for name in reference.Config.__dataclass_fields__ if name != "form"})
    arrays, _ = tensorfile.load(os.path.join(args.model, "model.safetensors"))
    weights = {name: torch.tensor(np.array(a)) for name, a in arrays.items()}
    data = np.fromfile(args.data, "<u2").astype(np.int64)
    total, n = 0.0, (len(data) - 1) // args.seq
    with torch.no_grad():
        for i in range(n):
            row = torch.tensor(data[i * args.seq:(i + 1) * args.seq + 1])
            total += F.cross_entropy(forward(config, weights, row[None, :-1])[0], row[1:]).item()
    print(json.dumps({"loss": round(total / n, 4), "rows": n}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("ids")
    p.add_argument("--out", required=True)
    p.add_argument("files", nargs="+")
    p.set_defaults(run=ids)
    p = commands.add_parser("train")
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    for name, value in dict(vocab=256, hidden=128, layers=3, heads=4, kv_heads=2, ffn=384, seed=1, batch=8, seq=128, steps=800, warmup=40).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    for name, value in dict(lr=3e-3, wd=0.1).items():
        p.add_argument("--" + name, type=float, default=value)
    p.set_defaults(run=train)
    p = commands.add_parser("loss")
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--seq", type=int, default=128)
    p.set_defaults(run=loss)
    p = commands.add_parser("golden")
    p.add_argument("--out", required=True)
    p.set_defaults(run=golden)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
