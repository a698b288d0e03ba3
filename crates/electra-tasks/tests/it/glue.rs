//! GLUE's official layouts, on files of a few rows and, if they are available, on the official files.

use crate::says;
use electra_scores::{
    LONGEST_LINE, Label, LabelSpace, LeftOut, Metric, Pairs, SentenceTask,
    glue::{self, GlueTask, TASKS, Training},
    table::{Format, Rows},
};
use electra_tasks::texts::data::{self, Dataset};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// The official header of a task's labelled files (none for CoLA) and of its test files.
const HEADERS: [(&str, &str, &str); 10] = [
    ("cola", "", "index\tsentence"),
    ("sst2", "sentence\tlabel", "index\tsentence"),
    (
        "mrpc",
        "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "\u{feff}index\t#1 ID\t#2 ID\t#1 String\t#2 String",
    ),
    (
        "stsb",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
    ),
    ("qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "id\tquestion1\tquestion2"),
    (
        "mnli",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2",
    ),
    ("qnli", "index\tquestion\tsentence\tlabel", "index\tquestion\tsentence"),
    ("rte", "index\tsentence1\tsentence2\tlabel", "index\tsentence1\tsentence2"),
    ("wnli", "index\tsentence1\tsentence2\tlabel", "index\tsentence1\tsentence2"),
    ("ax", "", "index\tsentence1\tsentence2"),
];

/// A row under `header` with `fields` in the columns named, the row's number in the others.
fn row(header: &str, number: usize, fields: &[(&str, &str)]) -> String {
    let field = |column: &str| {
        let found = fields.iter().find(|(name, _)| *name == column);
        found.map_or_else(|| number.to_string(), |(_, text)| (*text).to_owned())
    };
    header.trim_start_matches('\u{feff}').split('\t').map(field).collect::<Vec<_>>().join("\t")
}

/// The labels of `task` in turn, or numbers.
fn label(task: &GlueTask, number: usize) -> String {
    match task.label_space() {
        LabelSpace::Classes(words) => words[number % words.len()].clone(),
        _ => format!("{}.{}00", number % 5, number % 10),
    }
}

/// Writes `rows` rows in the official layout of each of a task's files below `glue`.
pub(crate) fn write(glue: &Path, task: &GlueTask, rows: usize) {
    let folder = glue.join(task.folder);
    fs::create_dir_all(&folder).unwrap();
    let (_, labelled, test) = HEADERS.into_iter().find(|(name, ..)| *name == task.name).unwrap();
    let text = |which: &str, n: usize| format!("\"{which} red green, {n}");
    let table = |header: &str, write_header: bool, with_label: bool| {
        let mut lines = if write_header { format!("{header}\n") } else { String::new() };
        for n in 0..rows {
            let (a, b, gold) = (text("a", n), text("b", n), label(task, n));
            let mut fields = vec![(task.text_a, a.as_str())];
            fields.extend(task.text_b.map(|column| (column, b.as_str())));
            if with_label {
                fields.push((task.label, &gold));
            }
            lines += &(row(header, n, &fields) + "\n");
        }
        lines
    };
    if let Training::Files { columns, dev, more_dev } = &task.training {
        let labelled = columns.map_or_else(|| labelled.to_owned(), |names| names.join("\t"));
        let train = table(&labelled, columns.is_none(), true);
        fs::write(folder.join("train.tsv"), train).unwrap();
        // MNLI's dev files have five annotators where its training file has one.
        let dev_header = labelled.replace("label1\t", "label1\tlabel2\tlabel3\tlabel4\tlabel5\t");
        for file in more_dev.iter().map(|(_, file)| file).chain([dev]) {
            fs::write(folder.join(file), table(&dev_header, columns.is_none(), true)).unwrap();
        }
    }
    for file in task.tests {
        fs::write(folder.join(file.file), table(test, true, false)).unwrap();
    }
}

fn load(glue: &Path, name: &str) -> electra_tasks::Result<Dataset<LabelSpace, Label>> {
    let (task, data) = glue::open(name, glue)?;
    data::load(&task, &data)
}

#[test]
fn every_task_is_read_from_its_official_layout() {
    let dir = tempfile::tempdir().unwrap();
    for task in &TASKS {
        write(dir.path(), task, 7);
        if task.name == "ax" {
            says(load(dir.path(), "ax"), &["ax", "no training set", "mnli"]);
            continue;
        }
        let data = load(dir.path(), task.name).unwrap();
        assert_eq!(data.space, task.label_space(), "{}", task.name);
        assert_eq!((data.scored.dev.len(), data.left_out.len()), (7, 0), "{}", task.name);
        let doubled = ["mrpc", "stsb"].contains(&task.name);
        assert_eq!(data.train.len(), if doubled { 14 } else { 7 }, "{}", task.name);
        for (n, example) in data.train[..7].iter().chain(&data.scored.dev).enumerate() {
            let n = n % 7;
            assert_eq!(example.text_a, format!("\"a red green, {n}"), "{}", task.name);
            let second = task.text_b.map(|_| format!("\"b red green, {n}"));
            assert_eq!(example.text_b, second, "{}", task.name);
            let expected = match task.label_space() {
                LabelSpace::Classes(words) => Label::Class(n % words.len()),
                _ => Label::Value((n % 5) as f64 + n as f64 / 10.0),
            };
            assert_eq!(example.label, expected, "{}", task.name);
        }
        let mismatched = data.scored.more_dev.get("mismatched").map(Vec::len);
        assert_eq!(mismatched, (task.name == "mnli").then_some(7));
    }
}

/// The reference's `double_unordered`: first all pairs as they are, then all swapped.
#[test]
fn pairs_without_an_order_are_learned_in_both() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mrpc", "stsb"] {
        write(dir.path(), glue::find(name).unwrap(), 5);
        let data = load(dir.path(), name).unwrap();
        let (given, swapped) = data.train.split_at(5);
        for (given, swapped) in given.iter().zip(swapped) {
            assert_eq!(swapped.text_a, *given.text_b.as_ref().unwrap());
            assert_eq!(swapped.text_b.as_ref().unwrap(), &given.text_a);
            assert_eq!(swapped.label, given.label);
        }
        assert_eq!(data.scored.dev.len(), 5);
    }
}

