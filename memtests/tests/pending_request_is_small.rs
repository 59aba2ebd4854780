//! A request that waits keeps at most a kilobyte of heap beyond its frame, one that waits for what a task comes to too. It
//! is half a kilobyte more when its strings had to be unescaped into an arena. Both hold however many wait: 10, 100, 1,000
//! and 10,000 are on a straight line.

use mcpool::{CallContext, Limits, Server, TaskSupport, Tool, ToolDefinition, ToolError};
use mcpool_memtests::growth::straight;
use mcpool_memtests::network::{Client, Host, Way, modern, modern_call, raise_descriptors};
use mcpool_memtests::{EchoArguments, Figure, HANDSHAKE, Watch, buffer_bytes, patient, small_server};
use std::future::pending;
use std::time::{Duration, Instant};

const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
const MAX_BYTES: usize = 1_024;
/// The smallest chunk of an arena.
const MAX_ARENA_BYTES: usize = 512;
/// Over HTTP a modern request that waits is the whole of its connection, and that at work: a kilobyte each for the
/// connection and the request, and the exchange between them.
const MAX_HTTP_BYTES: usize = 4 * 1_024;

pub(crate) fn pending_request_is_small() {
    measure("plain", "plain", MAX_BYTES);
    measure("unescaped", r"an\tescape", MAX_BYTES + MAX_ARENA_BYTES);
    measure_tasks();
    measure_http();
}

/// What each of many requests on one line keeps while it waits, buffers of frames aside.
fn measure(what: &str, argument: &str, allowed: usize) {
    let server =
        small_server(Limits { max_concurrent_requests: 10_000, drain_timeout_ms: 10, ..Limits::default() });
    let host = Host::start(&server);
    let mut client = greeted(&host);
    let request = |id| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"request number {id}\",\"method\":\"tools/call\",\"params\":{{\"name\":\"stall\",\"arguments\":{{\"text\":\"{argument}\"}},\"_meta\":{{\"progressToken\":\"token number {id}\"}}}}}}\n"
        )
    };
    measure_lines(what, &server, (&mut client, &request), &COUNTS, allowed);
}

/// A tool whose calls go on as tasks, and never end.
struct Forever;

impl Tool for Forever {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        let forever = ToolDefinition::new("forever", "Never ends.").arguments::<EchoArguments<'_>>();
        forever.task_support(TaskSupport::Required)
    }

    async fn call<'a>(&'a self, _: EchoArguments<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        pending::<()>().await;
        call.text("over");
        Ok(())
    }
}

/// What each of many requests keeps that wait for what a task of revision 2025-11-25 comes to.
fn measure_tasks() {
    let limits = Limits { max_concurrent_requests: 10_000, drain_timeout_ms: 10, ..Limits::default() };
    let server =
        Server::builder("memtests", "1").limits(limits).tool(Forever).tasks().build().expect("a server");
    let host = Host::start(&server);
    let mut client = greeted(&host);
    let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"forever\",\"arguments\":{\"text\":\"\"},\"task\":{}}}\n";
    let mut answer = [0; 4096];
    let bytes = client.exchange(call.as_bytes(), &mut answer);
    let begun: serde_json::Value = serde_json::from_slice(&answer[..bytes]).expect("JSON");
    let task = begun["result"]["task"]["taskId"].as_str().expect("a task");
    let request = |id| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"request number {id}\",\"method\":\"tasks/result\",\"params\":{{\"taskId\":\"{task}\"}}}}\n"
        )
    };
    measure_lines("results of tasks", &server, (&mut client, &request), &[10, 100, 1_000], MAX_BYTES);
}

/// A client on pipes that has shaken hands.
fn greeted(host: &Host) -> Client {
    let mut client = host.connect(Way::Pipes);
    client.exchange(format!("{}\n", HANDSHAKE[0]).as_bytes(), &mut [0; 4096]);
    client.send(format!("{}\n", HANDSHAKE[1]).as_bytes());
    client
}

/// What each of the requests of a client keeps while it waits, buffers of frames aside.
fn measure_lines(
    what: &str,
    server: &Server,
    (client, request): (&mut Client, &dyn Fn(usize) -> String),
    counts: &[usize],
    allowed: usize,
) {
    let watch = Watch::with_frames(8);
    watch.settle();
    let before = (watch.stats().curr_bytes, buffer_bytes(server));
    let mut points = Vec::with_capacity(counts.len());
    let mut sent = 0;
    for &count in counts {
        for id in sent..count {
            client.send(request(id).as_bytes());
        }
        sent = count;
        until(|| server.metrics().parked_requests.total() == count as u64);
        watch.settle();
        let frames = buffer_bytes(server);
        assert!(frames >= count, "each request keeps its frame");
        points.push((count, watch.stats().curr_bytes + before.1 - before.0 - frames));
    }
    check_growth(watch, what, &points, allowed);
}

/// What each of many modern requests over HTTP keeps while it waits, with its connection, buffers aside.
fn measure_http() {
    let counts = [10, 100, 1_000];
    raise_descriptors(2 * 1_000 + 200);
    let server = small_server(patient(Limits { drain_timeout_ms: 10, ..Limits::default() }));
    let host = Host::start(&server);
    let request = modern("tools/call", Some("stall"), &modern_call("stall", r#"{"text":"plain"}"#, ""));
    let exchanges = server.pools().find("exchanges").expect("a pool");
    let mut clients = Vec::with_capacity(counts[2]);
    let watch = Watch::with_frames(8);
    watch.settle();
    let before = (watch.stats().curr_bytes, buffer_bytes(&server));
    let mut points = Vec::with_capacity(counts.len());
    for count in counts {
        while clients.len() < count {
            let mut client = host.connect(Way::Tcp);
            client.send(&request);
            clients.push(client);
        }
        until(|| exchanges.snapshot().in_use == count as u64);
        watch.settle();
        points.push((count, watch.stats().curr_bytes + before.1 - before.0 - buffer_bytes(&server)));
    }
    check_growth(watch, "over HTTP", &points, MAX_HTTP_BYTES);
}

fn check_growth(watch: Watch, what: &str, points: &[(usize, usize)], allowed: usize) {
    match straight(what, points, allowed) {
        Ok(line) => println!("{what}: {line}"),
        Err(fault) => watch.fail(Figure::Live, format_args!("{fault}")),
    }
}

fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}
