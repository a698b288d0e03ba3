"""Fine-tuning and predicting with transformers in PyTorch, timed: the peer of `electra finetune` and `electra predict`.

Run by `cargo xtask bench --peer finetune-*|predict`; prints one JSON object. The loop is that of transformers' Trainer
without its bookkeeping: batches padded to their longest, fused AdamW, linear schedule, clipping.
"""

import argparse
import csv
import json
import os
import random
import resource
import statistics
import time

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

TASK = """name = "{name}"
kind = "classification"
text_a = "a"
{text_b}label = "label"
metric = "accuracy"

[files]
train = "train.tsv"
dev = "dev.tsv"
"""
# Folder, columns of the texts, column of the label, whether training rows are whole sentences.
GLUE = {"sst2": ("SST-2", ["sentence"], "label"), "mrpc": ("MRPC", ["#1 String", "#2 String"], "Quality")}


def rows(path, task):
    _, texts, label = GLUE[task]
    with open(path, encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield [row[text].strip() for text in texts], row[label]


def prepare(args):
    """A task folder of `--count` training rows, drawn with a fixed seed."""
    os.makedirs(args.folder, exist_ok=True)
    pairs = len(GLUE[args.task][1]) == 2
    with open(f"{args.folder}/task.toml", "w") as file:
        file.write(TASK.format(name=args.task, text_b='text_b = "b"\n' if pairs else ""))
    source = f"{args.data}/{GLUE[args.task][0]}"
    for split, count in (("train", args.count), ("dev", 64)):
        found = list(rows(f"{source}/{split}.tsv", args.task))
        random.Random(1).shuffle(found)
        with open(f"{args.folder}/{split}.tsv", "w", encoding="utf-8") as file:
            file.write("a\tb\tlabel\n" if pairs else "a\tlabel\n")
            for texts, label in found[:count]:
                file.write("\t".join([*texts, label]) + "\n")


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield [row[c] for c in ("a", "b") if c in row], int(row["label"])


def encode(tokenizer, batch):
    texts = list(zip(*(texts for texts, _ in batch)))
    return tokenizer(*map(list, texts), padding="longest", truncation=True, max_length=128, return_tensors="pt")


def finetune(args):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, eps=1e-6, weight_decay=0.0, fused=True)
    data = list(read(f"{args.folder}/train.tsv"))
    random.Random(2).shuffle(data)
    batches = [data[i : i + 32] for i in range(0, len(data), 32)]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
    start = None
    for step, batch in enumerate(batches):
        if step == 2:
            start = time.perf_counter()
        inputs = encode(tokenizer, batch)
        loss = model(**inputs, labels=torch.tensor([label for _, label in batch])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    seconds = time.perf_counter() - start
    report(sum(map(len, batches[2:])) / seconds)


def predict(args):
    """Batches of 32 in the file's order, padded to their longest."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model).eval()
    data = list(read(f"{args.folder}/train.tsv"))
    with torch.inference_mode():
        model(**encode(tokenizer, data[:32]))
        start = time.perf_counter()
        for i in range(0, len(data), 32):
            model(**encode(tokenizer, data[i : i + 32])).logits.argmax(-1).tolist()
    report(len(data) / (time.perf_counter() - start))


def report(speed):
    print(json.dumps({
        "examples_per_second": speed,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("prepare", "finetune", "predict"))
    parser.add_argument("--task", choices=GLUE)
    parser.add_argument("--data")
    parser.add_argument("--count", type=int)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--model")
    args = parser.parse_args()
    {"prepare": prepare, "finetune": finetune, "predict": predict}[args.mode](args)


if __name__ == "__main__":
    main()
