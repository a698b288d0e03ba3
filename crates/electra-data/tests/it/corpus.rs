//! Documents and sentences out of files, whatever they are compressed with.

use crate::Fixture;
use electra_data::{
    Corpus, CorpusConfig, DocumentBoundary, Encoding, Sentences, corpus::split_sentences,
};
use std::io::Write;

fn documents(path: &std::path::Path, config: CorpusConfig) -> Vec<String> {
    let corpus = Corpus::open(path, config).unwrap();
    corpus.documents().map(|document| document.unwrap().text).collect()
}

#[test]
fn the_same_documents_come_out_of_every_compression() {
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
    // Parts of a compressed file that was appended to are all read.
    let twice = [gz.clone(), gz.clone()].concat();
    for (name, bytes) in [
        ("a.txt", text.as_bytes().to_vec()),
        ("a.txt.gz", gz),
        ("a.txt.xz", xz),
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
fn json_lines_have_a_document_a_record_in_the_field_that_is_asked_for() {
    let fixture = Fixture::new();
    let records = "{\"id\": 1, \"body\": \"a\\n\\nb\"}\n\n{\"id\": 2, \"body\": \"\"}\n{\"body\": \"c\", \"id\": 3}\n";
    let path = fixture.write("a.jsonl", records);
    let config = CorpusConfig { field: "body".to_owned(), ..CorpusConfig::default() };
    assert_eq!(documents(&path, config), ["a\n\nb", "c"]);
}

#[test]
fn a_folder_is_read_in_the_order_of_its_paths_and_says_what_it_left_out() {
    let fixture = Fixture::new();
    for (name, text) in [
        ("c/b.txt", "second"),
        ("c/a/z.txt", "first"),
        ("c/notes.pdf", "x"),
        ("c/.hidden.txt", "x"),
    ] {
        fixture.write(name, text);
    }
    let corpus = Corpus::open(&fixture.path("c"), CorpusConfig::default()).unwrap();
    let texts: Vec<_> = corpus.documents().map(|document| document.unwrap().text).collect();
    assert_eq!(texts, ["first\n", "second\n"]);
    assert_eq!(corpus.left_out(), [fixture.path("c/notes.pdf")]);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_no_text() {
    let fixture = Fixture::new();
    let path = fixture.write("a.txt", "\u{feff}one\r\n\r\ntwo\r\n");
    assert_eq!(documents(&path, CorpusConfig::default()), ["one\n", "two\n"]);
    let config = CorpusConfig { documents: DocumentBoundary::File, ..CorpusConfig::default() };
    assert_eq!(documents(&path, config).len(), 1);
}

#[test]
fn lossy_reading_goes_on_where_strict_reading_stops() {
    let fixture = Fixture::new();
    let path = fixture.write("a.txt", b"good\nb\xffd\n");
    let config = CorpusConfig { encoding: Encoding::Lossy, ..CorpusConfig::default() };
    assert_eq!(documents(&path, config), ["good\nb\u{fffd}d\n"]);
}

#[track_caller]
fn check(text: &str, rule: Sentences, expected: &[&str]) {
    let found: Vec<_> = split_sentences(text, rule).into_iter().map(str::trim).collect();
    assert_eq!(found, expected);
}

#[test]
fn sentences_run_over_hard_wrapped_lines_and_not_over_paragraphs() {
    check("It rains. It pours.", Sentences::Unicode, &["It rains.", "It pours."]);
    check("It rains\nand pours. Yes!", Sentences::Unicode, &["It rains\nand pours.", "Yes!"]);
    check("A heading\n\nThe text.", Sentences::Unicode, &["A heading", "The text."]);
    check("He said \"Go.\"\nThey went.", Sentences::Unicode, &["He said \"Go.\"", "They went."]);
    check("one. two\n\nthree\n", Sentences::Line, &["one. two", "three"]);
}
