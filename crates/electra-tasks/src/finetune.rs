//! A task over several seeds: the composition that `electra finetune` is.

mod folder;

use crate::{
    Dataset, Error, FinetuneConfig, Result, Target, Task,
    baseline::{BagOfWords, Baselines, SplitScores, majority},
    batch::{EpochSource, Feature, encode_examples},
    card,
    config::Finished,
    heads::SentenceHead,
    model::{self, EncoderWeights, Source, TaskInfo},
    objective::{Finetuning, TaskNetwork, layer_rule},
    report::{Examples, Report, SeedReport, best},
    scores::{Scores, Summary},
    task::Answers,
};
use electra_model::{Parts, networks::variables, tensors::Named};
use electra_tokenize::Tokenizer;
use electra_train::{
    Existing, From, Outcome, Trainer,
    metrics::{Figures, number},
    optim::Adam,
    run_dir::{Manifest, RunDir},
    state,
    trainer::{Settings, mix},
};
use folder::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};
use tch::nn;

/// A step number no update has: initial weights are drawn with `mix(seed, INITIAL_WEIGHTS)`.
const INITIAL_WEIGHTS: u64 = u64::MAX - 1;

/// Batches of predictions are this many times the training batch: they keep no gradients.
const PREDICT_BATCHES: usize = 4;

/// Whether an encoder's weights are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Those of the model folder.
    Pretrained,
    /// Fresh ones in the sizes of the folder's `config.json`: the control that shows what
    /// pre-training is worth.
    Random,
}

/// Everything that fine-tuning is made of.
///
/// ```no_run
/// use electra_tasks::{Completion, Finetune, FinetuneConfig, Task};
///
/// let task = Task::read("data/mine".as_ref())?;
/// let config = FinetuneConfig::read("configs/finetune-small.toml".as_ref(), &[])?;
/// let mut finetune = Finetune::new(&task, "data/mine", "models/small", &config, "runs/mine");
/// finetune.seeds = vec![1, 2, 3];
/// if let Completion::Finished(report) = finetune.run(&false.into(), &mut |_| {})? {
///     println!("{:?}", report.dev);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Finetune<'a> {
    /// What is learned.
    pub task: &'a Task,
    /// The folder that the task's files are in.
    pub data: PathBuf,
    /// The encoder: a Hugging Face folder with its tokenizer.
    pub model: PathBuf,
    /// Whether its weights are used.
    pub weights: Weights,
    /// How it is learned.
    pub config: &'a FinetuneConfig,
    /// One run each, in `seed-N`.
    pub seeds: Vec<u64>,
    /// Where everything is written.
    pub out: PathBuf,
    /// Whether `out` is new or gone on with; finished seeds are then skipped.
    pub from: From,
    /// What the encoder is built from; `None` for the shipped parts.
    pub parts: Option<Parts>,
}

/// How fine-tuning ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// Every seed is done.
    Finished(Box<Report>),
    /// It was asked to stop; a checkpoint was written, and resuming goes on from there.
    Stopped,
}

