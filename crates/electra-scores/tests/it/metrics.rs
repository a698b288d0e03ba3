//! Scores against values worked out by hand.

use approx::assert_relative_eq;
use electra_scores::{
    ClassWeights, MatchCounts, SentenceTask,
    metrics::{
        Metric, Summary, accuracy, by_class, classification, f1, matthews, mean_squared_error,
        pearson, regression, spearman,
    },
    sentence::score,
};
use std::fs;

const TOLERANCE: f64 = 1e-12;

/// Of the second class: 2 true positives, 1 false positive, 1 false negative, 2 true negatives.
const PREDICTED: [usize; 6] = [1, 1, 1, 0, 0, 0];
const GOLD: [usize; 6] = [1, 1, 0, 1, 0, 0];

#[test]
fn accuracy_f1_and_matthews() {
    assert_relative_eq!(accuracy(&PREDICTED, &GOLD), 4.0 / 6.0, epsilon = TOLERANCE);
    assert_relative_eq!(f1(&PREDICTED, &GOLD), 4.0 / 6.0, epsilon = TOLERANCE);
    // (2 * 2 - 1 * 1) / sqrt(3 * 3 * 3 * 3)
    assert_relative_eq!(matthews(&PREDICTED, &GOLD, 2), 3.0 / 9.0, epsilon = TOLERANCE);
    assert_relative_eq!(matthews(&GOLD, &GOLD, 2), 1.0, epsilon = TOLERANCE);
}

#[test]
fn scores_of_a_constant_are_defined_as_scikit_learn_defines_them() {
    assert_eq!(f1(&[0, 0], &[1, 0]), 0.0);
    assert_eq!(matthews(&[0, 0], &[1, 0], 2), 0.0);
    assert_eq!(regression(&[1.0, 1.0], &[0.0, 1.0])[&Metric::Pearson], None);
}

/// Sums of x = 1 2 3 4, y = 1 3 2 5: covariance 5.5, squares 5 and 8.75.
#[test]
fn correlations() {
    let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0]);
    assert_relative_eq!(pearson(&x, &y), 5.5 / (5.0f64 * 8.75).sqrt(), epsilon = TOLERANCE);
    // Ranks 1 3 2 4: 1 - 6 * 2 / (4 * 15).
    assert_relative_eq!(spearman(&x, &y), 0.8, epsilon = TOLERANCE);
    assert_relative_eq!(mean_squared_error(&x, &y), 3.0 / 4.0, epsilon = TOLERANCE);
}

/// Ties take their mid-rank: ranks of x are 1.5 1.5 3, of y 1 2 3; Pearson of those is sqrt(3) / 2.
#[test]
fn tied_ranks() {
    assert_relative_eq!(
        spearman(&[5.0, 5.0, 7.0], &[1.0, 2.0, 3.0]),
        3.0f64.sqrt() / 2.0,
        epsilon = TOLERANCE
    );
}

#[test]
fn f1_is_for_two_classes() {
    assert!(classification(&PREDICTED, &GOLD, 2).contains_key(&Metric::F1));
    assert!(!classification(&PREDICTED, &GOLD, 3).contains_key(&Metric::F1));
}

#[test]
fn summaries_over_seeds() {
    let s = Summary::of(&[4.0, 1.0, 2.0, 5.0]).unwrap();
    assert_relative_eq!(s.median, 3.0);
    assert_relative_eq!(s.mean, 3.0);
    // Squares 1 + 4 + 1 + 4 over n - 1.
    assert_relative_eq!(s.sd, (10.0f64 / 3.0).sqrt(), epsilon = TOLERANCE);
    assert_eq!((s.min, s.max), (1.0, 5.0));
    assert_eq!(Summary::of(&[2.0]).unwrap().sd, 0.0);
    assert_eq!(Summary::of(&[]), None);
}

/// The example of scikit-learn's documentation of `f1_score`: 0.26... macro. Class 3 is not in the data.
#[test]
fn macro_f1_is_the_mean_over_the_classes_in_the_data() {
    let (gold, predicted) = ([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]);
    let scores = classification(&predicted, &gold, 4);
    // Of class 0, 2 of 3 predictions are right, and both of 2: F1 0.8; of the others none is.
    assert_relative_eq!(scores[&Metric::MacroF1].unwrap(), 0.8 / 3.0, epsilon = TOLERANCE);
    let counts = by_class(&predicted, &gold, 4);
    assert_eq!(counts[0], MatchCounts { gold: 2, predicted: 3, right: 2 });
    assert_eq!(counts[1], MatchCounts { gold: 2, predicted: 2, right: 0 });
    assert_eq!(counts[3], MatchCounts::default());
    assert_eq!(classification(&[], &[], 2)[&Metric::MacroF1], None);
}

