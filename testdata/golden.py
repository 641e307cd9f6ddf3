#!/usr/bin/python3
"""Golden values of every op, forward and backward, from PyTorch in float64.

    golden.py            writes golden/<op>.safetensors
    golden.py --check    computes them again and compares with the files

Inputs are stored as F32 and are the exact values that the result was computed
from, so a float32 program can read them without rounding. Results are F64, or
F32 above 64 elements; integers are I8, I32 or I64. Tensors are named
case<N>.<tensor>; T stands for tokens (batch * seq), everything is row-major,
weights are [out, in]. Backward is PyTorch's autograd, or the formula given
here where the op is straight-through.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import tensorfile

HERE = os.path.dirname(os.path.abspath(__file__))
IGNORE = 0xFFFFFFFF  # target id of a position that carries no loss


class Draw:
    """Reproducible inputs: numpy's RandomState stream is frozen across versions."""

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)

    def normal(self, *shape, std=1.0):
        return (self.rng.standard_normal(shape) * std).astype(np.float32)

    def ids(self, count, below):
        return self.rng.randint(0, below, count).astype(np.int64)


def f64(array, grad=False):
    return torch.tensor(np.asarray(array, np.float64), requires_grad=grad)


def put(out, prefix, **tensors):
    for name, value in tensors.items():
        array = value.detach().numpy().copy() if torch.is_tensor(value) else np.array(value)  # a state goes on changing
        if array.dtype == np.float64 and array.size > 64:
            array = array.astype(np.float32)
        out[f"{prefix}.{name}"] = array


# --- ops -------------------------------------------------------------------

def embedding():
    """y[t] = table[ids[t]]; dtable[v] = sum of dy[t] over ids[t] == v."""
    out, draw = {}, Draw(1)
    for n, (tokens, vocab, hidden) in enumerate([(1, 1, 1), (3, 5, 37), (37, 11, 3), (64, 32, 16)]):
        ids, table, dy = draw.ids(tokens, vocab), draw.normal(vocab, hidden), draw.normal(tokens, hidden)
        if n == 2:
            ids[:20] = 4  # many tokens on one row
        e = f64(table, grad=True)
        y = e[torch.tensor(ids)]
        y.backward(f64(dy))
        put(out, f"case{n}", ids=ids, table=table, y=y, dy=dy, dtable=e.grad)
    return out, {}


def rmsnorm():
    """y = x * rsqrt(mean(x^2) + eps) * w over the last axis."""
    out, draw = {}, Draw(2)
    for n, (tokens, hidden) in enumerate([(1, 1), (3, 37), (37, 3), (5, 256), (3, 130)]):
        x, w, dy = draw.normal(tokens, hidden), 1 + draw.normal(hidden, std=0.3), draw.normal(tokens, hidden)
        if n == 3:
            x[1] = 0
            x[2] *= 1e-3  # mean square is below eps
            x[3] *= 1e6
        tx, tw = f64(x, grad=True), f64(w, grad=True)
        y = tx * torch.rsqrt(tx.pow(2).mean(-1, keepdim=True) + 1e-5) * tw
        y.backward(f64(dy))
        put(out, f"case{n}", x=x, w=w, y=y, dy=dy, dx=tx.grad, dw=tw.grad)
    return out, {"eps": "1e-5"}


def activation_scale(x):
    """s = 127 / max(absmax, 1e-5) per row, in float32; returns (s [T,1], absmax [T])."""
    absmax = x.abs().amax(-1, keepdim=True)
    return 127 / absmax.clamp(min=1e-5), absmax.squeeze(-1)


def activation_codes(x):
    """int8 codes of float32 x, and each row's absmax; all arithmetic in float32."""
    scale, absmax = activation_scale(x)
    return (x * scale).round().clamp(-128, 127).to(torch.int8), absmax


def weight_scale(w):
    """s = 1 / max(mean|w|, 1e-5) of a whole matrix; the mean in float64, so that no order of summing is favoured."""
    return 1 / max(w.double().abs().mean().item(), 1e-5)


