//! Statistical tests of dropout: rate, scale, and independence between positions, layers, networks and steps.
//!
//! The tests only use public forward passes, of networks whose weights make the masks visible in the hidden states, so
//! that they apply to every implementation of a layer.

use crate::{GeneratorLock, device, preset};
use electra_model::{Encoder, EncoderInput, PaddingMask, Parts, Pretraining, tensors::variables};
use electra_train::{RunConfig, mix};
use tch::{Kind, Tensor, nn, no_grad};

/// The tested probability: different from its complement, and from the presets' 0.1.
const P: f64 = 0.25;
/// Bounds in standard deviations of a binomial: one comparison in 5e8 exceeds them by chance.
const DEVIATIONS: f64 = 6.0;
/// For float32 through three LayerNorms.
const TOLERANCE: f64 = 1e-4;

/// The tested implementations.
const KERNELS: [&str; 2] = ["fused", "plain"];

const BATCH: i64 = 128;
const LENGTH: i64 = 8;
const HIDDEN: i64 = 64;
const HEADS: i64 = 2;

/// Generator and discriminator of equal sizes, with embeddings as wide as the layers.
fn networks(kernels: &str, dropout: f64, attention_dropout: f64) -> (nn::VarStore, Pretraining) {
    let mut overrides = vec![
        "model.vocab_size=10".to_owned(),
        format!("model.embedding_size={HIDDEN}"),
        format!("model.kernels={kernels}"),
        format!("model.dropout={dropout}"),
        format!("model.attention_dropout={attention_dropout}"),
    ];
    let sizes = [("layers", 3), ("hidden", HIDDEN), ("heads", HEADS), ("intermediate", 8)];
    for network in ["discriminator", "generator"] {
        overrides.extend(sizes.map(|(key, value)| format!("model.{network}.{key}={value}")));
    }
    let config = RunConfig::read(&preset("tiny"), &overrides).unwrap();
    let vs = nn::VarStore::new(device());
    let networks = Pretraining::new(&vs.root(), &config.model, &Parts::shipped()).unwrap();
    (vs, networks)
}

/// Sets the variables of both networks whose names end in `.suffix`.
fn set(vs: &nn::VarStore, suffix: &str, value: &Tensor) {
    let named = variables(vs).unwrap();
    let mut own = named.into_iter().filter(|(name, _)| name.ends_with(&format!(".{suffix}")));
    let mut count = 0;
    no_grad(|| {
        own.by_ref().for_each(|(_, mut variable)| {
            variable.copy_(&value.expand(variable.size(), false));
            count += 1;
        });
    });
    assert!(count > 0, "no variable ends in {suffix}");
}

fn number(x: f64) -> Tensor {
    Tensor::from(x).to_kind(Kind::Float)
}

fn states(encoder: &Encoder, train: bool) -> Vec<Tensor> {
    let ids = Tensor::full([BATCH, LENGTH], 5, (Kind::Int64, device()));
    let mask = PaddingMask::without_padding(BATCH, LENGTH, device());
    let input = EncoderInput::new(ids.shallow_clone(), ids.zeros_like(), mask);
    let states = no_grad(|| encoder.hidden_states(&input, train));
    states.into_iter().map(|state| state.to_kind(Kind::Double)).collect()
}

/// A flattened mask: 1 where an element was dropped.
type Dropped = Tensor;

fn share(dropped: &Dropped) -> f64 {
    dropped.mean(Kind::Double).double_value(&[])
}

/// Checks that a fraction of `n` draws is `p` within the bounds of a binomial.
#[track_caller]
fn binomial(what: &str, share: f64, n: usize, p: f64) {
    let bound = DEVIATIONS * (p * (1.0 - p) / n as f64).sqrt();
    assert!((share - p).abs() <= bound, "{what}: a fraction of {share}, expected {p} +- {bound}");
}

