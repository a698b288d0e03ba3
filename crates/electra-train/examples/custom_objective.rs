//! A custom objective: masked language modeling with a loss at `[MASK]` positions only. It has one network and its own
//! name, setting, loss and metrics, and uses the same training loop and run folder. `mask_only.toml` names it.
//!
//! Run with `cargo run -p electra-train --example custom_objective -- crates/electra-train/examples/mask_only.toml SHARDS OUT`.

use anyhow::{Context, Result};
use electra_data::MaskedBatch;
use electra_model::Generator;
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    export::ExportPart,
    metrics::Observations,
    objective::{
        Batch, LossCounts, Objective, ObjectiveSite, Objectives, Pass, TrainedNetwork, masked_input,
    },
};
use serde::Deserialize;
use tch::{Device, Kind, Reduction, Tensor};

/// The mean cross-entropy over the `[MASK]` positions.
#[derive(Debug)]
struct MaskOnly {
    network: Generator,
    settings: Settings,
    device: Device,
}

/// The keys of `[objective]` besides `kind` and `masking`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The share of the label's probability that is spread over all tokens.
    label_smoothing: f64,
}

/// Losses of the positions, `[p]`, and their sum divided by the count of the whole batch.
struct MaskOnlyPass {
    losses_p: Tensor,
    loss: Tensor,
}

impl MaskOnly {
    fn new(site: &ObjectiveSite<'_>) -> electra_train::Result<Self> {
        let path = &site.path / "encoder";
        let network = Generator::from_config(&path, &site.model.discriminator, site.parts)?;
        Ok(Self { network, settings: site.settings()?, device: site.path.device() })
    }
}

impl Objective for MaskOnly {
    type Batch = MaskedBatch;

    fn name(&self) -> &str {
        "mask-only"
    }

    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![TrainedNetwork::of("encoder", &self.network)]
    }

    fn loss_counts(&self, batch: &MaskedBatch) -> LossCounts {
        let predictions = batch.masked_is_mask.iter().filter(|&&is_mask| is_mask).count();
        LossCounts { predictions, ..batch.loss_counts() }
    }

    fn pass<'a>(
        &'a self,
        part: &'a MaskedBatch,
        whole: &LossCounts,
        train: bool,
    ) -> Box<dyn Pass + 'a> {
        let input = masked_input(part, self.device);
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let at_mask = |values: &[i64]| -> Vec<i64> {
            let values = values.iter().zip(&part.masked_is_mask);
            values.filter(|(_, is_mask)| **is_mask).map(|(value, _)| *value).collect()
        };
        let positions_p = tensor(&at_mask(&part.masked_positions));
        let labels_p = tensor(&at_mask(&part.masked_labels));
        let losses_p = self.network.forward_t(&input, &positions_p, train).cross_entropy_loss(
            &labels_p,
            None::<&Tensor>,
            Reduction::None,
            -100,
            self.settings.label_smoothing,
        );
        let loss = losses_p.sum(Kind::Float) / whole.predictions.max(1) as f64;
        Box::new(MaskOnlyPass { losses_p: losses_p.detach(), loss })
    }
}

impl Pass for MaskOnlyPass {
    fn loss(&mut self, _phase: usize) -> Tensor {
        self.loss.shallow_clone()
    }

    fn observe(&self) -> Observations {
        let mut observations = Observations::default();
        observations.mean("loss", &self.losses_p);
        observations
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        |name: &str| arguments.next().with_context(|| format!("missing argument {name}"));
    let (config, shards, out) = (next("CONFIG")?, next("SHARDS")?, next("OUT")?);
    let recipe = recipe(&config, &[format!("data.shards={shards}")])?;
    recipe.pretrain(&Start::new(&out))?;
    let model = format!("{out}/model");
    recipe.export(out.as_ref(), ExportPart::Default, model.as_ref(), Existing::Refuse)?;
    Ok(())
}

fn recipe(config: &str, overrides: &[String]) -> Result<Recipe> {
    let config = RunConfig::read(config.as_ref(), overrides)?;
    let objectives = Objectives::shipped().with("mask-only", MaskOnly::new);
    Ok(Recipe::from_config(config).with_objectives(objectives))
}

#[cfg(test)]
mod tests {
    use super::{Recipe, RunConfig};
    use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
    use electra_model::hf::{Architecture, Pretrained};
    use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
    use electra_train::{Existing, Start, evaluation::evaluation, export::ExportPart};

