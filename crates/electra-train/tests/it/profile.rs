//! Profiles of real updates: all stages are timed, and their times add up to at most the total.

use crate::Fixture;
use electra_train::Recipe;

#[test]
fn stages_are_entered_as_often_as_expected_and_add_up_to_at_most_the_total() {
    let fixture = Fixture::new();
    for kernels in ["fused", "plain"] {
        let kernels = format!("model.kernels={kernels}");
        let config = fixture.config(&[&kernels, "train.accumulate=3"]);
        let profile = Recipe::from_config(config).profile(2).unwrap();
        assert_eq!(profile.steps.len(), 2, "without the warm-up");
        for step in &profile.steps {
            // One batch, three passes, one optimizer step.
            assert_eq!(step.times.entered, [1, 3, 3, 3, 3, 3, 1, 1]);
            for (stage, time) in profile.stages.iter().zip(&step.times.stages) {
                assert!(!time.is_zero(), "{} took no time", stage.span);
            }
            let sum: std::time::Duration = step.times.stages.iter().sum();
            assert_eq!(sum + step.times.other(), step.times.whole);
            // All FLOPs of forward and backward pass belong to a stage.
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