/// Checks a mask's rate, and the independence of neighbours.
#[track_caller]
fn check(what: &str, dropped: &Dropped) {
    let n = dropped.numel();
    binomial(what, share(dropped), n, P);
    // Positions 0 and 1, 2 and 3, ...: non-overlapping pairs are independent draws.
    let pairs = dropped.view([-1, 2]);
    let both = share(&(pairs.select(1, 0) * pairs.select(1, 1)));
    binomial(&format!("{what}, neighbours"), both, n / 2, P * P);
}

/// Checks the independence of two masks.
#[track_caller]
fn independent(what: &str, a: &Dropped, b: &Dropped) {
    binomial(what, share(&(a * b)), a.numel(), P * P);
}

/// Checks the independence of every pair of masks.
fn all_independent(masks: &[(String, Dropped)]) {
    for (i, (a, first)) in masks.iter().enumerate() {
        for (b, second) in &masks[i + 1..] {
            independent(&format!("{a} and {b}"), first, second);
        }
    }
}

fn normalized(x_bsh: &Tensor) -> Tensor {
    x_bsh.layer_norm([HIDDEN], None::<&Tensor>, None::<&Tensor>, 1e-12, true)
}

#[track_caller]
fn near(what: &str, found: &Tensor, expected: &Tensor) {
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference < TOLERANCE, "{what} differs by {difference:e}");
}

/// The input of hidden dropout after attention and feed-forward: larger than the differences of a row's residuals, so that
/// the masks are visible, and small enough to measure the scale. After the embeddings the input is 1.
const ADDED: f64 = 16.0;

/// Embeddings are 1 everywhere before dropout. In layers 0 and 2 attention adds 16 to every element and the
/// feed-forward layer 0; in layer 1 the feed-forward layer adds 16 to the output of the first LayerNorm, a ramp from 0
/// to 1.
fn hidden_networks(kernels: &str) -> (nn::VarStore, Pretraining) {
    let (vs, networks) = networks(kernels, P, 0.0);
    set(&vs, "embeddings.LayerNorm.weight", &number(0.0));
    set(&vs, "embeddings.LayerNorm.bias", &number(1.0));
    for layer in 0..3 {
        let (attention, mlp) = if layer == 1 { (0.0, ADDED) } else { (ADDED, 0.0) };
        for (name, value) in [("attention.output.dense", attention), ("output.dense", mlp)] {
            set(&vs, &format!("layer.{layer}.{name}.weight"), &number(0.0));
            set(&vs, &format!("layer.{layer}.{name}.bias"), &number(value));
        }
    }
    set(&vs, "layer.1.attention.output.LayerNorm.weight", &number(0.0));
    set(&vs, "layer.1.attention.output.LayerNorm.bias", &ramp().to_kind(Kind::Float));
    (vs, networks)
}

fn ramp() -> Tensor {
    Tensor::arange(HIDDEN, (Kind::Double, device())) / HIDDEN as f64
}

/// The masks of hidden dropout after the embeddings and in each layer, after verifying their scale.
fn hidden_masks(network: &str, encoder: &Encoder) -> Vec<(String, Dropped)> {
    let states = states(encoder, true);
    let scale = 1.0 / (1.0 - P);
    let dropped = states[0].eq(0.0).to_kind(Kind::Double);
    near("the embeddings' scale", &states[0], &((1.0 - &dropped) * scale));
    let mut masks = vec![(format!("{network}: embeddings"), dropped.flatten(0, -1))];
    for layer in 0..3usize {
        let (before, after) = (&states[layer], &states[layer + 1]);
        // A LayerNorm keeps the order of a row, and the added value (16 / 0.75) exceeds the differences of the residuals.
        let (low, high) = (after.amin([-1], true), after.amax([-1], true));
        let dropped = after.lt_tensor(&((low + high) / 2.0)).to_kind(Kind::Double);
        let added = (1.0 - &dropped) * (ADDED * scale);
        let expected = match layer {
            1 => normalized(&(ramp() + added)),
            _ => normalized(&normalized(&(before + added))),
        };
        near(&format!("{network}: layer {layer}"), after, &expected);
        masks.push((format!("{network}: layer {layer}"), dropped.flatten(0, -1)));
    }
    masks
}

