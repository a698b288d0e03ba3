//! Builds `tests/depender`, crates outside of the workspace that depend on those of this repository as guide 5 says, and runs
//! them without environment and from another folder, so that they find libtorch by themselves.

use crate::sh;
use anyhow::{Context, Result};
use std::{fs, path::Path, time::Instant};

const FOLDER: &str = "tests/depender";

/// Two documents, of which the first is long enough to be held out or trained on alone.
const TEXT: &str =
    "One two three four five six. Seven eight nine ten.\n\nEleven twelve. Thirteen fourteen.\n";

pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    // The versions, and with them the builds, of the repository.
    let lock = Path::new(FOLDER).join("Cargo.lock");
    fs::copy("Cargo.lock", &lock).with_context(|| lock.display().to_string())?;
    let root = sh::root();
    let target = root.join("target").display().to_string();
    let build = format!("cd {FOLDER} && cargo build --offline");
    sh::run_with(&sh::words(["sh", "-c", &build]), &[("CARGO_TARGET_DIR", &target)], None)?;

    let dir = std::env::temp_dir().join(format!("electra-depender-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let ran = run_in(&root, &dir);
    fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    ran?;
    sh::say(&format!("crates that depend on ours: {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Runs the programs in `dir`.
fn run_in(root: &Path, dir: &Path) -> Result<()> {
    for name in ["score", "pretrain", "own-program"] {
        let from = root.join("target/debug").join(name);
        fs::copy(&from, dir.join(name)).with_context(|| from.display().to_string())?;
    }
    fs::write(dir.join("text.txt"), TEXT.repeat(20))?;
    let config = root.join(FOLDER).join("own-program/own.toml").display().to_string();
    for line in [
        "score".to_owned(),
        "pretrain text.txt out".to_owned(),
        format!(
            "own-program pretrain {config} --set data.shards=out/shards --set data.sequence_length=shards \
             --set model.vocab_size=shards --set train.steps=2 --set evaluate.every=0 --set train.device=cpu --out own \
             --stop-after 1"
        ),
        "own-program pretrain --resume own".to_owned(),
        "own-program evaluate own".to_owned(),
        "own-program export own --out model".to_owned(),
        "own-program fill-mask --model model [MASK]".to_owned(),
    ] {
        let script = format!("cd {} && env -i ./{line}", dir.display());
        sh::run(&sh::words(["sh", "-c", &script]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guide assumes this repository in `../electra`.
    #[test]
    fn the_guide_has_the_files_of_the_crates() {
        let read = |path: &str| fs::read_to_string(sh::root().join(path)).unwrap();
        let guide = read("docs/guide/05-use-one-crate.md");
        for (file, repository) in [
            ("score/Cargo.toml", "../../../"),
            ("pretrain/Cargo.toml", "../../../"),
            ("own-program/Cargo.toml", "../../../"),
            (".cargo/config.toml", "../../"),
            ("pretrain/build.rs", "../../"),
            ("own-program/build.rs", "../../"),
        ] {
            let text = read(&format!("{FOLDER}/{file}")).replace(repository, "../electra/");
            let language = if file.ends_with(".rs") { "rust" } else { "toml" };
            assert!(guide.contains(&format!("```{language}\n{text}```\n")), "{file}");
        }
    }
}
