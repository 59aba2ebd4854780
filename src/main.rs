//! The program `mcpool`; all of it is in the library's `cli`.

use mcpool_mimalloc::MiMalloc;
use std::process::ExitCode;

/// Counts the bytes that are handed out, for reports: two additions, which a warm request never pays.
///
/// Without transparent huge pages (feature `no_thp`): they cost 2 to 4 MiB of idle memory.
#[global_allocator]
static ALLOCATOR: cap::Cap<MiMalloc> = cap::Cap::new(MiMalloc, usize::MAX);

fn main() -> ExitCode {
    // What is worth keeping is kept by the pools: freed pages that mimalloc kept beside them were half of a peak.
    mcpool_mimalloc::set_purge_delay_ms(0);
    mcpool::cli::run(|| ALLOCATOR.allocated())
}
