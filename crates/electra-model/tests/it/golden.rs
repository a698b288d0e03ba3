//! Golden values from transformers (`tests/python/gen_networks.py`): hidden states and logits.

use super::{fixtures, input, pair};
use electra_model::{
    EncoderSizes, Kernels, PaddingMask, PartName, Parts, Pretraining, tensors, tensors::variables,
};
use std::collections::HashMap;
use tch::{Device, Tensor, nn, no_grad};

/// Absolute tolerance for hidden states and logits, whose magnitudes are 1 to 10, in float32.
const TOLERANCE: f64 = 1e-5;

fn sizes(values: &serde_json::Value) -> EncoderSizes {
    let [layers, hidden, heads, intermediate] = [0, 1, 2, 3].map(|i| values[i].as_i64().unwrap());
    EncoderSizes { layers, hidden, heads, intermediate }
}

fn check(case: &str) {
    for kernels in [Kernels::Fused, Kernels::Plain, Kernels::Gpu] {
        check_kernels(case, kernels);
    }
}

fn check_kernels(case: &str, kernels: Kernels) {
    let path = fixtures().join(format!("networks-{case}.safetensors"));
    let all: HashMap<String, Tensor> = tensors::read(&path).unwrap().into_iter().collect();
    let facts = &tensors::metadata(&path).unwrap()["facts"];
    let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
    let size = |name: &str| facts[name].as_i64().unwrap();
    let mut config = pair(
        size("vocab"),
        size("embedding"),
        size("positions"),
        sizes(&facts["discriminator"]),
        sizes(&facts["generator"]),
    );
    config.networks_mut().for_each(|network| network.kernels = kernels);
    config.sharing = match facts["sharing"].as_str().unwrap() {
        "tied" => PartName::new("tied"),
        "untied" => PartName::new("untied"),
        other => panic!("sharing {other}"),
    };

    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &config, &Parts::shipped()).unwrap();
    let weights: tensors::Named = all
        .iter()
        .filter_map(|(name, t)| {
            Some((name.strip_prefix("weights/")?.to_owned(), t.shallow_clone()))
        })
        .collect();
    tensors::load(&path, &weights, &variables(&vs).unwrap(), |_| false, |_| false).unwrap();

    let mut worst: f64 = 0.0;
    for batch in ["padded", "single", "full"] {
        let get = |name: &str| &all[&format!("{batch}/{name}")];
        let mask = PaddingMask::new(get("attention_mask"));
        let real = mask.keep_bs().ne(0.0);
        // Outputs at padding are not compared.
        let mut compare = |name: &str, found: &Tensor, per_token: bool| {
            let difference = (found - get(name)).abs();
            let difference = if per_token { difference.index(&[Some(&real)]) } else { difference };
            let largest = difference.max().double_value(&[]);
            assert!(largest <= TOLERANCE, "{case} {batch} {name}: differs by {largest:e}");
            worst = worst.max(largest);
        };
        no_grad(|| {
            let segments = get("token_type_ids");
            let encoders = [
                ("generator", networks.generator.encoder(), get("generator_ids")),
                ("discriminator", networks.discriminator.encoder(), get("corrupted")),
            ];
            for (network, encoder, ids) in encoders {
                let states = encoder.hidden_states(&input(ids, segments, &mask), false);
                let expected = (0..).take_while(|layer| {
                    all.contains_key(&format!("{batch}/{network}_hidden/{layer}"))
                });
                assert_eq!(expected.count(), states.len());
                for (layer, state) in states.iter().enumerate() {
                    compare(&format!("{network}_hidden/{layer}"), state, true);
                }
            }
            let positions = get("masked_positions");
            let logits = networks.generator.forward_t(
                &input(get("generator_ids"), segments, &mask),
                positions,
                false,
            );
            compare("generator_logits", &logits, false);
            let logits =
                networks.discriminator.forward_t(&input(get("corrupted"), segments, &mask), false);
            compare("discriminator_logits", &logits, true);
        });
    }
    eprintln!("{case}, {kernels:?}: hidden states and logits differ by at most {worst:.2e}");
}

#[test]
fn networks_with_a_projection_match_transformers() {
    check("projected");
}

#[test]
fn networks_without_a_projection_match_transformers() {
    check("unprojected");
}

#[test]
fn networks_with_untied_embeddings_match_transformers() {
    check("untied");
}
