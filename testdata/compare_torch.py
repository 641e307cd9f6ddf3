#!/usr/bin/python3
"""Compare training steps with the best PyTorch there is, alternately on the same machine.

    compare_torch.py [--bitnet build/bitnet] [--rounds 3] [--repeat 5] [EXPERIMENT:BATCHxSEQ ...]

A round measures `bitnet bench step` and bench_torch.py (the PyTorch trainer that bitnet
re-creates) once each way: float32 and bfloat16, eager and compiled, on a CUDA device TF32,
too. Every second round goes the other way round. Prints the environment, the medians of the
rounds, and the median of the ratios within each round.

PyTorch is that of this or the system's Python where it is 2.6 or newer; else that of Debian 13,
in a folder that torch-chroot.sh makes (as root); else whatever there is, with a warning.
OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which containers set and which can halve the speed of
OpenBLAS, are not passed on.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT = ["arithmetic:64x64", "tinystories:8x256", "baseline:2x256"]
GOOD = (2, 6)  # the oldest PyTorch that is a fair comparison
MODES = {"f32": ["--precision", "f32"], "f32-compiled": ["--precision", "f32", "--compile"],
         "tf32": ["--precision", "tf32"], "tf32-compiled": ["--precision", "tf32", "--compile"],
         "bf16": ["--precision", "bf16"], "bf16-compiled": ["--precision", "bf16", "--compile"]}
SLOWING = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
PROBE = """
import json, shutil, torch
cpu = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", lambda: "unknown")()
print(json.dumps({"version": torch.__version__, "cuda": torch.cuda.is_available(), "capability": cpu,
    "compiles": hasattr(torch, "compile") and (torch.cuda.is_available() or shutil.which("g++") is not None)}))
