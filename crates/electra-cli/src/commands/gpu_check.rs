//! `electra gpu-check`: compares a GPU's results with a CPU's, and measures its speed.

use crate::{Extensions, console};
use anyhow::{Context, bail};
use clap::Parser;
use electra_data::{ShardSet, Split};
use electra_files::write_file_with;
use electra_train::{RunConfig, gpu_check::golden, profile::Limit};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use tch::{Device, Kind};

/// Check and time pre-training on a GPU.
///
/// For each size, compares the loss and all gradients of a batch with a CPU's, in f32 and bfloat16. For each length with
/// shards, times updates in bfloat16: tokens per second, MFU (fraction of the GPU's peak), memory. Requires libtorch with
/// CUDA: see docs/performance.md, "GPU". Without a GPU nothing runs, and the exit code is 1.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  electra gpu-check --shards shards --golden golden.safetensors --json gpu.json
  electra gpu-check --shards shards --device cpu --size tiny --steps 2 --batch-size 4")]
pub(crate) struct Args {
    /// A folder of shards, or a folder of such folders with different lengths.
    #[arg(long)]
    shards: PathBuf,
    /// Sizes of presets, as in pretrain-SIZE.toml.
    #[arg(long, value_delimiter = ',', default_value = "small,base")]
    size: Vec<String>,
    /// Folder of the presets.
    #[arg(long, default_value = "configs")]
    configs: PathBuf,
    /// "cuda:N", or "cpu" to test the command itself.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Timed updates, after ten warm-up updates.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Batch sizes to time, separated by commas. Default: those with 16384 and 131072 tokens (32768 for Base).
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Vec<u32>,
    /// File of golden values to check first, such as tests/fixtures/networks-projected.safetensors.
    #[arg(long)]
    golden: Option<PathBuf>,
    /// Write the results to a JSON file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Batch size for the comparison, small enough for a CPU.
const COMPARED: u32 = 4;

/// Tolerance for golden logits of about 1; a CPU reaches 1e-5.
const GOLDEN: f64 = 1e-4;

impl Args {
    pub(crate) fn run(self, extensions: &Extensions) -> anyhow::Result<ExitCode> {
        let device = match electra_torch::device(&self.device) {
            Err(electra_torch::Error::NoCuda(..)) => bail!(
                "no CUDA device found, nothing was run (libtorch's CUDA library must be in LD_LIBRARY_PATH; see docs/performance.md)"
            ),
            other => other?,
        };
        let shards = lengths(&self.shards)?;
        let peak = Bound::of(device);
        tracing::info!("{}: {:.1} TFLOP/s {}", peak.name, peak.rate / 1e12, peak.source);

        let golden = self.golden.as_ref().map(|path| golden(path, device)).transpose()?;
        if let Some(error) = golden {
            let verdict = verdict(error <= GOLDEN);
            console::print(format_args!("golden logits differ by {error:.1e}: {verdict}"))?;
        }
        let mut parity = Vec::new();
        for size in &self.size {
            for precision in ["f32", "bf16"] {
                let config = self.config(size, &shards[0], COMPARED, precision)?;
                let found = extensions.recipe(config).parity()?;
                console::print(format_args!(
                    "{size}, {precision}: loss {:.6}, expected {:.6}; gradients differ by {:.1e}, cosine {:.6}: {}",
                    found.loss,
                    found.expected_loss,
                    found.gradient_difference,
                    found.gradient_cosine,
                    verdict(found.holds()),
                ))?;
                parity.push((
                    found.holds(),
                    json!({
                        "size": size,
                        "precision": precision,
                        "loss": found.loss,
                        "expected_loss": found.expected_loss,
                        "gradient_difference": found.gradient_difference,
                        "gradient_cosine": found.gradient_cosine,
                        "holds": found.holds(),
                    }),
                ));
            }
        }

        console::print("size   length  batch   tokens/s     MFU  step, ms  memory, GiB  waiting")?;
        let mut speed = Vec::new();
        for size in &self.size {
            for of_length in &shards {
                for batch in self.batches(size, of_length.length) {
                    speed.push(self.speed(size, of_length, batch, &peak, extensions)?);
                }
            }
        }
        console::print(
            "targets on one H100 or H200: base at 128, 40 % MFU; small at 128, 2.3 M tokens/s",
        )?;
        let golden_holds = golden.is_none_or(|error| error <= GOLDEN);
        let holds = golden_holds && parity.iter().all(|(holds, _)| *holds);
        let results = json!({
            "device": peak.name,
            "peak_flops_per_second": peak.rate,
            "peak": peak.source,
            "steps": self.steps,
            "golden_difference": golden,
            "parity": parity.into_iter().map(|(_, row)| row).collect::<Vec<Value>>(),
            "speed": speed,
        });
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&results)?;
            write_file_with(path, |file| -> anyhow::Result<()> { Ok(writeln!(file, "{text}")?) })?;
        }
        match holds {
            true => Ok(ExitCode::SUCCESS),
            false => bail!("results on {} differ from those of a CPU", peak.name),
        }
    }

    fn speed(
        &self,
        size: &str,
        shards: &OfLength,
        batch: u32,
        peak: &Bound,
        extensions: &Extensions,
    ) -> anyhow::Result<Value> {
        let config = self.config(size, shards, batch, "bf16")?;
        let found = extensions.recipe(config).speed(self.steps)?;
        let mfu = found.flops_per_second / peak.rate;
        let memory = found.peak_device_memory;
        let shown =
            memory.map_or_else(|| "-".to_owned(), |b| format!("{:.1}", b as f64 / 2f64.powi(30)));
        console::print(format_args!(
            "{size:<6} {:>6} {batch:>6} {:>10.0} {:>5.1} % {:>9.1} {shown:>12} {:>6.1} %",
            shards.length,
            found.tokens_per_second,
            100.0 * mfu,
            1e3 * found.seconds_per_step,
            100.0 * found.wait_share,
        ))?;
        Ok(json!({
            "size": size,
            "length": shards.length,
            "batch_size": batch,
            "tokens_per_second": found.tokens_per_second,
            "mfu": mfu,
            "seconds_per_step": found.seconds_per_step,
            "peak_device_memory_bytes": memory,
            "wait_share": found.wait_share,
        }))
    }

    /// A preset with the shards, and with GPU kernels on any device.
    fn config(
        &self,
        size: &str,
        shards: &OfLength,
        batch: u32,
        precision: &str,
    ) -> anyhow::Result<RunConfig> {
        let sets = [
            format!("data.shards={}", shards.folder.display()),
            format!("data.sequence_length={}", shards.length),
            // A GPU consumes more than one loader thread provides.
            "data.loader_threads=4".to_owned(),
            format!("train.batch_size={batch}"),
            "train.accumulate=1".to_owned(),
            format!("train.device={}", self.device),
            format!("model.vocab_size={}", shards.vocab_size),
            "model.kernels=gpu".to_owned(),
            format!("model.precision={precision}"),
        ];
        let path = self.configs.join(format!("pretrain-{size}.toml"));
        Ok(RunConfig::read(&path, &sets)?)
    }

    fn batches(&self, size: &str, length: usize) -> Vec<u32> {
        if !self.batch_size.is_empty() {
            return self.batch_size.clone();
        }
        let tokens: &[usize] = if size == "base" { &[32_768] } else { &[16_384, 131_072] };
        tokens.iter().map(|tokens| (tokens / length.max(1)).max(1) as u32).collect()
    }
}

