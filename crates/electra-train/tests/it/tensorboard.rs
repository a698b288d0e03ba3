//! The run folder's event files: one for each start of a run, with a record for each row of metrics.

use crate::Fixture;
use electra_train::{Recipe, Start, metrics};
use std::{fs, path::Path};

/// The data of each TFRecord: a length of 8 bytes, its checksum of 4, the data, its checksum of 4.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(rest[12..12 + length].to_vec());
        rest = &rest[16 + length..];
    }
    records
}

fn has(record: &[u8], tag: &str) -> bool {
    record.windows(tag.len()).any(|window| window == tag.as_bytes())
}

#[test]
fn every_row_of_metrics_is_an_event_and_resuming_starts_a_new_file() {
    let fixture = Fixture::new();
    let run = fixture.path("run");
    let config = fixture.config(&["train.log_every=2", "evaluate.every=5", "train.steps=10"]);
    let recipe = Recipe::from_config(config);
    recipe.pretrain(&Start { stop_after: Some(5), ..Start::new(&run) }).unwrap();
    recipe.pretrain(&Start::resume(&run)).unwrap();

    let mut files: Vec<_> = fs::read_dir(run.join("tensorboard")).unwrap().collect();
    assert_eq!(files.len(), 2);
    files.sort_by_key(|file| file.as_ref().unwrap().file_name());
    let events: Vec<Vec<u8>> = files
        .into_iter()
        .flat_map(|file| {
            let records = records(&file.unwrap().path());
            // First the format version and the start of a session, by which TensorBoard drops repeated steps.
            assert!(has(&records[0], "brain.Event:2"));
            records.into_iter().skip(2).collect::<Vec<_>>()
        })
        .collect();
    let rows = metrics::read(&run.join("metrics.jsonl")).unwrap();
    assert_eq!(events.len(), rows.len());
    for (event, row) in events.iter().zip(&rows) {
        let kind = row["kind"].as_str().unwrap();
        for (key, value) in row.iter().filter(|(key, _)| *key != "step") {
            assert_eq!(has(event, &format!("{kind}/{key}")), value.is_number(), "{kind}/{key}");
        }
    }
}
