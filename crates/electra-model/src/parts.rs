//! The swap mechanism: which part is in which seam.
//!
//! A network's [`EncoderConfig`] names the part in every seam, and is written wherever weights are; [`Parts`] holds the
//! builders by name: those that ship, in [`Parts::shipped`], and those from outside. So nothing is loaded into another
//! part than it was trained in. A part that ships is one file of this folder and one line of that function.

mod absolute_positions;
mod gelu_mlp;
mod norms;
mod post_norm;
mod pre_norm;
mod sharing;
mod softmax_attention;
mod token_embeddings;

pub use absolute_positions::AbsolutePositions;
pub use gelu_mlp::GeluMlp;
pub use post_norm::PostNorm;
pub use pre_norm::PreNorm;
pub use sharing::{Tied, Untied};
pub use softmax_attention::SoftmaxAttention;
pub use token_embeddings::TokenEmbeddings;

use crate::{
    config::{ElectraConfig, EncoderConfig, PartName},
    cost::Cost,
    error::{Error, Result},
    seam::{
        Block, EmbeddingPair, Embeddings, FeedForward, Positions, SelfAttention, ShareEmbeddings,
        Site, SubLayers,
    },
};
use std::{fmt, sync::Arc};

type Build<T> = dyn Fn(&Site<'_>) -> Result<Box<T>> + Send + Sync;
type BuildBlock = dyn Fn(&Site<'_>, SubLayers) -> Result<Box<dyn Block>> + Send + Sync;

/// The parts that networks are built from.
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
#[derive(Clone, Debug)]
pub struct Parts {
    attention: Seam<Build<dyn SelfAttention>>,
    feed_forward: Seam<Build<dyn FeedForward>>,
    embeddings: Seam<Build<dyn Embeddings>>,
    block: Seam<BuildBlock>,
    positions: Seam<Build<dyn Positions>>,
    sharing: Seam<dyn ShareEmbeddings>,
}

impl Default for Parts {
    fn default() -> Self {
        Self::shipped()
    }
}

impl Parts {
    /// The parts that ship with this crate.
    pub fn shipped() -> Self {
        let empty = Self {
            attention: Seam::new("attention"),
            feed_forward: Seam::new("feed_forward"),
            embeddings: Seam::new("embeddings"),
            block: Seam::new("block"),
            positions: Seam::new("positions"),
            sharing: Seam::new("sharing"),
        };
        let mut parts = empty
            .with_attention("softmax", SoftmaxAttention::new)
            .with_feed_forward("gelu-mlp", GeluMlp::new)
            .with_embeddings("token", TokenEmbeddings::new)
            .with_block("post-norm", PostNorm::new)
            .with_block("pre-norm", PreNorm::new)
            .with_positions("absolute", |_| Ok(AbsolutePositions))
            .with_sharing("tied", Tied)
            .with_sharing("untied", Untied);
        parts.attention.chosen = None;
        parts.feed_forward.chosen = None;
        parts.embeddings.chosen = None;
        parts.block.chosen = None;
        parts.positions.chosen = None;
        parts.sharing.chosen = None;
        parts
    }

    /// Another self-attention.
    #[must_use]
    pub fn with_attention<A: SelfAttention + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<A> + Send + Sync + 'static,
    ) -> Self {
        self.attention.put(name, Arc::new(move |site| Ok(Box::new(build(site)?))), A::cost);
        self
    }

    /// Another feed-forward layer.
    #[must_use]
    pub fn with_feed_forward<F: FeedForward + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<F> + Send + Sync + 'static,
    ) -> Self {
        self.feed_forward.put(name, Arc::new(move |site| Ok(Box::new(build(site)?))), F::cost);
        self
    }

    /// Other embeddings, of one network or of both, as the sharing policy says.
    #[must_use]
    pub fn with_embeddings<E: Embeddings + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        self.embeddings.put(name, Arc::new(move |site| Ok(Box::new(build(site)?))), E::cost);
        self
    }

    /// Another arrangement of a layer; `build` is given the sub-layers.
    #[must_use]
    pub fn with_block<B: Block + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>, SubLayers) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        let build = move |site: &Site<'_>, sub_layers| -> Result<Box<dyn Block>> {
            Ok(Box::new(build(site, sub_layers)?))
        };
        self.block.put(name, Arc::new(build), B::cost);
        self
    }

    /// Other positions.
    #[must_use]
    pub fn with_positions<P: Positions + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<P> + Send + Sync + 'static,
    ) -> Self {
        self.positions.put(name, Arc::new(move |site| Ok(Box::new(build(site)?))), no_cost);
        self
    }

    /// Another sharing policy.
    #[must_use]
    pub fn with_sharing(mut self, name: &str, policy: impl ShareEmbeddings + 'static) -> Self {
        self.sharing.put(name, Arc::new(policy), no_cost);
        self
    }

    /// `config` with the parts from outside in both networks.
    #[must_use]
    pub fn applied_to(&self, config: &ElectraConfig) -> ElectraConfig {
        let mut config = config.clone();
        for network in config.networks_mut() {
            *network = self.applied_to_encoder(network);
        }
        self.sharing.apply(&mut config.sharing);
        config
    }

    /// `config` with the parts from outside in place of its own.
    #[must_use]
    pub fn applied_to_encoder(&self, config: &EncoderConfig) -> EncoderConfig {
        let mut config = config.clone();
        self.attention.apply(&mut config.attention);
        self.feed_forward.apply(&mut config.feed_forward);
        self.embeddings.apply(&mut config.embeddings);
        self.block.apply(&mut config.block);
        self.positions.apply(&mut config.positions);
        config
    }

    /// Checks, before anything is built, that each part that a network names is there, and that each part from outside is
    /// in one of `networks`: a part that none of them names is a part that was not trained.
    ///
    /// # Errors
    /// [`Error::UnknownPart`] or [`Error::UnusedPart`], naming the first.
    pub fn check(&self, networks: &[&EncoderConfig]) -> Result<()> {
        let names = |of: fn(&EncoderConfig) -> &PartName| -> Vec<&PartName> {
            networks.iter().map(|network| of(network)).collect()
        };
        self.attention.check(&names(|network| &network.attention))?;
        self.feed_forward.check(&names(|network| &network.feed_forward))?;
        self.embeddings.check(&names(|network| &network.embeddings))?;
        self.block.check(&names(|network| &network.block))?;
        self.positions.check(&names(|network| &network.positions))
    }

    /// [`Self::check`] of both networks and of their sharing.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_pair(&self, config: &ElectraConfig) -> Result<()> {
        self.check(&config.networks().collect::<Vec<_>>())?;
        self.sharing.check(&[&config.sharing])
    }

    /// The embeddings of a network that shares them with none.
    ///
    /// # Errors
    /// If the part is not there, or whatever its constructor says.
    pub fn embeddings(&self, site: &Site<'_>) -> Result<Box<dyn Embeddings>> {
        (self.embeddings.get(&site.config.embeddings)?.build)(site)
    }

    /// The embeddings of a generator and a discriminator.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn embedding_pair(
        &self,
        sharing: &PartName,
        generator: &Site<'_>,
        discriminator: &Site<'_>,
    ) -> Result<EmbeddingPair> {
        let policy = &self.sharing.get(sharing)?.build;
        policy.pair(generator, discriminator, &|site| self.embeddings(site))
    }

    /// What all layers of an encoder share about positions.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn positions(&self, site: &Site<'_>) -> Result<Box<dyn Positions>> {
        (self.positions.get(&site.config.positions)?.build)(site)
    }

    /// One layer of an encoder, with its sub-layers.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn block(&self, site: &Site<'_>) -> Result<Box<dyn Block>> {
        let config = site.config;
        let attention = self.attention.get(&config.attention)?;
        let feed_forward = self.feed_forward.get(&config.feed_forward)?;
        let sub_layers = SubLayers {
            attention: (attention.build)(&site.at(&(site.path / "attention")))?,
            feed_forward: (feed_forward.build)(site)?,
        };
        (self.block.get(&config.block)?.build)(site, sub_layers)
    }

    /// What one layer costs; parts from outside that do not say it count as nothing.
    pub fn layer_cost(&self, config: &EncoderConfig) -> Cost {
        self.attention.cost(&config.attention, config)
            + self.feed_forward.cost(&config.feed_forward, config)
            + self.block.cost(&config.block, config)
    }

    /// What the embeddings of one network cost.
    pub fn embeddings_cost(&self, config: &EncoderConfig) -> Cost {
        self.embeddings.cost(&config.embeddings, config)
    }
}

