//! Renames weights to the names of ELECTRA in current `transformers`.

use super::{Architecture, config::Family};
use crate::{Error, Result, tensors::Named};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use tch::{Kind, Tensor};

/// Tensors with current names, and a note on each tensor that was dropped or converted.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) tensors: Named,
    pub(super) notes: Vec<String>,
}

/// What to do with a tensor.
enum Action {
    /// Keep it under this name.
    Keep(String),
    /// Drop it, for this reason.
    Drop(&'static str),
    /// The weight of the output layer: a copy of the word embeddings, to be dropped.
    OutputTable,
}

/// Name prefixes of heads, and the classes that have them.
const HEADS: [(&str, Architecture); 8] = [
    ("discriminator_predictions.", Architecture::ElectraForPreTraining),
    ("generator_predictions.", Architecture::ElectraForMaskedLM),
    ("generator_lm_head.", Architecture::ElectraForMaskedLM),
    ("classifier.dense.", Architecture::ElectraForSequenceClassification),
    ("qa_outputs.", Architecture::ElectraForQuestionAnswering),
    ("sequence_summary.", Architecture::ElectraForMultipleChoice),
    ("classifier.", Architecture::ElectraForTokenClassification),
    // This project's heads, which `transformers` has no class for.
    ("task_head.", Architecture::ElectraModel),
];

const WORDS: &str = "electra.embeddings.word_embeddings.weight";

/// Starts of the names of an encoder and of BERT's heads; [`HEADS`] has those of ELECTRA's.
const STARTS: [&str; 10] = [
    "electra.embeddings",
    "electra.encoder.layer.",
    "bert.embeddings",
    "bert.encoder.layer.",
    "bert.pooler.",
    "embeddings.",
    "embeddings_project.",
    "encoder.layer.",
    "pooler.",
    "cls.",
];

/// Parts of names that PyTorch's wrappers of modules add anywhere.
const WRAPPERS: [&str; 4] =
    ["module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];

/// The part of a name before that of a model's tensor, such as `module.` or `_orig_mod.`; empty if there is none.
fn prefix(name: &str) -> &str {
    let known =
        |name: &str| STARTS.iter().any(|start| name.starts_with(start)) || head(name).is_some();
    let mut end = 0;
    while !known(&name[end..]) {
        let Some(next) = name[end..].find('.') else { return "" };
        end += next + 1;
    }
    &name[..end]
}

/// The names without a prefix that all have, then without [`WRAPPERS`], then without the prefix that only some have, if it
/// is the only one and the names stay unique. A note tells what was removed.
fn unprefixed(mut names: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
    let all = names.len();
    let first = names.first().map_or("", |name| prefix(name)).to_owned();
    if !first.is_empty() && names.iter().all(|name| name.starts_with(&first)) {
        names.iter_mut().for_each(|name| *name = name[first.len()..].to_owned());
        notes.push(format!("removed the prefix {first:?} from all {all} names"));
    }
    for wrapper in WRAPPERS {
        let inner = format!(".{wrapper}");
        let mut changed = 0;
        for name in &mut names {
            let clean = name.replace(&inner, ".");
            let clean = clean.strip_prefix(wrapper).unwrap_or(&clean).to_owned();
            changed += usize::from(clean != *name);
            *name = clean;
        }
        if changed > 0 {
            notes.push(format!("removed {wrapper:?} from {changed} of {all} names"));
        }
    }
    let is_own = |name: &&str| name.is_empty() || ["electra.", "bert."].contains(name);
    let others: BTreeSet<&str> =
        names.iter().map(|name| prefix(name)).filter(|name| !is_own(name)).collect();
    if let [other] = others.into_iter().collect::<Vec<_>>()[..] {
        let clean: Vec<String> =
            names.iter().map(|name| name.strip_prefix(other).unwrap_or(name).to_owned()).collect();
        if clean.iter().collect::<BTreeSet<_>>().len() == all {
            let changed = names.iter().filter(|name| name.starts_with(other)).count();
            notes.push(format!("removed the prefix {other:?} from {changed} of {all} names"));
            return clean;
        }
    }
    names
}

/// Renames tensors, drops redundant ones, converts weights to float32 and checks that they are finite.
pub(super) fn rename(path: &Path, family: Family, tensors: Named) -> Result<Renamed> {
    let mut renamed: BTreeMap<String, (String, Tensor)> = BTreeMap::new();
    let mut notes = Vec::new();
    let names = unprefixed(tensors.iter().map(|(name, _)| name.clone()).collect(), &mut notes);
    let mut output_table = None;
    let mut problems = Vec::new();
    let mut converted: BTreeMap<String, usize> = BTreeMap::new();
    for ((name, tensor), unprefixed) in tensors.into_iter().zip(names) {
        let new = match action(family, &current_norm_name(&unprefixed)) {
            Action::Keep(new) => new,
            Action::Drop(reason) => {
                notes.push(format!("not used: {name} ({reason})"));
                continue;
            }
            Action::OutputTable => {
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
                problems.push(format!("{name}: kind {other:?}, expected a float"));
                continue;
            }
        }
        let tensor = tensor.to_kind(Kind::Float);
        let wrong = tensor.isfinite().logical_not().sum(Kind::Int64).int64_value(&[]);
        if wrong > 0 {
            problems
                .push(format!("{name}: {wrong} of {} values are NaN or infinity", tensor.numel()));
        }
        if let Some((other, _)) = renamed.insert(new.clone(), (name.clone(), tensor)) {
            problems.push(format!("duplicate {new}: {other} and {name}"));
        }
    }
    if let (Some((name, table)), Some((words_name, words))) = (output_table, renamed.get(WORDS)) {
        match table.size() == words.size() && table.to_kind(Kind::Float).equal(words) {
            true => notes.push(format!("not used: {name} (tied to the word embeddings)")),
            false => problems.push(format!(
                "{name} differs from {words_name}: untied output layers are not supported"
            )),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Mismatch { path: path.to_owned(), differences: problems });
    }
    notes.extend(
        converted.iter().map(|(kind, n)| format!("converted {n} tensors of kind {kind} to Float")),
    );
    let tensors = renamed.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect();
    Ok(Renamed { tensors, notes })
}

/// The class of the head that a name belongs to; `None` for the encoder.
pub(super) fn head(name: &str) -> Option<Architecture> {
    HEADS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|&(_, head)| head)
}

/// The class of a model, by the most specific name in it.
pub(super) fn architecture(tensors: &[(String, Tensor)]) -> Architecture {
    let has = |prefix: &str| tensors.iter().any(|(name, _)| name.starts_with(prefix));
    HEADS
        .iter()
        .find(|(prefix, _)| has(prefix))
        .map_or(Architecture::ElectraModel, |&(_, head)| head)
}

/// A hint for names that indicate a common mistake.
pub(super) fn hint(tensors: &[(String, Tensor)]) -> Option<&'static str> {
    let any = |prefix: &str| tensors.iter().any(|(name, _)| name.starts_with(prefix));
    if any("discriminator.") || any("generator.electra.") {
        return Some("this is a checkpoint of this project: export its run with `electra export`");
    }
    if any("bert.") {
        return Some("these are BERT weights: set \"model_type\": \"bert\" in config.json");
    }
    None
}

