//! Ten million requests of mixed kinds and sizes against one server, with the program's allocator: what the heap
//! holds and what the process takes must stay where they were.
//!
//! ```text
//! cargo run --release -p mcpool-memtests --features long_run --bin long_run [-- --requests 10000000]
//! ```
//!
//! Prints a line for each tenth. Ends with 1 when the heap, all pools emptied, holds more than [`MAX_GROWTH_BYTES`]
//! beyond what it held after the warm-up and what the monitor has learnt since, which the report tells, when the process then takes more than [`MAX_FRAGMENTATION_BYTES`] beyond its
//! live heap (its code, its stacks, and what the allocator cannot give back), or [`MAX_SPREAD_BYTES`] more of that than
//! after the warm-up. Clients are threads of the same process: what they hold, 60 MiB, is part of both figures while
//! they ask, and gone when the process is at rest.

use mcpool::{Limits, Server};
use mcpool_memtests::HANDSHAKE;
use mcpool_memtests::matrix::{Asker, Column};
use mcpool_memtests::network::{Client, Host, Way, open_session};
use mcpool_memtests::tools::{NOTE, server_over};
use mcpool_mimalloc::MiMalloc;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As in the program: mimalloc, its blocks counted.
#[global_allocator]
static ALLOCATOR: cap::Cap<MiMalloc> = cap::Cap::new(MiMalloc, usize::MAX);

const REQUESTS: u64 = 10_000_000;
/// What the monitor may have learnt: of at most 16 kinds of latency, at eight loads, values of 1 KiB and their entry. It
/// learns from the third minute on, and each load is twice the one before.
const MAX_LEARNT_BYTES: usize = 16 * 8 * (1024 + 256);
/// Maps and queues may have a larger table than after the warm-up.
const MAX_GROWTH_BYTES: usize = 64 * 1024;
/// Code and stacks are 8 MiB of it.
const MAX_FRAGMENTATION_BYTES: usize = 16 * 1024 * 1024;
/// What freed blocks between live ones may come to take.
const MAX_SPREAD_BYTES: usize = 4 * 1024 * 1024;
/// Longer than connections wait before they give large buffers back, and the allocator before it gives pages back.
const REST: Duration = Duration::from_secs(4);
/// Requests of one connection, before its client goes and comes again.
const A_CONNECTION: u64 = 10_000;
const MIB: f64 = 1024.0 * 1024.0;

fn main() -> ExitCode {
    mcpool_mimalloc::set_purge_delay_ms(0);
    let Some(requests) = wanted(std::env::args().skip(1)) else {
        eprintln!("usage: long_run [--requests NUMBER]");
        return ExitCode::from(2);
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("one kilobyte.txt"), "sixteen bytes \"\n".repeat(64)).expect("a file");
    let server = server_over(folder.path(), &Limits { event_retention_ms: 1_000, ..Limits::default() });
    let host = Host::start(&server);
    let (done, began) = (AtomicU64::new(0), Instant::now());
    let run = Run { server: &server, host: &host, folder: folder.path(), done, began };
    run.ask(requests / 100, |_, _| {});
    let start = run.at_rest();
    println!("{:>12} {:>10} {:>10} {:>10} {:>8}", "requests", "live MiB", "RSS MiB", "beyond", "seconds");
    run.tell(start);
    let parts = run.parts();
    run.ask(requests, Run::tell);
    let end = run.at_rest();
    run.tell(end);
    let learnt = tell_growth(&parts, &run.parts());
    let mut is_fine = true;
    for (what, bytes, allowed) in [
        ("the monitor has learnt", learnt, MAX_LEARNT_BYTES),
        ("the heap grew besides by", end.live.saturating_sub(start.live + learnt), MAX_GROWTH_BYTES),
        ("the process takes beyond its live heap", end.beyond(), MAX_FRAGMENTATION_BYTES),
        (
            "and more of it than after the warm-up",
            end.beyond().saturating_sub(start.beyond()),
            MAX_SPREAD_BYTES,
        ),
    ] {
        let verdict = if bytes <= allowed { "fine" } else { "TOO MUCH" };
        println!("{what}: {bytes} B, allowed are {allowed} B: {verdict}");
        is_fine &= bytes <= allowed;
    }
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Option<u64> {
    let Some(name) = arguments.next() else { return Some(REQUESTS) };
    let number = arguments.next().and_then(|number| number.parse().ok());
    number.filter(|number| name == "--requests" && *number >= 1_000 && arguments.next().is_none())
}

/// What the report calls each part, and its bytes.
type Parts = BTreeMap<String, u64>;

/// Prints the parts that grew, and returns by how much that of the monitor did.
fn tell_growth(before: &Parts, after: &Parts) -> usize {
    let growth = |name: &str| {
        after.get(name).copied().unwrap_or(0).saturating_sub(before.get(name).copied().unwrap_or(0))
    };
    for name in after.keys().filter(|name| growth(name) > 0) {
        println!("{name}: grew by {} B", growth(name));
    }
    growth("monitor") as usize
}

/// What the process has of memory.
#[derive(Debug, Clone, Copy)]
struct Memory {
    live: usize,
    rss: usize,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("a system with /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line for it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        Self { live: ALLOCATOR.allocated(), rss: kib * 1024 }
    }

    fn beyond(self) -> usize {
        self.rss.saturating_sub(self.live)
    }
}

/// The run as a whole.
struct Run<'a> {
    server: &'a Server,
    host: &'a Host,
    folder: &'a Path,
    done: AtomicU64,
    began: Instant,
}

