//! Fine-tuning on tagging tasks.

use super::{
    details::{by_tag, hardest},
    encode::{EncodedSentences, WordPositions, encode},
    head::TagNet,
    model::{TaggingInfo, tags_of, word_predictions},
    task::{TaggingTask, Unseen},
};
use crate::{
    baseline::Baselines,
    batch::Input,
    config::FinetuneConfig,
    details::{ByLabel, Details},
    error::{Error, Result},
    head::HeadSite,
    model::{Header, ModelFiles},
    model_kind::ModelKind,
    preset::Group,
    split::Splits,
    summary::{LabelCount, Summaries, TRAIN, Truncated, text_key},
    task::{LoadSite, LoadedTask, Task, TaskCard},
    task_kind::{Network, TaskKind, TrainingSet, loaded},
};
use electra_files::{nearest, write_file};
use electra_scores::{
    Metric, Scores,
    tagging::{
        self, Columns, Entity, Rule, Scheme, Sentence, Sentences, TaggingScores, accuracy, score,
    },
    warn_look_alikes,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

/// A tagging task with the classes of its training file.
#[derive(Debug)]
struct TaggingData {
    task: TaggingTask,
    scheme: Scheme,
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
        match (self.metric, self.scheme) {
            (Metric::Accuracy | Metric::F1, None) | (Metric::Accuracy, _) => {}
            (metric, Some(Scheme::Plain)) => {
                return Err(Error::value("metric", metric, "must be accuracy for plain tags"));
            }
            (Metric::F1, Some(_)) => {}
            (metric, _) => {
                return Err(Error::value("metric", metric, "must be f1 or accuracy for entities"));
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
        let path = site.data.join(&self.files.train);
        let sentences = read(&path, self.columns())?;
        let scheme = self.scheme_of(&path, &sentences)?;
        check_tags(&path, &sentences, scheme)?;
        warn_irregular(&path, &sentences, scheme);
        let tags: Vec<Vec<String>> =
            sentences.iter().map(|sentence| scheme.learned(&sentence.tags)).collect();
        let subjects = tags.iter().flatten().filter_map(|tag| scheme.subject(tag));
        let known: BTreeSet<String> = subjects.map(str::to_owned).collect();
        let classes = scheme.classes(&known);
        if classes.len() < 2 {
            let message = format!("has the tags {classes:?}, but a task needs at least 2");
            return Err(Error::file(path, message));
        }
        warn_look_alikes(&path, subjects_with_lines(&sentences, scheme));
        let numbers: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(i, class)| (class.as_str(), i)).collect();
        let numbered: Vec<Vec<usize>> = tags
            .iter()
            .map(|tags| tags.iter().map(|tag| numbers[tag.as_str()]).collect())
            .collect();
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let EncodedSentences { inputs, positions, truncated } =
            encode(site.tokenizer, &words, &numbered, site.config.train.max_length)?;
        let frequent = frequent(&words, &numbered, classes.len());
        tracing::info!(
            "scheme {scheme}: {} words in {} sentences, {} inputs",
            words.iter().map(|words| words.len()).sum::<usize>(),
            words.len(),
            inputs.len()
        );
        let mut summaries = Summaries::default();
        let mut summarize = |split: &str, path: &Path, sentences: &[Sentence], truncated| {
            let keys = sentences.iter().map(|sentence| text_key(&sentence.words));
            summaries.add(split, path, counts(scheme, &known, sentences), keys);
            summaries.truncated(truncated);
        };
        summarize(TRAIN, &path, &sentences, truncated);
        let splits = Splits::read(&self.files, site.data, |split, path| {
            let (set, truncated) = self.tagged(site, path, scheme, &known)?;
            summarize(&split.name(), path, &set.sentences, truncated);
            Ok(set)
        })?;
        let train = TrainingSet {
            examples: sentences.len(),
            inputs: inputs.into(),
            labels: positions,
            left_out: Vec::new(),
        };
        let data = TaggingData { task: self.clone(), scheme, frequent, classes };
        let loaded = loaded(data, &site.config.train, train, splits);
        Ok(LoadedTask { summaries: summaries.finish(), ..loaded })
    }
}

/// Reads the sentences of a file.
fn read(path: &Path, columns: Columns) -> Result<Vec<Sentence>> {
    let sentences: Vec<Sentence> =
        Sentences::open(path, columns)?.collect::<electra_scores::Result<_>>()?;
    let others = sentences.iter().flat_map(|sentence| &sentence.lines).filter(|line| !line.is_word);
    let mut others = others.peekable();
    if let Some(first) = others.peek() {
        let (path, line, text) = (path.display(), first.number, &first.text);
        tracing::info!(
            "{path}: {} lines are comments or without a word; the first, in line {line}: {text:?}",
            others.count()
        );
    }
    match sentences.is_empty() {
        true => Err(Error::file(path, "the file has no sentences")),
        false => Ok(sentences),
    }
}

/// Checks that all tags belong to the scheme.
fn check_tags(path: &Path, sentences: &[Sentence], scheme: Scheme) -> Result<()> {
    for sentence in sentences {
        for (line, tag) in sentence.word_lines().zip(&sentence.tags) {
            let comment = match line.text.starts_with('#') {
                true => "; if the line is a comment, set comments = \"hash\"",
                false => "",
            };
            scheme.check(tag).map_err(|why| {
                let message = format!("{why}{comment}{}", fitting(sentences));
                Error::row(&path.display().to_string(), line.number, message)
            })?;
        }
    }
    Ok(())
}

/// Logs a warning with the number of tags that the scheme would not have at their places, such as an `I` that begins an
/// entity in BIO.
fn warn_irregular(path: &Path, sentences: &[Sentence], scheme: Scheme) {
    let mut irregular = sentences.iter().flat_map(|sentence| {
        let regular = scheme.written(&sentence.tags);
        let tags: Vec<_> = sentence.word_lines().zip(&sentence.tags).zip(regular).collect();
        tags.into_iter().filter(|((_, tag), regular)| *tag != regular)
    });
    let Some(((line, tag), regular)) = irregular.next() else { return };
    tracing::warn!(
        "{}: {} tags are not regular in the scheme {scheme}, the first in line {}: {tag} in place of {regular}. As in \
         conlleval, a tag that does not continue an entity begins one",
        path.display(),
        1 + irregular.count(),
        line.number
    );
}

/// Logs a warning if all tags of a file seem to be those of entities in another notation.
fn warn_other_notation(path: &Path, sentences: &[Sentence]) {
    let tags: BTreeSet<&str> =
        sentences.iter().flat_map(|sentence| &sentence.tags).map(String::as_str).collect();
    let mut others = tags.iter().filter(|tag| !tag.eq_ignore_ascii_case("O")).peekable();
    let Some(first) = others.peek().copied() else { return };
    let Some(similar) = Scheme::similar(first) else { return };
    if others.all(|tag| Scheme::similar(tag).is_some()) {
        tracing::warn!(
            "{}: the tags are learned as classes of words, but look like those of entities: {first} like {similar}. If they \
             are, rewrite them so in all files",
            path.display()
        );
    }
}

/// A hint at the scheme that has all tags of a file, if it is one of entities.
fn fitting(sentences: &[Sentence]) -> String {
    let detected = Scheme::detect(sentences.iter().map(|sentence| sentence.tags.as_slice()));
    match detected {
        Ok(scheme) if scheme.has_entities() => format!(
            "; all tags of the file are of the scheme {scheme}: set scheme = \"{scheme}\", or remove the key"
        ),
        _ => String::new(),
    }
}

/// The tags or types of all words, with their lines; words outside of entities have none.
fn subjects_with_lines(
    sentences: &[Sentence],
    scheme: Scheme,
) -> impl Iterator<Item = (&str, u64)> {
    sentences.iter().flat_map(move |sentence| {
        let tagged = sentence.word_lines().zip(&sentence.tags);
        tagged.filter_map(move |(line, tag)| Some((scheme.subject(tag)?, line.number)))
    })
}

/// The number of entities of each type, or of words with each plain tag: first those of the training file, then others.
fn counts(scheme: Scheme, known: &BTreeSet<String>, sentences: &[Sentence]) -> Vec<LabelCount> {
    let mut counts: BTreeMap<&str, usize> = known.iter().map(|tag| (tag.as_str(), 0)).collect();
    for sentence in sentences {
        match scheme.has_entities() {
            true => entities_of(&sentence.tags)
                .iter()
                .for_each(|entity| *counts.entry(entity.kind).or_default() += 1),
            false => {
                sentence.tags.iter().for_each(|tag| *counts.entry(tag.as_str()).or_default() += 1);
            }
        }
    }
    counts.into_iter().map(|(label, count)| LabelCount::new(label, count)).collect()
}

/// The entities of a sentence whose tags were checked.
fn entities_of(tags: &[String]) -> Vec<Entity<'_>> {
    tagging::entities(tags, Rule::Conll).expect("a file's tags are checked when it is read")
}

