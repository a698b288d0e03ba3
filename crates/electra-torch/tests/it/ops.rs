//! Fused layers against the same layers as chains of libtorch's functions: results and every gradient, with the
//! masks that dropout draws, at sizes that are no multiple of a vector, and for each instruction set.

use electra_torch::{
    Instructions, limit_instructions,
    ops::{self, Sequences},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// Of values and gradients of about 1, in 32-bit floats.
const TOLERANCE: f64 = 2e-5;

/// Tests that seed libtorch's generator or choose instructions take turns.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true)
}

/// The factors of a dropout layer that draws first after this seed: 0 and 1 / (1 - p).
fn factors(seed: i64, size: &[i64], p: f64) -> Tensor {
    tch::manual_seed(seed);
    ops::dropout(&Tensor::ones(size, (Kind::Float, Device::Cpu)), p, true)
}

/// Results and the gradients of `inputs` under random weights agree.
#[track_caller]
fn same(inputs: &[&Tensor], fused: &Tensor, plain: &Tensor) {
    same_within(TOLERANCE, inputs, fused, plain);
}

/// The same, up to `tolerance` of the largest number or of 1.
#[track_caller]
fn same_within(tolerance: f64, inputs: &[&Tensor], fused: &Tensor, plain: &Tensor) {
    assert_eq!(fused.size(), plain.size());
    let weights = Tensor::randn(fused.size(), (Kind::Float, Device::Cpu));
    let gradients =
        |y: &Tensor| Tensor::run_backward(&[(y * &weights).sum(Kind::Float)], inputs, false, false);
    let close = |what: &str, a: &Tensor, b: &Tensor| {
        let scale = b.abs().max().double_value(&[]).max(1.0);
        let difference = (a - b).abs().max().double_value(&[]) / scale;
        assert!(difference <= tolerance, "{what} differs by {difference:e}");
    };
    close("the result", fused, plain);
    for (i, (a, b)) in gradients(fused).iter().zip(gradients(plain)).enumerate() {
        close(&format!("gradient {i}"), a, &b);
    }
}

fn everywhere(check: impl Fn()) {
    let _turn = turn();
    for limit in [Instructions::Avx512, Instructions::Avx2, Instructions::Baseline] {
        limit_instructions(limit);
        check();
    }
    limit_instructions(Instructions::Avx512);
}

#[test]
fn the_end_of_a_block_is_the_chain_of_its_parts() {
    everywhere(|| {
        for (rows, width, p) in [(1, 5, 0.0), (7, 37, 0.3), (9, 64, 0.1), (3, 16, 0.0)] {
            tch::manual_seed(rows);
            let size = [rows, width];
            let (x, residual) = (random(&size), random(&size));
            let (gain, shift) = (random(&[width]), random(&[width]));
            let mask = factors(5, &size, p);
            let plain = (&residual + &x * mask).layer_norm(
                [width],
                Some(&gain),
                Some(&shift),
                1e-12,
                false,
            );
            tch::manual_seed(5);
            let fused = ops::add_norm(&x, &residual, &gain, &shift, 1e-12, p, true);
            same(&[&x, &residual, &gain, &shift], &fused, &plain);
        }
    });
}

#[test]
fn gelu_is_the_exact_one() {
    everywhere(|| {
        tch::manual_seed(1);
        let (x, bias) = (random(&[3, 5, 43]), random(&[43]));
        same(&[&x, &bias], &ops::bias_gelu(&x, &bias), &(&x + &bias).gelu("none"));
    });
}

