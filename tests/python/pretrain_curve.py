"""An independent pre-training loop: held-out losses of replaced token detection, to compare with `electra pretrain`.

    python tests/python/pretrain_curve.py RUN/config.toml --seed 1 --out rows.jsonl

Run by `cargo xtask parity --curves`. The networks are those of transformers, with shared embeddings; order, masks, samples,
losses, initialization and optimizer are written here, from the description of the reference. Rows have the keys of the
held-out rows in metrics.jsonl. With --discriminator and --generator, it only evaluates these exported networks.
"""

import argparse
import json
import math
import os
import tomllib

import numpy
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

from shards import Split, draw, draw_held_out, held_out_uniforms

# The only values that this loop implements.
IMPLEMENTED = {
    "objective.kind": "replaced-token",
    "objective.generator": "masked-lm",
    "objective.positions": "all",
    "objective.disallow_correct": False,
    "objective.temperature": 1.0,
    "objective.masking.kind": "uniform",
    "model.initializer.kind": "reference",
    "model.embeddings.kind": "token",
    "model.sharing.kind": "tied",
    "model.positions.kind": "absolute",
    "model.block.kind": "post-norm",
    "model.attention.kind": "softmax",
    "model.feed_forward.kind": "gelu-mlp",
    "model.precision": "f32",
    "train.accumulate": 1,
    "init.from": "",
}


def read_config(path):
    with open(path, "rb") as file:
        config = tomllib.load(file)
    for key, wanted in IMPLEMENTED.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if value != wanted:
            raise SystemExit(f"{path}: {key} = {value!r}, but this loop implements only {wanted!r}")
    return config


def transformers_config(model, tower):
    sizes = model[tower]
    return ElectraConfig(
        vocab_size=model["vocab_size"],
        embedding_size=model["embedding_size"],
        max_position_embeddings=model["max_positions"],
        type_vocab_size=model["segments"],
        hidden_dropout_prob=model["dropout"],
        attention_probs_dropout_prob=model["attention_dropout"],
        layer_norm_eps=model["layer_norm_eps"],
        num_hidden_layers=sizes["layers"],
        hidden_size=sizes["hidden"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["intermediate"],
    )


def share_embeddings(g, d):
    g.electra.embeddings = d.electra.embeddings
    g.generator_lm_head.weight = g.electra.embeddings.word_embeddings.weight
    # The reference trains the embedding of [PAD] like any other.
    d.electra.embeddings.word_embeddings.padding_idx = None


def parameters(g, d):
    """Names and parameters of both networks; shared ones appear once."""
    named = {f"d.{name}": parameter for name, parameter in d.named_parameters()}
    known = {id(parameter) for parameter in named.values()}
    named |= {f"g.{name}": parameter for name, parameter in g.named_parameters() if id(parameter) not in known}
    return named


def initialize(named, config, counts):
    """The reference's initial weights: a truncated normal; Glorot where it passes no initializer; zero biases."""
    settings = config["model"]["initializer"]
    std = settings["std"]
    with torch.no_grad():
        for name, parameter in named.items():
            if name.endswith("bias"):
                parameter.zero_()
            elif "LayerNorm" in name:
                parameter.fill_(1.0)
            elif "embeddings_project" in name or "dense_prediction" in name:
                torch.nn.init.xavier_uniform_(parameter)
            else:
                torch.nn.init.trunc_normal_(parameter, 0.0, std, -2 * std, 2 * std)
        if settings["positions"] == "sinusoidal":
            # Interleaved sine and cosine of position / 10000^(i / half), with a root mean square of `std`.
            table = named["d.electra.embeddings.position_embeddings.weight"]
            positions, width = table.shape
            half = (width + 1) // 2
            angles = torch.arange(positions).double()[:, None] / 10_000 ** (torch.arange(half).double() / half)
            waves = torch.stack([angles.sin(), angles.cos()], dim=2).reshape(positions, 2 * half)[:, :width]
            table.copy_(waves * std * math.sqrt(2))
        if settings["output_bias"] == "unigram":
            frequencies = (counts + 1) / (counts + 1).sum()
            named["g.generator_lm_head.bias"].copy_(torch.from_numpy(numpy.log(frequencies)))


class Adam:
    """The reference's optimizer: no bias correction, decoupled weight decay, gradients clipped by their global norm."""

    def __init__(self, named, config):
        self.settings, self.total = config["optimizer"], config["train"]["steps"]
        self.parameters = list(named.values())
        self.decays = [not any(part in name for part in ("LayerNorm", "layer_norm", "bias")) for name in named]
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]

    def rate(self, step):
        """Warm-up times decay; both start at update 0."""
        o = self.settings
        warmup = min(1.0, step / o["warmup_steps"]) if o["warmup_steps"] else 1.0
        return o["learning_rate"] * (1 - step / self.total) ** o["decay_power"] * warmup

    @torch.no_grad()
    def step(self, step):
        o, rate = self.settings, self.rate(step)
        norm = math.sqrt(sum(parameter.grad.double().square().sum().item() for parameter in self.parameters))
        scale = o["clip_norm"] / max(norm, o["clip_norm"])
        for parameter, decays, m, v in zip(self.parameters, self.decays, self.first, self.second):
            gradient = parameter.grad * scale
            m.mul_(o["beta1"]).add_(gradient, alpha=1 - o["beta1"])
            v.mul_(o["beta2"]).add_(gradient.square(), alpha=1 - o["beta2"])
            update = m / (v.sqrt() + o["epsilon"])
            if decays:
                update += o["weight_decay"] * parameter
            parameter -= rate * update
            parameter.grad = None


