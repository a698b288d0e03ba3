//! Corpora to masked batches.
