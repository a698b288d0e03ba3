//! A folder with a tiny discriminator, and files of GLUE.

use crate::train_device;
use electra_model::{
    ElectraConfig, EncoderConfig,
    hf::{self, Architecture},
};
use electra_scores::{LabelSpace, glue::GlueTask};
use electra_tasks::{Finetune, FinetuneConfig, Kinds, Weights};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use electra_winograd::WINOGRAD;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The random generator of libtorch is global: tests that use it run one after the other.
static TURN: Mutex<()> = Mutex::new(());

const WORDS: &str =
    "fox led bear until he met red bird fish it ended we ran green for was blue . ,";

/// A folder with a discriminator in `model`.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    /// The discriminator is barely trained from random weights; `task.json` is removed.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let fixture = Self { dir: tempfile::tempdir().unwrap(), _turn: turn };
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let tokens = special.into_iter().chain(WORDS.split(' ')).map(str::to_owned);
        let vocab = Vocab::from_tokens(tokens.collect()).unwrap();
        let encoder = EncoderConfig {
            embedding_size: 16,
            max_positions: 64,
            layers: 2,
            hidden: 32,
            heads: 2,
            intermediate: 64,
            ..ElectraConfig::small(vocab.len() as i64).discriminator
        };
        let sizes = fixture.path("sizes");
        fs::create_dir_all(&sizes).unwrap();
        WordPiece::new(vocab, TokenizerConfig::default())
            .unwrap()
            .write_pretrained(&sizes, 64)
            .unwrap();
        let described = hf::Config::new(Architecture::ElectraForPreTraining, encoder, 0);
        hf::write(&sizes, &described, &[]).unwrap();
        let row = "0\tFox led Bear for it was red.\tBear was red.\t1\n";
        for name in ["train", "dev"] {
            let text = format!("index\tsentence1\tsentence2\tlabel\n{row}");
            fixture.write(&format!("first/WNLI/{name}.tsv"), text);
        }
        let task = Kinds::default().with(WINOGRAD).named("wnli-candidates", &[]).unwrap().unwrap();
        let config = config(&["train.epochs=1"]);
        let mut finetune =
            Finetune::new(&*task, fixture.path("first"), &sizes, &config, fixture.path("random"));
        finetune.weights = Weights::Random;
        finetune.run(&false.into(), &mut |_| {}).unwrap();
        fs::rename(fixture.path("random/model"), fixture.path("model")).unwrap();
        fs::remove_file(fixture.path("model/task.json")).unwrap();
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}

pub(crate) fn config(overrides: &[&str]) -> FinetuneConfig {
    let base = [train_device(), "optimizer.learning_rate=1e-3"];
    let all: Vec<String> = base.iter().chain(overrides).map(|&s| s.to_owned()).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/finetune-tiny.toml");
    FinetuneConfig::read(&path, &all).unwrap()
}

/// Checks that the message of an error contains each of `words`.
#[track_caller]
pub(crate) fn says<T: std::fmt::Debug, E: std::error::Error>(result: Result<T, E>, words: &[&str]) {
    let message = result.map_err(|error| error.to_string()).unwrap_err();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

/// A training file of one row for a task of GLUE, which gives a majority baseline.
pub(crate) fn write_train(glue: &Path, row: &GlueTask) {
    let Ok(task) = row.task() else { return };
    let texts = task.text_columns().into_iter().map(str::to_owned);
    let own: Vec<String> = texts.chain([task.label.clone()]).collect();
    let columns = task.files.columns.as_ref().unwrap_or(&own);
    let label = match row.label_space() {
        LabelSpace::Classes(words) => words[0].clone(),
        LabelSpace::Range { min, .. } => min.to_string(),
    };
    let field = |column: &String| if *column == task.label { label.as_str() } else { "a" };
    let fields = columns.iter().map(field).collect::<Vec<_>>().join("\t") + "\n";
    let header = match task.files.columns {
        Some(_) => String::new(),
        None => columns.join("\t") + "\n",
    };
    fs::create_dir_all(glue.join(row.folder)).unwrap();
    fs::write(glue.join(row.folder).join("train.tsv"), header + &fields).unwrap();
}
