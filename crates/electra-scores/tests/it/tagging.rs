//! Scores of tags against those of seqeval and conlleval, from `cargo xtask fixtures`, and errors.

use crate::{root, says};
use approx::assert_relative_eq;
use electra_scores::{
    MatchCounts,
    tagging::{
        Columns, Comments, Entity, Rule, Scheme, Sentence, Sentences, entities, read_pair, score,
    },
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io::Cursor};

#[derive(Deserialize)]
struct Case {
    scheme: String,
    gold: Vec<Vec<String>>,
    predicted: Vec<Vec<String>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    default: Rates,
    strict: Rates,
    conlleval: [usize; 3],
    accuracy: f64,
}

/// Precision, recall, F1, gold entities.
#[derive(Deserialize)]
struct Rates {
    overall: [f64; 4],
    by_type: BTreeMap<String, [f64; 4]>,
}

#[track_caller]
fn check(found: &MatchCounts, expected: &[f64; 4]) {
    let found = [found.precision(), found.recall(), found.f1(), found.gold as f64];
    for (found, expected) in found.iter().zip(expected) {
        assert_relative_eq!(found, expected, epsilon = 1e-12);
    }
}

#[test]
fn entities_are_those_of_seqeval_and_conlleval() {
    let path = root().join("tests/fixtures/scores/tagging.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 20);
    let mut differ = 0;
    for Case { scheme, gold, predicted, expected } in cases {
        let strict = if scheme == "BI" { Rule::StrictIob2 } else { Rule::StrictIobes };
        for (rule, rates) in [(Rule::Conll, &expected.default), (strict, &expected.strict)] {
            let found = score(&predicted, &gold, rule).unwrap();
            check(&found.overall, &rates.overall);
            assert!(found.by_type.keys().eq(rates.by_type.keys()), "{:?}", found.by_type);
            for (kind, expected) in &rates.by_type {
                check(&found.by_type[kind], expected);
            }
            assert_relative_eq!(found.accuracy, expected.accuracy, epsilon = 1e-12);
        }
        let MatchCounts { gold, predicted, right } =
            score(&predicted, &gold, Rule::Conll).unwrap().overall;
        assert_eq!([gold, predicted, right], expected.conlleval);
        differ += usize::from(expected.default.overall != expected.strict.overall);
    }
    assert!(differ >= 10, "the two modes differ in {differ} cases");
}

/// conlleval's rules: I after O or of another type begins an entity; E and S end one.
#[test]
fn entities_of_broken_sequences() {
    let tags = ["I-a", "I-b", "B-b", "E-b", "I-b", "S-b", "O", "E-a", "B", "I"];
    let found: Vec<_> = entities(&tags, Rule::Conll).unwrap();
    let expected =
        [("a", 0, 1), ("b", 1, 2), ("b", 2, 4), ("b", 4, 5), ("b", 5, 6), ("a", 7, 8), ("", 8, 10)];
    assert_eq!(found, expected.map(|(kind, start, end)| Entity { kind, start, end }));
    let strict: Vec<_> = entities(&tags, Rule::StrictIobes).unwrap();
    assert_eq!(
        strict,
        [("b", 2, 4), ("b", 5, 6)].map(|(kind, start, end)| Entity { kind, start, end })
    );
    assert!(entities(&[""; 0], Rule::Conll).unwrap().is_empty());
}

#[test]
fn tags_that_cannot_be_scored() {
    let tags = |words: &[&[&str]]| -> Vec<Vec<String>> {
        words.iter().map(|tags| tags.iter().map(|&tag| tag.to_owned()).collect()).collect()
    };
    let gold = tags(&[&["B-a", "O"], &["O"]]);
    says(score(&gold[..1], &gold, Rule::Conll), &["predicted sentences = 1", "2"]);
    let short = tags(&[&["B-a", "O"], &[]]);
    says(score(&short, &gold, Rule::Conll), &["sentence 2", "= 0", "1"]);
    for (wrong, rule) in
        [("X-a", Rule::Conll), ("", Rule::Conll), ("O-a", Rule::Conll), ("E-a", Rule::StrictIob2)]
    {
        says(
            score(&tags(&[&["B-a", wrong], &["O"]]), &gold, rule),
            &["tag", &format!("{wrong:?}"), "B-PER"],
        );
    }
    says(score(&[], &[], Rule::Conll), &["words = 0"]);
}

fn owned(tags: &str) -> Vec<String> {
    tags.split(' ').map(str::to_owned).collect()
}

/// The same entities: of three words, of two, of one, and of one of the same type next to it.
const WRITTEN: [(Scheme, &str); 5] = [
    (Scheme::Bio, "B-a I-a I-a O B-b I-b B-c B-c"),
    (Scheme::Iob1, "I-a I-a I-a O I-b I-b I-c B-c"),
    (Scheme::Bioes, "B-a I-a E-a O B-b E-b S-c S-c"),
    (Scheme::Bilou, "B-a I-a L-a O B-b L-b U-c U-c"),
    (Scheme::Bmes, "B-a M-a E-a O B-b E-b S-c S-c"),
];

#[test]
fn every_scheme_is_detected_read_and_written() {
    for (scheme, text) in WRITTEN {
        let tags = owned(text);
        assert_eq!(Scheme::detect([&tags[..]]), Ok(scheme));
        tags.iter().for_each(|tag| scheme.check(tag).unwrap());
        for (other, expected) in WRITTEN {
            assert_eq!(other.written(&tags), owned(expected), "{scheme} as {other}");
        }
        let found = entities(&tags, Rule::Conll).unwrap();
        let expected = [("a", 0, 3), ("b", 4, 6), ("c", 6, 7), ("c", 7, 8)];
        assert_eq!(found, expected.map(|(kind, start, end)| Entity { kind, start, end }));
        assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.to_string());
    }
    let detect = |text: &str| Scheme::detect([&owned(text)[..]]);
    assert_eq!(detect("NOUN VERB O"), Ok(Scheme::Plain));
    assert_eq!(detect("O O"), Ok(Scheme::Bio));
    // One wrong I- in BIO, and word segmentation without types.
    assert_eq!(detect("O I-a O B-a O B-a I-a"), Ok(Scheme::Bio));
    assert_eq!(detect("B E S B M E"), Ok(Scheme::Bmes));
    assert!(detect("B-a L-a S-a").unwrap_err().contains("B-a, L-a, S-a"));
    // Errors name the schemes of the tag.
    let message = Scheme::Bioes.check("M-PER").unwrap_err();
    for part in ["\"M-PER\"", "bioes", "B, I, E, S", "a tag of bmes, plain"] {
        assert!(message.contains(part), "{message}");
    }
    let message = Scheme::Bio.check("B_PER").unwrap_err();
    assert!(message.contains("it looks like B-PER"), "{message}");
    for (tag, similar) in [
        ("B_PER", Some("B-PER")),
        ("PER-B", Some("B-PER")),
        ("i-loc", Some("I-loc")),
        ("ORG:S", Some("S-ORG")),
        ("B-PER", None),
        ("NOUN", None),
        ("_SP", None),
        ("PRP$", None),
    ] {
        assert_eq!(Scheme::similar(tag).as_deref(), similar, "{tag}");
    }
    let message = Scheme::Bio.check("U-PER").unwrap_err();
    assert!(message.contains("B, I with") && message.contains("bilou, plain"), "{message}");
}

