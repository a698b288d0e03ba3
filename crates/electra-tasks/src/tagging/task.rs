//! Tagging as a problem: its files, its classes, its answers and their scores.

use super::{
    details::details,
    encode::{TagTarget, encode},
    file::{Columns, Sentence, Sentences},
    head::{TagHead, TagPrediction},
    scheme::Scheme,
};
use crate::{
    Error, FinetuneConfig, Result,
    baseline::{Baselines, SplitScores},
    batch::Feature,
    config::Pooling,
    details::Details,
    model::{Header, Kind},
    objective::Answering,
    problem::{HeadClass, LoadSite, Loaded, Problem, Remembered, Split, TaskCard},
    report::Examples,
    scored::Scored,
    scores::{
        Found, Metric, Scores,
        tagging::{Rule, TaggingScores, accuracy, score},
    },
    task::Files,
};
use electra_files::nearest;
use electra_model::{
    EncoderConfig,
    hf::{Architecture, Labels},
};
use electra_train::folder::write_file;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};
use tch::nn;

/// A task of tags for words, as a `task.toml` with `kind = "tagging"` describes it.
///
/// ```
/// let task: electra_tasks::TaggingTask = toml::from_str(r#"
///     name = "entities"
///     kind = "tagging"
///     scheme = "bio"
///     metric = "f1"
///     [files]
///     train = "train.txt"
///     dev = "dev.txt"
/// "#)?;
/// task.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggingTask {
    /// What it is called in reports.
    pub name: String,
    /// The kind of task.
    pub kind: TaggingKind,
    /// How the files' tags are meant.
    pub scheme: Scheme,
    /// Column of the word: 1 is the first, which is the default, and -1 the last.
    #[serde(default = "first")]
    pub word_column: i64,
    /// Column of the tag: by default -1, the last.
    #[serde(default = "last")]
    pub tag_column: i64,
    /// What happens where a file that is scored has a tag (a type of entity) that the training file lacks.
    #[serde(default, skip_serializing_if = "Unseen::is_refused")]
    pub unseen: Unseen,
    /// What seeds are compared by: `f1` or `accuracy`.
    pub metric: Metric,
    /// The data files: CoNLL columns, relative to the data folder.
    pub files: Files,
}

/// The value of `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaggingKind {
    /// A tag for every word.
    Tagging,
}

/// What happens where a file that is scored has a tag that the training file lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// An error that names file and line.
    #[default]
    Refuse,
    /// They are counted, warned of, and can only be missed.
    Wrong,
}

impl Unseen {
    fn is_refused(&self) -> bool {
        *self == Self::Refuse
    }
}

fn first() -> i64 {
    1
}

fn last() -> i64 {
    -1
}

/// What a model of tags needs besides weights: its `task.json`.
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

/// The data of a tagging task, encoded.
#[derive(Debug)]
pub struct TaggingData {
    classes: Vec<String>,
    /// The most frequent class of each word of the training file, and of all of them.
    frequent: (HashMap<String, usize>, usize),
    scored: Scored<Tagged>,
}

/// Sentences that are scored.
#[derive(Debug)]
struct Tagged {
    sentences: Vec<Sentence>,
    /// Their tags, each entity as the scheme writes it.
    gold: Vec<Vec<String>>,
    features: Vec<Arc<Feature<TagTarget>>>,
}

/// The classes of all words, window by window, taken to their sentences of these numbers of words; as tags of `scheme`.
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

/// What is said of the own words of windows.
pub(super) fn own_words<'a>(
    features: &'a [Arc<Feature<TagTarget>>],
    predictions: &'a [TagPrediction],
) -> impl Iterator<Item = (usize, f32)> + 'a {
    features.iter().zip(predictions).flat_map(|(feature, prediction)| {
        let word = |&place: &usize| (prediction.classes[place], prediction.probabilities[place]);
        feature.target.places.iter().map(word)
    })
}

