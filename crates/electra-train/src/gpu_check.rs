//! What a GPU is checked by: the same losses and gradients as a CPU's on the same weights and batch, and the speed of
//! the real objective, loader and optimizer without logs and checkpoints.

use crate::{
    config::RunConfig,
    error::{Error, Result},
    profile::{synchronize, work},
    recipe::{Built, Recipe},
    session::Metrics,
    trainer::Source,
};
use electra_data::{MaskedBatch, Split};
use electra_model::{
    ElectraConfig, EncoderConfig, EncoderInput, Kernels, PaddingMask, PartName, Parts, Precision,
    Pretraining, EncoderSizes,
    flops::Products,
    tensors::{self, Named, variables},
};
use electra_torch::{Peak, peak_device_memory};
use serde::Deserialize;
use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor, nn, no_grad};

/// Updates before those that are timed: memory is taken and kernels are chosen in them.
const WARM_UP: u64 = 10;

/// The difference from single precision on a CPU, in plain form, of one batch's loss and gradients.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// The precision that was compared.
    pub precision: Precision,
    /// The CPU's loss.
    pub expected_loss: f64,
    /// The other's.
    pub loss: f64,
    /// Largest difference of a gradient, of the largest gradient.
    pub gradient_difference: f64,
    /// Cosine of all gradients as one vector.
    pub gradient_cosine: f64,
}

impl Parity {
    /// Whether it is rounding alone. In single precision a loss may be off by 1e-4 of it and a gradient by 1e-3 of the
    /// largest; in bfloat16, of 8 bits, a loss by 1e-2, and the gradients point where they should.
    pub fn holds(&self) -> bool {
        let loss = (self.loss - self.expected_loss).abs() / self.expected_loss;
        match self.precision {
            Precision::F32 => loss <= 1e-4 && self.gradient_difference <= 1e-3,
            _ => loss <= 1e-2 && self.gradient_cosine >= 0.99,
        }
    }
}

/// The speed of some updates.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Tokens a second that are not padding.
    pub tokens_per_second: f64,
    /// Floating-point operations a second of matrix products and attention ([`Products`]).
    pub flops_per_second: f64,
    /// Time of an update.
    pub seconds_per_step: f64,
    /// Share of the time that batches were waited for.
    pub wait_share: f64,
    /// The most bytes of tensors on a GPU; `None` of a CPU.
    pub peak_device_memory: Option<u64>,
}

impl Recipe {
    /// The config's device and form beside a CPU's plain single precision, on the first batch and without dropout.
    ///
    /// # Errors
    /// If shards and config do not fit each other, or the device is not there.
    pub fn parity(&self) -> Result<Parity> {
        let split = Arc::new(self.open_shards(&self.config().data.shards, Split::Train)?);
        let counts = split.unigram_counts()?;
        let batch = self.loader(split, 0)?.next_batch()?;
        let without_dropout = |config: &RunConfig| {
            let mut config = config.clone();
            for network in config.model.networks_mut() {
                (network.dropout, network.attention_dropout) = (0.0, 0.0);
            }
            config
        };
        let own = without_dropout(self.config());
        let mut plain = own.clone();
        plain.train.device = "cpu".to_owned();
        for network in plain.model.networks_mut() {
            (network.kernels, network.precision) = (Kernels::Plain, Precision::F32);
        }

        let reference = Self::from_config(plain).build(&counts)?;
        let tested = Self::from_config(own).build(&counts)?;
        let (expected, found) = (reference.variables()?, tested.variables()?);
        for ((_, from), (_, to)) in expected.iter().zip(&found) {
            // The same seed draws other numbers on another device.
            no_grad(|| to.shallow_clone().f_copy_(from))?;
        }
        let (expected_loss, expected) = gradients(&reference, &expected, &batch);
        let (loss, found) = gradients(&tested, &found, &batch);
        let number = |x: Tensor| x.double_value(&[]);
        let dot = |a: &Tensor, b: &Tensor| number((a * b).sum(Kind::Double));
        Ok(Parity {
            precision: self.config().model.discriminator.precision,
            expected_loss,
            loss,
            gradient_difference: number((&found - &expected).abs().max())
                / number(expected.abs().max()),
            gradient_cosine: dot(&expected, &found)
                / (dot(&expected, &expected) * dot(&found, &found)).sqrt(),
        })
    }

