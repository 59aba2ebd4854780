//! A hundred thousand sessions over sockets, and the connections of clients that have none, leave no block behind,
//! whatever was said on them and however their clients went.

use mcpool::{Limits, Server};
use mcpool_memtests::network::{
    Client, Host, Way, bodiless, legacy, listen, modern, modern_call, open_session, post,
};
use mcpool_memtests::tools::{CRASH, NOTE, server};
use mcpool_memtests::{Figure, HANDSHAKE, RUNTIME_BLOCKS, Watch, settled_heap, warm_threads};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Sessions of the legacy era, all kinds of their visits together.
const SESSIONS: usize = 100_000;
/// Visits of each kind, at most, before the first look: as many as later come at once.
const WARM_UP: usize = 200;
/// What maps may have grown by, whose tables are halved at a quarter's use and not at each removal, and what pools
/// remember of their past. Less than a byte for each that came.
const SLACK_BYTES: usize = 64 * 1024;
/// What the monitor makes once, when a kind of request or a load is seen for the first time: less than a block for each of
/// the visits of any kind.
const MONITOR_BLOCKS: usize = 64;

/// The clients of this test.
struct Visitor<'a> {
    host: &'a Host,
    /// A connection that stays open, for what belongs to no connection.
    kept: Client,
    buffer: Vec<u8>,
}

