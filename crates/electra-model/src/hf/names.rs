//! Names of weights: whatever a file calls them, the names of today's ELECTRA in `transformers`.

use super::{Architecture, config::Family};
use crate::{Error, Result, tensors::Named};
use std::{collections::BTreeMap, path::Path};
use tch::{Kind, Tensor};

/// Tensors under their names of today, with what was not taken, line by line.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) tensors: Named,
    pub(super) notes: Vec<String>,
}

/// What is done with a tensor.
enum Place {
    Keep(String),
    /// The reason why it is not needed.
    Drop(&'static str),
    /// A copy of the word table, which a tied output layer does not store.
    OutputTable,
}

/// Heads: where their names begin, and whose they are.
const HEADS: [(&str, Architecture); 8] = [
    ("discriminator_predictions.", Architecture::ElectraForPreTraining),
    ("generator_predictions.", Architecture::ElectraForMaskedLM),
    ("generator_lm_head.", Architecture::ElectraForMaskedLM),
    ("classifier.dense.", Architecture::ElectraForSequenceClassification),
    ("qa_outputs.", Architecture::ElectraForQuestionAnswering),
    ("sequence_summary.", Architecture::ElectraForMultipleChoice),
    ("classifier.", Architecture::ElectraForTokenClassification),
    // This project's, which `transformers` has no class for.
    ("task_head.", Architecture::ElectraModel),
];

const WORDS: &str = "electra.embeddings.word_embeddings.weight";

/// Renames, drops what carries nothing, and makes every weight a finite 32-bit float.
pub(super) fn rename(path: &Path, family: Family, tensors: Named) -> Result<Renamed> {
    let mut renamed: BTreeMap<String, (String, Tensor)> = BTreeMap::new();
    let mut notes = Vec::new();
    let mut output_table = None;
    let mut problems = Vec::new();
    let mut converted: BTreeMap<String, usize> = BTreeMap::new();
    for (name, tensor) in tensors {
        let new = match place(family, &modern(&name)) {
            Place::Keep(new) => new,
            Place::Drop(reason) => {
                notes.push(format!("not used: {name} ({reason})"));
                continue;
            }
            Place::OutputTable => {
                output_table = Some((name, tensor));
                continue;
            }
        };
        match tensor.kind() {
            Kind::Float => {}
            Kind::Half | Kind::BFloat16 | Kind::Double => {
                *converted.entry(format!("{:?}", tensor.kind())).or_default() += 1;
            }
            other => {
                problems.push(format!("{name}: kind {other:?}, weights are floats"));
                continue;
            }
        }
        let tensor = tensor.to_kind(Kind::Float);
        let wrong = tensor.isfinite().logical_not().sum(Kind::Int64).int64_value(&[]);
        if wrong > 0 {
            problems.push(format!("{name}: {wrong} of {} values are not finite", tensor.numel()));
        }
        if let Some((other, _)) = renamed.insert(new.clone(), (name.clone(), tensor)) {
            problems.push(format!("{other} and {name} are both {new}"));
        }
    }
    if let (Some((name, table)), Some((words_name, words))) = (output_table, renamed.get(WORDS)) {
        match table.size() == words.size() && table.to_kind(Kind::Float).equal(words) {
            true => notes.push(format!("not used: {name} (the word table is the output layer)")),
            false => problems.push(format!(
                "{name} differs from {words_name}: an output layer of its own cannot be kept"
            )),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Mismatch { path: path.to_owned(), differences: problems });
    }
    notes.extend(
        converted
            .iter()
            .map(|(kind, n)| format!("{n} tensors of kind {kind} became 32-bit floats")),
    );
    let tensors = renamed.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect();
    Ok(Renamed { tensors, notes })
}

/// The head that a name belongs to; `None` for the encoder.
pub(super) fn head(name: &str) -> Option<Architecture> {
    HEADS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|&(_, head)| head)
}

/// The head that a set of names has, by the most specific name.
pub(super) fn architecture(tensors: &[(String, Tensor)]) -> Architecture {
    let has = |prefix: &str| tensors.iter().any(|(name, _)| name.starts_with(prefix));
    HEADS
        .iter()
        .find(|(prefix, _)| has(prefix))
        .map_or(Architecture::ElectraModel, |&(_, head)| head)
}

/// What names that match nothing have in common with a mistake that is known.
pub(super) fn hint(tensors: &[(String, Tensor)]) -> Option<&'static str> {
    let all = |prefix: &str| tensors.iter().any(|(name, _)| name.starts_with(prefix));
    if all("discriminator.") || all("generator.electra.") {
        return Some(
            "the names are those of a checkpoint of this project: give its run to `electra export`",
        );
    }
    if all("bert.") {
        return Some("the names are BERT's: config.json must say \"model_type\": \"bert\"");
    }
    None
}

/// TensorFlow's names for LayerNorm's tensors, which files of 2020 have.
fn modern(name: &str) -> String {
    let renamed = |old: &str, new: &str| name.strip_suffix(old).map(|stem| format!("{stem}{new}"));
    renamed("LayerNorm.gamma", "LayerNorm.weight")
        .or_else(|| renamed("LayerNorm.beta", "LayerNorm.bias"))
        .unwrap_or_else(|| name.to_owned())
}

fn place(family: Family, name: &str) -> Place {
    let prefix = match family {
        Family::Electra | Family::Custom => "electra.",
        Family::Bert => "bert.",
    };
    // A base model's export has no prefix.
    let inner = name.strip_prefix(prefix).unwrap_or(name);
    let encoder = ["embeddings.", "embeddings_project.", "encoder."];
    match inner {
        "embeddings.position_ids" | "embeddings.token_type_ids" => {
            return Place::Drop("numbers 0, 1, 2, …");
        }
        _ if encoder.iter().any(|start| inner.starts_with(start)) => {
            return Place::Keep(format!("electra.{inner}"));
        }
        _ if family == Family::Bert && inner.starts_with("pooler.") => {
            return Place::Drop("ELECTRA has no pooler");
        }
        _ => {}
    }
    if family != Family::Bert {
        return match name {
            "generator_lm_head.weight" => Place::OutputTable,
            _ => Place::Keep(name.to_owned()),
        };
    }
    match name {
        "cls.predictions.decoder.weight" => Place::OutputTable,
        "cls.predictions.decoder.bias" => Place::Drop("a copy of cls.predictions.bias"),
        "cls.predictions.bias" => Place::Keep("generator_lm_head.bias".to_owned()),
        _ if name.starts_with("cls.seq_relationship.") => {
            Place::Drop("ELECTRA predicts no next sentence")
        }
        _ => match name.strip_prefix("cls.predictions.transform.") {
            Some(rest) => Place::Keep(format!("generator_predictions.{rest}")),
            None => Place::Keep(name.to_owned()),
        },
    }
}
