//! `cargo xtask test`: every check, cheapest first; the first that fails ends it.

use crate::{setup, sh, tidy};
use anyhow::{Context, Result};
use std::time::Instant;

/// One `cargo` command over the whole workspace.
struct Check {
    name: &'static str,
    arguments: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

const CHECKS: [Check; 4] = [
    Check {
        name: "lints",
        arguments: "clippy --workspace --all-targets --features electra-cli/parquet -- -D warnings",
        environment: &[],
    },
    Check {
        name: "tests",
        arguments: "test --workspace --lib --bins --tests --examples --features electra-cli/parquet",
        environment: &[],
    },
    Check { name: "documentation tests", arguments: "test --workspace --doc", environment: &[] },
    Check {
        name: "documentation",
        arguments: "doc --workspace --no-deps",
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    sh::run(&sh::words(["cargo", "fmt", "--all", "--check"])).context("format")?;
    tidy::run().context("tidy")?;
    setup::run(&setup::Args::default()).context("setup")?;
    for Check { name, arguments, environment } in CHECKS {
        let command: Vec<String> =
            std::iter::once("cargo").chain(arguments.split(' ')).map(str::to_owned).collect();
        let took = sh::run_with(&command, environment).context(name)?;
        sh::say(&format!("{name}: {:.0} s", took.as_secs_f64()));
    }
    sh::say(&format!("all checks passed in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}
