//! Going on from weights that another run, or another program, has trained.

use crate::{Error, Result, RunConfig, run_dir::RunDir, state};
use electra_data::ShardIndex;
use electra_model::{
    EncoderConfig,
    hf::{self, Architecture, Pretrained},
};
use electra_tokenize::{Tokenizer, WordPiece};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// The `[init]` section: where weights come from before the first update. The optimizer, the schedule and the
/// order of the data start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// A model folder (the discriminator's, or a BERT's) or a run folder; empty for fresh weights.
    pub from: PathBuf,
    /// The generator's model folder; empty for `FROM/generator` where that is there, or fresh weights.
    pub generator: PathBuf,
}

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

impl InitConfig {
    /// Copies the weights that the section names into `variables`; says what it did, what was left out and what
    /// starts anew, a note each.
    ///
    /// # Errors
    /// If a folder cannot be read, its sizes are not the config's (each key is listed), or its vocabulary is not
    /// that of the shards: the same ids would be other words.
    pub fn apply(
        &self,
        config: &RunConfig,
        objective: &str,
        parts: &[String],
        index: &ShardIndex,
        variables: &[(String, Tensor)],
    ) -> Result<Vec<Note>> {
        if self.from.as_os_str().is_empty() {
            return match self.generator.as_os_str().is_empty() {
                true => Ok(Vec::new()),
                false => Err(Error::value(
                    "init.generator",
                    self.generator.display(),
                    "needs init.from, the discriminator's folder",
                )),
            };
        }
        if self.from.join("checkpoints").is_dir() {
            if !self.generator.as_os_str().is_empty() {
                let expected = format!(
                    "must be empty where init.from is a run, which has a generator of its own; to take another, export the discriminator of {} and go on from that",
                    self.from.display()
                );
                return Err(Error::value("init.generator", self.generator.display(), expected));
            }
            let run = RunDir::open(&self.from)?;
            run.check_vocabulary(&config.data.shards, index)?;
            let checkpoint = state::newest(&self.from)?;
            checkpoint.load_model(objective, parts, variables)?;
            return Ok(vec![Note::Done(format!("both networks: {}", checkpoint.path.display()))]);
        }
        let mut notes = Vec::new();
        let discriminator = self.read(&self.from, config, "discriminator", &mut notes)?;
        copy(
            &discriminator,
            "discriminator",
            Architecture::ElectraForPreTraining,
            variables,
            &mut notes,
        )?;
        let beside = self.from.join("generator");
        let generator = match self.generator.as_os_str().is_empty() {
            false => &self.generator,
            true if beside.is_dir() => &beside,
            true => {
                notes.push(Note::Warning(format!(
                    "generator: there is none in {}, so it starts from fresh weights; the replacements are those of an untrained generator at first (init.generator names another folder)",
                    self.from.display()
                )));
                return Ok(notes);
            }
        };
        let generator = self.read(generator, config, "generator", &mut notes)?;
        copy(&generator, "generator", Architecture::ElectraForMaskedLM, variables, &mut notes)?;
        let tied =
            !variables.iter().any(|(name, _)| name.starts_with(&format!("generator.{EMBEDDINGS}")));
        if tied {
            notes.extend(difference_of_embeddings(&discriminator, &generator));
        }
        Ok(notes)
    }

    /// A folder whose sizes and vocabulary are the run's.
    fn read(
        &self,
        dir: &Path,
        config: &RunConfig,
        network: &str,
        notes: &mut Vec<Note>,
    ) -> Result<Pretrained> {
        let pretrained = Pretrained::read(dir)?;
        let wanted = match network {
            "generator" => config.model.generator(),
            _ => config.model.discriminator(),
        };
        let differences = differences(network, &pretrained.config.encoder, &wanted);
        if !differences.is_empty() {
            let expected = format!(
                "is of other sizes than the config; to go on from it set\n  {}",
                differences.join("\n  ")
            );
            return Err(Error::value(&format!("init ({network})"), dir.display(), expected));
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
            return Err(Error::value(&format!("init ({network})"), dir.display(), expected));
        }
        if theirs.config() != ours.config() {
            notes.push(Note::Warning(format!(
                "{network}: was trained on text split as {:?}, the shards as {:?}",
                theirs.config(),
                ours.config()
            )));
        }
        notes.extend(pretrained.notes.iter().map(|note| Note::Done(format!("{network}: {note}"))));
        Ok(pretrained)
    }
}

/// Copies one network; a head that the file lacks starts from fresh weights.
fn copy(
    pretrained: &Pretrained,
    network: &str,
    wanted: Architecture,
    variables: &[(String, Tensor)],
    notes: &mut Vec<Note>,
) -> Result<()> {
    let prefix = format!("{network}.");
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
        true => format!("{network}: {}", pretrained.path.display()),
        false => format!(
            "{network}: {}, its encoder alone ({:?}); the head starts from fresh weights",
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
    if epsilon.1 != epsilon.2 {
        lines.push(format!("{} = {:e}   (is {:e})", epsilon.0, epsilon.1, epsilon.2));
    }
    lines
}
