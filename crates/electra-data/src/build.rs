//! Builds shards from a corpus: in parallel, in bounded memory, with the same result for any number of threads.

use crate::{
    Corpus, Error, PackingConfig, Result,
    corpus::{Document, split_sentences},
    held_out::{self, Candidate, HeldOut},
    index::{Split, TOKENIZER},
    output::{Shards, check_corpus},
    packing::{Example, SHORTEST, pack_document},
    report::{BuildReport, WordInCorpus},
    split_writer::SplitWriter,
};
use crossbeam_channel::bounded;
use electra_files::{Existing, folder};
use electra_tokenize::{Tokenizer, UnknownCause, UnknownWord, WordPiece, is_unused};
use rayon::prelude::*;
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Settings of [`build_shards`].
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// The output folder.
    pub out: PathBuf,
    /// How examples are packed.
    pub packing: PackingConfig,
    /// Share of the tokens that is held out for evaluation, as whole documents. 0 holds out nothing.
    ///
    /// If no document is short enough, a longer one is held out, with which the split has up to twice the share (at least 5 %,
    /// and at most 5 % of the text more), else a part of one, in whole sentences or lines, else the shortest document. So at least one example is held out.
    pub held_out: f64,
    /// The largest share of `[UNK]` among the tokens.
    pub max_unknown: f64,
    /// Seed for packing and for choosing the held-out text.
    pub seed: u64,
    /// Whether to replace existing shards in `out` once the new ones are complete. Other files are never replaced.
    pub existing: Existing,
}

impl BuildConfig {
    /// The defaults of `electra shards build`: the reference's packing, 1 % held out, at most half of the tokens `[UNK]`,
    /// seed 1, existing shards are not replaced.
    pub fn new(out: impl Into<PathBuf>, sequence_length: usize) -> Self {
        Self {
            out: out.into(),
            packing: PackingConfig::reference(sequence_length),
            held_out: 0.01,
            max_unknown: 0.5,
            seed: 1,
            existing: Existing::Refuse,
        }
    }
}

/// Bytes of text per chunk; at most three chunks are in memory.
const CHUNK: usize = 8 << 20;
/// Tokens per shard.
const SHARD_TOKENS: u64 = 1 << 24;
/// Bytes of text per tokenization task.
const TASK: usize = 1 << 16;

/// Tokenizes a corpus, packs it into examples and writes shards. Calls `progress` with the bytes of text processed.
///
/// The output folder is created atomically; see [`electra_files::folder::whole`]. [`BuildReport::warnings`] says what
/// suggests that vocabulary and text do not fit.
///
/// # Errors
/// [`Error::Files`], [`Error::CorpusInOutput`], [`Error::TooSmall`], [`Error::Unknown`], or an I/O error. On error, `out` is
/// unchanged.
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
        ("max_unknown", config.max_unknown),
        ("single_segment", config.packing.single_segment),
        ("short", config.packing.short),
    ] {
        if !(0.0..=1.0).contains(&p) {
            return Err(value(key, p.to_string(), "must be a share from 0 to 1"));
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
    let length = config.packing.sequence_length;
    let report = BuildReport {
        files: corpus.files().len() as u64,
        files_left_out: corpus.skipped().len() as u64,
        held_out_percent_wanted: 100.0 * config.held_out,
        word_limit: tokenizer.config().max_chars_per_word as u64,
        ..BuildReport::default()
    };
    let mut builder = Builder {
        corpus,
        tokenizer,
        config,
        held_out: HeldOut::new(config.held_out, config.seed),
        writer: SplitWriter::new(dir, tokenizer.vocab(), length, shard_tokens),
        report,
        parts: 0,
    };
    // A reader thread decompresses ahead, rayon's threads tokenize and pack, and this thread writes.
    let (sender, chunks) = bounded(0);
    std::thread::scope(|scope| {
        scope.spawn(move || read_chunks(corpus, &sender));
        for chunk in chunks {
            builder.add(&chunk?)?;
            progress(builder.report.text_bytes);
        }
        Ok::<(), Error>(())
    })?;
    builder.finish()
}

/// Documents in the order of the corpus.
struct Chunk {
    documents: Vec<Document>,
    /// Whether nothing follows. The last chunk has at least [`CHUNK`] bytes, unless the corpus is shorter.
    last: bool,
}

fn read_chunks(corpus: &Corpus, sender: &crossbeam_channel::Sender<Result<Chunk>>) {
    let (mut ready, mut next, mut bytes) = (Vec::new(), Vec::new(), 0);
    for document in corpus.documents() {
        match document {
            Ok(document) => {
                bytes += document.text.len();
                next.push(document);
            }
            Err(error) => {
                // A closed channel means that the builder has already failed.
                let _ = sender.send(Err(error));
                return;
            }
        }
        if bytes >= CHUNK {
            bytes = 0;
            let documents = std::mem::replace(&mut ready, std::mem::take(&mut next));
            if !documents.is_empty() && sender.send(Ok(Chunk { documents, last: false })).is_err() {
                return;
            }
        }
    }
    ready.append(&mut next);
    let _ = sender.send(Ok(Chunk { documents: ready, last: true }));
}

/// The shards and statistics so far.
struct Builder<'a> {
    corpus: &'a Corpus,
    tokenizer: &'a WordPiece,
    config: &'a BuildConfig,
    held_out: HeldOut,
    writer: SplitWriter,
    report: BuildReport,
    /// Documents and parts of documents so far, each of which has its own random numbers for packing.
    parts: u64,
}

