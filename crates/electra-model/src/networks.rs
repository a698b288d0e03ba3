//! Generator, discriminator, and the two together as pre-training needs them.

use crate::{
    ElectraConfig, Embeddings, Encoder, EncoderConfig, Error, MaskedLmHead, PaddingMask, Parts,
    ReplacedTokenHead, Result, Site,
    hf::{Architecture, Pretrained},
};
use tch::{Device, Tensor, nn};

/// The masked language model that makes replacements (`ElectraForMaskedLM`).
#[derive(Debug)]
pub struct Generator {
    encoder: Encoder,
    head: MaskedLmHead,
}

/// The network that says which tokens were replaced (`ElectraForPreTraining`).
#[derive(Debug)]
pub struct Discriminator {
    encoder: Encoder,
    head: ReplacedTokenHead,
}

/// Both networks, with variables under `generator.` and `discriminator.`.
#[derive(Debug)]
pub struct Pretraining {
    /// The generator.
    pub generator: Generator,
    /// The discriminator.
    pub discriminator: Discriminator,
}

impl Pretraining {
    /// Both networks with the embeddings that the sharing policy gives them.
    ///
    /// # Errors
    /// If the config is not valid or a part cannot be built.
    pub fn new(root: &nn::Path<'_>, config: &ElectraConfig, parts: &Parts) -> Result<Self> {
        config.validate()?;
        let (g_config, d_config) = (config.generator(), config.discriminator());
        let (g_path, d_path) = (root / "generator", root / "discriminator");
        let g_embeddings = &g_path / "electra" / "embeddings";
        let d_embeddings = &d_path / "electra" / "embeddings";
        let pair = parts.sharing.pair(
            &Site::new(&g_embeddings, &g_config),
            &Site::new(&d_embeddings, &d_config),
            parts,
        )?;
        Ok(Self {
            generator: Generator::new(&g_path, &g_config, parts, pair.generator)?,
            discriminator: Discriminator::new(&d_path, &d_config, parts, pair.discriminator)?,
        })
    }
}

impl Generator {
    /// A generator over `embeddings`.
    ///
    /// # Errors
    /// If a part cannot be built.
    pub fn new(
        path: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        embeddings: Box<dyn Embeddings>,
    ) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(&(path / "electra"), config, parts, embeddings)?,
            head: MaskedLmHead::new(path, config)?,
        })
    }

    /// Logits over the vocabulary at the masked positions only.
    ///
    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64; `positions_p`: `[p]` int64, indices into the
    ///   flattened batch (`row * s + column`). Result: `[p, v]`.
    pub fn forward_t(
        &self,
        ids_bs: &Tensor,
        segments_bs: &Tensor,
        mask: &PaddingMask,
        positions_p: &Tensor,
        train: bool,
    ) -> Tensor {
        let features_pe = self.features_t(ids_bs, segments_bs, mask, positions_p, train);
        self.head.logits(&features_pe, &self.table())
    }

    /// [`Self::forward_t`] before the output layer, which is [`Self::table`] and the head's bias: for objectives that
    /// never need all logits at once.
    ///
    /// # Shapes
    /// - as [`Self::forward_t`]. Result: `[p, e]`.
    pub fn features_t(
        &self,
        ids_bs: &Tensor,
        segments_bs: &Tensor,
        mask: &PaddingMask,
        positions_p: &Tensor,
        train: bool,
    ) -> Tensor {
        let hidden_bsh = self.encoder.forward_t(ids_bs, segments_bs, mask, train);
        self.head.features(&hidden_bsh.flatten(0, 1).index_select(0, positions_p))
    }

    /// The output layer's matrix `[v, e]`: the word table.
    pub fn table(&self) -> Tensor {
        self.encoder.embeddings().token_table()
    }

    /// The head over any hidden states.
    ///
    /// # Shapes
    /// - `hidden`: `[.., h]`. Result: `[.., v]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        self.head.forward(hidden, &self.table())
    }

    /// Embeddings and transformer.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The head.
    pub fn head(&self) -> &MaskedLmHead {
        &self.head
    }
}

impl Discriminator {
    /// A discriminator over `embeddings`.
    ///
    /// # Errors
    /// If a part cannot be built.
    pub fn new(
        path: &nn::Path<'_>,
        config: &EncoderConfig,
        parts: &Parts,
        embeddings: Box<dyn Embeddings>,
    ) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(&(path / "electra"), config, parts, embeddings)?,
            head: ReplacedTokenHead::new(path, config)?,
        })
    }

    /// Logits of "was replaced" for every token.
    ///
    /// # Shapes
    /// - `ids_bs`, `segments_bs`: `[b, s]` int64. Result: `[b, s]`.
    pub fn forward_t(
        &self,
        ids_bs: &Tensor,
        segments_bs: &Tensor,
        mask: &PaddingMask,
        train: bool,
    ) -> Tensor {
        self.logits(&self.encoder.forward_t(ids_bs, segments_bs, mask, train))
    }

    /// The head over hidden states `[b, s, h]`.
    pub fn logits(&self, hidden_bsh: &Tensor) -> Tensor {
        self.head.forward(hidden_bsh)
    }

    /// Embeddings and transformer.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

/// A network of a Hugging Face folder with the shipped parts, frozen.
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
    /// The network that a folder holds, with its weights on `device`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] listing the tensors that do not fit.
    pub fn new(pretrained: &Pretrained, device: Device) -> Result<Self> {
        let (config, parts) = (&pretrained.config.encoder, Parts::shipped());
        let mut vs = nn::VarStore::new(device);
        let root = vs.root();
        let path = &root / "electra";
        let embeddings = parts.build_embeddings(&Site::new(&(&path / "embeddings"), config))?;
        let network = match pretrained.config.architecture {
            Architecture::ElectraForPreTraining => {
                Self::Discriminator(Discriminator::new(&root, config, &parts, embeddings)?)
            }
            Architecture::ElectraForMaskedLM => {
                Self::Generator(Generator::new(&root, config, &parts, embeddings)?)
            }
            _ => {
                let encoder = Encoder::new(&path, config, &parts, embeddings)?;
                pretrained.load_task(&vs)?;
                vs.freeze();
                return Ok(Self::Encoder(encoder));
            }
        };
        pretrained.load(&vs)?;
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

/// The variables of a store, sorted by name.
///
/// # Errors
/// [`Error::DuplicateVariable`] if a name was used twice: tch renames the second to `name__1`.
pub fn variables(vs: &nn::VarStore) -> Result<Vec<(String, Tensor)>> {
    let mut all: Vec<_> = vs.variables().into_iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    match all.iter().find(|(name, _)| name.contains("__")) {
        Some((name, _)) => {
            let original = name.split("__").next().unwrap_or(name);
            Err(Error::DuplicateVariable(original.to_owned()))
        }
        None => Ok(all),
    }
}
