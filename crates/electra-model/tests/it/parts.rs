//! Seams: blocks, shared position tables, and part names in configs.

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

/// `LayerNorm(x)` by its formula.
fn normalized(x: &Tensor, weights: &dyn Fn(&str) -> Tensor, name: &str) -> Tensor {
    let mean = x.mean_dim([-1i64].as_slice(), true, Kind::Float);
    let variance = (x - &mean).square().mean_dim([-1i64].as_slice(), true, Kind::Float);
    let scaled = (x - mean) / (variance + 1e-12).sqrt();
    scaled * weights(&format!("{name}.weight")) + weights(&format!("{name}.bias"))
}

/// Xiong et al. 2020, figure 1 (b): `x + sub_layer(LayerNorm(x))` twice per layer, and one LayerNorm at the end, computed
/// here by formula with one attention head, for all implementations.
#[test]
fn a_pre_norm_encoder_matches_its_formula() {
    for kernels in [Kernels::Plain, Kernels::Fused, Kernels::Gpu] {
        let config = EncoderConfig { heads: 1, layers: 1, embedding_size: 12, ..pre_norm(kernels) };
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap();
        let all = vs.variables();
        // LayerNorms that are not the identity.
        for (name, tensor) in &all {
            if name.contains("LayerNorm") {
                let _ = no_grad(|| tensor.shallow_clone().uniform_(0.5, 1.5));
            }
        }
        let (x, mask) = (ids(2, 5), PaddingMask::from_lengths(&[5, 3], 5, Device::Cpu));
        let states =
            no_grad(|| network.encoder().hidden_states(&input(&x, &x.zeros_like(), &mask), false));

        let weights = |name: &str| all[&format!("electra.encoder.{name}")].shallow_clone();
        let layer = |name: &str| weights(&format!("layer.0.{name}"));
        let dense = |x: &Tensor, name: &str| {
            x.linear(&layer(&format!("{name}.weight")), Some(&layer(&format!("{name}.bias"))))
        };
        let x_bsh = &states[0];
        let expected = no_grad(|| {
            let y = normalized(x_bsh, &layer, "attention.output.LayerNorm");
            let part = |name: &str| dense(&y, &format!("attention.self.{name}"));
            let scores = part("query").matmul(&part("key").transpose(-2, -1)) / 12f64.sqrt();
            let bias = (mask.keep_bs().unsqueeze(1) - 1.0) * 10_000.0;
            let heads = (scores + bias).softmax(-1, Kind::Float).matmul(&part("value"));
            let x1 = x_bsh + dense(&heads, "attention.output.dense");
            let y = normalized(&x1, &layer, "output.LayerNorm");
            let mlp = dense(&dense(&y, "intermediate.dense").gelu("none"), "output.dense");
            normalized(&(x1 + mlp), &weights, "final_LayerNorm")
        });
        let last =
            no_grad(|| network.encoder().forward_t(&input(&x, &x.zeros_like(), &mask), false));
        let real = mask.keep_bs().unsqueeze(-1);
        assert!(distance(&(&last * &real), &(&expected * &real)) < 1e-5, "{kernels:?}");
        assert!(distance(&(&states[1] * &real), &(expected * real)) < 1e-5, "{kernels:?}");
    }
}

/// Pre-norm and post-norm networks have equal tensor names, so the config must record the part; `transformers` must reject
/// the folder.
#[test]
fn an_exported_folder_records_its_parts_and_is_built_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = pre_norm(Kernels::Fused);
    let vs = nn::VarStore::new(Device::Cpu);
    let network = Discriminator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap();
    let config = Config::new(Architecture::ElectraForPreTraining, config, 0);
    hf::write(dir.path(), &config, &variables(&vs).unwrap()).unwrap();
    let json = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["model_type"], "electra_custom");
    assert_eq!(json["hidden_act"], "electra_custom");
    assert_eq!(json["parts"]["block"], "pre-norm");

    let read = Pretrained::read(dir.path()).unwrap();
    let loaded = PretrainedNetwork::new(&read, &Parts::shipped(), Device::Cpu).unwrap();
    let (x, mask) = (ids(2, 5), PaddingMask::without_padding(2, 5, Device::Cpu));
    let batch = input(&x, &x.zeros_like(), &mask);
    let (a, b) =
        (network.encoder().forward_t(&batch, false), loaded.encoder().forward_t(&batch, false));
    assert_eq!(distance(&a, &b), 0.0);
}

/// Attention weights that depend only on a table of distances, which the encoder computes once for all layers.
#[derive(Debug)]
struct Biased;

impl SelfAttention for Biased {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, _train: bool) -> Tensor {
        context.tables[0].softmax(-1, Kind::Float).matmul(x_bsh)
    }
}

/// A learned bias for each distance, passed through a function, as DeBERTa's passes through a LayerNorm.
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

/// The table is computed once and used by every layer; its gradient is the sum over layers, also with recomputation.
#[test]
fn a_shared_position_table_has_one_variable_and_one_gradient() {
    let (parts, name) = (with_distances(), "electra.encoder.distances");
    let build = |activations| {
        let mut config = parts.applied_to_encoder(&tiny().discriminator);
        (config.activations, config.dropout) = (activations, 0.0);
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::from_config(&vs.root(), &config, &parts).unwrap();
        (vs, network)
    };
    let gradient = |(vs, network): &(nn::VarStore, Discriminator)| {
        let x = Tensor::arange(10, (Kind::Int64, Device::Cpu)).view([2, 5]);
        let mask = PaddingMask::without_padding(2, 5, Device::Cpu);
        let logits = network.forward_t(&input(&x, &x.zeros_like(), &mask), true);
        logits.square().sum(Kind::Float).backward();
        vs.variables()[name].grad()
    };
    let (kept, recomputed) = (build(Activations::Keep), build(Activations::Recompute));
    let from = kept.0.variables();
    assert!(from.contains_key(name));
    for (name, mut to) in recomputed.0.variables() {
        no_grad(|| to.copy_(&from[&name]));
    }
    let (kept, recomputed) = (gradient(&kept), gradient(&recomputed));
    let largest = kept.abs().max().double_value(&[]);
    assert!(largest > 0.0);
    // The order of summation over layers differs.
    let difference = distance(&kept, &recomputed);
    assert!(difference < 1e-5 * largest, "{difference} of {largest}");
}

#[test]
fn errors_name_an_unknown_or_unused_part() {
    let vs = nn::VarStore::new(Device::Cpu);
    let unknown = EncoderConfig { attention: PartName::new("mean-mix"), ..tiny().discriminator };
    let error = Discriminator::from_config(&vs.root(), &unknown, &Parts::shipped()).unwrap_err();
    assert!(matches!(error, Error::UnknownPart { seam: "attention", .. }), "{error}");
    assert!(error.to_string().contains("Parts::with_attention(\"mean-mix\""), "{error}");

    let vs = nn::VarStore::new(Device::Cpu);
    let error = Discriminator::from_config(&vs.root(), &tiny().discriminator, &with_distances())
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnusedPart { seam: "attention", found, .. } if found == "softmax")
    );

    // It is enough if one of the two networks uses the part.
    let parts = with_distances();
    let config =
        ElectraConfig { discriminator: parts.applied_to_encoder(&tiny().discriminator), ..tiny() };
    let vs = nn::VarStore::new(Device::Cpu);
    Pretraining::new(&vs.root(), &config, &parts).unwrap();
    let without = ElectraConfig { generator: None, ..tiny() };
    let error = Pretraining::new(&vs.root(), &without, &Parts::shipped()).unwrap_err();
    assert!(error.to_string().contains("[model.generator]"), "{error}");
}
