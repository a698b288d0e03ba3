//! WNLI by a discriminator: parsing of rows, candidates, scores, files.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod fixture;

use electra_model::{EncoderInput, Parts, PretrainedNetwork, Row, hf::Pretrained, tensors};
use electra_scores::{
    Metric,
    glue::{self, TASKS, score, submission::Origin},
};
use electra_tasks::{
    Answer, Completion, Finetune, Kinds, MultiTask, Predictor, Request, Task,
    answer::CandidateScores,
    multi::OneOf,
    predictor::{StreamInput, StreamOptions, StreamReport},
    submit::{Archive, Missing, RowCounts, Submit},
};
use electra_tokenize::{Tokenizer, WordPiece};
pub(crate) use electra_torch::testing::{device, device_name, train_device};
use electra_train::Existing;
use electra_winograd::{Schema, WINOGRAD};
use fixture::{Fixture, config, says, write_train};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};
use tch::Kind;

fn kinds() -> Kinds {
    Kinds::default().with(WINOGRAD)
}

fn open(dir: &Path) -> electra_tasks::Result<Predictor> {
    Predictor::open_with(dir, device_name(), &kinds(), &Parts::shipped())
}

/// `sentence1` with `_` in place of the pronoun, the row's candidate, the other candidates.
#[track_caller]
fn check(sentence1: &str, sentence2: &str, around: &str, candidate: &str, others: &[&str]) {
    let schema = Schema::parse(sentence1, sentence2).unwrap();
    assert_eq!(format!("{}_{}", schema.before, schema.after), around);
    let found: Vec<&str> = schema.others.iter().map(String::as_str).collect();
    assert_eq!((schema.candidate.as_str(), &found[..]), (candidate, others));
}

#[test]
fn a_row_is_a_clause_with_a_candidate_in_a_pronouns_place() {
    check(
        "Lena waved at Marta because she was leaving.",
        "Marta was leaving.",
        "Lena waved at Marta because _ was leaving.",
        "Marta",
        &["Lena"],
    );
    // The clause begins before the pronoun; the article gets the pronoun's lower case.
    check(
        "The crate would not pass the narrow door, so we turned it.",
        "We turned The crate.",
        "The crate would not pass the narrow door, so we turned _.",
        "the crate",
        &["the narrow door"],
    );
    check(
        "The pipe is full of mud. It must be cleaned.",
        "The mud must be cleaned.",
        "The pipe is full of mud. _ must be cleaned.",
        "The mud",
        &["The pipe"],
    );
    // Two pronouns: the one with the shortest candidate is used.
    check(
        "Nora heard that Olga\u{2019}s brother was ill, so she asked her about him.",
        "Olga asked her about him.",
        "Nora heard that Olga\u{2019}s brother was ill, so _ asked her about him.",
        "Olga",
        &["Nora", "Olga\u{2019}s brother"],
    );
    // For a possessive pronoun the candidates are possessive.
    check(
        "The aunt handed the girl her coat.",
        "The aunt handed the girl the aunt's coat.",
        "The aunt handed the girl _ coat.",
        "the aunt's",
        &["the girl's"],
    );
}

#[test]
fn rows_that_are_not_schemas() {
    let none = |one, two| assert_eq!(Schema::parse(one, two), None, "{one} {two}");
    none("I could not hear it over the rain.", "I could hear the rain.");
    none("Lena left because she was tired.", "She was tired.");
    none("Lena waved at Marta.", "Marta waved.");
    none("", "");
    none("she", "");
}

/// No other candidate may have a higher score; a single candidate is compared with ln 0.5 = -0.693.
#[test]
fn the_most_original_candidate_is_the_antecedent() {
    let label = |own, others: &[f64]| CandidateScores { scores: [&[own], others].concat() }.label();
    assert_eq!(label(-0.2, &[-0.3, -0.9]), "1");
    assert_eq!(label(-0.2, &[-0.2]), "1");
    assert_eq!(label(-0.2, &[-0.9, -0.1]), "0");
    assert_eq!((label(-0.69, &[]), label(-0.70, &[])), ("1", "0"));
    assert_eq!(CandidateScores { scores: Vec::new() }.label(), "0");
}

/// The scores of a row's candidates, its own first.
fn judge(predictor: &Predictor, one: &str, two: &str) -> CandidateScores {
    match predictor.answer(&[Request::pair(one, two)]).unwrap().remove(0) {
        Answer::Antecedent(scores) => scores,
        other => panic!("{other:?}"),
    }
}

fn predict(
    predictor: &Predictor,
    input: &Path,
    output: &Path,
) -> electra_tasks::Result<StreamReport> {
    let input = StreamInput::open(input)?;
    predictor.stream_to_file(input, output, &StreamOptions::default(), &mut |_| {})
}

