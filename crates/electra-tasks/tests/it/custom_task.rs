//! The example of a custom kind of task: it is learned, and the source is short.

use crate::{e2e::turn, root};
use electra_scores::{LabelSpace, Metric};
use electra_tasks::{Completion, Finetune, FinetuneConfig, Weights};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use example::Majority;
use std::{fs, sync::atomic::AtomicBool};

#[allow(dead_code, reason = "`main` is run by people")]
#[path = "../../examples/custom_task.rs"]
mod example;

#[test]
fn a_task_of_your_own_is_trained_scored_and_written() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let sizes = root().join("tests/fixtures/foreign/base/config.json");
    fs::copy(sizes, dir.path().join("config.json")).unwrap();
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"].map(str::to_owned);
    let vocab = Vocab::from_tokens(tokens.to_vec()).unwrap();
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
    tokenizer.write_pretrained(dir.path(), 16).unwrap();
    // Whether so small a network learns the task depends on the random numbers, which a CPU repeats.
    let sets = [
        "train.max_length=16",
        "train.epochs=40",
        "optimizer.learning_rate=1e-2",
        "train.device=cpu",
    ];
    let preset = root().join("configs/finetune-tiny.toml");
    let config = FinetuneConfig::read(&preset, &sets.map(str::to_owned)).unwrap();
    let out = dir.path().join("out");
    let task = Majority(LabelSpace::Classes(vec!["no".to_owned(), "yes".to_owned()]));
    let mut finetune = Finetune::new(&task, "", dir.path(), &config, &out);
    finetune.weights = Weights::Random;
    let done = finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let Completion::Finished(report) = done else { panic!("the run was not stopped") };
    // 22 of 64 lines have more than three words `a`: a constant is right for 42 of them.
    let score = report.seeds[0].dev_score(Metric::Accuracy).unwrap();
    assert!(score > 42.0 / 64.0, "{score}");
    assert!(out.join("model/task.json").is_file());

    let source = fs::read_to_string(root().join("crates/electra-tasks/examples/custom_task.rs"));
    assert!(source.unwrap().lines().count() < 100);
}
