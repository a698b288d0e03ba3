//! A data loader that prepares batches on worker threads. The batches do not depend on the number of threads.

use crate::{Error, MaskedBatch, Masking, Result, Sampler, ShardSet};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Settings of a [`Loader`].
#[derive(Clone, Copy, Debug)]
pub struct LoaderConfig {
    /// Seed for shuffling, masking and sampling.
    pub seed: u64,
    /// Examples per batch.
    pub batch_size: usize,
    /// Worker threads.
    pub threads: usize,
    /// Maximum number of batches prepared in advance, which bounds memory.
    pub prefetch: usize,
}

/// An endless stream of masked batches in shuffled order. Batches may span epochs.
#[derive(Debug)]
pub struct Loader {
    jobs: Option<Sender<u64>>,
    done: Receiver<(u64, Result<MaskedBatch>)>,
    early: BTreeMap<u64, Result<MaskedBatch>>,
    workers: Vec<JoinHandle<()>>,
    /// The next batch to return, counted from the start of the loader.
    next: u64,
    /// The next batch to request.
    requested: u64,
    start: u64,
    config: LoaderConfig,
    wait: Duration,
}

impl Loader {
    /// Creates a loader that starts after `start` examples, to resume a run.
    ///
    /// # Errors
    /// If a setting is 0 or a thread cannot be started.
    pub fn new(
        shards: Arc<ShardSet>,
        masking: Arc<dyn Masking>,
        config: LoaderConfig,
        start: u64,
    ) -> Result<Self> {
        for (key, value) in [
            ("batch_size", config.batch_size),
            ("loader_threads", config.threads),
            ("prefetch", config.prefetch),
        ] {
            if value == 0 {
                let expected = "must be at least 1".to_owned();
                return Err(Error::Value { key, value: value.to_string(), expected });
            }
        }
        let (jobs, todo) = bounded::<u64>(config.prefetch);
        let (results, done) = bounded(config.prefetch);
        let sampler = Sampler::new(shards.len(), config.seed);
        let workers = (0..config.threads)
            .map(|n| {
                let (todo, results) = (todo.clone(), results.clone());
                let (shards, masking) = (Arc::clone(&shards), Arc::clone(&masking));
                let work = move || {
                    for number in todo {
                        let first = start + number * config.batch_size as u64;
                        // Send a panic to the consumer, which waits for this batch.
                        let batch = catch_unwind(AssertUnwindSafe(|| {
                            make(&shards, masking.as_ref(), &sampler, &config, first)
                        }))
                        .unwrap_or_else(|panic| Err(Error::Worker(message(panic.as_ref()))));
                        if results.send((number, batch)).is_err() {
                            return;
                        }
                    }
                };
                thread::Builder::new().name(format!("loader-{n}")).spawn(work)
            })
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(Error::io("loader thread"))?;
        let wait = Duration::ZERO;
        let early = BTreeMap::new();
        Ok(Self {
            jobs: Some(jobs),
            done,
            early,
            workers,
            next: 0,
            requested: 0,
            start,
            config,
            wait,
        })
    }

    /// The next batch.
    ///
    /// # Errors
    /// If a shard cannot be read or [`Masking::choose`] panics. The next call returns the following batch.
    #[expect(clippy::should_implement_trait, reason = "it is fallible and endless")]
    pub fn next(&mut self) -> Result<MaskedBatch> {
        let gone = || Error::Worker("all threads have stopped".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        while self.requested < self.next + self.config.prefetch as u64 {
            jobs.send(self.requested).map_err(|_| gone())?;
            self.requested += 1;
        }
        let start = Instant::now();
        let batch = loop {
            if let Some(batch) = self.early.remove(&self.next) {
                break batch;
            }
            let (number, batch) = self.done.recv().map_err(|_| gone())?;
            self.early.insert(number, batch);
        };
        self.wait += start.elapsed();
        self.next += 1;
        batch
    }

    /// Number of examples returned since the start of the run.
    pub fn position(&self) -> u64 {
        self.start + self.next * self.config.batch_size as u64
    }

    /// Time that [`Self::next`] has waited for workers since the last call of this function.
    pub fn take_wait(&mut self) -> Duration {
        std::mem::take(&mut self.wait)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Closing the channel stops the workers; draining unblocks a worker that is sending.
        self.jobs = None;
        while self.done.recv().is_ok() {}
        for worker in self.workers.drain(..) {
            // A panic of a worker has already been printed.
            let _ = worker.join();
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

fn make(
    shards: &ShardSet,
    masking: &dyn Masking,
    sampler: &Sampler,
    config: &LoaderConfig,
    first: u64,
) -> Result<MaskedBatch> {
    let mut batch = MaskedBatch::empty(shards.sequence_length());
    for position in first..first + config.batch_size as u64 {
        let (epoch, index) = sampler.example_at(position);
        batch.push(shards, masking, config.seed, epoch, index)?;
    }
    Ok(batch)
}
