//! Batches: independent of the number of threads and of resuming; splitting loses nothing.

use crate::{Fixture, text};
use electra_data::{
    Loader, LoaderConfig, MaskedBatch, MaskedPositions, Masking, ShardSet, Split, UniformMasking,
    evaluation_batches, rng::CounterRng,
};
use electra_tokenize::SpecialTokens;
use std::sync::Arc;

const MASKING: UniformMasking = UniformMasking { rate: 0.15, mask_share: 0.85 };

fn shards(fixture: &Fixture) -> Arc<ShardSet> {
    let path = fixture.write("corpus.txt", text(60));
    fixture.shards(&path, "shards", 16).unwrap();
    Arc::new(ShardSet::open(&fixture.path("shards"), Split::Train).unwrap())
}

fn batches(shards: &Arc<ShardSet>, threads: usize, start: u64, count: usize) -> Vec<MaskedBatch> {
    let config = LoaderConfig { seed: 3, batch_size: 7, threads, prefetch: 4 };
    let mut loader = Loader::new(Arc::clone(shards), Arc::new(MASKING), config, start).unwrap();
    (0..count).map(|_| loader.next().unwrap()).collect()
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    // Several epochs.
    let count = 3 * shards.len() as usize / 7;
    assert_eq!(batches(&shards, 1, 0, count), batches(&shards, 3, 0, count));
}

#[test]
fn a_loader_resumes_from_a_position() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    let config = LoaderConfig { seed: 3, batch_size: 7, threads: 2, prefetch: 4 };
    let mut loader = Loader::new(Arc::clone(&shards), Arc::new(MASKING), config, 0).unwrap();
    for _ in 0..5 {
        loader.next().unwrap();
    }
    assert_eq!(loader.position(), 35);
    let rest: Vec<_> = (0..5).map(|_| loader.next().unwrap()).collect();
    assert_eq!(rest, batches(&shards, 1, 35, 5));
}

#[test]
fn masks_differ_between_epochs() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    let n = shards.len() as usize;
    let config = LoaderConfig { seed: 3, batch_size: n, threads: 1, prefetch: 1 };
    let mut loader = Loader::new(Arc::clone(&shards), Arc::new(MASKING), config, 0).unwrap();
    // The rows of an epoch, sorted by their original ids, with their masked ids.
    let mut epoch = || {
        let batch = loader.next().unwrap();
        let rows = batch.input_ids.chunks(16).zip(batch.generator_ids.chunks(16));
        let mut rows: Vec<_> = rows.map(|(ids, masked)| (ids.to_vec(), masked.to_vec())).collect();
        rows.sort();
        rows
    };
    let (first, second) = (epoch(), epoch());
    let ids =
        |rows: &[(Vec<i64>, Vec<i64>)]| rows.iter().map(|(ids, _)| ids.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
    assert_ne!(first, second);
}

#[test]
fn the_fields_of_a_batch_are_consistent() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    let special = *shards.special();
    for batch in batches(&shards, 1, 0, 20) {
        assert_eq!(batch.input_ids.len(), batch.batch * batch.length);
        let mut chosen = vec![false; batch.input_ids.len()];
        let masked =
            batch.masked_positions.iter().zip(&batch.masked_labels).zip(&batch.masked_is_mask);
        for ((&position, &label), &is_mask) in masked {
            let at = position as usize;
            chosen[at] = true;
            assert_eq!(batch.input_ids[at], label);
            let shown = if is_mask { i64::from(special.mask) } else { label };
            assert_eq!(batch.generator_ids[at], shown);
        }
        for (at, &chosen) in chosen.iter().enumerate() {
            let pad = batch.input_ids[at] == i64::from(special.pad);
            assert_eq!(batch.attention_mask[at], i64::from(!pad));
            assert!(chosen || batch.generator_ids[at] == batch.input_ids[at]);
            assert!(!(pad && (chosen || batch.token_type_ids[at] != 0)));
        }
        assert!(batch.sampling_uniforms.iter().all(|u| (0.0..1.0).contains(u)));
        assert_eq!(batch.tokens as i64, batch.attention_mask.iter().sum::<i64>());
    }
}

