//! Reads and writes the files of a vocabulary: `vocab.txt` or `tokenizer.json`, with its settings and added tokens beside it.
//!
//! `transformers` 5 reads only the vocabulary from `tokenizer.json` and takes everything else from
//! `tokenizer_config.json`, so the settings there are always written. Only the generic `PreTrainedTokenizerFast`, which
//! uses all of `tokenizer.json`, honors a word limit other than 100.

use crate::{
    Accents, Case, Error, Result, SpecialTokens, TokenizerConfig, TokenizerOptions, Vocab,
    added::Added,
    tokenizer_json::{TokenizerJson, parse},
};
use electra_files::{PathKind, final_path, read_text, write_json, wrong_contents};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};
use tokenizers::AddedToken;

/// Vocabularies of SentencePiece and of byte-level BPE.
const OTHER_VOCABULARIES: [&str; 4] =
    ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "vocab.json"];

/// The word limit of `transformers`' `BertTokenizer`.
const HF_MAX_CHARS: usize = 100;
const VOCAB_TXT: &str = "vocab.txt";
const TOKENIZER_JSON: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
/// Keys of special tokens besides BERT's five, in tokenizer_config.json and special_tokens_map.json.
const SPECIAL: [&str; 4] =
    ["bos_token", "eos_token", "additional_special_tokens", "extra_special_tokens"];

/// The settings in `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Config {
    do_lower_case: Option<bool>,
    #[serde(default)]
    strip_accents: Option<bool>,
    /// Not read by `transformers`.
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, Value>,
}

/// Values that a BERT `tokenizer_config.json` must have where the key is present.
const TOKENIZER_CONFIG: [(&str, &str); 4] = [
    ("/tokenize_chinese_chars", "true"),
    ("/do_basic_tokenize", "true"),
    ("/word_tokenizer_type", "\"basic\""),
    ("/subword_tokenizer_type", "\"wordpiece\""),
];

/// The files of a vocabulary. Those that do not exist have no path.
struct Files {
    /// One token per line.
    txt: Option<PathBuf>,
    json: Option<PathBuf>,
    config: Option<PathBuf>,
    /// added_tokens.json and special_tokens_map.json, as `transformers` wrote them before version 4.34.
    legacy: [Option<PathBuf>; 2],
}

impl Files {
    /// The files that belong to `path`: those of a folder, also if `path` is its vocab.txt or tokenizer.json; or a file with
    /// another name and its record.
    fn of(path: &Path) -> Result<Self> {
        let there = |path: PathBuf| path.is_file().then_some(path);
        let folder = match path.file_name().and_then(OsStr::to_str) {
            _ if path.is_dir() => path,
            Some(VOCAB_TXT | TOKENIZER_JSON) => {
                fs::metadata(path).map_err(electra_files::Error::io(path))?;
                path.parent().unwrap_or(path)
            }
            _ => {
                let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
                let (txt, json) = match json {
                    true => (None, Some(path.to_owned())),
                    false => (Some(path.to_owned()), None),
                };
                let config = there(record_path(path));
                return Ok(Self { txt, json, config, legacy: [None, None] });
            }
        };
        let file = |name: &str| there(folder.join(name));
        let files = Self {
            txt: file(VOCAB_TXT),
            json: file(TOKENIZER_JSON),
            config: file(CONFIG),
            legacy: [file("special_tokens_map.json"), file("added_tokens.json")],
        };
        match (&files.txt, &files.json) {
            (None, None) => Err(no_vocabulary(folder)),
            _ => Ok(files),
        }
    }
}

/// The file that records the settings of a vocabulary file: `tokenizer_config.json` in the folder of a `vocab.txt` or
/// `tokenizer.json`, `NAME.tokenizer_config.json` beside another `NAME.txt`.
pub fn record_path(vocab: &Path) -> PathBuf {
    match vocab.file_name().and_then(OsStr::to_str) {
        Some(VOCAB_TXT | TOKENIZER_JSON) => vocab.with_file_name(CONFIG),
        _ => vocab.with_extension(CONFIG),
    }
}

