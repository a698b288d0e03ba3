//! Replaced token detection: initial loss, labels, sampling, gradient accumulation, metrics.

use crate::{Fixture, device, figures, replaced_token};
use electra_data::{MaskedBatch, ShardSet, Split, UniformMasking, evaluation_batches};
use electra_model::tensors::variables;
use electra_train::{
    Recipe, RunConfig,
    metrics::{area_under_roc, entropy},
    objective::{
        Batch, LossCounts, Objective, ObjectiveSite, ReplacedToken, TokenPrediction, sample,
    },
};
use tch::{Device, Kind, Tensor, nn, no_grad};

const MASKING: UniformMasking = UniformMasking { rate: 0.2, mask_share: 0.85 };

pub(crate) fn batches(fixture: &Fixture, size: usize) -> Vec<MaskedBatch> {
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    evaluation_batches(&shards, &MASKING, 1, size).map(Result::unwrap).collect()
}

pub(crate) fn built(fixture: &Fixture, config: &RunConfig) -> (nn::VarStore, ReplacedToken) {
    tch::manual_seed(1);
    let counts =
        ShardSet::open(&fixture.path("shards"), Split::Train).unwrap().unigram_counts().unwrap();
    let vs = nn::VarStore::new(device());
    let parts = electra_model::Parts::shipped();
    let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
    let objective = ReplacedToken::new(replaced_token(config), &site).unwrap();
    (vs, objective)
}

fn figure(objective: &ReplacedToken, batch: &MaskedBatch, name: &str) -> f64 {
    let pass = no_grad(|| objective.pass(batch, &objective.loss_counts(batch), false));
    figures(&*pass)[name].as_f64().unwrap_or(f64::NAN)
}

/// With weights near 0 the generator is uniform over V tokens and the discriminator predicts one half, so the paper's
/// loss is `ln V + 50 ln 2`. The standard deviation of 0.02 changes it by less than 0.5 at these sizes.
#[test]
fn the_initial_loss_is_ln_v_plus_50_ln_2() {
    let fixture = Fixture::new();
    let config = fixture.config(&[
        "model.initializer.std=0.02",
        "model.initializer.output_bias=zero",
        "model.initializer.positions=random",
        "objective.discriminator_weight=50.0",
    ]);
    let (_vs, objective) = built(&fixture, &config);
    let batch = &batches(&fixture, 32)[0];
    let loss =
        objective.pass(batch, &objective.loss_counts(batch), false).loss(0).double_value(&[]);
    let expected = (config.model.discriminator.vocab_size as f64).ln() + 50.0 * 2.0f64.ln();
    assert!((loss - expected).abs() < 0.5, "{loss}, expected about {expected}");
}

#[test]
fn labels_mark_tokens_that_differ_from_the_original() {
    let fixture = Fixture::new();
    let (_vs, objective) = built(&fixture, &fixture.config(&[]));
    for batch in batches(&fixture, 5) {
        let replaced = figure(&objective, &batch, "replaced_fraction");
        let accuracy = figure(&objective, &batch, "generator_sampled_accuracy");
        // Masked positions are replaced unless the sample is the original token.
        let expected = batch.masked_labels.len() as f64 * (1.0 - accuracy) / batch.tokens as f64;
        assert!((replaced - expected).abs() < 1e-6, "{replaced}, expected {expected}");
    }
}

