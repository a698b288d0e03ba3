//! Word + segment + position embeddings.

use crate::{
    config::{EncoderConfig, InitializerKind, Kernels, PositionsInit, Precision},
    cost::{Amount, Cost, FLOAT, operand_bytes},
    error::Result,
    init::{self, LayerNorm},
    kernels::Compute,
    seam::{Embeddings, Offset, Site},
};
use tch::{Tensor, nn::Init, no_grad};

/// Word + segment + position, LayerNorm, dropout.
///
/// Source: reference `model/modeling.py`, `embedding_lookup` and `embedding_postprocessor`.
/// Departures: none.
#[derive(Debug)]
pub struct TokenEmbeddings {
    words: Table,
    positions: Table,
    segments: Tensor,
    norm: LayerNorm,
    dropout: f64,
    compute: Compute,
}

/// An embedding table, `[rows, e]`.
#[derive(Debug)]
enum Table {
    /// A variable.
    Variable(Tensor),
    /// The sum of another network's table, which gets no gradient from here, and a variable.
    Offset { base: Tensor, delta: Tensor },
}

const WORDS: &str = "word_embeddings";
const POSITIONS: &str = "position_embeddings";

impl TokenEmbeddings {
    /// Variables `{word,position,token_type}_embeddings` and `LayerNorm` under the site's path.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn new(site: &Site<'_>) -> Result<Self> {
        let words = Self::word_variable(site)?;
        Self::with_words(site, words)
    }

    /// The same over the word embeddings `words_ve`, another network's variable.
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn with_words(site: &Site<'_>, words_ve: Tensor) -> Result<Self> {
        let c = site.config;
        let mut positions = variable(site, POSITIONS, c.max_positions)?;
        if c.initializer.positions == PositionsInit::Sinusoidal {
            let sinusoids = init::sinusoids(c.max_positions, c.embedding_size, c.initializer.std);
            no_grad(|| positions.copy_(&sinusoids));
        }
        Self::with_tables(site, Table::Variable(words_ve), Table::Variable(positions))
    }

    /// Embeddings whose word and position tables are those of `base` plus the variables
    /// `{word,position}_embeddings.delta`, which are 0 at the start; `base` gets no gradient from them. The other variables
    /// are as in [`Self::new`].
    ///
    /// # Errors
    /// If libtorch rejects the sizes.
    pub fn with_offsets(site: &Site<'_>, base: &Self) -> Result<Self> {
        let table = |name: &str, base: &Table| -> Result<Table> {
            let base = base.variable().shallow_clone();
            let delta = (site.path / name).f_var("delta", &base.size(), Init::Const(0.0))?;
            Ok(Table::Offset { base, delta })
        };
        let (words, positions) = (table(WORDS, &base.words)?, table(POSITIONS, &base.positions)?);
        Self::with_tables(site, words, positions)
    }

    /// Embeddings that share the same variables, for another network.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self {
            words: self.words.shallow_clone(),
            positions: self.positions.shallow_clone(),
            segments: self.segments.shallow_clone(),
            norm: self.norm.shallow_clone(),
            dropout: self.dropout,
            compute: self.compute,
        }
    }

    fn word_variable(site: &Site<'_>) -> Result<Tensor> {
        let words = variable(site, WORDS, site.config.vocab_size)?;
        if site.config.initializer.kind == InitializerKind::HuggingFace {
            // `[PAD]` has id 0 in Hugging Face's ELECTRA and in the vocabularies made here. The config does not have
            // the id. The row is trained like any other.
            let _ = no_grad(|| words.narrow(0, 0, 1).zero_());
        }
        Ok(words)
    }

    fn with_tables(site: &Site<'_>, words: Table, positions: Table) -> Result<Self> {
        let c = site.config;
        let segments = variable(site, "token_type_embeddings", c.segments)?;
        let norm = LayerNorm::new(&(site.path / "LayerNorm"), c.embedding_size, c.layer_norm_eps)?;
        Ok(Self { words, positions, segments, norm, dropout: c.dropout, compute: Compute::of(c) })
    }
}

/// A randomly initialized table with `rows` rows.
fn variable(site: &Site<'_>, name: &str, rows: i64) -> Result<Tensor> {
    let (e, initializer) = (site.config.embedding_size, &site.config.initializer);
    init::normal(&(site.path / name), "weight", &[rows, e], initializer)
}

