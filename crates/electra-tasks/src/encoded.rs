//! The data of a task of texts as a network sees it.

use crate::{
    Error, Result,
    batch::{Feature, encode_examples},
    details::Texts,
    heads::Head,
    problem::{Features, LoadSite, Loaded, Problem, Split},
    report::Examples,
    task::{Dataset, Example},
};
use electra_tokenize::{SpecialTokens, Tokenizer};
use electra_train::folder::write_file;
use std::{collections::BTreeMap, path::Path, sync::Arc};

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
    dev: Encoded<T>,
    /// What the dev set's features were made of, for the report.
    pub(crate) dev_texts: Vec<Texts>,
    more_dev: BTreeMap<String, Encoded<T>>,
    pub(crate) test: Option<Encoded<T>>,
    pub(crate) vocab_size: usize,
    pub(crate) special: SpecialTokens,
}

impl<S, T> TextData<S, T> {
    fn encoded(&self, split: &Split) -> Option<&Encoded<T>> {
        match split {
            Split::Dev => Some(&self.dev),
            Split::MoreDev(name) => self.more_dev.get(name),
            Split::Test => self.test.as_ref(),
        }
    }

    /// The features of a split, none where there is no such split.
    pub(crate) fn split(&self, split: &Split) -> &[Arc<Feature<T>>] {
        self.encoded(split).map_or(&[], |encoded| encoded.features.as_slice())
    }

    /// Writes `predictions.tsv`: the answers to the examples of a split, each with the number of its row in the file.
    pub(crate) fn write_predictions(
        &self,
        split: &Split,
        answers: impl Iterator<Item = String>,
        dir: &Path,
    ) -> Result<()> {
        let rows = self.encoded(split).map_or(&[][..], |encoded| encoded.rows.as_slice());
        let mut text = "index\tprediction\n".to_owned();
        for (row, answer) in rows.iter().zip(answers) {
            text += &format!("{row}\t{answer}\n");
        }
        Ok(write_file(&dir.join("predictions.tsv"), &text)?)
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
    let Dataset { answers, train, dev, more_dev, test, left_out } = dataset;
    let examples =
        Examples { train: train.len(), dev: dev.len(), test: test.as_ref().map_or(0, Vec::len) };
    let max_length = site.config.train.max_length;
    let encode = |examples: &[Example<T>]| {
        let features = encode_examples(site.tokenizer, examples, max_length)?;
        Ok::<_, Error>(Encoded { features, rows: examples.iter().map(|e| e.row).collect() })
    };
    let train: Features<T> = encode(&train)?.features.into();
    let dev_texts = dev.iter().map(Texts::of).collect();
    let more_dev = more_dev.into_iter().map(|(name, examples)| Ok((name, encode(&examples)?)));
    let data = TextData {
        answers,
        train: Arc::clone(&train),
        dev: encode(&dev)?,
        dev_texts,
        more_dev: more_dev.collect::<Result<_>>()?,
        test: test.map(|examples| encode(&examples)).transpose()?,
        vocab_size: site.tokenizer.vocab().len(),
        special: *site.tokenizer.vocab().special(),
    };
    let more = data.more_dev.keys().cloned().map(Split::MoreDev);
    let test = data.test.as_ref().map(|_| Split::Test);
    let splits = std::iter::once(Split::Dev).chain(more).chain(test).collect();
    let loaded = Loaded::each_once(&site.config.train, train, examples, splits, data);
    Ok(Loaded { left_out, ..loaded })
}