/// scikit-learn's `compute_class_weight("balanced")`: n / (k n_c).
#[test]
fn balanced_weights_are_scikit_learns() {
    let classes = ["no", "yes", "never"].map(str::to_owned);
    let of = |weights: &ClassWeights, counts: &[usize]| weights.of(&classes, counts);
    let balanced = ClassWeights::Balanced;
    assert_eq!(of(&balanced, &[6, 2, 4]), Ok(Some(vec![12.0 / 18.0, 2.0, 1.0])));
    // A class without examples is not counted.
    assert_eq!(of(&balanced, &[6, 2, 0]), Ok(Some(vec![8.0 / 12.0, 2.0, 1.0])));
    assert_eq!(of(&ClassWeights::None, &[6, 2, 0]), Ok(None));

    let task = |weights: &str| {
        toml::from_str::<SentenceTask>(&format!(
            "name='t'\nkind='classification'\ntext_a='a'\nlabel='b'\nmetric='macro-f1'\nclass_weights={weights}\n\
             [files]\ntrain='x'\ndev='x'\n"
        ))
    };
    assert_eq!(task("'balanced'").unwrap().class_weights, balanced);
    let given = task("{ yes = 4, no = 0.5, never = 1 }").unwrap();
    assert_eq!(of(&given.class_weights, &[1, 1, 1]), Ok(Some(vec![0.5, 4.0, 1.0])));
    let written = toml::to_string(&given).unwrap();
    assert_eq!(toml::from_str::<SentenceTask>(&written).unwrap(), given);
    for (weights, words) in [
        ("{ yes = 4, no = 0.5 }", "no weight for the class \"never\""),
        ("{ yes = 4, no = 0.5, nevr = 1 }", "did you mean \"never\""),
        ("{ yes = 0, no = 0.5, never = 1 }", "\"yes\" = 0: must be above 0"),
    ] {
        let message = of(&task(weights).unwrap().class_weights, &[1, 1, 1]).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    for wrong in ["'balance'", "3", "{}"] {
        let message = task(wrong).unwrap_err().to_string();
        assert!(message.contains("weight") && !message.contains("untagged"), "{message}");
    }
}

/// Classes of two files, by hand: 3 of 4 are right.
#[test]
fn files_of_predictions_are_scored_for_any_task() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let toml = "name='t'\nkind='classification'\ntext_a='a'\nlabel='b'\nmetric='accuracy'\n[files]\ntrain='x'\ndev='x'\n";
    write("task.toml", toml);
    let task = SentenceTask::read(dir.path()).unwrap();
    let gold = write("gold.csv", "a,b\nx,pos\nx,neg\nx,neg\nx,neg\n");
    let tsv = write("p.tsv", "index\tprediction\n0\tpos\n1\tneg\n2\tpos\n3\tneg\n");
    let json = "{\"index\": 3, \"prediction\": \"neg\"}\n{\"index\": 0, \"prediction\": \"pos\"}\n\
                {\"index\": 1, \"prediction\": \"neg\"}\n{\"index\": 2, \"prediction\": \"pos\"}\n";
    let jsonl = write("p.jsonl", json);
    for predictions in [tsv, jsonl] {
        let found = score(&task, &gold, &predictions).unwrap();
        assert_eq!(found.scores[&Metric::Accuracy], Some(0.75));
        // neg: precision 1, recall 2/3; pos: precision 1/2, recall 1.
        assert_relative_eq!(found.scores[&Metric::MacroF1].unwrap(), (0.8 + 2.0 / 3.0) / 2.0);
        let [(neg, of_neg), (pos, _)] = &found.by_class[..] else { panic!("{found:?}") };
        assert_eq!((&neg[..], &pos[..]), ("neg", "pos"));
        assert_eq!(*of_neg, MatchCounts { gold: 3, predicted: 2, right: 2 });
    }
    let short = write("short.tsv", "index\tprediction\n0\tpos\n");
    crate::says(score(&task, &gold, &short), &["short.tsv", "no prediction for index 1"]);
    let numbers = toml.replace("classification", "regression").replace("accuracy", "pearson");
    write("task.toml", &numbers);
    let task = SentenceTask::read(dir.path()).unwrap();
    let gold = write("n.csv", "a,b\nx,1\nx,2\nx,4\n");
    let predictions = write("n.tsv", "index\tprediction\n0\t1\n1\t2\n2\t3\n");
    let found = score(&task, &gold, &predictions).unwrap();
    assert_relative_eq!(found.scores[&Metric::MeanSquaredError].unwrap(), 1.0 / 3.0);
    write("task.toml", &toml.replace("'classification'", "'multi-label'"));
    crate::says(SentenceTask::read(dir.path()), &["task.toml", "\"classification\""]);
}