    #[test]
    fn a_run_names_its_objective_and_is_resumed_evaluated_and_exported_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = "one two three four.\n\nfive six seven eight.\n\nnine ten eleven twelve.";
        std::fs::write(path("corpus.txt"), text).unwrap();
        let config = TokenizerConfig::default();
        let texts = [Ok::<_, std::convert::Infallible>(text)];
        let vocab = train_vocab(texts, &config, &TrainConfig::new(60)).unwrap();
        let size = format!("model.vocab_size={}", vocab.len());
        let build = BuildConfig { held_out: 0.4, ..BuildConfig::new(path("shards"), 16) };
        let corpus = Corpus::open(path("corpus.txt").as_ref(), CorpusConfig::default()).unwrap();
        build_shards(&corpus, &WordPiece::new(vocab, config).unwrap(), &build, &mut |_| {})
            .unwrap();

        let preset = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mask_only.toml");
        let overrides = [
            format!("data.shards={}", path("shards")),
            size,
            "train.steps=2".into(),
            "evaluate.every=0".into(),
        ];
        let recipe = super::recipe(preset, &overrides).unwrap();
        let first = Start { stop_after: Some(1), ..Start::new(path("run")) };
        recipe.pretrain(&first).unwrap();

        // The run's config has the objective with its settings, and builds it again.
        let saved = std::fs::read_to_string(path("run/config.toml")).unwrap();
        let section =
            "[objective]\nkind = \"mask-only\"\nlabel_smoothing = 0.1\n\n[objective.masking]\n";
        assert!(saved.contains(section), "{saved}");
        let other = super::recipe(
            preset,
            &[&overrides[..], &["objective.label_smoothing=0.2".into()]].concat(),
        );
        let refused = other.unwrap().pretrain(&Start::resume(path("run"))).unwrap_err().to_string();
        assert!(refused.contains("objective.label_smoothing was 0.1, now is 0.2"), "{refused}");
        let recipe = super::recipe(&path("run/config.toml"), &[]).unwrap();
        recipe.pretrain(&Start::resume(path("run"))).unwrap();
        let figures = evaluation(&recipe, path("run").as_ref(), None).unwrap();
        assert!(figures["loss"].as_f64().is_some(), "{figures:?}");

        let manifest = std::fs::read_to_string(path("run/manifest.json")).unwrap();
        assert!(manifest.contains("mask-only"), "{manifest}");
        let weights = path("run/checkpoints/step-0000002/model.safetensors");
        let weights = electra_model::tensors::read(weights.as_ref()).unwrap();
        assert!(weights.iter().all(|(name, _)| name.starts_with("encoder.")));

        let (run, model) = (path("run"), path("model"));
        recipe.export(run.as_ref(), ExportPart::Default, model.as_ref(), Existing::Refuse).unwrap();
        let exported = Pretrained::read(model.as_ref()).unwrap();
        assert_eq!(exported.config.architecture, Architecture::ElectraForMaskedLM);

        // Programs without the objective, and wrong settings, are refused before data is opened.
        let fails = |recipe: Recipe, words: &[&str]| {
            let error = recipe.pretrain(&Start::new(path("never"))).unwrap_err().to_string();
            words.iter().for_each(|word| assert!(error.contains(word), "{word} in {error}"));
        };
        let config = |set: &str| {
            let more = [set.to_owned(), "data.shards=nowhere".to_owned()];
            RunConfig::read(preset.as_ref(), &[&overrides[..], &more].concat()).unwrap()
        };
        let unknown = "objective.kind = mask-only: this program has no such objective";
        fails(
            Recipe::from_config(config("train.seed=1")),
            &[unknown, "known here: replaced-token, bert"],
        );
        let similar =
            super::recipe(preset, &[&overrides[..], &["objective.kind=maskonly".into()]].concat());
        fails(similar.unwrap(), &["objective.kind = maskonly", "did you mean \"mask-only\"?"]);
        let wrong =
            super::recipe(preset, &[&overrides[..], &["objective.smoothing=0.1".into()]].concat());
        fails(wrong.unwrap(), &["unknown field `smoothing`", "label_smoothing"]);
    }
}
