//! Finding frames in a stream, in reads of the size that a pipe gives.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench framing -- --quick`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mcpool::wire::FrameReader;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_pools::BufferPool;
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

const READ_BYTES: usize = 64 * 1024;

/// Reads the whole stream and counts the bytes of its frames.
fn read(reader: &mut FrameReader, stream: &[u8]) -> usize {
    let (mut rest, mut bytes) = (stream, 0);
    while !rest.is_empty() {
        let spare = reader.spare();
        let (now, later) = rest.split_at((spare.capacity() - spare.len()).min(READ_BYTES).min(rest.len()));
        spare.extend_from_slice(now);
        rest = later;
        while let Some(frame) = reader.next_frame().expect("no frame is too long") {
            bytes += black_box(frame.bytes()).len();
        }
    }
    reader.release_if_empty();
    bytes
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, frame_bytes, frames) in [
        ("one of 400 B", 400, 1),
        ("1,000 of 400 B", 400, 1_000),
        ("16 of 64 KiB", 65_536, 16),
        ("4 of 1 MiB", 1 << 20, 4),
    ] {
        let mut frame = vec![b'x'; frame_bytes - 1];
        frame.push(b'\n');
        let stream = frame.repeat(frames);
        let mut reader = FrameReader::new(BufferPool::default(), 4 << 20);
        let mut is_first = true;
        group
            .throughput(Throughput::ElementsAndBytes { elements: frames as u64, bytes: stream.len() as u64 });
        group.bench_function(name, |bencher| {
            if std::mem::take(&mut is_first) {
                assert_eq!(read(&mut reader, &stream), stream.len() - frames);
                let allocations = allocations_per_call(10, || _ = black_box(read(&mut reader, &stream)));
                println!("  {name}: {allocations:.1} allocations");
            }
            bencher.iter(|| read(&mut reader, black_box(&stream)));
        });
    }
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
