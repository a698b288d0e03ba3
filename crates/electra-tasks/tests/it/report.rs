//! `report.html`: it shows the predictions of the run and is self-contained.

use crate::device_name;
use crate::e2e::{Fixture, TASK, config};
use electra_scores::LeftOut;
use electra_tasks::{Completion, Grid, Predictor, details::Details, finetune::grid::cells};
use electra_train::html::{Curve, Page};
use std::{fs, sync::atomic::AtomicBool};

const RED: &str = "<script>alert(\"red\")</script> & 'blue'";

#[test]
fn the_report_of_fine_tuning_shows_what_was_predicted() {
    let fixture = Fixture::new();
    let mut dev = fs::read_to_string(fixture.path("task/dev.tsv")).unwrap();
    dev.push_str(&format!("{RED}\tanimal\nfox bear\tcolor\n"));
    fixture.write("task/dev.tsv", &dev);
    let task = fixture.read_task();
    let config = config(&["train.epochs=4", "train.log_every=2", "evaluate.every=4"]);
    let mut finetune = fixture.finetune(&task, &config, "out");
    finetune.seeds = vec![1, 2];
    let done = finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let Completion::Finished(report) = done else { panic!("the run was not stopped") };

    let dir = fixture.path(&format!("out/seed-{}/dev", report.best_seed));
    let details: Vec<Details> =
        serde_json::from_str(&fs::read_to_string(dir.join("details.json")).unwrap()).unwrap();
    let [
        Details::Table { .. },
        Details::Confusion { labels, counts },
        Details::Table { columns, rows, .. },
    ] = &details[..]
    else {
        panic!("{details:?}")
    };
    // The matrix from the file of predictions.
    let predictions = fs::read_to_string(dir.join("predictions.tsv")).unwrap();
    let second = |text: &str| -> Vec<String> {
        text.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
    };
    let (gold, predicted) = (second(&dev), second(&predictions));
    assert_eq!(labels, &["animal", "color"]);
    for (i, g) in labels.iter().enumerate() {
        for (j, p) in labels.iter().enumerate() {
            let count = gold.iter().zip(&predicted).filter(|&(a, b)| (a, b) == (g, p)).count();
            assert_eq!(counts[i][j], count as u64, "{g} {p}");
        }
    }
    // The hardest examples, from the model's probabilities.
    assert_eq!(columns, &["index", "loss", "gold", "predicted", "its probability", "text"]);
    let predictor = Predictor::open(&fixture.path("out/model"), device_name()).unwrap();
    let texts: Vec<&str> = dev.lines().skip(1).map(|l| l.split('\t').next().unwrap()).collect();
    let answers = predictor.answer(&crate::texts(&texts)).unwrap();
    let loss = |i: usize| {
        let class = labels.iter().position(|label| *label == gold[i]).unwrap();
        -f64::from(answers[i].probabilities()[class]).ln()
    };
    assert_eq!(rows.len(), 32);
    let mut before = f64::INFINITY;
    for row in rows {
        let i: usize = row[0].parse().unwrap();
        let found: f64 = row[1].parse().unwrap();
        approx::assert_abs_diff_eq!(found, loss(i), epsilon = 1e-3);
        assert!(found <= before);
        before = found;
        assert_eq!((&row[2], &row[3], &row[5][..]), (&gold[i], &predicted[i], texts[i]));
    }

    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    needs_nothing(&html);
    assert!(html.contains("&lt;script&gt;alert(&quot;red&quot;)&lt;/script&gt; &amp; 'blue'"));
    // A curve of the loss and one of the dev score for each of two seeds, whose colors are the first two.
    for color in ["#0072B2", "#D55E00"] {
        assert_eq!(html.matches(&format!("stroke=\"{color}\"")).count(), 2, "{color}");
    }
    for words in ["seed 1", "seed 2", "bag of words", "accuracy on dev", "optimizer.layer_decay"] {
        assert!(html.contains(words), "{words:?} is not in {html}");
    }
    for seed in &report.seeds {
        let score = format!("{:.4}", seed.dev_score(report.metric).unwrap());
        assert!(html.contains(&format!("<td class=\"n\">{score}</td>")), "{score}");
    }
}