/// Token predictions have the original tokens, and reproduce the metrics, in both implementations.
#[test]
fn token_predictions_are_consistent_with_the_metrics() {
    let fixture = Fixture::new();
    for kernels in ["model.kernels=fused", "model.kernels=gpu"] {
        let (_vs, objective) = built(&fixture, &fixture.config(&[kernels]));
        let batch = &batches(&fixture, 5)[0];
        let pass = no_grad(|| objective.pass(batch, &objective.loss_counts(batch), false));
        let predictions = pass.token_predictions();
        for (row, sequence) in predictions.iter().enumerate() {
            let cells = row * batch.length..(row + 1) * batch.length;
            let tokens = batch.attention_mask[cells.clone()].iter().sum::<i64>() as usize;
            let ids: Vec<i64> = sequence.iter().map(|token| token.original).collect();
            assert_eq!(ids, batch.input_ids[cells.clone()][..tokens]);
            let sampled = (cells.start as i64..).zip(sequence).filter(|(_, t)| t.sampled.is_some());
            let sampled = sampled.map(|(position, _)| position);
            let in_row = |position: &&i64| cells.contains(&(**position as usize));
            assert!(sampled.eq(batch.masked_positions.iter().filter(in_row).copied()));
        }
        let all = || predictions.iter().flatten();
        let is_replaced =
            |token: &&TokenPrediction| token.sampled.is_some_and(|id| id != token.original);
        let is_correct =
            |token: &&TokenPrediction| (token.replaced_probability > 0.5) == is_replaced(token);
        let fraction = |count: usize| count as f64 / batch.tokens as f64;
        let replaced = fraction(all().filter(is_replaced).count());
        let accuracy = fraction(all().filter(is_correct).count());
        for (name, found) in [("replaced_fraction", replaced), ("discriminator_accuracy", accuracy)]
        {
            approx::assert_abs_diff_eq!(found, figure(&objective, batch, name), epsilon = 1e-6);
        }
        assert!(replaced > 0.0);
    }
}

/// Evenly spaced uniforms: the fraction of each token is its probability to within 2 / n.
#[test]
fn samples_follow_the_softmax() {
    let logits = Tensor::from_slice(&[0.0f32, 1.0, 2.0, -1e9, 0.5]);
    let n = 40_000i64;
    let rows = logits.unsqueeze(0).repeat([n, 1]);
    for temperature in [1.0, 2.0] {
        let uniforms =
            (Tensor::arange(n, (Kind::Double, Device::Cpu)) / n as f64).to_kind(Kind::Float);
        let drawn = sample(&rows, &uniforms, temperature);
        let weights: Vec<f64> =
            [0.0f64, 1.0, 2.0, -1e9, 0.5].iter().map(|x| (x / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (token, weight) in weights.iter().enumerate() {
            let share = drawn.eq(token as i64).sum(Kind::Double).double_value(&[]) / n as f64;
            assert!(
                (share - weight / total).abs() < 2.0 / n as f64 + 1e-6,
                "token {token}: {share}"
            );
        }
    }
}

/// Pearson's chi-squared test with at least 120,000 samples from the loader's uniforms, over 50 tokens with probabilities
/// from 1e-5 to 0.18 and one token of probability 0.
#[test]
fn samples_of_the_loaders_uniforms_follow_the_softmax() {
    let fixture = Fixture::new();
    let shards = ShardSet::open(&fixture.path("shards"), Split::Train).unwrap();
    let mut uniforms: Vec<f32> = Vec::new();
    for seed in 0.. {
        for batch in evaluation_batches(&shards, &MASKING, seed, 64) {
            uniforms.extend(batch.unwrap().sampling_uniforms);
        }
        if uniforms.len() >= 120_000 {
            break;
        }
    }
    // Likely and unlikely tokens in mixed order.
    let mut logits: Vec<f32> = (0..50).map(|i| (i * 7 % 50) as f32 * 0.2).collect();
    logits.insert(20, -1e9);
    let n = uniforms.len();
    let rows = Tensor::from_slice(&logits).unsqueeze(0).expand([n as i64, 51], false);
    for temperature in [1.0, 2.0] {
        let drawn = sample(&rows, &Tensor::from_slice(&uniforms), temperature);
        let mut counts = [0usize; 51];
        for token in Vec::<i64>::try_from(drawn).unwrap() {
            counts[token as usize] += 1;
        }
        assert_eq!(counts[20], 0, "a token of probability 0 was sampled");
        let weights = logits.iter().map(|&x| (f64::from(x) / temperature).exp());
        let total: f64 = weights.clone().sum();
        let mut cells: Vec<_> =
            weights.map(|w| w / total * n as f64).zip(counts.map(|c| c as f64)).collect();
        cells.remove(20);
        let statistic = ChiSquare::of(cells);
        assert!(statistic.value < statistic.critical(), "{statistic:?} at {temperature}");
        assert!(statistic.degrees >= 30, "{statistic:?}");
    }
}

#[derive(Debug)]
struct ChiSquare {
    value: f64,
    degrees: usize,
}

impl ChiSquare {
    /// The statistic of (expected, found) cells; merges cells with fewer than 5 expected samples.
    fn of(cells: Vec<(f64, f64)>) -> Self {
        let (small, mut cells): (Vec<_>, Vec<_>) =
            cells.into_iter().partition(|(expected, _)| *expected < 5.0);
        if !small.is_empty() {
            cells.push(small.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1)));
        }
        let term = |(expected, found): &(f64, f64)| (found - expected).powi(2) / expected;
        Self { value: cells.iter().map(term).sum(), degrees: cells.len() - 1 }
    }

    /// The critical value at a significance of 1e-6, by Wilson and Hilferty's cube of a normal variate; 4.7534 is the
    /// normal quantile.
    fn critical(&self) -> f64 {
        let k = self.degrees as f64;
        k * (1.0 - 2.0 / (9.0 * k) + 4.7534 * (2.0 / (9.0 * k)).sqrt()).powi(3)
    }
}

