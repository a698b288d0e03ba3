//! The registry of parts, which makes them replaceable.
//!
//! A network's [`EncoderConfig`] names the part in every seam and is saved with the weights; [`Parts`] holds the builders
//! by name: the built-in ones of [`Parts::shipped`], and custom ones. So weights are only loaded into the parts that they
//! were trained in. A built-in part is one file in this folder and one line in that function.

mod absolute_positions;
mod directional_attention;
mod gelu_mlp;
mod norms;
mod post_norm;
mod pre_norm;
mod sharing;
mod softmax_attention;
mod token_embeddings;

pub use absolute_positions::AbsolutePositions;
pub use directional_attention::DirectionalAttention;
pub use gelu_mlp::GeluMlp;
pub use post_norm::PostNorm;
pub use pre_norm::PreNorm;
pub use sharing::{GradientDisentangled, SharedEmbeddings, Tied, TiedAll, TiedTokens, Untied};
pub use softmax_attention::SoftmaxAttention;
pub use token_embeddings::TokenEmbeddings;

use crate::{
    config::{ElectraConfig, EncoderConfig, PartName},
    cost::Cost,
    error::{Error, Result},
    seam::{
        Block, Embeddings, FeedForward, Positions, SelfAttention, ShareEmbeddings, Site, SubLayers,
    },
};
use std::{fmt, sync::Arc};

type Build<T> = dyn Fn(&Site<'_>) -> Result<Box<T>> + Send + Sync;
type BuildBlock = dyn Fn(&Site<'_>, SubLayers) -> Result<Box<dyn Block>> + Send + Sync;

/// The parts that networks can be built from, by name.
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
    /// The built-in parts.
    pub fn shipped() -> Self {
        let empty = Self {
            attention: Seam::new("attention"),
            feed_forward: Seam::new("feed_forward"),
            embeddings: Seam::new("embeddings"),
            block: Seam::new("block"),
            positions: Seam::new("positions"),
            sharing: Seam::new("sharing"),
        };
        empty
            .with_attention("softmax", SoftmaxAttention::new)
            .with_attention("left-to-right", DirectionalAttention::left_to_right)
            .with_attention("right-to-left", DirectionalAttention::right_to_left)
            .with_feed_forward("gelu-mlp", GeluMlp::new)
            .with_embeddings("token", TokenEmbeddings::new)
            .with_block("post-norm", PostNorm::new)
            .with_block("pre-norm", PreNorm::new)
            .with_positions("absolute", |_| Ok(AbsolutePositions))
            .with_sharing("tied", Tied)
            .with_sharing("tied-tokens", TiedTokens)
            .with_sharing("tied-all", TiedAll)
            .with_sharing("gdes", GradientDisentangled)
            .with_sharing("untied", Untied)
            .by_name()
    }

    /// The same parts, none of which is selected: configs choose them by their names.
    #[must_use]
    pub fn by_name(mut self) -> Self {
        self.attention.selected = None;
        self.feed_forward.selected = None;
        self.embeddings.selected = None;
        self.block.selected = None;
        self.positions.selected = None;
        self.sharing.selected = None;
        self
    }

    /// Adds a self-attention and selects it.
    #[must_use]
    pub fn with_attention<A: SelfAttention + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<A> + Send + Sync + 'static,
    ) -> Self {
        self.attention.add(name, Arc::new(move |site| Ok(Box::new(build(site)?))), A::cost);
        self
    }

    /// Adds a feed-forward layer and selects it.
    #[must_use]
    pub fn with_feed_forward<F: FeedForward + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<F> + Send + Sync + 'static,
    ) -> Self {
        self.feed_forward.add(name, Arc::new(move |site| Ok(Box::new(build(site)?))), F::cost);
        self
    }

    /// Adds embeddings and selects them; the sharing policy decides whether both networks use the same ones.
    #[must_use]
    pub fn with_embeddings<E: Embeddings + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        self.embeddings.add(name, Arc::new(move |site| Ok(Box::new(build(site)?))), E::cost);
        self
    }

    /// Adds a block and selects it; `build` receives the sub-layers.
    #[must_use]
    pub fn with_block<B: Block + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>, SubLayers) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        let build = move |site: &Site<'_>, sub_layers| -> Result<Box<dyn Block>> {
            Ok(Box::new(build(site, sub_layers)?))
        };
        self.block.add(name, Arc::new(build), B::cost);
        self
    }

    /// Adds positions and selects them.
    #[must_use]
    pub fn with_positions<P: Positions + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<P> + Send + Sync + 'static,
    ) -> Self {
        self.positions.add(name, Arc::new(move |site| Ok(Box::new(build(site)?))), P::cost);
        self
    }

    /// Adds a sharing policy and selects it.
    #[must_use]
    pub fn with_sharing(mut self, name: &str, policy: impl ShareEmbeddings + 'static) -> Self {
        self.sharing.add(name, Arc::new(policy), no_cost);
        self
    }

    /// `config` with the selected custom parts in both networks.
    #[must_use]
    pub fn applied_to(&self, config: &ElectraConfig) -> ElectraConfig {
        let mut config = config.clone();
        for network in config.networks_mut() {
            *network = self.applied_to_encoder(network);
        }
        self.sharing.apply(&mut config.sharing);
        config
    }

    /// `config` with the selected custom parts.
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

    /// Checks, before anything is built, that every part that a network names is available, and that each selected custom
    /// part is used by one of `networks`: otherwise it would silently not be trained.
    ///
    /// # Errors
    /// [`Error::UnknownPart`] or [`Error::UnusedPart`], naming the first.
    pub fn check(&self, networks: &[&EncoderConfig]) -> Result<()> {
        let names = |part: fn(&EncoderConfig) -> &PartName| -> Vec<&PartName> {
            networks.iter().map(|network| part(network)).collect()
        };
        self.attention.check(&names(|network| &network.attention))?;
        self.feed_forward.check(&names(|network| &network.feed_forward))?;
        self.embeddings.check(&names(|network| &network.embeddings))?;
        self.block.check(&names(|network| &network.block))?;
        self.positions.check(&names(|network| &network.positions))
    }

    /// [`Self::check`] for both networks and their sharing; and that settings belong to a part that is used.
    ///
    /// # Errors
    /// As [`Self::check`]; [`Error::Config`] naming the settings.
    pub fn check_pair(&self, config: &ElectraConfig) -> Result<()> {
        self.check(&config.networks().collect::<Vec<_>>())?;
        self.sharing.check(&[&config.sharing])?;
        config.check_custom()?;
        match config.generator {
            Some(_) => self.sharing(&config.sharing)?.check(config),
            None => Ok(()),
        }
    }

    /// Builds the embeddings of one network.
    ///
    /// # Errors
    /// [`Error::UnknownPart`], or the error of the part's constructor.
    pub fn embeddings(&self, site: &Site<'_>) -> Result<Box<dyn Embeddings>> {
        self.embeddings.build(&site.config.embeddings, site)
    }

    /// The policy called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownPart`].
    pub fn sharing(&self, name: &PartName) -> Result<&dyn ShareEmbeddings> {
        Ok(&*self.sharing.get(name)?.build)
    }

    /// Builds the positions of an encoder.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn positions(&self, site: &Site<'_>) -> Result<Box<dyn Positions>> {
        self.positions.build(&site.config.positions, site)
    }

    /// Builds one block of an encoder, with its sub-layers.
    ///
    /// # Errors
    /// As [`Self::embeddings`].
    pub fn block(&self, site: &Site<'_>) -> Result<Box<dyn Block>> {
        let config = site.config;
        let attention = &(site.path / "attention");
        let sub_layers = SubLayers {
            attention: self.attention.build(&config.attention, &site.at(attention))?,
            feed_forward: self.feed_forward.build(&config.feed_forward, site)?,
        };
        (self.block.get(&config.block)?.build)(&site.of(&config.block), sub_layers)
    }

    /// The cost of one layer; custom parts that do not report theirs count as zero.
    pub fn layer_cost(&self, config: &EncoderConfig) -> Cost {
        self.attention.cost(&config.attention, config)
            + self.feed_forward.cost(&config.feed_forward, config)
            + self.block.cost(&config.block, config)
    }

    /// The cost of what a network computes once, before its layers: embeddings and tables of positions.
    pub fn input_cost(&self, config: &EncoderConfig) -> Cost {
        self.embeddings.cost(&config.embeddings, config)
            + self.positions.cost(&config.positions, config)
    }
}

