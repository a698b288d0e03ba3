"""Compares this project with TensorFlow: imports checkpoints of random sizes, and exports one that TensorFlow reads.

Run by `cargo xtask parity --tensorflow` after parity.py, whose last run it exports.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys

import numpy
import tensorflow as tf
from safetensors.numpy import load_file

from original import Variables, save


def electra(binary, *command):
    done = subprocess.run([binary, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"electra {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def equal(what, found, values, theirs):
    """Checks that each tensor in `found` (with Hugging Face names) is bitwise equal to its variable."""
    if set(found) != set(theirs):
        sys.exit(f"{what}: different names: {sorted(set(found) ^ set(theirs))[:8]}")
    for name, (original, transposed) in theirs.items():
        value = values(original)
        value = value.T if transposed else value
        if found[name].shape != value.shape or not numpy.array_equal(found[name], value):
            sys.exit(f"{what}: {name} differs from {original}")


def sizes(rng):
    # The original has hidden / 64 heads, and at least one.
    return rng.randint(1, 4), rng.choice([rng.randint(2, 60), 128]), rng.randint(2, 50)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--electra", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", type=int, required=True)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    for _ in range(args.models):
        folder = f"{args.work}/tf"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        vocab, positions = rng.randint(8, 300), rng.randint(4, 64)
        shape = Variables(numpy.random.default_rng(rng.randint(0, 10**9)), vocab, rng.randint(2, 40), positions, sizes(rng), sizes(rng))
        save(tf, f"{folder}/model.ckpt-900", shape.stored(900))
        with open(f"{folder}/checkpoint", "w") as file:
            file.write('model_checkpoint_path: "model.ckpt-900"\n')
        with open(f"{folder}/vocab.txt", "w") as file:
            file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(vocab - 5)]) + "\n")
        electra(args.electra, "import", "--from", "tf", folder, "--out", f"{folder}/imported")
        for network, path in (("discriminator", "imported"), ("generator", "imported/generator")):
            found = load_file(f"{folder}/{path}/model.safetensors")
            equal(f"import of the {network}", found, shape.values.__getitem__, shape.theirs[network])
    print(f"TensorFlow {tf.__version__}: {args.models} checkpoints are imported bitwise equal", flush=True)

    run = f"{args.work}/run"
    shutil.rmtree(f"{run}/tf", ignore_errors=True)
    electra(args.electra, "export", f"{run}/run", "--format", "tf", "--out", f"{run}/tf")
    reader = tf.train.load_checkpoint(f"{run}/tf")
    ours = {network: load_file(f"{run}/{network}/model.safetensors") for network in ("discriminator", "generator")}
    vocab, embedding = ours["discriminator"]["electra.embeddings.word_embeddings.weight"].shape
    positions = ours["discriminator"]["electra.embeddings.position_embeddings.weight"].shape[0]

    def tower(network):
        layers = sum(name.endswith("output.dense.bias") and "attention" not in name for name in ours[network])
        intermediate, hidden = ours[network]["electra.encoder.layer.0.intermediate.dense.weight"].shape
        return layers, hidden, intermediate

    shape = Variables(numpy.random.default_rng(0), vocab, embedding, positions, tower("discriminator"), tower("generator"))
    names = set(reader.get_variable_to_shape_map()) - {"global_step"}
    if names != set(shape.values):
        sys.exit(f"export: names differ from those of the original: {sorted(names ^ set(shape.values))[:8]}")
    for network, found in ours.items():
        equal(f"export of the {network}", found, reader.get_tensor, shape.theirs[network])
    print("TensorFlow reads an exported run bitwise equal, with the original's names", flush=True)


if __name__ == "__main__":
    main()
