//! Dropout by its statistics: rate, scale, and independence between places, layers, networks and steps.
//!
//! Through public forward passes alone, of networks whose weights let every mask be read off the hidden states:
//! whatever computes a layer must pass.

use crate::{Turn, preset};
use electra_model::{Encoder, EncoderInput, PaddingMask, Parts, Pretraining, tensors::variables};
use electra_train::{RunConfig, mix};
use tch::{Device, Kind, Tensor, nn, no_grad};

/// The probability under test: unlike its complement, and unlike the presets' 0.1.
const P: f64 = 0.25;
/// Bounds are this many standard deviations of a binomial: one comparison in 5e8 is beyond them by chance.
const DEVIATIONS: f64 = 6.0;
/// Single precision through three LayerNorms.
const TOLERANCE: f64 = 1e-4;

/// How the layers are computed: both forms must pass.
const KERNELS: [&str; 2] = ["fused", "plain"];

const BATCH: i64 = 128;
const LENGTH: i64 = 8;
const HIDDEN: i64 = 64;
const HEADS: i64 = 2;

/// Generator and discriminator of the same sizes, embeddings as wide as the layers.
fn networks(kernels: &str, dropout: f64, attention_dropout: f64) -> (nn::VarStore, Pretraining) {
    let mut overrides = vec![
        "model.vocab_size=10".to_owned(),
        format!("model.embedding_size={HIDDEN}"),
        format!("model.kernels={kernels}"),
        format!("model.dropout={dropout}"),
        format!("model.attention_dropout={attention_dropout}"),
    ];
    let sizes = [("layers", 3), ("hidden", HIDDEN), ("heads", HEADS), ("intermediate", 8)];
    for tower in ["discriminator", "generator"] {
        overrides.extend(sizes.map(|(key, value)| format!("model.{tower}.{key}={value}")));
    }
    let config = RunConfig::read(&preset("tiny"), &overrides).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config.model, &Parts::shipped()).unwrap();
    (vs, networks)
}

/// Sets the variables of both networks whose names end in `.ending`.
fn set(vs: &nn::VarStore, ending: &str, value: &Tensor) {
    let named = variables(vs).unwrap();
    let mut own = named.into_iter().filter(|(name, _)| name.ends_with(&format!(".{ending}")));
    let mut count = 0;
    no_grad(|| {
        own.by_ref().for_each(|(_, mut variable)| {
            variable.copy_(&value.expand(variable.size(), false));
            count += 1;
        });
    });
    assert!(count > 0, "no variable ends in {ending}");
}

fn number(x: f64) -> Tensor {
    Tensor::from(x).to_kind(Kind::Float)
}

fn states(encoder: &Encoder, train: bool) -> Vec<Tensor> {
    let ids = Tensor::full([BATCH, LENGTH], 5, (Kind::Int64, Device::Cpu));
    let mask = PaddingMask::without_padding(BATCH, LENGTH, Device::Cpu);
    let input = EncoderInput::new(ids.shallow_clone(), ids.zeros_like(), mask);
    let states = no_grad(|| encoder.hidden_states(&input, train));
    states.into_iter().map(|state| state.to_kind(Kind::Double)).collect()
}

/// Where something was dropped, as 0 and 1, flattened.
type Dropped = Tensor;

fn share(dropped: &Dropped) -> f64 {
    dropped.mean(Kind::Double).double_value(&[])
}

/// Checks that a share of `n` draws is `p` to within the binomial's deviations.
#[track_caller]
fn binomial(what: &str, share: f64, n: usize, p: f64) {
    let bound = DEVIATIONS * (p * (1.0 - p) / n as f64).sqrt();
    assert!((share - p).abs() <= bound, "{what}: a share of {share}, expected {p} +- {bound}");
}

