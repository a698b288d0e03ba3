//! TensorBoard event files: scalars by step, as TFRecords of `Event` messages.
//!
//! Source: TensorFlow's `event.proto`, `summary.proto` and `record_writer.cc`, with only the fields written here.

use crate::{
    error::{Error, Result},
    metrics::{Figures, Sink},
};
use prost::Message;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Prefix of an event file's name; TensorBoard reads event files in the order of their names.
const PREFIX: &str = "events.out.tfevents.";
/// The version in the first event of a file; since version 2, TensorBoard purges events by [`SessionLog`].
const VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`.
const START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// An event file, open for writing. The scalars of each call are visible to readers immediately.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Creates an event file in the folder `dir`, which is created if it is missing. TensorBoard drops scalars of steps
    /// after `keep_until` in older files of `dir`, since a resumed run writes them again.
    ///
    /// # Errors
    /// Naming the file or folder.
    pub fn create(dir: &Path, keep_until: u64) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let now = now();
        // A run may be resumed within a second, or after the clock was set back.
        let seconds = newest(dir)?.map_or(0, |newest| newest + 1).max(now.as_secs());
        let path = dir.join(format!("{PREFIX}{seconds:010}.{}.{}", host(), process::id()));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut events = Self { file: file.map_err(Error::io(&path))?, path };
        let wall_time = now.as_secs_f64();
        events.append(&Event {
            wall_time,
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        })?;
        // TensorBoard drops this step as well.
        let (step, session_log) = (keep_until as i64 + 1, Some(SessionLog { status: START }));
        events.append(&Event { wall_time, step, session_log, ..Event::default() })?;
        Ok(events)
    }

    /// Writes the scalars of a step as float32, each with its tag. `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// Naming the file.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        wall_time: f64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let values = values
            .into_iter()
            .map(|(tag, value)| Value { tag: tag.to_owned(), simple_value: Some(value as f32) });
        let summary = Some(Summary { value: values.collect() });
        self.append(&Event { wall_time, step: step as i64, summary, ..Event::default() })
    }

    fn append(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&record(&event.encode_to_vec())).map_err(Error::io(&self.path))
    }
}

/// Each metric of a row is a scalar with the tag `KIND/METRIC`, such as `train/loss`; undefined metrics are skipped.
impl Sink for EventFile {
    fn write(&mut self, row: &Figures) -> Result<()> {
        let kind = row.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default();
        let step = row.get("step").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let figures = row.iter().filter(|(key, _)| *key != "step");
        let scalars: Vec<(String, f64)> = figures
            .filter_map(|(key, value)| Some((format!("{kind}/{key}"), value.as_f64()?)))
            .collect();
        let scalars = scalars.iter().map(|(tag, value)| (tag.as_str(), *value));
        self.scalars(step, now().as_secs_f64(), scalars)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A TFRecord: the length, its checksum, the data, its checksum, all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// CRC-32C, masked as in TensorFlow's files, because the checksum of data that contains checksums is weak.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The latest time in the names of a folder's event files.
fn newest(dir: &Path) -> Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let name = entry.map_err(Error::io(dir))?.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default();
        let seconds = name.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
        newest = newest.max(seconds);
    }
    Ok(newest)
}

/// The host name, without dots; `localhost` if unknown.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.replace('.', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by the Python package tensorboard 2.21.0 with `summary.writer.record_writer.RecordWriter`.
    #[test]
    fn a_record_equals_that_of_the_python_package() {
        let loss = Value { tag: "loss".to_owned(), simple_value: Some(2.5) };
        let zero = Value { tag: "zero".to_owned(), simple_value: Some(0.0) };
        let event = Event {
            wall_time: 1.5,
            step: 3,
            summary: Some(Summary { value: vec![loss, zero] }),
            ..Event::default()
        };
        let hex: String =
            record(&event.encode_to_vec()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "2700000000000000bbe1b14609000000000000f83f10032a1a0a0b0a046c6f737315000020400a0b0a047a65726f15000000001822c14e"
        );
        let start =
            Event { step: 4, session_log: Some(SessionLog { status: START }), ..Event::default() };
        let hex: String =
            record(&start.encode_to_vec()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "06000000000000007369d53710043a020801fa2a49ad");
    }

    #[test]
    fn file_names_are_in_order_of_creation() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let later = "events.out.tfevents.9000000000.host.1";
        let mut paths = vec![dir.path().join(later)];
        fs::write(&paths[0], "").expect("the folder exists");
        for step in [0, 5, 3] {
            let mut events = EventFile::create(dir.path(), step).expect("the folder exists");
            events.scalars(step + 1, 0.0, [("loss", 1.0)]).expect("writable");
            paths.push(events.path.clone());
        }
        assert!(paths.is_sorted(), "{paths:?}");
        assert_eq!(fs::read_dir(dir.path()).expect("the folder exists").count(), 4);
    }
}
