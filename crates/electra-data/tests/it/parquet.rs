//! Parquet corpora: reads only the text column, one document per row.

use crate::Fixture;
use electra_data::{Corpus, CorpusConfig};
use parquet::{
    data_type::{ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{fs::File, path::Path, sync::Arc};

fn write(path: &Path, texts: &[&str]) {
    let schema = "message m { REQUIRED INT64 id; REQUIRED BYTE_ARRAY body (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut rows = file.next_row_group().unwrap();
    let mut column = rows.next_column().unwrap().unwrap();
    let ids: Vec<i64> = (0..texts.len() as i64).collect();
    column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
    column.close().unwrap();
    let mut column = rows.next_column().unwrap().unwrap();
    let texts: Vec<_> = texts.iter().map(|&text| text.into()).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    rows.close().unwrap();
    file.close().unwrap();
}

#[test]
fn rows_are_documents() {
    let fixture = Fixture::new();
    let path = fixture.path("a.parquet");
    write(&path, &["first\n\nstill first", " ", "second"]);
    let config = CorpusConfig { field: "body".to_owned(), ..CorpusConfig::default() };
    let corpus = Corpus::open(&path, config).unwrap();
    let found: Vec<_> = corpus.documents().map(|document| document.unwrap().text).collect();
    assert_eq!(found, ["first\n\nstill first", "second"]);
}

#[test]
fn missing_and_non_text_columns_are_errors() {
    let fixture = Fixture::new();
    let path = fixture.path("a.parquet");
    write(&path, &["first"]);
    let error = |field: &str| {
        let config = CorpusConfig { field: field.to_owned(), ..CorpusConfig::default() };
        let corpus = Corpus::open(&path, config).unwrap();
        corpus.documents().next().unwrap().unwrap_err().to_string()
    };
    let missing = error("text");
    assert!(missing.contains("no column \"text\"") && missing.contains("body"), "{missing}");
    let number = error("id");
    assert!(number.contains("\"id\" is not a string"), "{number}");
    std::fs::write(&path, "PAR1 not parquet").unwrap();
    assert!(error("body").contains("a.parquet"));
}
