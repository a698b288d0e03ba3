//! A pre-trained network with its tokenizer, as commands on texts use it.

use super::forward;
use anyhow::bail;
use electra_model::{Discriminator, Generator, Parts, PretrainedNetwork};
use electra_tasks::model::check_vocabulary;
use electra_tokenize::{Tokenizer, WordPiece};
use std::path::{Path, PathBuf};
use tch::Device;

/// An opened model folder.
pub(super) struct Model<N> {
    pub(super) dir: PathBuf,
    pub(super) network: N,
    pub(super) tokenizer: WordPiece,
    /// Tokens of a text at most, with `[CLS]` and `[SEP]`.
    pub(super) max_positions: usize,
}

/// A network that a model folder may have.
pub(super) trait OfFolder: Sized {
    /// Completes the error "X is not a ... ".
    const NAME: &'static str;

    fn of(network: PretrainedNetwork) -> Option<Self>;
}

impl OfFolder for Generator {
    const NAME: &'static str =
        "generator and cannot predict tokens; for a discriminator use `electra forward --text`";

    fn of(network: PretrainedNetwork) -> Option<Self> {
        match network {
            PretrainedNetwork::Generator(generator) => Some(generator),
            _ => None,
        }
    }
}

impl OfFolder for Discriminator {
    const NAME: &'static str =
        "discriminator with its pre-training head (export it with `--part discriminator`)";

    fn of(network: PretrainedNetwork) -> Option<Self> {
        match network {
            PretrainedNetwork::Discriminator(discriminator) => Some(discriminator),
            _ => None,
        }
    }
}

impl<N: OfFolder> Model<N> {
    /// Opens a folder.
    ///
    /// # Errors
    /// Naming the file that cannot be used, or the folder if it has another network.
    pub(super) fn open(dir: &Path, parts: &Parts, device: Device) -> anyhow::Result<Self> {
        let mut pretrained = forward::read(dir)?;
        let tokenizer = WordPiece::from_pretrained_dir(dir)?;
        let encoder = &mut pretrained.config.encoder;
        check_vocabulary(dir, &tokenizer, encoder)?;
        encoder.tokens = Some(tokenizer.vocab().rows() as i64);
        let max_positions = encoder.max_positions as usize;
        let network = PretrainedNetwork::new(&pretrained, parts, device)?;
        let Some(network) = N::of(network) else {
            bail!("{}: {:?} is not a {}", dir.display(), pretrained.config.architecture, N::NAME);
        };
        Ok(Self { dir: dir.to_owned(), network, tokenizer, max_positions })
    }

    /// The text of a token.
    pub(super) fn token(&self, id: u32) -> &str {
        self.tokenizer.vocab().token(id).unwrap_or("(no token)")
    }
}
