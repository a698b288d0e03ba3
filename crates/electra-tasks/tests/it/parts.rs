//! A swapped part is never lost: whatever opens the model without the part refuses it, and has a form with parts.

use crate::{
    device, device_name,
    e2e::{Fixture, config},
    says, texts,
};
use electra_model::{
    Error, LayerContext, Parts, PretrainedNetwork, SelfAttention, SoftmaxAttention, hf::Pretrained,
};
use electra_tasks::{Answer, Kinds, Predictor};
use electra_train::StartFrom;
use std::sync::atomic::AtomicBool;
use tch::Tensor;

/// Softmax attention with the opposite sign. It has the same variables, so that nothing but its name tells them apart.
#[derive(Debug)]
struct Opposite(SoftmaxAttention);

impl SelfAttention for Opposite {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, train: bool) -> Tensor {
        -self.0.forward_t(x_bsh, context, train)
    }
}

fn parts() -> Parts {
    Parts::shipped().with_attention("opposite", |site| Ok(Opposite(SoftmaxAttention::new(site)?)))
}

const REFUSED: [&str; 2] = ["attention = \"opposite\"", "this program has no such part"];

#[test]
fn a_model_with_a_swapped_attention_is_refused_by_all_that_lack_it() {
    let fixture = Fixture::new();
    let (task, config) = (fixture.read_task(), config(&["train.epochs=1"]));
    let run = |finetune: &electra_tasks::Finetune<'_>| {
        finetune.run(&AtomicBool::new(false), &mut |_| {}).map(drop)
    };
    let mut swapped = fixture.finetune(&task, &config, "out");
    swapped.parts = Some(parts());
    run(&swapped).unwrap();

    let model = fixture.path("out/model");
    for folder in [&fixture.path("out"), &model] {
        says(Predictor::open(folder, device_name()).map(drop), &REFUSED);
        let shipped = Parts::shipped();
        says(
            Predictor::open_with(folder, device_name(), &Kinds::default(), &shipped).map(drop),
            &REFUSED,
        );
    }
    let pretrained = Pretrained::read(&model).unwrap();
    says(PretrainedNetwork::new(&pretrained, &Parts::shipped(), device()).map(drop), &REFUSED);
    PretrainedNetwork::new(&pretrained, &parts(), device()).unwrap();

    // Its answers are those of its own attention: with another one under the same name they differ.
    let predictor = |parts: &Parts| {
        Predictor::open_with(&fixture.path("out"), device_name(), &Kinds::default(), parts).unwrap()
    };
    let answers = |parts: &Parts| -> Vec<Answer> {
        predictor(parts).answer(&texts(&["red fox", "green bird sings"])).unwrap()
    };
    let plain = Parts::shipped().with_attention("opposite", SoftmaxAttention::new);
    assert_ne!(answers(&parts()), answers(&plain));

    // Fine-tuned further, and resumed.
    let mut further = fixture.finetune(&task, &config, "further");
    further.model.clone_from(&model);
    says(run(&further), &REFUSED);
    assert!(!fixture.path("further").exists());
    further.parts = Some(parts());
    run(&further).unwrap();
    let mut resumed = fixture.finetune(&task, &config, "out");
    resumed.from = StartFrom::Checkpoint;
    says(run(&resumed), &["the parts of the model changed"]);
    resumed.parts = Some(parts());
    run(&resumed).unwrap();

    // A part that the model does not have is not used silently either.
    let unused = Parts::shipped().with_attention("other", SoftmaxAttention::new);
    let error = PretrainedNetwork::new(&pretrained, &unused, device()).unwrap_err();
    assert!(matches!(error, Error::UnknownPart { .. }), "{error}");
}
