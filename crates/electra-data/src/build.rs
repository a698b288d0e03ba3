//! Builds shards from a corpus: in parallel, in bounded memory, with the same result for any number of threads.

use crate::{
    Corpus, Error, PackingConfig, Result,
    corpus::{Document, split_sentences},
    index::{BuildReport, COUNTS, INDEX, ShardIndex, Split, SplitIndex, TOKENIZER, VERSION},
    output::{Shards, check_corpus},
    packing::{Example, SHORTEST, pack_document},
    rng::{CounterRng, Purpose},
    shard::ShardWriter,
};
use crossbeam_channel::bounded;
use electra_files::{Existing, folder, write_json};
use electra_tokenize::{Tokenizer, WordPiece};
use rayon::prelude::*;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Settings of [`build_shards`].
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// The output folder.
    pub out: PathBuf,
    /// How examples are packed.
    pub packing: PackingConfig,
    /// Fraction of documents held out for evaluation. Unless it is 0, the second document is always held out.
    pub held_out: f64,
    /// Seed for packing and for choosing held-out documents.
    pub seed: u64,
    /// Whether to replace existing shards in `out` once the new ones are complete. Other files are never replaced.
    pub existing: Existing,
}

/// Bytes of text per chunk; at most three chunks are in memory.
const CHUNK: usize = 8 << 20;
/// Tokens per shard.
const SHARD_TOKENS: u64 = 1 << 24;
/// Bytes of text per tokenization task.
const TASK: usize = 1 << 16;

/// Tokenizes a corpus, packs it into examples and writes shards. Calls `progress` with the bytes of text processed.
///
/// The output folder is created atomically; see [`electra_files::folder::whole`].
///
/// # Errors
/// [`Error::Files`], [`Error::CorpusInOutput`], [`Error::TooSmall`], or an I/O error. On error, `out` is unchanged.
pub fn build_shards(
    corpus: &Corpus,
    tokenizer: &WordPiece,
    config: &BuildConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<BuildReport> {
    check(config)?;
    check_corpus(&config.out, corpus)?;
    folder::whole(&config.out, config.existing, Shards, |new| {
        build_in(new, corpus, tokenizer, config, SHARD_TOKENS, progress)
    })
}

fn check(config: &BuildConfig) -> Result<()> {
    let value = |key, value: String, expected: &str| Error::Value {
        key,
        value,
        expected: expected.to_owned(),
    };
    let length = config.packing.sequence_length;
    if !(SHORTEST..=1 << 16).contains(&length) {
        return Err(value(
            "sequence_length",
            length.to_string(),
            "must be from 3 ([CLS], a token, [SEP]) to 65536",
        ));
    }
    for (key, p) in [
        ("held_out", config.held_out),
        ("single_segment", config.packing.single_segment),
        ("short", config.packing.short),
    ] {
        if !(0.0..=1.0).contains(&p) {
            return Err(value(key, p.to_string(), "must be a probability from 0 to 1"));
        }
    }
    Ok(())
}

fn build_in(
    dir: &Path,
    corpus: &Corpus,
    tokenizer: &WordPiece,
    config: &BuildConfig,
    shard_tokens: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<BuildReport> {
    let tokenizer_dir = dir.join(TOKENIZER);
    fs::create_dir_all(&tokenizer_dir).map_err(Error::io(&tokenizer_dir))?;
    tokenizer.write_pretrained(&tokenizer_dir, config.packing.sequence_length)?;
    let vocab = tokenizer.vocab();
    let mut output = Output {
        dir: dir.to_owned(),
        writers: Default::default(),
        counts: vec![0; vocab.len()],
        index: ShardIndex {
            format: VERSION,
            sequence_length: config.packing.sequence_length,
            vocab_size: vocab.len(),
            vocab_hash: vocab.hash(),
            special: *vocab.special(),
            train: SplitIndex::default(),
            held_out: SplitIndex::default(),
            report: BuildReport::default(),
        },
        counted: None,
        shard_tokens,
    };
    let mut report = BuildReport {
        files: corpus.files().len() as u64,
        files_left_out: corpus.skipped().len() as u64,
        ..BuildReport::default()
    };
    // Each part of a long document has its own number for packing, but all parts are in the document's split.
    let mut parts = 0;
    // A reader thread decompresses ahead, rayon's threads tokenize and pack, and this thread writes.
    let (sender, chunks) = bounded::<Result<Vec<Document>>>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || read_chunks(corpus, &sender));
        for chunk in chunks {
            let chunk = chunk?;
            let packed: Vec<Packed> = chunk
                .par_iter()
                .enumerate()
                .map(|(i, document)| pack(document, parts + i as u64, corpus, tokenizer, config))
                .collect::<Result<_>>()?;
            for (document, packed) in chunk.iter().zip(&packed) {
                report.documents += u64::from(!document.continues);
                report.text_bytes += document.text.len() as u64;
                report.replaced_bytes += document.replaced_bytes;
                // The first document of a file never continues another, so the count is at least 1.
                output.add(packed, report.documents - 1, config, &mut report)?;
            }
            parts += chunk.len() as u64;
            progress(report.text_bytes);
        }
        Ok::<(), Error>(())
    })?;
    output.finish(corpus, config, &mut report)?;
    Ok(report)
}