impl TaggingTask {
    /// The scheme of the task, or of the tags of the training file.
    fn scheme_of(&self, path: &Path, sentences: &[Sentence]) -> Result<Scheme> {
        if let Some(scheme) = self.scheme {
            return Ok(scheme);
        }
        let tags = sentences.iter().map(|sentence| sentence.tags.as_slice());
        let scheme = Scheme::detect(tags).map_err(|why| Error::file(path, why))?;
        if self.metric == Metric::Accuracy && scheme == Scheme::Plain {
            warn_other_notation(path, sentences);
        }
        if self.metric == Metric::Accuracy || scheme.has_entities() {
            return Ok(scheme);
        }
        let is_plain =
            |tag: &String| tagging::entities(std::slice::from_ref(tag), Rule::Conll).is_err();
        let mut tagged =
            sentences.iter().flat_map(|sentence| sentence.word_lines().zip(&sentence.tags));
        match tagged.find(|(_, tag)| is_plain(tag)) {
            None => Ok(scheme),
            Some((line, tag)) => {
                let similar = Scheme::similar(tag);
                let similar = similar.map(|similar| {
                    format!("It looks like {similar}: rewrite such tags in all files. ")
                });
                let message = format!(
                    "tag {tag:?} is not a tag of entities, such as O and B-PER, but metric = \"f1\" is a score of entities. \
                     {}For other tags set metric = \"accuracy\"",
                    similar.unwrap_or_default()
                );
                Err(Error::row(&path.display().to_string(), line.number, message))
            }
        }
    }

