//! Reads and writes Hugging Face's tokenizer files.
//!
//! `transformers` 5 reads only the vocabulary from `tokenizer.json` and takes everything else from
//! `tokenizer_config.json`, so the three settings there are always written. Only the generic
//! `PreTrainedTokenizerFast`, which uses all of `tokenizer.json`, honors a word limit other than 100.

use crate::{
    Accents, Case, Error, Result, SpecialTokens, TokenizerConfig, Vocab,
    tokenizer_json::{TokenizerJson, parse},
};
use electra_files::write_json;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The word limit of `transformers`' `BertTokenizer`.
const HF_MAX_CHARS: usize = 100;

#[derive(Deserialize)]
struct Config {
    do_lower_case: Option<bool>,
    #[serde(default)]
    strip_accents: Option<bool>,
}

/// Values that a BERT `tokenizer_config.json` must have where the key is present.
const TOKENIZER_CONFIG: [(&str, &str); 4] = [
    ("/tokenize_chinese_chars", "true"),
    ("/do_basic_tokenize", "true"),
    ("/word_tokenizer_type", "\"basic\""),
    ("/subword_tokenizer_type", "\"wordpiece\""),
];

/// Reads the vocabulary and settings in a folder.
pub(crate) fn read(dir: &Path) -> Result<(Vocab, TokenizerConfig)> {
    let json_path = dir.join("tokenizer.json");
    let txt_path = dir.join("vocab.txt");
    let mut config = TokenizerConfig::default();
    let vocab = if txt_path.is_file() {
        Vocab::from_file(&txt_path)?
    } else {
        Vocab::from_file(&json_path)?
    };
    let mut normalizer = None;
    if json_path.is_file() {
        let text = fs::read_to_string(&json_path).map_err(Error::io(&json_path))?;
        let file = TokenizerJson::parse(&text, &json_path)?;
        if vocab.tokens() != file.tokens(&json_path)? {
            let message =
                "tokens differ from vocab.txt: remove the file that does not belong to the model";
            return Err(Error::format(&json_path, message));
        }
        config.max_chars_per_word = file.model.max_input_chars_per_word.unwrap_or(HF_MAX_CHARS);
        normalizer = file.normalizer.and_then(|n| Some((n.lowercase?, n.strip_accents)));
    }
    let config_path = dir.join("tokenizer_config.json");
    let mut settings = None;
    if config_path.is_file() {
        let text = fs::read_to_string(&config_path).map_err(Error::io(&config_path))?;
        let file: Config = parse(&text, &config_path, &TOKENIZER_CONFIG)?;
        settings = file.do_lower_case.map(|lower| (lower, file.strip_accents));
    }
    // `transformers` reads only tokenizer_config.json, other programs only tokenizer.json: they must agree.
    if let (Some(normalizer), Some(settings)) = (normalizer, settings)
        && effective(normalizer) != effective(settings)
    {
        let message = format!(
            "do_lower_case {}, strip_accents {:?} contradict tokenizer.json (lowercase {}, strip_accents {:?}): correct one of the files",
            settings.0, settings.1, normalizer.0, normalizer.1
        );
        return Err(Error::format(&config_path, message));
    }
    let (lower, accents) = settings.or(normalizer).unwrap_or((true, None));
    config.case = if lower { Case::Uncased } else { Case::Cased };
    config.accents = match accents {
        None => Accents::Auto,
        Some(true) => Accents::Strip,
        Some(false) => Accents::Keep,
    };
    Ok((vocab, config))
}

/// Whether text is lower-cased and whether accents are stripped: `strip_accents: null` follows lower-casing.
fn effective((lower, accents): (bool, Option<bool>)) -> (bool, bool) {
    (lower, accents.unwrap_or(lower))
}

/// Writes the three files.
pub(crate) fn write(
    dir: &Path,
    vocab: &Vocab,
    config: &TokenizerConfig,
    max_length: usize,
) -> Result<()> {
    vocab.write_vocab_txt(&dir.join("vocab.txt"))?;
    write_json(&dir.join("tokenizer.json"), &tokenizer_json(vocab, config))?;
    let settings = tokenizer_config(config, max_length);
    Ok(write_json(&dir.join("tokenizer_config.json"), &settings)?)
}

fn tokenizer_config(config: &TokenizerConfig, max_length: usize) -> Value {
    let class = match config.max_chars_per_word {
        HF_MAX_CHARS => "BertTokenizer",
        _ => "PreTrainedTokenizerFast",
    };
    json!({
        "tokenizer_class": class,
        "do_lower_case": config.lowercase(),
        "strip_accents": config.strip_accents(),
        "tokenize_chinese_chars": true,
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    })
}

fn tokenizer_json(vocab: &Vocab, config: &TokenizerConfig) -> Value {
    let special = vocab.special();
    let mut added: Vec<_> =
        SpecialTokens::TEXTS.iter().zip(special.ids()).map(|(text, id)| (id, text)).collect();
    added.sort();
    let added: Vec<_> = added
        .into_iter()
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
    let marker =
        |token: &str, segment: u32| json!({"SpecialToken": {"id": token, "type_id": segment}});
    let sequence = |name: &str, segment: u32| json!({"Sequence": {"id": name, "type_id": segment}});
    let template = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    let ids: serde_json::Map<String, Value> =
        vocab.tokens().iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
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