def sample(logits, uniforms):
    """Tokens sampled from the softmax; with `uniforms`, by inverse transform."""
    probabilities = logits.detach().double().softmax(-1)
    if uniforms is None:
        return torch.multinomial(probabilities, 1).squeeze(-1)
    ends = probabilities.cumsum(-1)
    return torch.searchsorted(ends, uniforms[:, None] * ends[:, -1:], right=True).squeeze(-1)


def forward(g, d, batch):
    """Both networks on a batch: losses of the masked positions and of all tokens, with what metrics need."""
    b = {name: torch.from_numpy(array) for name, array in batch.items() if array is not None}
    inputs = {"attention_mask": b["attention_mask"], "token_type_ids": b["token_type_ids"]}
    hidden = g.electra(input_ids=b["generator_ids"], **inputs).last_hidden_state.flatten(0, 1)
    logits = g.generator_lm_head(g.generator_predictions(hidden[b["positions"]]))
    sampled = sample(logits, b.get("uniforms"))
    corrupted = b["input_ids"].flatten().index_put((b["positions"],), sampled).view_as(b["input_ids"])
    keep = b["attention_mask"] == 1
    replaced = (corrupted != b["input_ids"])[keep]
    d_logits = d(input_ids=corrupted, **inputs).logits[keep]
    return {
        "generator_losses": cross_entropy(logits, b["labels"], reduction="none"),
        "discriminator_losses": binary_cross_entropy_with_logits(d_logits, replaced.float(), reduction="none"),
        "correct": logits.argmax(-1) == b["labels"],
        "sampled_correct": sampled == b["labels"],
        "is_mask": b["is_mask"],
        "d_logits": d_logits,
        "replaced": replaced,
    }


def area_under_roc(scores, labels):
    """The Mann-Whitney statistic; ties count one half."""
    _, inverse, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives, negatives = labels.sum(), (~labels).sum()
    return (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives)


