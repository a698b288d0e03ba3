//! The command with a script in place of `electra`.

use super::*;
use clap::Parser;
use std::{fs, os::unix::fs::PermissionsExt};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A script that writes what each command of `electra` would, and logs its arguments. BERT's update has a quarter fewer
/// FLOPs. Fine-tuning fails for tasks named in the file `failing`.
const SCRIPT: &str = r#"#!/bin/sh
home=$(dirname "$0")
echo "$@" >> "$home/log"
command=$1
case $command in
flops)
    flops=1000.0
    case $2 in */bert.toml) flops=750.0 ;; esac
    echo "{\"flops_per_step\": $flops, \"tokens_per_step\": 2048}"
    exit ;;
profile)
    echo '{"tokens_per_second": 1024.0}'
    exit ;;
esac
steps=0
seed=0
while [ $# -gt 0 ]; do
    case $1 in
    --out|--resume) [ "$command" = finetune ] && [ "$1" = --resume ] || out=$2 ;;
    --stop-after) stop=$2 ;;
    train.steps=*) steps=${1#train.steps=} ;;
    train.seed=*) seed=${1#train.seed=} ;;
    --task) task=$2 ;;
    esac
    shift
done
mkdir -p "$out"
case $command in
pretrain)
    [ -f "$out/steps" ] || echo "$steps" > "$out/steps"
    step=${stop:-$(cat "$out/steps")}
    mkdir -p "$out/checkpoints/step-$(printf %07d "$step")" ;;
finetune)
    if grep -q "$task" "$home/failing" 2> /dev/null; then exit 3; fi
    echo "{\"dev\": {\"median\": 0.5$seed}}" > "$out/results.json" ;;
