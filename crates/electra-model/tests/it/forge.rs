//! Containers taken apart and put together again, with all their sums right, so that damage reaches what is inside.

use prost::{Message, encoding::decode_varint, encoding::encode_varint};

/// Members of a ZIP by name.
pub(crate) type Members = Vec<(String, Vec<u8>)>;

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}

/// The members of a whole ZIP; nothing where it is not one with 32-bit sizes.
pub(crate) fn unzip(bytes: &[u8]) -> Option<Members> {
    let end = bytes.len().checked_sub(22)?;
    let (count, mut at) = (number(bytes, end + 10, 2)?, number(bytes, end + 16, 4)?);
    let mut members = Vec::new();
    for _ in 0..count {
        let [size, name, extra, own] = [(20, 4), (28, 2), (30, 2), (42, 4)]
            .map(|(place, width)| number(bytes, at + place, width));
        let (size, name, extra, own) = (size?, name?, extra?, own?);
        let text = String::from_utf8(bytes.get(at + 46..at + 46 + name)?.to_vec()).ok()?;
        let data = own + 30 + number(bytes, own + 26, 2)? + number(bytes, own + 28, 2)?;
        members.push((text, bytes.get(data..data.checked_add(size)?)?.to_vec()));
        at += 46 + name + extra;
    }
    Some(members)
}

/// A ZIP of members that are stored as they are.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let place = (body.len() as u32).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let crc = crc32fast::hash(content).to_le_bytes();
        let lengths = [(name.len() as u16).to_le_bytes(), [0; 2]].concat();
        let common = [&[0u8; 10][..], &crc, &size, &size, &lengths].concat();
        body.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02", &[0; 2][..], &common, &[0; 10], &place, name.as_bytes()].concat(),
        );
    }
    let count = (members.len() as u16).to_le_bytes();
    let (size, place) = (directory.len() as u32, body.len() as u32);
    let end = [&count[..], &count, &size.to_le_bytes(), &place.to_le_bytes(), &[0; 2]].concat();
    [&body[..], &directory, b"PK\x05\x06\0\0\0\0", &end].concat()
}

/// An entry of a TensorFlow index, as far as these tests need one.
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

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(crate) sizes: Vec<Dimension>,
}

/// One of its sizes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}

/// A sum as LevelDB stores it.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn varints(bytes: &mut Vec<u8>, numbers: &[usize]) {
    numbers.iter().for_each(|&n| encode_varint(n as u64, bytes));
}

/// A block in which every key stands whole.
pub(crate) fn block(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        varints(&mut bytes, &[0, key.len(), value.len()]);
        bytes.extend([key.as_slice(), value].concat());
    }
    bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    bytes
}

/// The contents of a table's data blocks; nothing where it is not whole.
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
        file.extend([&checked[..], &sum(&checked).to_le_bytes()].concat());
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
