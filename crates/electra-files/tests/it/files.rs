//! Single files: written atomically.

use crate::says;
use electra_files::{
    Error, Result, if_there, read_json, sha256, write_file, write_file_with, write_json,
};
use std::{
    fs,
    io::{Read, Write},
};

#[test]
fn a_failure_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_file(&path, "old").unwrap();
    let failed: Result<()> = write_file_with(&path, |writer| {
        writer.write_all(b"half").unwrap();
        Err(Error::NotEmpty("the fault".into()))
    });
    says(failed, &["the fault"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    // Leftovers of a process that was killed do not matter, and are removed.
    fs::write(dir.path().join(".file.tmp"), "much longer than the new file").unwrap();
    write_file(&path, "new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn two_writers_of_one_file_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_file_with(&path, |writer| {
        writer.write_all(b"first").unwrap();
        says(write_file(&path, "second"), &["file", "another process"]);
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
#[cfg(unix)]
fn a_pipe_is_written_to_and_a_link_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("file"), dir.path().join("link"));
    write_file(&path, "old").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write_file(&link, "new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");

    let (mut reader, writer) = std::io::pipe().unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&writer);
    write_file(format!("/dev/fd/{number}").as_ref(), "through a pipe").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through a pipe");
}

#[test]
fn json_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.json");
    assert_eq!(if_there(read_json::<Vec<u32>>(&path)).unwrap(), None);
    write_json(&path, &[1, 2]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
    assert_eq!(if_there(read_json::<Vec<u32>>(&path)).unwrap(), Some(vec![1, 2]));
    says(read_json::<Vec<String>>(&path), &["file.json", "line 2"]);
    says(if_there(read_json::<Vec<u32>>(dir.path())), &[dir.path().to_str().unwrap()]);
}

/// FIPS 180-2, appendix B.1.
#[test]
fn the_checksum_is_sha_256() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_file(&path, "abc").unwrap();
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(&path).unwrap(), known);
}
