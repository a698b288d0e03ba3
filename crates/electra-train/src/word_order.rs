//! A linear probe on frozen hidden states: how well they tell texts from the same texts with shuffled words.

use crate::error::Result;
use electra_data::{
    ShardSet,
    rng::{CounterRng, Purpose},
};
use electra_model::{Encoder, EncoderInput, Row};
use tch::{Device, Kind, Tensor, no_grad};

/// Seed of the shuffled words, the same for all runs.
const SEED: u64 = 0;

/// Maximum number of texts, of which one half is fitted and the other one scored.
const TEXTS: u64 = 1024;

/// Maximum tokens of a text without `[CLS]` and `[SEP]`. Longer texts would make the task too easy, and different for runs
/// with other sequence lengths.
const LENGTH: usize = 30;

/// Minimum words of a text.
const WORDS: usize = 4;

/// Texts per forward pass, each with its shuffled copy.
const BATCH: usize = 32;

/// Weight of the ridge penalty, relative to the variance of a feature.
const RIDGE: f64 = 0.1;

/// Fewer texts are reported with the standard error of the accuracy.
const FEW: usize = 200;

/// Held-out texts, each followed by a copy with shuffled words. A linear classifier is fitted on the mean of an encoder's
/// last hidden states over the first half of the texts, and scored on the second half. A bag of words has an accuracy of 0.5,
/// since both copies have the same words.
#[derive(Debug)]
pub(crate) struct WordOrderProbe {
    /// `[CLS] text [SEP]`, original and shuffled in turn.
    inputs: Vec<Vec<u32>>,
    /// How many of the inputs are fitted.
    fitted: usize,
    pad: u32,
}

impl WordOrderProbe {
    /// Selects texts: the start of the first segment of evenly spaced examples. `None`, with a warning, if there are fewer
    /// than 2.
    ///
    /// # Errors
    /// If a shard cannot be read.
    pub(crate) fn new(split: &ShardSet) -> Result<Option<Self>> {
        let (continues, special) = (split.continuations()?, split.special());
        let examples = split.len().min(TEXTS);
        let mut inputs = Vec::new();
        for i in 0..examples {
            let index = i * split.len() / examples;
            let example = split.example(index)?;
            // Without [CLS] and the [SEP] of the first segment.
            let text = &example.ids[1..example.second - 1];
            let words = words(text, &continues);
            let mut rng = CounterRng::new(SEED, Purpose::Probe, 0, index);
            if let Some(shuffled) = shuffled(&words, &mut rng) {
                for words in [&words, &shuffled] {
                    inputs.push([&[special.cls], &words.concat()[..], &[special.sep]].concat());
                }
            }
        }
        let texts = inputs.len() / 2;
        let fitted = texts / 2;
        if fitted == 0 {
            tracing::warn!(
                "evaluate.probe: {texts} of {examples} held-out examples have {WORDS} words or more, and at least 2 are \
                 needed: rows of metrics have no probe_accuracy"
            );
            return Ok(None);
        }
        if texts < FEW {
            let scored = 2 * (texts - fitted);
            tracing::warn!(
                "evaluate.probe: there are only {texts} held-out texts of {WORDS} words or more; probe_accuracy has a \
                 standard error of up to {:.2}",
                0.5 / (scored as f64).sqrt()
            );
        }
        Ok(Some(Self { inputs, fitted: 2 * fitted, pad: special.pad }))
    }

    /// The accuracy on the texts that are not fitted; NaN if a hidden state is not finite.
    ///
    /// # Errors
    /// If libtorch cannot solve the linear equations.
    pub(crate) fn accuracy(&self, encoder: &Encoder, device: Device) -> Result<f64> {
        no_grad(|| {
            let batches = self.inputs.chunks(2 * BATCH);
            let means: Vec<Tensor> =
                batches.map(|inputs| self.means_bh(encoder, inputs, device)).collect();
            let x_nh = Tensor::cat(&means, 0).to_device(Device::Cpu).to_kind(Kind::Double);
            if x_nh.isfinite().all().int64_value(&[]) == 0 {
                return Ok(f64::NAN);
            }
            fit_and_score(&x_nh, self.fitted as i64)
        })
    }

    /// The means of the last hidden states over all tokens, `[b, h]`.
    fn means_bh(&self, encoder: &Encoder, inputs: &[Vec<u32>], device: Device) -> Tensor {
        let rows: Vec<Row<'_>> =
            inputs.iter().map(|ids| Row { ids, segment_b_start: ids.len() }).collect();
        let input = EncoderInput::from_rows(&rows, self.pad, device);
        let keep_bs1 = input.mask().keep_bs().unsqueeze(-1);
        let hidden_bsh = encoder.forward_t(&input, false);
        let sums_bh = (hidden_bsh * &keep_bs1).sum_dim_intlist(1, false, Kind::Float);
        sums_bh / keep_bs1.sum_dim_intlist(1, false, Kind::Float)
    }
}

