//! Reads and writes TensorFlow checkpoints ("tensor bundle", version 2) without TensorFlow.
//!
//! `PREFIX.index` is a sorted table (LevelDB's format) from names to file offsets, and `PREFIX.data-00000-of-00001` has
//! the bytes. Blocks and tensors have CRC-32C checksums, which are all verified. Claimed sizes are compared with the
//! actual file size before any allocation; blocks and tensors must not overlap and names are bounded, so memory and time
//! are bounded by the file sizes.
//!
//! Source: TensorFlow `core/util/tensor_bundle`, `core/lib/io/table`, `core/protobuf/tensor_bundle.proto`;
//! LevelDB `doc/table_format.md`.

use crate::{Error, Result, tensors::Named};
use prost::Message;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use tch::{Kind, Tensor};

/// Magic number: the last eight bytes of a table.
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Size of the footer: two block handles, padded, and the magic number.
const FOOTER: usize = 48;
/// Size of a block's trailer: compression type and checksum.
const TRAILER: usize = 5;
/// Restart interval of the blocks written here: one in this many keys is stored without prefix compression.
const RESTART: usize = 16;
/// Maximum total length of names, in multiples of the index's size. With TensorFlow's restart interval of 16, prefix
/// compression saves less than this.
const MAX_NAMES: usize = RESTART;

/// TensorFlow's `DataType` numbers of the supported kinds.
const KINDS: [(i32, Kind); 8] = [
    (1, Kind::Float),
    (2, Kind::Double),
    (3, Kind::Int),
    (4, Kind::Uint8),
    (9, Kind::Int64),
    (10, Kind::Bool),
    (14, Kind::BFloat16),
    (19, Kind::Half),
];

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(int32, tag = "1")]
    shards: i32,
    /// 0 is little-endian.
    #[prost(int32, tag = "2")]
    endianness: i32,
    #[prost(message, optional, tag = "3")]
    version: Option<Version>,
}

#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(int32, tag = "1")]
    producer: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
    #[prost(int32, tag = "3")]
    shard: i32,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(int64, tag = "5")]
    size: i64,
    #[prost(fixed32, tag = "6")]
    crc32c: u32,
    #[prost(message, repeated, tag = "7")]
    slices: Vec<Slice>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dimensions: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    size: i64,
}

/// A slice of a partitioned variable; ELECTRA's checkpoints have none.
#[derive(Clone, PartialEq, Message)]
struct Slice {}

/// An open checkpoint; tensors are read by name.
#[derive(Debug)]
pub struct Bundle {
    prefix: PathBuf,
    shards: i32,
    entries: BTreeMap<String, Entry>,
}

impl Bundle {
    /// Reads `PREFIX.index`.
    ///
    /// # Errors
    /// [`Error::Files`] or [`Error::Format`] naming the file.
    pub fn open(prefix: &Path) -> Result<Self> {
        let path = with_suffix(prefix, ".index");
        let bytes = electra_files::read_bytes(&path)?;
        let (header, entries) = read_index(&bytes)
            .map_err(|e| Error::format(&path, format!("invalid TensorFlow index: {e}")))?;
        check_overlap(&entries).map_err(|message| Error::format(&path, message))?;
        Ok(Self { prefix: prefix.to_owned(), shards: header.shards, entries })
    }

    /// Names and shapes, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, Vec<i64>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.dimensions()))
    }

    /// Reads one tensor, on the CPU, in the file's kind.
    ///
    /// # Errors
    /// If the tensor does not exist, is not supported or is damaged.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let entry = self.entries.get(name).ok_or_else(|| {
            Error::format(with_suffix(&self.prefix, ".index"), format!("no tensor {name:?}"))
        })?;
        let path = data_file(&self.prefix, entry.shard, self.shards);
        let fail = |message: String| Error::format(&path, format!("tensor {name:?}: {message}"));
        let (kind, size) = entry.kind_and_size().map_err(fail)?;
        let mut file = electra_files::open(&path)?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        let offset = entry.offset as u64;
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(fail(format!(
                "claims {size} bytes at offset {offset}, but the file has {length}"
            )));
        }
        let mut bytes = vec![0; size as usize];
        file.seek(SeekFrom::Start(offset)).map_err(Error::io(&path))?;
        file.read_exact(&mut bytes).map_err(Error::io(&path))?;
        if masked(crc32c::crc32c(&bytes)) != entry.crc32c {
            return Err(fail("damaged (CRC-32C mismatch)".to_owned()));
        }
        Tensor::f_from_data_size(&bytes, &entry.dimensions(), kind)
            .map_err(|e| fail(electra_torch::Error::from(e).to_string()))
    }
}

