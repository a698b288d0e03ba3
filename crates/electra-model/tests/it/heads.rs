//! Task heads from transformers (`tests/python/gen_foreign.py`): complete ones, and ones with missing, misshapen or misnamed
//! tensors.

use super::fixtures;
use electra_model::{
    Parts, PretrainedNetwork,
    hf::{Architecture, Labels, Pretrained},
    tensors::{self, Named},
};
use std::{fs, path::Path};
use tch::{Device, Kind, Tensor};

/// Reads and loads a folder.
fn read(dir: &Path) -> Result<Pretrained, String> {
    let pretrained = Pretrained::read(dir).map_err(|e| e.to_string())?;
    PretrainedNetwork::new(&pretrained, &Parts::shipped(), Device::Cpu)
        .map_err(|e| e.to_string())?;
    Ok(pretrained)
}

/// Reads and loads a copy of a fixture with a changed config.json and changed tensors.
fn changed(
    fixture: &str,
    config: impl Fn(String) -> String,
    change: impl Fn(&mut Named),
) -> Result<Pretrained, String> {
    let source = fixtures().join("foreign").join(fixture);
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(source.join("config.json")).unwrap();
    fs::write(dir.path().join("config.json"), config(text)).unwrap();
    let mut state = tensors::read(&source.join("model.safetensors")).unwrap();
    change(&mut state);
    tensors::write(&dir.path().join("model.safetensors"), &state).unwrap();
    read(dir.path())
}

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

/// Names and shapes of a head's tensors.
type Head = &'static [(&'static str, &'static [i64])];

const TASKS: [(&str, Head); 4] = [
    (
        "classifier",
        &[
            ("classifier.dense.bias", &[8]),
            ("classifier.dense.weight", &[8, 8]),
            ("classifier.out_proj.bias", &[3]),
            ("classifier.out_proj.weight", &[3, 8]),
        ],
    ),
    ("tokens", &[("classifier.bias", &[5]), ("classifier.weight", &[5, 8])]),
    ("question", &[("qa_outputs.bias", &[2]), ("qa_outputs.weight", &[2, 8])]),
    (
        "choice",
        &[
            ("classifier.bias", &[1]),
            ("classifier.weight", &[1, 8]),
            ("sequence_summary.summary.bias", &[8]),
            ("sequence_summary.summary.weight", &[8, 8]),
        ],
    ),
];

#[test]
fn every_tensor_of_a_task_head_is_required() {
    for (fixture, head) in TASKS {
        for (name, shape) in head {
            let error = changed(fixture, |c| c, |state| state.retain(|(n, _)| n != name));
            let error = error.unwrap_err();
            let expected = format!("missing from the file: {name} {shape:?}");
            assert!(error.contains(&expected), "{fixture}: {expected} in {error}");
        }
    }
}

#[test]
fn every_tensor_of_a_task_head_must_have_the_expected_shape() {
    for (fixture, head) in TASKS {
        for (name, shape) in head {
            let mut other = shape.to_vec();
            other[0] += 1;
            let replace = |state: &mut Named| {
                state.iter_mut().find(|(n, _)| n == name).unwrap().1 = zeros(&other);
            };
            let error = changed(fixture, |c| c, replace).unwrap_err();
            let expected = format!("{name}: the file has shape {other:?}, the model {shape:?}");
            assert!(error.contains(&expected), "{fixture}: {expected} in {error}");
        }
    }
}

#[test]
fn unexpected_tensors_of_a_task_head_are_rejected() {
    for (fixture, _) in TASKS {
        let add = |state: &mut Named| state.push(("classifier.more.bias".to_owned(), zeros(&[8])));
        let error = changed(fixture, |c| c, add).unwrap_err();
        assert!(error.contains("not in the model: classifier.more.bias [8]"), "{fixture}: {error}");
    }
    let misname = |state: &mut Named| {
        state.iter_mut().for_each(|(name, _)| *name = name.replace("out_proj", "out"));
    };
    let error = changed("classifier", |c| c, misname).unwrap_err();
    assert!(error.contains("missing from the file: classifier.out_proj.weight [3, 8]"), "{error}");
    assert!(error.contains("not in the model: classifier.out.weight [3, 8]"), "{error}");
    // A head of another kind.
    let error = changed("tokens", |c| c.replace("Token", "Sequence"), |_| {}).unwrap_err();
    let expected = "has the weights of ElectraForTokenClassification, but config.json says ElectraForSequenceClassification";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_head_of_a_folder_declared_as_an_encoder_is_dropped_with_a_note() {
    let as_encoder = |c: String| c.replace("ElectraForQuestionAnswering", "ElectraModel");
    let found = changed("question", as_encoder, |_| {}).unwrap();
    assert_eq!(found.config.architecture, Architecture::ElectraModel);
    assert!(!found.tensors.iter().any(|(name, _)| name.starts_with("qa_outputs")));
    for name in ["qa_outputs.weight", "qa_outputs.bias"] {
        let note = format!("not used: {name} (config.json says ElectraModel)");
        assert!(found.notes.contains(&note), "{:?}", found.notes);
    }
    // This project's heads have no class and are kept.
    let add = |state: &mut Named| {
        state.retain(|(name, _)| !name.starts_with("qa_outputs"));
        state.push(("task_head.dense.weight".to_owned(), zeros(&[4, 8])));
    };
    let found = changed("question", as_encoder, add).unwrap();
    assert!(found.tensors.iter().any(|(name, _)| name == "task_head.dense.weight"));
}

#[test]
fn labels_match_the_head_that_the_weights_have() {
    let without_class = |c: String| c.replace("\"architectures\"", "\"ignored\"");
    let labels = |fixture: &str, config: &dyn Fn(String) -> String| {
        let found = changed(fixture, config, |_| {}).unwrap().config;
        (found.architecture, found.labels)
    };
    let classes = |names: &[&str]| {
        Some(Labels::Classes(names.iter().map(|name| (*name).to_owned()).collect()))
    };
    let expected =
        (Architecture::ElectraForSequenceClassification, classes(&["no", "maybe", "yes"]));
    assert_eq!(labels("classifier", &without_class), expected);
    let counted =
        |c: String| without_class(c).replace("\"id2label\"", "\"num_labels\": 3,\n  \"names\"");
    let expected = (expected.0, classes(&["LABEL_0", "LABEL_1", "LABEL_2"]));
    assert_eq!(labels("classifier", &counted), expected);
    let expected =
        (Architecture::ElectraForTokenClassification, classes(&["O", "B-X", "I-X", "B-Y", "I-Y"]));
    assert_eq!(labels("tokens", &without_class), expected);
    assert_eq!(
        labels("question", &without_class),
        (Architecture::ElectraForQuestionAnswering, None)
    );
    // The number of labels must match the head's outputs.
    let fewer =
        |c: String| without_class(c).replace("\"id2label\"", "\"num_labels\": 2,\n  \"names\"");
    let error = changed("classifier", fewer, |_| {}).unwrap_err();
    let expected = "classifier.out_proj.weight: the file has shape [3, 8], the model [2, 8]";
    assert!(error.contains(expected), "{error}");
}
