//! The heads of question answering: the start of an answer, its end given the start, and answerability.

use crate::{
    batch::RowShape,
    config::{HeadKind, SpanConfig},
    head::{HeadInput, HeadNet, HeadSite, RowLosses},
};
use electra_model::init::{self, Dense};
use electra_train::metrics::Observations;
use tch::{Kind, Reduction, Tensor, nn, nn::Module};

/// The width of the hidden layers in the reference's head.
const HIDDEN: i64 = 512;
/// The amount subtracted from the logits of positions that cannot be part of an answer.
const MASKED: f64 = 1000.0;

/// The training target of a window: token positions in the input, both inclusive; 0 (`[CLS]`) if the window does not
/// contain the complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanTarget {
    /// The answer's first token.
    pub start: usize,
    /// Its last token.
    pub end: usize,
    /// Whether the question has no answer in the whole context; false, as in the reference, for a window that just does
    /// not contain it.
    pub impossible: bool,
}

/// The output for a window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowPrediction {
    /// The possible answers: spans without `[CLS]`, with start before end, of at most `max_answer_length` tokens.
    pub spans: Vec<Span>,
    /// The score of "no answer": the reference's logit, or the sum of Hugging Face's logits of `[CLS]`; NaN if the
    /// score of any span is NaN or infinite.
    pub null: f64,
}

/// A span of a window's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The position of its first token.
    pub start: usize,
    /// The position of its last token.
    pub end: usize,
    /// Its log-probability, or the sum of two logits of Hugging Face's head.
    pub score: f64,
}

/// The reference's head, or Hugging Face's.
///
/// Variables of the reference's: `start`, `end_hidden`, `end`, `impossible_hidden`, `impossible`; of Hugging Face's:
/// `weight` and `bias` of one layer to two logits. Dropout of `head.dropout` before either head; the
/// originals have none.
///
/// Source: reference `finetune/qa/qa_tasks.py`, `QATask.get_prediction_module`; transformers'
/// `ElectraForQuestionAnswering`. Departure from the latter: positions other than `[CLS]` and the context
/// are masked.
#[derive(Debug)]
pub struct SpanNet {
    layers: Layers,
    dropout: f64,
    config: SpanConfig,
}

#[derive(Debug)]
enum Layers {
    Reference {
        start: nn::Linear,
        end_hidden: nn::Linear,
        end: nn::Linear,
        impossible_hidden: nn::Linear,
        impossible: nn::Linear,
    },
    Hf(nn::Linear),
}

