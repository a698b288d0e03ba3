//! A fine-tuned model of a tagging task.

use super::{
    encode::{WordPositions, encode},
    head::{TagNet, TokenPredictions},
};
use crate::{
    answer::{Answer, Request, RequestForm, TaggedWord, TaskModel},
    batch::Input,
    error::{Error, Result},
    model::{HeadClass, Header, invalid, read_info},
    pool::{ModelSite, NetworkPool},
};
use electra_model::{
    EncoderConfig,
    hf::{Architecture, Labels},
};
use electra_scores::tagging::Scheme;
use electra_tokenize::WordPiece;
use serde::{Deserialize, Serialize};
use tch::nn;

/// The kind in `task.json`, and the name of the head in checkpoints.
pub const KIND: &str = "tagging";

/// The `task.json` of a tagging task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaggingInfo {
    /// What every kind has.
    #[serde(flatten)]
    pub header: Header,
    /// The scheme that tags are written in.
    pub scheme: Scheme,
    /// Column of the word.
    pub word_column: i64,
    /// The classes in the order of their numbers: plain tags, or tags in BIOES.
    pub classes: Vec<String>,
}

impl TaggingInfo {
    /// `transformers` has a class for the head, however its weights were drawn.
    pub(super) fn class(&self) -> HeadClass {
        HeadClass {
            architecture: Architecture::ElectraForTokenClassification,
            labels: Some(Labels::Classes(self.classes.clone())),
            dropout: Some(self.header.head.dropout),
            head: "classifier",
        }
    }
}

/// The classes of all words, window by window, as tags of `scheme` for sentences of these numbers of words.
pub(super) fn tags_of(
    predicted: impl IntoIterator<Item = usize>,
    words: impl IntoIterator<Item = usize>,
    classes: &[String],
    scheme: Scheme,
) -> Vec<Vec<String>> {
    let mut predicted = predicted.into_iter();
    let tags = |words| {
        let own = predicted.by_ref().take(words);
        scheme.written(&own.map(|class| classes[class].clone()).collect::<Vec<_>>())
    };
    words.into_iter().map(tags).collect()
}

/// The class and probability of each word, from the predictions for the windows.
pub(super) fn word_predictions<'a>(
    words: impl IntoIterator<Item = &'a WordPositions> + 'a,
    predictions: &'a [TokenPredictions],
) -> impl Iterator<Item = (usize, f32)> + 'a {
    words.into_iter().zip(predictions).flat_map(|(words, predicted)| {
        let word =
            |&position: &usize| (predicted.classes[position], predicted.probabilities[position]);
        words.positions.iter().map(word)
    })
}

/// A model that tags words.
#[derive(Debug)]
struct TaggingModel {
    info: TaggingInfo,
    tokenizer: WordPiece,
    network: NetworkPool<TagNet>,
}

/// Opens a model of the kind.
pub(crate) fn open(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let info: TaggingInfo = read_info(site.dir)?;
    let (head, classes) = (info.header.head.clone(), info.classes.len());
    let build = move |path: &nn::Path<'_>, encoder: &EncoderConfig| {
        TagNet::new(path, encoder, &head, classes)
    };
    let (network, tokenizer) = NetworkPool::read(site, info.class().head, build)?;
    // Entities are read from BIOES, whatever is written.
    let unknown =
        |class: &&String| info.scheme.has_entities() && Scheme::Bioes.check(class).is_err();
    if let Some(class) = info.classes.iter().find(unknown) {
        let expected = "must be O, or one of B, I, E, S with a type, as in B-PER";
        let error = Error::value("classes", format!("{class:?}"), expected);
        return Err(invalid(site.dir)(error));
    }
    Ok(Box::new(TaggingModel { info, tokenizer, network }))
}

impl TaskModel for TaggingModel {
    fn form(&self) -> RequestForm {
        RequestForm::Words { column: self.info.word_column }
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Vec<Answer>> {
        let sentences =
            Request::all(requests, "must be the words of a sentence", |request| match request {
                Request::Words { words } => Some(words.as_slice()),
                _ => None,
            })?;
        let encoded = encode(&self.tokenizer, &sentences, &[], self.info.header.max_length)?;
        let (inputs, positions): (Vec<Input>, Vec<WordPositions>) = encoded.into_iter().unzip();
        let predictions = self
            .network
            .predict(&inputs, batch_size, |net, hidden_bsh, _| net.predict(hidden_bsh))?;
        let (predicted, probabilities): (Vec<usize>, Vec<f32>) =
            word_predictions(&positions, &predictions).unzip();
        let mut probabilities = probabilities.into_iter();
        let tagged = |tags: Vec<String>| {
            let words = tags.into_iter().zip(probabilities.by_ref());
            Answer::Tags(words.map(|(tag, probability)| TaggedWord { tag, probability }).collect())
        };
        let words = sentences.iter().map(|words| words.len());
        let tags = tags_of(predicted, words, &self.info.classes, self.info.scheme);
        Ok(tags.into_iter().map(tagged).collect())
    }
}