@torch.no_grad()
def evaluate(g, d, batches, objective):
    """The metrics of the whole held-out split, without dropout."""
    g.eval()
    d.eval()
    results = [forward(g, d, batch) for batch in batches]
    all_ = {name: torch.cat([result[name] for result in results]).double().numpy() for name in results[0]}
    is_mask, replaced, predicted = all_["is_mask"] > 0, all_["replaced"] > 0, all_["d_logits"] > 0
    generator, discriminator = all_["generator_losses"].mean(), all_["discriminator_losses"].mean()
    metrics = {
        "loss": objective["generator_weight"] * generator + objective["discriminator_weight"] * discriminator,
        "generator_loss": generator,
        "generator_loss_mask": all_["generator_losses"][is_mask].mean(),
        "generator_accuracy": all_["correct"].mean(),
        "generator_accuracy_mask": all_["correct"][is_mask].mean(),
        "generator_sampled_accuracy": all_["sampled_correct"].mean(),
        "discriminator_loss": discriminator,
        "replaced_fraction": replaced.mean(),
        "discriminator_accuracy": (predicted == replaced).mean(),
        "discriminator_precision": replaced[predicted].mean() if predicted.any() else None,
        "discriminator_recall": predicted[replaced].mean(),
        "discriminator_auc": area_under_roc(all_["d_logits"], replaced),
    }
    metrics = {name: value if value is None else float(value) for name, value in metrics.items()}
    return metrics | {"tokens": len(replaced)}


def training_batches(split, config, seed):
    """Endless masked batches; each epoch has a new order and new masks. Batches may span epochs."""
    generator, size, order = numpy.random.default_rng(seed), config["train"]["batch_size"], []
    while True:
        while len(order) < size:
            order.extend(generator.permutation(len(split.ids)))
        numbers, order = order[:size], order[size:]
        yield split.batch(numbers, draw(generator), config["objective"]["masking"])


def held_out_batches(split, config):
    size = config["train"]["batch_size"]
    numbers = numpy.arange(len(split.ids))
    groups = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    masking = config["objective"]["masking"]
    return [split.batch(group, draw_held_out, masking, held_out_uniforms) for group in groups]


def pretrain(config, seed, held_out, write):
    model, objective, train = config["model"], config["objective"], config["train"]
    folder, every = config["data"]["shards"], config["evaluate"]["every"]
    with open(os.path.join(folder, "token_counts.json"), encoding="utf-8") as file:
        counts = numpy.array(json.load(file), dtype=numpy.float64)
    torch.manual_seed(seed)
    d = ElectraForPreTraining(transformers_config(model, "discriminator"))
    g = ElectraForMaskedLM(transformers_config(model, "generator"))
    share_embeddings(g, d)
    named = parameters(g, d)
    initialize(named, config, counts)
    optimizer = Adam(named, config)
    write(0, evaluate(g, d, held_out, objective))
    batches = training_batches(Split(folder, "train"), config, seed)
    for step in range(train["steps"]):
        g.train()
        d.train()
        result = forward(g, d, next(batches))
        # The mean as the reference computes it.
        losses = [result[name] for name in ("generator_losses", "discriminator_losses")]
        generator, discriminator = [values.sum() / (len(values) + 1e-6) for values in losses]
        total = objective["generator_weight"] * generator + objective["discriminator_weight"] * discriminator
        total.backward()
        optimizer.step(step)
        done = step + 1
        if done % every == 0 or done == train["steps"]:
            write(done, evaluate(g, d, held_out, objective))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="the config.toml of a run, or a preset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True, help="JSON lines")
    parser.add_argument("--discriminator", help="only evaluate this exported network, with --generator")
    parser.add_argument("--generator")
    args = parser.parse_args()
    config = read_config(args.config)
    held_out = held_out_batches(Split(config["data"]["shards"], "held_out"), config)
    with open(args.out, "w", encoding="utf-8") as file:

        def write(step, metrics):
            file.write(json.dumps({"kind": "evaluate", "step": step} | metrics) + "\n")
            file.flush()

        if args.discriminator:
            d = ElectraForPreTraining.from_pretrained(args.discriminator)
            g = ElectraForMaskedLM.from_pretrained(args.generator)
            write(config["train"]["steps"], evaluate(g, d, held_out, config["objective"]))
        else:
            pretrain(config, args.seed, held_out, write)


if __name__ == "__main__":
    main()
