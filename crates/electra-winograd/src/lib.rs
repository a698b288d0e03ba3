//! WNLI with a discriminator: the candidate whose tokens look most original in a pronoun's place is its antecedent.
//!
//! A row of WNLI is a Winograd schema: `sentence2` repeats a clause of `sentence1` with a candidate in the place of a
//! pronoun, so the clause identifies the pronoun. Rules find the other candidates in `sentence1`. Each candidate
//! replaces the pronoun in turn, and a discriminator scores its tokens. The row's candidate is the antecedent (label 1)
//! if no other has a higher score.
//!
//! The discriminator is pre-trained only, or fine-tuned on the candidates ([`WinogradTask`]), as in the paper.
//!
//! Source: Clark et al. 2020, appendix B, which describes it briefly: candidates by rules, as in Liu et al. 2019, and a
//! discriminator fine-tuned so that the antecedent's tokens get high scores. Neither rules nor code were published; the
//! rules of this crate are in `candidates.rs`.

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;

mod candidates;
mod model;
mod schema;
mod task;
mod words;

pub use schema::Schema;
pub use task::{WinogradKind, WinogradTask};

use electra_tasks::{kinds::Kind, model_kind::open_as};
use model::{WinogradInfo, pretrained};

/// The `task.toml` of WNLI with the names of the official files.
const WNLI_CANDIDATES: &str = "\
name = \"wnli-candidates\"
kind = \"winograd\"
metric = \"accuracy\"
[files]
train = \"WNLI/train.tsv\"
dev = \"WNLI/dev.tsv\"
";

/// The kind of task, for [`electra_tasks::Kinds::with`].
pub const WINOGRAD: Kind = Kind {
    named: &[("wnli-candidates", WNLI_CANDIDATES)],
    // A pre-trained discriminator has no `task.json`.
    open: |site| open_as(WinogradInfo(site.header.clone()), site),
    untuned: Some(pretrained),
    ..Kind::new::<WinogradTask, WinogradInfo>(&["winograd"])
};
