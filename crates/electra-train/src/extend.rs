//! Adds words to the vocabulary of a model folder.

use crate::error::{Error, Result};
use electra_files::{Existing, PathKind, folder};
use electra_model::hf::{self, Pretrained};
use electra_tokenize::{NewWord, Placement, Tokenizer, WordPiece};
use std::{fs, path::Path};
use tch::{Kind, Tensor, no_grad};

/// The tensors with a row for each token: the word embeddings, which the output layer shares, and the generator's output
/// bias.
const ROWS: [&str; 2] = ["electra.embeddings.word_embeddings.weight", "generator_lm_head.bias"];
/// The folder of the generator beside the discriminator, as `init.from` reads it.
const GENERATOR: &str = "generator";

/// Writes the model of a Hugging Face folder with further words to `out`, and the generator in its subfolder `generator`.
/// The rows of a word begin as the mean of those of its pieces in the old vocabulary. Returns where the words are.
///
/// # Errors
/// `model` is a run or a fine-tuned model, or cannot be read; a word cannot be added ([`WordPiece::extend`]); the generator
/// has another vocabulary; `out` is not empty.
pub fn extend_vocabulary<S: AsRef<str>>(
    model: &Path,
    words: &[S],
    placement: Placement,
    out: &Path,
    existing: Existing,
) -> Result<Vec<NewWord>> {
    let invalid = |expected: &str| Err(Error::value("model", model.display(), expected));
    PathKind::Model.require(model)?;
    if model.join("task.json").is_file() {
        return invalid(
            "is a fine-tuned model: extend the model that it started from, and fine-tune that",
        );
    }
    let tokenizer = WordPiece::from_pretrained_dir(model)?;
    let (extended, new) = tokenizer.extend(words, placement)?;
    let generator = model.join(GENERATOR);
    let has_generator = generator.is_dir();
    if has_generator {
        let own = WordPiece::from_pretrained_dir(&generator)?;
        if own.vocab().hash() != tokenizer.vocab().hash() {
            return invalid("has another vocabulary than its generator");
        }
    }
    folder::whole(out, existing, hf::CONFIG_FILE, |dir| -> Result<()> {
        write(model, &extended, &new, dir)?;
        if has_generator {
            let dir = dir.join(GENERATOR);
            fs::create_dir(&dir).map_err(Error::io(&dir))?;
            write(&generator, &extended, &new, &dir)?;
        }
        Ok(())
    })?;
    Ok(new)
}

/// Writes one network with the extended vocabulary.
fn write(model: &Path, tokenizer: &WordPiece, new: &[NewWord], dir: &Path) -> Result<()> {
    let mut pretrained = Pretrained::read(model)?;
    let encoder = &mut pretrained.config.encoder;
    // A model may have more rows than its vocabulary has tokens.
    encoder.vocab_size = encoder.vocab_size.max(tokenizer.vocab().len() as i64);
    for (name, tensor) in &mut pretrained.tensors {
        if ROWS.contains(&name.as_str()) {
            *tensor = with_rows(tensor, encoder.vocab_size, new);
        }
    }
    hf::write(dir, &pretrained.config, &pretrained.tensors)?;
    let length = pretrained.config.encoder.max_positions as usize;
    Ok(tokenizer.write_pretrained(dir, length)?)
}

/// A table of `rows` rows: the given one with the mean of its pieces' rows for each new word.
///
/// # Shapes
/// - `table_vx`: `[v, ..]` with `v` at most `rows`. Result: `[rows, ..]`.
fn with_rows(table_vx: &Tensor, rows: i64, new: &[NewWord]) -> Tensor {
    no_grad(|| {
        let mut size = table_vx.size();
        let old = std::mem::replace(&mut size[0], rows);
        let result = Tensor::zeros(&size, (Kind::Float, table_vx.device()));
        result.narrow(0, 0, old).copy_(table_vx);
        for NewWord { id, pieces, .. } in new {
            let pieces: Vec<i64> = pieces.iter().map(|&piece| piece.into()).collect();
            let pieces = Tensor::from_slice(&pieces).to_device(table_vx.device());
            let mean = table_vx.index_select(0, &pieces).mean_dim(0, false, Kind::Float);
            result.get((*id).into()).copy_(&mean);
        }
        result
    })
}
