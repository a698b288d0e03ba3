//! Where measured figures go.

use super::{options::Options, page};
use crate::{figures, sh};
use anyhow::Result;
use serde_json::Value;

/// Prints the figures, writes them where they were asked for, and their rows into the page.
pub(super) fn report(options: &Options, figures: &Value, rows: &[String]) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    sh::say(&text);
    if let Some(path) = &options.json {
        figures::write(path, &text)?;
    }
    let page =
        rows.iter().try_fold(figures::read(page::PAGE)?, |page, row| page::with_row(&page, row))?;
    figures::write(page::PAGE, &page)
}
