"""Compares this project with transformers: import and export of random models, exports of runs, and tokens of real text.

Run by `cargo xtask parity`. Each check prints its largest difference. The first failure stops the run; its seed is
printed, to reproduce it.
"""

import argparse
import json
import lzma
import os
import random
import shutil
import subprocess
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    BertTokenizer,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraModel,
)
from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer, WordpieceTokenizer, load_vocab

from common import bert_vocab, scatter

TOLERANCE = 1e-5
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TASK = """name = "parity"
kind = "{kind}"
text_a = "text"
label = "label"
metric = "accuracy"

[files]
train = "train.tsv"
dev = "train.tsv"
"""
worst = {}
args = None


def electra(*command):
    """Runs the binary; an error includes its output."""
    done = subprocess.run([args.electra, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"electra {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def close(kind, ours, theirs):
    """Checks the largest difference, relative to the largest value if that is above 1."""
    if ours.shape != theirs.shape:
        sys.exit(f"{kind}: shape {list(ours.shape)}, transformers has {list(theirs.shape)}")
    error = ((ours - theirs).abs().max() / max(1.0, theirs.abs().max().item())).item()
    if not error <= TOLERANCE:
        sys.exit(f"{kind}: differs by {error:.2e}, above the tolerance of {TOLERANCE:.0e}")
    worst[kind] = max(worst.get(kind, 0.0), error)


def empty_folder(name):
    folder = f"{args.work}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tokenizer_files(folder, size):
    """Writes a vocabulary of `size` synthetic tokens, in transformers' format."""
    os.makedirs(folder, exist_ok=True)
    tokens = SPECIAL + [f"w{i}" for i in range(size - len(SPECIAL))]
    BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}).save_pretrained(folder)


def batch(rng, vocab, positions):
    rows, length = rng.randint(1, 5), rng.randint(3, positions)
    ids = torch.randint(0, vocab, (rows, length))
    keep = torch.ones_like(ids)
    segments = torch.zeros_like(ids)
    for row in range(rows):
        n = rng.randint(2, length)
        keep[row, n:] = 0
        segments[row, rng.randint(1, n) : n] = 1
    return {"input_ids": ids, "attention_mask": keep, "token_type_ids": segments}


def forward_ours(folder, inputs):
    save_file(inputs, f"{args.work}/in.safetensors")
    out = f"{args.work}/out.safetensors"
    electra("forward", "--model", folder, "--input", f"{args.work}/in.safetensors", "--output", out, "--device", "cpu")
    return load_file(out)


def forward_theirs(model, inputs):
    model.eval()
    with torch.no_grad():
        encoder = getattr(model, "electra", getattr(model, "bert", model))
        hidden = encoder(**inputs).last_hidden_state
        out = model(**inputs)
        logits = getattr(out, "logits", getattr(out, "prediction_logits", None))
    return hidden, logits


def same_network(kind, folder, model, inputs):
    """Checks that `electra forward` with `folder` equals `model`, except at padding."""
    ours, (hidden, logits) = forward_ours(folder, inputs), forward_theirs(model, inputs)
    keep = inputs["attention_mask"] == 1
    close(f"{kind}, hidden states", ours["last_hidden_state"][keep], hidden[keep])
    if type(model).__name__ in WITH_HEAD:
        close(f"{kind}, logits", ours["logits"][keep], logits[keep])


def loads_whole(kind, auto, folder):
    """Checks that AutoModel* loads the folder without missing or unexpected weights."""
    model, info = auto.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(trouble):
            sys.exit(f"{kind}: {auto.__name__} reports {trouble}: {sorted(info[trouble])[:5]}")
    return model


ELECTRA_CLASSES = {
    "ElectraForPreTraining": (ElectraForPreTraining, AutoModelForPreTraining),
    "ElectraForMaskedLM": (ElectraForMaskedLM, AutoModelForMaskedLM),
    "ElectraModel": (ElectraModel, AutoModel),
    "ElectraForSequenceClassification": (ElectraForSequenceClassification, AutoModelForSequenceClassification),
}
# Classes whose head `electra forward` computes. Classifiers are compared with `electra predict`.
WITH_HEAD = {"ElectraForPreTraining", "ElectraForMaskedLM", "BertForPreTraining", "BertForMaskedLM"}
BERT_CLASSES = {"BertForPreTraining": BertForPreTraining, "BertForMaskedLM": BertForMaskedLM, "BertModel": BertModel}
FORMS = ("whole", "sharded", "bin", "bin-sharded")


