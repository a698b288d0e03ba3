//! Rows of TSV, CSV and JSON lines.

use crate::says;
use electra_scores::table::{Format, Header, Rows};
use std::io::Cursor;

fn rows(
    format: Format,
    text: &str,
    columns: &[&str],
) -> electra_scores::Result<Vec<(u64, Vec<String>)>> {
    let rows = Rows::from_reader(
        Cursor::new(text.as_bytes().to_vec()),
        format,
        "file",
        columns,
        Header::FirstLine,
    )?;
    rows.map(|row| row.map(|row| (row.line, row.fields))).collect()
}

#[track_caller]
fn check(format: Format, text: &str, expected: &[(u64, [&str; 2])]) {
    let expected: Vec<_> =
        expected.iter().map(|(line, fields)| (*line, fields.map(str::to_owned).to_vec())).collect();
    assert_eq!(rows(format, text, &["b", "a"]).unwrap(), expected);
}

#[test]
fn columns_are_found_by_name_and_returned_in_the_requested_order() {
    check(Format::Tsv, "a\tx\tb\n1\t2\t3\n4\t5\t6\n", &[(2, ["3", "1"]), (3, ["6", "4"])]);
    check(
        Format::Csv,
        "a,x,b\n1,2,3\n\"4, \"\"q\"\"\",5,\"6\n7\"\n",
        &[(2, ["3", "1"]), (3, ["6\n7", "4, \"q\""])],
    );
    check(
        Format::JsonLines,
        "{\"a\": \"1\", \"b\": 3}\n{\"b\": true, \"a\": \"4\"}\n",
        &[(1, ["3", "1"]), (2, ["true", "4"])],
    );
}

/// GLUE's files: a byte-order mark, quotation marks without meaning, carriage returns, empty lines at the end.
#[test]
fn tsv_is_read_as_glue_defines_it() {
    check(Format::Tsv, "\u{feff}a\tb\r\n\"x\ty\"\r\n\n\n", &[(2, ["y\"", "\"x"])]);
}

/// With one column, an empty line is an empty text, also at the end.
#[test]
fn empty_lines_of_one_column_are_rows() {
    let found = rows(Format::Tsv, "a\n1\n\n2\n\r\n\n", &["a"]).unwrap();
    let expected = [(2, "1"), (3, ""), (4, "2"), (5, ""), (6, "")];
    assert_eq!(found, expected.map(|(line, field)| (line, vec![field.to_owned()])));
}

#[test]
fn rows_that_cannot_be_used() {
    says(rows(Format::Tsv, "a\tb\n1\t2\n3\n", &["a"]), &["file:3", "1 columns", "2"]);
    says(rows(Format::Csv, "a,b\n1\n", &["a"]), &["file:2", "1 columns"]);
    says(
        rows(Format::Tsv, "sentence\tlabel\n", &["sentense"]),
        &["file:1", "sentense", "did you mean \"sentence\""],
    );
    says(rows(Format::Tsv, "a\ta\n", &["a"]), &["file:1", "duplicate column \"a\""]);
    says(rows(Format::Tsv, "", &["a"]), &["file", "empty"]);
    says(rows(Format::Tsv, "a\tb\n1\t2\n\n3\t4\n", &["a"]), &["file:3", "empty line"]);
    says(rows(Format::JsonLines, "{\"a\": 1}\n\n{\"a\": 1}\n", &["a"]), &["file:2", "empty line"]);
    says(
        rows(Format::JsonLines, "{\"a\": 1}\n{\"c\": 1}\n", &["a"]),
        &["file:2", "no field \"a\"", "c"],
    );
    says(rows(Format::JsonLines, "{\"a\": [1]}\n", &["a"]), &["file:1", "[1]"]);
    says(rows(Format::JsonLines, "nothing\n", &["a"]), &["file:1", "JSON"]);
    let deep = format!("{{\"a\": 1}}\n{{\"b\": {}", "[".repeat(200_000));
    says(rows(Format::JsonLines, &deep, &["a"]), &["file:2", "recursion limit"]);
}

#[test]
fn bytes_that_are_not_utf_8_are_named_with_their_line() {
    for (format, bytes, place) in [
        (Format::Tsv, &b"a\nfine\ncaf\xe9\n"[..], "byte 10 of the file (line 3) is 0xe9"),
        (Format::Csv, b"a\nfine\n\"caf\xe9\"\n", "column 1 after 3 bytes"),
        (Format::JsonLines, b"{\"a\": 1}\n{\"a\": 2}\n{\"a\": \"caf\xe9\"}\n", "line 3) is 0xe9"),
    ] {
        let found = Rows::from_reader(bytes, format, "file", &["a"], Header::FirstLine)
            .and_then(Iterator::collect::<electra_scores::Result<Vec<_>>>);
        says(found, &["file:3", "not UTF-8", place]);
    }
}
