//! An embedding table with more rows than the vocabulary has tokens, as models have that were padded for speed.

use crate::{Fixture, ablations::scaled, figures, objective::batches};
use electra_model::hf;
use electra_train::{
    Existing, Recipe, RunConfig, Start,
    export::{ExportPart, locate},
    objective::evaluation_pass,
};
use std::{fs, path::Path};
use tch::no_grad;

/// The last row of held-out metrics of a run.
fn last_evaluation(run: &Path) -> serde_json::Value {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last = metrics.lines().rfind(|row| row.contains("\"evaluate\"")).unwrap();
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_padded_table_is_trained_resumed_evaluated_exported_and_trained_further() {
    let fixture = Fixture::new();
    let rows = fixture.config(&[]).model.discriminator.vocab_size + 13;
    let padded = format!("model.vocab_size={rows}");
    let recipe = Recipe::from_config(fixture.config(&[&padded]));
    let run = fixture.path("run");
    let stop = Start { stop_after: Some(5), ..Start::new(&run) };
    recipe.pretrain(&stop).unwrap();
    recipe.pretrain(&Start::resume(&run)).unwrap();
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains(&format!("vocab_size = {rows}")), "{config}");

    // Evaluation, which opens the run, has the same output layer as training.
    let (folder, checkpoint) = locate(&run).unwrap();
    let evaluated = recipe.evaluate(&folder, &checkpoint, &fixture.path("shards")).unwrap();
    let last = last_evaluation(&run);
    assert_eq!(
        (&last["step"], &last["generator_loss"]),
        (&10.into(), &evaluated["generator_loss"])
    );

    let model = fixture.path("model");
    recipe.export(&run, ExportPart::Discriminator, &model, Existing::Refuse).unwrap();
    recipe.export(&run, ExportPart::Generator, &model.join("generator"), Existing::Refuse).unwrap();
    for folder in [&model, &model.join("generator")] {
        assert_eq!(hf::read_config(folder).unwrap().encoder.vocab_size, rows);
    }
    // From the model, any number of rows is legal, but only its own.
    let further = |vocab_size: i64| {
        let mut config = fixture.config(&[&format!("model.vocab_size={vocab_size}")]);
        config.init.from.clone_from(&model);
        Recipe::from_config(config).pretrain(&Start::new(fixture.path("further")))
    };
    let message = further(rows - 13).unwrap_err().to_string();
    assert!(
        message.contains(&format!("model.vocab_size = {rows}   (now {})", rows - 13)),
        "{message}"
    );
    further(rows).unwrap();
}

/// With small weights all tokens are about equally likely: of 1000 rows of padding beside 90 tokens, most samples would be
/// padding, and the loss would be the logarithm of 1090.
#[test]
fn no_objective_predicts_or_samples_padding() {
    let fixture = Fixture::new();
    let dir = scaled(&fixture);
    let tokens = fixture.config(&[]).model.discriminator.vocab_size;
    let batch = batches(&fixture, 16).remove(0);
    let mut samples = 0;
    for name in [
        "electra",
        "temperature-2",
        "disallow-correct",
        "gdes",
        "tied-all",
        "uniform",
        "two-tower",
        "electric",
        "adversarial",
        "two-stage",
        "bert",
        "replace-mlm",
        "all-tokens-mlm",
    ] {
        let sets = [
            format!("model.vocab_size={}", tokens + 1000),
            "model.initializer.std=0.02".to_owned(),
        ];
        let mut config = RunConfig::read(&dir.join(format!("{name}.toml")), &sets).unwrap();
        config.model.networks_mut().for_each(|network| network.tokens = Some(tokens));
        let built = Recipe::from_config(config).untrained().unwrap();
        let objective = &*built.objective;
        let pass = no_grad(|| evaluation_pass(objective, &batch, &objective.loss_counts(&batch)));
        let figures = figures(&*pass);
        for key in ["generator_loss", "masked_lm_loss", "all_tokens_loss"] {
            if let Some(loss) = figures.get(key).and_then(serde_json::Value::as_f64) {
                let largest = (tokens as f64).ln() + 0.5;
                assert!(loss < largest, "{name}: {key} is {loss}, expected less than {largest}");
            }
        }
        for token in no_grad(|| pass.token_predictions()).into_iter().flatten() {
            assert!(token.sampled.is_none_or(|id| id < tokens), "{name}: {token:?}");
            samples += usize::from(token.sampled.is_some());
        }
    }
    assert!(samples > 50, "{samples}");
}
