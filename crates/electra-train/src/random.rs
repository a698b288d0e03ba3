//! Seeds for libtorch's random generator: dropout and initial weights depend on a run's seed and the step only.

/// A step number that no update has, used as `mix(seed, INITIAL_WEIGHTS)` to seed the initial weights.
pub const INITIAL_WEIGHTS: u64 = u64::MAX - 1;

/// A seed for libtorch from a run's seed and a step (SplitMix64's finaliser).
pub fn mix(seed: u64, step: u64) -> i64 {
    let mut z = seed ^ step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).cast_signed()
}