fn no_cost(_: &EncoderConfig) -> Cost {
    Cost::default()
}

/// A part by its name.
struct Part<B: ?Sized> {
    name: PartName,
    build: Arc<B>,
    cost: fn(&EncoderConfig) -> Cost,
}

/// The parts that one seam can hold.
struct Seam<B: ?Sized> {
    seam: &'static str,
    parts: Vec<Part<B>>,
    /// The part from outside that was put in last.
    chosen: Option<PartName>,
}

impl<B: ?Sized> Seam<B> {
    fn new(seam: &'static str) -> Self {
        Self { seam, parts: Vec::new(), chosen: None }
    }

    /// Puts a part in, in place of one of the same name.
    fn put(&mut self, name: &str, build: Arc<B>, cost: fn(&EncoderConfig) -> Cost) {
        let name = PartName::new(name);
        self.parts.retain(|part| part.name != name);
        self.parts.push(Part { name: name.clone(), build, cost });
        self.chosen = Some(name);
    }

    fn get(&self, name: &PartName) -> Result<&Part<B>> {
        self.parts.iter().find(|part| part.name == *name).ok_or_else(|| Error::UnknownPart {
            seam: self.seam,
            name: name.name().to_owned(),
            known: self.parts.iter().map(|part| part.name.name().to_owned()).collect(),
        })
    }

    fn cost(&self, name: &PartName, config: &EncoderConfig) -> Cost {
        self.get(name).map_or_else(|_| Cost::default(), |part| (part.cost)(config))
    }

    fn apply(&self, name: &mut PartName) {
        if let Some(chosen) = &self.chosen {
            name.clone_from(chosen);
        }
    }

    fn check(&self, found: &[&PartName]) -> Result<()> {
        found.iter().try_for_each(|name| self.get(name).map(drop))?;
        match &self.chosen {
            Some(chosen) if !found.contains(&chosen) => Err(Error::UnusedPart {
                seam: self.seam,
                name: chosen.name().to_owned(),
                found: found.first().map_or("nothing", |name| name.name()).to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl<B: ?Sized> Clone for Part<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), build: Arc::clone(&self.build), cost: self.cost }
    }
}

impl<B: ?Sized> Clone for Seam<B> {
    fn clone(&self) -> Self {
        Self { seam: self.seam, parts: self.parts.clone(), chosen: self.chosen.clone() }
    }
}

impl<B: ?Sized> fmt::Debug for Seam<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| part.name.name())).finish()
    }
}