/// `transformers` joins `I-X` to the word before it, begins a new entity at `B-X`, and knows no other prefixes.
#[test]
fn names_of_classes_are_in_bio() {
    let classes = owned("O B-a I-a E-a S-a M-b L-b U-b");
    for (scheme, _) in WRITTEN {
        assert_eq!(scheme.names(&classes), owned("O B-a I-a I-a B-a I-b I-b B-b"), "{scheme}");
    }
    assert_eq!(Scheme::Plain.names(&classes), classes);
}

fn sentences(text: &str, columns: Columns) -> electra_scores::Result<Vec<Sentence>> {
    Sentences::from_reader(Cursor::new(text.to_owned()), "file", columns).collect()
}

const LAST: Columns = Columns { word: 1, tag: Some(-1), comments: Comments::Detect };

#[test]
fn comments_are_not_words() {
    let words = |text: &str, columns: Columns| -> Vec<Vec<String>> {
        sentences(text, columns).unwrap().into_iter().map(|sentence| sentence.words).collect()
    };
    // MultiCoNER, whose comment may have as many columns as the words; and the word #.
    let conner = "# id 0-x domain=en\nmr _ _ O\n# _ _ O\n\n# _ _ O\nfox _ _ B-A\n\n# id 1\tdomain=en\nred _ _ O\n";
    assert_eq!(words(conner, LAST), [&["mr", "#"][..], &["#", "fox"], &["red"]]);
    let first = &sentences(conner, LAST).unwrap()[0];
    assert_eq!((first.first_line(), first.lines.len()), (2, 3));
    assert_eq!(first.with_tags(["O", "X"]), "mr _ _ O O\n# _ _ O X\n\n");
    assert_eq!(first.annotated(["O", "X"]), "# id 0-x domain=en\nmr _ _ O O\n# _ _ O X\n\n");
    // The settings.
    let none = Columns { comments: Comments::None, ..LAST };
    assert_eq!(words("# id O\n", none), [["#"]]);
    let hash = Columns { comments: Comments::Hash, ..LAST };
    assert_eq!(words(conner, hash), [&["mr", "#"][..], &["fox"], &["red"]]);
    // A file of words that begins with the word #, and one of words alone.
    assert_eq!(words("# O\n#tag O\nfox B-A\n", LAST), [["#", "#tag", "fox"]]);
    let alone = Columns { word: 1, tag: None, comments: Comments::Detect };
    assert_eq!(words("#\nfox\n\n# newdoc\nred\n", alone), [&["#", "fox"][..], &["red"]]);
    assert!(words("# text = a\n\n# text = b\n", LAST).is_empty());
    says(sentences("a O\n# x y\n", LAST), &["file:2", "3 columns", "before the first word"]);
}