def weight_codes(w):
    return (w.double() * weight_scale(w)).round().clamp(-1, 1).to(torch.int8)


def near_ties(x, scale):
    """Where the code would hang on the last bits."""
    scaled = x.astype(np.float64) * scale
    return np.abs(scaled - np.floor(scaled) - 0.5) < 2e-3


def off_ties(x, scale):
    """x with the values near ties moved by a little: rounding must be decided by the data,
    not by one unit in the last place of the scale."""
    near = near_ties(x, scale)
    moved = np.where(near, x * np.float32(0.99), x).astype(np.float32)
    return moved, near.any()


def clear_activations(x):
    for _ in range(100):
        scale, _ = activation_scale(torch.tensor(x))
        x, again = off_ties(x, scale.numpy().astype(np.float64))
        if not again:
            return x
    raise SystemExit("golden.py: could not move the activations off ties")


def clear_weights(w):
    for _ in range(100):
        w, again = off_ties(w, weight_scale(torch.tensor(w)))
        if not again:
            return w
    raise SystemExit("golden.py: could not move the weights off ties")


def quantize_activations():
    """absmax[t] = max|x[t]|, s = 127 / max(absmax, 1e-5), q = clamp(round_half_even(x * s), -128, 127)."""
    out, draw = {}, Draw(3)
    for n, (tokens, hidden) in enumerate([(1, 1), (3, 37), (37, 3), (5, 260)]):
        x = draw.normal(tokens, hidden)
        if n == 3:
            x[1] = 0
            x[2] *= 1e-7       # absmax below 1e-5
            x[3] *= 1e30
            x[4] *= 1e-12
        x = clear_activations(x)
        q, absmax = activation_codes(torch.tensor(x))
        put(out, f"case{n}", x=x, absmax=absmax, q=q)
    # Exact ties: s is 1, 2 and 1/2, so that x * s is exactly k + 1/2 and must go to the even neighbour.
    ties = np.arange(-128, 127, dtype=np.float32)[1:] + 0.5  # -126.5 .. 126.5
    x = np.stack([np.concatenate([[top], ties * (top / 127)]) for top in (127.0, 63.5, -254.0)]).astype(np.float32)
    q, absmax = activation_codes(torch.tensor(x))
    put(out, "case4", x=x, absmax=absmax, q=q)
    # The largest magnitudes that float32 holds, either sign.
    x = np.array([[3.4e38, -3.4e38, 1e38, -1e36, 0], [-3.4e38, 2e38, 1e30, 0, -0.0]], np.float32)
    q, absmax = activation_codes(torch.tensor(x))
    put(out, "case5", x=x, absmax=absmax, q=q)
    return out, {}


def quantize_weights():
    """s = 1 / max(mean|w|, 1e-5), q = clamp(round_half_even(w * s), -1, 1); absmean = max(mean|w|, 1e-5)."""
    out, draw = {}, Draw(4)
    matrices = [draw.normal(1, 1), draw.normal(3, 37, std=0.02), draw.normal(37, 3, std=0.02),
                draw.normal(20, 64, std=0.02), draw.normal(5, 16, std=1e-7), draw.normal(4, 8, std=1e6)]
    matrices = [clear_weights(w) for w in matrices] + [np.zeros((3, 5), np.float32)]
    # mean|w| is exactly 1/8: half of it is a tie (to 0), one and a half a tie (to 2, clamped to 1).
    matrices.append((np.array([[1, -1, 3, -3], [2, -2, 0, 4]]) / 16).astype(np.float32))
    for n, w in enumerate(matrices):
        put(out, f"case{n}", w=w, absmean=np.float64(1 / weight_scale(torch.tensor(w))), q=weight_codes(torch.tensor(w)))
    return out, {}


