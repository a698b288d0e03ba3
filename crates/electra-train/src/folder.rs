//! Output folders and files that are whole or not there.

use crate::{Error, Existing, Result};
use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// What a model folder has: [`whole`] replaces no other where models are written.
pub const MODEL: &str = "config.json";
/// What a folder with a TensorFlow checkpoint has.
pub const TENSORFLOW: &str = "checkpoint";

/// The temporary folder in a folder that is there and empty.
const INSIDE: &str = ".new.tmp";
/// Held while a folder is written for long.
const LOCK: &str = ".lock";

/// Takes the lock of a folder that has the file `marker`, for as long as the result lives: two processes that write one
/// run would leave a mixture. None where there is no such folder yet, or the file system has no locks.
///
/// # Errors
/// [`Error::InUse`] if another process has it.
pub fn lock(folder: &Path, marker: &str) -> Result<Option<File>> {
    if !folder.join(marker).is_file() {
        return Ok(None);
    }
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
    }
}

/// Puts back what a process that was killed between two renames had moved aside.
///
/// # Errors
/// Naming the folder that could not be renamed.
pub fn recover(out: &Path, marker: &str) -> Result<()> {
    let Ok(old) = beside(out, "old") else { return Ok(()) };
    if !out.exists() && old.join(marker).is_file() {
        tracing::warn!("{} was being replaced when that was broken off: it is back", out.display());
        fs::rename(&old, out).map_err(Error::io(out))?;
    }
    Ok(())
}

/// Makes the folder `out` with what `fill` writes into the folder it is given, or nothing.
///
/// That folder is a temporary one beside `out` (inside of it, where `out` is there and empty: it may be a
/// volume); it is synced and renamed. With [`Existing::Replace`] what was there is gone as a whole, stale
/// files and all, and only after the new folder was made; it must have the file `marker`, which says that
/// it is of the kind that is written. A link to a folder stays one.
///
/// # Errors
/// [`Error::NotEmpty`] or [`Error::NotReplaced`] before `fill` is called; whatever `fill` says; naming the
/// file that could not be synced or renamed. What was there is left as it was.
pub fn whole<T, E: From<Error>>(
    out: &Path,
    existing: Existing,
    marker: &'static str,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    recover(out, marker)?;
    let real = out.is_symlink().then(|| fs::canonicalize(out)).transpose();
    let real = real.map_err(Error::io(out))?;
    let out = real.as_deref().unwrap_or(out);
    let place = Place::of(out, existing, marker)?;
    let temporary = place.temporary(out)?;
    if temporary.exists() {
        // What a process left that was killed.
        fs::remove_dir_all(&temporary).map_err(Error::io(&temporary))?;
    }
    let made = fs::create_dir_all(&temporary).map_err(Error::io(&temporary)).map_err(E::from);
    let filled = made.and_then(|()| fill(&temporary)).and_then(|value| {
        sync_all(&temporary)?;
        place.put(&temporary, out)?;
        Ok(value)
    });
    if filled.is_err() {
        // The cause is reported; a leftover is removed next time.
        let _ = fs::remove_dir_all(&temporary);
    }
    filled
}

/// What `out` is before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Absent,
    Empty,
    Occupied,
}

impl Place {
    fn of(out: &Path, existing: Existing, marker: &'static str) -> Result<Self> {
        let entries = match fs::read_dir(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            other => other.map_err(Error::io(out))?,
        };
        // What a process left that was killed is nothing.
        let mut held =
            entries.filter(|entry| !entry.as_ref().is_ok_and(|e| e.file_name() == INSIDE));
        match (held.next(), existing) {
            (None, _) => Ok(Self::Empty),
            (Some(_), Existing::Refuse) => Err(Error::NotEmpty(out.to_owned())),
            (Some(_), Existing::Replace) if out.join(marker).is_file() => Ok(Self::Occupied),
            (Some(_), Existing::Replace) => {
                Err(Error::NotReplaced { path: out.to_owned(), marker })
            }
        }
    }

    fn temporary(self, out: &Path) -> Result<PathBuf> {
        match self {
            Self::Empty => Ok(out.join(INSIDE)),
            Self::Absent | Self::Occupied => beside(out, "tmp"),
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
            Self::Occupied => {
                let old = beside(out, "old")?;
                if old.exists() {
                    fs::remove_dir_all(&old).map_err(Error::io(&old))?;
                }
                fs::rename(out, &old).map_err(Error::io(out))?;
                if let Err(error) = fs::rename(temporary, out) {
                    // The error is reported; the old folder goes back if it can, else it is `.OUT.old`.
                    let _ = fs::rename(&old, out);
                    return Err(Error::io(out)(error));
                }
                fs::remove_dir_all(&old).map_err(Error::io(&old))?;
            }
        }
        out.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
    }
}

/// `.NAME.suffix` in the folder that `out` is in.
fn beside(out: &Path, suffix: &str) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| {
        Error::io(out)(io::Error::new(io::ErrorKind::InvalidInput, "must end in a folder's name"))
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(suffix);
    Ok(out.with_file_name(hidden))
}

/// Writes a file through a temporary one beside it, so that no reader sees half of it.
///
/// # Errors
/// Naming the file.
pub fn write_file(path: &Path, contents: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    fs::write(&temporary, contents).map_err(Error::io(&temporary))?;
    sync(&temporary)?;
    fs::rename(&temporary, path).map_err(Error::io(path))
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

/// Waits until a file or folder is on the disk.
pub(crate) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}