def random_sizes(rng):
    heads, hidden = rng.randint(1, 6), 0
    hidden = heads * rng.randint(2, 16)
    return {
        "vocab_size": rng.randint(12, 600),
        "hidden_size": hidden,
        "num_hidden_layers": rng.randint(1, 5),
        "num_attention_heads": heads,
        "intermediate_size": rng.randint(1, 80),
        "max_position_embeddings": rng.randint(4, 64),
        "type_vocab_size": 2,
        "hidden_dropout_prob": rng.choice([0.0, 0.1]),
        "attention_probs_dropout_prob": rng.choice([0.0, 0.1]),
    }


def save_theirs(model, folder, form):
    """Saves a model in one of the formats of transformers and torch."""
    if form in ("whole", "sharded"):
        limit = {"whole": "5GB", "sharded": "10KB"}[form]
        model.save_pretrained(folder, max_shard_size=limit)
        return
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    state = model.state_dict()
    if form == "bin":
        torch.save(state, f"{folder}/pytorch_model.bin")
        return
    names = list(state)
    half = len(names) // 2
    parts = {"pytorch_model-00001-of-00002.bin": names[:half], "pytorch_model-00002-of-00002.bin": names[half:]}
    for file, part in parts.items():
        torch.save({name: state[name] for name in part}, f"{folder}/{file}")
    weight_map = {name: file for file, part in parts.items() for name in part}
    with open(f"{folder}/pytorch_model.bin.index.json", "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)


def imports(rng):
    """Imports a random model of transformers, and loads the result with transformers again."""
    theirs, made = empty_folder("theirs"), empty_folder("imported")
    sizes, form = random_sizes(rng), rng.choice(FORMS)
    if rng.random() < 0.25:
        name = rng.choice(list(BERT_CLASSES))
        config = BertConfig(**sizes)
        model = BERT_CLASSES[name](config)
    else:
        name = rng.choice(list(ELECTRA_CLASSES))
        sizes["embedding_size"] = rng.choice([sizes["hidden_size"], rng.randint(2, 40)])
        config = ElectraConfig(**sizes, num_labels=rng.randint(2, 5))
        model = ELECTRA_CLASSES[name][0](config)
    model.config._attn_implementation = "eager"
    scatter(model, std=0.15)
    tokenizer_files(theirs, sizes["vocab_size"])
    save_theirs(model, theirs, form)
    inputs = batch(rng, sizes["vocab_size"], sizes["max_position_embeddings"])
    electra("import", "--from", "hf", theirs, "--out", made)
    same_network(f"import of {name}", made, model, inputs)
    if name in ELECTRA_CLASSES:
        again = loads_whole(f"import of {name}", ELECTRA_CLASSES[name][1], made)
        keep = inputs["attention_mask"] == 1
        for what, ours, original in zip(("hidden states", "logits"), forward_theirs(again, inputs), forward_theirs(model, inputs)):
            if original is not None:
                ours, original = (x[keep] if x.shape[:2] == keep.shape else x for x in (ours, original))
                close(f"import of {name}, read by transformers, {what}", ours, original)
    return f"{name} ({form})"


def sentence(rng, words):
    return " ".join(rng.choice(words) for _ in range(rng.randint(4, 14))) + "."


def exports(rng):
    """Exports the networks of a run of random sizes, and classifiers fine-tuned from it."""
    folder = empty_folder("run")
    os.makedirs(folder)
    words = ["".join(rng.choice("abcdeéio") for _ in range(rng.randint(2, 7))) for _ in range(60)]
    with open(f"{folder}/corpus.txt", "w", encoding="utf-8") as file:
        for _ in range(300):
            file.write(sentence(rng, words) + ("\n" if rng.random() < 0.7 else "\n\n"))
    length = rng.randint(16, 40)
    electra("vocab", "train", "--corpus", f"{folder}/corpus.txt", "--size", rng.randint(60, 120), "--out", f"{folder}/vocab.txt")
    electra("shards", "build", "--corpus", f"{folder}/corpus.txt", "--vocab", f"{folder}/vocab.txt",
            "--seq-len", length, "--held-out", 0.1, "--out", f"{folder}/shards")
    with open(f"{folder}/vocab.txt", encoding="utf-8") as file:
        vocab = sum(1 for _ in file)

    def tower(network):
        heads = rng.randint(1, 4)
        return {"layers": rng.randint(1, 3), "heads": heads, "hidden": heads * rng.randint(2, 12), "intermediate": rng.randint(4, 50)}

    settings = {
        "data.shards": f"{folder}/shards", "data.sequence_length": length, "train.steps": 3, "train.batch_size": 4,
        "train.seed": rng.randint(0, 10**6), "train.device": "cpu", "evaluate.every": 0, "checkpoint.every": 3,
        "optimizer.warmup_steps": 1, "optimizer.learning_rate": 0.01, "model.vocab_size": vocab,
        "model.embedding_size": rng.randint(2, 30), "model.max_positions": length + rng.randint(0, 20),
        "model.initializer.std": 0.2, "model.sharing.kind": "tied",
    }
    for network in ("discriminator", "generator"):
        settings |= {f"model.{network}.{key}": value for key, value in tower(network).items()}
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    electra("pretrain", f"{args.configs}/pretrain-tiny.toml", *overrides, "--out", f"{folder}/run")
    inputs = batch(rng, vocab, length)
    parts = {"discriminator": AutoModelForPreTraining, "generator": AutoModelForMaskedLM, "encoder": AutoModel}
    for part, auto in parts.items():
        out = f"{folder}/{part}"
        electra("export", f"{folder}/run", "--part", part, "--out", out)
        same_network(f"export of the {part}", out, loads_whole(part, auto, out), inputs)
        tokenizer = AutoTokenizer.from_pretrained(out)
        if tokenizer.mask_token_id is None or len(tokenizer) != vocab:
            sys.exit(f"export of the {part}: AutoTokenizer has {len(tokenizer)} tokens, expected {vocab}; mask {tokenizer.mask_token}")

    for kind, activation in (("classification", lambda logits: logits.softmax(-1)), ("multi-label", torch.sigmoid)):
        classifier_of(f"{folder}/{kind}", f"{folder}/discriminator", rng, words, length, kind, activation)


def classifier_of(folder, model, rng, words, length, kind, activation):
    """Checks that transformers loads a fine-tuned classifier and predicts the same."""
    os.makedirs(f"{folder}/task")
    with open(f"{folder}/task/task.toml", "w") as file:
        file.write(TASK.format(kind=kind))
    with open(f"{folder}/task/train.tsv", "w", encoding="utf-8") as file:
        file.write("text\tlabel\n")
        for i in range(24):
            file.write(f"{sentence(rng, words)}\t{'ab'[i % 2]}\n")
    electra("finetune", "--task", f"{folder}/task", "--model", model,
            "--config", f"{args.configs}/finetune-tiny.toml", "--set", "head.kind=hf", "--set", "head.pooling=first",
            "--set", "train.epochs=1", "--set", "train.device=cpu", "--set", f"train.max_length={length}",
            "--out", f"{folder}/finetuned")
    electra("export", f"{folder}/finetuned", "--out", f"{folder}/classifier")
    electra("predict", "--model", f"{folder}/classifier", "--input", f"{folder}/task/train.tsv",
            "--output", f"{folder}/predictions.tsv", "--probabilities", "--device", "cpu")
    classifier = loads_whole(kind, AutoModelForSequenceClassification, f"{folder}/classifier").eval()
    tokenizer = AutoTokenizer.from_pretrained(f"{folder}/classifier")
    with open(f"{folder}/task/train.tsv", encoding="utf-8") as file:
        texts = [line.split("\t")[0] for line in file.read().splitlines()[1:]]
    with open(f"{folder}/predictions.tsv", encoding="utf-8") as file:
        header, *rows = [line.split("\t") for line in file.read().splitlines()]
    with torch.no_grad():
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        theirs = activation(classifier(**encoded).logits)
    columns = [header.index(classifier.config.id2label[i]) for i in range(2)]
    ours = torch.tensor([[float(row[column]) for column in columns] for row in rows])
    close(f"export of a classifier ({kind}), probabilities", ours, theirs)


def lines(paths):
    """The lines of text files, JSON-lines corpora and TSV files."""
    for path in paths:
        files = [path] if os.path.isfile(path) else sorted(os.path.join(d, f) for d, _, names in os.walk(path) for f in names)
        for name in files:
            opener = lzma.open if name.endswith(".xz") else open
            plain = name.removesuffix(".xz")
            if not plain.endswith((".txt", ".jsonl", ".tsv")):
                continue
            with opener(name, "rt", encoding="utf-8", newline="\n") as file:
                for line in file:
                    text = json.loads(line)["text"] if plain.endswith(".jsonl") else line
                    yield from (part for part in text.splitlines() if part.strip())


def sampled(rng, paths, count):
    """Samples `count` lines uniformly (Vitter's algorithm R)."""
    kept = []
    for i, line in enumerate(lines(paths)):
        if len(kept) < count:
            kept.append(line)
        elif (j := rng.randint(0, i)) < count:
            kept[j] = line
    return kept


def by_the_rules(vocab, lower, accents):
    """Ids from BERT's rules in plain Python, as in the reference and in transformers before version 5."""
    ids = load_vocab(vocab)
    basic = BasicTokenizer(do_lower_case=lower, strip_accents=accents)
    pieces = WordpieceTokenizer(vocab=ids, unk_token="[UNK]", max_input_chars_per_word=100)
    return lambda text: [ids[piece] for word in basic.tokenize(text) for piece in pieces.tokenize(word)]


def tokens(rng, vocab, paths, count):
    """Compares ids and character offsets of real lines, cased and uncased, with all three settings for accents."""
    text = sampled(rng, paths, count)
    if len(text) < count:
        sys.exit(f"tokens: --text has {len(text)} lines, fewer than --lines {count}")
    folder = empty_folder("tokens")
    os.makedirs(folder)
    with open(f"{folder}/lines.txt", "w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in text)
    # For both, only \n ends a line.
    with open(f"{folder}/lines.txt", encoding="utf-8", newline="\n") as file:
        text = [line.rstrip("\n").removesuffix("\r") for line in file]
    compared = 0
    for lower in (True, False):
        for accents in (None, True, False):
            model = empty_folder(f"tokens/{lower}-{accents}")
            theirs = BertTokenizer(vocab=vocab, do_lower_case=lower, strip_accents=accents)
            theirs.save_pretrained(model)
            electra("vocab", "encode", "--model", model, "--input", f"{folder}/lines.txt", "--output", f"{folder}/ids.jsonl",
                    "--overwrite")
            # Encode special tokens in a text as ordinary text, as the reference does.
            theirs.backend_tokenizer.encode_special_tokens = True
            encodings = theirs.backend_tokenizer.encode_batch(text, add_special_tokens=False)
            rules = by_the_rules(vocab, lower, accents)
            with open(f"{folder}/ids.jsonl", encoding="utf-8") as file:
                rows = [json.loads(line) for line in file]
            if len(rows) != len(text):
                sys.exit(f"tokens: {len(rows)} rows for {len(text)} lines")
            for line, row, encoding in zip(text, rows, encodings):
                offsets = [list(pair) for pair in encoding.offsets]
                if row["ids"] != encoding.ids or row["offsets"] != offsets:
                    sys.exit(f"tokens (lower case {lower}, strip accents {accents}) differ: {line!r}\n{row}\n{encoding.ids}\n{offsets}")
                by_rules = rules(line)
                if row["ids"] != by_rules:
                    sys.exit(f"tokens (lower case {lower}, strip accents {accents}) differ from the rules: {line!r}\n{row}\n{by_rules}")
                compared += 1
    print(f"tokens: ids and offsets of {len(text)} lines x 6 settings are equal ({compared} comparisons)", flush=True)


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("--electra", required=True)
    parser.add_argument("--configs", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--vocab", default=bert_vocab())
    parser.add_argument("--text", nargs="+", required=True)
    args = parser.parse_args()
    if args.vocab is None:
        sys.exit("no vocabulary of bert-base-uncased found: use --vocab FILE")
    print(f"seed {args.seed}", flush=True)
    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    transformers.utils.logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True)
    os.makedirs(args.work, exist_ok=True)
    seen = {}
    for _ in range(args.models):
        kind = imports(rng)
        seen[kind] = seen.get(kind, 0) + 1
    print(f"imports: {args.models} random models of {len(seen)} kinds and formats compute the same", flush=True)
    for _ in range(args.runs):
        exports(rng)
    print(f"exports: {args.runs} random runs, 4 networks each, load without a warning and compute the same", flush=True)
    tokens(rng, args.vocab, args.text, args.lines)
    for kind, error in sorted(worst.items()):
        print(f"  {kind:<55} {error:.1e}")


if __name__ == "__main__":
    main()
