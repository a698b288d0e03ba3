//! Pitfalls of `transformers`, most of them silent there: reading gives an error or a note for each, or writing avoids it.
//!
//! | trap | in `transformers` | test |
//! |---|---|---|
//! | 1 | the discriminator's config used for the generator | `trap_1_a_generator_with_the_discriminators_config` |
//! | 2 | a wrong number of attention heads | `trap_2_a_wrong_head_count`, `trap_2_an_unverified_head_count_stays_unverified` |
//! | 3 | a missing projection or layer is initialized at random | `trap_3_a_missing_projection_or_layer` |
//! | 4 | weights under another prefix are initialized at random | `trap_4_names_under_another_prefix` |
//! | 5 | version 4 rejects files without `format` | `trap_5_the_metadata_that_transformers_4_requires_is_written` |
//! | 6 | version 5 checks the types of a config's fields | `trap_6_the_types_that_transformers_5_requires_are_written` |
//! | 7 | version 5 ignores `tokenizer.json`'s normalizer | in electra-tokenize, which writes the setting twice |
//! | 8 | an output layer that differs from the word embeddings | `trap_8_an_untied_output_layer` |
//! | 9 | the file's kind differs from the config's | `trap_9_kinds_that_differ_from_the_config` |
//! | 10 | dropout before a head: null is not 0 | `trap_10_dropout_before_the_head_is_null_or_zero` |
//! | 11 | dropout may be on after loading | `trap_11_a_loaded_network_has_no_dropout` |
//! | 12 | inconsistent shards and index | `trap_12_missing_misplaced_or_outside_shards` |
//! | 13 | non-contiguous views | `trap_13_views_are_written_contiguously` |

use super::{fixtures, input, tiny};
use electra_model::{
    Parts, PretrainedNetwork, Pretraining,
    hf::{self, Architecture, Config, HeadCount, Labels, Pretrained},
    tensors::{self, Named},
};
use std::{fs, path::Path};
use tch::{Device, Kind, Tensor, nn};

/// A folder with the discriminator of [`tiny`], and its tensors.
fn discriminator(dir: &Path) -> Named {
    let config = tiny();
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped()).unwrap();
    let state = hf::state_dict(&vs, "discriminator", networks.discriminator.encoder()).unwrap();
    let config = Config::new(Architecture::ElectraForPreTraining, config.discriminator.clone(), 0);
    hf::write(dir, &config, &state).unwrap();
    state
}

/// Reads and loads a folder.
fn read(dir: &Path) -> Result<Pretrained, String> {
    let pretrained = Pretrained::read(dir).map_err(|e| e.to_string())?;
    PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu)
        .map_err(|e| e.to_string())?;
    Ok(pretrained)
}

/// Reads and loads a folder with changed tensors.
fn with_tensors(change: impl Fn(&mut Named)) -> Result<Pretrained, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut state = discriminator(dir.path());
    change(&mut state);
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    read(dir.path())
}

/// Reads and loads a folder with a changed config.json.
fn with_config(from: &str, to: &str) -> Result<Pretrained, String> {
    let dir = tempfile::tempdir().unwrap();
    discriminator(dir.path());
    let path = dir.path().join("config.json");
    let good = fs::read_to_string(&path).unwrap();
    assert!(good.contains(from), "{from} in {good}");
    fs::write(&path, good.replace(from, to)).unwrap();
    read(dir.path())
}

fn fails_with(result: Result<Pretrained, String>, expected: &str) {
    let error = result.expect_err(expected);
    assert!(error.contains(expected), "{expected:?} in {error}");
}

#[test]
fn trap_1_a_generator_with_the_discriminators_config() {
    let dir = tempfile::tempdir().unwrap();
    discriminator(dir.path());
    let config = tiny();
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped()).unwrap();
    let state = hf::state_dict(&vs, "generator", networks.generator.encoder()).unwrap();
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    fails_with(
        read(dir.path()),
        "has the weights of ElectraForMaskedLM, but config.json says ElectraForPreTraining",
    );
}

