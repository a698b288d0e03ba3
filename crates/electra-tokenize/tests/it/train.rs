//! Learning a vocabulary: merges worked out by hand, and the same bytes always.

use electra_tokenize::{Error, TokenizerConfig, TrainConfig, train_vocab};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

fn learn(texts: &[&str], train: TrainConfig) -> electra_tokenize::Result<Vec<String>> {
    let texts = texts.iter().map(|&text| Ok::<_, Infallible>(text));
    Ok(train_vocab(texts, &TokenizerConfig::default(), &train)?.tokens().to_vec())
}

/// The words are hug x 10, pug x 5, pun x 12, bun x 4, hugs x 5. Counts of pairs: u+g 20, u+n 16, h+u 15,
/// p+u 17, b+u 4, g+s 5. After `##ug`, h+ug has 15, u+n 16; after `##un`: p+un has 12; after `hug`: hug+s 5.
#[test]
fn merges_are_those_worked_out_by_hand() {
    let text = [("hug", 10), ("pug", 5), ("pun", 12), ("bun", 4), ("hugs", 5)]
        .map(|(word, n)| format!("{word} ").repeat(n))
        .concat();
    let found = learn(&[&text], TrainConfig::new(5 + 7 + 4)).unwrap();
    let expected = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", // always these ids
        "##g", "##n", "##s", "##u", "b", "h", "p", // sorted
        "##ug", "##un", "hug", "pun",
    ];
    assert_eq!(found, expected);
}

#[test]
fn pairs_that_are_too_rare_are_not_merged() {
    let train = TrainConfig { min_frequency: 3, ..TrainConfig::new(100) };
    let found = learn(&["ab ab ab cd cd"], train).unwrap();
    assert_eq!(found[5..], ["##b", "##d", "a", "c", "ab"]);
}

#[test]
fn words_with_rare_characters_teach_nothing() {
    let train = TrainConfig { alphabet: 2, ..TrainConfig::new(100) };
    let found = learn(&["ab ab ab ax ax"], train).unwrap();
    assert_eq!(found[5..], ["##b", "a", "ab"]);
}

#[test]
fn the_number_of_threads_changes_no_token() {
    let texts: Vec<String> =
        (0..3000).map(|i| format!("w{} x{} the {}", i % 70, i % 11, i * 37 % 1009)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| learn(&texts, TrainConfig::new(300))).unwrap()
    };
    let one = with(1);
    assert_eq!(one.len(), 300);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

/// A text that adds its length to what is held, and takes it away when it is dropped.
struct Held(String, Arc<AtomicUsize>);

impl AsRef<str> for Held {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Relaxed);
    }
}

/// 40 documents of 1 MiB: more than 8 MiB and one document are never in memory together.
#[test]
fn texts_in_memory_are_bounded_by_their_bytes() {
    let (held, mut most) = (Arc::new(AtomicUsize::new(0)), 0);
    let texts = (0..40).map(|_| {
        let text = Held("ab ".repeat((1 << 20) / 3), Arc::clone(&held));
        most = most.max(held.fetch_add(text.0.len(), Relaxed) + text.0.len());
        Ok::<_, Infallible>(text)
    });
    train_vocab(texts, &TokenizerConfig::default(), &TrainConfig::new(10)).unwrap();
    assert!((1 << 20..=9 << 20).contains(&most), "{most}");
}

/// One text of several pieces, which are cut somewhere in it, and the same words one by one. Words of 3 and
/// more bytes and of several characters stand at every cut.
#[test]
fn a_long_text_teaches_what_its_words_teach() {
    let words: Vec<String> =
        (0..40_000).map(|i| format!("w{} \u{e9}\u{4e00}x{}", i % 97, i * 31 % 499)).collect();
    let text = words.join("\n");
    assert!(text.len() > 4 << 16);
    let apart: Vec<&str> = text.split_whitespace().collect();
    let train = TrainConfig::new(600);
    assert_eq!(learn(&[&text], train).unwrap(), learn(&apart, train).unwrap());
}

#[test]
fn corpora_and_sizes_that_nothing_can_be_learned_with() {
    assert!(matches!(learn(&["  \n"], TrainConfig::new(100)), Err(Error::NoText)));
    let error = learn(&["abc"], TrainConfig::new(6)).unwrap_err().to_string();
    assert!(error.contains('6') && error.contains('3'), "{error}");
    let failing = [Ok("a"), Err(std::io::Error::other("the disk is gone"))];
    let result = train_vocab(failing, &TokenizerConfig::default(), &TrainConfig::new(100));
    assert_eq!(result.unwrap_err().to_string(), "the disk is gone");
}
