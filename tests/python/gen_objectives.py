"""Golden values of the paper's objectives on transformers' networks: samples, losses and all gradients.

Writes OUT/objective-*.safetensors; run by `cargo xtask fixtures`. The objectives follow their definitions in the ELECTRA
paper (arXiv:2003.10555); `two-tower` and `electric` those of Electric (arXiv:2012.08561); `gdes` that of DeBERTaV3
(arXiv:2111.09543).
"""

import math
import sys

import torch
from torch import nn
from torch.nn import functional
from transformers import ElectraForMaskedLM, ElectraForPreTraining
from transformers.models.electra.modeling_electra import ElectraDiscriminatorPredictions

from common import batch, config, corrupt, mean, save, scatter

OUT = sys.argv[1]
# (layers, hidden, heads, intermediate)
VOCAB, POSITIONS, DISCRIMINATOR, GENERATOR = 19, 8, (2, 8, 2, 12), (2, 6, 3, 10)
SPECIAL = torch.tensor([0, 2, 3, 4])  # [PAD] [CLS] [SEP] [MASK], as in `batch`
MASK_RATE = 0.25  # of `electric`; `batch` has its own
# Frequencies in a corpus. Those of the special tokens and of two words are 0.
UNIGRAM_COUNTS = 3 * ((torch.arange(VOCAB) - 4).clamp(min=0) % 6)

# rows, length, tokens per row
BATCHES = {"padded": (3, 7, (7, 5, 3)), "full": (4, 6, (6,) * 4)}


class Difference(nn.Module):
    """An embedding table: another table plus a trained difference. It passes no gradient to the other table."""

    def __init__(self, other):
        super().__init__()
        self.table = lambda: other.weight.detach()
        self.delta = nn.Parameter(torch.empty_like(other.weight))

    def forward(self, ids):
        return functional.embedding(ids, self.table() + self.delta)


def build(objective, sharing, embedding, generator):
    """Networks with random variables. A shared variable has the name of the first network that has it."""
    is_mlm = objective["kind"] in ("replace-mlm", "all-tokens-mlm")
    name, network = ("encoder", ElectraForMaskedLM) if is_mlm else ("discriminator", ElectraForPreTraining)
    main = network(config(VOCAB, embedding, DISCRIMINATOR, POSITIONS))
    table = main.electra.embeddings.word_embeddings
    model = nn.ModuleDict({name: main})
    kind = "two-tower" if objective["kind"] == "electric" else objective.get("generator", "masked-lm")
    if kind == "masked-lm":
        model["generator"] = g = ElectraForMaskedLM(config(VOCAB, embedding, generator, POSITIONS))
        if sharing == "tied":
            g.electra.embeddings = main.electra.embeddings
        elif sharing == "tied-tokens":
            g.electra.embeddings.word_embeddings = table
        elif sharing == "tied-all":
            g.electra = main.electra
        elif sharing == "gdes":
            for part in ("word_embeddings", "position_embeddings"):
                setattr(main.electra.embeddings, part, Difference(getattr(g.electra.embeddings, part)))
        g.generator_lm_head.weight = g.electra.embeddings.word_embeddings.weight
    elif kind == "two-tower":
        for tower in ("left_to_right", "right_to_left"):
            model[tower] = ElectraForPreTraining(config(VOCAB, embedding, generator, POSITIONS))
            model[tower].electra.embeddings = main.electra.embeddings
            del model[tower].discriminator_predictions
        layers, hidden, heads, intermediate = generator
        model["cloze"] = ElectraForMaskedLM(config(VOCAB, embedding, (layers, 2 * hidden, heads, intermediate)))
        model["cloze"].generator_lm_head.weight = table.weight
        del model["cloze"].electra
    if objective["kind"] == "all-tokens-mlm":
        model["copy"] = ElectraDiscriminatorPredictions(main.config)
    elif objective["kind"] == "adversarial":
        model["baseline"] = nn.Linear(generator[1], 1, bias=False)
    scatter(model)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None
    return model.eval()


def states(network, ids, b, attention_mask=None):
    """Hidden states of the last layer: [b, s, h]."""
    mask = b["attention_mask"] if attention_mask is None else attention_mask
    output = network.electra(input_ids=ids, attention_mask=mask, token_type_ids=b["token_type_ids"])
    return output.last_hidden_state


def predict(network, hidden):
    """Logits of the masked language model's head."""
    return network.generator_lm_head(network.generator_predictions(hidden))


def at_masked(values, b):
    """Values at the masked positions: [p, ...] from [b, s, ...]."""
    return values.flatten(0, 1)[b["masked_positions"]]


def cross_entropy(logits, ids):
    return functional.cross_entropy(logits, ids, reduction="none")


def binary_cross_entropy(logits, labels):
    return functional.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="none")


