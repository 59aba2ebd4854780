//! Shared parts of the benches: frames, servers and counters of the criterion ones, drivers of those that ask servers.

pub mod account;
pub mod alloc_count;
pub mod bench_tools;
pub mod callgrind;
pub mod calls;
pub mod chart;
pub mod figures;
pub mod frames;
pub mod host;
pub mod http_client;
pub mod http_load;
pub mod in_process;
pub mod machine;
pub mod mix;
mod nginx;
pub mod peers;
pub mod report;
pub mod requests;
#[cfg(feature = "criterion")]
pub mod row;
pub mod schedule;
pub mod server_process;
pub mod sheet;
pub mod slopes;
pub mod soak_client;
pub mod stdio_load;
pub mod stdio_server;
pub mod summary;
pub mod supply;
pub mod trend;
pub mod versus;
