//! A thousand hostile clients against the program, for an hour or a minute: its resident bytes must stay within the limit.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p mcpool-memtests --features long_run --bin hostile_hour -- \
//!     --program target/release/mcpool [--limit-mib 128] [--clients 1000] [--seconds 3600] [--only limit,lost] [--json]
//! ```
//!
//! The clients read slowly, never, half, or leave; their messages are bodies, lines, streams, sessions and subscriptions of
//! all sizes, whole or without their end. Ends with 1 when a bound broke, each of which the result names: `limit` (the
//! peak), `lost` (a request was taken and not answered), `livez` (it did not say that it lives, asked ten times a second),
//! `kept` (5 s after the last client it has more than [`MAX_KEPT_BYTES`] beyond what it began with and what its sessions
//! hold, without the pages of files, which are its code), `ended`. How fast small requests were answered all the while is reported; no time fails, because machines differ.

mod clients;
mod http;
mod verdict;

use clients::{client, probe, small_requests};
use http::Outcome;
use mcpool::memory::MemoryReport;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;
use verdict::Verdict;

const MIB: u64 = 1024 * 1024;
/// What a process may keep of the hour.
const MAX_KEPT_BYTES: u64 = 2 * MIB;
/// What may break; that the program ends is always one.
const BOUNDS: [&str; 4] = ["limit", "lost", "livez", "kept"];
/// When that is looked at, after the last client left.
const REST: Duration = Duration::from_secs(5);
/// Clients and seconds before that.
const WARM_UP: (u64, u64) = (8, 3);
/// Longer than any time-out of the server: who hears nothing for so long is not answered.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let Some(wanted) = Wanted::parse(std::env::args().skip(1)) else {
        eprintln!(
            "usage: hostile_hour --program PATH [--limit-mib N] [--clients N] [--seconds N] [--only BOUNDS] [--json]\n\
             The program is built with: cargo build --release"
        );
        return ExitCode::from(2);
    };
    raise_descriptors();
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let program = Program::start(&wanted, folder.path());
    let serve = |clients, seconds| {
        let hour = Arc::new(Hour::new(&program, folder.path()));
        let measured = std::thread::spawn({
            let hour = Arc::clone(&hour);
            move || measure(&hour)
        });
        let runtime = runtime();
        runtime.block_on(run(&hour, clients, Duration::from_secs(seconds)));
        drop(runtime);
        measured.join().expect("no panic");
        std::thread::sleep(REST);
        hour
    };
    // Code that ran for the first time is resident from then on.
    serve(WARM_UP.0, WARM_UP.1);
    let base = program.memory().expect("it runs");
    let hour = serve(wanted.clients, wanted.seconds);
    let end = program.memory();
    // Who holds what is left, before anything is asked again.
    let report =
        Command::new(&wanted.program).arg("report").arg(admin(folder.path())).output().expect("reports");
    eprintln!("{}", String::from_utf8_lossy(&report.stdout));
    let verdict =
        Verdict { wanted: &wanted, base, end, lasting: program.lasting(folder.path()), hour: &hour };
    println!("{}", if wanted.json { verdict.json() } else { verdict.text() });
    if verdict.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Measures on a thread of its own, ahead of the clients where this user may say so: how long a thousand clients keep one
/// another waiting is nothing that the server does.
fn measure(hour: &Arc<Hour>) {
    let _ = rustix::process::nice(-10);
    runtime().block_on(async {
        tokio::join!(small_requests(Arc::clone(hour)), probe(Arc::clone(hour)));
    });
}

/// What the command line asks for.
struct Wanted {
    program: PathBuf,
    limit_mib: u64,
    clients: u64,
    seconds: u64,
    /// The bounds that are looked at; all without it.
    only: Option<String>,
    json: bool,
}

