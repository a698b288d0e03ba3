//! Compiles the C++ shim against the libtorch that `torch-sys` links.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        return;
    }
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        panic!("LIBTORCH is not set: run `cargo xtask setup` in the repository first");
    };
    let include = libtorch.join("include");
    if !include.join("ATen").is_dir() {
        panic!("no libtorch headers in {}: run `cargo xtask setup` first", include.display());
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim.cpp")
        .compile("electra_torch_shim");
}