def sample(logits, objective, b):
    """The input ids with samples of softmax(logits / temperature) at the masked positions. `logits`: [p, v]."""
    probabilities = (logits.detach().double() / objective.get("temperature", 1.0)).softmax(-1)
    disallowed = objective.get("disallow_correct", False)
    if disallowed:
        probabilities.scatter_(1, b["masked_labels"][:, None], 0.0)
        probabilities /= probabilities.sum(-1, keepdim=True)
    return corrupt(b, probabilities, one_correct=not disallowed)


def masked_lm(model, objective, b):
    """The generator's hidden states and logits at the masked positions, its loss, and the input ids with samples."""
    hidden = at_masked(states(model["generator"], b["generator_ids"], b), b)
    logits = predict(model["generator"], hidden)
    return hidden, logits, mean(cross_entropy(logits, b["masked_labels"])), sample(logits, objective, b)


def cloze(model, objective, b):
    """The two towers' logits of every token given all other tokens, their loss, and the input ids with samples."""
    is_token = b["attention_mask"].bool()
    length = is_token.shape[1]
    towers = []
    for tower, allowed in (("left_to_right", torch.tril), ("right_to_left", torch.triu)):
        seen = allowed(is_token[:, None, :] | torch.eye(length, dtype=torch.bool))
        bias = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
        hidden = states(model[tower], b["input_ids"], b, bias[:, None])
        towers.append(hidden * is_token[:, :, None])
    left, right = towers
    # Neighbors that do not exist are zeros.
    context = torch.cat(
        [functional.pad(left[:, :-1], (0, 0, 1, 0)), functional.pad(right[:, 1:], (0, 0, 0, 1))], -1
    )
    logits = predict(model["cloze"], context)
    predicted = b["special_tokens_mask"] == 0
    loss = mean(cross_entropy(logits[predicted], b["input_ids"][predicted]))
    return logits, loss, sample(at_masked(logits, b), objective, b)


def detect(model, corrupted, b):
    """The discriminator's logits of every token, and its losses: [b, s]."""
    d = model["discriminator"]
    logits = d.discriminator_predictions(states(d, corrupted, b))
    return logits, binary_cross_entropy(logits, corrupted != b["input_ids"])


def replaced_token(model, objective, b):
    parts = {}
    if objective.get("generator") == "unigram":
        probabilities = UNIGRAM_COUNTS.double() / UNIGRAM_COUNTS.sum()
        corrupted = corrupt(b, probabilities.repeat(len(b["masked_labels"]), 1), one_correct=True)
    elif objective.get("generator") == "two-tower":
        _, parts["generator_loss"], corrupted = cloze(model, objective, b)
    else:
        _, _, parts["generator_loss"], corrupted = masked_lm(model, objective, b)
    _, per_token = detect(model, corrupted, b)
    if objective.get("positions") == "masked":
        per_token = at_masked(per_token, b)
    else:
        per_token = per_token[b["attention_mask"] == 1]
    return parts | {"discriminator_loss": mean(per_token)}


def replace_mlm(model, objective, b):
    _, _, generator_loss, corrupted = masked_lm(model, objective, b)
    logits = predict(model["encoder"], at_masked(states(model["encoder"], corrupted, b), b))
    return {"generator_loss": generator_loss, "masked_lm_loss": mean(cross_entropy(logits, b["masked_labels"]))}


def all_tokens_mlm(model, objective, b):
    _, _, generator_loss, corrupted = masked_lm(model, objective, b)
    is_token = b["attention_mask"] == 1
    hidden = states(model["encoder"], corrupted, b)[is_token]
    ids = b["input_ids"][is_token]
    copy = model["copy"](hidden)
    predicted = functional.logsigmoid(-copy) - cross_entropy(predict(model["encoder"], hidden), ids)
    either = torch.logaddexp(functional.logsigmoid(copy), predicted)
    log_likelihood = torch.where(corrupted[is_token] == ids, either, predicted)
    return {"generator_loss": generator_loss, "masked_lm_loss": mean(-log_likelihood)}


