//! The tests of the library and the program but for two kinds, as one binary: each binary links the whole library, which
//! takes longer than compiling the tests in it. Those that measure a server's memory run alone, in `memory.rs`, and
//! those of the source text need no library, in `tidy.rs`.
//!
//! `cargo test --features full --test suite protocol::` runs the tests of `protocol.rs`.

#[cfg(feature = "macros")]
mod asking;
#[cfg(feature = "macros")]
mod attribute;
#[cfg(feature = "macros")]
mod attribute_limits;
#[cfg(feature = "cli")]
#[path = "cli/main.rs"]
mod cli;
mod dynamic_tools;
mod examples;
#[cfg(feature = "filesystem")]
mod filesystem;
mod framing;
#[cfg(feature = "git")]
mod git;
#[cfg(feature = "memory")]
mod graph;
mod hostile_frames;
mod http_hostile;
mod json_differential;
mod json_encode;
mod layers;
#[cfg(feature = "load")]
mod load;
mod on_thread;
mod protocol;
#[cfg(feature = "report")]
mod report;
mod roots;
mod session_tasks;
#[cfg(feature = "cli")]
mod stdio;
mod test_client;
mod tool_list;
#[cfg(feature = "cli")]
mod toolsets;
#[cfg(feature = "tower")]
mod tower_layers;
mod transports;
