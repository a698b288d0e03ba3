//! Lock files. The operating system releases a lock when its process ends, even if the process is killed.

use crate::{Error, Result};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// How often a lock is tried again, and the time between: [`is_held`] holds it for a moment.
const RETRIES: usize = 10;
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Opens the file `path`, creating it if it is missing, and locks it until the result is dropped. On a file system
/// without locks, the file is only opened.
///
/// # Errors
/// [`Error::InUse`] naming `output` if another process holds the lock.
pub(crate) fn acquire(path: &Path, output: &Path) -> Result<File> {
    let mut retries = 0;
    loop {
        let options = OpenOptions::new().create(true).write(true).truncate(false).open(path);
        let file = options.map_err(Error::io(path))?;
        match file.try_lock() {
            // The previous owner may have renamed or removed the file after it was opened here.
            Ok(()) if !is_at(&file, path) => {}
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if retries < RETRIES => {
                retries += 1;
                sleep(RETRY_AFTER);
            }
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(output.to_owned())),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
        }
    }
}

/// Whether a process holds the lock file `path`; false if there is no such file, or on a file system without locks.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn is_held(path: &Path) -> Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.map_err(Error::io(path))?,
    };
    Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether the open file is still at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), path.metadata()) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// A lock file that is removed when it is released.
#[derive(Debug)]
pub(crate) struct TemporaryLock {
    path: PathBuf,
    _file: File,
}

impl TemporaryLock {
    /// See [`acquire`].
    pub(crate) fn acquire(path: PathBuf, output: &Path) -> Result<Self> {
        let file = acquire(&path, output)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for TemporaryLock {
    fn drop(&mut self) {
        // A lock file that cannot be removed is unlocked and has no effect.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn looking_at_a_lock_does_not_take_it() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let (path, target) = (dir.path().join("lock"), dir.path().join("target"));
        assert!(!is_held(&path).expect("a missing file is not locked"));
        assert!(!path.exists());
        let lock = acquire(&path, &target).expect("nobody has the lock");
        assert!(is_held(&path).expect("it can be opened"));
        drop(lock);
        assert!(!is_held(&path).expect("it can be opened"));
        // A process that looks at the same moment does not keep another one from locking.
        let looking = File::open(&path).expect("it can be opened");
        looking.lock_shared().expect("nobody has the lock");
        let looked = std::thread::spawn(move || {
            sleep(2 * RETRY_AFTER);
            drop(looking);
        });
        acquire(&path, &target).expect("the other process is done soon");
        looked.join().expect("it does not panic");
    }

    #[test]
    fn a_lock_is_of_the_file_that_has_the_name_now() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let (path, target) = (dir.path().join("temporary"), dir.path().join("target"));
        let first = acquire(&path, &target).expect("nobody has the lock");
        // Opened before the first owner renamed it: this is no longer the temporary file.
        let opened = OpenOptions::new().write(true).open(&path).expect("it is there");
        fs::rename(&path, &target).expect("the folder is writable");
        drop(first);
        assert!(!is_at(&opened, &path));
        let second = acquire(&path, &target).expect("nobody has the lock");
        assert!(is_at(&second, &path));
        assert!(matches!(acquire(&path, &target), Err(Error::InUse(named)) if named == target));
    }
}