/// A vocabulary, and the settings in its files.
pub(crate) struct Read {
    pub(crate) vocab: Vocab,
    settings: Settings,
}

/// The settings in the files of a vocabulary, each with the file that has it.
#[derive(Default)]
struct Settings {
    /// `do_lower_case` and `strip_accents`.
    normalizer: Option<(PathBuf, bool, Option<bool>)>,
    max_chars: Option<(PathBuf, usize)>,
}

impl Settings {
    /// Adds the settings of another file, which must agree with those of tokenizer.json: `transformers` reads only
    /// tokenizer_config.json, other programs only tokenizer.json.
    fn add(&mut self, path: &Path, config: &Config) -> Result<()> {
        let contradiction = |own: String, json: String| {
            let message =
                format!("{own} contradict tokenizer.json ({json}): correct one of the files");
            Err(Error::format(path, message))
        };
        if let Some(lower) = config.do_lower_case {
            let own = (path.to_owned(), lower, config.strip_accents);
            match &self.normalizer {
                Some(json) if effective(json) != effective(&own) => {
                    return contradiction(
                        format!("do_lower_case {}, strip_accents {:?}", own.1, own.2),
                        format!("lowercase {}, strip_accents {:?}", json.1, json.2),
                    );
                }
                _ => self.normalizer = Some(own),
            }
        }
        if let Some(limit) = config.max_input_chars_per_word {
            match &self.max_chars {
                Some((_, json)) if *json != limit => {
                    let own = format!("max_input_chars_per_word {limit}");
                    return contradiction(own, json.to_string());
                }
                _ => self.max_chars = Some((path.to_owned(), limit)),
            }
        }
        Ok(())
    }
}

/// The error about a path that is not a folder with `vocab.txt` or `tokenizer.json`.
pub(crate) fn no_vocabulary(dir: &Path) -> Error {
    let is_other = PathKind::of(dir).is_some_and(|kind| kind != PathKind::Model);
    if let Err(error) = PathKind::Model.require(dir)
        && (is_other || !dir.is_dir())
    {
        return error.into();
    }
    let other = OTHER_VOCABULARIES.iter().find(|name| dir.join(name).is_file());
    Error::format(
        dir,
        match other {
            Some(name) => format!(
                "no vocab.txt or tokenizer.json; {name} is the vocabulary of another kind of tokenizer than WordPiece, which is \
                 not supported"
            ),
            None => "no vocabulary: copy the model's vocab.txt or tokenizer.json into this folder"
                .to_owned(),
        },
    )
}

/// Whether text is lower-cased and whether accents are stripped: `strip_accents: null` follows lower-casing.
fn effective((_, lower, accents): &(PathBuf, bool, Option<bool>)) -> (bool, bool) {
    (*lower, accents.unwrap_or(*lower))
}

