"""The official scorers, and predictions of varying quality for them, made by corrupting gold answers.

SQuAD's scripts are run unchanged, from the package sotabencheval, which contains both; entities are scored with seqeval
and a port of conlleval, the rest with scikit-learn and SciPy.
"""

import contextlib
import importlib.util
import io
import json
import os
import random
import sys
import types
import warnings

import conlleval
import numpy as np
import seqeval.metrics
import seqeval.scheme
from scipy import stats
from sklearn import metrics


def _module(package, path):
    """Loads a module by its path, without importing its package."""
    origin = importlib.util.find_spec(package).submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], os.path.join(origin, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _sum(values):
    """Sums from left to right, as `sum` in Python up to 3.11; later versions compensate for rounding."""
    total = 0
    for value in values:
        total += value
    return total


V1 = _module("sotabencheval", "question_answering/evaluate_v11.py")
V2 = _module("sotabencheval", "question_answering/evaluate_v20.py")
V1.sum = V2.sum = _sum
# Do not plot the curves; only their values are needed.
V2.plot_pr_curve = V2.histogram_na_prob = lambda *_: None


def squad_1(gold, predictions):
    """The output of evaluate-v1.1.py."""
    with contextlib.redirect_stderr(io.StringIO()):
        return json.dumps(V1.evaluate(gold["data"], predictions))


def squad_2(folder, gold, predictions, odds=None, threshold=1.0):
    """The output of evaluate-v2.0.py, including curves if there are null odds."""
    names = {name: os.path.join(folder, f"{name}.json") for name in ("gold", "predictions", "odds")}
    for name, value in (("gold", gold), ("predictions", predictions), ("odds", odds)):
        with open(names[name], "w") as file:
            json.dump(value, file)
    V2.OPTS = types.SimpleNamespace(
        data_file=names["gold"],
        pred_file=names["predictions"],
        na_prob_file=None if odds is None else names["odds"],
        na_prob_thresh=threshold,
        out_image_dir=None if odds is None else folder,
        out_file=None,
        verbose=False,
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        V2.main()
    return printed.getvalue().removesuffix("\n")


def questions(gold):
    return [qa for article in gold["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]


def without(gold, ids):
    """The gold file without the questions `ids`."""
    return {
        **gold,
        "data": [
            {**a, "paragraphs": [{**p, "qas": [qa for qa in p["qas"] if qa["id"] not in ids]} for p in a["paragraphs"]]}
            for a in gold["data"]
        ],
    }


ADDED = ["the ", "a", " An ", "...", "'s", "\u00a0", "\u2003", "\x1c", "\u2019", "e\u0301", " of", "\u0130", "\u03a3", "-", "_", "\u200b", " THE", "\u00bd", "\t"]


def corrupted(rng, text, others):
    """A corrupted answer, or that of another question."""
    words = text.split(" ")
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(others)
    if kind == 1:
        return ""
    if kind == 2:
        return text.upper()
    if kind == 3:
        return rng.choice(ADDED) + text
    if kind == 4:
        return text + rng.choice(ADDED)
    if kind == 5:
        at = rng.randrange(len(text) + 1)
        return text[:at] + rng.choice(ADDED) + text[at:]
    if kind == 6:
        return " ".join(words[: rng.randrange(len(words)) + 1])
    if kind == 7:
        return " ".join(rng.sample(words, len(words)))
    if kind == 8:
        return " ".join(words + rng.choice(others).split(" ")[:3] + words)
    return text.swapcase()


def predictions(rng, gold, quality, missing=0.0, unknown=0):
    """Correct answers with probability `quality`, else corrupted ones; some are missing, some are for unknown ids."""
    asked = questions(gold)
    others = [answer["text"] for qa in asked for answer in qa["answers"]] or ["x"]
    made = {}
    for qa in asked:
        if rng.random() < missing:
            continue
        text = rng.choice(qa["answers"])["text"] if qa["answers"] else ""
        if rng.random() >= quality:
            text = corrupted(rng, text, others) if text else rng.choice(others)
        made[qa["id"]] = text
    made |= {f"nobody-{i}": rng.choice(others) for i in range(unknown)}
    items = list(made.items())
    rng.shuffle(items)
    return dict(items)


def null_odds(rng, gold, made, form):
    """Null odds of a form: with many ties, probabilities, logits, all equal, tiny or huge."""
    has_answer = {qa["id"]: bool(qa["answers"]) for qa in questions(gold)}
    odds = {}
    for name in made:
        if name not in has_answer:
            continue
        signal = (not has_answer[name]) - 0.5
        odds[name] = {
            "ties": lambda: round(signal + rng.gauss(0, 1), 1),
            "probabilities": lambda: 1 / (1 + np.exp(-4 * signal - rng.gauss(0, 2)).item()),
            "logits": lambda: 8 * signal + rng.gauss(0, 6),
            "equal": lambda: 0.5,
            "tiny": lambda: rng.random() * 10.0 ** rng.randint(-12, -3),
            "huge": lambda: signal * 10.0 ** rng.randint(10, 22),
        }[form]()
    items = list(odds.items())
    rng.shuffle(items)
    return dict(items)


FORMS = ["ties", "probabilities", "logits", "equal", "tiny", "huge"]


def defined(value):
    value = float(value)
    return value if np.isfinite(value) else None


def classification(gold, predicted, classes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = {
            "accuracy": defined(metrics.accuracy_score(gold, predicted)),
            "matthews": defined(metrics.matthews_corrcoef(gold, predicted)),
        }
        if classes == 2:
            scores["f1"] = defined(metrics.f1_score(gold, predicted, pos_label=1, zero_division=0))
    return scores


def regression(gold, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "pearson": defined(stats.pearsonr(predicted, gold)[0]),
            "spearman": defined(stats.spearmanr(predicted, gold)[0]),
        }


def classes_of(rng, classes, count, quality):
    """Gold and predicted classes. A quality below 0 predicts only one class; above 1, gold has only one class."""
    gold = [1 if quality > 1 else rng.randrange(classes) for _ in range(count)]
    if quality < 0:
        return gold, [rng.randrange(classes)] * count
    return gold, [label if rng.random() < quality else rng.randrange(classes) for label in gold]


def values_of(rng, count, form):
    """Gold and predicted values, in forms that are difficult for sums or ranks."""
    gold = [rng.choice([0.0, 0.25, 1.0, 2.5, 3.8, 5.0, rng.random() * 5]) for _ in range(count)]
    near = [value + rng.gauss(0, 1) for value in gold]
    return gold, {
        "near": near,
        "ties": [float(round(value)) for value in near],
        "against": [-value for value in near],
        "equal": gold,
        "constant": [2.5] * count,
        "large": [1e6 + value for value in near],
        "small": [1e-9 * value for value in near],
        "zeros": [0.0 * value for value in near[:-1]] + [1.0],
        "noise": [rng.gauss(0, 1) for _ in gold],
    }[form]


VALUES = ["near", "ties", "against", "equal", "constant", "large", "small", "zeros", "noise"]


def label_sets(rng, labels, count, quality):
    """Gold and predicted label sets as 0 and 1. Later labels are rarer; some sets are empty."""
    gold = [[int(rng.random() < 0.6 / (label + 1)) for label in range(labels)] for _ in range(count)]
    return gold, [[flag if rng.random() < quality else rng.randint(0, 1) for flag in flags] for flags in gold]


def multi_label(gold, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gold, predicted = np.array(gold), np.array(predicted)
        return {
            "accuracy": float(metrics.accuracy_score(gold, predicted)),
            "micro-f1": float(metrics.f1_score(gold, predicted, average="micro", zero_division=0)),
            "macro-f1": float(metrics.f1_score(gold, predicted, average="macro", zero_division=0)),
        }


KINDS = ["PER", "LOC", "MISC-x"]


def sentences(rng, prefixes, quality):
    """Gold tags that follow the scheme, and predicted tags of which some are random."""
    gold, predicted = [], []
    for _ in range(rng.randint(1, 12)):
        tags = []
        for _ in range(rng.randint(1, 5)):
            kind, length = rng.choice(KINDS), rng.randint(1, 3)
            inside = ["B"] + ["I"] * (length - 1)
            if "S" in prefixes:
                inside = ["S"] if length == 1 else ["B"] + ["I"] * (length - 2) + ["E"]
            tags += [f"{prefix}-{kind}" for prefix in inside] + ["O"] * rng.randint(0, 2)
        gold.append(tags)
        noise = [rng.choice(["O"] + [f"{prefix}-{kind}" for prefix in prefixes for kind in KINDS]) for _ in tags]
        predicted.append([tag if rng.random() < quality else other for tag, other in zip(tags, noise)])
    return gold, predicted


def _rates(gold, predicted, **options):
    """Precision, recall, F1 and number of gold entities, overall and by type."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = seqeval.metrics.classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
    fields = ("precision", "recall", "f1-score", "support")
    numbers = {kind: [row[field].item() if hasattr(row[field], "item") else row[field] for field in fields]
               for kind, row in report.items() if kind not in ("macro avg", "weighted avg")}
    return {"overall": numbers.pop("micro avg"), "by_type": numbers}


def tagging(gold, predicted, prefixes):
    """seqeval's scores in both modes, and conlleval's counts of gold, predicted and correct entities."""
    scheme = seqeval.scheme.IOBES if "S" in prefixes else seqeval.scheme.IOB2
    lines = []
    for pair in zip(gold, predicted):
        lines += [f"word {g} {p}" for g, p in zip(*pair)] + [""]
    counts = conlleval.evaluate(lines)["overall"]["chunks"]["stats"]
    return {
        "default": _rates(gold, predicted),
        "strict": _rates(gold, predicted, mode="strict", scheme=scheme),
        "conlleval": [counts["gold"], counts["pred"], counts["correct"]],
        "accuracy": float(seqeval.metrics.accuracy_score(gold, predicted)),
    }
