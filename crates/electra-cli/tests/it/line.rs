//! The whole workflow on the sample data, from text to predictions, with the commands of the README.

use crate::{electra, output, root};
use assert_cmd::Command;
use std::fs;

const SMALLER: &str = "--set train.steps=6 --set train.batch_size=8 --set checkpoint.every=2 --set evaluate.every=0 \
                       --set model.vocab_size=1000 --set data.shards={}/shards --set train.log_every=3";

#[test]
fn the_whole_workflow() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let corpus = "--corpus data/sample/pretrain";
    output(dir, &format!("vocab train {corpus} --size 1000 --out {{}}/vocab.txt"));
    assert_eq!(fs::read_to_string(dir.join("vocab.txt")).unwrap().lines().count(), 1000);
    let check: serde_json::Value =
        serde_json::from_str(&output(dir, "vocab check {}/vocab.txt")).unwrap();
    assert_eq!((&check["tokens"], &check["special"]["mask"]), (&1000.into(), &4.into()));

    let report = output(
        dir,
        &format!("shards build {corpus} --vocab {{}}/vocab.txt --seq-len 16 --out {{}}/shards"),
    );
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["documents"], 200);
    assert!(output(dir, "shards verify {}/shards").starts_with("verified: "));
    let index: serde_json::Value =
        serde_json::from_str(&output(dir, "shards inspect {}/shards")).unwrap();
    assert_eq!(index["train"]["examples"], report["train_examples"]);

    let pretrain = format!("pretrain configs/pretrain-tiny.toml {SMALLER} --out {{}}/run");
    let stopped = output(dir, &format!("{pretrain} --stop-after 3"));
    assert!(stopped.contains("--resume"), "{stopped}");
    assert!(output(dir, "pretrain --resume {}/run").starts_with("finished"));
    output(dir, &pretrain.replace("/run", "/uninterrupted"));
    let weights = |run: &str| {
        fs::read(dir.join(run).join("checkpoints/step-0000006/model.safetensors")).unwrap()
    };
    assert!(
        weights("run") == weights("uninterrupted"),
        "a resumed run differs from an uninterrupted one"
    );

    // On a CPU this tests only the command.
    let check = "gpu-check --shards {}/shards --size tiny --batch-size 4 --steps 2";
    let table = output(
        dir,
        &format!(
            "{check} --device cpu --golden tests/fixtures/networks-projected.safetensors --json {{}}/gpu.json"
        ),
    );
    assert!(table.contains("tiny, f32") && table.contains("tiny, bf16"), "{table}");
    let figures: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("gpu.json")).unwrap()).unwrap();
    assert_eq!(
        (&figures["parity"][1]["holds"], &figures["speed"][0]["length"]),
        (&true.into(), &16.into())
    );
    assert!(figures["golden_difference"].as_f64().is_some_and(|off| off < 1e-5), "{figures}");
    assert!(figures["speed"][0]["mfu"].as_f64().is_some_and(|mfu| mfu > 0.0), "{figures}");
    if !tch::Cuda::is_available() {
        let refused = electra(dir, check).failure().code(1);
        let stderr = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(stderr.contains("no CUDA device found"), "{stderr}");
    }

    let profile = format!("profile configs/pretrain-tiny.toml {SMALLER} --steps 1");
    let figures: serde_json::Value =
        serde_json::from_str(&output(dir, &format!("{profile} --json"))).unwrap();
    let parts: Vec<_> = figures["parts"].as_array().unwrap().iter().collect();
    assert_eq!((&parts[9]["part"], parts.len()), (&"step".into(), 10));
    assert!(parts[9]["share_of_limit"].as_f64().is_some_and(|share| share > 0.0), "{figures}");
    assert!(output(dir, &profile).contains("discriminator, backward"));

    let figures: serde_json::Value = serde_json::from_str(&output(dir, "evaluate {}/run")).unwrap();
    for key in
        ["generator_loss_mask", "discriminator_auc", "unigram_entropy", "majority_class_entropy"]
    {
        assert!(figures[key].as_f64().is_some_and(|x| x > 0.0), "{key} in {figures}");
    }
    for part in ["discriminator", "encoder", "generator"] {
        output(dir, &format!("export {{}}/run --part {part} --out {{}}/{part}"));
        for file in [
            "config.json",
            "model.safetensors",
            "vocab.txt",
            "tokenizer.json",
            "tokenizer_config.json",
        ] {
            assert!(dir.join(part).join(file).is_file(), "{part}/{file}");
        }
    }

    let ids = tch::Tensor::from_slice(&[2i64, 17, 4, 3, 2, 30, 3, 0]).view([2, 4]);
    let keep = tch::Tensor::from_slice(&[1i64, 1, 1, 1, 1, 1, 1, 0]).view([2, 4]);
    let named = [("input_ids".to_owned(), ids), ("attention_mask".to_owned(), keep)];
    electra_model::tensors::write(&dir.join("in.safetensors"), &named).unwrap();
    for (part, logits) in [("discriminator", vec![2, 4]), ("generator", vec![2, 4, 1000])] {
        output(
            dir,
            &format!(
                "forward --model {{}}/{part} --input {{}}/in.safetensors --output {{}}/out.safetensors"
            ),
        );
        let found = electra_model::tensors::read(&dir.join("out.safetensors")).unwrap();
        let shapes: Vec<_> = found.iter().map(|(name, t)| (name.as_str(), t.size())).collect();
        assert_eq!(shapes, [("last_hidden_state", vec![2, 4, 128]), ("logits", logits)], "{part}");
    }

    other_programs(dir);
    candidates(dir);
    electric(dir);

    let table = output(
        dir,
        "finetune --task data/sample/word-order --model {}/discriminator --config configs/finetune-tiny.toml \
         --set train.epochs=0.2 --seeds 2 --out {}/tuned",
    );
    for row in ["seed 1", "seed 2", "best on dev", "median", "majority", "bag of words"] {
        assert!(table.contains(row), "{row} in {table}");
    }
    let grid = "finetune --task data/sample/word-order --model {}/discriminator --preset repo --out {}/grid \
                --set train.max_length=32 --grid train.epochs=0.1,0.2";
    let table = output(dir, grid);
    for row in ["one seed per row", "train.epochs=0.1 ", "train.epochs=0.2 ", "best: train.epochs="]
    {
        assert!(table.contains(row) && !table.contains("median"), "{row} in {table}");
    }
    assert!(dir.join("grid/model/model.safetensors").is_file());
    assert_eq!(output(dir, &format!("{grid} --resume")), table);
    let twice = format!("{grid} --set train.epochs=1 --overwrite");
    let stderr =
        String::from_utf8_lossy(&electra(dir, &twice).failure().code(1).get_output().stderr)
            .into_owned();
    assert!(stderr.contains("--set and --grid both set train.epochs"), "{stderr}");
    output(
        dir,
        "predict --model {}/tuned --input data/sample/word-order/dev.tsv --output {}/predictions.tsv",
    );
    assert_eq!(fs::read_to_string(dir.join("predictions.tsv")).unwrap().lines().count(), 301);
    streams(dir);
    // Without --overwrite nothing is replaced.
    electra(dir, "predict --model {}/tuned --input data/sample/word-order/dev.tsv --output {}/predictions.tsv")
        .failure()
        .code(1);
}

