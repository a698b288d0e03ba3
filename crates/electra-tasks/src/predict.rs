//! Predictions: of texts at hand, and of files of any size in constant memory.

use crate::{
    Error, Result,
    batch::{Feature, encode},
    heads::SentenceHead,
    model::{self, Kind, Model},
    sentence::SentenceInfo,
    table::{Row, Rows},
    task::{Answers, Target},
};
use electra_model::{EncoderConfig, Parts};
use rayon::prelude::*;
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};
use tch::nn;

/// Rows that are read, sorted by length and predicted together.
const WINDOW_ROWS: usize = 8192;
/// Bytes of text after which a window ends before that.
const WINDOW_BYTES: usize = 16 << 20;
/// Inputs of one forward pass of [`Predictor::predict`].
const BATCH: usize = 64;

/// A fine-tuned model that answers.
///
/// It may be moved to another thread; several threads share it through a `Mutex`, or open one each.
///
/// ```no_run
/// use electra_tasks::Predictor;
///
/// let predictor = Predictor::open("runs/mine/model".as_ref(), "auto")?;
/// for prediction in predictor.predict(&[("What a film!", None), ("I left early.", None)])? {
///     println!("{} {:?}", prediction.label, prediction.probabilities);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    model: Model<SentenceInfo, SentenceHead>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class's name, or the number.
    pub label: String,
    /// The class or the number.
    pub answer: Target,
    /// Probabilities of the classes in the order of [`Predictor::info`]; empty for a number.
    pub probabilities: Vec<f32>,
}

/// How a file is predicted.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// `"auto"`, `"cpu"` or `"cuda:N"`.
    pub device: String,
    /// Inputs of one forward pass.
    pub batch_size: usize,
    /// Whether probabilities are written.
    pub probabilities: Probabilities,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self { device: "auto".to_owned(), batch_size: BATCH, probabilities: Probabilities::Omit }
    }
}

/// Whether probabilities are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// The prediction alone.
    Omit,
    /// A column per class after it, named as the class.
    Write,
}

/// What was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictReport {
    /// Rows.
    pub rows: u64,
    /// Seconds, the model's loading left out.
    pub seconds: f64,
}

