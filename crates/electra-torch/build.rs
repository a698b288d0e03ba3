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
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim.cpp");
    if linux {
        // libtorch's threads are OpenMP's; elsewhere `parallel_for` runs on one.
        build.flag("-fopenmp");
    }
    build.compile("electra_torch_shim");
    if linux {
        // The library of that name beside libtorch, which the run path finds first.
        println!("cargo:rustc-link-search=native={}", libtorch.join("lib").display());
        println!("cargo:rustc-link-arg=-l:libgomp.so.1");
        println!("cargo:rustc-link-lib=dylib=gomp");
    }
}
