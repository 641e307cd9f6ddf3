#!/usr/bin/python3
"""Golden values of adapters of low rank (LoRA) on a ternary model, from PyTorch in float64.

    lora.py            writes golden/lora/
    lora.py --check    computes the values again and compares with the files

The model is golden/train/init, as reference.py computes it, with an adapter on every
projection as PEFT's has it: y = BitLinear(x) + alpha/r (x A^T) B^T, where x is the
input before it is quantised. golden/lora/ holds the adapter in PEFT's form, and
values.safetensors: the loss of each position of the first 8 rows of 32 tokens of
golden/train/tokens.u16, and the gradient of their mean for every A and B. The base is
frozen, and gradients go straight through its quantisation.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import reference
import tensorfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden")
RANK, ALPHA = 3, 6.0
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapter(config):
    """{PEFT's name: float32 array}; B is not zero, as in a trained one."""
    rng, out = np.random.RandomState(11), {}
    for name, shape in reference.tensor_shapes(config).items():
        module = name[:-len(".weight")]
        if module.split(".")[-1] in MODULES:
            out[f"base_model.model.{module}.lora_A.weight"] = (rng.standard_normal((RANK, shape[1])) / shape[1] ** 0.5).astype(np.float32)
            out[f"base_model.model.{module}.lora_B.weight"] = (rng.standard_normal((shape[0], RANK)) * 0.1).astype(np.float32)
    return out


def values(config, weights, arrays):
    trained = {name: torch.tensor(a.astype(np.float64), requires_grad=True) for name, a in arrays.items()}

    def linear(weights, name, x):
        a, b = (trained[f"base_model.model.{name}.lora_{m}.weight"] for m in "AB")
        return reference.linear_online(weights, name, x) + (x @ a.T) @ b.T * (ALPHA / RANK)

    reference.LINEAR["adapted"] = linear
    config.form = "adapted"
    data = np.fromfile(os.path.join(GOLDEN, "train", "tokens.u16"), "<u2")
    rows = torch.tensor(np.stack([reference.window(data, i, 32) for i in range(8)]).astype(np.int64))
    losses = F.cross_entropy(reference.forward(config, weights, rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    losses.mean().backward()
    out = {"losses": losses.detach().numpy().astype(np.float32)}
    out.update({"grad." + name: t.grad.numpy().astype(np.float32) for name, t in trained.items()})
    return out


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    base = os.path.join(GOLDEN, "train", "init")
    config = reference.read_config(base)
    weights = reference.read_weights(base, config, torch.float64)
    arrays = adapter(config)
    out = values(config, weights, arrays)
    directory = os.path.join(GOLDEN, "lora")
    path = os.path.join(directory, "values.safetensors")
    if check:
        was, _ = tensorfile.load(path)
        bad = [n for n in out if n not in was or not np.allclose(was[n], out[n], rtol=1e-5, atol=1e-6)]
        if bad or set(was) != set(out):
            raise SystemExit(f"lora.py: {bad or sorted(set(was) ^ set(out))} differ: run it without --check if the change is wanted")
        return
    os.makedirs(directory, exist_ok=True)
    tensorfile.save(path, out)
    tensorfile.save(os.path.join(directory, "adapter_model.safetensors"), arrays, {"format": "pt"})
    with open(os.path.join(directory, "adapter_config.json"), "w") as f:
        json.dump({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "../train/init", "r": RANK, "lora_alpha": ALPHA,
            "lora_dropout": 0.0, "target_modules": MODULES, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
        }, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