"""


def settings():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=DEFAULT, metavar="EXPERIMENT:BATCHxSEQ", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--bitnet", default=os.path.join(HERE, "..", "build", "bitnet"))
    parser.add_argument("--device", default="", help="adapter of bitnet, by number or part of its name")
    parser.add_argument("--backend", default="", help="of bitnet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5, help="steps of a round")
    parser.add_argument("--cores", type=int, help="of the CPU, for both")
    parser.add_argument("--modes", nargs="*", choices=MODES, help="of PyTorch; default: all that it can do here")
    parser.add_argument("--python", help="take the PyTorch of this interpreter")
    parser.add_argument("--markdown", action="store_true", help="also print a table for docs/performance.md")
    parser.add_argument("--json", metavar="FILE", help="write all measurements to a file")
    args = parser.parse_args()
    if not os.access(args.bitnet, os.X_OK):
        sys.exit(f"{args.bitnet} is missing: run make build, or say where it is with --bitnet")
    for what in args.what:
        name, _, shape = what.partition(":")
        batch, _, seq = shape.partition("x")
        if not (name and batch.isdigit() and seq.isdigit()):
            parser.error(f"{what}: write it as EXPERIMENT:BATCHxSEQ, such as {DEFAULT[0]}")
    return args


class Torch:
    """A PyTorch: how to start its Python, and what it can do."""

    def __init__(self, where, prefix, script):
        self.where, self.prefix, self.script = where, prefix, script
        self.env = {k: v for k, v in os.environ.items() if k not in SLOWING}
        done = subprocess.run([*prefix, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.env)
        self.found = json.loads(done.stdout) if done.returncode == 0 else None

    def good(self):
        return self.found and tuple(int(n) for n in self.found["version"].split("+")[0].split(".")[:2] if n.isdigit()) >= GOOD

    def modes(self):
        modes = ["f32", "tf32", "bf16"] if self.found["cuda"] else ["f32", "bf16"]
        return [m for p in modes for m in (p, p + "-compiled") if self.found["compiles"] or not m.endswith("-compiled")]

    def measure(self, what, mode, repeat):
        name, shape = what.split(":")
        batch, seq = shape.split("x")
        command = [*self.prefix, self.script, "--exp", name, "--batch", batch, "--seq", seq, "--warmup", "2",
                   "--steps", str(repeat), "--act", "silu", *MODES[mode]]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return json.loads(done.stdout)["tokens_per_s"], ""


def in_folder(root):
    """The Python of another system in a folder. It needs /proc, where PyTorch finds what the CPU can do."""
    script = "/tmp/bench_torch.py"
    shutil.copy(os.path.join(HERE, "bench_torch.py"), root + script)
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 python3 "$@"'
    return Torch(f"Debian 13 in {root}", ["unshare", "--mount", "sh", "-c", enter, root], script)


def best(python):
    """The PyTorch to compare with."""
    script = os.path.join(HERE, "bench_torch.py")
    if python:
        one = Torch(python, [python], script)
        return one if one.found else sys.exit(f"{python} has no PyTorch")
    old = None
    for path in dict.fromkeys([sys.executable, shutil.which("python3"), "/usr/bin/python3"]):
        if path and os.access(path, os.X_OK):
            one = Torch(path, [path], script)
            if one.good():
                return one
            old = old or (one if one.found else None)
    done = subprocess.run(["sh", os.path.join(HERE, "torch-chroot.sh")], stdout=subprocess.PIPE, text=True)
    if done.returncode == 0:
        one = in_folder(done.stdout.strip())
        if one.found:
            return one
        print(f"the PyTorch of {one.where} does not start (unshare and mount need root)", file=sys.stderr)
    if old is None:
        sys.exit("there is no PyTorch: install one (Debian: python3-torch), or start this as root with debootstrap installed")
    print(f"warning: PyTorch {old.found['version']} is older than 2.6 and slower than today's", file=sys.stderr)
    return old


def ours(args, what):
    name, shape = what.split(":")
    batch, seq = shape.split("x")
    command = [args.bitnet, "bench", "step", "--json", "--exp", name, "--batch-size", batch, "--seq-len", seq, "--grad-accum", "1",
               "--repeat", str(args.repeat), "--device", args.device, "--backend", args.backend]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)["result"]


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def environment(args, torch):
    version = subprocess.run([args.bitnet, "version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    dropped = [f"{k}={os.environ[k]}" for k in SLOWING if k in os.environ]
    return [f"{datetime.date.today()}, {platform.system()} {platform.release()}, {cpu()}, {cores} cores, {load()}", version,
            f"PyTorch {torch.found['version']} of {torch.where}, CPU capability {torch.found['capability']}"
            + (", CUDA" if torch.found["cuda"] else "") + ("" if torch.found["compiles"] else ", cannot compile"),
            "not passed on to PyTorch: " + (", ".join(dropped) or "nothing")]


def compare(args, torch, what):
    """Measures one experiment in rounds and prints the result."""
    modes = list(args.modes or torch.modes())
    speeds = {m: [] for m in ["bitnet", *modes]}
    for n in range(args.rounds):
        order = ["bitnet", *modes]
        for m in order if n % 2 == 0 else order[::-1]:
            print(f"{what}, round {n + 1} of {args.rounds}: {m}", file=sys.stderr, flush=True)
            if m == "bitnet":
                result = ours(args, what)
                speeds[m].append(result["tokens_per_sec"])
            elif m in speeds:
                speed, problem = torch.measure(what, m, args.repeat)
                if speed is None:
                    print(f"  {what}: PyTorch {m} failed: {problem}", file=sys.stderr)
                    del speeds[m]
                else:
                    speeds[m].append(speed)
    own = speeds.pop("bitnet")
    print(f"\n{what}: bitnet on {result['device']} ({result['backend']}): {statistics.median(own):.0f} tokens/s; {load()}")
    for m, theirs in speeds.items():
        ratios = [a / b for a, b in zip(own, theirs)]
        print(f"  PyTorch {m:14} {statistics.median(theirs):7.0f} tokens/s; bitnet is {statistics.median(ratios):.2f} times as fast"
              f" ({', '.join(f'{r:.2f}' for r in ratios)})", flush=True)
    return {"what": what, "device": result["device"], "driver": result["driver"], "bitnet": own, "torch": speeds}


def table(results):
    """The medians, and behind each of PyTorch the median of the ratios, in Markdown."""
    modes = list(dict.fromkeys(m for r in results for m in r["torch"]))
    rows = ["| | bitnet | " + " | ".join(modes) + " |", "|---" * (len(modes) + 2) + "|"]
    for r in results:
        cells = [r["what"].replace(":", ", ").replace("x", " x "), f"{statistics.median(r['bitnet']):,.0f}"]
        for m in modes:
            theirs = r["torch"].get(m)
            cells.append("-" if not theirs else f"{statistics.median(theirs):,.0f} ({statistics.median([a / b for a, b in zip(r['bitnet'], theirs)]):.2f})")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main():
    args = settings()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:args.cores])
        os.environ["LP_NUM_THREADS"] = str(args.cores)  # lavapipe's
    torch = best(args.python)
    lines = environment(args, torch)
    print("\n".join(lines) + f"\n{args.rounds} rounds of {args.repeat} steps, alternately", flush=True)
    all_results = [compare(args, torch, what) for what in args.what]
    if args.markdown:
        print("\n" + table(all_results))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"environment": lines, "rounds": args.rounds, "steps": args.repeat, "results": all_results}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
