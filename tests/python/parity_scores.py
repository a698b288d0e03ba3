"""Compares `electra score` with the official scorers, on predictions made by corrupting gold answers.

Compares the output byte for byte: SQuAD 1.1 and 2.0 on the given (or synthetic) gold files, null odds of many
distributions, and every Unicode character in an answer. Run by `cargo xtask parity`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import unicodedata

import scores

parser = argparse.ArgumentParser()
parser.add_argument("--electra", required=True)
parser.add_argument("--work", required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--files", type=int, required=True, help="number of prediction files for each gold file and version")
parser.add_argument("--squad", nargs="*", default=[])
args = parser.parse_args()
rng = random.Random(args.seed)
work = os.path.join(args.work, "scores")
os.makedirs(work, exist_ok=True)


def path_of(name):
    return os.path.join(work, name)


def write(name, value):
    with open(path_of(name), "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path_of(name)


def ours(*words):
    run = subprocess.run([args.electra, "score", *map(str, words)], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"electra score {' '.join(map(str, words))}: {run.stderr}")
    return run.stdout.removesuffix("\n")


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: electra printed\n{found}\nthe official script printed\n{expected}\nfiles are in {work}")


def impossible(gold):
    """Removes the answers of some questions, so that there are questions of both kinds."""
    copy = json.loads(json.dumps(gold))
    for qa in scores.questions(copy):
        if qa["answers"] and rng.random() < 0.3:
            qa["answers"] = []
    return copy


def squad_1(name, gold):
    path = write("gold.json", gold)
    for number in range(args.files):
        missing, unknown = rng.choice([(0.0, 0), (0.1, 0), (0.0, 7), (0.5, 3)])
        made = scores.predictions(rng, gold, number / max(args.files - 1, 1), missing, unknown)
        found = ours("squad", "--version", "1.1", "--gold", path, "--pred", write("predictions.json", made))
        same(f"{name}, version 1.1, predictions {number}", found, scores.squad_1(gold, made))


def squad_2(name, gold):
    path = write("gold2.json", gold)
    for number in range(args.files):
        missing, unknown = rng.choice([(0.0, 0), (0.0, 7), (0.1, 0), (0.5, 3)])
        made = scores.predictions(rng, gold, number / max(args.files - 1, 1), missing, unknown)
        odds, threshold, more = None, 1.0, []
        if number % 4:
            odds = scores.null_odds(rng, gold, made, scores.FORMS[number % len(scores.FORMS)])
            threshold = rng.choice([1.0, 0.5, -2.75, 0.0])
            more = ["--null-odds", write("null_odds.json", odds), "--na-prob-thresh", threshold]
        # The script crashes on a question without a prediction: run it without these questions.
        left = {qa["id"] for qa in scores.questions(gold)} - set(made)
        expected = scores.squad_2(work, scores.without(gold, left), made, odds, threshold)
        found = ours("squad", "--version", "2.0", "--gold", path, "--pred", write("predictions2.json", made), *more)
        same(f"{name}, version 2.0, predictions {number}", found, expected)


def gold_of(texts):
    asked = [{"id": str(i), "question": "?", "answers": [{"text": text, "answer_start": 0}]} for i, text in enumerate(texts)]
    return {"version": "1.1", "data": [{"title": "", "paragraphs": [{"context": "", "qas": asked}]}]}


def characters():
    """Checks the normalization of every character in Python's Unicode, alone and next to letters and articles.

    Except U+0295, which later versions of Unicode no longer treat as a cased letter, so a sigma after it does not end a
    word.
    """
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn") and c != 0x295]
    blocks = [known[i : i + 64] for i in range(0, len(known), 64)]
    # The gold answers are normalized already, the predictions are not.
    texts = [" ".join(f"{c} a{c} {c}the x{c}Y {c}Σ Σ{c} Σ{c}x" for c in block) for block in blocks]
    path = write("gold.json", gold_of(map(scores.V2.normalize_answer, texts)))
    predictions = write("predictions.json", {str(i): text for i, text in enumerate(texts)})
    found = ours("squad", "--version", "1.1", "--gold", path, "--pred", predictions)
    same("characters", found, '{"exact_match": 100.0, "f1": 100.0}')
    print(f"characters: {len(known)} of Unicode {unicodedata.unidata_version} are normalized equally", flush=True)


print(f"seed {args.seed}", flush=True)
words = ["the", "a", "Paris", "of", "1789", "café", "U.S.", "an", "İx", "and", "-", "中文"]
synthetic = gold_of(" ".join(rng.choices(words, k=rng.randint(1, 6))) + " q" for _ in range(300))
golds = {"synthetic": synthetic}
for path in args.squad:
    with open(path, encoding="utf-8") as file:
        golds[os.path.basename(path)] = json.load(file)
for name, gold in golds.items():
    both = any(not qa["answers"] for qa in scores.questions(gold))
    if not both:
        squad_1(name, gold)
    squad_2(name, gold if both else impossible(gold))
    print(f"{name}: {len(scores.questions(gold))} questions, {args.files} prediction files"
          f" for version {'2.0' if both else '1.1 and 2.0'}: equal, byte for byte", flush=True)
characters()
