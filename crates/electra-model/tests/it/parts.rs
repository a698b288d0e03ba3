//! Seams: blocks, shared position tables, and part names in configs.

use super::{input, tiny};
use electra_model::{
    Activations, Discriminator, ElectraConfig, EncoderConfig, Error, Kernels, LayerContext,
    PaddingMask, PartName, Parts, Positions, PretrainedNetwork, Pretraining, SelfAttention, Site,
    SoftmaxAttention,
    hf::{self, Architecture, Config, Pretrained},
    tensors::variables,
};
use tch::{Device, Kind, Tensor, nn, no_grad};

fn ids(batch: i64, length: i64) -> Tensor {
    Tensor::randint(50, [batch, length], (Kind::Int64, Device::Cpu))
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn pre_norm(kernels: Kernels) -> EncoderConfig {
    EncoderConfig {
        block: PartName::new("pre-norm"),
        kernels,
        dropout: 0.0,
        ..tiny().discriminator
    }
}

/// `LayerNorm(x)` by its formula.
fn normalized(x: &Tensor, weights: &dyn Fn(&str) -> Tensor, name: &str) -> Tensor {
    let mean = x.mean_dim([-1i64].as_slice(), true, Kind::Float);
    let variance = (x - &mean).square().mean_dim([-1i64].as_slice(), true, Kind::Float);
    let scaled = (x - mean) / (variance + 1e-12).sqrt();
    scaled * weights(&format!("{name}.weight")) + weights(&format!("{name}.bias"))
}

/// Xiong et al. 2020, figure 1 (b): `x + sub_layer(LayerNorm(x))` twice per layer, and one LayerNorm at the end, computed
/// here by formula with one attention head, for all implementations.
#[test]
fn a_pre_norm_encoder_matches_its_formula() {
    for kernels in [Kernels::Plain, Kernels::Fused, Kernels::Gpu] {
        let config = EncoderConfig { heads: 1, layers: 1, embedding_size: 12, ..pre_norm(kernels) };
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap();
        let all = vs.variables();
        // LayerNorms that are not the identity.
        for (name, tensor) in &all {
            if name.contains("LayerNorm") {
                let _ = no_grad(|| tensor.shallow_clone().uniform_(0.5, 1.5));
            }
        }
        let (x, mask) = (ids(2, 5), PaddingMask::from_lengths(&[5, 3], 5, Device::Cpu));
        let states =
            no_grad(|| network.encoder().hidden_states(&input(&x, &x.zeros_like(), &mask), false));

        let weights = |name: &str| all[&format!("electra.encoder.{name}")].shallow_clone();
        let layer = |name: &str| weights(&format!("layer.0.{name}"));
        let dense = |x: &Tensor, name: &str| {
            x.linear(&layer(&format!("{name}.weight")), Some(&layer(&format!("{name}.bias"))))
        };
        let x_bsh = &states[0];
        let expected = no_grad(|| {
            let y = normalized(x_bsh, &layer, "attention.output.LayerNorm");
            let part = |name: &str| dense(&y, &format!("attention.self.{name}"));
            let scores = part("query").matmul(&part("key").transpose(-2, -1)) / 12f64.sqrt();
            let bias = (mask.keep_bs().unsqueeze(1) - 1.0) * 10_000.0;
            let heads = (scores + bias).softmax(-1, Kind::Float).matmul(&part("value"));
            let x1 = x_bsh + dense(&heads, "attention.output.dense");
            let y = normalized(&x1, &layer, "output.LayerNorm");
            let mlp = dense(&dense(&y, "intermediate.dense").gelu("none"), "output.dense");
            normalized(&(x1 + mlp), &weights, "final_LayerNorm")
        });
        let last =
            no_grad(|| network.encoder().forward_t(&input(&x, &x.zeros_like(), &mask), false));
        let real = mask.keep_bs().unsqueeze(-1);
        assert!(distance(&(&last * &real), &(&expected * &real)) < 1e-5, "{kernels:?}");
        assert!(distance(&(&states[1] * &real), &(expected * real)) < 1e-5, "{kernels:?}");
    }
}

/// Pre-norm and post-norm networks have equal tensor names, so the config must record the part; `transformers` must reject
/// the folder.
#[test]
fn an_exported_folder_records_its_parts_and_is_built_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = pre_norm(Kernels::Fused);
    let vs = nn::VarStore::new(Device::Cpu);
    let network = Discriminator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap();
    let config = Config::new(Architecture::ElectraForPreTraining, config, 0);
    hf::write(dir.path(), &config, &variables(&vs).unwrap()).unwrap();
    let json = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["model_type"], "electra_custom");
    assert_eq!(json["hidden_act"], "electra_custom");
    assert_eq!(json["parts"]["block"], "pre-norm");

    let read = Pretrained::read(dir.path()).unwrap();
    let loaded = PretrainedNetwork::new(&read, &Parts::shipped(), Device::Cpu).unwrap();
    let (x, mask) = (ids(2, 5), PaddingMask::without_padding(2, 5, Device::Cpu));
    let batch = input(&x, &x.zeros_like(), &mask);
    let (a, b) =
        (network.encoder().forward_t(&batch, false), loaded.encoder().forward_t(&batch, false));
    assert_eq!(distance(&a, &b), 0.0);
}

