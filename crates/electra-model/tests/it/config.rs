//! Configs: published sizes, FLOPs and memory, and errors that name the key.

use super::{pair, tiny};
use electra_model::{
    Activations, ElectraConfig, EncoderConfig, EncoderSizes, Kernels, NetworkSpec, PartName, Parts,
    Precision, Pretraining,
    flops::{self, Products, Work},
    memory::Memory,
    tensors::variables,
};
use tch::{Device, nn};

/// Parameter counts of the spec's table: discriminator with head, generator with the shared embeddings
/// and head, all unique parameters of joint training.
#[track_caller]
fn check_parameters(config: &ElectraConfig, discriminator: i64, generator: i64, unique: i64) {
    let vs = nn::VarStore::new(Device::Cpu);
    Pretraining::new(&vs.root(), config, &Parts::shipped()).unwrap();
    let all = variables(&vs).unwrap();
    let count = |prefix: &str| -> i64 {
        all.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(_, t)| t.numel() as i64).sum()
    };
    let embeddings = count("discriminator.electra.embeddings.");
    assert_eq!(count("discriminator."), discriminator);
    assert_eq!(count("generator.") + embeddings, generator);
    assert_eq!(count(""), unique);
}

#[test]
fn small_has_the_papers_parameters() {
    check_parameters(&ElectraConfig::small(30_522), 13_549_057, 4_620_026, 14_196_219);
}

#[test]
fn small_plus_plus_has_the_released_models_parameters() {
    check_parameters(&ElectraConfig::small_plus_plus(30_522), 13_549_057, 13_546_682, 23_122_875);
}

#[test]
fn base_has_the_papers_parameters() {
    check_parameters(&ElectraConfig::base(30_522), 109_483_009, 33_740_602, 119_386_427);
}

#[test]
fn large_has_the_papers_parameters() {
    check_parameters(&ElectraConfig::large(30_522), 335_142_913, 51_295_290, 354_655_291);
}

#[track_caller]
fn check_error(change: impl Fn(&mut ElectraConfig), expected: &str) {
    let mut config = tiny();
    change(&mut config);
    assert_eq!(config.validate().unwrap_err().to_string(), expected);
}

#[test]
fn errors_name_the_key_and_the_valid_values() {
    check_error(
        |c| c.discriminator.heads = 5,
        "model.discriminator.hidden = 12: must be divisible by discriminator.heads = 5",
    );
    check_error(|c| generator(c).layers = 0, "model.generator.layers = 0: must be at least 1");
    check_error(|c| c.discriminator.vocab_size = -1, "model.vocab_size = -1: must be at least 1");
    check_error(
        |c| c.discriminator.dropout = 1.0,
        "model.dropout = 1: must be at least 0 and less than 1",
    );
    check_error(
        |c| c.discriminator.initializer.std = f64::NAN,
        "model.initializer.std = NaN: must be greater than 0 and finite",
    );
}

/// Totals that the reference's script prints (spec section 5), to 4 digits.
#[track_caller]
fn check_flops(config: &ElectraConfig, batch: u64, length: u64, steps: f64, expected: f64) {
    let networks = NetworkSpec::electra(config).unwrap();
    let total = flops::train_step(&Parts::shipped(), &networks, batch, length) * steps;
    assert!((total / expected - 1.0).abs() < 5e-5, "{total:e} is not {expected:e}");
}

#[test]
fn flops_equal_the_references() {
    check_flops(&ElectraConfig::small(30_522), 128, 128, 1e6, 1.2937e18);
    check_flops(&ElectraConfig::base(30_522), 256, 512, 766e3, 6.4245e19);
    check_flops(&ElectraConfig::large(30_522), 2048, 512, 400e3, 7.1176e20);
    check_flops(&ElectraConfig::small_plus_plus(30_522), 128, 512, 4e6, 3.5961e19);
}

/// One token of the tiny preset at its length of 16 with a masking rate of 0.2, calculated by hand.
#[test]
fn flops_of_products_match_a_manual_calculation() {
    let tiny = pair(4000, 128, 512, EncoderSizes::new(2, 128, 4), EncoderSizes::new(1, 128, 4));
    let products = |config: &ElectraConfig, work: &Work| {
        let networks = NetworkSpec::electra(config).unwrap();
        networks.map(|network| Products::new(&Parts::shipped(), &network, work))
    };
    let [generator, discriminator] = products(&tiny, &Work::of_token(16, 0.2));
    // A block: 4 * 128^2 + 2 * 128 * 512 = 196,608 weights; scores and weighted sum 2 * 16 * 128 = 4,096. No projection.
    // The generator's head, for the masked fifth: 128^2; the discriminator's 128^2 + 128.
    let block = 2.0 * (196_608.0 + 4_096.0);
    let close =
        |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found}");
    close(generator.network, block + 0.2 * 32_768.0);
    close(generator.vocabulary, 0.2 * 2.0 * 128.0 * 4000.0);
    close(discriminator.network, 2.0 * block + 33_024.0);
    close(generator.step(), 3.0 * (generator.network + generator.vocabulary));

    // docs/performance.md: 0.070 GFLOP a token of Small at 128, 0.668 of Base at 512.
    let step = |config, length| {
        let both = products(&config, &Work::of_token(length, 0.15));
        both.iter().map(Products::step).sum::<f64>() / 1e9
    };
    assert!((step(ElectraConfig::small(30_522), 128) - 0.070).abs() < 0.0005);
    assert!((step(ElectraConfig::base(30_522), 512) - 0.668).abs() < 0.0005);
}

