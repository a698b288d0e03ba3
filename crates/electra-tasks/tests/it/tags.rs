//! Tagging end to end: files in every scheme, long sentences, answers and their scores, prediction, bad input.

use crate::{
    break_layer, described, device_name,
    e2e::{Fixture, config},
    says, with_key,
};
use electra_model::hf::{self, Architecture};
use electra_scores::{
    Metric,
    table::Format,
    tagging::{Rule, score},
};
use electra_tasks::{
    Answer, Completion, Error, Finetune, FinetuneConfig, Kinds, Predictor, Report, Request,
    answer::TaggedWord,
    details::Details,
    kinds::tagging::TaggingTask,
    model,
    predictor::{Probabilities, StreamInput, StreamOptions},
};
use electra_train::Existing;
use std::{fs, sync::atomic::AtomicBool};

const TASK: &str = r#"
name = "things"
kind = "tagging"
scheme = "bio"
metric = "f1"
[files]
train = "train.txt"
dev = "dev.txt"
"#;

/// Sentences of `length` words: colors and animals are entities of one word, periods are not.
fn sentences(from: usize, count: usize, length: usize) -> String {
    let word = |i: usize| match i * 7 % 5 {
        0 | 1 => format!("{} B-COLOR\n", ["red", "green", "blue", "black"][i % 4]),
        2 | 3 => format!("{} B-ANIMAL\n", ["fox", "bird", "bear", "fish"][i % 4]),
        _ => ". O\n".to_owned(),
    };
    let sentence = |n: usize| (0..length).map(|i| word(n * 11 + i * 3)).collect::<String>();
    (from..from + count).map(|n| sentence(n) + "\n").collect()
}

fn fixture(task: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.write("task/task.toml", task);
    fixture.write("task/train.txt", sentences(0, 60, 8));
    fixture.write("task/dev.txt", format!("-DOCSTART- O\n\n{}", sentences(60, 20, 9)));
    fixture
}

fn task(fixture: &Fixture) -> TaggingTask {
    described(&fixture.path("task"))
}

fn tags_config(overrides: &[&str]) -> FinetuneConfig {
    config(&[&["head.pooling=first", "train.epochs=12"], overrides].concat())
}

fn run(
    fixture: &Fixture,
    task: &TaggingTask,
    config: &FinetuneConfig,
) -> electra_tasks::Result<Report> {
    let (data, model, out) = (fixture.path("task"), fixture.path("model"), fixture.path("out"));
    match Finetune::new(task, data, model, config, out).run(&AtomicBool::new(false), &mut |_| {})? {
        Completion::Finished(report) => Ok(*report),
        Completion::Stopped => panic!("the run was not stopped"),
    }
}

/// The columns of a file's words, sentence by sentence.
fn columns(text: &str, column: usize) -> Vec<Vec<String>> {
    let field = |line: &str| line.split([' ', '\t']).nth(column).unwrap().to_owned();
    text.split("\n\n")
        .filter(|sentence| !sentence.is_empty())
        .map(|sentence| sentence.lines().map(field).collect())
        .collect()
}

