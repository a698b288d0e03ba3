//! WNLI by its candidates: which antecedent of a pronoun a discriminator takes for the original.
//!
//! A row of WNLI is a Winograd schema in disguise: `sentence2` repeats a clause of `sentence1` with a candidate in a
//! pronoun's place. The clause says which pronoun it is; rules find the other candidates in `sentence1`; each is put in
//! the pronoun's place, and a discriminator scores how original its tokens look there. The row's candidate is the
//! antecedent (label 1) if none of the others looks more original.
//!
//! The discriminator is pre-trained, or fine-tuned on the candidates ([`WinogradTask`]), as the paper does.
//!
//! Source: Clark et al. 2020, appendix B, in a few lines: antecedents by rules, as in Liu et al. 2019; the discriminator
//! is fine-tuned so that its scores of the antecedent's tokens are high. Neither rules nor code were published; the rules
//! here are in `candidates.rs`.

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

/// WNLI by the official files' names.
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
