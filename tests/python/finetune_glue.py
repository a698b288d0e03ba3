"""Dev accuracy on SST-2 or MRPC with transformers, for comparison with `electra finetune`.

    python tests/python/finetune_glue.py --model FOLDER --glue GLUE --task mrpc --rate 5e-5 --seeds 3

The loop is that of transformers' Trainer with its defaults: mean loss, AdamW, clipping to 1, linear decay after a warm-up
of a tenth, batches of 32 padded to the longest. The weights are those of a BERT folder; the classifier is new.
"""

import argparse
import csv
import json
import random

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

# Folder, text columns, label column.
TASKS = {"sst2": ("SST-2", ["sentence"], "label"), "mrpc": ("MRPC", ["#1 String", "#2 String"], "Quality")}


def rows(args, split):
    folder, texts, label = TASKS[args.task]
    with open(f"{args.glue}/{folder}/{split}.tsv", encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield [row[text].strip() for text in texts], int(row[label])


def batches(tokenizer, data):
    for at in range(0, len(data), 32):
        texts, labels = zip(*data[at : at + 32])
        inputs = tokenizer(
            *map(list, zip(*texts)), padding="longest", truncation=True, max_length=128, return_tensors="pt"
        )
        yield inputs, torch.tensor(labels)


def run(args, seed):
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2).train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.rate, fused=True)
    train, dev = list(rows(args, "train")), list(rows(args, "dev"))
    total = args.epochs * ((len(train) + 31) // 32)
    warmup = total // 10
    factor = lambda step: min((step + 1) / max(1, warmup), (total - step) / (total - warmup))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(args.epochs):
        random.Random(f"{seed} {epoch}").shuffle(train)
        for inputs, labels in batches(tokenizer, train):
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                loss = model(**inputs, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
    correct = 0
    with torch.inference_mode():
        model.eval()
        for inputs, labels in batches(tokenizer, dev):
            correct += (model(**inputs).logits.argmax(-1) == labels).sum().item()
    return correct / len(dev)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="use bfloat16")
    args = parser.parse_args()
    print(json.dumps({"accuracy": [run(args, seed) for seed in range(1, args.seeds + 1)]}))


if __name__ == "__main__":
    main()
