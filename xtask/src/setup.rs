//! `cargo xtask setup`: libtorch into `.libtorch/`, from the wheels that PyTorch publishes.
//!
//! Three wheels hold all that a CPU build needs; nothing of Python is used at run time. The folder is laid out
//! like a site-packages folder, which the libraries' own run paths expect.

use crate::sh;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Options of `cargo xtask setup`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// PyTorch's whole CUDA set instead of the CPU part.
    #[arg(long, conflicts_with = "libtorch")]
    cuda: bool,
    /// Use the libtorch 2.11 in this folder (with include/ and lib/).
    #[arg(long, value_name = "DIR", value_parser = sh::place)]
    libtorch: Option<PathBuf>,
}

const VERSION: &str = "2.11.0";
const HOME: &str = ".libtorch";
const STAMP: &str = ".libtorch/complete";

/// A wheel and the SHA-256 of its file, where it was tested.
struct Wheel {
    package: &'static str,
    sha256: Option<&'static str>,
}

/// What pip is told about a platform, and which wheels it needs.
struct Platform {
    tags: &'static [&'static str],
    wheels: &'static [Wheel],
}

/// Linux x86-64 is tested; the other two are written down from the published names.
fn platform() -> Result<Platform> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok(Platform {
            tags: &[
                "manylinux_2_28_x86_64",
                "manylinux_2_25_x86_64",
                "manylinux_2_17_x86_64",
                "manylinux2014_x86_64",
            ],
            wheels: &[
                Wheel {
                    package: "torch==2.11.0",
                    sha256: Some(
                        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
                    ),
                },
                Wheel {
                    package: "nvidia-cuda-runtime==13.0.96",
                    sha256: Some(
                        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
                    ),
                },
                Wheel {
                    package: "nvidia-cuda-cupti==13.0.85",
                    sha256: Some(
                        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
                    ),
                },
            ],
        }),
        ("linux", "aarch64") => Ok(Platform {
            tags: &["manylinux_2_28_aarch64"],
            wheels: &[Wheel { package: "torch==2.11.0", sha256: None }],
        }),
        ("macos", "aarch64") => Ok(Platform {
            tags: &["macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_14_0_arm64"],
            wheels: &[Wheel { package: "torch==2.11.0", sha256: None }],
        }),
        (os, arch) => bail!(
            "no libtorch is known for {os} on {arch}; use --libtorch DIR with a libtorch {VERSION}"
        ),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    compiler()?;
    // The stamp alone is not enough: the folder that it speaks of, or one linked to, may be gone.
    let there = Path::new(HOME).join("torch/include/ATen").is_dir();
    let stamp = fs::read_to_string(STAMP).ok().filter(|_| there).unwrap_or_default();
    let args = &asked(args, &stamp)?;
    if args.libtorch.is_none() && !args.cuda && of_this_version(&stamp) {
        return Ok(());
    }
    let wanted = wanted(args)?;
    if stamp == wanted {
        return Ok(());
    }
    match &args.libtorch {
        Some(dir) => link(dir)?,
        None if args.cuda => whole()?,
        None => slim()?,
    }
    fs::write(STAMP, wanted).context(STAMP)?;
    sh::say(&format!("libtorch {VERSION} is in {HOME}"));
    Ok(())
}

fn of_this_version(stamp: &str) -> bool {
    stamp.split_whitespace().next() == Some(VERSION)
}

/// What is set up: what was asked for; without options what was set up before, of whatever platform, unless it is of
/// another version.
fn asked(args: &Args, stamp: &str) -> Result<Args> {
    let old = !stamp.is_empty() && !of_this_version(stamp);
    let (libtorch, mut cuda) = (args.libtorch.clone(), args.cuda);
    if libtorch.is_none() && !cuda && old {
        cuda = stamp.trim_end().ends_with("with CUDA");
        if let Some((version, dir)) = stamp.split_once(" from ") {
            let dir = dir.trim_end();
            bail!(
                "libtorch {version} of {dir} is set up, and this version wants {VERSION}: `cargo xtask setup --libtorch DIR`, or remove {HOME} and let it be fetched"
            );
        }
    }
    Ok(Args { libtorch, cuda })
}

/// What a complete folder's stamp says.
fn wanted(args: &Args) -> Result<String> {
    Ok(match (&args.libtorch, args.cuda) {
        (Some(dir), _) => format!("{VERSION} from {}\n", dir.display()),
        (None, true) => format!("{VERSION} with CUDA\n"),
        (None, false) => {
            let sums = platform()?
                .wheels
                .iter()
                .map(|wheel| format!("{} {}\n", wheel.package, wheel.sha256.unwrap_or("-")));
            format!("{VERSION}\n{}", sums.collect::<String>())
        }
    })
}

fn compiler() -> Result<()> {
    let found = ["c++", "g++", "clang++"]
        .iter()
        .any(|name| sh::capture(&sh::words([name, "--version"])).is_ok());
    if found {
        return Ok(());
    }
    bail!(
        "no C++ compiler: install one (Debian and Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
    )
}

