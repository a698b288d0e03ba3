//! Inputs that users have, each in a folder `tests/fixtures/cases/NAME`.
//!
//! `cmd` is a command line of `electra`, in which `CASE` is the folder, `CASES` the one above it and `OUT` an empty folder.
//! `expected` has the exit code (`exit 1`), and then parts of the output, one per line; `not: TEXT` must not be in it.

use crate::root;
use assert_cmd::Command;
use std::fs;

#[test]
fn every_case_behaves() {
    let cases = root().join("tests/fixtures/cases");
    let mut folders: Vec<_> = fs::read_dir(&cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("cmd").is_file())
        .collect();
    folders.sort();
    assert!(folders.len() > 10, "{folders:?}");
    let mut wrong = Vec::new();
    for folder in folders {
        let out = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let place = |word: &str| {
            let word = word.replace("CASES", &cases.display().to_string());
            let word = word.replace("CASE", &folder.display().to_string());
            word.replace("OUT", &out.path().display().to_string())
        };
        let cmd = read("cmd");
        let words = cmd.split_whitespace().map(place);
        let output = Command::cargo_bin("electra").unwrap().args(words).output().unwrap();
        let printed =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        let expected = read("expected");
        let mut lines = expected.lines();
        let code = lines.next().unwrap().strip_prefix("exit ").unwrap().parse().unwrap();
        let as_expected = |line: &str| match line.strip_prefix("not: ") {
            Some(absent) => !printed.contains(absent),
            None => printed.contains(line),
        };
        let missing: Vec<&str> = lines.filter(|line| !as_expected(line)).collect();
        let no_panic = !printed.contains("panicked") && !printed.contains("internal error");
        if output.status.code() != Some(code) || !missing.is_empty() || !no_panic {
            wrong.push(format!("{}: {missing:?}\n{printed}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
