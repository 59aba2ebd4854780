//! The tests of the pools, but for those with loom's own types. That a hit allocates nothing is among the memory tests of
//! the workspace (`memtests`), which have a profiler.
#![cfg(not(loom))]

mod buffer;
mod history;
mod model;
mod pool;
mod segments;
mod stress;
