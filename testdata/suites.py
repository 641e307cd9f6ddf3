#!/usr/bin/python3
"""Golden values of bitnet eval --suite, from the rules of docs/evaluation.md in plain Python and PyTorch.

    suites.py            writes golden/suites: a model, small test sets and golden.json
    suites.py --check    computes golden.json again and compares with the file

The model is random, packed, with a tokenizer of bytes and a few merges. The test
sets have the columns of the real ones, and corners: marks of WikiHow, spaces at
ends, tokens across the end of a context, an empty context, a text that is longer
than the model's context. Nothing here is shared with the Go code: text is encoded
by merging pairs in order, the network is reference.py's in float64, and standard
errors come from Python's own random numbers, as in lm-evaluation-harness.
"""
import json
import math
import os
import random
import re
import sys

import numpy as np
import torch

import reference

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "golden", "suites")
CONTEXT = 96  # tokens of the model
MARGIN = 0.1  # between the best two answers, at least: rounding decides none

# --- data ---------------------------------------------------------------------

HELLASWAG = [
    ("Making tea", "A woman fills a kettle. She", "WAITS until it boils. THEN she", [
        "pours the water over the leaves.", "paints the kettle [substeps] blue.", "sings to the cat.", "leaves  for the sea."], "0"),
    ("Home and Garden", "[header] How to plant a bulb [title] Choose a place. [step] Bulbs need sun.", "", [
        "Dig a hole.", "[title] Dig twice.", "Water it [substeps] daily, [or not].", "Sell it."], "2"),
    ("Running a race", "  Two men stand at a line.", "the first one runs", [
        "and wins.", "home.", "and falls over.", "in a circle until it is dark."], "1"),
    ("Ironing", "The shirt lies on a table.", "élan Vital helps: He", [
        "irons it.", "folds it up and goes away.", "eats.", "reads the label twice."], "3"),
    ("Fixing a bike", "A chain is oiled.", "", [
        "The wheel turns.", "The wheel stops.", "A bird lands.", "Rain falls on it [now]."], "1"),
    ("Baking", "Flour is sifted into a bowl, and eggs", "are", [
        "beaten in.", "counted.", "thrown at the wall.", "hidden."], "0"),
]
PIQA = [
    ("To keep a door open,", "push a wedge under it.", "push a feather under it.", 0),
    ("Dry a wet book ", "by fanning its pages.", "by closing it.", 0),
    ("How do I carry water?", "In a net.", "In a bucket with a handle.", 1),
    ("cut paper", "scissors", "soap", 0),
    ("Find a lost key in the dark:\n", "turn on a lamp", "turn off the lamp", 1),
]
ARC_EASY = [
    ("Which of these melts in the sun?", ["ice", "stone", "iron", "sand"], "ABCD", "A"),
    ("What do plants take from the air?", ["carbon dioxide", "gold", "salt"], "123", "1"),
    ("A magnet pulls", ["wood.", "nails.", "paper.", "milk.", "glass."], "ABCDE", "B"),
    ("Which animal lays eggs?", ["a hen", "a cow", "a dog", "a cat"], "ABCD", "A"),
]
ARC_CHALLENGE = [
    ("Why does a moon of a planet not fall down?", ["It moves sideways fast enough.", "It is light.", "Nothing pulls it."], "ABC", "A"),
    ("Which change is chemical?", ["cutting", "rust", "melting", "mixing"], "ABCD", "B"),
    ("Sound is slowest in", ["air", "water", "steel", "bone"], "1234", "1"),
]
LAMBADA = [
    "\u201cYou came,\u201d she said, and he knew that voice at once, it was his sister",
    "word",
    "He looked at the clock again ,  and then at the door",
    "The old man had told the story so often that the children knew each word of it, and where he would stop to drink, "
    "and where his voice would go low; they moved their lips with his, and waited for the end, and for the fire, and for the wolf",
    "No one ever asked him why he kept the caf\u00e9",
]


def rows():
    """{task: list of rows with the columns of the real data set}"""
    def arc(questions):
        return [{"id": f"q{i}", "question": q, "choices": {"text": texts, "label": list(labels)}, "answerKey": key}
                for i, (q, texts, labels, key) in enumerate(questions)]
    return {
        "hellaswag": [{"ind": i, "activity_label": a, "ctx_a": c, "ctx_b": d, "ctx": c + " " + d, "endings": e, "source_id": f"s{i}",
                       "split": "val", "split_type": "indomain", "label": label} for i, (a, c, d, e, label) in enumerate(HELLASWAG)],
        "piqa": [{"goal": g, "sol1": a, "sol2": b, "label": label} for g, a, b, label in PIQA],
        "arc_easy": arc(ARC_EASY),
        "arc_challenge": arc(ARC_CHALLENGE),
        "lambada_openai": [{"text": text} for text in LAMBADA],
    }


