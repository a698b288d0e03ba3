//! The two-tower cloze model: one tower reads from the left, one from the right, and no token sees itself.

use super::{
    generate::Generate,
    inputs::Inputs,
    masked_prediction::{MaskedPrediction, OutputLayer},
    seam::{LossCounts, ObjectiveSite, TrainedNetwork},
};
use crate::error::{Error, Result};
use electra_model::{
    Compute, ElectraConfig, Encoder, EncoderConfig, HeadKind, MaskedLmHead, Network, PartName,
    PretrainingHead, SharedEmbeddings, Site,
};
use tch::{Kind, Tensor, no_grad};

/// Predicts every token of the original text from the tokens on both sides of it, in one pass.
///
/// The state at a token is the last hidden state of the left-to-right tower at the token before it and of the right-to-left
/// tower at the token after it; 0 where there is no such token. The head is that of a masked language model over both.
///
/// Source: reference `run_pretraining.py`, `_get_cloze_outputs`. Departure: the reference wraps around at the ends of the
/// padded row, so that a state may be that of padding.
#[derive(Debug)]
pub(super) struct TwoTower {
    left_to_right: Encoder,
    right_to_left: Encoder,
    head: MaskedLmHead,
    temperature: f64,
}

impl TwoTower {
    /// The parts of a generator that it is built with.
    pub(super) fn validate(model: &ElectraConfig) -> Result<()> {
        let attention = model.generator()?.attention.name();
        if attention != "softmax" {
            let expected =
                "must be \"softmax\" in the generator: the towers restrict it to one side";
            return Err(Error::value("model.attention.kind", attention, expected));
        }
        match model.sharing.name() {
            "tied-all" => {
                let expected = "shares all weights, but the two towers are separate encoders: use \"tied\", which shares the \
                                embeddings";
                Err(Error::value("model.sharing.kind", "tied-all", expected))
            }
            _ => Ok(()),
        }
    }

    /// Builds the towers under `left_to_right` and `right_to_left`, the head under `cloze`, and the network that is trained
    /// on its samples under `role`.
    pub(super) fn build<H: PretrainingHead>(
        role: &str,
        site: &ObjectiveSite<'_>,
        temperature: f64,
    ) -> Result<(Self, Network<H>)> {
        let ObjectiveSite { path, model, parts, .. } = site;
        model.validate()?;
        Self::validate(model)?;
        parts.check_pair(model)?;
        let (config, kept) = (model.generator()?, &model.discriminator);
        let kept_path = path / role;
        let own_embeddings = path / "cloze" / "electra" / "embeddings";
        let kept_embeddings = &kept_path / "electra" / "embeddings";
        let pair = parts.sharing(&model.sharing)?.pair(
            &Site::new(&own_embeddings, config),
            &Site::new(&kept_embeddings, kept),
            &|site| parts.embeddings(site),
        )?;
        let network = Network::new(&kept_path, kept, parts, pair.discriminator)?;
        let embeddings = SharedEmbeddings::new(pair.generator);
        let tower = |name: &str| {
            let attention = PartName::new(&name.replace('_', "-"));
            let config = EncoderConfig { attention, ..config.clone() };
            let embeddings = Box::new(embeddings.clone());
            Encoder::new(&(path / name / "electra"), &config, parts, embeddings)
        };
        let (left_to_right, right_to_left) = (tower("left_to_right")?, tower("right_to_left")?);
        let both = EncoderConfig { hidden: 2 * config.hidden, ..config.clone() };
        let head = MaskedLmHead::new(&(path / "cloze"), &both)?;
        Ok((Self { left_to_right, right_to_left, head, temperature }, network))
    }

    /// The input of the output layer for every token of the original text.
    ///
    /// # Shapes
    /// - Result: `[b * s, e]` float.
    pub(super) fn features_te(&self, inputs: &Inputs, train: bool) -> Tensor {
        let original = inputs.masked.with_ids(inputs.ids_bs.shallow_clone());
        let keep_bs1 = inputs.masked.mask().keep_bs().unsqueeze(-1);
        let tower = |encoder: &Encoder| encoder.forward_t(&original, train) * &keep_bs1;
        let (left_bsh, right_bsh) = (tower(&self.left_to_right), tower(&self.right_to_left));
        let s = left_bsh.size()[1];
        let end_b1h = left_bsh.narrow(1, 0, 1).zeros_like();
        let before_bsh = Tensor::cat(&[&end_b1h, &left_bsh.narrow(1, 0, s - 1)], 1);
        let after_bsh = Tensor::cat(&[&right_bsh.narrow(1, 1, s - 1), &end_b1h], 1);
        let state_bsh = Tensor::cat(&[before_bsh, after_bsh], -1);
        self.head.features(&state_bsh.flatten(0, 1))
    }

    /// The mean loss is over all tokens that may be masked; predictions and samples are those at the masked positions.
    pub(super) fn predict_from(&self, features_te: &Tensor, inputs: &Inputs) -> MaskedPrediction {
        let maskable_m = &inputs.maskable_m();
        let labels_m = inputs.ids_bs.flatten(0, 1).index_select(0, maskable_m);
        let uniforms_m = labels_m.zeros_like().to_kind(Kind::Float);
        let output = self.output_layer();
        let all = output.predict(&features_te.index_select(0, maskable_m), &labels_m, &uniforms_m);
        let at_pe = features_te.index_select(0, &inputs.predicted_p());
        let masked = no_grad(|| output.predict(&at_pe, &inputs.labels_p, &inputs.uniforms_p));
        MaskedPrediction { loss: all.loss, ..masked }
    }

    /// The log-probability of the token `ids_bs` at each position, given the other tokens of the original text, without a
    /// gradient.
    ///
    /// # Shapes
    /// - `features_te`: from [`Self::features_te`]. Result: `[b, s]` float.
    pub(super) fn log_probabilities_bs(&self, features_te: &Tensor, ids_bs: &Tensor) -> Tensor {
        no_grad(|| {
            let labels_t = ids_bs.flatten(0, 1);
            let uniforms_t = labels_t.zeros_like().to_kind(Kind::Float);
            let prediction = self.output_layer().predict(features_te, &labels_t, &uniforms_t);
            -prediction.losses_p.view_as(ids_bs)
        })
    }

    fn output_layer(&self) -> OutputLayer {
        OutputLayer {
            table_ve: self.head.table(&self.left_to_right.embeddings().token_table()),
            bias_v: self.head.bias(),
            temperature: self.temperature,
            disallow_correct: false,
            compute: Compute::of(self.left_to_right.config()),
        }
    }
}

impl Generate for TwoTower {
    fn networks(&self) -> Vec<TrainedNetwork<'_>> {
        vec![
            TrainedNetwork::with_head("left_to_right", &self.left_to_right, HeadKind::Cloze),
            TrainedNetwork::with_head("right_to_left", &self.right_to_left, HeadKind::None),
        ]
    }

    fn loss_count(&self, whole: &LossCounts) -> usize {
        whole.maskable
    }

    fn predict(&self, inputs: &Inputs, train: bool) -> MaskedPrediction {
        self.predict_from(&self.features_te(inputs, train), inputs)
    }
}
