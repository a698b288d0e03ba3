//! Encoding equals that of BERT and of the `tokenizers` crate, on any text.

use crate::{tokenizer, vocab};
use electra_tokenize::{
    Accents, AddedToken, Case, Tokenizer, TokenizerConfig, TrainConfig, UnknownCause, Vocab,
    WordPiece, train_vocab,
};
use proptest::prelude::*;
use std::convert::Infallible;

/// The tokens of a text.
fn tokens(tokenizer: &WordPiece, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text).unwrap();
    ids.into_iter().map(|id| tokenizer.vocab().token(id).unwrap().to_owned()).collect()
}

/// The normalized words of `text`: the vocabulary has every character, at the start of a word and inside it.
fn normalized_words(text: &str, config: TokenizerConfig) -> Vec<String> {
    let mut vocab: Vec<String> =
        text.chars().flat_map(|c| [c.to_string(), format!("##{c}")]).collect();
    vocab.sort();
    vocab.dedup();
    let tokenizer = tokenizer(&vocab.iter().map(String::as_str).collect::<Vec<_>>(), config);
    let mut words: Vec<String> = Vec::new();
    for token in tokens(&tokenizer, text) {
        match (token.strip_prefix("##"), words.last_mut()) {
            (Some(rest), Some(word)) => word.push_str(rest),
            _ => words.push(token),
        }
    }
    words
}

const UNCASED: TokenizerConfig =
    TokenizerConfig { case: Case::Uncased, accents: Accents::Auto, max_chars_per_word: 100 };

/// The cases of the reference's `tokenization_test.py`.
#[test]
fn cases_of_the_reference() {
    let t = tokenizer(&["want", "##want", "##ed", "wa", "un", "runn", "##ing", ","], UNCASED);
    assert_eq!(tokens(&t, "UNwant\u{e9}d,running"), ["un", "##want", "##ed", ",", "runn", "##ing"]);
    assert_eq!(tokens(&t, ""), [""; 0]);
    assert_eq!(tokens(&t, "unwanted running"), ["un", "##want", "##ed", "runn", "##ing"]);
    assert_eq!(tokens(&t, "unwantedX running"), ["[UNK]", "runn", "##ing"]);

    let letters = |text: &str, lower: &str, config| {
        normalized_words(&(text.to_owned() + " " + lower), config)
    };
    let all = letters("ah\u{535A}\u{63A8}zz", "", UNCASED);
    assert_eq!(all, ["ah", "\u{535A}", "\u{63A8}", "zz"]);
    let all = letters(" \tHeLLo!how  \n Are yoU?  ", "hello!how are you?", UNCASED);
    assert_eq!(all[..6], ["hello", "!", "how", "are", "you", "?"]);
    let all = letters("H\u{E9}llo", "hello", UNCASED);
    assert_eq!(all[0], "hello");
    let cased = TokenizerConfig { case: Case::Cased, ..UNCASED };
    let all = letters(" \tHeLLo!how  \n Are yoU?  ", "", cased);
    assert_eq!(all, ["HeLLo", "!", "how", "Are", "yoU", "?"]);
}

#[test]
fn accents_are_kept_or_stripped_as_configured() {
    let check = |case, accents, expected| {
        let config = TokenizerConfig { case, accents, max_chars_per_word: 100 };
        assert_eq!(
            normalized_words("\u{c9}t\u{e9} Ete \u{e9}t\u{e9} ete", config)[0],
            expected,
            "{case:?} {accents:?}"
        );
    };
    check(Case::Uncased, Accents::Auto, "ete");
    check(Case::Uncased, Accents::Keep, "\u{e9}t\u{e9}");
    check(Case::Cased, Accents::Auto, "\u{c9}t\u{e9}");
    check(Case::Cased, Accents::Strip, "Ete");
}

#[test]
fn control_characters_are_removed_and_unicode_spaces_separate_words() {
    assert_eq!(normalized_words("a\u{0}b\u{fffd}c\u{200d}d", UNCASED), ["abcd"]);
    assert_eq!(normalized_words("a\u{a0}b\u{3000}c\td", UNCASED), ["a", "b", "c", "d"]);
    assert_eq!(
        normalized_words("$1.50 a-b a\u{2014}b", UNCASED),
        ["$", "1", ".", "50", "a", "-", "b", "a", "\u{2014}", "b"]
    );
}

#[test]
fn words_over_the_limit_become_unk() {
    let t = |max_chars_per_word| {
        tokenizer(&["a", "##a"], TokenizerConfig { max_chars_per_word, ..UNCASED })
    };
    let word = |n: usize| "a".repeat(n);
    assert_eq!(t(100).encode(&word(100)).unwrap().len(), 100);
    assert_eq!(t(100).encode(&word(101)).unwrap(), [1]);
    assert_eq!(t(200).encode(&word(200)).unwrap().len(), 200);
    assert_eq!(t(200).encode(&word(201)).unwrap(), [1]);
}