# --- tokenizer ------------------------------------------------------------------

def byte_letters():
    """The letter that stands for each byte in byte-level tokenizers."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters, more = {}, 0
    for byte in range(256):
        letters[byte] = chr(byte) if byte in plain else chr(256 + more)
        more += byte not in plain
    return letters


LETTERS = byte_letters()
SPACE = LETTERS[32]
# The second merge joins the end of "Answer:" with the space before a choice.
MERGES = [("t", "h"), (":", SPACE), (SPACE, "th"), (SPACE + "th", "e"), ("i", "n"), (SPACE, "a"), ("e", "r"), (SPACE, "s"), ("o", "u"), (SPACE, "w")]
SPECIALS = ["<unk>", "<s>", "</s>"]


def vocabulary():
    names = SPECIALS + [LETTERS[b] for b in range(256)] + [a + b for a, b in MERGES]
    return {name: i for i, name in enumerate(names)}


def write_tokenizer(directory):
    vocab = vocabulary()
    added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, name in enumerate(SPECIALS)]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": [f"{a} {b}" for a, b in MERGES]},
    }
    write_json(os.path.join(directory, "tokenizer.json"), tokenizer)
    write_json(os.path.join(directory, "tokenizer_config.json"),
               {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "PreTrainedTokenizerFast"})


def encode(text, special=True):
    """Ids of a text: pairs are merged in the order of MERGES, each from the left."""
    parts = [LETTERS[b] for b in text.encode("utf-8")]
    for a, b in MERGES:
        i = 0
        while i + 1 < len(parts):
            if (parts[i], parts[i + 1]) == (a, b):
                parts[i:i + 2] = [a + b]
            i += 1
    vocab = vocabulary()
    return [vocab["<s>"]] * special + [vocab[p] for p in parts]


# --- the rules --------------------------------------------------------------------

def clean(text):
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def question(task, row):
    """context, continuations, choices without the space before them, the number of the right one"""
    if task == "hellaswag":
        choices = [clean(e) for e in row["endings"]]
        context = clean(row["activity_label"] + ": " + row["ctx_a"] + " " + row["ctx_b"].capitalize())
        gold = int(row["label"])
    elif task == "piqa":
        choices, gold = [row["sol1"], row["sol2"]], row["label"]
        context = f"Question: {row['goal']}\nAnswer:"
    elif task.startswith("arc_"):
        choices, gold = row["choices"]["text"], row["choices"]["label"].index(row["answerKey"])
        context = f"Question: {row['question']}\nAnswer:"
    else:
        words = row["text"].split(" ")
        return " ".join(words[:-1]), [" " + words[-1]], [], 0
    return context, [" " + c for c in choices], choices, gold


def pair(context, continuation):
    """ids of the context and of the continuation"""
    if context == "":
        return [vocabulary()["<s>"]], encode(continuation, special=False)
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    before = encode(context)
    return before, encode(context + continuation)[len(before):]


def measure(config, weights, before, after):
    """log-probability of the ids after, and whether each is the likeliest"""
    ids = torch.tensor((before + after)[-(CONTEXT + 1):])
    with torch.no_grad():
        logp = reference.forward(config, weights, ids[None, :-1])[0].log_softmax(-1)[-len(after):]
    return logp.gather(1, torch.tensor(after)[:, None]).sum().item(), bool((logp.argmax(-1) == torch.tensor(after)).all())


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    m = mean(values)
    return math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1))


def perplexity(values):
    return math.exp(-mean(values))


def bootstrap(statistic, values, rounds=100_000):
    found = []
    for chunk in range(rounds // 1000):
        draw = random.Random(chunk)
        found += [statistic(draw.choices(values, k=len(values))) for _ in range(1000)]
    return deviation(found)


def margin(values):
    first, second = sorted(values, reverse=True)[:2]
    return first - second


def golden(config, weights, data):
    out = {}
    for task, task_rows in data.items():
        documents, values = [], {}
        for row in task_rows:
            context, continuations, choices, gold = question(task, row)
            pairs = [pair(context, c) for c in continuations]
            answers = [measure(config, weights, *p) for p in pairs]
            logprobs = [a for a, _ in answers]
            documents.append({"context": context, "continuations": continuations, "ids": [[b, a] for b, a in pairs],
                              "logprobs": logprobs, "greedy": [g for _, g in answers]})
            if choices:
                each = [p / len(c) for p, c in zip(logprobs, choices)]
                if margin(logprobs) < MARGIN or margin(each) < MARGIN:
                    sys.exit(f"{task}: {context!r} is too close to call: {logprobs}, {each}")
                found = {"acc": float(np.argmax(logprobs) == gold), "acc_norm": float(np.argmax(each) == gold)}
            else:
                found = {"perplexity": logprobs[0], "acc": float(answers[0][1])}
            for name, value in found.items():
                values.setdefault(name, []).append(value)
        metrics = {}
        for name, v in values.items():
            if name == "perplexity":
                metrics[name], metrics[name + "_stderr"] = perplexity(v), bootstrap(perplexity, v)
            else:
                metrics[name], metrics[name + "_stderr"] = mean(v), deviation(v) / math.sqrt(len(v))
        out[task] = {"documents": documents, "metrics": metrics}
    return out


# --- files ---------------------------------------------------------------------------

def write_json(path, value, indent=1):
    with open(path, "w") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False)
        f.write("\n")


def write_model():
    config = reference.Config(len(vocabulary()), 64, 96, 2, 4, 2, "silu", 1e-5, 10000.0)
    rng = np.random.RandomState(11)
    arrays = {}
    for name, shape in reference.tensor_shapes(config).items():
        std = 0.25 if name == "model.embed_tokens.weight" else 0.3
        arrays[name] = (rng.standard_normal(shape) * std if len(shape) == 2 else np.ones(shape)).astype(np.float32)
    directory = os.path.join(OUT, "model")
    masters = os.path.join(OUT, "masters")
    reference.write_model(masters, config, arrays)
    reference.pack_model(type("Args", (), {"model": masters, "out": directory}))
    for name in os.listdir(masters):
        os.remove(os.path.join(masters, name))
    os.rmdir(masters)
    path = os.path.join(directory, "config.json")
    with open(path) as f:
        raw = json.load(f)
    raw["max_position_embeddings"] = CONTEXT
    write_json(path, raw)
    write_tokenizer(directory)


def likely(config, weights):
    """Passages whose last word the model would write itself: found by trying, as its weights are random."""
    rng = random.Random(5)
    names = {i: n for n, i in vocabulary().items()}
    words = "the moon was low and he had no coat so that what they saw in those woods".split()
    found = []
    while len(found) < 2:
        context = " ".join(rng.choice(words) for _ in range(6))
        before = encode(context)
        with torch.no_grad():
            logits = reference.forward(config, weights, torch.tensor([before]))[0, -1]
        best, second = logits.topk(2)[0].tolist()
        name = names[logits.argmax().item()]
        if name in (SPACE + "th", SPACE + "the", SPACE + "a", SPACE + "s", SPACE + "w") and best - second > MARGIN:
            text = context + " " + name[1:]
            if measure(config, weights, *pair(context, " " + name[1:]))[1]:
                found.append(text)
    return found


def main():
    directory = os.path.join(OUT, "model")
    check = sys.argv[1:] == ["--check"]
    if not check:
        os.makedirs(OUT, exist_ok=True)
        write_model()
    config = reference.read_config(directory)
    weights = reference.read_weights(directory, config, torch.float64)
    data = rows()
    data["lambada_openai"] += [{"text": t} for t in likely(config, weights)]
    result = golden(config, weights, data)
    if check:
        with open(os.path.join(OUT, "golden.json")) as f:
            same(result, json.load(f), "golden")
        print("golden.json holds these values")
        return
    for task, task_rows in data.items():
        with open(os.path.join(OUT, task + ".jsonl"), "w") as f:
            f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in task_rows)
    write_json(os.path.join(OUT, "golden.json"), result, indent=None)


def same(a, b, where):
    if isinstance(a, dict):
        if a.keys() != b.keys():
            sys.exit(f"{where}: {sorted(a)} and {sorted(b)}")
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        if len(a) != len(b):
            sys.exit(f"{where}: {len(a)} and {len(b)} values")
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}[{i}]")
    elif isinstance(a, float):
        if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12):
            sys.exit(f"{where}: {a} and {b}")
    elif a != b:
        sys.exit(f"{where}: {a!r} and {b!r}")


if __name__ == "__main__":
    main()
