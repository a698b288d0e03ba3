//! Another objective, from outside the crate: the generator's masked language modelling alone, with its
//! own name, loss and metrics, trained by the same loop, into the same run folder.
//!
//! Run with `cargo run -p electra-train --example custom_objective -- configs/pretrain-tiny.toml SHARDS OUT`.

use anyhow::{Context, Result};
use electra_data::MaskedBatch;
use electra_model::{PaddingMask, Pretraining};
use electra_train::{
    Recipe, RunConfig, Start,
    metrics::Observations,
    objective::{Loss, Normaliser, Objective, ObjectiveSite},
};
use tch::{Device, Kind, Reduction, Tensor};

/// `L_MLM` of the paper without a discriminator.
#[derive(Debug)]
struct GeneratorOnly {
    networks: Pretraining,
    device: Device,
}

impl GeneratorOnly {
    fn new(site: &ObjectiveSite<'_>) -> electra_train::Result<Self> {
        let networks = Pretraining::new(&site.path, &site.config.model, site.parts)?;
        Ok(Self { networks, device: site.path.device() })
    }
}

impl Objective for GeneratorOnly {
    type Batch = MaskedBatch;
    /// Loss of each masked position, `[p]`.
    type Outputs = Tensor;

    fn name(&self) -> &'static str {
        "generator-only"
    }

    fn normaliser(&self, batch: &MaskedBatch) -> Normaliser {
        Normaliser { predictions: batch.masked_labels.len(), tokens: batch.tokens }
    }

    fn loss(&self, part: &MaskedBatch, whole: &Normaliser, train: bool) -> Loss<Tensor> {
        let shape = [part.batch as i64, part.length as i64];
        let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(self.device);
        let mask = PaddingMask::new(&tensor(&part.attention_mask).view(shape));
        let logits_pv = self.networks.generator.forward_t(
            &tensor(&part.generator_ids).view(shape),
            &tensor(&part.token_type_ids).view(shape),
            &mask,
            &tensor(&part.masked_positions),
            train,
        );
        let labels_p = tensor(&part.masked_labels);
        let losses_p =
            logits_pv.cross_entropy_loss(&labels_p, None::<&Tensor>, Reduction::None, -100, 0.0);
        let total = losses_p.sum(Kind::Float) / whole.predictions as f64;
        Loss { total, outputs: losses_p.detach() }
    }

    fn observe(&self, _: &MaskedBatch, losses_p: &Tensor) -> Observations {
        let mut seen = Observations::default();
        seen.mean("loss", losses_p);
        seen
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().with_context(|| format!("name {what}"));
    let (config, shards, out) =
        (next("a config")?, next("a folder of shards")?, next("a run folder")?);
    run(&config, &[format!("data.shards={shards}")], &out)
}

fn run(config: &str, overrides: &[String], out: &str) -> Result<()> {
    let config = RunConfig::read(config.as_ref(), overrides)?;
    Recipe::from_config(config).with_objective(GeneratorOnly::new).pretrain(&Start::new(out))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use electra_data::{BuildConfig, Corpus, CorpusConfig, PackingConfig, build_shards};
    use electra_tokenize::{TokenizerConfig, TrainConfig, WordPiece, train_vocab};

    #[test]
    fn it_trains_and_its_name_is_in_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = "one two three four.\n\nfive six seven eight.\n\nnine ten eleven twelve.";
        std::fs::write(path("corpus.txt"), text).unwrap();
        let config = TokenizerConfig::default();
        let texts = [Ok::<_, std::convert::Infallible>(text)];
        let vocab = train_vocab(texts, &config, &TrainConfig::new(60)).unwrap();
        let size = format!("model.vocab_size={}", vocab.len());
        let build = BuildConfig {
            out: path("shards").into(),
            packing: PackingConfig::reference(16),
            held_out: 0.0,
            seed: 1,
            existing: electra_data::Existing::Refuse,
        };
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
        super::run(preset, &overrides, &path("run")).unwrap();
        let manifest = std::fs::read_to_string(path("run/manifest.json")).unwrap();
        assert!(manifest.contains("generator-only"), "{manifest}");
    }
}
