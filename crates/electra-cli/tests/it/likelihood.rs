//! `fill-mask` by a discriminator, and `rescore`, with the networks of `tests/fixtures/written-by-0.1`.

use crate::{electra, errors::fails, output, root};
use assert_cmd::Command;
use electra_model::{EncoderInput, Parts, PretrainedNetwork, Row, hf::Pretrained};
use std::{fs, path::Path};
use tch::{Device, Kind, Tensor, no_grad};

const FIXTURE: &str = "tests/fixtures/written-by-0.1";
const CLS: u32 = 2;
const SEP: u32 = 3;
const MASK: u32 = 4;

fn vocabulary() -> Vec<String> {
    let text = fs::read_to_string(root().join(FIXTURE).join("generator/vocab.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// `[CLS]`, words of the vocabulary, `[SEP]`.
fn ids(words: &str) -> Vec<u32> {
    let vocab = vocabulary();
    let id = |word| vocab.iter().position(|token| token == word).unwrap() as u32;
    [vec![CLS], words.split_whitespace().map(id).collect(), vec![SEP]].concat()
}

fn network(part: &str) -> PretrainedNetwork {
    let pretrained = Pretrained::read(&root().join(FIXTURE).join(part)).unwrap();
    PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu).unwrap()
}

/// The logits of one text: `[s]` of a discriminator, `[s, v]` of a generator.
fn logits(network: &PretrainedNetwork, ids: &[u32]) -> Tensor {
    let input = EncoderInput::from_rows(&[Row { ids, segment_b_start: ids.len() }], 0, Device::Cpu);
    let hidden = no_grad(|| network.encoder().forward_t(&input, false));
    no_grad(|| network.logits(&hidden)).unwrap().squeeze_dim(0).to_kind(Kind::Double)
}

/// The generator's probabilities at a position.
fn generated(generator: &PretrainedNetwork, ids: &[u32], position: i64) -> Vec<f64> {
    Vec::try_from(logits(generator, ids).get(position).softmax(-1, Kind::Double)).unwrap()
}

/// The ids of the `count` largest values, special tokens but `[UNK]` (1) left out.
fn top(values: &[f64], count: usize) -> Vec<u32> {
    let mut ids: Vec<u32> =
        (0..values.len() as u32).filter(|id| ![0, CLS, SEP, MASK].contains(id)).collect();
    ids.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
    ids.truncate(count);
    ids
}

/// Runs `fill-mask` on a text, which may have spaces.
fn fill(options: &str, text: &str) -> String {
    let options = options.replace("{}", FIXTURE);
    let mut command = Command::cargo_bin("electra").unwrap();
    command.current_dir(root()).arg("fill-mask").args(options.split_whitespace()).arg(text);
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// Checks printed rows: numbers, then a token.
#[track_caller]
fn assert_rows(printed: &str, expected: &[(Vec<f64>, String)]) {
    assert_eq!(printed.lines().count(), expected.len(), "{printed}");
    for (line, (numbers, token)) in printed.lines().zip(expected) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((cells.len(), cells.last()), (numbers.len() + 1, Some(&token.as_str())));
        for (cell, number) in cells.iter().zip(numbers) {
            let found: f64 = cell.parse().unwrap();
            assert!((found - number).abs() < 1e-4, "{printed}, expected {expected:?}");
        }
    }
}

/// The candidates and their normalized probabilities, most probable first.
fn ranked(weights: &[f64], candidates: &[u32]) -> Vec<(u32, f64)> {
    let sum: f64 = weights.iter().sum();
    let mut all: Vec<_> = candidates.iter().copied().zip(weights.iter().map(|w| w / sum)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// With two masks: the candidates of one are compared while the other has the generator's best token.
#[test]
fn a_discriminator_ranks_the_generators_candidates() {
    let (generator, discriminator) = (network("generator"), network("discriminator"));
    let (vocab, mut text) = (vocabulary(), ids("the of the in"));
    let masks = [2, 4];
    masks.iter().for_each(|&mask| text[mask] = MASK);
    let probabilities = masks.map(|mask| generated(&generator, &text, mask as i64));
    let mut filled = text.clone();
    for (&mask, p) in masks.iter().zip(&probabilities) {
        filled[mask] = top(p, 1)[0];
    }
    for (electric, options) in [
        (false, "--model {}/generator --discriminator {}/discriminator --mask-rate 0.25"),
        (true, "--model {}/generator --electric {}/discriminator"),
    ] {
        let printed = fill(&format!("{options} --candidates 7 --top-k 3"), "the [MASK] the [MASK]");
        let blocks: Vec<&str> = printed.split("[MASK]").collect();
        assert_eq!(blocks.len(), 3, "{printed}");
        assert_eq!(blocks[0], "probability  generator  token\n");
        for (at, (&mask, p)) in masks.iter().zip(&probabilities).enumerate() {
            let candidates = top(p, 7);
            let weight = |&candidate: &u32| {
                let mut text = filled.clone();
                text[mask] = candidate;
                let logit = logits(&discriminator, &text).double_value(&[mask as i64]);
                let (real, q) = (1.0 / (1.0 + logit.exp()), p[candidate as usize]);
                match electric {
                    true => (-logit).exp(),
                    // (1 - 0.25) / 0.25 = 3
                    false => real * q / (3.0 * (1.0 - real) + q),
                }
            };
            let weights: Vec<f64> = candidates.iter().map(weight).collect();
            let rows =
                ranked(&weights, &candidates).into_iter().take(3).map(|(id, probability)| {
                    (vec![probability, p[id as usize]], vocab[id as usize].clone())
                });
            let (number, rows_printed) = blocks[at + 1].split_once('\n').unwrap();
            assert_eq!(number.trim(), (at + 1).to_string());
            assert_rows(rows_printed, &rows.collect::<Vec<_>>());
        }
    }
}

#[test]
fn electric_alone_ranks_the_whole_vocabulary() {
    let (discriminator, vocab) = (network("discriminator"), vocabulary());
    let candidates = top(&vec![0.0; vocab.len()], vocab.len());
    let weight = |&candidate: &u32| {
        let mut text = ids("the of in");
        text[2] = candidate;
        (-logits(&discriminator, &text).double_value(&[2])).exp()
    };
    let weights: Vec<f64> = candidates.iter().map(weight).collect();
    let rows = ranked(&weights, &candidates).into_iter().take(4);
    let rows: Vec<_> = rows.map(|(id, p)| (vec![p], vocab[id as usize].clone())).collect();
    assert_rows(&fill("--electric {}/discriminator --top-k 4", "the [MASK] in"), &rows);
}

/// Lines of different lengths, in two windows; a line without tokens, and one with a tab.
const LINES: [&str; 5] = ["the of in", "", "the\tof", "in", "to be in the with from of"];

fn rows() -> String {
    let discriminator = network("discriminator");
    let row = |line: &&str| {
        let ids = ids(line);
        let energies = Vec::<f64>::try_from(logits(&discriminator, &ids)).unwrap();
        let score: f64 = energies[1..ids.len() - 1].iter().map(|energy| -energy).sum();
        format!("{:.3}\t{}\t{line}\n", score + 0.0, ids.len() - 2)
    };
    "score\ttokens\ttext\n".to_owned() + &LINES.iter().map(row).collect::<String>()
}

/// The same table with scores to 3 digits.
fn rounded(table: &str) -> String {
    let line = |line: &str| match line.split_once('\t').map(|(score, rest)| (score.parse(), rest)) {
        Some((Ok(score), rest)) => format!("{:.3}\t{rest}\n", f64::to_owned(&score)),
        _ => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

fn rescore(input: &str, more: &[&str]) -> assert_cmd::assert::Assert {
    let model = root().join(FIXTURE).join("discriminator").display().to_string();
    let mut command = Command::cargo_bin("electra").unwrap();
    command.args(["rescore", "--model", &model, "--input", "-", "--output", "-"]).args(more);
    command.write_stdin(input).assert()
}

#[test]
fn the_score_of_a_text_is_the_sum_of_its_energies() {
    let (folder, text, expected) = (tempfile::tempdir().unwrap(), LINES.join("\n"), rows());
    for more in [&[][..], &["--window", "2", "--batch-size", "1"]] {
        let done = rescore(&text, more).success();
        let (out, log) = (&done.get_output().stdout, &done.get_output().stderr);
        assert_eq!(rounded(str::from_utf8(out).unwrap()), expected);
        assert!(String::from_utf8_lossy(log).contains("5 texts, 1 of them without tokens"));
    }
    // Files with another end of lines.
    let dir = folder.path();
    fs::write(dir.join("in.txt"), LINES.join("\r\n") + "\r\n").unwrap();
    let line = format!(
        "rescore --model {FIXTURE}/discriminator --input {{}}/in.txt --output {{}}/out.tsv"
    );
    assert!(output(dir, &line).starts_with("5 texts, 1 of them without tokens: "));
    assert_eq!(rounded(&fs::read_to_string(dir.join("out.tsv")).unwrap()), expected);
    fails(dir, &line, 1, &["out.tsv exists", "--overwrite"]);
    electra(dir, &format!("{line} --overwrite")).success();
    // An input without lines has no rows.
    let nothing = rescore("", &[]).success();
    assert_eq!(nothing.get_output().stdout, b"score\ttokens\ttext\n");
}

#[test]
fn an_unusable_text_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let long = "the ".repeat(31);
    let stopped = rescore(&format!("{}\n{long}\nthe\n", LINES[0]), &[]).failure().code(1);
    let log = String::from_utf8_lossy(&stopped.get_output().stderr).into_owned();
    for words in ["standard input, line 2: the text has 33 tokens", "at most 32"] {
        assert!(log.contains(words), "{log}");
    }
    // The lines before it are scored.
    let out = String::from_utf8(stopped.get_output().stdout.clone()).unwrap();
    assert_eq!(
        rounded(&out),
        rows().lines().take(2).map(|row| format!("{row}\n")).collect::<String>()
    );

    fs::write(dir.join("in.txt"), b"the\n\xe9\n").unwrap();
    let line = |model: &str| {
        format!("rescore --model {FIXTURE}/{model} --input {{}}/in.txt --output {{}}/out.tsv")
    };
    fails(dir, &line("discriminator"), 1, &["in.txt", "line 2", "UTF-8"]);
    assert!(!dir.join("out.tsv").exists(), "an incomplete output is not written");
    fails(dir, &line("generator"), 1, &["generator", "is not a discriminator"]);
}

#[test]
fn errors_of_fill_mask_name_the_option() {
    let dir = Path::new(".");
    let line = |options: &str| format!("fill-mask {}", options.replace("{}", FIXTURE));
    let both = "--model {}/generator --discriminator {}/discriminator";
    for (options, code, words) in [
        ("the[MASK]", 2, "--model"),
        ("--electric {}/discriminator [MASK][MASK]", 1, "add --model GENERATOR"),
        ("--electric {}/discriminator --mask-rate 0.2 [MASK]", 2, "--mask-rate"),
        ("--electric {}/discriminator --candidates 9 [MASK]", 2, "--model"),
        ("--model {}/generator --candidates 9 [MASK]", 2, "--discriminator"),
        ("--model {}/generator --discriminator {}/generator [MASK]", 1, "is not a discriminator"),
        ("--model {}/discriminator [MASK]", 1, "is not a generator"),
        (&format!("{both} the"), 1, "the text has no [MASK]"),
        (&format!("{both} --mask-rate 1 [MASK]"), 2, "between 0 and 1"),
        (&format!("{both} --electric {{}}/discriminator [MASK]"), 2, "cannot be used with"),
    ] {
        fails(dir, &line(options), code, &[words]);
    }
}

#[test]
fn networks_of_different_vocabularies_cannot_fill_masks_together() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let from = root().join(FIXTURE).join("generator");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(from.join(name), other.join(name)).unwrap();
    }
    let mut vocab = vocabulary();
    vocab.swap(100, 101);
    fs::write(other.join("vocab.txt"), vocab.join("\n")).unwrap();
    let line =
        format!("fill-mask --model {{}}/other --discriminator {FIXTURE}/discriminator [MASK]");
    fails(folder.path(), &line, 1, &["different vocabularies"]);
}