/// Softmax attention over a batch of sequences of one length, as libtorch's functions.
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
fn attention_is_the_chain_of_its_parts() {
    everywhere(|| {
        // More than one block of queries, and fewer positions than a vector has places.
        for (batch, s, heads, d, p) in [(2, 150, 3, 8, 0.2), (3, 7, 1, 4, 0.0), (1, 1, 2, 3, 0.4)] {
            tch::manual_seed(s);
            let qkv = random(&[batch * s, 3 * heads * d]);
            let mask = factors(9, &[batch, heads, s, s], p);
            let plain = plain_attention(&qkv, batch, heads, None, &mask);
            let sequences =
                Arc::new(Sequences::padded(&vec![s as usize; batch as usize], s as usize));
            tch::manual_seed(9);
            let fused = ops::attention(&qkv, &sequences, heads as usize, p, true);
            same(&[&qkv], &fused, &plain);
        }
    });
}

#[test]
fn padding_is_neither_seen_nor_computed_and_packing_changes_nothing() {
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
    same(&[&qkv], &fused, &plain());

    let kept = keep.nonzero().squeeze_dim(-1);
    let packed = Arc::new(Sequences::packed(&lengths, 9));
    let rows = ops::attention(&qkv.index_select(0, &kept), &packed, heads as usize, 0.0, true);
    same(&[&qkv], &rows, &plain().index_select(0, &kept));

    // Rows behind the last sequence are not looked at, and come out as zeros.
    let behind = Tensor::full([2, 3 * 8], f64::NAN, (Kind::Float, Device::Cpu));
    let input = Tensor::cat(&[qkv.index_select(0, &kept), behind], 0);
    let packed = Arc::new(Sequences::packed(&lengths, 11));
    let rows = ops::attention(&input, &packed, heads as usize, 0.0, true);
    let zeros = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
    same(&[&qkv], &rows, &Tensor::cat(&[plain().index_select(0, &kept), zeros], 0));
}

#[test]
fn dropout_has_its_rate_and_scale_and_no_pattern() {
    let _turn = turn();
    let (n, p) = (400_000i64, 0.1);
    let dropped = |seed| {
        let kept = factors(seed, &[n], p);
        let scale = kept.max().double_value(&[]);
        assert!((scale - 1.0 / (1.0 - p)).abs() < 1e-6, "kept elements are scaled by {scale}");
        kept.eq(0.0).to_kind(Kind::Double)
    };
    let (a, b) = (dropped(1), dropped(2));
    assert_eq!(a, dropped(1), "the seed decides");
    // Six deviations of the binomial, for shares of two independent draws of each pair as well.
    let bound = |q: f64| 6.0 * (q * (1.0 - q) / n as f64).sqrt();
    let share = |x: &Tensor| x.mean(Kind::Double).double_value(&[]);
    assert!((share(&a) - p).abs() < bound(p), "{}", share(&a));
    assert!((share(&(&a * &b)) - p * p).abs() < bound(p * p), "keys are independent");
    for lag in [1, 2, 3, 16, 64, 256, 1024, 65_536] {
        let both = a.narrow(0, 0, n - lag) * a.narrow(0, lag, n - lag);
        let both = both.sum(Kind::Double).double_value(&[]) / (n - lag) as f64;
        assert!((both - p * p).abs() < bound(p * p) * 1.1, "places {lag} apart: {both}");
    }
}

#[test]
fn dropout_and_its_gradient_drop_the_same() {
    let _turn = turn();
    let x = random(&[10_001]);
    let mask = factors(4, &[10_001], 0.5);
    tch::manual_seed(4);
    let y = ops::dropout(&x, 0.5, true);
    same(&[&x], &y, &(&x * mask));
    let z = ops::dropout(&x, 0.5, false);
    assert_eq!(z, x, "nothing is dropped outside of training");
}

#[test]
fn a_number_that_is_none_stays_visible() {
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
fn a_vocabulary_is_predicted_as_by_the_chain_of_its_parts() {
    everywhere(|| {
        // One block of the vocabulary, several, and one that is not full.
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
            // The token's interval of the cumulative distribution holds its number, up to rounding.
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
            same(&[&x, &table, &bias], &fused.loss, &losses.sum(Kind::Float));
        }
    });
}