/// Reads the vocabulary at `path`, a file or a folder.
pub(crate) fn read(path: &Path) -> Result<Read> {
    let Files { txt, json, config, legacy: [map, ids] } = Files::of(path)?;
    let (mut settings, mut added, mut tokens) = (Settings::default(), Added::default(), None);
    if let Some(path) = &json {
        let file = TokenizerJson::parse(&read_text(path)?, path)?;
        tokens = Some((path, file.tokens(path)?));
        let normalizer = file.normalizer;
        settings.normalizer =
            normalizer.and_then(|n| Some((path.clone(), n.lowercase?, n.strip_accents)));
        settings.max_chars = file.model.max_input_chars_per_word.map(|n| (path.clone(), n));
        added.list(path, &file.added_tokens)?;
    }
    if let Some(path) = &config {
        let file: Map<String, Value> = parse(&read_text(path)?, path, &TOKENIZER_CONFIG)?;
        names(&mut added, path, &file)?;
        let config =
            Config::deserialize(Value::Object(file)).map_err(|e| Error::format(path, e))?;
        settings.add(path, &config)?;
        added.decoder(path, &config.added_tokens_decoder)?;
    }
    if let Some(path) = &map {
        names(&mut added, path, &parse(&read_text(path)?, path, &[])?)?;
    }
    if let Some(path) = &ids {
        added.ids(path, parse(&read_text(path)?, path, &[])?)?;
    }
    let named = |path: &Path, tokens| Vocab::new(tokens, &final_path(path).display().to_string());
    let vocab = match (txt, tokens) {
        (None, None) => return Err(Error::format(path, "has no vocabulary")),
        (None, Some((json, tokens))) => added.apply(named(json, tokens)?)?,
        (Some(txt), None) => added.apply(named(&txt, read_lines(&txt)?)?)?,
        (Some(txt), Some((json, tokens))) => {
            let (lines, pieces) = (named(&txt, read_lines(&txt)?)?, named(json, tokens)?);
            if lines.tokens() == pieces.tokens() {
                added.apply(lines)?
            } else {
                // Some folders also list the added tokens in vocab.txt.
                let vocab = added.apply(pieces)?;
                if vocab.tokens() != lines.tokens() {
                    let message = "tokens differ from vocab.txt: remove the file that does not belong to the model";
                    return Err(Error::format(json, message));
                }
                vocab
            }
        }
    };
    Ok(Read { vocab, settings })
}

fn names(added: &mut Added, path: &Path, file: &Map<String, Value>) -> Result<()> {
    let special = file.iter().filter(|(key, _)| SPECIAL.contains(&key.as_str()));
    special.into_iter().try_for_each(|(key, value)| added.names(path, key, value))
}

/// The tokens of a file with one per line.
///
/// Only the line end and a byte order mark are removed. Other white space belongs to the token: BERT's Chinese vocabulary
/// has U+2028, which `str::trim` would remove and Python's `str.splitlines` would split at. An empty line keeps its id.
///
/// Source: `load_vocab` in transformers 5.23, `models/bert/tokenization_bert.py` (see also its issue 1078). The
/// reference's `model/tokenization.py` also strips white space from each token, which changes no id and only tokens that
/// no text has.
fn read_lines(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)?;
    if let Some(message) = wrong_contents(text.as_bytes()) {
        return Err(Error::format(path, message));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).lines().map(str::to_owned).collect())
}

impl Read {
    /// The settings with those of `options`, which must not contradict the files.
    pub(crate) fn config(&self, options: &TokenizerOptions) -> Result<TokenizerConfig> {
        let mut config = options.or_default();
        let Settings { normalizer, max_chars } = &self.settings;
        if let Some((path, lower, strip)) = normalizer {
            let (case, accents) = (Case::of(*lower), Accents::of(*strip));
            if options.case.is_some_and(|given| given != case) {
                return Err(contradiction(path, "case", &case, &config.case));
            }
            config.case = case;
            let recorded = TokenizerConfig { accents, ..config };
            if options.accents.is_some() && config.strips() != recorded.strips() {
                return Err(contradiction(path, "accents", &accents, &config.accents));
            }
            config.accents = accents;
        }
        if let Some((path, limit)) = max_chars {
            if options.max_chars_per_word.is_some_and(|given| given != *limit) {
                let given = config.max_chars_per_word;
                return Err(contradiction(path, "max_chars_per_word", limit, &given));
            }
            config.max_chars_per_word = *limit;
        }
        Ok(config)
    }
}

fn contradiction(
    path: &Path,
    key: &'static str,
    recorded: &dyn Display,
    given: &dyn Display,
) -> Error {
    Error::Contradiction {
        path: path.to_owned(),
        key,
        recorded: recorded.to_string(),
        given: given.to_string(),
    }
}

