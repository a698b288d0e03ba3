//! The data of a task of texts as a network sees it.

use crate::{
    Result,
    batch::{Feature, encode_examples},
    details::Texts,
    heads::Head,
    problem::{Features, LoadSite, Loaded, Problem, Split},
    report::Examples,
    task::Dataset,
};
use electra_tokenize::{SpecialTokens, Tokenizer};
use std::{collections::BTreeMap, sync::Arc};

/// The examples of a task of texts, encoded; `S` says which answers there can be, `T` is one of them.
#[derive(Debug)]
pub struct TextData<S, T> {
    pub(crate) answers: S,
    pub(crate) train: Features<T>,
    pub(crate) dev: Vec<Arc<Feature<T>>>,
    /// What the dev set's features were made of, for the report.
    pub(crate) dev_texts: Vec<Texts>,
    more_dev: BTreeMap<String, Vec<Arc<Feature<T>>>>,
    pub(crate) test: Option<Vec<Arc<Feature<T>>>>,
    pub(crate) vocab_size: usize,
    pub(crate) special: SpecialTokens,
}

impl<S, T> TextData<S, T> {
    /// The features of a split, none where there is no such split.
    pub(crate) fn split(&self, split: &Split) -> &[Arc<Feature<T>>] {
        match split {
            Split::Dev => &self.dev,
            Split::MoreDev(name) => self.more_dev.get(name).map_or(&[], Vec::as_slice),
            Split::Test => self.test.as_deref().unwrap_or(&[]),
        }
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
    let encode = |examples: &[_]| encode_examples(site.tokenizer, examples, max_length);
    let train: Features<T> = encode(&train)?.into();
    let dev_texts = dev.iter().map(|e| (e.text_a.clone(), e.text_b.clone())).collect();
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