/// The scores are means of log(1 - p(replaced)) over the candidate's tokens in the complete text.
#[test]
fn candidates_are_scored_in_the_text_that_they_make() {
    let fixture = Fixture::new();
    let model = fixture.path("model");
    let predictor = open(&model).unwrap();
    assert_eq!((&predictor.header().kind[..], &predictor.header().task[..]), ("winograd", "wnli"));
    let (one, two) = ("Fox led Bear until he met Red Bird.", "Bear met Red Bird.");
    let scores = judge(&predictor, one, two).scores;
    let tokenizer = WordPiece::from_pretrained_dir(&model).unwrap();
    let pretrained = Pretrained::read(&model).unwrap();
    let network = PretrainedNetwork::new(&pretrained, &Parts::shipped(), device()).unwrap();
    let expected = |candidate: &str| {
        let special = tokenizer.vocab().special();
        let text = format!("Fox led Bear until {candidate} met Red Bird.");
        let ids = [vec![special.cls], tokenizer.encode(&text).unwrap(), vec![special.sep]].concat();
        let rows = [Row { ids: &ids, segment_b_start: ids.len() }];
        let hidden =
            network.encoder().forward_t(&EncoderInput::from_rows(&rows, 0, device()), false);
        let replaced = network.logits(&hidden).unwrap().sigmoid().to_kind(Kind::Double);
        let start = 1 + tokenizer.encode("Fox led Bear until").unwrap().len();
        let end = start + tokenizer.encode(candidate).unwrap().len();
        let logarithms = (start..end).map(|i| (1.0 - replaced.double_value(&[0, i as i64])).ln());
        logarithms.sum::<f64>() / (end - start) as f64
    };
    // Padding changes the rounding only.
    let names = ["Bear", "Fox", "Red Bird"];
    assert_eq!(scores.len(), 3);
    for (found, name) in scores.iter().zip(names) {
        approx::assert_abs_diff_eq!(*found, expected(name), epsilon = 1e-5);
    }
    assert!(judge(&predictor, "red", "blue").scores.is_empty());
    // Threads share it.
    let again = std::thread::scope(|threads| {
        let ask = || threads.spawn(|| judge(&predictor, one, two));
        [ask(), ask()].map(|thread| thread.join().unwrap())
    });
    for judged in again {
        approx::assert_abs_diff_eq!(judged.scores[0], scores[0], epsilon = 1e-6);
    }
}

