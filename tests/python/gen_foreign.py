"""Model folders written by transformers and torch, and in the formats of older versions, with their outputs.

Writes OUT/foreign/NAME/ (config.json, weights, expected.safetensors); run by `cargo xtask fixtures`.
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertModel,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
)

from common import config, scatter

OUT = sys.argv[1]
VOCAB = 20
IDS = torch.tensor([[2, 7, 9, 11, 3, 0, 0], [2, 19, 5, 6, 8, 10, 3], [2, 12, 3, 0, 0, 0, 0]])
INPUTS = {
    "input_ids": IDS,
    "attention_mask": (IDS != 0).long(),
    "token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1], [0] * 7]),
}


def expected(folder, model, half=False):
    """Writes inputs, and the outputs of the encoder and the head."""
    model.eval()
    encoder = getattr(model, "electra", getattr(model, "bert", model))
    with torch.no_grad():
        hidden = encoder(**INPUTS).last_hidden_state
        values = {"last_hidden_state": hidden, **INPUTS}
        # Multiple choice has several texts per question: here one.
        choice = isinstance(model, ElectraForMultipleChoice)
        out = model(**{name: ids.unsqueeze(1) if choice else ids for name, ids in INPUTS.items()})
        for name in ("logits", "prediction_logits"):
            if getattr(out, name, None) is not None:
                values[name] = getattr(out, name)
    save_file({k: v.contiguous() for k, v in values.items()}, f"{folder}/expected.safetensors")


def model_folder(name):
    folder = f"{OUT}/foreign/{name}"
    os.makedirs(folder, exist_ok=True)
    return folder


def write_config(folder, made, architecture, **changes):
    """Writes a config.json with only the fields of files from 2020."""
    keys = (
        "attention_probs_dropout_prob embedding_size hidden_act hidden_dropout_prob hidden_size initializer_range "
        "intermediate_size layer_norm_eps max_position_embeddings model_type num_attention_heads num_hidden_layers "
        "pad_token_id type_vocab_size vocab_size"
    ).split()
    whole = made.to_dict()
    whole["model_type"] = made.model_type
    kept = {key: whole[key] for key in keys if key in whole}
    if architecture:
        kept["architectures"] = [architecture]
    with open(f"{folder}/config.json", "w") as file:
        json.dump({**kept, **changes}, file, indent=2, sort_keys=True)


torch.manual_seed(3)
small = config(VOCAB, 6, (2, 8, 2, 12))

# The current format of transformers, in shards.
folder = model_folder("sharded")
model = ElectraForPreTraining(small)
scatter(model)
model.save_pretrained(folder, max_shard_size="2KB")
expected(folder, model)

# Only the encoder: no prefix.
folder = model_folder("base")
model = ElectraModel(small)
scatter(model)
model.save_pretrained(folder)
expected(folder, model)

# torch.save of a state dict: an OrderedDict in a ZIP file.
folder = model_folder("bin")
model = ElectraForPreTraining(small)
scatter(model)
write_config(folder, small, "ElectraForPreTraining")
torch.save(model.state_dict(), f"{folder}/pytorch_model.bin")
expected(folder, model)

# Half precision, a transposed view, a tied output layer that shares storage, a Parameter, a plain dict.
folder = model_folder("bin-views")
model = ElectraForMaskedLM(small)
scatter(model)
model = model.half().float()
write_config(folder, small, "ElectraForMaskedLM")
state = {name: tensor.half() for name, tensor in model.state_dict().items()}
state["generator_lm_head.weight"] = state["electra.embeddings.word_embeddings.weight"]
name = "electra.encoder.layer.0.intermediate.dense.weight"
state[name] = state[name].t().contiguous().t()
name = "electra.encoder.layer.0.output.dense.bias"
state[name] = torch.nn.Parameter(torch.cat([torch.zeros(3), state[name].float(), torch.ones(2)])[3:11].half())
torch.save(state, f"{folder}/pytorch_model.bin")
expected(folder, model)

# Names from 2020: gamma and beta, position_ids; no architectures in the config.
folder = model_folder("old-names")
model = ElectraForPreTraining(small)
scatter(model)
write_config(folder, small, None)
state = {
    name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
    for name, tensor in model.state_dict().items()
}
state["electra.embeddings.position_ids"] = torch.arange(16).unsqueeze(0)
save_file(state, f"{folder}/model.safetensors", metadata={"format": "pt"})
expected(folder, model)

# A classifier with three classes.
folder = model_folder("classifier")
made = config(VOCAB, 6, (2, 8, 2, 12))
made.id2label = {0: "no", 1: "maybe", 2: "yes"}
made.label2id = {"no": 0, "maybe": 1, "yes": 2}
made.classifier_dropout = 0.25
model = ElectraForSequenceClassification(made)
scatter(model)
model.save_pretrained(folder)
expected(folder, model)

# BERT, with its pre-training heads and without heads.
bert = BertConfig(
    vocab_size=VOCAB,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
bert._attn_implementation = "eager"
for name, model in (("bert", BertForPreTraining(bert)), ("bert-base", BertModel(bert))):
    folder = model_folder(name)
    scatter(model)
    model.save_pretrained(folder)
    expected(folder, model)

# Heads of other tasks.
tagged = config(VOCAB, 6, (2, 8, 2, 12))
tagged.id2label = {0: "O", 1: "B-X", 2: "I-X", 3: "B-Y", 4: "I-Y"}
tagged.label2id = {label: number for number, label in tagged.id2label.items()}
for name, model in (
    ("question", ElectraForQuestionAnswering(small)),
    ("tokens", ElectraForTokenClassification(tagged)),
    ("choice", ElectraForMultipleChoice(small)),
):
    folder = model_folder(name)
    scatter(model)
    model.save_pretrained(folder)
    expected(folder, model)

# Before PyTorch 1.6: not a ZIP file. Names as in nn.DataParallel, half precision, a tensor that shares a storage.
folder = model_folder("bin-old")
model = ElectraForPreTraining(small)
scatter(model)
model = model.half().float()
write_config(folder, small, "ElectraForPreTraining")
state = {f"module.{name}": tensor.half() for name, tensor in model.state_dict().items()}
name = "module.electra.encoder.layer.0.output.dense.bias"
state[name] = torch.cat([torch.zeros(3).half(), state[name], torch.ones(2).half()])[3:11]
state["module.electra.embeddings.position_ids"] = torch.arange(16).unsqueeze(0)
torch.save(state, f"{folder}/pytorch_model.bin", _use_new_zipfile_serialization=False)
expected(folder, model)

for root, _, files in os.walk(f"{OUT}/foreign"):
    for file in files:
        if file == "generation_config.json":
            os.remove(f"{root}/{file}")
