//! What a report shows of a forward pass.

/// A token of a sequence with what the networks said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Its id in the text.
    pub original: i64,
    /// The id that the generator drew, where it was asked for one.
    pub drawn: Option<i64>,
    /// The discriminator's probability that the token is not the original one.
    pub replaced: f32,
}
