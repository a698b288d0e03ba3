"""Times fine-tuning and prediction with transformers in PyTorch, the peer of `electra finetune` and `electra predict`,
and prediction with ONNX Runtime.

Run by `cargo xtask bench --peer finetune-*|predict*`; prints one JSON object. The loop is that of transformers' Trainer
without its bookkeeping: batches padded to the longest, fused AdamW, linear schedule, clipping. `--autocast` uses
bfloat16. `export` writes the model as ONNX; ONNX Runtime predicts the same batches with the same number of threads as
PyTorch and all graph optimizations. SQuAD's windows of 384 tokens are made as in transformers' run_qa.py, before the
timer starts.
"""

import argparse
import contextlib
import csv
import glob
import io
import json
import math
import os
import random
import resource
import time

import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

TASK = """name = "{name}"
kind = "classification"
text_a = "a"
{text_b}label = "label"
metric = "accuracy"

[files]
train = "train.tsv"
dev = "dev.tsv"
"""
SQUAD_TASK = """name = "squad"
kind = "squad"
version = "1.1"
metric = "f1"

[files]
train = "train.json"
dev = "dev.json"
"""
# SQuAD: tokens per window, and between the starts of windows.
WINDOW, STEP = 384, 128
# Inputs of the exported network.
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
# Folder, text columns, label column.
GLUE = {"sst2": ("SST-2", ["sentence"], "label"), "mrpc": ("MRPC", ["#1 String", "#2 String"], "Quality")}


def rows(path, task):
    _, texts, label = GLUE[task]
    with open(path, encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield [row[text].strip() for text in texts], row[label]


def prepare(args):
    """Writes a task folder with `--count` training rows, sampled with a fixed seed."""
    os.makedirs(args.folder, exist_ok=True)
    (prepare_squad if args.task == "squad" else prepare_glue)(args)


def prepare_glue(args):
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


def prepare_squad(args):
    with open(f"{args.folder}/task.toml", "w") as file:
        file.write(SQUAD_TASK)
    for split, count in (("train", args.count), ("dev", 16)):
        sources = sorted(glob.glob(f"{args.data}/{split}*-v1.1.json"))
        if not sources:
            raise SystemExit(f"{args.data}: no {split}*-v1.1.json")
        found = [(paragraph["context"], question) for paragraph, question in questions(sources[0])]
        random.Random(1).shuffle(found)
        paragraphs = [{"context": context, "qas": [question]} for context, question in found[:count]]
        with open(f"{args.folder}/{split}.json", "w", encoding="utf-8") as file:
            json.dump({"version": "1.1", "data": [{"title": "drawn", "paragraphs": paragraphs}]}, file)


def questions(path):
    with open(path, encoding="utf-8") as file:
        for article in json.load(file)["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield paragraph, question


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield [row[c] for c in ("a", "b") if c in row], int(row["label"])


def encode(tokenizer, batch):
    texts = list(zip(*(texts for texts, _ in batch)))
    return tokenizer(*map(list, texts), padding="longest", truncation=True, max_length=128, return_tensors="pt")


def windows(args, tokenizer):
    """SQuAD's windows as in transformers' run_qa.py; the same windows as in `electra finetune`."""
    for paragraph, question in questions(f"{args.folder}/train.json"):
        context, answer = paragraph["context"], question["answers"][0]
        prefix = len(tokenizer(question["question"])["input_ids"])
        encoded = tokenizer(
            question["question"],
            context,
            truncation="only_second",
            max_length=WINDOW,
            stride=WINDOW - prefix - 1 - STEP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        first, last = answer["answer_start"], answer["answer_start"] + len(answer["text"]) - 1
        for window, offsets in enumerate(encoded["offset_mapping"]):
            inside = [i for i, part in enumerate(encoded.sequence_ids(window)) if part == 1]
            start = [i for i in inside if offsets[i][0] <= first < offsets[i][1]]
            end = [i for i in inside if offsets[i][0] <= last < offsets[i][1]]
            feature = {name: encoded[name][window] for name in INPUTS}
            whole = start and end
            yield feature, (start[0] if whole else 0, end[0] if whole else 0)


def batches(args, tokenizer):
    """Batches of rows, each with a function that collates it: inputs padded to the longest, and labels."""
    if args.task == "squad":
        data = list(windows(args, tokenizer))

        def collate(batch):
            inputs = tokenizer.pad([feature for feature, _ in batch], padding="longest", return_tensors="pt")
            starts, ends = torch.tensor([span for _, span in batch]).unbind(1)
            return {**inputs, "start_positions": starts, "end_positions": ends}
    else:
        data = list(read(f"{args.folder}/train.tsv"))

        def collate(batch):
            return {**encode(tokenizer, batch), "labels": torch.tensor([label for _, label in batch])}

    random.Random(2).shuffle(data)
    return [(data[i : i + 32], collate) for i in range(0, len(data), 32)]


def finetune(args):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    kind = AutoModelForQuestionAnswering if args.task == "squad" else AutoModelForSequenceClassification
    model = kind.from_pretrained(args.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, eps=1e-6, weight_decay=0.0, fused=True)
    work = batches(args, tokenizer)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(work))
    start, tokens = None, 0
    for step, (batch, collate) in enumerate(work):
        if step == 2:
            start = time.perf_counter()
        inputs = collate(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.autocast):
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        tokens += inputs["attention_mask"].sum().item()
    seconds = time.perf_counter() - start
    examples = sum(len(batch) for batch, _ in work[2:])
    report(examples / seconds, {"tokens_per_example": tokens / sum(len(batch) for batch, _ in work)})


def classifier(args):
    """A function from encoded texts to logits, in PyTorch or, with `--onnx`, in ONNX Runtime."""
    if not args.onnx:
        model = AutoModelForSequenceClassification.from_pretrained(args.model).eval()
        return lambda inputs: model(**inputs).logits
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {n: inputs[n].numpy() for n in INPUTS})[0])


