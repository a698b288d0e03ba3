//! Paths as names: the parent folder, and the final path of an output that is written under a temporary name.

use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// The temporary folder inside an existing empty output folder.
pub(crate) const INSIDE: &str = ".incomplete";
/// The suffix of the temporary file or folder `.NAME.tmp` beside an output.
pub(crate) const TEMPORARY: &str = "tmp";

/// The folder that contains `path`: `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path that a file or folder will have when its output is complete: a path within `.NAME.tmp` is one within `NAME`, and
/// one within `FOLDER/.incomplete` is one within `FOLDER`. Errors name this path, since the temporary one is removed.
pub fn final_path(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    let name = |component: Component<'_>| match component.as_os_str().to_str() {
        Some(INSIDE) => Some(String::new()),
        Some(hidden) => {
            let name = hidden.strip_prefix('.')?.strip_suffix(TEMPORARY)?.strip_suffix('.')?;
            (!name.is_empty()).then(|| name.to_owned())
        }
        None => None,
    };
    if path.components().all(|component| name(component).is_none()) {
        return path;
    }
    let visible = |component: Component<'_>| match name(component) {
        Some(name) => OsString::from(name),
        None => component.as_os_str().to_owned(),
    };
    path.components().map(visible).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert_eq!(parent(Path::new("run")), Path::new("."));
        assert_eq!(parent(Path::new("runs/run")), Path::new("runs"));
    }

    #[test]
    fn a_temporary_path_becomes_the_final_one() {
        for (path, expected) in [
            ("runs/.small.tmp/config.toml", "runs/small/config.toml"),
            ("/runs/.my run.tmp", "/runs/my run"),
            (".small.tmp/.a.json.tmp", "small/a.json"),
            ("mount/.incomplete/config.toml", "mount/config.toml"),
            ("a/../.b/x.tmp", "a/../.b/x.tmp"),
            ("./.tmp/x", "./.tmp/x"),
        ] {
            assert_eq!(final_path(path), Path::new(expected), "{path}");
        }
    }
}
