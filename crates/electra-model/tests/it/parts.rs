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
