//! Adam and the schedule, compared with the reference's formulas in float64.

use crate::device;
use electra_train::{
    optim::{Adam, Decay, OptimizerConfig, Rule},
    schedule::Schedule,
};
use tch::{Kind, Tensor, nn, no_grad};

/// For float32 over a few updates of values around 1.
const TOLERANCE: f64 = 1e-6;

const CONFIG: OptimizerConfig = OptimizerConfig {
    learning_rate: 0.1,
    warmup_steps: 0,
    decay_power: 1.0,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-6,
    weight_decay: 0.01,
    clip_norm: 1.0,
};

/// The reference's update of one parameter, in f64.
struct Expected {
    w: f64,
    m: f64,
    v: f64,
}

impl Expected {
    fn step(&mut self, g: f64, rate: f64, decay: f64) {
        self.m = 0.9 * self.m + 0.1 * g;
        self.v = 0.999 * self.v + 0.001 * g * g;
        self.w -= rate * (self.m / (self.v.sqrt() + 1e-6) + decay * self.w);
    }
}

#[test]
fn updates_match_the_reference() {
    let vs = nn::VarStore::new(device());
    let kernel = vs.root().var("kernel", &[2], nn::Init::Const(1.0));
    let bias = vs.root().var("bias", &[1], nn::Init::Const(-2.0));
    let variables = vec![
        ("kernel".to_owned(), kernel.shallow_clone()),
        ("bias".to_owned(), bias.shallow_clone()),
    ];
    let mut adam =
        Adam::new(&CONFIG, &variables, |name| Rule { decay: Decay::of(name), rate: 1.0 }).unwrap();
    assert_eq!(adam.parameters(), 3);

    let mut expected = [1.0, 1.0, -2.0].map(|w| Expected { w, m: 0.0, v: 0.0 });
    for step in 0..5 {
        let x = 0.3 + f64::from(step) * 0.2;
        adam.zero_grad();
        // d/dkernel = [x, 3x], d/dbias = -x.
        let loss = (&kernel * Tensor::from_slice(&[x as f32, 3.0 * x as f32]).to_device(device()))
            .sum(Kind::Float)
            - (&bias * x).sum(Kind::Float);
        loss.backward();
        let gradients = [x, 3.0 * x, -x];
        let norm = (11.0f64).sqrt() * x;
        let measured = adam.gradient_norm();
        assert!((measured.double_value(&[]) - norm).abs() < 1e-5, "{measured} {norm}");
        adam.step(0.1, &measured);
        let scale = if norm > 1.0 { 1.0 / norm } else { 1.0 };
        for ((parameter, g), decay) in expected.iter_mut().zip(gradients).zip([0.01, 0.01, 0.0]) {
            parameter.step(g * scale, 0.1, decay);
        }
    }
    let found = [kernel.double_value(&[0]), kernel.double_value(&[1]), bias.double_value(&[0])];
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected.w).abs() < TOLERANCE * 10.0, "{found}, expected {}", expected.w);
    }
    let state = adam.state();
    let names: Vec<_> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["adam_m.bias", "adam_m.kernel", "adam_v.bias", "adam_v.kernel"]);
    assert!((state[0].1.double_value(&[0]) - expected[2].m).abs() < TOLERANCE);
    assert!((state[3].1.double_value(&[1]) - expected[1].v).abs() < TOLERANCE);
}

/// Without bias correction the first update is `0.1 g / sqrt(0.001 g^2) = sqrt(10)` times the rate.
#[test]
fn there_is_no_bias_correction() {
    let vs = nn::VarStore::new(device());
    let w = vs.root().var("w", &[1], nn::Init::Const(0.0));
    let config = OptimizerConfig { weight_decay: 0.0, ..CONFIG };
    let variables = vec![("w".to_owned(), w.shallow_clone())];
    let mut adam =
        Adam::new(&config, &variables, |_| Rule { decay: Decay::On, rate: 0.5 }).unwrap();
    w.sum(Kind::Float).backward();
    adam.step(0.1, &Tensor::from(1.0).to_device(device()));
    let expected = -0.05 * 0.1 / (0.001f64.sqrt() + 1e-6);
    assert!((w.double_value(&[0]) - expected).abs() < TOLERANCE);
}

#[test]
fn norms_and_biases_do_not_decay() {
    for (name, decay) in [
        ("electra.embeddings.word_embeddings.weight", Decay::On),
        ("electra.embeddings.position_embeddings.weight", Decay::On),
        ("electra.encoder.layer.0.attention.self.query.weight", Decay::On),
        ("electra.encoder.layer.0.attention.self.query.bias", Decay::Off),
        ("electra.encoder.layer.0.output.LayerNorm.weight", Decay::Off),
        ("generator_lm_head.bias", Decay::Off),
    ] {
        assert_eq!(Decay::of(name), decay, "{name}");
    }
}

/// A parameter that the loss does not depend on has a zero gradient and only decays.
#[test]
fn an_unused_parameter_only_decays() {
    let vs = nn::VarStore::new(device());
    let (used, unused) = (
        vs.root().var("a", &[1], nn::Init::Const(1.0)),
        vs.root().var("b", &[1], nn::Init::Const(1.0)),
    );
    let variables =
        vec![("a".to_owned(), used.shallow_clone()), ("b".to_owned(), unused.shallow_clone())];
    let mut adam =
        Adam::new(&CONFIG, &variables, |_| Rule { decay: Decay::On, rate: 1.0 }).unwrap();
    used.sum(Kind::Float).backward();
    adam.step(0.1, &Tensor::from(1.0).to_device(device()));
    let decayed = no_grad(|| unused.double_value(&[0]));
    assert!((decayed - (1.0 - 0.1 * 0.01)).abs() < TOLERANCE, "{decayed}");
}

/// `peak * (1 - t / T) * min(1, t / warmup)` at T = 100, warmup = 10, calculated by hand.
#[test]
fn the_schedule_multiplies_warm_up_and_decay() {
    let schedule = Schedule { peak: 1.0, warmup_steps: 10, total_steps: 100, decay_power: 1.0 };
    for (step, expected) in
        [(0, 0.0), (1, 0.099), (5, 0.475), (10, 0.9), (50, 0.5), (100, 0.0), (200, 0.0)]
    {
        assert!((schedule.rate(step) - expected).abs() < 1e-12, "step {step}");
    }
    let constant = Schedule { peak: 2.0, warmup_steps: 0, total_steps: 100, decay_power: 2.0 };
    assert_eq!(constant.rate(0), 2.0);
    assert!((constant.rate(50) - 0.5).abs() < 1e-12);
}