fn read_chunks(corpus: &Corpus, sender: &crossbeam_channel::Sender<Result<Vec<Document>>>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for document in corpus.documents() {
        match document {
            Ok(document) => {
                bytes += document.text.len();
                chunk.push(document);
            }
            Err(error) => {
                // A closed channel means that the builder has already failed.
                let _ = sender.send(Err(error));
                return;
            }
        }
        if bytes >= CHUNK {
            bytes = 0;
            if sender.send(Ok(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        }
    }
    if !chunk.is_empty() {
        let _ = sender.send(Ok(chunk));
    }
}

fn split_of(document: u64, config: &BuildConfig) -> Split {
    let mut rng = CounterRng::new(config.seed, Purpose::HeldOut, document, 0);
    match document {
        _ if config.held_out == 0.0 => Split::Train,
        0 => Split::Train,
        1 => Split::HeldOut,
        _ if rng.coin(config.held_out) => Split::HeldOut,
        _ => Split::Train,
    }
}

/// The examples and statistics of a document.
struct Packed {
    examples: Vec<Example>,
    sentences: u64,
    dropped: u64,
    tokens: u64,
    unknown: u64,
    overlong: u64,
}

fn pack(
    document: &Document,
    number: u64,
    corpus: &Corpus,
    tokenizer: &WordPiece,
    config: &BuildConfig,
) -> Result<Packed> {
    let special = tokenizer.vocab().special();
    let texts = split_sentences(&document.text, corpus.config().sentences);
    // Long documents are split into several tasks.
    let per_task = (texts.len() * TASK / document.text.len().max(1)).max(1);
    let tokenize = |texts: &[&str]| -> Result<Vec<(Vec<u32>, u64)>> {
        let ids_and_overlong = |text: &&str| {
            let ids = tokenizer.encode(text)?;
            let overlong = match ids.contains(&special.unk) {
                true => tokenizer.overlong_words(text)?,
                false => 0,
            };
            Ok((ids, overlong))
        };
        texts.iter().map(ids_and_overlong).collect()
    };
    let encoded: Vec<Vec<(Vec<u32>, u64)>> = match texts.len() > per_task {
        true => texts.par_chunks(per_task).map(tokenize).collect::<Result<_>>()?,
        false => vec![tokenize(&texts)?],
    };
    let (mut sentences, overlong): (Vec<Vec<u32>>, Vec<u64>) =
        encoded.into_iter().flatten().unzip();
    let overlong = overlong.iter().sum();
    let all = sentences.len();
    sentences.retain(|sentence| !sentence.is_empty());
    let tokens = sentences.iter().map(|sentence| sentence.len() as u64).sum();
    let unknown = sentences.iter().flatten().filter(|&&id| id == special.unk).count() as u64;
    let mut examples = Vec::new();
    let ends = (special.cls, special.sep);
    pack_document(&sentences, &config.packing, config.seed, number, ends, |example| {
        examples.push(example)
    });
    let dropped = (all - sentences.len()) as u64;
    Ok(Packed { examples, sentences: sentences.len() as u64, dropped, tokens, unknown, overlong })
}

/// The shards being written.
struct Output {
    dir: PathBuf,
    writers: [ShardWriter; 2],
    counts: Vec<u64>,
    index: ShardIndex,
    /// The last document counted, so that parts of one document count once.
    counted: Option<u64>,
    /// Tokens per shard.
    shard_tokens: u64,
}

impl Output {
    fn add(
        &mut self,
        packed: &Packed,
        document: u64,
        config: &BuildConfig,
        report: &mut BuildReport,
    ) -> Result<()> {
        let split = split_of(document, config);
        report.sentences += packed.sentences;
        report.sentences_dropped += packed.dropped;
        report.text_tokens += packed.tokens;
        report.unknown_tokens += packed.unknown;
        report.overlong_words += packed.overlong;
        let special = self.index.special;
        for example in &packed.examples {
            self.writers[split as usize].push(example);
            if split == Split::Train {
                let text = example.ids.iter().filter(|&&id| id != special.cls && id != special.sep);
                text.for_each(|&id| self.counts[id as usize] += 1);
            }
        }
        if !packed.examples.is_empty() && self.counted.replace(document) != Some(document) {
            self.part(split).documents += 1;
        }
        if self.writers[split as usize].tokens() >= self.shard_tokens {
            self.write_shard(split)?;
        }
        Ok(())
    }

    fn part(&mut self, split: Split) -> &mut SplitIndex {
        match split {
            Split::Train => &mut self.index.train,
            Split::HeldOut => &mut self.index.held_out,
        }
    }

    fn write_shard(&mut self, split: Split) -> Result<()> {
        let writer = &mut self.writers[split as usize];
        let (examples, tokens) = (writer.examples(), writer.tokens());
        if examples == 0 {
            return Ok(());
        }
        let bytes = writer.finish(&self.index);
        let prefix = match split {
            Split::Train => "train",
            Split::HeldOut => "held-out",
        };
        let name = format!("{prefix}-{:05}.shard", self.part(split).files.len());
        let path = self.dir.join(&name);
        fs::write(&path, &bytes).map_err(Error::io(&path))?;
        let part = self.part(split);
        part.files.push(name);
        part.examples += examples;
        part.tokens += tokens;
        Ok(())
    }

    fn finish(
        &mut self,
        corpus: &Corpus,
        config: &BuildConfig,
        report: &mut BuildReport,
    ) -> Result<()> {
        for split in [Split::Train, Split::HeldOut] {
            self.write_shard(split)?;
        }
        report.train_examples = self.index.train.examples;
        report.held_out_examples = self.index.held_out.examples;
        if let Some(needed) = self.shortage(config, report) {
            return Err(Error::TooSmall {
                path: corpus.path().to_owned(),
                documents: report.documents,
                tokens: report.text_tokens,
                needed,
            });
        }
        self.index.report = report.clone();
        let (counts, path) = (Value::from(self.counts.as_slice()), self.dir.join(COUNTS));
        fs::write(&path, counts.to_string()).map_err(Error::io(&path))?;
        Ok(write_json(&self.dir.join(INDEX), &self.index)?)
    }

    /// What is missing if the corpus is too small.
    fn shortage(&self, config: &BuildConfig, report: &BuildReport) -> Option<String> {
        let length = self.index.sequence_length;
        let room = length as u64 - 2;
        if report.text_tokens < room {
            return Some(format!(
                "one example of length {length} needs {room} tokens besides [CLS] and [SEP]: use more text, or a smaller --seq-len"
            ));
        }
        if self.index.train.examples == 0 {
            return Some(
                "no document with tokens is left for training: use more documents".to_owned(),
            );
        }
        if self.index.held_out.examples == 0 && config.held_out > 0.0 {
            return Some(
                "no document with tokens is held out: use at least 2 documents (in plain text, separated by blank lines or \
                 files), or --held-out 0 and train with evaluate.every = 0"
                    .to_owned(),
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CorpusConfig, ShardSet, verify};
    use electra_tokenize::{TokenizerConfig, Vocab};

    /// Normal shards have 16 M tokens; this uses small ones to get several.
    #[test]
    fn several_shards_have_the_same_examples_as_one() {
        let dir = tempfile::tempdir().expect("valid test data");
        let word = |i: usize| ["a", "b", "c", "d", "e"][i % 5];
        let document =
            |i: usize| (0..20 + i % 7).map(|j| word(i + j * j)).collect::<Vec<_>>().join(" ");
        let text = (0..60).map(document).collect::<Vec<_>>().join("\n\n");
        fs::write(dir.path().join("corpus.txt"), text).expect("valid test data");
        let corpus = Corpus::open(&dir.path().join("corpus.txt"), CorpusConfig::default())
            .expect("valid test data");
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let tokens = special.into_iter().chain(["a", "b", "c", "d", "e"]).map(str::to_owned);
        let vocab = Vocab::from_tokens(tokens.collect()).expect("valid test data");
        let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).expect("valid test data");
        let build = |name: &str, shard_tokens: u64| {
            let out = dir.path().join(name);
            let config = BuildConfig {
                out: out.clone(),
                packing: PackingConfig::reference(16),
                held_out: 0.2,
                seed: 1,
                existing: Existing::Refuse,
            };
            build_in(&out, &corpus, &tokenizer, &config, shard_tokens, &mut |_| {})
                .expect("valid test data");
            let index = verify(&out).expect("valid test data");
            let read = |split| {
                let shards = ShardSet::open(&out, split).expect("valid test data");
                (0..shards.len())
                    .map(|i| shards.example(i).expect("valid test data").ids)
                    .collect::<Vec<_>>()
            };
            (index, read(Split::Train), read(Split::HeldOut))
        };
        let (one, train, held_out) = build("one", SHARD_TOKENS);
        let (many, other_train, other_held_out) = build("many", 100);
        assert_eq!((one.train.files.len(), one.held_out.files.len()), (1, 1));
        assert!(many.train.files.len() > 5 && many.held_out.files.len() > 1, "{many:?}");
        assert!(train == other_train && held_out == other_held_out);
        let sizes =
            |index: &ShardIndex| (index.train.examples, index.train.tokens, index.report.clone());
        assert_eq!(sizes(&one), sizes(&many));
    }
}
