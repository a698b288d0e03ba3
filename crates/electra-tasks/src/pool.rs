//! Networks that threads predict with at the same time.

use crate::{
    batch::Input,
    body::{Body, HEAD},
    error::{Error, Result},
    head::{HeadNet, HeadSite},
    model::{Header, Source, handles, renamed},
};
use electra_model::{
    Parts,
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
use tch::{Device, nn, no_grad};

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
struct Network<N> {
    body: Body,
    net: N,
    variables: Named,
}

type Build<N> = dyn Fn() -> electra_model::Result<Network<N>> + Send + Sync;

/// A network that threads share: each predicts with a handle of its own, and all handles have the same weights in
/// memory. As many are built as threads predict at the same time; no lock is held during a forward pass.
///
/// `tch`'s tensors may be moved from thread to thread and not shared by reference, and parts from outside may hold
/// anything: hence handles instead of one network.
pub struct NetworkPool<N> {
    idle: Mutex<Vec<Network<N>>>,
    weights: Mutex<Named>,
    build: Box<Build<N>>,
}

impl<N: HeadNet> NetworkPool<N> {
    /// Reads a model folder, which must have every tensor and no other. `head_name` is the name of the head's variables in
    /// the folder; `net` builds the head.
    ///
    /// # Errors
    /// Naming the file that is missing or incomplete.
    pub fn read(
        site: &ModelSite<'_>,
        head_name: &str,
        net: impl Fn(&HeadSite<'_>) -> electra_model::Result<N> + Send + Sync + 'static,
    ) -> Result<(Self, WordPiece)> {
        let source = Source::read(site.dir)?;
        site.header.check(site.dir, &source.config)?;
        let (device, parts, pad) = (site.device, site.parts.clone(), source.pad());
        let head = site.header.head.clone();
        let Source { config, tokenizer } = source;
        let fresh = move || {
            let vs = nn::VarStore::new(device);
            let body = Body::new(&vs.root(), &config, &parts, pad)?;
            let net = net(&HeadSite::new(&(vs.root() / HEAD), &config, &head))?;
            Ok((Network { body, net, variables: variables(&vs)? }, vs))
        };
        let (network, vs) = fresh()?;
        let mut pretrained = Pretrained::read(site.dir)?;
        pretrained.tensors = renamed(pretrained.tensors, head_name, HEAD);
        pretrained.load(&vs)?;
        let weights = Mutex::new(handles(&network.variables, |_| true));
        let build = Box::new(move || fresh().map(|(network, _)| network));
        Ok((Self { idle: Mutex::new(vec![network]), weights, build }, tokenizer))
    }

    /// The outputs for inputs, in order.
    ///
    /// # Errors
    /// If one more handle is needed and cannot be built.
    pub fn predict(
        &self,
        inputs: &[impl Borrow<Input>],
        batch_size: usize,
    ) -> Result<Vec<N::Output>> {
        let idle = lock(&self.idle).pop();
        let network = idle.map_or_else(|| self.handle(), Ok)?;
        let outputs = network.body.predict(inputs, batch_size, &network.net);
        lock(&self.idle).push(network);
        Ok(outputs)
    }

    /// One more network on the same weights.
    fn handle(&self) -> Result<Network<N>> {
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

impl<N> fmt::Debug for NetworkPool<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkPool")
    }
}
