//! Compiles the C++ shim against the same libtorch that `torch-sys` links to.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        return;
    }
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        panic!("LIBTORCH is not set: run `cargo xtask setup` in the repository");
    };
    let include = libtorch.join("include");
    if !include.join("ATen").is_dir() {
        panic!("no libtorch headers in {}: run `cargo xtask setup`", include.display());
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim.cpp")
        .compile("electra_torch_shim");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // Link the OpenMP library next to libtorch: another copy would have its own thread pool.
        let lib = libtorch.join("lib");
        let names = fs::read_dir(&lib).into_iter().flatten().flatten();
        let found = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name.starts_with("libgomp") && name.contains(".so"));
        let name = found.unwrap_or_else(|| "libgomp.so.1".to_owned());
        println!("cargo:rustc-link-search=native={}", lib.display());
        println!("cargo:rustc-link-lib=dylib:+verbatim={name}");
    }
}
