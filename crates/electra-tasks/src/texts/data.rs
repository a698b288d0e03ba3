//! Rows of texts as examples and as encoded inputs, whatever their labels are.

use crate::{
    baseline::SplitScores,
    batch::Input,
    details::Texts,
    error::Result,
    report::Examples,
    split::{Split, Splits},
    task::{LoadSite, LoadedTask, TaskData},
};
use electra_files::write_file;
use electra_scores::{Form, LeftOut, Pairs, Read, Scores, table::Row};
use electra_tokenize::{SpecialTokens, Tokenizer};
use rayon::prelude::*;
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
    /// The number of its row in the file, from 0: rows that are left out count.
    pub row: usize,
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

/// The examples of a task; `S` says which labels there are, `L` is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset<S, L> {
    /// The labels that there are.
    pub space: S,
    /// The training set.
    pub train: Vec<Example<L>>,
    /// What is scored.
    pub scored: Splits<Vec<Example<L>>>,
    /// Rows that were left out, by file: without gold, or of those that `unusable_rows` allows.
    pub left_out: Vec<LeftOut>,
}

/// A task whose inputs are texts or pairs of texts in rows of tables.
pub trait TextTask: Clone {
    /// Which labels there are.
    type Space;
    /// The label of a row.
    type Label: Clone;

    /// What is read.
    fn form(&self) -> Form<'_>;

    /// Which labels there are, by the description and the rows of the training file.
    ///
    /// # Errors
    /// Naming file, line and column of a label that cannot be used.
    fn space(&self, path: &Path, rows: &[Row]) -> Result<Self::Space>;

    /// The label of a row, from the fields after its texts.
    ///
    /// # Errors
    /// Naming file, line and column.
    fn label(&self, path: &Path, row: &Row, space: &Self::Space) -> Result<Self::Label>;

    /// Checks the rows of a file that is scored against the training set.
    ///
    /// # Errors
    /// Naming file and line of the first row that cannot be scored.
    fn check_scored(
        &self,
        _path: &Path,
        _rows: &[Row],
        _space: &Self::Space,
        _train: &[Example<Self::Label>],
    ) -> Result<()> {
        Ok(())
    }
}

/// Reads every file of a task below `data`.
///
/// # Errors
/// Naming file, line and column of the first row that cannot be used, or the file that is empty.
pub fn dataset<T: TextTask>(task: &T, data: &Path) -> Result<Dataset<T::Space, T::Label>> {
    let form = task.form();
    let path = data.join(&form.files.train);
    let Read { rows, left_out } = form.rows(&path)?;
    let mut left_out: Vec<LeftOut> = left_out.into_iter().collect();
    let space = task.space(&path, &rows)?;
    let mut train = examples(task, &path, rows, &space)?;
    if form.pairs == Pairs::Unordered {
        let swapped: Vec<_> = train.iter().map(Example::swapped).collect();
        train.extend(swapped);
    }
    let scored = Splits::read(form.files, data, |path| {
        let read = form.rows(path)?;
        left_out.extend(read.left_out);
        task.check_scored(path, &read.rows, &space, &train)?;
        examples(task, path, read.rows, &space)
    })?;
    Ok(Dataset { space, train, scored, left_out })
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

/// The examples of a split, encoded.
#[derive(Debug)]
pub struct EncodedSet<L> {
    /// The inputs.
    pub inputs: Vec<Input>,
    /// Their labels.
    pub labels: Vec<L>,
    /// The numbers of their rows in the file.
    rows: Vec<usize>,
}

/// The examples of a task of texts, encoded.
#[derive(Debug)]
pub struct TextData<T: TextTask> {
    /// The task.
    pub task: T,
    /// The labels that there are.
    pub space: T::Space,
    /// The training inputs.
    pub train: Arc<[Input]>,
    /// The labels of the training inputs.
    pub train_labels: Vec<T::Label>,
    /// What is scored.
    pub scored: Splits<EncodedSet<T::Label>>,
    /// The texts of the dev set, for the report.
    pub dev_texts: Vec<Texts>,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// The vocabulary's special tokens.
    pub special: SpecialTokens,
}

impl<T: TextTask> TextData<T> {
    /// Writes `predictions.tsv`: the predictions for a split, each with the number of its row in the file.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write_predictions(
        &self,
        split: &Split,
        predictions: impl Iterator<Item = String>,
        dir: &Path,
    ) -> Result<()> {
        write_predictions(self.scored.of(split).rows.iter().copied().zip(predictions), dir)
    }

    /// Scores of the dev set and of the test set, if there is one.
    pub fn split_scores(&self, score: impl Fn(&EncodedSet<T::Label>) -> Scores) -> SplitScores {
        SplitScores { dev: score(&self.scored.dev), test: self.scored.test.as_ref().map(score) }
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

/// A task's examples as encoded data.
///
/// # Errors
/// If the tokenizer cannot read a text, or the encoder has one segment and the task pairs of texts.
pub fn loaded<T>(
    task: &T,
    site: &LoadSite<'_>,
    dataset: Dataset<T::Space, T::Label>,
) -> Result<LoadedTask>
where
    T: TextTask,
    T::Label: Sync,
    TextData<T>: TaskData + 'static,
{
    if task.form().texts.len() > 1 {
        site.two_segments()?;
    }
    let Dataset { space, train, scored, left_out } = dataset;
    let examples = Examples {
        train: train.len(),
        dev: scored.dev.len(),
        test: scored.test.as_ref().map_or(0, Vec::len),
    };
    let encode = |examples: &Vec<Example<T::Label>>| {
        let texts: Vec<_> =
            examples.iter().map(|e| (e.text_a.as_str(), e.text_b.as_deref())).collect();
        let inputs = encode(site.tokenizer, &texts, site.config.train.max_length)?;
        let (labels, rows) = examples.iter().map(|e| (e.label.clone(), e.row)).unzip();
        Ok(EncodedSet { inputs, labels, rows })
    };
    let texts = |example: &Example<T::Label>| {
        let Example { text_a, text_b, row, .. } = example;
        Texts { row: *row, text_a: text_a.clone(), text_b: text_b.clone() }
    };
    let EncodedSet { inputs, labels: train_labels, .. } = encode(&train)?;
    let inputs: Arc<[Input]> = inputs.into();
    let splits = scored.names();
    let data = TextData {
        task: task.clone(),
        space,
        train: Arc::clone(&inputs),
        train_labels,
        scored: scored.map(encode)?,
        dev_texts: scored.dev.iter().map(texts).collect(),
        vocab_size: site.tokenizer.vocab().len(),
        special: *site.tokenizer.vocab().special(),
    };
    let loaded = LoadedTask::each_once(&site.config.train, inputs, examples, splits, data);
    Ok(LoadedTask { left_out, ..loaded })
}

/// Texts or pairs of texts as inputs, on all of rayon's threads.
///
/// # Errors
/// If the tokenizer cannot read a text.
pub(crate) fn encode(
    tokenizer: &dyn Tokenizer,
    texts: &[(&str, Option<&str>)],
    max_length: usize,
) -> Result<Vec<Input>> {
    texts.par_iter().map(|(a, b)| Input::encode(tokenizer, a, *b, max_length)).collect()
}
