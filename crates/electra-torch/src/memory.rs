//! The C library's allocator: told to keep what it has, and asked what it gave.

/// Has freed tensors' memory stay with the process, for the next ones: the C library otherwise gives large blocks
/// back to the system at once, and every new one is paid for by page faults. Call it once, at the start; it does
/// nothing where the C library is not glibc.
#[allow(unsafe_code)]
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // Blocks of more than 32 MiB would be mapped one by one, and unmapped when freed.
        const MAPPED_BLOCKS: libc::c_int = 0;
        const TRIMMED_FROM: libc::c_int = libc::c_int::MAX;
        const ROOM: libc::c_int = 64 << 20;
        // SAFETY: sets numbers of the allocator; a refusal changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, MAPPED_BLOCKS);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIMMED_FROM);
            libc::mallopt(libc::M_TOP_PAD, ROOM);
        }
    }
}

/// Bytes that the C library's allocator has given out and not got back, those of CPU tensors among them; `None` where
/// the C library is not glibc.
#[allow(unsafe_code)]
pub fn allocated() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: reads numbers of the allocator.
        let info = unsafe { libc::mallinfo2() };
        // Of its arenas, and what it has mapped by itself.
        Some((info.uordblks + info.hblkhd) as u64)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}