esac
"#;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let electra = world.path("electra");
        fs::write(&electra, SCRIPT).unwrap();
        fs::set_permissions(&electra, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["shards", "glue/STS-B", "glue/QNLI", "glue/CoLA", "glue/QQP"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        fs::write(world.path("shards/index.json"), "{}").unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, options: &str) -> Args {
        let dir = self.dir.path().display();
        let line = format!("x {options} --out {dir}/out --shards {dir}/shards --glue {dir}/glue");
        Line::try_parse_from(line.split(' ')).unwrap().args
    }

    fn run(&self, options: &str) -> Result<()> {
        self.run_with(&self.args(options))
    }

    /// [`Self::run`] without the folders of the data.
    fn run_again(&self, options: &str) -> Result<()> {
        let args = self.args(options);
        self.run_with(&Args { shards: None, glue: None, ..args })
    }

    fn run_with(&self, args: &Args) -> Result<()> {
        let electra = self.path("electra").display().to_string();
        Plan::new(args, &sh::root().join(CONFIGS), &electra)?.run()
    }

    /// The logged commands that begin with `command`, since the last call.
    fn log(&self, command: &str) -> Vec<String> {
        let path = self.path("log");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let found = text.lines().filter(|line| line.starts_with(command));
        found.map(str::to_owned).collect()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

/// By hand: 3,000 updates of 8 GFLOPs are as many FLOPs as 4,000 of 6 GFLOPs.
#[test]
fn equal_flops_are_updates_in_inverse_proportion() {
    assert_eq!(equal_flops(3000, 8e9, 6e9), 4000);
    assert_eq!(equal_flops(3000, 8e9, 8e9), 3000);
    assert_eq!(equal_flops(1000, 1.0, 3.0), 333);
}

#[test]
fn rows_have_equal_flops_and_finished_cells_are_skipped() {
    let world = World::new();
    world.run("objectives --seeds 2 --jobs 2").unwrap();
    let pretrain = world.log("pretrain");
    let steps = |line: &&String| line.contains("train.steps=");
    // Five configs, two seeds; the first of four parts of each has the config.
    assert_eq!(pretrain.iter().filter(steps).count(), 10);
    assert_eq!(pretrain.len(), 40);
    let updates = |config: &str| -> u64 {
        let name = format!("/{config}.toml");
        let line = pretrain.iter().find(|line| line.contains(&name)).unwrap();
        let (_, rest) = line.split_once("train.steps=").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(updates("bert"), equal_flops(updates("electra"), 1000.0, 750.0));
    assert_eq!(updates("electra-15"), updates("electra"));
    let table = world.read("out/tiny/objectives/table.md");
    assert!(table.contains("| BERT |") && table.contains("| 82.20 | 2 |"), "{table}");
    assert!(world.read("out/tiny/objectives/plot.svg").contains("All-Tokens MLM"));
    assert!(world.read("out/tiny/objectives/results.json").contains("\"baseline\": \"electra\""));

    // A second run has nothing to do; a third seed adds cells; another experiment shares those of its configs.
    world.run_again("objectives --seeds 2").unwrap();
    assert_eq!(world.log("pretrain").len() + world.log("finetune").len(), 0);
    world.run("objectives --seeds 3").unwrap();
    assert_eq!(world.log("pretrain").iter().filter(steps).count(), 5);
    world.run("mask-rate --seeds 3").unwrap();
    let rates = world.log("pretrain");
    assert_eq!(rates.iter().filter(steps).count(), 9);
    assert!(rates.iter().all(|line| !line.contains("/electra/")), "{rates:?}");
}

#[test]
fn an_unfinished_cell_is_resumed_at_its_step() {
    let world = World::new();
    fs::write(world.path("failing"), "qnli").unwrap();
    let error = world.run("mask-rate --seeds 1").unwrap_err().to_string();
    assert!(error.starts_with("4 cells failed:") && error.contains("--task qnli"), "{error}");
    world.log("");
    fs::remove_file(world.path("failing")).unwrap();
    // As after a crash between a checkpoint and the next step.
    let cell = world.path("out/tiny/runs/electra/seed-1");
    fs::remove_file(cell.join("cell.json")).unwrap();
    fs::remove_dir_all(cell.join("run/checkpoints")).unwrap();
    fs::create_dir_all(cell.join("run/checkpoints/step-0000010")).unwrap();
    world.run("mask-rate --seeds 1").unwrap();
    let text = world.read("log");
    let (electra, others): (Vec<&str>, Vec<&str>) = text
        .lines()
        .filter(|line| !line.starts_with("flops"))
        .partition(|line| line.contains("/runs/electra/"));
    assert!(
        electra[0].starts_with("pretrain --resume ") && electra[0].contains("--stop-after"),
        "{electra:?}"
    );
    assert!(
        electra.iter().any(|line| line.starts_with("export") && line.ends_with("--overwrite")),
        "{electra:?}"
    );
    assert!(others.iter().all(|line| line.starts_with("finetune")), "{others:?}");
    assert!(
        others.iter().any(|line| line.contains("--task qnli") && line.ends_with("--resume")),
        "{others:?}"
    );
    assert!(others.iter().all(|line| !line.contains("--task stsb")), "{others:?}");
}

#[test]
fn cells_of_other_settings_are_not_mixed() {
    let world = World::new();
    world.run("mask-rate --seeds 1").unwrap();
    let mut args = world.args("mask-rate --seeds 1");
    args.shards = Some(world.path("others"));
    let error = world.run_with(&args).unwrap_err().to_string();
    assert!(error.contains("pretrain-25 from another command: move "), "{error}");
    assert!(error.contains("use another --out") && error.contains("/others"), "{error}");
    // The values of a config count, its comments do not.
    let record = world.path("out/tiny/runs/electra/seed-1/cell.json");
    let text = fs::read_to_string(&record).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hash = json["steps"]["pretrain-25"]["config"].as_str().unwrap();
    fs::write(&record, text.replace(hash, "another")).unwrap();
    let error = world.run("mask-rate --seeds 1").unwrap_err().to_string();
    assert!(error.contains("the config of pretrain-25 has changed"), "{error}");
}

#[test]
fn a_learning_curve_is_scored_at_each_point_after_the_first_stage() {
    let world = World::new();
    world.run("learning-curve --seeds 1").unwrap();
    let finetune = world.log("finetune");
    let of = |config: &str, task: &str| {
        let folder = format!("/runs/{config}/");
        let is = |line: &&String| line.contains(&folder) && line.contains(task);
        finetune.iter().filter(is).count()
    };
    assert_eq!((of("electra", "--task cola"), of("two-stage", "--task cola")), (4, 2));
    let table = world.read("out/tiny/learning-curve/table.md");
    assert!(table.contains("| ELECTRA | 25 % |"), "{table}");
    assert!(
        !table.contains("| Two-stage | 50 % |") && table.contains("| Two-stage | 75 % |"),
        "{table}"
    );
}

#[test]
fn missing_data_is_named() {
    let world = World::new();
    let error = |change: &dyn Fn(&mut Args)| {
        let mut args = world.args("mask-rate");
        change(&mut args);
        world.run_with(&args).unwrap_err().to_string()
    };
    let found = error(&|args| args.glue = None);
    assert!(found.starts_with("add --glue DIR, a folder with CoLA,"), "{found}");
    let found = error(&|args| args.shards = Some(world.path("none")));
    assert!(found.contains("add --corpus PATH, or --shards DIR"), "{found}");
    let found = error(&|args| (args.shards, args.corpus) = (None, Some(world.path("books"))));
    assert!(found.contains("books: there is no such file"), "{found}");
    fs::remove_dir_all(world.path("glue/QQP")).unwrap();
    let found = error(&|_| ());
    assert!(found.starts_with("qqp needs ") && found.contains("glue/QQP"), "{found}");
    let found = error(&|args| args.scale = "huge".to_owned());
    assert!(found.starts_with("there is no scale \"huge\": use one of base, "), "{found}");
}

#[test]
fn a_dry_run_starts_nothing_and_measures_updates() {
    let world = World::new();
    let args = world.args("mask-rate --dry-run");
    let electra = world.path("electra").display().to_string();
    let plan = Plan::new(&args, &sh::root().join(CONFIGS), &electra).unwrap();
    // 2,048 tokens at 1,024 per second.
    assert_eq!(plan.probe().unwrap(), (2.0, 1000.0));
    plan.show().unwrap();
    let log = world.read("log");
    assert!(
        log.lines().all(|line| line.starts_with("flops") || line.starts_with("profile")),
        "{log}"
    );
    assert_eq!(plan.missing().unwrap().len(), 12);
}
