//! What `transformers` lets pass in silence: each trap is an error or a note here, or what is written avoids it.
//!
//! | trap | what happens there | test |
//! |---|---|---|
//! | 1 | the discriminator's config used for the generator | `trap_1_a_generator_with_the_discriminators_config` |
//! | 2 | a wrong number of attention heads | `trap_2_a_wrong_head_count`, `trap_2_a_head_count_that_nothing_confirms_stays_so` |
//! | 3 | a missing projection or layer starts at random | `trap_3_a_missing_projection_or_layer` |
//! | 4 | names under another prefix start at random | `trap_4_names_under_another_prefix` |
//! | 5 | version 4 refuses files without `format` | `trap_5_the_metadata_that_transformers_4_insists_on_is_written` |
//! | 6 | version 5 checks the types of a config's fields | `trap_6_the_types_that_transformers_5_insists_on_are_written` |
//! | 7 | version 5 ignores `tokenizer.json`'s normalizer | in electra-tokenize, whose folders say it twice |
//! | 8 | an output layer that differs from the word table | `trap_8_an_output_layer_that_is_not_the_word_table` |
//! | 9 | the file's kind against the config's | `trap_9_kinds_that_are_not_what_the_config_says` |
//! | 10 | dropout before a head: null is not 0 | `trap_10_dropout_before_the_head_is_null_or_zero` |
//! | 11 | dropout on or off after loading | `trap_11_what_is_read_has_no_dropout` |
//! | 12 | shards and their index | `trap_12_shards_that_are_missing_elsewhere_or_outside` |
//! | 13 | views that are not contiguous | `trap_13_views_are_written_row_by_row` |

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

/// What reading and loading a folder says.
fn read(dir: &Path) -> Result<Pretrained, String> {
    let pretrained = Pretrained::read(dir).map_err(|e| e.to_string())?;
    PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu)
        .map_err(|e| e.to_string())?;
    Ok(pretrained)
}

/// What is said of a folder whose tensors were changed.
fn with_tensors(change: impl Fn(&mut Named)) -> Result<Pretrained, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut state = discriminator(dir.path());
    change(&mut state);
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    read(dir.path())
}

/// What is said of a folder whose config.json was changed.
fn with_config(from: &str, to: &str) -> Result<Pretrained, String> {
    let dir = tempfile::tempdir().unwrap();
    discriminator(dir.path());
    let path = dir.path().join("config.json");
    let good = fs::read_to_string(&path).unwrap();
    assert!(good.contains(from), "{from} in {good}");
    fs::write(&path, good.replace(from, to)).unwrap();
    read(dir.path())
}

fn says(result: Result<Pretrained, String>, expected: &str) {
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
    says(
        read(dir.path()),
        "has the weights of ElectraForMaskedLM, but config.json says ElectraForPreTraining",
    );
}

#[test]
fn trap_2_a_wrong_head_count() {
    says(
        with_config("\"num_attention_heads\": 3", "\"num_attention_heads\": 4"),
        "was written with num_attention_heads = 3, config.json says 4",
    );
    says(with_config("\"num_attention_heads\": 3,", ""), "missing field `num_attention_heads`");
    says(
        with_config("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"),
        "config.json: model.hidden = 12: must be divisible by heads = 5",
    );
    // Without the guard in the file nothing can tell; it is said.
    let foreign = with_tensors(|_| {}).unwrap();
    assert!(foreign.notes[0].starts_with("not verified: 3 attention heads of 4"));
}

