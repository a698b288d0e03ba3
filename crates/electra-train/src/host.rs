//! What the machine has, where it tells.

use std::{fs, process::Command};

/// Peak resident memory of this process in bytes since it began. What a GPU holds is not in it.
pub fn peak_memory() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:")
}

/// Resident memory of this process in bytes.
pub fn resident_memory() -> Option<u64> {
    kib("/proc/self/status", "VmRSS:")
}

/// Memory of the machine in bytes, or what its container may have of it.
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
    let asked = ["--query-gpu=memory.total", "--format=csv,noheader,nounits", "-i", &index];
    let said = Command::new("nvidia-smi").args(asked).output().ok()?;
    let mib: u64 = String::from_utf8(said.stdout).ok()?.trim().parse().ok()?;
    Some(mib << 20)
}

/// A line of one of the system's files, in bytes.
fn kib(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
