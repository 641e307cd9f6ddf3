#!/usr/bin/env python3
"""The memory of `bitnet data prepare` and of training on corpora of more and more short documents.

    many_documents.py [--bitnet build/bitnet] [--documents 10000 100000 1000000] [--keep FOLDER]

Writes each corpus as JSON lines, prepares it with one tokenizer, trains a tiny model on it for a
few steps, and prints the largest resident memory of both processes. Where the largest corpus takes
more than 64 MiB above the smallest, it ends with 1: buffers that fill up with time, such as those
of 4,194,304 ends of documents in a shard, explain no more.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = "the a cat dog bird Tom Anna sat saw ran ate on to with mat ball tree apple red big old happy".split()


def settings():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitnet", default=os.path.join(HERE, "..", "build", "bitnet"))
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--keep", help="folder for the corpora, which are kept (default: a temporary one)")
    args = parser.parse_args()
    if not os.access(args.bitnet, os.X_OK):
        sys.exit(f"{args.bitnet} is missing: run make build, or say where it is with --bitnet")
    args.bitnet = os.path.abspath(args.bitnet)
    return args


def write(path, documents):
    rng = random.Random(documents)
    with open(path, "w", encoding="utf-8") as out:
        for i in range(documents):
            out.write('{"text": "%d %s"}\n' % (i, " ".join(rng.choices(WORDS, k=6))))


def run(command, folder):
    """Runs a command and gives its seconds and its largest resident memory in MiB."""
    begin = time.monotonic()
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        with open(os.path.join(folder, "log"), encoding="utf-8") as log:
            sys.exit(f"{' '.join(command)} failed:\n{log.read()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return time.monotonic() - begin, usage.ru_maxrss * unit / 2**20


def main():
    args = settings()
    folder = args.keep or tempfile.mkdtemp(prefix="bitnet-documents-")
    os.makedirs(folder, exist_ok=True)
    print(f"{'documents':>10} {'MiB':>6} {'prepare':>9} {'peak':>9} {'train':>9} {'peak':>9}", flush=True)
    peaks = []
    try:
        for n in args.documents:
            corpus = os.path.join(folder, f"{n}.jsonl")
            write(corpus, n)
            tokenizer = os.path.join(folder, "tokenizer")
            if not os.path.exists(tokenizer):
                run([args.bitnet, "tokenizer", "train", corpus, "--limit-mb", "1", "--vocab-size", "512", "-o", tokenizer], folder)
            prepared = run([args.bitnet, "data", "prepare", corpus, "-t", tokenizer, "-o", f"shards-{n}", "--fresh"], folder)
            trained = run([args.bitnet, "train", "--exp", "simple", "--data", f"shards:shards-{n}", "--tokenizer", tokenizer, "--num-steps", "20", "--set", "vocab_size=512",
                           "--runs-dir", "runs", "--set", "eval_interval=0", "--set", "sample_interval=0"], folder)
            peaks.append((prepared[1], trained[1]))
            print(f"{n:>10,} {os.path.getsize(corpus) / 2**20:>6.1f} {prepared[0]:>7.1f} s {prepared[1]:>5.0f} MiB "
                  f"{trained[0]:>7.1f} s {trained[1]:>5.0f} MiB", flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    for what, first, last in zip(("prepare", "train"), peaks[0], peaks[-1]):
        if last > first + 64:
            sys.exit(f"{what} takes {last - first:.0f} MiB more for the largest corpus: its memory is not flat")


if __name__ == "__main__":
    main()