/// The titles and the rows of both tables of the report.
fn tables(fixture: &Fixture) -> [(String, Vec<Vec<String>>); 2] {
    let text = fs::read_to_string(fixture.path("out/seed-1/dev/details.json")).unwrap();
    let details: Vec<Details> = serde_json::from_str(&text).unwrap();
    let html = fs::read_to_string(fixture.path("out/report.html")).unwrap();
    let table = |part: Details| match part {
        Details::Table { title, rows, .. } => {
            assert!(html.contains(&format!("<h2>{title}</h2>")), "{html}");
            (title, rows)
        }
        other => panic!("{other:?}"),
    };
    details.into_iter().map(table).collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn entities_are_learned_scored_and_written() {
    let fixture = fixture(TASK);
    let report = run(&fixture, &task(&fixture), &tags_config(&[])).unwrap();
    let best = &report.seeds[0];
    assert!(best.dev[&Metric::F1].unwrap() > 0.9, "{report:?}");
    assert_eq!((report.examples.train, report.examples.dev), (60, 20));
    // Every word has only one tag, so the word's most frequent tag is right.
    let words_alone = &report.baselines.bag_of_words.as_ref().unwrap().dev;
    assert_eq!(words_alone[&Metric::F1], Some(1.0));

    // The score of the file of predictions is that of the report.
    let text = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.conll")).unwrap();
    let (gold, predicted) = (columns(&text, 1), columns(&text, 2));
    let dev = fs::read_to_string(fixture.path("task/dev.txt")).unwrap();
    assert_eq!(gold, columns(&dev, 1)[1..]);
    let scores = score(&predicted, &gold, Rule::Conll).unwrap();
    assert_eq!(best.dev[&Metric::F1], Some(scores.overall.f1()));
    assert_eq!(best.dev[&Metric::Accuracy], Some(scores.accuracy));
    let types = fs::read_to_string(fixture.path("out/seed-1/dev/types.tsv")).unwrap();
    let names: Vec<&str> = types.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["type", "ANIMAL", "COLOR"]);
    let [(by_type, rows), _] = tables(&fixture);
    assert_eq!(by_type, "Entities by type");
    for (row, (name, found)) in rows.iter().zip(&scores.by_type) {
        let of = [found.precision(), found.recall(), found.f1()].map(|x| format!("{x:.4}"));
        assert_eq!((&row[0], &row[1..4]), (name, &of[..]));
        assert_eq!(row[4..], [found.gold, found.predicted, found.right].map(|n| n.to_string()));
    }
    assert_eq!(rows.len(), 2);

    // transformers has a class for the head; its labels are in the scheme of the files, and the classes in BIOES.
    let described = hf::read_config(&fixture.path("out/model")).unwrap();
    assert_eq!(described.architecture, Architecture::ElectraForTokenClassification);
    let names = ["O", "B-ANIMAL", "I-ANIMAL", "I-ANIMAL", "B-ANIMAL"];
    assert!(matches!(described.labels, Some(hf::Labels::Classes(found)) if found[..5] == names));
    let info = fs::read_to_string(fixture.path("out/model/task.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(
        (&info["classes"][3], &info["classes"][4]),
        (&"E-ANIMAL".into(), &"S-ANIMAL".into())
    );
    model::export(&fixture.path("out"), &fixture.path("exported"), Existing::Refuse).unwrap();

    // The predictions for requests and for a file are the same; the lines of the file are kept.
    let predictor = Predictor::open(&fixture.path("exported"), device_name()).unwrap();
    let words = columns(&text, 0);
    let tagged = tag(&predictor, &words).unwrap();
    let tags =
        |found: &Vec<TaggedWord>| found.iter().map(|word| word.tag.clone()).collect::<Vec<_>>();
    assert_eq!(tagged.iter().map(tags).collect::<Vec<_>>(), predicted);
    let (input, output) = (fixture.path("words.conll"), fixture.path("tagged.conll"));
    fs::write(&input, "red\tx\nfox\ty\n\n\n.\tz\n").unwrap();
    let options =
        StreamOptions { batch_size: 2, probabilities: Probabilities::Write, ..Default::default() };
    let input = StreamInput::open(&input).unwrap();
    let done = predictor.stream_to_file(input, &output, &options, &mut |_| {}).unwrap();
    assert_eq!((done.done, done.unit), (3, "words"));
    let text = fs::read_to_string(&output).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        [&lines[0][..3], &lines[1][..3]],
        [["red", "x", "B-COLOR"], ["fox", "y", "B-ANIMAL"]]
    );
    assert_eq!((lines[2].as_slice(), &lines[3][..3]), (&[""][..], &[".", "z", "O"][..]));
    let probability: f32 = lines[0][3].parse().unwrap();
    assert!(probability > 0.2 && probability <= 1.0, "{probability}");
}

/// The tags of sentences.
fn tag<S: AsRef<str>>(
    predictor: &Predictor,
    sentences: &[impl AsRef<[S]>],
) -> electra_tasks::Result<Vec<Vec<TaggedWord>>> {
    let requests: Vec<_> = sentences.iter().map(|words| Request::words(words.as_ref())).collect();
    let tags = |answer| match answer {
        Answer::Tags(words) => words,
        other => panic!("{other:?}"),
    };
    Ok(predictor.answer(&requests)?.into_iter().map(tags).collect())
}

