//! Encoding, truncation, the order of epochs, learning rates by layer.

use electra_tasks::{
    batch::{Input, InputGroups, TaskBatch},
    objective::layer_rule,
    order::epoch_order,
};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use electra_train::{objective::Batch, optim::Decay};
use proptest::prelude::*;

/// Ids: [CLS] 2, [SEP] 3, the letters a to h 5 to 12.
fn letters() -> WordPiece {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let tokens = special.into_iter().chain(('a'..='h').map(String::from)).collect();
    WordPiece::new(Vocab::from_tokens(tokens).unwrap(), TokenizerConfig::default()).unwrap()
}

#[track_caller]
fn check(a: &str, b: Option<&str>, max_length: usize, ids: &[u32], second: usize) {
    let input = Input::encode(&letters(), a, b, max_length).unwrap();
    assert_eq!((&input.ids[..], input.segment_b_start), (ids, second));
}

/// `_truncate_seq_pair` by hand: one token at a time from the end of the longer text, of the second where they
/// are equally long.
#[test]
fn texts_are_cut_as_the_reference_cuts_them() {
    check("a b", None, 8, &[2, 5, 6, 3], 4);
    check("a b c d", None, 4, &[2, 5, 6, 3], 4);
    check("a b", Some("c"), 8, &[2, 5, 6, 3, 7, 3], 4);
    check("a b c d", Some("e"), 7, &[2, 5, 6, 7, 3, 9, 3], 5);
    check("a b c d", Some("e f g h"), 8, &[2, 5, 6, 7, 3, 9, 10, 3], 5);
    check("a b c d", Some("e f g h"), 7, &[2, 5, 6, 3, 9, 10, 3], 4);
    check("a", Some("b c d e f"), 6, &[2, 5, 3, 6, 7, 3], 3);
}

proptest! {
    #[test]
    fn a_pair_is_truncated_no_more_than_needed(a in 0usize..12, b in 0usize..12, max_length in 4usize..20) {
        let text = |n: usize| vec!["a"; n].join(" ");
        let input = Input::encode(&letters(), &text(a), Some(&text(b)), max_length).unwrap();
        prop_assert_eq!(input.ids.len(), (a + b + 3).min(max_length));
    }

    #[test]
    fn an_epoch_has_every_example_once(n in 1usize..500, seed: u64, epoch: u64) {
        let mut order = epoch_order(n, seed, epoch);
        prop_assert_eq!(&order, &epoch_order(n, seed, epoch));
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
}

/// Groups of 1, 2 and 3 inputs, whose lengths are 1 to 6.
#[test]
fn a_batch_has_all_inputs_of_its_groups() {
    let input = |length| Input { ids: vec![5; length], segment_b_start: length };
    let groups = InputGroups::new((1..=6).map(input).collect(), [1, 2, 3]);
    assert_eq!((groups.len(), groups.lengths()), (3, vec![1, 3, 6]));
    let lengths = |batch: &TaskBatch| -> Vec<usize> {
        batch.inputs().iter().map(|input| input.ids.len()).collect()
    };
    let batch = TaskBatch::new(groups.clone(), vec![2, 0]);
    assert_eq!(lengths(&batch), [4, 5, 6, 1]);
    let counts = batch.loss_counts();
    assert_eq!((batch.sequences(), counts.predictions, counts.tokens), (2, 2, 16));
    let parts = batch.split(5);
    assert_eq!(parts.iter().map(lengths).collect::<Vec<_>>(), [vec![4, 5, 6], vec![1]]);
    let both = InputGroups::concat(&[groups, vec![input(7), input(8)].into()]);
    assert_eq!(both.lengths(), [1, 3, 6, 7, 8]);
    assert_eq!(lengths(&TaskBatch::new(both, vec![4, 1])), [8, 2, 3]);
}

/// The reference's depths with 12 layers and a decay of 0.8: the head 14, layer i has i + 1, the rest 0.
#[test]
fn rates_by_layer_are_the_references() {
    for (name, exponent, decay) in [
        ("task_head.weight", 0, Decay::On),
        ("task_head.bias", 0, Decay::Off),
        ("electra.encoder.layer.11.output.dense.weight", 2, Decay::On),
        ("electra.encoder.layer.1.output.LayerNorm.weight", 12, Decay::Off),
        ("electra.encoder.layer.0.output.dense.weight", 13, Decay::On),
        ("electra.embeddings.word_embeddings.weight", 14, Decay::On),
        ("electra.embeddings_project.weight", 14, Decay::On),
    ] {
        let rule = layer_rule(name, 12, 0.8);
        assert_eq!(rule.decay, decay, "{name}");
        assert!((rule.rate - 0.8f64.powi(exponent)).abs() < 1e-12, "{name}: {}", rule.rate);
    }
}
