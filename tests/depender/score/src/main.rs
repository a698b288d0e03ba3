//! Scores answers without libtorch.

use electra_scores::squad::answer_1;

fn main() {
    let (exact, f1) = answer_1("the Norman conquest of England", &["Norman conquest"]);
    println!("exact {exact}, F1 {f1:.3}");
}
