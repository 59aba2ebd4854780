//! What the memory ledger costs requests: the same requests with nobody looking, and with a look every second.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench ledger -- --quick`
//!
//! Counting is part of every pool and cannot be turned off. What can be is looking: each second the memory manager reads
//! all counters (`Server::keep`), and each pool then traces its next 8,192 acquires and returns; what comes beyond is
//! counted only. So a look costs a fixed amount of work, however busy the server is, and that is measured here: pairs
//! of blocks of requests, one with nobody looking and one right after a look, long enough to use the trace up, in turns
//! (`ABBA`), so that drift cancels. Times are CPU times of the process: waiting and other programs do not count.
//!
//! Printed for each way, with quartiles: `a look` by itself, as it is a second after the one before; `its trace`, what
//! the block after it takes longer; the two as a part of the second that they are done in, which is what a server that
//! is busy all the time loses; and, as the worst case, what requests lose while all of them are traced, which is so on
//! a server with fewer than some 4,000 requests a second. Allocations of the traced requests are counted: none may be.
//! The criterion rows show the times of a request in both states.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use mcpool::Server;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_benches::host::{Host, Way};
use mcpool_benches::in_process::{self, InProcess};
use mcpool_benches::requests;
use mcpool_benches::row::{frames, group};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

/// Requests of a block: a request has at least two events in each pool that it uses.
const BLOCK: u32 = 5_000;
/// Requests that are all traced after a look.
const TRACED: u32 = 1_000;
const LOOKS: usize = 5;
const LOOK_INTERVAL: Duration = Duration::from_millis(1_010);

fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The microseconds of CPU that `work` takes.
fn taken_us(mut work: impl FnMut()) -> f64 {
    let begun = cpu_us();
    work();
    cpu_us() - begun
}

/// The quartiles of some figures.
struct Quartiles([f64; 3]);

impl Quartiles {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self([1, 2, 3].map(|quarter| figures[(figures.len() - 1) * quarter / 4]))
    }

    fn show(&self, unit: &str) -> String {
        let Self([low, median, high]) = self;
        format!("{median:.2}{unit} (quartiles {low:.2} to {high:.2})")
    }
}

/// Prints what a look costs the requests of one way.
fn compare(name: &str, pairs: usize, server: &Server, mut requests: impl FnMut(u32)) {
    server.maintain();
    requests(2 * BLOCK);
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        std::thread::sleep(LOOK_INTERVAL);
        looks.push(taken_us(|| server.maintain()));
        requests(BLOCK);
    }
    let (mut plain, mut traces, mut slowed) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let mut times = [[0.0; 2]; 2];
        for is_watched in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            if is_watched {
                server.maintain();
            }
            let first = taken_us(|| requests(TRACED));
            times[usize::from(is_watched)] = [first, taken_us(|| requests(BLOCK - TRACED))];
        }
        let [unwatched, watched] = times;
        plain.push((unwatched[0] + unwatched[1]) / f64::from(BLOCK));
        traces.push(watched[0] + watched[1] - unwatched[0] - unwatched[1]);
        slowed.push((watched[0] / unwatched[0] - 1.0) * 100.0);
    }
    let (looks, plain, traces) = (Quartiles::of(looks), Quartiles::of(plain), Quartiles::of(traces));
    let lost = Quartiles([0, 1, 2].map(|at| (looks.0[at] + traces.0[at]) / 1e6 * 100.0));
    println!("  {name}: a request {}", plain.show(" us"));
    println!("  {name}: a look {}, its trace {}", looks.show(" us"), traces.show(" us"));
    println!("  {name}: a busy server loses {}", lost.show(" %"));
    println!("  {name}: requests that are traced take {} longer", Quartiles::of(slowed).show(" %"));
}

/// The times of a request with nobody looking and while all are traced.
fn rows(
    group: &mut BenchmarkGroup<'_, WallTime>,
    server: &Server,
    request_bytes: usize,
    mut requests: impl FnMut(u32),
) {
    group.throughput(frames(1, request_bytes));
    for (name, is_traced) in [("nobody looks", false), ("all traced", true)] {
        group.bench_function(name, |bencher| {
            requests(BLOCK);
            bencher.iter_custom(|rounds| {
                let mut elapsed = Duration::ZERO;
                let mut left = rounds;
                while left > 0 {
                    let now = left.min(u64::from(TRACED)) as u32;
                    if is_traced {
                        server.maintain();
                    }
                    let begun = std::time::Instant::now();
                    requests(now);
                    elapsed += begun.elapsed();
                    left -= u64::from(now);
                }
                elapsed
            });
        });
    }
}

/// Whether anything is measured: tests run each bench once.
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
        && !std::env::args().any(|argument| argument == "--test")
}

fn ledger(criterion: &mut Criterion) {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_process::server(folder.path()).expect("a server");
    let request = requests::echo();

    let mut connection = InProcess::connect(&server);
    let answer_bytes = request.check(&mut connection);
    let mut in_process =
        |requests| (0..requests).for_each(|_| assert_eq!(connection.exchange(&request.line), answer_bytes));
    server.maintain();
    in_process(BLOCK);
    server.maintain();
    let allocations = allocations_per_call(1, || in_process(BLOCK));
    assert_eq!(allocations.to_bits(), 0.0_f64.to_bits(), "requests that are traced allocate");
    let mut rows_of = group(criterion, "ledger, in process");
    rows(&mut rows_of, &server, request.line.len(), &mut in_process);
    rows_of.finish();
    if is_measuring() {
        println!("  in process: {allocations:.0} allocations in {BLOCK} traced requests");
        compare("in process", if is_quick { 100 } else { 400 }, &server, &mut in_process);
    }

    let mut host = Host::start(&server, Way::Stdio).expect("two pipes");
    let prepared = host.client().prepare(&request, 1).expect("the answer");
    let mut buffer = Vec::new();
    let mut stdio = |requests| {
        for _ in 0..requests {
            host.client().exchange(&prepared, &mut buffer).expect("the answer");
        }
    };
    let mut rows_of = group(criterion, "ledger, stdio");
    rows(&mut rows_of, &server, prepared.len(), &mut stdio);
    rows_of.finish();
    if is_measuring() {
        compare("stdio", if is_quick { 20 } else { 100 }, &server, &mut stdio);
    }
}

criterion_group!(benches, ledger);
criterion_main!(benches);
