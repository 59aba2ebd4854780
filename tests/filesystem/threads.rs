//! Work on the blocking threads: shared among clients, and ended when nobody waits for it.

use crate::test_client::TestClient;
use mcpool::transport::{HttpConfig, Listener, serve_http};
use mcpool::{CallContext, Drain, Limits, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Works for as long as somebody waits for it.
struct Endless {
    at_work: Arc<AtomicUsize>,
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tool for Endless {
    type Arguments<'a> = NoArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("endless", "Works until nobody waits.").arguments::<NoArguments>()
    }

    async fn call(&self, _: NoArguments, call: &mut CallContext) -> Result<(), ToolError> {
        let at_work = Arc::clone(&self.at_work);
        call.offload(move |call| {
            at_work.fetch_add(1, Ordering::SeqCst);
            let _at_work = AtWork(at_work);
            while !call.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(ToolError::Cancelled)
        })
        .await
    }
}

/// Answers from a thread.
struct Brief;

impl Tool for Brief {
    type Arguments<'a> = NoArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("brief", "Answers from a thread.").arguments::<NoArguments>()
    }

    async fn call(&self, _: NoArguments, call: &mut CallContext) -> Result<(), ToolError> {
        call.offload(|call| {
            call.text("brief");
            Ok(())
        })
        .await
    }
}

fn server(limits: Limits) -> (Server, Arc<AtomicUsize>) {
    let at_work = Arc::new(AtomicUsize::new(0));
    let endless = Endless { at_work: Arc::clone(&at_work) };
    let server = Server::builder("threads", "1").limits(limits).tool(endless).tool(Brief).build();
    (server.expect("a server"), at_work)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn call(id: u64, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_its_threads_to_the_next() {
    let (server, at_work) = server(Limits { drain_timeout_ms: 10, ..Limits::default() });
    let mut first = TestClient::legacy(&server, "2025-06-18").await;
    for id in 1..=8 {
        first.send(&call(id, "endless")).await;
    }
    // One turn is kept for another principal, and one for another session of this one.
    until("two of four", || at_work.load(Ordering::SeqCst) == 2).await;
    let mut second = TestClient::legacy(&server, "2025-06-18").await;
    second.send(&call(1, "brief")).await;
    let answer = tokio::time::timeout(PATIENCE, second.receive()).await.expect("a thread is kept for it");
    assert_eq!(answer["result"]["content"][0]["text"], "brief");
    second.send(&call(1, "brief")).await;
    first.vanish().await.expect("a good end");
    let answer = tokio::time::timeout(PATIENCE, second.receive()).await.expect("a thread becomes free");
    assert_eq!(answer["result"]["content"][0]["text"], "brief");
    until("none is left", || at_work.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_cancelled_call_leaves_its_thread() {
    let (server, at_work) = server(Limits { max_blocking_threads: 1, ..Limits::default() });
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    for id in 1..=20 {
        client.send(&call(id, "endless")).await;
    }
    until("one works", || at_work.load(Ordering::SeqCst) == 1).await;
    for id in 1..=20 {
        let params = json!({"requestId": id});
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})).await;
    }
    client.send(&call(21, "brief")).await;
    let answer = tokio::time::timeout(PATIENCE, client.receive()).await.expect("the thread becomes free");
    assert_eq!(answer["id"], 21);
    until("none is left", || at_work.load(Ordering::SeqCst) == 0).await;
}

/// Serves a Unix socket, on a runtime of its own, until the drain begins.
struct Host {
    path: std::path::PathBuf,
    drain: Drain,
    thread: std::thread::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start(server: Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let (at, drain) = (path.clone(), Drain::default());
        let word = drain.clone();
        let (told, listens) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let listeners = vec![Listener::unix(&at).expect("a path")];
                told.send(()).expect("somebody waits");
                serve_http(&server, listeners, HttpConfig::default(), &word).await.expect("served");
            });
            runtime.shutdown_background();
        });
        listens.recv().expect("it listens");
        Self { path, drain, thread, _folder: folder }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = BufReader::new(stream);
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let stream = client.get_mut();
        writeln!(stream, "{hello}").expect("sent");
        let mut line = String::new();
        client.read_line(&mut line).expect("answered");
        client.into_inner()
    }
}

async fn ends(host: Host) {
    let Host { thread, drain, .. } = host;
    drain.begin();
    until("the server ends", || thread.is_finished()).await;
    thread.join().expect("it does not panic");
}

/// Long enough that whoever waits for it fails.
const NEVER_MS: usize = 600_000;

#[tokio::test]
async fn closing_a_socket_ends_its_work_long_before_a_drain_would() {
    let (server, at_work) = server(Limits { drain_timeout_ms: NEVER_MS, ..Limits::default() });
    let host = Host::start(server);
    let mut client = host.connect();
    for id in 1..=4 {
        writeln!(client, "{}", call(id, "endless")).expect("sent");
    }
    until("two of four", || at_work.load(Ordering::SeqCst) == 2).await;
    drop(client);
    until("none is left", || at_work.load(Ordering::SeqCst) == 0).await;
    ends(host).await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_client_that_is_gone() {
    let (server, at_work) = server(Limits { drain_timeout_ms: NEVER_MS, ..Limits::default() });
    let host = Host::start(server);
    let mut client = host.connect();
    writeln!(client, "{}", call(1, "endless")).expect("sent");
    until("it works", || at_work.load(Ordering::SeqCst) == 1).await;
    host.drain.begin();
    drop(client);
    until("none is left", || at_work.load(Ordering::SeqCst) == 0).await;
    ends(host).await;
}

#[tokio::test]
async fn a_client_that_only_closed_its_side_is_answered() {
    let (server, _) = server(Limits { drain_timeout_ms: NEVER_MS, ..Limits::default() });
    let host = Host::start(server);
    let mut client = host.connect();
    writeln!(client, "{}", call(1, "brief")).expect("sent");
    client.shutdown(std::net::Shutdown::Write).expect("a socket");
    let mut lines = String::new();
    std::io::Read::read_to_string(&mut client, &mut lines).expect("text");
    assert!(lines.contains("brief"), "{lines}");
    ends(host).await;
}

#[tokio::test]
async fn a_drain_waits_for_a_client_that_is_there_and_then_ends_its_work() {
    let (server, at_work) = server(Limits { drain_timeout_ms: 300, ..Limits::default() });
    let host = Host::start(server);
    let mut client = host.connect();
    writeln!(client, "{}", call(1, "endless")).expect("sent");
    until("it works", || at_work.load(Ordering::SeqCst) == 1).await;
    ends(host).await;
    until("none is left", || at_work.load(Ordering::SeqCst) == 0).await;
    drop(client);
}
