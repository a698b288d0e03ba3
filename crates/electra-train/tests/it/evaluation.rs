//! Evaluation with a frozen reference generator and with a probe.

use crate::{Fixture, bad_input::fails_with, device};
use electra_data::{ShardSet, Split, UniformMasking, evaluation_batches};
use electra_model::{
    EncoderInput, LayerContext, PaddingMask, Parts, PretrainedNetwork, SelfAttention,
    hf::Pretrained,
};
use electra_train::{
    Existing, Recipe, Start,
    export::{self, ExportPart, export},
    metrics::{self, Figures, area_under_roc},
};
use std::path::Path;
use tch::{Device, Tensor, no_grad};

/// The held-out rows of a run.
fn held_out(run: &Path) -> Vec<Figures> {
    let rows = metrics::read(&run.join("metrics.jsonl")).unwrap();
    rows.into_iter().filter(|row| row["kind"] == "evaluate").collect()
}

fn pretrain(fixture: &Fixture, name: &str, overrides: &[&str]) -> Vec<Figures> {
    let run = fixture.path(name);
    Recipe::from_config(fixture.config(overrides)).pretrain(&Start::new(&run)).unwrap();
    held_out(&run)
}

/// The metrics of the exported discriminator of a run on tokens that are drawn from the counts of the training split, at 15 %
/// of the positions, calculated token by token.
fn by_hand(fixture: &Fixture, discriminator: &Path) -> Vec<(&'static str, f64)> {
    let pretrained = Pretrained::read(discriminator).unwrap();
    let network = PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu).unwrap();
    let PretrainedNetwork::Discriminator(network) = network else { panic!("not a discriminator") };
    let split = ShardSet::open(&fixture.path("shards"), Split::HeldOut).unwrap();
    let counts = split.unigram_counts().unwrap();
    let total: u64 = counts.iter().sum();
    let draw = |uniform: f32| {
        let mut sum = 0;
        let target = f64::from(uniform) * total as f64;
        counts.iter().position(|count| {
            sum += count;
            sum as f64 > target
        })
    };
    // The logit of each token, and whether it was replaced.
    let mut tokens: Vec<(f64, bool)> = Vec::new();
    let masking = UniformMasking { rate: 0.15, mask_share: 1.0 };
    for batch in evaluation_batches(&split, &masking, 0, 1) {
        let batch = batch.unwrap();
        let mut ids = batch.input_ids.clone();
        for (&position, &uniform) in batch.masked_positions.iter().zip(&batch.sampling_uniforms) {
            ids[position as usize] = draw(uniform).unwrap() as i64;
        }
        let row = |values: &[i64]| Tensor::from_slice(values).unsqueeze(0);
        let mask = PaddingMask::from_lengths(&[batch.tokens], batch.length, Device::Cpu);
        let input = EncoderInput::new(row(&ids), row(&batch.token_type_ids), mask);
        let logits = no_grad(|| network.forward_t(&input, false)).squeeze_dim(0);
        let replaced = ids.iter().zip(&batch.input_ids).map(|(new, old)| new != old);
        let logits = (0..batch.tokens as i64).map(|at| logits.double_value(&[at]));
        tokens.extend(logits.zip(replaced));
    }
    let count = |of: &dyn Fn(f64, bool) -> bool| {
        tokens.iter().filter(|&&(logit, replaced)| of(logit, replaced)).count() as f64
    };
    let loss = |&(logit, replaced): &(f64, bool)| {
        if replaced { (-logit).exp().ln_1p() } else { logit.exp().ln_1p() }
    };
    let all = tokens.len() as f64;
    let (replaced, original) = (count(&|_, replaced| replaced), count(&|_, replaced| !replaced));
    let mut scores: Vec<(f32, bool)> = tokens.iter().map(|&(x, label)| (x as f32, label)).collect();
    vec![
        ("reference_loss", tokens.iter().map(loss).sum::<f64>() / all),
        ("reference_replaced_fraction", replaced / all),
        ("reference_accuracy", count(&|logit, replaced| (logit > 0.0) == replaced) / all),
        ("reference_recall", count(&|logit, replaced| logit > 0.0 && replaced) / replaced),
        (
            "reference_recall_original",
            count(&|logit, replaced| logit <= 0.0 && !replaced) / original,
        ),
        ("reference_auc", area_under_roc(&mut scores)),
    ]
}