/// A client that comes, does something, and goes.
type Visit = fn(&mut Visitor<'_>);

/// How sessions over HTTP are left, and how many are in each way.
const HTTP_SESSIONS: [(&str, usize, Visit); 14] = [
    ("opened and never used: expires", 80_000, |visitor| {
        let opened = visitor.kept.exchange(&OPENING, &mut visitor.buffer);
        expect(&visitor.buffer[..opened], "mcp-session-id: ");
    }),
    ("DELETE", 4_000, |visitor| {
        let session = open_session(&mut visitor.kept);
        visitor.delete(&session);
    }),
    ("end of input", 1_500, |visitor| drop(visitor.session())),
    ("half-closed", 300, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &ECHO_LEGACY));
        client.half_close();
        let length = client.read_answer(&mut visitor.buffer);
        expect(&visitor.buffer[..length], ECHOED);
    }),
    ("reset", 500, |visitor| visitor.session().0.reset()),
    ("reset amid a call", 300, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &call("steps", STEPS)));
        client.reset();
    }),
    ("amid a head", 300, |visitor| visitor.part_of_session(30)),
    ("amid a body", 300, |visitor| visitor.part_of_session(330)),
    ("amid a call's stream", 300, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &call("steps", STEPS)));
        client.read_until("notifications/progress", &mut visitor.buffer);
    }),
    ("amid the session's stream", 300, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&bodiless("GET", &session));
        let length = client.read_until("\r\n\r\n", &mut visitor.buffer);
        expect(&visitor.buffer[..length], "text/event-stream");
    }),
    ("asked over a stream", 200, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &call("ask", TEXT)));
        client.read_until("elicitation/create", &mut visitor.buffer);
    }),
    ("a call that is cancelled", 500, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &call("flood", r#"{"messages":1,"text":"x"}"#)));
        client.read_until("notifications/progress", &mut visitor.buffer);
        let length = visitor.kept.exchange(&legacy(&session, CANCEL), &mut visitor.buffer);
        expect(&visitor.buffer[..length], "HTTP/1.1 202");
    }),
    ("DELETE amid a call that never ends", 500, |visitor| {
        let (mut client, session) = visitor.session();
        client.send(&legacy(&session, &call("flood", r#"{"messages":1,"text":"x"}"#)));
        client.read_until("notifications/progress", &mut visitor.buffer);
        visitor.delete(&session);
    }),
    ("a panic in a handler", 500, |visitor| {
        let (mut client, session) = visitor.session();
        let length = client.exchange(&legacy(&session, &call("crash", TEXT)), &mut visitor.buffer);
        expect(&visitor.buffer[..length], PANICKED);
    }),
];

/// How sessions on lines are left: each is of its connection.
const LINE_SESSIONS: [(&str, usize, Visit); 7] = [
    ("end of input, subscribed", 7_700, |visitor| {
        let mut client = visitor.line_session();
        let subscribe =
            r#"{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"note://one"}}"#;
        visitor.exchange_line(&mut client, subscribe, r#""result":{}"#);
    }),
    ("half-closed", 300, |visitor| {
        let mut client = visitor.line_session();
        client.half_close();
        while client.read(&mut visitor.buffer).is_ok_and(|bytes| bytes > 0) {}
    }),
    ("amid a line", 500, |visitor| visitor.line_session().send(b"{\"jsonrpc\":")),
    ("amid a call", 500, |visitor| visitor.line_session().send(&line(&call("stall", TEXT)))),
    ("amid a call's messages", 300, |visitor| {
        let mut client = visitor.line_session();
        client.send(&line(&call("flood", r#"{"messages":1,"text":"x"}"#)));
        client.read_until("notifications/progress", &mut visitor.buffer);
    }),
    ("a call that is cancelled", 700, |visitor| {
        let mut client = visitor.line_session();
        client.send(&line(&call("stall", TEXT)));
        client.send(&line(CANCEL));
        visitor.exchange_line(&mut client, &ECHO_LEGACY, ECHOED);
    }),
    ("a panic in a handler", 500, |visitor| {
        let mut client = visitor.line_session();
        visitor.exchange_line(&mut client, &call("crash", TEXT), PANICKED);
    }),
];

/// How clients of the modern era go, which have no session.
const CONNECTIONS: [(&str, usize, Visit); 20] = [
    ("tcp, a call", 1_000, |visitor| visitor.modern_call(Way::Tcp)),
    ("unix, a call", 1_000, |visitor| visitor.modern_call(Way::Unix)),
    ("lines, a call", 1_000, |visitor| {
        let mut client = visitor.host.connect(Way::Lines);
        visitor.exchange_line(&mut client, &ECHO, ECHOED);
    }),
    ("gone at once", 500, |visitor| drop(visitor.host.connect(Way::Tcp))),
    ("reset at once", 500, |visitor| visitor.host.connect(Way::Tcp).reset()),
    ("reset amid a call", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Tcp);
        client.send(&ECHO_POST);
        client.reset();
    }),
    ("gone amid a head", 300, |visitor| visitor.part(20)),
    ("gone amid a body", 300, |visitor| visitor.part(400)),
    ("gone amid a line", 300, |visitor| visitor.host.connect(Way::Lines).send(b"{\"jsonrpc\":")),
    // Which cancels it.
    ("gone amid a call's stream", 300, |visitor| {
        visitor.stream(&flood(), ("tools/call", Some("flood")), "notifications/progress");
    }),
    ("gone amid a subscription", 300, |visitor| {
        visitor.stream(&listen(NOTE), ("subscriptions/listen", None), "acknowledged");
    }),
    ("gone amid a call on lines", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Lines);
        client.send(&line(&flood()));
        client.read_until("notifications/progress", &mut visitor.buffer);
    }),
    ("gone amid a subscription on lines", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Lines);
        client.send(&line(&listen(NOTE)));
        client.read_until("acknowledged", &mut visitor.buffer);
    }),
    ("a call on lines that is cancelled", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Lines);
        client.send(&line(&flood()));
        client.send(&line(CANCEL));
        client.send(&line(&ECHO));
        client.read_until(ECHOED, &mut visitor.buffer);
    }),
    ("half-closed", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Tcp);
        client.send(&ECHO_POST);
        client.half_close();
        let length = client.read_answer(&mut visitor.buffer);
        expect(&visitor.buffer[..length], ECHOED);
    }),
    ("half-closed amid a head", 200, |visitor| {
        let mut client = visitor.host.connect(Way::Tcp);
        client.send(b"POST /mcp HTTP/1.1\r\nHo");
        client.half_close();
        while client.read(&mut visitor.buffer).is_ok_and(|bytes| bytes > 0) {}
    }),
    ("asked in rounds", 200, rounds),
    ("a task that is left", 200, |visitor| {
        let mut client = visitor.host.connect(Way::Unix);
        let post = modern("tools/call", Some("later"), &modern_call("later", TEXT, ""));
        let length = client.exchange(&post, &mut visitor.buffer);
        expect(&visitor.buffer[..length], "taskId");
    }),
    ("a panic in a handler", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Tcp);
        let post = modern("tools/call", Some("crash"), &modern_call("crash", TEXT, ""));
        let length = client.exchange(&post, &mut visitor.buffer);
        expect(&visitor.buffer[..length], PANICKED);
    }),
    ("a panic in a handler on lines", 300, |visitor| {
        let mut client = visitor.host.connect(Way::Lines);
        visitor.exchange_line(&mut client, &modern_call("crash", TEXT, ""), PANICKED);
    }),
];