#[test]
fn trap_2_a_wrong_head_count() {
    fails_with(
        with_config("\"num_attention_heads\": 3", "\"num_attention_heads\": 4"),
        "was written with num_attention_heads = 3, but config.json says 4",
    );
    fails_with(
        with_config("\"num_attention_heads\": 3,", ""),
        "missing field `num_attention_heads`",
    );
    fails_with(
        with_config("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"),
        "config.json: model.hidden = 12: must be divisible by heads = 5",
    );
    // Without the metadata, a wrong count cannot be detected, and a note says so.
    let foreign = with_tensors(|_| {}).unwrap();
    let note = foreign.config.head_count_note().unwrap();
    assert!(note.starts_with("not verified: 3 attention heads of size 4"));
}

#[test]
fn trap_3_a_missing_projection_or_layer() {
    fails_with(
        with_tensors(|state| state.retain(|(name, _)| !name.contains("embeddings_project"))),
        "missing from the file: electra.embeddings_project.weight [12, 6]",
    );
    fails_with(
        with_tensors(|state| state.retain(|(name, _)| !name.contains("layer.1."))),
        "missing from the file: electra.encoder.layer.1.attention.output.LayerNorm.bias [12]",
    );
    fails_with(
        with_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
        "not in the model: electra.encoder.layer.1.",
    );
}

#[test]
fn trap_4_names_under_another_prefix() {
    let prefixed = |prefix: &str| {
        let prefix = prefix.to_owned();
        with_tensors(move |state| {
            for (name, _) in state {
                *name = format!("{prefix}{name}");
            }
        })
    };
    // A prefix that all names have is removed.
    for prefix in ["module.", "model.", "_orig_mod.", "module._orig_mod.", "electra.", "encoder."] {
        let loaded = prefixed(prefix).unwrap();
        let note = format!("removed the prefix {prefix:?} from all ");
        assert!(loaded.notes.iter().any(|n| n.starts_with(&note)), "{:?}", loaded.notes);
    }
    // So are the names of PyTorch's wrappers inside a name, and the one prefix that only some names have.
    let inner = with_tensors(|state| {
        for (name, _) in state {
            *name = name
                .replace("electra.", "electra.module.")
                .replace("layer.1.", "layer.1._checkpoint_wrapped_module.");
        }
    });
    let notes = inner.unwrap().notes;
    let some = ["\"module.\" from ", "\"_checkpoint_wrapped_module.\" from "];
    for part in some {
        assert!(notes.iter().any(|note| note.contains(part) && note.contains(" of ")), "{notes:?}");
    }
    let encoder = with_tensors(|state| {
        for (name, _) in state {
            *name = name.replace("electra.", "backbone.electra.");
        }
    });
    let notes = encoder.unwrap().notes;
    assert!(notes.iter().any(|note| note.starts_with("removed the prefix \"backbone.\" from ")));
    // Two models in a file are not guessed.
    let twice = with_tensors(|state| {
        let (name, tensor) = &state[0];
        let teacher = (format!("teacher.{name}"), tensor.copy());
        state.push(teacher);
    });
    fails_with(twice, "not in the model: teacher.discriminator_predictions.dense.bias");
    let both = with_tensors(|state| {
        let copy = |(name, tensor): &(String, Tensor)| (format!("generator.{name}"), tensor.copy());
        let generator: Named = state.iter().map(copy).collect();
        state.iter_mut().for_each(|(name, _)| *name = format!("discriminator.{name}"));
        state.extend(generator);
    });
    fails_with(both, "export its run with `electra export`");
    // Encoder names of a base model together with a head are supported.
    let bare = with_tensors(|state| {
        for (name, _) in state {
            *name = name.trim_start_matches("electra.").to_owned();
        }
    });
    bare.unwrap();
}

#[test]
fn trap_2_an_unverified_head_count_stays_unverified() {
    let foreign = with_tensors(|_| {}).unwrap();
    assert_eq!(foreign.config.head_count, HeadCount::Unverified);
    let dir = tempfile::tempdir().unwrap();
    hf::write(dir.path(), &foreign.config, &foreign.tensors).unwrap();
    let metadata = tensors::metadata(&dir.path().join("model.safetensors")).unwrap();
    assert_eq!(metadata.get("num_attention_heads"), None);
    let again = read(dir.path()).unwrap();
    assert_eq!(again.config.head_count, HeadCount::Unverified);
    // It is a remark of the import, not of each command.
    assert_eq!((again.notes.len(), again.config.head_count_note().is_some()), (0, true));
    // The count of a model made here is verified, and stays verified.
    discriminator(dir.path());
    let own = read(dir.path()).unwrap();
    assert_eq!((own.config.head_count, own.config.head_count_note()), (HeadCount::Verified, None));
    hf::write(dir.path(), &own.config, &own.tensors).unwrap();
    assert_eq!(read(dir.path()).unwrap().config.head_count, HeadCount::Verified);
}

