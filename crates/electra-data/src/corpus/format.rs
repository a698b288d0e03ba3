//! What a file is, by its ending.

use std::path::Path;

/// Endings that are read as plain text, one JSON object a line, or Parquet.
pub(super) const KINDS: [(&str, Format); 6] = [
    ("txt", Format::Text),
    ("text", Format::Text),
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::JsonLines),
    ("parquet", Format::Parquet),
];

/// Endings of compressed files.
const COMPRESSIONS: [(&str, Compression); 4] = [
    ("gz", Compression::Gzip),
    ("xz", Compression::Xz),
    ("zst", Compression::Zstd),
    ("zstd", Compression::Zstd),
];

/// What a file is when it is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    JsonLines,
    Parquet,
}

/// How a file is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// The format and the compression that a file's ending names, in capitals or not.
pub(super) fn kind(path: &Path) -> Option<(Format, Compression)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let mut endings = name.rsplit('.');
    let mut ending = endings.next()?;
    let mut compression = Compression::None;
    if let Some((_, found)) = COMPRESSIONS.iter().find(|(known, _)| *known == ending) {
        compression = *found;
        ending = endings.next()?;
    }
    let (_, format) = KINDS.iter().find(|(known, _)| *known == ending)?;
    // Parquet is read from its end, which a compressed file has no way to.
    let readable = *format != Format::Parquet || compression == Compression::None;
    readable.then_some((*format, compression))
}
