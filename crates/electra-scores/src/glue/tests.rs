//! The files of a submission, and the files that its checks reject.

use super::{
    submission::{self as check, Origin, Written},
    tasks::{TASKS, find},
};
use std::{fs, path::Path};

#[test]
fn numbers_stay_within_their_range_and_classes_are_words() {
    let stsb = find("stsb").expect("it is in the table");
    for (value, expected) in
        [(-0.2, "0.000"), (0.0, "0.000"), (2.7146, "2.715"), (5.0, "5.000"), (5.4, "5.000")]
    {
        assert_eq!(stsb.submitted(&f64::to_string(&value)), expected);
    }
    let mnli = find("mnli").expect("it is in the table");
    assert_eq!(mnli.submitted("contradiction"), "contradiction");
    assert_eq!(find("cola").expect("it is in the table").submitted("1"), "1");
}

/// Valid tables of three tasks with two rows each.
fn tables(dir: &Path) -> Vec<Written> {
    let texts = [
        ("cola", "CoLA.tsv", "index\tprediction\n0\t1\n1\t0\n"),
        ("stsb", "STS-B.tsv", "index\tprediction\n0\t1.250\n1\t5.000\n"),
        ("ax", "AX.tsv", "index\tprediction\n0\tneutral\n1\tentailment\n"),
    ];
    let table = |(name, file, text)| {
        fs::write(dir.join(file), text).expect("the folder is there");
        let task = find(name).expect("it is in the table");
        Written { task, file, rows: 2, origin: Origin::Constant(String::new()) }
    };
    texts.map(table).to_vec()
}

#[test]
fn an_archive_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (dir, path) = (folder.path(), folder.path().join("submission.zip"));
    let good = tables(dir);
    check::folder(dir, &good).expect("the tables are good");
    check::write_archive(&path, dir, &good).expect("the folder can be written");
    check::archive(&path, &good).expect("the archive is good");

    let fails = |written: &[Written], words: &[&str]| {
        let message = check::archive(&path, written).expect_err("it is broken").to_string();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    };
    fails(&good[..2], &["AX.tsv", "the leaderboard takes"]);
    let mut longer = good.clone();
    longer[0].rows = 3;
    fails(&longer, &["CoLA.tsv", "has 2 rows, there must be 3"]);
    for (file, text, words) in [
        ("CoLA.tsv", "index\tlabel\n0\t1\n1\t0\n", &["CoLA.tsv:1", "header"][..]),
        ("CoLA.tsv", "0\t1\n1\t0\n", &["CoLA.tsv:1", "header"]),
        ("CoLA.tsv", "index\tprediction\n0\t1\n0\t0\n", &["CoLA.tsv:3", "\"0\"", "must be 1"]),
        ("AX.tsv", "index\tprediction\n0\tneutral\n1\tneutrl\n", &["AX.tsv:3", "\"neutral\"?"]),
        ("STS-B.tsv", "index\tprediction\n0\t5.001\n1\t0\n", &["STS-B.tsv:2", "from 0 to 5"]),
        ("STS-B.tsv", "index\tprediction\n0\tNaN\n1\t0\n", &["STS-B.tsv:2", "NaN"]),
    ] {
        let tables = tables(dir);
        fs::write(dir.join(file), text).expect("the folder is there");
        check::write_archive(&path, dir, &tables).expect("the folder can be written");
        fails(&tables, words);
    }
    let bytes = fs::read(&path).expect("it was written");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("the folder is there");
    fails(&good, &["submission.zip", "zip"]);
}

/// The files of a submission, as the leaderboard's page names them.
#[test]
fn eleven_tables_are_submitted() {
    let files: Vec<&str> =
        TASKS.iter().flat_map(|task| task.tests).map(|test| test.submission).collect();
    let expected = [
        "CoLA.tsv",
        "SST-2.tsv",
        "MRPC.tsv",
        "STS-B.tsv",
        "QQP.tsv",
        "MNLI-m.tsv",
        "MNLI-mm.tsv",
        "QNLI.tsv",
        "RTE.tsv",
        "WNLI.tsv",
        "AX.tsv",
    ];
    assert_eq!(files, expected);
}