/// `[CLS] a [SEP]` is segment 0, `b [SEP]` segment 1, and padding 0.
#[test]
fn segment_1_starts_after_the_first_sep() {
    let fixture = Fixture::new();
    let documents: Vec<_> = (0..30).map(|i| "A b. ".repeat(2 + i % 7)).collect();
    let path = fixture.write("corpus.txt", documents.join("\n\n"));
    fixture.shards(&path, "shards", 16).unwrap();
    let shards = Arc::new(ShardSet::open(&fixture.path("shards"), Split::Train).unwrap());
    let (sep, pad) = (i64::from(shards.special().sep), i64::from(shards.special().pad));
    let (mut pairs, mut padded) = (0, 0);
    for batch in batches(&shards, 1, 0, 20) {
        for (ids, segments) in batch.input_ids.chunks(16).zip(batch.token_type_ids.chunks(16)) {
            let mut seps = 0;
            for (&id, &segment) in ids.iter().zip(segments) {
                assert_eq!(segment, i64::from(seps == 1 && id != pad), "{ids:?} {segments:?}");
                seps += i32::from(id == sep);
            }
            pairs += i32::from(seps == 2);
            padded += i32::from(seps == 2 && ids.contains(&pad));
        }
    }
    assert!(pairs > 0 && padded > 0, "the corpus has such rows");
}

/// Panics on one example.
#[derive(Debug)]
struct PanicsAt(Vec<u32>);

impl Masking for PanicsAt {
    fn choose(
        &self,
        ids: &[u32],
        length: usize,
        special: &SpecialTokens,
        rng: &mut CounterRng,
    ) -> MaskedPositions {
        assert!(ids != self.0, "this example is too hard");
        MASKING.choose(ids, length, special, rng)
    }
}

/// With several workers the others continue, and the batch of the failed one is an error.
#[test]
fn a_panic_of_a_worker_is_an_error() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    let epoch = shards.len().div_ceil(7);
    let masking = Arc::new(PanicsAt(shards.example(0).unwrap().ids));
    for threads in [1, 3] {
        let config = LoaderConfig { seed: 3, batch_size: 7, threads, prefetch: 4 };
        let mut loader = Loader::new(Arc::clone(&shards), masking.clone(), config, 0).unwrap();
        let mut errors = (0..epoch).filter_map(|_| loader.next().err());
        let error = errors.next().unwrap().to_string();
        assert!(error.contains("this example is too hard"), "{error}");
        // One example of the epoch, and possibly again in a batch that spans the next epoch.
        assert!(errors.count() <= 1);
    }
}

#[test]
fn splitting_a_batch_keeps_its_rows() {
    let fixture = Fixture::new();
    let batch = batches(&shards(&fixture), 1, 0, 1).remove(0);
    let parts = batch.split(3);
    assert_eq!(parts.iter().map(|part| part.batch).collect::<Vec<_>>(), [2, 2, 3]);
    let cat = |field: fn(&MaskedBatch) -> &Vec<i64>| {
        parts.iter().flat_map(|p| field(p).clone()).collect::<Vec<_>>()
    };
    assert_eq!(cat(|p| &p.input_ids), batch.input_ids);
    assert_eq!(cat(|p| &p.generator_ids), batch.generator_ids);
    assert_eq!(cat(|p| &p.masked_labels), batch.masked_labels);
    let mut first = 0;
    let mut positions = Vec::new();
    for part in &parts {
        positions.extend(part.masked_positions.iter().map(|position| position + first));
        first += part.input_ids.len() as i64;
    }
    assert_eq!(positions, batch.masked_positions);
    assert_eq!(parts.iter().map(|part| part.tokens).sum::<usize>(), batch.tokens);
}

#[test]
fn evaluation_sees_every_example_once_in_order() {
    let fixture = Fixture::new();
    let shards = shards(&fixture);
    let batches: Vec<_> =
        evaluation_batches(&shards, &MASKING, 0, 7).collect::<electra_data::Result<_>>().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.batch as u64).sum::<u64>(), shards.len());
    let first = shards.example(0).unwrap().ids;
    let row: Vec<u32> = batches[0].input_ids[..first.len()].iter().map(|&id| id as u32).collect();
    assert_eq!(row, first);
}
