//! Runs independent work on several threads.

use crate::sh;
use anyhow::Result;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Runs `work` for each item, `jobs` at a time, in the order of the items. Returns the errors. After an error the others
/// still run; after Ctrl-C no more are started.
pub(super) fn run<T: Sync>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Vec<anyhow::Error> {
    let (next, errors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while !sh::interrupted()
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = work(item) {
                errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(worker);
        }
    });
    errors.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn all_items_run_and_errors_are_collected() {
        for jobs in [1, 3, 100] {
            let done = Mutex::new(Vec::new());
            let errors = run(&[1, 2, 3, 4, 5], jobs, |item| {
                done.lock().unwrap().push(*item);
                if item % 2 == 0 { bail!("{item}") } else { Ok(()) }
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, [1, 2, 3, 4, 5]);
            let mut errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            errors.sort();
            assert_eq!(errors, ["2", "4"]);
        }
        assert!(run::<u8>(&[], 2, |_| Ok(())).is_empty());
    }
}
