//! The sections of a report on the answers for a split: a confusion matrix, the hardest examples, scores by type.

use crate::error::Result;
use electra_files::write_file;
use electra_scores::MatchCounts;
use electra_train::html::Page;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The number of rows in a table of the hardest examples.
pub(crate) const HARDEST: usize = 50;

/// A section of a report; `details.json`, next to the answers for the dev set, has a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Details {
    /// How often each class was predicted for examples of each class.
    Confusion {
        /// The classes.
        labels: Vec<String>,
        /// Indexed by the gold class, then by the predicted class.
        counts: Vec<Vec<u64>>,
    },
    /// A table.
    Table {
        /// Its title.
        title: String,
        /// Names of its columns.
        columns: Vec<String>,
        /// Its rows, a cell for each column.
        rows: Vec<Vec<String>>,
    },
    /// The sections of one of several tasks.
    Task {
        /// The name of the task.
        name: String,
        /// Its sections.
        details: Vec<Details>,
    },
}

impl Details {
    /// A table with these columns.
    pub(crate) fn table<'a>(
        title: &str,
        columns: impl IntoIterator<Item = &'a str>,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Self {
        Self::Table {
            title: title.to_owned(),
            columns: columns.into_iter().map(str::to_owned).collect(),
            rows: rows.into_iter().collect(),
        }
    }

    /// Adds the section to a page.
    pub(crate) fn show(&self, page: &mut Page) {
        self.show_under(page, Page::heading);
    }

    fn show_under(&self, page: &mut Page, heading: fn(&mut Page, &str)) {
        match self {
            Self::Confusion { labels, counts } => {
                heading(page, "Confusion matrix");
                page.matrix("gold \u{2193} predicted \u{2192}", labels, counts);
            }
            Self::Table { title, columns, rows } => {
                heading(page, title);
                page.table(columns, rows.iter().cloned());
            }
            Self::Task { name, details } => {
                heading(page, name);
                details.iter().for_each(|part| part.show_under(page, Page::subheading));
            }
        }
    }
}

/// A text or a pair of texts of a file.
#[derive(Debug)]
pub struct Texts {
    /// The number of its row in the file.
    pub row: usize,
    /// The (first) text.
    pub text_a: String,
    /// The second text of a pair.
    pub text_b: Option<String>,
}

/// The columns of texts or pairs of texts.
pub(crate) fn text_columns(texts: &[Texts]) -> &'static [&'static str] {
    match texts.iter().any(|texts| texts.text_b.is_some()) {
        true => &["text", "second text"],
        false => &["text"],
    }
}

/// The cells of [`text_columns`].
pub(crate) fn text_cells(texts: &Texts) -> impl Iterator<Item = String> + use<> {
    std::iter::once(texts.text_a.clone()).chain(texts.text_b.clone())
}

/// The counts of each class, label, type of entity or tag, for a table of the report and a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ByLabel {
    /// The title of the table.
    pub title: &'static str,
    /// The title of its first column.
    pub label: &'static str,
    /// The name of the file.
    pub file: &'static str,
    /// The counts, in order.
    pub counts: Vec<(String, MatchCounts)>,
}

impl ByLabel {
    fn rows(&self) -> impl Iterator<Item = (&str, MatchCounts)> {
        self.counts.iter().map(|(label, counts)| (label.as_str(), *counts))
    }

    /// The table of the report.
    pub(crate) fn details(&self) -> Details {
        let row = |(name, found): (&str, MatchCounts)| {
            let scores = [found.precision(), found.recall(), found.f1()].map(|x| format!("{x:.4}"));
            let counts = [found.gold, found.predicted, found.right].map(|count| count.to_string());
            std::iter::once(name.to_owned()).chain(scores).chain(counts).collect()
        };
        let columns = [self.label, "precision", "recall", "F1", "gold", "predicted", "right"];
        Details::table(self.title, columns, self.rows().map(row))
    }

    /// Writes the file into the folder `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        Ok(write_file(&dir.join(self.file), MatchCounts::table(self.label, self.rows()))?)
    }
}
