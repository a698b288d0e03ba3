//! JSON objects of answers by question id.

use crate::{answer::SpanAnswer, error::Result};
use electra_files::write_json;
use serde::{Serialize, Serializer};
use std::path::Path;

/// A JSON object with a key for each question, in their order.
#[derive(Clone, Debug)]
pub(crate) struct ById<'a, T>(Vec<(&'a str, T)>);

impl<'a, T: Serialize> ById<'a, T> {
    /// `value` of every answer.
    pub(crate) fn of(
        ids: &[&'a str],
        answers: &'a [SpanAnswer],
        value: impl Fn(&'a SpanAnswer) -> T,
    ) -> ById<'a, T> {
        ById(ids.iter().copied().zip(answers.iter().map(value)).collect())
    }

    /// The object as text.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values serialize") + "\n"
    }

    /// Writes the object.
    ///
    /// # Errors
    /// Naming the file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(write_json(path, self)?)
    }
}

impl<T: Serialize> Serialize for ById<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, value)| (id, value)))
    }
}