/// Each text with the number of its words that are over the limit of 3, counted by hand.
#[test]
fn words_over_the_limit_are_told_from_other_unknown_words() {
    let t = tokenizer(&["a", "##a"], TokenizerConfig { max_chars_per_word: 3, ..UNCASED });
    for (text, expected) in [
        ("aaa b aaa", 0),
        ("aaaa b aaaaa.aaaa aaa", 3),
        ("\u{e9}\u{e9}\u{e9} \u{e9}\u{e9}\u{e9}\u{e9}", 1), // 6 and 8 bytes
        ("e\u{301}ee", 0),                                  // 4 characters, 3 without the accent
        ("\u{4e00}\u{4e00}\u{4e00}\u{4e00}", 0),            // each ideograph is a word
    ] {
        let unknown = t.unknown_words(text).unwrap();
        let long = unknown.iter().filter(|word| word.cause == UnknownCause::TooLong);
        assert_eq!(long.count(), expected, "{text:?}");
        let ids = t.encode(text).unwrap();
        assert_eq!(unknown.len(), ids.iter().filter(|id| **id == 1).count(), "{text:?}");
    }
}

/// Each unknown word has its bytes in the text and the reason.
#[test]
fn unknown_words_have_a_reason() {
    use UnknownCause::{Characters, Normalization, TooLong};
    let check = |tokens: &[&str], case, text: &str, expected: &[(&str, UnknownCause)]| {
        let config = TokenizerConfig { case, max_chars_per_word: 5, ..UNCASED };
        let words = tokenizer(tokens, config).unknown_words(text).unwrap();
        let found: Vec<_> = words.into_iter().map(|w| (&text[w.range], w.cause)).collect();
        assert_eq!(found, expected);
    };
    let lower = ["the", "cafe", "x"];
    check(
        &lower,
        Case::Cased,
        "The x Caf\u{e9}, \u{3bb} the",
        &[
            ("The", Normalization),
            ("Caf\u{e9}", Normalization),
            (",", Characters),
            ("\u{3bb}", Characters),
        ],
    );
    // Of a vocabulary with upper-case letters, none remain after lower-casing.
    let upper = ["The", "Caf\u{e9}", "x"];
    check(
        &upper,
        Case::Uncased,
        "The x thethe Caf\u{e9}",
        &[("The", Normalization), ("thethe", TooLong), ("Caf\u{e9}", Normalization)],
    );
}

/// Only tokens that the settings change: not those that are rare, or that are no words.
#[test]
fn tokens_with_upper_case_letters_are_unreachable_without_case() {
    let tokens = ["The", "##S", "caf\u{e9}", "the", "\u{4e2d}", "\u{2028}", "[unused1]"];
    let unreachable = |case| {
        let config = TokenizerConfig { case, ..UNCASED };
        tokenizer(&tokens, config).unreachable().unwrap()
    };
    assert_eq!(unreachable(Case::Uncased), [5, 6, 7]);
    assert_eq!(unreachable(Case::Cased), [0; 0]);
}

#[test]
fn special_tokens_in_text_are_encoded_as_text() {
    let t = tokenizer(&["[", "]", "mask"], UNCASED);
    assert_eq!(tokens(&t, "[MASK]"), ["[", "mask", "]"]);
}

#[test]
fn ids_outside_the_vocabulary_decode_to_unk() {
    let t = tokenizer(&["un", "##want", "##ed"], UNCASED);
    assert_eq!(t.decode(&[5, 6, 7, 99]), "unwanted [UNK]");
}

/// `#` is punctuation, so `##` alone is a word.
#[test]
fn continuations_have_text_behind_their_mark() {
    let continuations = vocab(&["un", "##want", "##", "#", "###"]).continuations();
    assert_eq!(continuations[5..], [false, true, false, false, true]);
    assert!(!continuations[..5].contains(&true), "special tokens");
}

/// The pipeline of the `tokenizers` crate with the same vocabulary.
fn hugging_face(vocab: &Vocab, config: &TokenizerConfig) -> tokenizers::Tokenizer {
    use tokenizers::{
        models::wordpiece::WordPiece, normalizers::BertNormalizer,
        pre_tokenizers::bert::BertPreTokenizer,
    };
    let ids: ahash::AHashMap<String, u32> = vocab.tokens().iter().cloned().zip(0..).collect();
    let model = WordPiece::builder()
        .vocab(ids)
        .max_input_chars_per_word(config.max_chars_per_word)
        .build()
        .unwrap();
    let strip = match config.accents {
        Accents::Auto => None,
        Accents::Strip => Some(true),
        Accents::Keep => Some(false),
    };
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(
        true,
        true,
        strip,
        config.case == Case::Uncased,
    )));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
}

/// A trained vocabulary, with merged tokens.
fn trained() -> Vocab {
    let text = "the quick brown fox jumps over the lazy dogs, café déjà vu naïve 1790 3.14 don't [MASK] ##s \
                Straße ΑΒΓ привет 東京 한국어 ﬁne";
    let texts = (0..3).map(|_| Ok::<_, Infallible>(text));
    train_vocab(texts, &UNCASED, &TrainConfig { alphabet: 100, ..TrainConfig::new(260) }).unwrap()
}

