//! Rows of texts as examples and as encoded inputs, with labels of any type.

use crate::{
    answer::{Request, RequestForm},
    batch::Input,
    details::Texts,
    error::{Error, Result},
    model_kind::{Inference, ModelKind},
    split::Splits,
    summary::{LabelCount, SplitSummary, Summaries, TRAIN, TextUnit, Truncated, text_key},
    task::{LoadSite, LoadedTask, TaskCard},
    task_kind::{TaskKind, TrainingSet, loaded},
};
use electra_files::write_file;
use electra_scores::{Form, LeftOut, Pairs, Read, table::Row};
use electra_tokenize::{SpecialTokens, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{fmt::Display, path::Path, sync::Arc};

/// A text or a pair of texts with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Example<L> {
    /// The (first) text.
    pub text_a: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
    /// The label.
    pub label: L,
    /// The number of its row in the file, from 0; rows that are left out are counted.
    pub row: usize,
}

impl<L> Example<L> {
    /// A number for its texts.
    fn key(&self) -> u64 {
        text_key((&self.text_a, &self.text_b))
    }
}

impl<L: Clone> Example<L> {
    /// The pair in the other order.
    fn swapped(&self) -> Self {
        match self.text_b.clone() {
            Some(text_a) => Self { text_a, text_b: Some(self.text_a.clone()), ..self.clone() },
            None => self.clone(),
        }
    }
}

/// The examples of a task; `S` is the type of its label space, `L` of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset<S, L> {
    /// The label space.
    pub space: S,
    /// The training set.
    pub train: Vec<Example<L>>,
    /// The splits that are scored.
    pub scored: Splits<Vec<Example<L>>>,
    /// Rows that were left out, by file: those without gold, and malformed ones that `unusable_rows` allows.
    pub left_out: Vec<LeftOut>,
    /// The training set, which has each pair once even if it is learned in both orders, and the splits in their order.
    pub summaries: Vec<SplitSummary>,
}

/// A task whose inputs are texts or pairs of texts in rows of tables.
pub trait TextTask: Clone {
    /// The label space.
    type Space;
    /// The label of a row.
    type Label: Clone;

    /// The files, their columns, and the rows that may be left out.
    fn form(&self) -> Form<'_>;

    /// The label space, from the description and the rows of the training file.
    ///
    /// # Errors
    /// Naming file, line and column of an invalid label.
    fn space(&self, path: &Path, rows: &[Row]) -> Result<Self::Space>;

    /// The label of a row, from the fields after its texts.
    ///
    /// # Errors
    /// Naming file, line and column.
    fn label(&self, path: &Path, row: &Row, space: &Self::Space) -> Result<Self::Label>;

    /// The number of examples of each label, in the order of the labels; none for numbers.
    fn counts(&self, space: &Self::Space, examples: &[Example<Self::Label>]) -> Vec<LabelCount>;

    /// The weight of each label in the loss, from their counts in the training set; `None`, the default, if all are 1.
    ///
    /// # Errors
    /// Naming the key that does not suit the labels.
    fn weights(&self, _counts: &[LabelCount]) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// Checks the rows of a file that is scored; `untrained` are the labels that no training example has.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be scored.
    fn check_scored(&self, _path: &Path, _rows: &[Row], _untrained: &[String]) -> Result<()> {
        Ok(())
    }
}

