//! Taggers and models of questions that transformers wrote.

use crate::{device_name, foreign, root, says};
use electra_model::{hf, tensors};
use electra_scores::squad::Version;
use electra_tasks::{
    Answer, Kinds, Predictor, Request,
    answer::{RequestForm, TaggedWord},
};
use std::fs;

/// The tag of `w12`, a sentence of one word.
fn tag(predictor: &Predictor) -> TaggedWord {
    match predictor.answer(&[Request::words(&["w12"])]).unwrap().remove(0) {
        Answer::Tags(mut words) => words.remove(0),
        other => panic!("{other:?}"),
    }
}

/// `[CLS] w12 [SEP]`, whose logits transformers computed: the class of `w12` is the last one, `I-Y`.
#[test]
fn a_tagger_of_transformers_is_adopted() {
    let dir = foreign("tokens");
    let source = root().join("tests/fixtures/foreign/tokens/expected.safetensors");
    let expected = tensors::read(&source).unwrap();
    let (_, logits) = expected.iter().find(|(name, _)| name == "logits").unwrap();
    let probabilities = logits.get(2).get(1).softmax(-1, tch::Kind::Float);
    let adopt = || Kinds::default().adopt(dir.path(), "entities", &[], Version::V1);
    assert!(adopt().unwrap());
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    let found = tag(&predictor);
    // The first word of an entity has B in BIO, as conlleval reads it.
    assert_eq!(found.tag, "B-Y");
    approx::assert_abs_diff_eq!(
        f64::from(found.probability),
        probabilities.double_value(&[4]),
        epsilon = 1e-5
    );
    // Its labels stay as they were, and so they do when its encoder is fine-tuned further elsewhere.
    let labels = |dir: &std::path::Path| hf::read_config(dir).unwrap().labels;
    let names = ["O", "B-X", "I-X", "B-Y", "I-Y"].map(str::to_owned).to_vec();
    assert_eq!(labels(dir.path()), Some(hf::Labels::Classes(names)));
    let with_labels = |from: &str, to: &str| {
        let path = dir.path().join("config.json");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace(from, to)).unwrap();
        adopt()
    };
    // Labels that are no entities are plain tags.
    assert!(with_labels("I-Y", "Y").unwrap());
    let predictor = Predictor::open(dir.path(), device_name()).unwrap();
    assert_eq!(tag(&predictor).tag, "Y");
    says(
        with_labels("\"Y\"", "\"L-Y\"").and_then(|_| with_labels("I-X", "S-X")),
        &["no scheme has all"],
    );
}

/// Its null odds are used with version 2.0 only.
#[test]
fn a_question_model_of_transformers_is_adopted() {
    let dir = foreign("question");
    for (version, threshold) in [(Version::V1, None), (Version::V2, Some(0.0))] {
        assert!(Kinds::default().adopt(dir.path(), "answers", &[], version).unwrap());
        let predictor = Predictor::open(dir.path(), device_name()).unwrap();
        let form = RequestForm::Questions { null_threshold: threshold };
        assert_eq!(predictor.form(), form);
        let context = "w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 w18";
        let asked = predictor.answer(&[Request::question("w5 w6", context)]).unwrap().remove(0);
        let Answer::Span(found) = asked else { panic!("{asked:?}") };
        assert!(!found.text.is_empty() && context.contains(&found.text), "{found:?}");
        // The weights are those of the folder: the best span has the highest sum of two logits.
        let scores: Vec<f64> = found.n_best.iter().map(|candidate| candidate.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b) && found.null_odds.is_finite(), "{found:?}");
    }
}
