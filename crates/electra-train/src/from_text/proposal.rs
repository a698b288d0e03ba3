//! Proposes a size for a corpus, a machine and a number of hours.

use super::Request;
use crate::{
    Recipe, Result, RunConfig, host,
    presets::Preset,
    summary::{MOST_EPOCHS, TOKENS_PER_PARAMETER, bytes, short, time},
};
use electra_data::{Corpus, SplitIndex};
use std::{fmt, fs, time::Duration};

/// Updates of the probe that measures the speed of training, and the most time for them.
pub(super) const PROBE: (u64, Duration) = (20, Duration::from_secs(20));

/// The hours of a request that has neither hours nor a size.
pub const DEFAULT_HOURS: f64 = 1.0;

/// Bytes of text that are read to estimate the number of tokens.
const SAMPLE: u64 = 16 << 20;

/// Bytes per parameter of a checkpoint: the weights and Adam's two moments.
const CHECKPOINT: f64 = 12.0;

/// A size, with what training it takes here.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The size.
    pub size: Preset,
    /// Parameters of the network to fine-tune.
    pub parameters: f64,
    /// Tokens per second of training, measured.
    pub rate: f64,
    /// Tokens that it would be trained on in the time, at most [`MOST_EPOCHS`] times the text.
    pub tokens: f64,
    /// FLOPs of this training.
    pub flops: f64,
    /// Bytes of memory for an update.
    pub memory: f64,
    /// Bytes on disk: checkpoints and shards.
    pub disk: f64,
}

impl Candidate {
    /// Tokens of training per parameter.
    pub fn tokens_per_parameter(&self) -> f64 {
        self.tokens / self.parameters
    }
}

/// The proposed size, with the others that were considered.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Estimated number of tokens in the corpus.
    pub text_tokens: f64,
    /// Hours of training; without them, the candidate has the updates of its config.
    pub hours: Option<f64>,
    /// The requested size, or the candidates from the smallest to the first that is too large.
    pub candidates: Vec<Candidate>,
    chosen: usize,
    requested: bool,
}

impl Proposal {
    /// `recipe` makes the recipe of a size's config.
    pub(super) fn new(
        request: &Request,
        corpus: &Corpus,
        recipe: &dyn Fn(RunConfig) -> Recipe,
    ) -> Result<Self> {
        let (hours, requested) = (request.hours, request.size.is_some());
        let text_tokens = estimate_tokens(corpus)?;
        let mut candidates = Vec::new();
        let mut chosen = 0;
        for size in request.size.map_or(Preset::ALL.to_vec(), |size| vec![size]) {
            let recipe = recipe(size.config(&request.overrides)?);
            let candidate = candidate(size, &recipe, text_tokens, hours)?;
            let fits = host::memory().is_none_or(|all| candidate.memory < all as f64);
            let enough = candidate.tokens_per_parameter() >= TOKENS_PER_PARAMETER && fits;
            if enough {
                chosen = candidates.len();
            }
            candidates.push(candidate);
            if !enough {
                break;
            }
        }
        Ok(Self { text_tokens, hours, candidates, chosen, requested })
    }

    /// The proposed candidate.
    pub fn chosen(&self) -> &Candidate {
        &self.candidates[self.chosen]
    }

    /// The proposed size.
    pub fn size(&self) -> Preset {
        self.chosen().size
    }
}

/// Measures a size on this machine.
fn candidate(
    size: Preset,
    recipe: &Recipe,
    text_tokens: f64,
    hours: Option<f64>,
) -> Result<Candidate> {
    let config = recipe.config();
    let rate = recipe.probe(PROBE.0, PROBE.1)?;
    // Of sequences without padding.
    let examples = (text_tokens / config.data.sequence_length as f64).ceil() as u64;
    let data = SplitIndex { examples, tokens: text_tokens as u64, ..SplitIndex::default() };
    let summary = recipe.summary(&recipe.untrained()?, &data)?;
    let of_config = summary.tokens_of_run();
    let tokens = hours.map_or(of_config, |hours| rate * 3600.0 * hours);
    let tokens = tokens.min(MOST_EPOCHS * text_tokens);
    let checkpoints = (config.checkpoint.keep_last + 1) as f64;
    let bytes_per_token = if config.model.discriminator.vocab_size < 1 << 16 { 2.0 } else { 4.0 };
    Ok(Candidate {
        size,
        parameters: summary.kept_parameters(),
        rate,
        tokens,
        flops: summary.flops * tokens / of_config,
        memory: summary.memory,
        disk: checkpoints * CHECKPOINT * summary.parameters as f64 + bytes_per_token * text_tokens,
    })
}

