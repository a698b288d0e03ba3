//! Reads a submission again, as the leaderboard will: files, headers, indices, label words.

use super::{
    GlueAnswers, GlueTask,
    submit::{HEADER, Written},
};
use crate::{
    Error, Result,
    table::{Format, Header, Rows},
};
use electra_files::nearest;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufReader, BufWriter, Cursor, Read, Write},
    path::Path,
};
use zip::{ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// Checks the tables of a folder.
pub(super) fn folder(dir: &Path, written: &[Written]) -> Result<()> {
    for table in written {
        let path = dir.join(table.file);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        predictions(bytes, &path.display().to_string(), table.task, table.rows)?;
    }
    Ok(())
}

/// Packs the tables of a folder, each at the archive's top.
pub(super) fn write_archive(path: &Path, dir: &Path, written: &[Written]) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    let mut archive = ZipWriter::new(BufWriter::new(file));
    for table in written {
        let source = dir.join(table.file);
        let bytes = fs::read(&source).map_err(Error::io(&source))?;
        archive.start_file(table.file, SimpleFileOptions::default()).map_err(|e| bad(path, e))?;
        archive.write_all(&bytes).map_err(Error::io(path))?;
    }
    let mut writer = archive.finish().map_err(|e| bad(path, e))?;
    writer.flush().map_err(Error::io(path))
}

/// Checks an archive: exactly the tables that the leaderboard takes, each whole.
///
/// # Errors
/// Naming the table that lacks or is none, or the line that is wrong.
pub(super) fn archive(path: &Path, written: &[Written]) -> Result<()> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| bad(path, e))?;
    let found: BTreeSet<String> = archive.file_names().map(str::to_owned).collect();
    let wanted: BTreeSet<String> = written.iter().map(|table| table.file.to_owned()).collect();
    if found != wanted || archive.len() != wanted.len() {
        let message = format!("holds {found:?}, the leaderboard takes {wanted:?}");
        return Err(Error::file(path, message));
    }
    for table in written {
        let name = format!("{}/{}", path.display(), table.file);
        let mut bytes = Vec::new();
        let mut member = archive.by_name(table.file).map_err(|e| bad(path, e))?;
        member.read_to_end(&mut bytes).map_err(Error::io(path))?;
        predictions(bytes, &name, table.task, table.rows)?;
    }
    Ok(())
}

/// Checks a table of predictions of `task`.
fn predictions(bytes: Vec<u8>, name: &str, task: &GlueTask, rows: u64) -> Result<()> {
    if !bytes.starts_with(format!("{HEADER}\n").as_bytes()) {
        return Err(Error::row(name, 1, format!("the header must be {HEADER:?}")));
    }
    let columns: Vec<&str> = HEADER.split('\t').collect();
    let mut count = 0u64;
    let table =
        Rows::from_reader(Cursor::new(bytes), Format::Tsv, name, &columns, Header::FirstLine)?;
    for row in table {
        let row = row?;
        let (index, prediction) = (row.fields[0].as_str(), row.fields[1].as_str());
        let fail = |message: String| Err(Error::row(name, row.line, message));
        if index != count.to_string() {
            return fail(format!("the index is {index:?}, it must be {count}"));
        }
        match task.answers {
            GlueAnswers::Classes(words) if !words.contains(&prediction) => {
                let known = nearest(prediction, words.iter().copied());
                return fail(format!("{prediction:?} is no answer{known}"));
            }
            GlueAnswers::Range(min, max) => {
                let value = prediction.parse::<f64>().ok();
                if !value.is_some_and(|value| (min..=max).contains(&value)) {
                    return fail(format!("{prediction:?} must be a number from {min} to {max}"));
                }
            }
            GlueAnswers::Classes(_) => {}
        }
        count += 1;
    }
    match count == rows {
        true => Ok(()),
        false => Err(Error::file(name, format!("has {count} rows, there must be {rows}"))),
    }
}

fn bad(path: &Path, error: ZipError) -> Error {
    Error::file(path, format!("zip: {error}"))
}
