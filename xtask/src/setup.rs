//! `cargo xtask setup`: installs libtorch into `.libtorch/`, from PyTorch's wheels.
//!
//! Three wheels contain everything for a CPU build; Python is not needed at run time. The folder has the layout of
//! site-packages, which the run paths of the libraries expect.

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
    /// Install PyTorch with CUDA, instead of only the CPU libraries.
    #[arg(long, conflicts_with = "libtorch")]
    cuda: bool,
    /// Use the libtorch 2.11 in this folder (with include/ and lib/).
    #[arg(long, value_name = "DIR", value_parser = sh::path_arg)]
    libtorch: Option<PathBuf>,
}

const VERSION: &str = "2.11.0";
const HOME: &str = ".libtorch";
const STAMP: &str = ".libtorch/complete";

/// A wheel and its SHA-256, for tested platforms.
struct Wheel {
    package: &'static str,
    sha256: Option<&'static str>,
}

/// The platform tags for pip, and the wheels to install.
struct Platform {
    tags: &'static [&'static str],
    wheels: &'static [Wheel],
}

/// Linux x86-64 is tested; the other two follow the published names.
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
            "no libtorch wheel for {os} on {arch}: use `cargo xtask setup --libtorch DIR` with libtorch {VERSION}"
        ),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    compiler()?;
    // The stamp alone is not enough: the folder, or the target of the link, may have been removed.
    let installed = Path::new(HOME).join("torch/include/ATen").is_dir();
    let stamp = fs::read_to_string(STAMP).ok().filter(|_| installed).unwrap_or_default();
    let args = &effective(args, &stamp)?;
    if args.libtorch.is_none() && !args.cuda && of_this_version(&stamp) {
        return Ok(());
    }
    let required = stamp_for(args)?;
    if stamp == required {
        return Ok(());
    }
    match &args.libtorch {
        Some(dir) => link(dir)?,
        None if args.cuda => install_cuda()?,
        None => install_cpu()?,
    }
    fs::write(STAMP, required).context(STAMP)?;
    sh::say(&format!("installed libtorch {VERSION} in {HOME}"));
    Ok(())
}

fn of_this_version(stamp: &str) -> bool {
    stamp.split_whitespace().next() == Some(VERSION)
}

/// The options in effect. Without options, an installation of this version is kept whatever its kind; one of another
/// version is updated to the same kind.
fn effective(args: &Args, stamp: &str) -> Result<Args> {
    let old = !stamp.is_empty() && !of_this_version(stamp);
    let (libtorch, mut cuda) = (args.libtorch.clone(), args.cuda);
    if libtorch.is_none() && !cuda && old {
        cuda = stamp.trim_end().ends_with("with CUDA");
        if let Some((version, dir)) = stamp.split_once(" from ") {
            let dir = dir.trim_end();
            bail!(
                "libtorch {version} from {dir} is installed, but version {VERSION} is required: run `cargo xtask setup --libtorch DIR`, or remove {HOME} to download it"
            );
        }
    }
    Ok(Args { libtorch, cuda })
}

/// The stamp of a complete installation.
fn stamp_for(args: &Args) -> Result<String> {
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
        "no C++ compiler found: install one (Debian and Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
    )
}

/// Links an existing libtorch.
fn link(dir: &Path) -> Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("--libtorch {}", dir.display()))?;
    for part in ["include/ATen", "lib"] {
        if !dir.join(part).is_dir() {
            bail!("{} is not a libtorch folder: {part} is missing", dir.display());
        }
    }
    let version = ["build-version", "version.py"]
        .iter()
        .find_map(|name| fs::read_to_string(dir.join(name)).ok())
        .and_then(|text| version_in(&text))
        .with_context(|| {
            format!("{}: cannot determine the libtorch version: build-version and version.py are missing", dir.display())
        })?;
    if !version.starts_with("2.11.") {
        bail!("{} has libtorch {version}, but {VERSION} is required", dir.display());
    }
    clear()?;
    fs::create_dir_all(HOME).context(HOME)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&dir, Path::new(HOME).join("torch"))
        .context("linking .libtorch/torch")?;
    Ok(())
}

/// The first version number like `2.11.0` in a text.
fn version_in(text: &str) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    Some(text[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect())
}