fn no_cost(_: &EncoderConfig) -> Cost {
    Cost::default()
}

/// A named part.
struct Part<B: ?Sized> {
    name: PartName,
    build: Arc<B>,
    cost: fn(&EncoderConfig) -> Cost,
}

/// The parts available for one seam.
struct Seam<B: ?Sized> {
    seam: &'static str,
    parts: Vec<Part<B>>,
    /// The custom part that was added last.
    selected: Option<PartName>,
}

impl<B: ?Sized> Seam<B> {
    fn new(seam: &'static str) -> Self {
        Self { seam, parts: Vec::new(), selected: None }
    }

    /// Adds and selects a part, replacing one of the same name.
    fn add(&mut self, name: &str, build: Arc<B>, cost: fn(&EncoderConfig) -> Cost) {
        let name = PartName::new(name);
        self.parts.retain(|part| part.name != name);
        self.parts.push(Part { name: name.clone(), build, cost });
        self.selected = Some(name);
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
        if let Some(selected) = &self.selected {
            name.clone_from(selected);
        }
    }

    fn check(&self, found: &[&PartName]) -> Result<()> {
        found.iter().try_for_each(|name| self.get(name).map(drop))?;
        match &self.selected {
            Some(selected) if !found.contains(&selected) => Err(Error::UnusedPart {
                seam: self.seam,
                name: selected.name().to_owned(),
                found: found.first().map_or("nothing", |name| name.name()).to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl<T: ?Sized> Seam<Build<T>> {
    /// Builds the part called `name`.
    fn build(&self, name: &PartName, site: &Site<'_>) -> Result<Box<T>> {
        (self.get(name)?.build)(&site.of(name))
    }
}

impl<B: ?Sized> Clone for Part<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), build: Arc::clone(&self.build), cost: self.cost }
    }
}

impl<B: ?Sized> Clone for Seam<B> {
    fn clone(&self) -> Self {
        Self { seam: self.seam, parts: self.parts.clone(), selected: self.selected.clone() }
    }
}

impl<B: ?Sized> fmt::Debug for Seam<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| part.name.name())).finish()
    }
}
