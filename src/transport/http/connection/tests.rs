//! Time-outs, drains, and how requests end with their peers.

use super::*;
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, FairLimit, Server, Tool, ToolError};
use crate::transport::admission::{Admission, AdmissionConfig};
use crate::transport::hang_up::Undetected;
use std::net::{IpAddr, Ipv4Addr};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A connection of a server without tools, with room for so many bytes in each direction.
fn served(room_bytes: usize, drain: &Drain) -> (DuplexStream, JoinHandle<()>) {
    served_by(Server::builder("test", "1").build().expect("a server"), room_bytes, drain)
}

fn served_by(server: Server, room_bytes: usize, drain: &Drain) -> (DuplexStream, JoinHandle<()>) {
    let admission = Admission::new(AdmissionConfig::default(), &Limits::default()).expect("rules");
    let shared = HttpShared::new(server, admission, drain.clone()).expect("not served yet");
    let (client, stream) = duplex(room_bytes);
    let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let permit = FairLimit::new(1, 75).acquire(0).expect("a permit");
    let shared = Arc::new(shared);
    (client, tokio::spawn(HttpConnection::<_, Undetected>::new(shared, stream, address, permit)))
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_comes_with_the_drain_ends_with_it() {
    let drain = Drain::default();
    let (mut client, serving) = served(64 * 1024, &drain);
    // It is idle, and both come before it is polled again.
    sleep(Duration::from_millis(1)).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
         mcp-method: subscriptions/listen\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).await.expect("room");
    drain.begin();
    let mut answer = String::new();
    let ended = timeout(Duration::from_hours(1), client.read_to_string(&mut answer)).await;
    assert!(ended.is_ok(), "it goes on: {answer}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serving.await.expect("it does not panic");
}

/// In time that stands still while anything can move: whenever a request comes within the grace of a drain, it is
/// answered, its answer closes the connection, and no connection stays longer.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_on_its_way_when_the_drain_begins_is_answered() {
    let steps = [-1_i64, 0, 1, 100, 249, 251, 400];
    for (first, late_ms) in [true, false].into_iter().flat_map(|first| steps.map(|late| (first, late))) {
        let drain = Drain::default();
        let (mut client, serving) = served(64 * 1024, &drain);
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        if !first {
            client.write_all(request).await.expect("room");
            let mut answer = vec![0; 1024];
            assert!(client.read(&mut answer).await.expect("an answer") > 0);
        }
        sleep(Duration::from_millis(20)).await;
        if late_ms < 0 {
            client.write_all(request).await.expect("room");
        }
        let began = Instant::now();
        drain.begin();
        if late_ms >= 0 {
            sleep(Duration::from_millis(late_ms.unsigned_abs())).await;
            let _ = client.write_all(request).await;
        }
        let mut answer = String::new();
        let _ = timeout(Duration::from_hours(1), client.read_to_string(&mut answer)).await.expect("an end");
        let is_answered = answer.starts_with("HTTP/1.1 200") && answer.contains("onnection: close");
        let grace_ms = i64::try_from(Drain::GRACE.as_millis()).expect("short");
        assert_eq!(is_answered, late_ms < grace_ms, "{first} {late_ms} ms: {answer:?}");
        drop(client);
        serving.await.expect("it does not panic");
        assert!(began.elapsed() <= Drain::GRACE.max(Duration::from_millis(late_ms.unsigned_abs())) + LINGER);
    }
}

