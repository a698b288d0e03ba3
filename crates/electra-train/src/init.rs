//! Initializes a run from trained weights of another run or another framework.

use crate::{
    config::{InitConfig, RunConfig},
    error::{Error, Result},
    objective::TrainedNetwork,
    run_dir::RunDir,
    state,
    vocabulary::same_vocabulary,
};
use electra_data::ShardIndex;
use electra_model::{
    EncoderConfig, HeadKind, Offset,
    hf::{self, Architecture, Pretrained},
    tensors::Named,
};
use electra_tokenize::Tokenizer;
use std::path::Path;
use tch::{Tensor, no_grad};

/// A log message about the initialization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What was loaded or skipped.
    Info(String),
    /// What the user may not expect.
    Warning(String),
}

impl Note {
    /// Logs the message at its level.
    pub(crate) fn log(&self) {
        match self {
            Self::Info(text) => tracing::info!("init: {text}"),
            Self::Warning(text) => tracing::warn!("init: {text}"),
        }
    }
}

/// Name prefix of a network's embeddings.
const EMBEDDINGS: &str = "electra.embeddings.";

/// The initialization of a run's variables.
#[derive(Clone, Copy, Debug)]
pub struct Initialization<'a> {
    /// The run's config.
    pub config: &'a RunConfig,
    /// The objective's name.
    pub objective: &'a str,
    /// `seam=part` for every seam.
    pub parts: &'a [String],
    /// The objective's networks, the one to fine-tune first.
    pub networks: &'a [TrainedNetwork<'a>],
    /// All variables.
    pub variables: &'a Named,
}

impl Initialization<'_> {
    /// Copies the weights of the config's `[init]` section into the variables. Returns a note on each network and on each
    /// tensor that was skipped.
    ///
    /// # Errors
    /// If a folder cannot be read, its sizes or parts differ from the config (lists each key), or its vocabulary differs
    /// from the shards', so that ids would mean other tokens.
    pub fn apply(&self, index: &ShardIndex) -> Result<Vec<Note>> {
        let InitConfig { from, generator } = &self.config.init;
        let has_generator_key = !generator.as_os_str().is_empty();
        let invalid_generator =
            |expected: String| Err(Error::value("init.generator", generator.display(), &expected));
        if from.as_os_str().is_empty() {
            return match has_generator_key {
                true => {
                    invalid_generator("requires init.from, the discriminator's folder".to_owned())
                }
                false => Ok(Vec::new()),
            };
        }
        let Some((first, others)) = self.networks.split_first() else { return Ok(Vec::new()) };
        let second = others.iter().find(|network| network.head == HeadKind::MaskedLm);
        if has_generator_key && second.is_none() {
            let objective = self.objective;
            return invalid_generator(format!(
                "must be empty: the objective {objective} has no generator"
            ));
        }
        if from.join("checkpoints").is_dir() {
            if has_generator_key {
                return invalid_generator(format!(
                    "must be empty if init.from is a run, which has its own generator; to combine it with another generator, \
                     run `electra export {} --part discriminator --out MODEL` and set init.from to MODEL",
                    from.display()
                ));
            }
            let run = RunDir::open(from)?;
            run.check_vocabulary(&self.config.data.shards, index)?;
            let checkpoint = state::newest(from)?;
            checkpoint.load_model(self.objective, self.parts, self.variables)?;
            let all = if others.is_empty() { first.role } else { "both networks" };
            return Ok(vec![Note::Info(format!("{all}: {}", checkpoint.path.display()))]);
        }
        let mut notes = Vec::new();
        let discriminator = self.read(from, first, &mut notes)?;
        let Some(second) = second else {
            self.copy(discriminator, first, &mut notes)?;
            return Ok(notes);
        };
        let subfolder = from.join("generator");
        let folder = match has_generator_key {
            true => generator,
            false if subfolder.is_dir() => &subfolder,
            false => {
                notes.push(Note::Warning(format!(
                    "generator: none in {}, so it starts from random weights and its replacements are random at first; set \
                     init.generator to use a trained one",
                    from.display()
                )));
                for Offset { tensor, mut base, .. } in first.encoder.embeddings().offsets() {
                    let name = format!("{EMBEDDINGS}{tensor}");
                    if let Some((_, own)) = discriminator.tensors.iter().find(|(n, _)| *n == name) {
                        no_grad(|| base.copy_(own));
                    }
                }
                self.copy(discriminator, first, &mut notes)?;
                return Ok(notes);
            }
        };
        let generator = self.read(folder, second, &mut notes)?;
        notes.extend(self.shared_difference(&discriminator, &generator, second));
        // The discriminator's embeddings may be relative to the generator's.
        self.copy(generator, second, &mut notes)?;
        self.copy(discriminator, first, &mut notes)?;
        Ok(notes)
    }

    /// Reads a folder and checks that sizes, parts and vocabulary match the run.
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
                "does not match the config; to initialize from it, set\n  {}",
                differences.join("\n  ")
            );
            return Err(Error::value(&format!("init ({role})"), dir.display(), expected));
        }
        let key = format!("init ({role})");
        let [theirs, ours] = same_vocabulary(&key, dir, &config.data.shards)?;
        if theirs.config() != ours.config() {
            notes.push(Note::Warning(format!(
                "{role}: the model's tokenizer is {:?}, but the shards' is {:?}",
                theirs.config(),
                ours.config()
            )));
        }
        if theirs.vocab().added() != ours.vocab().added() {
            notes.push(Note::Warning(format!(
                "{role}: the model's added tokens are not those of the shards: build the shards with --vocab {}",
                dir.display()
            )));
        }
        notes.extend(pretrained.notes.iter().map(|note| Note::Info(format!("{role}: {note}"))));
        Ok(pretrained)
    }

    /// Copies one network; a head that the file does not have keeps its random weights.
    fn copy(
        &self,
        mut pretrained: Pretrained,
        network: &TrainedNetwork<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<()> {
        let expected = Architecture::of_head(network.head);
        let own = self.own_variables(network);
        for Offset { tensor, variable, base } in network.encoder.embeddings().offsets() {
            let [tensor, variable] = [tensor, variable].map(|name| format!("{EMBEDDINGS}{name}"));
            for (name, value) in &mut pretrained.tensors {
                if *name == tensor {
                    name.clone_from(&variable);
                    *value = no_grad(|| &*value - base.to_device(value.device()));
                }
            }
        }
        let has_head = pretrained.config.architecture == expected;
        let file_may_have =
            |name: &str| (!has_head && hf::is_head(name)) || is_shared(network, &own, name);
        pretrained.copy(&own, file_may_have, |name| !has_head && hf::is_head(name))?;
        notes.push(Note::Info(match has_head {
            true => format!("{}: {}", network.role, pretrained.path.display()),
            false => format!(
                "{}: {}, encoder only ({:?}); the head starts from random weights",
                network.role,
                pretrained.path.display(),
                pretrained.config.architecture
            ),
        }));
        Ok(())
    }

    /// The variables of a network, without its role.
    fn own_variables(&self, network: &TrainedNetwork<'_>) -> Named {
        let prefix = format!("{}.", network.role);
        let own = |(name, tensor): &(String, Tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.shallow_clone()))
        };
        self.variables.iter().filter_map(own).collect()
    }

    /// A warning if tensors of the generator that both networks share differ from the discriminator's, which are used.
    fn shared_difference(
        &self,
        discriminator: &Pretrained,
        generator: &Pretrained,
        network: &TrainedNetwork<'_>,
    ) -> Option<Note> {
        let own = self.own_variables(network);
        let largest = generator
            .tensors
            .iter()
            .filter(|(name, _)| is_shared(network, &own, name))
            .filter_map(|(name, tensor)| {
                let (_, other) = discriminator.tensors.iter().find(|(other, _)| other == name)?;
                Some((tensor - other).abs().max().double_value(&[]))
            })
            .fold(0.0, f64::max);
        let what = if shares_encoder(network) { "encoder differs" } else { "embeddings differ" };
        (largest > 0.0).then(|| {
            Note::Warning(format!(
                "generator: its {what} from the discriminator's by up to {largest:.3e}; both networks use the discriminator's"
            ))
        })
    }
}