#[test]
fn hidden_dropout_has_the_right_rate_and_scale_and_independent_masks() {
    let _lock = GeneratorLock::take();
    KERNELS.into_iter().for_each(hidden_dropout);
}

fn hidden_dropout(kernels: &str) {
    let (_vs, networks) = hidden_networks(kernels);
    let (generator, discriminator) =
        (networks.generator.encoder(), networks.discriminator.encoder());
    // Two steps with the trainer's seeds, in the objective's order: generator, then discriminator.
    let step = |step: u64| {
        tch::manual_seed(mix(1, step));
        let mut masks = hidden_masks(&format!("step {step}, generator"), generator);
        masks.extend(hidden_masks(&format!("step {step}, discriminator"), discriminator));
        masks
    };
    let mut masks = step(0);
    masks.extend(step(1));
    assert_eq!(masks.len(), 2 * 2 * 4);
    for (what, dropped) in &masks {
        check(what, dropped);
    }
    all_independent(&masks);
    // A repeated step (after resuming) has the same masks.
    for ((what, first), (_, repeated)) in masks.iter().zip(step(0)) {
        assert!(first.equal(&repeated), "{what}");
    }
}

/// Columns of a hidden state in the networks for attention dropout.
mod columns {
    /// One-hot position.
    pub(super) const POSITION: i64 = 0;
    /// For each layer, one column per head and position: the attention weights after dropout.
    pub(super) const KEPT: [i64; 2] = [8, 24];
    /// Each layer adds 1: shows the scale of a LayerNorm.
    pub(super) const UNIT: i64 = 40;
    /// Nothing adds to it: shows the shift of a LayerNorm.
    pub(super) const ZERO: i64 = 41;
}

/// Queries and keys are 0, so every attention weight is `1 / s` before dropout. The value of position `k` is `1` at index
/// `k` of each head, and each layer writes its heads' results into its own columns.
fn attention_networks(kernels: &str) -> (nn::VarStore, Pretraining) {
    let (vs, networks) = networks(kernels, 0.0, P);
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, device()));
    let put = |matrix: &Tensor, row: i64, column: i64, value: f64| {
        let _ = matrix.narrow(0, row, 1).narrow(1, column, 1).fill_(value);
    };
    set(&vs, "word_embeddings.weight", &number(0.0));
    set(&vs, "token_type_embeddings.weight", &number(0.0));
    let positions = zeros(&[64, HIDDEN]);
    (0..LENGTH).for_each(|k| put(&positions, k, columns::POSITION + k, 1.0));
    set(&vs, "position_embeddings.weight", &positions);
    let (head_size, value) = (HIDDEN / HEADS, zeros(&[HIDDEN, HIDDEN]));
    for head in 0..HEADS {
        for k in 0..LENGTH {
            put(&value, head * head_size + k, columns::POSITION + k, 1.0);
            // A LayerNorm shifts all columns of a row equally.
            put(&value, head * head_size + k, columns::ZERO, -1.0);
        }
    }
    for name in ["self.query", "self.key", "self.value"] {
        set(&vs, &format!("{name}.weight"), &number(0.0));
        set(&vs, &format!("{name}.bias"), &number(0.0));
    }
    set(&vs, "self.value.weight", &value);
    set(&vs, "output.dense.weight", &number(0.0));
    set(&vs, "output.dense.bias", &number(0.0));
    for (layer, &first) in columns::KEPT.iter().enumerate() {
        let (weight, bias) = (zeros(&[HIDDEN, HIDDEN]), zeros(&[HIDDEN]));
        for head in 0..HEADS {
            for k in 0..LENGTH {
                put(&weight, first + head * LENGTH + k, head * head_size + k, 1.0);
            }
        }
        let _ = bias.narrow(0, columns::UNIT, 1).fill_(1.0);
        set(&vs, &format!("layer.{layer}.attention.output.dense.weight"), &weight);
        set(&vs, &format!("layer.{layer}.attention.output.dense.bias"), &bias);
    }
    (vs, networks)
}

