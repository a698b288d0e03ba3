//! The swap mechanism: one named builder per seam.
//!
//! A closed enum at the edge (the TOML file) and an open trait at the seam: [`Parts::from_config`]
//! is the one place that asks which shipped part a config names; `with_*` puts any other there.

use crate::{
    ElectraConfig, Embeddings, EncoderConfig, FeedForward, GeluMlp, Result, SelfAttention,
    ShareEmbeddings, SoftmaxAttention, TokenEmbeddings,
    config::{AttentionKind, EmbeddingsKind, FeedForwardKind, SharingKind},
    sharing::{Tied, Untied},
};
use std::{fmt, sync::Arc};
use tch::nn;

/// Where a part is being built.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Site<'a> {
    /// Where its variables go; the parent has named it.
    pub path: &'a nn::Path<'a>,
    /// The network it belongs to.
    pub config: &'a EncoderConfig,
    /// The block, counted from 0; 0 for embeddings.
    pub layer: i64,
}

impl<'a> Site<'a> {
    /// A place outside the blocks.
    pub fn new(path: &'a nn::Path<'a>, config: &'a EncoderConfig) -> Self {
        Self { path, config, layer: 0 }
    }
}

type Build<T> = dyn Fn(&Site<'_>) -> Result<Box<T>> + Send + Sync;

/// A builder with the name that goes into manifests and checkpoints.
pub struct Part<T: ?Sized> {
    name: String,
    build: Arc<Build<T>>,
}

impl<T: ?Sized> Part<T> {
    /// A named builder.
    pub fn new(
        name: impl Into<String>,
        build: impl Fn(&Site<'_>) -> Result<Box<T>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), build: Arc::new(build) }
    }

    /// The part's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Builds it at `site`.
    ///
    /// # Errors
    /// Whatever the part's constructor says.
    pub fn build(&self, site: &Site<'_>) -> Result<Box<T>> {
        (self.build)(site)
    }
}

impl<T: ?Sized> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), build: Arc::clone(&self.build) }
    }
}

impl<T: ?Sized> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.name).finish()
    }
}

/// The parts that networks are built from, one per seam.
#[derive(Clone, Debug)]
pub struct Parts {
    pub(crate) attention: Part<dyn SelfAttention>,
    pub(crate) feed_forward: Part<dyn FeedForward>,
    pub(crate) embeddings: Part<dyn Embeddings>,
    pub(crate) sharing: Arc<dyn ShareEmbeddings>,
    sharing_name: String,
}

impl Parts {
    /// The shipped parts that `config` names.
    pub fn from_config(config: &ElectraConfig) -> Self {
        let AttentionKind::Softmax {} = config.attention;
        let FeedForwardKind::GeluMlp {} = config.feed_forward;
        let EmbeddingsKind::Token {} = config.embeddings;
        let (sharing_name, sharing): (_, Arc<dyn ShareEmbeddings>) = match config.sharing {
            SharingKind::Tied {} => ("tied", Arc::new(Tied)),
            SharingKind::Untied {} => ("untied", Arc::new(Untied)),
        };
        Self {
            attention: Part::<dyn SelfAttention>::new("softmax", |site| {
                Ok(Box::new(SoftmaxAttention::new(site)?))
            }),
            feed_forward: Part::<dyn FeedForward>::new("gelu-mlp", |site| {
                Ok(Box::new(GeluMlp::new(site)?))
            }),
            embeddings: Part::<dyn Embeddings>::new("token", |site| {
                Ok(Box::new(TokenEmbeddings::new(site)?))
            }),
            sharing,
            sharing_name: sharing_name.to_owned(),
        }
    }

    /// The shipped parts, for networks whose files name none: those of a Hugging Face folder.
    pub fn shipped() -> Self {
        // Parts depend on the kinds alone, which every size has in common.
        Self::from_config(&ElectraConfig::small(1))
    }

    /// Another self-attention.
    #[must_use]
    pub fn with_attention<A: SelfAttention + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<A> + Send + Sync + 'static,
    ) -> Self {
        self.attention =
            Part::<dyn SelfAttention>::new(name, move |site| Ok(Box::new(build(site)?)));
        self
    }

    /// Another feed-forward layer.
    #[must_use]
    pub fn with_feed_forward<F: FeedForward + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<F> + Send + Sync + 'static,
    ) -> Self {
        self.feed_forward =
            Part::<dyn FeedForward>::new(name, move |site| Ok(Box::new(build(site)?)));
        self
    }

    /// Other embeddings, of one network or of both, as the sharing policy says.
    #[must_use]
    pub fn with_embeddings<E: Embeddings + 'static>(
        mut self,
        name: &str,
        build: impl Fn(&Site<'_>) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        self.embeddings = Part::<dyn Embeddings>::new(name, move |site| Ok(Box::new(build(site)?)));
        self
    }

    /// Another sharing policy.
    #[must_use]
    pub fn with_sharing(mut self, name: &str, policy: impl ShareEmbeddings + 'static) -> Self {
        self.sharing = Arc::new(policy);
        self.sharing_name = name.to_owned();
        self
    }

    /// The embeddings of a network that shares them with none.
    ///
    /// # Errors
    /// Whatever the part's constructor says.
    pub fn build_embeddings(&self, site: &Site<'_>) -> Result<Box<dyn Embeddings>> {
        self.embeddings.build(site)
    }

    /// `seam=part` for every seam, as manifests and checkpoints record it.
    pub fn names(&self) -> Vec<String> {
        vec![
            format!("attention={}", self.attention.name()),
            format!("feed_forward={}", self.feed_forward.name()),
            format!("embeddings={}", self.embeddings.name()),
            format!("sharing={}", self.sharing_name),
        ]
    }
}
