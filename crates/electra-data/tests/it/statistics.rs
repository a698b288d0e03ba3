//! Statistics of a build: what suggests that the vocabulary and the text do not fit.

use crate::{Fixture, bad_input::says};
use electra_data::{
    BuildConfig, BuildReport, Corpus, CorpusConfig, Error, WordInCorpus, build_shards,
};
use electra_tokenize::{Case, TokenizerConfig, Vocab, WordPiece};
use std::path::Path;

fn tokenizer(tokens: &str, case: Case) -> WordPiece {
    let special = "[PAD] [UNK] [CLS] [SEP] [MASK] ".to_owned();
    let tokens = (special + tokens).split(' ').map(str::to_owned).collect();
    let config = TokenizerConfig { case, ..TokenizerConfig::default() };
    WordPiece::new(Vocab::from_tokens(tokens).unwrap(), config).unwrap()
}

/// Builds shards without a held-out split.
fn build(
    fixture: &Fixture,
    corpus: &Path,
    tokenizer: &WordPiece,
    max_unknown: f64,
) -> Result<BuildReport, Error> {
    let corpus = Corpus::open(corpus, CorpusConfig::default())?;
    let existing = electra_data::Existing::Replace;
    let config = BuildConfig {
        held_out: 0.0,
        max_unknown,
        existing,
        ..BuildConfig::new(fixture.path("shards"), 8)
    };
    build_shards(&corpus, tokenizer, &config, &mut |_| {})
}

#[track_caller]
fn warns(report: &BuildReport, expected: &[&[&str]]) {
    let warnings = report.warnings();
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, words) in warnings.iter().zip(expected) {
        for word in *words {
            assert!(warning.contains(word), "{word:?} is not in {warning:?}");
        }
    }
}

#[test]
fn text_of_unknown_words_is_an_error() {
    let fixture = Fixture::new();
    let path = fixture
        .write("corpus.txt", "\n\n\u{3bb}\u{3bc} \u{3bd} \u{3be}.\n\n\u{3bb}\u{3bc} a \u{3bd}\n");
    let tokenizer = tokenizer("a b .", Case::Uncased);
    let words = [
        "corpus.txt: 5 of 7 tokens (71.4 %) are [UNK]",
        "\"\u{3bb}\u{3bc}\" (",
        "corpus.txt:3)",
        "lacks their characters",
        "--max-unknown 1",
    ];
    says(build(&fixture, &path, &tokenizer, 0.5), &words);
    assert!(!fixture.path("shards").exists());
    let report = build(&fixture, &path, &tokenizer, 1.0).unwrap();
    assert_eq!(
        (report.text_tokens, report.unknown_tokens, report.unknown_by_normalization),
        (7, 5, 0)
    );
    warns(&report, &[&["5 of 7 tokens (71.4 %)", "corpus.txt:3", "lacks their characters"]]);
    says(build(&fixture, &path, &tokenizer, 0.71), &["71.4 %"]);
    build(&fixture, &path, &tokenizer, 0.72).unwrap();
}

/// 4 of 10 words have an upper-case letter.
#[test]
fn words_with_another_case_are_counted() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", "the cat The cat the Cat THE CAT the cat");
    let tokenizer = tokenizer("the cat", Case::Cased);
    let report = build(&fixture, &path, &tokenizer, 0.5).unwrap();
    assert_eq!(
        (report.text_tokens, report.unknown_tokens, report.unknown_by_normalization),
        (10, 4, 4)
    );
    warns(&report, &[&["4 of 10 tokens (40.0 %)", "\"The\"", "corpus.txt:1", "--cased"]]);
}

/// A vocabulary with upper-case letters for lower-cased text: 2 of 7 tokens cannot occur, and `dog` does not occur. Special
/// tokens and `[unused0]` are not counted.
#[test]
fn tokens_that_never_occur_are_counted() {
    let fixture = Fixture::new();
    let path = fixture.write("corpus.txt", "the cat the cat the cat cats");
    let cased = tokenizer("[unused0] the cat The Cat ##s dog .", Case::Uncased);
    let report = build(&fixture, &path, &cased, 0.5).unwrap();
    assert_eq!((report.vocab_tokens, report.unused_tokens, report.unreachable_tokens), (7, 4, 2));
    warns(&report, &[&["4 of 7 tokens of the vocabulary (57.1 %)", "2 of them", "--cased"]]);

    let large = tokenizer("the cat ##s dog . , x", Case::Uncased);
    let report = build(&fixture, &path, &large, 0.5).unwrap();
    assert_eq!((report.vocab_tokens, report.unused_tokens, report.unreachable_tokens), (7, 4, 0));
    warns(
        &report,
        &[&["4 of 7 tokens of the vocabulary (57.1 %) never occur", "smaller vocabulary"]],
    );
    warns(&build(&fixture, &path, &tokenizer("the cat ##s", Case::Uncased), 0.5).unwrap(), &[]);
}

/// Two of 4 words are over the limit: 222 of 233 bytes of text. Records of JSON have the number of their line.
#[test]
fn words_over_the_limit_are_counted_with_their_place() {
    let fixture = Fixture::new();
    let (first, second) = ("g".repeat(120), "c".repeat(102));
    let tokenizer = tokenizer("a the", Case::Uncased);
    let text = format!("\na a\nthe\n{first}\nthe\na {second}\n");
    let path = fixture.write("corpus.txt", &text);
    let report = build(&fixture, &path, &tokenizer, 1.0).unwrap();
    assert_eq!((report.text_tokens, report.unknown_tokens), (7, 2));
    assert_eq!((report.overlong_words, report.overlong_bytes), (2, 222));
    let place = WordInCorpus { text: "g".repeat(40), characters: 120, file: path, line: 4 };
    assert_eq!(report.overlong_example.as_ref(), Some(&place));
    let share = format!("({:.1} % of the text)", 100.0 * 222.0 / (text.len() - 1) as f64);
    warns(
        &report,
        &[
            &["2 of 7 tokens", "longer than 100 characters"],
            &["2 words", &share, "corpus.txt:4, 120 characters", "--max-chars-per-word 120"],
        ],
    );

    let record = |text: &str| serde_json::json!({ "text": text }).to_string();
    let lines = [record("a a a a a a"), record(&format!("the\nthe {first}"))].join("\n");
    let path = fixture.write("corpus.jsonl", lines);
    let report = build(&fixture, &path, &tokenizer, 1.0).unwrap();
    assert_eq!(report.overlong_example.map(|word| word.line), Some(2));
}
