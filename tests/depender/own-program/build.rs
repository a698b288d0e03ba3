//! Binaries find the libtorch that they were built with.

fn main() {
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys is a dependency");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
}
