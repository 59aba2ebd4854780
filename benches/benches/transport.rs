//! Whole requests over stdio, a Unix socket and HTTP: what a client waits, with a server in a thread of its own.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench transport -- --quick`
//!
//! `stdio` is lines over two pipes of the system's default size (the program enlarges its own), `unix` lines over a Unix
//! socket, `HTTP` POSTs over TCP on the loopback. A time is from the first byte sent to the last byte read, two changes
//! of threads included, which are most of it for small requests. `64 at once` sends 64 lines before it reads. Bytes are
//! those of the request, HTTP's head included. Allocations are those of the server's thread; the client makes none.

use criterion::{Criterion, criterion_group, criterion_main};
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc};
use mcpool_benches::host::{Host, Way};
use mcpool_benches::in_process;
use mcpool_benches::requests::{self, Filling};
use mcpool_benches::row::{frames, group};

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

const COUNTED: usize = 200;

fn transport(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut large = Filling::Plain.request(64 * 1024);
    "echo 64 KiB".clone_into(&mut large.name);
    let file = requests::read_file(folder.path()).expect("a file");
    let singles = [requests::ping(), requests::echo(), file, large].map(|request| (request, 1));
    let mut many = requests::echo();
    "echo 100 B, 64 at once".clone_into(&mut many.name);
    for way in Way::ALL {
        let server = in_process::server(folder.path()).expect("a server");
        let mut host = Host::start(&server, way).expect("a server that listens");
        let mut group = group(criterion, way.name());
        // Over HTTP, clients open more connections instead.
        let batch = (way != Way::Http).then(|| (many.clone(), 64));
        for (request, at_once) in singles.iter().chain(&batch) {
            let prepared = host.client().prepare(request, *at_once).expect("the answer");
            let mut buffer = Vec::new();
            let mut is_first = true;
            group.throughput(frames(*at_once, prepared.len()));
            group.bench_function(&request.name, |bencher| {
                if std::mem::take(&mut is_first) {
                    let count = |host: &mut Host, buffer: &mut Vec<u8>| {
                        host.allocations(|client| {
                            for _ in 0..COUNTED {
                                client.exchange(&prepared, buffer).expect("the answer");
                            }
                        })
                    };
                    count(&mut host, &mut buffer);
                    let allocations = count(&mut host, &mut buffer) as f64 / COUNTED as f64;
                    println!("  {}/{}: {allocations:.2} allocations an iteration", way.name(), request.name);
                }
                bencher.iter(|| host.client().exchange(&prepared, &mut buffer).expect("the answer"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, transport);
criterion_main!(benches);
