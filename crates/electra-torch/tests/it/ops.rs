//! Fused layers equal the same layers built from libtorch functions: results and all gradients, with the same dropout
//! masks, at sizes that are not multiples of a vector, and for each instruction set.

use electra_torch::{
    Instructions, limit_instructions,
    ops::{self, Sequences},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// For values and gradients of about 1 in `f32`.
const TOLERANCE: f64 = 2e-5;

/// A lock for tests that seed libtorch's generator or select instructions.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

/// The factors (0 or 1 / (1 - p)) of the first dropout layer after this seed.
fn factors(seed: i64, size: &[i64], p: f64) -> Tensor {
    tch::manual_seed(seed);
    ops::dropout(&Tensor::ones(size, (Kind::Float, Device::Cpu)), p, true)
}

/// Asserts that the results and the gradients of `inputs`, for a random gradient of the result, are equal.
#[track_caller]
fn assert_same(inputs: &[&Tensor], fused: &Tensor, plain: &Tensor) {
    assert_same_within(TOLERANCE, inputs, fused, plain);
}

/// The same with a tolerance relative to the largest value, or to 1.
#[track_caller]
fn assert_same_within(tolerance: f64, inputs: &[&Tensor], fused: &Tensor, plain: &Tensor) {
    assert_eq!(fused.size(), plain.size());
    let weights = Tensor::randn(fused.size(), (Kind::Float, Device::Cpu));
    let gradients =
        |y: &Tensor| Tensor::run_backward(&[(y * &weights).sum(Kind::Float)], inputs, false, false);
    let assert_close = |what: &str, a: &Tensor, b: &Tensor| {
        let scale = b.abs().max().double_value(&[]).max(1.0);
        let difference = (a - b).abs().max().double_value(&[]) / scale;
        assert!(difference <= tolerance, "{what} differs by {difference:e}");
    };
    assert_close("the result", fused, plain);
    for (i, (a, b)) in gradients(fused).iter().zip(gradients(plain)).enumerate() {
        assert_close(&format!("gradient {i}"), a, &b);
    }
}

fn for_each_instruction_set(check: impl Fn()) {
    let _turn = turn();
    for limit in [Instructions::Avx512, Instructions::Avx2, Instructions::Baseline] {
        limit_instructions(limit);
        check();
    }
    limit_instructions(Instructions::Avx512);
}

#[test]
fn add_norm_equals_libtorch() {
    for_each_instruction_set(|| {
        for (rows, width, p) in [(1, 5, 0.0), (7, 37, 0.3), (9, 64, 0.1), (3, 16, 0.0)] {
            tch::manual_seed(rows);
            let size = [rows, width];
            let (x, residual) = (random(&size), random(&size));
            let (weight, bias) = (random(&[width]), random(&[width]));
            let mask = factors(5, &size, p);
            let plain = (&residual + &x * mask).layer_norm(
                [width],
                Some(&weight),
                Some(&bias),
                1e-12,
                false,
            );
            tch::manual_seed(5);
            let fused = ops::add_norm(&x, &residual, &weight, &bias, 1e-12, p, true);
            assert_same(&[&x, &residual, &weight, &bias], &fused, &plain);
        }
    });
}

#[test]
fn bias_gelu_equals_libtorch() {
    for_each_instruction_set(|| {
        tch::manual_seed(1);
        let (x, bias) = (random(&[3, 5, 43]), random(&[43]));
        assert_same(&[&x, &bias], &ops::bias_gelu(&x, &bias), &(&x + &bias).gelu("none"));
    });
}

/// Softmax attention over a batch of sequences of one length, built from libtorch functions.
fn plain_attention(
    qkv: &Tensor,
    batch: i64,
    heads: i64,
    keep: Option<&Tensor>,
    mask: &Tensor,
) -> Tensor {
    let (rows, width) = (qkv.size()[0], qkv.size()[1] / 3);
    let (s, d) = (rows / batch, width / heads);
    let parts = qkv.chunk(3, -1);
    let split = |x: &Tensor| x.view([batch, s, heads, d]).transpose(1, 2);
    let (q, k, v) = (split(&parts[0]), split(&parts[1]), split(&parts[2]));
    let mut scores = q.matmul(&k.transpose(-2, -1)) / (d as f64).sqrt();
    if let Some(keep) = keep {
        scores += (keep - 1.0).view([batch, 1, 1, s]) * 1e9;
    }
    let weights = scores.softmax(-1, None::<Kind>) * mask;
    weights.matmul(&v).transpose(1, 2).reshape([rows, width])
}

#[test]
fn attention_equals_libtorch() {
    for_each_instruction_set(|| {
        // More than one block of queries, and fewer positions than vector lanes.
        for (batch, s, heads, d, p) in [(2, 150, 3, 8, 0.2), (3, 7, 1, 4, 0.0), (1, 1, 2, 3, 0.4)] {
            tch::manual_seed(s);
            let qkv = random(&[batch * s, 3 * heads * d]);
            let mask = factors(9, &[batch, heads, s, s], p);
            let plain = plain_attention(&qkv, batch, heads, None, &mask);
            let sequences =
                Arc::new(Sequences::padded(&vec![s as usize; batch as usize], s as usize));
            tch::manual_seed(9);
            let fused = ops::attention(&qkv, &sequences, heads as usize, p, true);
            assert_same(&[&qkv], &fused, &plain);
        }
    });
}

#[test]
fn attention_skips_padding_and_packing_changes_nothing() {
    let _turn = turn();
    tch::manual_seed(3);
    let (lengths, s, heads) = ([5usize, 1, 3], 5i64, 2i64);
    let qkv = random(&[3 * s, 3 * 8]);
    let keep = Tensor::from_slice(&[1f32, 1., 1., 1., 1., 1., 0., 0., 0., 0., 1., 1., 1., 0., 0.]);
    let ones = Tensor::ones([3, heads, s, s], (Kind::Float, Device::Cpu));
    let plain = || {
        let keep_s = keep.view([3, s]);
        plain_attention(&qkv, 3, heads, Some(&keep_s), &ones) * keep.unsqueeze(-1)
    };
    let padded = Arc::new(Sequences::padded(&lengths, s as usize));
    let fused = ops::attention(&qkv, &padded, heads as usize, 0.0, true);
    assert_same(&[&qkv], &fused, &plain());

    let kept = keep.nonzero().squeeze_dim(-1);
    let packed = Arc::new(Sequences::packed(&lengths, 9));
    let rows = ops::attention(&qkv.index_select(0, &kept), &packed, heads as usize, 0.0, true);
    assert_same(&[&qkv], &rows, &plain().index_select(0, &kept));

    // Rows after the last sequence are not read; their outputs are zeros.
    let padding = Tensor::full([2, 3 * 8], f64::NAN, (Kind::Float, Device::Cpu));
    let input = Tensor::cat(&[qkv.index_select(0, &kept), padding], 0);
    let packed = Arc::new(Sequences::packed(&lengths, 11));
    let rows = ops::attention(&input, &packed, heads as usize, 0.0, true);
    let zeros = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
    assert_same(&[&qkv], &rows, &Tensor::cat(&[plain().index_select(0, &kept), zeros], 0));
}

#[test]
fn dropout_has_its_rate_and_scale_and_no_correlations() {
    let _turn = turn();
    let (n, p) = (400_000i64, 0.1);
    let dropped = |seed| {
        let kept = factors(seed, &[n], p);
        let scale = kept.max().double_value(&[]);
        assert!((scale - 1.0 / (1.0 - p)).abs() < 1e-6, "kept elements are scaled by {scale}");
        kept.eq(0.0).to_kind(Kind::Double)
    };
    let (a, b) = (dropped(1), dropped(2));
    assert_eq!(a, dropped(1), "the seed determines the mask");
    // Six standard deviations of the binomial.
    let bound = |q: f64| 6.0 * (q * (1.0 - q) / n as f64).sqrt();
    let share = |x: &Tensor| x.mean(Kind::Double).double_value(&[]);
    assert!((share(&a) - p).abs() < bound(p), "{}", share(&a));
    assert!((share(&(&a * &b)) - p * p).abs() < bound(p * p), "keys are independent");
    for lag in [1, 2, 3, 16, 64, 256, 1024, 65_536] {
        let both = a.narrow(0, 0, n - lag) * a.narrow(0, lag, n - lag);
        let both = both.sum(Kind::Double).double_value(&[]) / (n - lag) as f64;
        assert!((both - p * p).abs() < bound(p * p) * 1.1, "lag {lag}: {both}");
    }
}

#[test]
fn dropout_and_its_gradient_drop_the_same_elements() {
    let _turn = turn();
    let x = random(&[10_001]);
    let mask = factors(4, &[10_001], 0.5);
    tch::manual_seed(4);
    let y = ops::dropout(&x, 0.5, true);
    assert_same(&[&x], &y, &(&x * mask));
    let z = ops::dropout(&x, 0.5, false);
    assert_eq!(z, x, "nothing is dropped in evaluation mode");
}

#[test]
fn nan_propagates() {
    let _turn = turn();
    let nan = Tensor::from_slice(&[1.0, f32::NAN, 2.0]).view([1, 3]);
    let one = Tensor::ones([3], (Kind::Float, Device::Cpu));
    let y = ops::add_norm(&nan, &nan, &one, &one, 1e-12, 0.0, false);
    assert!(y.isnan().all().int64_value(&[]) == 1);
    assert!(ops::bias_gelu(&nan, &one).double_value(&[0, 1]).is_nan());
    let qkv = Tensor::full([2, 3], f64::NAN, (Kind::Float, Device::Cpu));
    let y = ops::attention(&qkv, &Arc::new(Sequences::packed(&[2], 2)), 1, 0.0, false);
    assert!(y.isnan().all().int64_value(&[]) == 1);
}

#[test]
fn predict_tokens_equals_libtorch() {
    for_each_instruction_set(|| {
        // One block of the vocabulary, several, and a partial one.
        for (p, e, v) in [(1, 3, 5), (7, 16, 256), (23, 8, 700)] {
            tch::manual_seed(v);
            let (x, table, bias) = (random(&[p, e]), random(&[v, e]), random(&[v]));
            let labels = Tensor::randint(v, [p], (Kind::Int64, Device::Cpu));
            let uniforms = Tensor::rand([p], (Kind::Float, Device::Cpu));
            let fused = ops::predict_tokens(&x, &table, &bias, &labels, &uniforms);
            let logits = x.linear(&table, Some(&bias));
            let none = None::<&Tensor>;
            let losses = logits.cross_entropy_loss(&labels, none, tch::Reduction::None, -100, 0.0);
            assert!((&fused.losses_p - &losses).abs().max().double_value(&[]) < TOLERANCE);
            assert_eq!(fused.best_p, logits.argmax(-1, false));
            // The token's interval in the cumulative distribution contains the uniform number, up to rounding.
            let ends = logits
                .detach()
                .to_kind(Kind::Double)
                .softmax(-1, Kind::Double)
                .cumsum(-1, Kind::Double);
            let end = ends.gather(1, &fused.sampled_p.unsqueeze(-1), false).squeeze_dim(-1);
            let before = (&fused.sampled_p - 1).clamp_min(0);
            let start = ends.gather(1, &before.unsqueeze(-1), false).squeeze_dim(-1)
                * fused.sampled_p.gt(0).to_kind(Kind::Double);
            assert_eq!(uniforms.lt_tensor(&(end + 1e-6)).all(), Tensor::from(true));
            assert_eq!(uniforms.gt_tensor(&(start - 1e-6)).all(), Tensor::from(true));
            assert_same(&[&x, &table, &bias], &fused.loss, &losses.sum(Kind::Float));
        }
    });
}

#[test]
fn tokens_of_probability_zero_are_never_sampled() {
    let _turn = turn();
    // Logits of 0 and -1e9: all probability is on tokens 300 and 600, which are in different blocks.
    let bias = Tensor::full([900], -1e9, (Kind::Float, Device::Cpu));
    for token in [300, 600] {
        let _ = bias.narrow(0, token, 1).fill_(0.0);
    }
    let numbers = [0.0f32, 0.25, 0.499_999, 0.500_001, 0.75, 0.999_999_94];
    let zeros = Tensor::zeros([6, 2], (Kind::Float, Device::Cpu));
    let table = Tensor::zeros([900, 2], (Kind::Float, Device::Cpu));
    let labels = Tensor::full([6], 300, (Kind::Int64, Device::Cpu));
    let found = ops::predict_tokens(&zeros, &table, &bias, &labels, &Tensor::from_slice(&numbers));
    assert_eq!(Vec::<i64>::try_from(found.sampled_p).unwrap(), [300, 300, 300, 600, 600, 600]);
    assert_eq!(found.losses_p.mean(Kind::Float).double_value(&[]) as f32, std::f32::consts::LN_2);
}

#[test]
fn adam_follows_its_formula() {
    for_each_instruction_set(|| {
        tch::manual_seed(8);
        let n = 10_007i64;
        let vector = || Tensor::randn([n], (Kind::Float, Device::Cpu));
        let (mut w, g, mut m, mut v) = (vector(), vector(), vector(), vector().square());
        let step = ops::AdamStep {
            rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            decay: 0.1,
            scale: 0.5,
        };
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let scaled = double(&g) * 0.5;
        let new_m = double(&m) * 0.9 + &scaled * 0.1;
        let new_v = double(&v) * 0.999 + &scaled * &scaled * 0.001;
        let new_w = double(&w) * (1.0 - 0.001) - &new_m / (new_v.sqrt() + 1e-6) * 0.01;
        ops::adam(&mut w, &g, &mut m, &mut v, &step);
        for (found, expected) in [(&m, new_m), (&v, new_v), (&w, new_w)] {
            let largest = expected.abs().max().double_value(&[]);
            let difference = (double(found) - expected).abs().max().double_value(&[]) / largest;
            // A few roundings of 2^-24, relative to the largest value.
            assert!(difference < 5e-7, "differs by {difference:e}");
        }
    });
}

/// Rounds to bfloat16; the result is an `f32` leaf.
fn rounded(x: &Tensor) -> Tensor {
    x.detach().to_kind(Kind::BFloat16).to_kind(Kind::Float).set_requires_grad(true)
}

/// Tolerance of bfloat16 computations on the same inputs: factors and results are rounded several times, each time by at
/// most 2^-9.
const HALF_TOLERANCE: f64 = 8.0 / 512.0;

#[test]
fn bias_gelu_in_bfloat16_equals_libtorch() {
    for_each_instruction_set(|| {
        tch::manual_seed(1);
        let (x, bias) = (rounded(&random(&[3, 5, 43])), random(&[43]));
        let y = ops::bias_gelu(&x.to_kind(Kind::BFloat16), &bias);
        assert_eq!(y.kind(), Kind::BFloat16);
        assert_same_within(HALF_TOLERANCE, &[&x, &bias], &y, &(&x + &bias).gelu("none"));
    });
}

#[test]
fn attention_in_bfloat16_equals_libtorch() {
    for_each_instruction_set(|| {
        // Odd lengths, one that is not a multiple of a tile, heads narrower than a vector and wider than a panel.
        let sizes =
            [(2, 150, 3, 8, 0.2), (3, 7, 1, 4, 0.0), (1, 1, 2, 3, 0.4), (1, 33, 1, 70, 0.1)];
        for (batch, s, heads, d, p) in sizes {
            tch::manual_seed(s);
            let qkv = rounded(&random(&[batch * s, 3 * heads * d]));
            let mask = factors(9, &[batch, heads, s, s], p);
            let plain = plain_attention(&qkv, batch, heads, None, &mask);
            let sequences =
                Arc::new(Sequences::padded(&vec![s as usize; batch as usize], s as usize));
            tch::manual_seed(9);
            let half = qkv.to_kind(Kind::BFloat16);
            let fused = ops::attention(&half, &sequences, heads as usize, p, true);
            assert_eq!(fused.kind(), Kind::BFloat16);
            assert_same_within(HALF_TOLERANCE, &[&qkv], &fused, &plain);
        }
    });
}

#[test]
fn predict_tokens_in_bfloat16_equals_libtorch_with_rounded_factors() {
    for_each_instruction_set(|| {
        for (p, e, v) in [(1, 3, 5), (7, 16, 256), (23, 9, 700), (150, 64, 300)] {
            tch::manual_seed(v);
            let (x, table) = (rounded(&random(&[p, e])), rounded(&random(&[v, e])));
            let bias = random(&[v]);
            let labels = Tensor::randint(v, [p], (Kind::Int64, Device::Cpu));
            let uniforms = Tensor::rand([p], (Kind::Float, Device::Cpu));
            let half = x.to_kind(Kind::BFloat16);
            let fused = ops::predict_tokens(&half, &table, &bias, &labels, &uniforms);
            let logits = x.linear(&table, Some(&bias));
            let none = None::<&Tensor>;
            let losses = logits.cross_entropy_loss(&labels, none, tch::Reduction::None, -100, 0.0);
            // Products of bfloat16 numbers are exact in `f32`: only the order of the sums differs.
            assert!((&fused.losses_p - &losses).abs().max().double_value(&[]) < TOLERANCE);
            assert_eq!(fused.best_p, logits.argmax(-1, false));
            let inputs = [&x, &table, &bias];
            assert_same_within(HALF_TOLERANCE, &inputs, &fused.loss, &losses.sum(Kind::Float));
        }
    });
}

#[test]
fn a_batch_without_masked_positions_has_zero_loss_and_gradients() {
    let _turn = turn();
    let (x, table, bias) = (random(&[0, 4]), random(&[300, 4]), random(&[300]));
    let none = Tensor::zeros([0], (Kind::Float, Device::Cpu));
    let labels = none.to_kind(Kind::Int64);
    for kind in [Kind::Float, Kind::BFloat16] {
        // Freed memory is reused: its old values must not show up as gradients.
        drop(Tensor::full([300, 4], 7.0, (Kind::Float, Device::Cpu)));
        let fused = ops::predict_tokens(&x.to_kind(kind), &table, &bias, &labels, &none);
        assert_eq!(fused.loss.double_value(&[]), 0.0);
        assert_eq!(fused.sampled_p.numel(), 0);
        let gradients = Tensor::run_backward(&[&fused.loss], &[&x, &table, &bias], false, false);
        assert_eq!(gradients[0].size(), [0, 4]);
        for gradient in &gradients[1..] {
            assert_eq!(gradient.abs().max().double_value(&[]), 0.0, "{kind:?}");
        }
    }
}
