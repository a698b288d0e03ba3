//! Unpacks and repacks containers with valid checksums, so that mutations reach the code behind the checksums.

use prost::{Message, encoding::decode_varint, encoding::encode_varint};

/// Members of a ZIP by name.
pub(crate) type Members = Vec<(String, Vec<u8>)>;

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}

/// The members of a valid ZIP with 32-bit sizes; otherwise `None`.
pub(crate) fn unzip(bytes: &[u8]) -> Option<Members> {
    let end = bytes.len().checked_sub(22)?;
    let (count, mut at) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
    let mut members = Vec::new();
    for _ in 0..count {
        let [size, name, extra, local] = [(20, 4), (28, 2), (30, 2), (42, 4)]
            .map(|(offset, width)| number(bytes, at + offset, width));
        let (size, name, extra, local) = (size?, name?, extra?, local?);
        let path = String::from_utf8(bytes.get(at + 46..at + 46 + name)?.to_vec()).ok()?;
        let data = local + 30 + number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
        members.push((path, bytes.get(data..data.checked_add(size)?)?.to_vec()));
        at += 46 + name + extra;
    }
    Some(members)
}

/// An uncompressed ZIP.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = (body.len() as u32).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let crc = crc32fast::hash(content).to_le_bytes();
        let lengths = [(name.len() as u16).to_le_bytes(), [0; 2]].concat();
        let common = [&[0u8; 10][..], &crc, &size, &size, &lengths].concat();
        body.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02", &[0; 2][..], &common, &[0; 10], &offset, name.as_bytes()].concat(),
        );
    }
    let count = (members.len() as u16).to_le_bytes();
    let (size, offset) = (directory.len() as u32, body.len() as u32);
    let end = [&count[..], &count, &size.to_le_bytes(), &offset.to_le_bytes(), &[0; 2]].concat();
    [&body[..], &directory, b"PK\x05\x06\0\0\0\0", &end].concat()
}

/// An entry of a TensorFlow index, with the fields that these tests need.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(int32, tag = "1")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
    #[prost(int32, tag = "3")]
    pub(crate) shard: i32,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    #[prost(fixed32, tag = "6")]
    pub(crate) crc32c: u32,
}

/// The shape of an [`Entry`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(crate) sizes: Vec<Dimension>,
}

/// A dimension of a [`Shape`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}

/// A checksum as LevelDB stores it.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn varints(bytes: &mut Vec<u8>, numbers: &[usize]) {
    numbers.iter().for_each(|&n| encode_varint(n as u64, bytes));
}

/// A block without prefix compression.
pub(crate) fn block(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        varints(&mut bytes, &[0, key.len(), value.len()]);
        bytes.extend([key.as_slice(), value].concat());
    }
    bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    bytes
}

/// The contents of a table's data blocks; `None` if the table is damaged.
pub(crate) fn blocks(table: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut footer = table.get(table.len().checked_sub(48)?..)?;
    let next = |cursor: &mut &[u8]| decode_varint(cursor).ok().map(|n| n as usize);
    let numbers = [(); 4].map(|()| next(&mut footer));
    let content = |from: usize, size: usize| table.get(from..from.checked_add(size)?);
    let index = content(numbers[2]?, numbers[3]?)?;
    let mut rest = index.get(..index.len().checked_sub(8)?)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let [_, key, _] = [(); 3].map(|()| next(&mut rest));
        rest = rest.get(key?..)?;
        let (from, size) = (next(&mut rest)?, next(&mut rest)?);
        found.push(content(from, size)?.to_vec());
    }
    Some(found)
}

/// A table of data blocks with these contents.
pub(crate) fn table(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut append = |content: &[u8]| {
        let mut handle = Vec::new();
        varints(&mut handle, &[file.len(), content.len()]);
        let checked = [content, &[0]].concat();
        file.extend([&checked[..], &checksum(&checked).to_le_bytes()].concat());
        handle
    };
    let rows: Vec<_> = (0u32..)
        .zip(blocks)
        .map(|(i, content)| (i.to_be_bytes().to_vec(), append(content)))
        .collect();
    let index = append(&block(&rows));
    let mut footer = [append(&block(&[])), index].concat();
    footer.resize(40, 0);
    file.extend([&footer[..], &0xdb47_7524_8b80_fb57u64.to_le_bytes()].concat());
    file
}