/// Threads share a predictor. NaN is an error, and so is an edited file: the model has 64 positions.
#[test]
fn tags_of_nan_are_errors() {
    let fixture = fixture(TASK);
    run(&fixture, &task(&fixture), &tags_config(&["train.epochs=1"])).unwrap();
    let model = fixture.path("out/model");
    let predictor = Predictor::open(&model, device_name()).unwrap();
    let tag = |predictor: &Predictor| tag(predictor, &[["red", "fox"], ["blue", "bird"]]);
    let alone = tag(&predictor).unwrap();
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| tag(&predictor).unwrap());
        for thread in [0, 1, 2].map(ask) {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });

    let with = with_key(&model, |model| Predictor::open(model, device_name()));
    for length in [0, 3, 65] {
        let found = format!("max_length = {length}");
        says(with("/max_length", length.into()), &["task.json", &found, "from 4 to 64"]);
    }
    says(with("/classes/1", "COLOR".into()), &["task.json", "classes = \"COLOR\"", "B-PER"]);
    tag(&with("/max_length", 4.into()).unwrap()).unwrap();

    // An invalid line ends the stream; the sentences before it are written.
    let text = &b"red\nfox\n\nbear\n\nblue\tbird\n"[..];
    let sentences = StreamInput::new(text, "words", Format::Tsv);
    let mut written = Vec::new();
    let (options, name) = (StreamOptions::default(), "out".as_ref());
    let result = predictor.stream(sentences, &mut written, name, &options, &mut |_| {});
    says(result, &["words:6", "2 columns", "have 1"]);
    assert_eq!(String::from_utf8(written).unwrap().lines().count(), 5);

    break_layer(&model, "classifier.weight");
    let broken = Predictor::open(&model, device_name()).unwrap();
    says(tag(&broken), &["request = number 0", "NaN or infinity"]);
    let (input, output) = (fixture.path("words.conll"), fixture.path("tagged.conll"));
    fs::write(&input, "\nred\nfox\n\nbear\n").unwrap();
    let sentences = StreamInput::open(&input).unwrap();
    let result = broken.stream_to_file(sentences, &output, &options, &mut |_| {});
    says(result, &["words.conll:2", "NaN or infinity"]);
    assert!(!output.exists());
}

/// The reference truncates long sentences and scores the rest.
#[test]
fn no_word_of_a_long_sentence_is_left_without_a_tag() {
    let fixture = fixture(TASK);
    fixture.write("task/dev.txt", sentences(60, 3, 100));
    let report = run(&fixture, &task(&fixture), &tags_config(&["train.max_length=12"])).unwrap();
    let text = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.conll")).unwrap();
    assert_eq!(columns(&text, 2).iter().map(Vec::len).collect::<Vec<_>>(), [100; 3]);
    // Entities in every part of them are found.
    assert!(report.seeds[0].dev[&Metric::Accuracy].unwrap() > 0.9, "{report:?}");
}

/// The same entities in five schemes give equal scores, and tags are written in the scheme of the files, which is
/// detected if the task has none.
#[test]
fn schemes_are_ways_to_write_the_same_entities() {
    let texts = [
        ("bio", "red B-C\ngreen I-C\nblue B-C\nfox B-A\n. O\nbear B-A\n\n"),
        ("iob1", "red I-C\ngreen I-C\nblue B-C\nfox I-A\n. O\nbear I-A\n\n"),
        ("bioes", "red B-C\ngreen E-C\nblue S-C\nfox S-A\n. O\nbear S-A\n\n"),
        ("bilou", "red B-C\ngreen L-C\nblue U-C\nfox U-A\n. O\nbear U-A\n\n"),
        ("bmes", "red B-C\ngreen E-C\nblue S-C\nfox S-A\n. O\nbear S-A\n\n"),
    ];
    let (mut scores, fixture) = (Vec::new(), fixture(TASK));
    for (scheme, text) in texts {
        let key = match scheme {
            // Its tags are those of BIOES too.
            "bmes" => "scheme = \"bmes\"",
            _ => "",
        };
        fixture.write("task/task.toml", TASK.replace("scheme = \"bio\"", key));
        fixture.write("task/train.txt", text.repeat(30));
        fixture.write("task/dev.txt", text);
        let report = run(&fixture, &task(&fixture), &tags_config(&["train.epochs=8"])).unwrap();
        let text = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.conll")).unwrap();
        let info = fs::read_to_string(fixture.path("out/model/task.json")).unwrap();
        assert!(info.contains(&format!("\"scheme\": \"{scheme}\"")), "{info}");
        fs::remove_dir_all(fixture.path("out")).unwrap();
        let rule = Rule::Conll;
        let found = score(&columns(&text, 2), &columns(&text, 1), rule).unwrap().overall;
        assert_eq!(report.seeds[0].dev[&Metric::F1], Some(found.f1()));
        scores.push((found, report.seeds[0].dev[&Metric::Accuracy]));
    }
    assert!(scores.iter().all(|found| *found == scores[0]), "{scores:?}");
    assert!(scores[0].0.right > 0, "{scores:?}");
}

