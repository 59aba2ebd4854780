//! Shared parts of the benches: frames, servers and counters of the criterion ones, drivers of those over HTTP.

pub mod alloc_count;
pub mod bench_tools;
pub mod callgrind;
pub mod calls;
pub mod closed_loop;
pub mod contenders;
pub mod frames;
pub mod host;
pub mod http_client;
pub mod in_process;
pub mod mix;
pub mod report;
pub mod requests;
pub mod row;
pub mod server_process;
pub mod soak_client;
pub mod trend;
