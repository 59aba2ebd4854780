//! Shared parts of the benches: frames, servers and counters of the criterion ones, peers and tables of those that ask
//! servers. The load is that of `mcpool::load`.

pub mod account;
pub mod alloc_count;
pub mod bench_tools;
pub mod callgrind;
pub mod calls;
pub mod client;
pub mod figures;
pub mod frames;
pub mod host;
pub mod in_process;
pub mod machine;
mod nginx;
pub mod peers;
pub mod references;
pub mod report;
pub mod requests;
#[cfg(feature = "criterion")]
pub mod row;
pub mod server_process;
pub mod sheet;
pub mod slopes;
pub mod stdio_server;
pub mod summary;
pub mod supply;
pub mod trend;
pub mod versus;