/// One block of each network and one token without predictions, calculated by hand.
#[test]
fn memory_matches_a_manual_calculation() {
    let mut c = pair(1000, 128, 512, EncoderSizes::new(1, 128, 4), EncoderSizes::new(1, 128, 4));
    let token = Work { tokens: 1.0, pairs: 16.0, predictions: 0.0 };
    let memory = |c: &ElectraConfig| {
        Memory::new(&Parts::shipped(), &NetworkSpec::electra(c).unwrap(), 10, &token)
    };
    let saved = |c: &ElectraConfig| memory(c).activations;
    // Both networks: embeddings before LayerNorm, 4 * 128 + 8; a block, 32 * 128 + 8 * 512 + 4 * 4 + 16. The
    // discriminator's head three times 4 * 128; the objective 52.
    assert_eq!(saved(&c), 2.0 * (520.0 + 8224.0) + 1536.0 + 52.0);
    set(&mut c, |network| network.activations = Activations::Recompute);
    // A block's input.
    assert_eq!(saved(&c), 2.0 * (520.0 + 512.0) + 1536.0 + 52.0);
    set(&mut c, |network| network.activations = Activations::Keep);
    set(&mut c, |network| network.precision = Precision::Bf16);
    // 20 * 128 + 4 * 512 + 32; the head's three are 2, 2 and 4 * 128.
    assert_eq!(saved(&c), 2.0 * (520.0 + 4640.0) + 1024.0 + 52.0);
    set(&mut c, |network| network.kernels = Kernels::Plain);
    set(&mut c, |network| network.precision = Precision::F32);
    // 40 * 128 + 8 * 512 + 12 * 4 * 16 + 16, and the dropout mask of the embeddings.
    assert_eq!(saved(&c), 2.0 * (520.0 + 512.0 + 10_000.0) + 1536.0 + 52.0);

    let memory = memory(&c);
    assert_eq!((memory.parameters, memory.gradients, memory.moments), (40.0, 40.0, 80.0));
}

#[test]
fn the_largest_batch_fits_and_a_larger_one_does_not() {
    let mut c = ElectraConfig::small(30_522);
    let sequence = Work::of_token(128, 0.15).times(128.0);
    let parts = Parts::shipped();
    let step = |c: &ElectraConfig, n: u64| {
        let (networks, work) = (NetworkSpec::electra(c).unwrap(), sequence.times(n as f64));
        Memory::new(&parts, &networks, 14_000_000, &work).step()
    };
    let largest = |c: &ElectraConfig, bytes| {
        let networks = NetworkSpec::electra(c).unwrap();
        Memory::largest_batch(&parts, &networks, 14_000_000, &sequence, bytes)
    };
    let kept = largest(&c, 4e9);
    assert!(step(&c, kept) <= 4e9 && step(&c, kept + 1) > 4e9 && kept > 8, "{kept}");
    assert_eq!(largest(&c, 1e6), 0);
    set(&mut c, |network| network.activations = Activations::Recompute);
    let again = largest(&c, 4e9);
    assert!(step(&c, again) <= 4e9 && step(&c, again + 1) > 4e9);
    assert!(again > 2 * kept, "{again} and {kept}");
}

#[test]
fn inference_flops_equal_the_references() {
    for (config, expected) in [
        (ElectraConfig::small(30_522), 3.68e9),
        (ElectraConfig::base(30_522), 2.86e10),
        (ElectraConfig::large(30_522), 8.75e10),
    ] {
        let [_, discriminator] = NetworkSpec::electra(&config).unwrap();
        let found = flops::inference(&Parts::shipped(), &discriminator, 128);
        assert!((found / expected - 1.0).abs() < 2e-3, "{found:e} is not {expected:e}");
    }
}

/// Keys that are missing in files of version 0.1 default to the values that it used.
#[test]
fn a_config_of_version_0_1_is_read_with_its_defaults() {
    let config = ElectraConfig::small(30_522);
    let mut table = serde_json::to_value(&config).unwrap();
    for key in ["activations", "block", "positions"] {
        assert!(table.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    assert_eq!(serde_json::from_value::<ElectraConfig>(table).unwrap(), config);
}

#[test]
fn the_networks_may_differ_in_parts_but_not_in_shared_settings() {
    let mut config = tiny();
    generator(&mut config).block = PartName::new("pre-norm");
    let written = serde_json::to_value(&config).unwrap();
    assert_eq!(written["generator"]["block"]["kind"], "pre-norm");
    assert_eq!(serde_json::from_value::<ElectraConfig>(written).unwrap(), config);
    assert_eq!(config.part_names().last().unwrap(), "generator.block=pre-norm");

    generator(&mut config).dropout = 0.5;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("model.generator") && error.contains("may differ"), "{error}");
}

fn generator(config: &mut ElectraConfig) -> &mut EncoderConfig {
    config.generator.as_mut().unwrap()
}

fn set(config: &mut ElectraConfig, change: impl Fn(&mut EncoderConfig)) {
    config.networks_mut().for_each(change);
}