#[test]
fn samples_stay_in_the_vocabulary_for_extreme_uniforms() {
    let rows = Tensor::from_slice(&[-1e9f32, 0.0, -1e9]).unsqueeze(0).repeat([2, 1]);
    let drawn = sample(&rows, &Tensor::from_slice(&[0.0f32, 1.0 - f32::EPSILON / 2.0]), 1.0);
    assert_eq!(Vec::<i64>::try_from(drawn).unwrap(), [1, 1]);
}

/// The gradients of a batch's parts add up to the gradient of the batch, up to float32 rounding.
#[test]
fn accumulated_gradients_equal_those_of_the_whole_batch() {
    let fixture = Fixture::new();
    let config = fixture.config(&["model.dropout=0.0", "model.attention_dropout=0.0"]);
    let (vs, objective) = built(&fixture, &config);
    let batch = batches(&fixture, 7).remove(0);
    let whole = objective.loss_counts(&batch);
    let gradients = |parts: Vec<MaskedBatch>| {
        let named = variables(&vs).unwrap();
        for (_, variable) in &named {
            let mut gradient = variable.grad();
            if gradient.defined() {
                let _ = gradient.zero_();
            }
        }
        for part in parts {
            objective.pass(&part, &whole, true).loss(0).backward();
        }
        named.into_iter().map(|(name, t)| (name, t.grad().copy())).collect::<Vec<_>>()
    };
    let expected = gradients(vec![batch.clone()]);
    let accumulated = gradients(Batch::split(batch, 3));
    for ((name, a), (_, b)) in expected.iter().zip(&accumulated) {
        let difference = (a - b).abs().max().double_value(&[]);
        let largest = a.abs().max().double_value(&[]);
        assert!(difference <= 1e-5 * largest.max(1e-3), "{name}: {difference} of {largest}");
    }
}

#[test]
fn padding_does_not_change_the_metrics() {
    let fixture = Fixture::new();
    let (_vs, objective) = built(&fixture, &fixture.config(&[]));
    let batch = batches(&fixture, 5).remove(0);
    let mut padded = MaskedBatch { length: batch.length + 3, ..batch.clone() };
    let widen = |values: &[i64]| -> Vec<i64> {
        values.chunks(batch.length).flat_map(|row| row.iter().copied().chain([0; 3])).collect()
    };
    padded.input_ids = widen(&batch.input_ids);
    padded.generator_ids = widen(&batch.generator_ids);
    padded.token_type_ids = widen(&batch.token_type_ids);
    padded.attention_mask = widen(&batch.attention_mask);
    padded.special_tokens_mask = (batch.special_tokens_mask.chunks(batch.length))
        .flat_map(|row| row.iter().copied().chain([true; 3]))
        .collect();
    let length = batch.length as i64;
    padded.masked_positions =
        batch.masked_positions.iter().map(|p| p / length * (length + 3) + p % length).collect();
    for name in
        ["loss", "generator_loss", "discriminator_loss", "discriminator_auc", "replaced_fraction"]
    {
        let (a, b) = (figure(&objective, &batch, name), figure(&objective, &padded, name));
        assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
    }
}

