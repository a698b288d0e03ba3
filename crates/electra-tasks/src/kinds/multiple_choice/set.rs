//! The encoded rows of a file.

use crate::batch::Input;
use electra_scores::table::Row;

/// The rows of a file.
#[derive(Debug)]
pub struct ChoiceSet {
    /// An input for each choice of each row.
    pub(super) inputs: Vec<Input>,
    /// The number of the right choice of each row.
    pub(super) labels: Vec<usize>,
    /// The rows: text, choices, label.
    pub(super) rows: Vec<Row>,
}