/// The scorer and the submission accept the predictions.
#[test]
fn a_file_of_wnli_is_predicted_scored_and_submitted() {
    let fixture = Fixture::new();
    for task in &TASKS {
        write_train(&fixture.path("glue"), task);
    }
    let rows = [
        ("Fox led Bear until he met Bird.", "Bear met Bird.", "1"),
        ("Fox led Bear until he met Bird.", "Fox met Bird.", "0"),
        ("red, green", "no clause of it", "0"),
        ("Until it ended, we ran.", "Until green ended, we ran.", "1"),
    ];
    let labelled =
        |(i, (a, b, label)): (usize, &(&str, &str, &str))| format!("{i}\t{a}\t{b}\t{label}\n");
    let unlabelled = |(i, (a, b, _)): (usize, &(&str, &str, &str))| format!("{i}\t{a}\t{b}\n");
    let header = "index\tsentence1\tsentence2";
    let dev: String = rows.iter().enumerate().map(labelled).collect();
    let test: String = rows.iter().enumerate().map(unlabelled).collect();
    fixture.write("glue/WNLI/dev.tsv", format!("{header}\tlabel\n{dev}"));
    fixture.write("glue/WNLI/test.tsv", format!("{header}\n{test}"));

    let predictor = open(&fixture.path("model")).unwrap();
    let output = fixture.path("predictions.tsv");
    let report = predict(&predictor, &fixture.path("glue/WNLI/dev.tsv"), &output).unwrap();
    assert_eq!((report.done, report.unit), (4, "rows"));
    // One is not a schema, and one has a single candidate.
    let counts = rows.map(|(one, two, _)| judge(&predictor, one, two).scores.len());
    assert_eq!((counts[2], counts[3]), (0, 1));
    let text = fs::read_to_string(&output).unwrap();
    let labels: Vec<&str> =
        text.lines().skip(1).map(|line| line.split_once('\t').unwrap().1).collect();
    for ((one, two, _), label) in rows.iter().zip(&labels) {
        assert_eq!(judge(&predictor, one, two).label(), *label);
    }
    let right = rows.iter().zip(&labels).filter(|((_, _, gold), label)| gold == *label).count();
    let task = glue::find("wnli").unwrap();
    let scores = score(task, &fixture.path("glue/WNLI/dev.tsv"), &output).unwrap();
    assert_eq!(scores[&Metric::Accuracy], Some(right as f64 / 4.0));

    let submit = Submit {
        data: fixture.path("glue"),
        runs: BTreeMap::from([("wnli", fixture.path("model"))]),
        out: fixture.path("submission"),
        existing: Existing::Refuse,
        missing: Missing::Majority,
        rows: RowCounts::AsGiven,
        archive: Archive::Omit,
        device: device_name().to_owned(),
        kinds: kinds(),
        parts: Parts::shipped(),
    };
    let written = submit.run(&mut |_, _| {}).unwrap();
    let table = written.iter().find(|table| table.file == "WNLI.tsv").unwrap();
    assert_eq!(table.origin, Origin::Model(fixture.path("model")));
    assert_eq!(fs::read_to_string(fixture.path("submission/WNLI.tsv")).unwrap(), text);
    // A pre-trained discriminator is not a model of another task.
    let runs = BTreeMap::from([("rte", fixture.path("model"))]);
    let other = Submit { runs, out: fixture.path("other"), ..submit.clone() };
    says(other.run(&mut |_, _| {}), &["\"wnli\"", "not of \"rte\""]);

    // The row with NaN or infinity is named.
    let weights = fixture.path("model/model.safetensors");
    let mut broken = tensors::read(&weights).unwrap();
    for (name, tensor) in &mut broken {
        // Hidden states of 2, whose products with the largest numbers are infinite.
        let value = match name.as_str() {
            "discriminator_predictions.dense.weight" => 1.0,
            "discriminator_predictions.dense_prediction.weight" => 3e38,
            name if name.ends_with("output.LayerNorm.weight") => 0.0,
            name if name.ends_with("output.LayerNorm.bias") => 2.0,
            _ => continue,
        };
        let _ = tensor.fill_(value);
    }
    tensors::write(&weights, &broken).unwrap();
    let broken = open(&fixture.path("model")).unwrap();
    let (input, output) = (fixture.path("glue/WNLI/dev.tsv"), fixture.path("broken.tsv"));
    says(predict(&broken, &input, &output), &["dev.tsv:2", "NaN or infinity"]);
    let broken = Submit { out: fixture.path("broken"), ..submit };
    says(broken.run(&mut |_, _| {}), &["WNLI/test.tsv:2", "NaN or infinity"]);
    assert!(!output.exists() && !fixture.path("broken").exists());
}

#[test]
fn models_that_are_not_discriminators() {
    let fixture = Fixture::new();
    let config = fs::read_to_string(fixture.path("model/config.json")).unwrap();
    fixture.write("model/config.json", config.replace("ElectraForPreTraining", "ElectraModel"));
    // An encoder alone is not a model of a task.
    says(open(&fixture.path("model")), &["task.json"]);
    says(open(&fixture.path("nowhere")), &["nowhere"]);
    fixture.write("model/config.json", &config);
    let vocab = fs::read_to_string(fixture.path("model/vocab.txt")).unwrap();
    fixture.write("model/vocab.txt", vocab + "more\n");
    fs::remove_file(fixture.path("model/tokenizer.json")).unwrap();
    says(open(&fixture.path("model")), &["model", "the vocabulary has"]);
}

/// The antecedent is the second name where somebody is small, the first where somebody is tall.
fn rows(from: usize, count: usize) -> String {
    let names = ["Fox", "Bear", "Bird", "Fish"];
    let row = |i: usize| {
        let (first, second) = (names[i % 4], names[(i + 1 + i / 4 % 3) % 4]);
        let (kind, right) = [("blue", second), ("red", first)][i / 2 % 2];
        let own = [first, second][i % 2];
        let label = u8::from(own == right);
        format!("{i}\t{first} led {second} for it was {kind}.\t{own} was {kind}.\t{label}\n")
    };
    "index\tsentence1\tsentence2\tlabel\n".to_owned()
        + &(from..from + count).map(row).collect::<String>()
}

