//! Counts allocations beside mimalloc, so that a bench can print them next to its times.
//!
//! Counts are per thread and cost about a nanosecond an allocation: rows that allocate look that much slower.

use alloc_counter::{AllocCounter, count_alloc};
use mcpool_mimalloc::MiMalloc;

/// mimalloc, counted; make it a bench's `#[global_allocator]`.
pub type CountedMiMalloc = AllocCounter<MiMalloc>;

/// The value for that `#[global_allocator]`.
pub const COUNTED_MIMALLOC: CountedMiMalloc = AllocCounter(MiMalloc);

/// Allocations and reallocations that this thread makes in one call of `op`, averaged over `calls`.
pub fn allocations_per_call(calls: u32, mut op: impl FnMut()) -> f64 {
    let ((allocations, reallocations, _), ()) = count_alloc(|| (0..calls).for_each(|_| op()));
    (allocations + reallocations) as f64 / f64::from(calls)
}
