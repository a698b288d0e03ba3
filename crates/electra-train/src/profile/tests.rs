//! Marks in a backward pass: where they stand, and that they change nothing.

use super::Timer;
use crate::objective::{Stage, backward_of};
use electra_torch::attach;
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};
use tracing::{Dispatch, dispatcher, trace_span};

const fn stage(span: &'static str) -> Stage {
    Stage { span, label: span, products: |_| 0.0 }
}

const STAGES: [Stage; 2] = [stage("generator_backward"), stage("discriminator_backward")];

fn entered(timer: &Timer, name: &str) -> u64 {
    let place = timer.spans.iter().position(|&span| span == name).unwrap();
    timer.now().times.entered[place]
}

/// `3 x`, which says which marks had been passed when its gradient was computed.
fn thrice(x: &Tensor, timer: &Timer, seen: &Arc<Mutex<Vec<[u64; 2]>>>) -> Tensor {
    let y = x.detach() * 3.0;
    let (timer, seen) = (timer.clone(), Arc::clone(seen));
    attach(&y, &[x], move |slope| {
        let passed = ["generator_backward", "discriminator_backward"].map(|n| entered(&timer, n));
        seen.lock().unwrap().push(passed);
        vec![Some(slope * 3.0)]
    });
    y
}

#[test]
fn what_was_computed_first_is_differentiated_last_and_behind_its_mark() {
    let timer = Timer::new(Device::Cpu, &STAGES);
    let gradient = |dispatch: &Dispatch, seen: &Arc<Mutex<Vec<[u64; 2]>>>| {
        let x = Tensor::from_slice(&[0.3f32, 0.7]).set_requires_grad(true);
        dispatcher::with_default(dispatch, || {
            let first = thrice(&x, &timer, seen).sum(Kind::Float);
            let first = backward_of(first, trace_span!("generator_backward"));
            let second = thrice(&x, &timer, seen).square().sum(Kind::Float);
            let second = backward_of(second, trace_span!("discriminator_backward"));
            trace_span!("backward").in_scope(|| (first + second * 0.1).backward());
        });
        Vec::<f32>::try_from(x.grad()).unwrap()
    };
    let seen = Arc::default();
    timer.restart();
    let marked = gradient(&Dispatch::new(timer.clone()), &seen);
    let times = timer.stop();
    assert_eq!(*seen.lock().unwrap(), [[0, 1], [1, 1]]);
    assert!(times.stages.iter().sum::<std::time::Duration>() <= times.whole);

    let seen = Arc::default();
    timer.restart();
    let unmarked = gradient(&Dispatch::none(), &seen);
    assert_eq!(*seen.lock().unwrap(), [[0, 0], [0, 0]], "nobody listens");
    assert_eq!(marked, unmarked);
    // 3 + 0.1 * 2 * 9 x
    for (found, x) in marked.iter().zip([0.3, 0.7]) {
        assert!((found - (3.0 + 1.8 * x)).abs() < 1e-5, "{found}");
    }
}
