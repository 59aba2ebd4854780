//! Pools of reusable memory: bounded, resizable while in use, and measured.
//!
//! | you have | you want |
//! | --- | --- |
//! | objects that are costly to make or warm up | [`ObjectPool`], with a [`Recycle`] that says how to empty them |
//! | byte buffers of many sizes | [`BufferPool`]: size classes of [`bytes::BytesMut`] |
//! | short-lived data that dies together | [`ArenaPool`]: [`bumpalo::Bump`] arenas with a retain limit |
//! | the arenas of large messages, kept warm | [`LargeArenas`] |
//! | several pools under one bound | [`MemoryBudget`] |
//! | to see and steer them all | [`PoolRegistry`], [`PoolControl`], [`PoolSnapshot`] |
//! | to know how large they should be | [`PoolControl::sample`], [`PoolHistory`], [`MissCurve`] |
//!
//! ```
//! use mcpool_pools::{BufferConfig, BufferPool, MemoryBudget, PoolRegistry};
//!
//! let budget = MemoryBudget::new(8 * 1024 * 1024);
//! let buffers = BufferPool::new(BufferConfig { budget: Some(budget.clone()), ..BufferConfig::default() });
//! let registry = PoolRegistry::default();
//! buffers.register(&registry)?;
//!
//! for frame in ["one", "two", "three"] {
//!     let mut buffer = buffers.acquire(4096); // the first makes it, the others reuse it
//!     buffer.extend_from_slice(frame.as_bytes());
//! } // returned here
//!
//! let pool = registry.find("buffers/4KiB").ok_or("registered above")?;
//! let snapshot = pool.snapshot();
//! assert_eq!((snapshot.misses, snapshot.hits, snapshot.idle), (1, 2, 1));
//! assert_eq!(budget.used_bytes(), 4096);
//! assert_eq!(pool.trim(0), 4096); // idle memory goes back to the allocator
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - An acquire waits for no lease, never fails, and allocates nothing on a hit.
//! - At most `capacity` objects stay idle. The capacity changes at run time, up to a maximum stated at the start; a
//!   smaller one frees the surplus at once.
//! - Every object is accounted for: kept, detached, or discarded for a counted reason ([`Discard`]).
//! - Leases may be dropped on any thread, and after their pool.
//! - No `unsafe` in this crate.
//!
//! # When not to use a pool
//!
//! - **For large buffers.** Whole requests took as long without pools for 256 KiB and more, or up to 12 % less:
//!   writing the bytes costs far more than the block, and idle ones are kept twice, here and by the allocator. Buffers
//!   up to 64 KiB saved 160 to 830 ns a request, and objects that hold several blocks and warm arenas 370 ns.
//! - **For one small block.** A good allocator takes 5 ns for it, less than a pool does. Measure yours with
//!   `cargo bench -p mcpool-benches --features criterion --bench pool`.
//! - **As a limit on concurrency.** The bound is on idle objects; a pool makes as many as are asked for. Put a
//!   semaphore before it.
//! - **For secrets.** Returned objects are emptied, not wiped, outside debug builds.
//! - **For connections** and other objects that go stale while idle: nothing here looks at age.
//!
//! Of the idle objects the one that came last is reused first, in the shard of the thread that returned it; a trim
//! frees the oldest. A thread uses its own shard and steals from the others before it makes a new object.

mod arena;
mod budget;
mod buffer;
mod demand;
mod large_arenas;
mod lasting;
mod miss_curve;
mod pool;
mod recycle;
mod registry;
mod segments;
mod stats;
mod store;
mod sync;
mod trace;

pub use arena::{ArenaLease, ArenaPool, RetainArena};
pub use budget::{BudgetSpent, GiveUp, MemoryBudget, Reservation};
pub use buffer::{BufferClass, BufferConfig, BufferLease, BufferPool, LeasedBudget, OwnedBudget};
pub use demand::{PoolHistory, Sampling};
pub use large_arenas::{LargeArenaBounds, LargeArenas};
pub use lasting::{lasting, passing, set_lasting_switch};
pub use miss_curve::MissCurve;
pub use pool::{Lease, ObjectPool, PoolConfig};
pub use recycle::{Discard, Recycle, Verdict, WithCapacity};
pub use registry::{NameTaken, PoolControl, PoolRegistry};
pub use segments::Segments;
pub use stats::{PoolKind, PoolSnapshot};
