//! `electra forward`: an exported network on ids, for parity checks and embeddings.

use crate::console;
use anyhow::{Context, bail};
use clap::Parser;
use electra_model::{
    Discriminator, ElectraConfig, Encoder, Generator, PaddingMask, Parts, Site,
    hf::{Architecture, Pretrained},
    tensors,
};
use std::{path::PathBuf, process::ExitCode};
use tch::{Kind, Tensor, nn, no_grad};

/// Run an exported network with its pre-training head.
///
/// Reads `input_ids`, `attention_mask` and `token_type_ids` (int64 [b, s]; the last two are optional)
/// and writes `last_hidden_state` and `logits` (f32).
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  electra forward --model exported/small --input in.safetensors --output out.safetensors"
)]
pub(crate) struct Args {
    /// A folder with config.json and model.safetensors.
    #[arg(long)]
    model: PathBuf,
    /// Ids, as safetensors.
    #[arg(long)]
    input: PathBuf,
    /// Hidden states and logits, as safetensors.
    #[arg(long)]
    output: PathBuf,
    /// "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let device = electra_torch::device(&self.device)?;
        let pretrained = Pretrained::read(&self.model)?;
        let inputs = tensors::read(&self.input)?;
        let input = |name: &str| -> anyhow::Result<Option<Tensor>> {
            let Some((_, tensor)) = inputs.iter().find(|(n, _)| n == name) else { return Ok(None) };
            if tensor.kind() != Kind::Int64 || tensor.dim() != 2 {
                bail!(
                    "{}: {name} must be int64 [b, s], is {:?} {:?}",
                    self.input.display(),
                    tensor.kind(),
                    tensor.size()
                );
            }
            Ok(Some(tensor.to_device(device)))
        };
        let ids_bs = input("input_ids")?
            .with_context(|| format!("{}: no tensor input_ids", self.input.display()))?;
        let segments_bs = input("token_type_ids")?.unwrap_or_else(|| ids_bs.zeros_like());
        let keep_bs = input("attention_mask")?.unwrap_or_else(|| ids_bs.ones_like());
        let (config, shape) = (&pretrained.config, ids_bs.size());
        for (name, tensor, limit) in [
            ("input_ids", &ids_bs, config.vocab_size),
            ("token_type_ids", &segments_bs, config.segments),
            ("attention_mask", &keep_bs, 2),
        ] {
            if tensor.size() != shape {
                bail!(
                    "{}: {name} has shape {:?}, input_ids {shape:?}",
                    self.input.display(),
                    tensor.size()
                );
            }
            if tensor.numel() > 0
                && (tensor.min().int64_value(&[]) < 0 || tensor.max().int64_value(&[]) >= limit)
            {
                bail!("{}: {name} must be from 0 to {}", self.input.display(), limit - 1);
            }
        }
        if shape[1] > config.max_positions {
            bail!(
                "{}: sequences of {} tokens, the model has {} positions",
                self.input.display(),
                shape[1],
                config.max_positions
            );
        }
        let mask = PaddingMask::new(&keep_bs);

        let mut vs = nn::VarStore::new(device);
        let (root, parts) =
            (vs.root(), Parts::from_config(&ElectraConfig::small(config.vocab_size)));
        let embeddings =
            parts.build_embeddings(&Site::new(&(&root / "electra" / "embeddings"), config))?;
        let run = |encoder: &Encoder| encoder.forward_t(&ids_bs, &segments_bs, &mask, false);
        let (hidden, logits) = match pretrained.architecture {
            Architecture::ElectraForPreTraining => {
                let model = Discriminator::new(&root, config, &parts, embeddings)?;
                pretrained.load(&vs)?;
                vs.freeze();
                no_grad(|| {
                    let hidden = run(model.encoder());
                    let logits = model.logits(&hidden);
                    (hidden, logits)
                })
            }
            Architecture::ElectraForMaskedLM => {
                let model = Generator::new(&root, config, &parts, embeddings)?;
                pretrained.load(&vs)?;
                vs.freeze();
                no_grad(|| {
                    let hidden = run(model.encoder());
                    let logits = model.logits(&hidden);
                    (hidden, logits)
                })
            }
            other => bail!("{}: {other:?} has no pre-training head", self.model.display()),
        };
        let outputs = [("last_hidden_state".to_owned(), hidden), ("logits".to_owned(), logits)];
        tensors::write(&self.output, &outputs)?;
        console::print(format_args!("written: {}", self.output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
