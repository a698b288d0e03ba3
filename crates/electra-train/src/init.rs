//! Going on from weights that another run, or another program, has trained.

use crate::{
    config::{InitConfig, RunConfig},
    error::{Error, Result},
    objective::TrainedNetwork,
    run_dir::RunDir,
    state,
};
use electra_data::ShardIndex;
use electra_model::{
    EncoderConfig, HeadKind,
    hf::{self, Architecture, Pretrained},
    tensors::Named,
};
use electra_tokenize::{Tokenizer, WordPiece};
use std::path::Path;

/// What going on from other weights has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What was done, as was asked for.
    Done(String),
    /// What the user may not expect.
    Warning(String),
}

impl Note {
    /// Into the log, at its level.
    pub(crate) fn log(&self) {
        match self {
            Self::Done(text) => tracing::info!("init: {text}"),
            Self::Warning(text) => tracing::warn!("init: {text}"),
        }
    }
}

/// The embeddings' part of a network's names.
const EMBEDDINGS: &str = "electra.embeddings.";

/// A run's variables before its first update, and what they are of.
#[derive(Clone, Copy, Debug)]
pub struct Fresh<'a> {
    /// The run's config.
    pub config: &'a RunConfig,
    /// The objective's name.
    pub objective: &'a str,
    /// `seam=part` for every seam.
    pub parts: &'a [String],
    /// The objective's networks, the one that is kept first.
    pub networks: &'a [TrainedNetwork<'a>],
    /// All variables.
    pub variables: &'a Named,
}

impl Fresh<'_> {
    /// Copies the weights that the config's `[init]` section names into the variables; says what it did, what was left
    /// out and what starts anew, a note each.
    ///
    /// # Errors
    /// If a folder cannot be read, its sizes or parts are not the config's (each key is listed), or its vocabulary is
    /// not that of the shards: the same ids would be other words.
    pub fn apply(&self, index: &ShardIndex) -> Result<Vec<Note>> {
        let InitConfig { from, generator } = &self.config.init;
        let named = !generator.as_os_str().is_empty();
        let not_here =
            |expected: String| Err(Error::value("init.generator", generator.display(), &expected));
        if from.as_os_str().is_empty() {
            return match named {
                true => not_here("needs init.from, the discriminator's folder".to_owned()),
                false => Ok(Vec::new()),
            };
        }
        let Some((kept, others)) = self.networks.split_first() else { return Ok(Vec::new()) };
        let second = others.iter().find(|network| network.head == HeadKind::MaskedLm);
        if named && second.is_none() {
            let objective = self.objective;
            return not_here(format!("must be empty: the objective {objective} has no generator"));
        }
        if from.join("checkpoints").is_dir() {
            if named {
                return not_here(format!(
                    "must be empty where init.from is a run, which has a generator of its own; to take another, export the discriminator of {} and go on from that",
                    from.display()
                ));
            }
            let run = RunDir::open(from)?;
            run.check_vocabulary(&self.config.data.shards, index)?;
            let checkpoint = state::newest(from)?;
            checkpoint.load_model(self.objective, self.parts, self.variables)?;
            let all = if others.is_empty() { kept.role } else { "both networks" };
            return Ok(vec![Note::Done(format!("{all}: {}", checkpoint.path.display()))]);
        }
        let mut notes = Vec::new();
        let first = self.read(from, kept, &mut notes)?;
        copy(&first, kept, self.variables, &mut notes)?;
        let Some(second) = second else { return Ok(notes) };
        let beside = from.join("generator");
        let folder = match named {
            true => generator,
            false if beside.is_dir() => &beside,
            false => {
                notes.push(Note::Warning(format!(
                    "generator: there is none in {}, so it starts from fresh weights; the replacements are those of an untrained generator at first (init.generator names another folder)",
                    from.display()
                )));
                return Ok(notes);
            }
        };
        let generator = self.read(folder, second, &mut notes)?;
        copy(&generator, second, self.variables, &mut notes)?;
        let own = format!("{}.{EMBEDDINGS}", second.role);
        if !self.variables.iter().any(|(name, _)| name.starts_with(&own)) {
            notes.extend(difference_of_embeddings(&first, &generator));
        }
        Ok(notes)
    }

    /// A folder whose sizes, parts and vocabulary are the run's.
    fn read(
        &self,
        dir: &Path,
        network: &TrainedNetwork<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<Pretrained> {
        let (pretrained, config) = (Pretrained::read(dir)?, self.config);
        let role = network.role;
        let section = if role == "generator" { "generator" } else { "discriminator" };
        let differences =
            differences(section, &pretrained.config.encoder, network.encoder.config());
        if !differences.is_empty() {
            let expected = format!(
                "is of other sizes than the config; to go on from it set\n  {}",
                differences.join("\n  ")
            );
            return Err(Error::value(&format!("init ({role})"), dir.display(), expected));
        }
        let [theirs, ours] =
            [dir, &config.data.shards.join("tokenizer")].map(WordPiece::from_pretrained_dir);
        let (theirs, ours) = (theirs?, ours?);
        let (their_tokens, our_tokens) = (theirs.vocab().tokens(), ours.vocab().tokens());
        if their_tokens != our_tokens {
            let place = their_tokens.iter().zip(our_tokens).position(|(a, b)| a != b);
            let difference = match place {
                Some(id) => {
                    format!("id {id} is {:?} here and {:?} there", their_tokens[id], our_tokens[id])
                }
                None => {
                    format!("{} tokens here and {} there", their_tokens.len(), our_tokens.len())
                }
            };
            let expected = format!(
                "has another vocabulary than {}: {difference}; build the shards with the model's vocab.txt",
                config.data.shards.display(),
            );
            return Err(Error::value(&format!("init ({role})"), dir.display(), expected));
        }
        if theirs.config() != ours.config() {
            notes.push(Note::Warning(format!(
                "{role}: was trained on text split as {:?}, the shards as {:?}",
                theirs.config(),
                ours.config()
            )));
        }
        notes.extend(pretrained.notes.iter().map(|note| Note::Done(format!("{role}: {note}"))));
        Ok(pretrained)
    }
}

