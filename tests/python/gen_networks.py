"""Golden values of both networks: hidden states, logits, losses and all gradients.

Writes OUT/networks-*.safetensors; run by `cargo xtask fixtures`.
"""

import sys

import torch

from common import batch, losses, pair, parameters, save

OUT = sys.argv[1]

# vocabulary, embedding size, discriminator, generator: (layers, hidden, heads, intermediate); embeddings
CASES = {
    "projected": (31, 6, (2, 12, 3, 20), (3, 8, 1, 10), "tied"),
    "unprojected": (29, 8, (3, 8, 1, 12), (2, 8, 2, 16), "tied"),
    "untied": (23, 6, (1, 8, 2, 10), (1, 6, 1, 8), "untied"),
}
# rows, length, tokens per row
BATCHES = {"padded": (3, 7, (7, 5, 3)), "single": (1, 5, (5,)), "full": (5, 9, (9,) * 5)}

for case, (vocab, embedding, discriminator, generator, sharing) in CASES.items():
    torch.manual_seed(len(case))
    g, d = pair(vocab, embedding, discriminator, generator, sharing=sharing)
    named = parameters(g, d)
    tensors = {f"weights/{name}": p for name, p in named.items()}
    for label, (rows, length, lengths) in BATCHES.items():
        b = batch(vocab, rows, length, lengths)
        for parameter in named.values():
            parameter.grad = None
        result = losses(g, d, b)
        result["total"].backward()
        for name, tensor in b.items():
            tensors[f"{label}/{name}"] = tensor
        for name, value in result.items():
            if isinstance(value, tuple):
                for layer, state in enumerate(value):
                    tensors[f"{label}/{name}/{layer}"] = state
            else:
                tensors[f"{label}/{name}"] = value
        for name, parameter in named.items():
            tensors[f"{label}/gradient/{name}"] = parameter.grad
    save(
        f"{OUT}/networks-{case}.safetensors",
        tensors,
        vocab=vocab,
        embedding=embedding,
        discriminator=discriminator,
        generator=generator,
        positions=16,
        sharing=sharing,
    )