def bitlinear():
    """y = (q_x @ q_w^T) / s_x / s_w; straight through: dx = dy @ (q_w / s_w), dw = dy^T @ (q_x / s_x).

    w holds `sizes` matrices one under the other, each quantised with its own scale. acc = q_x @ q_w^T, exact.
    """
    out, draw = {}, Draw(5)
    cases = [(1, 1, [1]), (3, 37, [3]), (37, 3, [37]), (5, 64, [16]), (7, 48, [24, 8, 8]), (3, 37, [5, 1, 3]), (2, 300, [8, 8])]
    for n, (tokens, width, sizes) in enumerate(cases):
        x = draw.normal(tokens, width)
        if n == 4:
            x[2] = 0
            x[3, 7] = 40  # an outlier takes most of the row's range
        x = clear_activations(x)
        blocks = [clear_weights(draw.normal(rows, width, std=0.02 * (i + 1))) for i, rows in enumerate(sizes)]
        dy = draw.normal(tokens, sum(sizes))
        tx, tw = torch.tensor(x), [torch.tensor(w) for w in blocks]
        qx, absmax = activation_codes(tx)
        sx = activation_scale(tx)[0].double()
        qw = torch.cat([weight_codes(w) for w in tw])
        absmean = torch.tensor([1 / weight_scale(w) for w in tw], dtype=torch.float64)
        per_row = absmean.repeat_interleave(torch.tensor(sizes))
        acc = qx.to(torch.int64) @ qw.to(torch.int64).T
        put(out, f"case{n}", x=x, w=np.concatenate(blocks), sizes=np.array(sizes, np.int64),
            qx=qx, absmax=absmax, qw=qw, absmean=absmean, acc=acc.to(torch.int32),
            y=acc.double() / sx * per_row, dy=dy,
            dx=f64(dy) @ (qw.double() * per_row[:, None]), dw=f64(dy).T @ (qx.double() / sx))
    return out, {}


