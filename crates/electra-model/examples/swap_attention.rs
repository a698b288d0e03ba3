//! A custom self-attention: every position gets the mean over the tokens.
//!
//! Run with `cargo run -p electra-model --example swap_attention`.

use anyhow::Result;
use electra_model::{
    ElectraConfig, EncoderInput, LayerContext, Parts, Pretraining, Row, SelfAttention, Site,
};
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
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, _train: bool) -> Tensor {
        let keep_bs1 = context.mask.keep_bs().unsqueeze(-1);
        let sum_b1h = (x_bsh * &keep_bs1).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        let count_b11 = keep_bs1.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        self.output.forward(&(sum_b1h / count_b11).expand_as(x_bsh))
    }
}

fn main() -> Result<()> {
    let parts = Parts::shipped().with_attention("mean-mix", MeanMix::new);
    let config = parts.applied_to(&ElectraConfig::small(100));
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &parts)?;

    let rows = [Row { ids: &[2, 17, 23, 3], segment_b_start: 4 }];
    let input = EncoderInput::from_rows(&rows, 0, Device::Cpu);
    let logits_bs = networks.discriminator.forward_t(&input, false);
    writeln!(std::io::stdout(), "{:?}: {logits_bs:?}", config.part_names())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() {
        super::main().unwrap();
    }
}
