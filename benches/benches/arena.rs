//! A warm arena from the pool for the strings of one frame, against its rivals.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench arena -- --quick`
//!
//! Each row makes room for the strings of a frame and lets all of them go. `ArenaPool` leases, fills and returns an
//! arena, as a request does; `Bump, new` makes one each time; `Bump, kept` resets one that nobody shares, the floor;
//! `String` asks the allocator for each string. Bytes are those of the strings, elements the strings. Beyond its retain
//! limit an arena is let go on return: the last group shows what that costs.

use bumpalo::Bump;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use mcpool::Limits;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc};
use mcpool_benches::row::{frames, group, row};
use mcpool_pools::{ArenaPool, RetainArena};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

fn fill(arena: &Bump, text: &str, strings: usize) -> usize {
    (0..strings).map(|_| black_box(&*arena.alloc_str(black_box(text))).len()).sum()
}

fn rows(group: &mut BenchmarkGroup<'_, WallTime>, strings: usize, string_bytes: usize) {
    let text = "x".repeat(string_bytes);
    let throughput = || frames(strings, strings * string_bytes);
    let retain_bytes = Limits::default().arena_retain_bytes;
    let arenas = ArenaPool::new("arenas", 8, RetainArena { retain_bytes });
    row(group, "ArenaPool", throughput(), || fill(&arenas.acquire(), &text, strings));
    row(group, "Bump, new", throughput(), || fill(&Bump::new(), &text, strings));
    let mut kept = Bump::new();
    row(group, "Bump, kept", throughput(), || {
        kept.reset();
        fill(&kept, &text, strings)
    });
    row(group, "String", throughput(), || {
        (0..strings).map(|_| black_box(black_box(&text).clone()).len()).sum::<usize>()
    });
}

fn arenas(criterion: &mut Criterion) {
    for (name, strings, string_bytes) in
        [("16 of 40 B", 16, 40), ("1 of 16 KiB", 1, 16 * 1024), ("1 of 1 MiB, let go", 1, 1 << 20)]
    {
        let mut group = group(criterion, &format!("arena/{name}"));
        rows(&mut group, strings, string_bytes);
        group.finish();
    }
}

criterion_group!(benches, arenas);
criterion_main!(benches);
