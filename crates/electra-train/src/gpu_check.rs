//! Checks of a GPU: losses and gradients compared with a CPU on the same weights and batch, and the training speed without
//! logs and checkpoints.

use crate::{
    config::RunConfig,
    error::{Error, Result},
    gradients::{backward, gradient_of},
    profile::{synchronize, work},
    recipe::{BuiltObjective, Recipe},
    session::Metrics,
    trainer::Source,
};
use electra_data::{MaskedBatch, Split};
use electra_model::{
    ElectraConfig, EncoderConfig, EncoderInput, EncoderSizes, Kernels, PaddingMask, PartName,
    Parts, Precision, Pretraining,
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

/// Untimed updates at the start, for memory allocation and kernel selection.
const WARM_UP: u64 = 10;

/// One batch's loss and gradients, compared with plain float32 on a CPU.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// The tested precision.
    pub precision: Precision,
    /// The loss on the CPU.
    pub expected_loss: f64,
    /// The tested loss.
    pub loss: f64,
    /// Largest difference of a gradient, divided by the largest gradient.
    pub gradient_difference: f64,
    /// Cosine similarity of the gradients, as one vector each.
    pub gradient_cosine: f64,
}

impl Parity {
    /// Whether the differences are only rounding. Relative tolerances: in float32 1e-4 for the loss and 1e-3 (of the
    /// largest) for gradients; in bfloat16, which has 8 bits, 1e-2 for the loss, and a gradient cosine of 0.99.
    pub fn holds(&self) -> bool {
        let loss = (self.loss - self.expected_loss).abs() / self.expected_loss;
        match self.precision {
            Precision::F32 => loss <= 1e-4 && self.gradient_difference <= 1e-3,
            _ => loss <= 1e-2 && self.gradient_cosine >= 0.99,
        }
    }
}

/// Training speed.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Tokens per second, without padding.
    pub tokens_per_second: f64,
    /// FLOPs per second in matrix products and attention ([`Products`]).
    pub flops_per_second: f64,
    /// Seconds per update.
    pub seconds_per_step: f64,
    /// Fraction of the time spent waiting for batches.
    pub wait_share: f64,
    /// Peak bytes of tensors on a GPU; `None` on a CPU.
    pub peak_device_memory: Option<u64>,
}

impl Recipe {
    /// Compares the config's device and kernels with plain float32 on a CPU, on the first batch without dropout.
    ///
    /// # Errors
    /// If shards and config do not match, or the device does not exist.
    pub fn parity(&self) -> Result<Parity> {
        let split = Arc::new(self.open_shards(&self.config().data.shards, Split::Train)?);
        let counts = split.unigram_counts()?;
        let masking = self.masking(&split)?;
        let batch = self.loader(split, masking, 0)?.next_batch()?;
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

        let reference = self.build_config(&plain, &counts)?;
        let tested = self.build_config(&own, &counts)?;
        let (expected, found) = (reference.variables()?, tested.variables()?);
        for ((_, from), (_, to)) in expected.iter().zip(&found) {
            // The same seed gives other random numbers on another device.
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

    /// Times `steps` updates after a warm-up. Writes nothing, and synchronizes with the device only at the end.
    ///
    /// # Errors
    /// As [`Self::parity`], and if a loss is not finite.
    pub fn speed(&self, steps: u64) -> Result<Speed> {
        let split = Arc::new(self.open_shards(&self.config().data.shards, Split::Train)?);
        let built = self.build(&split.unigram_counts()?)?;
        let (device, networks) = (built.vs.device(), built.objective.networks());
        let mut session = self.session(&built)?;
        let masking = self.masking(&split)?;
        let mut source = self.loader(split, masking, 0)?;
        let (mut start, mut tokens, mut flops) = (Instant::now(), 0.0, 0.0);
        for step in 0..WARM_UP + steps {
            if step == WARM_UP {
                session.fetch_losses()?;
                synchronize(device);
                peak_device_memory(device, Peak::Reset);
                source.take_wait();
                (start, tokens, flops) = (Instant::now(), 0.0, 0.0);
            }
            let batch = source.next_batch()?;
            let work = work(&batch);
            tokens += work.tokens;
            flops += self.products(&networks, &work).iter().map(Products::step).sum::<f64>();
            session.update(batch, Metrics::Skipped)?;
        }
        session.fetch_losses()?;
        synchronize(device);
        let seconds = start.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
        Ok(Speed {
            tokens_per_second: tokens / seconds,
            flops_per_second: flops / seconds,
            seconds_per_step: seconds / steps as f64,
            wait_share: source.take_wait().as_secs_f64() / seconds,
            peak_device_memory: peak_device_memory(device, Peak::Keep),
        })
    }
}

/// The sizes of the networks in a golden file; embeddings are tied.
#[derive(Debug, Deserialize)]
struct GoldenSizes {
    vocab: i64,
    embedding: i64,
    positions: i64,
    /// Layers, hidden size, heads, intermediate size.
    discriminator: [i64; 4],
    generator: [i64; 4],
}

/// Largest difference between both networks' logits on `device` (GPU kernels, float32) and those in a golden file
/// (`tests/fixtures/networks-projected.safetensors`, from transformers; logits have a magnitude of 1), without padding.
///
/// # Errors
/// [`Error::Checkpoint`] naming what is missing from the file.
pub fn golden(path: &Path, device: Device) -> Result<f64> {
    let all: HashMap<String, Tensor> = tensors::read(path)?.into_iter().collect();
    let metadata = tensors::metadata(path)?;
    let sizes = metadata.get("facts").map_or("", String::as_str);
    let sizes: GoldenSizes = serde_json::from_str(sizes).map_err(|e| {
        Error::checkpoint(path, format!("not a golden file: metadata `facts`: {e}"))
    })?;
    let network = |[layers, hidden, heads, intermediate]: [i64; 4]| EncoderConfig {
        max_positions: sizes.positions,
        kernels: Kernels::Gpu,
        ..EncoderConfig::electra(
            sizes.vocab,
            sizes.embedding,
            EncoderSizes { layers, hidden, heads, intermediate },
        )
    };
    let config = ElectraConfig {
        discriminator: network(sizes.discriminator),
        generator: Some(network(sizes.generator)),
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
            let difference = (found - expected).abs().max().double_value(&[]);
            // `f64::max` would ignore NaN.
            worst = if difference.is_finite() { worst.max(difference) } else { f64::INFINITY };
        }
    }
    Ok(worst)
}

/// The loss of a batch, summed over the phases, and all gradients concatenated on the host.
fn gradients(built: &BuiltObjective, variables: &Named, batch: &MaskedBatch) -> (f64, Tensor) {
    let objective = &built.objective;
    let mut pass = objective.pass(batch, &objective.loss_counts(batch), true);
    let total = backward(objective.phases().len(), &mut *pass);
    let flat = variables.iter().map(|(_, variable)| {
        gradient_of(variable).flatten(0, -1).to_device(Device::Cpu).to_kind(Kind::Double)
    });
    (total, Tensor::cat(&flat.collect::<Vec<_>>(), 0))
}
