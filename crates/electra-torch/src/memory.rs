//! Settings and statistics of the C library's allocator.

/// Configures glibc to keep the memory of freed tensors for reuse. By default it returns large blocks to the system at
/// once, and every new block costs page faults. Call it once at startup; does nothing with other C libraries.
#[allow(unsafe_code)]
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // By default, blocks of more than 32 MiB are mapped one by one, and unmapped when freed.
        const MAPPED_BLOCKS: libc::c_int = 0;
        const TRIMMED_FROM: libc::c_int = libc::c_int::MAX;
        const ROOM: libc::c_int = 64 << 20;
        // SAFETY: sets parameters of the allocator; a failed call changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, MAPPED_BLOCKS);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIMMED_FROM);
            libc::mallopt(libc::M_TOP_PAD, ROOM);
        }
    }
}

/// Bytes currently allocated with glibc's allocator, including CPU tensors. `None` with other C libraries.
#[allow(unsafe_code)]
pub fn allocated() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: reads statistics of the allocator.
        let info = unsafe { libc::mallinfo2() };
        // In arenas, and in blocks mapped one by one.
        Some((info.uordblks + info.hblkhd) as u64)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}
