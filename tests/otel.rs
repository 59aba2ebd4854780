//! The spans that the program and a server send to a collector: what they say, whose children they are, and that nobody
//! waits for a collector.

use mcpool::transport::serve_lines;
use mcpool::{CallContext, Drain, Server, Tool, ToolDefinition, ToolError, TraceExport, TraceExportError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: takes every export, and keeps what came.
struct Collector {
    address: String,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    heads: Vec<String>,
    exports: Vec<Value>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let taken = Arc::new(Mutex::new(Taken::default()));
        let to = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let to = Arc::clone(&to);
                std::thread::spawn(move || take(stream.expect("a connection"), &to));
            }
        });
        Self { address, taken }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans that came so far.
    fn spans(&self) -> Vec<Value> {
        let taken = self.taken.lock().expect("whole");
        let of = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let resources = taken.exports.iter().flat_map(|export| of(export, "resourceSpans"));
        let scopes = resources.flat_map(|resource| of(&resource, "scopeSpans"));
        scopes.flat_map(|scope| of(&scope, "spans")).collect()
    }

    /// Waits until a span with that request id has come.
    fn span(&self, id: &str) -> Value {
        let mut found = None;
        until(&format!("the span of request {id}"), || {
            found = self.spans().into_iter().find(|span| attribute(span, "jsonrpc.request.id") == id);
            found.is_some()
        });
        found.expect("found")
    }
}

/// Answers the requests of a connection.
fn take(stream: TcpStream, to: &Mutex<Taken>) {
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut output = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        if input.read_exact(&mut body).is_err() {
            return;
        }
        {
            let mut taken = to.lock().expect("whole");
            taken.heads.push(head);
            taken.exports.push(serde_json::from_slice(&body).expect("JSON"));
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if output.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Waits for what is to come: a test fails on what does not come, not on how long it takes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(2), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The text of an attribute; empty if there is none.
fn attribute(span: &Value, key: &str) -> String {
    let attributes = span["attributes"].as_array().cloned().unwrap_or_default();
    let found = attributes.iter().find(|pair| pair["key"] == key);
    found.and_then(|pair| pair["value"]["stringValue"].as_str()).unwrap_or_default().to_owned()
}

/// The program, with one client on standard input and output.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: Lines<BufReader<ChildStderr>>,
    folder: tempfile::TempDir,
}

impl Program {
    fn serve(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.txt"), "some text").expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("serve")
            .args(options)
            .arg(folder.path())
            .env_remove("RUST_LOG")
            .env_remove("MCPOOL_CONFIG")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, input, output, errors, folder }
    }

    /// Asks on standard input, and gives the answer.
    fn ask(&mut self, request: &Value) -> Value {
        self.tell(request);
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    fn tell(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("open");
        writeln!(input, "{message}").expect("it reads");
    }

    /// Where it listens for HTTP.
    fn http(&mut self) -> String {
        let mut lines = self.errors.by_ref().map(|line| line.expect("text"));
        let found = lines.find_map(|line| {
            let address = line.strip_prefix("mcpool: listening on http://")?.strip_suffix("/mcp")?;
            Some(address.to_owned())
        });
        found.expect("it listens")
    }

    /// Closes its input, and gives what it said on standard error.
    fn end(mut self) -> String {
        drop(self.input.take());
        let said: Vec<_> = self.errors.by_ref().map(|line| line.expect("text")).collect();
        assert!(self.child.wait().expect("ends").success(), "{said:?}");
        said.join("\n")
    }
}

fn request(id: &Value, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    request(&json!("hello"), "initialize", &params)
}

/// What all spans of a run have in common: where to, and soon.
fn exported_to(collector: &Collector) -> [(&'static str, String); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())]
}

/// What the span of a request has to say.
struct Expected {
    id: &'static str,
    method: &'static str,
    name: &'static str,
    error: String,
    is_child: bool,
}

impl Expected {
    fn check(&self, span: &Value) {
        assert_eq!(span["name"], self.name, "{span}");
        assert_eq!(span["kind"], 2, "a server's: {span}");
        assert_eq!(attribute(span, "mcp.method.name"), self.method);
        assert_eq!(attribute(span, "network.transport"), "pipe");
        assert_eq!(attribute(span, "error.type"), self.error, "{span}");
        let code = if self.error == "tool_error" { "" } else { &*self.error };
        assert_eq!(attribute(span, "rpc.response.status_code"), code, "{span}");
        let status = if self.error.is_empty() { 0 } else { 2 };
        assert_eq!(span["status"]["code"].as_u64().unwrap_or(0), status, "{span}");
        if self.is_child {
            assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)), "{span}");
            assert_eq!(span["traceState"], "rojo=1");
        } else {
            assert_ne!(span["traceId"], TRACE);
            assert_eq!(span["parentSpanId"].as_str().unwrap_or_default(), "", "it begins a trace: {span}");
        }
        let operation = if self.method == "tools/call" { "execute_tool" } else { "" };
        assert_eq!(attribute(span, "gen_ai.operation.name"), operation);
        let version = if self.method == "initialize" { "" } else { "2025-11-25" };
        assert_eq!(attribute(span, "mcp.protocol.version"), version, "{span}");
        assert!(attribute(span, "mcp.session.id").parse::<u64>().is_ok(), "{span}");
    }
}

