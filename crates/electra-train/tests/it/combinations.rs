//! Sharing policies and objectives beyond the default: what is exported and loaded, and which combinations are refused.

use crate::{Fixture, bad_input::fails_with, preset};
use electra_files::Existing;
use electra_model::{hf::Pretrained, tensors};
use electra_train::{
    Recipe, RunConfig, Start,
    export::{ExportPart, export},
    objective::ObjectiveSettings,
};
use std::{collections::HashMap, fs, path::Path};
use tch::Tensor;

const WORDS: &str = "electra.embeddings.word_embeddings.weight";
const POSITIONS: &str = "electra.embeddings.position_embeddings.weight";

type Tensors = HashMap<String, Tensor>;

/// Trains for two updates.
fn trained(fixture: &Fixture, name: &str, sets: &[&str]) {
    let steps =
        ["train.steps=2", "checkpoint.every=2", "evaluate.every=0", "optimizer.warmup_steps=0"];
    let config = fixture.config(&[&steps, sets].concat());
    Recipe::from_config(config).pretrain(&Start::new(fixture.path(name))).unwrap();
}

fn exported(fixture: &Fixture, run: &str, part: ExportPart) -> Tensors {
    let out = fixture.path(&format!("{run}-{part:?}"));
    export(&fixture.path(run), part, &out, Existing::Refuse).unwrap();
    Pretrained::read(&out).unwrap().tensors.into_iter().collect()
}

fn variables(fixture: &Fixture, run: &str, step: u64) -> Tensors {
    let path = fixture.path(run).join(format!("checkpoints/step-{step:07}/model.safetensors"));
    tensors::read(&path).unwrap().into_iter().collect()
}

/// The largest difference.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn gradient_disentangled_embeddings_are_merged_on_export() {
    let fixture = Fixture::new();
    trained(&fixture, "run", &["model.sharing.kind=gdes"]);
    let variables = variables(&fixture, "run", 2);
    let discriminator = exported(&fixture, "run", ExportPart::Discriminator);
    let generator = exported(&fixture, "run", ExportPart::Generator);
    for (tensor, table) in [(WORDS, "word_embeddings"), (POSITIONS, "position_embeddings")] {
        let base = &variables[&format!("generator.{tensor}")];
        let delta = &variables[&format!("discriminator.electra.embeddings.{table}.delta")];
        assert!(delta.abs().max().double_value(&[]) > 0.0, "{table}: the delta was not trained");
        assert_eq!(discriminator[tensor], base + delta);
        assert_eq!(generator[tensor], *base);
    }
    assert!(discriminator.keys().all(|name| !name.contains("delta")), "{discriminator:?}");
}

/// He et al. 2021: with E_G of a published generator and E_D of its discriminator, the delta is E_D - E_G.
#[test]
fn gradient_disentangled_sharing_continues_from_separate_tables() {
    let fixture = Fixture::new();
    trained(&fixture, "untied", &["model.sharing.kind=untied"]);
    let discriminator = exported(&fixture, "untied", ExportPart::Discriminator);
    let generator = exported(&fixture, "untied", ExportPart::Generator);
    assert!(difference(&discriminator[WORDS], &generator[WORDS]) > 1e-3);
    let folder = |part: &str| fixture.path(&format!("untied-{part}")).display().to_string();
    let from = format!("init.from=\"{}\"", folder("Discriminator"));
    let with = format!("init.generator=\"{}\"", folder("Generator"));
    // A learning rate of 0 in the only update: the schedule starts at 0.
    let start = |name: &str, sets: &[&str]| {
        let common = ["train.steps=1", "checkpoint.every=1", "evaluate.every=0"];
        let config =
            fixture.config(&[&common, &["model.sharing.kind=gdes", &from][..], sets].concat());
        Recipe::from_config(config).pretrain(&Start::new(fixture.path(name))).unwrap();
        let variables = variables(&fixture, name, 1);
        let base = variables[&format!("generator.{WORDS}")].shallow_clone();
        let delta = &variables["discriminator.electra.embeddings.word_embeddings.delta"];
        (base.shallow_clone(), base + delta)
    };
    let (base, sum) = start("pair", &[&with]);
    assert_eq!(base, generator[WORDS]);
    assert!(difference(&sum, &discriminator[WORDS]) < 1e-6);
    // Without a generator, both tables start from the discriminator's.
    let (base, sum) = start("alone", &[]);
    assert_eq!(base, discriminator[WORDS]);
    assert_eq!(sum, discriminator[WORDS]);
}

