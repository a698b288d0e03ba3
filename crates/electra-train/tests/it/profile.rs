//! A profile times the parts of real updates: all of them, as often as they happen, within the step.

use crate::Fixture;
use electra_train::Recipe;

#[test]
fn parts_happen_as_often_as_in_an_update_and_add_up_to_no_more_than_it() {
    let fixture = Fixture::new();
    for kernels in ["fused", "plain"] {
        let kernels = format!("model.kernels={kernels}");
        let config = fixture.config(&[&kernels, "train.accumulate=3"]);
        let profile = Recipe::from_config(config).profile(2).unwrap();
        assert_eq!(profile.steps.len(), 2, "the warm-up is left out");
        for step in &profile.steps {
            // A batch and an update of three passes.
            assert_eq!(step.times.entered, [1, 3, 3, 3, 3, 3, 1, 1]);
            for (part, time) in profile.stages.iter().zip(&step.times.stages) {
                assert!(!time.is_zero(), "{} took no time", part.span);
            }
            let named: std::time::Duration = step.times.stages.iter().sum();
            assert_eq!(named + step.times.other(), step.times.whole);
            // All operations of forward and backward pass are in some part.
            let stages = profile.stages.iter();
            let flops: f64 = stages.map(|stage| (stage.products)(&step.products)).sum();
            assert!((flops / step.flops() - 1.0).abs() < 1e-12);
            // 18 sequences of at most 16 tokens.
            assert!(step.work.tokens <= 18.0 * 16.0 && step.work.pairs <= 18.0 * 256.0);
            assert!(step.work.pairs * 18.0 >= step.work.tokens * step.work.tokens);
        }
    }
}

#[test]
fn a_profile_without_shards_names_the_folder() {
    let fixture = Fixture::new();
    let config = fixture.config(&["data.shards=nowhere"]);
    let message = Recipe::from_config(config).profile(1).unwrap_err().to_string();
    assert!(message.contains("nowhere"), "{message}");
}
