//! Kinds of `[objective.masking]`: their config, and runs with them.

use crate::{Fixture, preset};
use electra_data::{
    MaskedPositions, Masking, NGramMasking, RareMasking, ReferenceMasking, ShardSet, Split,
    UniformMasking, WholeWordMasking,
    rng::{CounterRng, Purpose},
};
use electra_files::parse_toml;
use electra_tokenize::SpecialTokens;
use electra_train::{
    Outcome, Recipe, RunConfig, Start,
    config::MaskingConfig,
    export::locate,
    metrics,
    objective::{ElectricConfig, ObjectiveSettings},
};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const RATE: f64 = 0.2;
const SHARE: f64 = 0.85;

/// Each kind: its keys in TOML, and its config.
fn kinds() -> [(&'static str, MaskingConfig); 5] {
    let (rate, mask_share) = (RATE, SHARE);
    [
        ("kind = \"uniform\"", MaskingConfig::Uniform { rate, mask_share }),
        ("kind = \"reference\"", MaskingConfig::Reference { rate, mask_share }),
        ("kind = \"whole-word\"", MaskingConfig::WholeWord { rate, mask_share }),
        (
            "kind = \"n-gram\"\nmax_length = 4",
            MaskingConfig::NGram { rate, mask_share, max_length: 4 },
        ),
        (
            "kind = \"rare\"\nexponent = 1.5",
            MaskingConfig::Rare { rate, mask_share, exponent: 1.5 },
        ),
    ]
}

/// The tiny preset with other keys in `[objective.masking]`.
fn read(keys: &str) -> electra_files::Result<RunConfig> {
    let text = fs::read_to_string(preset("tiny")).unwrap();
    let (before, rest) = text.split_once("[objective.masking]\n").unwrap();
    let (_, after) = rest.split_once("[model]\n").unwrap();
    let text = format!("{before}[objective.masking]\n{keys}\n[model]\n{after}");
    parse_toml(&text, Path::new("x.toml"), &[])
}

#[test]
fn every_kind_is_read_and_written_back() {
    for (keys, expected) in kinds() {
        let config = read(&format!("rate = {RATE}\nmask_share = {SHARE}\n{keys}")).unwrap();
        assert_eq!(config.objective.masking(), &expected);
        assert_eq!((expected.rate(), expected.mask_share()), (RATE, SHARE), "{keys}");
        let again: RunConfig = parse_toml(&config.to_toml(), Path::new("x.toml"), &[]).unwrap();
        assert_eq!(again, config);
    }
}

#[test]
fn two_keys_are_optional() {
    let config = |kind: &str| {
        let config = read(&format!("kind = \"{kind}\"\nrate = 0.1\nmask_share = 1.0")).unwrap();
        config.objective.masking().clone()
    };
    let (rate, mask_share) = (0.1, 1.0);
    assert_eq!(config("n-gram"), MaskingConfig::NGram { rate, mask_share, max_length: 3 });
    assert_eq!(config("rare"), MaskingConfig::Rare { rate, mask_share, exponent: 0.5 });
}

#[test]
fn invalid_values_are_errors_that_name_the_key() {
    let rejected = |keys: &str, words: &[&str]| {
        let file = read(keys).map_err(|e| e.to_string());
        let validated = file.and_then(|config| config.validate().map_err(|e| e.to_string()));
        let message = validated.unwrap_err();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    };
    let shares = format!("rate = {RATE}\nmask_share = {SHARE}\n");
    let rejects = |keys: &str, words: &[&str]| rejected(&format!("{shares}{keys}"), words);
    rejects(
        "kind = \"n-gram\"\nmax_length = 0",
        &["objective.masking.max_length = 0", "at least 1"],
    );
    rejects("kind = \"n-gram\"\nmax_length = -1", &["x.toml", "-1"]);
    for (exponent, value) in [("-0.5", "-0.5"), ("inf", "inf"), ("nan", "NaN")] {
        let keys = format!("kind = \"rare\"\nexponent = {exponent}");
        let key = format!("objective.masking.exponent = {value}");
        rejects(&keys, &[&key, "must be finite and not negative"]);
    }
    rejects("kind = \"uniform\"\nmax_length = 3", &["max_length"]);
    rejects("kind = \"hard\"", &["hard", "uniform", "reference", "whole-word", "n-gram", "rare"]);
    for kind in ["whole-word", "n-gram", "rare"] {
        for (key, other) in [("rate", "mask_share"), ("mask_share", "rate")] {
            let keys = format!("kind = \"{kind}\"\n{key} = 1.1\n{other} = 0.5");
            rejected(&keys, &[&format!("objective.masking.{key} = 1.1"), "at most 1"]);
        }
    }
}

/// Electric's loss uses the rate as the probability that a token is noise.
#[test]
fn electric_rejects_rare_masking() {
    let fixture = Fixture::new();
    let electric = |masking: &MaskingConfig| ElectricConfig {
        generator_weight: 1.0,
        discriminator_weight: 1.0,
        masking: masking.clone(),
    };
    let rare = &kinds()[4].1;
    let message = electric(rare).validate(&fixture.config(&[]).model).unwrap_err().to_string();
    for word in ["objective.masking.kind = \"rare\"", "electric"] {
        assert!(message.contains(word), "{message}");
    }
}

/// The masking that a kind builds equals the one with the vocabulary and counts of the shards.
#[test]
fn every_kind_is_built_for_the_shards() {
    let fixture = Fixture::new();
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    let (rate, mask_share) = (RATE, SHARE);
    let (continuations, counts) =
        (shards.continuations().unwrap(), shards.unigram_counts().unwrap());
    assert!(continuations.contains(&true) && counts.iter().any(|&count| count > 1));
    let expected: [&dyn Masking; 5] = [
        &UniformMasking { rate, mask_share },
        &ReferenceMasking { rate, mask_share },
        &WholeWordMasking { rate, mask_share, continuations },
        &NGramMasking { rate, mask_share, max_length: 4 },
        &RareMasking { rate, mask_share, exponent: 1.5, counts },
    ];
    for ((keys, config), expected) in kinds().into_iter().zip(expected) {
        let masking = config.build(&shards).unwrap();
        for index in 0..50 {
            let ids = shards.example(index).unwrap().ids;
            let [found, expected] = [&*masking, expected].map(|masking| {
                let mut rng = CounterRng::new(1, Purpose::Masking, 0, index);
                masking.choose(&ids, 16, shards.special(), &mut rng)
            });
            assert_eq!(found, expected, "{keys}");
        }
    }
    fs::remove_file(fixture.path("shards").join("token_counts.json")).unwrap();
    for (keys, config) in kinds() {
        match (config.build(&shards), keys.contains("rare")) {
            (Ok(_), false) => {}
            (Err(error), true) => assert!(error.to_string().contains("token_counts.json")),
            (result, _) => panic!("{keys}: {result:?}"),
        }
    }
}

/// With batches of fixed shapes, which have room for [`Masking::most`] predictions.
#[test]
fn runs_with_every_kind_resume_and_evaluate_exactly() {
    let fixture = Fixture::new();
    for kind in ["whole-word", "n-gram", "rare"] {
        for kernels in ["fused", "gpu"] {
            let (kind_set, kernels_set) =
                (format!("objective.masking.kind={kind}"), format!("model.kernels={kernels}"));
            let config = fixture.config(&[
                &kind_set,
                &kernels_set,
                "train.steps=4",
                "checkpoint.every=2",
                "evaluate.every=4",
                "train.log_every=1",
            ]);
            let recipe = Recipe::from_config(config);
            let run = |name: &str| fixture.path(&format!("{kind} {kernels} {name}"));
            let (whole, resumed) = (run("whole"), run("resumed"));
            assert_eq!(recipe.pretrain(&Start::new(&whole)).unwrap(), Outcome::Finished);
            let half = Start { stop_after: Some(2), ..Start::new(&resumed) };
            assert_eq!(recipe.pretrain(&half).unwrap(), Outcome::Stopped);
            assert_eq!(recipe.pretrain(&Start::resume(&resumed)).unwrap(), Outcome::Finished);
            let [a, b] = [&whole, &resumed].map(|run| {
                fs::read(run.join("checkpoints/step-0000004/model.safetensors")).unwrap()
            });
            assert!(a == b, "{kind} {kernels}");

            let rows = metrics::read(&whole.join("metrics.jsonl")).unwrap();
            let last = rows.iter().rfind(|row| row["kind"] == "evaluate").unwrap();
            let (folder, checkpoint) = locate(&whole).unwrap();
            let shards = fixture.path("shards");
            for (name, value) in recipe.evaluate(&folder, &checkpoint, &shards).unwrap() {
                assert_eq!(last.get(&name), Some(&value), "{kind} {kernels}: {name}");
            }
        }
    }
}

/// Chooses the first token behind `[CLS]`, and counts the examples.
#[derive(Clone, Debug, Default)]
struct First(Arc<AtomicUsize>);

impl Masking for First {
    fn choose(
        &self,
        _ids: &[u32],
        _length: usize,
        _special: &SpecialTokens,
        _rng: &mut CounterRng,
    ) -> MaskedPositions {
        self.0.fetch_add(1, Ordering::Relaxed);
        MaskedPositions { positions: vec![1], as_mask: vec![true] }
    }
}

#[test]
fn a_custom_masking_replaces_that_of_the_config() {
    let fixture = Fixture::new();
    let masking = First::default();
    let sets = ["objective.masking.kind=whole-word", "train.steps=1", "evaluate.every=0"];
    let recipe = Recipe::from_config(fixture.config(&sets)).with_masking(masking.clone());
    let run = fixture.path("run");
    recipe.pretrain(&Start::new(&run)).unwrap();
    assert!(masking.0.swap(0, Ordering::Relaxed) >= 6, "the examples of a batch");

    let shards = fixture.path("shards");
    let held_out = ShardSet::open(&shards, Split::HeldOut).unwrap().len();
    let (folder, checkpoint) = locate(&run).unwrap();
    recipe.evaluate(&folder, &checkpoint, &shards).unwrap();
    assert!(masking.0.load(Ordering::Relaxed) as u64 >= held_out, "the examples of the split");
}
