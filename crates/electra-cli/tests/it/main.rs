//! End-to-end tests of the binary: workflows, exit codes, messages.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod cases;
mod compare;
mod corpora;
mod doors;
mod embed;
mod errors;
mod flops;
mod full;
mod guides;
mod likelihood;
mod line;
mod own_program;
mod parts;
mod runs;
mod score;
mod tasks;
mod written_by_0_1;

use assert_cmd::{Command, assert::Assert};
use std::path::{Path, PathBuf};

/// The root of the repository, where commands run.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `electra` with the words of a line, in which `{}` is replaced by `dir`.
pub(crate) fn electra(dir: &Path, line: &str) -> Assert {
    let words = line.split_whitespace().map(|word| word.replace("{}", &dir.display().to_string()));
    Command::cargo_bin("electra").unwrap().current_dir(root()).args(words).assert()
}

/// The standard output of a command that must succeed.
#[track_caller]
pub(crate) fn output(dir: &Path, line: &str) -> String {
    String::from_utf8(electra(dir, line).success().get_output().stdout.clone()).unwrap()
}
