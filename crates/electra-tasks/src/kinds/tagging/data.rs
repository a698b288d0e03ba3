//! Tagging as fine-tuning sees it: its data, its head, the answers and their scores.

use super::{
    details::details,
    encode::{WordPositions, encode},
    head::TagNet,
    model::{KIND, TaggingInfo, tags_of, word_predictions},
    task::{TaggingTask, Unseen},
};
use crate::{
    baseline::{Baselines, SplitScores},
    batch::{BatchTensors, Input},
    body::Body,
    config::{FinetuneConfig, Pooling},
    details::Details,
    error::{Error, Result},
    model::{Header, ModelFiles},
    preset::Group,
    report::Examples,
    split::{Split, Splits},
    task::{Answers, LoadSite, LoadedTask, RowLosses, Task, TaskCard, TaskData, TaskHead},
};
use electra_files::{nearest, write_file};
use electra_model::EncoderConfig;
use electra_scores::{
    MatchCounts, Metric, Scores,
    tagging::{Columns, Rule, Scheme, Sentence, Sentences, TaggingScores, accuracy, score},
};
use electra_train::metrics::Observations;
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};
use tch::{Tensor, nn};

/// The data of a tagging task, encoded.
#[derive(Debug)]
struct TaggingData {
    task: TaggingTask,
    classes: Vec<String>,
    /// The words of the training inputs.
    train: Vec<WordPositions>,
    /// The most frequent class of each word of the training file, and of all of them.
    frequent: (HashMap<String, usize>, usize),
    scored: Splits<TaggedSet>,
}

/// Sentences that are scored.
#[derive(Debug)]
struct TaggedSet {
    sentences: Vec<Sentence>,
    /// Their tags, each entity as the scheme writes it.
    gold: Vec<Vec<String>>,
    inputs: Vec<Input>,
    /// The words of the inputs.
    positions: Vec<WordPositions>,
}

impl Task for TaggingTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn description(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values serialise")
    }

    fn group(&self) -> Group {
        Group::Chunking
    }

    fn check(&self, config: &FinetuneConfig) -> Result<()> {
        if config.head.pooling != Pooling::First {
            let expected = "must be \"first\" for tags, which each stand on a token";
            return Err(Error::value("head.pooling", "mean", expected));
        }
        self.validate()
    }

    fn load(&self, site: &LoadSite<'_>) -> Result<LoadedTask> {
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
        let encoded = encode(site.tokenizer, &words, &numbered, site.config.train.max_length)?;
        let (inputs, train): (Vec<Input>, Vec<WordPositions>) = encoded.into_iter().unzip();
        let frequent = frequent(&words, &numbered, classes.len());
        tracing::info!(
            "{} words in {} sentences, {} inputs",
            words.iter().map(|words| words.len()).sum::<usize>(),
            words.len(),
            inputs.len()
        );
        let scored = Splits::read(&self.files, site.data, |path| self.tagged(site, path, &known))?;
        let examples = Examples {
            train: sentences.len(),
            dev: scored.dev.sentences.len(),
            test: scored.test.as_ref().map_or(0, |set| set.sentences.len()),
        };
        let splits = scored.names();
        let data = TaggingData { task: self.clone(), train, frequent, classes, scored };
        Ok(LoadedTask::each_once(&site.config.train, inputs, examples, splits, data))
    }
}