#[test]
fn parts_of_speech_are_scored_by_accuracy() {
    let plain = TASK.replace("\"bio\"", "\"plain\"").replace("\"f1\"", "\"accuracy\"");
    let fixture = fixture(&plain);
    // The tag is the second of three columns, separated by tabs.
    let text = |from, count| {
        let text = sentences(from, count, 8).replace("B-COLOR", "ADJ").replace("B-ANIMAL", "NOUN");
        text.replace(' ', "\t")
            .replace("ADJ\n", "ADJ\t_\n")
            .replace("NOUN\n", "NOUN\t_\n")
            .replace("O\n", "PUNCT\t_\n")
    };
    fixture.write("task/train.txt", text(0, 60));
    fixture.write("task/dev.txt", text(60, 20));
    let task = TaggingTask { tag_column: 2, ..task(&fixture) };
    let report = run(&fixture, &task, &tags_config(&[])).unwrap();
    assert_eq!(report.seeds[0].dev.keys().collect::<Vec<_>>(), [&Metric::Accuracy]);
    let accuracy = report.seeds[0].dev[&Metric::Accuracy].unwrap();
    assert!(accuracy > 0.9, "{report:?}");
    let [(title, rows), _] = tables(&fixture);
    assert_eq!(title, "Words by tag");
    let sum =
        |column: usize| -> f64 { rows.iter().map(|row| row[column].parse::<f64>().unwrap()).sum() };
    // 20 sentences of 8 words; each has one gold and one predicted tag.
    assert_eq!((sum(4), sum(5), sum(6)), (160.0, 160.0, (160.0 * accuracy).round()));
    let text = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.conll")).unwrap();
    assert!(text.lines().filter(|line| !line.is_empty()).all(|line| line.split('\t').count() == 4));
}

#[test]
fn tagging_tasks_whose_keys_do_not_fit() {
    let parse = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("task.toml"), text).unwrap();
        Kinds::default().read(dir.path(), &[])
    };
    let with = |line: &str| TASK.replace("[files]", &format!("{line}\n[files]"));
    parse(&with("word_column = 2")).unwrap();
    says(parse(&TASK.replace("\"bio\"", "\"biloo\"")), &["biloo", "did you mean \"bilou\""]);
    says(parse(&TASK.replace("\"bio\"", "\"plain\"")), &["metric = f1", "accuracy"]);
    says(parse(&with("tag_column = 0")), &["tag_column = 0", "1 or more"]);
    says(parse(&with("tag_column = 1")), &["tag_column = 1", "word_column"]);
    says(parse(&with("tag_colunm = 1")), &["did you mean \"tag_column\""]);
    let fixture = fixture(TASK);
    says(run(&fixture, &task(&fixture), &config(&[])), &["head.pooling = mean", "\"first\""]);
}

