//! Packing: no token is lost or moved, and no example is too long.

use electra_data::{Example, PackingConfig, packing::pack_document};
use proptest::prelude::*;
use std::collections::BTreeMap;

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
    fn packing_keeps_the_text_and_its_order(
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
fn a_long_line_continues_in_the_next_example() {
    let line: Vec<u32> = (10..110).collect();
    let config = PackingConfig { sequence_length: 16, single_segment: 0.0, short: 0.0 };
    let examples = pack(&[line], &config, 0);
    // 13 tokens besides [CLS] and two [SEP], or 14 in one segment.
    assert!((8..=9).contains(&examples.len()), "{}", examples.len());
}

/// If disabled, every example except the last of a document is full and has two segments.
#[test]
fn short_and_single_examples_can_be_disabled() {
    let sentences: Vec<Vec<u32>> = (0..400).map(|i| vec![10 + i; 5]).collect();
    let config = PackingConfig { sequence_length: 64, single_segment: 0.0, short: 0.0 };
    let examples = pack(&sentences, &config, 0);
    for example in &examples[..examples.len() - 1] {
        assert_eq!(example.ids.len(), 64);
        assert!(example.second < 64);
    }
}

/// The first segment always takes the first sentence. It takes another one if it stays below (64 - 3) / 2 = 30 tokens,
/// or with probability 0.5 if it has fewer than 30 so far. The possible lengths, computed by hand, are equally likely.
/// Bounds are six standard deviations of the binomial.
#[test]
fn the_first_segment_has_about_half_the_target() {
    let config = PackingConfig { sequence_length: 64, single_segment: 0.0, short: 0.0 };
    for (sentence, expected) in [
        (1, vec![29, 30]),
        (10, vec![20, 30]),
        (29, vec![29, 58]),
        (30, vec![30]),
        (40, vec![40]),
        (100, vec![62]), // split; the rest is in the next example
    ] {
        let sentences = vec![vec![10; sentence]; 100usize.div_ceil(sentence) + 1];
        let rounds = 2000;
        let mut counts = BTreeMap::new();
        for document in 0..rounds {
            let second = pack(&sentences, &config, document)[0].second;
            *counts.entry(second - 2).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), expected, "sentences of {sentence}");
        let (n, p) = (rounds as f64, 1.0 / expected.len() as f64);
        for count in counts.into_values() {
            let error = (f64::from(count) - n * p).abs();
            assert!(error <= 6.0 * (n * p * (1.0 - p)).sqrt(), "{count} of {n}, {sentence}");
        }
    }
}

/// With sentences of one token, an example has exactly its target length: 64, or with probability 5 % uniform in 5 to 64.
/// Bounds are six standard deviations of the binomial and of chi-square.
#[test]
fn ten_percent_are_single_and_five_percent_short() {
    let sentences: Vec<Vec<u32>> = vec![vec![10]; 1_500_000];
    let mut examples = pack(&sentences, &PackingConfig::reference(64), 0);
    examples.pop(); // the incomplete last one
    let n = examples.len() as f64;
    let check = |count: usize, p: f64| {
        assert!((count as f64 - n * p).abs() < 6.0 * (n * p * (1.0 - p)).sqrt(), "{count} of {n}");
    };
    check(examples.iter().filter(|e| e.second == e.ids.len()).count(), 0.1);
    let mut counts = [0usize; 65];
    for example in &examples {
        counts[example.ids.len()] += 1;
    }
    assert_eq!(counts[..5], [0; 5]);
    let short = &counts[5..64];
    check(short.iter().sum(), 0.05 * 59.0 / 60.0);
    // The 59 shorter lengths are equally likely: chi-square with 58 degrees of freedom, mean 58 and variance 116.
    let expected = short.iter().sum::<usize>() as f64 / 59.0;
    let chi_square: f64 =
        short.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    assert!((chi_square - 58.0).abs() < 6.0 * 116f64.sqrt(), "{chi_square}");
    // Having one segment is independent of the length.
    let single = examples.iter().filter(|e| e.ids.len() < 64 && e.second == e.ids.len()).count();
    let n = short.iter().sum::<usize>() as f64;
    assert!((single as f64 - 0.1 * n).abs() < 6.0 * (n * 0.09).sqrt(), "{single} of {n}");
}
