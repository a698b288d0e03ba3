//! The rows, sentences or texts of a stream that are in memory at a time.

/// The usual limit on the bytes of text in a window, its last item not counted.
pub const WINDOW_BYTES: usize = 16 << 20;

/// Why a window has no more items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is full.
    Full,
    /// There are no more.
    Ended,
}

/// Reads a window: at least one item, at most `most`, and none after their sizes add up to `limit`. An error ends the
/// window; the items before it are returned as well.
///
/// # Errors
/// The error of an item, next to the items before it.
pub fn fill<T, E>(
    items: &mut impl Iterator<Item = Result<T, E>>,
    most: usize,
    limit: usize,
    size: impl Fn(&T) -> usize,
) -> (Vec<T>, Result<Filled, E>) {
    let (mut window, mut sum) = (Vec::new(), 0);
    while window.len() < most.max(1) && sum < limit {
        match items.next() {
            None => return (window, Ok(Filled::Ended)),
            Some(Err(error)) => return (window, Err(error)),
            Some(Ok(item)) => {
                sum += size(&item);
                window.push(item);
            }
        }
    }
    (window, Ok(Filled::Full))
}
