//! One acquire and one release of a 4 KiB buffer, against the rivals, on 1 and 2 threads.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench pool -- --quick`
//!
//! A time is one round trip as one thread sees it: with 2 threads each does all rounds, and the slower one counts.
//! `hold 1` returns at once; `hold 16` takes sixteen, then returns sixteen. Only the rows of the pools count what
//! they do, bound what they keep, and can be resized. Rows that allocate carry a nanosecond of counting.
//! Elements are round trips of one thread, bytes those of the buffers lent.

use bytes::BytesMut;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use crossbeam_queue::{ArrayQueue, SegQueue};
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_pools::{BufferPool, ObjectPool, Recycle, Verdict};
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

const BUFFER_BYTES: usize = 4096;
const HELD: usize = 16;
const CAPACITY: usize = 64;

/// The least a policy can do, so that the row shows the pool alone.
struct KeepBuffer;

impl Recycle<BytesMut> for KeepBuffer {
    fn create(&self) -> BytesMut {
        BytesMut::with_capacity(BUFFER_BYTES)
    }
    fn recycle(&self, buffer: &mut BytesMut) -> Verdict {
        buffer.clear();
        Verdict::Keep
    }
    fn bytes(&self, buffer: &BytesMut) -> usize {
        buffer.capacity()
    }
}

/// At least `rounds` of `acquire` and drop, `at_once` at a time.
fn turn<L>(rounds: u64, at_once: usize, acquire: &impl Fn() -> L) {
    if at_once == 1 {
        return (0..rounds).for_each(|_| drop(black_box(acquire())));
    }
    let mut held: [Option<L>; HELD] = std::array::from_fn(|_| None);
    for _ in 0..rounds.div_ceil(HELD as u64) {
        for slot in &mut held {
            *slot = Some(black_box(acquire()));
        }
        for slot in &mut held {
            *slot = None;
        }
    }
}

/// The time that the slowest of `threads` threads takes for its `rounds`.
fn run<L>(threads: usize, at_once: usize, rounds: u64, acquire: &(impl Fn() -> L + Sync)) -> Duration {
    let barrier = Barrier::new(threads);
    let work = || {
        turn(256, at_once, acquire);
        barrier.wait();
        let start = Instant::now();
        turn(rounds, at_once, acquire);
        start.elapsed()
    };
    if threads == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let slowest = workers.into_iter().filter_map(|worker| worker.join().ok()).max();
        slowest.unwrap_or_default()
    })
}

fn row<L>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, acquire: impl Fn() -> L + Sync) {
    let mut first = true;
    for threads in [1, 2] {
        for hold in [1, HELD] {
            group.bench_function(format!("{name}/{threads} thread/hold {hold}"), |bencher| {
                if std::mem::take(&mut first) {
                    drop(acquire());
                    let count = allocations_per_call(10_000, || drop(acquire()));
                    println!("pool/{name}: {count:.3} allocations an op");
                }
                bencher.iter_custom(|rounds| run(threads, hold, rounds, &acquire));
            });
        }
    }
}

/// A rival: what it holds goes back through `put` when the guard drops.
struct Back<'a, F: Fn(BytesMut)> {
    buffer: BytesMut,
    put: &'a F,
}

impl<F: Fn(BytesMut)> Drop for Back<'_, F> {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        (self.put)(buffer);
    }
}

fn rival(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    take: impl Fn() -> Option<BytesMut> + Sync,
    put: impl Fn(BytesMut) + Sync,
) {
    row(group, name, || Back {
        buffer: take().unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES)),
        put: &put,
    });
}

fn pools(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));

    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: BUFFER_BYTES as u64 });
    let objects = ObjectPool::new("objects", CAPACITY, KeepBuffer);
    row(&mut group, "ObjectPool", || objects.acquire());
    let buffers = BufferPool::default();
    row(&mut group, "BufferPool", || buffers.acquire(BUFFER_BYTES));

    let seg = SegQueue::new();
    rival(&mut group, "SegQueue", || seg.pop(), |buffer| seg.push(buffer));
    let array = ArrayQueue::new(CAPACITY);
    rival(&mut group, "ArrayQueue", || array.pop(), |buffer| drop(array.push(buffer)));
    let locked = Mutex::new(Vec::with_capacity(CAPACITY));
    let lock = || locked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    rival(&mut group, "Mutex<Vec>", || lock().pop(), |buffer| lock().push(buffer));
    row(&mut group, "allocator", || BytesMut::with_capacity(BUFFER_BYTES));
    group.finish();
}

criterion_group!(benches, pools);
criterion_main!(benches);
