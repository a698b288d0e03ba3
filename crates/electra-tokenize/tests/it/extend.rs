//! Adding words to a vocabulary.

use crate::vocab;
use electra_tokenize::{
    AddedToken, NewWord, Placement, Tokenizer, TokenizerConfig, WordPiece, is_unused,
};

/// Ids 5 to 12; `[E1]` is an added token with id 13.
fn model() -> WordPiece {
    let tokens = ["[unused0]", "cardio", "##myo", "##pathy", "##s", "x", "[unused7]", "the"];
    let vocab = vocab(&tokens).with_added([AddedToken::from("[E1]", true)]).unwrap();
    WordPiece::new(vocab, TokenizerConfig::default()).unwrap()
}

fn new(word: &str, id: u32, pieces: &[u32]) -> NewWord {
    NewWord { word: word.to_owned(), id, pieces: pieces.to_vec() }
}

#[test]
fn new_words_follow_the_vocabulary() {
    let (extended, words) = model()
        .extend(&["Cardiomyopathy", "xs", "\u{3bb}\u{3cc}\u{3b3}"], Placement::Append)
        .unwrap();
    // Normalized: lower-cased, without accents.
    let expected = [
        new("cardiomyopathy", 14, &[6, 7, 8]),
        new("xs", 15, &[10, 9]),
        new("\u{3bb}\u{3bf}\u{3b3}", 16, &[1]),
    ];
    assert_eq!(words, expected);
    assert_eq!(extended.vocab().len(), 17);
    // `xss` is now `xs ##s`; added tokens keep their ids.
    let ids = extended.encode("the cardiomyopathys xss cardios[E1]").unwrap();
    assert_eq!(ids, [12, 14, 9, 15, 9, 6, 9, 13]);
    // Written and read again.
    let dir = tempfile::tempdir().unwrap();
    extended.write_pretrained(dir.path(), 16).unwrap();
    let read = WordPiece::from_pretrained_dir(dir.path()).unwrap();
    assert_eq!(read.encode("xs[E1]the").unwrap(), [15, 13, 12]);
    assert_eq!(read.vocab().hash(), extended.vocab().hash());
}

#[test]
fn new_words_take_the_place_of_unused_tokens() {
    let (extended, words) = model().extend(&["xs", "cardios"], Placement::Unused).unwrap();
    assert_eq!(words, [new("xs", 5, &[10, 9]), new("cardios", 11, &[6, 9])]);
    assert_eq!(extended.vocab().len(), model().vocab().len());
    assert_eq!(extended.encode("xs cardios [E1]").unwrap(), [5, 11, 13]);
    assert_eq!(extended.vocab().id("[unused0]"), None);
    let error =
        model().extend(&["xs", "cardios", "xx"], Placement::Unused).unwrap_err().to_string();
    assert!(error.contains("2 tokens such as [unused0]") && error.contains("3 words"), "{error}");
}

#[test]
fn words_that_cannot_be_added_are_listed() {
    let long = "y".repeat(101);
    let words =
        ["xs", "The", "XS", "[MASK]", "[unused0]", "[E1]", "covid-19", "two words", "\u{1}", &long];
    let error = model().extend(&words, Placement::Append).unwrap_err().to_string();
    for problem in [
        "9 words cannot be added",
        "\"The\" is in the vocabulary: \"the\" has id 12",
        "\"XS\" is a duplicate",
        "\"[MASK]\" is a special token",
        "\"[unused0]\" is a special token",
        "\"[E1]\" is a special token",
        "\"covid-19\" is split into [\"covid\", \"-\", \"19\"]",
        "\"two words\" is split into",
        "\"\\u{1}\" has no text",
        "has 101 characters, more than the word limit of 100",
    ] {
        assert!(error.contains(problem), "{problem:?} is not in {error:?}");
    }
}

#[test]
fn unused_tokens_have_a_number() {
    for (token, expected) in [
        ("[unused0]", true),
        ("[unused993]", true),
        ("[unused]", false),
        ("[unusedx]", false),
        ("unused1", false),
    ] {
        assert_eq!(is_unused(token), expected, "{token}");
    }
}
