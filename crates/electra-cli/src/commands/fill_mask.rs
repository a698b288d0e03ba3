//! `electra fill-mask`: predicts masked tokens with a generator.

use super::forward;
use crate::console;
use anyhow::bail;
use clap::Parser;
use electra_model::{EncoderInput, Parts, PretrainedNetwork, Row};
use electra_tasks::model::check_vocabulary;
use electra_tokenize::{Tokenizer, WordPiece};
use std::{path::PathBuf, process::ExitCode};
use tch::{Device, Kind, Tensor, no_grad};

const MASK: &str = "[MASK]";

/// Predict the [MASK] tokens of a text with a generator.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra fill-mask --model exported/small-generator \"The state of the [MASK].\" --top-k 5"
)]
pub(crate) struct Args {
    /// Text with one or more [MASK].
    text: String,
    /// Model folder of a generator.
    #[arg(long)]
    model: PathBuf,
    /// Number of predictions to show for each [MASK].
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let device = electra_torch::device(&self.device)?;
        let pretrained = forward::read(&self.model)?;
        let PretrainedNetwork::Generator(generator) =
            PretrainedNetwork::new(&pretrained, &Parts::shipped(), device)?
        else {
            bail!(
                "{}: {:?} is not a generator and cannot predict tokens; for a discriminator use `electra forward --text`",
                self.model.display(),
                pretrained.config.architecture
            );
        };
        let tokenizer = WordPiece::from_pretrained_dir(&self.model)?;
        check_vocabulary(&self.model, &tokenizer, &pretrained.config.encoder)?;
        let special = tokenizer.vocab().special();
        let mut ids = vec![special.cls];
        let mut positions = Vec::new();
        for (index, part) in self.text.split(MASK).enumerate() {
            if index > 0 {
                positions.push(ids.len() as i64);
                ids.push(special.mask);
            }
            tokenizer.encode_into(part, &mut ids)?;
        }
        ids.push(special.sep);
        if positions.is_empty() {
            bail!("the text has no {MASK}");
        }
        let limit = pretrained.config.encoder.max_positions as usize;
        if ids.len() > limit {
            bail!("the text has {} tokens, but the model supports at most {limit}", ids.len());
        }
        let rows = [Row { ids: &ids, segment_b_start: ids.len() }];
        let input = EncoderInput::from_rows(&rows, special.pad, device);
        let positions_p = Tensor::from_slice(&positions).to_device(device);
        let probabilities_pv = no_grad(|| {
            let logits = generator.forward_t(&input, &positions_p, false);
            logits.softmax(-1, Kind::Float).to_device(Device::Cpu)
        });
        let k = i64::from(self.top_k).min(pretrained.config.encoder.vocab_size);
        let (best_pk, tokens_pk) = probabilities_pv.topk(k, -1, true, true);
        for mask in 0..positions.len() as i64 {
            if positions.len() > 1 {
                console::print(format_args!("{MASK} {}", mask + 1))?;
            }
            for rank in 0..k {
                let (p, id) =
                    (best_pk.double_value(&[mask, rank]), tokens_pk.int64_value(&[mask, rank]));
                let token = tokenizer.vocab().tokens().get(id as usize);
                console::print(format_args!(
                    "{p:>8.4}  {}",
                    token.map_or("(no token)", String::as_str)
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
