//! The held-out split: a share of the tokens, as whole documents drawn by the seed.

use crate::{Fixture, letters};
use electra_data::{BuildConfig, BuildReport, Corpus, CorpusConfig, ShardSet, Split, build_shards};
use std::{collections::BTreeSet, path::Path};

fn build(fixture: &Fixture, corpus: &Path, share: f64, seed: u64) -> BuildReport {
    let corpus = Corpus::open(corpus, CorpusConfig::default()).unwrap();
    let existing = electra_data::Existing::Replace;
    let config = BuildConfig {
        held_out: share,
        seed,
        existing,
        ..BuildConfig::new(fixture.path("shards"), 16)
    };
    let report = build_shards(&corpus, &letters(), &config, &mut |_| {}).unwrap();
    assert_eq!(report.train_tokens + report.held_out_tokens, report.text_tokens);
    report
}

/// The text of a split, example after example.
fn text(fixture: &Fixture, split: Split) -> String {
    let shards = ShardSet::open(&fixture.path("shards"), split).unwrap();
    let ids: Vec<u32> = (0..shards.len())
        .flat_map(|i| shards.example(i).unwrap().ids)
        .filter(|&id| id > 4)
        .collect();
    letters().decode(&ids)
}

/// Documents of 200, 4000 and 210 tokens: the long one is 91 % of the text.
#[test]
fn a_long_document_is_not_held_out() {
    let fixture = Fixture::new();
    let documents =
        [("a", 200), ("b", 4000), ("c", 210)].map(|(letter, n)| format!("{letter} ").repeat(n));
    let path = fixture.write("corpus.txt", documents.join("\n\n"));
    let mut drawn = BTreeSet::new();
    for seed in 0..20 {
        let report = build(&fixture, &path, 0.01, seed);
        let held_out = text(&fixture, Split::HeldOut);
        let letter = held_out.split(' ').next().unwrap().to_owned();
        assert!(held_out.split(' ').all(|word| word == letter), "one whole document");
        assert_eq!(report.held_out_tokens, if letter == "a" { 200 } else { 210 });
        assert!(
            (report.held_out_percent - 100.0 * report.held_out_tokens as f64 / 4410.0).abs() < 1e-9
        );
        assert!((report.train_percent + report.held_out_percent - 100.0).abs() < 1e-9);
        assert!(!report.held_out_part_of_document);
        drawn.insert(letter);
    }
    assert_eq!(drawn, ["a", "c"].map(str::to_owned).into(), "the seed draws the document");
}

/// Documents of 1 to 40 words, 20.5 on average.
#[test]
fn the_share_is_met_up_to_one_document() {
    let fixture = Fixture::new();
    let letter = |i: usize| char::from(b'a' + (i % 26) as u8);
    let document = |i: usize| format!("{} ", letter(i)).repeat(1 + i * 17 % 40);
    let path =
        fixture.write("corpus.txt", (0..1000).map(document).collect::<Vec<_>>().join("\n\n"));
    for (share, seed) in [(0.01, 1), (0.1, 2), (0.5, 3)] {
        let report = build(&fixture, &path, share, seed);
        let found = report.held_out_tokens as f64 / 20_500.0;
        assert!(found <= share && found > share - 40.0 / 20_500.0, "{share}: {found}");
        assert_eq!(report.text_tokens, 20_500);
    }
    // Another seed, other documents.
    let mut texts = BTreeSet::new();
    for seed in 0..4 {
        build(&fixture, &path, 0.02, seed);
        texts.insert(text(&fixture, Split::HeldOut));
    }
    assert_eq!(texts.len(), 4);
}

