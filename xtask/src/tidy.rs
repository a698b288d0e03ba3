//! `cargo xtask tidy`: the repository's own rules, also run as a test.

mod circles;
mod modules;

use crate::{setup, sh};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::HashSet, fs, path::Path};
use walkdir::WalkDir;

/// The crates of the workspace that each crate may depend on.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("electra-files", &[]),
    ("electra-tokenize", &["electra-files"]),
    ("electra-data", &["electra-files", "electra-tokenize"]),
    ("electra-scores", &["electra-files"]),
    ("electra-torch", &[]),
    ("electra-model", &["electra-files", "electra-torch"]),
    (
        "electra-train",
        &["electra-files", "electra-tokenize", "electra-data", "electra-torch", "electra-model"],
    ),
    (
        "electra-tasks",
        &[
            "electra-files",
            "electra-tokenize",
            "electra-data",
            "electra-torch",
            "electra-model",
            "electra-train",
            "electra-scores",
        ],
    ),
    (
        "electra-winograd",
        &[
            "electra-tokenize",
            "electra-torch",
            "electra-model",
            "electra-train",
            "electra-scores",
            "electra-tasks",
        ],
    ),
    (
        "electra-cli",
        &[
            "electra-files",
            "electra-tokenize",
            "electra-data",
            "electra-torch",
            "electra-model",
            "electra-train",
            "electra-scores",
            "electra-tasks",
            "electra-winograd",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that build and test without libtorch.
const WITHOUT_TCH: [&str; 5] =
    ["electra-files", "electra-tokenize", "electra-data", "electra-scores", "xtask"];

/// The page that names a test for each claim.
const FIDELITY: &str = "docs/fidelity.md";

/// The largest number of lines of a source file.
const LONGEST: usize = 500;

pub(crate) fn run() -> Result<()> {
    let faults = faults(Path::new("."))?;
    if faults.is_empty() {
        sh::say("tidy: nothing found");
        return Ok(());
    }
    bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "))
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let mut faults = dependencies(root)?;
    let mut tests = HashSet::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        !matches!(name.as_ref(), "target" | ".git" | ".libtorch" | "runs")
    }) {
        let entry = entry?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let text = matches!(ending, "rs" | "toml" | "md" | "py" | "cpp" | "yml");
        if !entry.file_type().is_file() || !text {
            continue;
        }
        let contents =
            fs::read_to_string(entry.path()).with_context(|| path.display().to_string())?;
        let name = path.display().to_string();
        if ending == "rs" {
            faults.extend(source(&name, &contents));
            let heads = contents.lines().filter_map(|line| line.trim().strip_prefix("fn "));
            let named = heads.filter_map(|head| head.split_once('('));
            tests.extend(named.map(|(function, _)| function.to_owned()));
        }
        if ending == "toml" && name.starts_with("configs/") {
            faults.extend(contents.parse::<toml::Table>().err().map(|e| format!("{name}: {e}")));
        }
        faults.extend(foreign(&name, &contents));
    }
    for (name, _) in MAY_USE {
        let circles = circles_of(root, name)?;
        faults.extend(circles.iter().map(|circle| format!("{name}: {circle}")));
    }
    faults.extend(sample(root)?);
    let fidelity = fs::read_to_string(root.join(FIDELITY)).context(FIDELITY)?;
    faults.extend(unknown_tests(&fidelity, &tests));
    Ok(faults)
}

/// The import circles of a crate of the workspace.
fn circles_of(root: &Path, name: &str) -> Result<Vec<String>> {
    let folders = [root.join("crates").join(name), root.join(name)];
    let roots = folders
        .iter()
        .flat_map(|folder| ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root)));
    let found = roots.filter(|root| root.is_file()).map(|root| circles::circles(&root));
    Ok(found.collect::<Result<Vec<_>>>()?.concat())
}

/// Tests that a text names as ``crate: `test`, `test` `` and that do not exist.
fn unknown_tests(text: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, text) in text.lines().enumerate() {
        for krate in
            ["tokenize", "data", "torch", "model", "train", "scores", "tasks", "winograd", "cli"]
        {
            let Some((_, mut rest)) = text.split_once(&format!("{krate}: `")) else { continue };
            while let Some((name, after)) = rest.split_once('`') {
                if !tests.contains(name) {
                    faults.push(format!("{FIDELITY}:{}: there is no test {name:?}", line + 1));
                }
                let Some(next) = after.strip_prefix(", `") else { break };
                rest = next;
            }
        }
    }
    faults
}

