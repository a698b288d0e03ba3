//! Invalid input, and errors that end a run.

use crate::Fixture;
use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
use electra_model::{Parts, SelfAttention, hf::Pretrained};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    export::{ExportPart, export, locate},
};
use std::fs;
use tch::Tensor;

#[track_caller]
pub(crate) fn fails_with<T: std::fmt::Debug>(result: electra_train::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

fn train(
    fixture: &Fixture,
    overrides: &[&str],
    out: &str,
) -> electra_train::Result<electra_train::Outcome> {
    Recipe::from_config(fixture.config(overrides)).pretrain(&Start::new(fixture.path(out)))
}

#[test]
fn shards_that_do_not_match_the_config() {
    let fixture = Fixture::new();
    fails_with(
        train(&fixture, &["data.sequence_length=32"], "run"),
        &["data.sequence_length = 32", "must be 16"],
    );
    let tokens = fixture.config(&[]).model.discriminator.vocab_size;
    for (rows, expected) in
        [(tokens - 1, format!("must be {tokens};")), (tokens + 1025, "up to 1024".into())]
    {
        let set = format!("model.vocab_size={rows}");
        let key = format!("model.vocab_size = {rows}");
        fails_with(train(&fixture, &[&set], "run"), &[&key, &expected]);
    }
    fails_with(train(&fixture, &["data.shards=nowhere"], "run"), &["nowhere"]);
    // No run folder was created.
    assert!(!fixture.path("run").exists());
}

/// Equal sizes but other tokens: only the hash in the shards' headers differs.
#[test]
fn shards_of_another_vocabulary_or_corpus() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let config = fixture.config(&[]);
    let first = Start { stop_after: Some(5), ..Start::new(&run) };
    Recipe::from_config(config.clone()).pretrain(&first).unwrap();
    let vocab = Vocab::from_file(&fixture.path("shards/tokenizer/vocab.txt")).unwrap();
    let mut tokens = vocab.tokens().to_vec();
    tokens.swap(10, 11);
    let hash = vocab.hash();
    for (name, vocab, seed, words) in [
        ("words", Vocab::from_tokens(tokens).unwrap(), 1, ["vocabulary", &hash]),
        ("text", vocab, 2, ["examples with", "was trained with"]),
    ] {
        let corpus = Corpus::open(&fixture.path("corpus.txt"), CorpusConfig::default()).unwrap();
        let build = BuildConfig {
            held_out: 0.1 * seed as f64,
            seed,
            ..BuildConfig::new(fixture.path(name), 16)
        };
        let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
        build_shards(&corpus, &tokenizer, &build, &mut |_| {}).unwrap();
        let mut other = config.clone();
        other.data.shards = fixture.path(name);
        fails_with(Recipe::from_config(other).pretrain(&Start::resume(&run)), &words);
    }
    let (folder, checkpoint) = locate(&run).unwrap();
    let recipe = Recipe::from_config(config);
    fails_with(
        recipe.evaluate(&folder, &checkpoint, &fixture.path("words")),
        &["vocabulary", &hash],
    );
    recipe.evaluate(&folder, &checkpoint, &fixture.path("text")).unwrap();
}

#[test]
fn a_missing_device() {
    let fixture = Fixture::new();
    fails_with(train(&fixture, &["train.device=gpu"], "run"), &["gpu", "cuda:N"]);
    if !tch::Cuda::is_available() {
        fails_with(train(&fixture, &["train.device=cuda:0"], "run"), &["cuda:0"]);
    }
}

/// The reference continues; here the run stops, names the step and keeps the checkpoint before it.
#[test]
fn a_non_finite_loss_stops_the_run_and_names_the_step() {
    let fixture = Fixture::new();
    let overrides = [
        "optimizer.learning_rate=1e30",
        "optimizer.warmup_steps=3",
        "checkpoint.every=1",
        "evaluate.every=0",
    ];
    let error = train(&fixture, &overrides, "run").unwrap_err();
    let step = match error {
        electra_train::Error::NonFinite { step, .. } => step,
        other => panic!("{other}"),
    };
    // The first update has rate 0, so the weights are out of range after the second at the earliest.
    assert!((2..10).contains(&step), "step {step}");
    assert!(fixture.path(&format!("run/checkpoints/step-{step:07}")).exists());
    assert!(error.to_string().contains(&format!("step {step}")), "{error}");
}

#[test]
fn resuming_without_a_checkpoint_is_an_error() {
    let fixture = Fixture::new();
    let resume = |run: &str| {
        Recipe::from_config(fixture.config(&[])).pretrain(&Start::resume(fixture.path(run)))
    };
    fails_with(resume("nowhere"), &["nowhere"]);
    fs::create_dir_all(fixture.path("empty/checkpoints")).unwrap();
    fs::write(fixture.path("empty/config.toml"), fixture.config(&[]).to_toml()).unwrap();
    fails_with(resume("empty"), &["empty is not a run folder: it has no manifest.json"]);
    fs::write(fixture.path("empty/manifest.json"), "{}").unwrap();
    fails_with(resume("empty"), &["empty", "no intact checkpoint"]);
}

#[derive(Debug)]
struct ZeroAttention;

impl SelfAttention for ZeroAttention {
    fn forward_t(&self, x_bsh: &Tensor, _: &electra_model::LayerContext<'_>, _: bool) -> Tensor {
        x_bsh.zeros_like()
    }
}