#[test]
fn a_generator_that_shares_all_weights_is_exported_whole() {
    let fixture = Fixture::new();
    let same = ["layers=2", "hidden=16", "heads=2", "intermediate=32"];
    let sizes = same.map(|size| format!("model.generator.{size}"));
    let mut sets: Vec<&str> = sizes.iter().map(String::as_str).collect();
    sets.push("model.sharing.kind=tied-all");
    trained(&fixture, "run", &sets);
    let discriminator = exported(&fixture, "run", ExportPart::Discriminator);
    let generator = exported(&fixture, "run", ExportPart::Generator);
    let of_encoder = |all: &Tensors| -> Vec<String> {
        let mut names: Vec<_> =
            all.keys().filter(|name| name.starts_with("electra.")).cloned().collect();
        names.sort();
        names
    };
    assert_eq!(of_encoder(&generator), of_encoder(&discriminator));
    for name in of_encoder(&generator) {
        assert_eq!(generator[&name], discriminator[&name], "{name}");
    }
    // And the pair starts another run.
    let folder = |part: &str| fixture.path(&format!("run-{part}")).display().to_string();
    sets.push("evaluate.every=0");
    let from = format!("init.from=\"{}\"", folder("Discriminator"));
    let with = format!("init.generator=\"{}\"", folder("Generator"));
    trained(&fixture, "more", &[&sets[..], &[&from, &with]].concat());
}

#[test]
fn combinations_without_a_meaning_are_refused_before_data_is_opened() {
    let fixture = Fixture::new();
    let ablations = crate::ablations::scaled(&fixture);
    let refused = |name: &str, sets: &[&str], words: &[&str]| {
        let path = ablations.join(format!("{name}.toml"));
        let mut sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        sets.push("data.shards=\"not-there\"".to_owned());
        let result = RunConfig::read(&path, &sets).and_then(|config| {
            Recipe::from_config(config).pretrain(&Start::new(fixture.path("never")))
        });
        fails_with(result, words);
        assert!(!fixture.path("never").exists());
    };
    refused("tied-all", &["model.generator.width=0.5"], &["sharing.kind", "tied-all", "\"tied\""]);
    refused(
        "two-stage",
        &["model.generator.width=0.5"],
        &["objective.start", "start = \"random\""],
    );
    refused("two-stage", &["model.sharing.kind=tied"], &["sharing.kind", "untied", "frozen"]);
    refused("two-stage", &["objective.generator_share=1.0"], &["generator_share", "less than 1"]);
    refused(
        "electric",
        &["model.sharing.kind=tied-all"],
        &["sharing.kind", "two towers", "\"tied\""],
    );
    refused("two-tower", &["model.attention.kind=left-to-right"], &["attention.kind", "softmax"]);
    refused("gdes", &["model.embeddings.kind=tokens"], &["embeddings", "tokens"]);
    refused("unigram", &["objective.temperature=2.0"], &["objective.generator", "masked-lm"]);
    refused("unigram", &["objective.log_conflict=true"], &["log_conflict", "tied"]);
    refused("gdes", &["objective.log_conflict=true"], &["log_conflict", "both losses"]);
    refused("adversarial", &["objective.entropy_weight=-1.0"], &["entropy_weight", "not negative"]);
    refused("generator-1-2", &["model.generator.width=0.0"], &["width", "greater than 0"]);
    let without_generator = |name: &str| {
        let text = fs::read_to_string(ablations.join(format!("{name}.toml"))).unwrap();
        let text = match text.contains("unset = [") {
            true => text.replace("unset = [", "unset = [\"model.generator\", "),
            false => text.replacen("\n\n[", "\nunset = [\"model.generator\"]\n\n[", 1),
        };
        let name = format!("{name}-alone");
        fs::write(ablations.join(format!("{name}.toml")), text).unwrap();
        name
    };
    for name in ["electra-15", "electric", "replace-mlm", "adversarial"] {
        let name = without_generator(name);
        refused(&name, &[], &["generator", "[model.generator]"]);
    }
    assert!(Path::new(&ablations).exists());
}

