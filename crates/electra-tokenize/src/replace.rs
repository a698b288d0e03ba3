//! Atomic file replacement: a reader sees the whole old file or the whole new one.

use crate::{Error, Result};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

/// Writes `bytes` to a temporary file next to `path`, syncs it, and renames it to `path`. A symbolic link is
/// followed; anything that is not a regular file, such as a pipe, is written directly.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::canonicalize(path).map_err(Error::io(path))?,
        Ok(_) => return fs::write(path, bytes).map_err(Error::io(path)),
        Err(_) => path.to_owned(),
    };
    let parent =
        target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = parent.join(format!(".{name}.tmp"));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, &target))
        .and_then(|()| File::open(parent)?.sync_all());
    if written.is_err() {
        // Best effort: the original error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(Error::io(path))
}
