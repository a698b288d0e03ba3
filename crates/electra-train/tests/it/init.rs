//! Going on from other weights; model cards; TensorFlow's form.

use crate::Fixture;
use electra_data::{BuildConfig, Corpus, CorpusConfig, PackingConfig, build_shards};
use electra_model::{
    compare::{self, compare},
    hf::{self, Architecture, Config},
    tensors, tf,
};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use electra_train::{
    Existing, Recipe, Start,
    export::{Exported, export, export_tf},
    run_dir::{RunDir, processor},
};
use std::{fs, path::Path};

/// A run of the fixture and its two networks, exported.
struct Folders {
    fixture: Fixture,
}

impl Folders {
    fn new() -> Self {
        let fixture = Fixture::new();
        Recipe::from_config(fixture.config(&[]))
            .pretrain(&Start::new(fixture.path("run")))
            .unwrap();
        for (network, name) in [(Exported::Discriminator, "d"), (Exported::Generator, "g")] {
            export(&fixture.path("run"), network, &fixture.path(name), Existing::Refuse).unwrap();
        }
        Self { fixture }
    }

    /// The weights after no update that moves them: the first has a learning rate of 0.
    fn begin(&self, overrides: &[&str]) -> Result<tensors::Named, String> {
        let out = self.fixture.path("begun");
        let _ = fs::remove_dir_all(&out);
        let all = ["train.seed=7", "train.steps=1", "evaluate.every=0"];
        let all: Vec<_> = all.iter().chain(overrides).copied().collect();
        let recipe = Recipe::from_config(self.fixture.config(&all));
        recipe.pretrain(&Start::new(&out)).map_err(|e| e.to_string())?;
        Ok(compare::read(&out.join("checkpoints/step-0000001")).unwrap())
    }

    fn set(&self, key: &str, name: &str) -> String {
        format!("{key}=\"{}\"", self.fixture.path(name).display())
    }

    fn weights(&self) -> tensors::Named {
        compare::read(&self.fixture.path("run/checkpoints/step-0000010")).unwrap()
    }
}

fn only(tensors: &[(String, tch::Tensor)], prefix: &str) -> tensors::Named {
    let own = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
    own.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}

#[test]
fn both_networks_are_gone_on_with() {
    let exported = Folders::new();
    let (from, generator) = (exported.set("init.from", "d"), exported.set("init.generator", "g"));
    let begun = exported.begin(&[&from, &generator]).unwrap();
    assert!(compare(&begun, &exported.weights()).same());
    // A run folder says the same in one key.
    let begun = exported.begin(&[&exported.set("init.from", "run")]).unwrap();
    assert!(compare(&begun, &exported.weights()).same());
}

#[test]
fn a_generator_that_is_missing_starts_from_fresh_weights() {
    let exported = Folders::new();
    let begun = exported.begin(&[&exported.set("init.from", "d")]).unwrap();
    let (d, g) = ("discriminator.", "generator.");
    assert!(compare(&only(&begun, d), &only(&exported.weights(), d)).same());
    assert!(!compare(&only(&begun, g), &only(&exported.weights(), g)).same());
    let fresh = exported.begin(&[]).unwrap();
    assert!(compare(&only(&begun, g), &only(&fresh, g)).same());
}

#[test]
fn an_encoder_alone_gets_a_fresh_head() {
    let exported = Folders::new();
    let run = exported.fixture.path("run");
    export(&run, Exported::Encoder, &exported.fixture.path("e"), Existing::Refuse).unwrap();
    let begun = exported.begin(&[&exported.set("init.from", "e")]).unwrap();
    let encoder = "discriminator.electra.";
    assert!(compare(&only(&begun, encoder), &only(&exported.weights(), encoder)).same());
    let head = "discriminator.discriminator_predictions.";
    assert!(!compare(&only(&begun, head), &only(&exported.weights(), head)).same());
}

