//! The members of a ZIP file that are stored as they are: the container of PyTorch's files.
//!
//! Only what PyTorch writes is read: the directory's end is the file's end, members do not overlap, and none is
//! compressed. So all members together have no more bytes than the file, whatever their headers claim.
//!
//! Source: PKWARE `APPNOTE.TXT` 6.3.10, sections 4.3 and 4.5.3 (ZIP64, which PyTorch always writes).

use std::{
    collections::HashMap,
    io::{Read, Seek, SeekFrom},
};

/// Size of the end record without a comment, which is the file's last one.
const END: u64 = 22;
/// Size of what says where ZIP64's end record is; stands before the end record.
const LOCATOR: u64 = 20;
/// Size of ZIP64's end record.
const END64: u64 = 56;
/// Size of a directory's entry before its name.
const CENTRAL: usize = 46;
/// Size of a member's own header before its name.
const LOCAL: u64 = 30;
/// The compression that is none.
const STORED: u16 = 0;

/// The members beside `NAME/data.pkl`.
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
    /// Bytes in the file.
    stored: u64,
    /// Bytes that it stands for.
    size: u64,
    /// Where its own header is, and where the next member's (or the directory) is.
    range: (u64, u64),
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory of a file of `length` bytes.
    pub(super) fn open(mut file: R, length: u64) -> Result<Self, String> {
        let members = directory(&mut file, length)
            .map_err(|message| format!("not a whole ZIP file of PyTorch's: {message}"))?;
        let pickles: Vec<_> =
            members.keys().filter_map(|name| name.strip_suffix("/data.pkl")).collect();
        let &[prefix] = pickles.as_slice() else {
            return Err(format!(
                "not a file of PyTorch's: it has {} members named NAME/data.pkl, one is expected",
                pickles.len()
            ));
        };
        Ok(Self { file, prefix: prefix.to_owned(), members })
    }

    /// Whether there is a member of that name beside `data.pkl`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(&format!("{}/{name}", self.prefix))
    }

    /// A member's bytes, whose sum is right.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let name = format!("{}/{name}", self.prefix);
        let about = |message: String| format!("member {name:?} {message}");
        let &member = self.members.get(&name).ok_or_else(|| about("is not there".to_owned()))?;
        let Member { method, size, stored, range: (header, end), .. } = member;
        if method != STORED || member.encrypted || size != stored {
            return Err(about(format!(
                "claims {size} bytes in {stored} by method {method}; PyTorch compresses and encrypts nothing"
            )));
        }
        let own: [u8; LOCAL as usize] = read_at(&mut self.file, header).map_err(about)?;
        if own[..4] != *b"PK\x03\x04" {
            return Err(about("has no header of its own".to_owned()));
        }
        let start = header + LOCAL + u64::from(u16_at(&own, 26)) + u64::from(u16_at(&own, 28));
        if start + size > end {
            return Err(about(format!("of {size} bytes runs into what follows it")));
        }
        let mut bytes = vec![0; size as usize];
        self.file
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| about(e.to_string()))?;
        if crc32fast::hash(&bytes) != member.crc {
            return Err(about("is not what was written (CRC-32)".to_owned()));
        }
        Ok(bytes)
    }
}

/// Reads the directory: every member lies before it, and none in another.
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
        return Err(format!("its directory has {} members, its end says {count}", found.len()));
    }
    found.sort_by_key(|(_, member)| member.range.0);
    let mut members = HashMap::new();
    // From the last to the first: each ends where the one behind it begins.
    let mut limit = offset;
    for (name, mut member) in found.into_iter().rev() {
        member.range.1 = limit;
        let header = member.range.0;
        let end = header.checked_add(LOCAL).and_then(|data| data.checked_add(member.stored));
        if end.is_none_or(|end| end > limit) {
            let stored = member.stored;
            return Err(format!(
                "member {name:?} claims {stored} bytes at {header}, what follows it is at {limit}"
            ));
        }
        limit = header;
        if members.insert(name.clone(), member).is_some() {
            return Err(format!("it has two members {name:?}"));
        }
    }
    Ok(members)
}

/// Place, size and number of members of the directory.
fn locate(file: &mut (impl Read + Seek), length: u64) -> Result<(u64, u64, u64), String> {
    let end = length.checked_sub(END).ok_or("it is shorter than a ZIP's end")?;
    let record: [u8; END as usize] = read_at(file, end)?;
    if record[..4] != *b"PK\x05\x06" {
        return Err("it does not end as a ZIP does".to_owned());
    }
    let (count, size, offset) = (u16_at(&record, 10), u32_at(&record, 12), u32_at(&record, 16));
    let place = (u64::from(offset), u64::from(size), u64::from(count));
    let (place, limit) = match count == u16::MAX || size == u32::MAX || offset == u32::MAX {
        false => (place, end),
        true => {
            let at = end.checked_sub(LOCATOR).ok_or("it has no room for a ZIP64's end")?;
            let locator: [u8; LOCATOR as usize] = read_at(file, at)?;
            let start = u64_at(&locator, 8);
            if locator[..4] != *b"PK\x06\x07" || start.checked_add(END64).is_none_or(|e| e > at) {
                return Err("its sizes are of ZIP64, and it has no ZIP64's end".to_owned());
            }
            let record: [u8; END64 as usize] = read_at(file, start)?;
            if record[..4] != *b"PK\x06\x06" {
                return Err("its sizes are of ZIP64, and it has no ZIP64's end".to_owned());
            }
            ((u64_at(&record, 48), u64_at(&record, 40), u64_at(&record, 32)), start)
        }
    };
    let (offset, size, _) = place;
    match offset.checked_add(size) {
        Some(end) if end <= limit => Ok(place),
        _ => Err(format!("a directory of {size} bytes at {offset} leaves the file")),
    }
}

/// Takes one member off the directory.
fn entry(rest: &mut &[u8]) -> Result<(String, Member), String> {
    let fixed = take(rest, CENTRAL)?;
    if fixed[..4] != *b"PK\x01\x02" {
        return Err("its directory is damaged".to_owned());
    }
    let length = |at: usize| usize::from(u16_at(fixed, at));
    let name = std::str::from_utf8(take(rest, length(28))?).map_err(|e| e.to_string())?.to_owned();
    let mut extra = take(rest, length(30))?;
    take(rest, length(32))?;
    // Size, stored size and place: those that 32 bits do not hold follow, in this order, in ZIP64's field.
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
    let [size, stored, header] = wide;
    let member = Member {
        method: u16_at(fixed, 10),
        encrypted: fixed[8] & 1 != 0,
        crc: u32_at(fixed, 16),
        stored,
        size,
        range: (header, 0),
    };
    Ok((name, member))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(count).ok_or("its directory ends in the middle")?;
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