    /// Reads the sentences of a split; `known` are the tags or types of the training file.
    fn tagged(
        &self,
        site: &LoadSite<'_>,
        path: &Path,
        scheme: Scheme,
        known: &BTreeSet<String>,
    ) -> Result<(TaggedSet, Truncated)> {
        let sentences = read(path, self.columns())?;
        check_tags(path, &sentences, scheme)?;
        warn_irregular(path, &sentences, scheme);
        let mut unseen = 0;
        for sentence in &sentences {
            for (line, tag) in sentence.word_lines().zip(&sentence.tags) {
                let Some(subject) = scheme.subject(tag) else { continue };
                if known.contains(subject) {
                    continue;
                }
                if self.unseen == Unseen::Refuse {
                    let near = nearest(subject, known.iter().map(String::as_str));
                    let message = format!(
                        "tag {tag:?}: the training file has no {subject:?}{near}; unseen = \"wrong\" in task.toml counts such words as missed"
                    );
                    return Err(Error::row(&path.display().to_string(), line.number, message));
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
        let gold = sentences.iter().map(|s| scheme.written(&s.tags)).collect();
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let EncodedSentences { inputs, positions, truncated } =
            encode(site.tokenizer, &words, &[], site.config.train.max_length)?;
        Ok((TaggedSet { sentences, gold, inputs, positions }, truncated))
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
        if self.scheme.has_entities() {
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

    fn by_label(&self, set: &TaggedSet, tags: &[Vec<String>]) -> Option<ByLabel> {
        let (title, label, file, counts) = match self.scheme.has_entities() {
            true => ("Entities by type", "type", "types.tsv", entities(set, tags).by_type),
            false => ("Words by tag", "tag", "tags.tsv", by_tag(&set.gold, tags)),
        };
        Some(ByLabel { title, label, file, counts: counts.into_iter().collect() })
    }

    fn details(&self, set: &TaggedSet, tags: &[Vec<String>]) -> Vec<Details> {
        vec![hardest(self.scheme, &set.sentences, &set.gold, tags)]
    }

    /// `predictions.conll`: the lines of the file's words with the predicted tag as a further column.
    fn write(&self, set: &TaggedSet, tags: &[Vec<String>], dir: &Path) -> Result<()> {
        let tagged = set.sentences.iter().zip(tags);
        let text = tagged.map(|(s, tags)| s.with_tags(tags.iter().map(String::as_str)));
        Ok(write_file(&dir.join("predictions.conll"), text.collect::<String>())?)
    }

    fn model_files(&self, header: Header) -> ModelFiles {
        TaggingInfo {
            header: header.of_kind(TaggingInfo::KIND),
            scheme: self.scheme,
            word_column: self.task.word_column,
            comments: self.task.comments,
            classes: self.classes.clone(),
        }
        .files()
    }

    fn card(&self) -> TaskCard {
        let subjects = self.classes.iter().filter_map(|class| self.scheme.subject(class));
        let subjects: BTreeSet<&str> = subjects.collect();
        let subjects = subjects.into_iter().collect::<Vec<_>>().join(", ");
        let task = match self.scheme {
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
        tags_of(classes, lengths, &self.classes, self.scheme)
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