fn any_text() -> impl Strategy<Value = String> {
    // Words of the vocabulary, characters that cleaning treats specially, and arbitrary characters.
    let known = prop::sample::select(vec![
        "the ",
        "Quick",
        " brown",
        "foxes ",
        "café",
        "DÉJÀ",
        "1790",
        ".",
        ",",
        "don't",
        "東京",
        "한국어",
        "\u{b}",
        "\u{c}",
        "\u{85}",
        "\u{a0}",
        "\u{0}",
        "\u{fffd}",
        "\u{200d}",
        "\u{ad}",
        "\n",
        "\r\n",
        "e\u{301}",
        "İ",
        "ß",
        "ﬁ",
        "[MASK]",
        "##s",
        "\u{2028}",
        "\u{e000}",
        "😀",
    ]);
    let piece = prop_oneof![
        known.prop_map(str::to_owned),
        "\\PC{0,4}",
        any::<char>().prop_map(String::from)
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn ids_equal_those_of_the_tokenizers_crate(
        texts in prop::collection::vec(any_text(), 1..6),
        cased: bool,
        accents in prop::sample::select(vec![Accents::Auto, Accents::Strip, Accents::Keep]),
    ) {
        let case = if cased { Case::Cased } else { Case::Uncased };
        let config = TokenizerConfig { case, accents, max_chars_per_word: 12 };
        let vocab = trained();
        let hugging_face = hugging_face(&vocab, &config);
        let ours = WordPiece::new(vocab, config).unwrap();
        // Twice: the second time from the cache.
        for text in texts.iter().chain(&texts) {
            let expected = hugging_face.encode(text.as_str(), false).unwrap();
            prop_assert_eq!(&ours.encode(text).unwrap()[..], expected.get_ids());
            let with_offsets = ours.encode_with_offsets(text).unwrap();
            let ids: Vec<u32> = with_offsets.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(&ids[..], expected.get_ids());
        }
    }

    #[test]
    fn added_tokens_equal_those_of_the_tokenizers_crate(
        texts in prop::collection::vec(any_text_with_added(), 1..6),
        cased: bool,
        tokens in prop::collection::vec(any_added(), 1..4),
    ) {
        let case = if cased { Case::Cased } else { Case::Uncased };
        let config = TokenizerConfig { case, max_chars_per_word: 12, ..UNCASED };
        let vocab = trained();
        let mut hugging_face = hugging_face(&vocab, &config);
        let mut distinct: Vec<AddedToken> = Vec::new();
        for token in tokens {
            if distinct.iter().all(|other| other.content != token.content) {
                distinct.push(token);
            }
        }
        hugging_face.add_tokens(&distinct);
        let ours = WordPiece::new(vocab.with_added(distinct).unwrap(), config).unwrap();
        for text in texts.iter().chain(&texts) {
            let expected = hugging_face.encode(text.as_str(), false).unwrap();
            prop_assert_eq!(&ours.encode(text).unwrap()[..], expected.get_ids());
            let with_offsets = ours.encode_with_offsets(text).unwrap();
            prop_assert_eq!(with_offsets.len(), expected.len());
        }
    }
}

const ADDED: [&str; 5] = ["[E1]", "the", "Quick", "dogs", "\u{e9}"];

fn any_added() -> impl Strategy<Value = AddedToken> {
    let content = prop::sample::select(ADDED.to_vec());
    (content, any::<[bool; 5]>()).prop_map(
        |(content, [single_word, lstrip, rstrip, normalized, special])| AddedToken {
            content: content.to_owned(),
            single_word,
            lstrip,
            rstrip,
            normalized,
            special,
        },
    )
}

fn any_text_with_added() -> impl Strategy<Value = String> {
    let added = prop::sample::select(ADDED.to_vec()).prop_map(str::to_owned);
    let piece = prop_oneof![
        any_text(),
        added,
        prop::sample::select(vec![" ", "  ", "s"]).prop_map(str::to_owned)
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn offsets_are_bytes_of_the_raw_text() {
    let t = tokenizer(&["cafe", "##s", "!"], UNCASED);
    let text = "x Café CAFÉS!";
    let found: Vec<_> = t
        .encode_with_offsets(text)
        .unwrap()
        .into_iter()
        .map(|(id, range)| (id, &text[range]))
        .collect();
    assert_eq!(found, [(1, "x"), (5, "Café"), (5, "CAFÉ"), (6, "S"), (7, "!")]);
}

#[test]
fn encode_batch_keeps_the_order_of_texts() {
    let t = WordPiece::new(trained(), UNCASED).unwrap();
    let texts: Vec<String> = (0..500).map(|i| format!("the {i} quick foxes")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let one_by_one: Vec<_> = texts.iter().map(|text| t.encode(text).unwrap()).collect();
    assert_eq!(t.encode_batch(&texts).unwrap(), one_by_one);
}

#[test]
fn special_tokens_have_their_ids() {
    let special = *vocab(&[]).special();
    assert_eq!((special.pad, special.unk, special.cls, special.sep, special.mask), (0, 1, 2, 3, 4));
}
