//! The one switch between std and loom, and what is built on atomics alone.
//!
//! `store.rs` is written once against the names here; under `--cfg loom` they are loom's. **Law:** memory orderings
//! stand in this folder and in `store.rs` only, and nothing here uses the rest of the crate.

mod counter;
#[cfg(loom)]
mod modelled;
#[cfg(not(loom))]
mod thread_index;

pub(crate) use counter::{Counter, Flag, OwnedCounter};

#[cfg(loom)]
pub(crate) use self::modelled::thread_index;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(not(loom))]
pub(crate) use self::thread_index::thread_index;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