/// A libtorch that is there already.
fn link(dir: &Path) -> Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("--libtorch {}", dir.display()))?;
    for part in ["include/ATen", "lib"] {
        if !dir.join(part).is_dir() {
            bail!("{} is no libtorch: it has no {part}", dir.display());
        }
    }
    let version = ["build-version", "version.py"]
        .iter()
        .find_map(|name| fs::read_to_string(dir.join(name)).ok())
        .and_then(|text| version_in(&text))
        .with_context(|| {
            format!("{} does not say its version (build-version or version.py)", dir.display())
        })?;
    if !version.starts_with("2.11.") {
        bail!("{} is libtorch {version}; this workspace is built against {VERSION}", dir.display());
    }
    clear()?;
    fs::create_dir_all(HOME).context(HOME)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&dir, Path::new(HOME).join("torch"))
        .context("linking .libtorch/torch")?;
    Ok(())
}

/// The first thing like `2.11.0` in a version file.
fn version_in(text: &str) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    Some(text[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect())
}

/// The CPU part: download, check, unpack beside, rename.
fn slim() -> Result<()> {
    let (platform, python) = (platform()?, python()?);
    let downloads = Path::new(HOME).join("download");
    fs::create_dir_all(&downloads).context("making .libtorch/download")?;
    let mut files = Vec::new();
    for wheel in platform.wheels {
        files.push(fetch(wheel, &platform, &python, &downloads)?);
    }
    let fresh = Path::new(HOME).join("unpacking");
    let _ = fs::remove_dir_all(&fresh); // a leftover of a broken run, or nothing
    for file in &files {
        unpack(file, &fresh, &python)?;
    }
    for part in ["torch", "nvidia"] {
        let (from, to) = (fresh.join(part), Path::new(HOME).join(part));
        if from.exists() {
            remove(&to)?;
            fs::rename(&from, &to).with_context(|| format!("placing {}", to.display()))?;
        }
    }
    let _ = fs::remove_dir_all(&fresh);
    fs::remove_dir_all(&downloads).context("removing .libtorch/download")
}

/// PyTorch with everything that it depends on.
fn whole() -> Result<()> {
    let python = python()?;
    let fresh = Path::new(HOME).join("unpacking");
    let _ = fs::remove_dir_all(&fresh);
    let target = fresh.display().to_string();
    let package = format!("torch=={VERSION}");
    pip(&sh::words([
        &python,
        "-m",
        "pip",
        "install",
        "--no-compile",
        "--only-binary=:all:",
        "--target",
        &target,
        &package,
    ]))?;
    clear()?;
    for part in ["torch", "nvidia"] {
        let from = fresh.join(part);
        if from.exists() {
            fs::rename(&from, Path::new(HOME).join(part))
                .with_context(|| format!("placing {part}"))?;
        }
    }
    fs::remove_dir_all(&fresh).context("removing .libtorch/unpacking")
}

/// A Python that has pip.
fn python() -> Result<String> {
    for name in ["python3", "python"] {
        if sh::capture(&sh::words([name, "-m", "pip", "--version"])).is_ok() {
            return Ok(name.to_owned());
        }
    }
    bail!(
        "no Python with pip, which fetches libtorch's wheels (Debian and Ubuntu: apt-get install python3-pip); or give a libtorch {VERSION} with --libtorch DIR"
    )
}

fn fetch(wheel: &Wheel, platform: &Platform, python: &str, downloads: &Path) -> Result<PathBuf> {
    if let Some(file) = downloaded(wheel, downloads)? {
        return Ok(file);
    }
    sh::say(&format!("fetching {}", wheel.package));
    let dest = downloads.display().to_string();
    let mut command = sh::words([
        python,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--dest",
        &dest,
        wheel.package,
    ]);
    for tag in platform.tags {
        command.extend(sh::words(["--platform", tag]));
    }
    pip(&command)?;
    downloaded(wheel, downloads)?
        .with_context(|| format!("pip brought no wheel of {}", wheel.package))
}