def adversarial(model, objective, b):
    hidden, logits, _, corrupted = masked_lm(model, objective, b)
    _, per_token = detect(model, corrupted, b)
    reward = at_masked(per_token, b).detach()
    # The baseline is -log q, where q predicts exp(-reward).
    q_logits = model["baseline"](hidden.detach()).squeeze(-1)
    advantage = (reward + functional.logsigmoid(q_logits)).detach()
    log_p = (logits / objective["temperature"]).log_softmax(-1)
    log_p_sampled = log_p.gather(1, b["sampled"][:, None]).squeeze(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return {
        "generator_loss": mean(-advantage * log_p_sampled) - objective["entropy_weight"] * mean(entropy),
        "baseline_loss": mean(binary_cross_entropy(q_logits, (-reward).exp())),
        "discriminator_loss": mean(per_token[b["attention_mask"] == 1]),
    }


def electric(model, objective, b):
    cloze_logits, generator_loss, corrupted = cloze(model, objective, b)
    logits, _ = detect(model, corrupted, b)
    log_q = cloze_logits.log_softmax(-1).gather(-1, corrupted[:, :, None]).squeeze(-1)
    logits = logits + log_q.detach() + math.log(MASK_RATE / (1 - MASK_RATE))
    # Noise has label 1, also where a sample is the original token.
    labels = torch.zeros_like(logits).flatten().index_fill(0, b["masked_positions"], 1.0).view_as(logits)
    per_token = binary_cross_entropy(logits, labels)
    return {"generator_loss": generator_loss, "discriminator_loss": mean(per_token[b["attention_mask"] == 1])}


def weighted(parts, objective):
    """The parts of an objective, and their weighted sum."""
    weights = {name: objective.get(name.replace("_loss", "_weight"), 1.0) for name in parts}
    return parts | {"total": sum(weights[name] * part for name, part in parts.items())}


REPLACED_TOKEN = {
    "kind": "replaced-token",
    "generator_weight": 1.0,
    "discriminator_weight": 50.0,
    "temperature": 1.0,
}
ELECTRA_15 = REPLACED_TOKEN | {"positions": "masked"}
REPLACE_MLM = {"kind": "replace-mlm", "generator_weight": 1.0, "masked_lm_weight": 2.0, "temperature": 1.0}
ALL_TOKENS_MLM = REPLACE_MLM | {"kind": "all-tokens-mlm"}
ADVERSARIAL = REPLACED_TOKEN | {"kind": "adversarial", "entropy_weight": 0.05}
TWO_TOWER = REPLACED_TOKEN | {"generator": "two-tower"}
ELECTRIC = {"kind": "electric", "generator_weight": 1.0, "discriminator_weight": 50.0}
UNIGRAM = REPLACED_TOKEN | {"generator": "unigram"}
DISALLOW_CORRECT = REPLACED_TOKEN | {"disallow_correct": True, "temperature": 2.0}
# losses, objective, sharing of embeddings, embedding size, generator. Embeddings of size 6 need no projection in it.
CASES = {
    "tied-tokens": (replaced_token, REPLACED_TOKEN, "tied-tokens", 5, GENERATOR),
    "gdes": (replaced_token, REPLACED_TOKEN, "gdes", 5, GENERATOR),
    "tied-all": (replaced_token, REPLACED_TOKEN, "tied-all", 5, DISCRIMINATOR),
    "electra-15": (replaced_token, ELECTRA_15, "tied", 5, GENERATOR),
    "replace-mlm": (replace_mlm, REPLACE_MLM, "tied", 5, GENERATOR),
    "all-tokens-mlm": (all_tokens_mlm, ALL_TOKENS_MLM, "tied", 5, GENERATOR),
    "adversarial": (adversarial, ADVERSARIAL, "tied", 5, GENERATOR),
    "two-tower": (replaced_token, TWO_TOWER, "tied", 5, GENERATOR),
    "electric": (electric, ELECTRIC, "tied", 6, GENERATOR),
    "unigram": (replaced_token, UNIGRAM, "tied", 5, None),
    "disallow-correct": (replaced_token, DISALLOW_CORRECT, "tied", 5, GENERATOR),
}

# From this seed on, every case has a masked position whose token is kept in the generator's input.
for seed, (case, (losses, objective, sharing, embedding, generator)) in enumerate(CASES.items(), start=48):
    torch.manual_seed(seed)
    model = build(objective, sharing, embedding, generator)
    named = dict(model.named_parameters())
    tensors = {f"weights/{name}": parameter for name, parameter in named.items()}
    if generator is None:
        tensors["unigram_counts"] = UNIGRAM_COUNTS
    for label, (rows, length, lengths) in BATCHES.items():
        b = batch(VOCAB, rows, length, lengths)
        b["special_tokens_mask"] = torch.isin(b["input_ids"], SPECIAL).long()
        model.zero_grad()
        result = weighted(losses(model, objective, b), objective)
        result["total"].backward()
        for name, tensor in (b | result).items():
            tensors[f"{label}/{name}"] = tensor
        for name, parameter in named.items():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            tensors[f"{label}/gradient/{name}"] = gradient
    facts = {"mask_rate": MASK_RATE} if objective["kind"] == "electric" else {}
    save(
        f"{OUT}/objective-{case}.safetensors",
        tensors,
        vocab=VOCAB,
        embedding=embedding,
        discriminator=DISCRIMINATOR,
        generator=generator,
        positions=POSITIONS,
        sharing=sharing,
        objective=objective,
        **facts,
    )
