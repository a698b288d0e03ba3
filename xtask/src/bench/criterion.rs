//! Criterion benches of the hot paths.

use crate::sh;

/// The benches of hot paths: package and name.
pub(super) const CRITERION: [(&str, &str); 4] = [
    ("electra-tokenize", "encode"),
    ("electra-data", "data"),
    ("electra-torch", "ops"),
    ("electra-train", "step"),
];

/// `cargo bench` of one of [`CRITERION`].
pub(super) fn command(&(package, name): &(&str, &str), more: &[&str]) -> Vec<String> {
    let mut command = sh::words(["cargo", "bench", "--package", package, "--bench", name]);
    command.extend(more.iter().map(|&word| word.to_owned()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_that_are_run_are_there() {
        for (package, name) in CRITERION {
            let path = sh::root().join(format!("crates/{package}/benches/{name}.rs"));
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
