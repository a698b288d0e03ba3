//! Output folders: created atomically; which are replaced, and when.

use crate::says;
use electra_files::{Error, Existing, Result, folder};
use std::{collections::BTreeMap, fs, path::Path};

/// All files in `dir`, recursively, with their text.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => {
                let below = files(&path).into_iter();
                found.extend(below.map(|(rest, text)| (format!("{name}/{rest}"), text)));
            }
            false => {
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn names(dir: &Path) -> Vec<String> {
    files(dir).into_keys().collect()
}

/// The names in `dir` itself, including hidden ones.
fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Creates the folder `name` of the kind that contains a file `marker`.
fn make(
    dir: &Path,
    name: &str,
    existing: Existing,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    folder::whole(&dir.join(name), existing, "marker", fill)
}

/// Writes the files of a folder of that kind.
fn fill(new: &Path) -> Result<()> {
    write(&new.join("marker"), "new");
    write(&new.join("below/file"), "new");
    Ok(())
}

/// A folder that is empty and one that can be replaced.
fn states() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    write(&dir.path().join("old/marker"), "old");
    write(&dir.path().join("old/below/stale"), "old");
    dir
}

#[test]
fn a_folder_is_made_anew_as_a_whole() {
    let dir = states();
    for name in ["absent", "empty", "old", "deep/er"] {
        make(dir.path(), name, Existing::Replace, fill).unwrap();
        assert_eq!(names(&dir.path().join(name)), ["below/file", "marker"], "{name}");
    }
    // Nothing temporary is left.
    assert_eq!(entries(dir.path()), ["absent", "deep", "empty", "old"]);
    assert_eq!(entries(&dir.path().join("empty")), ["below", "marker"]);
}

#[test]
fn a_folder_that_cannot_be_filled_changes_nothing() {
    let dir = states();
    let before = files(dir.path());
    for name in ["absent", "empty", "old"] {
        let failed = make(dir.path(), name, Existing::Replace, |new| {
            write(&new.join("marker"), "half");
            Err(Error::NotEmpty("the fault".into()))
        });
        says(failed, &["the fault"]);
    }
    assert_eq!(files(dir.path()), before);
    assert_eq!(entries(dir.path()), ["empty", "old"]);
    assert_eq!(entries(&dir.path().join("empty")), Vec::<String>::new());
    // The temporary folder and lock file of a process that was killed do not matter.
    for (name, left) in [
        ("old", ".old.tmp/half"),
        ("old", ".old.lock"),
        ("empty", "empty/.incomplete/half"),
        ("empty", "empty/.lock"),
    ] {
        write(&dir.path().join(left), "half");
        make(dir.path(), name, Existing::Replace, |_| Ok(())).unwrap();
        write(&dir.path().join("old/marker"), "old");
    }
    assert_eq!(names(dir.path()), ["old/marker"]);
}

#[test]
fn what_is_of_another_kind_is_not_replaced() {
    let dir = states();
    let never = |_: &Path| -> Result<()> { panic!("nothing is to be made") };
    says(make(dir.path(), "old", Existing::Refuse, never), &["old is not empty", "--overwrite"]);
    fs::remove_file(dir.path().join("old/marker")).unwrap();
    let words = ["old is not empty and has no marker", "does not replace it"];
    says(make(dir.path(), "old", Existing::Replace, never), &words);
    assert_eq!(names(&dir.path().join("old")), ["below/stale"]);
    let words = ["old/below/stale", "is a file"];
    says(make(dir.path(), "old/below/stale", Existing::Replace, never), &words);
    assert_eq!(entries(dir.path()), ["empty", "old"]);
}

/// A process that is killed between the two renames that replace a folder leaves it under a hidden name.
#[test]
fn what_was_moved_aside_comes_back() {
    let dir = states();
    let (old, aside) = (dir.path().join("old"), dir.path().join(".old.old"));
    fs::rename(&old, &aside).unwrap();
    says(make(dir.path(), "old", Existing::Refuse, fill), &["old is not empty"]);
    assert_eq!(names(&old), ["below/stale", "marker"]);

    fs::rename(&old, &aside).unwrap();
    folder::recover(&old, "another marker").unwrap();
    assert!(!old.exists());
    folder::recover(&old, "marker").unwrap();
    assert_eq!(names(&old), ["below/stale", "marker"]);
    assert_eq!(entries(dir.path()), ["empty", "old"]);
}

/// A link to a folder on another disk, which is replaced there.
#[test]
#[cfg(unix)]
fn a_link_to_a_folder_stays_one() {
    let dir = states();
    let link = dir.path().join("link");
    fs::create_dir(dir.path().join("disk")).unwrap();
    fs::rename(dir.path().join("old"), dir.path().join("disk/run")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("disk/run"), &link).unwrap();
    make(dir.path(), "link", Existing::Replace, fill).unwrap();
    assert!(link.is_symlink());
    assert_eq!(names(&dir.path().join("disk")), ["run/below/file", "run/marker"]);
}

#[test]
fn two_writers_of_one_folder_do_not_meet() {
    let dir = states();
    for name in ["absent", "empty", "old"] {
        make(dir.path(), name, Existing::Replace, |new| {
            fill(new)?;
            let second = make(dir.path(), name, Existing::Replace, |_| panic!("it is locked"));
            says(second, &[name, "another process"]);
            Ok(())
        })
        .unwrap();
        assert_eq!(names(&dir.path().join(name)), ["below/file", "marker"], "{name}");
    }
    // A reader does not restore a folder that a writer has just moved aside.
    let old = dir.path().join("old");
    make(dir.path(), "old", Existing::Replace, |new| {
        fs::rename(&old, dir.path().join(".old.old")).unwrap();
        says(folder::recover(&old, "marker"), &["old", "another process"]);
        fill(new)
    })
    .unwrap();
}

#[test]
fn a_new_folder_that_cannot_be_moved_is_kept() {
    let dir = states();
    let absent = dir.path().join("absent");
    let result = make(dir.path(), "absent", Existing::Replace, |new| {
        write(&absent.join("precious.txt"), "mine");
        fill(new)
    });
    says(result, &["absent", "no marker", "complete in", ".absent.tmp"]);
    assert_eq!(names(&absent), ["precious.txt"]);
    assert_eq!(names(&dir.path().join(".absent.tmp")), ["below/file", "marker"]);
}

#[test]
fn a_folder_is_locked_while_it_is_written_for_long() {
    let dir = states();
    let old = dir.path().join("old");
    let lock = folder::lock(&old, "marker").unwrap();
    assert!(lock.is_some());
    says(folder::lock(&old, "marker"), &["old", "another process"]);
    drop(lock);
    assert!(folder::lock(&old, "marker").unwrap().is_some());
    assert!(folder::lock(&dir.path().join("absent"), "marker").unwrap().is_none());
}
