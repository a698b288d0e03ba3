//! Numbers of a config that are read from elsewhere, which a word stands for.

use serde::{Deserializer, de};
use std::fmt;

/// Deserializes a number from 0, or `word`, which gives `None`: the number is read from elsewhere.
///
/// # Errors
/// For other numbers, strings and types.
pub fn number_or_word<'de, D: Deserializer<'de>>(
    deserializer: D,
    word: &'static str,
) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(NumberOr(word))
}

struct NumberOr(&'static str);

impl de::Visitor<'_> for NumberOr {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, or \"{}\"", self.0)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        u64::try_from(number)
            .map(Some)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text == self.0 {
            true => Ok(None),
            false => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}
