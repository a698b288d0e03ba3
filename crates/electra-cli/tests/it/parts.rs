//! Every command that opens a network refuses one with a part that it does not have, by the part's name.

use crate::{
    doors::{PRETRAIN, letters},
    electra,
    errors::fails,
    output,
};
use electra_model::{LayerContext, Parts, SelfAttention, SoftmaxAttention};
use electra_tasks::{Finetune, FinetuneConfig, Kinds};
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    export::{ExportPart, locate},
};
use std::{fs, path::Path, sync::atomic::AtomicBool};
use tch::Tensor;

/// Softmax attention with the opposite sign: the same variables, another network.
#[derive(Debug)]
struct Opposite(SoftmaxAttention);

impl SelfAttention for Opposite {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        -self.0.forward_t(x_bsh, context, train)
    }
}

fn parts() -> Parts {
    Parts::shipped().with_attention("opposite", |site| Ok(Opposite(SoftmaxAttention::new(site)?)))
}

/// A run, exported networks and a fine-tuned model with the part.
fn swapped(dir: &Path) {
    let config = RunConfig::read(&dir.join("run/config.toml"), &[]).unwrap();
    let recipe = Recipe::from_config(config).with_parts(parts());
    let run = dir.join("swapped");
    recipe.pretrain(&Start::new(&run)).unwrap();
    let export = |part, name: &str| {
        recipe.export(&run, part, &dir.join(name), Existing::Refuse).unwrap();
    };
    export(ExportPart::Discriminator, "swapped-model");
    export(ExportPart::Generator, "swapped-generator");
    let (folder, checkpoint) = locate(&run).unwrap();
    recipe.evaluate(&folder, &checkpoint, &dir.join("shards")).unwrap();

    fs::create_dir(dir.join("task")).unwrap();
    let rows = |count: usize| -> String {
        (0..count).map(|i| ["a a\tsame\n", "a b\tother\n"][i % 2]).collect()
    };
    for name in ["train.tsv", "dev.tsv"] {
        fs::write(dir.join("task").join(name), format!("text\tlabel\n{}", rows(20))).unwrap();
    }
    let task = "name = \"letters\"\nkind = \"classification\"\ntext_a = \"text\"\nlabel = \"label\"\n\
                labels = [\"same\", \"other\"]\nmetric = \"accuracy\"\n[files]\ntrain = \"train.tsv\"\ndev = \"dev.tsv\"\n";
    fs::write(dir.join("task/task.toml"), task).unwrap();
    let config = crate::root().join("configs/finetune-tiny.toml");
    let config = FinetuneConfig::read(&config, &["train.epochs=1".to_owned()]).unwrap();
    let task = Kinds::default().read(&dir.join("task"), &[]).unwrap();
    let (model, out) = (dir.join("swapped-model"), dir.join("swapped-tuned"));
    let mut finetune = Finetune::new(&*task, dir.join("task"), model, &config, out);
    finetune.parts = Some(parts());
    finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
}

#[test]
fn a_swapped_attention_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    letters(dir);
    swapped(dir);
    fs::write(dir.join("rows.tsv"), "text\na b\n").unwrap();
    let ids = Tensor::from_slice(&[2i64, 5, 6, 3]).view([1, 4]);
    electra_model::tensors::write(&dir.join("ids.safetensors"), &[("input_ids".to_owned(), ids)])
        .unwrap();
    let batch = [
        ("input_ids", Tensor::from_slice(&[2i64, 5, 6, 3]).view([1, 4])),
        ("attention_mask", Tensor::from_slice(&[1i64, 1, 1, 1]).view([1, 4])),
        ("token_type_ids", Tensor::from_slice(&[0i64, 0, 0, 0]).view([1, 4])),
        ("positions", Tensor::from_slice(&[1i64])),
        ("sampled_ids", Tensor::from_slice(&[6i64])),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor));
    electra_model::tensors::write(&dir.join("batch.safetensors"), &batch).unwrap();

    let unknown = ["attention = \"opposite\"", "this program has no such part"];
    let finetune = "finetune --task {}/task --config configs/finetune-tiny.toml --out {}/never";
    let pretrain = format!("{PRETRAIN} --out {{}}/never");
    let gradients = "gradients {}/swapped --input {}/batch.safetensors --output {}/never";
    for line in [
        "predict --model {}/swapped-tuned --input {}/rows.tsv --output {}/never",
        "predict --model {}/swapped-model --task wnli --input {}/rows.tsv --output {}/never",
        &format!("{finetune} --model {{}}/swapped-model"),
        &format!("{finetune} --model {{}}/swapped-tuned"),
        "evaluate {}/swapped",
        "export {}/swapped --out {}/never",
        "export {}/swapped --format tf --out {}/never",
        "import --from hf {}/swapped-model --out {}/never",
        "fill-mask --model {}/swapped-generator a[MASK]",
        "fill-mask --model {}/generator --discriminator {}/swapped-model a[MASK]",
        "rescore --model {}/swapped-model --input {}/text.txt --output {}/never",
        "forward --model {}/swapped-model --text a",
        "forward --model {}/swapped-model --input {}/ids.safetensors --output {}/never",
        "pretrain --resume {}/swapped",
        "flops {}/swapped/config.toml",
        "profile {}/swapped/config.toml --steps 1",
        gradients,
    ] {
        fails(dir, line, 1, &unknown);
    }
    // Doors that have softmax attention, and are given weights of the other one with the same names.
    let both = ["opposite", "softmax"];
    fails(dir, &format!("{pretrain} --set init.from={{}}/swapped-model"), 1, &both);
    fails(dir, &format!("{pretrain} --set init.from={{}}/swapped"), 1, &both);
    fails(dir, &format!("{gradients} --set model.attention.kind=softmax"), 1, &both);
    let weights = "--weights {}/swapped/checkpoints/step-0000001/model.safetensors";
    fails(dir, &gradients.replace("{}/swapped ", &format!("{{}}/run {weights} ")), 1, &both);
    fails(dir, "pretrain --resume {}/swapped --set model.attention.kind=softmax", 1, &both);
    assert!(!dir.join("never").exists());

    // Equal weights are not an equal network.
    fs::create_dir(dir.join("copy")).unwrap();
    for file in fs::read_dir(dir.join("swapped-model")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join("copy").join(file.file_name())).unwrap();
    }
    output(dir, "compare {}/swapped-model {}/copy");
    fs::copy(dir.join("model/config.json"), dir.join("copy/config.json")).unwrap();
    let differs = electra(dir, "compare {}/swapped-model {}/copy").failure().code(1);
    let printed = String::from_utf8_lossy(&differs.get_output().stdout).into_owned();
    assert!(
        printed.starts_with("attention is \"opposite\" in the first, \"softmax\" in the second"),
        "{printed}"
    );
}
