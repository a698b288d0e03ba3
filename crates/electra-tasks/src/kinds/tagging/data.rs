//! Fine-tuning on tagging tasks.

use super::{
    details::details,
    encode::{WordPositions, encode},
    head::TagNet,
    model::{TaggingInfo, tags_of, word_predictions},
    task::{TaggingTask, Unseen},
};
use crate::{
    baseline::Baselines,
    batch::Input,
    config::FinetuneConfig,
    details::Details,
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    preset::Group,
    split::Splits,
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind, TrainingSet, loaded},
};
use electra_files::{nearest, write_file};
use electra_scores::{
    MatchCounts, Metric, Scores,
    tagging::{Columns, Rule, Scheme, Sentence, Sentences, TaggingScores, accuracy, score},
};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// A tagging task with the classes of its training file.
#[derive(Debug)]
struct TaggingData {
    task: TaggingTask,
    classes: Vec<String>,
    /// The most frequent class of each word of the training file, and of all its words.
    frequent: (HashMap<String, usize>, usize),
}

/// The sentences of a split.
#[derive(Debug)]
struct TaggedSet {
    sentences: Vec<Sentence>,
    /// Their tags, with entities in the canonical form of the scheme.
    gold: Vec<Vec<String>>,
    inputs: Vec<Input>,
    /// The positions of the words in the inputs.
    positions: Vec<WordPositions>,
}

impl Task for TaggingTask {
    crate::described_by_keys!();

    fn group(&self) -> Group {
        Group::Chunking
    }

    fn validate(&self) -> Result<()> {
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
                let expected = "must be 1 or more, or negative to count columns from the end";
                return Err(Error::value(key, column, expected));
            }
        }
        if self.word_column == self.tag_column {
            let expected = "must differ from word_column";
            return Err(Error::value("tag_column", self.tag_column, expected));
        }
        Ok(self.files.without_tables()?)
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        config.head.check_tokens()
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
        let sentences = self.read(&site.data.join(&self.files.train))?;
        let tags: Vec<Vec<String>> =
            sentences.iter().map(|sentence| self.scheme.learned(&sentence.tags)).collect();
        let subjects = tags.iter().flatten().filter_map(|tag| self.scheme.subject(tag));
        let known: BTreeSet<String> = subjects.map(str::to_owned).collect();
        let classes = self.scheme.classes(&known);
        if classes.len() < 2 {
            let message = format!("has the tags {classes:?}, but a task needs at least 2");
            return Err(Error::file(site.data.join(&self.files.train), message));
        }
        let numbers: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(i, class)| (class.as_str(), i)).collect();
        let numbered: Vec<Vec<usize>> = tags
            .iter()
            .map(|tags| tags.iter().map(|tag| numbers[tag.as_str()]).collect())
            .collect();
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let encoded = encode(site.tokenizer, &words, &numbered, site.config.train.max_length)?;
        let (inputs, labels): (Vec<Input>, Vec<WordPositions>) = encoded.into_iter().unzip();
        let frequent = frequent(&words, &numbered, classes.len());
        tracing::info!(
            "{} words in {} sentences, {} inputs",
            words.iter().map(|words| words.len()).sum::<usize>(),
            words.len(),
            inputs.len()
        );
        let splits = Splits::read(&self.files, site.data, |path| self.tagged(site, path, &known))?;
        let examples = sentences.len();
        let train = TrainingSet { examples, inputs: inputs.into(), labels, left_out: Vec::new() };
        let data = TaggingData { task: self.clone(), frequent, classes };
        Ok(loaded(data, &site.config.train, train, splits))
    }
}

impl TaggingTask {
    /// Reads the sentences of a file and checks that their tags belong to the scheme.
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
            true => Err(Error::file(path, "the file has no sentences")),
            false => Ok(sentences),
        }
    }

    /// Reads the sentences of a split; `known` are the tags or types of the training file.
    fn tagged(
        &self,
        site: &LoadSite<'_>,
        path: &Path,
        known: &BTreeSet<String>,
    ) -> Result<TaggedSet> {
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
                        "tag {tag:?}: the training file has no {subject:?}{near}; unseen = \"wrong\" in task.toml counts such words as missed"
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
        let encoded = encode(site.tokenizer, &words, &[], site.config.train.max_length)?;
        let (inputs, positions) = encoded.into_iter().unzip();
        Ok(TaggedSet { sentences, gold, inputs, positions })
    }
}

impl TaskKind for TaggingData {
    type Label = WordPositions;
    type Examples = TaggedSet;
    type Net = TagNet;
    /// The tags of a sentence, in the scheme of the files.
    type Prediction = Vec<String>;

