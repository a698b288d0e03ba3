//! Networks: variable names, sharing, masks, shapes, custom parts.

use super::{input, tiny};
use electra_model::{
    Discriminator, ElectraConfig, Embeddings, EncoderConfig, EncoderInput, Error, FeedForward,
    Generator, Kernels, LayerContext, PaddingMask, PartName, Parts, Precision, Pretraining, Row,
    SelfAttention, Site, tensors::variables,
};
use tch::{Device, Kind, Tensor, nn, no_grad};

fn build(config: &ElectraConfig) -> (nn::VarStore, Pretraining) {
    tch::manual_seed(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let networks = Pretraining::new(&vs.root(), config, &Parts::shipped()).unwrap();
    (vs, networks)
}

fn ids(batch: i64, length: i64) -> Tensor {
    Tensor::randint(50, [batch, length], (Kind::Int64, Device::Cpu))
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn variables_have_hugging_faces_names() {
    let (vs, _) = build(&tiny());
    let names: Vec<_> = variables(&vs).unwrap().into_iter().map(|(name, _)| name).collect();
    let expected = include_str!("../fixtures/var_names.txt");
    assert_eq!(names, expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_duplicate_variable_name_is_an_error() {
    let vs = nn::VarStore::new(Device::Cpu);
    let root = vs.root();
    let _ = (root.zeros("weight", &[1]), root.zeros("weight", &[1]));
    assert!(matches!(variables(&vs), Err(Error::DuplicateVariable(name)) if name == "weight"));
}

#[test]
fn the_generator_trains_the_discriminators_embeddings_only_if_they_are_tied() {
    for (sharing, shared) in [(PartName::new("tied"), true), (PartName::new("untied"), false)] {
        let (vs, networks) = build(&ElectraConfig { sharing, ..tiny() });
        let (x, mask) = (ids(3, 7), PaddingMask::without_padding(3, 7, Device::Cpu));
        let positions = Tensor::from_slice(&[1i64, 9]);
        let logits =
            networks.generator.forward_t(&input(&x, &x.zeros_like(), &mask), &positions, false);
        assert_eq!(logits.size(), [2, 50]);
        logits.square().sum(Kind::Float).backward();
        let name = "discriminator.electra.embeddings.word_embeddings.weight";
        assert_eq!(vs.variables()[name].grad().defined(), shared);
    }
}

#[test]
fn padding_does_not_change_logits_and_a_batch_of_one_keeps_its_dimension() {
    let (_, networks) = build(&tiny());
    let (x, segments) = (ids(3, 9), ids(3, 9).remainder(2));
    let forward = |x: &Tensor, segments: &Tensor, keep: &[i64]| {
        let mask = PaddingMask::new(&Tensor::from_slice(keep).view(x.size().as_slice()));
        no_grad(|| networks.discriminator.forward_t(&input(x, segments, &mask), false))
    };
    // Row 1 has 5 tokens, row 2 has none.
    let keep: Vec<i64> = (0..27).map(|i| i64::from(i < 14)).collect();
    let logits = forward(&x, &segments, &keep);
    assert_eq!(logits.size(), [3, 9]);
    assert!(
        logits.isfinite().all().int64_value(&[]) == 1,
        "a row that is all padding gives finite logits"
    );

    let short = forward(
        &x.narrow(0, 1, 1).narrow(1, 0, 5),
        &segments.narrow(0, 1, 1).narrow(1, 0, 5),
        &[1; 5],
    );
    assert_eq!(short.size(), [1, 5]);
    assert!(distance(&short, &logits.narrow(0, 1, 1).narrow(1, 0, 5)) < 1e-5);

    let other_pads = x.slice(1, 5, 9, 1).remainder(49) + 1;
    let changed = Tensor::cat(&[x.narrow(1, 0, 5), other_pads], 1);
    let again = forward(&changed, &segments, &keep);
    assert!(distance(&again.narrow(0, 1, 1).narrow(1, 0, 5), &short) < 1e-5);
}

#[test]
fn an_attention_mask_of_ones_is_the_same_as_no_padding() {
    let (_, networks) = build(&tiny());
    let (x, ones) = (ids(2, 6), Tensor::ones([2, 6], (Kind::Int64, Device::Cpu)));
    let run = |mask: &PaddingMask| {
        networks.discriminator.forward_t(&input(&x, &x.zeros_like(), mask), false)
    };
    let (with, without) =
        (run(&PaddingMask::new(&ones)), run(&PaddingMask::without_padding(2, 6, Device::Cpu)));
    assert_eq!(distance(&with, &without), 0.0);
}

#[test]
fn segments_positions_and_dropout_change_the_logits() {
    let (_, networks) = build(&tiny());
    let (x, mask) = (ids(1, 8), PaddingMask::without_padding(1, 8, Device::Cpu));
    let run = |x: &Tensor, segments: &Tensor, train| {
        networks.discriminator.forward_t(&input(x, segments, &mask), train)
    };
    let plain = run(&x, &x.zeros_like(), false);
    assert!(distance(&plain, &run(&x, &x.ones_like(), false)) > 1e-6);
    assert!(distance(&plain, &run(&x.flip([1]), &x.zeros_like(), false).flip([1])) > 1e-6);
    assert!(distance(&plain, &run(&x, &x.zeros_like(), true)) > 1e-6);
}

/// An attention that only scales each position, by a factor that depends on the layer.
#[derive(Debug)]
struct Scale(Tensor);

impl SelfAttention for Scale {
    fn forward_t(&self, x_bsh: &Tensor, _context: &LayerContext<'_>, _train: bool) -> Tensor {
        x_bsh * &self.0
    }
}

#[test]
fn a_custom_part_replaces_the_built_in_one() {
    let parts = Parts::shipped().with_attention("scale", |site: &Site<'_>| {
        Ok(Scale(site.path.ones("scale", &[1]) * site.layer as f64))
    });
    let config = parts.applied_to(&tiny());
    assert_eq!(config.part_names()[0], "attention=scale");
    let vs = nn::VarStore::new(Device::Cpu);
    let network = Pretraining::new(&vs.root(), &config, &parts).unwrap();
    let names: Vec<_> = variables(&vs).unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"discriminator.electra.encoder.layer.1.attention.scale".to_owned()));
    assert!(!names.iter().any(|name| name.contains("query")));
    let (x, mask) = (ids(2, 3), PaddingMask::without_padding(2, 3, Device::Cpu));
    assert_eq!(
        network.discriminator.forward_t(&input(&x, &x.zeros_like(), &mask), false).size(),
        [2, 3]
    );
}

/// An attention and a feed-forward layer that only support float32.
#[derive(Debug)]
struct Single;

impl SelfAttention for Single {
    fn forward_t(&self, x_bsh: &Tensor, _context: &LayerContext<'_>, _train: bool) -> Tensor {
        assert_eq!(x_bsh.kind(), Kind::Float);
        x_bsh * 2.0
    }
}

impl FeedForward for Single {
    fn forward_t(&self, x_bsh: &Tensor, _train: bool) -> Tensor {
        assert_eq!(x_bsh.kind(), Kind::Float);
        x_bsh * 2.0
    }
}

/// With [`Kernels::Gpu`] activations between products are bfloat16, but the inputs of custom parts and all outputs are
/// float32.
#[test]
fn custom_parts_and_outputs_are_float32() {
    let mut config = tiny();
    for network in config.networks_mut() {
        (network.kernels, network.precision) = (Kernels::Gpu, Precision::Bf16);
    }
    let shipped = Parts::shipped();
    let custom = shipped
        .clone()
        .with_attention("single", |_: &Site<'_>| Ok(Single))
        .with_feed_forward("single", |_: &Site<'_>| Ok(Single));
    for parts in [shipped, custom] {
        let vs = nn::VarStore::new(Device::Cpu);
        let config = parts.applied_to(&config);
        let networks = Pretraining::new(&vs.root(), &config, &parts).unwrap();
        let (x, mask) = (ids(2, 3), PaddingMask::without_padding(2, 3, Device::Cpu));
        let segments = x.zeros_like();
        let mut found =
            networks.discriminator.encoder().hidden_states(&input(&x, &segments, &mask), true);
        found.push(networks.discriminator.forward_t(&input(&x, &segments, &mask), true));
        let positions = Tensor::from_slice(&[1i64, 4]);
        found.push(networks.generator.forward_t(&input(&x, &segments, &mask), &positions, true));
        for tensor in found {
            assert_eq!(tensor.kind(), Kind::Float);
            assert!(tensor.isfinite().all().int64_value(&[]) == 1);
        }
    }
}

/// Word embeddings only.
#[derive(Debug)]
struct Words(Tensor);

impl Embeddings for Words {
    fn forward_t(&self, ids_bs: &Tensor, _: &Tensor, _: bool) -> Tensor {
        Tensor::embedding(&self.0, ids_bs, -1, false, false)
    }
    fn token_table(&self) -> Tensor {
        self.0.shallow_clone()
    }
    fn named_tensors(&self) -> Vec<(String, Tensor)> {
        vec![("words".to_owned(), self.0.shallow_clone())]
    }
}

#[test]
fn custom_embeddings_are_shared_like_the_built_in_ones() {
    for (sharing, expected) in [
        (PartName::new("tied"), &["discriminator.electra.embeddings.words"][..]),
        (
            PartName::new("untied"),
            &["discriminator.electra.embeddings.words", "generator.electra.embeddings.words"],
        ),
    ] {
        let parts = Parts::shipped().with_embeddings("words", |site: &Site<'_>| {
            let size = [site.config.vocab_size, site.config.embedding_size];
            Ok(Words(site.path.randn("words", &size, 0.0, 1.0)))
        });
        let config = parts.applied_to(&ElectraConfig { sharing, ..tiny() });
        assert_eq!(config.part_names()[2], "embeddings=words");
        let vs = nn::VarStore::new(Device::Cpu);
        let networks = Pretraining::new(&vs.root(), &config, &parts).unwrap();
        let names: Vec<_> = variables(&vs).unwrap().into_iter().map(|(name, _)| name).collect();
        let embeddings: Vec<_> =
            names.iter().filter(|name| name.contains("electra.embeddings.")).collect();
        assert_eq!(embeddings, expected);
        // The generator uses and trains the embeddings that the policy gives it.
        let (x, mask) = (ids(2, 3), PaddingMask::without_padding(2, 3, Device::Cpu));
        let hidden =
            networks.generator.encoder().forward_t(&input(&x, &x.zeros_like(), &mask), false);
        hidden.square().sum(Kind::Float).backward();
        let trained = expected.last().copied().unwrap();
        assert!(vs.variables()[trained].grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
        let (g, d) = (networks.generator.encoder(), networks.discriminator.encoder());
        let same = g.embeddings().token_table() == d.embeddings().token_table();
        assert_eq!(same, expected.len() == 1);
    }
}

#[test]
fn the_last_of_all_hidden_states_is_the_encoders_output() {
    let config = tiny();
    let vs = nn::VarStore::new(Device::Cpu);
    let (root, encoder, parts) = (vs.root(), config.discriminator.clone(), Parts::shipped());
    let model = Discriminator::from_config(&root, &encoder, &parts).unwrap();
    let (x, mask) = (ids(2, 5), PaddingMask::without_padding(2, 5, Device::Cpu));
    let states = model.encoder().hidden_states(&input(&x, &x.zeros_like(), &mask), false);
    assert_eq!(states.len(), 3);
    let last = model.encoder().forward_t(&input(&x, &x.zeros_like(), &mask), false);
    assert_eq!(distance(&states[2], &last), 0.0);
}

/// Rows of an embedding table beyond the vocabulary are neither predicted nor trained; the others have the same logits.
#[test]
fn padding_of_the_table_is_not_predicted() {
    let padded = tiny().discriminator;
    let network = |tokens| {
        let vs = nn::VarStore::new(Device::Cpu);
        let config = EncoderConfig { tokens, ..padded.clone() };
        let network = Generator::from_config(&vs.root(), &config, &Parts::shipped()).unwrap();
        (vs, network)
    };
    let row = Row { ids: &[2, 7, 41, 3], segment_b_start: 4 };
    let input = EncoderInput::from_rows(&[row], 0, Device::Cpu);
    let positions_p = Tensor::from_slice(&[1i64, 2]);
    let ((all_vs, all), (mut vs, own)) = (network(None), network(Some(42)));
    // Not by a seed: other tests draw from the same generator.
    vs.copy(&all_vs).unwrap();
    let logits = |network: &Generator| network.forward_t(&input, &positions_p, false);
    assert_eq!((logits(&all).size(), logits(&own).size()), (vec![2, 50], vec![2, 42]));
    assert!(distance(&logits(&own), &logits(&all).narrow(1, 0, 42)) <= 1e-6);
    assert_eq!(own.head().bias().size(), [42]);

    logits(&own).logsumexp([1i64].as_slice(), false).sum(tch::Kind::Float).backward();
    let variables = vs.variables();
    for name in ["electra.embeddings.word_embeddings.weight", "generator_lm_head.bias"] {
        let gradient = variables[name].grad();
        assert!(gradient.narrow(0, 0, 42).abs().max().double_value(&[]) > 0.0, "{name}");
        assert_eq!(gradient.narrow(0, 42, 8).abs().max().double_value(&[]), 0.0, "{name}");
    }
    let more = EncoderConfig { tokens: Some(51), ..padded };
    let message = more.validate("").unwrap_err().to_string();
    assert_eq!(message, "model.vocab_size = 50: must be at least 51, the number of tokens");
}