/// Replaces TensorFlow's names of LayerNorm tensors, found in files from 2020.
fn current_norm_name(name: &str) -> String {
    let renamed = |old: &str, new: &str| name.strip_suffix(old).map(|stem| format!("{stem}{new}"));
    renamed("LayerNorm.gamma", "LayerNorm.weight")
        .or_else(|| renamed("LayerNorm.beta", "LayerNorm.bias"))
        .unwrap_or_else(|| name.to_owned())
}

fn action(family: Family, name: &str) -> Action {
    let prefix = match family {
        Family::Electra | Family::Custom => "electra.",
        Family::Bert => "bert.",
    };
    // Base models are exported without a prefix.
    let inner = name.strip_prefix(prefix).unwrap_or(name);
    let encoder = ["embeddings.", "embeddings_project.", "encoder."];
    match inner {
        "embeddings.position_ids" | "embeddings.token_type_ids" => {
            return Action::Drop("a constant");
        }
        _ if encoder.iter().any(|start| inner.starts_with(start)) => {
            return Action::Keep(format!("electra.{inner}"));
        }
        _ if family == Family::Bert && inner.starts_with("pooler.") => {
            return Action::Drop("ELECTRA has no pooler");
        }
        _ => {}
    }
    if family != Family::Bert {
        return match name {
            "generator_lm_head.weight" => Action::OutputTable,
            _ => Action::Keep(name.to_owned()),
        };
    }
    match name {
        "cls.predictions.decoder.weight" => Action::OutputTable,
        "cls.predictions.decoder.bias" => Action::Drop("a copy of cls.predictions.bias"),
        "cls.predictions.bias" => Action::Keep("generator_lm_head.bias".to_owned()),
        _ if name.starts_with("cls.seq_relationship.") => {
            Action::Drop("ELECTRA has no next sentence prediction")
        }
        _ => match name.strip_prefix("cls.predictions.transform.") {
            Some(rest) => Action::Keep(format!("generator_predictions.{rest}")),
            None => Action::Keep(name.to_owned()),
        },
    }
}