/// Attention weights that depend only on a table of distances, which the encoder computes once for all layers.
#[derive(Debug)]
struct Biased;

impl SelfAttention for Biased {
    fn forward_t(&self, x_bsh: &Tensor, context: &LayerContext<'_>, _train: bool) -> Tensor {
        context.tables[0].softmax(-1, Kind::Float).matmul(x_bsh)
    }
}

/// A learned bias for each distance, passed through a function, as DeBERTa's passes through a LayerNorm.
#[derive(Debug)]
struct Distances(Tensor);

impl Positions for Distances {
    fn tables(&self, length: i64, _train: bool) -> Vec<Tensor> {
        let at_s = Tensor::arange(length, (Kind::Int64, Device::Cpu));
        let distance_ss = (at_s.unsqueeze(0) - at_s.unsqueeze(1)).abs();
        vec![self.0.tanh().index_select(0, &distance_ss.flatten(0, 1)).view([length, length])]
    }
}

fn with_distances() -> Parts {
    Parts::shipped().with_attention("biased", |_: &Site<'_>| Ok(Biased)).with_positions(
        "distances",
        |site: &Site<'_>| {
            Ok(Distances(site.path.randn("distances", &[site.config.max_positions], 0.0, 1.0)))
        },
    )
}

/// The table is computed once and used by every layer; its gradient is the sum over layers, also with recomputation.
#[test]
fn a_shared_position_table_has_one_variable_and_one_gradient() {
    let (parts, name) = (with_distances(), "electra.encoder.distances");
    let build = |activations| {
        let mut config = parts.applied_to_encoder(&tiny().discriminator);
        (config.activations, config.dropout) = (activations, 0.0);
        let vs = nn::VarStore::new(Device::Cpu);
        let network = Discriminator::from_config(&vs.root(), &config, &parts).unwrap();
        (vs, network)
    };
    let gradient = |(vs, network): &(nn::VarStore, Discriminator)| {
        let x = Tensor::arange(10, (Kind::Int64, Device::Cpu)).view([2, 5]);
        let mask = PaddingMask::without_padding(2, 5, Device::Cpu);
        let logits = network.forward_t(&input(&x, &x.zeros_like(), &mask), true);
        logits.square().sum(Kind::Float).backward();
        vs.variables()[name].grad()
    };
    let (kept, recomputed) = (build(Activations::Keep), build(Activations::Recompute));
    let from = kept.0.variables();
    assert!(from.contains_key(name));
    for (name, mut to) in recomputed.0.variables() {
        no_grad(|| to.copy_(&from[&name]));
    }
    let (kept, recomputed) = (gradient(&kept), gradient(&recomputed));
    let largest = kept.abs().max().double_value(&[]);
    assert!(largest > 0.0);
    // The order of summation over layers differs.
    let difference = distance(&kept, &recomputed);
    assert!(difference < 1e-5 * largest, "{difference} of {largest}");
}

