//! A network that threads predict with at the same time.

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

/// The inputs of opening a model.
#[derive(Debug)]
pub struct ModelSite<'a> {
    /// The model folder.
    pub dir: &'a Path,
    /// The device it predicts on.
    pub device: Device,
    /// The parts that the encoder is built from.
    pub parts: Parts,
    /// The header of its `task.json`.
    pub header: &'a Header,
}

/// A network with its named variables.
struct Network<N> {
    body: Body,
    net: N,
    variables: Named,
}

type Build<N> = dyn Fn() -> electra_model::Result<Network<N>> + Send + Sync;

/// A network that threads share: each thread predicts with a network of its own, and all of them use the same weights
/// in memory. One network is built for each thread that predicts at the same time; no lock is held during a forward
/// pass.
///
/// A tensor of `tch` can be sent to another thread but not shared by reference, and so can custom parts: hence several
/// networks instead of one.
pub struct NetworkPool<N> {
    idle: Mutex<Vec<Network<N>>>,
    weights: Mutex<Named>,
    build: Box<Build<N>>,
}

impl<N: HeadNet> NetworkPool<N> {
    /// Reads a model folder, which must have every tensor and no other. `head_name` is the name of the head's variables
    /// in the folder; `net` builds the head.
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
    /// If one more network is needed and cannot be built.
    pub fn predict(
        &self,
        inputs: &[impl Borrow<Input>],
        batch_size: usize,
    ) -> Result<Vec<N::Output>> {
        let idle = lock(&self.idle).pop();
        let network = idle.map_or_else(|| self.build_network(), Ok)?;
        let outputs = network.body.predict(inputs, batch_size, &network.net);
        lock(&self.idle).push(network);
        Ok(outputs)
    }

    /// One more network on the same weights.
    fn build_network(&self) -> Result<Network<N>> {
        let mut network = (self.build)().map_err(Error::from)?;
        let weights = lock(&self.weights);
        for ((_, variable), (_, weight)) in network.variables.iter_mut().zip(weights.iter()) {
            no_grad(|| variable.set_data(&weight.detach()));
        }
        drop(weights);
        Ok(network)
    }
}

/// A thread that panicked cannot have left the value in an invalid state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<N> fmt::Debug for NetworkPool<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkPool")
    }
}
