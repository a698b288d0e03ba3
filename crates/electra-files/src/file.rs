//! Atomic writes: no reader sees an incomplete file, and a failure leaves the old file unchanged.

use crate::{
    Error, Result, lock,
    name::{TEMPORARY, parent},
    path::beside,
    read::{open, parse_json, read_text},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

/// Writes a file atomically; see [`write_file_with`].
///
/// # Errors
/// An I/O error with the path.
pub fn write_file(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    write_file_with(path, |writer| writer.write_all(contents.as_ref()).map_err(Error::io(path)))
}

/// Writes a file atomically: `write` writes to the temporary file `.NAME.tmp` next to it, which is then synced and
/// renamed, or removed after an error.
///
/// If `path` is a symbolic link, its target is replaced. An output that is not a regular file (a pipe, a device) is
/// written to directly.
///
/// # Errors
/// [`Error::InUse`] if another process is writing the same file; an I/O error with the path; or the error of `write`.
pub fn write_file_with<T, E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    let fill = |file| {
        let mut writer = BufWriter::new(file);
        let value = write(&mut writer)?;
        writer.flush().map_err(Error::io(path))?;
        Ok((value, writer))
    };
    let target = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(Error::io(path))?,
        Ok(_) => {
            let file = File::create(path).map_err(Error::io(path))?;
            return fill(file).map(|(value, _)| value);
        }
        Err(_) => path.to_owned(),
    };
    let temporary = beside(&target, TEMPORARY)?;
    let file = lock::acquire(&temporary, path)?;
    let written = file.set_len(0).map_err(|error| Error::io(path)(error).into());
    let written = written.and_then(|()| fill(file)).and_then(|(value, writer)| {
        // The file stays open, and thereby locked, until it is renamed.
        let moved = writer.get_ref().sync_all().and_then(|()| fs::rename(&temporary, &target));
        moved.map_err(Error::io(path))?;
        sync(parent(&target))?;
        Ok(value)
    });
    if written.is_err() {
        // The cause is reported; an incomplete file is useless.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Waits until a file, or the list of entries of a folder, is written to the disk.
///
/// # Errors
/// An I/O error with the path.
pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

/// The SHA-256 of a file's bytes, in hexadecimal.
///
/// # Errors
/// An I/O error with the path.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = open(path)?;
    io::copy(&mut file, &mut hasher).map_err(Error::io(path))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Io`], or [`Error::Invalid`] with the line.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_json(&read_text(path)?, path)
}

/// The result of `read`, or `None` if the file does not exist.
///
/// # Errors
/// Any other error of `read`.
pub fn if_there<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

/// Writes a value as indented JSON, atomically; see [`write_file_with`].
///
/// # Errors
/// An I/O error with the path.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::invalid(path, error))?;
    write_file(path, json + "\n")
}
