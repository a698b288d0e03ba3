//! A kind of task of your own, from outside the crate: its data made in code, its answers and scores.
//!
//! Run with `cargo run -p electra-tasks --example custom_task -- MODEL CONFIG OUT`.

use electra_model::{EncoderConfig as Encoder, Result};
use electra_tasks::problem::{Features, LoadSite, Loaded, Problem, Split};
use electra_tasks::scores::{Metric, Scores};
use electra_tasks::{Answers, Finetune, FinetuneConfig as Config, Target};
use electra_tasks::{batch::encode, heads::SentenceHead as Head, objective::Answering, report};
use tch::nn::Path;

/// The lines, each with its class.
type Lines = Features<Target>;

/// Are more than three of the words `a`? Learned from all lines of six words `a` and `b`, and scored on them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Majority(pub(crate) Answers);

impl Problem for Majority {
    type Head = Head;
    type Data = Lines;
    type Answers = Vec<Target>;

    fn name(&self) -> &str {
        "majority"
    }
    fn metric(&self) -> Metric {
        Metric::Accuracy
    }
    fn load(&self, site: &LoadSite<'_>) -> electra_tasks::Result<Loaded<Self>> {
        let line = |bits: u32| {
            let text: String = (0..6).map(|i| ["b ", "a "][(bits >> i & 1) as usize]).collect();
            let target = Target::Class(usize::from(bits.count_ones() > 3));
            encode(site.tokenizer, &text, None, 16, target).map(std::sync::Arc::new)
        };
        let all: Lines = (0..64).map(line).collect::<electra_tasks::Result<_>>()?;
        let examples = report::Examples { train: 64, dev: 64, test: 0 };
        Ok(Loaded::each_once(&site.config.train, all.clone(), examples, vec![Split::Dev], all))
    }
    fn head(&self, path: &Path, encoder: &Encoder, config: &Config, _: &Lines) -> Result<Head> {
        Head::new(path, encoder, &config.head, &self.0)
    }
    fn answers(&self, network: Answering<Head>, all: &Lines, _: &Split, n: usize) -> Vec<Target> {
        network.predict(all, n).into_iter().map(|said| said.answer).collect()
    }
    fn score(&self, all: &Lines, _: &Split, answers: &Vec<Target>) -> Scores {
        self.0.score(answers, &all.iter().map(|line| line.target).collect::<Vec<_>>())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, config, out] = arguments.as_slice() else { anyhow::bail!("name MODEL CONFIG OUT") };
    let task = Majority(Answers::Classes(vec!["no".to_owned(), "yes".to_owned()]));
    let config = Config::read(config.as_ref(), &[])?;
    Finetune::new(&task, "", model, &config, out).run(&false.into(), &mut |_| {})?;
    Ok(())
}
