//! Every word belongs to exactly one window, where it has context.

use super::{Window, windows};
use proptest::prelude::*;

#[test]
fn a_sentence_that_fits_is_one_window() {
    assert_eq!(windows(&[1, 2, 1], 4), [Window { words: 0..3, own: 0..3 }]);
    assert_eq!(windows(&[], 4), []);
}

/// Ten words of one piece each in windows of four: two words overlap, and each belongs to the window with more context.
#[test]
fn words_belong_to_the_window_with_most_context() {
    let expected = [
        Window { words: 0..4, own: 0..3 },
        Window { words: 2..6, own: 3..5 },
        Window { words: 4..8, own: 5..7 },
        Window { words: 6..10, own: 7..10 },
    ];
    assert_eq!(windows(&[1; 10], 4), expected);
}

/// A word as long as a window has its own window.
#[test]
fn a_word_as_long_as_a_window() {
    let expected = [
        Window { words: 0..2, own: 0..2 },
        Window { words: 2..3, own: 2..3 },
        Window { words: 3..4, own: 3..4 },
    ];
    assert_eq!(windows(&[1, 1, 4, 1], 4), expected);
}

proptest! {
    #[test]
    fn every_word_is_in_one_window(room in 2usize..40, pieces in prop::collection::vec(1usize..40, 0..200)) {
        let pieces: Vec<usize> = pieces.into_iter().map(|count| count.min(room)).collect();
        let windows = windows(&pieces, room);
        let own: Vec<usize> = windows.iter().flat_map(|window| window.own.clone()).collect();
        prop_assert_eq!(own, (0..pieces.len()).collect::<Vec<_>>());
        for Window { words, own } in windows {
            prop_assert!(words.start <= own.start && own.end <= words.end);
            prop_assert!(pieces[words].iter().sum::<usize>() <= room);
        }
    }
}
