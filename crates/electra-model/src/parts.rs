//! The swap mechanism: which part goes where.
//!
//! A closed enum at the edge (a config's kinds) and an open trait at the seam. A network's [`EncoderConfig`] names the
//! part in every seam; [`Parts`] builds the parts that ship and holds those from outside, by name. So what is written
//! with weights says what they are weights of, and nothing is loaded into another part than it was trained in.

use crate::{
    attention::{SelfAttention, SoftmaxAttention},
    block::{Block, PostNorm, PreNorm, SubLayers},
    config::{
        AttentionKind, BlockKind, ElectraConfig, EmbeddingsKind, EncoderConfig, FeedForwardKind,
        PositionsKind, SharingKind,
    },
    cost::Cost,
    embeddings::{Embeddings, TokenEmbeddings},
    error::{Error, Result},
    feed_forward::{FeedForward, GeluMlp},
    positions::{AbsolutePositions, Positions},
    sharing::{EmbeddingPair, ShareEmbeddings, Tied, Untied},
    site::Site,
};
use std::{fmt, sync::Arc};

type Build<T> = dyn Fn(&Site<'_>) -> Result<Box<T>> + Send + Sync;
type BuildBlock = dyn Fn(&Site<'_>, SubLayers) -> Result<Box<dyn Block>> + Send + Sync;

/// A part from outside of this crate.
struct Custom<B: ?Sized> {
    name: String,
    build: Arc<B>,
    cost: fn(&EncoderConfig) -> Cost,
}

/// The parts that networks are built from: those that ship, and at most one from outside for each seam.
///
/// ```
/// # use electra_model::{ElectraConfig, LayerContext, Parts, Pretraining, SelfAttention};
/// # use tch::{Device, Tensor, nn};
/// # #[derive(Debug)] struct Identity;
/// # impl SelfAttention for Identity {
/// #     fn forward_t(&self, x: &Tensor, _: &LayerContext<'_>, _: bool) -> Tensor { x.shallow_clone() }
/// # }
/// let parts = Parts::shipped().with_attention("identity", |_site| Ok(Identity));
/// let config = parts.applied_to(&ElectraConfig::small(100));
/// let vs = nn::VarStore::new(Device::Cpu);
/// let networks = Pretraining::new(&vs.root(), &config, &parts)?;
/// assert_eq!(networks.generator.encoder().config().attention.name(), "identity");
/// # Ok::<(), electra_model::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parts {
    attention: Option<Custom<Build<dyn SelfAttention>>>,
    feed_forward: Option<Custom<Build<dyn FeedForward>>>,
    embeddings: Option<Custom<Build<dyn Embeddings>>>,
    block: Option<Custom<BuildBlock>>,
    positions: Option<Custom<Build<dyn Positions>>>,
    sharing: Option<Custom<dyn ShareEmbeddings>>,
}

impl Parts {
    /// The parts that ship with this crate.
    pub fn shipped() -> Self {
        Self::default()
    }

    /// Another self-attention.
    #[must_use]
    pub fn with_attention<A: SelfAttention + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<A> + Send + Sync + 'static,
    ) -> Self {
        self.attention = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(move |site| Ok(Box::new(build(site)?))),
            cost: A::cost,
        });
        self
    }

    /// Another feed-forward layer.
    #[must_use]
    pub fn with_feed_forward<F: FeedForward + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<F> + Send + Sync + 'static,
    ) -> Self {
        self.feed_forward = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(move |site| Ok(Box::new(build(site)?))),
            cost: F::cost,
        });
        self
    }

    /// Other embeddings, of one network or of both, as the sharing policy says.
    #[must_use]
    pub fn with_embeddings<E: Embeddings + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        self.embeddings = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(move |site| Ok(Box::new(build(site)?))),
            cost: E::cost,
        });
        self
    }

    /// Another arrangement of a layer; `build` is given the sub-layers.
    #[must_use]
    pub fn with_block<B: Block + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>, SubLayers) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        self.block = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(move |site, sub_layers| Ok(Box::new(build(site, sub_layers)?))),
            cost: B::cost,
        });
        self
    }

    /// Other positions.
    #[must_use]
    pub fn with_positions<P: Positions + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<P> + Send + Sync + 'static,
    ) -> Self {
        self.positions = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(move |site| Ok(Box::new(build(site)?))),
            cost: |_| Cost::default(),
        });
        self
    }

    /// Another sharing policy.
    #[must_use]
    pub fn with_sharing(mut self, name: &str, policy: impl ShareEmbeddings + 'static) -> Self {
        self.sharing = Some(Custom {
            name: name.to_owned(),
            build: Arc::new(policy),
            cost: |_| Cost::default(),
        });
        self
    }

    /// `config` with these parts in both networks.
    #[must_use]
    pub fn applied_to(&self, config: &ElectraConfig) -> ElectraConfig {
        let mut config = config.clone();
        for network in config.networks_mut() {
            *network = self.applied_to_encoder(network);
        }
        if let Some(part) = &self.sharing {
            config.sharing = SharingKind::named(&part.name);
        }
        config
    }

    /// `config` with these parts in place of its own.
    #[must_use]
    pub fn applied_to_encoder(&self, config: &EncoderConfig) -> EncoderConfig {
        let mut config = config.clone();
        if let Some(part) = &self.attention {
            config.attention = AttentionKind::named(&part.name);
        }
        if let Some(part) = &self.feed_forward {
            config.feed_forward = FeedForwardKind::named(&part.name);
        }
        if let Some(part) = &self.embeddings {
            config.embeddings = EmbeddingsKind::named(&part.name);
        }
        if let Some(part) = &self.block {
            config.block = BlockKind::named(&part.name);
        }
        if let Some(part) = &self.positions {
            config.positions = PositionsKind::named(&part.name);
        }
        config
    }

    /// Checks, before a network is built, that each part from outside is in one of `networks`, which may be two that
    /// differ: a part that nobody asks for is a part that was not trained.
    ///
    /// # Errors
    /// [`Error::UnusedPart`] naming the first that is in none.
    pub fn check_used(&self, networks: &[&EncoderConfig]) -> Result<()> {
        for (seam, name) in self.custom() {
            let found = networks.iter().flat_map(|network| network.seams());
            let found: Vec<_> = found.filter(|(other, _)| *other == seam).collect();
            if !found.iter().any(|(_, part)| *part == name) {
                let found = found.first().map_or("nothing", |(_, part)| part).to_owned();
                return Err(Error::UnusedPart { seam, name: name.to_owned(), found });
            }
        }
        Ok(())
    }

    /// The parts from outside that an encoder has, by seam.
    fn custom(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = [
            ("attention", self.attention.as_ref().map(|part| part.name.as_str())),
            ("feed_forward", self.feed_forward.as_ref().map(|part| part.name.as_str())),
            ("embeddings", self.embeddings.as_ref().map(|part| part.name.as_str())),
            ("block", self.block.as_ref().map(|part| part.name.as_str())),
            ("positions", self.positions.as_ref().map(|part| part.name.as_str())),
        ];
        names.into_iter().filter_map(|(seam, name)| Some((seam, name?)))
    }

    /// The embeddings of a network that shares them with none.
    ///
    /// # Errors
    /// If the part is not there, or whatever its constructor says.
    pub fn embeddings(&self, site: &Site<'_>) -> Result<Box<dyn Embeddings>> {
        match &site.config.embeddings {
            EmbeddingsKind::Token {} => Ok(Box::new(TokenEmbeddings::new(site)?)),
            EmbeddingsKind::Custom { name } => (named("embeddings", &self.embeddings, name)?)(site),
        }
    }

    /// The embeddings of a generator and a discriminator.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn embedding_pair(
        &self,
        sharing: &SharingKind,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
    ) -> Result<EmbeddingPair> {
        let build = |site: &Site<'_>| self.embeddings(site);
        match sharing {
            SharingKind::Tied {} => Tied.pair(generator, discriminator, &build),
            SharingKind::Untied {} => Untied.pair(generator, discriminator, &build),
            SharingKind::Custom { name } => {
                named("sharing", &self.sharing, name)?.pair(generator, discriminator, &build)
            }
        }
    }

    /// What all layers of an encoder share about positions.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn positions(&self, site: &Site<'_>) -> Result<Box<dyn Positions>> {
        match &site.config.positions {
            PositionsKind::Absolute {} => Ok(Box::new(AbsolutePositions)),
            PositionsKind::Custom { name } => (named("positions", &self.positions, name)?)(site),
        }
    }

    /// One layer of an encoder, with its sub-layers.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn block(&self, site: &Site<'_>) -> Result<Box<dyn Block>> {
        let sub_layers = SubLayers {
            attention: self.attention(&site.at(&(site.path / "attention")))?,
            feed_forward: self.feed_forward(site)?,
        };
        match &site.config.block {
            BlockKind::PostNorm {} => Ok(Box::new(PostNorm::new(site, sub_layers)?)),
            BlockKind::PreNorm {} => Ok(Box::new(PreNorm::new(site, sub_layers)?)),
            BlockKind::Custom { name } => (named("block", &self.block, name)?)(site, sub_layers),
        }
    }

    fn attention(&self, site: &Site<'_>) -> Result<Box<dyn SelfAttention>> {
        match &site.config.attention {
            AttentionKind::Softmax {} => Ok(Box::new(SoftmaxAttention::new(site)?)),
            AttentionKind::Custom { name } => (named("attention", &self.attention, name)?)(site),
        }
    }

    fn feed_forward(&self, site: &Site<'_>) -> Result<Box<dyn FeedForward>> {
        match &site.config.feed_forward {
            FeedForwardKind::GeluMlp {} => Ok(Box::new(GeluMlp::new(site)?)),
            FeedForwardKind::Custom { name } => {
                (named("feed_forward", &self.feed_forward, name)?)(site)
            }
        }
    }

    /// What one layer costs; parts from outside that do not say it count as nothing.
    pub fn layer_cost(&self, config: &EncoderConfig) -> Cost {
        let attention = match &config.attention {
            AttentionKind::Softmax {} => SoftmaxAttention::cost(config),
            AttentionKind::Custom { .. } => custom_cost(&self.attention, config),
        };
        let feed_forward = match &config.feed_forward {
            FeedForwardKind::GeluMlp {} => GeluMlp::cost(config),
            FeedForwardKind::Custom { .. } => custom_cost(&self.feed_forward, config),
        };
        let block = match &config.block {
            BlockKind::PostNorm {} => PostNorm::cost(config),
            BlockKind::PreNorm {} => PreNorm::cost(config),
            BlockKind::Custom { .. } => custom_cost(&self.block, config),
        };
        attention + feed_forward + block
    }

    /// What the embeddings of one network cost.
    pub fn embeddings_cost(&self, config: &EncoderConfig) -> Cost {
        match &config.embeddings {
            EmbeddingsKind::Token {} => TokenEmbeddings::cost(config),
            EmbeddingsKind::Custom { .. } => custom_cost(&self.embeddings, config),
        }
    }
}

/// The builder of the part called `name`.
fn named<'a, B: ?Sized>(
    seam: &'static str,
    part: &'a Option<Custom<B>>,
    name: &str,
) -> Result<&'a B> {
    match part {
        Some(part) if part.name == name => Ok(&part.build),
        _ => Err(Error::UnknownPart { seam, name: name.to_owned() }),
    }
}

fn custom_cost<B: ?Sized>(part: &Option<Custom<B>>, config: &EncoderConfig) -> Cost {
    part.as_ref().map_or_else(Cost::default, |part| (part.cost)(config))
}

impl<B: ?Sized> Clone for Custom<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), build: Arc::clone(&self.build), cost: self.cost }
    }
}

impl<B: ?Sized> fmt::Debug for Custom<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
