//! A run of one seed: building the network, training, scoring.

use super::{
    chosen::BestStep,
    page::DETAILS,
    settings::{CONFIG, Event, Finetune, Prepared, RESULT},
};
use crate::{
    batch::EpochSource,
    config::{Choose, Finished},
    error::{Error, Result},
    head::HeadSite,
    model::{self, handles},
    objective::{Finetuning, layer_rule},
    report::{LabelScores, SeedReport, best},
    split::Split,
};
use electra_files::{folder, write_json};
use electra_model::{
    HeadKind, NetworkSpec,
    flops::Work,
    tensors::{Named, variables},
};
use electra_scores::Scores;
use electra_train::{
    Existing, Fetch, INITIAL_WEIGHTS, Outcome, Plan, Session, SingleProcess, StartFrom, Trainer,
    memory::StepMemory,
    metrics::{Figures, number},
    mix,
    run_dir::RunDir,
    state,
    trainer::Settings,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};
use tch::nn;

/// The size of batches for prediction, which keep no gradients, as a multiple of the training batch.
const PREDICT_BATCHES: usize = 4;

/// The file of the scores of a split, next to the answers.
const SCORES: &str = "scores.json";

/// A network with its variables.
pub(super) struct Built {
    objective: Finetuning,
    variables: Named,
}

impl Built {
    pub(super) fn parameters(&self) -> u64 {
        self.variables.iter().map(|(_, variable)| variable.numel() as u64).sum()
    }
}

