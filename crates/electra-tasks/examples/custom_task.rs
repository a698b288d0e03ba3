//! A kind of task of your own, from outside the crate: its data made in code, its head, its predictions and their
//! scores.
//!
//! Run with `cargo run -p electra-tasks --example custom_task -- MODEL CONFIG OUT`.

use electra_scores::{Label, LabelSpace, Metric, Scores};
use electra_tasks::task_kind::{Network, TaskKind, TrainingSet};
use electra_tasks::{Finetune, FinetuneConfig, HeadSite, LoadSite, LoadedTask, Task};
use electra_tasks::{
    batch::Input, kinds::sentence::SentenceNet, kinds::sentence::SentencePrediction,
};
use electra_tasks::{split::Splits, task_kind};
use std::collections::BTreeMap;

/// Are more than three of the words `a`? Learned from all lines of six words `a` and `b`, and scored on them.
#[derive(Clone, Debug)]
pub(crate) struct Majority(pub(crate) LabelSpace);

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
        let labels: Vec<Label> = (0..64).map(label).collect();
        let dev = (inputs.clone(), labels.clone());
        let train =
            TrainingSet { examples: 64, inputs: inputs.into(), labels, left_out: Vec::new() };
        let splits = Splits { dev, more_dev: BTreeMap::new(), test: None };
        Ok(task_kind::loaded(self.clone(), &site.config.train, train, splits))
    }
}

impl TaskKind for Majority {
    type Label = Label;
    type Examples = (Vec<Input>, Vec<Label>);
    type Net = SentenceNet;
    type Prediction = SentencePrediction;

    fn head_name(&self) -> &'static str {
        "majority"
    }
    fn net(&self, site: &HeadSite<'_>) -> electra_model::Result<SentenceNet> {
        SentenceNet::new(site, &self.0)
    }
    fn label_json(&self, label: &Label) -> serde_json::Value {
        self.0.text(*label).into()
    }
    fn count(&self, (inputs, _): &Self::Examples) -> usize {
        inputs.len()
    }
    fn predict(
        &self,
        network: &Network<'_, Self>,
        (inputs, _): &Self::Examples,
    ) -> Vec<SentencePrediction> {
        network.predict(inputs)
    }
    fn score(&self, (_, labels): &Self::Examples, predictions: &[SentencePrediction]) -> Scores {
        let predicted: Vec<Label> = predictions.iter().map(|p| p.label).collect();
        self.0.score(&predicted, labels)
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