/// The examples and statistics of a document.
struct Packed {
    examples: Vec<Example>,
    report: BuildReport,
}

impl Builder<'_> {
    fn add(&mut self, chunk: &Chunk) -> Result<()> {
        let documents = &chunk.documents;
        let pack = |(document, number)| self.pack(document, number);
        let numbered: Vec<(&Document, u64)> = documents.iter().zip(self.parts..).collect();
        let packed: Vec<Packed> = numbered.into_par_iter().map(pack).collect::<Result<_>>()?;
        self.parts += documents.len() as u64;

        let mut document = self.report.documents;
        let mut candidates = Vec::with_capacity(documents.len());
        for (text, packed) in documents.iter().zip(&packed) {
            // The first document of a file never continues another, so the number is at least 1.
            document += packed.report.documents;
            let tokens = packed.report.text_tokens;
            candidates.push(Candidate { document, tokens, is_part: text.is_part() });
        }
        let mut splits = self.held_out.choose(&candidates);
        let mut part = None;
        if chunk.last
            && let Some(missing) = self.held_out.missing()
        {
            part = match self.held_out.longer(&candidates, &splits) {
                Some(at) => {
                    splits[at] = Split::HeldOut;
                    None
                }
                None => self.part(documents, &candidates, &splits, missing)?,
            };
            if part.is_none()
                && !splits.contains(&Split::HeldOut)
                && let Some(at) = self.held_out.shortest(&candidates)
            {
                splits[at] = Split::HeldOut;
            }
        }
        for (at, packed) in packed.iter().enumerate() {
            match &part {
                Some((of, range)) if *of == at => {
                    self.write_split(&documents[at], range.clone(), candidates[at].document)?;
                }
                _ => self.write(packed, candidates[at].document, splits[at])?,
            }
        }
        Ok(())
    }

    /// The part of a document that is held out if no document is short enough.
    fn part(
        &self,
        documents: &[Document],
        candidates: &[Candidate],
        splits: &[Split],
        tokens: u64,
    ) -> Result<Option<(usize, Range<usize>)>> {
        let (sentences, seed) = (self.corpus.config().sentences, self.config.seed);
        for at in self.held_out.by_length(candidates, splits) {
            let part = held_out::part(&documents[at], sentences, self.tokenizer, tokens, seed)?;
            if let Some(range) = part {
                return Ok(Some((at, range)));
            }
        }
        Ok(None)
    }

    /// Writes a document of which a part is held out.
    fn write_split(&mut self, text: &Document, part: Range<usize>, document: u64) -> Result<()> {
        self.report.held_out_part_of_document = true;
        let (before, after) = (0..part.start, part.end..text.text.len());
        for (range, split) in
            [(before, Split::Train), (part, Split::HeldOut), (after, Split::Train)]
        {
            if !range.is_empty() {
                let packed = self.pack(&text.part(range), self.parts)?;
                self.parts += 1;
                self.write(&packed, document, split)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, packed: &Packed, document: u64, split: Split) -> Result<()> {
        self.report.add(&packed.report);
        match split {
            Split::Train => self.report.train_tokens += packed.report.text_tokens,
            Split::HeldOut => self.report.held_out_tokens += packed.report.text_tokens,
        }
        self.writer.add(&packed.examples, document, split)
    }

    /// Tokenizes and packs a document with the random numbers of `number`.
    fn pack(&self, document: &Document, number: u64) -> Result<Packed> {
        let special = self.tokenizer.vocab().special();
        let text = &document.text;
        let texts = split_sentences(text, self.corpus.config().sentences);
        // Long documents are split into several tasks.
        let per_task = (texts.len() * TASK / text.len().max(1)).max(1);
        let tokenize = |texts: &[&str]| -> Result<Vec<(Vec<u32>, Vec<UnknownWord>)>> {
            let ids_and_unknown = |text: &&str| {
                let ids = self.tokenizer.encode(text)?;
                let unknown = match ids.contains(&special.unk) {
                    true => self.tokenizer.unknown_words(text)?,
                    false => Vec::new(),
                };
                Ok((ids, unknown))
            };
            texts.iter().map(ids_and_unknown).collect()
        };
        let encoded: Vec<Vec<(Vec<u32>, Vec<UnknownWord>)>> = match texts.len() > per_task {
            true => texts.par_chunks(per_task).map(tokenize).collect::<Result<_>>()?,
            false => vec![tokenize(&texts)?],
        };
        let (mut sentences, unknown): (Vec<Vec<u32>>, Vec<Vec<UnknownWord>>) =
            encoded.into_iter().flatten().unzip();
        let all = sentences.len();
        sentences.retain(|sentence| !sentence.is_empty());
        let mut report = BuildReport {
            text_bytes: text.len() as u64,
            documents: u64::from(!document.continues),
            sentences: sentences.len() as u64,
            text_tokens: sentences.iter().map(|sentence| sentence.len() as u64).sum(),
            sentences_dropped: (all - sentences.len()) as u64,
            replaced_bytes: document.replaced_bytes,
            replaced_surrogates: document.replaced_surrogates,
            ..BuildReport::default()
        };
        for (sentence, words) in texts.iter().zip(unknown) {
            let start = sentence.as_ptr() as usize - text.as_ptr() as usize;
            words.iter().for_each(|word| count_unknown(&mut report, document, start, word));
        }
        let mut examples = Vec::new();
        let ends = (special.cls, special.sep);
        let (packing, seed) = (&self.config.packing, self.config.seed);
        pack_document(&sentences, packing, seed, number, ends, |example| examples.push(example));
        Ok(Packed { examples, report })
    }

    fn finish(mut self) -> Result<BuildReport> {
        let report = &mut self.report;
        self.writer.flush()?;
        (report.train_examples, report.held_out_examples) = self.writer.examples();
        let percent = |tokens: u64| 100.0 * tokens as f64 / report.text_tokens.max(1) as f64;
        (report.train_percent, report.held_out_percent) =
            (percent(report.train_tokens), percent(report.held_out_tokens));
        let vocab = self.tokenizer.vocab();
        let unusable = |token: &str| token.is_empty() || is_unused(token);
        let usable = vocab.tokens().iter().zip(self.writer.counts()).zip(0..);
        for ((token, count), id) in usable {
            if !unusable(token) && !vocab.special().ids().contains(&id) {
                report.vocab_tokens += 1;
                report.unused_tokens += u64::from(*count == 0);
            }
        }
        report.unreachable_tokens = self.tokenizer.unreachable()?.len() as u64;
        if let Some(needed) = self.shortage() {
            return Err(Error::TooSmall {
                path: self.corpus.path().to_owned(),
                documents: self.report.documents,
                tokens: self.report.text_tokens,
                needed,
            });
        }
        let most = self.config.max_unknown * self.report.text_tokens as f64;
        if self.report.unknown_tokens as f64 > most {
            let path = self.corpus.path().to_owned();
            return Err(Error::Unknown { path, report: Box::new(self.report) });
        }
        self.writer.finish(&self.report)?;
        Ok(self.report)
    }

    /// What is missing if the corpus is too small.
    fn shortage(&self) -> Option<String> {
        let length = self.config.packing.sequence_length;
        let room = length as u64 - 2;
        if self.report.text_tokens < room {
            return Some(format!(
                "one example of length {length} needs {room} tokens besides [CLS] and [SEP]: use more text, or a smaller --seq-len"
            ));
        }
        if self.report.train_examples == 0 {
            return Some(
                "no document with tokens is left for training: use more documents".to_owned(),
            );
        }
        if self.report.held_out_examples == 0 && self.config.held_out > 0.0 {
            return Some(
                "no text can be held out: use at least 2 documents (in plain text, separated by blank lines or files) or 2 lines, \
                 or --held-out 0 and train with evaluate.every = 0"
                    .to_owned(),
            );
        }
        None
    }
}

/// Counts an unknown word of a sentence that starts at the byte `start` of a document.
fn count_unknown(report: &mut BuildReport, document: &Document, start: usize, word: &UnknownWord) {
    let range = start + word.range.start..start + word.range.end;
    let place = || WordInCorpus {
        text: document.text[range.clone()].chars().take(40).collect(),
        characters: document.text[range.clone()].chars().count(),
        file: document.origin.path.to_path_buf(),
        line: document.line_at(range.start),
    };
    report.unknown_tokens += 1;
    report.unknown_example.get_or_insert_with(place);
    match word.cause {
        UnknownCause::TooLong => {
            report.overlong_words += 1;
            report.overlong_bytes += range.len() as u64;
            report.longest_word = report.longest_word.max(word.characters as u64);
            report.overlong_example.get_or_insert_with(place);
        }
        UnknownCause::Normalization => report.unknown_by_normalization += 1,
        UnknownCause::Characters => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CorpusConfig, ShardIndex, ShardSet, verify};
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
            let config = BuildConfig { held_out: 0.2, ..BuildConfig::new(&out, 16) };
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
