//! The files of a submission to the leaderboard: counts of test rows, and checks of the written tables and archive.

use super::{
    score::prediction as parse,
    tasks::{GlueTask, TASKS, TestFile, find},
};
use crate::{
    error::{Error, Result},
    sentence::{Label, LabelSpace},
    table::{Format, Rows},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufReader, BufWriter, Cursor, Read, Write},
    path::{Path, PathBuf},
};
use zip::{ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// The archive of a submission.
pub const ARCHIVE: &str = "submission.zip";
/// The first line of every table.
pub const HEADER: &str = "index\tprediction";

/// One table of a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its task.
    pub task: &'static GlueTask,
    /// Its file's name.
    pub file: &'static str,
    /// Rows without the header.
    pub rows: u64,
    /// Where its predictions come from.
    pub origin: Origin,
}

/// Where predictions come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A fine-tuned model.
    Model(PathBuf),
    /// The same prediction in every row.
    Constant(String),
}

/// The folders in `dir` that are named after tasks of GLUE.
///
/// # Errors
/// If `dir` cannot be read, two folders are named after one task, or no folder after any.
pub fn runs(dir: &Path) -> Result<BTreeMap<&'static str, PathBuf>> {
    let mut runs = BTreeMap::new();
    let entries = fs::read_dir(dir).map_err(Error::io(dir))?;
    let mut paths = entries
        .map(|entry| Ok(entry.map_err(Error::io(dir))?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match find(name) {
            Ok(task) => {
                if let Some(other) = runs.insert(task.name, path.clone()) {
                    let message =
                        format!("{} is also a run of {}: remove one", other.display(), task.name);
                    return Err(Error::file(path, message));
                }
            }
            Err(_) => tracing::warn!("{}: not named after a task of GLUE, skipped", path.display()),
        }
    }
    if runs.is_empty() {
        let names: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
        let message =
            format!("it has no folder that is named after a task of GLUE ({})", names.join(", "));
        return Err(Error::file(dir, message));
    }
    Ok(runs)
}

/// The number of rows of a test file. Each row must have all columns, and its position as its index.
///
/// # Errors
/// Naming file and line of the first row that does not.
pub fn count_rows(task: &GlueTask, file: &TestFile, path: &Path) -> Result<u64> {
    let mut columns = task.text_columns();
    columns.push(file.index);
    let mut rows = 0u64;
    for row in Rows::open(path, &columns)? {
        let row = row?;
        let index = row.fields.last().map(String::as_str).unwrap_or_default();
        if index.trim().parse() != Ok(rows) {
            let message = format!(
                "{index:?} in column {:?} is not {rows}: rows must be numbered from 0 in order, without gaps or duplicates",
                file.index
            );
            return Err(Error::row(&path.display().to_string(), row.line, message));
        }
        rows += 1;
    }
    Ok(rows)
}

/// Checks the tables in a folder.
///
/// # Errors
/// Naming the file and the line with a fault.
pub fn folder(dir: &Path, written: &[Written]) -> Result<()> {
    for table in written {
        let path = dir.join(table.file);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        check_table(bytes, &path.display().to_string(), table.task, table.rows)?;
    }
    Ok(())
}

/// Writes the tables in a folder to an archive, without folders.
///
/// # Errors
/// Naming the file that cannot be read or written.
pub fn write_archive(path: &Path, dir: &Path, written: &[Written]) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    let mut archive = ZipWriter::new(BufWriter::new(file));
    for table in written {
        let source = dir.join(table.file);
        let bytes = fs::read(&source).map_err(Error::io(&source))?;
        archive
            .start_file(table.file, SimpleFileOptions::default())
            .map_err(|e| zip_error(path, e))?;
        archive.write_all(&bytes).map_err(Error::io(path))?;
    }
    let mut writer = archive.finish().map_err(|e| zip_error(path, e))?;
    writer.flush().map_err(Error::io(path))
}

/// Checks that an archive has exactly the tables that the leaderboard takes, each complete.
///
/// # Errors
/// Naming the tables that differ, or the line with a fault.
pub fn archive(path: &Path, written: &[Written]) -> Result<()> {
    let file = electra_files::open(path)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| zip_error(path, e))?;
    let found: BTreeSet<String> = archive.file_names().map(str::to_owned).collect();
    let wanted: BTreeSet<String> = written.iter().map(|table| table.file.to_owned()).collect();
    if found != wanted || archive.len() != wanted.len() {
        let message = format!("contains {found:?}, but the leaderboard takes {wanted:?}");
        return Err(Error::file(path, message));
    }
    for table in written {
        let name = format!("{}/{}", path.display(), table.file);
        let mut bytes = Vec::new();
        let mut member = archive.by_name(table.file).map_err(|e| zip_error(path, e))?;
        member.read_to_end(&mut bytes).map_err(Error::io(path))?;
        check_table(bytes, &name, table.task, table.rows)?;
    }
    Ok(())
}

/// Checks a table of `rows` predictions of `task`.
fn check_table(bytes: Vec<u8>, name: &str, task: &GlueTask, rows: u64) -> Result<()> {
    if !bytes.starts_with(format!("{HEADER}\n").as_bytes()) {
        return Err(Error::row(name, 1, format!("the header must be {HEADER:?}")));
    }
    let columns: Vec<&str> = HEADER.split('\t').collect();
    let space = task.label_space();
    let mut count = 0u64;
    for row in Rows::from_reader(Cursor::new(bytes), Format::Tsv, name, &columns)? {
        let row = row?;
        let (index, prediction) = (row.fields[0].as_str(), row.fields[1].as_str());
        let fail = |message: String| Error::row(name, row.line, message);
        if index != count.to_string() {
            return Err(fail(format!("the index is {index:?}, it must be {count}")));
        }
        let label = parse(&space, prediction).map_err(fail)?;
        if let (Label::Value(value), LabelSpace::Range { min, max }) = (label, &space)
            && !(*min..=*max).contains(&value)
        {
            return Err(fail(format!("{prediction:?} must be a number from {min} to {max}")));
        }
        count += 1;
    }
    match count == rows {
        true => Ok(()),
        false => Err(Error::file(name, format!("has {count} rows, there must be {rows}"))),
    }
}

fn zip_error(path: &Path, error: ZipError) -> Error {
    Error::file(path, format!("zip: {error}"))
}
