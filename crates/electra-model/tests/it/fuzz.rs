//! Mutated files: every reader ends in an error that names the file, or in tensors that the file has room for.
//!
//! Inputs are numbered, and a number alone decides what its input is. `ELECTRA_FUZZ_INPUTS` says how many there are:
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

/// Inputs of a run that is part of every test run.
const INPUTS: u64 = 3000;

/// SplitMix64 (Steele, Lea, Flood 2014), started at a number of its own for every input.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `limit`; 0 below 0. The bias of the remainder does not matter here.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Sizes at which arithmetic goes wrong, and small ones.
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

/// Changes bytes in one to five places, more often in few.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let most = rng.below(5);
    for _ in 0..=rng.below(most + 1) {
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
                let place = rng.below(bytes.len() + 1);
                bytes.splice(place..place, piece);
            }
            _ if rng.one_in(8) => bytes.truncate(at),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
}

/// A file, and the data beside it that TensorFlow's checkpoints have.
#[derive(Clone)]
struct Input {
    file: Vec<u8>,
    data: Option<Vec<u8>>,
}

const DATA: &str = "data-00000-of-00001";

/// Whole files, and the others of the corpus.
fn seeds(format: &str, ending: &str, more: &[&str]) -> [Vec<Input>; 2] {
    let entries = fs::read_dir(corpus::folder(format)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == ending));
    paths.sort();
    let is_whole = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("ok-");
    let (mut whole, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_whole);
    whole.extend(more.iter().map(|name| fixtures().join(name)));
    let read = |path: PathBuf| Input {
        file: fs::read(&path).unwrap(),
        data: fs::read(path.with_extension(DATA)).ok(),
    };
    [whole, others].map(|paths| paths.into_iter().map(read).collect())
}

/// A member of a ZIP or the ZIP itself is damaged; sums are those of what is there.
fn pytorch(input: &mut Input, rng: &mut Rng) {
    let whole = forge::unzip(&input.file).filter(|members| !members.is_empty());
    if let Some(mut members) = whole.filter(|_| !rng.one_in(4)) {
        let pickle = members.iter().position(|(name, _)| name.ends_with("/data.pkl"));
        let any = rng.below(members.len());
        let place = pickle.filter(|_| !rng.one_in(4)).unwrap_or(any);
        damage(&mut members[place].1, rng);
        input.file = forge::zip(&members);
        if !rng.one_in(8) {
            return;
        }
    }
    damage(&mut input.file, rng);
}

/// A block of an index or the index itself is damaged, sums made right again or not; or all of it is made anew, with
/// sizes and places at random.
fn tensorflow(input: &mut Input, rng: &mut Rng) {
    match (rng.below(4), forge::blocks(&input.file).filter(|blocks| !blocks.is_empty())) {
        (0, _) => damage(&mut input.file, rng),
        (1 | 2, Some(mut blocks)) => {
            let place = rng.below(blocks.len());
            damage(&mut blocks[place], rng);
            input.file = forge::table(&blocks);
        }
        _ => *input = checkpoint(rng),
    }
    if let Some(data) = input.data.as_mut().filter(|_| rng.one_in(8)) {
        damage(data, rng);
    }
}