#[test]
fn metrics_with_the_unigram_reference_match_a_calculation_token_by_token() {
    let fixture = Fixture::new();
    let rows = pretrain(
        &fixture,
        "run",
        &["evaluate.reference=unigram", "optimizer.learning_rate=1e-2", "model.dropout=0.0"],
    );
    let discriminator = fixture.path("discriminator");
    export(&fixture.path("run"), ExportPart::Discriminator, &discriminator, Existing::Refuse)
        .unwrap();
    for (name, expected) in by_hand(&fixture, &discriminator) {
        let found = rows.last().unwrap()[name].as_f64().unwrap();
        // The calculation is on the CPU: on another device, logits that are equal up to rounding may change places.
        let may_tie = name.ends_with("auc") && device() != Device::Cpu;
        let tolerance = if may_tie { 1e-3 } else { 1e-5 };
        assert!((found - expected).abs() < tolerance, "{name} is {found}, expected {expected}");
    }
}

/// The replacements do not depend on the run: neither on its masks and seed nor on its batch size or step.
#[test]
fn the_reference_is_the_same_for_all_evaluations_and_runs() {
    let fixture = Fixture::new();
    let reference = "evaluate.reference=unigram";
    let rows = [
        pretrain(&fixture, "a", &[reference, "train.steps=5"]),
        pretrain(
            &fixture,
            "b",
            &[
                reference,
                "train.steps=5",
                "train.seed=9",
                "train.batch_size=4",
                "objective.masking.rate=0.4",
                "objective.positions=masked",
            ],
        ),
    ];
    let fractions: Vec<f64> = rows
        .iter()
        .flatten()
        .map(|row| row["reference_replaced_fraction"].as_f64().unwrap())
        .collect();
    assert_eq!(fractions.len(), 4);
    assert!(fractions.iter().all(|fraction| *fraction == fractions[0]), "{fractions:?}");
    // The networks differ.
    assert_ne!(rows[0][1]["reference_loss"], rows[1][1]["reference_loss"]);
}

/// If the run masks as the reference does, and the reference is the run's own generator, both evaluations are of the same
/// replacements, also if their embedding tables have padding.
#[test]
fn a_runs_own_generator_as_the_reference_has_the_metrics_of_the_run() {
    for padding in [0, 13] {
        let fixture = Fixture::new();
        let rows = fixture.config(&[]).model.discriminator.vocab_size + padding;
        let rows = format!("model.vocab_size={rows}");
        let own = ["objective.masking.rate=0.15", "objective.masking.mask_share=1.0", &rows];
        let last = pretrain(&fixture, "run", &own).pop().unwrap();
        let (run, generator) = (fixture.path("run"), fixture.path("model/generator"));
        export(&run, ExportPart::Generator, &generator, Existing::Refuse).unwrap();
        // A folder with a generator below it stands for the generator.
        for folder in [&generator, &fixture.path("model")] {
            let reference = format!("evaluate.reference=\"{}\"", folder.display());
            let recipe = Recipe::from_config(fixture.config(&[&own[..], &[&reference]].concat()));
            let (folder, checkpoint) = export::locate(&run).unwrap();
            let found = recipe.evaluate(&folder, &checkpoint, &fixture.path("shards")).unwrap();
            for name in ["loss", "accuracy", "precision", "recall", "recall_original", "auc"] {
                let live = &last[&format!("discriminator_{name}")];
                assert_eq!(&found[&format!("reference_{name}")], live, "{name}, {rows}");
            }
            assert_eq!(found["reference_replaced_fraction"], last["replaced_fraction"]);
        }
    }
}