/// What happens, for whoever shows progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The data is read and encoded.
    Loaded {
        /// Numbers of examples.
        examples: Examples,
        /// Updates of each seed.
        steps: u64,
    },
    /// A seed begins.
    SeedStarted {
        /// The seed.
        seed: u64,
        /// How many were before it.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// From the loop, within a seed.
    Training(electra_train::Event<'a>),
    /// A seed is done.
    SeedFinished(&'a SeedReport),
    /// A seed was done before and is skipped.
    SeedSkipped(&'a SeedReport),
}

/// What all seeds have in common, read once.
struct Prepared {
    source: Source,
    encoder: Option<EncoderWeights>,
    parts: Parts,
    answers: Answers,
    train: Arc<[Arc<Feature<Target>>]>,
    dev: Vec<Arc<Feature<Target>>>,
    more_dev: BTreeMap<String, Vec<Arc<Feature<Target>>>>,
    test: Option<Vec<Arc<Feature<Target>>>>,
    steps: u64,
}

/// A network with its variables.
struct Built {
    objective: Finetuning<SentenceHead>,
    variables: Named,
}

impl<'a> Finetune<'a> {
    /// Pre-trained weights, the config's one seed, shipped parts, a new folder.
    pub fn new(
        task: &'a Task,
        data: impl Into<PathBuf>,
        model: impl Into<PathBuf>,
        config: &'a FinetuneConfig,
        out: impl Into<PathBuf>,
    ) -> Self {
        Self {
            task,
            data: data.into(),
            model: model.into(),
            weights: Weights::Pretrained,
            config,
            seeds: vec![config.train.seed],
            out: out.into(),
            from: From::Scratch(Existing::Refuse),
            parts: None,
        }
    }

    /// Trains and scores every seed; writes `seed-N/`, `model/` (the best seed's) and `results.json`.
    ///
    /// # Errors
    /// If data, model or config cannot be used, `out` is not empty, or is of another run.
    pub fn run(
        &self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Completion> {
        let clock = Instant::now();
        self.check()?;
        let prepared = self.prepare()?;
        // Whatever the networks cannot be made of is said before a folder is replaced.
        self.build(self.seeds[0], &prepared)?;
        self.begin(&prepared.parts)?;
        let examples = Examples {
            train: prepared.train.len(),
            dev: prepared.dev.len(),
            test: prepared.test.as_ref().map_or(0, Vec::len),
        };
        on_event(Event::Loaded { examples, steps: prepared.steps });

        let mut seeds: Vec<SeedReport> = Vec::new();
        for (index, &seed) in self.seeds.iter().enumerate() {
            if let Some(report) = read_json(&self.seed_dir(seed).join(RESULT))? {
                on_event(Event::SeedSkipped(&report));
                seeds.push(report);
                continue;
            }
            on_event(Event::SeedStarted { seed, index, count: self.seeds.len() });
            match self.seed(seed, &prepared, &seeds, stop, on_event)? {
                Some(report) => {
                    on_event(Event::SeedFinished(&report));
                    seeds.push(report);
                }
                None => return Ok(Completion::Stopped),
            }
        }

        let metric = self.task.metric;
        let chosen = best(&seeds, metric).expect("there is at least one seed").clone();
        let summary = |score: &dyn Fn(&SeedReport) -> Option<f64>| {
            Summary::of(&seeds.iter().filter_map(score).collect::<Vec<_>>())
        };
        let report = Report {
            task: self.task.name.clone(),
            metric,
            model: self.model.clone(),
            weights: self.weights,
            examples,
            steps: prepared.steps,
            best_seed: chosen.seed,
            dev: summary(&|seed| seed.dev_score(metric)),
            test: summary(&|seed| seed.test_score(metric)),
            best_seed_test: chosen.test_score(metric),
            baselines: baselines(&prepared),
            seeds,
            seconds: clock.elapsed().as_secs_f64(),
        };
        write_json(&self.out.join("results.json"), &report)?;
        let (model, best) = (self.out.join("model"), self.seed_dir(report.best_seed));
        card::write(&model, &best, &report, self.config, self.task, &prepared.answers)?;
        Ok(Completion::Finished(Box::new(report)))
    }

    fn check(&self) -> Result<()> {
        self.config.validate()?;
        self.task.validate()?;
        let mut sorted = self.seeds.clone();
        sorted.sort_unstable();
        if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::value(
                "seeds",
                format!("{:?}", self.seeds),
                "must be at least one, none twice",
            ));
        }
        Ok(())
    }

    /// Reads data, tokenizer and weights, and encodes the data.
    fn prepare(&self) -> Result<Prepared> {
        let Dataset { answers, train, dev, more_dev, test, left_out } =
            self.task.load(&self.data)?;
        if left_out > 0 {
            tracing::warn!("{}: {left_out} rows of all files are left out", self.data.display());
        }
        let mut source = Source::read(&self.model)?;
        source.config.precision = self.config.train.precision;
        let max_length = self.config.train.max_length;
        if max_length as i64 > source.config.max_positions {
            let limit = format!(
                "must be at most {}, the positions of the model",
                source.config.max_positions
            );
            return Err(Error::value("train.max_length", max_length, limit));
        }
        if self.task.text_b.is_some() && source.config.segments < 2 {
            let message = "the model has one segment, and the task has pairs of texts";
            return Err(Error::file(&self.model, message));
        }
        let encoder = match self.weights {
            Weights::Pretrained => Some(EncoderWeights::read(&self.model)?),
            Weights::Random => None,
        };
        let steps = self.config.steps(train.len());
        if steps == 0 {
            let few = format!("is less than one update of the {} training examples", train.len());
            return Err(Error::value("train.epochs", self.config.train.epochs, few));
        }
        let encode = |examples: &[_]| encode_examples(&source.tokenizer, examples, max_length);
        let (train, dev) = (encode(&train)?.into(), encode(&dev)?);
        let more_dev = more_dev.into_iter().map(|(name, examples)| Ok((name, encode(&examples)?)));
        let more_dev = more_dev.collect::<Result<_>>()?;
        let test = test.map(|examples| encode(&examples)).transpose()?;
        let parts = self.parts.clone().unwrap_or_else(Parts::shipped);
        Ok(Prepared { source, encoder, parts, answers, train, dev, more_dev, test, steps })
    }

    fn seed_dir(&self, seed: u64) -> PathBuf {
        self.out.join(format!("seed-{seed}"))
    }

    /// One seed to its end, or `None` if it was stopped.
    fn seed(
        &self,
        seed: u64,
        prepared: &Prepared,
        before: &[SeedReport],
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<SeedReport>> {
        let clock = Instant::now();
        let Built { objective, variables } = self.build(seed, prepared)?;
        if self.train(seed, prepared, &objective, variables.clone_handles(), stop, on_event)?
            == Outcome::Stopped
        {
            return Ok(None);
        }
        let score =
            |features: &[_]| score(&objective, features, &prepared.answers, self.predict_batch());
        let mut report = SeedReport {
            seed,
            dev: score(&prepared.dev),
            more_dev: prepared
                .more_dev
                .iter()
                .map(|(name, set)| (name.clone(), score(set)))
                .collect(),
            test: prepared.test.as_deref().map(score),
            seconds: 0.0,
        };
        let metric = self.task.metric;
        let merit = |report: &SeedReport| metric.merit(report.dev_score(metric));
        if best(before, metric).is_none_or(|best| merit(&report) > merit(best)) {
            let c = self.config;
            let info =
                TaskInfo::new(self.task, &prepared.answers, &c.head, c.train.max_length, seed);
            model::write(&self.out.join("model"), &prepared.source, &variables, &info)?;
        }
        report.seconds = clock.elapsed().as_secs_f64();
        let dir = self.seed_dir(seed);
        write_json(&dir.join(RESULT), &report)?;
        if self.config.checkpoint.finished == Finished::Delete {
            let checkpoints = dir.join("checkpoints");
            fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
        }
        Ok(Some(report))
    }

    /// The network at its start: new weights drawn by the seed, and the encoder's over them.
    fn build(&self, seed: u64, prepared: &Prepared) -> Result<Built> {
        let device = electra_torch::device(&self.config.train.device)?;
        tch::manual_seed(mix(seed, INITIAL_WEIGHTS));
        let vs = nn::VarStore::new(device);
        let Source { config, .. } = &prepared.source;
        let pad = prepared.source.pad();
        let network = TaskNetwork::new(&vs.root(), config, &prepared.parts, pad, |path| {
            SentenceHead::new(path, config, &self.config.head, &prepared.answers)
        })?;
        if let Some(encoder) = &prepared.encoder {
            encoder.load(&vs)?;
        }
        let objective = Finetuning::new(network, self.config.train.loss);
        Ok(Built { objective, variables: variables(&vs)? })
    }

    fn train(
        &self,
        seed: u64,
        prepared: &Prepared,
        objective: &Finetuning<SentenceHead>,
        variables: Named,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome> {
        use electra_train::objective::Objective;
        let (config, steps, names) = (self.config, prepared.steps, prepared.parts.names());
        let layers = prepared.source.config.layers;
        let rule = |name: &str| layer_rule(name, layers, config.optimizer.layer_decay);
        let adam = Adam::new(&config.adam(steps), &variables, rule)?;
        let (run, step, position) = match self.checkpoint(seed)? {
            Some(checkpoint) => {
                checkpoint.load_model(objective.name(), &names, &variables)?;
                checkpoint.load_optimizer(&adam.state())?;
                tracing::info!("resuming from {}", checkpoint.path.display());
                (
                    RunDir::open(&self.seed_dir(seed))?,
                    checkpoint.state.step,
                    checkpoint.state.examples,
                )
            }
            None => {
                let mut resolved = config.clone();
                resolved.train.seed = seed;
                let device = electra_torch::device(&config.train.device)?;
                let manifest =
                    Manifest::new(objective.name(), names.clone(), device, seed, adam.parameters());
                let run =
                    RunDir::create(&self.seed_dir(seed), Existing::Replace, &manifest, |run| {
                        run.write(CONFIG, &resolved.to_toml())
                    })?;
                (run, 0, 0)
            }
        };
        let batch_size = config.train.batch_size * config.train.accumulate;
        let evaluation = |objective: &Finetuning<SentenceHead>| {
            Ok(figures(&score(objective, &prepared.dev, &prepared.answers, self.predict_batch())))
        };
        let trainer = Trainer {
            objective,
            source: EpochSource::new(Arc::clone(&prepared.train), seed, batch_size, position)?,
            variables,
            parts: names,
            adam,
            schedule: config.schedule(steps),
            settings: Settings {
                steps,
                accumulate: config.train.accumulate,
                seed,
                log_every: config.train.log_every,
                checkpoint_every: config.checkpoint.every,
                keep_last: config.checkpoint.keep_last,
                evaluate_every: config.evaluate.every,
                stop_after: None,
            },
            run,
            evaluation: &evaluation,
            stop,
            on_event: &mut |event| on_event(Event::Training(event)),
        };
        Ok(trainer.train(step)?)
    }

    /// The newest whole checkpoint of a seed that was begun, if the run is gone on with.
    fn checkpoint(&self, seed: u64) -> Result<Option<state::Checkpoint>> {
        let dir = self.seed_dir(seed);
        if self.from != From::Checkpoint || !dir.exists() {
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

    fn predict_batch(&self) -> usize {
        self.config.train.batch_size * PREDICT_BATCHES
    }
}

const CONFIG: &str = "config.toml";
const RESULT: &str = "result.json";

/// Second handles on the same tensors.
trait CloneHandles {
    fn clone_handles(&self) -> Self;
}

impl CloneHandles for Named {
    fn clone_handles(&self) -> Self {
        self.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }
}

fn score(
    objective: &Finetuning<SentenceHead>,
    features: &[Arc<Feature<Target>>],
    answers: &Answers,
    batch_size: usize,
) -> Scores {
    let predictions = objective.network().predict(features, batch_size);
    let predicted: Vec<Target> = predictions.iter().map(|prediction| prediction.answer).collect();
    answers.score(&predicted, &targets(features))
}

fn targets(features: &[Arc<Feature<Target>>]) -> Vec<Target> {
    features.iter().map(|feature| feature.target).collect()
}

fn figures(scores: &Scores) -> Figures {
    scores
        .iter()
        .map(|(metric, score)| (format!("dev_{metric}"), number(score.unwrap_or(f64::NAN))))
        .collect()
}

fn baselines(prepared: &Prepared) -> Baselines {
    let Prepared { source, answers, train, dev, test, .. } = prepared;
    let split = |predict: &dyn Fn(&Feature<Target>) -> Target| {
        let score = |features: &[Arc<Feature<Target>>]| {
            let predicted: Vec<Target> = features.iter().map(|feature| predict(feature)).collect();
            answers.score(&predicted, &targets(features))
        };
        SplitScores { dev: score(dev), test: test.as_deref().map(score) }
    };
    let constant = majority(&targets(train), answers);
    let bag_of_words = match answers {
        Answers::Classes(labels) => {
            let vocab = source.tokenizer.vocab();
            let model = BagOfWords::train(train, labels.len(), vocab.len(), vocab.special());
            Some(split(&|feature| Target::Class(model.predict(feature))))
        }
        Answers::Range { .. } => None,
    };
    Baselines { majority: split(&|_| constant), bag_of_words }
}
