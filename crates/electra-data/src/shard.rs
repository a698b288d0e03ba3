//! The file format of shards: token ids of examples, little-endian, with checksums.
//!
//! A shard has a header of [`HEADER`] bytes, then `examples + 1` offsets (u64, in tokens), `examples` starts of second
//! segments (u32), and the tokens (u16 if the vocabulary allows it, else u32). Masks are not stored: they are new in
//! each epoch.
//!
//! The layout could be memory-mapped. This reader keeps the offsets in memory and reads tokens with `pread`, which costs
//! a microsecond per example, uses the page cache and needs no `unsafe`.

use crate::{
    Error, Result, ShardIndex, Split,
    index::{COUNTS, INDEX, TOKENIZER, VERSION},
    packing::Example,
};
use electra_files::read_json;
use electra_tokenize::{SpecialTokens, Vocab};
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

const MAGIC: [u8; 8] = *b"ELECTRAS";
/// Bytes of the header.
pub const HEADER: usize = 96;

/// A split of a folder of shards, with verified checksums.
#[derive(Debug)]
pub struct ShardSet {
    dir: PathBuf,
    index: ShardIndex,
    shards: Vec<Shard>,
    /// Number of examples before each shard.
    before: Vec<u64>,
    examples: u64,
}

impl ShardSet {
    /// Opens a split. Verifies the header, size, checksum and vocabulary of every shard, and the vocabulary of the
    /// folder's tokenizer.
    ///
    /// # Errors
    /// [`Error::Shard`] if a file is damaged or does not fit, or the split is empty.
    pub fn open(dir: &Path, split: Split) -> Result<Self> {
        let index = ShardIndex::read(dir)?;
        let files = &index.split(split).files;
        let shards: Vec<Shard> =
            files.iter().map(|file| Shard::open(&dir.join(file), &index)).collect::<Result<_>>()?;
        let mut examples = 0;
        let mut before = Vec::with_capacity(shards.len());
        for shard in &shards {
            before.push(examples);
            examples += shard.seconds.len() as u64;
        }
        if examples == 0 {
            let message = match split {
                Split::Train => "the training split is empty",
                Split::HeldOut => {
                    "the held-out split is empty: build shards from at least 2 documents with --held-out above 0, or set evaluate.every = 0"
                }
            };
            return Err(Error::shard(dir.join(INDEX), message));
        }
        if examples != index.split(split).examples {
            let message = format!(
                "lists {} examples, but the shards have {examples}",
                index.split(split).examples
            );
            return Err(Error::shard(dir.join(INDEX), message));
        }
        check_tokenizer(dir, &index)?;
        Ok(Self { dir: dir.to_owned(), index, shards, before, examples })
    }

    /// Number of examples.
    #[expect(clippy::len_without_is_empty, reason = "an empty split is an error in `open`")]
    pub fn len(&self) -> u64 {
        self.examples
    }

    /// Maximum tokens per example.
    pub fn sequence_length(&self) -> usize {
        self.index.sequence_length
    }

    /// Size of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.index.vocab_size
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.index.special
    }

    /// The index of the folder.
    pub fn index(&self) -> &ShardIndex {
        &self.index
    }

    /// Token counts of the training split by id, excluding `[CLS]` and `[SEP]` around segments.
    ///
    /// # Errors
    /// The file cannot be read or does not fit the vocabulary.
    pub fn unigram_counts(&self) -> Result<Vec<u64>> {
        let path = self.dir.join(COUNTS);
        let counts: Vec<u64> = read_json(&path)?;
        if counts.len() != self.index.vocab_size {
            let message =
                format!("has {} counts for {} tokens", counts.len(), self.index.vocab_size);
            return Err(Error::shard(&path, message));
        }
        Ok(counts)
    }

    /// For each id, whether its token continues the word before it ([`Vocab::continuations`]).
    ///
    /// # Errors
    /// The vocabulary of the folder's tokenizer cannot be read.
    pub fn continuations(&self) -> Result<Vec<bool>> {
        Ok(Vocab::from_file(&self.dir.join(TOKENIZER))?.continuations())
    }

    /// The example `index`, counted over all shards.
    ///
    /// # Errors
    /// [`Error::Value`] if the index is out of range.
    pub fn example(&self, index: u64) -> Result<Example> {
        if index >= self.examples {
            let expected = format!("must be below {}, the number of examples", self.examples);
            return Err(Error::Value { key: "example", value: index.to_string(), expected });
        }
        let at = self.before.partition_point(|&before| before <= index) - 1;
        self.shards[at].example(index - self.before[at])
    }
}

