//! Memory of the machine and the process, if known. Only Linux tells.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Peak resident memory of this process in bytes, without GPU memory.
pub fn peak_memory() -> Option<u64> {
    status("VmHWM:")
}

/// Resident memory of this process in bytes.
pub fn resident_memory() -> Option<u64> {
    status("VmRSS:")
}

/// Memory of the machine in bytes, or the limit of its container if that is lower.
pub fn memory() -> Option<u64> {
    let machine = kib("/proc/meminfo", "MemTotal:");
    machine.into_iter().chain(containers().into_iter().map(|container| container.limit)).min()
}

/// Memory in bytes that this process can have in addition: what is available on the machine, in its containers, and within
/// `ulimit -v`.
pub fn available_memory() -> Option<u64> {
    let machine = kib("/proc/meminfo", "MemAvailable:");
    let containers = containers().into_iter();
    let containers = containers.map(|container| container.limit.saturating_sub(container.used));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let address_space = address_space(&limits).zip(status("VmSize:"));
    let address_space = address_space.map(|(limit, used)| limit.saturating_sub(used));
    machine.into_iter().chain(containers).chain(address_space).min()
}

/// Memory of a CUDA device in bytes, from `nvidia-smi`.
pub fn cuda_memory(index: usize) -> Option<u64> {
    let index = index.to_string();
    let arguments = ["--query-gpu=memory.total", "--format=csv,noheader,nounits", "-i", &index];
    let output = Command::new("nvidia-smi").args(arguments).output().ok()?;
    let mib: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(mib << 20)
}

/// A control group with a limit of memory.
struct Container {
    limit: u64,
    /// Without cached files, which are given up when memory is short.
    used: u64,
}

/// The control groups of this process that limit its memory.
fn containers() -> Vec<Container> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let number = |path: PathBuf| read(path)?.trim().parse::<u64>().ok();
    let container = |Group { folder, files }: Group| {
        let [limit, used, cached] = files;
        let stat = read(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse().ok());
        let used = number(folder.join(used)).unwrap_or(0).saturating_sub(cached.unwrap_or(0));
        Some(Container { limit: number(folder.join(limit))?, used })
    };
    memory_groups(&groups).into_iter().filter_map(container).collect()
}

/// The folder of a control group, and the names of its limit, its usage, and the cached files in `memory.stat`.
struct Group {
    folder: PathBuf,
    files: [&'static str; 3],
}

/// The control groups for memory, and those around them, in the text of `/proc/self/cgroup`; versions 1 and 2.
fn memory_groups(text: &str) -> Vec<Group> {
    const V1: [&str; 3] =
        ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "];
    const V2: [&str; 3] = ["memory.max", "memory.current", "inactive_file "];
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", V2),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", V1)
            }
            _ => continue,
        };
        // Within a container, the path may be that outside of it, and then only the root exists.
        for above in Path::new(path).ancestors() {
            let below = above.strip_prefix("/").unwrap_or(above);
            groups.push(Group { folder: Path::new(root).join(below), files });
        }
    }
    groups
}

/// The soft limit of `ulimit -v` in the text of `/proc/self/limits`; `None` if there is none.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A size of this process.
fn status(key: &str) -> Option<u64> {
    kib("/proc/self/status", key)
}

/// The value of `key` in a file of the system, converted from kB to bytes.
fn kib(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_control_groups_and_of_the_shell_are_found() {
        let folders = |text: &str| -> Vec<PathBuf> {
            memory_groups(text).into_iter().map(|group| group.folder).collect()
        };
        let v2 = ["/sys/fs/cgroup/user.slice/x", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"];
        assert_eq!(folders("0::/user.slice/x\n"), v2.map(PathBuf::from));
        let v1 = ["/sys/fs/cgroup/memory/docker", "/sys/fs/cgroup/memory"];
        assert_eq!(folders("8:pids:/\n4:cpu,memory:/docker\n"), v1.map(PathBuf::from));
        let limits = |soft| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax address space  {soft}  unlimited  bytes\n"
            )
        };
        assert_eq!(address_space(&limits("4096000000")), Some(4_096_000_000));
        assert_eq!(address_space(&limits("unlimited")), None);
    }

    #[test]
    fn available_memory_is_at_most_that_of_the_machine() {
        if let (Some(available), Some(memory)) = (available_memory(), memory()) {
            assert!(0 < available && available <= memory, "{available} of {memory}");
        }
    }
}
