//! The network of a Hugging Face folder.

use crate::{
    encoder::Encoder,
    error::Result,
    hf::{Architecture, Pretrained},
    networks::{Discriminator, Generator},
    parts::Parts,
};
use tch::{Device, Tensor, nn};

/// A network of a Hugging Face folder, frozen.
#[derive(Debug)]
#[non_exhaustive]
pub enum PretrainedNetwork {
    /// `ElectraForPreTraining`.
    Discriminator(Discriminator),
    /// `ElectraForMaskedLM`.
    Generator(Generator),
    /// Any other: its encoder. A task's head was checked and has no network here.
    Encoder(Encoder),
}

impl PretrainedNetwork {
    /// The network that a folder holds, with its weights on `device`; `parts` are those from outside that it has.
    ///
    /// # Errors
    /// [`crate::Error::UnknownPart`] or [`crate::Error::UnusedPart`] if the folder has other parts,
    /// [`crate::Error::Mismatch`] listing the tensors that do not fit.
    pub fn new(pretrained: &Pretrained, parts: &Parts, device: Device) -> Result<Self> {
        let config = &pretrained.config.encoder;
        let mut vs = nn::VarStore::new(device);
        let root = vs.root();
        let network = match pretrained.config.architecture {
            Architecture::ElectraForPreTraining => {
                Self::Discriminator(Discriminator::alone(&root, config, parts)?)
            }
            Architecture::ElectraForMaskedLM => {
                Self::Generator(Generator::alone(&root, config, parts)?)
            }
            _ => Self::Encoder(Encoder::alone(&(&root / "electra"), config, parts)?),
        };
        match network {
            Self::Encoder(_) => pretrained.load_task(&vs)?,
            _ => pretrained.load(&vs)?,
        }
        vs.freeze();
        Ok(network)
    }

    /// Its embeddings and transformer.
    pub fn encoder(&self) -> &Encoder {
        match self {
            Self::Discriminator(network) => network.encoder(),
            Self::Generator(network) => network.encoder(),
            Self::Encoder(encoder) => encoder,
        }
    }

    /// Logits of its pre-training head over hidden states `[b, s, h]`: `[b, s]` of a discriminator,
    /// `[b, s, v]` of a generator, nothing of an encoder.
    pub fn logits(&self, hidden_bsh: &Tensor) -> Option<Tensor> {
        match self {
            Self::Discriminator(network) => Some(network.logits(hidden_bsh)),
            Self::Generator(network) => Some(network.logits(hidden_bsh)),
            Self::Encoder(_) => None,
        }
    }
}
