//! Training a vocabulary: merges computed by hand, and determinism.

use electra_tokenize::{Error, TokenizerConfig, TrainConfig, train_vocab};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

fn train(texts: &[&str], config: TrainConfig) -> electra_tokenize::Result<Vec<String>> {
    let texts = texts.iter().map(|&text| Ok::<_, Infallible>(text));
    Ok(train_vocab(texts, &TokenizerConfig::default(), &config)?.tokens().to_vec())
}

/// The words are hug x 10, pug x 5, pun x 12, bun x 4, hugs x 5. Counts of pairs: u+g 20, u+n 16, h+u 15,
/// p+u 17, b+u 4, g+s 5. After `##ug`, h+ug has 15, u+n 16; after `##un`: p+un has 12; after `hug`: hug+s 5.
#[test]
fn merges_equal_those_computed_by_hand() {
    let text = [("hug", 10), ("pug", 5), ("pun", 12), ("bun", 4), ("hugs", 5)]
        .map(|(word, n)| format!("{word} ").repeat(n))
        .concat();
    let found = train(&[&text], TrainConfig::new(5 + 7 + 4)).unwrap();
    let expected = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", // fixed ids
        "##g", "##n", "##s", "##u", "b", "h", "p", // sorted
        "##ug", "##un", "hug", "pun",
    ];
    assert_eq!(found, expected);
}

#[test]
fn rare_pairs_are_not_merged() {
    let config = TrainConfig { min_frequency: 3, ..TrainConfig::new(100) };
    let found = train(&["ab ab ab cd cd"], config).unwrap();
    assert_eq!(found[5..], ["##b", "##d", "a", "c", "ab"]);
}

#[test]
fn words_with_characters_outside_the_alphabet_are_ignored() {
    let config = TrainConfig { alphabet: 2, ..TrainConfig::new(100) };
    let found = train(&["ab ab ab ax ax"], config).unwrap();
    assert_eq!(found[5..], ["##b", "a", "ab"]);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let texts: Vec<String> =
        (0..3000).map(|i| format!("w{} x{} the {}", i % 70, i % 11, i * 37 % 1009)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&texts, TrainConfig::new(300))).unwrap()
    };
    let one = with(1);
    assert_eq!(one.len(), 300);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

/// A text that counts its bytes while it is in memory.
struct Counted(String, Arc<AtomicUsize>);

impl AsRef<str> for Counted {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Relaxed);
    }
}

/// 40 documents of 1 MiB: at most 8 MiB plus one document are in memory at once.
#[test]
fn bytes_of_text_in_memory_are_bounded() {
    let (held, mut most) = (Arc::new(AtomicUsize::new(0)), 0);
    let texts = (0..40).map(|_| {
        let text = Counted("ab ".repeat((1 << 20) / 3), Arc::clone(&held));
        most = most.max(held.fetch_add(text.0.len(), Relaxed) + text.0.len());
        Ok::<_, Infallible>(text)
    });
    train_vocab(texts, &TokenizerConfig::default(), &TrainConfig::new(10)).unwrap();
    assert!((1 << 20..=9 << 20).contains(&most), "{most}");
}

/// A long text, which is split into pieces, compared with its words as separate texts. Words have several bytes and
/// multi-byte characters, so that a wrong split would show.
#[test]
fn a_long_text_gives_the_same_vocabulary_as_its_words() {
    let words: Vec<String> =
        (0..40_000).map(|i| format!("w{} \u{e9}\u{4e00}x{}", i % 97, i * 31 % 499)).collect();
    let text = words.join("\n");
    assert!(text.len() > 4 << 16);
    let words: Vec<&str> = text.split_whitespace().collect();
    let config = TrainConfig::new(600);
    assert_eq!(train(&[&text], config).unwrap(), train(&words, config).unwrap());
}

/// 2 of 3 words and 8 of 11 characters are over the limit of 3.
#[test]
fn words_over_the_limit_are_noted() {
    let config = TokenizerConfig { max_chars_per_word: 3, ..TokenizerConfig::default() };
    let train =
        |text: &str| train_vocab([Ok::<_, Infallible>(text)], &config, &TrainConfig::new(100));
    let vocab = train("abcd abc bcde").unwrap();
    assert_eq!(vocab.tokens()[5..], ["##b", "##c", "a"]);
    let note = vocab.notes().join("\n");
    for word in ["2 words (72.7 % of the text)", "3 characters", "\"abcd\"", "--max-chars-per-word"]
    {
        assert!(note.contains(word), "{word:?} is not in {note:?}");
    }
    let error = train("abcde abcd\n").unwrap_err().to_string();
    for word in ["all 2 words", "longer than 3", "\"abcde\" of 5", "--max-chars-per-word"] {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
    assert!(train("abc abc").unwrap().notes().is_empty());
}

/// 1 of 4 words has a character that is not among the 2 most frequent.
#[test]
fn words_outside_the_alphabet_are_noted() {
    let texts = [Ok::<_, Infallible>("ab ab ab ax")];
    let config = TrainConfig { alphabet: 2, ..TrainConfig::new(100) };
    let vocab = train_vocab(texts, &TokenizerConfig::default(), &config).unwrap();
    let note = vocab.notes().join("\n");
    for word in ["1 words (25.0 %)", "the 2 most frequent", "3 characters", "--alphabet"] {
        assert!(note.contains(word), "{word:?} is not in {note:?}");
    }
}

#[test]
fn empty_corpora_small_sizes_and_failing_readers_are_errors() {
    assert!(matches!(train(&["  \n"], TrainConfig::new(100)), Err(Error::NoText)));
    let error = train(&["abc"], TrainConfig::new(6)).unwrap_err().to_string();
    assert!(error.contains("size 6") && error.contains("3 characters"), "{error}");
    let failing = [Ok("a"), Err(std::io::Error::other("the disk is gone"))];
    let result = train_vocab(failing, &TokenizerConfig::default(), &TrainConfig::new(100));
    assert_eq!(result.unwrap_err().to_string(), "the disk is gone");
}