/// Copies one network; a head that the file lacks starts from fresh weights.
fn copy(
    pretrained: &Pretrained,
    network: &TrainedNetwork<'_>,
    variables: &Named,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let prefix = format!("{}.", network.role);
    let wanted = Architecture::of_head(network.head);
    let own: Vec<_> = variables
        .iter()
        .filter_map(|(name, tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.shallow_clone()))
        })
        .collect();
    let whole = pretrained.config.architecture == wanted;
    let tied = !own.iter().any(|(name, _)| name.starts_with(EMBEDDINGS));
    let file_may_have =
        |name: &str| (!whole && hf::is_head(name)) || (tied && name.starts_with(EMBEDDINGS));
    pretrained.copy(&own, file_may_have, |name| !whole && hf::is_head(name))?;
    notes.push(Note::Done(match whole {
        true => format!("{}: {}", network.role, pretrained.path.display()),
        false => format!(
            "{}: {}, its encoder alone ({:?}); the head starts from fresh weights",
            network.role,
            pretrained.path.display(),
            pretrained.config.architecture
        ),
    }));
    Ok(())
}

/// Where the networks share embeddings the discriminator's are kept: says so if the generator had others.
fn difference_of_embeddings(discriminator: &Pretrained, generator: &Pretrained) -> Option<Note> {
    let largest = generator
        .tensors
        .iter()
        .filter(|(name, _)| name.starts_with(EMBEDDINGS))
        .filter_map(|(name, tensor)| {
            let (_, other) = discriminator.tensors.iter().find(|(other, _)| other == name)?;
            Some((tensor - other).abs().max().double_value(&[]))
        })
        .fold(0.0, f64::max);
    (largest > 0.0).then(|| {
        Note::Warning(format!(
            "generator: its embeddings differ from the discriminator's by up to {largest:.3e}; the shared ones are the discriminator's"
        ))
    })
}

/// `key = value` of each size that the config would need.
fn differences(network: &str, found: &EncoderConfig, wanted: &EncoderConfig) -> Vec<String> {
    let sizes = [
        ("model.vocab_size".to_owned(), found.vocab_size, wanted.vocab_size),
        ("model.embedding_size".to_owned(), found.embedding_size, wanted.embedding_size),
        ("model.max_positions".to_owned(), found.max_positions, wanted.max_positions),
        ("model.segments".to_owned(), found.segments, wanted.segments),
        (format!("model.{network}.layers"), found.layers, wanted.layers),
        (format!("model.{network}.hidden"), found.hidden, wanted.hidden),
        (format!("model.{network}.heads"), found.heads, wanted.heads),
        (format!("model.{network}.intermediate"), found.intermediate, wanted.intermediate),
    ];
    let epsilon = ("model.layer_norm_eps", found.layer_norm_eps, wanted.layer_norm_eps);
    let mut lines: Vec<String> = sizes
        .into_iter()
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(key, found, wanted)| format!("{key} = {found}   (is {wanted})"))
        .collect();
    for ((seam, found), (_, wanted)) in found.seams().into_iter().zip(wanted.seams()) {
        if found != wanted {
            lines.push(format!("model.{seam}.kind = {found:?}   (is {wanted:?})"));
        }
    }
    if epsilon.1 != epsilon.2 {
        lines.push(format!("{} = {:e}   (is {:e})", epsilon.0, epsilon.1, epsilon.2));
    }
    lines
}