#[test]
fn errors_name_an_unknown_or_unused_part() {
    let vs = nn::VarStore::new(Device::Cpu);
    let unknown = EncoderConfig { attention: PartName::new("mean-mix"), ..tiny().discriminator };
    let error = Discriminator::from_config(&vs.root(), &unknown, &Parts::shipped()).unwrap_err();
    assert!(matches!(error, Error::UnknownPart { seam: "attention", .. }), "{error}");
    assert!(error.to_string().contains("Parts::with_attention(\"mean-mix\""), "{error}");

    let vs = nn::VarStore::new(Device::Cpu);
    let error = Discriminator::from_config(&vs.root(), &tiny().discriminator, &with_distances())
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnusedPart { seam: "attention", found, .. } if found == "softmax")
    );

    // It is enough if one of the two networks uses the part.
    let parts = with_distances();
    let config =
        ElectraConfig { discriminator: parts.applied_to_encoder(&tiny().discriminator), ..tiny() };
    let vs = nn::VarStore::new(Device::Cpu);
    Pretraining::new(&vs.root(), &config, &parts).unwrap();
    let without = ElectraConfig { generator: None, ..tiny() };
    let error = Pretraining::new(&vs.root(), &without, &Parts::shipped()).unwrap_err();
    assert!(error.to_string().contains("[model.generator]"), "{error}");
}

/// Su et al. 2021 (RoFormer), section 3.2: queries and keys that are turned by an angle in proportion to their positions have
/// scores that depend on the distance, `q_i R(j - i) k_j`; computed here for one head of two numbers. And a bias of -10000
/// outside of the diagonal leaves only the value of the position itself.
#[test]
fn attention_with_other_scores_matches_its_formula() {
    const ANGLE: f64 = 0.7;
    let config =
        EncoderConfig { hidden: 2, heads: 1, attention_dropout: 0.0, ..tiny().discriminator };
    let vs = nn::VarStore::new(Device::Cpu);
    let attention = SoftmaxAttention::new(&Site::new(&vs.root(), &config)).unwrap();
    let all = vs.variables();
    for tensor in all.values() {
        let _ = no_grad(|| tensor.shallow_clone().uniform_(-1.0, 1.0));
    }
    let dense = |x: &Tensor, name: &str| {
        x.linear(&all[&format!("{name}.weight")], Some(&all[&format!("{name}.bias")]))
    };
    let x_bsh = Tensor::rand([1, 4, 2], (Kind::Float, Device::Cpu));
    let part = |name: &str| dense(&x_bsh, &format!("self.{name}")).squeeze_dim(0);
    let (q, k, v) = (part("query"), part("key"), part("value"));
    let number = |x: &Tensor, i: i64, j: i64| x.double_value(&[i, j]);
    let score = |i: i64, j: i64| {
        let (sin, cos) = (ANGLE * (j - i) as f64).sin_cos();
        let turned = [
            cos * number(&k, j, 0) - sin * number(&k, j, 1),
            sin * number(&k, j, 0) + cos * number(&k, j, 1),
        ];
        ((number(&q, i, 0) * turned[0] + number(&q, i, 1) * turned[1]) / 2f64.sqrt()) as f32
    };
    let scores: Vec<f32> = (0..16).map(|cell| score(cell / 4, cell % 4)).collect();
    let weights_ss = Tensor::from_slice(&scores).view([4, 4]).softmax(-1, Kind::Float);
    let expected = dense(&weights_ss.matmul(&v), "output.dense");

    let rotate = |x_bnsd: &Tensor| {
        let angles_s = Tensor::arange(x_bnsd.size()[2], (Kind::Float, Device::Cpu)) * ANGLE;
        let (first, second) = (x_bnsd.select(-1, 0), x_bnsd.select(-1, 1));
        let turned = [
            &first * angles_s.cos() - &second * angles_s.sin(),
            &first * angles_s.sin() + &second * angles_s.cos(),
        ];
        Tensor::stack(&turned, -1)
    };
    let rotated = attention.with_scores(&x_bsh, &rotate, None, false);
    assert!(distance(&rotated.squeeze_dim(0), &expected) < 1e-5);

    let own_ss = (Tensor::eye(4, (Kind::Float, Device::Cpu)) - 1.0) * 10_000.0;
    let own = attention.with_scores(&x_bsh, &Tensor::shallow_clone, Some(&own_ss), false);
    assert!(distance(&own.squeeze_dim(0), &dense(&v, "output.dense")) < 1e-5);
}

