//! Estimators against what they estimate: REINFORCE against the exact gradient, Electric against known probabilities.

use crate::{GeneratorLock, device, figures, preset, train_device};
use electra_data::MaskedBatch;
use electra_model::{EncoderInput, Parts, Row, tensors::variables};
use electra_train::{
    RunConfig,
    config::MaskingConfig,
    objective::{
        AdversarialConfig, Electric, ElectricConfig, Objective, ObjectiveSettings, ObjectiveSite,
    },
    optim::{Adam, Decay, Rule},
    schedule::Schedule,
};
use tch::{Device, Kind, Tensor, nn};

const MASKING: MaskingConfig = MaskingConfig::Uniform { rate: 0.25, mask_share: 1.0 };

/// A small model over `vocab` tokens; the preset has no dropout.
fn model(vocab: usize, sets: &[&str]) -> RunConfig {
    let vocab = format!("model.vocab_size={vocab}");
    let common = [
        &vocab,
        train_device(),
        "model.embedding_size=16",
        "model.discriminator.hidden=16",
        "model.discriminator.intermediate=32",
        "model.generator.hidden=16",
        "model.generator.intermediate=32",
    ];
    let sets = common.iter().chain(sets).map(|&set| set.to_owned());
    RunConfig::read(&preset("tiny"), &sets.collect::<Vec<_>>()).unwrap()
}

/// `rows` copies of a sequence whose token at `position` is masked, with given samples.
fn batch(ids: &[i64], position: usize, label: i64, rows: usize, samples: Samples) -> MaskedBatch {
    let repeat = |values: &[i64]| values.repeat(rows);
    let (mut original, mut masked) = (ids.to_vec(), ids.to_vec());
    original[position] = label;
    masked[position] = 4;
    let (uniforms, sampled_ids) = match samples {
        Samples::Uniforms(uniforms) => (uniforms, Vec::new()),
        Samples::Ids(ids) => (vec![0.0; rows], ids),
    };
    MaskedBatch {
        batch: rows,
        length: ids.len(),
        input_ids: repeat(&original),
        generator_ids: repeat(&masked),
        token_type_ids: vec![0; rows * ids.len()],
        attention_mask: vec![1; rows * ids.len()],
        special_tokens_mask: original.iter().map(|&id| id < 5).collect::<Vec<_>>().repeat(rows),
        masked_positions: (0..rows).map(|row| (row * ids.len() + position) as i64).collect(),
        masked_labels: vec![label; rows],
        masked_is_mask: vec![true; rows],
        sampling_uniforms: uniforms,
        sampled_ids,
        tokens: rows * ids.len(),
        most_masked: 1,
    }
}

enum Samples {
    Uniforms(Vec<f32>),
    Ids(Vec<i64>),
}

/// The gradient of the generator's output bias over 10,000 samples is within 3 standard errors of the exact one, which is
/// computed from the probability and the reward of each of the 8 tokens.
#[test]
fn reinforce_estimates_the_gradient_of_the_expected_reward() {
    const VOCAB: usize = 8;
    const DRAWS: usize = 10_000;
    const ENTROPY_WEIGHT: f64 = 0.1;
    let _lock = GeneratorLock::take();
    tch::manual_seed(3);
    let config = model(VOCAB, &["model.initializer.std=0.5"]);
    let settings = AdversarialConfig {
        generator_weight: 1.0,
        discriminator_weight: 0.0,
        entropy_weight: ENTROPY_WEIGHT,
        temperature: 1.0,
        masking: MASKING,
    };
    let (vs, parts, counts) = (nn::VarStore::new(device()), Parts::shipped(), [0; VOCAB]);
    let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
    let objective = settings.build(&site).unwrap();
    let (ids, position, label) = ([2, 5, 0, 7, 3], 2, 6);
    let figure = |batch: &MaskedBatch, name: &str| {
        let pass = objective.pass(batch, &objective.loss_counts(batch), false);
        tch::no_grad(|| figures(&*pass))[name].as_f64().unwrap()
    };
    // The cross-entropy with label k is -log p_k; the reward of sample k is that of a pass with this sample.
    let tokens = 0..VOCAB as i64;
    let one = |label, sample| batch(&ids, position, label, 1, Samples::Ids(vec![sample]));
    let p: Vec<f64> =
        tokens.clone().map(|k| (-figure(&one(k, k), "generator_loss")).exp()).collect();
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{p:?}");
    let rewards: Vec<f64> = tokens.map(|k| figure(&one(label, k), "reward")).collect();
    let entropy: f64 = -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let baseline = figure(&one(label, label), "baseline");
    // Gradients by the bias of token j: of p_k, p_k (1[k = j] - p_j); of the entropy, -p_j (log p_j + entropy).
    let kronecker = |k: usize, j: usize| if k == j { 1.0 } else { 0.0 };
    let bonus = |j: usize| ENTROPY_WEIGHT * p[j] * (p[j].ln() + entropy);
    let exact = |j: usize| {
        let reward = |k: usize| rewards[k] * p[k] * (kronecker(k, j) - p[j]);
        bonus(j) - (0..VOCAB).map(reward).sum::<f64>()
    };

    // Uniform numbers in a fixed order that covers [0, 1) unevenly, as random numbers do.
    let uniforms = Tensor::rand([DRAWS as i64], (Kind::Float, Device::Cpu));
    let uniforms = Vec::<f32>::try_from(uniforms).unwrap();
    let drawn = batch(&ids, position, label, DRAWS, Samples::Uniforms(uniforms));
    objective.pass(&drawn, &objective.loss_counts(&drawn), false).loss(0).backward();
    let variables = variables(&vs).unwrap();
    let (_, bias) =
        variables.iter().find(|(name, _)| name == "generator.generator_lm_head.bias").unwrap();
    let found = Vec::<f32>::try_from(bias.grad()).unwrap();
    let mut largest: f64 = 0.0;
    for (j, &found) in found.iter().enumerate() {
        // The estimate of one draw of k.
        let draw = |k: usize| -(rewards[k] - baseline) * (kronecker(k, j) - p[j]) + bonus(j);
        let mean: f64 = (0..VOCAB).map(|k| p[k] * draw(k)).sum();
        let square: f64 = (0..VOCAB).map(|k| p[k] * draw(k).powi(2)).sum();
        let error = ((square - mean * mean) / DRAWS as f64).sqrt();
        let difference = (f64::from(found) - exact(j)).abs();
        assert!(difference <= 3.0 * error, "token {j}: {found}, exactly {}, {error}", exact(j));
        largest = largest.max(exact(j).abs() / error);
    }
    assert!(largest > 10.0, "all gradients are within {largest} standard errors of 0");
}

