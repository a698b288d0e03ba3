//! Symbolic links, and hidden names next to a file or folder.

use crate::{Error, Result};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// `.NAME.suffix` in the folder that contains `path`.
pub(crate) fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        Error::io(path)(io::Error::new(io::ErrorKind::InvalidInput, "must end in a file name"))
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(suffix);
    Ok(path.with_file_name(hidden))
}

/// The target of a symbolic link; any other path as it is.
pub(crate) fn follow(path: &Path) -> Result<PathBuf> {
    match path.is_symlink() {
        true => fs::canonicalize(path).map_err(Error::io(path)),
        false => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert_eq!(beside(Path::new("run"), "tmp").ok(), Some(PathBuf::from(".run.tmp")));
        assert!(beside(Path::new(".."), "tmp").is_err());
    }
}