/// The exported discriminator of Electric fills masks and scores texts.
fn electric(dir: &std::path::Path) {
    let base = root().join("configs/pretrain-tiny.toml");
    let config = format!(
        "extends = {base:?}\nunset = [\"objective\"]\n[objective]\nkind = \"electric\"\ngenerator_weight = 1.0\n\
         discriminator_weight = 5.0\n[objective.masking]\nkind = \"uniform\"\nrate = 0.15\nmask_share = 0.85\n"
    );
    fs::write(dir.join("electric.toml"), config).unwrap();
    output(dir, &format!("pretrain {{}}/electric.toml {SMALLER} --out {{}}/electric-run"));
    output(dir, "export {}/electric-run --part discriminator --out {}/electric");
    let filled = output(dir, "fill-mask --electric {}/electric --top-k 3 fellow[MASK]citizens");
    assert_eq!(filled.lines().count(), 3, "{filled}");
    let words = "fill-mask --electric {}/electric --model {}/generator --top-k 3 a[MASK]b[MASK]";
    let filled = output(dir, words);
    assert_eq!(filled.lines().count(), 9, "{filled}");
    fs::write(dir.join("texts.txt"), "fellow-citizens\ncitizens\n").unwrap();
    output(dir, "rescore --model {}/electric --input {}/texts.txt --output {}/scores.tsv");
    let scores = fs::read_to_string(dir.join("scores.tsv")).unwrap();
    assert!(
        scores.lines().nth(1).is_some_and(|row| row.ends_with("\tfellow-citizens")),
        "{scores}"
    );
}