impl Entry {
    fn dimensions(&self) -> Vec<i64> {
        self.shape.iter().flat_map(|shape| &shape.dimensions).map(|d| d.size).collect()
    }

    /// The kind and the size in bytes, if the entry is supported and consistent.
    fn kind_and_size(&self) -> Result<(Kind, u64), String> {
        let kind = KINDS.iter().find(|(number, _)| *number == self.dtype);
        let &(_, kind) =
            kind.ok_or_else(|| format!("TensorFlow data type {} is not supported", self.dtype))?;
        if !self.slices.is_empty() {
            return Err("partitioned variables are not supported".to_owned());
        }
        let width = kind.elt_size_in_bytes() as i64;
        let expected = self.dimensions().iter().try_fold(width, |n, &d| match d {
            0.. => n.checked_mul(d),
            _ => None,
        });
        match expected {
            Some(size) if size == self.size && self.offset >= 0 && self.shard >= 0 => {
                Ok((kind, size as u64))
            }
            _ => Err(format!(
                "shape {:?} of {kind:?} does not match the claimed size of {} bytes",
                self.dimensions(),
                self.size
            )),
        }
    }
}

/// Writes a checkpoint with one data file; the parent folder of `prefix` must exist.
///
/// # Errors
/// [`Error::Files`] naming the file, [`Error::Format`] for an unsupported kind.
pub fn write(prefix: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let (index_path, data_path) = (with_suffix(prefix, ".index"), data_file(prefix, 0, 1));
    let mut data = Vec::new();
    let header = Header { shards: 1, endianness: 0, version: Some(Version { producer: 1 }) };
    let mut entries = BTreeMap::from([(String::new(), header.encode_to_vec())]);
    for (name, tensor) in tensors {
        let number = KINDS.iter().find(|(_, kind)| *kind == tensor.kind());
        let &(dtype, _) = number.ok_or_else(|| {
            let kind = tensor.kind();
            Error::format(&data_path, format!("tensor {name:?}: cannot write kind {kind:?}"))
        })?;
        let tensor = tensor.detach().to_device(tch::Device::Cpu).contiguous();
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        let dimensions = tensor.size().into_iter().map(|size| Dimension { size }).collect();
        let entry = Entry {
            dtype,
            shape: Some(Shape { dimensions }),
            shard: 0,
            offset: data.len() as i64,
            size: bytes.len() as i64,
            crc32c: masked(crc32c::crc32c(&bytes)),
            slices: Vec::new(),
        };
        data.extend_from_slice(&bytes);
        if entries.insert(name.clone(), entry.encode_to_vec()).is_some() {
            return Err(Error::DuplicateVariable(name.clone()));
        }
    }
    fs::write(&data_path, &data).map_err(Error::io(&data_path))?;
    fs::write(&index_path, table(&entries)).map_err(Error::io(&index_path))
}

/// Reads every tensor of a checkpoint, sorted by name.
///
/// # Errors
/// As [`Bundle::tensor`].
pub fn read(prefix: &Path) -> Result<Named> {
    let bundle = Bundle::open(prefix)?;
    bundle.entries.keys().map(|name| Ok((name.clone(), bundle.tensor(name)?))).collect()
}

/// Whether there is a checkpoint with this prefix.
pub(crate) fn exists(prefix: &Path) -> bool {
    with_suffix(prefix, ".index").is_file()
}

/// LevelDB's masked CRC, used when a checksum is stored with its data.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn data_file(prefix: &Path, shard: i32, shards: i32) -> PathBuf {
    with_suffix(prefix, &format!(".data-{shard:05}-of-{shards:05}"))
}

