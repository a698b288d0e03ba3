//! Reading documents and sentences from files.

use crate::Fixture;
use electra_data::{
    Corpus, CorpusConfig, DecodeErrors, DocumentBoundary, Sentences, corpus::split_sentences,
};
use std::io::Write;

fn documents(path: &std::path::Path, config: CorpusConfig) -> Vec<String> {
    let corpus = Corpus::open(path, config).unwrap();
    corpus.documents().map(|document| document.unwrap().text).collect()
}

#[test]
fn all_compressions_give_the_same_documents() {
    let fixture = Fixture::new();
    let text = "one\ntwo\n\nthree\n";
    let expected = ["one\ntwo\n", "three\n"];
    let gz = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let xz = {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    // All members of a concatenated archive are read.
    let twice = [gz.clone(), gz.clone()].concat();
    for (name, bytes) in [
        ("a.txt", text.as_bytes().to_vec()),
        ("A.TXT.GZ", gz.clone()),
        ("a.txt.gz", gz),
        ("A.Text.XZ", xz.clone()),
        ("a.txt.xz", xz),
        ("A.TXT.ZSTD", zst.clone()),
        ("a.txt.zst", zst),
    ] {
        assert_eq!(
            documents(&fixture.write(name, bytes), CorpusConfig::default()),
            expected,
            "{name}"
        );
    }
    let path = fixture.write("twice.txt.gz", twice);
    assert_eq!(
        documents(&path, CorpusConfig::default()),
        ["one\ntwo\n", "three\none\ntwo\n", "three\n"]
    );
}

#[test]
fn each_json_record_is_a_document() {
    let fixture = Fixture::new();
    let records = "{\"id\": 1, \"body\": \"a\\n\\nb\"}\n\n{\"id\": 2, \"body\": \"\"}\n{\"body\": \"c\", \"id\": 3}\n";
    let path = fixture.write("a.jsonl", records);
    let config = CorpusConfig { field: "body".to_owned(), ..CorpusConfig::default() };
    assert_eq!(documents(&path, config), ["a\n\nb", "c"]);
}

/// An array is read one element at a time, however it is laid out; extensions are recognized in any case.
#[test]
fn a_json_file_is_an_array_or_has_an_object_per_line() {
    let fixture = Fixture::new();
    let tricky = r#"{"text": "a ] } , \" \\", "more": [{"x": "]"}, [1]]}"#;
    for (name, text) in [
        (
            "one-line.json",
            format!("[{{\"text\": \"one\"}}, {tricky}, {{\"text\": \"\"}}, {{\"text\": \"two\"}}]"),
        ),
        (
            "pretty.JSON",
            format!(
                "\u{feff}\n[\n  {{\n    \"text\": \"one\"\n  }},\n  {tricky},\r\n  {{\"text\": \"two\"}}\n]\n"
            ),
        ),
        ("lines.Json", format!("{{\"text\": \"one\"}}\n\n{tricky}\n{{\"text\": \"two\"}}")),
        ("lines.JSONL", format!("{{\"text\": \"one\"}}\n{tricky}\r\n{{\"text\": \"two\"}}\n")),
    ] {
        let path = fixture.write(name, text);
        assert_eq!(
            documents(&path, CorpusConfig::default()),
            ["one", "a ] } , \" \\", "two"],
            "{name}"
        );
    }
    let empty = fixture.write("empty.json", "[ ]");
    assert_eq!(documents(&empty, CorpusConfig::default()), [""; 0]);
}

/// Pairs of surrogates and escaped backslashes are not lone surrogates.
#[test]
fn lossy_reading_replaces_lone_surrogates() {
    let fixture = Fixture::new();
    let records = [
        (r"a \ud83d b", "a \u{fffd} b", 1),
        (r"\uD83D\ude00 \\ud83d", "\u{1f600} \\ud83d", 0),
        (r"\ude00\ud83d\ud83d\ude00", "\u{fffd}\u{fffd}\u{1f600}", 2),
        (r"\ud83d\n\u00e9", "\u{fffd}\n\u{e9}", 1),
    ];
    let lines = records.map(|(text, ..)| format!("{{\"text\": \"{text}\"}}\n"));
    let config = CorpusConfig { encoding: DecodeErrors::Lossy, ..CorpusConfig::default() };
    for (name, text) in [("a.jsonl", lines.concat()), ("a.json", format!("[{}]", lines.join(",")))]
    {
        let corpus = Corpus::open(&fixture.write(name, text), config.clone()).unwrap();
        let found: Vec<_> = corpus
            .documents()
            .map(Result::unwrap)
            .map(|document| (document.text, document.replaced_surrogates))
            .collect();
        assert_eq!(found, records.map(|(_, text, replaced)| (text.to_owned(), replaced)), "{name}");
    }
}

#[test]
fn a_folder_is_read_in_path_order_and_other_files_are_skipped() {
    let fixture = Fixture::new();
    for (name, text) in [
        ("c/b.txt", "second"),
        ("c/a/z.txt", "first"),
        ("c/notes.pdf", "x"),
        ("c/rows.parquet.gz", "x"),
        ("c/.hidden.txt", "x"),
        ("c/.ipynb_checkpoints/b-checkpoint.txt", "x"),
        ("elsewhere/file.txt", "third"),
        ("elsewhere/folder/a.txt", "fourth"),
    ] {
        fixture.write(name, text);
    }
    #[cfg(unix)]
    for (target, link) in [("file.txt", "c/linked.txt"), ("folder", "c/more")] {
        let target = fixture.path("elsewhere").join(target);
        std::os::unix::fs::symlink(target, fixture.path(link)).unwrap();
    }
    let corpus = Corpus::open(&fixture.path("c"), CorpusConfig::default()).unwrap();
    let texts: Vec<_> = corpus.documents().map(|document| document.unwrap().text).collect();
    assert_eq!(texts, ["first\n", "second\n", "third\n", "fourth\n"]);
    assert_eq!(corpus.skipped(), ["c/notes.pdf", "c/rows.parquet.gz"].map(|n| fixture.path(n)));
}

#[test]
fn byte_order_marks_and_carriage_returns_are_removed() {
    let fixture = Fixture::new();
    let path = fixture.write("a.txt", "\u{feff}one\r\n\r\ntwo\r\n");
    assert_eq!(documents(&path, CorpusConfig::default()), ["one\n", "two\n"]);
    let config = CorpusConfig { documents: DocumentBoundary::File, ..CorpusConfig::default() };
    assert_eq!(documents(&path, config).len(), 1);
}

#[test]
fn lossy_reading_replaces_invalid_bytes() {
    let fixture = Fixture::new();
    let path = fixture.write("a.txt", b"good\nb\xffd\xff\n\ngood\n\n\xfe\n");
    let config = CorpusConfig { encoding: DecodeErrors::Lossy, ..CorpusConfig::default() };
    let corpus = Corpus::open(&path, config).unwrap();
    let found: Vec<_> = corpus
        .documents()
        .map(Result::unwrap)
        .map(|document| (document.text, document.replaced_bytes))
        .collect();
    let expected = [("good\nb\u{fffd}d\u{fffd}\n", 2), ("good\n", 0), ("\u{fffd}\n", 1)];
    assert_eq!(found, expected.map(|(text, replaced)| (text.to_owned(), replaced)));
}

/// Only the parts of a long document are marked as continued, even if it ends exactly at the end of a part.
#[test]
fn documents_over_16_mib_are_split_into_parts() {
    let fixture = Fixture::new();
    let line = "x".repeat((1 << 20) - 1) + "\n";
    for (lines, expected) in [
        (17, vec![(16, false), (1, true), (0, false)]),
        (16, vec![(16, false), (0, false)]),
        (15, vec![(15, false), (0, false)]),
    ] {
        let path = fixture.write("a.txt", line.repeat(lines) + "\nlast");
        let corpus = Corpus::open(&path, CorpusConfig::default()).unwrap();
        let found: Vec<_> = corpus
            .documents()
            .map(Result::unwrap)
            .map(|document| (document.text.len() >> 20, document.continues))
            .collect();
        assert_eq!(found, expected, "{lines} MiB");
    }
}

#[track_caller]
fn check(text: &str, rule: Sentences, expected: &[&str]) {
    let found: Vec<_> = split_sentences(text, rule).into_iter().map(str::trim).collect();
    assert_eq!(found, expected);
}

#[test]
fn sentences_span_hard_wrapped_lines_but_not_paragraphs() {
    check("It rains. It pours.", Sentences::Unicode, &["It rains.", "It pours."]);
    check("It rains\nand pours. Yes!", Sentences::Unicode, &["It rains\nand pours.", "Yes!"]);
    check("A heading\n\nThe text.", Sentences::Unicode, &["A heading", "The text."]);
    check("He said \"Go.\"\nThey went.", Sentences::Unicode, &["He said \"Go.\"", "They went."]);
    check("one. two\n\nthree\n", Sentences::Line, &["one. two", "three"]);
}