impl TokenizerOptions {
    /// The settings that the files of the vocabulary at `path` have, a file or a folder.
    ///
    /// # Errors
    /// See [`Vocab::from_file`].
    pub fn recorded(path: &Path) -> Result<Self> {
        let Settings { normalizer, max_chars } = read(path)?.settings;
        Ok(Self {
            case: normalizer.as_ref().map(|(_, lower, _)| Case::of(*lower)),
            accents: normalizer.map(|(_, _, strip)| Accents::of(strip)),
            max_chars_per_word: max_chars.map(|(_, limit)| limit),
        })
    }
}

impl Vocab {
    /// Reads a vocabulary: `vocab.txt` (one token per line), `tokenizer.json`, or a folder with one of them. The added
    /// tokens in the files beside it belong to it.
    ///
    /// # Errors
    /// A file cannot be read, is not that of a BERT tokenizer, or contradicts another; the error names the file, and the
    /// line or byte.
    pub fn from_file(path: &Path) -> Result<Self> {
        Ok(read(path)?.vocab)
    }
}

/// Writes a vocabulary of one token per line, and the record of its settings.
pub(crate) fn write_vocab(path: &Path, vocab: &Vocab, config: &TokenizerConfig) -> Result<()> {
    vocab.write_vocab_txt(path)?;
    Ok(write_json(&record_path(path), &tokenizer_config(vocab, config))?)
}

/// Writes the three files.
pub(crate) fn write(
    dir: &Path,
    vocab: &Vocab,
    config: &TokenizerConfig,
    max_length: usize,
) -> Result<()> {
    vocab.write_vocab_txt(&dir.join(VOCAB_TXT))?;
    write_json(&dir.join(TOKENIZER_JSON), &tokenizer_json(vocab, config))?;
    let mut settings = tokenizer_config(vocab, config);
    settings["model_max_length"] = max_length.into();
    if config.max_chars_per_word != HF_MAX_CHARS {
        settings["tokenizer_class"] = "PreTrainedTokenizerFast".into();
    }
    Ok(write_json(&dir.join(CONFIG), &settings)?)
}

fn tokenizer_config(vocab: &Vocab, config: &TokenizerConfig) -> Value {
    let mut settings = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": config.lowercase(),
        "strip_accents": config.strip_accents(),
        "tokenize_chinese_chars": true,
        "max_input_chars_per_word": config.max_chars_per_word,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    });
    if !vocab.added().is_empty() {
        let decoder: Map<String, Value> = all_added(vocab)
            .into_iter()
            .map(|(id, token)| (id.to_string(), json!(token)))
            .collect();
        settings["added_tokens_decoder"] = decoder.into();
    }
    settings
}

/// The special tokens and the added tokens, by id.
fn all_added(vocab: &Vocab) -> BTreeMap<u32, AddedToken> {
    let special = SpecialTokens::TEXTS.map(|text| AddedToken::from(text, true));
    vocab.special().ids().into_iter().zip(special).chain(vocab.added().iter().cloned()).collect()
}

fn tokenizer_json(vocab: &Vocab, config: &TokenizerConfig) -> Value {
    let special = vocab.special();
    let added: Vec<Value> = all_added(vocab)
        .into_iter()
        .map(|(id, token)| {
            let mut token = json!(token);
            token["id"] = id.into();
            token
        })
        .collect();
    let marker =
        |token: &str, segment: u32| json!({"SpecialToken": {"id": token, "type_id": segment}});
    let sequence = |name: &str, segment: u32| json!({"Sequence": {"id": name, "type_id": segment}});
    let template = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    let ids: Map<String, Value> =
        vocab.piece_ids().into_iter().map(|(token, id)| (token, id.into())).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": true,
            "strip_accents": config.strip_accents(),
            "lowercase": config.lowercase(),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [marker("[CLS]", 0), sequence("A", 0), marker("[SEP]", 0)],
            "pair": [
                marker("[CLS]", 0), sequence("A", 0), marker("[SEP]", 0), sequence("B", 1), marker("[SEP]", 1),
            ],
            "special_tokens": {
                "[CLS]": template("[CLS]", special.cls),
                "[SEP]": template("[SEP]", special.sep),
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": config.max_chars_per_word,
            "vocab": ids,
        },
    })
}
