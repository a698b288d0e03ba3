//! Rows of TSV, CSV and JSON lines.

use crate::says;
use electra_scores::table::{Format, Layout, Quoting, Rows};
use std::{fs, io::Cursor};

fn rows<'a>(
    layout: impl Into<Layout<'a>>,
    text: &str,
    columns: &[&str],
) -> electra_scores::Result<Vec<(u64, Vec<String>)>> {
    let rows = Rows::from_reader(Cursor::new(text.as_bytes().to_vec()), layout, "file", columns)?;
    rows.map(|row| row.map(|row| (row.line, row.fields))).collect()
}

#[track_caller]
fn check<'a>(layout: impl Into<Layout<'a>>, text: &str, expected: &[(u64, [&str; 2])]) {
    let expected: Vec<_> =
        expected.iter().map(|(line, fields)| (*line, fields.map(str::to_owned).to_vec())).collect();
    assert_eq!(rows(layout, text, &["b", "a"]).unwrap(), expected);
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

/// `\ud800` needs a low surrogate after it.
#[test]
fn lone_surrogates_are_named() {
    let lines = "{\"a\": \"x\"}\n{\"a\": \"the \\ud800 house\"}\n";
    says(
        rows(Format::JsonLines, lines, &["a"]),
        &["file:2", "lone surrogates", "correct the file"],
    );
    let array = "[{\"a\": \"x\"},\n{\"a\": \"\\udc00\"}]";
    for format in [Format::Json, Format::JsonLines] {
        says(rows(format, array, &["a"]), &["file:2", "entry 1", "lone surrogates"]);
    }
    let pair = rows(Format::JsonLines, "{\"a\": \"\\ud83c\\udf5e\"}\n", &["a"]).unwrap();
    assert_eq!(pair, [(1, vec!["🍞".to_owned()])]);
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
        let found = Rows::from_reader(bytes, format, "file", &["a"])
            .and_then(Iterator::collect::<electra_scores::Result<Vec<_>>>);
        says(found, &["file:3", "not UTF-8", place]);
    }
}

/// Spreadsheets write `;`, pandas quoted TSV.
#[test]
fn delimiter_and_quoting_differ_from_those_of_the_extension() {
    let semicolon = Layout { delimiter: Some(";".parse().unwrap()), ..Layout::from(Format::Csv) };
    check(semicolon, "\u{feff}a;b\r\n\"1;2\";3,4\r\n", &[(2, ["3,4", "1;2"])]);
    let quoted = Layout { quoting: Some(Quoting::DoubleQuotes), ..Layout::from(Format::Tsv) };
    check(
        quoted,
        "a\tb\n\"x\ny\"\t\"a \"\"q\"\"\"\n1\t2\n",
        &[(2, ["a \"q\"", "x\ny"]), (4, ["2", "1"])],
    );
    let plain = Layout { quoting: Some(Quoting::None), ..Layout::from(Format::Csv) };
    check(plain, "a,b\n\"x,y\"\n", &[(2, ["y\"", "\"x"])]);
    // What to set is in the message.
    says(
        rows(Format::Csv, "a;b\n1;2\n", &["a"]),
        &["file:1", "one column", "';'", "files.delimiter"],
    );
    says(
        rows(Format::Tsv, "a\tb\n\"x\ty\tz\"\n", &["a"]),
        &["file:2", "3 columns", "\"double-quotes\""],
    );
    says(rows(semicolon, "a;b\n1\n", &["a"]), &["file:2", "1 columns instead of 2"]);
    let json = Layout { format: Format::JsonLines, ..semicolon };
    says(rows(json, "{}", &["a"]), &["file", "no delimiter"]);
}

/// Without the closing quotation mark the rest of the file would be one field.
#[test]
fn a_quotation_mark_that_is_not_closed() {
    for end in ["", "\n"] {
        let text = format!("a,b\n1,2\n3,\"x\n4,5\n6,y{end}");
        says(rows(Format::Csv, &text, &["a"]), &["file:3", "is not closed", "\"none\""]);
    }
    let between = "a,b\n1,\"x\n3,4\n5,y\",6\n";
    says(rows(Format::Csv, between, &["a"]), &["file:2", "3 columns", "ends in line 4"]);
    check(Format::Csv, "a,b\n1,\"x\ny\"", &[(2, ["x\ny", "1"])]);
}