/// Every row in `left-out.txt`, the first 20 of each file in `results.json` and the page.
#[test]
fn rows_that_are_left_out_are_counted_and_named_by_file() {
    let fixture = Fixture::new();
    fixture.write(
        "task/task.toml",
        TASK.replace("[files]", "unusable_rows = 0.5\nno_label = \"-\"\n[files]"),
    );
    let whole = fs::read_to_string(fixture.path("task/train.tsv")).unwrap();
    fixture.write("task/train.tsv", format!("{whole}{}fox\t-\n", "red\n".repeat(21)));
    let dev = fs::read_to_string(fixture.path("task/dev.tsv")).unwrap();
    fixture.write("task/dev.tsv", format!("{dev}\tcolor\n"));
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    let done =
        fixture.finetune(&task, &config, "out").run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let Completion::Finished(report) = done else { panic!("the run was not stopped") };

    // 64 rows and a header come before.
    let train = fixture.path("task/train.tsv").display().to_string();
    let named = (66..87).map(|line| format!("{train}:{line}: 1 columns instead of 2"));
    let mut named: Vec<String> = named.collect();
    named.push(format!("{train}:87: the label \"-\" means that there is no gold label"));
    let dev = fixture.path("task/dev.tsv").display().to_string();
    named.push(format!("{dev}:32: the text in column \"text\" is empty"));
    let listed = fs::read_to_string(fixture.path("out/left-out.txt")).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), named);
    let known = [
        LeftOut { file: (&train).into(), count: 22, named: named[..20].to_vec() },
        LeftOut { file: (&dev).into(), count: 1, named: named[22..].to_vec() },
    ];
    assert_eq!(report.left_out, known);
    assert_eq!((report.examples.train, report.examples.dev), (64, 30));
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    needs_nothing(&html);
    let escaped = |line: &str| line.replace('"', "&quot;");
    for part in [format!("{train}: 22</h3>"), "<th>20 of 22</th>".to_owned(), escaped(&named[22])] {
        assert!(html.contains(&part), "{part:?} is not in {html}");
    }
    assert!(!html.contains(&escaped(&named[20])));
}

/// No scripts and no external resources.
fn needs_nothing(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    for word in ["<script", "http", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(word), "{word:?} is in {html}");
    }
}

#[test]
fn the_report_of_a_grid_has_its_cells() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&[]));
    let axes = ["train.epochs=1,2".parse().unwrap()];
    let cells = cells(&axes, |values| config.with_overrides("base", values)).unwrap();
    let grid = Grid { finetune: fixture.finetune(&task, &config, "out"), cells: &cells };
    grid.run(&AtomicBool::new(false), &mut |_| {}).unwrap();
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    needs_nothing(&html);
    for cell in &cells {
        assert!(html.contains(&cell.name), "{html}");
        assert!(fixture.path("out").join(&cell.name).join("report.html").is_file());
    }
    assert_eq!(html.matches(">best</td>").count(), 1);
}

/// Positions by arithmetic: the plot goes from (128, 431) at the lower left to (1391, 16) at the upper right.
#[test]
fn curves_are_drawn_to_scale_without_nan() {
    let mut page = Page::new("a < b");
    let points = vec![(0.0, 1.0), (5.0, f64::NAN), (10.0, 3.0), (20.0, 2.0)];
    page.plot("c & d", "step", &[Curve { name: "e > f".to_owned(), points }]);
    page.plot("nothing", "step", &[Curve { name: "none".to_owned(), points: Vec::new() }]);
    let html = page.finish();
    needs_nothing(&html);
    assert!(html.contains("points=\"128,431 759,16 1391,224 \""), "{html}");
    for words in ["<title>a &lt; b</title>", "c &amp; d", "e &gt; f"] {
        assert!(html.contains(words), "{words:?} is not in {html}");
    }
    assert!(!html.contains("nothing"));
}
