//! Another self-attention, from outside the crate: every position gets the mean over the tokens.
//!
//! Run with `cargo run -p electra-model --example swap_attention`.

use anyhow::Result;
use electra_model::{ElectraConfig, PaddingMask, Parts, Pretraining, SelfAttention, Site};
use std::io::Write;
use tch::{Device, Kind, Tensor, nn, nn::Module};

/// The mean over the tokens, through one dense layer.
#[derive(Debug)]
struct MeanMix {
    output: nn::Linear,
}

impl MeanMix {
    fn new(site: &Site<'_>) -> electra_model::Result<Self> {
        let h = site.config.hidden;
        Ok(Self {
            output: nn::linear(site.path / "output" / "dense", h, h, nn::LinearConfig::default()),
        })
    }
}

impl SelfAttention for MeanMix {
    fn forward_t(&self, x_bsh: &Tensor, mask: &PaddingMask, _train: bool) -> Tensor {
        let keep_bs1 = mask.keep_bs().unsqueeze(-1);
        let sum_b1h = (x_bsh * &keep_bs1).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let count_b11 = keep_bs1.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        self.output.forward(&(sum_b1h / count_b11).expand_as(x_bsh))
    }
}

fn main() -> Result<()> {
    let mut config = ElectraConfig::small(100);
    (config.generator.layers, config.discriminator.layers) = (1, 2);
    let parts = Parts::from_config(&config).with_attention("mean-mix", MeanMix::new);
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &parts)?;

    let ids_bs = Tensor::from_slice(&[2i64, 17, 23, 3]).view([1, 4]);
    let mask = PaddingMask::all_kept(1, 4, Device::Cpu);
    let logits_bs = networks.discriminator.forward_t(&ids_bs, &ids_bs.zeros_like(), &mask, false);
    writeln!(std::io::stdout(), "{:?}: {logits_bs:?}", parts.names())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
