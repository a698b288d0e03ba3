//! Initialization from trained weights, model cards, TensorFlow checkpoints.

use crate::{Fixture, device, device_name};
use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
use electra_model::{
    Discriminator, EncoderConfig, EncoderSizes, Generator, Parts,
    compare::{self, compare},
    hf::{self, Architecture, Config},
    tensors, tf,
};
use electra_tokenize::{Placement, Tokenizer, TokenizerConfig, Vocab, WordPiece};
use electra_train::{
    Existing, Recipe, Start,
    export::{ExportPart, export, export_tf},
    extend::extend_vocabulary,
    run_dir::{RunDir, processor},
};
use std::{fs, path::Path};
use tch::nn::VarStore;

/// A run of the fixture, with both networks exported.
struct Folders {
    fixture: Fixture,
}

impl Folders {
    fn new() -> Self {
        let fixture = Fixture::new();
        Recipe::from_config(fixture.config(&[]))
            .pretrain(&Start::new(fixture.path("run")))
            .unwrap();
        for (network, name) in [(ExportPart::Discriminator, "d"), (ExportPart::Generator, "g")] {
            export(&fixture.path("run"), network, &fixture.path(name), Existing::Refuse).unwrap();
        }
        Self { fixture }
    }

    /// The initial weights of a run: after one update, whose learning rate is 0.
    fn initial(&self, overrides: &[&str]) -> Result<tensors::Named, String> {
        let out = self.fixture.path("new");
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
fn both_networks_are_initialized_from_trained_weights() {
    let exported = Folders::new();
    let (from, generator) = (exported.set("init.from", "d"), exported.set("init.generator", "g"));
    let initial = exported.initial(&[&from, &generator]).unwrap();
    assert!(compare(&initial, &exported.weights()).same());
    // A run folder has both networks.
    let initial = exported.initial(&[&exported.set("init.from", "run")]).unwrap();
    assert!(compare(&initial, &exported.weights()).same());
}

#[test]
fn a_missing_generator_gets_random_weights() {
    let exported = Folders::new();
    let initial = exported.initial(&[&exported.set("init.from", "d")]).unwrap();
    let (d, g) = ("discriminator.", "generator.");
    assert!(compare(&only(&initial, d), &only(&exported.weights(), d)).same());
    assert!(!compare(&only(&initial, g), &only(&exported.weights(), g)).same());
    let random = exported.initial(&[]).unwrap();
    assert!(compare(&only(&initial, g), &only(&random, g)).same());
}

#[test]
fn an_encoder_without_a_head_gets_a_random_head() {
    let exported = Folders::new();
    let run = exported.fixture.path("run");
    export(&run, ExportPart::Encoder, &exported.fixture.path("e"), Existing::Refuse).unwrap();
    let initial = exported.initial(&[&exported.set("init.from", "e")]).unwrap();
    let encoder = "discriminator.electra.";
    assert!(compare(&only(&initial, encoder), &only(&exported.weights(), encoder)).same());
    let head = "discriminator.discriminator_predictions.";
    assert!(!compare(&only(&initial, head), &only(&exported.weights(), head)).same());
}

#[test]
fn the_error_for_mismatched_weights_has_the_settings_that_match() {
    let exported = Folders::new();
    let from = exported.set("init.from", "d");
    let error = exported
        .initial(&[&from, "model.discriminator.layers=3", "model.embedding_size=8"])
        .unwrap_err();
    for line in ["model.discriminator.layers = 2   (now 3)", "model.embedding_size = 12   (now 8)"]
    {
        assert!(error.contains(line), "{error}");
    }
    let error = exported.initial(&[&from, "model.layer_norm_eps=1e-5"]).unwrap_err();
    assert!(error.contains("model.layer_norm_eps = 1e-12   (now 1e-5)"), "{error}");
    assert!(!exported.fixture.path("new").exists(), "no run folder is created");
    let error = exported.initial(&[&exported.set("init.generator", "g")]).unwrap_err();
    assert!(error.contains("init.generator") && error.contains("requires init.from"), "{error}");
    // A run has its own generator.
    let (run, generator) = (exported.set("init.from", "run"), exported.set("init.generator", "g"));
    let error = exported.initial(&[&run, &generator]).unwrap_err();
    assert!(error.contains("init.generator") && error.contains("must be empty"), "{error}");

    // Another vocabulary of the same size: ids would mean other tokens.
    let path = exported.fixture.path("d/vocab.txt");
    let vocab = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = vocab.lines().collect();
    lines.swap(20, 21);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    fs::remove_file(exported.fixture.path("d/tokenizer.json")).unwrap();
    let error = exported.initial(&[&from]).unwrap_err();
    assert!(error.contains("has another vocabulary") && error.contains("id 20 is"), "{error}");
    // A prefix of the vocabulary.
    let mut lines: Vec<&str> = vocab.lines().collect();
    let size = lines.len();
    lines.pop();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let tokenizer = WordPiece::new(Vocab::from_file(&path).unwrap(), TokenizerConfig::default());
    tokenizer.unwrap().write_pretrained(&exported.fixture.path("d"), 16).unwrap();
    let error = exported.initial(&[&from]).unwrap_err();
    let expected = format!("{} tokens in the model, {size} in the shards", size - 1);
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_run_is_exported_to_tensorflow_and_read_back() {
    let exported = Folders::new();
    let (run, out) = (exported.fixture.path("run"), exported.fixture.path("tf"));
    // 2 heads of size 8; the reference would have 1 head.
    let note = export_tf(&run, &out, Existing::Refuse).unwrap().unwrap();
    assert!(note.contains("--heads 2 --generator-heads 2"), "{note}");
    let by_rule = tf::read(&out, tf::Heads::default()).unwrap().discriminator;
    assert_eq!(by_rule.config.encoder.heads, 1);
    assert!(
        by_rule.notes.iter().any(|note| note.contains("1 attention heads")),
        "{:?}",
        by_rule.notes
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
fn the_model_card_describes_the_training() {
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
        "| learning rate | peak 0.001, 2 updates of warm-up, decay to 0 |",
        "| discriminator auc |",
        "AutoModelForPreTraining.from_pretrained",
    ] {
        assert!(card.contains(line), "{line} in {card}");
    }
    assert!(card.contains("| training time | 0.00 hours |"), "{card}");
    // By the reference's conventions, for the sizes of the fixture: FLOPs per token are 6053 for a block, 24 v + 964 for
    // embeddings, (31 v + 552) * 0.15625 for the generator's head and 688 for the discriminator's; there are one and two
    // blocks, and 10 updates of 6 x 16 tokens, forward and backward.
    let v =
        fs::read_to_string(exported.fixture.path("d/vocab.txt")).unwrap().lines().count() as f64;
    let generator = 6053.0 + (24.0 * v + 964.0) + 0.15625 * (31.0 * v + 552.0);
    let discriminator = 2.0 * 6053.0 + (24.0 * v + 964.0) + 688.0;
    let flops = 2.0 * 10.0 * 96.0 * (generator + discriminator);
    let line = format!("| FLOPs (the reference's count) | {flops:.3e} |");
    assert!(card.contains(&line), "{line} in {card}");

    // The 60 documents without the held-out ones.
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

    // The hardware is that of training, not of export.
    let path = exported.fixture.path("run/manifest.json");
    let manifest = RunDir::open(&exported.fixture.path("run")).unwrap().manifest().unwrap();
    assert_eq!(manifest.cores, std::thread::available_parallelism().unwrap().get());
    let mut changed = manifest.clone();
    (changed.processor, changed.cores, changed.threads) = ("Abacus | 9000".to_owned(), 3, 2);
    fs::write(&path, serde_json::to_string(&changed).unwrap()).unwrap();
    let out = exported.fixture.path("other-hardware");
    export(&exported.fixture.path("run"), ExportPart::Encoder, &out, Existing::Refuse).unwrap();
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    let line = format!("| hardware | {}, Abacus \\| 9000, 3 cores, 2 threads |", device_name());
    assert!(card.contains(&line), "{line} in {card}");
}

#[test]
fn the_processor_is_the_model_name_in_cpuinfo() {
    let text = "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 17\nmodel name\t: Some CPU: 9 @ 2 GHz\n";
    assert_eq!(processor(text), "Some CPU: 9 @ 2 GHz");
    assert_eq!(processor("processor\t: 0\nBogoMIPS\t: 50\n"), "");
}

/// A BERT from transformers: encoder and embeddings are loaded, ELECTRA's heads get random weights.
#[test]
fn a_discriminator_is_initialized_from_bert() {
    let exported = Folders::new();
    let fixture = &exported.fixture;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = root.join("tests/fixtures/foreign/bert");
    let bert = fixture.path("bert");
    fs::create_dir(&bert).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(source.join(name), bert.join(name)).unwrap();
    }
    // The fixture's vocabulary has 20 tokens.
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] red fox runs over hills and green bird sings in trees while . a b";
    let vocab = Vocab::from_tokens(words.split(' ').map(str::to_owned).collect()).unwrap();
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    tokenizer.write_pretrained(&bert, 16).unwrap();
    let corpus = Corpus::open(&fixture.path("corpus.txt"), CorpusConfig::default()).unwrap();
    let build = BuildConfig { held_out: 0.1, ..BuildConfig::new(fixture.path("words"), 16) };
    build_shards(&corpus, &tokenizer, &build, &mut |_| {}).unwrap();
    let (from, shards) = (exported.set("init.from", "bert"), exported.set("data.shards", "words"));
    let initial = exported
        .initial(&[
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
    // The file has BERT's names.
    let written = tensors::read(&bert.join("model.safetensors")).unwrap();
    let encoder = only(&initial, "discriminator.electra.");
    assert_eq!(encoder.len(), 5 + 2 * 16, "embeddings and two layers");
    for (name, tensor) in encoder {
        let theirs = name.replacen("discriminator.electra.", "bert.", 1);
        let (_, expected) = written.iter().find(|(other, _)| *other == theirs).unwrap();
        assert!(tensor.equal(expected), "{name}");
    }
}

#[test]
fn the_error_for_weights_of_another_class_names_it() {
    let exported = Folders::new();
    let read = hf::read_config(&exported.fixture.path("d")).unwrap();
    let other = Config { architecture: Architecture::ElectraForMaskedLM, ..read };
    let state = compare::read(&exported.fixture.path("d")).unwrap();
    hf::write(&exported.fixture.path("d"), &other, &state).unwrap();
    let error = exported.initial(&[&exported.set("init.from", "d")]).unwrap_err();
    assert!(error.contains("has the weights of ElectraForPreTraining"), "{error}");
}

/// Word embeddings and output bias of a network before and after. Row `r` of a new word is the mean of its pieces' rows.
#[test]
fn new_words_begin_as_the_mean_of_their_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] [unused0] a ##b ##c";
    let vocab = Vocab::from_tokens(tokens.split(' ').map(str::to_owned).collect()).unwrap();
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    // Ten rows of two values: the last one is padding.
    let words: Vec<f32> = (0..20).map(|i| (i * i) as f32).collect();
    let bias: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let sizes = EncoderSizes { layers: 1, hidden: 2, heads: 1, intermediate: 2 };
    let encoder = EncoderConfig::electra(10, 2, sizes);
    let write = |dir: &Path, architecture| {
        fs::create_dir_all(dir).unwrap();
        let config = Config::new(architecture, encoder.clone(), 0);
        let mut network = untrained(&encoder, architecture);
        for (name, tensor) in &mut network {
            match name.as_str() {
                "electra.embeddings.word_embeddings.weight" => {
                    *tensor = tch::Tensor::from_slice(&words).view([10, 2]);
                }
                "generator_lm_head.bias" => *tensor = tch::Tensor::from_slice(&bias),
                _ => {}
            }
        }
        hf::write(dir, &config, &network).unwrap();
        tokenizer.write_pretrained(dir, 16).unwrap();
    };
    write(&path("model"), Architecture::ElectraForPreTraining);
    write(&path("model/generator"), Architecture::ElectraForMaskedLM);

    let extend = |words: &[&str], placement, out: &str| {
        extend_vocabulary(&path("model"), words, placement, &path(out), Existing::Refuse)
    };
    let row = |dir: &str, name: &str, id: i64| {
        let tensors = hf::Pretrained::read(&path(dir)).unwrap().tensors;
        let (_, tensor) = tensors.into_iter().find(|(n, _)| n == name).unwrap();
        Vec::<f32>::try_from(tensor.get(id).view([-1])).unwrap()
    };
    let words = "electra.embeddings.word_embeddings.weight";
    // `ab` is a (row 6: 144, 169) and ##b (row 7: 196, 225); `abc` also ##c (row 8: 256, 289).
    extend(&["ab", "abc"], Placement::Append, "longer").unwrap();
    for dir in ["longer", "longer/generator"] {
        // The row of padding becomes that of the first word.
        assert_eq!(row(dir, words, 9), [170.0, 197.0]);
        let third = row(dir, words, 10);
        assert!(
            (third[0] - 596.0 / 3.0).abs() < 1e-4 && (third[1] - 683.0 / 3.0).abs() < 1e-4,
            "{third:?}"
        );
        assert_eq!(row(dir, words, 8), [256.0, 289.0], "the others stay");
        let read = WordPiece::from_pretrained_dir(&path(dir)).unwrap();
        assert_eq!(read.encode("abc ab").unwrap(), [10, 9]);
        assert_eq!(hf::read_config(&path(dir)).unwrap().encoder.vocab_size, 11);
    }
    assert_eq!(row("longer/generator", "generator_lm_head.bias", 9), [6.5]);
    assert_eq!(row("longer/generator", "generator_lm_head.bias", 10), [7.0]);

    extend(&["ab"], Placement::Unused, "unused").unwrap();
    assert_eq!(row("unused", words, 5), [170.0, 197.0]);
    assert_eq!(row("unused/generator", "generator_lm_head.bias", 5), [6.5]);
    assert_eq!(hf::read_config(&path("unused")).unwrap().encoder.vocab_size, 10);
    // The same again is the same file.
    extend(&["ab"], Placement::Unused, "again").unwrap();
    let file = |dir: &str| fs::read(path(dir).join("model.safetensors")).unwrap();
    assert!(file("unused") == file("again"));

    let error = extend(&["a", "bc"], Placement::Append, "never").unwrap_err().to_string();
    assert!(error.contains("\"a\" is in the vocabulary"), "{error}");
    fs::write(path("model/task.json"), "{}").unwrap();
    let error = extend(&["ab"], Placement::Append, "never").unwrap_err().to_string();
    assert!(error.contains("is a fine-tuned model"), "{error}");
    assert!(!path("never").exists());
}

/// The tensors of a network with new weights.
fn untrained(encoder: &EncoderConfig, architecture: Architecture) -> tensors::Named {
    let vs = VarStore::new(device());
    let parts = Parts::shipped();
    match architecture {
        Architecture::ElectraForMaskedLM => {
            Generator::from_config(&vs.root(), encoder, &parts).map(drop).unwrap();
        }
        _ => Discriminator::from_config(&vs.root(), encoder, &parts).map(drop).unwrap(),
    }
    tensors::variables(&vs).unwrap()
}
