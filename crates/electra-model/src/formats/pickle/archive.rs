//! Reads uncompressed ZIP files, the container of PyTorch's files.
//!
//! Only the form that PyTorch writes is supported: the directory ends at the end of the file, members do not overlap, and
//! none is compressed. So all members together have no more bytes than the file, whatever their headers claim.
//!
//! Source: PKWARE `APPNOTE.TXT` 6.3.10, sections 4.3 and 4.5.3 (ZIP64, which PyTorch always writes).

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

/// Size of the end record, without a comment.
const END: u64 = 22;
/// Size of the ZIP64 end locator, which precedes the end record.
const LOCATOR: u64 = 20;
/// Size of the ZIP64 end record.
const END64: u64 = 56;
/// Size of a directory entry before its name.
const CENTRAL: usize = 46;
/// Size of a local header before its name.
const LOCAL: u64 = 30;
/// The compression method for uncompressed members.
const STORED: u16 = 0;

/// A ZIP file of PyTorch; members are addressed relative to the folder of `data.pkl`.
#[derive(Debug)]
pub(super) struct Archive<R> {
    file: R,
    prefix: String,
    members: HashMap<String, Member>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    method: u16,
    encrypted: bool,
    crc: u32,
    /// Compressed size in bytes.
    compressed: u64,
    /// Uncompressed size in bytes.
    size: u64,
    /// Offsets of the local header, and of the next member or the directory.
    range: (u64, u64),
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory of a file of `length` bytes.
    pub(super) fn open(mut file: R, length: u64) -> Result<Self, String> {
        let members = directory(&mut file, length)
            .map_err(|message| format!("invalid PyTorch ZIP file: {message}"))?;
        let pickles: Vec<_> =
            members.keys().filter_map(|name| name.strip_suffix("/data.pkl")).collect();
        let &[prefix] = pickles.as_slice() else {
            return Err(format!(
                "not a PyTorch file: expected one member NAME/data.pkl, found {}",
                pickles.len()
            ));
        };
        Ok(Self { file, prefix: prefix.to_owned(), members })
    }

    /// Whether a member exists.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(&format!("{}/{name}", self.prefix))
    }

    /// Reads a member and verifies its checksum.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let name = format!("{}/{name}", self.prefix);
        let about = |message: String| format!("member {name:?} {message}");
        let &member = self.members.get(&name).ok_or_else(|| about("is missing".to_owned()))?;
        let Member { method, size, compressed, range: (header, end), .. } = member;
        if method != STORED || member.encrypted || size != compressed {
            return Err(about(format!(
                "is compressed or encrypted, which PyTorch does not do ({size} bytes in {compressed}, method {method})"
            )));
        }
        let local: [u8; LOCAL as usize] = read_at(&mut self.file, header).map_err(about)?;
        if local[..4] != *b"PK\x03\x04" {
            return Err(about("has no local header".to_owned()));
        }
        let start = header + LOCAL + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        if start + size > end {
            return Err(about(format!("of {size} bytes overlaps the next one")));
        }
        let mut bytes = vec![0; size as usize];
        self.file
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| about(e.to_string()))?;
        if crc32fast::hash(&bytes) != member.crc {
            return Err(about("is damaged (CRC-32 mismatch)".to_owned()));
        }
        Ok(bytes)
    }
}

