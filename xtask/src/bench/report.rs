//! Reports the results of a benchmark.

use super::{options::Options, page};
use crate::{files, sh};
use anyhow::Result;
use serde_json::Value;

/// Prints the results, writes them to --json, and updates their rows in the page.
pub(super) fn report(options: &Options, results: &Value, rows: &[String]) -> Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    sh::say(&text);
    if let Some(path) = &options.json {
        files::write(path, &text)?;
    }
    let page =
        rows.iter().try_fold(files::read(page::PAGE)?, |page, row| page::with_row(&page, row))?;
    files::write(page::PAGE, &page)
}
