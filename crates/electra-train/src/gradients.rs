//! Losses and gradients of a given batch, for comparing an objective with another implementation.

use crate::{
    error::{Error, Result},
    objective::Pass,
    recipe::Recipe,
    state,
};
use electra_data::MaskedBatch;
use electra_model::{
    EncoderConfig,
    tensors::{self, Named},
};
use electra_tokenize::SpecialTokens;
use std::path::Path;
use tch::{Kind, Tensor};

impl Recipe {
    /// The losses and gradients of `batch` at the weights of the file `weights`, without dropout: `loss`, `loss.PART` for
    /// each part of the loss, and `grad.VARIABLE` for each variable. With several phases, `loss` is the sum of their losses,
    /// and no optimizer step is made between them.
    ///
    /// # Errors
    /// If the weights cannot be read or are not those of the config's networks; if they are in a checkpoint, also if its
    /// objective or its parts are others.
    pub fn gradients(&self, weights: &Path, batch: &MaskedBatch) -> Result<Named> {
        let built = self.untrained()?;
        let variables = built.variables()?;
        let parts = self.config().model.part_names();
        if let Some(state) = state::of_weights(weights)? {
            state.check(weights, built.objective.name(), &parts)?;
        }
        tensors::load(weights, &tensors::read(weights)?, &variables, |_| false, |_| false)?;
        let objective = &built.objective;
        let mut pass = objective.pass(batch, &objective.loss_counts(batch), false);
        let total = backward(objective.phases().len(), &mut *pass);
        let mut all: Named = vec![("loss".to_owned(), Tensor::from(total as f32))];
        all.extend(pass.parts().into_iter().map(|(name, loss)| {
            (format!("loss.{name}"), loss.detach().to_kind(Kind::Float).reshape([0i64; 0]))
        }));
        all.extend(
            variables
                .iter()
                .map(|(name, variable)| (format!("grad.{name}"), gradient_of(variable))),
        );
        Ok(all)
    }
}

/// Adds the gradients of all phases of a pass, without an update between them; returns the sum of their losses.
pub(crate) fn backward(phases: usize, pass: &mut dyn Pass) -> f64 {
    let losses = (0..phases).map(|phase| {
        let loss = pass.loss(phase);
        loss.backward();
        loss.double_value(&[])
    });
    losses.sum()
}

/// The gradient of a variable; zeros if no loss depends on it.
pub(crate) fn gradient_of(variable: &Tensor) -> Tensor {
    let gradient = variable.grad();
    if gradient.defined() { gradient } else { variable.zeros_like() }
}

/// Reads a batch for `network` from a safetensors file.
///
/// The file has `input_ids`, `attention_mask` and `token_type_ids` `[b, s]`, `positions` `[p]` (the masked positions,
/// `row * s + column`) and `sampled_ids` `[p]` (the replacements), all int64; optionally `masked_ids` `[b, s]`, the input
/// with masks. Without it, all positions are replaced by `[MASK]`.
///
/// # Errors
/// Naming the file and the tensor that is missing or invalid.
pub fn read_batch(
    path: &Path,
    special: &SpecialTokens,
    network: &EncoderConfig,
) -> Result<MaskedBatch> {
    let tokens = network.token_count();
    let all = tensors::read(path)?;
    let invalid = |message: String| Error::Config { path: path.to_owned(), message };
    let find = |name: &str| all.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor);
    let values = |name: &str, size: &[i64]| -> Result<Vec<i64>> {
        let tensor = find(name).ok_or_else(|| invalid(format!("missing tensor {name:?}")))?;
        if tensor.kind() != Kind::Int64 || tensor.size() != size {
            let found = (tensor.kind(), tensor.size());
            return Err(invalid(format!("{name} must be int64 {size:?}, not {found:?}")));
        }
        Ok(Vec::try_from(tensor.flatten(0, -1)).map_err(electra_model::Error::from)?)
    };
    let within = |name: &str, values: &[i64], end: i64| match values
        .iter()
        .find(|value| !(0..end).contains(*value))
    {
        None => Ok(()),
        Some(value) => Err(invalid(format!("{name} has {value}: must be from 0 to {}", end - 1))),
    };
    let size = find("input_ids").map(Tensor::size).unwrap_or_default();
    let &[b, s] = &size[..] else {
        return Err(invalid(format!("input_ids must be int64 [b, s], not {size:?}")));
    };
    let p = find("positions").map_or(0, |positions| positions.numel() as i64);
    let input_ids = values("input_ids", &size)?;
    let attention_mask = values("attention_mask", &size)?;
    let token_type_ids = values("token_type_ids", &size)?;
    let mut chosen: Vec<(i64, i64)> =
        values("positions", &[p])?.into_iter().zip(values("sampled_ids", &[p])?).collect();
    chosen.sort_unstable();
    let (masked_positions, sampled_ids): (Vec<i64>, Vec<i64>) = chosen.into_iter().unzip();
    let EncoderConfig { max_positions, segments, .. } = *network;
    if s > max_positions {
        return Err(invalid(format!(
            "input_ids has {s} columns, but the config has {max_positions} positions"
        )));
    }
    within("input_ids", &input_ids, tokens)?;
    within("token_type_ids", &token_type_ids, segments)?;
    within("attention_mask", &attention_mask, 2)?;
    within("sampled_ids", &sampled_ids, tokens)?;
    within("positions", &masked_positions, b * s)?;
    if let Some(pair) = masked_positions.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(invalid(format!("positions has the duplicate {}", pair[0])));
    }
    if attention_mask.chunks(s.max(1) as usize).any(|row| row.windows(2).any(|p| p[0] < p[1])) {
        return Err(invalid("attention_mask must have the padding on the right".to_owned()));
    }
    let generator_ids = match find("masked_ids") {
        Some(_) => values("masked_ids", &size)?,
        None => {
            let mut ids = input_ids.clone();
            masked_positions.iter().for_each(|&at| ids[at as usize] = special.mask.into());
            ids
        }
    };
    within("masked_ids", &generator_ids, tokens)?;
    let never = [special.cls, special.sep, special.mask, special.pad].map(i64::from);
    let kept = input_ids.iter().zip(&attention_mask);
    Ok(MaskedBatch {
        batch: b as usize,
        length: s as usize,
        special_tokens_mask: kept.map(|(id, &token)| token == 0 || never.contains(id)).collect(),
        masked_labels: masked_positions.iter().map(|&at| input_ids[at as usize]).collect(),
        masked_is_mask: vec![true; masked_positions.len()],
        sampling_uniforms: vec![0.0; masked_positions.len()],
        tokens: attention_mask.iter().sum::<i64>() as usize,
        most_masked: s as usize,
        input_ids,
        generator_ids,
        token_type_ids,
        attention_mask,
        masked_positions,
        sampled_ids,
    })
}
