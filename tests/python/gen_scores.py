"""Predictions of varying quality with the scores of the official scorers.

Writes OUT/scores/{squad,glue,tagging,multi_label}.json. Run by `cargo xtask fixtures`.
"""

import json
import os
import random
import sys
import tempfile

import scores

OUT = sys.argv[1] + "/scores"
os.makedirs(OUT, exist_ok=True)
rng = random.Random(20240607)


def write(name, value):
    with open(f"{OUT}/{name}.json", "w", encoding="utf-8") as file:
        json.dump(value, file, separators=(",", ":"))
        file.write("\n")


TEXTS = [
    "The Eiffel Tower", "an apple", "a", "the", "A.", "1789", "the 14th of July, 1789", "U.S.A.", "forty-two",
    "Straße", "ΣΊΣΥΦΟΣ", "İstanbul", "naïve café", "e\u0301tude a\u0301 la", "中文 字", "a中 the中", "हिन्दी a", "½ a ½",
    "“quoted”", "rock ’n’ roll", "hyphen - dash – ellipsis…", "no\u00a0break\u2003space", "unit\x1fseparator a\x1fb", "line\u2028the\u2029end",
    "the the a an", "_under_score_", "don't", "$5.00 (five)", "🍞 bread 🍞", "AN Ǆ ǆ ﬁ", "x\u200by", "Ⅷ ⅷ Ⓐ", "ſ K Å", "théa an-the a_b",
    "!!!", "\u0345a\u0345 a", "a\u0903 the\u0903", "ᾼ Ὀδυσσεύς Σ", "٣ a٣", "Ꭰ ꭰ Ა",
]


def gold_file(impossible):
    """A gold file. Each question has one to three answers, or none with probability `impossible`."""
    paragraphs, number = [], 0
    for _ in range(8):
        asked = []
        for _ in range(5):
            texts = [] if rng.random() < impossible else rng.sample(TEXTS, rng.randint(1, 3))
            answers = [{"text": text, "answer_start": 0} for text in texts]
            asked.append({"id": f"q{number}", "question": "?", "answers": answers, "is_impossible": not answers})
            number += 1
        paragraphs.append({"context": "none", "qas": asked})
    return {"version": "v2.0" if impossible else "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}


first, second = gold_file(0.0), gold_file(0.4)
# Some files have very few predictions.
cases_1, cases_2 = [], []
for quality in [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]:
    for missing, unknown in [(0.0, 0), (0.3, 4), (0.9, 1)]:
        made = scores.predictions(rng, first, quality, missing, unknown)
        cases_1.append({"predictions": made, "expected": scores.squad_1(first, made)})
with tempfile.TemporaryDirectory() as folder:
    for number in range(30):
        missing, unknown = rng.choice([(0.0, 0), (0.0, 5), (0.4, 0), (0.9, 3)])
        made = scores.predictions(rng, second, number / 29, missing, unknown)
        odds, threshold = None, 1.0
        if number % 5:
            odds = scores.null_odds(rng, second, made, scores.FORMS[number % len(scores.FORMS)])
            threshold = rng.choice([1.0, 0.5, -2.75, 0.0, 1e-6])
        # The script crashes on a question without a prediction: run it without these questions.
        left = {qa["id"] for qa in scores.questions(second)} - set(made)
        expected = scores.squad_2(folder, scores.without(second, left), made, odds, threshold)
        items = None if odds is None else list(odds.items())
        cases_2.append({"predictions": made, "null_odds": items, "threshold": threshold, "expected": expected})
added = [scores.corrupted(rng, text, TEXTS) for text in TEXTS for _ in range(8)]
normal = [[text, scores.V2.normalize_answer(text)] for text in dict.fromkeys(TEXTS + added)]
write("squad", {"normalize": normal, "v1": {"gold": first, "cases": cases_1}, "v2": {"gold": second, "cases": cases_2}})

cases = []
for classes in (2, 3):
    for quality in [-1.0, 0.0, 0.2, 0.5, 0.8, 0.95, 1.0, 1.5, 2.0]:
        gold, predicted = scores.classes_of(rng, classes, rng.randint(1, 60), min(quality, 1.5))
        if quality == 2.0:
            gold = predicted = [1] * len(gold)
        cases.append({"classes": classes, "gold": gold, "predicted": predicted,
                      "expected": scores.classification(gold, predicted, classes)})
for form in scores.VALUES:
    for count in (2, 60):
        gold, predicted = scores.values_of(rng, count, form)
        cases.append({"classes": 1, "gold": gold, "predicted": predicted, "expected": scores.regression(gold, predicted)})
write("glue", cases)

cases = []
for prefixes in ("BI", "BIES"):
    for quality in [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0]:
        gold, predicted = scores.sentences(rng, prefixes, quality)
        cases.append({"scheme": prefixes, "gold": gold, "predicted": predicted,
                      "expected": scores.tagging(gold, predicted, prefixes)})
gold, predicted = scores.sentences(rng, "BI", 1.0)
predicted = [["O"] * len(tags) for tags in predicted]
cases.append({"scheme": "BI", "gold": gold, "predicted": predicted, "expected": scores.tagging(gold, predicted, "BI")})
write("tagging", cases)

cases = []
for labels in (2, 3, 7):
    for quality in [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]:
        gold, predicted = scores.label_sets(rng, labels, rng.randint(1, 40), quality)
        cases.append({"gold": gold, "predicted": predicted, "expected": scores.multi_label(gold, predicted)})
nothing = [[0, 0, 0]] * 4
cases.append({"gold": nothing, "predicted": nothing, "expected": scores.multi_label(nothing, nothing)})
write("multi_label", cases)
