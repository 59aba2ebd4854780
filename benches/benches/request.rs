//! Whole requests, from the bytes of a line to the bytes of its answer, without a kernel in between.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench request -- --quick`
//!
//! One request in flight: the connection wakes, reads, frames, decodes, routes, calls, answers, writes and rests. What is
//! read is copied in; what is written is not copied out. Bytes are those of the request. `read_text_file` opens and
//! reads a real file each time, which is the kernel's work. The rows `64 at once` send 64 lines in one read.

use criterion::{Criterion, criterion_group, criterion_main};
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc};
use mcpool_benches::in_process::{self, InProcess};
use mcpool_benches::requests;
use mcpool_benches::row::{frames, group, row};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

fn request(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_process::server(folder.path()).expect("a server");
    for (name, at_once) in [("request", 1), ("request, 64 at once", 64)] {
        let mut group = group(criterion, name);
        for request in requests::usual(folder.path()).expect("a file") {
            let mut connection = InProcess::connect(&server);
            let answer_bytes = request.check(&mut connection);
            let lines = request.repeated(at_once);
            row(&mut group, &request.name, frames(at_once, lines.len()), || {
                assert_eq!(connection.exchange(black_box(&lines)), at_once * answer_bytes);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, request);
criterion_main!(benches);