/// On texts `[CLS] a b [SEP]` with known probabilities of `b` after `a`, the energy of `b` becomes `-log p(b | a)`.
#[test]
fn electric_learns_the_log_probabilities_of_a_toy_corpus() {
    let _lock = GeneratorLock::take();
    tch::manual_seed(5);
    const WORDS: usize = 4;
    // Rows are a, columns are b, in sixteenths.
    const COUNTS: [[usize; WORDS]; WORDS] =
        [[8, 4, 2, 2], [2, 8, 3, 3], [5, 5, 4, 2], [2, 2, 2, 10]];
    let config = model(5 + WORDS, &["model.initializer.std=0.4", "model.kernels=plain"]);
    // Half of the rows have noise.
    let masking = MaskingConfig::Uniform { rate: 0.5, mask_share: 1.0 };
    let settings = ElectricConfig { generator_weight: 1.0, discriminator_weight: 1.0, masking };
    let (vs, parts, counts) = (nn::VarStore::new(device()), Parts::shipped(), [0; 5 + WORDS]);
    let site = ObjectiveSite::new(vs.root(), &config.model, &parts, &counts);
    let objective = Electric::new(&settings, &site).unwrap();
    let named = variables(&vs).unwrap();
    let rule = |name: &str| Rule { decay: Decay::of(name), rate: 1.0 };
    let mut adam = Adam::new(&config.optimizer, &named, rule).unwrap();
    let steps = 500;
    let schedule = Schedule { peak: 5e-3, warmup_steps: 20, total_steps: steps, decay_power: 1.0 };
    let texts: Vec<[i64; 4]> = (0..WORDS)
        .flat_map(|a| (0..WORDS).map(move |b| (a, b)))
        .flat_map(|(a, b)| std::iter::repeat_n([2, 5 + a as i64, 5 + b as i64, 3], COUNTS[a][b]))
        .collect();
    for step in 0..steps {
        let ids: Vec<i64> = texts.concat();
        let rows = ids.len() / 4;
        // In every second row b is noise; a never is, so that the context of b is that of the corpus.
        let positions = (0..rows).filter(|row| (row + step as usize).is_multiple_of(2));
        let positions: Vec<i64> = positions.map(|row| row as i64 * 4 + 2).collect();
        let uniforms = Tensor::rand([positions.len() as i64], (Kind::Float, Device::Cpu));
        let batch = MaskedBatch {
            batch: rows,
            length: 4,
            input_ids: ids.clone(),
            generator_ids: ids.clone(),
            token_type_ids: vec![0; ids.len()],
            attention_mask: vec![1; ids.len()],
            special_tokens_mask: ids.iter().map(|&id| id < 5).collect(),
            masked_labels: positions.iter().map(|&at| ids[at as usize]).collect(),
            masked_positions: positions,
            masked_is_mask: vec![true; rows / 2],
            sampling_uniforms: Vec::try_from(uniforms).unwrap(),
            sampled_ids: Vec::new(),
            tokens: ids.len(),
            most_masked: 1,
        };
        adam.zero_grad();
        objective.pass(&batch, &objective.loss_counts(&batch), true).loss(0).backward();
        let norm = adam.gradient_norm();
        adam.step(schedule.rate(step), &norm);
    }
    for (a, counts) in COUNTS.iter().enumerate() {
        for (b, &count) in counts.iter().enumerate() {
            let ids = [2, 5 + a as u32, 5 + b as u32, 3];
            let row = Row { ids: &ids, segment_b_start: 4 };
            let input = EncoderInput::from_rows(&[row], 0, device());
            let energy = tch::no_grad(|| objective.energies_bs(&input)).double_value(&[0, 2]);
            let expected = -(count as f64 / 16.0).ln();
            assert!((energy - expected).abs() < 0.3, "{a} {b}: {energy}, expected {expected}");
        }
    }
}
