//! `report.html` of pre-training: progress, latest metrics, curves, samples and config in a self-contained file.

use crate::{
    Result, RunConfig,
    html::{Curve, Page, Weight, Word},
    metrics::{self, Figures},
    objective::TokenPrediction,
    run_dir::RunDir,
};
use electra_tokenize::Vocab;

const NAME: &str = "report.html";

/// Kinds of metrics rows, and their names in the report.
const KINDS: [(&str, &str); 2] = [("train", "training"), ("evaluate", "held-out")];

/// The figures to show first.
const FIRST: [&str; 5] =
    ["loss", "generator_loss", "discriminator_loss", "discriminator_auc", "tokens_per_second"];

/// Keys of a row that are not plotted: its kind and step, the clock, and a constant.
const NO_CURVES: [&str; 4] = ["kind", "step", "seconds", "tokens"];

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
    latest(&mut page, &rows, &keys);
    page.heading("Curves");
    page.paragraph(
        "Training: single batches, those of the updates with a row in metrics.jsonl. Held-out: the whole held-out split, without dropout.",
    );
    for key in keys {
        let curves = KINDS.map(|(kind, name)| Curve::of(name, &rows, kind, key));
        page.plot(key, "update", &curves);
    }
    if !samples.is_empty() {
        let vocab = Vocab::from_file(&run.tokenizer())?;
        page.heading("Samples");
        page.paragraph(
            "The first held-out sequences. Bold: sampled by the generator; if the original differs, it is struck through before it. Darker tokens have a higher probability of being replaced according to the discriminator.",
        );
        samples.iter().for_each(|sequence| page.words(&words(sequence, &vocab)));
    }
    page.heading("Config");
    page.config(config);
    run.write(NAME, &page.finish())
}

/// The figures of all rows: first those in [`FIRST`], then the others in their order.
fn keys(rows: &[Figures]) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for key in rows.iter().flat_map(Figures::keys) {
        if !keys.contains(&key.as_str()) && !NO_CURVES.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|key| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    keys
}

/// Adds a table with the last row of each kind.
fn latest(page: &mut Page, rows: &[Figures], keys: &[&str]) {
    let newest = KINDS.map(|(kind, name)| {
        let row = rows.iter().rev().find(|row| row.get("kind").is_some_and(|found| found == kind));
        (name, row)
    });
    let mut header = vec!["figure".to_owned()];
    header.extend(newest.iter().map(|(name, row)| {
        let step = row.and_then(|row| row.get("step")).map(|step| format!(", update {step}"));
        format!("{name}{}", step.unwrap_or_default())
    }));
    page.table(
        &header,
        keys.iter().map(|&key| {
            let value = |(_, row): &(&str, Option<&Figures>)| {
                figure(row.and_then(|row| row.get(key)?.as_f64()))
            };
            std::iter::once(key.to_owned()).chain(newest.iter().map(value)).collect::<Vec<_>>()
        }),
    );
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

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(x) if x.fract() == 0.0 => x.to_string(),
        Some(x) if x.abs() < 1e-3 => format!("{x:.3e}"),
        Some(x) => format!("{x:.4}"),
    }
}