impl Finetune<'_> {
    /// Trains and scores one seed; `None` if it was stopped. `done` are the finished seeds.
    pub(super) fn seed(
        &self,
        seed: u64,
        prepared: &Prepared,
        done: &BTreeMap<u64, SeedReport>,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<SeedReport>> {
        let clock = Instant::now();
        let Built { objective, variables } = self.build(seed, prepared)?;
        if self.train(seed, prepared, &objective, handles(&variables, |_| true), stop, on_event)?
            == Outcome::Stopped
        {
            return Ok(None);
        }
        let dir = self.seed_dir(seed);
        let best_step = self.best_step(seed)?;
        let chosen_step = match &best_step {
            Some(best) => best.load(&variables)?,
            None => None,
        };
        let mut report = SeedReport { seed, chosen_step, ..SeedReport::default() };
        for split in &prepared.loaded.splits {
            let answers = objective.answers(split, self.predict_batch());
            let (scores, parts) = (answers.score(), answers.parts());
            let by_label = || answers.by_label().into_iter().map(LabelScores::from).collect();
            folder::whole(&dir.join(split.name()), Existing::Replace, SCORES, |dir| {
                write_json(&dir.join(SCORES), &scores)?;
                if *split == Split::Dev {
                    write_json(&dir.join(DETAILS), &answers.details())?;
                }
                answers.write(dir)
            })?;
            match split {
                Split::Dev => {
                    report.dev = scores;
                    report.dev_by_label = by_label();
                    report.more_dev.extend(parts);
                }
                Split::MoreDev(name) => drop(report.more_dev.insert(name.clone(), scores)),
                Split::Test => {
                    report.test = Some(scores);
                    report.test_by_label = by_label();
                    report.more_test.extend(parts);
                }
            }
        }
        let known = |&other: &u64| if other == seed { Some(&report) } else { done.get(&other) };
        let known = self.seeds.iter().filter_map(known);
        if best(known, self.task.metric()).is_some_and(|best| best.seed == seed) {
            let files = prepared.loaded.data.model_files(self.header(seed));
            model::write(&self.model_dir(), &prepared.source, &variables, &files)?;
        }
        report.seconds = clock.elapsed().as_secs_f64();
        write_json(&dir.join(RESULT), &report)?;
        if self.config.checkpoint.finished == Finished::Delete {
            let checkpoints = dir.join("checkpoints");
            fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
            best_step.map_or(Ok(()), BestStep::remove)?;
        }
        Ok(Some(report))
    }

    /// The network before training: fresh weights drawn from the seed, replaced by the encoder's where it has them.
    pub(super) fn build(&self, seed: u64, prepared: &Prepared) -> Result<Built> {
        let device = electra_torch::device(&self.config.train.device)?;
        tch::manual_seed(mix(seed, INITIAL_WEIGHTS));
        let vs = nn::VarStore::new(device);
        let (config, pad) = (&prepared.source.config, prepared.source.pad());
        let (parts, reduction) = (&prepared.parts, self.config.train.loss);
        let objective = Finetuning::new(&vs.root(), config, parts, pad, reduction, |path| {
            let site = HeadSite::new(path, config, &self.config.head);
            Arc::clone(&prepared.loaded.data).head(&site)
        })?;
        if let Some(encoder) = &prepared.encoder {
            encoder.load(&vs)?;
        }
        Ok(Built { objective, variables: variables(&vs)? })
    }

    /// Compares the memory of a step on training inputs of usual length with what is available.
    pub(super) fn check_memory(&self, built: &Built, prepared: &Prepared) -> Result<()> {
        let inputs = &prepared.loaded.inputs;
        let lengths = inputs.iter().flatten().map(|input| input.ids.len() as f64);
        let (tokens, pairs) = lengths
            .fold((0.0, 0.0), |(sum, squares), length| (sum + length, squares + length * length));
        let examples = inputs.len().max(1) as f64;
        let memory = StepMemory {
            parts: &prepared.parts,
            networks: &[NetworkSpec::new("encoder", &prepared.source.config, HeadKind::None)],
            parameters: built.variables.iter().map(|(_, tensor)| tensor.numel() as u64).sum(),
            sequence: Work { tokens: tokens / examples, pairs: pairs / examples, predictions: 0.0 },
            batch_size: self.config.train.batch_size,
            accumulate: self.config.train.accumulate,
        };
        Ok(memory.check(electra_torch::device(&self.config.train.device)?)?)
    }

    fn train(
        &self,
        seed: u64,
        prepared: &Prepared,
        objective: &Finetuning,
        variables: Named,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome> {
        let (config, steps) = (self.config, prepared.steps);
        let encoder = &prepared.source.config;
        let device = electra_torch::device(&config.train.device)?;
        let plan = Plan {
            objective,
            variables: handles(&variables, |_| true),
            parts: encoder.part_names(),
            optimizer: config.adam(steps),
            schedule: config.schedule(steps),
            accumulate: config.train.accumulate,
            seed,
            device,
            fetch: Fetch::of(device),
            world: &SingleProcess,
        };
        let rule = |name: &str| layer_rule(name, encoder.layers, config.optimizer.layer_decay);
        let mut session = Session::new(plan, rule)?;
        let run = match self.checkpoint(seed)? {
            Some(checkpoint) => {
                session.resume(&checkpoint)?;
                RunDir::open(&self.seed_dir(seed))?
            }
            None => session.begin(&self.seed_dir(seed), Existing::Replace, |run| {
                let mut resolved = config.clone();
                resolved.train.seed = seed;
                run.write(CONFIG, &resolved.to_toml())
            })?,
        };
        let batch_size = config.train.batch_size * config.train.accumulate;
        let (best_step, weights) = (self.best_step(seed)?, handles(&variables, |_| true));
        let done = Cell::new(session.step());
        let mut source = EpochSource::new(
            prepared.loaded.inputs.clone(),
            prepared.loaded.order.clone(),
            seed,
            batch_size,
            session.examples(),
        )?;
        let evaluation = || {
            let scores = objective.answers(&Split::Dev, self.predict_batch()).score();
            if let Some(best) = &best_step {
                let score = scores.get(&self.task.metric()).copied().flatten();
                best.offer(done.get(), score, &weights)?;
            }
            Ok(figures(&scores))
        };
        let trainer = Trainer {
            session,
            source: &mut source,
            settings: Settings {
                steps,
                log_every: config.train.log_every,
                checkpoint_every: config.checkpoint.every,
                keep_last: config.checkpoint.keep_last,
                time_limit: None,
                evaluate_every: config.evaluate.every,
                stop_after: None,
            },
            run,
            evaluation: &evaluation,
            stop,
            on_event: &mut |event| {
                if let electra_train::Event::Step { step, .. } = &event {
                    done.set(*step);
                }
                on_event(Event::Training(event));
            },
        };
        trainer.train().map_err(|error| match error {
            cause @ electra_train::Error::NonFinite { .. } => Error::Diverged { seed, cause },
            other => other.into(),
        })
    }

    /// The newest intact checkpoint of a seed, if the run is resumed and the seed was started.
    fn checkpoint(&self, seed: u64) -> Result<Option<state::Checkpoint>> {
        let dir = self.seed_dir(seed);
        if self.from != StartFrom::Checkpoint || !dir.exists() {
            return Ok(None);
        }
        match state::newest(&dir) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(electra_train::Error::NoCheckpoint { rejected, .. }) if rejected.is_empty() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The best step of a seed, if the config selects it.
    fn best_step(&self, seed: u64) -> Result<Option<BestStep>> {
        match self.config.evaluate.choose {
            Choose::Last => Ok(None),
            Choose::Best => BestStep::of(&self.seed_dir(seed), self.task.metric()).map(Some),
        }
    }

    fn predict_batch(&self) -> usize {
        self.config.train.batch_size * PREDICT_BATCHES
    }
}

fn figures(scores: &Scores) -> Figures {
    scores
        .iter()
        .map(|(metric, score)| (format!("dev_{metric}"), number(score.unwrap_or(f64::NAN))))
        .collect()
}