fn verdict(holds: bool) -> &'static str {
    if holds { "pass" } else { "FAIL" }
}

/// Shards with a sequence length.
struct OfLength {
    folder: PathBuf,
    length: usize,
    vocab_size: usize,
}

/// Finds the shards in a folder or its subfolders, sorted by sequence length.
fn lengths(folder: &Path) -> anyhow::Result<Vec<OfLength>> {
    let shown = || folder.display().to_string();
    let is_shards = |folder: &Path| folder.join("index.json").is_file();
    let folders: Vec<PathBuf> = match is_shards(folder) {
        true => vec![folder.to_owned()],
        false => {
            let entries = fs::read_dir(folder).with_context(shown)?;
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<std::io::Result<Vec<_>>>().with_context(shown)?
        }
    };
    let mut found = Vec::new();
    for folder in folders.into_iter().filter(|folder| is_shards(folder)) {
        let set = ShardSet::open(&folder, Split::Train)?;
        let (length, vocab_size) = (set.sequence_length(), set.vocab_size());
        found.push(OfLength { folder, length, vocab_size });
    }
    if found.is_empty() {
        bail!("{}: no shards found; create them with `electra shards build`", shown());
    }
    found.sort_by_key(|shards| shards.length);
    Ok(found)
}

/// The peak throughput of a device.
struct Bound {
    name: String,
    /// Dense bfloat16 FLOP/s.
    rate: f64,
    source: &'static str,
}

/// Dense bfloat16 FLOP/s from data sheets, by prefix of the device name.
const PEAKS: [(&str, f64); 3] =
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H200", 989e12), ("NVIDIA A100", 312e12)];

impl Bound {
    fn of(device: Device) -> Self {
        let name = match device {
            Device::Cuda(index) => gpu_name(index).unwrap_or_else(|| "unknown GPU".to_owned()),
            _ => "CPU".to_owned(),
        };
        let known = PEAKS.iter().find(|(start, _)| name.starts_with(start));
        match known {
            Some(&(_, rate)) => Self { name, rate, source: "from its data sheet" },
            None => {
                let rate = Limit::measure(device, Kind::BFloat16).rate;
                Self { name, rate, source: "measured with a large product" }
            }
        }
    }
}

/// The name of a GPU from `nvidia-smi`.
fn gpu_name(index: usize) -> Option<String> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=name", "--format=csv,noheader", &format!("--id={index}")])
        .output()
        .ok()?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !name.is_empty()).then_some(name)
}