/// As `json.dump` and pandas write them.
#[test]
fn an_array_of_objects_is_rows_too() {
    let text = "\u{feff} [\n {\"a\": \"[1]\", \"b\": 3},\n {\"b\": 1.0,\n  \"a\": \"}\\n\"}\n]\n";
    for format in [Format::Json, Format::JsonLines] {
        check(format, text, &[(2, ["3", "[1]"]), (3, ["1.0", "}\n"])]);
        check(format, "[{\"a\":1,\"b\":2},{\"a\":3,\"b\":4}]", &[(1, ["2", "1"]), (1, ["4", "3"])]);
        check(
            format,
            "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n",
            &[(1, ["2", "1"]), (2, ["4", "3"])],
        );
    }
    assert!(rows(Format::Json, "[]", &["a"]).unwrap().is_empty());
    let fails = |text: &str, words: &[&str]| says(rows(Format::Json, text, &["a"]), words);
    fails("[{\"a\": 1},\n {\"b\": 1}]", &["file:2", "no field \"a\""]);
    fails("[{\"a\": 1},\n 5]", &["file:2", "entry 1", "not an object"]);
    fails("[{\"a\": 1}\n {\"a\": 1}]", &["file:2", "entry 1"]);
    fails("[{\"a\": 1},\n]", &["file:2", "entry 1"]);
    fails("[{\"a\": 1}", &["file:1", "not closed"]);
    fails("[{\"a\": 1,\n \"b\": }]", &["file:2", "entry 0", "expected value"]);
    fails("[{\"a\": 1}] {}", &["file:1", "after the end"]);
    fails("[{\"a\": 1, \"a\": 2}]", &["file:1", "duplicate key \"a\""]);
    fails("{\n \"a\": 1\n}\n", &["file:1", "on one line, or in an array"]);
}

#[test]
fn extensions_are_recognized_in_any_case() {
    let of = |name: &str| Format::of(name.as_ref());
    assert_eq!(of("a.TSV").unwrap(), Format::Tsv);
    assert_eq!(of("a.Csv").unwrap(), Format::Csv);
    assert_eq!(of("a.JSONL").unwrap(), Format::JsonLines);
    assert_eq!(of("a.JSON").unwrap(), Format::Json);
    says(of("a.txt"), &["a.txt", ".tsv", ".json"]);
}

/// Rows of a task whose label is empty or null.
#[test]
fn an_empty_label_is_an_error_that_names_the_setting() {
    use electra_scores::SentenceTask;
    let dir = tempfile::tempdir().unwrap();
    let read = |file: &str, text: &str, keys: &str| {
        let path = dir.path().join(file);
        fs::write(&path, text).unwrap();
        let task = format!(
            "name='t'\nkind='classification'\ntext_a='a'\nlabel='b'\nmetric='accuracy'\n{keys}\n[files]\ntrain='x'\ndev='x'\n"
        );
        let task: SentenceTask = toml::from_str(&task).unwrap();
        let read = task.form().rows(&path)?;
        let left_out = read.left_out.map_or_else(Vec::new, |left_out| left_out.named);
        Ok((read.rows.len(), left_out))
    };
    let (tsv, json) =
        ("a\tb\nx\tyes\ny\t \n", "[{\"a\": \"x\", \"b\": 1},\n{\"a\": \"y\", \"b\": null}]");
    for (file, text, line) in [("x.tsv", tsv, 3), ("x.json", json, 2)] {
        let place = format!("{file}:{line}");
        says(read(file, text, ""), &[&place, "label in column \"b\" is empty", "no_label = \"\""]);
        let (rows, left_out) = read(file, text, "no_label = ''").unwrap();
        assert_eq!((rows, left_out.len()), (1, 1));
        assert!(left_out[0].contains(&place), "{left_out:?}");
        // Malformed rows that may be left out include those without a label.
        assert_eq!(read(file, text, "unusable_rows = 0.5").unwrap().0, 1);
    }
    says(read("x.json", "[{\"a\": null, \"b\": 1}]", ""), &["x.json:1", "\"a\" is null"]);
}
