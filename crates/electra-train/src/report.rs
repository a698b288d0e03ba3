//! `report.html` of pre-training: how far a run is, its last figures, their curves, samples, its config, in one file
//! that needs nothing else.

use crate::{
    Result, RunConfig,
    html::{Curve, Page, Weight, Word},
    metrics::{self, Figures},
    objective::Shown,
    run_dir::RunDir,
};
use electra_tokenize::Vocab;

const NAME: &str = "report.html";

/// Kinds of rows of metrics, and what they are called here.
const KINDS: [(&str, &str); 2] = [("train", "training"), ("evaluate", "held-out")];

/// The figures that come first.
const FIRST: [&str; 5] =
    ["loss", "generator_loss", "discriminator_loss", "discriminator_auc", "tokens_per_second"];

/// What a row has that is no curve: the row's place, the clock, and what is the same in every row.
const NO_CURVES: [&str; 4] = ["kind", "step", "seconds", "tokens"];

/// Writes the report of a run after `done` updates into its folder, with sequences that its networks saw.
///
/// # Errors
/// Naming the file of the run that cannot be read or written.
pub fn write(run: &RunDir, config: &RunConfig, done: u64, shown: &[Vec<Shown>]) -> Result<()> {
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
    page.heading("Last figures");
    last(&mut page, &rows, &keys);
    page.heading("Curves");
    page.paragraph(
        "Training: the batch of each update that has a row in metrics.jsonl. Held-out: the whole held-out split, without dropout.",
    );
    for key in keys {
        let curves = KINDS.map(|(kind, name)| Curve::of(name, &rows, kind, key));
        page.plot(key, "update", &curves);
    }
    if !shown.is_empty() {
        let vocab = Vocab::from_file(&run.tokenizer().join("vocab.txt"))?;
        page.heading("Samples");
        page.paragraph(
            "The first held-out sequences. Bold: drawn by the generator; the original, where it is another, is struck through before it. The darker a token, the likelier the discriminator finds it replaced.",
        );
        shown.iter().for_each(|sequence| page.words(&words(sequence, &vocab)));
    }
    page.heading("Config");
    page.config(config);
    run.write(NAME, &page.finish())
}

/// The figures of all rows: those that people look at first, then the others as they stand.
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

/// The last row of each kind.
fn last(page: &mut Page, rows: &[Figures], keys: &[&str]) {
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

/// A sequence as it is shown.
fn words(sequence: &[Shown], vocab: &Vocab) -> Vec<Word> {
    let token = |id: i64| {
        let token = u32::try_from(id).ok().and_then(|id| vocab.token(id));
        token.map_or_else(|| id.to_string(), str::to_owned)
    };
    let word = |&Shown { original, drawn, replaced }: &Shown| Word {
        text: token(drawn.unwrap_or(original)),
        weight: if drawn.is_some() { Weight::Bold } else { Weight::Plain },
        struck: drawn.filter(|&drawn| drawn != original).map(|_| token(original)),
        shade: replaced.into(),
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