    fn head_name(&self) -> &'static str {
        TaggingInfo::KIND
    }

    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<TagNet> {
        TagNet::new(site, self.classes.len())
    }

    fn label_json(
        &self,
        WordPositions { positions, classes }: &WordPositions,
    ) -> serde_json::Value {
        let tags = classes.iter().map(|&class| self.classes[class].as_str());
        serde_json::json!({ "positions": positions, "tags": tags.collect::<Vec<_>>() })
    }

    fn count(&self, set: &TaggedSet) -> usize {
        set.sentences.len()
    }

    fn predict(&self, network: &Network<'_, Self>, set: &TaggedSet) -> Vec<Vec<String>> {
        let outputs = network.predict(&set.inputs);
        self.tags(set, word_predictions(&set.positions, &outputs).map(|(class, _)| class))
    }

    fn score(&self, set: &TaggedSet, tags: &[Vec<String>]) -> Scores {
        if self.task.scheme.has_entities() {
            let TaggingScores { overall, accuracy, .. } = entities(set, tags);
            return Scores::from([
                (Metric::F1, Some(overall.f1())),
                (Metric::Precision, Some(overall.precision())),
                (Metric::Recall, Some(overall.recall())),
                (Metric::Accuracy, Some(accuracy)),
            ]);
        }
        Scores::from([(Metric::Accuracy, Some(accuracy(tags, &set.gold)))])
    }

    /// The most frequent tag for every word; and for each word its most frequent tag in the training file.
    fn baselines(&self, _labels: &[WordPositions], splits: &Splits<TaggedSet>) -> Baselines {
        let (of_word, of_all) = &self.frequent;
        let scores = |predict: &dyn Fn(&String) -> usize| {
            splits.scores(|set| {
                let words = set.sentences.iter().flat_map(|sentence| &sentence.words);
                self.score(set, &self.tags(set, words.map(predict)))
            })
        };
        Baselines {
            majority: scores(&|_| *of_all),
            bag_of_words: Some(scores(&|word| *of_word.get(word).unwrap_or(of_all))),
        }
    }

    fn details(&self, set: &TaggedSet, tags: &[Vec<String>]) -> Vec<Details> {
        let scheme = self.task.scheme;
        let entities = scheme.has_entities().then(|| entities(set, tags));
        details(scheme, entities.as_ref(), &set.sentences, &set.gold, tags)
    }

    /// `predictions.conll`: the lines of the file with the predicted tag as a further column (without `-DOCSTART-`
    /// lines); for entities also `types.tsv`, the scores of each type.
    fn write(&self, set: &TaggedSet, tags: &[Vec<String>], dir: &Path) -> Result<()> {
        let mut text = String::new();
        for (sentence, tags) in set.sentences.iter().zip(tags) {
            text += &sentence.with_tags(tags.iter().map(String::as_str));
        }
        write_file(&dir.join("predictions.conll"), &text)?;
        if !self.task.scheme.has_entities() {
            return Ok(());
        }
        let by_type = entities(set, tags).by_type;
        let by_type = by_type.iter().map(|(kind, counts)| (kind.as_str(), *counts));
        Ok(write_file(&dir.join("types.tsv"), MatchCounts::table("type", by_type))?)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        TaggingInfo {
            header: header.of_kind(TaggingInfo::KIND),
            scheme: self.task.scheme,
            word_column: self.task.word_column,
            classes: self.classes.clone(),
        }
        .files()
    }

    fn card(&self) -> TaskCard {
        let subjects = self.classes.iter().filter_map(|class| self.task.scheme.subject(class));
        let subjects: BTreeSet<&str> = subjects.collect();
        let subjects = subjects.into_iter().collect::<Vec<_>>().join(", ");
        let task = match self.task.scheme {
            Scheme::Plain => format!("tags of words: {subjects}"),
            scheme => format!("entities ({scheme}): {subjects}"),
        };
        TaskCard::new(
            "token-classification",
            task,
            "electra predict --model FOLDER --input words.conll --output tagged.conll",
        )
    }
}

impl TaggingData {
    /// The tags of the sentences of a split, from the classes of all their words.
    fn tags(&self, set: &TaggedSet, classes: impl Iterator<Item = usize>) -> Vec<Vec<String>> {
        let lengths = set.sentences.iter().map(|sentence| sentence.words.len());
        tags_of(classes, lengths, &self.classes, self.task.scheme)
    }
}

/// The scores of entities, by type and over all.
fn entities(set: &TaggedSet, tags: &[Vec<String>]) -> TaggingScores {
    score(tags, &set.gold, Rule::Conll).expect("both are tags of a scheme for the same words")
}

/// The most frequent class of each word and of all words, the first one if there is a tie.
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
