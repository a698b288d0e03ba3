//! `cargo xtask test`: every check, cheapest first; the first that fails ends it.

use crate::{setup, sh, tidy};
use anyhow::{Context, Result};
use std::time::Instant;

pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    sh::run(&sh::words(["cargo", "fmt", "--all", "--check"])).context("format")?;
    tidy::run().context("tidy")?;
    setup::run(&setup::Args::default()).context("setup")?;
    let steps: [(&str, &[&str], &[(&str, &str)]); 4] = [
        (
            "lints",
            &["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            &[],
        ),
        ("tests", &["cargo", "test", "--workspace", "--all-targets"], &[]),
        ("documentation tests", &["cargo", "test", "--workspace", "--doc"], &[]),
        (
            "documentation",
            &["cargo", "doc", "--workspace", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    ];
    for (name, command, env) in steps {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let took = sh::run_with(&command, env).with_context(|| name.to_owned())?;
        sh::say(&format!("{name}: {:.0} s", took.as_secs_f64()));
    }
    sh::say(&format!("all checks passed in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}