impl Run<'_> {
    /// Has the clients ask so many times, over each kind of transport at once, and reports each tenth.
    fn ask(&self, requests: u64, tell: fn(&Self, Memory)) {
        let before = self.done.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            for column in Column::ALL {
                scope.spawn(move || self.ask_over(column, requests.div_ceil(Column::ALL.len() as u64)));
            }
            for tenth in 1..10 {
                while self.done.load(Ordering::Relaxed) - before < requests * tenth / 10 {
                    std::thread::sleep(Duration::from_millis(20));
                }
                tell(self, Memory::now());
            }
        });
    }

    fn ask_over(&self, column: Column, requests: u64) {
        let mut buffer = vec![0; 4 * 1024 * 1024];
        let mut client = self.connect(column, &mut buffer);
        // A session outlives its connections.
        let has_session = !column.is_modern && column.way == Way::Tcp;
        let session = if has_session { open_session(&mut client) } else { String::new() };
        let kinds = kinds(&Asker { column, session: &session, folder: self.folder });
        let mut draw = Draw { random: SEED, weights: kinds.iter().map(|(weight, ..)| *weight).collect() };
        for at in 0..requests {
            if at % A_CONNECTION == A_CONNECTION - 1 {
                client = self.connect(column, &mut buffer);
            }
            let (_, request, part) = &kinds[draw.next()];
            let length = client.exchange(request, &mut buffer);
            let answer = &buffer[..length.min(1024)];
            let is_there = answer.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(is_there, "{part} is not in {}", String::from_utf8_lossy(answer));
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connect(&self, column: Column, buffer: &mut [u8]) -> Client {
        let mut client = self.host.connect(column.way);
        if !column.is_modern && column.way != Way::Tcp {
            client.exchange(format!("{}\n", HANDSHAKE[0]).as_bytes(), buffer);
            client.send(format!("{}\n", HANDSHAKE[1]).as_bytes());
        }
        client
    }

    /// The memory once all have gone, all that expired is swept and no pool keeps anything.
    fn at_rest(&self) -> Memory {
        std::thread::sleep(REST);
        self.server.maintain();
        for pool in self.server.pools().pools() {
            pool.trim(0);
        }
        // mimalloc looks at what it may give back when a thread ends.
        std::thread::sleep(REST);
        drop(std::thread::spawn(|| drop(std::hint::black_box(Box::new(0_u8)))).join());
        Memory::now()
    }

    /// Only when all figures were taken: the report is made on the heap.
    fn parts(&self) -> Parts {
        self.server.memory().report().parts.into_iter().map(|part| (part.name, part.bytes)).collect()
    }

    fn tell(&self, memory: Memory) {
        println!(
            "{:>12} {:>10.2} {:>10.2} {:>10.2} {:>8.0}",
            self.done.load(Ordering::Relaxed),
            memory.live as f64 / MIB,
            memory.rss as f64 / MIB,
            memory.beyond() as f64 / MIB,
            self.began.elapsed().as_secs_f64()
        );
    }
}

/// Picks kinds by their weights: any sequence will do that is the same each time and in step with nothing.
struct Draw {
    random: u64,
    weights: Vec<u64>,
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draw {
    fn next(&mut self) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut at = (self.random >> 33) % self.weights.iter().sum::<u64>();
        for (place, weight) in self.weights.iter().enumerate() {
            match at.checked_sub(*weight) {
                Some(beyond) => at = beyond,
                None => return place,
            }
        }
        0
    }
}

/// What is asked, how often among all, and what the answer has.
fn kinds(asker: &Asker<'_>) -> Vec<(u64, Vec<u8>, &'static str)> {
    let request = |method, name, params: &str| asker.request(method, name, params);
    let call = |tool: &'static str, arguments: &str| {
        request("tools/call", Some(tool), &format!(r#""name":"{tool}","arguments":{arguments}"#))
    };
    let result = r#""id":7,"result":"#;
    let path = format!(r#"{{"path":"{}"}}"#, asker.folder.join("one kilobyte.txt").display());
    let mut kinds = vec![
        (4_000, request("tools/list", None, ""), result),
        (4_000, call("read_text_file", &path), result),
        (2_000, request("resources/read", Some(NOTE), &format!(r#""uri":"{NOTE}""#)), result),
        (
            2_000,
            request("prompts/get", Some("greeting"), r#""name":"greeting","arguments":{"name":"x"}"#),
            result,
        ),
        (1_000, call("nothing", "{}"), r#""error":"#),
        (1_000, call("echo", r#"{"text":5}"#), r#""isError":true"#),
        (20, call("offload", r#"{"text":"owned"}"#), "owned"),
        (4_000, call("echo", r#"{"text":"\u00e9\n\t\"quoted\""}"#), result),
    ];
    if asker.column.is_modern {
        kinds.push((8_000, request("server/discover", None, ""), result));
    } else {
        kinds.push((8_000, request("ping", None, ""), result));
    }
    // From 16 B to 1 MiB: half as often, twice as long.
    for step in 0..=16 {
        let text = "x".repeat(16 << step);
        kinds.push(((16_384 >> step).max(1), call("echo", &format!(r#"{{"text":"{text}"}}"#)), result));
    }
    kinds
}
