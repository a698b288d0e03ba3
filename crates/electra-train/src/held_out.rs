//! Evaluation on the held-out split: of the objective, on the replacements of a frozen generator, and by a probe.

use crate::{
    config::{Probe, ReferenceGenerator, RunConfig},
    error::{Error, Result},
    metrics::{Figures, Totals, number},
    objective::{FrozenGenerator, Objective, TokenPrediction, detect, evaluation_pass},
    trainer::evaluate,
    vocabulary::same_vocabulary,
    word_order::WordOrderProbe,
};
use electra_data::{MaskedBatch, Masking, ShardSet, UniformMasking, evaluation_batches};
use electra_files::PathKind;
use electra_model::{Discriminator, Parts, PretrainedNetwork, hf::Pretrained};
use std::{path::Path, sync::Arc};
use tch::{Device, no_grad};

/// Seed of the masks and samples in held-out evaluation, the same for all runs.
const SEED: u64 = 0;

/// The masks that a reference generator fills: the paper's, whatever the run's are, so that runs are comparable.
const REFERENCE_MASKING: UniformMasking = UniformMasking { rate: 0.15, mask_share: 1.0 };

/// The key of the reference generator.
const REFERENCE: &str = "evaluate.reference";

/// Number of held-out sequences in the report.
const REPORTED_SEQUENCES: usize = 8;

/// The held-out split of a run, and what is evaluated on it.
#[derive(Debug)]
pub(crate) struct HeldOut {
    split: ShardSet,
    masking: Arc<dyn Masking>,
    batch_size: usize,
    reference: Option<Reference>,
    probe: Option<WordOrderProbe>,
    device: Device,
}

impl HeldOut {
    /// Evaluation of `objective` as configured, on `split` of the folder `shards`.
    ///
    /// # Errors
    /// If the reference generator cannot be read or does not have the vocabulary of the shards, or the objective has no
    /// network that the config evaluates.
    pub(crate) fn new(
        config: &RunConfig,
        parts: &Parts,
        shards: &Path,
        split: ShardSet,
        masking: Arc<dyn Masking>,
        objective: &dyn Objective<Batch = MaskedBatch>,
        device: Device,
    ) -> Result<Self> {
        let batch_size = config.train.batch_size;
        let evaluate = &config.evaluate;
        let reference = match &evaluate.reference {
            ReferenceGenerator::None => None,
            named => {
                let value = String::from(named.clone());
                if objective.discriminator().is_none() {
                    let expected = format!(
                        "requires a discriminator that detects replaced tokens, which the objective {} does not have: \
                         remove the key",
                        objective.name()
                    );
                    return Err(Error::value(REFERENCE, value, expected));
                }
                let generator = match named {
                    ReferenceGenerator::Folder(dir) => read(dir, parts, shards, &split, device)?,
                    _ => FrozenGenerator::unigram(&split.unigram_counts()?, device),
                };
                Some(Reference::new(&generator, &split, batch_size)?)
            }
        };
        let probe = match evaluate.probe {
            Probe::None => None,
            Probe::WordOrder if objective.networks().is_empty() => {
                let expected = format!(
                    "requires a network to probe, but the objective {} lists none: implement Objective::networks, or \
                     set \"none\"",
                    objective.name()
                );
                return Err(Error::value("evaluate.probe", "word-order", expected));
            }
            Probe::WordOrder => WordOrderProbe::new(&split)?,
        };
        Ok(Self { split, masking, batch_size, reference, probe, device })
    }

    /// All held-out metrics.
    ///
    /// # Errors
    /// If a shard cannot be read.
    pub(crate) fn figures(
        &self,
        objective: &dyn Objective<Batch = MaskedBatch>,
    ) -> Result<Figures> {
        let Self { split, masking, batch_size, reference, probe, device } = self;
        let batches =
            || evaluation_batches(split, &**masking, SEED, *batch_size).map(|batch| Ok(batch?));
        let mut figures = evaluate(objective, batches)?;
        if let (Some(reference), Some(discriminator)) = (reference, objective.discriminator()) {
            figures.extend(reference.figures(discriminator, split, *batch_size, *device)?);
        }
        if let (Some(probe), Some(network)) = (probe, objective.networks().first()) {
            let accuracy = probe.accuracy(network.encoder, *device)?;
            figures.insert("probe_accuracy".to_owned(), number(accuracy));
        }
        Ok(figures)
    }

