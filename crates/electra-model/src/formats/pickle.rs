//! PyTorch's `pytorch_model.bin`: a ZIP of a pickle and raw storages, read without executing anything.
//!
//! A pickle is a program for a stack machine that may call any function. This reader knows the few
//! opcodes and the few names that a state dict of plain tensors is made of and refuses all others by
//! name. Its memory is bounded by the file: values live in one arena, a shared value is never copied,
//! and every size that the file claims is compared with the bytes that are there.
//!
//! Source: Python's `pickletools`; the names in `torch._utils` and `torch.storage`.

mod machine;

use crate::{Error, Result, tensors::Named};
use machine::state_dict;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
};
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

/// Reads the tensors of a `pytorch_model.bin`, on the CPU, sorted by name.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is not a whole ZIP of PyTorch's, is one of
/// the older kind without a ZIP, or holds anything but plain tensors.
pub fn read(path: &Path) -> Result<Named> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    parse(BufReader::new(file), length).map_err(|message| Error::format(path, message))
}

/// [`read`] of anything with `length` bytes.
fn parse(mut file: impl Read + Seek, length: u64) -> Result<Named, String> {
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start).map_err(|e| e.to_string())?;
    if start == [0x80, 0x02] {
        return Err(OLD.to_owned());
    }
    let mut archive = Archive::open(file, length)?;
    let program = archive.entry(&archive.member("data.pkl"))?;
    if let Ok(order) = archive.entry(&archive.member("byteorder"))
        && order != b"little"
    {
        let order = String::from_utf8_lossy(&order).into_owned();
        return Err(format!("byte order {order:?}; only \"little\" is read"));
    }
    let state = state_dict(&program).map_err(|e| format!("data.pkl: {e}"))?;

    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    let mut tensors = state
        .into_iter()
        .map(|(name, wanted)| {
            let about = |message: String| format!("tensor {name:?}: {message}");
            let key = &wanted.storage.key;
            if !storages.contains_key(key) {
                let bytes =
                    archive.entry(&archive.member(&format!("data/{key}"))).map_err(about)?;
                storages.insert(key.clone(), bytes);
            }
            let tensor = wanted.build(&storages[key]).map_err(about)?;
            Ok((name.clone(), tensor))
        })
        .collect::<Result<Named, String>>()?;
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

const OLD: &str = "is of PyTorch's kind from before 1.6 (no ZIP), which only Python reads. Convert it once: \
    python -c \"import torch, sys; torch.save(torch.load(sys.argv[1], weights_only=True), sys.argv[1])\" FILE";

/// The members of a ZIP file that are stored as they are.
struct Archive<R> {
    zip: ZipArchive<R>,
    prefix: String,
    length: u64,
}

impl<R: Read + Seek> Archive<R> {
    fn open(file: R, length: u64) -> Result<Self, String> {
        let whole = |e: zip::result::ZipError| format!("not a whole ZIP file of PyTorch's: {e}");
        let zip = ZipArchive::new(file).map_err(whole)?;
        let pickles: Vec<_> =
            zip.file_names().filter_map(|name| name.strip_suffix("/data.pkl")).collect();
        let &[prefix] = pickles.as_slice() else {
            return Err(format!(
                "not a file of PyTorch's: it has {} members named NAME/data.pkl, one is expected",
                pickles.len()
            ));
        };
        Ok(Self { prefix: prefix.to_owned(), zip, length })
    }

    fn member(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let member = self.zip.by_name(name).map_err(|e| format!("member {name:?}: {e}"))?;
        let size = member.size();
        if member.compression() != CompressionMethod::Stored || size > self.length {
            return Err(format!(
                "member {name:?} claims {size} bytes, {}; the file has {}, and PyTorch compresses nothing",
                member.compression(),
                self.length
            ));
        }
        let mut bytes = Vec::new();
        member
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("member {name:?} is damaged: {e}"))?;
        if bytes.len() as u64 != size {
            return Err(format!("member {name:?} has {} bytes of {size}", bytes.len()));
        }
        Ok(bytes)
    }
}

