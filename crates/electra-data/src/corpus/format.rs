//! Detects the format of a file by its extension.

use std::path::Path;

/// File extensions by format.
pub(super) const KINDS: [(&str, Format); 6] = [
    ("txt", Format::Text),
    ("text", Format::Text),
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::Json),
    ("parquet", Format::Parquet),
];

/// File extensions of compressed files.
const COMPRESSIONS: [(&str, Compression); 4] = [
    ("gz", Compression::Gzip),
    ("xz", Compression::Xz),
    ("zst", Compression::Zstd),
    ("zstd", Compression::Zstd),
];

/// The format of a file after decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    /// One object per line.
    JsonLines,
    /// An array of objects, or one per line.
    Json,
    Parquet,
}

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// The format and compression of a file by its extension, ignoring case.
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
    // Parquet needs random access, which a compressed file does not offer.
    let readable = *format != Format::Parquet || compression == Compression::None;
    readable.then_some((*format, compression))
}
