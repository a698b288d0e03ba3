//! FLOPs, memory and sizes of a recipe's run.

use crate::{
    Recipe, Result,
    objective::{ObjectiveSettings, TrainedNetwork},
    recipe::BuiltObjective,
    summary::RunSummary,
};
use electra_data::SplitIndex;
use electra_model::{
    flops::{self, Work},
    hf,
    memory::Memory,
    tensors::Named,
};

impl Recipe {
    /// FLOPs of one update of the objective's networks, by the reference's conventions ([`flops::train_step`]).
    pub fn flops_of_step(&self, networks: &[TrainedNetwork<'_>]) -> f64 {
        let specs: Vec<_> = networks.iter().map(TrainedNetwork::spec).collect();
        let batch = (self.config().train.batch_size * self.config().train.accumulate) as u64;
        flops::train_step(self.parts(), &specs, batch, self.config().data.sequence_length as u64)
    }

    /// The summary of the run on training data.
    pub(crate) fn summary(&self, built: &BuiltObjective, data: &SplitIndex) -> Result<RunSummary> {
        let config = self.config();
        let networks = built.objective.networks();
        let count = |network: &TrainedNetwork<'_>| -> Result<(&'static str, u64)> {
            let tensors = hf::state_dict(&built.vs, network.role, network.encoder)?;
            Ok((network.role, parameters(&tensors)))
        };
        let variables = built.variables()?;
        let trained = variables.iter().filter(|(_, tensor)| tensor.requires_grad());
        let batch = (config.train.batch_size * config.train.accumulate) as u64;
        let updates = config.train.steps;
        Ok(RunSummary {
            device: format!("{:?}", built.vs.device()).to_lowercase(),
            precision: config.model.discriminator.precision,
            threads: tch::get_num_threads(),
            networks: networks.iter().map(count).collect::<Result<_>>()?,
            parameters: trained.map(|(_, tensor)| tensor.numel() as u64).sum(),
            updates,
            batch,
            sequence_length: config.data.sequence_length as u64,
            tokens: data.tokens,
            epochs: updates as f64 * batch as f64 / data.examples.max(1) as f64,
            flops: self.flops_of_step(&networks) * updates as f64,
            memory: self.memory(&networks, &variables, config.train.batch_size).step(),
        })
    }

    /// Memory of an update with `batch_size` full sequences in each pass.
    pub fn memory(
        &self,
        networks: &[TrainedNetwork<'_>],
        variables: &Named,
        batch_size: usize,
    ) -> Memory {
        let specs: Vec<_> = networks.iter().map(TrainedNetwork::spec).collect();
        let work = self.sequence().times(batch_size as f64);
        Memory::new(self.parts(), &specs, parameters(variables), &work)
    }

    /// The largest `train.batch_size` whose update fits in `bytes` of memory; 0 if none fits.
    pub fn largest_batch(
        &self,
        networks: &[TrainedNetwork<'_>],
        variables: &Named,
        bytes: f64,
    ) -> u64 {
        let specs: Vec<_> = networks.iter().map(TrainedNetwork::spec).collect();
        let count = parameters(variables);
        Memory::largest_batch(self.parts(), &specs, count, &self.sequence(), bytes)
    }

    /// The work of a full sequence.
    fn sequence(&self) -> Work {
        let length = self.config().data.sequence_length;
        let rate = self.config().objective.masking().rate();
        Work::of_token(length as u64, rate).times(length as f64)
    }
}

/// Number of values in all variables.
fn parameters(variables: &Named) -> u64 {
    variables.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
}