    /// `steps` updates of the config's own, after some that are not timed. Nothing is written, and the device is
    /// waited for at the end alone.
    ///
    /// # Errors
    /// As [`Self::parity`], and if a loss is not finite.
    pub fn speed(&self, steps: u64) -> Result<Speed> {
        let split = Arc::new(self.open_shards(&self.config().data.shards, Split::Train)?);
        let built = self.build(&split.unigram_counts()?)?;
        let (device, networks) = (built.vs.device(), built.objective.networks());
        let mut session = self.session(&built)?;
        let mut source = self.loader(split, 0)?;
        let (mut begun, mut tokens, mut flops) = (Instant::now(), 0.0, 0.0);
        for step in 0..WARM_UP + steps {
            if step == WARM_UP {
                session.look()?;
                synchronize(device);
                peak_device_memory(device, Peak::Reset);
                source.take_wait();
                (begun, tokens, flops) = (Instant::now(), 0.0, 0.0);
            }
            let batch = source.next_batch()?;
            let work = work(&batch);
            tokens += work.tokens;
            flops += self.products(&networks, &work).iter().map(Products::step).sum::<f64>();
            session.update(batch, Metrics::Skipped)?;
        }
        session.look()?;
        synchronize(device);
        let seconds = begun.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
        Ok(Speed {
            tokens_per_second: tokens / seconds,
            flops_per_second: flops / seconds,
            seconds_per_step: seconds / steps as f64,
            wait_share: source.take_wait().as_secs_f64() / seconds,
            peak_device_memory: peak_device_memory(device, Peak::Keep),
        })
    }
}

/// Sizes of a golden file's networks, whose embeddings are shared.
#[derive(Debug, Deserialize)]
struct Facts {
    vocab: i64,
    embedding: i64,
    positions: i64,
    /// Layers, hidden size, heads, intermediate size.
    discriminator: [i64; 4],
    generator: [i64; 4],
}

/// Largest difference of both networks' logits from those in a golden file (`tests/fixtures/networks-projected.safetensors`,
/// by transformers; logits are of a size of 1), on `device`, in the form for GPUs and single precision. Padding is left out.
///
/// # Errors
/// [`Error::Checkpoint`] naming what the file lacks.
pub fn golden(path: &Path, device: Device) -> Result<f64> {
    let all: HashMap<String, Tensor> = tensors::read(path)?.into_iter().collect();
    let metadata = tensors::metadata(path)?;
    let facts = metadata.get("facts").map_or("", String::as_str);
    let facts: Facts = serde_json::from_str(facts)
        .map_err(|e| Error::checkpoint(path, format!("no golden file, by its metadata: {e}")))?;
    let network = |[layers, hidden, heads, intermediate]: [i64; 4]| EncoderConfig {
        max_positions: facts.positions,
        kernels: Kernels::Gpu,
        ..EncoderConfig::electra(
            facts.vocab,
            facts.embedding,
            EncoderSizes { layers, hidden, heads, intermediate },
        )
    };
    let config = ElectraConfig {
        discriminator: network(facts.discriminator),
        generator: Some(network(facts.generator)),
        sharing: PartName::new("tied"),
    };

    let vs = nn::VarStore::new(device);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped())?;
    let weights: Named = all
        .iter()
        .filter_map(|(name, t)| {
            Some((name.strip_prefix("weights/")?.to_owned(), t.shallow_clone()))
        })
        .collect();
    tensors::load(path, &weights, &variables(&vs)?, |_| false, |_| false)?;

    let mut worst: f64 = 0.0;
    for batch in ["padded", "single", "full"] {
        let get = |name: &str| -> Result<Tensor> {
            let name = format!("{batch}/{name}");
            let missing = || Error::checkpoint(path, format!("no tensor {name}"));
            Ok(all.get(&name).ok_or_else(missing)?.to_device(device))
        };
        let (keep_bs, segments_bs) = (get("attention_mask")?, get("token_type_ids")?);
        let mask = PaddingMask::new(&keep_bs);
        let generated =
            EncoderInput::new(get("generator_ids")?, segments_bs, PaddingMask::new(&keep_bs));
        let corrupted = generated.with_ids(get("corrupted")?);
        let positions_p = get("masked_positions")?;
        let (logits_pv, logits_bs) = no_grad(|| {
            let (generator, discriminator) = (&networks.generator, &networks.discriminator);
            (
                generator.forward_t(&generated, &positions_p, false),
                discriminator.forward_t(&corrupted, false) * mask.keep_bs(),
            )
        });
        let expected_bs = get("discriminator_logits")? * mask.keep_bs();
        for (found, expected) in [(logits_pv, get("generator_logits")?), (logits_bs, expected_bs)] {
            let off = (found - expected).abs().max().double_value(&[]);
            // Of numbers, `max` prefers those that are some.
            worst = if off.is_finite() { worst.max(off) } else { f64::INFINITY };
        }
    }
    Ok(worst)
}

/// The loss of a batch, and all gradients one after the other on the host.
fn gradients(built: &Built, variables: &Named, batch: &MaskedBatch) -> (f64, Tensor) {
    let objective = &built.objective;
    let loss = objective.pass(batch, &objective.normaliser(batch), true).loss(0);
    let inputs: Vec<&Tensor> = variables.iter().map(|(_, variable)| variable).collect();
    let flat: Vec<Tensor> = Tensor::run_backward(&[&loss], &inputs, false, false)
        .iter()
        .map(|gradient| gradient.flatten(0, -1).to_device(Device::Cpu).to_kind(Kind::Double))
        .collect();
    (loss.double_value(&[]), Tensor::cat(&flat, 0))
}
