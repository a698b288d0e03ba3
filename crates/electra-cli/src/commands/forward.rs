//! `electra forward`: runs a network on ids, for parity checks and embeddings, or on a text.

use crate::{Extensions, console};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use clap::{ArgGroup, Parser};
use electra_model::{EncoderInput, PaddingMask, PretrainedNetwork, Row, hf::Pretrained, tensors};
use electra_tasks::model::check_vocabulary;
use electra_tokenize::{Tokenizer, WordPiece};
use std::{
    io::{IsTerminal, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::{Device, Kind, Tensor, no_grad};

/// Run a network on ids, or detect replaced tokens in a text.
///
/// With --input, reads `input_ids`, `attention_mask` and `token_type_ids` (int64 [b, s]; the last two are optional) and
/// writes `last_hidden_state` and, if the network has a pre-training head, `logits` (f32). With --text, prints the
/// discriminator's probability that each token was replaced.
#[derive(Debug, Parser)]
#[command(
    group(ArgGroup::new("what").required(true).args(["input", "text"])),
    after_help = "Examples:\n  electra forward --model exported/small --input in.safetensors --output out.safetensors\n  electra forward --model exported/small --text \"The chef ate the meal.\""
)]
pub(crate) struct Args {
    /// Model folder with config.json and weights.
    #[arg(long)]
    model: PathBuf,
    /// Input ids, as safetensors.
    #[arg(long, requires = "output")]
    input: Option<PathBuf>,
    /// Output file for hidden states and logits, as safetensors.
    #[arg(long, conflicts_with = "text")]
    output: Option<PathBuf>,
    /// Text in which to detect replaced tokens.
    #[arg(long)]
    text: Option<String>,
    /// Device: "auto", "cpu" or "cuda:N".
    #[arg(long, default_value = "auto")]
    device: String,
}

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let device = electra_torch::device(&self.device)?;
        let pretrained = read(&self.model)?;
        let network = PretrainedNetwork::new(&pretrained, &extensions.parts, device)?;
        match (&self.text, &self.input, &self.output) {
            (Some(text), _, _) => detect(&self.model, &pretrained, &network, text, device)?,
            (None, Some(input), Some(output)) => {
                forward(input, output, &pretrained, &network, device)?;
            }
            _ => bail!("use --input with --output, or --text"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a model folder, and logs the notes of its reader.
pub(super) fn read(dir: &Path) -> anyhow::Result<Pretrained> {
    let pretrained = Pretrained::read(dir)?;
    for note in &pretrained.notes {
        tracing::info!("{}: {note}", dir.display());
    }
    Ok(pretrained)
}

fn forward(
    path: &Path,
    output: &Path,
    pretrained: &Pretrained,
    network: &PretrainedNetwork,
    device: Device,
) -> anyhow::Result<()> {
    let shown = path.display();
    let inputs = tensors::read(path)?;
    let input = |name: &str| -> anyhow::Result<Option<Tensor>> {
        let Some((_, tensor)) = inputs.iter().find(|(n, _)| n == name) else { return Ok(None) };
        if tensor.kind() != Kind::Int64 || tensor.dim() != 2 {
            bail!(
                "{shown}: {name} must be int64 [b, s], but is {:?} {:?}",
                tensor.kind(),
                tensor.size()
            );
        }
        Ok(Some(tensor.to_device(device)))
    };
    let ids_bs = input("input_ids")?.with_context(|| format!("{shown}: no tensor input_ids"))?;
    let segments_bs = input("token_type_ids")?.unwrap_or_else(|| ids_bs.zeros_like());
    let keep_bs = input("attention_mask")?.unwrap_or_else(|| ids_bs.ones_like());
    let (config, shape) = (&pretrained.config.encoder, ids_bs.size());
    for (name, tensor, limit) in [
        ("input_ids", &ids_bs, config.vocab_size),
        ("token_type_ids", &segments_bs, config.segments),
        ("attention_mask", &keep_bs, 2),
    ] {
        if tensor.size() != shape {
            bail!("{shown}: {name} has shape {:?}, but input_ids has {shape:?}", tensor.size());
        }
        if tensor.numel() > 0
            && (tensor.min().int64_value(&[]) < 0 || tensor.max().int64_value(&[]) >= limit)
        {
            bail!("{shown}: values of {name} must be from 0 to {}", limit - 1);
        }
    }
    if shape[1] > config.max_positions {
        bail!(
            "{shown}: sequences have {} tokens, but the model supports at most {}",
            shape[1],
            config.max_positions
        );
    }
    let input = EncoderInput::new(ids_bs, segments_bs, PaddingMask::new(&keep_bs));
    let (hidden, logits) = no_grad(|| {
        let hidden = network.encoder().forward_t(&input, false);
        let logits = network.logits(&hidden);
        (hidden, logits)
    });
    let mut outputs = vec![("last_hidden_state".to_owned(), hidden)];
    outputs.extend(logits.map(|logits| ("logits".to_owned(), logits)));
    tensors::write(output, &outputs)?;
    console::print(format_args!("saved: {}", output.display()))
}

fn detect(
    model: &Path,
    pretrained: &Pretrained,
    network: &PretrainedNetwork,
    text: &str,
    device: Device,
) -> anyhow::Result<()> {
    let PretrainedNetwork::Discriminator(discriminator) = network else {
        bail!(
            "{}: {:?} is not a discriminator and cannot detect replaced tokens; for a generator use `electra fill-mask`",
            model.display(),
            pretrained.config.architecture
        );
    };
    let tokenizer = WordPiece::from_pretrained_dir(model)?;
    check_vocabulary(model, &tokenizer, &pretrained.config.encoder)?;
    let special = tokenizer.vocab().special();
    let mut ids = vec![special.cls];
    tokenizer.encode_into(text, &mut ids)?;
    ids.push(special.sep);
    let limit = pretrained.config.encoder.max_positions as usize;
    if ids.len() > limit {
        bail!("the text has {} tokens, but the model supports at most {limit}", ids.len());
    }
    let rows = [Row { ids: &ids, segment_b_start: ids.len() }];
    let input = EncoderInput::from_rows(&rows, special.pad, device);
    let logits_bs = no_grad(|| discriminator.forward_t(&input, false));
    let probabilities: Vec<f32> =
        Vec::try_from(logits_bs.sigmoid().squeeze_dim(0).to_device(Device::Cpu))?;
    let colored = stdout().is_terminal();
    console::print("replaced  token")?;
    for (id, p) in ids.iter().zip(probabilities).skip(1).take(ids.len() - 2) {
        let style = match (colored, p) {
            (true, 0.5..) => AnsiColor::Red.on_default().bold(),
            (true, 0.2..) => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        let token = &tokenizer.vocab().tokens()[*id as usize];
        console::print(format_args!("{style}{p:>8.4}  {token}{style:#}"))?;
    }
    Ok(())
}
