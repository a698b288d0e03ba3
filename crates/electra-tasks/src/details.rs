//! What a report shows of the answers to a split: a confusion matrix, the hardest examples, tables by kind.

use crate::{
    heads::SentencePrediction,
    scores::Found,
    task::{Answers, Example, Target},
};
use electra_train::html::Page;
use serde::{Deserialize, Serialize};

/// Examples in the table of the hardest.
const HARDEST: usize = 50;

/// A part of a report: `details.json` beside the answers of the dev set has a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Details {
    /// How often each class was predicted for examples of each class.
    Confusion {
        /// The classes.
        labels: Vec<String>,
        /// By the gold class, then by the predicted one.
        counts: Vec<Vec<u64>>,
    },
    /// A table.
    Table {
        /// What it is of.
        title: String,
        /// Names of its columns.
        columns: Vec<String>,
        /// Its rows, a cell for each column.
        rows: Vec<Vec<String>>,
    },
    /// What is shown of one of several tasks.
    Task {
        /// The task.
        name: String,
        /// Its parts.
        details: Vec<Details>,
    },
}

impl Details {
    /// Puts the part into a page.
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

/// A text or a pair of texts, and where it stands.
#[derive(Debug)]
pub(crate) struct Texts {
    /// The number of its row in the file.
    pub(crate) row: usize,
    a: String,
    b: Option<String>,
}

impl Texts {
    /// Those of an example.
    pub(crate) fn of<T>(example: &Example<T>) -> Self {
        let Example { text_a, text_b, row, .. } = example;
        Self { row: *row, a: text_a.clone(), b: text_b.clone() }
    }
}

/// Columns of texts or of pairs of them.
pub(crate) fn text_columns(texts: &[Texts]) -> &'static [&'static str] {
    match texts.iter().any(|texts| texts.b.is_some()) {
        true => &["text", "second text"],
        false => &["text"],
    }
}

/// What stands in these columns.
pub(crate) fn text_cells(texts: &Texts) -> impl Iterator<Item = String> + use<> {
    std::iter::once(texts.a.clone()).chain(texts.b.clone())
}

/// What was found of each of several things, which are `what` each.
pub(crate) fn found<'a>(
    title: &str,
    what: &str,
    rows: impl IntoIterator<Item = (&'a str, Found)>,
) -> Details {
    let row = |(name, found): (&str, Found)| {
        let scores = [found.precision(), found.recall(), found.f1()].map(|x| format!("{x:.4}"));
        let counts = [found.gold, found.predicted, found.right].map(|count| count.to_string());
        std::iter::once(name.to_owned()).chain(scores).chain(counts).collect()
    };
    let columns = [what, "precision", "recall", "F1", "gold", "predicted", "right"];
    Details::Table {
        title: title.to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(row).collect(),
    }
}

/// The parts of a report on a sentence task.
pub(crate) fn sentences(
    answers: &Answers,
    texts: &[Texts],
    gold: &[Target],
    predicted: &[SentencePrediction],
) -> Vec<Details> {
    let mut parts = Vec::new();
    if let Answers::Classes(labels) = answers {
        let mut counts = vec![vec![0; labels.len()]; labels.len()];
        for (gold, prediction) in gold.iter().zip(predicted) {
            if let (Target::Class(gold), Target::Class(predicted)) = (gold, prediction.answer) {
                counts[*gold][predicted] += 1;
            }
        }
        parts.push(Details::Confusion { labels: labels.clone(), counts });
    }
    parts.push(hardest(answers, texts, gold, predicted));
    parts
}

/// The examples with the highest losses: `-ln p(gold)`, or the squared error.
fn hardest(
    answers: &Answers,
    texts: &[Texts],
    gold: &[Target],
    predicted: &[SentencePrediction],
) -> Details {
    let measure = match answers {
        Answers::Classes(_) => "loss",
        Answers::Range { .. } => "squared error",
    };
    let mut columns = vec!["index", measure, "gold", "predicted"];
    if matches!(answers, Answers::Classes(_)) {
        columns.push("its probability");
    }
    columns.extend(text_columns(texts));
    let mut order: Vec<(usize, f64)> =
        gold.iter().zip(predicted).map(|(gold, p)| loss(gold, p)).enumerate().collect();
    // Losses that are no numbers come first, as the largest: their sign is set.
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let row = |&(index, loss): &(usize, f64)| {
        let prediction = &predicted[index];
        let mut row = vec![
            texts[index].row.to_string(),
            format!("{loss:.4}"),
            answers.text(gold[index]),
            answers.text(prediction.answer),
        ];
        if let Target::Class(class) = prediction.answer {
            row.push(format!("{:.4}", prediction.probabilities[class]));
        }
        row.extend(text_cells(&texts[index]));
        row
    };
    Details::Table {
        title: format!("Hardest examples, by {measure}"),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows: order.iter().take(HARDEST).map(row).collect(),
    }
}

fn loss(gold: &Target, prediction: &SentencePrediction) -> f64 {
    let loss = match (gold, prediction.answer) {
        (Target::Class(gold), _) => {
            let p = prediction.probabilities.get(*gold).copied().unwrap_or(0.0);
            -f64::from(p).ln()
        }
        (Target::Value(gold), Target::Value(predicted)) => (gold - predicted).powi(2),
        (Target::Value(_), Target::Class(_)) => f64::NAN,
    };
    loss.abs()
}
