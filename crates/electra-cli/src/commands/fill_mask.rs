//! `electra fill-mask`: predicts masked tokens with a generator, a discriminator or both.

use super::model::Model;
use crate::{
    Extensions,
    console::{self, Progress},
};
use anyhow::bail;
use clap::{ArgGroup, Parser};
use electra_model::{
    Discriminator, EncoderInput, Generator, Row,
    likelihood::{candidate_logits, electra_log_probabilities, electric_log_probabilities},
};
use electra_tokenize::{Tokenizer, Vocab, WordPiece};
use std::{path::PathBuf, process::ExitCode};
use tch::{Device, Kind, Tensor, no_grad};

const MASK: &str = "[MASK]";

/// The paper's fraction of masked positions.
const MASK_RATE: f64 = 0.15;
/// The paper's number of candidates.
const CANDIDATES: u16 = 100;
/// Candidates of one forward pass.
const BATCH_SIZE: usize = 128;

/// Predict the [MASK] tokens of a text.
///
/// With --model alone: the generator's probabilities.
///
/// With --discriminator: each of the generator's best candidates is inserted in turn, and the probabilities follow from the
/// discriminator's outputs (ELECTRA's appendix G), normalized over the candidates.
///
/// With --electric: probabilities proportional to exp(-energy), over the generator's best candidates, or without --model
/// over the whole vocabulary.
///
/// With either, special tokens except the unknown token are not candidates. While the candidates of one [MASK] are compared, the
/// generator's best token fills each other [MASK].
#[derive(Debug, Parser)]
#[command(
    group(ArgGroup::new("scorer").args(["discriminator", "electric"])),
    after_help = "Examples:
  electra fill-mask --model exported/small-generator \"The state of the [MASK].\" --top-k 5
  electra fill-mask --model exported/small-generator --discriminator exported/small \"The state of the [MASK].\"
  electra fill-mask --electric exported/electric \"The state of the [MASK].\""
)]
pub(crate) struct Args {
    /// Text with one or more [MASK].
    text: String,
    /// Model folder of a generator.
    #[arg(long, value_name = "GENERATOR", required_unless_present = "electric")]
    model: Option<PathBuf>,
    /// Model folder of a discriminator that was trained with replaced token detection.
    #[arg(long)]
    discriminator: Option<PathBuf>,
    /// Model folder of a discriminator that was trained with `objective.kind = "electric"`.
    #[arg(long, value_name = "DISCRIMINATOR")]
    electric: Option<PathBuf>,
    /// The fraction of positions that were masked when the discriminator was trained. Default: 0.15.
    #[arg(long, value_parser = rate, requires = "discriminator", conflicts_with = "electric")]
    mask_rate: Option<f64>,
    /// Number of the generator's best tokens that the discriminator compares. Default: 100.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), requires = "model", requires = "scorer")]
    candidates: Option<u16>,
    /// Number of predictions to show for each [MASK].
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Parses a fraction between 0 and 1, both excluded.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate < 1.0);
    rate.ok_or_else(|| "must be a number between 0 and 1 (both excluded)".to_owned())
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let device = electra_torch::device(&self.device)?;
        let generator = self
            .model
            .as_deref()
            .map(|dir| Model::<Generator>::open(dir, &extensions.parts, device))
            .transpose()?;
        let scorer = self.discriminator.as_deref().or(self.electric.as_deref());
        let scorer = scorer
            .map(|dir| Model::<Discriminator>::open(dir, &extensions.parts, device))
            .transpose()?;
        match (&generator, &scorer) {
            (Some(generator), None) => self.by_generator(generator, device)?,
            (_, Some(scorer)) => self.by_discriminator(generator.as_ref(), scorer, device)?,
            (None, None) => bail!("use --model, or --electric"),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The generator's probabilities.
    fn by_generator(&self, generator: &Model<Generator>, device: Device) -> anyhow::Result<()> {
        let text = MaskedText::new(&self.text, &generator.tokenizer, generator.max_positions)?;
        let probabilities_pv = text.log_probabilities_pv(generator, device).exp();
        for (mask, probabilities_v) in probabilities_pv.unbind(0).iter().enumerate() {
            text.print_heading(mask)?;
            for (place, p) in best(probabilities_v, self.top_k.into()) {
                let token = generator.token(place as u32);
                console::print(format_args!("{p:>8.4}  {token}"))?;
            }
        }
        Ok(())
    }

    /// The probabilities of candidates by a discriminator.
    fn by_discriminator(
        &self,
        generator: Option<&Model<Generator>>,
        scorer: &Model<Discriminator>,
        device: Device,
    ) -> anyhow::Result<()> {
        let mut limit = scorer.max_positions;
        if let Some(generator) = generator {
            limit = limit.min(generator.max_positions);
            if generator.tokenizer.vocab().tokens() != scorer.tokenizer.vocab().tokens() {
                let (a, b) = (generator.dir.display(), scorer.dir.display());
                bail!("{a} and {b} have different vocabularies");
            }
        }
        let mut text = MaskedText::new(&self.text, &scorer.tokenizer, limit)?;
        let candidates = self.candidates(&text, generator, scorer.tokenizer.vocab(), device)?;
        for (&position, candidates) in text.positions.iter().zip(&candidates) {
            text.ids[position] = candidates.ids[0];
        }
        let total: usize = candidates.iter().map(|candidates| candidates.ids.len()).sum();
        let (mut progress, mut before) = (Progress::new("candidates", total as u64), 0);
        let mut found = Vec::new();
        for (&position, candidates) in text.positions.iter().zip(&candidates) {
            let logits_n = candidate_logits(
                &scorer.network,
                &text.ids,
                position,
                &candidates.ids,
                BATCH_SIZE,
                &mut |done| progress.set(before + done, total as u64),
            );
            before += candidates.ids.len() as u64;
            found.push(match (&self.electric, &candidates.log_probabilities_n) {
                (None, Some(generator_n)) => {
                    let rate = self.mask_rate.unwrap_or(MASK_RATE);
                    electra_log_probabilities(&logits_n, generator_n, rate).exp()
                }
                _ => electric_log_probabilities(&logits_n).exp(),
            });
        }
        drop(progress);
        if found.iter().any(|probabilities_n| probabilities_n.isnan().any().int64_value(&[]) == 1) {
            bail!("{}: the model returned NaN; its weights may be corrupt", scorer.dir.display());
        }
        if generator.is_some() {
            console::print("probability  generator  token")?;
        }
        for (mask, (probabilities_n, candidates)) in found.iter().zip(&candidates).enumerate() {
            text.print_heading(mask)?;
            for (place, p) in best(probabilities_n, self.top_k.into()) {
                let token = scorer.token(candidates.ids[place]);
                match &candidates.log_probabilities_n {
                    Some(generator_n) => {
                        let q = generator_n.double_value(&[place as i64]).exp();
                        console::print(format_args!("{p:>11.4}  {q:>9.4}  {token}"))?;
                    }
                    None => console::print(format_args!("{p:>8.4}  {token}"))?,
                }
            }
        }
        Ok(())
    }

    /// The candidates of each `[MASK]`.
    fn candidates(
        &self,
        text: &MaskedText,
        generator: Option<&Model<Generator>>,
        vocab: &Vocab,
        device: Device,
    ) -> anyhow::Result<Vec<Candidates>> {
        let Some(generator) = generator else {
            if text.positions.len() > 1 {
                bail!(
                    "the text has {} {MASK}: --electric compares the candidates of one; add --model GENERATOR, whose \
                     best tokens fill the others",
                    text.positions.len()
                );
            }
            return Ok(vec![Candidates::all(vocab)]);
        };
        let count = usize::from(self.candidates.unwrap_or(CANDIDATES));
        let log_probabilities_pv = text.log_probabilities_pv(generator, device);
        let best = |row: &Tensor| Candidates::best(row, vocab, count);
        Ok(log_probabilities_pv.unbind(0).iter().map(best).collect())
    }
}