impl SpanNet {
    /// A head with fresh variables.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &HeadSite<'_>, config: &SpanConfig) -> electra_model::Result<Self> {
        let HeadSite { path, encoder, config: head } = *site;
        let h = encoder.hidden;
        let dense = |path: &nn::Path<'_>, input, output, kind| {
            init::dense(path, input, output, kind, &encoder.initializer)
        };
        let layer = |name: &str, input, output| dense(&(path / name), input, output, Dense::Glorot);
        let layers = match head.kind {
            HeadKind::Reference => Layers::Reference {
                start: layer("start", h, 1)?,
                end_hidden: layer("end_hidden", 2 * h, HIDDEN)?,
                end: layer("end", HIDDEN, 1)?,
                impossible_hidden: layer("impossible_hidden", 2 * h, HIDDEN)?,
                impossible: layer("impossible", HIDDEN, 1)?,
            },
            HeadKind::Hf => Layers::Hf(dense(path, h, 2, Dense::Normal)?),
        };
        Ok(Self { layers, dropout: head.dropout, config: config.clone() })
    }

    /// The output for one row, from its hidden states `hidden_ph` at `positions`.
    fn row(&self, hidden_ph: &Tensor, positions: &[usize]) -> WindowPrediction {
        let beam = self.config.beam.min(positions.len());
        match &self.layers {
            Layers::Reference { start, end_hidden, end, .. } => {
                let start_p = start.forward(hidden_ph).squeeze_dim(-1).log_softmax(-1, Kind::Float);
                let (start_k, places_k) = start_p.topk(beam as i64, -1, true, true);
                let hidden_kh = hidden_ph.index_select(0, &places_k);
                let (from_start, from_token) = halves(end_hidden);
                let of_start_k1d =
                    hidden_kh.linear(&from_start, end_hidden.bs.as_ref()).unsqueeze(1);
                let of_token_1pd = hidden_ph.linear(&from_token, None::<&Tensor>).unsqueeze(0);
                let end_kp = end
                    .forward(&(of_start_k1d + of_token_1pd).gelu("none"))
                    .squeeze_dim(-1)
                    .log_softmax(-1, Kind::Float);
                let (end_km, ends_km) = end_kp.topk(beam as i64, -1, true, true);
                let scores_km = start_k.unsqueeze(-1) + end_km;
                let null = self.impossible(hidden_ph, &start_p.exp()).double_value(&[]);
                self.window(positions, &places_k, &ends_km, &scores_km, null)
            }
            Layers::Hf(outputs) => {
                let logits_p2 = outputs.forward(hidden_ph);
                let (start_p, end_p) = (logits_p2.select(-1, 0), logits_p2.select(-1, 1));
                let (start_k, places_k) = start_p.topk(beam as i64, -1, true, true);
                let (end_m, ends_m) = end_p.topk(beam as i64, -1, true, true);
                let scores_km = start_k.unsqueeze(-1) + end_m.unsqueeze(0);
                let ends_km = ends_m.unsqueeze(0).expand_as(&scores_km);
                let null = start_p.double_value(&[0]) + end_p.double_value(&[0]);
                self.window(positions, &places_k, &ends_km, &scores_km, null)
            }
        }
    }

    /// The possible answers in a beam, in its order, with the score of "no answer".
    fn window(
        &self,
        positions: &[usize],
        starts_k: &Tensor,
        ends_km: &Tensor,
        scores_km: &Tensor,
        null: f64,
    ) -> WindowPrediction {
        let integers = |tensor: &Tensor| Vec::<i64>::try_from(tensor.flatten(0, -1));
        let starts = integers(starts_k).expect("places of a beam are int64");
        let ends = integers(&ends_km.contiguous()).expect("places of a beam are int64");
        let scores = Vec::<f32>::try_from(scores_km.contiguous().flatten(0, -1));
        let scores = scores.expect("scores of a beam are float");
        let width = ends.len() / starts.len().max(1);
        let mut spans = Vec::new();
        for (i, (&end, &score)) in ends.iter().zip(&scores).enumerate() {
            let (start, end) = (positions[starts[i / width] as usize], positions[end as usize]);
            if start > 0 && start <= end && end - start < self.config.max_answer_length {
                spans.push(Span { start, end, score: f64::from(score) });
            }
        }
        // A corrupt network must be noticed even if none of these spans is a possible answer.
        let finite = scores.iter().all(|score| score.is_finite());
        WindowPrediction { spans, null: if finite { null } else { f64::NAN } }
    }

    /// The logit of "no answer" for rows `[b, s, h]` or one row `[s, h]`, from the hidden state of `[CLS]` and the mean
    /// of all weighted by the probabilities of starts.
    fn impossible(&self, hidden_sh: &Tensor, starts_s: &Tensor) -> Tensor {
        let Layers::Reference { impossible_hidden, impossible, .. } = &self.layers else {
            return Tensor::zeros([1], (Kind::Float, hidden_sh.device()));
        };
        let mean_h = (hidden_sh * starts_s.unsqueeze(-1)).sum_dim_intlist(-2, false, Kind::Float);
        let both_2h = Tensor::cat(&[hidden_sh.select(-2, 0), mean_h], -1);
        impossible.forward(&impossible_hidden.forward(&both_2h).gelu("none")).squeeze_dim(-1)
    }
}

/// The two halves of the layer over the hidden states of a start and a token: `[512, h]` each.
fn halves(end_hidden: &nn::Linear) -> (Tensor, Tensor) {
    let h = end_hidden.ws.size()[1] / 2;
    (end_hidden.ws.narrow(1, 0, h), end_hidden.ws.narrow(1, h, h))
}

/// The unmasked positions: `[CLS]`, the context and the last `[SEP]`.
fn positions(row: &RowShape) -> Vec<usize> {
    std::iter::once(0).chain(row.segment_b_start..row.length).collect()
}

impl HeadNet for SpanNet {
    type Label = SpanTarget;
    type Output = WindowPrediction;