/// In time that stands still while anything can move: the beginning of a request has no longer than a whole one.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_does_not_hold_up_a_drain() {
    for (sent_ms, more_ms) in [(0, None), (30, None), (0, Some(100)), (30, Some(100))] {
        let drain = Drain::default();
        let (mut client, serving) = served(64 * 1024, &drain);
        sleep(Duration::from_millis(20)).await;
        if sent_ms == 0 {
            client.write_all(b"G").await.expect("room");
            sleep(Duration::from_millis(20)).await;
        }
        let began = Instant::now();
        drain.begin();
        let sending = async {
            sleep(Duration::from_millis(sent_ms)).await;
            // Byte by byte it does not last longer either.
            while client.write_all(b"G").await.is_ok() {
                let Some(more_ms) = more_ms else { break };
                sleep(Duration::from_millis(more_ms)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sending => unreachable!("it waits for ever"),
            ended = serving => ended.expect("it does not panic"),
        }
        let took = began.elapsed();
        assert!(took <= Drain::GRACE + LINGER, "{sent_ms} {more_ms:?}: {took:?}");
    }
}

/// In time that stands still while anything can move: a body may take its time-out if it comes at the least rate, and
/// not much longer than a head if it does not.
#[tokio::test(start_paused = true)]
async fn a_body_has_a_least_rate() {
    let limits = Limits::default();
    let (soon, late) = (limits.header_timeout(), limits.body_timeout());
    let rows = [
        (0, Duration::from_secs(1), soon),
        (1, Duration::from_secs(1), soon),
        (limits.min_body_bytes_per_s / 2, Duration::from_secs(1), soon),
        (limits.min_body_bytes_per_s * 2, Duration::from_secs(1), late),
        (limits.min_body_bytes_per_s * 12, Duration::from_secs(9), late),
    ];
    for (bytes, every, ends_after) in rows {
        let began = Instant::now();
        let (mut client, serving) = served(64 * 1024, &Drain::default());
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: 9000000\r\n\r\n";
        client.write_all(head.as_bytes()).await.expect("room");
        let sending = async {
            loop {
                if client.write_all(&vec![b' '; bytes]).await.is_err() {
                    std::future::pending::<()>().await;
                }
                sleep(every).await;
            }
        };
        let refused = timeout(late * 2, async {
            tokio::select! {
                () = sending => unreachable!("it sends for ever"),
                ended = serving => ended,
            }
        });
        refused.await.expect("it ends").expect("it does not panic");
        let took = began.elapsed();
        // A large body is expected first, and who is refused may read why.
        let most = ends_after + EXPECTED + LINGER + every;
        assert!(took >= ends_after && took <= most, "{bytes} B each {every:?}: {took:?}");
    }
}

/// In time that stands still while anything can move: whenever there is room, within its time, a body goes on; after
/// that it is refused, and at once if it never fits.
#[tokio::test(start_paused = true)]
async fn a_body_waits_for_room_and_no_longer_than_it_may() {
    const ROOM: usize = 1 << 20;
    let most_ms = 5_000;
    for (bytes, free_ms) in [(500_000, 0), (500_000, 100), (500_000, 4_500), (500_000, 9_000), (2_000_000, 0)]
    {
        let limits = Limits { max_inflight_bytes: ROOM, ..Limits::default() };
        let server = Server::builder("test", "1").limits(limits).build().expect("a server");
        let full = server.common_pools().leased.reserve(ROOM);
        let began = Instant::now();
        let (mut client, serving) = served_by(server.clone(), 64 * 1024, &Drain::default());
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nexpect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.expect("room");
        let freeing = tokio::spawn(async move {
            sleep(Duration::from_millis(free_ms)).await;
            drop(full);
        });
        let mut answer = vec![0; 2_000];
        let read = client.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        let took_ms = u64::try_from(began.elapsed().as_millis()).expect("short");
        let (status, earliest_ms) = match (bytes > ROOM, free_ms < most_ms) {
            (true, _) => ("413", 0),
            (false, true) => ("100", free_ms),
            (false, false) => ("503", most_ms),
        };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes} {free_ms}: {answer}");
        assert!((earliest_ms..=earliest_ms + 200).contains(&took_ms), "{bytes} {free_ms}: {took_ms} ms");
        drop(client);
        serving.await.expect("it does not panic");
        let refused = u64::from(status != "100");
        assert_eq!(server.memory().report().pressure.refused, refused);
        freeing.await.expect("it does not panic");
        assert_eq!(server.common_pools().leased.used_bytes(), 0);
    }
}

/// A tool that is done after so many milliseconds.
struct Slow;

#[derive(serde::Deserialize)]
struct Wait {
    ms: u64,
}

impl Tool for Slow {
    type Arguments<'a> = Wait;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("slow", "Waits.").input_schema(r#"{"type":"object"}"#)
    }

    async fn call(&self, wait: Wait, call: &mut CallContext) -> Result<(), ToolError> {
        sleep(Duration::from_millis(wait.ms)).await;
        call.text("done");
        Ok(())
    }
}