/// Names, and the reference's lists of labels: the order decides which class F1 is of.
#[test]
fn tasks_have_their_names_labels_and_metrics() {
    for (names, labels, metric) in [
        (&["cola", "CoLA"][..], &["0", "1"][..], Metric::Matthews),
        (&["sst2", "sst", "SST-2"], &["0", "1"], Metric::Accuracy),
        (&["mrpc", "MRPC"], &["0", "1"], Metric::Accuracy),
        (&["stsb", "sts", "STS-B"], &[], Metric::Spearman),
        (&["qqp"], &["0", "1"], Metric::Accuracy),
        (&["mnli"], &["contradiction", "entailment", "neutral"], Metric::Accuracy),
        (&["qnli"], &["entailment", "not_entailment"], Metric::Accuracy),
        (&["rte"], &["entailment", "not_entailment"], Metric::Accuracy),
        (&["wnli"], &["0", "1"], Metric::Accuracy),
    ] {
        for name in names {
            let task = glue::find(name).unwrap().task().unwrap();
            task.validate().unwrap();
            assert_eq!(task.name, names[0]);
            assert_eq!(task.labels.unwrap_or_default(), labels, "{name}");
            assert_eq!(task.metric, metric, "{name}");
        }
    }
    says(glue::find("qnly"), &["\"qnly\"", "did you mean \"qnli\""]);
    says(glue::open("rte", Path::new("nowhere")), &["nowhere", "\"RTE\""]);
}

/// A `task.toml` can describe every task of the table.
#[test]
fn a_task_of_glue_is_a_task_that_a_file_can_describe() {
    for row in &TASKS {
        let Ok(task) = row.task() else { continue };
        let text = toml::to_string(&task).unwrap();
        assert_eq!(toml::from_str::<SentenceTask>(&text).unwrap(), task, "{text}");
    }
    let cola = glue::find("cola").unwrap().task().unwrap();
    let mut unordered = cola.clone();
    unordered.pairs = Pairs::Unordered;
    says(unordered.validate(), &["pairs", "text_b"]);
    let mut columns = cola.clone();
    columns.files.columns = Some(vec!["label".to_owned()]);
    says(columns.validate(), &["files.columns", "\"sentence\""]);
    let mut all = cola;
    all.unusable_rows = 1.0;
    says(all.validate(), &["unusable_rows = 1"]);
}

/// A line break inside a question, as in the official QQP: two malformed rows.
#[test]
fn rows_that_do_not_parse_are_counted_up_to_a_share_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), glue::find("qqp").unwrap(), 300);
    let path = dir.path().join("QQP/train.tsv");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("red green, 17\t", "red green,\n17\t")).unwrap();
    let data = load(dir.path(), "qqp").unwrap();
    // Both texts of row 17 have a line break: three lines for one row.
    assert_eq!(data.train.len(), 299);
    let [LeftOut { file, count: 3, named }] = &data.left_out[..] else {
        panic!("{:?}", data.left_out)
    };
    assert_eq!(*file, path);
    for (line, named) in (19..).zip(named) {
        assert!(named.starts_with(&format!("{}:{line}: ", path.display())), "{named}");
    }
    assert!(data.train.iter().all(|example| !example.text_a.ends_with("green, 17")));

    let torn = |n: usize| (format!("red green, {n}\t"), format!("red green,\n{n}\t"));
    let ((one, torn_one), (two, torn_two)) = (torn(1), torn(2));
    fs::write(&path, whole.replace(&one, &torn_one).replace(&two, &torn_two)).unwrap();
    let words = ["train.tsv", "6 of 304", "0.01", "train.tsv:3", "4 columns instead of 6"];
    says(load(dir.path(), "qqp"), &words);

    let mut strict = glue::find("qqp").unwrap().task().unwrap();
    strict.unusable_rows = 0.0;
    fs::write(&path, whole.replace("red green, 17\t", "red green,\n17\t")).unwrap();
    says(data::load(&strict, &dir.path().join("QQP")), &["train.tsv:19", "4 columns instead of 6"]);
}