/// The cosine between the gradients of the two losses is logged for shared tables, and is a cosine.
#[test]
fn the_conflict_of_the_losses_is_logged() {
    let fixture = Fixture::new();
    let sets = ["train.log_every=1", "objective.log_conflict=true"];
    for sharing in ["tied", "tied-tokens"] {
        let kind = format!("model.sharing.kind={sharing}");
        trained(&fixture, sharing, &[&sets[..], &[&kind]].concat());
        let text = fs::read_to_string(fixture.path(sharing).join("metrics.jsonl")).unwrap();
        let cosines: Vec<f64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|row| row["kind"] == "train")
            .map(|row| row["embedding_gradient_cosine"].as_f64().unwrap())
            .collect();
        assert_eq!(cosines.len(), 2);
        assert!(cosines.iter().all(|c| c.abs() < 1.0 && *c != 0.0), "{cosines:?}");
    }
    // Logging does not change the run.
    trained(&fixture, "without", &["train.log_every=1", "model.sharing.kind=tied"]);
    let [a, b] = ["tied", "without"].map(|run| variables(&fixture, run, 2));
    assert!(a.iter().all(|(name, tensor)| *tensor == b[name]));
}

/// A stage without an update would leave its network untrained.
#[test]
fn a_stage_without_an_update_is_refused() {
    let fixture = Fixture::new();
    let path = crate::ablations::scaled(&fixture).join("two-stage.toml");
    let sets = ["train.steps=1", "evaluate.every=0"].map(str::to_owned);
    let config = RunConfig::read(&path, &sets).unwrap();
    let start = Start::new(fixture.path("never"));
    let words = ["two-stage", "discriminator", "none of 1 updates"];
    fails_with(Recipe::from_config(config).pretrain(&start), &words);
    assert!(!fixture.path("never").exists());
}

/// Legal configs that are probably not meant get a warning.
#[test]
fn a_generator_as_large_as_the_discriminator_gets_a_warning() {
    let ablations = preset("tiny").parent().unwrap().join("ablations");
    let warnings = |name: &str| {
        let config = RunConfig::read(&ablations.join(format!("{name}.toml")), &[]).unwrap();
        config.objective.warnings(&config.model)
    };
    for name in ["generator-1-1", "untied", "gdes"] {
        let warnings = warnings(name);
        assert!(warnings.len() == 1 && warnings[0].contains("1/4 to 1/2"), "{name}: {warnings:?}");
    }
    for name in ["electra", "generator-1-2", "tied-all", "two-stage", "unigram", "bert"] {
        assert_eq!(warnings(name), Vec::<String>::new(), "{name}");
    }
}

/// The model card says what the network was trained for.
#[test]
fn model_cards_describe_the_objective() {
    let fixture = Fixture::new();
    let ablations = crate::ablations::scaled(&fixture);
    for (name, part, words) in [
        ("bert", ExportPart::Default, "A masked language model: an encoder for fine-tuning"),
        ("replace-mlm", ExportPart::Default, "A masked language model: an encoder"),
        ("replace-mlm", ExportPart::Generator, "An ELECTRA generator"),
        ("electric", ExportPart::Default, "the head that computes the energy of each token"),
        ("electra-15", ExportPart::Default, "the head that detects replaced tokens"),
        ("electra-15", ExportPart::Encoder, "without its pre-training head"),
    ] {
        let run = fixture.path(&format!("{name}-{part:?}-run"));
        let sets = ["train.steps=1", "evaluate.every=0"].map(str::to_owned);
        let config = RunConfig::read(&ablations.join(format!("{name}.toml")), &sets).unwrap();
        let objective = ObjectiveSettings::card(&config.objective);
        assert!(!objective.is_empty(), "{name}");
        Recipe::from_config(config).pretrain(&Start::new(&run)).unwrap();
        let out = fixture.path(&format!("{name}-{part:?}"));
        export(&run, part, &out, Existing::Refuse).unwrap();
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains(words), "{name} {part:?}: {card}");
        assert!(card.contains("| objective | ") && card.contains("| masking | "), "{card}");
    }
}