fn slow_call(ms: u64, version: &str, accept: &str) -> String {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"slow","arguments":{{"ms":{ms}}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"t","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    format!(
        "POST /mcp HTTP/{version}\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: {accept}\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: slow\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "application/json";
const BOTH: &str = "application/json, text/event-stream";

/// In time that stands still while anything can move: who sends whole requests and nothing more has their answers, then
/// the connection ends; half a request ends at once. One of HTTP/1.0 has its answer within the time that a peer may take to
/// read, as nothing that can be written before it would show whether it is there.
#[tokio::test(start_paused = true)]
async fn who_sends_nothing_more_has_its_answers() {
    let livez = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned();
    let call = |ms, accept| slow_call(ms, "1.1", accept);
    for (sent, answers) in [
        (livez.clone(), 1),
        (livez.repeat(3), 3),
        (call(0, BOTH), 1),
        (call(10, BOTH), 1),
        (call(10, JSON), 1),
        (call(400, BOTH), 1),
        (call(5_000, JSON), 1),
        (call(100_000, BOTH), 1),
        (call(100_000, JSON), 1),
        (livez.replace("HTTP/1.1", "HTTP/1.0"), 1),
        (slow_call(10, "1.0", JSON), 1),
        (slow_call(10, "1.0", BOTH), 1),
        (slow_call(29_000, "1.0", JSON), 1),
        (slow_call(31_000, "1.0", JSON), 0),
        (format!("{}{livez}{}", call(700, BOTH), call(10, BOTH)), 3),
        (livez[..20].to_owned(), 0),
        (format!("{livez}{}", &livez[..20]), 1),
        (call(10, BOTH)[..300].to_owned(), 0),
    ] {
        let server = Server::builder("test", "1").tool(Slow).build().expect("a server");
        let (mut client, serving) = served_by(server, 64 * 1024, &Drain::default());
        client.write_all(sent.as_bytes()).await.expect("room");
        client.shutdown().await.expect("half a close");
        let mut answer = String::new();
        let reading = timeout(Duration::from_hours(1), client.read_to_string(&mut answer));
        reading.await.expect("an end").expect("text");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), answers, "{sent}: {answer}");
        let calls = if answers > 0 { sent.matches("\"slow\"").count() } else { 0 };
        assert_eq!(answer.matches("done").count(), calls, "{sent}: {answer}");
        // What shows that it is there comes a few times a minute, and none of it in the body of an answer.
        assert!(answer.matches("HTTP/1.1 100").count() <= 9, "{sent}: {answer}");
        timeout(LINGER * 2, serving).await.expect("it ends").expect("it does not panic");
    }
}

/// In time that stands still while anything can move: the write to who is gone fails. A request of HTTP/1.0, for which there
/// is nothing to write, ends when its peer has had its time.
#[tokio::test(start_paused = true)]
async fn a_request_ends_with_its_peer() {
    let write_timeout = Limits::default().write_timeout();
    let at_once = Duration::ZERO;
    for (version, accept, lasts) in
        [("1.1", BOTH, at_once), ("1.1", JSON, at_once), ("1.0", JSON, write_timeout)]
    {
        let server = Server::builder("test", "1").tool(Slow).build().expect("a server");
        let (mut client, serving) = served_by(server, 64 * 1024, &Drain::default());
        client.write_all(slow_call(600_000, version, accept).as_bytes()).await.expect("room");
        sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        drop(client);
        serving.await.expect("it does not panic");
        let took = began.elapsed();
        assert!(took >= lasts && took <= lasts + Duration::from_millis(5), "{version} {accept}: {took:?}");
    }
}

/// A reader may stop at any time after any pace: the time-out runs from then, and no interval before it counts.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_gone_after_its_time_out() {
    let limits = Limits::default();
    for (stops_after, bytes) in [(0, 0), (1, 40_000), (7, 2_000), (29, 2_000), (31, 1_000), (44, 1_000)] {
        let (client, serving) = served(1024, &Drain::default());
        let (mut reader, mut writer) = tokio::io::split(client);
        let sending = tokio::spawn(async move {
            loop {
                writer.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            }
            #[expect(unreachable_code, reason = "the type of the error")]
            Ok::<(), io::Error>(())
        });
        let began = Instant::now();
        let mut buffer = vec![0; bytes];
        while began.elapsed() < Duration::from_secs(stops_after) {
            let _ = timeout(Duration::from_millis(100), reader.read_exact(&mut buffer)).await;
            sleep(Duration::from_millis(100)).await;
        }
        assert!(!serving.is_finished(), "it ends although its peer reads: {stops_after}");
        let ended = timeout(limits.write_timeout() * 5 / 4 + Duration::from_secs(1), serving).await;
        assert!(ended.is_ok(), "it goes on: {stops_after}");
        sending.abort();
    }
}