/// The words of at most [`LENGTH`] tokens, as pieces; a word that does not fit is left out.
fn words<'a>(text: &'a [u32], continues: &[bool]) -> Vec<&'a [u32]> {
    let continues = |id: u32| continues.get(id as usize).copied().unwrap_or(false);
    let mut end = text.len().min(LENGTH);
    while end < text.len() && end > 0 && continues(text[end]) {
        end -= 1;
    }
    text[..end].chunk_by(|_, &next| continues(next)).collect()
}

/// Another order of the words; `None` if there are fewer than [`WORDS`] or all are equal.
fn shuffled<'a>(words: &[&'a [u32]], rng: &mut CounterRng) -> Option<Vec<&'a [u32]>> {
    if words.len() < WORDS || words.iter().all(|word| word == &words[0]) {
        return None;
    }
    let mut shuffled = words.to_vec();
    while shuffled == words {
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, rng.below(last as u64 + 1) as usize);
        }
    }
    Some(shuffled)
}

/// Ridge regression of +1 (even rows) and -1 (odd rows) on the first `fitted` of the features `[n, h]`, standardized; the
/// accuracy of its sign on the other rows (0 is -1).
fn fit_and_score(x_nh: &Tensor, fitted: i64) -> Result<f64> {
    let (n, h) = x_nh.size2()?;
    let fit_nh = x_nh.narrow(0, 0, fitted);
    let mean_h = fit_nh.mean_dim(0, false, Kind::Double);
    let deviation_h = fit_nh.std_dim(0, false, false);
    let x_nh = (x_nh - mean_h) / (deviation_h + 1e-9);
    let labels: Vec<f64> = (0..n).map(|row| if row % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let labels_n1 = Tensor::from_slice(&labels).unsqueeze(-1);
    let (fit_nh, fit_n1) = (x_nh.narrow(0, 0, fitted), labels_n1.narrow(0, 0, fitted));
    let ridge_hh = Tensor::eye(h, (Kind::Double, Device::Cpu)) * RIDGE;
    let covariance_hh = fit_nh.tr().matmul(&fit_nh) / fitted as f64 + ridge_hh;
    let weights_h1 = (fit_nh.tr().matmul(&fit_n1) / fitted as f64)
        .f_cholesky_solve(&covariance_hh.f_linalg_cholesky(false)?, false)?;
    let scored = n - fitted;
    let scores_n1 = x_nh.narrow(0, fitted, scored).matmul(&weights_h1);
    let originals_n1 = labels_n1.narrow(0, fitted, scored).gt(0.0);
    let correct_n1 = scores_n1.gt(0.0).eq_tensor(&originals_n1);
    Ok(correct_n1.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids from 100 on continue a word.
    fn continues() -> Vec<bool> {
        (0..200).map(|id| id >= 100).collect()
    }

    #[test]
    fn words_are_whole() {
        let of = |text: &[u32]| {
            words(text, &continues()).into_iter().map(<[u32]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(of(&[1, 2, 100, 101, 3]), [vec![1], vec![2, 100, 101], vec![3]]);
        // A segment may begin within a word.
        assert_eq!(of(&[100, 1]), [vec![100], vec![1]]);
        // The word at the limit of 30 tokens does not fit.
        let mut long = vec![1; 29];
        long.extend([2, 100, 3]);
        assert_eq!(of(&long), vec![vec![1]; 29]);
        long[30] = 3;
        assert_eq!(of(&long).len(), 30);
    }

    #[test]
    fn shuffled_words_are_another_order_of_the_same_words() {
        for index in 0..100 {
            let mut rng = CounterRng::new(SEED, Purpose::Probe, 0, index);
            let words: [&[u32]; 4] = [&[1], &[1], &[1], &[2, 100]];
            let mut found = shuffled(&words, &mut rng).expect("two words differ");
            assert_ne!(found, words);
            found.sort_unstable();
            assert_eq!(found, words);
            assert!(shuffled(&words[1..], &mut rng).is_none(), "3 words are too few");
            assert!(shuffled(&[&[1][..]; 4], &mut rng).is_none(), "there is one order only");
        }
    }

    fn accuracy(x_n: &[f64], fitted: i64) -> f64 {
        fit_and_score(&Tensor::from_slice(x_n).unsqueeze(-1), fitted).expect("it can be solved")
    }

    /// With a single feature, the boundary is the mean of the fitted rows, and the side of the fitted labels decides.
    #[test]
    fn one_feature_is_split_at_the_mean_of_the_fitted_rows() {
        // The mean is 2; originals, the even rows, are above.
        let fitted = [3.0, 1.0, 4.0, 0.0];
        assert_eq!(accuracy(&[&fitted[..], &[9.0, -9.0]].concat(), 4), 1.0);
        assert_eq!(accuracy(&[&fitted[..], &[-9.0, 9.0]].concat(), 4), 0.0);
        assert_eq!(accuracy(&[&fitted[..], &[2.1, 2.2, 1.8, 1.7]].concat(), 4), 0.5);
    }

    #[test]
    fn features_without_the_order_have_an_accuracy_of_one_half() {
        // Both copies of a text have the same feature.
        let pairs: Vec<f64> =
            (0..20).flat_map(|i| [f64::from(i * 7 % 5), f64::from(i * 7 % 5)]).collect();
        assert_eq!(accuracy(&pairs, 20), 0.5);
    }
}