/// Has a client ask for this and that, and gives what the spans of its requests have to say.
fn converse(program: &mut Program) -> Vec<Expected> {
    program.ask(&initialize());
    program.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let caller = json!({"traceparent": format!("00-{TRACE}-{PARENT}-01"), "tracestate": "rojo=1"});
    let call = |name: &str, arguments: &Value| json!({"name": name, "arguments": arguments, "_meta": caller});
    let file = |name: &str| json!({"path": program.folder.path().join(name)});
    let (there, missing) = (call("read_text_file", &file("a.txt")), call("read_text_file", &file("missing")));
    program.ask(&request(&json!(1), "tools/call", &there));
    program.ask(&request(&json!(2), "tools/call", &missing));
    let unknown = program.ask(&request(&json!(3), "tools/call", &call("made_up", &json!({}))));
    let other = program.ask(&request(&json!(4), "no/such", &json!({})));
    let lost = program.ask(&request(&json!(5), "resources/read", &json!({"uri": "file:///none"})));
    program.ask(&request(&json!("six"), "prompts/list", &json!({"_meta": {"traceparent": "00-bad"}})));
    let code = |answer: &Value| answer["error"]["code"].as_i64().expect("an error").to_string();
    let expected = |id, method, name, error, is_child| Expected { id, method, name, error, is_child };
    vec![
        expected("hello", "initialize", "initialize", String::new(), false),
        expected("1", "tools/call", "tools/call read_text_file", String::new(), true),
        expected("2", "tools/call", "tools/call read_text_file", "tool_error".to_owned(), true),
        expected("3", "tools/call", "tools/call", code(&unknown), true),
        expected("4", "_OTHER", "_OTHER", code(&other), false),
        expected("5", "resources/read", "resources/read", code(&lost), false),
        expected("six", "prompts/list", "prompts/list", String::new(), false),
    ]
}

#[test]
fn a_span_says_what_the_semantic_conventions_ask_for() {
    let collector = Collector::start();
    let [to, soon] = exported_to(&collector);
    let before = SystemTime::now();
    let mut program = Program::serve(
        &["--admin", "127.0.0.1:0"],
        &[
            (to.0, &to.1),
            (soon.0, &soon.1),
            ("OTEL_SERVICE_NAME", "files"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret"),
        ],
    );
    for expected in converse(&mut program) {
        let span = collector.span(expected.id);
        expected.check(&span);
        assert_time(&span, before);
    }
    assert_eq!(attribute(&collector.span("2"), "gen_ai.tool.name"), "read_text_file");
    assert_eq!(attribute(&collector.span("3"), "gen_ai.tool.name"), "made_up");
    assert_eq!(attribute(&collector.span("5"), "mcp.resource.uri"), "file:///none");
    let spans = collector.spans();
    let notified =
        spans.iter().find(|span| span["name"] == "notifications/initialized").expect("it came first");
    assert_eq!(attribute(notified, "jsonrpc.request.id"), "");

    let taken = collector.taken.lock().expect("whole");
    assert!(taken.heads.iter().all(|head| head.starts_with("POST /v1/traces ")));
    let has_header = |head: &String| head.to_ascii_lowercase().contains("authorization: bearer secret");
    assert!(taken.heads.iter().all(has_header));
    let resource = &taken.exports[0]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "files");
    assert_eq!(attribute(resource, "deployment.environment.name"), "test");
    assert_ne!(attribute(resource, "service.version"), "");
    drop(taken);
    program.end();
}