/// A text with masked positions, as ids with `[CLS]` and `[SEP]`.
struct MaskedText {
    ids: Vec<u32>,
    positions: Vec<usize>,
}

impl MaskedText {
    fn new(text: &str, tokenizer: &WordPiece, limit: usize) -> anyhow::Result<Self> {
        let special = tokenizer.vocab().special();
        let (mut ids, mut positions) = (vec![special.cls], Vec::new());
        for (index, part) in text.split(MASK).enumerate() {
            if index > 0 {
                positions.push(ids.len());
                ids.push(special.mask);
            }
            tokenizer.encode_into(part, &mut ids)?;
        }
        ids.push(special.sep);
        if positions.is_empty() {
            bail!("the text has no {MASK}");
        }
        if ids.len() > limit {
            bail!("the text has {} tokens, but the model supports at most {limit}", ids.len());
        }
        Ok(Self { ids, positions })
    }

    /// The generator's log-probabilities over the vocabulary at each `[MASK]`, on the CPU.
    fn log_probabilities_pv(&self, generator: &Model<Generator>, device: Device) -> Tensor {
        let rows = [Row { ids: &self.ids, segment_b_start: self.ids.len() }];
        let input = EncoderInput::from_rows(&rows, 0, device);
        let positions: Vec<i64> = self.positions.iter().map(|&position| position as i64).collect();
        let positions_p = Tensor::from_slice(&positions).to_device(device);
        no_grad(|| {
            let logits_pv = generator.network.forward_t(&input, &positions_p, false);
            logits_pv.log_softmax(-1, Kind::Float).to_device(Device::Cpu)
        })
    }

