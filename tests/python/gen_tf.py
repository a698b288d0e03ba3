"""A checkpoint in the original's names, written by TensorFlow, with the same numbers as safetensors.

Writes OUT/tf/model.ckpt-7.*, OUT/tf/checkpoint, OUT/tf/expected.safetensors; run by `cargo xtask fixtures`.
"""

import json
import os
import sys

import numpy
import tensorflow as tf

OUT = sys.argv[1] + "/tf"
os.makedirs(OUT, exist_ok=True)
V, E, P = 20, 6, 16
random = numpy.random.default_rng(5)
values = {}


def variable(name, *shape):
    values[name] = random.normal(0, 0.3, shape).astype(numpy.float32)


def norm(scope, size):
    variable(f"{scope}/LayerNorm/gamma", size)
    variable(f"{scope}/LayerNorm/beta", size)


def dense(scope, inputs, outputs):
    variable(f"{scope}/kernel", inputs, outputs)
    variable(f"{scope}/bias", outputs)


def encoder(scope, layers, hidden, intermediate):
    if hidden != E:
        dense(f"{scope}/embeddings_project", E, hidden)
    for layer in range(layers):
        at = f"{scope}/encoder/layer_{layer}"
        for part in ("query", "key", "value"):
            dense(f"{at}/attention/self/{part}", hidden, hidden)
        dense(f"{at}/attention/output/dense", hidden, hidden)
        norm(f"{at}/attention/output", hidden)
        dense(f"{at}/intermediate/dense", hidden, intermediate)
        dense(f"{at}/output/dense", intermediate, hidden)
        norm(f"{at}/output", hidden)


for table, rows in (("word", V), ("position", P), ("token_type", 2)):
    variable(f"electra/embeddings/{table}_embeddings", rows, E)
norm("electra/embeddings", E)
encoder("electra", 2, 8, 12)
encoder("generator", 3, 4, 10)
dense("discriminator_predictions/dense", 8, 8)
dense("discriminator_predictions/dense_1", 8, 1)
dense("generator_predictions/dense", 4, E)
norm("generator_predictions", E)
variable("generator_predictions/output_bias", V)

stored = dict(values)
# Adam's slots and the step counter, as in a checkpoint of training.
for name in list(values)[:4]:
    stored[f"{name}/adam_m"] = numpy.zeros_like(values[name])
    stored[f"{name}/adam_v"] = numpy.ones_like(values[name])
stored["global_step"] = numpy.array(7, dtype=numpy.int64)
names = sorted(stored)
tf.raw_ops.SaveV2(
    prefix=f"{OUT}/model.ckpt-7",
    tensor_names=names,
    shape_and_slices=[""] * len(names),
    tensors=[tf.constant(stored[name]) for name in names],
)
with open(f"{OUT}/checkpoint", "w") as file:
    file.write('model_checkpoint_path: "/gone/models/electra/model.ckpt-7"\n')
# safetensors' format, by hand: this environment has TensorFlow alone.
header, offset, blobs = {}, 0, []
for name in names:
    data = stored[name]
    kind = {"float32": "F32", "int64": "I64"}[data.dtype.name]
    header[name] = {"dtype": kind, "shape": list(data.shape), "data_offsets": [offset, offset + data.nbytes]}
    offset += data.nbytes
    blobs.append(data.tobytes())
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(f"{OUT}/expected.safetensors", "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))
