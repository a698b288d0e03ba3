//! Backward marks: their order, and that they do not change gradients.

use super::Timer;
use crate::objective::{Stage, mark_backward};
use electra_torch::attach;
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};
use tracing::{Dispatch, dispatcher, trace_span};

const fn stage(span: &'static str) -> Stage {
    Stage { span, label: span, products: |_| 0.0 }
}

const STAGES: [Stage; 2] = [stage("generator_backward"), stage("discriminator_backward")];

fn entered(timer: &Timer, name: &str) -> u64 {
    let index = timer.spans.iter().position(|&span| span == name).unwrap();
    timer.synchronized().times.entered[index]
}

/// `3 x`; records the marks that were passed before its backward pass.
fn triple(x: &Tensor, timer: &Timer, record: &Arc<Mutex<Vec<[u64; 2]>>>) -> Tensor {
    let y = x.detach() * 3.0;
    let (timer, record) = (timer.clone(), Arc::clone(record));
    attach(&y, &[x], move |gradient| {
        let passed = ["generator_backward", "discriminator_backward"].map(|n| entered(&timer, n));
        record.lock().unwrap().push(passed);
        vec![Some(gradient * 3.0)]
    });
    y
}

#[test]
fn backward_passes_run_in_reverse_order_and_after_their_marks() {
    let timer = Timer::new(Device::Cpu, &STAGES);
    let gradient = |dispatch: &Dispatch, record: &Arc<Mutex<Vec<[u64; 2]>>>| {
        let x = Tensor::from_slice(&[0.3f32, 0.7]).set_requires_grad(true);
        dispatcher::with_default(dispatch, || {
            let first = triple(&x, &timer, record).sum(Kind::Float);
            let first = mark_backward(first, trace_span!("generator_backward"));
            let second = triple(&x, &timer, record).square().sum(Kind::Float);
            let second = mark_backward(second, trace_span!("discriminator_backward"));
            trace_span!("backward").in_scope(|| (first + second * 0.1).backward());
        });
        Vec::<f32>::try_from(x.grad()).unwrap()
    };
    let record = Arc::default();
    timer.restart();
    let marked = gradient(&Dispatch::new(timer.clone()), &record);
    let times = timer.stop();
    assert_eq!(*record.lock().unwrap(), [[0, 1], [1, 1]]);
    assert!(times.stages.iter().sum::<std::time::Duration>() <= times.whole);

    let record = Arc::default();
    timer.restart();
    let unmarked = gradient(&Dispatch::none(), &record);
    assert_eq!(*record.lock().unwrap(), [[0, 0], [0, 0]], "no subscriber");
    assert_eq!(marked, unmarked);
    // 3 + 0.1 * 2 * 9 x
    for (found, x) in marked.iter().zip([0.3, 0.7]) {
        assert!((found - (3.0 + 1.8 * x)).abs() < 1e-5, "{found}");
    }
}
