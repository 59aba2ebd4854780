//! The program `mcpool`; all of it is in the library's `cli`.

use std::process::ExitCode;

/// Without transparent huge pages (feature `no_thp`): they cost 2 to 4 MiB of idle memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mcpool::cli::run()
}