/// Reads every file of a task below `data`.
///
/// # Errors
/// Naming file, line and column of the first invalid row, or the file that is empty.
pub fn load<T: TextTask>(task: &T, data: &Path) -> Result<Dataset<T::Space, T::Label>> {
    let form = task.form();
    let path = data.join(&form.files.train);
    let Read { rows, left_out } = form.rows(&path)?;
    let mut left_out: Vec<LeftOut> = left_out.into_iter().collect();
    let space = task.space(&path, &rows)?;
    let mut train = examples(task, &path, rows, &space)?;
    let mut summaries = Summaries::default();
    let mut counts = task.counts(&space, &train);
    let untrained = counts.iter().filter(|label| label.count == 0);
    let untrained: Vec<String> = untrained.map(|label| label.label.clone()).collect();
    if let Some(weights) = task.weights(&counts)? {
        counts.iter_mut().zip(weights).for_each(|(label, weight)| label.weight = Some(weight));
    }
    summaries.add(TRAIN, &path, counts, train.iter().map(Example::key));
    if form.pairs == Pairs::Unordered {
        let swapped: Vec<_> = train.iter().map(Example::swapped).collect();
        train.extend(swapped);
    }
    let scored = Splits::read(form.files, data, |split, path| {
        let read = form.rows(path)?;
        left_out.extend(read.left_out);
        task.check_scored(path, &read.rows, &untrained)?;
        let examples = examples(task, path, read.rows, &space)?;
        let (counts, keys) = (task.counts(&space, &examples), examples.iter().map(Example::key));
        summaries.add(&split.name(), path, counts, keys);
        Ok(examples)
    })?;
    if !untrained.is_empty() {
        tracing::warn!(
            "{}: no row has {untrained:?} of the key labels: the model cannot learn to predict them",
            path.display()
        );
    }
    Ok(Dataset { space, train, scored, left_out, summaries: summaries.finish() })
}

fn examples<T: TextTask>(
    task: &T,
    path: &Path,
    rows: Vec<Row>,
    space: &T::Space,
) -> Result<Vec<Example<T::Label>>> {
    let pair = task.form().texts.len() > 1;
    let example = |row: Row| {
        let (label, index) = (task.label(path, &row, space)?, row.index);
        let mut texts = row.fields.into_iter();
        let text_a = texts.next().unwrap_or_default();
        let text_b = texts.next().filter(|_| pair);
        Ok(Example { text_a, text_b, label, row: index })
    };
    rows.into_iter().map(example).collect()
}

/// The encoded examples of a split.
#[derive(Debug)]
pub struct EncodedSet<L> {
    /// The inputs.
    pub inputs: Vec<Input>,
    /// Their labels.
    pub labels: Vec<L>,
    /// Their texts.
    pub texts: Vec<Texts>,
}

impl<L> EncodedSet<L> {
    fn new(examples: Vec<Example<L>>, site: &LoadSite<'_>) -> Result<(Self, Truncated)> {
        let texts: Vec<_> =
            examples.iter().map(|e| (e.text_a.as_str(), e.text_b.as_deref())).collect();
        let (inputs, truncated) = encode(site.tokenizer, &texts, site.config.train.max_length)?;
        let (labels, texts) = examples
            .into_iter()
            .map(|Example { text_a, text_b, label, row }| (label, Texts { row, text_a, text_b }))
            .unzip();
        Ok((Self { inputs, labels, texts }, truncated))
    }

    /// Writes `predictions.tsv`: the predictions, each with the number of its row in the file.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write_predictions(
        &self,
        predictions: impl Iterator<Item = String>,
        dir: &Path,
    ) -> Result<()> {
        write_predictions(self.texts.iter().map(|texts| texts.row).zip(predictions), dir)
    }
}

/// A task of texts after its data was read.
#[derive(Debug)]
pub struct TextData<T: TextTask> {
    /// The task.
    pub task: T,
    /// The label space.
    pub space: T::Space,
    /// The training inputs.
    pub train: Arc<[Input]>,
    /// The number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The vocabulary's special tokens.
    pub special: SpecialTokens,
    /// The weight of each label in the loss; `None` if all are 1.
    pub weights: Option<Vec<f64>>,
}

impl<T: TextTask> TextData<T> {
    /// The task in a model card; `about` are its labels.
    pub(crate) fn text_card(&self, about: String) -> TaskCard {
        TaskCard {
            pipeline: "text-classification",
            rows: vec![("task", about), ("text columns", self.task.form().texts.join(", "))],
            predict: "electra predict --model FOLDER --input new.tsv --output predictions.tsv",
        }
    }
}

/// Writes `predictions.tsv`: the number of a row in its file, and its prediction.
///
/// # Errors
/// Naming the file.
pub fn write_predictions<A: Display>(
    predictions: impl Iterator<Item = (usize, A)>,
    dir: &Path,
) -> Result<()> {
    let mut text = "index\tprediction\n".to_owned();
    for (row, prediction) in predictions {
        text += &format!("{row}\t{prediction}\n");
    }
    Ok(write_file(&dir.join("predictions.tsv"), &text)?)
}

