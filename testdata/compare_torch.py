#!/usr/bin/python3
"""Compare training steps with PyTorch, in turns on the same machine, so that both meet the same load.

    compare_torch.py [--bitnet build/bitnet] [--rounds 3] [--repeat 5] [EXPERIMENT:BATCHxSEQ ...]

A round measures `bitnet bench step` and bench_torch.py (the older PyTorch trainer's
architecture) once each. Prints the medians of the rounds and the median of the ratios
within each round. On a CUDA device PyTorch is measured in f32, TF32, bf16 and compiled
bf16, on a CPU in f32; bitnet on the adapter that it chooses, or --device. Limit both
to some cores of a CPU with --cores.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT = ["arithmetic:64x64", "tinystories:8x256", "baseline:2x256"]


def settings():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=DEFAULT, metavar="EXPERIMENT:BATCHxSEQ", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--bitnet", default=os.path.join(HERE, "..", "build", "bitnet"))
    parser.add_argument("--device", default="", help="adapter of bitnet, by number or part of its name")
    parser.add_argument("--backend", default="", help="of bitnet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5, help="steps of a round")
    parser.add_argument("--cores", type=int, help="of the CPU, for both")
    parser.add_argument("--precision", nargs="*", choices=["f32", "tf32", "bf16", "compiled"], help="of PyTorch; default: what the machine offers")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("PyTorch is missing: install it (Debian: python3-torch libopenblas0-pthread) and start this with the python3 that has it")
    if not os.access(args.bitnet, os.X_OK):
        sys.exit(f"{args.bitnet} is missing: run make build, or say where it is with --bitnet")
    if not args.precision:
        args.precision = ["f32", "tf32", "bf16", "compiled"] if torch.cuda.is_available() else ["f32"]
    return args


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)


def torch_flags(precision):
    return ["--precision", "bf16", "--compile"] if precision == "compiled" else ["--precision", precision]


def main():
    args = settings()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:args.cores])
        os.environ["LP_NUM_THREADS"] = str(args.cores)  # lavapipe's
    print(f"load {os.getloadavg()[0]:.1f}; {args.rounds} rounds of {args.repeat} steps, in turns", flush=True)
    for what in args.what:
        name, shape = what.split(":")
        batch, seq = shape.split("x")
        ours, theirs, ratios = [], {p: [] for p in args.precision}, {p: [] for p in args.precision}
        for _ in range(args.rounds):
            result = measure([args.bitnet, "bench", "step", "--json", "--exp", name, "--batch-size", batch, "--seq-len", seq, "--grad-accum", "1",
                              "--repeat", str(args.repeat), "--device", args.device, "--backend", args.backend])["result"]
            ours.append(result["tokens_per_sec"])
            for p in args.precision:
                t = measure([sys.executable, os.path.join(HERE, "bench_torch.py"), "--exp", name, "--batch", batch, "--seq", seq, "--warmup", "1",
                             "--steps", str(args.repeat), "--act", "silu", *torch_flags(p)])
                theirs[p].append(t["tokens_per_s"])
                ratios[p].append(ours[-1] / theirs[p][-1])
        print(f"{name} {batch} x {seq}: bitnet on {result['device']} {statistics.median(ours):.0f} tokens/s")
        for p in args.precision:
            print(f"  PyTorch {t['torch']} on {t['device']}, {p}: {statistics.median(theirs[p]):.0f} tokens/s; "
                  f"bitnet is {statistics.median(ratios[p]):.2f} times as fast ({', '.join(f'{r:.2f}' for r in ratios[p])})", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
