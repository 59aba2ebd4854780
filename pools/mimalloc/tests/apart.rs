//! What lasts does not keep the pages of what passes, which the resident bytes show.

use std::sync::mpsc::sync_channel;

#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

const BLOCK_BYTES: usize = 200;
const BYTES: usize = 32 << 20;
/// One block in so many lasts: a few in each page of 64 KiB.
const LASTS: usize = 64;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// A burst of blocks of one size, of which some stay. Returns what is resident for them when the others are freed.
fn kept_of_a_burst(is_apart: bool) -> usize {
    let before = resident_bytes();
    let mut lasting = Vec::new();
    let mut passing = Vec::new();
    for number in 0..BYTES / BLOCK_BYTES {
        if number % LASTS == 0 {
            let was_apart = mcpool_mimalloc::set_apart(is_apart);
            assert!(!was_apart);
            lasting.push(vec![1_u8; BLOCK_BYTES]);
            assert_eq!(mcpool_mimalloc::set_apart(was_apart), is_apart);
        } else {
            passing.push(vec![1_u8; BLOCK_BYTES]);
        }
    }
    drop(passing);
    mcpool_mimalloc::collect();
    let kept = resident_bytes().saturating_sub(before);
    assert!(lasting.iter().all(|block| block.iter().all(|byte| *byte == 1)));
    // Another thread frees them, and one that grew in the other heap.
    let (sender, receiver) = sync_channel::<Vec<Vec<u8>>>(1);
    let freeing = std::thread::spawn(move || {
        for mut blocks in receiver {
            for block in &mut blocks {
                block.extend_from_slice(&[2; BLOCK_BYTES]);
            }
        }
        mcpool_mimalloc::collect();
    });
    sender.send(lasting).expect("received");
    drop(sender);
    freeing.join().expect("no panic");
    mcpool_mimalloc::collect();
    kept
}

#[test]
#[cfg(target_os = "linux")]
fn a_burst_is_given_back_although_some_of_it_lasts() {
    mcpool_mimalloc::set_purge_delay_ms(0);
    let (among, apart) = (kept_of_a_burst(false), kept_of_a_burst(true));
    assert!(among > BYTES / 2, "{among} B are kept without the other heap: the test shows nothing");
    assert!(apart < BYTES / 8, "{apart} B are kept");
}
