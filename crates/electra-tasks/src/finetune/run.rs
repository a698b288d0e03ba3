//! A run over all seeds: read the data once, train and score seed after seed, write the report.

use super::{
    page,
    settings::{Completion, Event, Finetune, Prepared, RESULT, RESULTS},
    summary::FinetuneSummary,
};
use crate::{
    card,
    error::{Error, Result},
    model::{EncoderWeights, Header},
    report::{Report, SeedReport, Weights, best},
    summary::SplitSummary,
    task::LoadSite,
};
use electra_files::{if_there, read_json, write_json};
use electra_scores::{LeftOut, metrics::Summary};
use std::{collections::BTreeMap, sync::atomic::AtomicBool, time::Instant};

impl Finetune<'_> {
    /// Trains and scores every seed; writes `seed-N/`, `model/` (the best seed's) and `results.json`.
    ///
    /// # Errors
    /// If data, model or config are invalid, or `out` is not empty or has another run.
    pub fn run(
        &self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion> {
        self.run_after(&mut None, stop, on_event)
    }

    /// [`Finetune::run`] with the data that another run of the same task, files and model has read, if it has;
    /// afterwards `read` has the data of this run.
    pub(super) fn run_after(
        &self,
        read: &mut Option<Prepared>,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion> {
        let clock = Instant::now();
        self.check()?;
        let prepared = self.prepare(read.take())?;
        let prepared = read.insert(prepared);
        // Building a network may fail; an existing folder must then be kept.
        let built = self.build(self.seeds[0], prepared)?;
        self.check_memory(&built, prepared)?;
        let parameters = built.parameters();
        drop(built);
        let _lock = self.begin(prepared)?;
        self.list_left_out(&prepared.loaded.left_out)?;
        let examples = prepared.loaded.examples;
        on_event(Event::Loaded(&self.summary(prepared, parameters)?));

        let mut done = self.done()?;
        for (index, &seed) in self.seeds.iter().enumerate() {
            if let Some(report) = done.get(&seed) {
                on_event(Event::SeedSkipped(report));
                continue;
            }
            on_event(Event::SeedStarted { seed, index, count: self.seeds.len() });
            match self.seed(seed, prepared, &done, stop, on_event)? {
                Some(report) => {
                    on_event(Event::SeedFinished(&report));
                    done.insert(seed, report);
                }
                None => return Ok(Completion::Stopped),
            }
        }
        let seeds: Vec<SeedReport> =
            self.seeds.iter().filter_map(|seed| done.remove(seed)).collect();

        let metric = self.task.metric();
        let chosen = best(seeds.iter(), metric).expect("there is at least one seed").clone();
        self.check_kept(&chosen)?;
        let summary = |score: &dyn Fn(&SeedReport) -> Option<f64>| {
            Summary::of(&seeds.iter().filter_map(score).collect::<Vec<_>>())
        };
        let report = Report {
            task: self.task.name().to_owned(),
            metric,
            model: self.model.clone(),
            weights: self.weights,
            examples,
            data: prepared.loaded.summaries.clone(),
            steps: prepared.steps,
            best_seed: chosen.seed,
            dev: summary(&|seed| seed.dev_score(metric)),
            test: summary(&|seed| seed.test_score(metric)),
            best_seed_test: chosen.test_score(metric),
            baselines: prepared.loaded.data.baselines(),
            seeds,
            left_out: prepared.loaded.left_out.iter().map(LeftOut::shortened).collect(),
            seconds: clock.elapsed().as_secs_f64(),
        };
        let data = &prepared.loaded.data;
        let class = data.model_files(self.header(chosen.seed)).class;
        let best = self.seed_dir(report.best_seed);
        card::write(&self.model_dir(), &best, &report, self.config, &data.card(), &class)?;
        page::write(&self.out, &report, self.config)?;
        // Last: a folder that has it is complete.
        write_json(&self.out.join(RESULTS), &report)?;
        Ok(Completion::Finished(Box::new(report)))
    }

    fn summary(&self, prepared: &Prepared, parameters: u64) -> Result<FinetuneSummary> {
        let train = &self.config.train;
        let tokens = prepared.loaded.inputs.iter().flatten().map(|input| input.ids.len() as u64);
        Ok(FinetuneSummary {
            task: self.task.name().to_owned(),
            device: electra_torch::device_name(electra_torch::device(&train.device)?),
            precision: prepared.source.config.precision,
            threads: tch::get_num_threads(),
            parameters,
            examples: prepared.loaded.examples,
            tokens: tokens.sum(),
            epochs: train.epochs,
            batch: train.batch_size * train.accumulate,
            max_length: train.max_length,
            updates: prepared.steps,
            seeds: self.seeds.len(),
        })
    }

    /// The reports of the finished seeds.
    fn done(&self) -> Result<BTreeMap<u64, SeedReport>> {
        let mut done = BTreeMap::new();
        for &seed in &self.seeds {
            let report = if_there(read_json(&self.seed_dir(seed).join(RESULT)))?;
            done.extend(report.map(|report| (seed, report)));
        }
        Ok(done)
    }

    /// Checks that `model/` has the best seed's model, which may have been removed.
    fn check_kept(&self, chosen: &SeedReport) -> Result<()> {
        let model = self.model_dir();
        match Header::read(&model)?.seed {
            kept if kept == chosen.seed => Ok(()),
            kept => {
                let best = self.seed_dir(chosen.seed);
                let message = format!(
                    "has the model of seed {kept}, but seed {} is the best: remove {} and resume to train it again",
                    chosen.seed,
                    best.display()
                );
                Err(Error::file(model, message))
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.config.validate()?;
        self.task.validate()?;
        self.task.check(self.config)?;
        let mut sorted = self.seeds.clone();
        sorted.sort_unstable();
        if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::value(
                "seeds",
                format!("{:?}", self.seeds),
                "must be one or more seeds, without duplicates",
            ));
        }
        Ok(())
    }

    /// Reads tokenizer, data and weights, and encodes the data, unless `read` has the same.
    pub(super) fn prepare(&self, read: Option<Prepared>) -> Result<Prepared> {
        let mut prepared = match read.filter(|read| read.config.reads_as(self.config)) {
            Some(read) => read,
            None => self.read()?,
        };
        prepared.source.config.precision = self.config.train.precision;
        prepared.steps = self.steps(&prepared)?;
        Ok(prepared)
    }

    /// The number of updates.
    ///
    /// # Errors
    /// If there are none.
    pub(super) fn steps(&self, prepared: &Prepared) -> Result<u64> {
        let inputs = prepared.loaded.inputs.len();
        match self.config.steps(inputs) {
            0 => {
                let few = format!(
                    "gives no update with {inputs} training inputs: use more epochs, or a smaller batch"
                );
                Err(Error::value("train.epochs", self.config.train.epochs, few))
            }
            steps => Ok(steps),
        }
    }

    fn read(&self) -> Result<Prepared> {
        let source = self.source()?;
        let (encoder, tokenizer) = (&source.config, &source.tokenizer);
        let site = LoadSite::new(&self.data, &self.model, encoder, tokenizer, self.config)?;
        let loaded = self.task.load(&site)?;
        loaded.summaries.iter().for_each(SplitSummary::log);
        let encoder = match self.weights {
            Weights::Pretrained => {
                Some(EncoderWeights::read(&self.model, self.task.pretrained_head())?)
            }
            Weights::Random => None,
        };
        let (config, parts) = (self.config.clone(), self.parts.clone().unwrap_or_default());
        Ok(Prepared { config, source, encoder, parts, loaded, steps: 0 })
    }
}