impl TaggingTask {
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
        let encoded = encode(site.tokenizer, &words, &[], site.config.train.max_length)?;
        let (inputs, positions) = encoded.into_iter().unzip();
        Ok(TaggedSet { sentences, gold, inputs, positions })
    }

    /// Entities matched, by type and over all, of tags in the task's scheme.
    fn entities(&self, set: &TaggedSet, answers: &[Vec<String>]) -> TaggingScores {
        score(answers, &set.gold, Rule::Conll)
            .expect("both are tags of a scheme for the same words")
    }

    fn scores(&self, set: &TaggedSet, answers: &[Vec<String>]) -> Scores {
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

impl TaskData for TaggingData {
    fn head(
        self: Arc<Self>,
        path: &nn::Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> electra_model::Result<Box<dyn TaskHead>> {
        let net = TagNet::new(path, encoder, &config.head, self.classes.len())?;
        Ok(Box::new(TagHead { net, data: self }))
    }

    fn label(&self, example: usize) -> serde_json::Value {
        let WordPositions { positions, classes } = &self.train[example];
        let tags = classes.iter().map(|&class| self.classes[class].as_str());
        serde_json::json!({ "positions": positions, "tags": tags.collect::<Vec<_>>() })
    }

    /// The most frequent tag for every word; and for each word that of its own in the training file.
    fn baselines(&self) -> Baselines {
        let (of_word, of_all) = &self.frequent;
        let scores = |set: &TaggedSet, predict: &dyn Fn(&String) -> usize| {
            let words = set.sentences.iter().flat_map(|sentence| &sentence.words);
            let lengths = set.sentences.iter().map(|sentence| sentence.words.len());
            let tags = tags_of(words.map(predict), lengths, &self.classes, self.task.scheme);
            self.task.scores(set, &tags)
        };
        let split = |predict: &dyn Fn(&String) -> usize| SplitScores {
            dev: scores(&self.scored.dev, predict),
            test: self.scored.test.as_ref().map(|set| scores(set, predict)),
        };
        Baselines {
            majority: split(&|_| *of_all),
            bag_of_words: Some(split(&|word| *of_word.get(word).unwrap_or(of_all))),
        }
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        let info = TaggingInfo {
            header: header.of_kind(KIND),
            scheme: self.task.scheme,
            word_column: self.task.word_column,
            classes: self.classes.clone(),
        };
        ModelFiles::new(&info, info.class())
    }

    fn card(&self) -> TaskCard {
        let subjects = self.classes.iter().filter_map(|class| self.task.scheme.subject(class));
        let subjects: BTreeSet<&str> = subjects.collect();
        let subjects = subjects.into_iter().collect::<Vec<_>>().join(", ");
        let task = match self.task.scheme {
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

#[derive(Debug)]
struct TagHead {
    net: TagNet,
    data: Arc<TaggingData>,
}

impl TaskHead for TagHead {
    fn name(&self) -> &'static str {
        KIND
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        _batch: &BatchTensors,
        examples: &[usize],
        train: bool,
    ) -> RowLosses {
        let words: Vec<&WordPositions> = examples.iter().map(|&i| &self.data.train[i]).collect();
        self.net.losses(hidden_bsh, &words, train)
    }

    fn observe(&self, _examples: &[usize], outputs: &[Tensor], seen: &mut Observations) {
        if let [right_w] = outputs {
            seen.mean("accuracy", right_w);
        }
    }

    fn answers(&self, body: &Body, split: &Split, batch_size: usize) -> Box<dyn Answers> {
        let data = Arc::clone(&self.data);
        let set = data.scored.of(split);
        let predictions =
            body.predict(&set.inputs, batch_size, |hidden_bsh, _| self.net.predict(hidden_bsh));
        let predicted = word_predictions(&set.positions, &predictions).map(|(class, _)| class);
        let words = set.sentences.iter().map(|sentence| sentence.words.len());
        let tags = tags_of(predicted, words, &data.classes, data.task.scheme);
        Box::new(TagAnswers { data, split: split.clone(), tags })
    }
}

#[derive(Debug)]
struct TagAnswers {
    data: Arc<TaggingData>,
    split: Split,
    /// Tags in the files' scheme, sentence by sentence.
    tags: Vec<Vec<String>>,
}

impl Answers for TagAnswers {
    fn score(&self) -> Scores {
        self.data.task.scores(self.data.scored.of(&self.split), &self.tags)
    }

    fn details(&self) -> Vec<Details> {
        let (task, set) = (&self.data.task, self.data.scored.of(&self.split));
        let entities = task.scheme.has_entities().then(|| task.entities(set, &self.tags));
        details(task.scheme, entities.as_ref(), &set.sentences, &set.gold, &self.tags)
    }

    /// `predictions.conll`: the file's lines with the predicted tag as a further column (without those of
    /// `-DOCSTART-`); of entities also `types.tsv`, the scores of each type.
    fn write(&self, dir: &Path) -> Result<()> {
        let (task, set) = (&self.data.task, self.data.scored.of(&self.split));
        let mut text = String::new();
        for (sentence, tags) in set.sentences.iter().zip(&self.tags) {
            text += &sentence.with_tags(tags.iter().map(String::as_str));
        }
        write_file(&dir.join("predictions.conll"), &text)?;
        if !task.scheme.has_entities() {
            return Ok(());
        }
        let by_type = task.entities(set, &self.tags).by_type;
        let by_type = by_type.iter().map(|(kind, counts)| (kind.as_str(), *counts));
        Ok(write_file(&dir.join("types.tsv"), MatchCounts::table("type", by_type))?)
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