#[test]
fn invalid_conll_files() {
    let fixture = fixture(TASK);
    let (mut task, config) = (task(&fixture), tags_config(&["train.epochs=1"]));
    let try_with = |task: &TaggingTask, name: &str, text: &str, words: &[&str]| {
        let path = fixture.path("task").join(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, text).unwrap();
        says(run(&fixture, task, &config), words);
        fs::write(&path, before).unwrap();
        assert!(!fixture.path("out").exists());
    };
    try_with(&task, "dev.txt", "", &["dev.txt", "no sentence"]);
    try_with(&task, "train.txt", "-DOCSTART- O\n\n\n", &["train.txt", "no sentence"]);
    try_with(&task, "dev.txt", "red B-COLOR\n\nfox\n", &["dev.txt:3", "1 columns", "have 2"]);
    try_with(&task, "dev.txt", "red\tB-COLOR\n \tO\n", &["dev.txt:2", "the word is empty"]);
    // Only spaces and tabs separate columns.
    try_with(&task, "dev.txt", "red B-COLOR\n\u{3000} O\n", &["dev.txt:2", "the word is empty"]);
    try_with(&task, "dev.txt", "red B-COLOR\n\u{a0}\n", &["dev.txt:2", "1 columns", "have 2"]);
    try_with(&task, "dev.txt", "red\nfox\n", &["dev.txt:1", "1 column", "different columns"]);
    try_with(
        &task,
        "dev.txt",
        "red B-COLOR\nfox NOUN\n",
        &["dev.txt:2", "\"NOUN\"", "bio", "B-PER"],
    );
    try_with(
        &task,
        "dev.txt",
        "red S-COLOR\n",
        &["dev.txt:1", "\"S-COLOR\"", "bioes, bmes, plain"],
    );
    let bmes = "red B-COLOR\ngreen M-COLOR\nblue E-COLOR\n";
    try_with(&task, "train.txt", bmes, &["train.txt:2", "\"M-COLOR\"", "set scheme = \"bmes\""]);
    let comment = "# by me\nred B-COLOR\n\n# \u{a9}me\nfox B-ANIMAL\n";
    try_with(&task, "dev.txt", comment, &["dev.txt:4", "comments = \"hash\""]);
    let detected = TaggingTask { scheme: None, ..task.clone() };
    let typo = "red B-COLOR\nfox b-ANIMAL\n";
    try_with(
        &detected,
        "train.txt",
        typo,
        &["train.txt:2", "\"b-ANIMAL\"", "It looks like B-ANIMAL", "metric = \"accuracy\""],
    );
    let mixed = "red B-COLOR\nfox L-COLOR\nfox S-COLOR\n";
    try_with(
        &detected,
        "train.txt",
        mixed,
        &["train.txt", "no scheme has all", "L-COLOR, S-COLOR"],
    );
    try_with(
        &task,
        "dev.txt",
        "red B-COLOUR\n",
        &["dev.txt:1", "\"COLOUR\"", "did you mean \"COLOR\""],
    );
    try_with(&task, "train.txt", ". O\n", &["train.txt", "at least 2"]);
    try_with(
        &task,
        "dev.txt",
        &"red B-COLOR\n".repeat(100_001),
        &["dev.txt:100001", "no empty line"],
    );
    let broken = fixture.path("task/dev.txt");
    let before = fs::read(&broken).unwrap();
    fs::write(&broken, b"red B-COLOR\nf\xffx B-ANIMAL\n").unwrap();
    says(run(&fixture, &task, &config), &["dev.txt:2", "not UTF-8"]);
    fs::write(&broken, before).unwrap();
    task.word_column = 4;
    try_with(&task, "dev.txt", ". O\n", &["train.txt:1", "no column 4", "has 2"]);
    assert!(matches!(
        run(&fixture, &task, &config),
        Err(Error::Data(electra_scores::Error::Row { .. }))
    ));
}

/// Entities of a type without training examples are missed, and a warning is logged.
#[test]
fn unseen_types_can_be_counted_as_missed() {
    let fixture = fixture(&TASK.replace("[files]", "unseen = \"wrong\"\n[files]"));
    let dev = "red B-COLOR\nfox B-PLANT\n\n. O\n. O\n\nfox B-PLANT\nfish B-PLANT\nbear B-PLANT\n\n";
    fixture.write("task/dev.txt", dev);
    let report = run(&fixture, &task(&fixture), &tags_config(&[])).unwrap();
    assert!(report.seeds[0].dev[&Metric::Recall].unwrap() <= 0.5, "{report:?}");
    let types = fs::read_to_string(fixture.path("out/seed-1/dev/types.tsv")).unwrap();
    assert!(types.lines().any(|line| line.starts_with("PLANT\t0\t0\t0\t4\t0\t0")), "{types}");

    // The sentence with three wrong tags comes before those with fewer; one without wrong tags is not listed.
    let text = fs::read_to_string(fixture.path("out/seed-1/dev/predictions.conll")).unwrap();
    let (gold, predicted) = (columns(&text, 1), columns(&text, 2));
    let wrong = |i: usize| gold[i].iter().zip(&predicted[i]).filter(|(a, b)| a != b).count();
    let [_, (title, rows)] = tables(&fixture);
    assert_eq!(title, "Sentences with the most wrong tags");
    assert_eq!(rows[0][..3], ["7", "3", "3"].map(str::to_owned));
    assert_eq!(rows[0][3], "fox/B-PLANT fish/B-PLANT bear/B-PLANT");
    let first = rows.iter().find(|row| row[0] == "1").unwrap();
    assert_eq!((&first[1], &first[3][..]), (&wrong(0).to_string(), "red/B-COLOR fox/B-PLANT"));
    assert_eq!(rows.len(), (0..3).filter(|&i| wrong(i) > 0).count());
}
