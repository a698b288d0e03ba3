//! Numbers of rows in the file: rows that are left out do not shift the others.

use crate::{
    described,
    e2e::{Fixture, config, finish, phrase},
    glue as layouts, says,
};
use approx::assert_relative_eq;
use electra_scores::{
    Metric, SentenceTask, glue,
    multi_label::{self, MultiLabelTask},
};
use electra_tasks::{Completion, Finetune, details::Details, texts::data::load};
use std::{fs, path::Path, sync::atomic::AtomicBool};

/// The row numbers in a file of predictions.
fn indices(predictions: &str) -> Vec<usize> {
    let index = |line: &str| line.split('\t').next().unwrap().parse().unwrap();
    predictions.lines().skip(1).map(index).collect()
}

/// A dev file of MNLI with a malformed row, one without an agreed label and one without a text.
#[test]
fn answers_have_the_numbers_of_their_rows() {
    let fixture = Fixture::new();
    let mnli = glue::find("mnli").unwrap();
    layouts::write(fixture.dir.path(), mnli, 230);
    let gold = fixture.path("MNLI/dev_matched.tsv");
    let text = fs::read_to_string(&gold).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1 + 2] = "torn".to_owned();
    lines[1 + 5] = format!("{}\t-", lines[1 + 5].rsplit_once('\t').unwrap().0);
    lines[1 + 8] = lines[1 + 8].replace("\"a red green, 8", " ");
    fs::write(&gold, lines.join("\n")).unwrap();
    let (task, data) = glue::open("mnli", fixture.dir.path()).unwrap();
    let config = config(&["train.epochs=0.1"]);
    let out = fixture.path("out");
    let report = finish(&Finetune::new(&task, data, fixture.path("model"), &config, &out));

    let dev = out.join("seed-1/dev");
    let path = dev.join("predictions.tsv");
    let predictions = fs::read_to_string(&path).unwrap();
    let kept: Vec<usize> = (0..230).filter(|row| ![2, 5, 8].contains(row)).collect();
    assert_eq!(indices(&predictions), kept);
    let score = |path: &Path| glue::score(mnli, &gold, path).unwrap()[&Metric::Accuracy];
    assert_eq!(score(&path), report.seeds[0].dev[&Metric::Accuracy]);

    // The hardest examples have the texts of their rows.
    let details = fs::read_to_string(dev.join("details.json")).unwrap();
    let details: Vec<Details> = serde_json::from_str(&details).unwrap();
    let [_, Details::Confusion { labels, .. }, Details::Table { rows, .. }] = &details[..] else {
        panic!("{details:?}")
    };
    assert_eq!(rows.len(), 50);
    for row in rows {
        let number: usize = row[0].parse().unwrap();
        let text = format!("\"a red green, {number}");
        assert_eq!((&row[2], &row[5]), (&labels[number % 3], &text));
    }

    // A prediction for the row without a text is scored.
    let right = score(&path).unwrap() * 227.0;
    let more = fixture.path("more.tsv");
    fs::write(&more, format!("{predictions}8\t{}\n", labels[8 % 3])).unwrap();
    assert_relative_eq!(score(&more).unwrap(), (right + 1.0) / 228.0, epsilon = 1e-12);
    let fewer = predictions.replace("\n7\t", "\n5\t");
    fs::write(&more, fewer).unwrap();
    says(glue::score(mnli, &gold, &more), &["no prediction for index 7 (missing predictions: 1)"]);
}

const SETS: &str = "name = 'kinds'\nkind = 'multi-label'\ntext_a = 'text'\nlabel = 'kinds'\n\
                    unusable_rows = 0.2\nmetric = 'micro-f1'\n\
                    [files]\ntrain = 'train.tsv'\ndev = 'dev.tsv'\n";

#[test]
fn sets_of_labels_have_the_numbers_of_their_rows() {
    let fixture = Fixture::new();
    let row = |i: usize| format!("{}\t{}\n", phrase(i, i % 2), ["color", "animal"][i % 2]);
    let rows = |from: usize| (from..from + 16).map(row).collect::<String>();
    fixture.write("task/train.tsv", format!("text\tkinds\n{}{}", rows(0), rows(16)));
    let dev = format!("text\tkinds\n{}torn\n\n \tcolor\n{}", rows(32), rows(48));
    fixture.write("task/dev.tsv", dev);
    fixture.write("task/task.toml", SETS);
    let task: MultiLabelTask = described(&fixture.path("task"));
    let config = config(&["head.pooling=first", "train.epochs=4"]);
    let (data, model, out) = (fixture.path("task"), fixture.path("model"), fixture.path("out"));
    let finetune = Finetune::new(&task, data, model, &config, &out);
    let done = finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let Completion::Finished(report) = done else { panic!("the run was not stopped") };
    let path = out.join("seed-1/dev/predictions.tsv");
    let predictions = fs::read_to_string(&path).unwrap();
    assert_eq!(indices(&predictions), (0..16).chain(19..35).collect::<Vec<_>>());
    let gold = fixture.path("task/dev.tsv");
    let found = multi_label::score(&task, &gold, &path).unwrap();
    for (metric, score) in &report.seeds[0].dev {
        assert_relative_eq!(found[metric].unwrap(), score.unwrap(), epsilon = 1e-12);
    }

    // Rows that may not be left out are errors in the gold file too.
    let strict = MultiLabelTask { unusable_rows: 0.0, ..task };
    says(multi_label::score(&strict, &gold, &path), &["dev.tsv:18", "1 columns"]);
}

/// Each empty line within a file is an invalid row; empty lines at the end are ignored.
#[test]
fn empty_lines_are_counted_with_the_rows_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let load_text = |share: f64, name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        let toml = format!(
            "name = 'x'\nkind = 'classification'\ntext_a = 'a'\nlabel = 'b'\nmetric = 'accuracy'\n\
             unusable_rows = {share:?}\n[files]\ntrain = '{name}'\ndev = '{name}'\n"
        );
        load(&toml::from_str::<SentenceTask>(&toml).unwrap(), dir.path())
    };
    let json = |word: &str| format!("{{\"a\": \"{word}\", \"b\": \"{word}\"}}\n");
    for (name, text, line) in [
        ("t.tsv", "a\tb\nx\tx\n\n\ny\ty\n\n\n".to_owned(), 3),
        ("t.jsonl", format!("{}\n\n{}\n\n", json("x"), json("y")), 2),
    ] {
        let data = load_text(0.5, name, &text).unwrap();
        assert_eq!(data.scored.dev.iter().map(|example| example.row).collect::<Vec<_>>(), [0, 3]);
        let file = dir.path().join(name).display().to_string();
        let named = |line| format!("{file}:{line}: an empty line in the middle of the file");
        assert_eq!(data.left_out[0].named, [named(line), named(line + 1)]);
        says(load_text(0.49, name, &text), &["2 of 4 rows cannot be used", "an empty line"]);
        says(load_text(0.0, name, &text), &[&named(line)]);
    }
}