/// Rules for a Rust file.
fn source(name: &str, contents: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: &str| faults.push(format!("{name}:{line}: {what}"));
    if !contents.starts_with("//!") {
        fault(1, "a file starts with `//!`: what it contains and why");
    }
    for line in causes_twice(contents) {
        fault(
            line,
            "the message of an error has its cause, which is also its source: programs print it twice; name the field `cause`",
        );
    }
    let lines = contents.lines().count();
    if lines > LONGEST {
        fault(lines, &format!("a file has at most {LONGEST} lines"));
    }
    let library =
        name.starts_with("crates/") && name.contains("/src/") && !name.ends_with("tests.rs");
    // Split, so that these lines do not match themselves.
    let skipped = concat!("#[ign", "ore");
    let panicking = concat!("should_", "panic");
    let unwrap = concat!(".unw", "rap()");
    let is_unsafe = [
        concat!("uns", "afe {"),
        concat!("uns", "afe fn"),
        concat!("uns", "afe impl"),
        concat!("uns", "afe extern"),
    ];
    for (line, text) in contents.lines().enumerate().map(|(i, text)| (i + 1, text.trim())) {
        if text.starts_with("//") {
            continue;
        }
        if text.contains(skipped) || text.contains(panicking) {
            fault(line, "tests must not be ignored, or expected to panic");
        }
        if library && text.contains(unwrap) {
            fault(
                line,
                "no unwrap in a library: return the error, or use `expect` with the reason",
            );
        }
        if is_unsafe.iter().any(|word| text.contains(word))
            && !name.starts_with("crates/electra-torch/")
        {
            fault(line, "unsafe code is allowed only in electra-torch");
        }
    }
    faults
}

/// The lines of `#[error("...")]` of variants whose message has the field that is also the error's source: a field named
/// `source`, or one with `#[source]` or `#[from]`.
fn causes_twice(contents: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut start = 0;
    while let Some(found) = contents[start..].find(ERROR) {
        let at = start + found;
        start = at + ERROR.len();
        let rest = &contents[start..];
        // Up to the next variant, or the end of the type.
        let variant = &rest[..rest.find(ERROR).unwrap_or(rest.len())];
        let Some((message, fields)) = variant.split_once(")]") else { continue };
        let fields = fields.split("\n}").next().unwrap_or(fields);
        let attributed = [SOURCE, FROM].iter().any(|attribute| fields.contains(attribute));
        let printed =
            |field: &str| [":", "}"].iter().any(|end| message.contains(&format!("{{{field}{end}")));
        let named = fields.lines().any(|line| line.trim().starts_with("source:"));
        if (named && printed("source")) || (attributed && (printed("0") || printed("source"))) {
            lines.push(contents[..at].lines().count() + 1);
        }
    }
    lines
}

/// The attribute of an error's message; split, so that this line does not match itself.
const ERROR: &str = concat!("#[err", "or(");
/// The attributes that make a field the source of an error.
const SOURCE: &str = concat!("#[sou", "rce]");
const FROM: &str = concat!("#[fr", "om]");

/// Text that must not be in the project: paths on a developer's machine.
fn foreign(name: &str, contents: &str) -> Vec<String> {
    let words = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("bash_", "jobs")];
    let lines = contents.lines().enumerate();
    lines
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(i, _)| format!("{name}:{}: a path on a developer's machine", i + 1))
        .collect()
}

/// The direction of dependencies, from `cargo metadata`.
fn dependencies(root: &Path) -> Result<Vec<String>> {
    let manifest = root.join("Cargo.toml").display().to_string();
    let json = sh::capture(&sh::words([
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
        &manifest,
    ]))?;
    let metadata: Value = serde_json::from_str(&json)?;
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let names: Vec<_> =
            dependencies.filter_map(|dependency| dependency["name"].as_str()).collect();
        faults.extend(direction(name, &names));
    }
    Ok(faults)
}

