//! One row of a criterion bench: timed, and its allocations printed.

use crate::alloc_count::allocations_per_call;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use std::hint::black_box;
use std::time::Duration;

/// Calls over which allocations are averaged.
const COUNTED_CALLS: u32 = 10;

/// A group whose rows take a second each, or less with `--quick`.
pub fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

/// Frames of so many bytes together, for the rates in the output.
pub fn frames(elements: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: elements as u64, bytes: bytes as u64 }
}

/// Times `once`, and prints what it allocates on this thread once it is warm.
pub fn row<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    throughput: Throughput,
    mut once: impl FnMut() -> T,
) {
    let mut is_first = true;
    group.throughput(throughput);
    group.bench_function(name, |bencher| {
        if std::mem::take(&mut is_first) {
            (0..3).for_each(|_| drop(black_box(once())));
            let allocations = allocations_per_call(COUNTED_CALLS, || drop(black_box(once())));
            println!("  {name}: {allocations:.1} allocations an iteration");
        }
        bencher.iter(&mut once);
    });
}