impl Wanted {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut wanted = Self {
            program: PathBuf::new(),
            limit_mib: 128,
            clients: 1_000,
            seconds: 3_600,
            only: None,
            json: false,
        };
        while let Some(name) = arguments.next() {
            match &*name {
                "--json" => wanted.json = true,
                "--program" => wanted.program = arguments.next()?.into(),
                "--limit-mib" => wanted.limit_mib = arguments.next()?.parse().ok()?,
                "--clients" => wanted.clients = arguments.next()?.parse().ok()?,
                "--only" => wanted.only = Some(arguments.next()?),
                "--seconds" => wanted.seconds = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        let mut only = wanted.only.iter().flat_map(|only| only.split(','));
        (wanted.program.is_file() && only.all(|name| BOUNDS.contains(&name))).then_some(wanted)
    }
}

/// Three thousand sockets are more than some systems give at first.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The files that are read, and the ones that are edited.
const READ: [(&str, usize); 4] = [("small", 700), ("a", 300_000), ("b", 2_000_000), ("c", 9_000_000)];
const EDITED: [(&str, usize); 3] = [("e0", 40_000), ("e1", 400_000), ("e2", 3_000_000)];

fn write_files(folder: &Path) {
    let line = "a line with \"quotes\", as in sources\n";
    for (name, bytes) in READ.into_iter().chain(EDITED) {
        let text = format!("first\n{}", line.repeat(bytes / line.len()));
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// The program under test.
struct Program {
    path: PathBuf,
    child: Child,
    port: u16,
    socket: PathBuf,
}

#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    /// Pages of no file: code that ran for the first time is resident from then on, and is not kept by anybody.
    anonymous: u64,
    peak: u64,
}

impl Program {
    fn start(wanted: &Wanted, folder: &Path) -> Self {
        use std::io::{BufRead, BufReader};
        let socket = folder.join("lines.sock");
        let mut child = Command::new(&wanted.program)
            .args(["serve", "--http", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .arg("--admin")
            .arg(admin(folder))
            .args(["--memory-limit-bytes", &(wanted.limit_mib * MIB).to_string()])
            .arg(folder)
            .env_remove("MCPOOL_CONFIG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let port = lines.by_ref().map(|line| line.expect("text")).find_map(|line| {
            line.strip_prefix("mcpool: listening on http://127.0.0.1:")?.split('/').next()?.parse().ok()
        });
        // Whoever writes to a full pipe waits.
        std::thread::spawn(move || lines.for_each(drop));
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { path: wanted.program.clone(), child, port: port.expect("listens"), socket }
    }

    /// Bytes of what may stay, as clients have not ended it: sessions, their subscriptions, events for who comes back.
    fn lasting(&self, folder: &Path) -> u64 {
        let report =
            Command::new(&self.path).args(["report", "--json"]).arg(admin(folder)).output().expect("reports");
        let Ok(report) = MemoryReport::from_json(&String::from_utf8_lossy(&report.stdout)) else { return 0 };
        let parts = ["sessions", "subscriptions", "event stores"];
        parts.iter().filter_map(|name| report.part(name)).map(|part| part.bytes).sum()
    }

    /// `None` once it has ended.
    fn memory(&self) -> Option<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
        };
        let [resident, anonymous, peak] = ["VmRSS:", "RssAnon:", "VmHWM:"].map(line);
        Some(Memory { resident: resident?, anonymous: anonymous?, peak: peak? })
    }
}

fn admin(folder: &Path) -> String {
    format!("unix:{}", folder.join("admin.sock").display())
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long requests took, in microseconds.
#[derive(Default)]
struct Times(Mutex<Vec<u32>>);

impl Times {
    fn note(&self, begun: Instant) {
        let us = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.0.lock().expect("no panic").push(us);
    }

    fn count(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// In milliseconds: median, of 99 in 100, most.
    fn ms(&self) -> [f64; 3] {
        let mut times = self.0.lock().expect("no panic").clone();
        times.sort_unstable();
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).or(times.last()).copied();
        [0.5, 0.99, 1.0].map(|part| f64::from(at(part).unwrap_or_default()) / 1e3)
    }
}

/// What all clients share, and what they count.
struct Hour {
    port: u16,
    socket: PathBuf,
    folder: String,
    is_over: AtomicBool,
    /// Outcomes by what was done.
    outcomes: Mutex<BTreeMap<String, u64>>,
    lost: AtomicU64,
    small: Times,
    /// Whether the server lives, asked ten times a second.
    probes: Times,
    failed_probes: AtomicU64,
}

impl Hour {
    fn new(program: &Program, folder: &Path) -> Self {
        Self {
            port: program.port,
            socket: program.socket.clone(),
            folder: folder.to_str().expect("text").to_owned(),
            is_over: AtomicBool::new(false),
            outcomes: Mutex::default(),
            lost: AtomicU64::new(0),
            small: Times::default(),
            probes: Times::default(),
            failed_probes: AtomicU64::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Counts an answer, or that none came to a request that was sent whole.
    fn note(&self, act: &str, outcome: &Outcome) {
        if matches!(outcome, Outcome::Lost(_)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        *self.outcomes.lock().expect("no panic").entry(format!("{act}: {outcome}")).or_default() += 1;
    }

    async fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }
}

async fn run(hour: &Arc<Hour>, clients: u64, length: Duration) {
    let local = tokio::task::LocalSet::new();
    let clients = local.run_until(async {
        let clients: Vec<_> =
            (0..clients).map(|number| tokio::task::spawn_local(client(Arc::clone(hour), number))).collect();
        let begun = Instant::now();
        while begun.elapsed() < length {
            sleep(Duration::from_secs(10).min(length.saturating_sub(begun.elapsed()))).await;
            eprintln!("{:>5} s of {}", begun.elapsed().as_secs(), length.as_secs());
        }
        hour.is_over.store(true, Ordering::Relaxed);
        // Who waits for an answer has it, or is lost.
        for client in clients {
            let _ = client.await;
        }
    });
    clients.await;
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next(of.len() as u64) as usize]
    }

    /// Waits, but not for longer than the hour.
    async fn pause(&mut self, hour: &Hour, at_most_ms: u64) {
        let end = Instant::now() + Duration::from_millis(self.next(at_most_ms));
        while Instant::now() < end && !hour.is_over() {
            sleep(Duration::from_millis(100).min(end.saturating_duration_since(Instant::now()))).await;
        }
    }
}
