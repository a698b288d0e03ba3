//! Where shards are put: built beside their place, under a lock, and moved there when they are whole.
//!
//! Beside `shards` stands `.shards.building` while a build runs, with `lock`, `new` (what is being built) and,
//! for the moment of the exchange, `old`. The system gives the lock back when a process ends, however it
//! ends, so the next build to the same place knows a dead one's leavings and clears them away.

use crate::{
    Corpus, Error, Result,
    shard::{COUNTS, INDEX, TOKENIZER},
};
use std::{
    fmt::Display,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// A place that nobody else builds to. Dropping it clears away what is not put there.
#[derive(Debug)]
pub(crate) struct Place {
    /// As the caller named it, for errors.
    named: PathBuf,
    /// Where that is, without links.
    out: PathBuf,
    parent: PathBuf,
    work: PathBuf,
    overwrite: bool,
    /// Whether `work` still holds what must not be lost.
    keep: bool,
    /// Held until the end.
    _lock: Option<File>,
}

impl Place {
    /// Takes the place `named`, and makes the folder to build in.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], and [`Error::Output`] if replacing what is there would lose anything but shards,
    /// or another build is under way.
    pub(crate) fn take(named: &Path, overwrite: bool, corpus: &Corpus) -> Result<Self> {
        let out = without_links(named)?;
        let refused = |message: &str| Error::output(named, message);
        let name = out.file_name().ok_or_else(|| refused("is no name for a new folder"))?;
        if out.is_file() {
            return Err(refused("is a file: name a folder"));
        }
        let parent = out.parent().map_or_else(PathBuf::new, Path::to_owned);
        let work = parent.join(format!(".{}.building", name.to_string_lossy()));
        fs::create_dir_all(&work).map_err(Error::io(&work))?;
        let lock = lock(&work.join("lock"), named)?;
        let named = named.to_owned();
        let mut place = Self { named, out, parent, work, overwrite, keep: true, _lock: lock };
        place.recover()?;
        place.keep = false;
        place.check_occupant()?;
        place.check_corpus(corpus)?;
        for leaving in [place.old(), place.fresh()] {
            match fs::remove_dir_all(&leaving) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(leaving)(error));
                }
                _ => {}
            }
        }
        fs::create_dir(place.fresh()).map_err(Error::io(place.fresh()))?;
        Ok(place)
    }

    /// The folder to build in.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.work.join("new")
    }

    fn old(&self) -> PathBuf {
        self.work.join("old")
    }

    /// Puts back what a build that died during the exchange had taken away.
    fn recover(&self) -> Result<()> {
        if self.old().exists() && !self.out.exists() {
            fs::rename(self.old(), &self.out).map_err(Error::io(&self.named))?;
            tracing::warn!("put back after an interrupted build: {}", self.named.display());
        }
        Ok(())
    }

    /// Only shards are replaced, and only on demand.
    fn check_occupant(&self) -> Result<()> {
        if !self.out.exists() {
            return Ok(());
        }
        let entries = fs::read_dir(&self.out)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(Error::io(&self.named))?;
        if entries.is_empty() {
            return Ok(());
        }
        if !self.overwrite {
            return Err(Error::NotEmpty(self.named.clone()));
        }
        let refused = |reason: String| {
            let message = format!(
                "{reason}, and --overwrite replaces nothing but shards: name another folder, or remove it yourself"
            );
            Err(Error::output(&self.named, message))
        };
        let index: Option<serde_json::Value> = fs::read(self.out.join(INDEX))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // An index of another version is one, too.
        if index.is_none_or(|index| index.get("vocab_hash").is_none()) {
            return refused(format!("has no {INDEX} of shards"));
        }
        for name in entries.iter().map(|entry| entry.file_name()) {
            let name = name.to_string_lossy();
            if ![INDEX, COUNTS, TOKENIZER].contains(&&*name) && !name.ends_with(".shard") {
                return refused(format!("also holds {name}"));
            }
        }
        Ok(())
    }

    /// What is read must not be replaced, and shards are no text.
    fn check_corpus(&self, corpus: &Corpus) -> Result<()> {
        let root = fs::canonicalize(corpus.path()).map_err(Error::io(corpus.path()))?;
        let place = |file: &Path| root.join(file.strip_prefix(corpus.path()).unwrap_or(file));
        match corpus.files().iter().find(|file| place(file).starts_with(&self.out)) {
            None => Ok(()),
            Some(file) => {
                let message =
                    format!("holds {} of the corpus: name another folder", file.display());
                Err(Error::output(&self.named, message))
            }
        }
    }

    /// Puts what was built in its place.
    ///
    /// # Errors
    /// If a folder cannot be moved. Then the old shards are where they were, or the error says where.
    pub(crate) fn put(mut self) -> Result<()> {
        // From here on, nothing is cleared away before the new shards are in their place.
        self.keep = true;
        // Somebody may have put something there meanwhile.
        self.check_occupant().map_err(|error| match error {
            Error::Output { message, .. } => self.not_put(&message),
            other => self.not_put(&other),
        })?;
        let (old, new) = (self.old(), self.fresh());
        let taken = self.out.exists();
        if taken {
            fs::rename(&self.out, &old).map_err(|e| self.not_put(&e))?;
        }
        if let Err(error) = fs::rename(&new, &self.out) {
            if taken {
                fs::rename(&old, &self.out).map_err(|e| self.not_put(&e))?;
            }
            return Err(self.not_put(&error));
        }
        File::open(&self.parent)
            .and_then(|parent| parent.sync_all())
            .map_err(Error::io(&self.parent))?;
        self.keep = false;
        Ok(())
    }

    fn not_put(&self, error: &dyn Display) -> Error {
        let message = format!(
            "{error}; the new shards are whole in {}: move them yourself",
            self.fresh().display()
        );
        Error::output(&self.named, message)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.work)
        {
            tracing::warn!("left behind: {}: {error}", self.work.display());
        }
    }
}

/// Where `out` is or will be; the folders above it are made.
fn without_links(out: &Path) -> Result<PathBuf> {
    match fs::symlink_metadata(out) {
        Ok(_) => return fs::canonicalize(out).map_err(Error::io(out)),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(out)(error)),
        Err(_) => {}
    }
    let Some(name) = out.file_name() else {
        return Err(Error::output(out, "is no name for a new folder"));
    };
    let parent =
        out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    Ok(fs::canonicalize(parent).map_err(Error::io(parent))?.join(name))
}

/// The lock of a folder being built; none where the file system has no locks.
fn lock(path: &Path, named: &Path) -> Result<Option<File>> {
    let file = File::create(path).map_err(Error::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let message = "is being built by another process: wait for it, or name another folder";
            Err(Error::output(named, message))
        }
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
    }
}
