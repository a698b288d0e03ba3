"""Twenty updates of the joint objective, with transformers' networks and the reference's optimizer in NumPy.

Writes OUT/training.safetensors; run by `cargo xtask fixtures`. The optimizer follows its description:
gradients scaled to a global norm of 1, m = .9 m + .1 g, v = .999 v + .001 g^2 without bias correction,
w -= lr * (m / (sqrt(v) + 1e-6) + .01 w) where the name has no LayerNorm or bias, and
lr(t) = peak * (1 - t / T) * min(1, t / warm-up) with t counted from 0.
"""

import sys

import numpy
import torch

from common import batch, losses, pair, parameters, save

OUT = sys.argv[1]
STEPS, WARMUP, PEAK = 20, 5, 2e-3
VOCAB, EMBEDDING, DISCRIMINATOR, GENERATOR = 31, 6, (2, 12, 3, 20), (2, 8, 2, 16)

torch.manual_seed(20)
g, d = pair(VOCAB, EMBEDDING, DISCRIMINATOR, GENERATOR)
named = parameters(g, d)
tensors = {f"start/{name}": p.clone() for name, p in named.items()}
m = {name: numpy.zeros(tuple(p.shape)) for name, p in named.items()}
v = {name: numpy.zeros(tuple(p.shape)) for name, p in named.items()}
curves = {"total": [], "generator_loss": [], "discriminator_loss": [], "norm": [], "rate": []}
for step in range(STEPS):
    b = batch(VOCAB, 4, 8, (8, 8, 6, 4))
    for parameter in named.values():
        parameter.grad = None
    result = losses(g, d, b)
    result["total"].backward()
    gradients = {name: p.grad.numpy().astype(numpy.float64) for name, p in named.items()}
    norm = numpy.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    scale = 1.0 / max(norm, 1.0)
    rate = PEAK * (1 - step / STEPS) * min(1.0, step / WARMUP)
    with torch.no_grad():
        for name, parameter in named.items():
            gradient = gradients[name] * scale
            m[name] = 0.9 * m[name] + 0.1 * gradient
            v[name] = 0.999 * v[name] + 0.001 * gradient**2
            update = m[name] / (numpy.sqrt(v[name]) + 1e-6)
            weight = parameter.numpy().astype(numpy.float64)
            if "LayerNorm" not in name and "bias" not in name:
                update = update + 0.01 * weight
            parameter.copy_(torch.from_numpy(weight - rate * update))
    for name, value in (("norm", norm), ("rate", rate)):
        curves[name].append(float(value))
    for name in ("total", "generator_loss", "discriminator_loss"):
        curves[name].append(result[name].item())
    for name, tensor in b.items():
        tensors[f"step-{step:02}/{name}"] = tensor
for name, values in curves.items():
    tensors[name] = torch.tensor(values, dtype=torch.float64)
for name, parameter in named.items():
    tensors[f"end/{name}"] = parameter
save(
    f"{OUT}/training.safetensors",
    tensors,
    vocab=VOCAB,
    embedding=EMBEDDING,
    discriminator=DISCRIMINATOR,
    generator=GENERATOR,
    positions=16,
    steps=STEPS,
    warmup=WARMUP,
    peak=PEAK,
)