/// A tensor as the pickle describes it: a window on a storage.
#[derive(Debug, PartialEq)]
struct Described {
    storage: Storage,
    offset: u64,
    shape: Vec<u64>,
    strides: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Storage {
    kind: Kind,
    key: String,
    elements: u64,
}

impl Described {
    /// The tensor, copied out of its storage.
    fn build(&self, bytes: &[u8]) -> Result<Tensor, String> {
        let kind = self.storage.kind;
        let width = kind.elt_size_in_bytes() as u64;
        let available = bytes.len() as u64 / width;
        if self.storage.elements.checked_mul(width) != Some(bytes.len() as u64) {
            return Err(format!(
                "its storage {:?} claims {} elements of {width} bytes and has {} bytes",
                self.storage.key,
                self.storage.elements,
                bytes.len()
            ));
        }
        if self.shape.len() != self.strides.len() {
            return Err(format!("shape {:?} and strides {:?} differ", self.shape, self.strides));
        }
        // The last element that the window touches, and how many it has: both within the storage.
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&d, &s)| {
            last.checked_add(d.saturating_sub(1).checked_mul(s)?)
        });
        let count = self.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let inside = match (last, count) {
            (_, Some(0)) => true,
            (Some(last), Some(count)) => last < available && count <= available,
            _ => false,
        };
        if !inside {
            return Err(format!(
                "shape {:?} with strides {:?} from element {} leaves its storage of {available}",
                self.shape, self.strides, self.offset
            ));
        }
        let signed = |values: &[u64]| values.iter().map(|&x| x as i64).collect::<Vec<_>>();
        let flat = Tensor::f_from_data_size(bytes, &[available as i64], kind)
            .map_err(|e| e.to_string())?;
        let view =
            flat.f_as_strided(signed(&self.shape), signed(&self.strides), self.offset as i64);
        Ok(view.map_err(|e| e.to_string())?.contiguous().copy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// What `torch.save({"w": torch.zeros(2, 3)})` writes, opcode by opcode.
    fn program() -> Vec<u8> {
        let mut p =
            b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02"
                .to_vec();
        p.extend(
            b"((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05",
        );
        p.extend(
            b"X\x03\x00\x00\x00cpuq\x06K\x06tq\x07QK\x00K\x02K\x03\x86q\x08K\x03K\x01\x86q\x09\x89",
        );
        p.extend(b"ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0ds.");
        p
    }

    #[test]
    fn a_state_dict_is_read() {
        let state = state_dict(&program()).expect("it is whole");
        let storage = Storage { kind: Kind::Float, key: "0".to_owned(), elements: 6 };
        let described = Described { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] };
        assert_eq!(state, [("w".to_owned(), described)]);
    }

    #[test]
    fn a_name_outside_the_list_is_refused_and_named() {
        let attack = b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00echo hi\x85R.";
        let error = state_dict(attack).expect_err("it would run a command");
        assert!(error.contains("names posix.system, which no tensor needs"), "{error}");
    }

    #[test]
    fn windows_that_leave_their_storage_are_refused() {
        let storage = Storage { kind: Kind::Float, key: "0".to_owned(), elements: 6 };
        let window = |offset, shape: &[u64], strides: &[u64]| Described {
            storage: storage.clone(),
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        };
        let bytes = [0u8; 24];
        let transposed = window(0, &[3, 2], &[1, 3]).build(&bytes).expect("it is inside");
        assert_eq!(transposed.size(), [3, 2]);
        for wrong in [
            window(1, &[2, 3], &[3, 1]),
            window(0, &[7], &[1]),
            window(0, &[1 << 40], &[0]),
            window(u64::MAX, &[2], &[u64::MAX]),
            window(0, &[2], &[3, 1]),
        ] {
            wrong.build(&bytes).expect_err("outside");
        }
        window(0, &[2, 3], &[3, 1]).build(&bytes[..20]).expect_err("the storage is cut");
    }

    proptest! {
        /// Any damage to a good program, and any bytes at all, end in a result.
        #[test]
        fn damage_ends_in_an_error_or_a_dictionary(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut damaged = program();
            for (place, byte) in &changes {
                let place = place.index(damaged.len());
                damaged[place] = *byte;
            }
            let _ = state_dict(&damaged);
            damaged.truncate(cut.index(damaged.len()));
            damaged.extend(&noise);
            let _ = state_dict(&damaged);
            let _ = state_dict(&noise);
        }

        /// The same for the file around it, as torch.save wrote it: sizes, offsets and names lie.
        #[test]
        fn a_damaged_file_ends_in_an_error_or_tensors(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut damaged =
                include_bytes!("../../../../tests/fixtures/foreign/bin-views/pytorch_model.bin").to_vec();
            for (place, byte) in &changes {
                let place = place.index(damaged.len());
                damaged[place] = *byte;
            }
            if let Some(cut) = cut {
                damaged.truncate(cut.index(damaged.len()));
            }
            let length = damaged.len() as u64;
            let _ = parse(Cursor::new(damaged), length);
        }
    }
}
