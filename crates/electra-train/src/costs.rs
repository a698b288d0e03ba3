//! FLOPs, memory and sizes of a recipe's run.

use crate::{
    Recipe, Result,
    memory::StepMemory,
    objective::{ObjectiveSettings, TrainedNetwork},
    recipe::BuiltObjective,
    summary::RunSummary,
};
use electra_data::SplitIndex;
use electra_model::{
    NetworkSpec,
    flops::{self, Work},
    hf,
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
        let specs: Vec<_> = networks.iter().map(TrainedNetwork::spec).collect();
        let variables = built.variables()?;
        let trained = variables.iter().filter(|(_, tensor)| tensor.requires_grad());
        let batch = (config.train.batch_size * config.train.accumulate) as u64;
        let updates = config.train.steps;
        Ok(RunSummary {
            device: electra_torch::device_name(built.vs.device()),
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
            memory: self.step_memory(&specs, parameters(&variables)).of_step().step(),
        })
    }

    /// What a step of the objective's networks needs memory for, with `parameters` in total.
    pub fn step_memory<'a>(
        &'a self,
        networks: &'a [NetworkSpec<'a>],
        parameters: u64,
    ) -> StepMemory<'a> {
        let config = self.config();
        let length = config.data.sequence_length as u64;
        let rate = config.objective.masking().rate();
        StepMemory {
            parts: self.parts(),
            networks,
            parameters,
            sequence: Work::of_token(length, rate).times(length as f64),
            batch_size: config.train.batch_size,
            accumulate: config.train.accumulate,
        }
    }
}

impl BuiltObjective {
    /// The number of parameters.
    ///
    /// # Errors
    /// As [`Self::variables`].
    pub fn parameters(&self) -> Result<u64> {
        Ok(parameters(&self.variables()?))
    }
}

/// Number of values in all variables.
fn parameters(variables: &Named) -> u64 {
    variables.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
}
