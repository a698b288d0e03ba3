//! Encoders with a pre-training head, and the pair that replaced token detection trains.

use crate::{
    config::{ElectraConfig, EncoderConfig},
    encoder::Encoder,
    error::Result,
    heads::{HeadKind, MaskedLmHead, PretrainingHead, ReplacedTokenHead},
    input::EncoderInput,
    parts::Parts,
    seam::{Embeddings, Site},
};
use tch::{Tensor, nn};

/// An encoder with a pre-training head.
#[derive(Debug)]
pub struct Network<H> {
    encoder: Encoder,
    head: H,
}

/// The masked language model that samples replacements (`ElectraForMaskedLM`).
pub type Generator = Network<MaskedLmHead>;

/// The network that detects replaced tokens (`ElectraForPreTraining`).
pub type Discriminator = Network<ReplacedTokenHead>;

/// A generator and the network that is trained on its output, which is the one to fine-tune.
#[derive(Debug)]
pub struct Pretraining<H = ReplacedTokenHead> {
    /// The generator.
    pub generator: Generator,
    /// The discriminator, or the network in its place.
    pub discriminator: Network<H>,
}

impl Pretraining {
    /// Both networks of replaced token detection, with variables under `generator.` and `discriminator.`.
    ///
    /// # Errors
    /// As [`Self::with_role`].
    pub fn new(root: &nn::Path<'_>, config: &ElectraConfig, parts: &Parts) -> Result<Self> {
        Self::with_role("discriminator", root, config, parts)
    }
}

impl<H: PretrainingHead> Pretraining<H> {
    /// Both networks, with variables under `generator.` and `role.`, weights shared by the config's policy.
    ///
    /// # Errors
    /// If the config is invalid or has no generator, or if a part is unknown, unused or cannot be built.
    pub fn with_role(
        role: &str,
        root: &nn::Path<'_>,
        config: &ElectraConfig,
        parts: &Parts,
    ) -> Result<Self> {
        config.validate()?;
        let (g_config, d_config) = (config.generator()?, &config.discriminator);
        parts.check_pair(config)?;
        let (g_path, d_path) = (root / "generator", root / role);
        let g_embeddings = &g_path / "electra" / "embeddings";
        let d_embeddings = &d_path / "electra" / "embeddings";
        let sharing = parts.sharing(&config.sharing)?;
        let pair = sharing.pair(
            &Site::new(&g_embeddings, g_config).of(&config.sharing),
            &Site::new(&d_embeddings, d_config).of(&config.sharing),
            &|site| parts.embeddings(site),
        )?;
        if sharing.shares_encoder() {
            let discriminator = Network::<H>::new(&d_path, d_config, parts, pair.discriminator)?;
            let encoder = discriminator.encoder.shallow_clone();
            let head = MaskedLmHead::new(&g_path, g_config)?;
            return Ok(Self { generator: Network { encoder, head }, discriminator });
        }
        Ok(Self {
            generator: Network::new(&g_path, g_config, parts, pair.generator)?,
            discriminator: Network::new(&d_path, d_config, parts, pair.discriminator)?,
        })
    }
}

impl<H: PretrainingHead> Network<H> {
    /// A network over `embeddings`, with the encoder under `electra`.
    ///
    /// # Errors
    /// If a part is unknown or cannot be built.
    pub fn new(
        path: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        embeddings: Box<dyn Embeddings>,
    ) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(&(path / "electra"), config, parts, embeddings)?,
            head: H::new(path, config)?,
        })
    }

    /// A network with its own embeddings.
    ///
    /// # Errors
    /// As [`Self::new`], and if `config` does not use a custom part.
    pub fn from_config(path: &nn::Path<'_>, config: &EncoderConfig, parts: &Parts) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::from_config(&(path / "electra"), config, parts)?,
            head: H::new(path, config)?,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The head.
    pub fn head(&self) -> &H {
        &self.head
    }

    /// The kind of the head.
    pub fn head_kind(&self) -> HeadKind {
        H::KIND
    }
}

impl Generator {
    /// Logits over the vocabulary at the masked positions only.
    ///
    /// # Shapes
    /// - `input`: `[b, s]`; `positions_p`: `[p]` int64, indices into the flattened batch (`row * s + column`).
    ///   Result: `[p, v]`.
    pub fn forward_t(&self, input: &EncoderInput, positions_p: &Tensor, train: bool) -> Tensor {
        self.head.logits(&self.features_t(input, positions_p, train), &self.table())
    }

    /// [`Self::forward_t`] without the output layer, whose weight is [`Self::table`] and whose bias is the head's: for
    /// objectives that never need all logits at once.
    ///
    /// # Shapes
    /// - as [`Self::forward_t`]. Result: `[p, e]`.
    pub fn features_t(&self, input: &EncoderInput, positions_p: &Tensor, train: bool) -> Tensor {
        let hidden_bsh = self.encoder.forward_t(input, train);
        self.head.features(&hidden_bsh.flatten(0, 1).index_select(0, positions_p))
    }

    /// The weight of the output layer `[v, e]`: the word embeddings of the tokens.
    pub fn table(&self) -> Tensor {
        self.head.table(&self.encoder.embeddings().token_table())
    }

    /// Applies the head to hidden states.
    ///
    /// # Shapes
    /// - `hidden`: `[.., h]`. Result: `[.., v]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        self.head.forward(hidden, &self.table())
    }
}

impl Discriminator {
    /// The logit of "replaced" for every token.
    ///
    /// # Shapes
    /// - `input`: `[b, s]`. Result: `[b, s]`.
    pub fn forward_t(&self, input: &EncoderInput, train: bool) -> Tensor {
        self.logits(&self.encoder.forward_t(input, train))
    }

    /// Applies the head to hidden states `[b, s, h]`.
    pub fn logits(&self, hidden_bsh: &Tensor) -> Tensor {
        self.head.forward(hidden_bsh)
    }
}
