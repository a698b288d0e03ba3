//! `cargo xtask pretend-gpu`: a CUDA device that is a CPU. `tests/pretend-gpu` says what it can prove.
//!
//! Tests of training and tasks run on it, and commands whose host waits are counted: a step of training must not wait.

use crate::{files, sh};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

const SOURCES: &str = "tests/pretend-gpu";
const FOLDER: &str = "target/pretend-gpu";
const LIBRARY: &str = "target/pretend-gpu/libtorch_cuda.so";
const LIBTORCH: &str = ".libtorch/torch";

/// The crates whose tests run on the device.
const CRATES: [&str; 3] = ["electra-train", "electra-tasks", "electra-winograd"];

/// Configs of pre-training whose updates must not wait, by what is special about them.
const VARIANTS: [(&str, &str); 5] = [
    ("float32", ""),
    ("bfloat16", "--set model.precision=bf16"),
    ("accumulation", "--set train.accumulate=2"),
    ("recomputed activations", "--set model.activations=recompute"),
    ("plain kernels", "--set model.kernels=plain"),
];

/// Options of `cargo xtask pretend-gpu`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Run this command on the device, instead of the tests.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs the command of `args`, or the tests that `cargo_test` builds.
pub(crate) fn run(args: &Args, cargo_test: Vec<String>) -> Result<()> {
    ensure!(supported(), "the device needs Linux on x86-64");
    build()?;
    match args.command.as_slice() {
        [] => tests(cargo_test),
        command => {
            sh::run_with(
                command,
                &[("LD_LIBRARY_PATH", FOLDER), ("PRETEND_CUDA_REPORT", "-")],
                None,
            )?;
            Ok(())
        }
    }
}

/// Whether the device can be built for this machine.
pub(crate) fn supported() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
}

/// Compiles the library, unless it is newer than its sources.
fn build() -> Result<()> {
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let sources = ["pretend_cuda.cpp", "rules.inc"].map(|name| Path::new(SOURCES).join(name));
    let built = changed(Path::new(LIBRARY));
    if built.is_some() && sources.iter().all(|source| changed(source) <= built) {
        return Ok(());
    }
    files::make_folder(FOLDER)?;
    let root = sh::root();
    let (source, lib) = (sources[0].display(), root.join(LIBTORCH).join("lib"));
    // Renamed when it is complete.
    let script = format!(
        "${{CXX:-c++}} -std=c++17 -O1 -g1 -fPIC -shared -w -DPRETEND_CUDA_AT_LOAD -I{LIBTORCH}/include \
         -I{LIBTORCH}/include/torch/csrc/api/include {source} -o {LIBRARY}.new -L{LIBTORCH}/lib -ltorch_cpu -lc10 -ldl \
         -Wl,-rpath,{} && mv {LIBRARY}.new {LIBRARY}",
        lib.display()
    );
    sh::run(&sh::words(["sh", "-c", &script])).context("compiling the device")?;
    Ok(())
}

/// Runs the tests of [`CRATES`] on the device, and counts the host waits of training.
fn tests(cargo_test: Vec<String>) -> Result<()> {
    let start = Instant::now();
    let library = sh::root().join(LIBRARY);
    for (name, binary) in test_binaries(cargo_test)? {
        // Loaded first: libtorch remembers that there is no GPU once a test has asked.
        let script = format!(
            "cd crates/{name} && exec env ELECTRA_TEST_DEVICE=cuda:0 LD_PRELOAD={} {} --quiet",
            library.display(),
            binary.display()
        );
        sh::run(&sh::words(["sh", "-c", &script])).with_context(|| format!("tests of {name}"))?;
    }
    let dir = std::env::temp_dir().join(format!("electra-pretend-gpu-{}", std::process::id()));
    files::make_folder(&dir)?;
    let counted = host_waits(&dir);
    fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    counted?;
    sh::say(&format!("pretend GPU: {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// The test binaries of [`CRATES`], which are built as for all tests.
fn test_binaries(mut command: Vec<String>) -> Result<Vec<(&'static str, PathBuf)>> {
    command.extend(sh::words(["--no-run", "--message-format", "json"]));
    let messages = sh::capture(&command).context("building the tests")?;
    let artifacts: Vec<Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let binary_of = |name: &'static str| {
        let found = artifacts.iter().find_map(|artifact| {
            let is_own = artifact["package_id"].as_str()?.contains(&format!("/{name}#"));
            let is_test = artifact["target"]["kind"][0] == "test";
            artifact["executable"].as_str().filter(|_| is_own && is_test)
        });
        let found = found.with_context(|| format!("cargo built no tests of {name}"))?;
        Ok((name, PathBuf::from(found)))
    };
    CRATES.into_iter().map(binary_of).collect()
}

/// Checks that 30 updates wait for the device as often as 10 do, and that no host memory is written to while a copy reads
/// it.
fn host_waits(dir: &Path) -> Result<()> {
    let (path, shown) = (|name: &str| dir.join(name), dir.display());
    let report = path("report");
    let report_path = report.display().to_string();
    let environment = [
        ("LD_LIBRARY_PATH", FOLDER),
        ("PRETEND_CUDA_REPORT", report_path.as_str()),
        ("RUST_LOG", "warn"),
    ];
    let electra = |line: &str| {
        let line = format!("target/debug/electra {line}");
        let command: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        sh::run_with(&command, &environment, None)
    };
    let corpus = "--corpus data/sample/pretrain";
    electra(&format!("vocab train {corpus} --size 1024 --out {shown}/vocab.txt"))?;
    electra(&format!(
        "shards build {corpus} --vocab {shown}/vocab.txt --seq-len 64 --out {shown}/shards"
    ))?;
    let line = format!(
        "pretrain configs/pretrain-tiny.toml --set data.shards={shown}/shards --set data.sequence_length=shards --set \
         model.vocab_size=shards --set train.device=cuda:0 --set train.batch_size=8 --set train.log_every=1000 --set \
         checkpoint.every=1000 --set evaluate.every=0"
    );
    for (number, (name, sets)) in VARIANTS.into_iter().enumerate() {
        let waits = |updates: u64| -> Result<i64> {
            let out = path(&format!("run-{number}-{updates}"));
            let line = format!("{line} --set train.steps={updates} {sets} --out {}", out.display());
            electra(&line)?;
            let counts = counts(&report)?;
            let of = |name: &str| counts.get(name).copied().unwrap_or(0);
            ensure!(of("kernels") > 0, "{name}: nothing ran on the device");
            ensure!(of("races") == 0, "{name}: {} races on pinned memory", of("races"));
            Ok(of("syncs"))
        };
        let (few, many) = (waits(10)?, waits(30)?);
        if few != many {
            bail!(
                "{name}: the host waited {few} times in a run of 10 updates and {many} times in one of 30; \
                 PRETEND_CUDA_TRACE=1 shows where"
            );
        }
        sh::say(&format!("{name}: {few} host waits in a run of 10 updates, and in one of 30"));
    }
    Ok(())
}

/// The counters of a report: lines of `count`, name and number.
fn counts(report: &Path) -> Result<BTreeMap<String, i64>> {
    let text = files::read(report)?;
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split('\t');
        words.next().filter(|&kind| kind == "count")?;
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    });
    Ok(rows.collect())
}
