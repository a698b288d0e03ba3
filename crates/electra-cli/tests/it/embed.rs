//! `electra embed`, with the networks of `tests/fixtures/written-by-0.1`.

use crate::{electra, errors::fails, output, root};
use electra_model::{EncoderInput, Parts, PretrainedNetwork, Row, hf::Pretrained};
use electra_tokenize::{Tokenizer, WordPiece};
use std::{fs, path::Path};
use tch::{Device, Kind, Tensor, no_grad};

const DISCRIMINATOR: &str = "tests/fixtures/written-by-0.1/discriminator";

/// Lines of different lengths, one of them empty.
const LINES: [&str; 4] =
    ["the old house", "", "a", "she said that the house was old , and he agreed"];

/// The hidden states of a text alone, without padding: `[s, h]`.
fn hidden(text: &str) -> Tensor {
    let dir = root().join(DISCRIMINATOR);
    let tokenizer = WordPiece::from_pretrained_dir(&dir).unwrap();
    let special = tokenizer.vocab().special();
    let ids = [vec![special.cls], tokenizer.encode(text).unwrap(), vec![special.sep]].concat();
    let pretrained = Pretrained::read(&dir).unwrap();
    let network = PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu).unwrap();
    let row = Row { ids: &ids, segment_b_start: ids.len() };
    let input = EncoderInput::from_rows(&[row], special.pad, Device::Cpu);
    no_grad(|| network.encoder().forward_t(&input, false)).squeeze_dim(0)
}

#[track_caller]
fn assert_close(found: &Tensor, expected: &[Tensor]) {
    let expected = Tensor::stack(expected, 0);
    assert_eq!(found.size(), expected.size());
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "differ by {difference}");
}

fn write_lines(dir: &Path) {
    fs::write(dir.join("lines.txt"), LINES.join("\n") + "\n").unwrap();
}

fn json_lines(text: &str) -> Tensor {
    let rows: Vec<Vec<f32>> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Tensor::stack(&rows.iter().map(|row| Tensor::from_slice(row)).collect::<Vec<_>>(), 0)
}

#[test]
fn a_vector_for_each_line_is_written_for_numpy() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(dir.path());
    let line = format!("embed --model {DISCRIMINATOR} --input {{}}/lines.txt --output {{}}/v.npy");
    let printed = output(dir.path(), &(line.clone() + " --window 3 --batch-size 2"));
    assert!(printed.starts_with("4 vectors of "), "{printed}");
    let mean = LINES.map(|text| hidden(text).mean_dim(0i64, false, Kind::Float));
    assert_close(&Tensor::read_npy(dir.path().join("v.npy")).unwrap(), &mean);
    fails(dir.path(), &line, 1, &["v.npy exists", "--overwrite"]);

    output(dir.path(), &(line + " --overwrite --pooling first"));
    let first = LINES.map(|text| hidden(text).get(0));
    assert_close(&Tensor::read_npy(dir.path().join("v.npy")).unwrap(), &first);
}

#[test]
fn json_lines_are_written_to_a_file_or_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(dir.path());
    let line = format!("embed --model {DISCRIMINATOR} --input {{}}/lines.txt --output");
    let printed = output(dir.path(), &format!("{line} -"));
    let mean = LINES.map(|text| hidden(text).mean_dim(0i64, false, Kind::Float));
    assert_close(&json_lines(&printed), &mean);
    output(dir.path(), &format!("{line} {{}}/v.jsonl"));
    assert_eq!(fs::read_to_string(dir.path().join("v.jsonl")).unwrap(), printed);
    let words = ["vectors.bin", "must end with .npy or .jsonl"];
    fails(dir.path(), &format!("{line} {{}}/vectors.bin"), 1, &words);
}

#[test]
fn a_long_line_is_truncated_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lines.txt"), "a ".repeat(1000)).unwrap();
    let line = format!("embed --model {DISCRIMINATOR} --input {{}}/lines.txt --output {{}}/v.npy");
    let done = electra(dir.path(), &line).success();
    let log = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    for word in ["lines.txt: 1 of 1 texts", "the longest has 1002"] {
        assert!(log.contains(word), "{log}");
    }
}
