//! How files are divided into rows and columns.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    fmt::{self, Display},
    path::Path,
    str::FromStr,
};

/// How rows are written: `tsv`, `csv`, `jsonl` or `json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Format {
    /// Tab-separated with a header, no quoting.
    Tsv,
    /// Comma-separated with a header, quoted.
    Csv,
    /// A JSON object per line.
    #[serde(rename = "jsonl")]
    #[cfg_attr(feature = "clap", value(name = "jsonl"))]
    JsonLines,
    /// An array of JSON objects. Both formats of JSON are read alike, by the first character of the file.
    Json,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Format {
    /// The format that a file's extension names, in any case.
    ///
    /// # Errors
    /// For another extension.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "tsv" => Ok(Self::Tsv),
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "json" => Ok(Self::Json),
            _ => {
                Err(Error::file(path, "the extension must be .tsv, .csv, .jsonl, .ndjson or .json"))
            }
        }
    }
}

/// The character between the columns of a table: a single ASCII character.
///
/// ```
/// use electra_scores::table::Delimiter;
///
/// let semicolon: Delimiter = ";".parse()?;
/// assert_eq!("\\t".parse::<Delimiter>()?, "\t".parse()?);
/// assert!("||".parse::<Delimiter>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The delimiter of `.tsv`.
    pub const TAB: Self = Self(b'\t');
    /// The delimiter of `.csv`.
    pub const COMMA: Self = Self(b',');

    pub(super) fn byte(self) -> u8 {
        self.0
    }
}

impl FromStr for Delimiter {
    type Err = String;

    /// The character itself, or `\t` for a tab.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.as_bytes() {
            b"\\t" => Ok(Self(b'\t')),
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(Self(*byte)),
            _ => Err(format!(
                "{text:?} must be one ASCII character, such as \";\" or \"\\t\", and not a quotation mark"
            )),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        char::from(delimiter.0).to_string()
    }
}

/// Whether fields may be enclosed in quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Quoting {
    /// A quotation mark is a character; the default of `.tsv`.
    None,
    /// As in RFC 4180: a field in `"` may contain delimiters and line breaks, and `""` for a quotation mark; the default
    /// of `.csv`.
    DoubleQuotes,
}

/// Where the names of the columns come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// The first line (of JSON: each object).
    FirstLine,
    /// All columns in order; the first line is a row.
    Given(&'a [String]),
}

/// How a file is divided into rows and columns.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// The format.
    pub format: Format,
    /// The delimiter, if it is not the format's.
    pub delimiter: Option<Delimiter>,
    /// The quoting, if it is not the format's.
    pub quoting: Option<Quoting>,
    /// The names of the columns.
    pub header: Header<'a>,
}

impl From<Format> for Layout<'_> {
    fn from(format: Format) -> Self {
        Self { format, delimiter: None, quoting: None, header: Header::FirstLine }
    }
}
