//! Packing: no token is lost, none is moved, nothing is longer than it may be.

use electra_data::{Example, PackingConfig, packing::pack_document};
use proptest::prelude::*;

const CLS: u32 = 2;
const SEP: u32 = 3;

fn pack(sentences: &[Vec<u32>], config: &PackingConfig, document: u64) -> Vec<Example> {
    let mut examples = Vec::new();
    pack_document(sentences, config, 5, document, (CLS, SEP), |example| examples.push(example));
    examples
}

fn sentences() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(10u32..1000, 0..60), 0..30)
}

proptest! {
    #[test]
    fn the_text_comes_back_whole_and_in_order(
        sentences in sentences(), length in 3usize..70, document: u64,
    ) {
        let examples = pack(&sentences, &PackingConfig::reference(length), document);
        let text = |ids: &[u32]| ids.iter().copied().filter(|id| ![CLS, SEP].contains(id)).collect::<Vec<_>>();
        let packed: Vec<u32> = examples.iter().flat_map(|example| text(&example.ids)).collect();
        prop_assert_eq!(packed, sentences.concat());
        for example in &examples {
            prop_assert!((3..=length).contains(&example.ids.len()));
        }
    }

    #[test]
    fn an_example_is_cls_a_sep_or_cls_a_sep_b_sep(
        sentences in sentences(), length in 3usize..70, document: u64,
    ) {
        for Example { ids, second } in pack(&sentences, &PackingConfig::reference(length), document) {
            prop_assert_eq!(ids[0], CLS);
            prop_assert_eq!(ids[ids.len() - 1], SEP);
            prop_assert_eq!(ids[second - 1], SEP);
            let seps = ids.iter().filter(|&&id| id == SEP).count();
            prop_assert_eq!(seps, if second == ids.len() { 1 } else { 2 });
            prop_assert!(second > 2, "the first segment has a token");
        }
    }
}

#[test]
fn a_long_line_is_carried_over_and_not_cut_off() {
    let line: Vec<u32> = (10..110).collect();
    let config = PackingConfig { sequence_length: 16, single_segment: 0.0, short: 0.0 };
    let examples = pack(&[line], &config, 0);
    // 13 tokens beside [CLS] and two [SEP], or 14 in one segment.
    assert!((8..=9).contains(&examples.len()), "{}", examples.len());
}

/// Switched off, every example but a document's last is full, and has two segments.
#[test]
fn short_and_single_examples_can_be_switched_off() {
    let sentences: Vec<Vec<u32>> = (0..400).map(|i| vec![10 + i; 5]).collect();
    let config = PackingConfig { sequence_length: 64, single_segment: 0.0, short: 0.0 };
    let examples = pack(&sentences, &config, 0);
    for example in &examples[..examples.len() - 1] {
        assert_eq!(example.ids.len(), 64);
        assert!(example.second < 64);
    }
}

/// Bounds are six standard deviations of the binomial.
#[test]
fn about_a_tenth_is_single_and_a_twentieth_short() {
    let sentences: Vec<Vec<u32>> = (0..200_000).map(|i| vec![10 + i % 9; 6]).collect();
    let examples = pack(&sentences, &PackingConfig::reference(64), 0);
    let n = examples.len() as f64;
    let share = |count: usize, p: f64| {
        assert!((count as f64 - n * p).abs() < 6.0 * (n * p * (1.0 - p)).sqrt(), "{count} of {n}");
    };
    // A short example of 5 or 6 tokens may have no room for a second segment: count the full ones.
    let full = |example: &&Example| example.ids.len() >= 63;
    let single = examples.iter().filter(full).filter(|e| e.second == e.ids.len()).count();
    share(single, 0.1 * 0.95);
    // Targets are uniform in 5..=64: 58 of 60 are shorter than 63.
    share(examples.len() - examples.iter().filter(full).count(), 0.05 * 58.0 / 60.0);
}
