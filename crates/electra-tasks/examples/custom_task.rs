//! A kind of task of your own, from outside the crate: its data made in code, its head, its answers and their scores.
//!
//! Run with `cargo run -p electra-tasks --example custom_task -- MODEL CONFIG OUT`.

use electra_model::{EncoderConfig, Result};
use electra_scores::{Label, LabelSpace, Metric, Scores};
use electra_tasks::{Answers, Finetune, FinetuneConfig, LoadSite, LoadedTask, Split, report};
use electra_tasks::{Task, TaskData, TaskHead, kinds::sentence::SentenceNet, task::RowLosses};
use electra_tasks::{batch::BatchTensors, batch::Input, body::Body};
use std::sync::Arc;
use tch::{Tensor, nn::Path};

/// Are more than three of the words `a`? Learned from all lines of six words `a` and `b`, and scored on them.
#[derive(Debug)]
pub(crate) struct Majority(pub(crate) LabelSpace);

#[derive(Debug)]
struct Lines(LabelSpace, Vec<Input>, Vec<Label>);

#[derive(Debug)]
struct Head(SentenceNet, Arc<Lines>);

#[derive(Debug)]
struct Predicted(Arc<Lines>, Vec<Label>);

impl Task for Majority {
    fn name(&self) -> &str {
        "majority"
    }
    fn metric(&self) -> Metric {
        Metric::Accuracy
    }
    fn description(&self) -> serde_json::Value {
        serde_json::json!({ "words": 6 })
    }
    fn load(&self, site: &LoadSite<'_>) -> electra_tasks::Result<LoadedTask> {
        let text = |bits: u32| (0..6).map(move |i| ["b ", "a "][(bits >> i & 1) as usize]);
        let input = |bits| Input::encode(site.tokenizer, &text(bits).collect::<String>(), None, 16);
        let inputs = (0..64).map(input).collect::<electra_tasks::Result<Vec<_>>>()?;
        let label = |bits: u32| Label::Class(usize::from(bits.count_ones() > 3));
        let lines = Lines(self.0.clone(), inputs.clone(), (0..64).map(label).collect());
        let examples = report::Examples { train: 64, dev: 64, test: 0 };
        Ok(LoadedTask::each_once(&site.config.train, inputs, examples, vec![Split::Dev], lines))
    }
}

impl TaskData for Lines {
    fn head(
        self: Arc<Self>,
        path: &Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
    ) -> Result<Box<dyn TaskHead>> {
        Ok(Box::new(Head(SentenceNet::new(path, encoder, &config.head, &self.0)?, self)))
    }
    fn label(&self, example: usize) -> serde_json::Value {
        self.0.text(self.2[example]).into()
    }
}

impl TaskHead for Head {
    fn name(&self) -> &'static str {
        "majority"
    }
    fn losses(&self, x: &Tensor, batch: &BatchTensors, lines: &[usize], train: bool) -> RowLosses {
        let labels: Vec<Label> = lines.iter().map(|&line| self.1.2[line]).collect();
        self.0.losses(x, batch, &labels, train)
    }
    fn answers(&self, body: &Body, _: &Split, batch_size: usize) -> Box<dyn Answers> {
        let predicted = body.predict(&self.1.1, batch_size, |x, batch| self.0.predict(x, batch));
        let labels = predicted.into_iter().map(|prediction| prediction.label).collect();
        Box::new(Predicted(Arc::clone(&self.1), labels))
    }
}

impl Answers for Predicted {
    fn score(&self) -> Scores {
        self.0.0.score(&self.1, &self.0.2)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, config, out] = arguments.as_slice() else { anyhow::bail!("name MODEL CONFIG OUT") };
    let task = Majority(LabelSpace::Classes(vec!["no".to_owned(), "yes".to_owned()]));
    let config = FinetuneConfig::read(config.as_ref(), &[])?;
    Finetune::new(&task, "", model, &config, out).run(&false.into(), &mut |_| {})?;
    Ok(())
}
