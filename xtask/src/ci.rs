//! `cargo xtask test`: all checks, cheapest first. The first failure stops it.

use crate::{dependers, pretend_gpu, setup, sh, tidy};
use anyhow::{Context, Result};
use std::time::Instant;

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check only this crate, without `tidy` and `setup`; repeatable.
    #[arg(short, long = "package", value_name = "CRATE")]
    packages: Vec<String>,
}

/// Features to test, by crate. All checks use the same ones, so that nothing is compiled twice.
const FEATURES: [(&str, &str); 2] =
    [("electra-data", "electra-data/parquet"), ("electra-cli", "electra-cli/parquet")];

/// A `cargo` command with its environment.
struct Check {
    name: &'static str,
    command: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    for (index, Check { name, command, environment }) in checks(args).into_iter().enumerate() {
        // After the format: cheap checks of the whole repository, and libtorch for the builds.
        if index == 1 && args.packages.is_empty() {
            tidy::run().context("tidy")?;
            setup::run(&setup::Args::default()).context("setup")?;
        }
        let took = sh::run_with(&command, environment, None).context(name)?;
        sh::say(&format!("{name}: {:.0} s", took.as_secs_f64()));
    }
    if args.packages.is_empty() {
        if pretend_gpu::supported() {
            let args = pretend_gpu::Args::default();
            pretend_gpu::run(&args, cargo_test()).context("tests on the pretend GPU")?;
        }
        dependers::run().context("crates that depend on ours")?;
    }
    sh::say(&format!("all checks passed in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// The command that builds and runs all tests.
pub(crate) fn cargo_test() -> Vec<String> {
    let [.., tests, _] = checks(&Args { packages: Vec::new() });
    tests.command
}

fn checks(args: &Args) -> [Check; 4] {
    let all = args.packages.is_empty();
    let mut selection: Vec<String> = Vec::new();
    for package in &args.packages {
        selection.extend(["--package".to_owned(), package.clone()]);
    }
    let format = if all { sh::words(["--all"]) } else { selection.clone() };
    if all {
        selection.push("--workspace".to_owned());
    }
    for (package, feature) in FEATURES {
        if all || args.packages.iter().any(|selected| selected == package) {
            selection.extend(sh::words(["--features", feature]));
        }
    }
    let cargo = |subcommand: &str, selection: &[String], rest: &[&str]| {
        let rest = rest.iter().map(|&word| word.to_owned());
        sh::words(["cargo", subcommand])
            .into_iter()
            .chain(selection.iter().cloned())
            .chain(rest)
            .collect()
    };
    [
        Check { name: "format", command: cargo("fmt", &format, &["--check"]), environment: &[] },
        Check {
            name: "lints",
            command: cargo("clippy", &selection, &["--all-targets", "--", "-D", "warnings"]),
            environment: &[],
        },
        Check {
            name: "tests and doc tests",
            command: cargo("test", &selection, &[]),
            environment: &[],
        },
        Check {
            name: "docs",
            command: cargo("doc", &selection, &["--no-deps"]),
            environment: &[("RUSTDOCFLAGS", "-D warnings")],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(packages: &[&str]) -> [String; 4] {
        let packages = packages.iter().map(|&package| package.to_owned()).collect();
        checks(&Args { packages }).map(|check| sh::shown(&check.command))
    }

    #[test]
    fn all_checks_select_the_same_crates_and_features() {
        let all = "--workspace --features electra-data/parquet --features electra-cli/parquet";
        assert_eq!(
            commands(&[]),
            [
                "cargo fmt --all --check".to_owned(),
                format!("cargo clippy {all} --all-targets -- -D warnings"),
                format!("cargo test {all}"),
                format!("cargo doc {all} --no-deps"),
            ]
        );
        let two = "--package electra-data --package electra-torch";
        assert_eq!(
            commands(&["electra-data", "electra-torch"]),
            [
                format!("cargo fmt {two} --check"),
                format!(
                    "cargo clippy {two} --features electra-data/parquet --all-targets -- -D warnings"
                ),
                format!("cargo test {two} --features electra-data/parquet"),
                format!("cargo doc {two} --features electra-data/parquet --no-deps"),
            ]
        );
    }
}
