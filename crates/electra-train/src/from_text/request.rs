//! What a user asks for, and its record in the output folder.

use crate::{Error, Result, presets::Preset};
use electra_data::{Corpus, CorpusConfig};
use electra_tokenize::{TokenizerOptions, WordPiece};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// A request for a model of a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The corpus: a file or a folder.
    pub corpus: PathBuf,
    /// How it is read.
    pub reading: CorpusConfig,
    /// How text is normalized, where the vocabulary does not record it.
    pub tokenizer: TokenizerOptions,
    /// A vocabulary; without one, it is trained on the corpus.
    pub vocab: Option<PathBuf>,
    /// The size; without one, it is proposed.
    pub size: Option<Preset>,
    /// Hours for everything. Without them, training has the updates of the size, or takes an hour if there is no size.
    pub hours: Option<f64>,
    /// `KEY=VALUE` overrides of the size's config.
    pub overrides: Vec<String>,
}

/// The key of a `KEY=VALUE` override.
pub(super) fn key_of(assignment: &str) -> &str {
    assignment.split('=').next().unwrap_or_default()
}

impl Request {
    /// Whether an override sets `key`.
    pub(super) fn sets(&self, key: &str) -> bool {
        self.overrides.iter().any(|assignment| key_of(assignment) == key)
    }

    /// Checks what does not need the text: paths, hours, overrides.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(hours) = self.hours
            && !(hours > 0.0 && hours.is_finite())
        {
            return Err(Error::value("hours", hours, "must be greater than 0"));
        }
        if let Some(vocab) = &self.vocab {
            WordPiece::from_file(vocab, &self.tokenizer)?;
        }
        let sizes = self.size.map_or(Preset::ALL.to_vec(), |size| vec![size]);
        sizes.iter().try_for_each(|size| size.config(&self.overrides).map(drop))
    }
}

/// `train.json`: what the folder is made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    request: Request,
    /// The size of the request, or the one that was proposed.
    pub(super) size: Preset,
    files: Files,
}

/// The state of a corpus's files.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    count: usize,
    bytes: u64,
    /// Seconds since 1970 of the newest file.
    modified: u64,
}

impl Files {
    fn of(corpus: &Corpus) -> Result<Self> {
        let mut files = Self { count: corpus.files().len(), bytes: 0, modified: 0 };
        for path in corpus.files() {
            let metadata = fs::metadata(path).map_err(Error::io(path))?;
            let modified = metadata.modified().map_err(Error::io(path))?;
            let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            files.bytes += metadata.len();
            files.modified = files.modified.max(seconds);
        }
        Ok(files)
    }
}

impl Record {
    pub(super) const FILE: &str = "train.json";

    pub(super) fn new(request: Request, corpus: &Corpus, size: Preset) -> Result<Self> {
        Ok(Self { request, size, files: Files::of(corpus)? })
    }

    /// Checks that a folder was made from the same request and the same text.
    pub(super) fn check(&self, request: &Request, corpus: &Corpus, out: &Path) -> Result<()> {
        let fail = |message: String| Err(Error::Config { path: out.join(Self::FILE), message });
        if self.request != *request {
            let value = |request| serde_json::to_value(request).expect("plain values serialize");
            let (old, new) = (value(&self.request), value(request));
            let differences: Vec<_> = old
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, value)| **value != new[key.as_str()])
                .map(|(key, value)| format!("{key} was {value}, now is {}", new[key.as_str()]))
                .collect();
            return fail(format!(
                "this folder was made with other settings: {}. Use another --out, or the old settings to resume",
                differences.join("; ")
            ));
        }
        let files = Files::of(corpus)?;
        if self.files != files {
            let text = |files: &Files| format!("{} files of {} bytes", files.count, files.bytes);
            return fail(format!(
                "{} has changed since this folder was made (it had {}, now has {}): use another --out",
                request.corpus.display(),
                text(&self.files),
                text(&files)
            ));
        }
        Ok(())
    }
}
