//! How often the training loop fetches losses and norms from the device.

use crate::{Fixture, device, objective::built};
use electra_data::{Loader, LoaderConfig, ShardSet, Split, UniformMasking};
use electra_model::tensors::variables;
use electra_train::{
    Error, Event, Existing, Fetch, Outcome, Plan, Result, RunConfig, Session, SingleProcess,
    Trainer,
    metrics::Figures,
    optim::{Decay, Rule},
    trainer::Settings,
};
use std::{fs, sync::Arc, sync::atomic::AtomicBool};
use tch::Device;

/// Trains in `run`; returns the number of updates in each fetch.
fn fetches(
    fixture: &Fixture,
    config: &RunConfig,
    fetch: Fetch,
    run: &str,
) -> (Result<Outcome>, Vec<usize>) {
    let (vs, objective) = built(fixture, config);
    let variables = variables(&vs).unwrap();
    let plan = Plan {
        objective: &objective,
        variables,
        parts: Vec::new(),
        optimizer: config.optimizer.clone(),
        schedule: config.schedule(),
        accumulate: 2,
        seed: 1,
        device: device(),
        fetch,
        world: &SingleProcess,
    };
    let session = Session::new(plan, |name| Rule { decay: Decay::of(name), rate: 1.0 }).unwrap();
    let shards = Arc::new(ShardSet::open(&fixture.path("shards"), Split::Train).unwrap());
    let loader = LoaderConfig { seed: 1, batch_size: 6, threads: 1, prefetch: 2 };
    let masking = Arc::new(UniformMasking { rate: 0.15, mask_share: 0.85 });
    let folder = session.begin(&fixture.path(run), Existing::Refuse, |_| Ok(())).unwrap();
    let mut counts = Vec::new();
    let trainer = Trainer {
        session,
        source: &mut Loader::new(shards, masking, loader, 0).unwrap(),
        settings: Settings {
            steps: config.train.steps,
            log_every: config.train.log_every,
            checkpoint_every: config.checkpoint.every,
            keep_last: 0,
            time_limit: None,
            evaluate_every: 0,
            stop_after: None,
        },
        run: folder,
        evaluation: &|| Ok(Figures::new()),
        stop: &AtomicBool::new(false),
        on_event: &mut |event| {
            if let Event::Fetched { updates } = event {
                counts.push(updates);
            }
        },
    };
    let outcome = trainer.train();
    (outcome, counts)
}

#[test]
fn losses_are_fetched_only_for_rows_and_checkpoints() {
    let fixture = Fixture::new();
    let config = fixture.config(&["train.log_every=5", "checkpoint.every=3"]);
    let (outcome, together) = fetches(&fixture, &config, Fetch::Together, "together");
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    // Checkpoints at 3, 6, 9 and 10, rows at 5 and 10.
    assert_eq!(together, [3, 2, 1, 3, 1]);

    let (outcome, each) = fetches(&fixture, &config, Fetch::Each, "each");
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    assert_eq!(each, [1; 10]);
    // The time of fetching does not change the weights.
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let [a, b] = ["together", "each"].map(|run| {
            fs::read(fixture.path(&format!("{run}/checkpoints/step-0000010/{file}"))).unwrap()
        });
        assert!(a == b, "{file}");
    }
    assert_eq!(Fetch::of(Device::Cpu), Fetch::Each);
    assert_eq!(Fetch::of(Device::Cuda(0)), Fetch::Together);
}

#[test]
fn a_non_finite_loss_is_found_before_a_checkpoint_and_its_step_is_named() {
    let fixture = Fixture::new();
    let diverging = |every: &str| {
        fixture.config(&[
            "optimizer.learning_rate=1e30",
            "optimizer.warmup_steps=3",
            "train.log_every=100",
            &format!("checkpoint.every={every}"),
        ])
    };
    let failed = |config: &RunConfig, fetch, run: &str| match fetches(&fixture, config, fetch, run)
        .0
        .unwrap_err()
    {
        Error::NonFinite { step, .. } => step,
        other => panic!("{other}"),
    };
    let step = failed(&diverging("1"), Fetch::Each, "each");
    assert!((2..9).contains(&step), "step {step}");
    // Fetched after all ten updates at the end, and at the next checkpoint.
    for (every, run) in [("100", "late"), ("9", "nine")] {
        assert_eq!(failed(&diverging(every), Fetch::Together, run), step);
        let count = fs::read_dir(fixture.path(run).join("checkpoints")).map_or(0, Iterator::count);
        assert_eq!(count, 0, "a checkpoint with non-finite weights in {run}");
    }
}