/// Reads and encodes a task of texts.
///
/// # Errors
/// As [`load`]; if the tokenizer fails on a text, or the encoder has one segment and the task pairs of texts.
pub fn load_encoded<T>(task: &T, site: &LoadSite<'_>) -> Result<LoadedTask>
where
    T: TextTask,
    TextData<T>: TaskKind<Label = T::Label, Examples = EncodedSet<T::Label>>,
{
    if task.form().texts.len() > 1 {
        site.two_segments()?;
    }
    let Dataset { space, train, scored, left_out, mut summaries } = load(task, site.data)?;
    let (EncodedSet { inputs, labels, .. }, truncated) = EncodedSet::new(train, site)?;
    let mut all_truncated = vec![truncated];
    let splits = scored.map(|examples| {
        let (set, truncated) = EncodedSet::new(examples, site)?;
        all_truncated.push(truncated);
        Ok(set)
    })?;
    for (summary, truncated) in summaries.iter_mut().zip(all_truncated) {
        summary.truncated = truncated;
    }
    let inputs: Arc<[Input]> = inputs.into();
    let vocab = site.tokenizer.vocab();
    let data = TextData {
        task: task.clone(),
        space,
        train: Arc::clone(&inputs),
        vocab_size: vocab.len(),
        special: *vocab.special(),
        weights: summaries[0].labels.iter().map(|label| label.weight).collect(),
    };
    let train = TrainingSet { examples: labels.len(), inputs: inputs.into(), labels, left_out };
    Ok(LoadedTask { summaries, ..loaded(data, &site.config.train, train, splits) })
}

/// Texts or pairs of texts as inputs, on all of rayon's threads, with the truncated ones.
///
/// # Errors
/// If the tokenizer fails on a text.
pub(crate) fn encode(
    tokenizer: &dyn Tokenizer,
    texts: &[(&str, Option<&str>)],
    max_length: usize,
) -> Result<(Vec<Input>, Truncated)> {
    let encode =
        |(a, b): &(&str, Option<&str>)| Input::encode_measured(tokenizer, a, *b, max_length);
    let encoded: Vec<(Input, usize)> = texts.par_iter().map(encode).collect::<Result<_>>()?;
    let lengths = encoded.iter().map(|(_, length)| *length);
    let truncated = Truncated::of(TextUnit::Texts, lengths, max_length);
    Ok((encoded.into_iter().map(|(input, _)| input).collect(), truncated))
}

/// The columns of texts, in `task.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextColumns {
    /// The column of the (first) text.
    pub text_a: String,
    /// The column of the second text, for pairs.
    pub text_b: Option<String>,
}

impl TextColumns {
    /// One column, or two for pairs.
    ///
    /// # Errors
    /// If there are more.
    pub(crate) fn new(columns: &[String]) -> Result<Self> {
        match columns {
            [text_a] => Ok(Self { text_a: text_a.clone(), text_b: None }),
            [text_a, text_b] => Ok(Self { text_a: text_a.clone(), text_b: Some(text_b.clone()) }),
            _ => {
                let expected = "must be one column, or two for pairs";
                Err(Error::value("text columns", format!("{columns:?}"), expected))
            }
        }
    }

    /// The form of requests for texts in these columns, answered with `classes`; `separator` separates those of a set.
    pub(crate) fn form(&self, classes: Vec<String>, separator: &str) -> RequestForm {
        let columns = std::iter::once(&self.text_a).chain(&self.text_b).cloned().collect();
        RequestForm::Rows { columns, classes, separator: separator.to_owned() }
    }

    /// Requests as inputs; `model` counts those that are truncated.
    ///
    /// # Errors
    /// Naming the request that is of another form; if the tokenizer fails on a text.
    pub(crate) fn inputs<K: ModelKind>(
        &self,
        requests: &[Request],
        model: &Inference<'_, K>,
        max_length: usize,
    ) -> Result<Vec<Input>> {
        let texts = Request::texts(requests, self.text_b.is_some())?;
        let (inputs, truncated) = encode(model.tokenizer, &texts, max_length)?;
        model.add_truncated(truncated);
        Ok(inputs)
    }
}
