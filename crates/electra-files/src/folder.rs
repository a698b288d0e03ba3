//! Output folders that are created atomically: a command that fails or is killed leaves the previous folder unchanged.

use crate::{
    Error, Result,
    file::sync,
    lock::{TemporaryLock, acquire, is_held},
    name::{INSIDE, TEMPORARY, parent},
    path::{beside, follow},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The lock file in a folder.
const LOCK: &str = ".lock";

/// How to treat an output folder that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Return an error.
    Refuse,
    /// Replace it if the same command made it: a run by a run, a model by a model.
    Replace,
}

/// The kind of folder that a command makes and may therefore replace. A file name stands for all folders that contain
/// such a file.
pub trait Kind {
    /// How `folder` differs from this kind, to complete "FOLDER is not empty and ..."; `None` if it is of this kind.
    fn differs(&self, folder: &Path) -> Option<String>;
}

impl Kind for &str {
    fn differs(&self, folder: &Path) -> Option<String> {
        (!folder.join(self).is_file()).then(|| format!("has no {self}"))
    }
}

/// Locks a folder that contains the file `marker` until the result is dropped, so that two processes do not write to
/// the same run. `None` if there is no such folder yet.
///
/// # Errors
/// [`Error::InUse`] if another process holds the lock.
pub fn lock(folder: &Path, marker: &str) -> Result<Option<File>> {
    match folder.join(marker).is_file() {
        true => acquire(&folder.join(LOCK), folder).map(Some),
        false => Ok(None),
    }
}

/// Whether a process holds the [`lock`] of a folder. Writes nothing.
///
/// # Errors
/// The lock file cannot be opened.
pub fn is_locked(folder: &Path) -> Result<bool> {
    is_held(&folder.join(LOCK))
}

/// Restores the folder `out` if a process was killed while replacing it, after it had moved the old folder aside.
///
/// # Errors
/// [`Error::InUse`] if that process is still running; an I/O error if the folder cannot be renamed.
pub fn recover(out: &Path, kind: impl Kind) -> Result<()> {
    match beside(out, "old") {
        Ok(old) if !out.exists() && old.exists() => {
            let _lock = TemporaryLock::acquire(beside(out, "lock")?, out)?;
            restore(out, &kind)
        }
        _ => Ok(()),
    }
}

/// Creates the folder `out` atomically with the files that `fill` writes.
///
/// `fill` is given a temporary folder, `.NAME.tmp` next to `out`, locked by `.NAME.lock`; it is synced and renamed to
/// `out`. If `out` exists and is empty, both are inside it, because it may be the mount point of a volume. With
/// [`Existing::Replace`] the old folder is removed after the new one is complete; it must be of the same `kind`. If
/// `out` is a symbolic link, its target is replaced.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::NotReplaced`] or [`Error::InUse`] before `fill` is called; the error of `fill`; an I/O
/// error if a file cannot be synced; [`Error::NotMoved`]. After an error, the previous folder is unchanged.
pub fn whole<T, E: From<Error>>(
    out: &Path,
    existing: Existing,
    kind: impl Kind,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let out = &follow(out)?;
    let target = || Target::of(out, existing, &kind);
    let (temporary, lock) = target()?.temporary(out)?;
    fs::create_dir_all(parent(&lock)).map_err(Error::io(parent(&lock)))?;
    let _lock = TemporaryLock::acquire(lock, out)?;
    // Leftovers of a process that was killed.
    remove(&temporary)?;
    restore(out, &kind)?;
    if target()?.temporary(out)?.0 != temporary {
        // Another process made or removed the folder just now.
        return Err(Error::InUse(out.to_owned()).into());
    }
    let made = fs::create_dir(&temporary).map_err(|error| Error::io(&temporary)(error).into());
    let filled = made.and_then(|()| fill(&temporary)).and_then(|value| {
        sync_all(&temporary)?;
        Ok(value)
    });
    if filled.is_err() {
        // The cause is reported; if this fails, the next call removes the folder.
        let _ = fs::remove_dir_all(&temporary);
    }
    let value = filled?;
    let moved = target().and_then(|target| target.put(&temporary, out));
    moved.map_err(|error| Error::NotMoved { complete: temporary, cause: error.into() })?;
    Ok(value)
}

/// The state of an output path.
#[derive(Clone, Copy, Debug)]
enum Target {
    Absent,
    Empty,
    Replaceable,
}

impl Target {
    fn of(out: &Path, existing: Existing, kind: &impl Kind) -> Result<Self> {
        let entries = match fs::read_dir(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::invalid(out, "is a file: choose a folder"));
            }
            other => other.map_err(Error::io(out))?,
        };
        // Leftovers of a process that was killed do not count.
        let temporary = |name: &str| [INSIDE, LOCK].contains(&name);
        let mut others = entries.filter(|entry| {
            !entry.as_ref().is_ok_and(|e| e.file_name().to_str().is_some_and(temporary))
        });
        match (others.next(), existing) {
            (None, _) => Ok(Self::Empty),
            (Some(_), Existing::Refuse) => Err(Error::NotEmpty(out.to_owned())),
            (Some(_), Existing::Replace) => match kind.differs(out) {
                None => Ok(Self::Replaceable),
                Some(reason) => Err(Error::NotReplaced { path: out.to_owned(), reason }),
            },
        }
    }

    /// The temporary folder and the lock file.
    fn temporary(self, out: &Path) -> Result<(PathBuf, PathBuf)> {
        match self {
            Self::Empty => Ok((out.join(INSIDE), out.join(LOCK))),
            Self::Absent | Self::Replaceable => Ok((beside(out, TEMPORARY)?, beside(out, "lock")?)),
        }
    }

    /// Moves the new folder to `out`.
    fn put(self, temporary: &Path, out: &Path) -> Result<()> {
        match self {
            Self::Absent => fs::rename(temporary, out).map_err(Error::io(out))?,
            Self::Empty => {
                for entry in fs::read_dir(temporary).map_err(Error::io(temporary))? {
                    let entry = entry.map_err(Error::io(temporary))?;
                    let path = out.join(entry.file_name());
                    fs::rename(entry.path(), &path).map_err(Error::io(&path))?;
                }
                fs::remove_dir(temporary).map_err(Error::io(temporary))?;
                return sync(out);
            }
            Self::Replaceable => {
                let old = beside(out, "old")?;
                remove(&old)?;
                fs::rename(out, &old).map_err(Error::io(out))?;
                if let Err(error) = fs::rename(temporary, out) {
                    // The error is reported; if the old folder cannot be moved back, it stays as `.NAME.old`.
                    let _ = fs::rename(&old, out);
                    return Err(Error::io(out)(error));
                }
                remove(&old)?;
            }
        }
        sync(parent(out))
    }
}

/// [`recover`], for a process that holds the lock.
fn restore(out: &Path, kind: &impl Kind) -> Result<()> {
    let old = beside(out, "old")?;
    if !out.exists() && old.is_dir() && kind.differs(&old).is_none() {
        tracing::warn!("restored {}: a process was killed while replacing it", out.display());
        fs::rename(&old, out).map_err(Error::io(out))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}

/// Syncs all files and folders in `folder`, recursively, and `folder` itself.
fn sync_all(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        match path.is_dir() {
            true => sync_all(&path)?,
            false => sync(&path)?,
        }
    }
    sync(folder)
}