/// Training starts from the discriminator's head, and the fine-tuned model answers like a discriminator.
#[test]
fn a_discriminator_is_fine_tuned_on_candidates() {
    let fixture = Fixture::new();
    fixture.write("glue/WNLI/train.tsv", rows(0, 32) + "32\tred\tno clause\t1\n");
    fixture.write("glue/WNLI/dev.tsv", rows(40, 16));
    let task = kinds().named("wnli-candidates", &[]).unwrap().unwrap();
    let config = config(&["train.epochs=2"]);
    let (glue, model) = (fixture.path("glue"), fixture.path("model"));
    let finetune = Finetune::new(&*task, &glue, &model, &config, fixture.path("out"));
    let Completion::Finished(report) = finetune.run(&AtomicBool::new(false), &mut |_| {}).unwrap()
    else {
        panic!("the run was not stopped");
    };
    assert_eq!((report.examples.train, report.examples.dev), (32, 16));
    // 17 of the training rows have label 1, the one that is not a clause included: 1 is right for half of the dev rows.
    assert_eq!(report.baselines.majority.dev[&Metric::Accuracy], Some(0.5));
    let left_out = fs::read_to_string(fixture.path("out/left-out.txt")).unwrap();
    assert!(left_out.contains("train.tsv:34: not a clause"), "{left_out}");

    let tuned = fixture.path("out/model");
    let predictor = open(&tuned).unwrap();
    assert_eq!(predictor.header().task, "wnli-candidates");
    let output = fixture.path("predictions.tsv");
    predict(&predictor, &fixture.path("glue/WNLI/dev.tsv"), &output).unwrap();
    let text = fs::read_to_string(&output).unwrap();
    assert_eq!(text, fs::read_to_string(fixture.path("out/seed-1/dev/predictions.tsv")).unwrap());
    let scores =
        score(glue::find("wnli").unwrap(), &fixture.path("glue/WNLI/dev.tsv"), &output).unwrap();
    assert_eq!(scores[&Metric::Accuracy], report.seeds[0].dev_score(Metric::Accuracy));

    // After a few updates the head is still close to the pre-trained one, unlike a fresh head.
    let weight = |dir: &Path| {
        let tensors = Pretrained::read(dir).unwrap().tensors;
        let name = "discriminator_predictions.dense.weight";
        tensors.into_iter().find(|(found, _)| found == name).unwrap().1
    };
    let (before, after) = (weight(&model), weight(&tuned));
    let moved = (&before - &after).abs().max().double_value(&[]);
    assert!(moved > 0.0 && moved < 0.05 && before.std(false).double_value(&[]) > 0.01, "{moved}");

    // An encoder alone has no head to start from.
    let config_json = fs::read_to_string(model.join("config.json")).unwrap();
    let tensors = Pretrained::read(&model).unwrap().tensors;
    let encoder: Vec<_> =
        tensors.into_iter().filter(|(name, _)| name.starts_with("electra.")).collect();
    electra_model::tensors::write(&model.join("model.safetensors"), &encoder).unwrap();
    let as_encoder = config_json.replace("ElectraForPreTraining", "ElectraModel");
    fs::write(model.join("config.json"), as_encoder).unwrap();
    let again = Finetune::new(&*task, &glue, &model, &config, fixture.path("again"));
    says(
        again.run(&AtomicBool::new(false), &mut |_| {}),
        &["discriminator_predictions", "a discriminator with its head"],
    );
    assert!(!fixture.path("again").exists());
}

#[test]
fn invalid_files_of_wnli() {
    let fixture = Fixture::new();
    let task = kinds().named("wnli-candidates", &[]).unwrap().unwrap();
    let config = config(&[]);
    let fails = |train: &str, words: &[&str]| {
        fixture.write("glue/WNLI/train.tsv", train);
        let (glue, model) = (fixture.path("glue"), fixture.path("model"));
        let finetune = Finetune::new(&*task, glue, model, &config, fixture.path("out"));
        says(finetune.run(&AtomicBool::new(false), &mut |_| {}), words);
    };
    let header = "index\tsentence1\tsentence2\tlabel\n";
    fails(&format!("{header}0\ta\tb\tyes\n"), &["train.tsv:2", "\"yes\"", "0 or 1"]);
    fails(&format!("{header}0\ta\tb\t1\n"), &["train.tsv", "no row", "pronoun"]);
    fails(header, &["train.tsv", "the file has no rows"]);
    says(
        kinds().named("wnli-candidates", &["metric=\"f1\"".to_owned()]),
        &["metric = f1", "accuracy"],
    );
    let one = |task: Arc<dyn Task>| OneOf { task, data: fixture.path("glue"), weight: 1.0 };
    let candidates = kinds().named("wnli-candidates", &[]).unwrap().unwrap();
    let tasks = vec![one(candidates), one(kinds().named("squad1.1", &[]).unwrap().unwrap())];
    let both = MultiTask { name: "both".to_owned(), temperature: 1.0, tasks };
    let finetune = Finetune::new(&both, "", fixture.path("model"), &config, fixture.path("out"));
    says(
        finetune.run(&AtomicBool::new(false), &mut |_| {}),
        &["wnli-candidates", "with other tasks"],
    );
}