def rotate(x, theta=10000.0):
    """Rotate-half (NEOX) rotary embedding of x [B, S, heads, hd] at positions 0..S-1."""
    half = x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * frequency  # [S, half]
    cos, sin = angle.cos()[:, None, :], angle.sin()[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rope():
    """y[i] = x[i] cos - x[i+hd/2] sin, y[i+hd/2] = x[i+hd/2] cos + x[i] sin, angle = pos * theta^(-2i/hd)."""
    out, draw = {}, Draw(6)
    for n, shape in enumerate([(1, 1, 1, 2), (2, 3, 3, 8), (1, 37, 2, 6), (2, 5, 1, 64), (1, 300, 1, 4)]):
        x, dy = draw.normal(*shape), draw.normal(*shape)
        tx = f64(x, grad=True)
        y = rotate(tx)
        y.backward(f64(dy))
        put(out, f"case{n}", x=x, y=y, dy=dy, dx=tx.grad)
    return out, {"theta": "10000", "positions": "0..S-1"}


def attend(q, k, v):
    """Causal attention; KV head j serves query heads j*Hq/Hkv and on. q [B,S,Hq,hd], k and v [B,S,Hkv,hd]."""
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    scores = torch.einsum("bshd,bthd->bhst", q, k) / q.shape[-1] ** 0.5
    seq = q.shape[1]
    scores = scores.masked_fill(torch.ones(seq, seq).triu(1).bool(), float("-inf"))
    return torch.einsum("bhst,bthd->bshd", scores.softmax(-1), v)


def attention():
    """o = softmax(q k^T / sqrt(hd), causal) v, query head h reading KV head h / (Hq/Hkv)."""
    out, draw = {}, Draw(7)
    cases = [  # batch, seq, query heads, KV heads, head dim, std of q
        (1, 1, 1, 1, 4, 1), (2, 3, 2, 2, 64, 1), (2, 3, 3, 1, 8, 1), (1, 37, 2, 2, 12, 1), (2, 37, 3, 1, 4, 1),
        (1, 37, 6, 2, 8, 1), (1, 64, 6, 2, 8, 1), (1, 64, 1, 1, 8, 1), (1, 37, 2, 1, 8, 30)]
    for n, (batch, seq, heads, kv, hd, std) in enumerate(cases):
        q, k, v = draw.normal(batch, seq, heads, hd, std=std), draw.normal(batch, seq, kv, hd), draw.normal(batch, seq, kv, hd)
        do = draw.normal(batch, seq, heads, hd)
        tq, tk, tv = f64(q, grad=True), f64(k, grad=True), f64(v, grad=True)
        o = attend(tq, tk, tv)
        o.backward(f64(do))
        put(out, f"case{n}", q=q, k=k, v=v, do=do, o=o, dq=tq.grad, dk=tk.grad, dv=tv.grad)
    return out, {"scale": "1/sqrt(head_dim)"}


def gated_norm(act, seed):
    out, draw = {}, Draw(seed)
    for n, (tokens, width) in enumerate([(1, 1), (3, 37), (37, 3), (4, 160)]):
        gate, up, dy = draw.normal(tokens, width, std=2), draw.normal(tokens, width), draw.normal(tokens, width)
        w = 1 + draw.normal(width, std=0.3)
        if n == 3:
            gate[0, :8] = [0, -0.0, 90, -90, 200, -200, 1e-20, -1e-20]
            up[1] = 0
        for _ in range(100):
            g, u, tw = f64(gate, grad=True), f64(up, grad=True), f64(w, grad=True)
            x = act(g) * u
            y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * tw
            scale, absmax = activation_scale(y.detach())
            near = near_ties(y.detach().numpy(), scale.numpy())
            if not near.any():
                break
            up = np.where(near, up * np.float32(0.99), up)
        else:
            raise SystemExit("golden.py: could not move the gated activations off ties")
        y.backward(f64(dy))
        put(out, f"case{n}", gate=gate, up=up, w=w, y=y, dy=dy, dgate=g.grad, dup=u.grad, dw=tw.grad,
            q=(y.detach() * scale).round().to(torch.int8), absmax=absmax)
    return out, {"eps": "1e-5"}


def silu_gated_norm():
    """x = gate * sigmoid(gate) * up, y = x * rsqrt(mean(x^2) + eps) * w; q and absmax as in quantize_activations, of y."""
    return gated_norm(F.silu, 8)


def relu2_gated_norm():
    """x = max(gate, 0)^2 * up, y = x * rsqrt(mean(x^2) + eps) * w; q and absmax as in quantize_activations, of y."""
    return gated_norm(lambda g: F.relu(g).pow(2), 9)


def head():
    """losses[t] = -log softmax(f[t] @ e^T)[target[t]], 0 where target is ignored; loss = mean over the others.

    df and de are the gradients of loss. With every target ignored, loss and gradients are 0.
    """
    out, draw = {}, Draw(10)
    cases = [(1, 3, 1, 1, 0), (3, 37, 11, 1, 0), (37, 3, 5, 1, 9), (5, 32, 130, 1, 2), (4, 16, 37, 40, 1), (3, 4, 5, 1, 3)]
    for n, (tokens, hidden, vocab, std, ignored) in enumerate(cases):
        f, e, targets = draw.normal(tokens, hidden, std=std), draw.normal(vocab, hidden, std=0.3), draw.ids(tokens, vocab)
        targets[draw.rng.permutation(tokens)[:ignored]] = IGNORE
        tf, te, keep = f64(f, grad=True), f64(e, grad=True), torch.tensor(targets != IGNORE)
        picked = torch.tensor(np.where(targets == IGNORE, 0, targets))
        logp = (tf @ te.T).log_softmax(-1)
        losses = -logp.gather(1, picked[:, None]).squeeze(1) * keep
        loss = losses.sum() / max(int(keep.sum()), 1)
        loss.backward()
        put(out, f"case{n}", f=f, e=e, targets=targets, loss=loss, losses=losses, df=tf.grad, de=te.grad)
    return out, {"ignore": str(IGNORE)}


def distill():
    """head with a teacher: loss = mean of (1 - weight) losses + weight temperature^2 divergences, where
    divergences[t] = KL(softmax(u[t] / temperature) || softmax(z[t] / temperature)), z = f @ e^T, u = teacher @ table^T."""
    out, draw = {}, Draw(12)
    cases = [(1, 3, 1, 2, 0, 0.5, 1.0), (3, 37, 11, 5, 0, 0.5, 2.0), (37, 3, 5, 3, 9, 0.25, 0.5), (5, 32, 130, 20, 2, 0.9, 4.0), (4, 16, 37, 8, 1, 1.0, 1.0)]
    for n, (tokens, hidden, vocab, wide, ignored, weight, temperature) in enumerate(cases):
        f, e, targets = draw.normal(tokens, hidden), draw.normal(vocab, hidden, std=0.3), draw.ids(tokens, vocab)
        teacher, table = draw.normal(tokens, wide), draw.normal(vocab, wide, std=2.0)
        targets[draw.rng.permutation(tokens)[:ignored]] = IGNORE
        tf, te, keep = f64(f, grad=True), f64(e, grad=True), torch.tensor(targets != IGNORE)
        picked = torch.tensor(np.where(targets == IGNORE, 0, targets))
        z, u = tf @ te.T, f64(teacher) @ f64(table).T
        losses = -z.log_softmax(-1).gather(1, picked[:, None]).squeeze(1) * keep
        divergences = F.kl_div((z / temperature).log_softmax(-1), (u / temperature).log_softmax(-1), reduction="none", log_target=True).sum(-1) * keep
        count = max(int(keep.sum()), 1)
        (((1 - weight) * losses + weight * temperature ** 2 * divergences).sum() / count).backward()
        put(out, f"case{n}", f=f, e=e, teacher=teacher, table=table, targets=targets, weight=np.float64(weight), temperature=np.float64(temperature),
            loss=losses.sum() / count, divergence=divergences.sum() / count, losses=losses, divergences=divergences, df=tf.grad, de=te.grad)
    return out, {"ignore": str(IGNORE)}


def adamw():
    """Five steps of torch.optim.AdamW (betas 0.9, 0.95, eps 1e-8) after clip_grad_norm_(1.0).

    p0 decays, p1 (a norm) does not. step<S>.grad_norm is taken before the clip; g, p, m, v are per parameter
    (p<I>.g is the gradient before the clip; p, m, v the state after the step).
    lr [5] and weight_decay [5] are the values used at each step.
    """
    out, draw = {}, Draw(11)
    for n, (shapes, scale) in enumerate([([(3, 37), (37,)], 0.02), ([(1, 1), (3,)], 5.0), ([(16, 16), (16,)], 0.2)]):
        lr = np.array([1e-3, 2e-3, 1.5e-3, 1e-3, 1e-4], np.float32)
        decay = np.array([0.1, 0.1, 0.1, 0, 0], np.float32)
        start = [draw.normal(*shape, std=0.05) for shape in shapes]
        params = [f64(p, grad=True) for p in start]
        optimizer = torch.optim.AdamW([{"params": [params[0]]}, {"params": [params[1]]}], betas=(0.9, 0.95), eps=1e-8)
        put(out, f"case{n}", lr=lr, weight_decay=decay, **{f"p{i}.init": p for i, p in enumerate(start)})
        for step in range(5):
            grads = [draw.normal(*shape, std=scale * (step + 1)) for shape in shapes]
            if step == 2:
                grads[1][:] = 0
            for p, g in zip(params, grads):
                p.grad = f64(g)
            norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
            for group, wd in zip(optimizer.param_groups, (decay[step], 0)):
                group["lr"], group["weight_decay"] = float(lr[step]), float(wd)
            optimizer.step()
            put(out, f"case{n}.step{step}", grad_norm=norm)
            for i, p in enumerate(params):
                state = optimizer.state[p]
                put(out, f"case{n}.step{step}.p{i}", g=grads[i], p=p, m=state["exp_avg"], v=state["exp_avg_sq"])
    return out, {"beta1": "0.9", "beta2": "0.95", "eps": "1e-8", "clip": "1.0"}


def muon():
    """Four steps of Muon after a clip to norm 1.0, with the polynomial 3.4445 x - 4.7750 x^3 + 2.0315 x^5, five times.

    m <- 0.95 m + g; u = g + 0.95 m; p <- p (1 - lr wd) - lr 0.2 sqrt(max(rows, cols)) NS(u / (|u| + 1e-7)), for each
    matrix p<I> [rows, cols] by itself. The polynomial is applied to the singular values of u from an SVD, which is what
    the iteration on matrices comes to. g is the gradient before the clip; p and m the state after the step.
    """
    out, draw = {}, Draw(12)
    for n, shapes in enumerate([[(7, 13), (5, 13)], [(33, 8), (9, 8)], [(16, 16), (16, 16), (1, 16)]]):
        lr = np.array([1e-2, 2e-2, 1.5e-2, 1e-3], np.float32)
        decay = np.array([0.1, 0.1, 0.1, 0], np.float32)
        start = [draw.normal(*shape, std=0.05) for shape in shapes]
        params, moments = [f64(p) for p in start], [f64(np.zeros(shape)) for shape in shapes]
        put(out, f"case{n}", lr=lr, weight_decay=decay, **{f"p{i}.init": p for i, p in enumerate(start)})
        for step in range(4):
            grads = [draw.normal(*shape, std=0.05 * (step + 1)) for shape in shapes]
            norm = torch.cat([f64(g).flatten() for g in grads]).norm()
            put(out, f"case{n}.step{step}", grad_norm=norm)
            for i, (p, m, g) in enumerate(zip(params, moments, grads)):
                clipped = f64(g) * min(1.0, 1.0 / (float(norm) + 1e-6))
                m.mul_(0.95).add_(clipped)
                u = clipped + 0.95 * m
                left, values, right = torch.linalg.svd(u / (u.norm() + 1e-7), full_matrices=False)
                for _ in range(5):
                    values = 3.4445 * values - 4.7750 * values ** 3 + 2.0315 * values ** 5
                change = 0.2 * max(u.shape) ** 0.5 * left @ torch.diag(values) @ right
                p.mul_(1 - float(lr[step]) * float(decay[step])).sub_(float(lr[step]) * change)
                put(out, f"case{n}.step{step}.p{i}", g=g, p=p, m=m)
    return out, {"momentum": "0.95", "clip": "1.0"}


OPS = [embedding, rmsnorm, quantize_activations, quantize_weights, bitlinear, rope, attention, silu_gated_norm, relu2_gated_norm, head, distill, adamw, muon]


def differences(want, got):
    """Lines that say where two sets of tensors differ: integers at all, floats by more than 1e-6 (F32) or 1e-11."""
    if set(want) != set(got):
        yield f"tensors {sorted(set(want) ^ set(got))} are on one side only"
    for name in sorted(set(want) & set(got)):
        a, b = want[name], got[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            yield f"{name}: {a.dtype}{a.shape} in the file, {b.dtype}{b.shape} computed"
        elif a.dtype.kind != "f":
            if (a != b).any():
                yield f"{name}: integers differ"
        else:
            bound = 1e-6 if a.dtype == np.float32 else 1e-11
            if not np.allclose(a, b, rtol=bound, atol=bound * max(np.abs(a).max(initial=0), 1e-30)):
                yield f"{name}: differs by {np.abs(a - b).max():.3g}"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    bad = 0
    for op in OPS:
        tensors, metadata = op()
        path = os.path.join(HERE, "golden", op.__name__ + ".safetensors")
        if not all(np.isfinite(t).all() for t in tensors.values()):
            raise SystemExit(f"golden.py: {op.__name__} has a value that is not finite")
        if check:
            for line in differences(tensorfile.load(path)[0], tensors):
                bad += 1
                print(f"{op.__name__}: {line}")
        else:
            tensorfile.save(path, tensors, {"formula": " ".join(op.__doc__.split()), **metadata} if op.__doc__ else metadata)
            print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")
    if bad:
        raise SystemExit(f"golden.py: {bad} differences: rerun golden.py without --check if the change is wanted")


if __name__ == "__main__":
    main()
