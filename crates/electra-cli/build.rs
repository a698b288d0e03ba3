//! Gives the binary the absolute path of the libtorch that it was built with, so that it starts from any folder.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Not set with the feature doc-only.
    let Some(lib) = env::var_os("DEP_ELECTRA_TORCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return;
    };
    // Without links, which may be of a checkout that is removed later.
    let lib = fs::canonicalize(&lib).unwrap_or(lib);
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{}", lib.display());
}