#[test]
fn weights_that_do_not_fit_are_refused_with_what_would() {
    let exported = Folders::new();
    let from = exported.set("init.from", "d");
    let error = exported
        .begin(&[&from, "model.discriminator.layers=3", "model.embedding_size=8"])
        .unwrap_err();
    for line in ["model.discriminator.layers = 2   (is 3)", "model.embedding_size = 12   (is 8)"] {
        assert!(error.contains(line), "{error}");
    }
    let error = exported.begin(&[&from, "model.layer_norm_eps=1e-5"]).unwrap_err();
    assert!(error.contains("model.layer_norm_eps = 1e-12   (is 1e-5)"), "{error}");
    assert!(!exported.fixture.path("begun").exists(), "nothing was begun");
    let error = exported.begin(&[&exported.set("init.generator", "g")]).unwrap_err();
    assert!(error.contains("init.generator") && error.contains("needs init.from"), "{error}");
    // A run has a generator of its own.
    let (run, generator) = (exported.set("init.from", "run"), exported.set("init.generator", "g"));
    let error = exported.begin(&[&run, &generator]).unwrap_err();
    assert!(error.contains("init.generator") && error.contains("must be empty"), "{error}");

    // Another vocabulary of the same size: the same ids would be other words.
    let path = exported.fixture.path("d/vocab.txt");
    let vocab = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = vocab.lines().collect();
    lines.swap(20, 21);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    fs::remove_file(exported.fixture.path("d/tokenizer.json")).unwrap();
    let error = exported.begin(&[&from]).unwrap_err();
    assert!(error.contains("has another vocabulary") && error.contains("id 20 is"), "{error}");
    // A shorter one, as far as it goes the same.
    let mut lines: Vec<&str> = vocab.lines().collect();
    let whole = lines.len();
    lines.pop();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let tokenizer = WordPiece::new(Vocab::from_file(&path).unwrap(), TokenizerConfig::default());
    tokenizer.unwrap().write_pretrained(&exported.fixture.path("d"), 16).unwrap();
    let error = exported.begin(&[&from]).unwrap_err();
    let expected = format!("{} tokens here and {whole} there", whole - 1);
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_run_goes_to_tensorflow_and_back() {
    let exported = Folders::new();
    let (run, out) = (exported.fixture.path("run"), exported.fixture.path("tf"));
    // 2 heads of 8, where the original has one of 64 or less.
    let note = export_tf(&run, &out, Existing::Refuse).unwrap().unwrap();
    assert!(note.contains("--heads 2 --generator-heads 2"), "{note}");
    let guessed = tf::read(&out, tf::Heads::default()).unwrap().discriminator;
    assert_eq!(guessed.config.encoder.heads, 1);
    assert!(
        guessed.notes.iter().any(|note| note.contains("1 attention heads")),
        "{:?}",
        guessed.notes
    );
    assert!(out.join("vocab.txt").is_file() && out.join("checkpoint").is_file());
    let networks =
        tf::read(&out, tf::Heads { discriminator: Some(2), generator: Some(2) }).unwrap();
    for (network, name) in [(&networks.discriminator, "d"), (&networks.generator.unwrap(), "g")] {
        let written = compare::read(&exported.fixture.path(name)).unwrap();
        let comparison = compare(&written, &network.tensors);
        assert!(comparison.same(), "{name}: {comparison:?}");
    }
}

#[test]
fn the_card_says_what_was_trained_on_what() {
    let exported = Folders::new();
    let card = fs::read_to_string(exported.fixture.path("d/README.md")).unwrap();
    assert!(
        card.starts_with("---\nlibrary_name: transformers\npipeline_tag: feature-extraction\n")
    );
    for line in [
        "# ElectraForPreTraining",
        "| updates | 10 of 10 |",
        "| batch | 6 sequences of 16 tokens |",
        "| tokens seen | 960 |",
        "| generator's hidden size | 16 (1.000 of the discriminator's) |",
        "| learning rate | 0.001 at its peak, 2 updates of warm-up, decay to 0 |",
        "| discriminator auc |",
        "AutoModelForPreTraining.from_pretrained",
    ] {
        assert!(card.contains(line), "{line} in {card}");
    }
    assert!(card.contains("| training time | 0.00 hours |"), "{card}");
    // By the conventions of the reference's script, the sizes of the fixture put in: a block has 6053 operations a
    // token, an embedding 24 v + 964, a generator's head (31 v + 552) of which 0.15625 count, a discriminator's 688;
    // one block and two blocks; 10 updates of 6 x 16 tokens, forward and backward.
    let v =
        fs::read_to_string(exported.fixture.path("d/vocab.txt")).unwrap().lines().count() as f64;
    let generator = 6053.0 + (24.0 * v + 964.0) + 0.15625 * (31.0 * v + 552.0);
    let discriminator = 2.0 * 6053.0 + (24.0 * v + 964.0) + 688.0;
    let flops = 2.0 * 10.0 * 96.0 * (generator + discriminator);
    let line = format!("| FLOPs (the reference's count) | {flops:.3e} |");
    assert!(card.contains(&line), "{line} in {card}");

    // As many documents as were not held out of 60.
    let index = fs::read_to_string(exported.fixture.path("shards/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let of = |split: &str, key: &str| index[split][key].as_u64().unwrap();
    assert_eq!(of("train", "documents") + of("held_out", "documents"), 60);
    let line = format!(
        "| training text | {} documents, {} tokens, in {} examples |",
        of("train", "documents"),
        of("train", "tokens"),
        of("train", "examples")
    );
    assert!(card.contains(&line), "{line} in {card}");

    // The machine that trained, whatever machine exports.
    let path = exported.fixture.path("run/manifest.json");
    let manifest = RunDir::open(&exported.fixture.path("run")).unwrap().manifest().unwrap();
    assert_eq!(manifest.cores, std::thread::available_parallelism().unwrap().get());
    let mut changed = manifest.clone();
    (changed.processor, changed.cores, changed.threads) = ("Abacus | 9000".to_owned(), 3, 2);
    fs::write(&path, serde_json::to_string(&changed).unwrap()).unwrap();
    let out = exported.fixture.path("again");
    export(&exported.fixture.path("run"), Exported::Encoder, &out, Existing::Refuse).unwrap();
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    let line = "| hardware | Cpu, Abacus \\| 9000, 3 cores, 2 threads |";
    assert!(card.contains(line), "{line} in {card}");
}

#[test]
fn the_processor_is_what_linux_calls_it() {
    let text = "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 17\nmodel name\t: Some CPU: 9 @ 2 GHz\n";
    assert_eq!(processor(text), "Some CPU: 9 @ 2 GHz");
    assert_eq!(processor("processor\t: 0\nBogoMIPS\t: 50\n"), "");
}

/// A BERT that transformers wrote: its encoder and its embeddings, the heads of ELECTRA fresh.
#[test]
fn a_bert_is_gone_on_from() {
    let exported = Folders::new();
    let fixture = &exported.fixture;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = root.join("tests/fixtures/foreign/bert");
    let bert = fixture.path("bert");
    fs::create_dir(&bert).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name), bert.join(name)).unwrap();
    }
    // The fixture's 20 tokens: as many words of the corpus as there is room for.
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] red fox runs over hills and green bird sings in trees while . a b";
    let vocab = Vocab::from_tokens(words.split(' ').map(str::to_owned).collect()).unwrap();
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    tokenizer.write_pretrained(&bert, 16).unwrap();
    let corpus = Corpus::open(&fixture.path("corpus.txt"), CorpusConfig::default()).unwrap();
    let build = BuildConfig {
        out: fixture.path("words"),
        packing: PackingConfig::reference(16),
        held_out: 0.1,
        seed: 1,
        existing: electra_data::Existing::Refuse,
    };
    build_shards(&corpus, &tokenizer, &build, &mut |_| {}).unwrap();
    let (from, shards) = (exported.set("init.from", "bert"), exported.set("data.shards", "words"));
    let begun = exported
        .begin(&[
            &from,
            &shards,
            "model.vocab_size=20",
            "model.embedding_size=8",
            "model.max_positions=16",
            "model.discriminator.layers=2",
            "model.discriminator.hidden=8",
            "model.discriminator.heads=2",
            "model.discriminator.intermediate=12",
        ])
        .unwrap();
    // Under BERT's own names, as transformers wrote them.
    let written = tensors::read(&bert.join("model.safetensors")).unwrap();
    let encoder = only(&begun, "discriminator.electra.");
    assert_eq!(encoder.len(), 5 + 2 * 16, "an embedding block and two layers");
    for (name, tensor) in encoder {
        let theirs = name.replacen("discriminator.electra.", "bert.", 1);
        let (_, expected) = written.iter().find(|(other, _)| *other == theirs).unwrap();
        assert!(tensor.equal(expected), "{name}");
    }
}

#[test]
fn weights_of_another_kind_are_named() {
    let exported = Folders::new();
    let read = hf::read_config(&exported.fixture.path("d")).unwrap();
    let other = Config { architecture: Architecture::ElectraForMaskedLM, ..read };
    let state = compare::read(&exported.fixture.path("d")).unwrap();
    hf::write(&exported.fixture.path("d"), &other, &state).unwrap();
    let error = exported.begin(&[&exported.set("init.from", "d")]).unwrap_err();
    assert!(error.contains("has the weights of ElectraForPreTraining"), "{error}");
}