impl Predictor {
    /// Opens the `model` folder that fine-tuning wrote; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or not whole.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        Self::read(dir, device, None)
    }

    /// [`Predictor::open`] for an encoder of other parts than the shipped ones.
    ///
    /// # Errors
    /// As [`Predictor::open`].
    pub fn open_with(dir: &Path, device: &str, parts: &Parts) -> Result<Self> {
        Self::read(dir, device, Some(parts))
    }

    fn read(dir: &Path, device: &str, parts: Option<&Parts>) -> Result<Self> {
        let device = electra_torch::device(device)?;
        let head = |path: &nn::Path<'_>, encoder: &EncoderConfig, info: &SentenceInfo| {
            SentenceHead::new(path, encoder, &info.header.head, &info.answers)
        };
        let class = SentenceInfo::class;
        Ok(Self { model: model::read(dir, device, parts, Kind::Sentence, class, head)? })
    }

    /// What the model was trained for.
    pub fn info(&self) -> &SentenceInfo {
        &self.model.info
    }

    /// An answer for each text or pair, in their order. An empty text is answered too.
    ///
    /// # Errors
    /// If a pair is given to a task of single texts or the other way round.
    pub fn predict(&self, texts: &[(&str, Option<&str>)]) -> Result<Vec<Prediction>> {
        self.predict_batched(texts, BATCH)
    }

    fn predict_batched(
        &self,
        texts: &[(&str, Option<&str>)],
        batch_size: usize,
    ) -> Result<Vec<Prediction>> {
        let info = &self.model.info;
        if let Some(place) = texts.iter().position(|(_, b)| b.is_some() != info.text_b.is_some()) {
            let wanted = match info.text_b {
                Some(_) => "the task is of pairs: a second text must be given",
                None => "the task is of single texts: no second text may be given",
            };
            return Err(Error::value("input", format!("number {place}"), wanted));
        }
        let (tokenizer, max_length) = (&self.model.tokenizer, info.header.max_length);
        let encode =
            |(a, b): &(&str, Option<&str>)| encode(tokenizer, a, *b, max_length, ()).map(Arc::new);
        let features: Vec<Arc<Feature<()>>> =
            texts.par_iter().map(encode).collect::<Result<_>>()?;
        let predictions = self.model.network.predict(&features, batch_size.max(1));
        Ok(predictions
            .into_iter()
            .map(|p| Prediction {
                label: info.answers.text(p.answer),
                answer: p.answer,
                probabilities: p.probabilities,
            })
            .collect())
    }

    /// Predicts `rows` (the task's text columns) and writes `index<TAB>prediction` lines under a
    /// header, in the rows' order, holding a window of them at a time. `on_rows` is told how many
    /// are done; `name` is what errors call the writer.
    ///
    /// # Errors
    /// The first row that cannot be read, or whatever `writer` says.
    pub fn predict_rows(
        &self,
        rows: impl Iterator<Item = Result<Row>>,
        writer: impl Write,
        name: &Path,
        options: &PredictOptions,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        let clock = Instant::now();
        let write_error =
            |error: csv::Error| Error::Io { path: name.to_owned(), source: error.into() };
        let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(writer);
        writer.write_record(self.header(options.probabilities)).map_err(write_error)?;
        let (mut window, mut bytes, mut done) = (Vec::new(), 0, 0u64);
        let mut rows = rows.peekable();
        while let Some(row) = rows.next() {
            let row = row?;
            bytes += row.fields.iter().map(String::len).sum::<usize>();
            window.push(row);
            if window.len() < WINDOW_ROWS && bytes < WINDOW_BYTES && rows.peek().is_some() {
                continue;
            }
            let texts: Vec<_> = window.iter().map(texts).collect();
            for prediction in self.predict_batched(&texts, options.batch_size)? {
                let mut record = vec![done.to_string(), prediction.label];
                if options.probabilities == Probabilities::Write {
                    record.extend(prediction.probabilities.iter().map(f32::to_string));
                }
                writer.write_record(record).map_err(write_error)?;
                done += 1;
            }
            on_rows(done);
            window.clear();
            bytes = 0;
        }
        writer.flush().map_err(Error::io(name))?;
        Ok(PredictReport { rows: done, seconds: clock.elapsed().as_secs_f64() })
    }

    fn header(&self, probabilities: Probabilities) -> Vec<String> {
        let mut header = vec!["index".to_owned(), "prediction".to_owned()];
        if let (Probabilities::Write, Answers::Classes(labels)) =
            (probabilities, &self.model.info.answers)
        {
            header.extend(labels.iter().cloned());
        }
        header
    }
}

fn texts(row: &Row) -> (&str, Option<&str>) {
    let text = |i: usize| row.fields.get(i).map(String::as_str);
    (text(0).unwrap_or_default(), text(1))
}

/// Predicts a TSV, CSV or JSON lines file into a TSV file, which appears when it is whole. An output that is
/// no file (a pipe, a device) is written into as it stands.
///
/// The input needs the task's text columns; others are not looked at.
///
/// # Errors
/// Naming the file that cannot be read or written, and the line.
pub fn predict(
    model: &Path,
    input: &Path,
    output: &Path,
    options: &PredictOptions,
    on_rows: &mut dyn FnMut(u64),
) -> Result<PredictReport> {
    let predictor = Predictor::open(model, &options.device)?;
    let rows = Rows::open(input, &predictor.info().text_columns())?;
    in_place(output, |writer| predictor.predict_rows(rows, writer, output, options, on_rows))
}

/// Writes a file through a temporary one beside it, which goes to its place when all is written and away when
/// anything fails. An output that is no file (a pipe, a device) is written into as it stands.
pub(crate) fn in_place<T>(
    output: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T>,
) -> Result<T> {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = match fs::metadata(output) {
        Ok(found) if !found.is_file() => output.to_owned(),
        _ => output.with_file_name(name),
    };
    let file = File::create(&temporary).map_err(Error::io(&temporary))?;
    let mut writer = BufWriter::new(file);
    let written = write(&mut writer)
        .and_then(|report| writer.flush().map_err(Error::io(output)).map(|()| report));
    match written {
        _ if temporary == output => written,
        Ok(report) => {
            fs::rename(&temporary, output).map_err(Error::io(output))?;
            Ok(report)
        }
        Err(error) => {
            // The cause is reported; half a file is of no use.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}