/// A span ends after it begins, and lies about where the test does: clocks are set now and then.
fn assert_time(span: &Value, before: SystemTime) {
    let nanos = |key: &str| -> u128 { span[key].as_str().expect("a text").parse().expect("a number") };
    let (began, ended) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
    assert!(began <= ended, "{span}");
    let hour = Duration::from_hours(1).as_nanos();
    let before = before.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    assert!(began.abs_diff(before) < hour && ended.abs_diff(before) < hour, "{span}");
}

/// What is asked over HTTP, and the answer with its head.
fn post(address: &str, session: Option<&str>, body: &Value) -> String {
    let body = body.to_string();
    let session = session.map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{session}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_span_says_how_its_request_came() {
    let collector = Collector::start();
    let [to, soon] = exported_to(&collector);
    let sockets = tempfile::tempdir().expect("a folder");
    let path = sockets.path().join("m.sock");
    let mut program = Program::serve(
        &["--http", "127.0.0.1:0", "--unix", path.to_str().expect("text"), "--stdio=true"],
        &[(to.0, &to.1), (soon.0, &soon.1)],
    );
    let address = program.http();
    let answer = post(&address, None, &initialize());
    let id = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("mcp-session-id").then(|| value.to_owned())
    });
    let id = id.unwrap_or_else(|| panic!("no session: {answer}"));
    let answer = post(&address, Some(&id), &request(&json!("over http"), "tools/list", &json!({})));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut stream = UnixStream::connect(&path).expect("connects");
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "traceparent": format!("00-{TRACE}-{PARENT}-01"),
    });
    writeln!(stream, "{}", request(&json!("over unix"), "tools/list", &json!({"_meta": meta})))
        .expect("written");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    assert!(line.contains("result"), "{line}");

    let span = collector.span("over http");
    assert_eq!(attribute(&span, "network.transport"), "tcp");
    let session = attribute(&span, "mcp.session.id");
    assert!(session.parse::<u64>().is_ok(), "a number, as the id is a secret: {session}");
    assert!(!span.to_string().contains(&id));
    let span = collector.span("over unix");
    assert_eq!(attribute(&span, "network.transport"), "unix");
    assert_eq!(attribute(&span, "mcp.protocol.version"), "2026-07-28");
    assert_eq!(attribute(&span, "mcp.session.id"), "", "a modern request has none");
    assert_eq!(span["parentSpanId"], PARENT);
    program.end();
}

/// A tool that never answers.
struct Stall;

impl Tool for Stall {
    type Arguments<'a> = serde_json::Map<String, Value>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("stall", "Never answers.")
    }

    async fn call<'a>(&'a self, _: Self::Arguments<'a>, _: &mut CallContext) -> Result<(), ToolError> {
        std::future::pending().await
    }
}

/// What has no answer has a span all the same: of a call that its client cancelled, and of one whose client left.
#[test]
fn a_cancelled_request_ends_its_span() {
    let collector = Collector::start();
    let server = Server::builder("demo", "1").tool(Stall).build().expect("a server");
    let export = TraceExport::to(format!("{}/v1/traces", collector.endpoint())).as_json();
    server.export_traces(&export).expect("exported");
    let call = |id: &str| {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "traceparent": format!("00-{TRACE}-{PARENT}-01"),
        });
        request(&json!(id), "tools/call", &json!({"name": "stall", "arguments": {}, "_meta": meta}))
    };
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "one"}});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, peer) = tokio::io::duplex(64 * 1024);
        let (input, output) = tokio::io::split(peer);
        let drain = Drain::default();
        let talking = async {
            let (answers, mut requests) = tokio::io::split(client);
            for message in [call("one"), cancel, call("two")] {
                requests.write_all(format!("{message}\n").as_bytes()).await.expect("room");
            }
            // Lines are served in their order, so both have begun once this is answered.
            let ping = format!("{}\n", request(&json!("three"), "tools/list", &call("")["params"]));
            requests.write_all(ping.as_bytes()).await.expect("room");
            let mut line = String::new();
            tokio::io::BufReader::new(answers).read_line(&mut line).await.expect("an answer");
            assert!(line.contains("\"three\""), "{line}");
        };
        let _ = tokio::join!(serve_lines(&server, input, output, &drain), talking);
    });
    for id in ["one", "two"] {
        let span = collector.span(id);
        assert_eq!(
            (attribute(&span, "error.type"), &span["status"]["code"]),
            ("cancelled".to_owned(), &json!(2))
        );
        assert_eq!((&span["name"], &span["parentSpanId"]), (&json!("tools/call stall"), &json!(PARENT)));
        assert_eq!(attribute(&span, "rpc.response.status_code"), "", "there was no answer");
    }
    assert_eq!(attribute(&collector.span("three"), "error.type"), "");
}