/// Installs the CPU libraries: download, verify, unpack to a temporary folder, rename.
fn install_cpu() -> Result<()> {
    let (platform, python) = (platform()?, python()?);
    let downloads = Path::new(HOME).join("download");
    fs::create_dir_all(&downloads).context("making .libtorch/download")?;
    let mut files = Vec::new();
    for wheel in platform.wheels {
        files.push(fetch(wheel, &platform, &python, &downloads)?);
    }
    let fresh = Path::new(HOME).join("unpacking");
    let _ = fs::remove_dir_all(&fresh); // may exist from an interrupted run
    for file in &files {
        unpack(file, &fresh, &python)?;
    }
    for part in ["torch", "nvidia"] {
        let (from, to) = (fresh.join(part), Path::new(HOME).join(part));
        if from.exists() {
            remove(&to)?;
            fs::rename(&from, &to).with_context(|| format!("installing {}", to.display()))?;
        }
    }
    let _ = fs::remove_dir_all(&fresh);
    fs::remove_dir_all(&downloads).context("removing .libtorch/download")
}

/// Installs PyTorch with all dependencies.
fn install_cuda() -> Result<()> {
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
                .with_context(|| format!("installing {part}"))?;
        }
    }
    fs::remove_dir_all(&fresh).context("removing .libtorch/unpacking")
}

/// A Python interpreter that has pip.
fn python() -> Result<String> {
    for name in ["python3", "python"] {
        if sh::capture(&sh::words([name, "-m", "pip", "--version"])).is_ok() {
            return Ok(name.to_owned());
        }
    }
    bail!(
        "no Python with pip found, which is needed to download libtorch (Debian and Ubuntu: apt-get install python3-pip); or use `cargo xtask setup --libtorch DIR` with libtorch {VERSION}"
    )
}

fn fetch(wheel: &Wheel, platform: &Platform, python: &str, downloads: &Path) -> Result<PathBuf> {
    if let Some(file) = downloaded(wheel, downloads)? {
        return Ok(file);
    }
    sh::say(&format!("downloading {}", wheel.package));
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
        .with_context(|| format!("pip did not download a wheel of {}", wheel.package))
}

/// The downloaded wheel, if it exists. A file with a wrong checksum is removed.
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
                sh::say(&format!(
                    "{name} has SHA-256 {found}, expected {expected}: downloading it again"
                ));
                fs::remove_file(&path)?;
            }
            Some(_) => return Ok(Some(path)),
            None => {
                sh::say(&format!(
                    "warning: no checksum of {name} is known: this platform is untested"
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

/// Runs pip, and shortens its errors to one line.
fn pip(command: &[String]) -> Result<()> {
    sh::capture(command).map(drop).map_err(|error| anyhow::anyhow!(explain(&error.to_string())))
}

/// Shortens pip's error output to one line.
fn explain(message: &str) -> String {
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| message.contains(pattern));
    if has(&["No space left"]) {
        return "no space left on the disk: libtorch needs 1.1 GB during setup and 0.6 GB afterwards"
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
            "no network: pip cannot reach its package index; try again later, or use `cargo xtask setup --libtorch DIR` with libtorch {VERSION}"
        );
    }
    let last = message.lines().rev().find(|line| line.contains("ERROR")).unwrap_or(message);
    format!("pip failed: {last}")
}

/// Extracts from a wheel what a CPU build needs.
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

/// Removes an earlier installation.
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
    fn errors_of_pip_are_shortened_to_one_line() {
        let offline = "WARNING: Retrying after NewConnectionError\nERROR: Could not find a version";
        assert!(explain(offline).starts_with("no network"));
        assert!(
            explain("OSError: [Errno 28] No space left on device").starts_with("no space left")
        );
        assert_eq!(
            explain("x\nERROR: No matching distribution\ny"),
            "pip failed: ERROR: No matching distribution"
        );
    }

    #[test]
    fn a_wheel_with_a_wrong_checksum_is_removed() {
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
    fn an_installation_of_this_version_is_kept() {
        let none = Args::default();
        let cuda = |stamp: &str| effective(&none, stamp).map(|args| args.cuda);
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
        assert!(error.contains("2.10.0 from /opt/torch") && error.contains(VERSION), "{error}");
    }

    #[test]
    fn folders_without_libtorch_2_11_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let error = |dir: &Path| link(dir).unwrap_err().to_string();
        assert!(error(&dir.path().join("gone")).contains("gone"));
        assert!(error(dir.path()).ends_with("is not a libtorch folder: include/ATen is missing"));
        fs::create_dir_all(dir.path().join("include/ATen")).unwrap();
        fs::create_dir_all(dir.path().join("lib")).unwrap();
        assert!(error(dir.path()).contains("cannot determine the libtorch version"));
        fs::write(dir.path().join("build-version"), "2.9.1+cpu\n").unwrap();
        assert!(error(dir.path()).contains("has libtorch 2.9.1, but 2.11.0 is required"));
    }

    #[test]
    fn version_in_reads_both_files() {
        assert_eq!(version_in("2.11.0+cpu\n").as_deref(), Some("2.11.0"));
        assert_eq!(version_in("__version__ = '2.13.0'\n").as_deref(), Some("2.13.0"));
        assert_eq!(version_in("none"), None);
    }
}