/// In time that stands still while anything can move.
#[tokio::test(start_paused = true)]
async fn a_reader_has_a_least_rate() {
    let limits = Limits::default();
    let rows = [
        (0, Duration::from_secs(1), true),
        // A byte each time that the time-out is nearly over.
        (1, Duration::from_secs(29), true),
        (limits.min_write_bytes_per_s / 2, Duration::from_secs(1), true),
        (limits.min_write_bytes_per_s * 2, Duration::from_secs(1), false),
    ];
    for (bytes, every, ends) in rows {
        let (client, serving) = served(1024, &Drain::default());
        let (mut reader, mut writer) = tokio::io::split(client);
        let sending = tokio::spawn(async move {
            let requests = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20_000);
            writer.write_all(requests.as_bytes()).await
        });
        let began = Instant::now();
        let mut buffer = vec![0; bytes];
        while began.elapsed() < 4 * limits.write_timeout() && !serving.is_finished() {
            sleep(every).await;
            let mut taken = 0;
            while taken < bytes {
                match timeout(Duration::from_millis(1), reader.read(&mut buffer[taken..])).await {
                    Ok(Ok(read)) if read > 0 => taken += read,
                    _ => break,
                }
            }
        }
        assert_eq!(serving.is_finished(), ends, "{bytes} B each {every:?}");
        sending.abort();
    }
}

/// What comes whole in one read costs nothing there; half of it is entered while its connection sleeps.
#[tokio::test(start_paused = true)]
async fn what_comes_whole_in_one_read_is_in_no_table_of_unfinished_messages() {
    let server = Server::builder("test", "1").tool(Slow).build().expect("a server");
    let (mut client, _serving) = served_by(server.clone(), 64 * 1024, &Drain::default());
    let entered = || [true, false].map(|is_large| server.memory().incoming(is_large).entered());
    let livez = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned();
    let call = slow_call(0, "1.1", JSON);
    let padded = livez.replace("host:", &format!("x: {}\r\nhost:", "x".repeat(3_000)));
    for (sent, answers) in [(livez.clone(), 1), (livez.repeat(20), 20), (call.repeat(3), 3), (padded, 1)] {
        client.write_all(sent.as_bytes()).await.expect("room");
        let mut answer = String::new();
        while answer.matches("HTTP/1.1 200").count() < answers {
            let mut bytes = vec![0; 4096];
            let read = client.read(&mut bytes).await.expect("an answer");
            assert!(read > 0, "closed: {answer}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(entered(), [0, 0], "{sent}");
    }
    for half in [&livez[..20], &livez[20..], &call[..call.len() - 10], &call[call.len() - 10..]] {
        client.write_all(half.as_bytes()).await.expect("room");
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(entered(), [0, 2]);
}

/// What is announced and has not come takes no pages, and has a line of its own.
#[tokio::test(start_paused = true)]
async fn the_ledger_tells_what_came_of_a_body_from_what_is_announced() {
    const BYTES: usize = 5_000_000;
    let server = Server::builder("test", "1").build().expect("a server");
    let (mut client, serving) = served_by(server.clone(), 64 * 1024, &Drain::default());
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {BYTES}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("room");
    let mut sent = 0;
    for upto in [100_000, 1_000_000, 4_000_000] {
        client.write_all(&vec![b' '; upto - sent]).await.expect("room");
        sent = upto;
        sleep(Duration::from_millis(1)).await;
        let report = server.memory().report();
        let line = |name: &str| report.part(name).map_or(0, |part| part.bytes);
        assert_eq!(line("buffers, announced"), (BYTES - sent) as u64);
        assert_eq!(line("buffers, leased"), (head.len() + sent) as u64, "{:#?}", report.parts);
    }
    drop(client);
    serving.await.expect("it does not panic");
    assert_eq!(server.announced().used_bytes(), 0);
}