/// Whether a tensor of a network's file is a variable of another network.
fn is_shared(network: &TrainedNetwork<'_>, own: &Named, name: &str) -> bool {
    let is_own = own.iter().any(|(own, _)| own == name);
    let prefix = if shares_encoder(network) { "electra." } else { EMBEDDINGS };
    name.starts_with(prefix) && !is_own
}

/// Whether the network's encoder is another network's.
fn shares_encoder(network: &TrainedNetwork<'_>) -> bool {
    !network.encoder.variables().starts_with(&format!("{}.", network.role))
}

/// `key = value` for each setting of the config that would have to change.
fn differences(network: &str, found: &EncoderConfig, config: &EncoderConfig) -> Vec<String> {
    let sizes = [
        ("model.vocab_size".to_owned(), found.vocab_size, config.vocab_size),
        ("model.embedding_size".to_owned(), found.embedding_size, config.embedding_size),
        ("model.max_positions".to_owned(), found.max_positions, config.max_positions),
        ("model.segments".to_owned(), found.segments, config.segments),
        (format!("model.{network}.layers"), found.layers, config.layers),
        (format!("model.{network}.hidden"), found.hidden, config.hidden),
        (format!("model.{network}.heads"), found.heads, config.heads),
        (format!("model.{network}.intermediate"), found.intermediate, config.intermediate),
    ];
    let mut lines: Vec<String> = sizes
        .into_iter()
        .filter(|(_, found, configured)| found != configured)
        .map(|(key, found, configured)| format!("{key} = {found}   (now {configured})"))
        .collect();
    for ((seam, part), (_, configured)) in found.seams().into_iter().zip(config.seams()) {
        if part != configured {
            lines.push(format!("model.{seam}.kind = {part:?}   (now {configured:?})"));
        }
    }
    let (eps, configured) = (found.layer_norm_eps, config.layer_norm_eps);
    if eps != configured {
        lines.push(format!("model.layer_norm_eps = {eps:e}   (now {configured:e})"));
    }
    lines
}