/// By default a trace that its caller does not sample is not sampled here.
#[test]
fn a_caller_decides_whether_its_trace_is_sampled() {
    let collector = Collector::start();
    let [to, soon] = exported_to(&collector);
    let mut program = Program::serve(&[], &[(to.0, &to.1), (soon.0, &soon.1)]);
    program.ask(&initialize());
    for (id, flags) in [(1, "00"), (2, "01")] {
        let meta = json!({"traceparent": format!("00-{TRACE}-{PARENT}-{flags}")});
        program.ask(&request(&json!(id), "ping", &json!({"_meta": meta})));
    }
    collector.span("2");
    let ids: Vec<_> = collector.spans().iter().map(|span| attribute(span, "jsonrpc.request.id")).collect();
    assert_eq!(ids, ["hello", "2"]);
    program.end();
}

/// What waits for the next export goes with the drain. A machine may be too busy for that: then the program says so.
#[test]
fn a_drain_sends_what_waits() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let mut program = Program::serve(&[], &variables);
    program.ask(&initialize());
    assert_eq!(collector.spans(), Vec::<Value>::new(), "the next export is an hour away");
    let said = program.end();
    let came = collector.spans().len();
    assert!(came == 1 || said.contains("the collector did not take the last spans"), "{came}, {said}");
}

/// Spans beyond the queue are dropped, which is said once, and neither requests nor the end wait for the collector.
#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let mut program = Program::serve(
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "86400000"),
        ],
    );
    program.ask(&initialize());
    for id in 0..1_500 {
        let answer = program.ask(&request(&json!(id), "ping", &json!({})));
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {}}));
    }
    let said = program.end();
    assert_eq!(said.matches("spans are dropped").count(), 1, "{said}");
    assert!(said.contains("the collector did not take the last spans"), "{said}");
}

#[test]
fn without_an_endpoint_nothing_is_exported_and_a_bad_one_is_refused() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_SDK_DISABLED", "true")];
    let mut program = Program::serve(&[], &off);
    program.ask(&initialize());
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.child.id())).expect("threads");
    let names = threads.flatten().map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    let names: Vec<_> = names.map(Result::unwrap_or_default).collect();
    assert!(!names.iter().any(|name| name.starts_with("OpenTelemetry")), "{names:?}");
    program.end();
    assert_eq!(collector.spans(), Vec::<Value>::new());

    let mut program = Program::serve(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")]);
    let said: Vec<_> = program.errors.by_ref().map(|line| line.expect("text")).collect();
    assert!(!program.child.wait().expect("ends").success());
    assert!(said.join("\n").contains("is no endpoint for spans"), "{said:?}");
}

#[test]
fn a_server_exports_to_one_collector_and_reports_what_waits() {
    let server = Server::builder("demo", "1").build().expect("a server");
    let has_line = |server: &Server| server.memory().report().parts.iter().any(|part| part.name == "spans");
    assert!(!has_line(&server));
    for endpoint in ["", "localhost:4318", "ftp://localhost/v1/traces", "/v1/traces"] {
        let refused = server.export_traces(&TraceExport::to(endpoint)).expect_err("refused");
        assert!(matches!(&refused, TraceExportError::Endpoint(text) if text == endpoint), "{refused}");
    }
    let collector = Collector::start();
    let export = TraceExport::to(format!("{}/v1/traces", collector.endpoint()));
    server.export_traces(&export).expect("exported");
    assert!(has_line(&server));
    assert!(matches!(server.export_traces(&export), Err(TraceExportError::Repeated)));
}
