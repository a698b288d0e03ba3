//! Tests of the public API: configs, objectives, the optimizer, runs and resuming.
#![allow(clippy::unwrap_used, reason = "a panic fails the test and shows its location")]

mod ablations;
mod bad_input;
mod bert;
mod combinations;
mod config;
mod dropout;
mod estimators;
mod evaluation;
mod fetch;
mod folders;
mod from_text;
mod golden;
mod golden_objectives;
mod gpu;
mod hparams;
mod init;
mod masking;
mod memory;
mod metrics;
mod objective;
mod optim;
mod padded;
mod profile;
mod report;
mod resume;
mod tensorboard;

use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
pub(crate) use electra_torch::testing::{device, device_name, train_device};
use electra_train::{
    RunConfig,
    config::ObjectiveConfig,
    metrics::{Figures, Totals},
    objective::{Pass, ReplacedTokenConfig},
};
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// libtorch has one random generator per process, so tests that need reproducible results run one at a time.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Exclusive use of libtorch's random generator.
#[derive(Debug)]
pub(crate) struct GeneratorLock {
    _guard: MutexGuard<'static, ()>,
}

impl GeneratorLock {
    pub(crate) fn take() -> Self {
        // The lock protects no data, so a poisoned one is usable.
        Self { _guard: GENERATOR.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// A temporary folder with a small corpus, its vocabulary and its shards of length 16.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    vocab_size: usize,
    _lock: GeneratorLock,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::of(60, 0.1)
    }

    /// A corpus of this number of documents, of which a share is held out.
    pub(crate) fn of(documents: usize, held_out: f64) -> Self {
        let lock = GeneratorLock::take();
        let dir = tempfile::tempdir().unwrap();
        let text = text(documents);
        let corpus = dir.path().join("corpus.txt");
        std::fs::write(&corpus, &text).unwrap();
        let config = TokenizerConfig::default();
        let vocab =
            train_vocab([Ok::<_, Infallible>(text)], &config, &TrainConfig::new(90)).unwrap();
        let vocab_size = vocab.len();
        let corpus = Corpus::open(&corpus, CorpusConfig::default()).unwrap();
        let build = BuildConfig { held_out, ..BuildConfig::new(dir.path().join("shards"), 16) };
        build_shards(&corpus, &WordPiece::new(vocab, config).unwrap(), &build, &mut |_| {})
            .unwrap();
        Self { dir, vocab_size, _lock: lock }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A smaller variant of the tiny preset for the fixture's shards, with overrides.
    pub(crate) fn config(&self, overrides: &[&str]) -> RunConfig {
        let shards = format!("data.shards=\"{}\"", self.path("shards").display());
        let vocab = format!("model.vocab_size={}", self.vocab_size);
        let base = [
            &shards,
            &vocab,
            "train.steps=10",
            "train.batch_size=6",
            train_device(),
            "train.log_every=5",
            "checkpoint.every=5",
            "evaluate.every=5",
            "evaluate.probe=none",
            "optimizer.warmup_steps=2",
            "model.dropout=0.1",
            "model.attention_dropout=0.1",
        ];
        let all: Vec<String> =
            base.iter().chain(&SMALL_NETWORKS).chain(overrides).map(|&s| s.to_owned()).collect();
        RunConfig::read(&preset("tiny"), &all).unwrap()
    }
}

/// Overrides of the tiny preset for smaller networks.
pub(crate) const SMALL_NETWORKS: [&str; 7] = [
    "model.embedding_size=12",
    "model.discriminator.hidden=16",
    "model.discriminator.heads=2",
    "model.discriminator.intermediate=32",
    "model.generator.hidden=16",
    "model.generator.heads=2",
    "model.generator.intermediate=32",
];

pub(crate) fn preset(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(format!("configs/pretrain-{name}.toml"))
}

/// Documents with a regular order of words, which a model can learn.
fn text(documents: usize) -> String {
    let words = [
        "red", "fox", "runs", "over", "hills", "and", "green", "bird", "sings", "in", "trees",
        "while",
    ];
    let sentence = |d: usize, s: usize| {
        let start = d * 5 + s * 7;
        let words: Vec<_> =
            (0..4 + (d + s) % 5).map(|i| words[(start + i) % words.len()]).collect();
        words.join(" ") + "."
    };
    let document = |d| (0..5).map(|s| sentence(d, s)).collect::<Vec<_>>().join(" ");
    (0..documents).map(document).collect::<Vec<_>>().join("\n\n")
}

/// The settings of replaced token detection.
pub(crate) fn replaced_token(config: &RunConfig) -> &ReplacedTokenConfig {
    match &config.objective {
        ObjectiveConfig::ReplacedToken(settings) => settings,
        other => panic!("{other:?}"),
    }
}

/// The metrics of a pass.
pub(crate) fn figures(pass: &dyn Pass) -> Figures {
    let mut totals = Totals::default();
    totals.add(&pass.observe());
    totals.figures()
}