/// WNLI with the exported discriminator.
fn candidates(dir: &std::path::Path) {
    let rows = "0\tAnn led Sue while she sang.\tSue sang.\t1\n1\tAnn led Sue.\tNo clause.\t0\n";
    let header = "index\tsentence1\tsentence2\tlabel\n";
    fs::write(dir.join("wnli.tsv"), header.to_owned() + rows).unwrap();
    let printed = output(
        dir,
        "predict --model {}/discriminator --task wnli --input {}/wnli.tsv --output {}/wnli-predictions.tsv",
    );
    assert!(printed.starts_with("2 rows"), "{printed}");
    // It answers that task alone, with labels alone.
    let fails = |options: &str, words: &str| {
        let line = format!(
            "predict --model {{}}/discriminator --input {{}}/wnli.tsv --output {{}}/never.tsv {options}"
        );
        let run = electra(dir, &line).failure().code(1);
        let message = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(message.contains(words), "{message}");
        assert!(!dir.join("never.tsv").exists());
    };
    fails("--task cola", "the model has the task \"wnli\", not cola");
    fails("--probabilities", "no probabilities");
    fails("--threshold 1", "models of questions");
    let line = "score glue --task wnli --gold {}/wnli.tsv --pred {}/wnli-predictions.tsv";
    assert!(output(dir, line).contains("accuracy"));
}

/// Words of a domain are added to a pair of networks, from which pre-training continues.
fn extended(dir: &std::path::Path) {
    fs::write(dir.join("words.txt"), "Zyxwv\n\nqqq\n").unwrap();
    let printed =
        output(dir, "vocab extend --model {}/back --words {}/words.txt --out {}/extended");
    assert!(printed.starts_with("2 words added, 1002 tokens"), "{printed}");
    let again = electra(dir, "vocab extend --model {}/extended --words {}/words.txt --out {}/more");
    let refused =
        String::from_utf8_lossy(&again.failure().code(1).get_output().stderr).into_owned();
    assert!(
        refused.contains("words.txt") && refused.contains("\"zyxwv\" has id 1000"),
        "{refused}"
    );
    output(
        dir,
        "shards build --corpus data/sample/pretrain --vocab {}/extended --seq-len 16 --out {}/extended-shards",
    );
    let words = format!(
        "pretrain configs/pretrain-tiny.toml {} --set init.from={{}}/extended --out {{}}/extended-run --stop-after 1",
        SMALLER.replace("/shards", "/extended-shards").replace("=1000", "=1002")
    );
    let further = electra(dir, &words).success();
    let stderr = String::from_utf8_lossy(&further.get_output().stderr).into_owned();
    assert!(
        stderr.contains("init: generator: ") && stderr.contains("init: discriminator: "),
        "{stderr}"
    );
    assert!(
        output(dir, "forward --model {}/extended --text zyxwv")
            .lines()
            .any(|line| line.contains("zyxwv"))
    );
}

