//! Opens a file of a corpus by its compression and format.

use super::{
    config::CorpusConfig,
    format::{Compression, Format, kind},
    json::JsonDocuments,
    text::{Document, Lines, TextDocuments},
};
use crate::{Error, Result};
use std::{io::Read, path::Path};

/// Documents of one file.
pub(super) type Reader<'a> = Box<dyn Iterator<Item = Result<Document>> + Send + 'a>;

/// The documents of a file.
pub(super) fn reader<'a>(path: &Path, config: &CorpusConfig) -> Result<Reader<'a>> {
    let (format, compression) = kind(path).unwrap_or((Format::Text, Compression::None));
    match format {
        Format::Parquet => parquet(path, config),
        Format::JsonLines => {
            Ok(Box::new(JsonDocuments::lines(decompressed(path, compression)?, path, config)))
        }
        Format::Json => {
            Ok(Box::new(JsonDocuments::open(decompressed(path, compression)?, path, config)?))
        }
        Format::Text => {
            let lines = Lines::new(decompressed(path, compression)?, path, config.encoding);
            Ok(Box::new(TextDocuments::new(lines, config.documents)))
        }
    }
}

fn decompressed(path: &Path, compression: Compression) -> Result<Box<dyn Read + Send>> {
    let file = electra_files::open(path)?;
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(file).map_err(Error::io(path))?)
        }
    })
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
    let file = electra_files::open(path)?;
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
    let file: std::sync::Arc<Path> = path.as_path().into();
    let document = move |text, line| {
        let origin = super::text::Origin { path: file.clone(), line, spans_lines: false };
        let (replaced_bytes, replaced_surrogates) = (0, 0);
        Document { text, continues: false, replaced_bytes, replaced_surrogates, origin }
    };
    let documents = rows.zip(1u64..).map(move |(row, line)| {
        let fail = |message: String| Error::Record { path: path.clone(), line, message };
        let row = row.map_err(|e| fail(e.to_string()))?;
        match row.get_column_iter().next() {
            Some((_, Field::Str(text))) => Ok(document(text.clone(), line)),
            Some((_, Field::Null)) => Ok(document(String::new(), line)),
            _ => Err(fail(format!("column {field:?} is not a string"))),
        }
    });
    Ok(Box::new(documents.filter(|d| d.as_ref().map_or(true, |d| !d.text.trim().is_empty()))))
}