/// Attention weights after dropout in layers 0 and 1: `[b, s, n, s]`, queries before keys.
///
/// A block's two LayerNorms are one affine map of each row, `y = (x - m) / d`, since the feed-forward layer adds
/// nothing. `d` follows from the unit column, to which the layer adds 1.
fn attention_weights(encoder: &Encoder) -> [Tensor; 2] {
    let states = states(encoder, true);
    let column = |x: &Tensor, c: i64| x.narrow(-1, c, 1);
    let above_zero = |x: &Tensor, c: i64| column(x, c) - column(x, columns::ZERO);
    [0, 1].map(|layer: usize| {
        let (x, y) = (&states[layer], &states[layer + 1]);
        let unit_before = above_zero(x, columns::UNIT);
        let d_bs1 = (unit_before + 1.0) / above_zero(y, columns::UNIT);
        let kept = y.narrow(-1, columns::KEPT[layer], HEADS * LENGTH) - column(y, columns::ZERO);
        // The value of position k is its column relative to the zero column.
        let values_bk: Vec<Tensor> = (0..LENGTH)
            .map(|k| above_zero(x, columns::POSITION + k).narrow(1, k, 1).squeeze_dim(-1))
            .collect();
        let values_b11k = Tensor::cat(&values_bk, 1).view([BATCH, 1, 1, LENGTH]);
        (kept * d_bs1).view([BATCH, LENGTH, HEADS, LENGTH]) / values_b11k
    })
}

#[test]
fn attention_dropout_has_the_right_rate_and_scale_and_independent_masks() {
    let _lock = GeneratorLock::take();
    KERNELS.into_iter().for_each(attention_dropout);
}

fn attention_dropout(kernels: &str) {
    let (_vs, networks) = attention_networks(kernels);
    let encoders = [
        ("generator", networks.generator.encoder()),
        ("discriminator", networks.discriminator.encoder()),
    ];
    let weight = 1.0 / LENGTH as f64;
    let mut masks = Vec::new();
    for step in 0..2 {
        tch::manual_seed(mix(1, step));
        for (network, encoder) in encoders {
            for (layer, weights_bsns) in attention_weights(encoder).into_iter().enumerate() {
                let what = format!("step {step}, {network}, layer {layer}");
                let dropped = weights_bsns.lt(weight / 2.0).to_kind(Kind::Double);
                near(&what, &weights_bsns, &((1.0 - &dropped) * (weight / (1.0 - P))));
                for head in 0..HEADS {
                    let own = dropped.select(2, head).flatten(0, -1);
                    check(&format!("{what}, head {head}"), &own);
                    masks.push((format!("{what}, head {head}"), own));
                }
            }
        }
    }
    assert_eq!(masks.len(), 2 * 2 * 2 * 2);
    all_independent(&masks);
}

#[test]
fn nothing_is_dropped_in_evaluation() {
    let _lock = GeneratorLock::take();
    KERNELS.into_iter().for_each(evaluation);
}

fn evaluation(kernels: &str) {
    let (_vs, networks) = hidden_networks(kernels);
    let kept = states(networks.discriminator.encoder(), false);
    near("the embeddings", &kept[0], &kept[0].ones_like());
    near("layer 1", &kept[2], &normalized(&(ramp() + ADDED)).expand_as(&kept[2]));
    let (_vs, networks) = attention_networks(kernels);
    let [first, second] =
        [0, 1].map(|_| states(networks.discriminator.encoder(), false).pop().unwrap());
    assert!(first.equal(&second));
}
