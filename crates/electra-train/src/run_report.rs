//! The report of a run at any time.

use crate::{
    config::RunConfig,
    error::Result,
    held_out::samples,
    objective::TokenPrediction,
    recipe::Recipe,
    report::{self, RunLog, Samples},
    run_dir::RunDir,
    state,
};
use electra_data::Split;

impl Recipe {
    /// The page of `report.html` as of now, with the predictions of the newest intact checkpoint for some held-out sequences.
    /// If these cannot be computed (without a checkpoint, shards, or the run's custom parts and objective), the page says why.
    /// The run may be in training: nothing is locked or written.
    ///
    /// # Errors
    /// Naming the file that cannot be read.
    pub fn report(&self, run: &RunDir) -> Result<String> {
        let recorded = RunLog::read("", run)?.step();
        let done = recorded.max(state::steps_done(run.path())?);
        let (sequences, remark) = match self.checkpoint_samples(run) {
            Ok((step, sequences)) => (sequences, format!("Predictions after update {step}.")),
            Err(error) => (Vec::new(), format!("There are no samples: {error}")),
        };
        report::page(run, self.config(), done, Samples { sequences: &sequences, remark: &remark })
    }

    /// The step of the newest intact checkpoint, and its predictions. They are computed on the CPU, since the run may need the
    /// memory of the GPU.
    fn checkpoint_samples(&self, run: &RunDir) -> Result<(u64, Vec<Vec<TokenPrediction>>)> {
        let checkpoint = state::newest(run.path())?;
        let shards = &self.config().data.shards;
        let split = self.open_shards(shards, Split::HeldOut)?;
        run.check_vocabulary(shards, split.index())?;
        let mut config: RunConfig = self.config().clone();
        config.train.device = "cpu".to_owned();
        let built = self.build_config(&config, &split.unigram_counts()?)?;
        built.load(&checkpoint, &config)?;
        let masking = self.masking(&split)?;
        Ok((checkpoint.state.step, samples(&*built.objective, &split, &*masking)?))
    }
}
