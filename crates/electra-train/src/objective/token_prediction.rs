//! Predictions for single tokens, for reports.

/// A token of a sequence, with the outputs of both networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenPrediction {
    /// The token id in the text.
    pub original: i64,
    /// The token id that the generator sampled, at masked positions.
    pub sampled: Option<i64>,
    /// The discriminator's probability that the token was replaced.
    pub replaced_probability: f32,
}