/// Verifies all shards of a folder token by token, and the vocabulary of its tokenizer.
///
/// # Errors
/// A file is damaged or does not fit the others.
pub fn verify(dir: &Path) -> Result<ShardIndex> {
    let index = ShardIndex::read(dir)?;
    for file in index.train.files.iter().chain(&index.held_out.files) {
        let path = dir.join(file);
        let shard = Shard::open(&path, &index)?;
        for i in 0..shard.seconds.len() as u64 {
            let example = shard.example(i)?;
            if let Some(id) = example.ids.iter().find(|&&id| id as usize >= index.vocab_size) {
                let message = format!(
                    "example {i} has id {id}, but the vocabulary size is {}",
                    index.vocab_size
                );
                return Err(Error::shard(&path, message));
            }
        }
    }
    check_tokenizer(dir, &index)?;
    Ok(index)
}

/// Checks that the tokenizer in the folder has the vocabulary of the shards, and that its files agree.
fn check_tokenizer(dir: &Path, index: &ShardIndex) -> Result<()> {
    let folder = dir.join(TOKENIZER);
    let vocab = Vocab::from_file(&folder)?;
    if vocab.hash() != index.vocab_hash {
        let message = format!(
            "has vocabulary {}, but the shards were built with {}: restore the original files, or build the shards again",
            vocab.hash(),
            index.vocab_hash
        );
        return Err(Error::shard(folder, message));
    }
    let special = *vocab.special();
    if special != index.special {
        let message =
            format!("has special tokens {:?}, but the vocabulary has {special:?}", index.special);
        return Err(Error::shard(dir.join(INDEX), message));
    }
    Ok(())
}

/// Copies the tokenizer files of a folder of shards to `to`, so that a run can be exported without the shards.
///
/// # Errors
/// A file cannot be copied, or the tokenizer's vocabulary is not that of the shards.
pub fn copy_tokenizer(shards: &Path, to: &Path) -> Result<()> {
    check_tokenizer(shards, &ShardIndex::read(shards)?)?;
    fs::create_dir_all(to).map_err(Error::io(to))?;
    let from = shards.join(TOKENIZER);
    for entry in fs::read_dir(&from).map_err(Error::io(&from))? {
        let entry = entry.map_err(Error::io(&from))?;
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(Error::io(entry.path()))?;
    }
    Ok(())
}

/// An open shard.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    /// Start of each example in tokens, and the end of the last.
    offsets: Vec<u64>,
    seconds: Vec<u32>,
    /// Bytes per token.
    width: usize,
    /// Offset of the tokens in bytes.
    tokens: u64,
}

impl Shard {
    fn open(path: &Path, index: &ShardIndex) -> Result<Self> {
        let fail = |message: String| Error::shard(path, message);
        let mut file = electra_files::open(path)?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        if size < HEADER as u64 {
            return Err(fail(format!(
                "has {size} bytes, less than the header: the file is truncated"
            )));
        }
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        if header[..8] != MAGIC {
            return Err(fail("is not a shard file".to_owned()));
        }
        if long(&header, 88) != xxh3_64(&header[..88]) {
            return Err(fail("wrong checksum of the header: the file is damaged".to_owned()));
        }
        let [version, width, length, vocab] = [8, 12, 16, 20].map(|at| word(&header, at) as usize);
        if version != VERSION as usize {
            return Err(fail(format!("format {version}, but this version reads format {VERSION}")));
        }
        let hash: String = header[48..80].iter().map(|byte| format!("{byte:02x}")).collect();
        if hash != index.vocab_hash || vocab != index.vocab_size || length != index.sequence_length
        {
            return Err(fail(format!(
                "built with vocabulary {hash} of {vocab} tokens at length {length}, but the index has {} of {} at {}",
                index.vocab_hash, index.vocab_size, index.sequence_length
            )));
        }
        let (examples, count) = (u128::from(long(&header, 24)), u128::from(long(&header, 32)));
        let tables = (examples + 1) * 8 + examples * 4;
        let expected = HEADER as u128 + tables + count * width as u128;
        if u128::from(size) != expected {
            return Err(fail(format!(
                "has {size} bytes, expected {expected}: the file is truncated"
            )));
        }
        let mut table = vec![0; tables as usize];
        file.read_exact(&mut table).map_err(Error::io(path))?;
        let mut hasher = Xxh3Default::new();
        hasher.update(&table);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(Error::io(path))? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        if long(&header, 40) != hasher.digest() {
            return Err(fail("wrong checksum: the file is damaged".to_owned()));
        }
        let (offsets, seconds) = table.split_at((examples as usize + 1) * 8);
        let offsets: Vec<u64> = offsets.chunks_exact(8).map(|bytes| long(bytes, 0)).collect();
        let seconds: Vec<u32> = seconds.chunks_exact(4).map(|bytes| word(bytes, 0)).collect();
        let valid = offsets.windows(2).zip(&seconds).all(|(ends, &second)| {
            ends[0] < ends[1]
                && ends[1] - ends[0] <= length as u64
                && u64::from(second) <= ends[1] - ends[0]
        });
        if !valid || offsets.last().map(|&end| u128::from(end)) != Some(count) {
            return Err(fail("invalid offsets of examples: the file is damaged".to_owned()));
        }
        let tokens = (HEADER + table.len()) as u64;
        Ok(Self { path: path.to_owned(), file, offsets, seconds, width, tokens })
    }