#[test]
fn a_checkpoint_of_other_parts_prints_both_lists() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let config = fixture.config(&["train.steps=1"]);
    let parts = Parts::shipped().with_attention("zero", |_| Ok(ZeroAttention));
    Recipe::from_config(config.clone()).with_parts(parts).pretrain(&Start::new(&run)).unwrap();
    let manifest = fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("attention=zero"), "{manifest}");
    let shipped = Recipe::from_config(config.clone());
    fails_with(
        shipped.pretrain(&Start::resume(&run)),
        &["model.attention.kind was \"zero\"", "now is \"softmax\""],
    );
    fails_with(
        shipped.load_weights(&run.join("checkpoints/step-0000001")),
        &["attention=zero", "attention=softmax"],
    );
    // Doors that read the run's own config lack the part; those of a recipe have it.
    let unknown = "attention = \"zero\": this program has no such part";
    fails_with(
        export(&run, ExportPart::Default, &fixture.path("out"), Existing::Refuse),
        &[unknown],
    );
    let of_run = || RunConfig::read(&run.join("config.toml"), &[]).unwrap();
    fails_with(Recipe::from_config(of_run()).untrained(), &[unknown]);
    let parts = || Parts::shipped().with_attention("zero", |_| Ok(ZeroAttention));
    let custom = Recipe::from_config(of_run()).with_parts(parts());
    let (folder, checkpoint) = locate(&run).unwrap();
    custom.evaluate(&folder, &checkpoint, &fixture.path("shards")).unwrap();
    custom.export(&run, ExportPart::Default, &fixture.path("out"), Existing::Refuse).unwrap();
    fails_with(
        custom.export_tf(&run, &fixture.path("tf"), Existing::Refuse),
        &["requires ELECTRA's parts", "attention=zero"],
    );
    // Starting from the exported model, or from the run, needs the part too.
    for from in [fixture.path("out"), run.clone()] {
        let mut init = config.clone();
        init.init.from = from;
        let start = Start::new(fixture.path("on"));
        let words = ["zero", "softmax"];
        fails_with(Recipe::from_config(init.clone()).pretrain(&start), &words);
        assert!(!fixture.path("on").exists());
        Recipe::from_config(init).with_parts(parts()).pretrain(&start).unwrap();
        fs::remove_dir_all(fixture.path("on")).unwrap();
    }
}

/// The folder names the part, and has the weights of the checkpoint.
#[test]
fn a_run_with_a_custom_part_is_exported_by_a_recipe_that_has_it() {
    let fixture = Fixture::new();
    let (run, out) = (fixture.path("run"), fixture.path("out"));
    let parts = Parts::shipped().with_attention("zero", |_| Ok(ZeroAttention));
    let config = fixture.config(&["train.steps=1", "optimizer.warmup_steps=0"]);
    let recipe = Recipe::from_config(config).with_parts(parts);
    recipe.pretrain(&Start::new(&run)).unwrap();
    fails_with(export(&run, ExportPart::Default, &out, Existing::Refuse), &["\"zero\""]);
    assert!(!out.exists());

    recipe.export(&run, ExportPart::Default, &out, Existing::Refuse).unwrap();
    let config = fs::read_to_string(out.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["model_type"], "electra_custom");
    assert_eq!(config["parts"]["attention"], "zero");
    let exported = Pretrained::read(&out).unwrap().tensors;
    let trained = run.join("checkpoints/step-0000001/model.safetensors");
    let trained = electra_model::tensors::read(&trained).unwrap();
    let name = "encoder.layer.0.intermediate.dense.weight";
    let find = |tensors: &[(String, Tensor)], prefix: &str| {
        let found = tensors.iter().find(|(own, _)| *own == format!("{prefix}.{name}"));
        found.map(|(_, tensor)| tensor.shallow_clone()).unwrap()
    };
    assert!(find(&exported, "electra").equal(&find(&trained, "discriminator.electra")));
}

#[test]
fn export_requires_a_run_and_an_empty_folder() {
    let fixture = Fixture::new();
    let out = fixture.path("out");
    let run = fixture.path("run");
    fails_with(
        export(&run, ExportPart::Discriminator, &out, Existing::Refuse),
        &["run does not exist"],
    );
    train(&fixture, &["train.steps=1"], "run").unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("precious.txt"), "mine").unwrap();
    fails_with(export(&run, ExportPart::Discriminator, &out, Existing::Refuse), &["not empty"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    export(&run, ExportPart::Generator, &fixture.path("generator"), Existing::Refuse).unwrap();
    let config = fs::read_to_string(fixture.path("generator/config.json")).unwrap();
    assert!(config.contains("ElectraForMaskedLM"), "{config}");
}

/// A file in place of the temporary folder makes writing fail, also for root.
#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run_and_keeps_the_last_one() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let recipe = Recipe::from_config(fixture.config(&["checkpoint.every=5"]));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let result = recipe.pretrain_with(&Start::new(&run), &stop, &mut |event| {
        if matches!(event, electra_train::Event::Step { step: 7, .. }) {
            fs::write(run.join("checkpoints/.step-0000010.tmp"), "in the way").unwrap();
        }
    });
    fails_with(result, &["step-0000010"]);
    assert_eq!(electra_train::state::newest(&run).unwrap().state.step, 5);
}
