//! The program `mcpool`; all of it is in the library's `cli`.

use std::process::ExitCode;

/// Counts the bytes that are handed out, for reports: two additions, which a warm request never pays.
///
/// Without transparent huge pages (feature `no_thp`): they cost 2 to 4 MiB of idle memory.
#[global_allocator]
static ALLOCATOR: cap::Cap<mimalloc::MiMalloc> = cap::Cap::new(mimalloc::MiMalloc, usize::MAX);

fn main() -> ExitCode {
    mcpool::cli::run(|| ALLOCATOR.allocated())
}