def logits(run, tokenizer, data):
    return torch.cat([run(encode(tokenizer, data[i : i + 32])) for i in range(0, len(data), 32)])


def predict(args):
    """Batches of 32 in the order of the file, padded to the longest."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    run = classifier(args)
    data = list(read(f"{args.folder}/train.tsv"))
    with torch.inference_mode():
        run(encode(tokenizer, data[:32]))
        start = time.perf_counter()
        for i in range(0, len(data), 32):
            run(encode(tokenizer, data[i : i + 32])).argmax(-1).tolist()
    report(len(data) / (time.perf_counter() - start))


def pipeline(args):
    """Streams the texts through transformers' pipeline with batches of 32."""
    import transformers

    classify = transformers.pipeline("text-classification", model=args.model, device="cpu", batch_size=32)
    texts = [texts[0] for texts, _ in read(f"{args.folder}/train.tsv")]
    for _ in classify(text for text in texts[:32]):
        pass
    start = time.perf_counter()
    answers = sum(1 for _ in classify(text for text in texts))
    report(answers / (time.perf_counter() - start))


def export(args):
    """Writes the model as ONNX, with dynamic batch size and length."""
    model = AutoModelForSequenceClassification.from_pretrained(args.model).eval()
    inputs = encode(AutoTokenizer.from_pretrained(args.model), list(read(f"{args.folder}/train.tsv"))[:3])

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, token_type_ids, attention_mask):
            return self.model(input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask).logits

    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            Logits(),
            tuple(inputs[name] for name in INPUTS),
            args.onnx,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=[dynamic] * len(INPUTS),
            dynamo=True,
        )
    print(json.dumps({"bytes": os.path.getsize(args.onnx)}))


def check(args):
    """Checks that logits of 20 batches are equal to 1e-4: the log-odds of `electra predict`'s probabilities and, with
    `--onnx`, the logits of ONNX Runtime."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    data = list(read(f"{args.folder}/train.tsv"))
    with torch.inference_mode():
        theirs = logits(classifier(argparse.Namespace(model=args.model, onnx=None)), tokenizer, data[:640])
        onnx = logits(classifier(args), tokenizer, data[:640]) if args.onnx else None
    with open(args.predictions, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if len(rows) != len(data):
        raise SystemExit(f"{len(rows)} predictions for {len(data)} rows")
    odds = torch.tensor([math.log(float(row["1"])) - math.log(float(row["0"])) for row in rows[: len(theirs)]])
    differences = {"electra": (odds - (theirs[:, 1] - theirs[:, 0])).abs().max().item()}
    if onnx is not None:
        differences["onnxruntime"] = (onnx - theirs).abs().max().item()
    for name, difference in differences.items():
        if not difference <= 1e-4:
            raise SystemExit(f"logits of {name} differ from those of transformers by {difference}")
    print(json.dumps({"largest_difference": differences}))


def report(speed, more={}):
    print(json.dumps({
        **more,
        "examples_per_second": speed,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


MODES = {
    "prepare": prepare,
    "finetune": finetune,
    "export": export,
    "check": check,
    "predict": predict,
    "pipeline": pipeline,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--task", choices=[*GLUE, "squad"])
    parser.add_argument("--data")
    parser.add_argument("--count", type=int)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--model")
    parser.add_argument("--autocast", action="store_true", help="finetune: use bfloat16")
    parser.add_argument("--onnx", help="the ONNX file that export writes and predict and check run")
    parser.add_argument("--predictions", help="check: the output of `electra predict --probabilities`")
    args = parser.parse_args()
    MODES[args.mode](args)


if __name__ == "__main__":
    main()
