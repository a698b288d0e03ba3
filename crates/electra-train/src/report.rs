//! Reports of runs as self-contained pages: of one pre-training run (`report.html`), and of several runs of any kind.

mod comparison;
mod figures;

pub use comparison::{RunLog, compare, write_csv};

use crate::{
    Result, RunConfig,
    html::{Curve, Page, Weight, Word},
    metrics,
    objective::TokenPrediction,
    run_dir::RunDir,
};
use electra_tokenize::Vocab;
use figures::{keys, latest};

const NAME: &str = "report.html";

/// Kinds of rows, and their names on the page.
const KINDS: [(&str, &str); 2] = [("train", "training"), ("evaluate", "held-out")];

/// Predictions for sample sequences, and a remark about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    pub(crate) sequences: &'a [Vec<TokenPrediction>],
    /// What the reader should know, such as why there are none; may be empty.
    pub(crate) remark: &'a str,
}

/// Writes the report of a run after `done` updates into its folder, with the predictions for sample sequences.
///
/// # Errors
/// Naming the file that cannot be read or written.
pub fn write(
    run: &RunDir,
    config: &RunConfig,
    done: u64,
    samples: &[Vec<TokenPrediction>],
) -> Result<()> {
    let samples = Samples { sequences: samples, remark: "" };
    run.write(NAME, &page(run, config, done, samples)?)
}

/// The report of a run after `done` updates.
///
/// # Errors
/// Naming the file that cannot be read.
pub(crate) fn page(
    run: &RunDir,
    config: &RunConfig,
    done: u64,
    samples: Samples<'_>,
) -> Result<String> {
    let (manifest, rows) = (run.manifest()?, metrics::read(&run.metrics())?);
    let name = run.path().file_name().unwrap_or(run.path().as_os_str()).to_string_lossy();
    let mut page = Page::new(&format!("{name}: pre-training"));
    let facts = [
        ("updates", format!("{done} of {}", config.train.steps)),
        ("objective", manifest.objective.clone()),
        ("parts", manifest.parts.join(", ")),
        ("parameters", manifest.parameters.to_string()),
        ("seed", manifest.seed.to_string()),
        ("hardware", manifest.hardware()),
        ("version", format!("{} {}", manifest.version, manifest.git)),
    ];
    page.table::<&str, _>(&[], facts.map(|(name, value)| vec![name.to_owned(), value]));

    let keys = keys(&rows);
    page.heading("Latest metrics");
    let columns = KINDS.map(|(kind, name)| (name, &rows[..], kind));
    latest(&mut page, &columns, &keys);
    page.heading("Curves");
    page.paragraph(
        "Training: single batches, those of the updates with a row in metrics.jsonl. Held-out: the whole held-out split, without dropout.",
    );
    for key in &keys {
        let curves = KINDS.map(|(kind, name)| Curve::of(name, &rows, kind, key));
        page.plot(key, "update", &curves);
    }
    let Samples { sequences, remark } = samples;
    if !sequences.is_empty() || !remark.is_empty() {
        page.heading("Samples");
    }
    if !remark.is_empty() {
        page.paragraph(remark);
    }
    if !sequences.is_empty() {
        let vocab = Vocab::from_file(&run.tokenizer())?;
        page.paragraph(
            "The first held-out sequences. Bold: sampled by the generator; if the original differs, it is struck through before it. Darker tokens have a higher probability of being replaced according to the discriminator.",
        );
        sequences.iter().for_each(|sequence| page.words(&words(sequence, &vocab)));
    }
    page.heading("Config");
    page.config(config);
    Ok(page.finish())
}

/// The words of a sample sequence.
fn words(sequence: &[TokenPrediction], vocab: &Vocab) -> Vec<Word> {
    let token = |id: i64| {
        let token = u32::try_from(id).ok().and_then(|id| vocab.token(id));
        token.map_or_else(|| id.to_string(), str::to_owned)
    };
    let word =
        |&TokenPrediction { original, sampled, replaced_probability }: &TokenPrediction| Word {
            text: token(sampled.unwrap_or(original)),
            weight: if sampled.is_some() { Weight::Bold } else { Weight::Plain },
            struck: sampled.filter(|&sampled| sampled != original).map(|_| token(original)),
            shade: replaced_probability.into(),
        };
    sequence.iter().map(word).collect()
}