/// The wheel's file if it is there and whole; one with a wrong checksum is removed and fetched again.
fn downloaded(wheel: &Wheel, downloads: &Path) -> Result<Option<PathBuf>> {
    let stem = wheel.package.replace("==", "-").replace("nvidia-cuda-", "nvidia_cuda_");
    for entry in fs::read_dir(downloads).context("reading .libtorch/download")? {
        let path = entry?.path();
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(&stem) || !name.ends_with(".whl") {
            continue;
        }
        let found = checksum(&path)?;
        match wheel.sha256 {
            Some(expected) if expected != found => {
                sh::say(&format!("{name} has SHA-256 {found}, not {expected}: fetching it again"));
                fs::remove_file(&path)?;
            }
            Some(_) => return Ok(Some(path)),
            None => {
                sh::say(&format!(
                    "{name}: no checksum is pinned for this platform, which is untested"
                ));
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

pub(crate) fn checksum(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path).with_context(|| path.display().to_string())?;
    io::copy(&mut file, &mut hasher).with_context(|| path.display().to_string())?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs pip; what went wrong is said in one line.
fn pip(command: &[String]) -> Result<()> {
    sh::capture(command).map(drop).map_err(|error| anyhow::anyhow!(explain(&error.to_string())))
}

/// pip's many lines as one.
fn explain(message: &str) -> String {
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| message.contains(pattern));
    if has(&["No space left"]) {
        return "the disk is full: libtorch takes 1.1 GB while it is set up and 0.6 GB afterwards"
            .to_owned();
    }
    if has(&[
        "NewConnectionError",
        "name resolution",
        "Network is unreachable",
        "ConnectTimeout",
        "Connection refused",
        "ProxyError",
    ]) {
        return format!(
            "no network: pip cannot reach its package index; go on later, or give a libtorch {VERSION} with --libtorch DIR"
        );
    }
    let last = message.lines().rev().find(|line| line.contains("ERROR")).unwrap_or(message);
    format!("pip failed: {last}")
}

/// Takes out of a wheel what a CPU build needs.
fn unpack(wheel: &Path, to: &Path, python: &str) -> Result<()> {
    const SCRIPT: &str = "
import sys, zipfile
wheel, to = sys.argv[1:]
keep = ('torch/include/', 'torch/lib/', 'torch/version.py', 'nvidia/cu13/lib/')
leave = ('torch/lib/libtorch_cuda', 'torch/lib/libtorch_python', 'torch/lib/libtorch_nvshmem')
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(keep) and not name.startswith(leave):
            archive.extract(name, to)
";
    sh::say(&format!("unpacking {}", wheel.display()));
    let command =
        sh::words([python, "-c", SCRIPT, &wheel.display().to_string(), &to.display().to_string()]);
    sh::capture(&command).map(drop).map_err(|error| {
        let message = error.to_string();
        match message.contains("No space left") {
            true => anyhow::anyhow!(explain(&message)),
            false => error.context(format!("unpacking {}", wheel.display())),
        }
    })
}

/// Removes what an earlier set-up placed.
fn clear() -> Result<()> {
    for part in ["torch", "nvidia", "complete"] {
        remove(&Path::new(HOME).join(part))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_lines_become_one_that_says_what_to_do() {
        let offline = "WARNING: Retrying after NewConnectionError\nERROR: Could not find a version";
        assert!(explain(offline).starts_with("no network"));
        assert!(
            explain("OSError: [Errno 28] No space left on device").starts_with("the disk is full")
        );
        assert_eq!(
            explain("x\nERROR: No matching distribution\ny"),
            "pip failed: ERROR: No matching distribution"
        );
    }

    #[test]
    fn a_wheel_with_a_wrong_checksum_is_removed_and_a_right_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("torch-2.11.0-cp311.whl");
        fs::write(&path, "abc").unwrap();
        // SHA-256 of "abc", FIPS 180-2.
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let wheel = |sha256| Wheel { package: "torch==2.11.0", sha256: Some(sha256) };
        assert_eq!(downloaded(&wheel(right), dir.path()).unwrap(), Some(path.clone()));
        assert_eq!(downloaded(&wheel("00"), dir.path()).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_set_up_stays_while_it_is_of_this_version() {
        let none = Args::default();
        let cuda = |stamp: &str| asked(&none, stamp).map(|args| args.cuda);
        for stamp in
            ["", "2.11.0\ntorch==2.11.0 abc\n", "2.11.0 with CUDA\n", "2.11.0 from /opt/torch\n"]
        {
            assert!(!cuda(stamp).unwrap());
            assert_eq!(of_this_version(stamp), !stamp.is_empty());
        }
        assert!(
            cuda("2.10.0 with CUDA\n").unwrap() && !cuda("2.10.0\ntorch==2.10.0 abc\n").unwrap()
        );
        let error = cuda("2.10.0 from /opt/torch\n").unwrap_err().to_string();
        assert!(error.contains("2.10.0 of /opt/torch") && error.contains(VERSION), "{error}");
    }

    #[test]
    fn folders_that_are_no_libtorch_2_11_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = |dir: &Path| link(dir).unwrap_err().to_string();
        assert!(error(&dir.path().join("gone")).contains("gone"));
        assert!(error(dir.path()).ends_with("is no libtorch: it has no include/ATen"));
        fs::create_dir_all(dir.path().join("include/ATen")).unwrap();
        fs::create_dir_all(dir.path().join("lib")).unwrap();
        assert!(error(dir.path()).contains("does not say its version"));
        fs::write(dir.path().join("build-version"), "2.9.1+cpu\n").unwrap();
        assert!(error(dir.path()).contains("is libtorch 2.9.1; this workspace is built against"));
    }

    #[test]
    fn versions_are_found_in_both_files() {
        assert_eq!(version_in("2.11.0+cpu\n").as_deref(), Some("2.11.0"));
        assert_eq!(version_in("__version__ = '2.13.0'\n").as_deref(), Some("2.13.0"));
        assert_eq!(version_in("none"), None);
    }
}