    /// # Shapes
    /// - Outputs: the logits of starts and of ends, `[b, s]` each.
    fn losses(&self, x: &HeadInput<'_>, targets: &[&SpanTarget]) -> RowLosses {
        let (device, batch) = (x.hidden_bsh.device(), x.batch);
        let hidden_bsh = x.hidden_bsh.dropout(self.dropout, x.train);
        let (_, s, h) = hidden_bsh.size3().expect("hidden states are [b, s, h]");
        let of = |pick: &dyn Fn(&SpanTarget) -> i64| {
            let picked: Vec<i64> = targets.iter().copied().map(pick).collect();
            Tensor::from_slice(&picked).to_device(device)
        };
        let (first_b, last_b) = (of(&|t| t.start as i64), of(&|t| t.end as i64));
        let masked_bs = {
            let mut masked = vec![MASKED as f32; batch.rows.len() * s as usize];
            for (row, logits) in batch.rows.iter().zip(masked.chunks_mut(s as usize)) {
                positions(row).into_iter().for_each(|place| logits[place] = 0.0);
            }
            Tensor::from_slice(&masked).view([-1, s]).to_device(device)
        };
        let cross_entropy = |logits_bs: &Tensor, place_b: &Tensor| {
            logits_bs.cross_entropy_loss(place_b, None::<&Tensor>, Reduction::None, -100, 0.0)
        };
        match &self.layers {
            Layers::Reference { start, end_hidden, end, .. } => {
                let start_bs = start.forward(&hidden_bsh).squeeze_dim(-1) - &masked_bs;
                let (from_start, from_token) = halves(end_hidden);
                let places_b1h = first_b.view([-1, 1, 1]).expand([-1, 1, h], false);
                let of_start_b1d = hidden_bsh
                    .gather(1, &places_b1h, false)
                    .linear(&from_start, end_hidden.bs.as_ref());
                let of_token_bsd = hidden_bsh.linear(&from_token, None::<&Tensor>);
                let end_bs =
                    end.forward(&(of_start_b1d + of_token_bsd).gelu("none")).squeeze_dim(-1)
                        - &masked_bs;
                let none_b = self.impossible(&hidden_bsh, &start_bs.softmax(-1, Kind::Float));
                let impossible_b = of(&|t| i64::from(t.impossible)).to_kind(Kind::Float);
                let answerable_b = none_b.binary_cross_entropy_with_logits::<Tensor>(
                    &impossible_b,
                    None,
                    None,
                    Reduction::None,
                );
                let spans_b =
                    (cross_entropy(&start_bs, &first_b) + cross_entropy(&end_bs, &last_b)) / 2.0;
                let losses_b = spans_b + answerable_b * self.config.answerable_weight;
                RowLosses { losses_b, outputs: vec![start_bs, end_bs] }
            }
            Layers::Hf(outputs) => {
                let logits_bs2 = outputs.forward(&hidden_bsh);
                let start_bs = logits_bs2.select(-1, 0) - &masked_bs;
                let end_bs = logits_bs2.select(-1, 1) - &masked_bs;
                let losses_b =
                    (cross_entropy(&start_bs, &first_b) + cross_entropy(&end_bs, &last_b)) / 2.0;
                RowLosses { losses_b, outputs: vec![start_bs, end_bs] }
            }
        }
    }

    fn predict(&self, x: &HeadInput<'_>) -> Vec<WindowPrediction> {
        let HeadInput { hidden_bsh, batch, .. } = x;
        let mut predictions = Vec::with_capacity(batch.rows.len());
        for (number, row) in batch.rows.iter().enumerate() {
            let positions = positions(row);
            let places: Vec<i64> = positions.iter().map(|&place| place as i64).collect();
            let places_p = Tensor::from_slice(&places).to_device(hidden_bsh.device());
            let hidden_ph = hidden_bsh.get(number as i64).index_select(0, &places_p);
            predictions.push(self.row(&hidden_ph, &positions));
        }
        predictions
    }

    /// The accuracy of starts and of ends.
    fn observe(&self, targets: &[&SpanTarget], outputs: &[Tensor], seen: &mut Observations) {
        type Pick = fn(&SpanTarget) -> usize;
        let picks: [(&'static str, Pick); 2] =
            [("start_accuracy", |target| target.start), ("end_accuracy", |target| target.end)];
        for ((name, pick), logits_bs) in picks.into_iter().zip(outputs) {
            let places: Vec<i64> = targets.iter().map(|target| pick(target) as i64).collect();
            let places_b = Tensor::from_slice(&places).to_device(logits_bs.device());
            seen.mean(name, &logits_bs.argmax(-1, false).eq_tensor(&places_b));
        }
    }
}
