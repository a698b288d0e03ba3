//! A kind of task of your own, from outside the crate: its data made in code, its answers and scores.
//!
//! Run with `cargo run -p electra-tasks --example custom_task -- MODEL CONFIG OUT`.

use electra_model::EncoderConfig;
use electra_tasks::problem::{Features, LoadSite, Loaded, Problem, Split};
use electra_tasks::scores::{Metric, Scores};
use electra_tasks::{Answers, Finetune, FinetuneConfig, Target, batch::encode, report::Examples};
use electra_tasks::{heads::SentenceHead, objective::Answering};
use std::sync::Arc;
use tch::nn::Path;

/// Are more than three of the words `a`? Learned from all lines of six words `a` and `b`, and scored on them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Majority(Answers);

impl Problem for Majority {
    type Head = SentenceHead;
    type Data = Features<Target>;
    type Answers = Vec<Target>;

    fn name(&self) -> &str {
        "majority"
    }
    fn metric(&self) -> Metric {
        Metric::Accuracy
    }
    fn load(&self, site: &LoadSite<'_>) -> electra_tasks::Result<Loaded<Self>> {
        let row = |bits: u32| {
            let text: String = (0..6).map(|i| ["b ", "a "][(bits >> i & 1) as usize]).collect();
            let target = Target::Class(usize::from(bits.count_ones() > 3));
            encode(site.tokenizer, &text, None, 16, target).map(Arc::new)
        };
        let all: Features<Target> = (0..64).map(row).collect::<electra_tasks::Result<_>>()?;
        let examples = Examples { train: 64, dev: 64, test: 0 };
        Ok(Loaded::each_once(&site.config.train, all.clone(), examples, vec![Split::Dev], all))
    }
    fn head(
        &self,
        path: &Path<'_>,
        encoder: &EncoderConfig,
        config: &FinetuneConfig,
        _: &Self::Data,
    ) -> electra_model::Result<SentenceHead> {
        SentenceHead::new(path, encoder, &config.head, &self.0)
    }
    fn answers(
        &self,
        network: Answering<'_, SentenceHead>,
        data: &Self::Data,
        _: &Split,
        batch: usize,
    ) -> Vec<Target> {
        network.predict(data, batch).into_iter().map(|said| said.answer).collect()
    }
    fn score(&self, data: &Self::Data, _: &Split, answers: &Vec<Target>) -> Scores {
        self.0.score(answers, &data.iter().map(|row| row.target).collect::<Vec<_>>())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, config, out] = arguments.as_slice() else { anyhow::bail!("name MODEL CONFIG OUT") };
    let task = Majority(Answers::Classes(vec!["no".to_owned(), "yes".to_owned()]));
    let config = FinetuneConfig::read(config.as_ref(), &[])?;
    Finetune::new(&task, "", model, &config, out).run(&false.into(), &mut |_| {})?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use electra_tasks::{Completion, Weights};
    use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};

    #[test]
    fn a_task_of_your_own_is_trained_scored_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let sizes = format!("{root}/tests/fixtures/foreign/base/config.json");
        std::fs::copy(sizes, dir.path().join("config.json")).unwrap();
        let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"].map(str::to_owned);
        let vocab = Vocab::from_tokens(tokens.to_vec()).unwrap();
        let tokenizer = WordPiece::new(vocab, TokenizerConfig::default()).unwrap();
        tokenizer.write_pretrained(dir.path(), 16).unwrap();
        let sets = ["train.max_length=16", "train.epochs=40", "optimizer.learning_rate=1e-2"];
        let sets = sets.map(str::to_owned);
        let preset = format!("{root}/configs/finetune-tiny.toml");
        let config = FinetuneConfig::read(preset.as_ref(), &sets).unwrap();
        let out = dir.path().join("out");
        let task = Majority(Answers::Classes(vec!["no".to_owned(), "yes".to_owned()]));
        let mut finetune = Finetune::new(&task, "", dir.path(), &config, &out);
        finetune.weights = Weights::Random;
        let Completion::Finished(report) = finetune.run(&false.into(), &mut |_| {}).unwrap() else {
            panic!("it was not asked to stop")
        };
        // 22 of 64 lines have more than three words `a`: a constant is right for 42 of them.
        let score = report.seeds[0].dev_score(Metric::Accuracy).unwrap();
        assert!(score > 42.0 / 64.0, "{score}");
        assert!(out.join("model/task.json").is_file());
    }
}