/// The range 1-2 and the empty node 2.1 have no tags of their own.
#[test]
fn conll_u_has_words_ranges_and_empty_nodes() {
    let line = |index: &str, word: &str, tag: &str| {
        format!("{index}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n")
    };
    let text = format!(
        "# sent_id = 1\n# text = don't go\n{}{}{}{}{}\n",
        line("1-2", "don't", "_"),
        line("1", "do", "AUX"),
        line("2", "n't", "PART"),
        line("2.1", "gone", "_"),
        line("3", "go", "VERB")
    );
    let columns = Columns { word: 2, tag: Some(4), comments: Comments::Detect };
    let [sentence] = &sentences(&text, columns).unwrap()[..] else { panic!("one sentence") };
    assert_eq!(sentence.words, ["do", "n't", "go"]);
    assert_eq!(sentence.tags, ["AUX", "PART", "VERB"]);
    let numbers: Vec<u64> = sentence.word_lines().map(|line| line.number).collect();
    assert_eq!(numbers, [4, 5, 7]);
    // The output has all lines, and is read again.
    let annotated = sentence.annotated(["A", "P", "V"]);
    assert_eq!(annotated.lines().count(), 8);
    let again = sentences(&annotated, Columns { tag: Some(-1), ..columns }).unwrap();
    assert_eq!(again[0].tags, ["A", "P", "V"]);
}

#[test]
fn pairs_of_files_that_do_not_fit_name_both_files_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let pair = |predicted: &str, gold: &str| {
        let paths = ["pred.conll", "gold.conll"].map(|name| dir.path().join(name));
        fs::write(&paths[0], predicted).unwrap();
        fs::write(&paths[1], gold).unwrap();
        read_pair((&paths[0], LAST), (&paths[1], LAST), Rule::Conll)
    };
    let (tags, gold) = pair("a O\n\nb U-x\n", "# text = a\na O\n\nb B-x\n").unwrap();
    assert_eq!((&tags[1][0][..], &gold[1][0][..]), ("U-x", "B-x"));
    says(
        pair("a O\n", "a O\n\nb O\nc O\n\nd O\n"),
        &["gold.conll:3", "pred.conll ends after 1 sentences", "\"b c\"", "all after it"],
    );
    says(pair("a O\n\nb O\n", "a O\n"), &["pred.conll:3", "gold.conll ends after 1"]);
    says(pair("", "a O\n"), &["gold.conll:1", "pred.conll ends after 0"]);
    says(pair("", ""), &["gold.conll", "no sentences"]);
    says(pair("a O\nb O\n", "a O\nc O\n"), &["pred.conll:2", "\"b\"", "gold.conll:2", "\"c\""]);
    says(
        pair("a O\n\nx O\n", "a O\nb O\n"),
        &["pred.conll:2", "the end of the sentence", "gold.conll:2"],
    );
    says(pair("a O\nb NOUN\n", "a O\nb B-x\n"), &["pred.conll:2", "\"NOUN\"", "BILOU"]);
}