/// Checks a mask's rate, and that neighbours are dropped together as often as by chance.
#[track_caller]
fn check(what: &str, dropped: &Dropped) {
    let n = dropped.numel();
    binomial(what, share(dropped), n, P);
    // Places 0 and 1, 2 and 3, ...: pairs that do not overlap are draws of their own.
    let pairs = dropped.view([-1, 2]);
    let both = share(&(pairs.select(1, 0) * pairs.select(1, 1)));
    binomial(&format!("{what}, neighbours"), both, n / 2, P * P);
}

/// Checks that two masks drop the same places as often as by chance.
#[track_caller]
fn independent(what: &str, a: &Dropped, b: &Dropped) {
    binomial(what, share(&(a * b)), a.numel(), P * P);
}

/// Every pair of `masks` is independent.
fn all_independent(masks: &[(String, Dropped)]) {
    for (i, (a, first)) in masks.iter().enumerate() {
        for (b, second) in &masks[i + 1..] {
            independent(&format!("{a} and {b}"), first, second);
        }
    }
}

fn normalised(x_bsh: &Tensor) -> Tensor {
    x_bsh.layer_norm([HIDDEN], None::<&Tensor>, None::<&Tensor>, 1e-12, true)
}

#[track_caller]
fn near(what: &str, found: &Tensor, expected: &Tensor) {
    let off = (found - expected).abs().max().double_value(&[]);
    assert!(off < TOLERANCE, "{what} is off by {off:e}");
}

/// What hidden dropout multiplies behind attention and feed-forward: more than a row's residuals differ by, so that
/// the masks can be told, and not so much that its scale could not. Behind the embeddings it multiplies 1.
const ADDED: f64 = 16.0;

/// Embeddings are 1 everywhere before their dropout. In layers 0 and 2 attention adds 16 to every number and the
/// feed-forward layer 0; in layer 1 the feed-forward layer adds 16 to what its first LayerNorm leaves, a ramp from 0
/// to 1.
fn hidden_networks(kernels: &str) -> (nn::VarStore, Pretraining) {
    let (vs, networks) = networks(kernels, P, 0.0);
    set(&vs, "embeddings.LayerNorm.weight", &number(0.0));
    set(&vs, "embeddings.LayerNorm.bias", &number(1.0));
    for layer in 0..3 {
        let (attention, fed) = if layer == 1 { (0.0, ADDED) } else { (ADDED, 0.0) };
        for (name, value) in [("attention.output.dense", attention), ("output.dense", fed)] {
            set(&vs, &format!("layer.{layer}.{name}.weight"), &number(0.0));
            set(&vs, &format!("layer.{layer}.{name}.bias"), &number(value));
        }
    }
    set(&vs, "layer.1.attention.output.LayerNorm.weight", &number(0.0));
    set(&vs, "layer.1.attention.output.LayerNorm.bias", &ramp().to_kind(Kind::Float));
    (vs, networks)
}

fn ramp() -> Tensor {
    Tensor::arange(HIDDEN, (Kind::Double, Device::Cpu)) / HIDDEN as f64
}

/// The masks of hidden dropout behind the embeddings and in each layer, with their scale verified.
fn hidden_masks(network: &str, encoder: &Encoder) -> Vec<(String, Dropped)> {
    let states = states(encoder, true);
    let scale = 1.0 / (1.0 - P);
    let dropped = states[0].eq(0.0).to_kind(Kind::Double);
    near("the embeddings' scale", &states[0], &((1.0 - &dropped) * scale));
    let mut masks = vec![(format!("{network}: embeddings"), dropped.flatten(0, -1))];
    for layer in 0..3usize {
        let (before, after) = (&states[layer], &states[layer + 1]);
        // A LayerNorm keeps the order of a row: what was added (16 / 0.75) is more than the residuals differ by.
        let (low, high) = (after.amin([-1], true), after.amax([-1], true));
        let dropped = after.lt_tensor(&((low + high) / 2.0)).to_kind(Kind::Double);
        let added = (1.0 - &dropped) * (ADDED * scale);
        let expected = match layer {
            1 => normalised(&(ramp() + added)),
            _ => normalised(&normalised(&(before + added))),
        };
        near(&format!("{network}: layer {layer}"), after, &expected);
        masks.push((format!("{network}: layer {layer}"), dropped.flatten(0, -1)));
    }
    masks
}

