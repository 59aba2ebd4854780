//! From a message to what answers it and back: era, method, tool, judgement, envelope.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench dispatch -- --quick`
//!
//! Dispatch has no life of its own: a row is whole messages that have next to nothing to decode or to write, 64 in one
//! read, so that what a read costs is shared by many. The rows differ in where they are routed; the tool is the last
//! of those that the server has. `notification` is the floor: framed, decoded, and not answered.

use criterion::{Criterion, criterion_group, criterion_main};
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc};
use mcpool_benches::in_process::{self, InProcess};
use mcpool_benches::requests;
use mcpool_benches::row::{frames, group, row};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

const AT_ONCE: usize = 64;

fn dispatch(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_process::server(folder.path()).expect("a server");
    let mut connection = InProcess::connect(&server);
    let mut group = group(criterion, "dispatch");
    for request in requests::routed() {
        let answer_bytes = request.check(&mut connection);
        let lines = request.repeated(AT_ONCE);
        row(&mut group, &request.name, frames(AT_ONCE, lines.len()), || {
            assert_eq!(connection.exchange(black_box(&lines)), AT_ONCE * answer_bytes);
        });
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