#[test]
fn trap_5_the_metadata_that_transformers_4_requires_is_written() {
    let dir = tempfile::tempdir().unwrap();
    discriminator(dir.path());
    let metadata = tensors::metadata(&dir.path().join("model.safetensors")).unwrap();
    assert_eq!(metadata["format"], "pt");
}

#[test]
fn trap_6_the_types_that_transformers_5_requires_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut encoder = tiny().discriminator.clone();
    // Integral values of float fields must be written as floats.
    (encoder.dropout, encoder.attention_dropout, encoder.initializer.std) = (0.0, 0.0, 1.0);
    encoder.layer_norm_eps = 1.0;
    let mut config = Config::new(Architecture::ElectraForSequenceClassification, encoder, 0);
    (config.labels, config.classifier_dropout) = (Some(Labels::Number), Some(0.0));
    hf::write(dir.path(), &config, &[]).unwrap();
    let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let of_type = |is: fn(&serde_json::Value) -> bool| {
        let names = fields.iter().filter(|(_, value)| is(value)).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        of_type(|value| value.is_f64()),
        [
            "attention_probs_dropout_prob",
            "classifier_dropout",
            "hidden_dropout_prob",
            "initializer_range",
            "layer_norm_eps",
        ]
    );
    assert_eq!(
        of_type(|value| value.is_i64()),
        [
            "embedding_size",
            "hidden_size",
            "intermediate_size",
            "max_position_embeddings",
            "num_attention_heads",
            "num_hidden_layers",
            "pad_token_id",
            "type_vocab_size",
            "vocab_size",
        ]
    );
    assert_eq!(
        of_type(|value| value.is_string()),
        ["dtype", "hidden_act", "model_type", "problem_type"]
    );
    assert_eq!(of_type(|value| value.is_boolean()), ["tie_word_embeddings"]);
}

#[test]
fn trap_8_an_untied_output_layer() {
    let dir = tempfile::tempdir().unwrap();
    let config = tiny();
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped()).unwrap();
    let mut state = hf::state_dict(&vs, "generator", networks.generator.encoder()).unwrap();
    let config =
        Config::new(Architecture::ElectraForMaskedLM, config.generator.clone().unwrap(), 0);
    let table = networks.generator.encoder().embeddings().token_table().detach();
    state.push(("generator_lm_head.weight".to_owned(), table.copy()));
    hf::write(dir.path(), &config, &state).unwrap();
    let note = "not used: generator_lm_head.weight (tied to the word embeddings)";
    assert!(read(dir.path()).unwrap().notes.contains(&note.to_owned()));
    state.last_mut().unwrap().1 = table + 1e-3;
    hf::write(dir.path(), &config, &state).unwrap();
    fails_with(
        read(dir.path()),
        "generator_lm_head.weight differs from electra.embeddings.word_embeddings.weight",
    );
}

#[test]
fn trap_9_kinds_that_differ_from_the_config() {
    let half = with_tensors(|state| {
        for (_, tensor) in state {
            *tensor = tensor.to_kind(Kind::BFloat16);
        }
    });
    let half = half.unwrap();
    assert!(half.notes.iter().any(|n| n.ends_with("tensors of kind BFloat16 to Float")));
    assert!(half.tensors.iter().all(|(_, t)| t.kind() == Kind::Float));
    fails_with(
        with_tensors(|state| state[3].1 = state[3].1.to_kind(Kind::Int64)),
        "kind Int64, expected a float",
    );
}

#[test]
fn trap_10_dropout_before_the_head_is_null_or_zero() {
    let dropout = |text: &str| {
        let config =
            with_config("\"dtype\"", &format!("\"classifier_dropout\": {text},\n  \"dtype\""));
        config.unwrap().config.classifier_dropout
    };
    assert_eq!((dropout("null"), dropout("0.0")), (None, Some(0.0)));
}