/// Rejects overlapping tensors, which could take more memory than the data files have.
fn check_overlap(entries: &BTreeMap<String, Entry>) -> Result<(), String> {
    let nonempty = entries.iter().filter(|(_, entry)| entry.size > 0);
    let mut ranges: Vec<_> = nonempty.map(|(name, e)| (e.shard, e.offset, e.size, name)).collect();
    ranges.sort_unstable();
    let overlap = ranges.windows(2).find(|pair| {
        let ((shard, offset, size, _), (next_shard, next_offset, ..)) = (pair[0], pair[1]);
        shard == next_shard && offset.saturating_add(size) > next_offset
    });
    match overlap {
        None => Ok(()),
        Some(pair) => Err(format!("tensors {:?} and {:?} overlap", pair[0].3, pair[1].3)),
    }
}

fn read_index(bytes: &[u8]) -> Result<(Header, BTreeMap<String, Entry>), String> {
    let footer = bytes.len().checked_sub(FOOTER).ok_or("shorter than the footer")?;
    let (table, footer) = bytes.split_at(footer);
    let (handles, magic) = footer.split_at(FOOTER - 8);
    if magic != MAGIC.to_le_bytes() {
        return Err("no magic number at the end".to_owned());
    }
    let mut handles = Cursor(handles);
    let (_meta, index) = (handles.handle()?, handles.handle()?);
    let mut header = None;
    let mut entries = BTreeMap::new();
    // Keys and block offsets must increase strictly through the whole table, so that nothing is visited twice.
    let mut last: Option<Vec<u8>> = None;
    let (mut end, mut names) = (0, 0);
    for_each_entry(block(table, index)?, |_, handle| {
        let handle = Cursor(handle).handle()?;
        if handle.0 < end {
            return Err(format!(
                "block at {} overlaps the previous one, which ends at {end}",
                handle.0
            ));
        }
        let contents = block(table, handle)?;
        end = handle.0 + handle.1 + TRAILER as u64;
        for_each_entry(contents, |key, value| {
            names += key.len();
            if names > bytes.len() * MAX_NAMES {
                return Err(format!("names take more than {MAX_NAMES} times the file size"));
            }
            if last.as_deref().is_some_and(|last| last >= key) {
                return Err("names are not sorted".to_owned());
            }
            last = Some(key.to_owned());
            let message = |e: prost::DecodeError| e.to_string();
            match key {
                b"" => header = Some(Header::decode(value).map_err(message)?),
                _ => {
                    let name = String::from_utf8(key.to_owned()).map_err(|e| e.to_string())?;
                    entries.insert(name, Entry::decode(value).map_err(message)?);
                }
            }
            Ok(())
        })
    })?;
    let header = header.ok_or("no header")?;
    if header.endianness != 0 {
        return Err("big-endian files are not supported".to_owned());
    }
    Ok((header, entries))
}

/// Offset and size of a block.
type Handle = (u64, u64);

/// A block's contents, after verifying the checksum.
fn block(table: &[u8], (offset, size): Handle) -> Result<&[u8], String> {
    let range =
        usize::try_from(offset).ok().zip(usize::try_from(size).ok()).and_then(|(from, n)| {
            let end = from.checked_add(n)?.checked_add(TRAILER)?;
            table.get(from..end)
        });
    let bytes =
        range.ok_or_else(|| format!("block of {size} bytes at {offset} exceeds the file"))?;
    let (checked, checksum) = bytes.split_at(bytes.len() - 4);
    if masked(crc32c::crc32c(checked)).to_le_bytes() != checksum {
        return Err(format!("block at {offset} is damaged (CRC-32C mismatch)"));
    }
    match checked.split_last() {
        Some((0, contents)) => Ok(contents),
        _ => Err(format!("block at {offset} is compressed; TensorFlow writes uncompressed blocks")),
    }
}

