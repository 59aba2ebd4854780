//! A hundred thousand connections over sockets leave no block behind, whatever was said on them and however
//! their clients went.

use mcpool::Limits;
use mcpool_memtests::network::{
    Client, Host, Way, bodiless, legacy, listen, modern, modern_call, open_session,
};
use mcpool_memtests::tools::{NOTE, server};
use mcpool_memtests::{HANDSHAKE, assert_witness_sees, settled_heap};
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Visits of each kind, at most, before the first look: as many as later come at once.
const WARM_UP: usize = 500;
/// What maps may have grown by: their tables are halved at a quarter's use, not at each removal.
const SLACK_BYTES: usize = 16 * 1024;

/// A client that comes, does something, and goes.
type Visit = fn(&Host, &mut [u8]);

/// Each kind of visit, and how many there are of it: 100,000 in all.
const VISITS: [(&str, usize, Visit); 20] = [
    ("tcp, a modern call", 30_000, |host, buffer| call(host.connect(Way::Tcp), buffer)),
    ("unix, a modern call", 30_000, |host, buffer| call(host.connect(Way::Unix), buffer)),
    ("lines, a modern call", 19_000, |host, buffer| {
        exchange_line(&mut host.connect(Way::Lines), &ECHO_LINE, buffer);
    }),
    ("lines, a session", 9_000, line_session),
    ("tcp, a session that is deleted", 3_000, deleted_session),
    ("tcp, a session that is abandoned", 3_000, |host, _| drop(open_session(&mut host.connect(Way::Tcp)))),
    ("gone at once", 1_000, |host, _| drop(host.connect(Way::Tcp))),
    ("gone amid a head", 500, |host, _| send_part(host, 20)),
    ("gone amid a body", 500, |host, _| send_part(host, 400)),
    ("gone amid a line", 500, |host, _| host.connect(Way::Lines).send(b"{\"jsonrpc\":")),
    ("gone amid a call's stream", 500, |host, buffer| {
        stream(host, &flood(), ("tools/call", Some("flood")), "notifications/progress", buffer);
    }),
    ("gone amid a subscription", 500, |host, buffer| {
        stream(host, &listen(NOTE), ("subscriptions/listen", None), "acknowledged", buffer);
    }),
    ("gone amid a call on lines", 500, |host, buffer| {
        let mut client = host.connect(Way::Lines);
        client.send(&line(&flood()));
        client.read_until("notifications/progress", buffer);
    }),
    ("gone amid a subscription on lines", 500, |host, buffer| {
        let mut client = host.connect(Way::Lines);
        client.send(&line(&listen(NOTE)));
        client.read_until("acknowledged", buffer);
    }),
    ("gone amid the stream of a session", 300, session_stream),
    ("gone when asked over a stream", 200, asked_and_gone),
    ("half-closed", 400, half_closed),
    ("half-closed amid a head", 200, |host, buffer| {
        let mut client = host.connect(Way::Tcp);
        client.send(b"POST /mcp HTTP/1.1\r\nHo");
        client.half_close();
        while client.read(buffer).is_ok_and(|bytes| bytes > 0) {}
    }),
    ("asked in rounds", 200, rounds),
    ("a task that is left", 200, |host, buffer| {
        let mut client = host.connect(Way::Unix);
        let body = modern_call("later", r#"{"text":"x"}"#, "");
        let length = client.exchange(&modern("tools/call", Some("later"), &body), buffer);
        expect(&buffer[..length], "taskId");
    }),
];

fn expect(answer: &[u8], part: &str) {
    let text = String::from_utf8_lossy(answer);
    assert!(text.contains(part), "{part} is not in {text}");
}

static ECHO: LazyLock<String> = LazyLock::new(|| modern_call("echo", r#"{"text":"a \"b\""}"#, ""));
static ECHO_LINE: LazyLock<Vec<u8>> = LazyLock::new(|| line(&ECHO));
static ECHO_POST: LazyLock<Vec<u8>> = LazyLock::new(|| modern("tools/call", Some("echo"), &ECHO));

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

fn flood() -> String {
    modern_call("flood", r#"{"messages":1,"text":"x"}"#, "")
}

fn call(mut client: Client, buffer: &mut [u8]) {
    let length = client.exchange(&ECHO_POST, buffer);
    expect(&buffer[..length], r#""id":7,"result":"#);
}

fn exchange_line(client: &mut Client, line: &[u8], buffer: &mut [u8]) {
    let length = client.exchange(line, buffer);
    expect(&buffer[..length], r#""result":"#);
}

fn line_session(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Lines);
    exchange_line(&mut client, &line(HANDSHAKE[0]), buffer);
    client.send(&line(HANDSHAKE[1]));
    let subscribe =
        r#"{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"note://one"}}"#;
    exchange_line(&mut client, &line(subscribe), buffer);
}

fn deleted_session(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Tcp);
    let session = open_session(&mut client);
    client.exchange(&legacy(&session, r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#), buffer);
    client.send(&bodiless("DELETE", &session));
    let length = client.read_until("\r\n\r\n", buffer);
    expect(&buffer[..length], "HTTP/1.1 204");
}

/// Sends so many bytes of a request.
fn send_part(host: &Host, bytes: usize) {
    let mut client = host.connect(Way::Tcp);
    client.send(&ECHO_POST[..bytes]);
}

/// Begins to read a stream.
fn stream(host: &Host, body: &str, named: (&str, Option<&str>), part: &str, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Tcp);
    client.send(&modern(named.0, named.1, body));
    client.read_until(part, buffer);
}

fn session_stream(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Tcp);
    let session = open_session(&mut client);
    client.send(&bodiless("GET", &session));
    let length = client.read_until("\r\n\r\n", buffer);
    expect(&buffer[..length], "text/event-stream");
}

fn asked_and_gone(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Tcp);
    let session = open_session(&mut client);
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"ask","arguments":{"text":"who?"}}}"#;
    client.send(&legacy(&session, call));
    client.read_until("elicitation/create", buffer);
}

fn half_closed(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Tcp);
    client.send(&ECHO_POST);
    client.half_close();
    let length = client.read_answer(buffer);
    expect(&buffer[..length], r#""id":7,"result":"#);
}

fn rounds(host: &Host, buffer: &mut [u8]) {
    let mut client = host.connect(Way::Unix);
    let first = modern_call("ask", r#"{"text":"who?"}"#, "");
    let length = client.exchange(&modern("tools/call", Some("ask"), &first), buffer);
    expect(&buffer[..length], "input_required");
    let answer = std::str::from_utf8(&buffer[..length]).expect("text");
    let (_, rest) = answer.split_once(r#""requestState":""#).expect("a state");
    let (state, _) = rest.split_once('"').expect("a string");
    let responses = r#""inputResponses":{"who":{"action":"accept","content":{}}},"#;
    let second =
        modern_call("ask", r#"{"text":"who?"}"#, &format!(r#""requestState":"{state}",{responses}"#));
    let length = client.exchange(&modern("tools/call", Some("ask"), &second), buffer);
    expect(&buffer[..length], "accepted");
}

#[test]
fn network_connections_leave_nothing() {
    // Before all else: what is made now and replaced later must not count as new.
    let _profiler = dhat::Profiler::builder().testing().trim_backtraces(Some(8)).build();
    assert_witness_sees();
    let server = server(&Limits {
        session_timeout_ms: 200,
        client_request_timeout_ms: 200,
        event_retention_ms: 100,
        task_ttl_ms: 200,
        // How long a call may go on whose client left its line.
        drain_timeout_ms: 100,
        ..Limits::default()
    });
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * 1024];
    assert_eq!(VISITS.iter().map(|(_, count, _)| count).sum::<usize>(), 100_000);
    for (_, count, visit) in VISITS {
        (0..count.min(WARM_UP)).for_each(|_| visit(&host, &mut buffer));
    }
    let (start_blocks, start_bytes) = settled_heap(&server);
    // Nothing is printed before the end: what the test harness captures is heap too.
    let mut took = [std::time::Duration::ZERO; VISITS.len()];
    for (place, (_, count, visit)) in VISITS.into_iter().enumerate() {
        let began = std::time::Instant::now();
        (0..count).for_each(|_| visit(&host, &mut buffer));
        took[place] = began.elapsed();
    }
    let (end_blocks, end_bytes) = settled_heap(&server);
    for ((what, count, _), took) in VISITS.into_iter().zip(took) {
        println!("{what}: {count} in {took:?}");
    }
    println!("{start_blocks} blocks, {start_bytes} B before; {end_blocks} blocks, {end_bytes} B after");
    assert_eq!(server.sessions(), 0, "sessions are left");
    for pool in server.pools().pools() {
        assert_eq!(pool.snapshot().in_use, 0, "{} is in use", pool.name());
    }
    dhat::assert_eq!(end_blocks, start_blocks);
    dhat::assert!(end_bytes <= start_bytes + SLACK_BYTES, "{start_bytes} B before, {end_bytes} B after");
}
