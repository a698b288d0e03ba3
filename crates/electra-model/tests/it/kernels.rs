//! Products in bfloat16, compared with float64 products of rounded operands.

use electra_model::{Compute, Kernels, Precision};
use tch::{Device, Kind, Tensor, nn};

fn rounded(x: &Tensor) -> Tensor {
    x.detach().to_kind(Kind::BFloat16).to_kind(Kind::Double)
}

/// Each value is the exact one, rounded to 8 bits at most twice: within one unit in the last place.
#[track_caller]
fn near(what: &str, found: &Tensor, exact: &Tensor) {
    assert_eq!((found.kind(), found.size()), (Kind::Float, exact.size()), "{what}");
    let bound = exact.abs() * 2f64.powi(-7) + 1e-4;
    assert_eq!((found - exact).abs().le_tensor(&bound).all(), Tensor::from(true), "{what}");
}

#[test]
fn a_dense_layer_in_bfloat16_multiplies_rounded_operands() {
    for kernels in [Kernels::Fused, Kernels::Plain] {
        tch::manual_seed(6);
        let compute = Compute { kernels, precision: Precision::Bf16 };
        let vs = nn::VarStore::new(Device::Cpu);
        let dense = nn::linear(vs.root(), 20, 11, nn::LinearConfig::default());
        let x = Tensor::randn([3, 7, 20], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let slopes = Tensor::randn([3, 7, 11], (Kind::Float, Device::Cpu));
        let (weight, bias) = (&dense.ws, dense.bs.as_ref().unwrap());
        let y = compute.dense(&dense, &x);
        let sum = (&y * &slopes).sum(Kind::Float);
        let gradients = Tensor::run_backward(&[sum], &[&x, weight, bias], false, false);
        let slopes = rounded(&slopes);
        near("result", &y, &(rounded(&x).matmul(&rounded(weight).tr()) + rounded(bias)));
        near("input gradient", &gradients[0], &slopes.matmul(&rounded(weight)));
        let slopes = slopes.view([21, 11]);
        near("weight gradient", &gradients[1], &slopes.tr().matmul(&rounded(&x).view([21, 20])));
        let sums = slopes.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
        near("bias gradient", &gradients[2], &sums);
    }
}

#[test]
fn gelu_outputs_are_rounded_in_bfloat16_and_not_in_float32() {
    let vs = nn::VarStore::new(Device::Cpu);
    let dense = nn::linear(vs.root(), 20, 11, nn::LinearConfig::default());
    let x = Tensor::randn([3, 20], (Kind::Float, Device::Cpu));
    let exact = {
        let [x, weight, bias] =
            [&x, &dense.ws, dense.bs.as_ref().unwrap()].map(|t| t.to_kind(Kind::Double));
        (x.matmul(&weight.tr()) + bias).gelu("none")
    };
    for kernels in [Kernels::Fused, Kernels::Plain] {
        let of = |precision| Compute { kernels, precision }.dense_gelu(&dense, &x);
        let (single, half) = (of(Precision::F32), of(Precision::Bf16));
        assert_eq!((single.kind(), half.kind()), (Kind::Float, Kind::BFloat16));
        assert!((&single - &exact).abs().max().double_value(&[]) < 1e-5);
        // 20 operands of about 1, each rounded by 2^-9, then the rounding of the product and the gelu.
        assert!((&half - &exact).abs().max().double_value(&[]) < 0.05);
    }
}