/// Calls `visit` with each key and value of a block.
fn for_each_entry(
    block: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let (rest, count) = block.split_last_chunk::<4>().ok_or("block without a restart count")?;
    let restarts = u64::from(u32::from_le_bytes(*count)) * 4;
    let end = (rest.len() as u64).checked_sub(restarts).ok_or("restart count exceeds the block")?;
    let mut entries = Cursor(&rest[..end as usize]);
    let mut key = Vec::new();
    while !entries.0.is_empty() {
        let (shared, own, length) = (entries.varint()?, entries.varint()?, entries.varint()?);
        let shared = usize::try_from(shared).ok().filter(|&n| n <= key.len());
        key.truncate(shared.ok_or("shared prefix is longer than the previous name")?);
        key.extend_from_slice(entries.bytes(own)?);
        visit(&key, entries.bytes(length)?)?;
    }
    Ok(())
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn handle(&mut self) -> Result<Handle, String> {
        Ok((self.varint()?, self.varint()?))
    }

    fn varint(&mut self) -> Result<u64, String> {
        prost::encoding::decode_varint(&mut self.0).map_err(|e| e.to_string())
    }

    fn bytes(&mut self, count: u64) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).ok().filter(|&n| n <= self.0.len());
        let (taken, rest) = self.0.split_at(count.ok_or("entry exceeds its block")?);
        self.0 = rest;
        Ok(taken)
    }
}

/// A table of one data block, an empty meta block and an index block.
fn table(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut append = |contents: Vec<u8>| {
        let handle = (file.len() as u64, contents.len() as u64);
        let start = file.len();
        file.extend(contents);
        file.push(0);
        let checksum = masked(crc32c::crc32c(&file[start..]));
        file.extend(checksum.to_le_bytes());
        handle
    };
    let pairs: Vec<_> = entries.iter().map(|(k, v)| (k.as_bytes(), v.as_slice())).collect();
    let data = encode_handle(append(encode_block(&pairs)));
    let meta = encode_handle(append(encode_block(&[])));
    let last = pairs.last().map_or(&b""[..], |(key, _)| key);
    let index = encode_handle(append(encode_block(&[(last, &data)])));
    let mut footer = [meta, index].concat();
    footer.resize(FOOTER - 8, 0);
    file.extend(footer);
    file.extend(MAGIC.to_le_bytes());
    file
}

fn encode_handle((offset, size): Handle) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(offset, &mut bytes);
    prost::encoding::encode_varint(size, &mut bytes);
    bytes
}

fn encode_block(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut restarts: Vec<u32> = Vec::new();
    let mut previous: &[u8] = b"";
    for (i, (key, value)) in pairs.iter().enumerate() {
        let shared = if i.is_multiple_of(RESTART) {
            restarts.push(block.len() as u32);
            0
        } else {
            previous.iter().zip(*key).take_while(|(a, b)| a == b).count()
        };
        for number in [shared, key.len() - shared, value.len()] {
            prost::encoding::encode_varint(number as u64, &mut block);
        }
        block.extend_from_slice(&key[shared..]);
        block.extend_from_slice(value);
        previous = key;
    }
    if restarts.is_empty() {
        restarts.push(0);
    }
    block.extend(restarts.iter().flat_map(|restart| restart.to_le_bytes()));
    block.extend((restarts.len() as u32).to_le_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Vec<u8> {
        let entry = Entry { dtype: 1, size: 4, ..Entry::default() };
        let header = Header { shards: 1, ..Header::default() };
        let names =
            (0..40).map(|i| (format!("electra/encoder/layer_{i}/kernel"), entry.encode_to_vec()));
        table(&names.chain([(String::new(), header.encode_to_vec())]).collect())
    }

    #[test]
    fn a_written_index_is_read_back() {
        let (header, entries) = read_index(&index()).expect("valid");
        assert_eq!((header.shards, entries.len()), (1, 40));
        assert!(entries.contains_key("electra/encoder/layer_39/kernel"));
    }

    #[test]
    fn a_flipped_bit_in_any_byte_of_a_block_is_detected() {
        let good = index();
        for place in 0..good.len() - FOOTER {
            let mut damaged = good.clone();
            damaged[place] ^= 0x10;
            // The empty meta block at the end is not read.
            let read = read_index(&damaged);
            assert!(read.is_err() || read == read_index(&good), "byte {place}");
        }
    }
}