/// Reads the directory and checks that all members precede it and do not overlap.
fn directory(
    file: &mut (impl Read + Seek),
    length: u64,
) -> Result<HashMap<String, Member>, String> {
    let (offset, size, count) = locate(file, length)?;
    let mut bytes = vec![0; size as usize];
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|e| e.to_string())?;
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while !rest.is_empty() {
        found.push(entry(&mut rest)?);
    }
    if found.len() as u64 != count {
        return Err(format!(
            "the directory has {} members, the end record says {count}",
            found.len()
        ));
    }
    found.sort_by_key(|(_, member)| member.range.0);
    let mut members = HashMap::new();
    // From last to first: each member ends where the next one begins.
    let mut limit = offset;
    for (name, mut member) in found.into_iter().rev() {
        member.range.1 = limit;
        let header = member.range.0;
        let end = header.checked_add(LOCAL).and_then(|data| data.checked_add(member.compressed));
        if end.is_none_or(|end| end > limit) {
            let size = member.compressed;
            return Err(format!(
                "member {name:?} claims {size} bytes at {header}, but the next one is at {limit}"
            ));
        }
        limit = header;
        if members.insert(name.clone(), member).is_some() {
            return Err(format!("duplicate member {name:?}"));
        }
    }
    Ok(members)
}

/// Offset, size and number of members of the directory.
fn locate(file: &mut (impl Read + Seek), length: u64) -> Result<(u64, u64, u64), String> {
    let end = length.checked_sub(END).ok_or("shorter than the end record")?;
    let record: [u8; END as usize] = read_at(file, end)?;
    if record[..4] != *b"PK\x05\x06" {
        return Err("no end record; the file may be truncated".to_owned());
    }
    let (count, size, offset) = (u16_at(&record, 10), u32_at(&record, 12), u32_at(&record, 16));
    let place = (u64::from(offset), u64::from(size), u64::from(count));
    let (place, limit) = match count == u16::MAX || size == u32::MAX || offset == u32::MAX {
        false => (place, end),
        true => {
            const MISSING: &str = "no ZIP64 end record, which the sizes require";
            let at = end.checked_sub(LOCATOR).ok_or(MISSING)?;
            let locator: [u8; LOCATOR as usize] = read_at(file, at)?;
            let start = u64_at(&locator, 8);
            if locator[..4] != *b"PK\x06\x07" || start.checked_add(END64).is_none_or(|e| e > at) {
                return Err(MISSING.to_owned());
            }
            let record: [u8; END64 as usize] = read_at(file, start)?;
            if record[..4] != *b"PK\x06\x06" {
                return Err(MISSING.to_owned());
            }
            ((u64_at(&record, 48), u64_at(&record, 40), u64_at(&record, 32)), start)
        }
    };
    let (offset, size, _) = place;
    match offset.checked_add(size) {
        Some(end) if end <= limit => Ok(place),
        _ => Err(format!("directory of {size} bytes at {offset} exceeds the file")),
    }
}

/// Reads one directory entry.
fn entry(rest: &mut &[u8]) -> Result<(String, Member), String> {
    let fixed = take(rest, CENTRAL)?;
    if fixed[..4] != *b"PK\x01\x02" {
        return Err("the directory is damaged".to_owned());
    }
    let length = |at: usize| usize::from(u16_at(fixed, at));
    let name = std::str::from_utf8(take(rest, length(28))?).map_err(|e| e.to_string())?.to_owned();
    let mut extra = take(rest, length(30))?;
    take(rest, length(32))?;
    // Size, compressed size and offset. The ZIP64 extra field has, in this order, those that do not fit in 32 bits.
    let mut wide = [24, 20, 42].map(|at| u64::from(u32_at(fixed, at)));
    while !extra.is_empty() {
        let head = take(&mut extra, 4)?;
        let mut field = take(&mut extra, usize::from(u16_at(head, 2)))?;
        if u16_at(head, 0) == 1 {
            for number in wide.iter_mut().filter(|number| **number == u64::from(u32::MAX)) {
                *number = u64_at(take(&mut field, 8)?, 0);
            }
        }
    }
    let [size, compressed, header] = wide;
    let member = Member {
        method: u16_at(fixed, 10),
        encrypted: fixed[8] & 1 != 0,
        crc: u32_at(fixed, 16),
        compressed,
        size,
        range: (header, 0),
    };
    Ok((name, member))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(count).ok_or("the directory is truncated")?;
    *rest = left;
    Ok(taken)
}

fn read_at<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]))
}
