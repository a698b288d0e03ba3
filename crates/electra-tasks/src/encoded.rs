//! The data of a task of texts as a network sees it.

use crate::{
    Error, Result,
    baseline::SplitScores,
    batch::{Feature, encode_examples},
    details::Texts,
    heads::Head,
    problem::{Features, LoadSite, Loaded, Problem, Split},
    report::Examples,
    scored::Scored,
    scores::Scores,
    task::{Dataset, Example},
};
use electra_tokenize::{SpecialTokens, Tokenizer};
use electra_train::folder::write_file;
use std::{fmt::Display, path::Path, sync::Arc};

/// The examples of a split, encoded.
#[derive(Debug)]
pub(crate) struct Encoded<T> {
    features: Vec<Arc<Feature<T>>>,
    /// The numbers of their rows in the file.
    rows: Vec<usize>,
}

/// The examples of a task of texts, encoded; `S` says which answers there can be, `T` is one of them.
#[derive(Debug)]
pub struct TextData<S, T> {
    pub(crate) answers: S,
    pub(crate) train: Features<T>,
    scored: Scored<Encoded<T>>,
    /// What the dev set's features were made of, for the report.
    pub(crate) dev_texts: Vec<Texts>,
    pub(crate) vocab_size: usize,
    pub(crate) special: SpecialTokens,
}

impl<S, T> TextData<S, T> {
    /// The features of a split, none where there is no such split.
    pub(crate) fn split(&self, split: &Split) -> &[Arc<Feature<T>>] {
        self.scored.split(split).map_or(&[], |encoded| encoded.features.as_slice())
    }

    /// Writes `predictions.tsv`: the answers to the examples of a split, each with the number of its row in the file.
    pub(crate) fn write_predictions(
        &self,
        split: &Split,
        answers: impl Iterator<Item = String>,
        dir: &Path,
    ) -> Result<()> {
        let rows = self.scored.split(split).map_or(&[][..], |encoded| encoded.rows.as_slice());
        write_predictions(rows.iter().copied().zip(answers), dir)
    }

    /// Scores of the dev set and of the test set, if there is one.
    pub(crate) fn split_scores(&self, score: impl Fn(&Split) -> Scores) -> SplitScores {
        let test = self.scored.test.as_ref().map(|_| score(&Split::Test));
        SplitScores { dev: score(&Split::Dev), test }
    }
}

/// Writes `predictions.tsv`: the number of a row in its file, and its answer.
pub(crate) fn write_predictions<A: Display>(
    answers: impl Iterator<Item = (usize, A)>,
    dir: &Path,
) -> Result<()> {
    let mut text = "index\tprediction\n".to_owned();
    for (row, answer) in answers {
        text += &format!("{row}\t{answer}\n");
    }
    Ok(write_file(&dir.join("predictions.tsv"), &text)?)
}

/// Why a label cannot be told from what divides the columns and rows of `predictions.tsv`, if it cannot.
pub(crate) fn check_label(label: &str) -> std::result::Result<(), String> {
    match label.contains(['\t', '\n', '\r']) {
        true => Err(format!("{label:?} has a tab or a line break in it")),
        false => Ok(()),
    }
}

/// A problem's data out of the examples of its files.
///
/// # Errors
/// If the tokenizer cannot read a text.
pub(crate) fn loaded<P, S, T>(site: &LoadSite<'_>, dataset: Dataset<S, T>) -> Result<Loaded<P>>
where
    P: Problem<Data = TextData<S, T>>,
    P::Head: Head<Target = T>,
    T: Clone + Send + Sync,
{
    let Dataset { answers, train, scored, left_out } = dataset;
    let examples = Examples {
        train: train.len(),
        dev: scored.dev.len(),
        test: scored.test.as_ref().map_or(0, Vec::len),
    };
    let max_length = site.config.train.max_length;
    let encode = |examples: &Vec<Example<T>>| {
        let features = encode_examples(site.tokenizer, examples, max_length)?;
        Ok::<_, Error>(Encoded { features, rows: examples.iter().map(|e| e.row).collect() })
    };
    let train: Features<T> = encode(&train)?.features.into();
    let data = TextData {
        answers,
        train: Arc::clone(&train),
        scored: scored.map(encode)?,
        dev_texts: scored.dev.iter().map(Texts::of).collect(),
        vocab_size: site.tokenizer.vocab().len(),
        special: *site.tokenizer.vocab().special(),
    };
    let splits = scored.splits();
    let loaded = Loaded::each_once(&site.config.train, train, examples, splits, data);
    Ok(Loaded { left_out, ..loaded })
}