    /// Predictions for the first sequences.
    ///
    /// # Errors
    /// If a shard cannot be read.
    pub(crate) fn samples(
        &self,
        objective: &dyn Objective<Batch = MaskedBatch>,
    ) -> Result<Vec<Vec<TokenPrediction>>> {
        samples(objective, &self.split, &*self.masking)
    }
}

/// Predictions for the first sequences of a held-out split.
///
/// # Errors
/// If a shard cannot be read.
pub(crate) fn samples(
    objective: &dyn Objective<Batch = MaskedBatch>,
    split: &ShardSet,
    masking: &dyn Masking,
) -> Result<Vec<Vec<TokenPrediction>>> {
    let mut batches = evaluation_batches(split, masking, SEED, REPORTED_SEQUENCES);
    let Some(batch) = batches.next().transpose()? else { return Ok(Vec::new()) };
    let whole = objective.loss_counts(&batch);
    Ok(no_grad(|| evaluation_pass(objective, &batch, &whole).token_predictions()))
}

/// The replacements of a frozen generator in the held-out split. They are sampled once: the generator does not change, and
/// masks and uniform numbers depend only on the example.
#[derive(Debug)]
struct Reference {
    /// For each batch, the replacements at its masked positions.
    samples: Vec<Vec<i64>>,
}

impl Reference {
    fn new(generator: &FrozenGenerator, split: &ShardSet, batch_size: usize) -> Result<Self> {
        let batches = evaluation_batches(split, &REFERENCE_MASKING, SEED, batch_size);
        let samples = batches.map(|batch| Ok(generator.sample(&batch?)));
        Ok(Self { samples: samples.collect::<Result<_>>()? })
    }

    /// The discriminator's metrics, with names `reference_...`.
    fn figures(
        &self,
        discriminator: &Discriminator,
        split: &ShardSet,
        batch_size: usize,
        device: Device,
    ) -> Result<Figures> {
        let mut totals = Totals::default();
        let batches = evaluation_batches(split, &REFERENCE_MASKING, SEED, batch_size);
        for (batch, samples) in batches.zip(&self.samples) {
            let batch = MaskedBatch { sampled_ids: samples.clone(), ..batch? };
            totals.add(&detect(discriminator, &batch, device));
        }
        let figures = totals.figures().into_iter().map(|(name, figure)| {
            let name = name.strip_prefix("discriminator_").unwrap_or(&name);
            (format!("reference_{name}"), figure)
        });
        Ok(figures.collect())
    }
}

/// Reads the reference generator of a folder.
fn read(
    dir: &Path,
    parts: &Parts,
    shards: &Path,
    split: &ShardSet,
    device: Device,
) -> Result<FrozenGenerator> {
    let invalid = |expected: String| Err(Error::value(REFERENCE, dir.display(), expected));
    if let Some(PathKind::Run | PathKind::Checkpoint) = PathKind::of(dir) {
        let dir = dir.display();
        return invalid(format!(
            "is a run: export its generator with `electra export {dir} --part generator --out MODEL`, and set MODEL"
        ));
    }
    let subfolder = dir.join("generator");
    let dir = if subfolder.is_dir() { &subfolder } else { dir };
    let mut pretrained = Pretrained::read(dir)?;
    let (encoder, tokens) = (&mut pretrained.config.encoder, split.vocab_size() as i64);
    // The other rows of a padded table are not sampled.
    encoder.tokens = (encoder.vocab_size > tokens).then_some(tokens);
    let (positions, rows, segments) = (encoder.max_positions, encoder.vocab_size, encoder.segments);
    let PretrainedNetwork::Generator(network) =
        PretrainedNetwork::new(&pretrained, &parts.clone().by_name(), device)?
    else {
        return invalid(format!(
            "is not a masked language model, but {:?}: export a generator with `electra export RUN --part generator`",
            pretrained.config.architecture
        ));
    };
    same_vocabulary(REFERENCE, dir, shards)?;
    for (what, has, needed) in [
        ("positions", positions, split.sequence_length() as i64),
        ("tokens in its embeddings", rows, tokens),
        ("segments", segments, 2),
    ] {
        if has < needed {
            return invalid(format!("has {has} {what}, but the shards have {needed}"));
        }
    }
    Ok(FrozenGenerator::masked_lm(network, device))
}
