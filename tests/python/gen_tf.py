"""A checkpoint with the original's names, written by TensorFlow, and the same values as safetensors.

Writes OUT/tf/model.ckpt-7.*, OUT/tf/checkpoint, OUT/tf/expected.safetensors; run by `cargo xtask fixtures`.
"""

import os
import sys

import numpy
import tensorflow as tf
from safetensors.numpy import save_file

from original import Variables, save

OUT = sys.argv[1] + "/tf"
os.makedirs(OUT, exist_ok=True)
stored = Variables(numpy.random.default_rng(5), 20, 6, 16, (2, 8, 12), (3, 4, 10)).stored(7)
save(tf, f"{OUT}/model.ckpt-7", stored)
with open(f"{OUT}/checkpoint", "w") as file:
    file.write('model_checkpoint_path: "/gone/models/electra/model.ckpt-7"\n')
save_file(stored, f"{OUT}/expected.safetensors")
