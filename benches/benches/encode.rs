//! Writing strings into a reply: text as it is, text with escapes, bytes that may not be text, base64.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench encode -- --quick`

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mcpool::wire::Reply;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_benches::frames::LARGE_BYTES;
use mcpool_pools::BufferPool;
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

fn row(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, text: &str, write: impl Fn(&mut Reply, &str)) {
    let buffers = BufferPool::default();
    let once = || {
        let mut reply = Reply::new(buffers.clone(), 8 << 20);
        write(&mut reply, black_box(text));
        reply.finish().expect("room").len()
    };
    let mut is_first = true;
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: text.len() as u64 });
    group.bench_function(name, |bencher| {
        if std::mem::take(&mut is_first) {
            assert!(once() >= text.len());
            println!("  {name}: {:.1} allocations", allocations_per_call(10, || _ = black_box(once())));
        }
        bencher.iter(once);
    });
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let small = "a short answer of one line";
    let plain = "Lorem ipsum dolor sit amet, consectetur. ".repeat(LARGE_BYTES / 41);
    let source = "    let value = map.get(\"key\");\n\treturn value.len() * 2;\n".repeat(LARGE_BYTES / 58);
    let string = |reply: &mut Reply, text: &str| reply.string(text);
    row(&mut group, "string 26 B", small, string);
    row(&mut group, "string 1 MiB plain", &plain, string);
    row(&mut group, "string 1 MiB source", &source, string);
    row(&mut group, "serde_json 1 MiB source", &source, |reply, text| reply.value(text).expect("JSON"));
    row(&mut group, "lossy_bytes 1 MiB source", &source, |reply, text| {
        let mut lossy = reply.lossy_text();
        text.as_bytes().chunks(64 * 1024).for_each(|chunk| lossy.push(chunk));
    });
    row(&mut group, "base64 1 MiB", &plain, |reply, text| {
        let mut base64 = reply.base64();
        text.as_bytes().chunks(64 * 1024).for_each(|chunk| base64.push(chunk));
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
