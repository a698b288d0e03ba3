//! For the tests of crates on this one.

use std::{env, sync::LazyLock};
use tch::Device;

/// The name of the device that tests run on: `ELECTRA_TEST_DEVICE`, or `cpu`.
pub fn device_name() -> &'static str {
    static NAME: LazyLock<String> =
        LazyLock::new(|| env::var("ELECTRA_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned()));
    &NAME
}

/// The device that tests run on.
///
/// # Panics
/// If there is no such device.
pub fn device() -> Device {
    crate::device(device_name()).unwrap_or_else(|error| panic!("ELECTRA_TEST_DEVICE: {error}"))
}

/// The override of configs for the device that tests run on: `train.device=NAME`.
pub fn train_device() -> &'static str {
    static OVERRIDE: LazyLock<String> = LazyLock::new(|| format!("train.device={}", device_name()));
    &OVERRIDE
}
