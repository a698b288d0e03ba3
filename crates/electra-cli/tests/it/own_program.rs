//! A program with a part and an objective of its own has every command, and configs and folders name them.

use crate::{
    doors::{PRETRAIN, letters},
    errors::fails,
    root,
};
use electra_cli::Extensions;
use electra_data::MaskedBatch;
use electra_model::{LayerContext, Parts, SelfAttention, Site, SoftmaxAttention};
use electra_train::objective::{
    Bert, BertConfig, LossCounts, Objective, ObjectiveSite, Objectives, Pass, TrainedNetwork,
};
use serde::Deserialize;
use std::{fs, path::Path, process::ExitCode};
use tch::Tensor;

/// Softmax attention times a number.
#[derive(Debug)]
struct Scaled {
    attention: SoftmaxAttention,
    settings: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    factor: f64,
}

impl Scaled {
    fn new(site: &Site<'_>) -> electra_model::Result<Self> {
        Ok(Self { attention: SoftmaxAttention::new(site)?, settings: site.settings()? })
    }
}

impl SelfAttention for Scaled {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        self.attention.forward_t(x_bsh, context, train) * self.settings.factor
    }
}

/// BERT's objective under another name, with another key.
#[derive(Debug)]
struct Cloze(Bert);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    random: f64,
}

impl Cloze {
    fn new(site: &ObjectiveSite<'_>) -> electra_train::Result<Self> {
        let Keys { random } = site.settings()?;
        let masking = electra_train::config::MaskingConfig::Uniform { rate: 0.3, mask_share: 0.8 };
        Ok(Self(Bert::new(&BertConfig { random_share: random, masking }, site)?))
    }
}

impl Objective for Cloze {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "cloze"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        self.0.networks()
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        self.0.pass(part, whole, train)
    }
}

fn extensions() -> Extensions {
    Extensions::default()
        .with_parts(Parts::shipped().with_attention("scaled", Scaled::new))
        .with_objectives(Objectives::shipped().with("cloze", Cloze::new))
}

/// Runs a command of the program in this process.
fn own(dir: &Path, line: &str) -> ExitCode {
    let place = |word: &str| match word.strip_prefix("configs/") {
        Some(_) => root().join(word).display().to_string(),
        None => word.replace("{}", &dir.display().to_string()),
    };
    let words = std::iter::once("mine".to_owned()).chain(line.split_whitespace().map(place));
    electra_cli::run(words, &extensions())
}

#[track_caller]
fn succeeds(dir: &Path, line: &str) {
    assert_eq!(own(dir, line), ExitCode::SUCCESS, "{line}");
}