#[test]
fn a_resumed_run_and_a_repeated_evaluation_have_the_same_rows() {
    let fixture = Fixture::new();
    let config = ["evaluate.reference=unigram", "evaluate.probe=word-order"];
    let whole = pretrain(&fixture, "whole", &config);
    let resumed = fixture.path("resumed");
    let recipe = Recipe::from_config(fixture.config(&config));
    recipe.pretrain(&Start { stop_after: Some(5), ..Start::new(&resumed) }).unwrap();
    recipe.pretrain(&Start::resume(&resumed)).unwrap();
    assert_eq!(held_out(&resumed), whole);
    for row in &whole {
        let accuracy = row["probe_accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
    }
    let (folder, checkpoint) = export::locate(&resumed).unwrap();
    let repeated = recipe.evaluate(&folder, &checkpoint, &fixture.path("shards")).unwrap();
    for (name, value) in &repeated {
        assert_eq!(Some(value), whole.last().unwrap().get(name), "{name}");
    }
}

/// A generator without a network needs the token counts of the shards.
#[test]
fn a_run_with_a_unigram_generator_is_evaluated_as_in_training() {
    let fixture = Fixture::new();
    let dir = crate::ablations::scaled(&fixture);
    let config = electra_train::RunConfig::read(&dir.join("unigram.toml"), &[]).unwrap();
    let (run, recipe) = (fixture.path("run"), Recipe::from_config(config));
    recipe.pretrain(&Start::new(&run)).unwrap();
    let last = held_out(&run).pop().unwrap();
    let (folder, checkpoint) = export::locate(&run).unwrap();
    let found = recipe.evaluate(&folder, &checkpoint, &fixture.path("shards")).unwrap();
    assert_eq!(found["discriminator_loss"], last["discriminator_loss"]);
}

/// Attention that multiplies each token with the token before it.
#[derive(Debug)]
struct Neighbors;

impl SelfAttention for Neighbors {
    fn forward_t(&self, x_bsh: &Tensor, _: &LayerContext<'_>, _: bool) -> Tensor {
        x_bsh * x_bsh.roll([1], [1]) * 3.0
    }
}

/// In the texts, a word always has the same neighbors; a network that sees them tells another order.
#[test]
fn the_probe_tells_whether_hidden_states_depend_on_the_word_order() {
    let fixture = Fixture::of(400, 0.5);
    let config = [
        "evaluate.probe=word-order",
        "train.steps=1",
        "model.embedding_size=96",
        "model.discriminator.hidden=96",
        "model.generator.hidden=96",
    ];
    let recipe = Recipe::from_config(fixture.config(&config));
    let parts = Parts::shipped().with_attention("neighbors", |_site| Ok(Neighbors));
    let run = fixture.path("run");
    recipe.with_parts(parts).pretrain(&Start::new(&run)).unwrap();
    let accuracy = held_out(&run)[0]["probe_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn references_that_cannot_be_used_are_named() {
    let fixture = Fixture::new();
    pretrain(&fixture, "run", &["train.steps=1", "evaluate.every=0"]);
    let (run, discriminator) = (fixture.path("run"), fixture.path("discriminator"));
    export(&run, ExportPart::Discriminator, &discriminator, Existing::Refuse).unwrap();
    let fails = |overrides: &[&str], words: &[&str]| {
        let recipe = Recipe::from_config(fixture.config(overrides));
        fails_with(recipe.pretrain(&Start::new(fixture.path("new"))), words);
        assert!(!fixture.path("new").exists());
    };
    let reference = |path: &Path| format!("evaluate.reference=\"{}\"", path.display());
    let key = "evaluate.reference = ";
    fails(&[&reference(&run)], &[key, "is a run", "electra export", "--part generator"]);
    fails(&[&reference(&discriminator)], &[key, "masked language model", "ElectraForPreTraining"]);
    fails(&[&reference(&fixture.path("none"))], &["none does not exist"]);
}
