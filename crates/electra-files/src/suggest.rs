//! "Did you mean": the known name or path that is most similar to an unknown one.

use crate::name::parent;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The Jaro-Winkler similarity above which a name is suggested.
const ALIKE: f64 = 0.75;

/// The similarity above which a path is suggested in place of one that does not exist.
const ALIKE_PATH: f64 = 0.85;

/// The end of a message about an unknown name: `; did you mean "x"?`, or the list of known names if none is similar.
///
/// Upper and lower case count as equal.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match known.iter().max_by(|a, b| similarity(name, a).total_cmp(&similarity(name, b))) {
        Some(best) if is_similar(name, best) => format!("; did you mean {best:?}?"),
        _ => format!("; known here: {}", known.join(", ")),
    }
}

/// Whether a name may be a mistake for a known one. Upper and lower case count as equal.
pub fn is_similar(name: &str, known: &str) -> bool {
    similarity(name, known) > ALIKE
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(&a.to_lowercase(), &b.to_lowercase())
}

/// `; did you mean PATH?`, naming the entry of the same folder with the most similar name; or the first folder of the path
/// that does not exist; or nothing.
pub(crate) fn did_you_mean(path: &Path) -> String {
    let folder = parent(path);
    if !folder.is_dir() {
        let missing = folder.ancestors().find(|above| !above.exists() && parent(above).is_dir());
        return format!(" (there is no folder {})", missing.unwrap_or(folder).display());
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let similarity = |other: &PathBuf| strsim::jaro_winkler(&name(path), &name(other));
    let similar = entries(folder).into_iter().filter(|other| similarity(other) > ALIKE_PATH);
    match similar.max_by(|a, b| similarity(a).total_cmp(&similarity(b))) {
        Some(best) => format!("; did you mean {}?", best.display()),
        None => String::new(),
    }
}

/// The entries of a folder that are not hidden, sorted, with paths that begin like its own.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = read.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut paths: Vec<PathBuf> = visible
        .map(|entry| match folder == Path::new(".") {
            true => entry.file_name().into(),
            false => entry.path(),
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_similar_name_is_suggested_and_others_are_listed() {
        assert_eq!(nearest("stepps", ["steps", "seed"]), "; did you mean \"steps\"?");
        assert_eq!(nearest("COLOR", ["shape", "color"]), "; did you mean \"color\"?");
        assert_eq!(nearest("xyz", ["steps", "seed"]), "; known here: steps, seed");
        assert_eq!(nearest("xyz", []), "; known here: ");
    }
}
