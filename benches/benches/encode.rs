//! Writing into a reply: text as it is, text with escapes, bytes that may not be text, base64, and values.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench encode -- --quick`

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mcpool::wire::Reply;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_benches::frames::LARGE_BYTES;
use mcpool_pools::BufferPool;
use serde::Serialize;
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

/// One of the small objects of a structured answer.
#[derive(Serialize)]
struct Entry {
    id: usize,
    name: String,
    size: usize,
    is_dir: bool,
    ratio: f64,
    tags: [&'static str; 2],
    note: Option<&'static str>,
}

fn entries(count: usize) -> Vec<Entry> {
    let entry = |id| Entry {
        id,
        name: format!("src/module_{id}/file \"{id}\".rs"),
        size: id * 37 % 10_000,
        is_dir: id % 3 == 0,
        ratio: id as f64 * 0.37,
        tags: ["alpha", "beta gamma"],
        note: (id % 2 == 0).then_some("a note of some length, on a line of its own\n"),
    };
    (0..count).map(entry).collect()
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, bytes: usize, once: impl Fn() -> usize) {
    let mut is_first = true;
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
    group.bench_function(name, |bencher| {
        if std::mem::take(&mut is_first) {
            assert!(once() >= bytes);
            println!("  {name}: {:.1} allocations", allocations_per_call(10, || _ = black_box(once())));
        }
        bencher.iter(&once);
    });
}

fn row(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, text: &str, write: impl Fn(&mut Reply, &str)) {
    let buffers = BufferPool::default();
    measure(group, name, text.len(), || {
        let mut reply = Reply::new(buffers.clone(), 8 << 20);
        write(&mut reply, black_box(text));
        reply.finish().expect("room").len()
    });
}

/// A structured answer, and what `serde_json` needs for it.
fn value_rows(group: &mut BenchmarkGroup<'_, WallTime>, size: &str, entries: &[Entry]) {
    let json = serde_json::to_string(entries).expect("JSON");
    row(group, &format!("value {size}"), &json, |reply, _| reply.value(black_box(entries)).expect("JSON"));
    measure(group, &format!("serde_json to_vec {size}"), json.len(), || {
        serde_json::to_vec(black_box(entries)).expect("JSON").len()
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
    row(&mut group, "value 1 MiB source", &source, |reply, text| reply.value(text).expect("JSON"));
    measure(&mut group, "serde_json to_vec 1 MiB source", source.len(), || {
        serde_json::to_vec(black_box(&source)).expect("JSON").len()
    });
    row(&mut group, "lossy_bytes 1 MiB source", &source, |reply, text| {
        let mut lossy = reply.lossy_text();
        text.as_bytes().chunks(64 * 1024).for_each(|chunk| lossy.push(chunk));
    });
    row(&mut group, "base64 1 MiB", &plain, |reply, text| {
        let mut base64 = reply.base64();
        text.as_bytes().chunks(64 * 1024).for_each(|chunk| base64.push(chunk));
    });
    value_rows(&mut group, "150 B", &entries(1));
    value_rows(&mut group, "10 KB", &entries(70));
    value_rows(&mut group, "1 MB", &entries(7_000));
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