/// A checkpoint of up to six tensors.
fn checkpoint(rng: &mut Rng) -> Input {
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
            crc32c: forge::sum(content),
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

/// The header or anything else is damaged; its length is right or not. Or a number in it is another one.
fn safetensors(input: &mut Input, rng: &mut Rng) {
    let length = input.file.first_chunk().map_or(0, |n| u64::from_le_bytes(*n) as usize);
    let header = input.file.get(8..).and_then(|rest| rest.split_at_checked(length));
    let Some((header, data)) = header.filter(|_| !rng.one_in(4)) else {
        return damage(&mut input.file, rng);
    };
    let mut header = header.to_vec();
    let digits: Vec<_> = (0..header.len()).filter(|&i| header[i].is_ascii_digit()).collect();
    match digits.is_empty() || rng.one_in(2) {
        true => damage(&mut header, rng),
        false => {
            let from = digits[rng.below(digits.len())];
            let to = (from..header.len()).find(|&i| !header[i].is_ascii_digit());
            let number = rng.size().to_string();
            header.splice(from..to.unwrap_or(header.len()), number.into_bytes());
        }
    }
    input.file = [&header.len().to_le_bytes()[..], &header, data].concat();
}

/// One of the readers with what it is fed.
struct Target {
    name: &'static str,
    /// The input's file, without the folder.
    file: &'static str,
    read: fn(&Path) -> Result<Named>,
    mutate: fn(&mut Input, &mut Rng),
    /// How many times the input's bytes its tensors may have.
    room: usize,
    seeds: [Vec<Input>; 2],
    whole: u64,
    refused: u64,
}

impl Target {
    fn all() -> [Self; 3] {
        let new = |name, file, read, mutate, room, seeds| Self {
            name,
            file,
            read,
            mutate,
            room,
            seeds,
            whole: 0,
            refused: 0,
        };
        let bins = ["foreign/bin/pytorch_model.bin", "foreign/bin-views/pytorch_model.bin"];
        let tables = ["tf/model.ckpt-7.index"];
        let safe = ["foreign/base/model.safetensors", "foreign/classifier/model.safetensors"];
        [
            // A tied matrix has two names.
            new("pickle", "input.bin", pickle::read, pytorch, 2, seeds("pickle", "bin", &bins)),
            new(
                "bundle",
                "input.index",
                |path| bundle::read(&path.with_extension("")),
                tensorflow,
                1,
                seeds("bundle", "index", &tables),
            ),
            new(
                "safetensors",
                "input.safetensors",
                tensors::read,
                safetensors,
                1,
                seeds("safetensors", "safetensors", &safe),
            ),
        ]
    }

    /// Reads one input in `dir`.
    fn run(&mut self, input: u64, dir: &Path) {
        let mut rng = Rng(input.wrapping_mul(0xd134_2543_de82_ef95));
        let seeds = &self.seeds[usize::from(rng.one_in(4))];
        let mut made = seeds[rng.below(seeds.len())].clone();
        (self.mutate)(&mut made, &mut rng);
        let path = dir.join(self.file);
        let data = path.with_extension(DATA);
        // A file that is cut to nothing and written again would be flushed to the disk.
        [&path, &data].map(fs::remove_file).into_iter().for_each(drop);
        fs::write(&path, &made.file).unwrap();
        if let Some(bytes) = &made.data {
            fs::write(&data, bytes).unwrap();
        }
        let about = format!("{} input {input}", self.name);
        let result = catch_unwind(AssertUnwindSafe(|| (self.read)(&path)));
        match result.unwrap_or_else(|_| panic!("{about}: the reader panicked")) {
            Ok(found) => {
                let bytes: usize =
                    found.iter().map(|(_, t)| t.numel() * t.kind().elt_size_in_bytes()).sum();
                let there = made.data.as_ref().unwrap_or(&made.file).len();
                assert!(
                    bytes <= self.room * there,
                    "{about}: {bytes} bytes of tensors out of {there}"
                );
                // All of them are there to be read.
                for (_, tensor) in &found {
                    let _ = tensor.to_kind(Kind::Double).sum(Kind::Double).double_value(&[]);
                }
                self.whole += 1;
            }
            Err(error) => {
                let error = error.to_string();
                let stem = dir.join("input").display().to_string();
                assert!(error.starts_with(&stem), "{about}: {error} does not name the file");
                self.refused += 1;
            }
        }
    }
}

#[test]
fn mutated_files_end_in_an_error_or_in_tensors_that_they_have_room_for() {
    let inputs = match env::var("ELECTRA_FUZZ_INPUTS") {
        Ok(count) => count.parse().expect("ELECTRA_FUZZ_INPUTS is a number"),
        Err(_) => INPUTS,
    };
    let dir = tempfile::tempdir().unwrap();
    let mut targets = Target::all();
    for input in 0..inputs {
        targets[(input % 3) as usize].run(input, dir.path());
    }
    for Target { name, whole, refused, .. } in &targets {
        eprintln!("{name}: {whole} inputs were read, {refused} refused");
        // Mutations that never reach the tensors, or never do harm, would show nothing.
        let few = inputs / 3 / 50;
        assert!(*whole >= few && *refused >= few, "{name}: {whole} read, {refused} refused");
    }
}
