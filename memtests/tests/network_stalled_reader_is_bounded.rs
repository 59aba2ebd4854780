//! A client that does not read its stream costs what may wait for it and no more, however much there is to
//! tell, and nothing once its time is over.

use mcpool::{Limits, Server};
use mcpool_memtests::network::{
    Client, Host, Way, bodiless, legacy, listen, modern, modern_call, open_session,
};
use mcpool_memtests::tools::server;
use mcpool_memtests::{Figure, RUNTIME_BLOCKS, RUNTIME_BYTES, Watch, settled_heap};
use std::time::{Duration, Instant};

const MAX_STREAM_BYTES: usize = 128 * 1024;
const MAX_OUTBOX_BYTES: usize = 256 * 1024;
const EVENT_STORE_BYTES: usize = 64 * 1024;
const WRITE_TIMEOUT: Duration = Duration::from_millis(700);
/// Changes of the resource, and messages of each of the two kinds that the tool sends.
const CHANGES: u32 = 30_000;
const MESSAGES: u32 = 20_000;
/// Length of the resource's name, so that systems which keep megabytes for a reader have had enough soon.
const URI_BYTES: usize = 3_000;
/// The connection, its request, its session and the tables of the queues; a message that waits costs 100 B
/// beside its buffer.
const CONSTANT_BYTES: usize = 64 * 1024;

/// What the monitor makes once for a kind of request, with the first: its counts and its windows. What a stream leaves is a
/// segment of 16 KiB or more, or more blocks than the runtime's.
const MONITOR_BYTES: usize = 15 * 1024;

/// A stream that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// That of a modern call that floods its client.
    Call,
    /// That of the same call in a session of the legacy era.
    LegacyCall,
    /// A modern subscription to a resource that changes all the time.
    Subscription,
    /// The stream of a session of the legacy era that is subscribed to it.
    LegacySubscription,
}

pub(crate) fn network_stalled_reader_is_bounded() {
    let server = server(&Limits {
        max_stream_bytes: MAX_STREAM_BYTES,
        max_outbox_bytes: MAX_OUTBOX_BYTES,
        event_store_bytes: Some(EVENT_STORE_BYTES),
        write_timeout_ms: WRITE_TIMEOUT.as_millis() as usize,
        event_retention_ms: 100,
        // So few that they share one map, which is warm after the first.
        max_sessions: 100,
        progress_interval_ms: 0,
        ..Limits::default()
    });
    let host = Host::start(&server);
    for way in [Way::Tcp, Way::Unix] {
        for stream in [Stream::Call, Stream::LegacyCall, Stream::Subscription, Stream::LegacySubscription] {
            // Once to warm up: tables and pools stay, at the size that this takes.
            stall(&server, &host, way, stream, None);
            let is_legacy = matches!(stream, Stream::LegacyCall | Stream::LegacySubscription);
            let kept = if is_legacy { EVENT_STORE_BYTES } else { 0 };
            let allowed = MAX_STREAM_BYTES + MAX_OUTBOX_BYTES + kept + CONSTANT_BYTES;
            stall(&server, &host, way, stream, Some(allowed));
        }
    }
}

/// Holds the most bytes that the stream took, and what is left when its time is over, against what is allowed.
fn stall(server: &Server, host: &Host, way: Way, stream: Stream, allowed: Option<usize>) {
    warm_buffers(server);
    let watch = Watch::with_frames(8);
    let mut client = host.connect(way);
    client.narrow();
    let session = open(&mut client, stream);
    let is_call = matches!(stream, Stream::Call | Stream::LegacyCall);
    if is_call {
        flood(server);
    } else {
        change(server);
    }
    let peak_bytes = watch.stats().max_bytes;
    // The client is there, and reads nothing: the server has to give it up by itself.
    until("the connection is given up", || in_use(server, "exchanges") == 0);
    if let Some(session) = session {
        // What belongs to a session of the legacy era goes on without its client, until the session ends.
        let mut other = host.connect(way);
        other.send(&bodiless("DELETE", &session));
        other.read_until("\r\n\r\n", &mut [0; 1024]);
    }
    until("the request is gone", || server.pools().pools().iter().all(|pool| pool.snapshot().in_use == 0));
    if let Some(allowed) = allowed {
        let (left_blocks, left_bytes) = settled_heap(server);
        println!("{way:?} {stream:?}: {peak_bytes} B at most, {left_blocks} blocks of {left_bytes} B left");
        let what = format!("{way:?} {stream:?}");
        if peak_bytes > allowed {
            watch.fail(Figure::Peak, format_args!("{what}: {peak_bytes} B, allowed are {allowed} B"));
        }
        if left_blocks > RUNTIME_BLOCKS || left_bytes > RUNTIME_BYTES + MONITOR_BYTES {
            watch.fail(Figure::Live, format_args!("{what}: {left_blocks} blocks of {left_bytes} B are left"));
        }
    }
    drop(client);
}

fn uri() -> String {
    format!("note://{}", "x".repeat(URI_BYTES))
}

/// Opens the stream and reads no more than its beginning; gives the session, if there is one.
fn open(client: &mut Client, stream: Stream) -> Option<String> {
    let flood = format!(r#"{{"messages":{MESSAGES},"text":"more of the same"}}"#);
    let mut buffer = [0; 4096];
    match stream {
        Stream::Call => {
            client.send(&modern("tools/call", Some("flood"), &modern_call("flood", &flood, "")));
            None
        }
        Stream::Subscription => {
            client.send(&modern("subscriptions/listen", None, &listen(&uri())));
            client.read_until("acknowledged", &mut buffer);
            None
        }
        Stream::LegacyCall => {
            let session = open_session(client);
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"flood","arguments":{flood},"_meta":{{"progressToken":1}}}}}}"#
            );
            client.send(&legacy(&session, &call));
            Some(session)
        }
        Stream::LegacySubscription => {
            let session = open_session(client);
            let params = format!(r#"{{"uri":"{}"}}"#, uri());
            let subscribe =
                format!(r#"{{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{params}}}"#);
            client.exchange(&legacy(&session, &subscribe), &mut buffer);
            client.send(&bodiless("GET", &session));
            client.read_until("text/event-stream", &mut buffer);
            Some(session)
        }
    }
}

/// Waits until the tool has said all that it has to say, most of it to nobody.
fn flood(server: &Server) {
    let dropped = || server.metrics().dropped_notifications.total();
    let before = dropped();
    until("the queue is full", || dropped() > before);
    let mut last = 0;
    until("the tool has said all", || std::mem::replace(&mut last, dropped()) == dropped());
}

/// Changes the resource again and again, with time for the server to notify its client.
fn change(server: &Server) {
    let uri = uri();
    for change in 0..CHANGES {
        server.resource_updated(&uri);
        if change % 16 == 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Leases as many buffers as may be idle, so that all places for them are there, and gives them back. What is kept
/// of a pool's past begins with the first sample that follows its first use, and grows with what it has seen: now, not while the
/// stream is watched.
fn warm_buffers(server: &Server) {
    for _ in 0..2 {
        for class in [1, 4, 16, 64] {
            let leases: Vec<_> = (0..512).map(|_| server.buffers().acquire(class * 1024)).collect();
            drop(leases);
        }
        server.maintain();
    }
    for pool in server.pools().pools() {
        pool.trim(0);
    }
    let _ = server.memory().current_memory_usage();
}

fn in_use(server: &Server, pool: &str) -> u64 {
    server.pools().find(pool).map_or(0, |pool| pool.snapshot().in_use)
}