#[test]
fn tokens_of_probability_zero_are_never_drawn() {
    let _turn = turn();
    // Softmax of 0 and -inf-like logits: all weight on tokens 300 and 600, which are in other blocks.
    let bias = Tensor::full([900], -1e9, (Kind::Float, Device::Cpu));
    for token in [300, 600] {
        let _ = bias.narrow(0, token, 1).fill_(0.0);
    }
    let numbers = [0.0f32, 0.25, 0.499_999, 0.500_001, 0.75, 0.999_999_94];
    let zeros = Tensor::zeros([6, 2], (Kind::Float, Device::Cpu));
    let table = Tensor::zeros([900, 2], (Kind::Float, Device::Cpu));
    let labels = Tensor::full([6], 300, (Kind::Int64, Device::Cpu));
    let drawn = ops::predict_tokens(&zeros, &table, &bias, &labels, &Tensor::from_slice(&numbers));
    assert_eq!(Vec::<i64>::try_from(drawn.sampled_p).unwrap(), [300, 300, 300, 600, 600, 600]);
    assert_eq!(drawn.losses_p.mean(Kind::Float).double_value(&[]) as f32, std::f32::consts::LN_2);
}

#[test]
fn adams_update_is_the_one_of_its_formula() {
    everywhere(|| {
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
        for (found, right) in [(&m, new_m), (&v, new_v), (&w, new_w)] {
            let largest = right.abs().max().double_value(&[]);
            let difference = (double(found) - right).abs().max().double_value(&[]) / largest;
            // Of the largest number: a few roundings of 2^-24.
            assert!(difference < 5e-7, "differs by {difference:e}");
        }
    });
}

/// Rounded to bfloat16, as a leaf of 32-bit floats.
fn rounded(x: &Tensor) -> Tensor {
    x.detach().to_kind(Kind::BFloat16).to_kind(Kind::Float).set_requires_grad(true)
}

/// Of what is computed from the same bfloat16 numbers: factors and results are rounded to 8 bits again and again, each
/// time by 2^-9 at most.
const HALF_TOLERANCE: f64 = 8.0 / 512.0;

#[test]
fn gelu_of_bfloat16_is_gelu_of_its_numbers() {
    everywhere(|| {
        tch::manual_seed(1);
        let (x, bias) = (rounded(&random(&[3, 5, 43])), random(&[43]));
        let y = ops::bias_gelu(&x.to_kind(Kind::BFloat16), &bias);
        assert_eq!(y.kind(), Kind::BFloat16);
        same_within(HALF_TOLERANCE, &[&x, &bias], &y, &(&x + &bias).gelu("none"));
    });
}

#[test]
fn attention_over_bfloat16_is_attention_over_its_numbers() {
    everywhere(|| {
        // Odd lengths, one that no tile of rows divides, heads narrower than a vector, and wider than a panel.
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
            same_within(HALF_TOLERANCE, &[&qkv], &fused, &plain);
        }
    });
}

#[test]
fn a_vocabulary_is_predicted_in_bfloat16_as_from_rounded_factors() {
    everywhere(|| {
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
            // Products of bfloat16 numbers are exact in 32 bits: only the order of the sums differs.
            assert!((&fused.losses_p - &losses).abs().max().double_value(&[]) < TOLERANCE);
            assert_eq!(fused.best_p, logits.argmax(-1, false));
            let inputs = [&x, &table, &bias];
            same_within(HALF_TOLERANCE, &inputs, &fused.loss, &losses.sum(Kind::Float));
        }
    });
}

#[test]
fn a_batch_without_a_masked_position_has_no_loss_and_no_gradient() {
    let _turn = turn();
    let (x, table, bias) = (random(&[0, 4]), random(&[300, 4]), random(&[300]));
    let none = Tensor::zeros([0], (Kind::Float, Device::Cpu));
    let labels = none.to_kind(Kind::Int64);
    for kind in [Kind::Float, Kind::BFloat16] {
        // Memory that was used is handed out again: nothing that stands in it is a gradient.
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
