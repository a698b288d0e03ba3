//! Output files that appear when they are complete.

use crate::error::{Error, Result};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

/// Checks that a file can be written to `output`, before the work whose result it is.
pub(super) fn check_output(output: &Path) -> Result<()> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    if output.is_dir() {
        return Err(Error::file(output, "is a folder: name a file"));
    }
    match parent {
        Some(parent) if !parent.is_dir() => Err(Error::file(parent, "there is no such folder")),
        _ => Ok(()),
    }
}

/// Writes a file through a temporary one beside it, which goes to its place when all is written and away when
/// anything fails. An output that is not a file (a pipe, a
/// device) is written directly.
///
/// # Errors
/// Naming the file; or whatever `write` says.
pub fn in_place<T, E: From<Error>>(
    output: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = match fs::metadata(output) {
        Ok(found) if !found.is_file() => output.to_owned(),
        _ => output.with_file_name(name),
    };
    let file = File::create(&temporary).map_err(Error::io(&temporary))?;
    let mut writer = BufWriter::new(file);
    let written = write(&mut writer)
        .and_then(|report| Ok(writer.flush().map_err(Error::io(output)).map(|()| report)?));
    match written {
        _ if temporary == output => written,
        Ok(report) => {
            fs::rename(&temporary, output).map_err(Error::io(output))?;
            Ok(report)
        }
        Err(error) => {
            // The cause is reported; half a file is of no use.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}
