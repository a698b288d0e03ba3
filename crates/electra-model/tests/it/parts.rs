//! Seams: blocks, tables that layers share, and parts that a network names.

use super::{input, tiny};
use electra_model::{
    Activations, Discriminator, ElectraConfig, EncoderConfig, Error, Kernels, LayerContext,
    PaddingMask, PartName, Parts, Positions, PretrainedNetwork, Pretraining, SelfAttention, Site,
    hf::{self, Architecture, Config, Pretrained},
    tensors::variables,
};
use tch::{Device, Kind, Tensor, nn, no_grad};

fn ids(batch: i64, length: i64) -> Tensor {
    Tensor::randint(50, [batch, length], (Kind::Int64, Device::Cpu))
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn pre_norm(kernels: Kernels) -> EncoderConfig {
    EncoderConfig {
        block: PartName::new("pre-norm"),
        kernels,
        dropout: 0.0,
        ..tiny().discriminator
    }
}

/// `LayerNorm(x)` written out.
fn normalised(x: &Tensor, weights: &dyn Fn(&str) -> Tensor, name: &str) -> Tensor {
    let mean = x.mean_dim([-1i64].as_slice(), true, Kind::Float);
    let variance = (x - &mean).square().mean_dim([-1i64].as_slice(), true, Kind::Float);
    let scaled = (x - mean) / (variance + 1e-12).sqrt();
    scaled * weights(&format!("{name}.weight")) + weights(&format!("{name}.bias"))
}

/// Xiong et al. 2020, figure 1 (b): `x + sub_layer(LayerNorm(x))` twice a layer, one LayerNorm at the end. Written out
/// with one head's attention by hand, beside every form of the arithmetic.
#[test]
fn a_pre_norm_encoder_computes_what_its_formula_says() {
    for kernels in [Kernels::Plain, Kernels::Fused, Kernels::Gpu] {
        let config = EncoderConfig { heads: 1, layers: 1, embedding_size: 12, ..pre_norm(kernels) };
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::alone(&vs.root(), &config, &Parts::shipped()).unwrap();
        let all = vs.variables();
        // LayerNorms that are not the identity.
        for (name, tensor) in &all {
            if name.contains("LayerNorm") {
                let _ = no_grad(|| tensor.shallow_clone().uniform_(0.5, 1.5));
            }
        }
        let (x, mask) = (ids(2, 5), PaddingMask::of_lengths(&[5, 3], 5, Device::Cpu));
        let states =
            no_grad(|| network.encoder().hidden_states(&input(&x, &x.zeros_like(), &mask), false));

        let weights = |name: &str| all[&format!("electra.encoder.{name}")].shallow_clone();
        let layer = |name: &str| weights(&format!("layer.0.{name}"));
        let dense = |x: &Tensor, name: &str| {
            x.linear(&layer(&format!("{name}.weight")), Some(&layer(&format!("{name}.bias"))))
        };
        let x_bsh = &states[0];
        let expected = no_grad(|| {
            let y = normalised(x_bsh, &layer, "attention.output.LayerNorm");
            let part = |name: &str| dense(&y, &format!("attention.self.{name}"));
            let scores = part("query").matmul(&part("key").transpose(-2, -1)) / 12f64.sqrt();
            let bias = (mask.keep_bs().unsqueeze(1) - 1.0) * 10_000.0;
            let mixed = (scores + bias).softmax(-1, Kind::Float).matmul(&part("value"));
            let x1 = x_bsh + dense(&mixed, "attention.output.dense");
            let y = normalised(&x1, &layer, "output.LayerNorm");
            let fed = dense(&dense(&y, "intermediate.dense").gelu("none"), "output.dense");
            normalised(&(x1 + fed), &weights, "final_LayerNorm")
        });
        let last =
            no_grad(|| network.encoder().forward_t(&input(&x, &x.zeros_like(), &mask), false));
        let real = mask.keep_bs().unsqueeze(-1);
        assert!(distance(&(&last * &real), &(&expected * &real)) < 1e-5, "{kernels:?}");
        assert!(distance(&(&states[1] * &real), &(expected * real)) < 1e-5, "{kernels:?}");
    }
}

/// Equal names of tensors, other computations: neither is taken for the other, nor by `transformers`.
#[test]
fn a_folder_names_its_parts_and_is_built_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = pre_norm(Kernels::Fused);
    let vs = nn::VarStore::new(Device::Cpu);
    let network = Discriminator::alone(&vs.root(), &config, &Parts::shipped()).unwrap();
    let described = Config::new(Architecture::ElectraForPreTraining, config, 0);
    hf::write(dir.path(), &described, &variables(&vs).unwrap()).unwrap();
    let json = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["model_type"], "electra_custom");
    assert_eq!(json["parts"]["block"], "pre-norm");

    let read = Pretrained::read(dir.path()).unwrap();
    let again = PretrainedNetwork::new(&read, &Parts::shipped(), Device::Cpu).unwrap();
    let (x, mask) = (ids(2, 5), PaddingMask::all_kept(2, 5, Device::Cpu));
    let batch = input(&x, &x.zeros_like(), &mask);
    let (a, b) =
        (network.encoder().forward_t(&batch, false), again.encoder().forward_t(&batch, false));
    assert_eq!(distance(&a, &b), 0.0);
}

