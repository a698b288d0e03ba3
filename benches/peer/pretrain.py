"""Times a pre-training step of transformers' ELECTRA in PyTorch: the peer of `electra pretrain`.

Run by `cargo xtask bench --peer pretrain-*`; prints one JSON object. It is written as a careful user would: generator
logits only at masked positions, SDPA attention, fused AdamW, shared embeddings. Ids are random and made in advance, so
the peer does no data loading.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

# (embedding, (hidden, heads, intermediate) of the discriminator and of the generator); 12 layers each.
SIZES = {"small": (128, (256, 4, 1024), (64, 1, 256)), "base": (768, (768, 12, 3072), (256, 4, 1024))}
VOCAB, MASK = 30522, 103


def config(embedding, tower):
    hidden, heads, intermediate = tower
    made = ElectraConfig(
        vocab_size=VOCAB,
        embedding_size=embedding,
        hidden_size=hidden,
        num_hidden_layers=12,
        num_attention_heads=heads,
        intermediate_size=intermediate,
    )
    made._attn_implementation = "sdpa"
    return made


def share(generator, discriminator):
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        setattr(discriminator.electra.embeddings, table, getattr(generator.electra.embeddings, table))


def losses(generator, discriminator, ids, keep, mask, sampled=None):
    masked = ids.masked_fill(mask, MASK)
    hidden = generator.electra(input_ids=masked, attention_mask=keep)[0][mask]
    logits = generator.generator_lm_head(generator.generator_predictions(hidden))
    generator_loss = torch.nn.functional.cross_entropy(logits, ids[mask])
    with torch.no_grad():
        if sampled is None:
            noise = -torch.empty_like(logits).exponential_().log()
            sampled = (logits + noise).argmax(-1)
        corrupted = ids.clone()
        corrupted[mask] = sampled
        replaced = (corrupted != ids).float()
    logits = discriminator(input_ids=corrupted, attention_mask=keep).logits
    discriminator_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, replaced)
    return generator_loss, discriminator_loss, corrupted, replaced


def check(folder):
    """Compares the losses with those from `electra forward`'s logits, for the same weights, masks and samples."""
    inputs = load_file(f"{folder}/batch.safetensors")
    generator = AutoModelForMaskedLM.from_pretrained(f"{folder}/generator").eval()
    discriminator = AutoModelForPreTraining.from_pretrained(f"{folder}/discriminator").eval()
    ids, mask, keep = inputs["ids"], inputs["mask"].bool(), torch.ones_like(inputs["ids"])
    ours_g = load_file(f"{folder}/generator.safetensors")["logits"]
    ours_d = load_file(f"{folder}/discriminator.safetensors")["logits"]
    with torch.no_grad():
        g, d, corrupted, replaced = losses(generator, discriminator, ids, keep, mask, inputs["sampled"])
    if not torch.equal(corrupted, inputs["corrupted"]):
        raise SystemExit("the corrupted ids differ from those in the batch")
    ours = (
        torch.nn.functional.cross_entropy(ours_g[mask], ids[mask]),
        torch.nn.functional.binary_cross_entropy_with_logits(ours_d, replaced),
    )
    for name, a, b in zip(("generator", "discriminator"), ours, (g, d)):
        if not abs(a - b) <= 1e-4 * abs(b):
            raise SystemExit(f"{name} loss is {a.item()} in electra and {b.item()} in transformers")
    parameters = {id(p): p.numel() for m in (generator, discriminator) for p in m.parameters()}
    shared = sum(p.numel() for p in generator.electra.embeddings.parameters())
    return {"parameters": sum(parameters.values()) - shared, "generator_loss": g.item(), "discriminator_loss": d.item()}


def make_batch(folder, rows, length):
    """Writes a batch with random samples, for comparing the losses."""
    from safetensors.torch import save_file

    torch.manual_seed(7)
    ids = torch.randint(1000, VOCAB, (rows, length))
    mask = torch.rand(ids.shape) < 0.15
    sampled = torch.randint(1000, VOCAB, (int(mask.sum()),))
    corrupted = ids.clone()
    corrupted[mask] = sampled
    save_file({"ids": ids, "mask": mask.long(), "sampled": sampled, "corrupted": corrupted}, f"{folder}/batch.safetensors")
    save_file({"input_ids": ids.masked_fill(mask, MASK)}, f"{folder}/generator-in.safetensors")
    save_file({"input_ids": corrupted}, f"{folder}/discriminator-in.safetensors")


def matrix_rate():
    """The best throughput of large f32 products of three sizes, in FLOP/s."""
    best = 0.0
    for m, k, n in ((2048, 2048, 2048), (4096, 1024, 1024), (4096, 256, 1024)):
        a, b = torch.randn(m, k), torch.randn(k, n)
        out = torch.empty(m, n)
        for _ in range(6):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * m * k * n / (time.perf_counter() - start))
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--mode", choices=("eager", "compile", "bf16", "batch", "check"), default="eager")
    parser.add_argument("--folder")
    args = parser.parse_args()
    if args.mode == "batch":
        make_batch(args.folder, 2, args.length)
        return
    if args.mode == "check":
        print(json.dumps(check(args.folder)))
        return
    torch.manual_seed(0)
    rate = matrix_rate()
    embedding, d_tower, g_tower = SIZES[args.size]
    generator = ElectraForMaskedLM(config(embedding, g_tower)).train()
    discriminator = ElectraForPreTraining(config(embedding, d_tower)).train()
    share(generator, discriminator)
    parameters = list({id(p): p for m in (generator, discriminator) for p in m.parameters()}.values())
    optimizer = torch.optim.AdamW(parameters, lr=5e-4, eps=1e-6, weight_decay=0.01, fused=True)
    if args.mode == "compile":
        generator.electra = torch.compile(generator.electra)
        discriminator = torch.compile(discriminator)
    keep = torch.ones(args.batch, args.length, dtype=torch.long)
    batches = [torch.randint(1000, VOCAB, keep.shape) for _ in range(args.steps)]
    masks = [torch.rand(keep.shape) < 0.15 for _ in range(args.steps)]
    seconds = []
    for ids, mask in zip(batches, masks):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.mode == "bf16"):
            g, d, _, _ = losses(generator, discriminator, ids, keep, mask)
        (g + 50 * d).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(g + d)
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[2:])
    print(json.dumps({
        "tokens_per_second": keep.numel() / step,
        "parameters": sum(p.numel() for p in parameters),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "matrix_flops_per_second": rate,
    }))


if __name__ == "__main__":
    main()
