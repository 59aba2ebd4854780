//! What a toolset costs a server: nothing where it is not enabled, its stated bytes where it is, and no more after a
//! thousand calls. Thoughts of 64 MiB in one session leave as little.

use mcpool::tools::everything::{Demo, Everything};
use mcpool::tools::fetch::Fetch;
use mcpool::tools::filesystem::Filesystem;
use mcpool::tools::git::Git;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::tools::thinking::Thinking;
use mcpool::tools::time::Time;
use mcpool::toolsets::Toolset;
use mcpool::{Limits, Server};
use mcpool_memtests::network::{Client, Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch, patient};

const KIB: usize = 1024;
/// Heap of each toolset that is enabled and idle: its state, and its tools in the list.
const IDLE_BYTES: [(&str, usize); 7] = [
    ("filesystem", 64 * KIB),
    ("git", 32 * KIB),
    ("fetch", 8 * KIB),
    ("memory", 48 * KIB),
    ("time", 12 * KIB),
    ("thinking", 24 * KIB),
    ("everything", 56 * KIB),
];
/// What a thousand calls may leave: what lists and pools keep differs with the order of threads.
const LEFT_BYTES: usize = 32 * KIB;
const CALLS: usize = 1_000;

fn build<T: Toolset>(toolset: Option<T>) -> Server {
    let server = Server::builder("toolset", "1").toolset(toolset).limits(patient(Limits::default()));
    server.build().expect("a server")
}

/// Heap of a server with the toolset beyond that of one without it, and what is left after calls of `tool`.
fn measure<T: Toolset>(name: &str, make: impl FnOnce() -> T, tool: &str, arguments: &str) {
    // What the first server of a process begins with, such as the time, is not the toolset's.
    drop(build(None::<T>));
    let watch = Watch::begin();
    let heap = || watch.stats().curr_bytes;
    let before = heap();
    let without = build(None::<T>);
    let between = heap();
    let server = build(Some(make()));
    let idle = (heap() - between).saturating_sub(between - before);
    drop(without);
    drop(watch);
    let host = Host::start(&server);
    let mut buffer = vec![0; 256 * 1024];
    let mut client = connect(&host, &mut buffer);
    let request = call(tool, arguments);
    let mut ask = |times| {
        for _ in 0..times {
            client.exchange(request.as_bytes(), &mut buffer);
        }
    };
    ask(200);
    server.maintain();
    ask(50);
    let watch = Watch::begin();
    let before = watch.stats().curr_bytes;
    ask(CALLS);
    let left = watch.stats().curr_bytes.saturating_sub(before);
    println!("{name}: {idle} B idle, {left} B more after {CALLS} calls");
    let (_, most) = IDLE_BYTES.iter().find(|(known, _)| *known == name).expect("a row");
    assert!(idle <= *most, "{name}: {idle} B idle, and {most} are stated");
    assert!(left <= LEFT_BYTES, "{name}: {left} B after {CALLS} calls of {tool}");
}

fn call(tool: &str, arguments: &str) -> String {
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#) + "\n"
}

fn connect(host: &Host, buffer: &mut [u8]) -> Client {
    let mut client = host.connect(Way::Lines);
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), buffer);
    client
}

pub(crate) fn toolsets_are_small() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_path_buf();
    let graph = path.join("memory.jsonl");
    let thought = r#"{"thought":"a","nextThoughtNeeded":true,"thoughtNumber":1,"totalThoughts":1}"#;
    let roots = [path.clone()];
    let filesystem = || Filesystem::new(&roots, false).expect("a directory").0;
    measure("filesystem", filesystem, "list_allowed_directories", "{}");
    // No repository: git itself is a process of its own.
    let none = format!(r#"{{"repo_path":"{}"}}"#, path.display());
    measure("git", || Git::new(&roots, false), "git_status", &none);
    measure("fetch", Fetch::new, "fetch", r#"{"url":"http://127.0.0.1:9/"}"#);
    measure("memory", || KnowledgeGraph::new(&graph), "search_nodes", r#"{"query":"a"}"#);
    measure("time", || Time::new(Some("UTC")).expect("a zone"), "get_current_time", r#"{"timezone":"UTC"}"#);
    measure("thinking", || Thinking::new().log_thoughts(false), "sequentialthinking", thought);
    measure("everything", Everything::default, "echo", r#"{"message":"a"}"#);
    // Its prompts and resources hold nothing.
    assert_eq!(size_of::<Demo>(), 0);
    long_thoughts_leave_little();
}

/// What is kept of thoughts is their number.
fn long_thoughts_leave_little() {
    const MIB: usize = 1 << 20;
    const MOST_BYTES: usize = 64 * KIB;
    let server = build(Some(Thinking::new().log_thoughts(false)));
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * 1024];
    let mut client = connect(&host, &mut buffer);
    let members = r#""nextThoughtNeeded":true,"thoughtNumber":1,"totalThoughts":1,"branchFromThought":1,"branchId":"b""#;
    let request = call("sequentialthinking", &format!(r#"{{"thought":"{}",{members}}}"#, "x".repeat(MIB)));
    let mut think = |times| {
        for _ in 0..times {
            client.exchange(request.as_bytes(), &mut buffer);
        }
    };
    think(8);
    server.maintain();
    think(2);
    let watch = Watch::begin();
    let before = watch.stats().curr_bytes;
    think(64);
    let left = watch.stats().curr_bytes.saturating_sub(before);
    println!("64 MiB of thoughts leave {left} B");
    assert!(left <= MOST_BYTES, "{left} B after 64 MiB of thoughts in one session");
}