#[test]
fn trap_11_a_loaded_network_has_no_dropout() {
    let read = with_config("\"hidden_dropout_prob\": 0.1", "\"hidden_dropout_prob\": 0.5").unwrap();
    let network = PretrainedNetwork::new(&read, &Parts::shipped(), Device::Cpu).unwrap();
    let ids = Tensor::randint(50, [2, 8], (Kind::Int64, Device::Cpu));
    let mask = electra_model::PaddingMask::without_padding(2, 8, Device::Cpu);
    let run = || network.encoder().forward_t(&input(&ids, &ids.zeros_like(), &mask), false);
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(!first.requires_grad(), "it is frozen");
}

#[test]
fn trap_12_missing_misplaced_or_outside_shards() {
    let source = fixtures().join("foreign/sharded");
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let index = dir.path().join("model.safetensors.index.json");
    let good = fs::read_to_string(&index).unwrap();
    read(dir.path()).unwrap();
    let first = "model-00001-of-00004.safetensors";
    for (to, expected) in [
        ("../model-00001-of-00004.safetensors", "is outside the folder"),
        ("/etc/passwd", "is outside the folder"),
        ("gone.safetensors", "shard \"gone.safetensors\" is missing from the folder"),
        ("model-00002-of-00004.safetensors", "where the index has it"),
    ] {
        fs::write(&index, good.replace(first, to)).unwrap();
        fails_with(read(dir.path()), expected);
    }
    let lines: Vec<_> =
        good.lines().filter(|line| !line.contains("word_embeddings.weight")).collect();
    fs::write(&index, lines.join("\n")).unwrap();
    fails_with(read(dir.path()), "but not in the index");
}

#[test]
fn trap_13_views_are_written_contiguously() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = discriminator(dir.path());
    let index =
        state.iter().position(|(name, _)| name.ends_with("intermediate.dense.weight")).unwrap();
    let weight = state[index].1.detach();
    state[index].1 = weight.transpose(0, 1).contiguous().transpose(0, 1);
    assert!(!state[index].1.is_contiguous());
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    assert_eq!(read(dir.path()).unwrap().tensors[index].1, weight);
}

#[test]
fn nan_values_are_counted() {
    let result = with_tensors(|state| {
        let broken = state[4].1.detach().copy();
        let _ = broken.view(-1).narrow(0, 0, 2).fill_(f64::NAN);
        state[4].1 = broken;
    });
    fails_with(result, ": 2 of");
}

#[test]
fn duplicate_weights_are_rejected() {
    let result = with_tensors(|state| {
        let (name, tensor) =
            state.iter().find(|(n, _)| n.ends_with("embeddings.LayerNorm.weight")).unwrap();
        let duplicate = (name.replace("weight", "gamma"), tensor.shallow_clone());
        state.push(duplicate);
    });
    fails_with(result, "duplicate electra.embeddings.LayerNorm.weight: ");
}

#[test]
fn unsupported_activations_positions_and_models_are_rejected() {
    fails_with(
        with_config("\"gelu\"", "\"gelu_new\""),
        "hidden_act \"gelu_new\" is not supported, only \"gelu\"",
    );
    with_config("\"gelu\"", "\"gelu_python\"").unwrap();
    fails_with(
        with_config("\"electra\"", "\"roberta\""),
        "model_type \"roberta\" is not supported",
    );
    fails_with(
        with_config("\"dtype\"", "\"position_embedding_type\": \"relative_key\",\n  \"dtype\""),
        "position_embedding_type \"relative_key\"",
    );
    fails_with(
        with_config("ElectraForPreTraining", "ElectraForCausalLM"),
        "architecture \"ElectraForCausalLM\" is not supported",
    );
    fails_with(
        with_config("\"dtype\"", "\"is_decoder\": true,\n  \"dtype\""),
        "decoders are not supported",
    );
    let choice = |summary: &str| {
        let class = format!("\"ElectraForMultipleChoice\"],\n  {summary},\n  \"x\": [\"\"");
        with_config("\"ElectraForPreTraining\"", &class)
    };
    fails_with(choice("\"summary_type\": \"mean\""), "summary_type \"mean\" is not supported");
    fails_with(choice("\"summary_activation\": null"), "summary_activation null is not supported");
    fails_with(choice("\"summary_use_proj\": false"), "summary_use_proj false is not supported");
}