/// The hidden states times a number that the config has.
#[derive(Debug)]
struct Times(f64);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Factor {
    factor: f64,
}

impl SelfAttention for Times {
    fn forward_t(&self, x_bsh: &Tensor, _context: &LayerContext<'_>, _train: bool) -> Tensor {
        x_bsh * self.0
    }
}

#[test]
fn the_settings_of_a_part_are_read_by_it_and_saved_with_the_network() {
    let parts = || {
        let build = |site: &Site<'_>| Ok(Times(site.settings::<Factor>()?.factor));
        Parts::shipped().with_attention("times", build).by_name()
    };
    let with = |settings: &str| {
        let mut pair = tiny();
        for network in pair.networks_mut() {
            network.custom = serde_json::from_str(settings).unwrap();
        }
        pair.discriminator.attention = PartName::new("times");
        pair
    };
    let pair = with(r#"{"times": {"factor": 0.5}}"#);
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), &pair, &parts()).unwrap();
    assert_eq!(pair.part_names()[0], "attention=times { factor = 0.5 }");
    assert!(pair.part_names().contains(&"generator.attention=softmax".to_owned()));

    // A folder has the settings of its own parts.
    let dir = tempfile::tempdir().unwrap();
    let state = |role: &str, encoder| hf::state_dict(&vs, role, encoder).unwrap();
    let (d, g) = (networks.discriminator.encoder(), networks.generator.encoder());
    let (d_dir, g_dir) = (dir.path().join("d"), dir.path().join("g"));
    for (folder, role, encoder, head) in [
        (&d_dir, "discriminator", d, Architecture::ElectraForPreTraining),
        (&g_dir, "generator", g, Architecture::ElectraForMaskedLM),
    ] {
        std::fs::create_dir(folder).unwrap();
        let config = Config::new(head, encoder.config().clone(), 0);
        hf::write(folder, &config, &state(role, encoder)).unwrap();
    }
    let text = |dir: &std::path::Path| std::fs::read_to_string(dir.join("config.json")).unwrap();
    assert!(!text(&g_dir).contains("custom"));
    let read = Pretrained::read(&d_dir).unwrap();
    assert_eq!(read.config.encoder.custom, pair.discriminator.custom);
    let loaded = PretrainedNetwork::new(&read, &parts(), Device::Cpu).unwrap();
    let (x, mask) = (ids(2, 5), PaddingMask::without_padding(2, 5, Device::Cpu));
    let batch = input(&x, &x.zeros_like(), &mask);
    let (a, b) = (d.forward_t(&batch, false), loaded.encoder().forward_t(&batch, false));
    assert_eq!(distance(&a, &b), 0.0);

    // Wrong settings are named.
    for (settings, words) in [
        ("{}", "model.custom.times = {}: missing field `factor`"),
        (r#"{"times": {"factr": 1.0}}"#, "did you mean \"factor\"?"),
        (r#"{"times": {"factor": "a"}}"#, "invalid type: string \"a\", expected f64"),
        (
            r#"{"times": {"factor": 1.0}, "tims": {"x": 1}}"#,
            "model.custom.tims = { x = 1 }: must have the name",
        ),
    ] {
        let vs = nn::VarStore::new(Device::Cpu);
        let error =
            Pretraining::new(&vs.root(), &with(settings), &parts()).unwrap_err().to_string();
        assert!(error.contains(words), "{words} is not in {error}");
    }
    let strange = text(&d_dir).replace("\"times\": {", "\"time\": {");
    std::fs::write(d_dir.join("config.json"), strange).unwrap();
    let error = Pretrained::read(&d_dir).unwrap_err().to_string();
    assert!(error.contains("custom.time: `parts` has no part of this name"), "{error}");
}