/// Estimates the number of tokens in a corpus from the first files, of [`SAMPLE`] bytes of text or more, and the sizes of
/// all files.
fn estimate_tokens(corpus: &Corpus) -> Result<f64> {
    let (mut tokens, mut text, mut files) = (0.0, 0, 0);
    let size = |path: &std::path::PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    for path in corpus.files() {
        let mut part = 0;
        for document in Corpus::open(path, corpus.config().clone())?.documents() {
            let document = document?;
            tokens += tokens_of(&document.text);
            part += document.text.len() as u64;
        }
        text += part;
        files += size(path);
        if text >= SAMPLE {
            break;
        }
    }
    let all: u64 = corpus.files().iter().map(size).sum();
    Ok(tokens * all as f64 / files.max(1) as f64)
}

/// Characters per token within long words. On English, German and Polish novels the estimate is from 20 % below to 10 % above
/// the number of tokens (without special tokens), with vocabularies of 4,000 to 30,522 tokens that were trained on the text.
const CHARACTERS_PER_TOKEN: f64 = 5.0;

/// Estimates the number of tokens in a text: at least one for each word and each other character, and more for long words.
/// Characters of scripts without spaces count as words.
fn tokens_of(text: &str) -> f64 {
    let is_word = |c: char| c.is_alphanumeric() && !is_ideograph(c);
    let mut tokens = 0.0;
    let mut word = 0;
    for c in text.chars().chain([' ']) {
        if is_word(c) {
            word += 1;
            continue;
        }
        if word > 0 {
            tokens += (f64::from(word) / CHARACTERS_PER_TOKEN).max(1.0);
            word = 0;
        }
        if !c.is_whitespace() {
            tokens += 1.0;
        }
    }
    tokens
}

/// CJK ideographs, kana and Hangul, which BERT's tokenizer splits into characters or short pieces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} tokens of text", short(self.text_tokens))?;
        match self.hours {
            Some(hours) => writeln!(f, ", {hours} h of training")?,
            None => writeln!(f)?,
        }
        writeln!(
            f,
            "{:<7}{:>12}{:>10}{:>14}{:>9}{:>8}{:>15}{:>9}{:>10}{:>10}",
            "size",
            "parameters",
            "tokens/s",
            "time",
            "tokens",
            "epochs",
            "per parameter",
            "FLOPs",
            "memory",
            "disk"
        )?;
        for candidate in &self.candidates {
            writeln!(
                f,
                "{:<7}{:>12}{:>10}{:>14}{:>9}{:>8.1}{:>15.0}{:>9.1e}{:>10}{:>10}",
                candidate.size.name(),
                short(candidate.parameters),
                short(candidate.rate),
                time(candidate.tokens / candidate.rate),
                short(candidate.tokens),
                candidate.tokens / self.text_tokens,
                candidate.tokens_per_parameter(),
                candidate.flops,
                bytes(candidate.memory),
                bytes(candidate.disk),
            )?;
        }
        let (name, least) = (self.size().name(), TOKENS_PER_PARAMETER);
        match (self.requested, self.chosen().tokens_per_parameter() >= least) {
            (true, _) => write!(f, "size: {name}, as requested"),
            (false, true) => {
                write!(f, "size: {name}, the largest with {least} tokens per parameter or more")
            }
            (false, false) => write!(
                f,
                "size: {name}, the smallest; for {least} tokens per parameter it needs more text or time"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_punctuation_and_pieces_of_long_words() {
        assert_eq!(tokens_of("The cat sat."), 4.0);
        assert_eq!(tokens_of("Donaudampfschiff"), 16.0 / CHARACTERS_PER_TOKEN);
        assert_eq!(tokens_of("日本語 です"), 5.0);
        assert_eq!(tokens_of(" \n "), 0.0);
    }

    #[test]
    fn the_estimate_covers_files_that_are_not_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let line = "one two three four.\n";
        // 2,000,000 lines of 20 bytes and 5 tokens: the second file is beyond the sample.
        for name in ["a.txt", "b.txt"] {
            fs::write(dir.path().join(name), line.repeat(1_000_000)).expect("the folder is there");
        }
        let corpus = Corpus::open(dir.path(), Default::default()).expect("it has files");
        assert_eq!(estimate_tokens(&corpus).expect("it is readable"), 10_000_000.0);
    }
}