/// MNLI's authors write `-` where the annotators did not agree.
#[test]
fn rows_without_an_agreed_label_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), glue::find("mnli").unwrap(), 9);
    let path = dir.path().join("MNLI/dev_matched.tsv");
    let text = fs::read_to_string(&path).unwrap();
    let last = text.trim_end().rfind('\t').unwrap();
    fs::write(&path, format!("{}\t-\n", &text[..last])).unwrap();
    let data = load(dir.path(), "mnli").unwrap();
    assert_eq!((data.train.len(), data.scored.dev.len()), (9, 8));
    let named =
        vec![format!("{}:10: the label \"-\" means that there is no gold label", path.display())];
    assert_eq!(data.left_out, [LeftOut { file: path, count: 1, named }]);
}

#[test]
fn files_that_cannot_be_read_name_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let rte = glue::find("rte").unwrap();
    write(dir.path(), rte, 5);
    let path = dir.path().join("RTE/dev.tsv");
    let whole = fs::read_to_string(&path).unwrap();
    let fails = |text: &[u8], words: &[&str]| {
        fs::write(&path, text).unwrap();
        says(load(dir.path(), "rte"), words);
    };
    let last = whole.rfind("entailment").unwrap();
    fails(
        format!("{}maybe\n", &whole[..last]).as_bytes(),
        &["dev.tsv:6", "\"maybe\"", "key labels"],
    );
    fails(
        whole.replace("\"b red green, 3", " ").as_bytes(),
        &["dev.tsv:5", "\"sentence2\" is empty"],
    );
    fails(whole.replace("green, 2\t", "green, 2\t\t").as_bytes(), &["dev.tsv:4", "6 columns", "4"]);
    let mut bytes = whole.clone().into_bytes();
    let place = whole.find("green, 1").unwrap();
    bytes[place] = 0xff;
    fails(&bytes, &["dev.tsv:3", "UTF-8", "0xff"]);
    fails(
        whole.replace("sentence2", "hypothesis").as_bytes(),
        &["dev.tsv:1", "\"sentence2\"", "sentence1"],
    );
    fs::remove_file(&path).unwrap();
    says(load(dir.path(), "rte"), &["RTE/dev.tsv"]);

    // A header in CoLA, which has none: its first row's label is a word.
    write(dir.path(), glue::find("cola").unwrap(), 5);
    let path = dir.path().join("CoLA/train.tsv");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("source\tlabel\tmark\tsentence\n{whole}")).unwrap();
    says(load(dir.path(), "cola"), &["CoLA/train.tsv:1", "\"label\""]);
}

/// A file of one line: the number of bytes read is bounded.
#[test]
fn a_line_of_a_gigabyte_is_an_early_error() {
    struct Counted(std::sync::Arc<std::sync::atomic::AtomicU64>, io::Take<io::Repeat>);
    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.read(buffer)?;
            self.0.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
            Ok(count)
        }
    }
    let count = std::sync::Arc::default();
    let reader = Counted(std::sync::Arc::clone(&count), io::repeat(b'x').take(1 << 30));
    says(
        Rows::from_reader(reader, Format::Tsv, "file", &["a"]),
        &["file:1", "longer than", &LONGEST_LINE.to_string()],
    );
    let read = count.load(std::sync::atomic::Ordering::Relaxed);
    assert!(read <= LONGEST_LINE + (1 << 20), "{read}");
}

/// MNLI's second dev file may be missing: a warning is logged, and the first is scored.
#[test]
fn a_further_dev_file_that_is_not_there_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), glue::find("mnli").unwrap(), 6);
    fs::remove_file(dir.path().join("MNLI/dev_mismatched.tsv")).unwrap();
    let data = load(dir.path(), "mnli").unwrap();
    assert_eq!((data.scored.dev.len(), data.scored.more_dev.len()), (6, 0));
}

/// The official files of GLUE, if they are available: the numbers of training and dev rows are the published ones.
#[test]
fn the_official_files_are_read_whole() {
    let Ok(shared) = std::env::var("ELECTRA_SHARED_DATA") else {
        eprintln!("skipped: ELECTRA_SHARED_DATA does not name a folder with GLUE's files in glue/");
        return;
    };
    let glue = Path::new(&shared).join("glue");
    for (name, train, dev) in [
        ("cola", 8551, 1043),
        ("sst2", 67_349, 872),
        ("mrpc", 2 * 3668, 408),
        ("stsb", 2 * 5749, 1500),
        ("qqp", 9999, 19_702),
        ("mnli", 9999, 9815),
        ("qnli", 9999, 5463),
        ("rte", 2490, 277),
        ("wnli", 635, 71),
    ] {
        let data = load(&glue, name).unwrap();
        assert_eq!((data.train.len(), data.scored.dev.len()), (train, dev), "{name}");
        assert_eq!(data.left_out, [], "{name}");
    }
}
