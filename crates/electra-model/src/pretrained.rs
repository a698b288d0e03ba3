//! Networks loaded from Hugging Face folders.

use crate::{
    encoder::Encoder,
    error::Result,
    hf::{Architecture, Pretrained},
    networks::{Discriminator, Generator},
    parts::Parts,
};
use tch::{Device, Tensor, nn};

/// A network loaded from a Hugging Face folder, frozen.
#[derive(Debug)]
#[non_exhaustive]
pub enum PretrainedNetwork {
    /// `ElectraForPreTraining`.
    Discriminator(Discriminator),
    /// `ElectraForMaskedLM`.
    Generator(Generator),
    /// The encoder of any other class. The head's tensors are checked but not loaded.
    Encoder(Encoder),
}

impl PretrainedNetwork {
    /// Builds the network of a folder on `device` and loads its weights; `parts` includes the custom parts that it uses.
    ///
    /// # Errors
    /// [`crate::Error::UnknownPart`] or [`crate::Error::UnusedPart`] if the folder has other parts,
    /// [`crate::Error::Mismatch`] listing the tensors that do not match.
    pub fn new(pretrained: &Pretrained, parts: &Parts, device: Device) -> Result<Self> {
        let config = &pretrained.config.encoder;
        let mut vs = nn::VarStore::new(device);
        let root = vs.root();
        let network = match pretrained.config.architecture {
            Architecture::ElectraForPreTraining => {
                Self::Discriminator(Discriminator::from_config(&root, config, parts)?)
            }
            Architecture::ElectraForMaskedLM => {
                Self::Generator(Generator::from_config(&root, config, parts)?)
            }
            _ => Self::Encoder(Encoder::from_config(&(&root / "electra"), config, parts)?),
        };
        match network {
            Self::Encoder(_) => pretrained.load_task(&vs)?,
            _ => pretrained.load(&vs)?,
        }
        vs.freeze();
        Ok(network)
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        match self {
            Self::Discriminator(network) => network.encoder(),
            Self::Generator(network) => network.encoder(),
            Self::Encoder(encoder) => encoder,
        }
    }

    /// Logits of the pre-training head for hidden states `[b, s, h]`: `[b, s]` for a discriminator,
    /// `[b, s, v]` for a generator, `None` for an encoder.
    pub fn logits(&self, hidden_bsh: &Tensor) -> Option<Tensor> {
        match self {
            Self::Discriminator(network) => Some(network.logits(hidden_bsh)),
            Self::Generator(network) => Some(network.logits(hidden_bsh)),
            Self::Encoder(_) => None,
        }
    }
}