#[test]
fn hidden_dropout_has_its_rate_its_scale_and_a_mask_of_its_own_everywhere() {
    let _turn = Turn::take();
    KERNELS.into_iter().for_each(hidden_dropout);
}

fn hidden_dropout(kernels: &str) {
    let (_vs, networks) = hidden_networks(kernels);
    let (generator, discriminator) =
        (networks.generator.encoder(), networks.discriminator.encoder());
    // Two steps as the trainer seeds them, the generator before the discriminator as the objective runs them.
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
    // A step that is done again after a resumption draws the same.
    for ((what, first), (_, again)) in masks.iter().zip(step(0)) {
        assert!(first.equal(&again), "{what}");
    }
}

/// Columns of a hidden state in the networks that attention is read from.
mod columns {
    /// One for each position: where it is.
    pub(super) const POSITION: i64 = 0;
    /// Each layer's own, one for each head and position: what it kept.
    pub(super) const KEPT: [i64; 2] = [8, 24];
    /// 1 in every layer: the unit that a LayerNorm's scale is read from.
    pub(super) const UNIT: i64 = 40;
    /// 0 in every layer, and before the embeddings' LayerNorm.
    pub(super) const ZERO: i64 = 41;
}

/// Queries and keys are 0, so every weight is `1 / s` before its dropout. The value of position `k` is `1` in place
/// `k` of each head, and layer `l` writes its heads' results into columns of its own.
fn attention_networks(kernels: &str) -> (nn::VarStore, Pretraining) {
    let (vs, networks) = networks(kernels, 0.0, P);
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
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
            // A LayerNorm moves all columns of a row alike.
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

/// Attention weights after their dropout in layers 0 and 1: `[b, s, n, s]`, queries before keys.
///
/// A block's two LayerNorms are one affine map of each row, `y = (x - m) / d`, since the feed-forward layer adds
/// nothing. `d` follows from the unit column: the layer adds 1 to what stood there.
fn attention_weights(encoder: &Encoder) -> [Tensor; 2] {
    let states = states(encoder, true);
    let column = |x: &Tensor, c: i64| x.narrow(-1, c, 1);
    let above_zero = |x: &Tensor, c: i64| column(x, c) - column(x, columns::ZERO);
    [0, 1].map(|layer: usize| {
        let (x, y) = (&states[layer], &states[layer + 1]);
        let unit_before = above_zero(x, columns::UNIT);
        let d_bs1 = (unit_before + 1.0) / above_zero(y, columns::UNIT);
        let kept = y.narrow(-1, columns::KEPT[layer], HEADS * LENGTH) - column(y, columns::ZERO);
        // The value of position k is what its own column stands above 0.
        let values_bk: Vec<Tensor> = (0..LENGTH)
            .map(|k| above_zero(x, columns::POSITION + k).narrow(1, k, 1).squeeze_dim(-1))
            .collect();
        let values_b11k = Tensor::cat(&values_bk, 1).view([BATCH, 1, 1, LENGTH]);
        (kept * d_bs1).view([BATCH, LENGTH, HEADS, LENGTH]) / values_b11k
    })
}

#[test]
fn attention_dropout_has_its_rate_its_scale_and_a_mask_of_its_own_everywhere() {
    let _turn = Turn::take();
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
fn without_training_nothing_is_dropped() {
    let _turn = Turn::take();
    KERNELS.into_iter().for_each(without_training);
}

fn without_training(kernels: &str) {
    let (_vs, networks) = hidden_networks(kernels);
    let kept = states(networks.discriminator.encoder(), false);
    near("the embeddings", &kept[0], &kept[0].ones_like());
    near("layer 1", &kept[2], &normalised(&(ramp() + ADDED)).expand_as(&kept[2]));
    let (_vs, networks) = attention_networks(kernels);
    let [first, again] =
        [0, 1].map(|_| states(networks.discriminator.encoder(), false).pop().unwrap());
    assert!(first.equal(&again));
}
