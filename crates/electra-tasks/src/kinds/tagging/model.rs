//! A fine-tuned model of a tagging task.

use super::{
    encode::{EncodedSentences, WordPositions, encode},
    head::{TagNet, TokenPredictions},
};
use crate::{
    adopt::Foreign,
    answer::{Answer, Request, RequestForm, TaggedWord},
    error::{Error, Result},
    head::HeadSite,
    model::{HeadClass, Header},
    model_kind::{Inference, ModelKind},
};
use electra_model::hf::{Architecture, Labels};
use electra_scores::{
    Metric,
    tagging::{Columns, Comments, Rule, Scheme, entities},
};
use electra_tokenize::WordPiece;
use serde::{Deserialize, Serialize};

/// The `task.json` of a tagging task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaggingInfo {
    /// The keys of every kind.
    #[serde(flatten)]
    pub header: Header,
    /// The scheme of predicted tags.
    pub scheme: Scheme,
    /// The column of the word.
    pub word_column: i64,
    /// Which lines of files are comments.
    #[serde(default, skip_serializing_if = "Comments::is_default")]
    pub comments: Comments,
    /// The classes in the order of their logits: plain tags, or tags of entities, in BIOES if the model was fine-tuned
    /// here.
    pub classes: Vec<String>,
}

/// The classes of all words, in order, as tags of `scheme` for sentences with these numbers of words.
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

/// The class and probability of each word, from the outputs for the windows.
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

impl ModelKind for TaggingInfo {
    const KIND: &'static str = "tagging";
    type Net = TagNet;

    /// `transformers` has a class for the head, however its weights were initialized. The labels are in BIO, so that
    /// `pipeline("ner")` finds the entities.
    fn class(&self) -> HeadClass {
        HeadClass {
            architecture: Architecture::ElectraForTokenClassification,
            labels: Some(Labels::Classes(self.scheme.names(&self.classes))),
            dropout: Some(self.header.head.dropout),
            head: "classifier",
        }
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<TagNet> {
        TagNet::new(site, self.classes.len())
    }

    fn validate(&self, _tokenizer: &WordPiece) -> Result<()> {
        let invalid = |class: &&String| {
            self.scheme.has_entities()
                && entities(std::slice::from_ref(class), Rule::Conll).is_err()
        };
        match self.classes.iter().find(invalid) {
            None => Ok(()),
            Some(class) => {
                let expected = "must be a tag of an entity, such as O or B-PER";
                Err(Error::value("classes", format!("{class:?}"), expected))
            }
        }
    }

    /// The scheme is that of the labels; those of which one is not a tag of an entity are plain.
    fn adopt(folder: &Foreign<'_>) -> Result<Option<Self>> {
        let (Architecture::ElectraForTokenClassification, Some(Labels::Classes(classes))) =
            (folder.config.architecture, &folder.config.labels)
        else {
            return Ok(None);
        };
        let scheme = Scheme::of_classes(classes).map_err(|why| Error::file(folder.dir, why))?;
        let metric = if scheme.has_entities() { Metric::F1 } else { Metric::Accuracy };
        Ok(Some(Self {
            header: folder.header(metric).of_kind(Self::KIND),
            scheme,
            word_column: 1,
            comments: Comments::default(),
            classes: classes.clone(),
        }))
    }

    fn form(&self) -> RequestForm {
        let columns = Columns { word: self.word_column, tag: None, comments: self.comments };
        RequestForm::Words { columns }
    }

    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>> {
        let sentences =
            Request::all(requests, "must be the words of a sentence", |request| match request {
                Request::Words { words } => Some(words.as_slice()),
                _ => None,
            })?;
        let EncodedSentences { inputs, positions, truncated } =
            encode(model.tokenizer, &sentences, &[], self.header.max_length)?;
        model.add_truncated(truncated);
        let outputs = model.predict(&inputs)?;
        let (predicted, probabilities): (Vec<usize>, Vec<f32>) =
            word_predictions(&positions, &outputs).unzip();
        let mut probabilities = probabilities.into_iter();
        let tagged = |tags: Vec<String>| {
            let words = tags.into_iter().zip(probabilities.by_ref());
            Answer::Tags(words.map(|(tag, probability)| TaggedWord { tag, probability }).collect())
        };
        let words = sentences.iter().map(|words| words.len());
        let tags = tags_of(predicted, words, &self.classes, self.scheme);
        Ok(tags.into_iter().map(tagged).collect())
    }
}
