//! Compiles the C++ shim against the same libtorch that `torch-sys` links to, however that found it (`LIBTORCH`,
//! `LIBTORCH_USE_PYTORCH`, `/usr/lib`), and passes its folder on to direct dependents as `DEP_ELECTRA_TORCH_LIBTORCH_LIB`.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        return;
    }
    let lib = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let lib = lib.expect("torch-sys sets its folder of libraries on Linux and macOS");
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let root = root.or_else(|| Some(lib.parent()?.to_owned())).unwrap_or_default();
    let include = root.join("include");
    if !include.join("ATen").is_dir() {
        panic!(
            "no libtorch headers in {}: run `cargo xtask setup` in the repository, or set LIBTORCH to the folder of libtorch",
            include.display()
        );
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("src/shim.cpp")
        .compile("electra_torch_shim");
    println!("cargo:libtorch_lib={}", lib.display());
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // Link the OpenMP library next to libtorch: another copy would have its own thread pool.
        let names = fs::read_dir(&lib).into_iter().flatten().flatten();
        let found = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name.starts_with("libgomp") && name.contains(".so"));
        let name = found.unwrap_or_else(|| "libgomp.so.1".to_owned());
        println!("cargo:rustc-link-search=native={}", lib.display());
        println!("cargo:rustc-link-lib=dylib:+verbatim={name}");
    }
}