    fn example(&self, index: u64) -> Result<Example> {
        let index = index as usize;
        let (start, end) = (self.offsets[index], self.offsets[index + 1]);
        let mut bytes = vec![0; (end - start) as usize * self.width];
        let at = self.tokens + start * self.width as u64;
        self.file.read_exact_at(&mut bytes, at).map_err(Error::io(&self.path))?;
        let ids = match self.width {
            2 => {
                bytes.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect()
            }
            _ => bytes.chunks_exact(4).map(|b| word(b, 0)).collect(),
        };
        Ok(Example { ids, second: self.seconds[index] as usize })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut buffer = [0; 4];
    buffer.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(buffer)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut buffer = [0; 8];
    buffer.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(buffer)
}

/// A shard that is being written.
#[derive(Debug, Default)]
pub(crate) struct ShardWriter {
    offsets: Vec<u64>,
    seconds: Vec<u32>,
    tokens: Vec<u32>,
}

impl ShardWriter {
    pub(crate) fn push(&mut self, example: &Example) {
        self.offsets.push(self.tokens.len() as u64);
        self.seconds.push(example.second as u32);
        self.tokens.extend_from_slice(&example.ids);
    }

    pub(crate) fn examples(&self) -> u64 {
        self.offsets.len() as u64
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// Returns the bytes of the file, and clears the writer.
    pub(crate) fn finish(&mut self, index: &ShardIndex) -> Vec<u8> {
        let Self { mut offsets, seconds, tokens } = std::mem::take(self);
        let width: u32 = if index.vocab_size <= 1 << 16 { 2 } else { 4 };
        let (examples, count) = (offsets.len() as u64, tokens.len() as u64);
        offsets.push(count);
        let mut body = Vec::with_capacity(offsets.len() * 12 + tokens.len() * width as usize);
        offsets.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        seconds.iter().for_each(|x| body.extend_from_slice(&x.to_le_bytes()));
        match width {
            2 => tokens.iter().for_each(|&id| body.extend_from_slice(&(id as u16).to_le_bytes())),
            _ => tokens.iter().for_each(|id| body.extend_from_slice(&id.to_le_bytes())),
        }
        let mut file = Vec::with_capacity(HEADER + body.len());
        file.extend_from_slice(&MAGIC);
        for x in [VERSION, width, index.sequence_length as u32, index.vocab_size as u32] {
            file.extend_from_slice(&x.to_le_bytes());
        }
        for x in [examples, count, xxh3_64(&body)] {
            file.extend_from_slice(&x.to_le_bytes());
        }
        let hash = (0..32)
            .map(|i| u8::from_str_radix(&index.vocab_hash[2 * i..2 * i + 2], 16).unwrap_or(0));
        file.extend(hash);
        file.extend_from_slice(&[0; 8]);
        let header = xxh3_64(&file);
        file.extend_from_slice(&header.to_le_bytes());
        file.append(&mut body);
        file
    }
}
