//! Reads files; an error says what is wrong with the path, or what the file has instead of the expected contents.

use crate::{Error, PathKind, Result, name::parent};
use serde::de::DeserializeOwned;
use std::{
    fs::File,
    io::{Read, Seek},
    path::Path,
};

/// The message about escapes in JSON that are half a character, which no text has.
pub const LONE_SURROGATES: &str =
    "escapes of lone surrogates (\\ud800 to \\udfff without its other half), which no text has";

/// The beginning of a file in place of which Git LFS downloads the real one.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Bytes that are enough to recognize [`wrong_contents`].
const START: u64 = 512;

/// Opens a file for reading.
///
/// # Errors
/// [`Error::Io`]; [`Error::WrongPath`] for a folder, and for a Git LFS pointer, which is never the file that a command needs.
pub fn open(path: &Path) -> Result<File> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let kind = file.metadata().map_err(Error::io(path))?;
    if kind.is_dir() {
        return Err(Error::wrong_path(path, a_folder(path)));
    }
    // A pipe cannot be read twice.
    if kind.is_file() && kind.len() < START {
        let mut start = Vec::new();
        file.by_ref().take(START).read_to_end(&mut start).map_err(Error::io(path))?;
        file.rewind().map_err(Error::io(path))?;
        if let Some(message) = lfs_pointer(path, &start) {
            return Err(Error::wrong_path(path, message));
        }
    }
    Ok(file)
}

/// Reads a file.
///
/// # Errors
/// As [`open`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// Reads a UTF-8 file.
///
/// # Errors
/// As [`open`]; [`Error::Invalid`] with the line that is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::invalid(path, format!("line {line}: byte {valid} is not UTF-8"))
    })
}

/// Parses JSON that was read from `path`.
///
/// # Errors
/// [`Error::Invalid`] with the line, or with what the file has instead of JSON.
pub fn parse_json<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    serde_json::from_str(text).map_err(|error| match wrong_contents(text.as_bytes()) {
        Some(message) => Error::invalid(path, message),
        None => Error::invalid(path, error),
    })
}

/// What a file that cannot be read in its format is instead, to complete "FILE: ...": empty, or an HTML page, as a failed
/// download leaves it. `None` if it is neither.
pub fn wrong_contents(contents: &[u8]) -> Option<&'static str> {
    let start = &contents[..contents.len().min(START as usize)];
    let start = start.trim_ascii_start().to_ascii_lowercase();
    if contents.is_empty() {
        return Some("the file is empty: download or copy it again");
    }
    (start.starts_with(b"<!doctype html") || start.starts_with(b"<html")).then_some(
        "the file is an HTML page: a download saved a web page instead of the file; download the file itself",
    )
}

/// What a folder is in place of a file.
fn a_folder(path: &Path) -> String {
    match PathKind::of(path) {
        Some(kind @ (PathKind::Run | PathKind::FineTuning)) => {
            let config = path.join("config.toml");
            format!("is {}, not a file; its config is {}", kind.name(), config.display())
        }
        Some(kind) => format!("is {}, not a file", kind.name()),
        None => "is a folder, not a file".to_owned(),
    }
}

/// What to do about a Git LFS pointer; `None` if the contents are not one.
fn lfs_pointer(path: &Path, contents: &[u8]) -> Option<String> {
    contents.starts_with(LFS_POINTER).then(|| {
        let folder = parent(path).display();
        format!("is a Git LFS pointer, not the file itself: run `git lfs pull` in {folder}")
    })
}
