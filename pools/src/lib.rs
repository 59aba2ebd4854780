//! Pools of reusable memory: bounded, resizable while in use, and measured.
//!
//! This crate knows nothing of MCP, JSON or any runtime.

mod arena;
mod buffer;
mod pool;
mod recycle;

pub use arena::{ArenaLease, ArenaPool};
pub use buffer::{BufferLease, BufferPool};
pub use pool::{Lease, ObjectPool};
pub use recycle::{Discard, Recycle, Verdict};