fn direction(name: &str, dependencies: &[&str]) -> Vec<String> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "{name}: not in MAY_USE of xtask/src/tidy.rs: add it with its dependencies"
        )];
    };
    let ours = |dependency: &&&str| MAY_USE.iter().any(|(known, _)| known == *dependency);
    let mut faults: Vec<_> = dependencies
        .iter()
        .filter(ours)
        .filter(|dependency| !allowed.contains(*dependency))
        .map(|dependency| {
            format!(
                "{name} depends on {dependency}, which MAY_USE of xtask/src/tidy.rs does not allow"
            )
        })
        .collect();
    if WITHOUT_TCH.contains(&name) && dependencies.contains(&"tch") {
        faults.push(format!("{name} depends on tch, but must build without libtorch"));
    }
    faults
}

/// Checksums of the sample data, as `data/README.md` lists them: `SHA256  PATH` lines.
fn sample(root: &Path) -> Result<Vec<String>> {
    let readme = fs::read_to_string(root.join("data/README.md")).context("data/README.md")?;
    let mut faults = Vec::new();
    for line in readme.lines() {
        let Some((sum, path)) = line.split_once("  ") else { continue };
        if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let found = setup::checksum(&root.join("data").join(path))?;
        if found != sum {
            faults.push(format!("data/{path}: SHA-256 {found}, but data/README.md has {sum}"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_nobody_wrote_are_found() {
        let tests = HashSet::from(["one".to_owned(), "two".to_owned()]);
        let text = "| a | same | train: `one`, `three` |\n| b | `key`; data: `two` |\n| c | model: `one`, tasks: `four` |";
        let faults = unknown_tests(text, &tests);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].ends_with("1: there is no test \"three\""), "{faults:?}");
        assert!(faults[1].ends_with("3: there is no test \"four\""), "{faults:?}");
    }

    #[test]
    fn the_repository_is_tidy() {
        assert_eq!(faults(&sh::root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let find = |contents: &str| source("crates/electra-data/src/x.rs", contents).len();
        assert_eq!(find("//! Fine.\nfn f() {}\n"), 0);
        assert_eq!(find("fn f() {}\n"), 1);
        assert_eq!(find(concat!("//! x\nfn f() { g().unw", "rap() }\n")), 1);
        assert_eq!(find(concat!("//! x\nfn f() { uns", "afe { g() } }\n")), 1);
        assert_eq!(find(concat!("//! x\n#[ign", "ore]\n")), 1);
        assert_eq!(find(&("//! x\n".to_owned() + &"\n".repeat(LONGEST))), 1);
        assert_eq!(foreign("x.md", concat!("see /wo", "rk/x")).len(), 1);
    }

    /// `{error:#}` of anyhow, and reports of errors, print the message and then the sources.
    #[test]
    fn causes_that_would_be_printed_twice_are_found() {
        let twice = |message: &str, fields: &str| {
            let text = format!(
                "enum E {{\n{ERROR}{message})]\nA{fields},\n/// B.\n{ERROR}\"b\")]\nB,\n}}\n"
            );
            causes_twice(&text)
        };
        let own = "{ path: PathBuf,\n source: io::Error }";
        assert_eq!(twice("\"{}: {source}\", path.display()", own), [2]);
        assert!(twice("\"{}\", path.display()", own).is_empty());
        assert!(twice("\"{path}: {cause}\"", "{ path: String, cause: io::Error }").is_empty());
        assert_eq!(twice("\"libtorch: {0}\"", &format!("({FROM} TchError)")), [2]);
        assert_eq!(twice("\"{0:?}\"", &format!("({SOURCE} Box<Error>)")), [2]);
        assert!(twice("\"unknown device {0}\"", "(String)").is_empty());
        assert!(twice("transparent", &format!("({FROM} TchError)")).is_empty());
    }

    #[test]
    fn dependencies_have_one_direction() {
        assert!(
            direction("electra-model", &["electra-files", "electra-torch", "tch", "serde"])
                .is_empty()
        );
        assert_eq!(direction("electra-model", &["electra-train"]).len(), 1);
        assert_eq!(direction("electra-data", &["tch"]).len(), 1);
        assert_eq!(direction("xtask", &["electra-data"]).len(), 1);
        assert_eq!(direction("unheard-of", &[]).len(), 1);
    }
}
