"""Times encoding of a corpus with Python's `tokenizers`: the peer of `electra shards build`.

Run by `cargo xtask bench --peer shards`; prints one JSON object. Texts are read and decompressed before the timer starts;
nothing is packed or written.
"""

import argparse
import json
import lzma
import os
import resource
import time

os.environ["TOKENIZERS_PARALLELISM"] = "true"
from transformers import BertTokenizer


def texts(path):
    files = [path] if os.path.isfile(path) else sorted(os.path.join(d, f) for d, _, names in os.walk(path) for f in names)
    for name in files:
        opener = lzma.open if name.endswith(".xz") else open
        plain = name.removesuffix(".xz")
        if name.endswith((".gz", ".zst", ".parquet")):
            raise SystemExit(f"{name}: the peer only reads .txt and .jsonl, optionally with .xz: use such a corpus")
        if not plain.endswith((".txt", ".jsonl")):
            continue
        with opener(name, "rt", encoding="utf-8") as file:
            if plain.endswith(".jsonl"):
                for line in file:
                    yield from (part for part in json.loads(line)["text"].split("\n\n") if part.strip())
            else:
                yield from (part for part in file.read().split("\n\n") if part.strip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--vocab", required=True)
    args = parser.parse_args()
    tokenizer = BertTokenizer(vocab=args.vocab).backend_tokenizer
    paragraphs = list(texts(args.corpus))
    size = sum(len(text.encode()) for text in paragraphs)
    tokens, start = 0, time.perf_counter()
    for i in range(0, len(paragraphs), 4096):
        tokens += sum(len(e.ids) for e in tokenizer.encode_batch_fast(paragraphs[i : i + 4096], add_special_tokens=False))
    seconds = time.perf_counter() - start
    print(json.dumps({
        "bytes_per_second": size / seconds,
        "seconds": seconds,
        "tokens": tokens,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


if __name__ == "__main__":
    main()
