//! Metrics: sums over batches, areas under ROC curves, and JSON lines.

use crate::{Error, Result};
use std::{
    fmt::Debug,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// Named metrics, in insertion order.
pub type Figures = serde_json::Map<String, serde_json::Value>;

/// The contribution of one forward pass to the metrics; its tensors are fetched only by [`Totals::add`].
#[derive(Debug, Default)]
pub struct Observations {
    ratios: Vec<(&'static str, Tensor, Tensor)>,
    scores: Vec<Scores>,
}

/// Binary scores, for the area under the ROC curve.
#[derive(Debug)]
pub struct Scores {
    /// Name of the metric.
    pub name: &'static str,
    /// Higher means positive; any shape.
    pub logits: Tensor,
    /// 1 for positive, 0 for negative; same shape.
    pub labels: Tensor,
}

impl Observations {
    /// Adds to the mean of all values of all passes.
    pub fn mean(&mut self, name: &'static str, values: &Tensor) {
        self.ratios.push((name, values.sum(Kind::Double), Tensor::from(values.numel() as f64)));
    }

    /// Adds to the sum of `numerators` divided by the sum of `denominators`; NaN if the latter is 0.
    pub fn ratio(&mut self, name: &'static str, numerators: &Tensor, denominators: &Tensor) {
        self.ratios.push((name, numerators.sum(Kind::Double), denominators.sum(Kind::Double)));
    }

    /// Adds to a sum, such as the loss of one of a step's parts to the total loss.
    pub fn sum(&mut self, name: &'static str, value: &Tensor) {
        self.ratios.push((name, value.sum(Kind::Double), Tensor::new()));
    }

    /// Adds scores to an area under the ROC curve.
    pub fn scores(&mut self, scores: Scores) {
        self.scores.push(scores);
    }
}

/// Accumulated observations.
#[derive(Debug, Default)]
pub struct Totals {
    ratios: Vec<(&'static str, f64, Option<f64>)>,
    scores: Vec<(&'static str, Vec<(f32, bool)>)>,
}

impl Totals {
    /// Adds the observations of one forward pass; fetches its tensors.
    pub fn add(&mut self, observations: &Observations) {
        for (name, numerator, denominator) in &observations.ratios {
            let n = numerator.double_value(&[]);
            let d = denominator.defined().then(|| denominator.double_value(&[]));
            match self.ratios.iter_mut().find(|(known, ..)| known == name) {
                Some((_, sum, weight)) => {
                    *sum += n;
                    *weight = weight.zip(d).map(|(a, b)| a + b);
                }
                None => self.ratios.push((name, n, d)),
            }
        }
        for Scores { name, logits, labels } in &observations.scores {
            let logits = fetch(logits);
            let labels = fetch(labels);
            let pairs = logits.into_iter().zip(labels.into_iter().map(|label| label > 0.5));
            match self.scores.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.extend(pairs),
                None => self.scores.push((name, pairs.collect())),
            }
        }
    }

    /// The metrics; undefined ones (such as a precision without positives) are `null`.
    pub fn figures(&mut self) -> Figures {
        let ratios = self.ratios.iter().map(|&(name, n, d)| (name, d.map_or(n, |d| n / d)));
        let areas = self.scores.iter_mut().map(|(name, pairs)| (*name, area_under_roc(pairs)));
        ratios.chain(areas).map(|(name, x)| (name.to_owned(), number(x))).collect()
    }
}

/// A JSON number, or `null` for NaN and infinity.
pub fn number(x: f64) -> serde_json::Value {
    serde_json::Number::from_f64(x).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

/// A tensor's values in row-major order.
pub(crate) fn fetch(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_kind(Kind::Float).to_device(tch::Device::Cpu).flatten(0, -1);
    let mut values = vec![0.0; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    values
}

/// The ids of `[p]`, on the host.
pub(crate) fn host_ids(ids_p: &Tensor) -> Vec<i64> {
    let ids_p = ids_p.to_device(tch::Device::Cpu).to_kind(Kind::Int64).contiguous();
    let mut ids = vec![0; ids_p.numel()];
    let count = ids.len();
    ids_p.copy_data(&mut ids, count);
    ids
}

/// Exact area under the ROC curve (ties count one half); NaN if one class is missing.
///
/// The Mann-Whitney statistic by mid-ranks, not the reference's 200 thresholds.
pub fn area_under_roc(scores: &mut [(f32, bool)]) -> f64 {
    scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scores.iter().filter(|(_, label)| *label).count() as f64;
    let negatives = scores.len() as f64 - positives;
    let mut rank_sum = 0.0;
    let mut below = 0;
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let mid_rank = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += mid_rank * tied.iter().filter(|(_, label)| *label).count() as f64;
        below += tied.len();
    }
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

/// Entropy in nats of a distribution given by counts; 0 without counts.
pub fn entropy(counts: impl IntoIterator<Item = u64> + Clone) -> f64 {
    let total: f64 = counts.clone().into_iter().map(|c| c as f64).sum();
    let terms = counts.into_iter().filter(|&c| c > 0).map(|c| {
        let p = c as f64 / total;
        -p * p.ln()
    });
    terms.sum()
}

/// A destination for rows of metrics.
pub trait Sink: Debug {
    /// Writes one row: kind, step and metrics.
    ///
    /// # Errors
    /// Naming the file.
    fn write(&mut self, row: &Figures) -> Result<()>;

    /// Waits until the rows are on disk.
    ///
    /// # Errors
    /// Naming the file.
    fn sync(&mut self) -> Result<()>;
}

/// Appends rows to `metrics.jsonl`, unbuffered.
///
/// In rows of kind `train`, losses and accuracies are those of the update's batch (not a mean over the
/// updates since the last row), with dropout; rates and the wait share cover all updates since the last row;
/// `peak_memory_bytes` is the host's ([`crate::host::peak_memory`]). Rows of kind `evaluate` cover the whole
/// held-out split, without dropout.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file for appending. Removes rows after step `keep_until`, which a resumed run writes
    /// again, and logs their number.
    ///
    /// # Errors
    /// Naming the file.
    pub fn open(path: &Path, keep_until: u64) -> Result<Self> {
        if path.exists() {
            let rows = BufReader::new(electra_files::open(path)?).lines();
            let rows = rows.collect::<std::io::Result<Vec<_>>>().map_err(Error::io(path))?;
            let kept: Vec<_> = rows
                .iter()
                .filter(|row| step_of(row) <= Some(keep_until) && step_of(row).is_some())
                .collect();
            if kept.len() < rows.len() {
                tracing::info!(
                    "removed {} rows after step {keep_until} from {}; resuming writes them again",
                    rows.len() - kept.len(),
                    path.display()
                );
                let text: String = kept.iter().map(|row| format!("{row}\n")).collect();
                electra_files::write_file(path, &text)?;
            }
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Sink for MetricsFile {
    fn write(&mut self, row: &Figures) -> Result<()> {
        let line = serde_json::Value::Object(row.clone()).to_string() + "\n";
        self.file.write_all(line.as_bytes()).map_err(Error::io(&self.path))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// Reads the rows of a `metrics.jsonl`. A last line without a line break is left out: the run may be writing it, or was
/// killed then.
///
/// # Errors
/// Naming the file, and the line that is not a row.
pub fn read(path: &Path) -> Result<Vec<Figures>> {
    let bytes = electra_files::read_bytes(path)?;
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(&bytes[..complete]);
    let row = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let message = format!("line {}: {error}", number + 1);
            Error::Config { path: path.to_owned(), message }
        })
    };
    text.lines().enumerate().map(row).collect()
}

fn step_of(row: &str) -> Option<u64> {
    serde_json::from_str::<Figures>(row).ok()?.get("step")?.as_u64()
}