impl TaggingTask {
    /// Checks that the keys fit each other.
    ///
    /// # Errors
    /// Naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        match (self.metric, self.scheme.has_entities()) {
            (Metric::Accuracy, _) | (Metric::F1, true) => {}
            (metric, true) => {
                return Err(Error::value("metric", metric, "must be f1 or accuracy for entities"));
            }
            (metric, false) => {
                return Err(Error::value("metric", metric, "must be accuracy for plain tags"));
            }
        }
        for (key, column) in [("word_column", self.word_column), ("tag_column", self.tag_column)] {
            if column == 0 {
                let expected = "must be a number from 1, or from -1 for columns from the end";
                return Err(Error::value(key, column, expected));
            }
        }
        if self.word_column == self.tag_column {
            let expected = "must be another column than word_column";
            return Err(Error::value("tag_column", self.tag_column, expected));
        }
        match &self.files.columns {
            Some(names) => {
                let expected = "columns of CoNLL files have no names: word_column and tag_column";
                Err(Error::value("files.columns", format!("{names:?}"), expected))
            }
            None => Ok(()),
        }
    }

    /// The sentences of a file, their tags checked to be of the scheme.
    fn read(&self, path: &Path) -> Result<Vec<Sentence>> {
        let columns = Columns { word: self.word_column, tag: Some(self.tag_column) };
        let mut sentences = Vec::new();
        for sentence in Sentences::open(path, columns)? {
            let sentence = sentence?;
            for (line, tag) in (sentence.line..).zip(&sentence.tags) {
                let fail = |why| Error::row(&path.display().to_string(), line, why);
                self.scheme.check(tag).map_err(fail)?;
            }
            sentences.push(sentence);
        }
        match sentences.is_empty() {
            true => Err(Error::file(path, "there is no sentence in it")),
            false => Ok(sentences),
        }
    }

    /// Sentences that are scored; `known` are the tags or types of the training file.
    fn tagged(&self, site: &LoadSite<'_>, path: &Path, known: &BTreeSet<String>) -> Result<Tagged> {
        let sentences = self.read(path)?;
        let mut unseen = 0;
        for sentence in &sentences {
            for (line, tag) in (sentence.line..).zip(&sentence.tags) {
                let Some(subject) = self.scheme.subject(tag) else { continue };
                if known.contains(subject) {
                    continue;
                }
                if self.unseen == Unseen::Refuse {
                    let near = nearest(subject, known.iter().map(String::as_str));
                    let message = format!(
                        "tag {tag:?}: the training file has no {subject:?}{near}; unseen = \"wrong\" in the task counts such words as missed"
                    );
                    return Err(Error::row(&path.display().to_string(), line, message));
                }
                unseen += 1;
            }
        }
        if unseen > 0 {
            tracing::warn!(
                "{}: {unseen} words have tags that the training file lacks",
                path.display()
            );
        }
        let gold = sentences.iter().map(|s| self.scheme.written(&s.tags)).collect();
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let features = encode(site.tokenizer, &words, &[], site.config.train.max_length)?;
        Ok(Tagged { sentences, gold, features })
    }

    /// Entities found, by type and over all, of tags in the task's scheme.
    fn entities(&self, set: &Tagged, answers: &[Vec<String>]) -> TaggingScores {
        score(answers, &set.gold, Rule::Conll)
            .expect("both are tags of a scheme for the same words")
    }

    fn scores(&self, set: &Tagged, answers: &[Vec<String>]) -> Scores {
        if self.scheme.has_entities() {
            let TaggingScores { overall, accuracy, .. } = self.entities(set, answers);
            return Scores::from([
                (Metric::F1, Some(overall.f1())),
                (Metric::Precision, Some(overall.precision())),
                (Metric::Recall, Some(overall.recall())),
                (Metric::Accuracy, Some(accuracy)),
            ]);
        }
        Scores::from([(Metric::Accuracy, Some(accuracy(answers, &set.gold)))])
    }
}

