//! Kernels: functions compiled for several instruction sets, selected at run time.
//!
//! A kernel is a plain loop over slices that the compiler vectorizes. Each is written once; other CPUs run the baseline.

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets that kernels are compiled for, from lowest to highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// The minimum of the compilation target.
    Baseline,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
}

/// The selected instruction set plus 1; 0 means not yet detected.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// The instruction set that kernels use.
pub fn instructions() -> Instructions {
    match CHOSEN.load(Ordering::Relaxed) {
        1 => Instructions::Baseline,
        2 => Instructions::Avx2,
        3 => Instructions::Avx512,
        _ => limit_instructions(Instructions::Avx512),
    }
}

/// Limits the instruction set of kernels in this process, and returns the one they use. For tests and benchmarks.
pub fn limit_instructions(limit: Instructions) -> Instructions {
    let chosen = best().min(limit);
    CHOSEN.store(chosen as u8 + 1, Ordering::Relaxed);
    chosen
}

fn best() -> Instructions {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => return Instructions::Avx512,
            (true, false) => return Instructions::Avx2,
            _ => {}
        }
    }
    Instructions::Baseline
}

/// Defines a function that is compiled for each of [`Instructions`].
macro_rules! kernel {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        // The compiler vectorizes loops by index over slices that are cut to one length.
        #[allow(unsafe_code, clippy::too_many_arguments, clippy::needless_range_loop)]
        pub(crate) fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match $crate::simd::instructions() {
                    // SAFETY: the CPU has been checked for these instructions.
                    $crate::simd::Instructions::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::simd::Instructions::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::Instructions::Baseline => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use kernel;

/// Number of independent partial sums. Addition is not associative, so the compiler cannot vectorize a single sum.
pub(crate) const LANES: usize = 16;

/// Adds up the lanes pairwise.
#[inline(always)]
pub(crate) fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let mut sums = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Sum of `f(i)` for `i` in `0..n`.
#[inline(always)]
pub(crate) fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    let mut rest = sum_lanes(lanes);
    for i in whole..n {
        rest += f(i);
    }
    rest
}

/// Maximum of the values; negative infinity if there are none. NaN is ignored.
#[inline(always)]
pub(crate) fn max_of(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut blocks = values.chunks_exact(LANES);
    for block in &mut blocks {
        for (max, &value) in lanes.iter_mut().zip(block) {
            *max = if value > *max { value } else { *max };
        }
    }
    lanes.iter().chain(blocks.remainder()).fold(f32::NEG_INFINITY, |max, &value| max.max(value))
}

/// e^x within 2 ulp; 0 below -87.3. NaN stays NaN.
///
/// Source: Cephes, `expf`: x = n ln 2 + r; a polynomial in r, and n added to the exponent.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts; the first has few bits, so that n * LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let inside = x.clamp(-87.336_54, 88.376_26);
    let shifted = inside * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (inside - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let power = (shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits());
    let value = (p * r * r + r + 1.0) * f32::from_bits(power);
    if x < -87.336_54 { 0.0 } else { value }
}

/// The error function within 4e-7.
///
/// Source: the `f32` rational approximation of Eigen and XLA, on [-4, 4].
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const ALPHA: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const BETA: [f32; 5] =
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474_7e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let polynomial = |coefficients: &[f32]| {
        let mut p = coefficients[0];
        for &coefficient in &coefficients[1..] {
            p = p * square + coefficient;
        }
        p
    };
    x * polynomial(&ALPHA) / polynomial(&BETA)
}

#[cfg(test)]
mod tests;