impl Table {
    fn shallow_clone(&self) -> Self {
        match self {
            Self::Variable(table) => Self::Variable(table.shallow_clone()),
            Self::Offset { base, delta } => {
                Self::Offset { base: base.shallow_clone(), delta: delta.shallow_clone() }
            }
        }
    }

    /// The rows of `ids`; looking up both tables is faster than adding them first.
    fn lookup(&self, ids: &Tensor) -> Tensor {
        let rows = |table: &Tensor| Tensor::embedding(table, ids, -1, false, false);
        match self {
            Self::Variable(table) => rows(table),
            Self::Offset { base, delta } => rows(&base.detach()) + rows(delta),
        }
    }

    /// The first `count` rows.
    fn first(&self, count: i64) -> Tensor {
        match self {
            Self::Variable(table) => table.narrow(0, 0, count),
            Self::Offset { base, delta } => {
                base.detach().narrow(0, 0, count) + delta.narrow(0, 0, count)
            }
        }
    }

    /// The whole table.
    fn value(&self) -> Tensor {
        match self {
            Self::Variable(table) => table.shallow_clone(),
            Self::Offset { base, delta } => base.detach() + delta,
        }
    }

    /// The variable.
    fn variable(&self) -> &Tensor {
        match self {
            Self::Variable(variable) | Self::Offset { delta: variable, .. } => variable,
        }
    }

    /// The base of an offset.
    fn base(&self) -> Option<&Tensor> {
        match self {
            Self::Variable(_) => None,
            Self::Offset { base, .. } => Some(base),
        }
    }
}

impl Embeddings for TokenEmbeddings {
    fn forward_t(&self, ids_bs: &Tensor, segments_bs: &Tensor, train: bool) -> Tensor {
        let s = ids_bs.size()[1];
        let segments_bse = Tensor::embedding(&self.segments, segments_bs, -1, false, false);
        let sum_bse = self.words.lookup(ids_bs) + segments_bse + self.positions.first(s);
        self.compute.dropout(&self.norm.forward(&sum_bse), self.dropout, train)
    }

    fn token_table(&self) -> Tensor {
        self.words.value()
    }

    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        let named = |name: &str, t: &Tensor| (name.to_owned(), t.shallow_clone());
        vec![
            (format!("{WORDS}.weight"), no_grad(|| self.words.value())),
            (format!("{POSITIONS}.weight"), no_grad(|| self.positions.value())),
            named("token_type_embeddings.weight", &self.segments),
            named("LayerNorm.weight", &self.norm.weight),
            named("LayerNorm.bias", &self.norm.bias),
        ]
    }

    fn offsets(&self) -> Vec<Offset> {
        let tables = [(WORDS, &self.words), (POSITIONS, &self.positions)];
        let offset = |(name, table): (&str, &Table)| {
            let base = table.base()?.shallow_clone();
            Some(Offset {
                tensor: format!("{name}.weight"),
                variable: format!("{name}.delta"),
                base,
            })
        };
        tables.into_iter().filter_map(offset).collect()
    }

    /// The reference counts embeddings as dense one-hot products, and 5 for LayerNorm and 4 for dropout per element.
    fn cost(c: &EncoderConfig) -> Cost {
        let (e, h, v) = (c.embedding_size as f64, c.hidden as f64, c.vocab_size as f64);
        let projected = c.embedding_size != c.hidden;
        let mask = if c.kernels == Kernels::Plain && c.dropout > 0.0 { FLOAT * e } else { 0.0 };
        let input = if projected { operand_bytes(c) * e } else { 0.0 };
        let copies = match (c.precision, projected) {
            (Precision::Bf16, true) => FLOAT / 2.0 * e * h,
            _ => 0.0,
        };
        Cost {
            reference: Amount {
                token: 2.0 * e * v
                    + 2.0 * e * 2.0
                    + 2.0 * e
                    + 5.0 * e
                    + 4.0 * e
                    + if projected { 2.0 * h * e + h } else { 0.0 },
                pair: 2.0 * e,
            },
            products: Amount::token(if projected { 2.0 * e * h } else { 0.0 }),
            saved: Amount::token(FLOAT * e + 8.0 + mask + input),
            copies,
            working: Amount::default(),
        }
    }
}