#[test]
fn trap_3_a_missing_projection_or_layer() {
    says(
        with_tensors(|state| state.retain(|(name, _)| !name.contains("embeddings_project"))),
        "missing from the file: electra.embeddings_project.weight [12, 6]",
    );
    says(
        with_tensors(|state| state.retain(|(name, _)| !name.contains("layer.1."))),
        "missing from the file: electra.encoder.layer.1.attention.output.LayerNorm.bias [12]",
    );
    says(
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
    says(prefixed("discriminator."), "give its run to `electra export`");
    says(prefixed("model."), "has the weights of ElectraModel, but config.json says");
    // A base model's names, beside a head's: understood.
    let bare = with_tensors(|state| {
        for (name, _) in state {
            *name = name.trim_start_matches("electra.").to_owned();
        }
    });
    bare.unwrap();
}

#[test]
fn trap_2_a_head_count_that_nothing_confirms_stays_so() {
    let foreign = with_tensors(|_| {}).unwrap();
    assert_eq!(foreign.config.head_count, HeadCount::Claimed);
    let dir = tempfile::tempdir().unwrap();
    hf::write(dir.path(), &foreign.config, &foreign.tensors).unwrap();
    let metadata = tensors::metadata(&dir.path().join("model.safetensors")).unwrap();
    assert_eq!(metadata.get("num_attention_heads"), None);
    let again = read(dir.path()).unwrap();
    assert_eq!(again.config.head_count, HeadCount::Claimed);
    assert!(
        again.notes[0].starts_with("not verified: 3 attention heads of 4"),
        "{:?}",
        again.notes
    );
    // What was made here is confirmed, and stays confirmed.
    discriminator(dir.path());
    let own = read(dir.path()).unwrap();
    assert_eq!((own.config.head_count, own.notes.len()), (HeadCount::Verified, 0));
    hf::write(dir.path(), &own.config, &own.tensors).unwrap();
    assert_eq!(read(dir.path()).unwrap().config.head_count, HeadCount::Verified);
}

#[test]
fn trap_5_the_metadata_that_transformers_4_insists_on_is_written() {
    let dir = tempfile::tempdir().unwrap();
    discriminator(dir.path());
    let metadata = tensors::metadata(&dir.path().join("model.safetensors")).unwrap();
    assert_eq!(metadata["format"], "pt");
}

#[test]
fn trap_6_the_types_that_transformers_5_insists_on_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut encoder = tiny().discriminator.clone();
    // Numbers that are whole must stay floats where floats are asked for.
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
fn trap_8_an_output_layer_that_is_not_the_word_table() {
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
    let note = "not used: generator_lm_head.weight (the word table is the output layer)";
    assert!(read(dir.path()).unwrap().notes.contains(&note.to_owned()));
    state.last_mut().unwrap().1 = table + 1e-3;
    hf::write(dir.path(), &config, &state).unwrap();
    says(
        read(dir.path()),
        "generator_lm_head.weight differs from electra.embeddings.word_embeddings.weight",
    );
}

#[test]
fn trap_9_kinds_that_are_not_what_the_config_says() {
    let half = with_tensors(|state| {
        for (_, tensor) in state {
            *tensor = tensor.to_kind(Kind::BFloat16);
        }
    });
    let half = half.unwrap();
    assert!(half.notes.iter().any(|n| n.ends_with("of kind BFloat16 became 32-bit floats")));
    assert!(half.tensors.iter().all(|(_, t)| t.kind() == Kind::Float));
    says(
        with_tensors(|state| state[3].1 = state[3].1.to_kind(Kind::Int64)),
        "kind Int64, weights are floats",
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
fn trap_11_what_is_read_has_no_dropout() {
    let read = with_config("\"hidden_dropout_prob\": 0.1", "\"hidden_dropout_prob\": 0.5").unwrap();
    let network = PretrainedNetwork::new(&read, &Parts::shipped(), Device::Cpu).unwrap();
    let ids = Tensor::randint(50, [2, 8], (Kind::Int64, Device::Cpu));
    let mask = electra_model::PaddingMask::all_kept(2, 8, Device::Cpu);
    let run = || network.encoder().forward_t(&input(&ids, &ids.zeros_like(), &mask), false);
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(!first.requires_grad(), "it is frozen");
}

#[test]
fn trap_12_shards_that_are_missing_elsewhere_or_outside() {
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
        ("../model-00001-of-00004.safetensors", "which leaves the folder"),
        ("/etc/passwd", "which leaves the folder"),
        ("gone.safetensors", "names \"gone.safetensors\", which is not in the folder"),
        ("model-00002-of-00004.safetensors", "where the index has it"),
    ] {
        fs::write(&index, good.replace(first, to)).unwrap();
        says(read(dir.path()), expected);
    }
    let lines: Vec<_> =
        good.lines().filter(|line| !line.contains("word_embeddings.weight")).collect();
    fs::write(&index, lines.join("\n")).unwrap();
    says(read(dir.path()), "and not in the index");
}

#[test]
fn trap_13_views_are_written_row_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = discriminator(dir.path());
    let place =
        state.iter().position(|(name, _)| name.ends_with("intermediate.dense.weight")).unwrap();
    let weight = state[place].1.detach();
    state[place].1 = weight.transpose(0, 1).contiguous().transpose(0, 1);
    assert!(!state[place].1.is_contiguous());
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    assert_eq!(read(dir.path()).unwrap().tensors[place].1, weight);
}

#[test]
fn numbers_that_are_none_are_counted() {
    let result = with_tensors(|state| {
        let broken = state[4].1.detach().copy();
        let _ = broken.view(-1).narrow(0, 0, 2).fill_(f64::NAN);
        state[4].1 = broken;
    });
    says(result, ": 2 of");
}

#[test]
fn one_weight_under_two_names() {
    let result = with_tensors(|state| {
        let (name, tensor) =
            state.iter().find(|(n, _)| n.ends_with("embeddings.LayerNorm.weight")).unwrap();
        let twin = (name.replace("weight", "gamma"), tensor.shallow_clone());
        state.push(twin);
    });
    says(result, "are both electra.embeddings.LayerNorm.weight");
}

#[test]
fn other_activations_positions_and_models_are_refused() {
    says(
        with_config("\"gelu\"", "\"gelu_new\""),
        "hidden_act is \"gelu_new\"; only \"gelu\" is read",
    );
    with_config("\"gelu\"", "\"gelu_python\"").unwrap();
    says(with_config("\"electra\"", "\"roberta\""), "model_type is \"roberta\"");
    says(
        with_config("\"dtype\"", "\"position_embedding_type\": \"relative_key\",\n  \"dtype\""),
        "position_embedding_type is \"relative_key\"",
    );
    says(
        with_config("ElectraForPreTraining", "ElectraForCausalLM"),
        "architectures names \"ElectraForCausalLM\"",
    );
    says(with_config("\"dtype\"", "\"is_decoder\": true,\n  \"dtype\""), "is of a decoder");
}
