//! Fuzzing with mutated files: every reader returns an error that names the file, or tensors no larger than the file.
//!
//! Inputs are numbered, and the number determines the input. `ELECTRA_FUZZ_INPUTS` sets how many there are:
//!
//! ```text
//! ELECTRA_FUZZ_INPUTS=1000000 cargo test -p electra-model --test it fuzz -- --nocapture
//! ```

use super::{
    corpus, fixtures,
    forge::{self, Dimension, Entry, Shape},
};
use electra_model::{
    Result,
    formats::{bundle, pickle},
    tensors::{self, Named},
};
use prost::Message;
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use tch::Kind;

/// Default number of inputs.
const INPUTS: u64 = 3000;

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by the number of the input.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `limit`, or 0 if `limit` is 0. Modulo bias does not matter here.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A small size, or an edge case of integer arithmetic.
    fn size(&mut self) -> i64 {
        const EDGES: [i64; 12] = [
            0,
            1,
            -1,
            255,
            1 << 31,
            1 << 32,
            1 << 38,
            1 << 40,
            1 << 61,
            1 << 62,
            i64::MAX,
            i64::MIN,
        ];
        match self.one_in(2) {
            true => EDGES[self.below(EDGES.len())],
            false => self.below(12) as i64,
        }
    }
}

