//! Networks that threads predict with at the same time.

use crate::{
    batch::{BatchTensors, Input},
    body::{Body, HEAD},
    error::{Error, Result},
    model::{Header, Source, renamed},
};
use electra_model::{
    EncoderConfig, Parts,
    hf::Pretrained,
    tensors::{Named, variables},
};
use electra_tokenize::WordPiece;
use std::{
    borrow::Borrow,
    fmt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tch::{Device, Tensor, nn, no_grad};

/// Where a model is opened.
#[derive(Debug)]
pub struct ModelSite<'a> {
    /// The model folder.
    pub dir: &'a Path,
    /// Where it predicts.
    pub device: Device,
    /// What the encoder is built from.
    pub parts: Parts,
    /// The header of its `task.json`.
    pub header: &'a Header,
}

/// A network with its weights, its variables under their names.
struct Network<H> {
    body: Body,
    head: H,
    variables: Named,
}

type Build<H> = dyn Fn() -> electra_model::Result<Network<H>> + Send + Sync;

/// A network that threads share: each predicts with a handle of its own, and all handles have the same weights in
/// memory. As many are built as threads predict at the same time; no lock is held during a forward pass.
///
/// `tch`'s tensors may be moved from thread to thread and not shared by reference, and parts from outside may hold
/// anything: hence handles instead of one network.
pub struct NetworkPool<H> {
    idle: Mutex<Vec<Network<H>>>,
    weights: Mutex<Named>,
    build: Box<Build<H>>,
}

impl<H: Send + 'static> NetworkPool<H> {
    /// Reads a model folder; every tensor must be there and no other. `head_name` is what the folder calls the head,
    /// and `head` builds it.
    ///
    /// # Errors
    /// Naming the file that is missing or incomplete.
    pub fn read(
        site: &ModelSite<'_>,
        head_name: &str,
        head: impl Fn(&nn::Path<'_>, &EncoderConfig) -> electra_model::Result<H> + Send + Sync + 'static,
    ) -> Result<(Self, WordPiece)> {
        let source = Source::read(site.dir)?;
        site.header.check(site.dir, &source.config)?;
        let (device, parts, pad) = (site.device, site.parts.clone(), source.pad());
        let Source { config, tokenizer } = source;
        let fresh = move || {
            let vs = nn::VarStore::new(device);
            let body = Body::new(&vs.root(), &config, &parts, pad)?;
            let head = head(&(vs.root() / HEAD), &config)?;
            Ok((Network { body, head, variables: variables(&vs)? }, vs))
        };
        let (network, vs) = fresh()?;
        let mut pretrained = Pretrained::read(site.dir)?;
        pretrained.tensors = renamed(pretrained.tensors, head_name, HEAD);
        pretrained.load(&vs)?;
        let weights = network.variables.iter().map(|(n, x)| (n.clone(), x.shallow_clone()));
        let weights = Mutex::new(weights.collect());
        let build = Box::new(move || fresh().map(|(network, _)| network));
        Ok((Self { idle: Mutex::new(vec![network]), weights, build }, tokenizer))
    }

    /// The predictions of `head` for each input, in order.
    ///
    /// # Errors
    /// If one more handle is needed and cannot be built.
    pub fn predict<T>(
        &self,
        inputs: &[impl Borrow<Input>],
        batch_size: usize,
        head: impl Fn(&H, &Tensor, &BatchTensors) -> Vec<T>,
    ) -> Result<Vec<T>> {
        let idle = lock(&self.idle).pop();
        let network = idle.map_or_else(|| self.handle(), Ok)?;
        let predictions = network.body.predict(inputs, batch_size, |hidden_bsh, batch| {
            head(&network.head, hidden_bsh, batch)
        });
        lock(&self.idle).push(network);
        Ok(predictions)
    }

    /// One more network on the same weights.
    fn handle(&self) -> Result<Network<H>> {
        let mut network = (self.build)().map_err(Error::from)?;
        let weights = lock(&self.weights);
        for ((_, variable), (_, weight)) in network.variables.iter_mut().zip(weights.iter()) {
            no_grad(|| variable.set_data(&weight.detach()));
        }
        drop(weights);
        Ok(network)
    }
}

/// A thread that panicked has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H> fmt::Debug for NetworkPool<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkPool")
    }
}