    /// Prints which `[MASK]` the next lines are about, if there are several.
    fn print_heading(&self, mask: usize) -> anyhow::Result<()> {
        match self.positions.len() {
            1 => Ok(()),
            _ => console::print(format_args!("{MASK} {}", mask + 1)),
        }
    }
}

/// The tokens that are compared at one position.
struct Candidates {
    ids: Vec<u32>,
    /// The generator's log-probabilities over the vocabulary, if there is a generator.
    log_probabilities_n: Option<Tensor>,
}

impl Candidates {
    /// The `count` most probable tokens of a generator, most probable first.
    fn best(log_probabilities_v: &Tensor, vocab: &Vocab, count: usize) -> Self {
        let allowed = Self::all(vocab).ids;
        let ids: Vec<i64> = allowed.iter().map(|&id| id.into()).collect();
        let allowed_n = log_probabilities_v.index_select(0, &Tensor::from_slice(&ids));
        let best = best(&allowed_n, count);
        let log_probabilities: Vec<f64> = best.iter().map(|&(_, p)| p).collect();
        Self {
            ids: best.iter().map(|&(place, _)| allowed[place]).collect(),
            log_probabilities_n: Some(Tensor::from_slice(&log_probabilities)),
        }
    }

    /// All tokens that can be masked in training.
    fn all(vocab: &Vocab) -> Self {
        let special = vocab.special();
        let never = [special.pad, special.cls, special.sep, special.mask];
        let ids = (0..vocab.len() as u32).filter(|id| !never.contains(id)).collect();
        Self { ids, log_probabilities_n: None }
    }
}

/// The places and values of the `k` largest values of `[n]`, largest first.
fn best(values_n: &Tensor, k: usize) -> Vec<(usize, f64)> {
    let k = (k as i64).min(values_n.size()[0]);
    let (best_k, places_k) = values_n.topk(k, -1, true, true);
    (0..k)
        .map(|rank| (places_k.int64_value(&[rank]) as usize, best_k.double_value(&[rank])))
        .collect()
}