/// Streams give the same predictions as files.
fn streams(dir: &std::path::Path) {
    let model = dir.join("tuned").display().to_string();
    let words = ["predict", "--model", &model, "--input", "-", "--output", "-", "--window", "7"];
    let predict = |more: &[&str]| {
        let rows = fs::read(root().join("data/sample/word-order/dev.tsv")).unwrap();
        let mut command = Command::cargo_bin("electra").unwrap();
        command.args(words).args(more).write_stdin(rows).assert()
    };
    let answers = predict(&["--format", "tsv"]).success().get_output().stdout.clone();
    let file = fs::read_to_string(dir.join("predictions.tsv")).unwrap();
    assert_eq!(String::from_utf8(answers).unwrap(), file);
    let stderr = predict(&[]).failure().code(1).get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&stderr).contains("standard input needs --format"));
}

/// Export to and import from formats of other programs; forward and fill-mask on texts.
fn other_programs(dir: &std::path::Path) {
    let judged = output(dir, "forward --model {}/discriminator --text fellow-citizens");
    assert_eq!(judged.lines().next(), Some("replaced  token"));
    assert!(judged.lines().any(|line| line.ends_with("  -")), "{judged}");
    let filled = output(dir, "fill-mask --model {}/generator --top-k 3 fellow[MASK]citizens");
    assert_eq!(filled.lines().count(), 3, "{filled}");
    electra(dir, "fill-mask --model {}/discriminator a[MASK]").failure().code(1);

    output(dir, "import --from hf {}/generator --out {}/imported");
    let same = output(dir, "compare {}/generator {}/imported");
    assert!(same.ends_with(", 0 unequal, largest difference 0.000e0\n"), "{same}");
    electra(dir, "compare {}/generator {}/discriminator").failure().code(1);

    output(dir, "export {}/run --format tf --out {}/tf");
    let tf = "import --from tf {}/tf --heads 4 --generator-heads 4";
    output(dir, &format!("{tf} --out {{}}/back"));
    output(dir, "compare {}/discriminator {}/back");
    output(dir, "compare {}/generator {}/back/generator");
    let words = format!(
        "pretrain configs/pretrain-tiny.toml {SMALLER} --set init.from={{}}/back --out {{}}/on"
    );
    let further = electra(dir, &format!("{words} --stop-after 1")).success();
    let stderr = String::from_utf8_lossy(&further.get_output().stderr).into_owned();
    assert!(
        stderr.contains("init: generator: ") && stderr.contains("init: discriminator: "),
        "{stderr}"
    );

    extended(dir);

    // Only a discriminator: warns that the generator is initialized randomly.
    let alone = words.replace("{}/back", "{}/discriminator").replace("{}/on", "{}/alone");
    let further = electra(dir, &format!("{alone} --stop-after 1")).success();
    let stderr = String::from_utf8_lossy(&further.get_output().stderr).into_owned();
    let warned = stderr
        .lines()
        .any(|line| line.contains("WARN") && line.contains("init: generator: none in"));
    assert!(warned, "{stderr}");

    // Tokenizer settings are kept, also with another vocabulary; contradicting options are errors.
    let stderr = electra(dir, &format!("{tf} --cased --out {{}}/never")).failure().code(1);
    let stderr = String::from_utf8_lossy(&stderr.get_output().stderr).into_owned();
    assert!(
        stderr.contains("tf/tokenizer_config.json") && stderr.contains("case = uncased"),
        "{stderr}"
    );
    fs::remove_file(dir.join("tf/tokenizer_config.json")).unwrap();
    output(dir, &format!("{tf} --cased --accents keep --out {{}}/cased"));
    fs::copy(dir.join("vocab.txt"), dir.join("other.txt")).unwrap();
    output(dir, "import --from hf {}/cased --vocab {}/other.txt --out {}/again");
    for name in ["cased", "cased/generator", "again"] {
        let path = dir.join(name).join("tokenizer_config.json");
        let settings: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let found = (&settings["do_lower_case"], &settings["strip_accents"]);
        assert_eq!(found, (&false.into(), &false.into()), "{name}");
    }
    for (line, words) in [
        ("import --from hf {}/generator --accents keep --out {}/never", "accents = auto, but keep"),
        (
            "import --from hf {}/cased --vocab {}/vocab.txt --out {}/never",
            "case = cased, but uncased",
        ),
    ] {
        let given = electra(dir, line).failure().code(1);
        let stderr = String::from_utf8_lossy(&given.get_output().stderr).into_owned();
        assert!(stderr.contains("tokenizer_config.json") && stderr.contains(words), "{stderr}");
    }
    // For a folder without these files, the command line gives the settings.
    for name in ["tokenizer_config.json", "tokenizer.json"] {
        fs::remove_file(dir.join("again").join(name)).unwrap();
    }
    output(dir, "import --from hf {}/again --accents strip --out {}/stripped");
    let settings = fs::read_to_string(dir.join("stripped/tokenizer_config.json")).unwrap();
    assert!(settings.contains("\"strip_accents\": true"), "{settings}");
    // The folder is replaced entirely: files of a classifier are removed.
    fs::write(dir.join("again/task.json"), "{}").unwrap();
    output(dir, "import --from hf {}/generator --out {}/again --overwrite");
    assert!(!dir.join("again/task.json").exists());

    fs::write(dir.join("hparams.json"), "{}").unwrap();
    output(dir, "import --hparams {}/hparams.json --out {}/small.toml");
    // 1.2937e18 by the reference's script.
    assert!(output(dir, "flops {}/small.toml").contains("1.2937e18"));

    fs::write(dir.join("lines.txt"), "Café [MASK]\n").unwrap();
    let encode = "vocab encode --model {}/discriminator --input {}/lines.txt --output {}/ids.jsonl";
    output(dir, encode);
    let ids: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("ids.jsonl")).unwrap()).unwrap();
    assert_eq!(ids["offsets"][0][0], 0);
    assert_eq!(ids["offsets"].as_array().unwrap().last().unwrap()[1], 11);
    // Without --overwrite nothing is replaced, never by an incomplete file, and input and output may be the same file.
    let whole = fs::read(dir.join("ids.jsonl")).unwrap();
    electra(dir, encode).failure().code(1);
    fs::write(dir.join("lines.txt"), b"a\n\xe9\n").unwrap();
    electra(dir, &format!("{encode} --overwrite")).failure().code(1);
    assert!(fs::read(dir.join("ids.jsonl")).unwrap() == whole);
    fs::write(dir.join("lines.txt"), "a\nb\n").unwrap();
    let onto = encode.replace("ids.jsonl", "lines.txt") + " --overwrite";
    assert!(output(dir, &onto).contains("2 lines"));
}