const TEXT: &str = r#"{"text":"x"}"#;
/// More than anybody reads of.
const STEPS: &str = r#"{"messages":20,"text":"x"}"#;
const CANCEL: &str = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
const ECHOED: &str = r#""id":7,"result":"#;
const PANICKED: &str = "the tool panicked";

static OPENING: LazyLock<Vec<u8>> = LazyLock::new(|| post("", HANDSHAKE[0]));
static ECHO: LazyLock<String> = LazyLock::new(|| modern_call("echo", r#"{"text":"a \"b\""}"#, ""));
static ECHO_LEGACY: LazyLock<String> = LazyLock::new(|| call("echo", r#"{"text":"a \"b\""}"#));
static ECHO_POST: LazyLock<Vec<u8>> = LazyLock::new(|| modern("tools/call", Some("echo"), &ECHO));

/// A call of the legacy era.
fn call(tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":1}}}}}}"#
    )
}

fn flood() -> String {
    modern_call("flood", r#"{"messages":1,"text":"x"}"#, "")
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

#[track_caller]
fn expect(answer: &[u8], part: &str) {
    let text = String::from_utf8_lossy(answer);
    assert!(text.contains(part), "{part} is not in {text}");
}

impl Visitor<'_> {
    /// A session over HTTP on a connection of its own.
    fn session(&mut self) -> (Client, String) {
        let mut client = self.host.connect(Way::Tcp);
        let session = open_session(&mut client);
        (client, session)
    }

    /// A session on lines.
    fn line_session(&mut self) -> Client {
        let mut client = self.host.connect(Way::Lines);
        self.exchange_line(&mut client, HANDSHAKE[0], r#""result":"#);
        client.send(&line(HANDSHAKE[1]));
        client
    }

    fn exchange_line(&mut self, client: &mut Client, text: &str, part: &str) {
        let length = client.exchange(&line(text), &mut self.buffer);
        expect(&self.buffer[..length], part);
    }

    fn delete(&mut self, session: &str) {
        self.kept.send(&bodiless("DELETE", session));
        let length = self.kept.read_until("\r\n\r\n", &mut self.buffer);
        expect(&self.buffer[..length], "HTTP/1.1 204");
    }

    fn modern_call(&mut self, way: Way) {
        let length = self.host.connect(way).exchange(&ECHO_POST, &mut self.buffer);
        expect(&self.buffer[..length], ECHOED);
    }

    /// Sends so many bytes of a request.
    fn part(&mut self, bytes: usize) {
        self.host.connect(Way::Tcp).send(&ECHO_POST[..bytes]);
    }

    /// Opens a session and sends so many bytes of its first request.
    fn part_of_session(&mut self, bytes: usize) {
        let (mut client, session) = self.session();
        client.send(&legacy(&session, &ECHO_LEGACY)[..bytes]);
    }

    /// Begins to read a stream.
    fn stream(&mut self, body: &str, named: (&str, Option<&str>), part: &str) {
        let mut client = self.host.connect(Way::Tcp);
        client.send(&modern(named.0, named.1, body));
        client.read_until(part, &mut self.buffer);
    }
}

fn rounds(visitor: &mut Visitor<'_>) {
    let mut client = visitor.host.connect(Way::Unix);
    let first = modern_call("ask", TEXT, "");
    let length = client.exchange(&modern("tools/call", Some("ask"), &first), &mut visitor.buffer);
    expect(&visitor.buffer[..length], "input_required");
    let answer = std::str::from_utf8(&visitor.buffer[..length]).expect("text");
    let (_, rest) = answer.split_once(r#""requestState":""#).expect("a state");
    let (state, _) = rest.split_once('"').expect("a string");
    let responses = r#""inputResponses":{"who":{"action":"accept","content":{}}},"#;
    let second = modern_call("ask", TEXT, &format!(r#""requestState":"{state}",{responses}"#));
    let length = client.exchange(&modern("tools/call", Some("ask"), &second), &mut visitor.buffer);
    expect(&visitor.buffer[..length], "accepted");
}

/// What nobody uses expires.
fn until_sessions_end(server: &Server) {
    let began = Instant::now();
    while server.sessions() > 0 {
        assert!(began.elapsed() < Duration::from_mins(2), "{} sessions are left", server.sessions());
        server.maintain();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Panics that are meant to be are not printed.
fn expect_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|text| text.contains(CRASH)) {
            hook(panic);
        }
    }));
}

pub(crate) fn network_connections_leave_nothing() {
    // Before all else: what is made now and replaced later must not count as new.
    let watch = Watch::with_frames(8);
    expect_panics();
    let server = server(&Limits {
        // Longer than a client on a busy machine takes between two requests.
        session_timeout_ms: 10_000,
        client_request_timeout_ms: 200,
        event_retention_ms: 100,
        task_ttl_ms: 200,
        // How long a call may go on whose client left its line.
        drain_timeout_ms: 100,
        ..Limits::default()
    });
    let host = Host::start(&server);
    let mut visitor = Visitor { host: &host, kept: host.connect(Way::Tcp), buffer: vec![0; 64 * 1024] };
    let sessions: Vec<_> = HTTP_SESSIONS.into_iter().chain(LINE_SESSIONS).collect();
    assert_eq!(sessions.iter().map(|(_, count, _)| count).sum::<usize>(), SESSIONS);
    let visits: Vec<_> = sessions.into_iter().chain(CONNECTIONS).collect();
    warm_threads(&server);
    for (_, count, visit) in &visits {
        (0..WARM_UP.min(*count)).for_each(|_| visit(&mut visitor));
    }
    let opened = server.metrics().sessions_opened.total();
    // Nothing is printed before the end: what the test harness captures is heap too.
    let mut took = vec![Duration::ZERO; visits.len()];
    until_sessions_end(&server);
    let (start_blocks, start_bytes) = settled_heap(&server);
    for ((_, count, visit), took) in visits.iter().zip(&mut took) {
        let began = Instant::now();
        (0..*count).for_each(|_| visit(&mut visitor));
        *took = began.elapsed();
    }
    until_sessions_end(&server);
    let (end_blocks, end_bytes) = settled_heap(&server);
    for ((what, count, _), took) in visits.iter().zip(took) {
        println!("{what}: {count} in {took:?}");
    }
    println!("{start_blocks} blocks, {start_bytes} B before; {end_blocks} blocks, {end_bytes} B after");
    let http_sessions: usize = HTTP_SESSIONS.iter().map(|(_, count, _)| count).sum();
    assert_eq!(server.metrics().sessions_opened.total() - opened, http_sessions as u64);
    assert_eq!(server.sessions(), 0, "sessions are left");
    for pool in server.pools().pools() {
        assert_eq!(pool.snapshot().in_use, 0, "{} is in use", pool.name());
    }
    if end_blocks > start_blocks + RUNTIME_BLOCKS + MONITOR_BLOCKS || end_bytes > start_bytes + SLACK_BYTES {
        let before = format_args!("{start_blocks} blocks, {start_bytes} B before");
        let message = format_args!("{before}, {end_blocks} blocks, {end_bytes} B after");
        watch.fail(Figure::Live, message);
    }
}
