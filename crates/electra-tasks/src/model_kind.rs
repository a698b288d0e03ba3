//! The code that fine-tuned models of all kinds share: a [`ModelKind`] has what differs between kinds.

use crate::{
    adopt::Foreign,
    answer::{Answer, Answered, Request, RequestForm, TaskModel},
    batch::Input,
    error::Result,
    head::{HeadNet, HeadSite},
    model::{HeadClass, ModelFiles, invalid, read_info},
    pool::{ModelSite, NetworkPool},
    summary::Truncated,
};
use electra_tokenize::WordPiece;
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Borrow, cell::Cell, fmt::Debug};

/// The `task.json` of a kind of task.
pub trait ModelKind: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The value of its key `kind`.
    const KIND: &'static str;
    /// The layers on the encoder.
    type Net: HeadNet;

    /// The class of `transformers` that loads the folder.
    fn class(&self) -> HeadClass;

    /// The head.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<Self::Net>;

    /// Checks the values, before a request is answered.
    ///
    /// # Errors
    /// Naming the first invalid key.
    fn validate(&self, _tokenizer: &WordPiece) -> Result<()> {
        Ok(())
    }

    /// The `task.json` for a folder that `transformers` wrote; `None`, the default, if it has another kind of model.
    ///
    /// # Errors
    /// Naming the folder, if its labels or the given columns do not suit the kind.
    fn adopt(_folder: &Foreign<'_>) -> Result<Option<Self>> {
        Ok(None)
    }

    /// The requests that the model takes.
    fn form(&self) -> RequestForm;

    /// The answers to requests, in order.
    ///
    /// # Errors
    /// Naming the request that is of another form, or that the tokenizer fails on.
    fn answer(&self, requests: &[Request], model: &Inference<'_, Self>) -> Result<Vec<Answer>>;

    /// The model folder's files besides weights.
    fn files(&self) -> ModelFiles {
        ModelFiles::new(self, self.class())
    }
}

type Output<K> = <<K as ModelKind>::Net as HeadNet>::Output;

/// The tokenizer and the network of an open model.
#[derive(Debug)]
pub struct Inference<'a, K: ModelKind> {
    /// The tokenizer.
    pub tokenizer: &'a WordPiece,
    network: &'a NetworkPool<K::Net>,
    batch_size: usize,
    truncated: Cell<Truncated>,
}

impl<K: ModelKind> Inference<'_, K> {
    /// Counts texts of the requests, and those that were truncated.
    pub fn add_truncated(&self, truncated: Truncated) {
        self.truncated.set(self.truncated.get().with(truncated));
    }

    /// The outputs for inputs, in order.
    ///
    /// # Errors
    /// If libtorch cannot build one more network.
    pub fn predict(&self, inputs: &[impl Borrow<Input>]) -> Result<Vec<Output<K>>> {
        self.network.predict(inputs, self.batch_size)
    }
}

/// Opens a model folder by its `task.json`.
///
/// # Errors
/// Naming the file that is missing or incomplete, or the invalid key.
pub fn open<K: ModelKind>(site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    open_as::<K>(read_info(site.dir)?, site)
}

/// Opens a model folder as if `kind` were its `task.json`.
///
/// # Errors
/// As [`open`].
pub fn open_as<K: ModelKind>(kind: K, site: &ModelSite<'_>) -> Result<Box<dyn TaskModel>> {
    let own = kind.clone();
    let (network, tokenizer) =
        NetworkPool::read(site, kind.class().head, move |site| own.net(site))?;
    kind.validate(&tokenizer).map_err(invalid(site.dir))?;
    Ok(Box::new(OpenModel { kind, tokenizer, network }))
}

/// [`ModelKind::adopt`] as JSON.
///
/// # Errors
/// As [`ModelKind::adopt`].
pub fn adopt<K: ModelKind>(folder: &Foreign<'_>) -> Result<Option<serde_json::Value>> {
    let info = K::adopt(folder)?;
    Ok(info.map(|info| serde_json::to_value(info).expect("plain values serialize")))
}

/// An open model of some kind.
#[derive(Debug)]
struct OpenModel<K: ModelKind> {
    kind: K,
    tokenizer: WordPiece,
    network: NetworkPool<K::Net>,
}

impl<K: ModelKind> TaskModel for OpenModel<K> {
    fn form(&self) -> RequestForm {
        self.kind.form()
    }

    fn answer(&self, requests: &[Request], batch_size: usize) -> Result<Answered> {
        let Self { kind, tokenizer, network } = self;
        let truncated = Cell::default();
        let inference = Inference { tokenizer, network, batch_size, truncated };
        let answers = kind.answer(requests, &inference)?;
        Ok(Answered { answers, truncated: inference.truncated.get() })
    }
}
