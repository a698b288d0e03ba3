//! A custom objective: masked language modeling with a loss at `[MASK]` positions only. It has one network and its own
//! name, loss and metrics, and uses the same training loop and run folder.
//!
//! Run with `cargo run -p electra-train --example custom_objective -- configs/pretrain-tiny.toml SHARDS OUT`.

use anyhow::{Context, Result};
use electra_data::MaskedBatch;
use electra_model::{EncoderInput, Generator, PaddingMask};
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    export::ExportPart,
    metrics::Observations,
    objective::{Batch, LossCounts, Objective, ObjectiveSite, Pass, TrainedNetwork},
};
use tch::{Device, Kind, Reduction, Tensor};

/// The mean cross-entropy over the `[MASK]` positions.
#[derive(Debug)]
struct MaskOnly {
    network: Generator,
    device: Device,
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
        Ok(Self { network, device: site.path.device() })
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
        let shape = [part.batch as i64, part.length as i64];
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let rows = part.attention_mask.chunks(part.length);
        let lengths: Vec<usize> = rows.map(|row| row.iter().sum::<i64>() as usize).collect();
        let mask = PaddingMask::from_lengths(&lengths, part.length, self.device);
        let (ids, segments) = (tensor(&part.generator_ids), tensor(&part.token_type_ids));
        let input = EncoderInput::new(ids.view(shape), segments.view(shape), mask);
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
            0.0,
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
    Ok(Recipe::from_config(config).with_objective(MaskOnly::new))
}

#[cfg(test)]
mod tests {
    use electra_data::{BuildConfig, Corpus, CorpusConfig, build_shards};
    use electra_model::hf::{Architecture, Pretrained};
    use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};
    use electra_train::{Existing, Start, export::ExportPart};

    #[test]
    fn one_network_is_trained_and_the_manifest_has_the_objectives_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = "one two three four.\n\nfive six seven eight.\n\nnine ten eleven twelve.";
        std::fs::write(path("corpus.txt"), text).unwrap();
        let config = TokenizerConfig::default();
        let texts = [Ok::<_, std::convert::Infallible>(text)];
        let vocab = train_vocab(texts, &config, &TrainConfig::new(60)).unwrap();
        let size = format!("model.vocab_size={}", vocab.len());
        let build = BuildConfig { held_out: 0.0, ..BuildConfig::new(path("shards"), 16) };
        let corpus = Corpus::open(path("corpus.txt").as_ref(), CorpusConfig::default()).unwrap();
        build_shards(&corpus, &WordPiece::new(vocab, config).unwrap(), &build, &mut |_| {})
            .unwrap();

        let preset = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/pretrain-tiny.toml");
        let overrides = [
            format!("data.shards={}", path("shards")),
            size,
            "train.steps=2".into(),
            "evaluate.every=0".into(),
        ];
        let recipe = super::recipe(preset, &overrides).unwrap();
        recipe.pretrain(&Start::new(path("run"))).unwrap();
        let manifest = std::fs::read_to_string(path("run/manifest.json")).unwrap();
        assert!(manifest.contains("mask-only"), "{manifest}");
        let weights = path("run/checkpoints/step-0000002/model.safetensors");
        let weights = electra_model::tensors::read(weights.as_ref()).unwrap();
        assert!(weights.iter().all(|(name, _)| name.starts_with("encoder.")));

        let (run, model) = (path("run"), path("model"));
        recipe.export(run.as_ref(), ExportPart::Default, model.as_ref(), Existing::Refuse).unwrap();
        let exported = Pretrained::read(model.as_ref()).unwrap();
        assert_eq!(exported.config.architecture, Architecture::ElectraForMaskedLM);
    }
}