/// `electra train` makes the same models as its steps one by one, and a second call changes nothing.
#[test]
fn one_command_from_text_to_models() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let train = format!(
        "train --corpus data/sample/pretrain --size tiny --threads 1 {SMALLER} --out {{}}/model"
    )
    .replace("--set data.shards={}/shards", "");
    let dry = output(dir, &format!("{train} --dry-run"));
    assert!(dry.contains("size: tiny, as requested"), "{dry}");
    assert!(!dir.join("model").exists());
    let report = output(dir, &train);
    assert!(
        report.contains("discriminator AUC") && report.contains("electra finetune"),
        "{report}"
    );
    output(dir, "vocab train --corpus data/sample/pretrain --size 1000 --out {}/vocab.txt");
    assert!(
        fs::read(dir.join("vocab.txt")).unwrap() == fs::read(dir.join("model/vocab.txt")).unwrap()
    );
    let manifest = fs::read_to_string(dir.join("model/run/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["threads"], 1);
    let forward = output(dir, "forward --model {}/model/discriminator --text the");
    assert!(forward.contains("the"), "{forward}");
    let again = electra(dir, &train).success();
    let log = String::from_utf8_lossy(&again.get_output().stderr).into_owned();
    for step in ["vocabulary", "shards", "config", "pre-training", "evaluation", "discriminator"] {
        assert!(log.contains(&format!("{step}: up to date")), "{step}: {log}");
    }
}

#[test]
fn presets_are_inside_the_binary() {
    let folder = tempfile::tempdir().unwrap();
    let list = output(folder.path(), "presets");
    assert_eq!(list.lines().count(), 5, "{list}");
    let file = fs::read_to_string(root().join("configs/pretrain-small.toml")).unwrap();
    assert_eq!(output(folder.path(), "presets small"), file);
}