/// One document of 26 sentences of 10 tokens, each with its own letter.
#[test]
fn a_part_of_the_only_document_is_held_out() {
    let fixture = Fixture::new();
    let sentence =
        |c: char| format!("{} {}. ", c.to_ascii_uppercase(), [c.to_string().as_str(); 8].join(" "));
    let path = fixture.write("corpus.txt", ('a'..='z').map(sentence).collect::<String>());
    let mut drawn = BTreeSet::new();
    for seed in 0..8 {
        let report = build(&fixture, &path, 0.1, seed);
        assert!(report.held_out_part_of_document);
        assert_eq!((report.documents, report.text_tokens), (1, 260));
        // 26 tokens are wanted, which three sentences have.
        assert_eq!(report.held_out_tokens, 30);
        let letters_of = |split| {
            let words: BTreeSet<String> =
                text(&fixture, split).split(' ').map(str::to_owned).collect();
            words.into_iter().filter(|word| word != ".").collect::<Vec<_>>().concat()
        };
        let held_out = letters_of(Split::HeldOut);
        let alphabet: String = ('a'..='z').collect();
        assert!(held_out.len() == 3 && alphabet.contains(&held_out), "{held_out}");
        assert_eq!(letters_of(Split::Train), alphabet.replace(&held_out, ""));
        let warnings = report.warnings().join("\n");
        assert!(warnings.contains("the held-out split has 30 tokens (11.5 %)"), "{warnings}");
        drawn.insert(held_out);
    }
    assert!(drawn.len() > 3, "{drawn:?}");
}

/// Without sentences, a part has whole lines; a document of one line cannot be split.
#[test]
fn a_document_without_sentences_is_split_at_line_ends() {
    let fixture = Fixture::new();
    let lines: Vec<String> = ('a'..='j').map(|c| format!("{c} ").repeat(10)).collect();
    let path = fixture.write("lines.txt", lines.join("\n"));
    let report = build(&fixture, &path, 0.1, 1);
    assert_eq!((report.held_out_tokens, report.held_out_part_of_document), (10, true));
    let held_out = text(&fixture, Split::HeldOut);
    assert!(lines.iter().any(|line| line.trim() == held_out), "{held_out}");

    let path = fixture.write("two.txt", ["a ".repeat(40), "b ".repeat(30)].join("\n\n"));
    for seed in 0..4 {
        let report = build(&fixture, &path, 0.01, seed);
        assert_eq!((report.held_out_tokens, report.held_out_part_of_document), (30, false));
        let warnings = report.warnings().join("\n");
        assert!(warnings.contains("42.9 % of the tokens instead of 1.0 %"), "{warnings}");
    }
}

/// Two documents of 275 and 252 tokens: the shorter one would be 48 % of the text.
#[test]
fn a_large_share_of_two_documents_is_a_part_of_one() {
    let fixture = Fixture::new();
    let lines = |letter: &str, n: usize| vec![format!("{letter} ").repeat(10); n].join("\n");
    let documents = [lines("a", 27) + "\na a a a a", lines("b", 25) + "\nb b"];
    let path = fixture.write("corpus.txt", documents.join("\n\n"));
    for seed in 0..8 {
        // 30 % are 158 tokens, but a part is at most half of its document, in whole lines: 130 or 140 tokens.
        let report = build(&fixture, &path, 0.3, seed);
        let tokens = report.held_out_tokens;
        assert!([130, 140].contains(&tokens), "seed {seed}: {tokens}");
        assert!(report.held_out_part_of_document);
        assert!(report.warnings().join("\n").contains("to reach 30.0 %"));
    }
}

/// Documents of 200, 4000 and 202 tokens, half of which is held out: the two short ones and a part of the long one.
#[test]
fn something_is_left_for_training() {
    let fixture = Fixture::new();
    let line = |letter: &str, n: usize| format!("{letter} ").repeat(n);
    let documents = [line("a", 200), vec![line("b", 10); 400].join("\n"), line("c", 202)];
    let path = fixture.write("corpus.txt", documents.join("\n\n"));
    for seed in 0..4 {
        let report = build(&fixture, &path, 0.5, seed);
        // 2201 tokens are wanted, of which 1799 are missing.
        assert_eq!((report.held_out_tokens, report.train_tokens), (2202, 2200));
        assert!(report.held_out_part_of_document);
    }
    // Two documents of one line each: one of them stays for training, whatever the share.
    let path = fixture.write("two.txt", [line("a", 40), line("b", 30)].join("\n\n"));
    for share in [0.5, 0.97] {
        let report = build(&fixture, &path, share, 1);
        assert!(report.held_out_tokens > 0 && report.train_tokens > 0, "{report:?}");
    }
}