/// Attention with a bias by distance, which the encoder looks up once for all layers.
#[derive(Debug)]
struct Biased;

impl SelfAttention for Biased {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, _train: bool) -> Tensor {
        context.tables[0].softmax(-1, Kind::Float).matmul(x_bsh)
    }
}

/// A learned bias for each distance, through a function, as DeBERTa's is through a LayerNorm.
#[derive(Debug)]
struct Distances(Tensor);

impl Positions for Distances {
    fn tables(&self, length: i64, _train: bool) -> Vec<Tensor> {
        let at_s = Tensor::arange(length, (Kind::Int64, Device::Cpu));
        let distance_ss = (at_s.unsqueeze(0) - at_s.unsqueeze(1)).abs();
        vec![self.0.tanh().index_select(0, &distance_ss.flatten(0, 1)).view([length, length])]
    }
}

fn with_distances() -> Parts {
    Parts::shipped().with_attention("biased", |_: &Site<'_>| Ok(Biased)).with_positions(
        "distances",
        |site: &Site<'_>| {
            Ok(Distances(site.path.randn("distances", &[site.config.max_positions], 0.0, 1.0)))
        },
    )
}

/// The table is computed once and read by every layer; its gradient is the sum over them, recomputed or not.
#[test]
fn a_table_that_layers_share_has_one_owner_and_one_gradient() {
    let (parts, name) = (with_distances(), "electra.encoder.distances");
    let build = |activations| {
        let mut config = parts.applied_to_encoder(&tiny().discriminator);
        (config.activations, config.dropout) = (activations, 0.0);
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::alone(&vs.root(), &config, &parts).unwrap();
        (vs, network)
    };
    let gradient = |(vs, network): &(nn::VarStore, Discriminator)| {
        let x = Tensor::arange(10, (Kind::Int64, Device::Cpu)).view([2, 5]);
        let mask = PaddingMask::all_kept(2, 5, Device::Cpu);
        let logits = network.forward_t(&input(&x, &x.zeros_like(), &mask), true);
        logits.square().sum(Kind::Float).backward();
        vs.variables()[name].grad()
    };
    let (kept, again) = (build(Activations::Keep), build(Activations::Recompute));
    let from = kept.0.variables();
    assert!(from.contains_key(name));
    for (name, mut to) in again.0.variables() {
        no_grad(|| to.copy_(&from[&name]));
    }
    let (kept, again) = (gradient(&kept), gradient(&again));
    let size = kept.abs().max().double_value(&[]);
    assert!(size > 0.0);
    // Sums over the layers in another order.
    let off = distance(&kept, &again);
    assert!(off < 1e-5 * size, "{off} of {size}");
}

#[test]
fn a_part_that_is_not_there_or_not_asked_for_is_an_error_that_names_it() {
    let vs = nn::VarStore::new(Device::Cpu);
    let unknown = EncoderConfig { attention: PartName::new("mean-mix"), ..tiny().discriminator };
    let error = Discriminator::alone(&vs.root(), &unknown, &Parts::shipped()).unwrap_err();
    assert!(matches!(error, Error::UnknownPart { seam: "attention", .. }), "{error}");
    assert!(error.to_string().contains("Parts::with_attention(\"mean-mix\""), "{error}");

    let vs = nn::VarStore::new(Device::Cpu);
    let error =
        Discriminator::alone(&vs.root(), &tiny().discriminator, &with_distances()).unwrap_err();
    assert!(
        matches!(&error, Error::UnusedPart { seam: "attention", found, .. } if found == "softmax")
    );

    // One of two networks may have it.
    let parts = with_distances();
    let config =
        ElectraConfig { discriminator: parts.applied_to_encoder(&tiny().discriminator), ..tiny() };
    let vs = nn::VarStore::new(Device::Cpu);
    Pretraining::new(&vs.root(), &config, &parts).unwrap();
    let without = ElectraConfig { generator: None, ..tiny() };
    let error = Pretraining::new(&vs.root(), &without, &Parts::shipped()).unwrap_err();
    assert!(error.to_string().contains("[model.generator]"), "{error}");
}
