//! `mcpool tune --apply` against an admin socket that does as it is told: what is kept, set back and undone.

use super::sample;
use mcpool::memory::{AppliedChange, CurvePoint, MemoryReport};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// A server with one pool that has a setting.
#[derive(Clone)]
struct Fake {
    report: Arc<Mutex<MemoryReport>>,
    address: SocketAddr,
}

impl Fake {
    /// `after` is what happens at each look once the pool has another capacity.
    fn start(after: fn(&mut MemoryReport)) -> Self {
        let mut report = sample::full();
        report.pools.retain(|pool| pool.name == "arenas");
        "small arenas".clone_into(&mut report.pools[0].name);
        let point = |capacity, hit_ratio| CurvePoint { capacity, hit_ratio, bytes: capacity * 6_144 };
        report.pools[0].curve = vec![point(16, 0.919), point(40, 0.996)];
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let fake = Self { report: Arc::new(Mutex::new(report)), address };
        let serving = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.answer(stream, after);
            }
        });
        fake
    }

    fn answer(&self, mut stream: impl Read + Write, after: fn(&mut MemoryReport)) {
        let (mut asked, mut byte) = (Vec::new(), [0]);
        while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
            asked.push(byte[0]);
        }
        let asked = String::from_utf8(asked).expect("text");
        let mut report = self.report.lock().expect("not poisoned");
        report.taken_unix_ms += 10;
        report.uptime_ms += 10;
        let body = if let Some(rest) = asked.strip_prefix("POST /pools/small%20arenas/capacity/") {
            let capacity = rest.split(' ').next().expect("a number").parse().expect("a number");
            let before = std::mem::replace(&mut report.pools[0].capacity, capacity);
            let what = "small arenas".to_owned();
            serde_json::to_string(&AppliedChange { what, before, after: capacity, reason: String::new() })
        } else {
            assert!(asked.starts_with("GET /report "), "{asked}");
            if report.pools[0].capacity != 16 {
                after(&mut report);
            }
            serde_json::to_string(&*report)
        };
        let body = body.expect("JSON");
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }

    fn capacity(&self) -> u64 {
        self.report.lock().expect("not poisoned").pools[0].capacity
    }

    /// Runs `mcpool tune` on it, and returns the exit code and what it said.
    fn tune(&self, folder: &Path, flags: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .args(["tune", &self.address.to_string(), "--watch", "1"])
            .args(flags)
            .env_clear()
            .current_dir(folder)
            .output()
            .expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("UTF-8"))
    }
}

const APPLY: [&str; 5] = ["--apply", "--cpu-price", "20000000", "--least-gain", "1"];

/// The events in the journal.
fn events(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("mcpool-tune.jsonl")).expect("a journal");
    let event = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        entry["event"].as_str().expect("an event").to_owned()
    };
    text.lines().map(event).collect()
}

#[test]
fn capacities_that_do_well_are_kept_and_can_be_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(|report| {
        report.pools[0].hits += 1_000;
    });
    let (code, said) = fake.tune(folder.path(), &["--undo"]);
    assert!(code == Some(2) && said.contains("has no change to undo"), "{said}");
    let (code, said) = fake.tune(folder.path(), &APPLY);
    assert_eq!((code, fake.capacity()), (Some(0), 40), "{said}");
    assert!(said.contains("Kept: ") && said.contains("nothing got worse"), "{said}");
    assert_eq!(events(folder.path()), ["applying", "kept"]);
    let (code, said) = fake.tune(folder.path(), &["--undo"]);
    assert_eq!((code, fake.capacity(), said.as_str()), (Some(0), 16, "small arenas: 40 -> 16\n"));
    assert_eq!(events(folder.path()), ["applying", "kept", "undone"]);
}

#[test]
fn capacities_that_break_their_promise_are_set_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(|report| {
        report.pools[0].hits += 900;
        report.pools[0].misses += 100;
    });
    let (code, said) = fake.tune(folder.path(), &APPLY);
    assert_eq!((code, fake.capacity()), (Some(1), 16), "{said}");
    assert!(said.contains("Set back: pool small arenas has 90.0 % hits and not the 99.6 %"), "{said}");
    assert_eq!(events(folder.path()), ["applying", "rolled_back"]);
}

#[test]
fn the_change_of_another_process_is_not_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(|report| report.pools[0].hits += 1_000);
    assert_eq!(fake.tune(folder.path(), &APPLY).0, Some(0));
    fake.report.lock().expect("not poisoned").server.pid += 1;
    let (code, said) = fake.tune(folder.path(), &["--undo"]);
    assert!(code == Some(2) && said.contains("its capacities are those of its settings"), "{said}");
    assert_eq!(fake.capacity(), 40);
}
