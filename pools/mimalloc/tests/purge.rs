//! Freed memory is with the system again, which the resident bytes show.

#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

const BYTES: usize = 32 << 20;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

fn rises_by(act: impl FnOnce()) -> usize {
    let before = resident_bytes();
    act();
    resident_bytes().saturating_sub(before)
}

/// Blocks that mimalloc keeps in pages of its own, and one that it maps for itself.
fn allocate_and_free(block_bytes: usize) {
    let blocks: Vec<Vec<u8>> = (0..BYTES / block_bytes).map(|_| vec![1; block_bytes]).collect();
    assert!(resident_bytes() >= BYTES);
    drop(blocks);
}

/// One test, because the delay is one for the process.
#[test]
#[cfg(target_os = "linux")]
fn freed_pages_are_kept_for_the_delay_and_no_longer() {
    assert_eq!(mcpool_mimalloc::set_purge_delay_ms(60_000), 60_000);
    let kept = rises_by(|| allocate_and_free(1 << 20));
    assert!(kept > BYTES / 2, "{kept} B: the delay is not that of mimalloc");
    let kept = rises_by(mcpool_mimalloc::collect);
    assert_eq!(kept, 0);
    assert_eq!(mcpool_mimalloc::set_purge_delay_ms(0), 0);
    for block_bytes in [64 << 10, 200 << 10, 1 << 20, BYTES] {
        let kept = rises_by(|| allocate_and_free(block_bytes));
        assert!(kept < BYTES / 8, "{kept} B are kept of blocks of {block_bytes} B");
    }
}
