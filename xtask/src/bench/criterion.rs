//! The criterion benchmarks.

use crate::sh;

/// The criterion benchmarks: package and name.
pub(super) const CRITERION: [(&str, &str); 4] = [
    ("electra-tokenize", "encode"),
    ("electra-data", "data"),
    ("electra-torch", "ops"),
    ("electra-train", "step"),
];

/// The `cargo bench` command of one of [`CRITERION`].
pub(super) fn command(&(package, name): &(&str, &str), more: &[&str]) -> Vec<String> {
    let mut command = sh::words(["cargo", "bench", "--package", package, "--bench", name]);
    command.extend(more.iter().map(|&word| word.to_owned()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterion_benches_exist() {
        for (package, name) in CRITERION {
            let path = sh::root().join(format!("crates/{package}/benches/{name}.rs"));
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
