//! Opens a file of a corpus by its compression and format.

use super::{
    config::CorpusConfig,
    format::{Compression, Format, kind},
    text::{Document, Lines, TextDocuments},
};
use crate::{Error, Result};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Documents of one file.
pub(super) type Reader<'a> = Box<dyn Iterator<Item = Result<Document>> + Send + 'a>;

/// The documents of a file.
pub(super) fn reader<'a>(path: &Path, config: &CorpusConfig) -> Result<Reader<'a>> {
    let (format, compression) = kind(path).unwrap_or((Format::Text, Compression::None));
    match format {
        Format::Parquet => parquet(path, config),
        Format::JsonLines => {
            let lines = Lines::new(decompressed(path, compression)?, path, config.encoding);
            Ok(Box::new(JsonLines { lines, path: path.to_owned(), field: config.field.clone() }))
        }
        Format::Text => {
            let lines = Lines::new(decompressed(path, compression)?, path, config.encoding);
            Ok(Box::new(TextDocuments::new(lines, config.documents)))
        }
    }
}

fn decompressed(path: &Path, compression: Compression) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(Error::io(path))?;
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(file).map_err(Error::io(path))?)
        }
    })
}

/// Reads one JSON object per line; a field has the text.
struct JsonLines<R> {
    lines: Lines<R>,
    path: PathBuf,
    field: String,
}

impl<R: Read> JsonLines<R> {
    fn read(&mut self) -> Result<Option<Document>> {
        while let Some(line) = self.lines.next_line()? {
            if line.trim().is_empty() {
                continue;
            }
            let text = self.field_of(&line).map_err(|message| Error::Record {
                path: self.path.clone(),
                line: self.lines.line,
                message,
            })?;
            if !text.trim().is_empty() {
                let replaced_bytes = self.lines.take_replaced();
                return Ok(Some(Document { text, continues: false, replaced_bytes }));
            }
        }
        Ok(None)
    }

    fn field_of(&self, line: &str) -> std::result::Result<String, String> {
        type Object = serde_json::Map<String, serde_json::Value>;
        let mut object: Object =
            serde_json::from_str(line).map_err(|e| format!("not a JSON object: {e}"))?;
        match object.remove(&self.field) {
            Some(serde_json::Value::String(text)) => Ok(text),
            Some(_) => Err(format!("field {:?} is not a string", self.field)),
            None => {
                let known: Vec<_> = object.keys().map(String::as_str).collect();
                Err(format!(
                    "no field {:?}; use --field with one of: {}",
                    self.field,
                    known.join(", ")
                ))
            }
        }
    }
}

impl<R: Read> Iterator for JsonLines<R> {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(not(feature = "parquet"))]
fn parquet<'a>(path: &Path, _: &CorpusConfig) -> Result<Reader<'a>> {
    let message = "Parquet is not enabled: build with `--features parquet`".to_owned();
    Err(Error::Corpus { path: path.to_owned(), message })
}

#[cfg(feature = "parquet")]
fn parquet<'a>(path: &Path, config: &CorpusConfig) -> Result<Reader<'a>> {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::Field,
        schema::types::Type,
    };
    let fail = |message: String| Error::Corpus { path: path.to_owned(), message };
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = SerializedFileReader::new(file).map_err(|e| fail(e.to_string()))?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let known: Vec<_> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let Some(column) = schema.get_fields().iter().find(|field| field.name() == config.field) else {
        let message =
            format!("no column {:?}; use --field with one of: {}", config.field, known.join(", "));
        return Err(fail(message));
    };
    // Read only the text column.
    let projection = Type::group_type_builder(schema.name())
        .with_fields(vec![column.clone()])
        .build()
        .map_err(|e| fail(e.to_string()))?;
    let rows = parquet::record::reader::RowIter::from_file_into(Box::new(reader))
        .project(Some(projection))
        .map_err(|e| fail(e.to_string()))?;
    let (path, field) = (path.to_owned(), config.field.clone());
    let document = |text| Document { text, continues: false, replaced_bytes: 0 };
    let documents = rows.zip(1u64..).map(move |(row, line)| {
        let fail = |message: String| Error::Record { path: path.clone(), line, message };
        let row = row.map_err(|e| fail(e.to_string()))?;
        match row.get_column_iter().next() {
            Some((_, Field::Str(text))) => Ok(document(text.clone())),
            Some((_, Field::Null)) => Ok(document(String::new())),
            _ => Err(fail(format!("column {field:?} is not a string"))),
        }
    });
    Ok(Box::new(documents.filter(|d| d.as_ref().map_or(true, |d| !d.text.trim().is_empty()))))
}