#[test]
fn both_losses_are_normalized_by_their_predictions() {
    let fixture = Fixture::new();
    let (_vs, objective) = built(&fixture, &fixture.config(&[]));
    let batch = &batches(&fixture, 5)[0];
    // [CLS], and [SEP] after each segment.
    let segments = batch.token_type_ids.chunks(batch.length);
    let special: usize = segments.map(|row| if row.contains(&1) { 3 } else { 2 }).sum();
    let loss_counts = objective.loss_counts(batch);
    assert_eq!(
        loss_counts,
        LossCounts {
            predictions: batch.masked_labels.len(),
            tokens: batch.tokens,
            maskable: batch.tokens - special,
        }
    );
    let [total, generator, discriminator] = ["loss", "generator_loss", "discriminator_loss"]
        .map(|name| figure(&objective, batch, name));
    assert!(
        (total - generator - 5.0 * discriminator).abs() < 1e-4,
        "{total} {generator} {discriminator}"
    );
}

#[test]
fn the_loss_decreases_and_evaluation_is_reproducible() {
    let fixture = Fixture::new();
    let config = fixture.config(&[
        "train.steps=150",
        "train.batch_size=16",
        "checkpoint.every=150",
        "evaluate.every=75",
    ]);
    let run = fixture.path("run");
    Recipe::from_config(config.clone()).pretrain(&electra_train::Start::new(&run)).unwrap();
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let held_out: Vec<_> = rows.iter().filter(|row| row["kind"] == "evaluate").collect();
    let steps: Vec<_> = held_out.iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 75, 150]);
    let loss = |row: &serde_json::Value| row["loss"].as_f64().unwrap();
    assert!(loss(held_out[2]) < 0.85 * loss(held_out[0]), "{held_out:?}");

    let (folder, checkpoint) = electra_train::export::locate(&run).unwrap();
    let shards = fixture.path("shards");
    let repeated = Recipe::from_config(config).evaluate(&folder, &checkpoint, &shards).unwrap();
    for (name, value) in &repeated {
        assert_eq!(Some(value), held_out[2].get(name), "{name}");
    }
    // Training rows have the metrics of the loop.
    let trained = rows.iter().find(|row| row["kind"] == "train").unwrap();
    for name in
        ["learning_rate", "gradient_norm", "tokens_per_second", "wait_share", "peak_memory_bytes"]
    {
        assert!(trained[name].as_f64().is_some(), "{name} in {trained}");
    }
    // All rows have the metrics of the objective; a precision without positives is undefined.
    for name in [
        "loss",
        "generator_loss",
        "generator_loss_mask",
        "generator_accuracy",
        "generator_accuracy_mask",
        "discriminator_loss",
        "discriminator_accuracy",
        "discriminator_precision",
        "discriminator_recall",
        "discriminator_recall_original",
        "discriminator_auc",
        "replaced_fraction",
    ] {
        assert!(rows.iter().all(|row| row.get(name).is_some()), "{name} in {rows:?}");
        let defined = trained[name].is_f64() || name == "discriminator_precision";
        assert!(defined, "{name} in {trained}");
    }
}

/// Calculated by hand: of the 2 x 3 pairs 4 are in order, and one tie counts half.
#[test]
fn the_area_under_the_roc_curve() {
    let mut scores = [(0.9, true), (0.4, true), (0.5, false), (0.4, false), (0.1, false)];
    assert!((area_under_roc(&mut scores) - 4.5 / 6.0).abs() < 1e-12);
    assert!((area_under_roc(&mut [(1.0, true), (0.0, false)]) - 1.0).abs() < 1e-12);
    assert!(area_under_roc(&mut [(1.0, true)]).is_nan());
}

#[test]
fn the_entropy_of_counts() {
    assert!((entropy([1u64, 1, 2, 0].into_iter()) - 1.5 * 2.0f64.ln()).abs() < 1e-12);
}
