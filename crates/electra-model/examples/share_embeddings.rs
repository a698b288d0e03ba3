//! A custom embedding sharing policy: the discriminator uses the generator's embeddings with a stop-gradient, so that
//! only the generator trains them.
//!
//! Run with `cargo run -p electra-model --example share_embeddings`.

use anyhow::{Result, ensure};
use electra_model::{
    BuildEmbeddings, ElectraConfig, EmbeddingPair, Embeddings, EncoderInput, Parts, Pretraining,
    Row, ShareEmbeddings, Site, TokenEmbeddings,
};
use tch::{Device, Kind, Tensor, nn};

/// Shares the generator's embeddings; only the generator trains them.
#[derive(Debug)]
struct StopGradient;

/// Embeddings without gradients.
#[derive(Debug)]
struct Detached(TokenEmbeddings);

impl Embeddings for Detached {
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(ids_bs, segments_bs, train).detach()
    }

    fn token_table(&self) -> Tensor {
        self.0.token_table().detach()
    }

    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        self.0.named_tensors()
    }
}

impl ShareEmbeddings for StopGradient {
    fn pair(
        &self,
        generator: &Site<'_>,
        _: &Site<'_>,
        _: &BuildEmbeddings<'_>,
    ) -> electra_model::Result<EmbeddingPair> {
        let embeddings = TokenEmbeddings::new(generator)?;
        Ok(EmbeddingPair {
            discriminator: Box::new(Detached(embeddings.shallow_clone())),
            generator: Box::new(embeddings),
        })
    }
}

fn main() -> Result<()> {
    let parts = Parts::shipped().with_sharing("stop-gradient", StopGradient);
    let config = parts.applied_to(&ElectraConfig::small(100));
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &parts)?;

    let rows = [Row { ids: &[2, 17, 23, 3], segment_b_start: 4 }];
    let input = EncoderInput::from_rows(&rows, 0, Device::Cpu);
    let logits_bs = networks.discriminator.forward_t(&input, false);
    logits_bs.sum(Kind::Float).backward();
    let table = &vs.variables()["generator.electra.embeddings.word_embeddings.weight"];
    ensure!(!table.grad().defined(), "the discriminator must not train the shared embeddings");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() {
        super::main().unwrap();
    }
}