impl Problem for TaggingTask {
    type Head = TagHead;
    type Data = TaggingData;
    /// Tags in the files' scheme, sentence by sentence.
    type Answers = Vec<Vec<String>>;

    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        if config.head.pooling != Pooling::First {
            let expected = "must be \"first\" for tags, which each stand on a token";
            return Err(Error::value("head.pooling", "mean", expected));
        }
        self.validate()
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<Loaded<Self>> {
        let sentences = self.read(&site.data.join(&self.files.train))?;
        let tags: Vec<Vec<String>> =
            sentences.iter().map(|sentence| self.scheme.learned(&sentence.tags)).collect();
        let subjects = tags.iter().flatten().filter_map(|tag| self.scheme.subject(tag));
        let known: BTreeSet<String> = subjects.map(str::to_owned).collect();
        let classes = self.scheme.classes(&known);
        if classes.len() < 2 {
            let message = format!("has the tags {classes:?}: there must be at least 2");
            return Err(Error::file(site.data.join(&self.files.train), message));
        }
        let numbers: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(i, class)| (class.as_str(), i)).collect();
        let numbered: Vec<Vec<usize>> = tags
            .iter()
            .map(|tags| tags.iter().map(|tag| numbers[tag.as_str()]).collect())
            .collect();
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let train = encode(site.tokenizer, &words, &numbered, site.config.train.max_length)?;
        let frequent = frequent(&words, &numbered, classes.len());
        tracing::info!(
            "{} words in {} sentences, {} inputs",
            words.iter().map(|words| words.len()).sum::<usize>(),
            words.len(),
            train.len()
        );
        let scored = Scored::read(&self.files, site.data, |path| self.tagged(site, path, &known))?;
        let examples = Examples {
            train: sentences.len(),
            dev: scored.dev.sentences.len(),
            test: scored.test.as_ref().map_or(0, |set| set.sentences.len()),
        };
        let splits = scored.splits();
        let data = TaggingData { frequent, classes, scored };
        Ok(Loaded::each_once(&site.config.train, train.into(), examples, splits, data))
    }

    fn head(
        &self,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        data: &TaggingData,
    ) -> electra_model::Result<TagHead> {
        TagHead::new(path, encoder, &config.head, data.classes.len())
    }

    fn answers(
        &self,
        network: Answering<'_, TagHead>,
        data: &TaggingData,
        split: &Split,
        batch_size: usize,
    ) -> Self::Answers {
        let Some(set) = data.scored.split(split) else { return Vec::new() };
        let predictions = network.predict(&set.features, batch_size);
        let predicted = own_words(&set.features, &predictions).map(|(class, _)| class);
        let words = set.sentences.iter().map(|sentence| sentence.words.len());
        tags_of(predicted, words, &data.classes, self.scheme)
    }

    fn score(&self, data: &TaggingData, split: &Split, answers: &Self::Answers) -> Scores {
        data.scored.split(split).map_or_else(Scores::new, |set| self.scores(set, answers))
    }

    fn details(&self, data: &TaggingData, split: &Split, answers: &Self::Answers) -> Vec<Details> {
        let Some(set) = data.scored.split(split) else { return Vec::new() };
        let entities = self.scheme.has_entities().then(|| self.entities(set, answers));
        details(self.scheme, entities.as_ref(), &set.sentences, &set.gold, answers)
    }

    /// `predictions.conll`: the file's lines with the predicted tag as a further column (those of `-DOCSTART-` left
    /// out); of entities also `types.tsv`, the scores of each type.
    fn write(
        &self,
        data: &TaggingData,
        split: &Split,
        answers: &Self::Answers,
        dir: &Path,
    ) -> Result<()> {
        let Some(set) = data.scored.split(split) else { return Ok(()) };
        let mut text = String::new();
        for (sentence, tags) in set.sentences.iter().zip(answers) {
            text += &sentence.with_tags(tags.iter().map(String::as_str));
        }
        write_file(&dir.join("predictions.conll"), &text)?;
        if !self.scheme.has_entities() {
            return Ok(());
        }
        let found = self.entities(set, answers).by_type;
        let found = found.iter().map(|(kind, found)| (kind.as_str(), *found));
        Ok(write_file(&dir.join("types.tsv"), &Found::table("type", found))?)
    }

    /// The most frequent tag for every word; and for each word that of its own in the training file.
    fn baselines(&self, data: &TaggingData) -> Baselines {
        let (of_word, of_all) = &data.frequent;
        let scores = |set: &Tagged, predict: &dyn Fn(&String) -> usize| {
            let words = set.sentences.iter().flat_map(|sentence| &sentence.words);
            let lengths = set.sentences.iter().map(|sentence| sentence.words.len());
            self.scores(set, &tags_of(words.map(predict), lengths, &data.classes, self.scheme))
        };
        let split = |predict: &dyn Fn(&String) -> usize| SplitScores {
            dev: scores(&data.scored.dev, predict),
            test: data.scored.test.as_ref().map(|set| scores(set, predict)),
        };
        Baselines {
            majority: split(&|_| *of_all),
            bag_of_words: Some(split(&|word| *of_word.get(word).unwrap_or(of_all))),
        }
    }

    fn remember(&self, data: &TaggingData, config: &FinetuneConfig, seed: u64) -> Remembered {
        let info = TaggingInfo {
            header: Header::new(Kind::Tagging, self, config, seed),
            scheme: self.scheme,
            word_column: self.word_column,
            classes: data.classes.clone(),
        };
        let class = info.class();
        let info = serde_json::to_value(info).expect("plain values serialise");
        Remembered { info, class, members: Vec::new() }
    }

    fn card(&self, data: &TaggingData) -> TaskCard {
        let subjects = data.classes.iter().filter_map(|class| self.scheme.subject(class));
        let subjects: BTreeSet<&str> = subjects.collect();
        let subjects = subjects.into_iter().collect::<Vec<_>>().join(", ");
        let task = match self.scheme {
            Scheme::Plain => format!("tags of words: {subjects}"),
            scheme => format!("entities ({scheme}): {subjects}"),
        };
        TaskCard {
            pipeline: "token-classification",
            rows: vec![("task", task)],
            predict: "electra predict --model FOLDER --input words.conll --output tagged.conll",
        }
    }
}

/// The most frequent class of each word and of all words, the first of equally frequent ones.
fn frequent(
    words: &[&[String]],
    classes: &[Vec<usize>],
    count: usize,
) -> (HashMap<String, usize>, usize) {
    let mut of_words: HashMap<&str, Vec<u64>> = HashMap::new();
    let mut of_all = vec![0; count];
    for (word, &class) in words.iter().copied().flatten().zip(classes.iter().flatten()) {
        of_words.entry(word).or_insert_with(|| vec![0; count])[class] += 1;
        of_all[class] += 1;
    }
    let most = |counts: &[u64]| (0..counts.len()).rev().max_by_key(|&class| counts[class]);
    let of_words = of_words
        .into_iter()
        .map(|(word, counts)| (word.to_owned(), most(&counts).unwrap_or(0)))
        .collect();
    (of_words, most(&of_all).unwrap_or(0))
}
