//! Output folders that appear whole: a command that fails or is killed leaves what was there before.

use crate::{
    Error, Result,
    file::sync,
    lock::{TemporaryLock, acquire},
    path::{beside, follow, parent},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The temporary folder inside an output folder that exists and is empty.
const INSIDE: &str = ".new.tmp";
/// The lock file inside a folder.
const LOCK: &str = ".lock";

/// What to do with an output folder that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Stop with an error.
    Refuse,
    /// Replace it, if it was made by the same command: a run by a run, a model by a model.
    Replace,
}

/// The kind of folder that a command makes, and therefore may replace. A file name is the kind of all folders that have
/// a file of that name.
pub trait Kind {
    /// How `folder` differs from this kind, as the end of "FOLDER is not empty and ..."; `None` if it is of this kind.
    fn differs(&self, folder: &Path) -> Option<String>;
}

impl Kind for &str {
    fn differs(&self, folder: &Path) -> Option<String> {
        (!folder.join(self).is_file()).then(|| format!("has no {self}"))
    }
}

/// Locks a folder that has the file `marker`, for as long as the result lives: two processes that write to one run
/// would leave a mixture. `None` if there is no such folder yet.
///
/// # Errors
/// [`Error::InUse`] if another process has the lock.
pub fn lock(folder: &Path, marker: &str) -> Result<Option<File>> {
    match folder.join(marker).is_file() {
        true => acquire(&folder.join(LOCK), folder).map(Some),
        false => Ok(None),
    }
}

/// Moves a folder back that a process had moved aside when it was killed.
///
/// # Errors
/// [`Error::InUse`] if that process is still running; naming the folder that could not be renamed.
pub fn recover(out: &Path, kind: impl Kind) -> Result<()> {
    match beside(out, "old") {
        Ok(old) if !out.exists() && old.exists() => {
            let _lock = TemporaryLock::acquire(beside(out, "lock")?, out)?;
            restore(out, &kind)
        }
        _ => Ok(()),
    }
}

/// Makes the folder `out` with what `fill` writes into the folder that it is given, or nothing.
///
/// That folder is the temporary `.NAME.tmp` beside `out`, locked by `.NAME.lock`; it is synced and renamed. If `out`
/// exists and is empty, both are inside of it, because it may be the mount point of a volume. With
/// [`Existing::Replace`] the old folder is removed as a whole, and only after the new one was made; it must be of the
/// same `kind`. A link to a folder stays one.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::NotReplaced`] or [`Error::InUse`] before `fill` is called; whatever `fill` returns;
/// naming the file that could not be synced; [`Error::NotMoved`]. What was there is left as it was.
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
    // What a process that was killed left.
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
        // The cause is reported; a leftover is removed next time.
        let _ = fs::remove_dir_all(&temporary);
    }
    let value = filled?;
    let moved = target().and_then(|target| target.put(&temporary, out));
    moved.map_err(|error| Error::NotMoved { complete: temporary, source: error.into() })?;
    Ok(value)
}

/// What is at the path of an output folder.
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
                return Err(Error::invalid(out, "is a file: name a folder"));
            }
            other => other.map_err(Error::io(out))?,
        };
        // What a process that was killed left does not count.
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
            Self::Absent | Self::Replaceable => Ok((beside(out, "tmp")?, beside(out, "lock")?)),
        }
    }

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
                    // The error is reported; the old folder goes back if it can, else it is `.NAME.old`.
                    let _ = fs::rename(&old, out);
                    return Err(Error::io(out)(error));
                }
                remove(&old)?;
            }
        }
        sync(parent(out))
    }
}

/// [`recover`] by the process that has the lock.
fn restore(out: &Path, kind: &impl Kind) -> Result<()> {
    let old = beside(out, "old")?;
    if !out.exists() && old.is_dir() && kind.differs(&old).is_none() {
        tracing::warn!("{} is back: a process was killed while replacing it", out.display());
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

/// Syncs every file below `folder` and the folders themselves.
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