#[test]
fn every_command_takes_parts_and_objectives_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let part = "--set model.attention.kind=scaled --set model.custom.scaled.factor=-2.0";
    let pretrain = format!("{PRETRAIN} {part} --set train.steps=2 --out {{}}/own");

    // Available parts are not selected.
    succeeds(dir, &format!("{PRETRAIN} --out {{}}/plain"));
    assert!(read("plain/config.toml").contains("[model.attention]\nkind = \"softmax\""));

    succeeds(dir, &format!("{pretrain} --stop-after 1"));
    succeeds(dir, "pretrain --resume {}/own");
    let config = read("own/config.toml");
    for section in ["[model.attention]\nkind = \"scaled\"", "[model.custom.scaled]\nfactor = -2.0"]
    {
        assert!(config.contains(section), "{section} is not in {config}");
    }
    let named = "attention=scaled { factor = -2.0 }";
    assert!(read("own/manifest.json").contains(named));
    assert!(read("own/checkpoints/step-0000002/state.json").contains(named));
    assert_eq!(
        own(dir, "pretrain --resume {}/own --set model.custom.scaled.factor=1.0"),
        ExitCode::FAILURE
    );

    succeeds(dir, "evaluate {}/own");
    succeeds(dir, "flops {}/own/config.toml");
    succeeds(dir, "profile {}/own/config.toml --steps 1");
    succeeds(dir, "export {}/own --part generator --out {}/own-generator");
    succeeds(dir, "export {}/own --out {}/own-model");
    let exported: serde_json::Value = serde_json::from_str(&read("own-model/config.json")).unwrap();
    assert_eq!(exported["parts"]["attention"], "scaled");
    assert_eq!(exported["custom"], serde_json::json!({ "scaled": { "factor": -2.0 } }));
    assert!(!read("model/config.json").contains("custom"));

    succeeds(dir, "forward --model {}/own-model --text a");
    succeeds(dir, "fill-mask --model {}/own-generator a[MASK]");
    succeeds(dir, "import --from hf {}/own-model --out {}/imported");
    assert!(read("imported/config.json").contains("\"factor\": -2.0"));
    fs::create_dir(dir.join("task")).unwrap();
    let rows: String = (0..20).map(|i| ["a a\tsame\n", "a b\tother\n"][i % 2]).collect();
    for name in ["train.tsv", "dev.tsv"] {
        fs::write(dir.join("task").join(name), format!("text\tlabel\n{rows}")).unwrap();
    }
    let task = "name = \"letters\"\nkind = \"classification\"\ntext_a = \"text\"\nlabel = \"label\"\n\
                labels = [\"same\", \"other\"]\nmetric = \"accuracy\"\n[files]\ntrain = \"train.tsv\"\ndev = \"dev.tsv\"\n";
    fs::write(dir.join("task/task.toml"), task).unwrap();
    let finetune =
        "finetune --task {}/task --config configs/finetune-tiny.toml --set train.epochs=1";
    succeeds(dir, &format!("{finetune} --model {{}}/own-model --out {{}}/own-tuned"));
    assert!(read("own-tuned/model/config.json").contains("\"factor\": -2.0"));
    succeeds(dir, "predict --model {}/own-tuned --input {}/task/dev.tsv --output {}/predicted.tsv");
    // The network is the same at every door: 10 times the factor gives another one.
    let other = read("own-model/config.json").replace("-2.0", "-20.0");
    fs::write(dir.join("own-model/config.json"), other).unwrap();
    succeeds(dir, "forward --model {}/own-model --text a");
    assert_eq!(own(dir, "compare {}/own-model {}/imported"), ExitCode::from(1));

    // Settings of a part that is not used, wrong settings, and the program without the part.
    for (set, words) in [
        ("--set model.custom.scald.factor=1.0", "own-wrong"),
        ("--set model.attention.kind=scaled", "own-missing"),
    ] {
        assert_eq!(own(dir, &format!("{PRETRAIN} {set} --out {{}}/{words}")), ExitCode::FAILURE);
        assert!(!dir.join(words).exists());
    }
    let unused = ["model.custom.scald", "must have the name of a part"];
    fails(
        dir,
        &format!("{PRETRAIN} --set model.custom.scald.factor=1.0 --out {{}}/never"),
        1,
        &unused,
    );
    fails(dir, "forward --model {}/own-model --text a", 1, &["this program has no such part"]);
}

#[test]
fn every_command_takes_an_objective_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let tiny = root().join("configs/pretrain-tiny.toml").display().to_string();
    let config = format!(
        "extends = \"{tiny}\"\nunset = [\"objective\", \"model.generator\"]\n[objective]\nkind = \"cloze\"\nrandom = 0.1\n\
         [objective.masking]\nkind = \"uniform\"\nrate = 0.3\nmask_share = 0.8\n"
    );
    fs::write(dir.join("cloze.toml"), config).unwrap();
    let pretrain = PRETRAIN.replace("configs/pretrain-tiny.toml", "{}/cloze.toml");
    succeeds(dir, &format!("{pretrain} --set train.steps=2 --stop-after 1 --out {{}}/own"));
    succeeds(dir, "pretrain --resume {}/own");
    let section = "[objective]\nkind = \"cloze\"\nrandom = 0.1\n\n[objective.masking]\n";
    assert!(read("own/config.toml").contains(section));
    assert!(read("own/manifest.json").contains("\"cloze\""));
    for line in [
        "evaluate {}/own",
        "flops {}/own/config.toml",
        "flops --runs {}/own",
        "report {}/own --out {}/report.html",
        "export {}/own --out {}/own-model",
        "fill-mask --model {}/own-model a[MASK]",
    ] {
        succeeds(dir, line);
    }
    assert!(read("own-model/README.md").contains("random = 0.1"));

    let unknown = ["objective.kind = cloze: this program has no such objective", "known here"];
    for line in [
        &format!("{pretrain} --out {{}}/never"),
        "pretrain --resume {}/own",
        "evaluate {}/own",
        "export {}/own --out {}/never",
        "flops {}/own/config.toml",
    ] {
        fails(dir, line, 1, &unknown);
    }
    let similar = format!("{PRETRAIN} --set objective.kind=replaced-tokens --out {{}}/never");
    fails(dir, &similar, 1, &["replaced-tokens", "did you mean \"replaced-token\"?"]);
    assert!(!dir.join("never").exists());
}
