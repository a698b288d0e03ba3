//! Memory of the machine and the process, if known.

use std::{fs, process::Command};

/// Peak resident memory of this process in bytes, without GPU memory.
pub fn peak_memory() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:")
}

/// Resident memory of this process in bytes.
pub fn resident_memory() -> Option<u64> {
    kib("/proc/self/status", "VmRSS:")
}

/// Memory of the machine in bytes, or the limit of its container if that is lower.
pub fn memory() -> Option<u64> {
    let machine = kib("/proc/meminfo", "MemTotal:");
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, container) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Memory of a CUDA device in bytes, from `nvidia-smi`.
pub fn cuda_memory(index: usize) -> Option<u64> {
    let index = index.to_string();
    let arguments = ["--query-gpu=memory.total", "--format=csv,noheader,nounits", "-i", &index];
    let output = Command::new("nvidia-smi").args(arguments).output().ok()?;
    let mib: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(mib << 20)
}

/// The value of `key` in a file of the system, converted from kB to bytes.
fn kib(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