/// Mutates bytes in one to five places, preferably few.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let max = rng.below(5);
    for _ in 0..=rng.below(max + 1) {
        let at = rng.below(bytes.len());
        let reach = rng.below(32).min(bytes.len() - at);
        match rng.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            2 | 3 if at < bytes.len() => bytes[at] = rng.next() as u8,
            4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)],
            5 => {
                let number = rng.size().to_le_bytes();
                let width = [2, 4, 8][rng.below(3)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            6 => drop(bytes.drain(at..at + reach)),
            7 => {
                let piece = bytes[at..at + reach].to_vec();
                let target = rng.below(bytes.len() + 1);
                bytes.splice(target..target, piece);
            }
            _ if rng.one_in(8) => bytes.truncate(at),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
}

/// A file, and the data file of a TensorFlow checkpoint.
#[derive(Clone)]
struct Input {
    file: Vec<u8>,
    data: Option<Vec<u8>>,
}

const DATA: &str = "data-00000-of-00001";

/// Valid files, and the invalid files of the corpus.
fn seeds(format: &str, extension: &str, more: &[&str]) -> [Vec<Input>; 2] {
    let entries = fs::read_dir(corpus::folder(format)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    let is_valid = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("ok-");
    let (mut valid, invalid): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_valid);
    valid.extend(more.iter().map(|name| fixtures().join(name)));
    let read = |path: PathBuf| Input {
        file: fs::read(&path).unwrap(),
        data: fs::read(path.with_extension(DATA)).ok(),
    };
    [valid, invalid].map(|paths| paths.into_iter().map(read).collect())
}

/// Mutates a member of a ZIP, with valid checksums, or the ZIP itself.
fn mutate_pytorch(input: &mut Input, rng: &mut Rng) {
    let members = forge::unzip(&input.file).filter(|members| !members.is_empty());
    if let Some(mut members) = members.filter(|_| !rng.one_in(4)) {
        let pickle = members.iter().position(|(name, _)| name.ends_with("/data.pkl"));
        let any = rng.below(members.len());
        let index = pickle.filter(|_| !rng.one_in(4)).unwrap_or(any);
        mutate(&mut members[index].1, rng);
        input.file = forge::zip(&members);
        if !rng.one_in(8) {
            return;
        }
    }
    mutate(&mut input.file, rng);
}

/// Mutates an index, or one of its blocks with valid checksums, or generates a checkpoint with random sizes and offsets.
fn mutate_tensorflow(input: &mut Input, rng: &mut Rng) {
    match (rng.below(4), forge::blocks(&input.file).filter(|blocks| !blocks.is_empty())) {
        (0, _) => mutate(&mut input.file, rng),
        (1 | 2, Some(mut blocks)) => {
            let index = rng.below(blocks.len());
            mutate(&mut blocks[index], rng);
            input.file = forge::table(&blocks);
        }
        _ => *input = random_checkpoint(rng),
    }
    if let Some(data) = input.data.as_mut().filter(|_| rng.one_in(8)) {
        mutate(data, rng);
    }
}

/// A checkpoint of up to six tensors.
fn random_checkpoint(rng: &mut Rng) -> Input {
    let data: Vec<u8> = (0..rng.below(256)).map(|_| rng.next() as u8).collect();
    let mut rows = vec![(Vec::new(), vec![8, 1])];
    let mut end = 0;
    for name in 0..=rng.below(6) {
        let (dtype, width) =
            [(1, 4), (2, 8), (3, 4), (4, 1), (9, 8), (10, 1), (14, 2), (19, 2), (7, 1)]
                [rng.below(9)];
        let sizes: Vec<i64> = (0..rng.below(4)).map(|_| rng.below(5) as i64).collect();
        let size = width * sizes.iter().product::<i64>();
        let content = data.get(end..end + size as usize).unwrap_or_default();
        let sizes = sizes.into_iter().map(|size| Dimension { size }).collect();
        let mut entry = Entry {
            dtype,
            shape: Some(Shape { sizes }),
            shard: 0,
            offset: end as i64,
            size,
            crc32c: forge::checksum(content),
        };
        match rng.below(12) {
            0 => entry.offset = rng.size(),
            1 => entry.size = rng.size(),
            2 => entry.shape.get_or_insert_default().sizes.push(Dimension { size: rng.size() }),
            3 => entry.shard = rng.size() as i32,
            4 => {
                entry.size = rng.size();
                entry.shape = Some(Shape { sizes: vec![Dimension { size: entry.size / width }] });
            }
            _ => end += size as usize,
        }
        rows.push((vec![b'a' + name as u8], entry.encode_to_vec()));
    }
    Input { file: forge::table(&[forge::block(&rows)]), data: Some(data) }
}

/// Mutates the whole file, or the header with a valid length, or replaces a number in the header.
fn mutate_safetensors(input: &mut Input, rng: &mut Rng) {
    let length = input.file.first_chunk().map_or(0, |n| u64::from_le_bytes(*n) as usize);
    let header = input.file.get(8..).and_then(|rest| rest.split_at_checked(length));
    let Some((header, data)) = header.filter(|_| !rng.one_in(4)) else {
        return mutate(&mut input.file, rng);
    };
    let mut header = header.to_vec();
    let digits: Vec<_> = (0..header.len()).filter(|&i| header[i].is_ascii_digit()).collect();
    match digits.is_empty() || rng.one_in(2) {
        true => mutate(&mut header, rng),
        false => {
            let from = digits[rng.below(digits.len())];
            let to = (from..header.len()).find(|&i| !header[i].is_ascii_digit());
            let number = rng.size().to_string();
            header.splice(from..to.unwrap_or(header.len()), number.into_bytes());
        }
    }
    input.file = [&header.len().to_le_bytes()[..], &header, data].concat();
}

/// A reader and its inputs.
struct Target {
    name: &'static str,
    /// The file name of an input.
    file: &'static str,
    read: fn(&Path) -> Result<Named>,
    mutate: fn(&mut Input, &mut Rng),
    /// Maximum size of the tensors, in multiples of the input's size.
    max_claim: usize,
    seeds: [Vec<Input>; 2],
    read_count: u64,
    rejected_count: u64,
}

impl Target {
    fn all() -> [Self; 3] {
        let new = |name, file, read, mutate, max_claim, seeds| Self {
            name,
            file,
            read,
            mutate,
            max_claim,
            seeds,
            read_count: 0,
            rejected_count: 0,
        };
        let bins = ["foreign/bin/pytorch_model.bin", "foreign/bin-views/pytorch_model.bin"];
        let tables = ["tf/model.ckpt-7.index"];
        let safe = ["foreign/base/model.safetensors", "foreign/classifier/model.safetensors"];
        [
            // A tied matrix has two names.
            new(
                "pickle",
                "input.bin",
                pickle::read,
                mutate_pytorch,
                2,
                seeds("pickle", "bin", &bins),
            ),
            new(
                "bundle",
                "input.index",
                |path| bundle::read(&path.with_extension("")),
                mutate_tensorflow,
                1,
                seeds("bundle", "index", &tables),
            ),
            new(
                "safetensors",
                "input.safetensors",
                tensors::read,
                mutate_safetensors,
                1,
                seeds("safetensors", "safetensors", &safe),
            ),
        ]
    }

    /// Reads one input in `dir`.
    fn run(&mut self, input: u64, dir: &Path) {
        let mut rng = Rng(input.wrapping_mul(0xd134_2543_de82_ef95));
        let seeds = &self.seeds[usize::from(rng.one_in(4))];
        let mut mutated = seeds[rng.below(seeds.len())].clone();
        (self.mutate)(&mut mutated, &mut rng);
        let path = dir.join(self.file);
        let data = path.with_extension(DATA);
        // Remove the files first: some file systems flush a truncated and rewritten file to disk, which is slow.
        [&path, &data].map(fs::remove_file).into_iter().for_each(drop);
        fs::write(&path, &mutated.file).unwrap();
        if let Some(bytes) = &mutated.data {
            fs::write(&data, bytes).unwrap();
        }
        let about = format!("{} input {input}", self.name);
        let result = catch_unwind(AssertUnwindSafe(|| (self.read)(&path)));
        match result.unwrap_or_else(|_| panic!("{about}: the reader panicked")) {
            Ok(found) => {
                let bytes: usize =
                    found.iter().map(|(_, t)| t.numel() * t.kind().elt_size_in_bytes()).sum();
                let available = mutated.data.as_ref().unwrap_or(&mutated.file).len();
                assert!(
                    bytes <= self.max_claim * available,
                    "{about}: {bytes} bytes of tensors from {available}"
                );
                // All values can be read.
                for (_, tensor) in &found {
                    let _ = tensor.to_kind(Kind::Double).sum(Kind::Double).double_value(&[]);
                }
                self.read_count += 1;
            }
            Err(error) => {
                let error = error.to_string();
                let stem = dir.join("input").display().to_string();
                assert!(error.starts_with(&stem), "{about}: {error} does not name the file");
                self.rejected_count += 1;
            }
        }
    }
}

#[test]
fn mutated_files_give_an_error_or_tensors_of_bounded_size() {
    let inputs = match env::var("ELECTRA_FUZZ_INPUTS") {
        Ok(count) => count.parse().expect("ELECTRA_FUZZ_INPUTS must be a number"),
        Err(_) => INPUTS,
    };
    let dir = tempfile::tempdir().unwrap();
    let mut targets = Target::all();
    for input in 0..inputs {
        targets[(input % 3) as usize].run(input, dir.path());
    }
    for Target { name, read_count, rejected_count, .. } in &targets {
        let counts = format!("{name}: {read_count} inputs read, {rejected_count} rejected");
        eprintln!("{counts}");
        // Both outcomes must occur for the test to be meaningful.
        let min = inputs / 3 / 50;
        assert!(*read_count >= min && *rejected_count >= min, "{counts}");
    }
}
