//! What the clients do: read slowly, never, half, or leave, and send what is whole or not.

use crate::http::{Outcome, Pace, answer, call, head_of_answer, message, post, request};
use crate::{Dice, EDITED, Hour, PATIENCE, READ};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// What is sent without its end: each as large as may be without being a large message.
const UNFINISHED_BODY_BYTES: usize = 62_000;
const UNFINISHED_HEAD_BYTES: usize = 16_000;
const UNFINISHED_LINE_BYTES: usize = 60_000;
/// Resources of one subscription: 55 KB of names.
const URIS: usize = 250;
const URI_BYTES: usize = 200;

pub(crate) async fn client(hour: Arc<Hour>, number: u64) {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    dice.pause(&hour, 3_000).await;
    while !hour.is_over() {
        match dice.next(25) {
            0..=2 => read(&hour, &mut dice, Pace::Fast).await,
            3..=4 => read(&hour, &mut dice, Pace::Slow).await,
            5..=7 => never_read(&hour, &mut dice).await,
            8 => half_read(&hour, &mut dice).await,
            9 => half_a_body(&hour, &mut dice).await,
            10 => announce(&hour, &mut dice).await,
            11..=13 => write(&hour, &mut dice).await,
            14 => edit(&hour, &mut dice).await,
            15..=16 => session(&hour, &mut dice).await,
            17..=18 => lines(&hour, &mut dice).await,
            19 => listen(&hour, &mut dice).await,
            20..=22 => unfinished(&hour, &mut dice).await,
            _ => many_uris(&hour, &mut dice).await,
        }
        dice.pause(&hour, 1_500).await;
    }
}

fn read_call(hour: &Hour, dice: &mut Dice) -> Vec<u8> {
    let path = |name: &str| format!("{}/{name}", hour.folder);
    let (one, two) = (path(dice.of(&READ).0), path(dice.of(&READ[..3]).0));
    if dice.next(5) == 0 {
        return call("read_multiple_files", &format!(r#""paths":["{one}","{two}"]"#));
    }
    call("read_text_file", &format!(r#""path":"{one}""#))
}

fn write_call(hour: &Hour, dice: &mut Dice) -> Vec<u8> {
    let content = "x\\n\\\"".repeat(dice.of(&[20, 60_000, 600_000]));
    let path = format!("{}/w{}", hour.folder, dice.next(20));
    call("write_file", &format!(r#""path":"{path}","content":"{content}""#))
}

async fn read(hour: &Hour, dice: &mut Dice, pace: Pace) {
    ask(hour, if matches!(pace, Pace::Slow) { "read slowly" } else { "read" }, &read_call(hour, dice), pace)
        .await;
}

async fn write(hour: &Hour, dice: &mut Dice) {
    ask(hour, "write", &write_call(hour, dice), Pace::Fast).await;
}

async fn edit(hour: &Hour, dice: &mut Dice) {
    let path = format!("{}/{}", hour.folder, dice.of(&EDITED).0);
    let edits = r#""edits":[{"oldText":"first","newText":"first"}],"dryRun":true"#;
    ask(hour, "edit", &call("edit_file", &format!(r#""path":"{path}",{edits}"#)), Pace::Fast).await;
}

/// One request on a connection of its own.
async fn ask(hour: &Hour, act: &str, request: &[u8], pace: Pace) {
    let Some(mut stream) = hour.connect().await else { return hour.note(act, &Outcome::Unreachable) };
    // Who is refused early is answered before the body is read.
    let is_sent = stream.write_all(request).await.is_ok();
    let outcome = match answer(&mut stream, pace).await {
        Outcome::Lost(_) if !is_sent => Outcome::Unreachable,
        outcome => outcome,
    };
    hour.note(act, &outcome);
}

async fn never_read(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let _ = stream.write_all(&read_call(hour, dice)).await;
    dice.pause(hour, 15_000).await;
}

async fn half_read(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let _ = stream.write_all(&read_call(hour, dice)).await;
    let mut part = vec![0; 64 * 1024];
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut part)).await;
}

async fn half_a_body(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let request = write_call(hour, dice);
    let _ = stream.write_all(&request[..request.len() / 2]).await;
    dice.pause(hour, 5_000).await;
}

async fn announce(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let members = format!(r#""name":"write_file","arguments":{{"path":"{}/w","content":"x"}},"#, hour.folder);
    let _ = stream.write_all(&request("tools/call", "write_file", &members, 9_000_000)).await;
    dice.pause(hour, 5_000).await;
}

/// A session of a handshake revision, as the fields that name it.
async fn opened_session(hour: &Hour) -> Option<String> {
    let mut stream = hour.connect().await?;
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    stream.write_all(&post(hello, "", 0)).await.ok()?;
    let head = tokio::time::timeout(PATIENCE, head_of_answer(&mut stream)).await.ok()??;
    let Some(id) = head.field("mcp-session-id") else {
        hour.note("session", &Outcome::Status(head.status));
        return None;
    };
    Some(format!("MCP-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-06-18\r\n"))
}

/// Some calls in a session, a stream, and no end.
async fn session(hour: &Hour, dice: &mut Dice) {
    let Some(fields) = opened_session(hour).await else { return };
    let path = format!("{}/{}", hour.folder, dice.of(&READ).0);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"read_text_file","arguments":{{"path":"{path}"}}}}}}"#
    );
    if dice.next(2) == 0 {
        ask(hour, "read in a session", &post(&body, &fields, 0), Pace::Fast).await;
    } else if let Some(mut leaving) = hour.connect().await {
        let _ = leaving.write_all(&post(&body, &fields, 0)).await;
    }
    if let Some(mut events) = hour.connect().await {
        let get =
            format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{fields}\r\n");
        let _ = events.write_all(get.as_bytes()).await;
        dice.pause(hour, 8_000).await;
    }
}

/// Pipelined lines, of which one may have no end; their answers are read, or not.
async fn lines(hour: &Hour, dice: &mut Dice) {
    let Ok(mut stream) = UnixStream::connect(&hour.socket).await else { return };
    let count = 1 + dice.next(4);
    let mut sent = String::new();
    for _ in 0..count {
        let path = format!("{}/{}", hour.folder, dice.of(&READ).0);
        let arguments = format!(r#""name":"read_text_file","arguments":{{"path":"{path}"}},"#);
        let _ = writeln!(sent, "{}", message("tools/call", &arguments));
    }
    if dice.next(4) == 0 {
        sent.push_str(&"[".repeat(dice.of(&[100, 100_000, 4_000_000])));
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.write_all(sent.as_bytes())).await;
        return dice.pause(hour, 3_000).await;
    }
    if stream.write_all(sent.as_bytes()).await.is_err() {
        return hour.note("lines", &Outcome::Unreachable);
    }
    if dice.next(2) == 0 {
        return dice.pause(hour, 8_000).await;
    }
    let outcome = match tokio::time::timeout(PATIENCE, lines_of(&mut stream, count)).await {
        Ok(true) => Outcome::Status(200),
        Ok(false) => Outcome::Lost("the lines ended"),
        Err(_) => Outcome::Lost("no line in two minutes"),
    };
    hour.note("lines", &outcome);
}

async fn lines_of(stream: &mut UnixStream, count: u64) -> bool {
    let mut part = vec![0; 64 * 1024];
    let mut seen = 0;
    while seen < count {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return false,
            Ok(bytes) => seen += part[..bytes].split(|byte| *byte == b'\n').count() as u64 - 1,
        }
    }
    true
}

async fn listen(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let members = r#""notifications":{"toolsListChanged":true},"#;
    let _ = stream.write_all(&request("subscriptions/listen", "", members, 0)).await;
    dice.pause(hour, 10_000).await;
}

/// A body, a head or a line that is almost whole, and then silence.
async fn unfinished(hour: &Hour, dice: &mut Dice) {
    match dice.next(3) {
        0 => {
            let Some(mut stream) = hour.connect().await else { return };
            let content = "x".repeat(UNFINISHED_BODY_BYTES);
            let body = call("write_file", &format!(r#""path":"{}/w","content":"{content}""#, hour.folder));
            let _ = stream.write_all(&body[..body.len() - 1]).await;
            dice.pause(hour, 15_000).await;
        }
        1 => {
            let Some(mut stream) = hour.connect().await else { return };
            let mut head = String::from("POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
            while head.len() < UNFINISHED_HEAD_BYTES {
                let _ = write!(head, "X-Part-{}: {}\r\n", head.len(), "x".repeat(300));
            }
            head.truncate(UNFINISHED_HEAD_BYTES);
            let _ = stream.write_all(head.as_bytes()).await;
            dice.pause(hour, 15_000).await;
        }
        _ => {
            let Ok(mut stream) = UnixStream::connect(&hour.socket).await else { return };
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"#, "x".repeat(UNFINISHED_LINE_BYTES));
            let _ = stream.write_all(line.as_bytes()).await;
            dice.pause(hour, 15_000).await;
        }
    }
}

/// A subscription that names as many bytes of resources as a message of ordinary size can.
async fn many_uris(hour: &Hour, dice: &mut Dice) {
    let number = dice.next(1 << 30);
    let uri = |at: usize| format!("file:///{number}/{at}/{}", "u".repeat(URI_BYTES));
    if dice.next(2) == 0 {
        let Some(mut stream) = hour.connect().await else { return };
        let uris: Vec<_> = (0..URIS).map(uri).collect();
        let uris = serde_json::to_string(&uris).expect("text");
        let members = format!(r#""notifications":{{"resourceSubscriptions":{uris}}},"#);
        let _ = stream.write_all(&request("subscriptions/listen", "", &members, 0)).await;
        return dice.pause(hour, 15_000).await;
    }
    let Some(fields) = opened_session(hour).await else { return };
    let uri = uri(0).repeat(URIS);
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{{"uri":"{uri}"}}}}"#);
    ask(hour, "subscribe to a resource", &post(&body, &fields, 0), Pace::Fast).await;
}

/// Asks whether the server lives, each time on a connection of its own. It must always say so.
pub(crate) async fn probe(hour: Arc<Hour>) {
    while !hour.is_over() {
        let begun = Instant::now();
        let is_alive = matches!(tokio::time::timeout(PATIENCE, lives(&hour)).await, Ok(Some(200)));
        hour.probes.note(begun);
        if !is_alive {
            hour.failed_probes.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(100).saturating_sub(begun.elapsed())).await;
    }
}

async fn lives(hour: &Hour) -> Option<u16> {
    let mut stream = hour.connect().await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ok()?;
    Some(head_of_answer(&mut stream).await?.status)
}

/// One client that asks for little, and measures.
pub(crate) async fn small_requests(hour: Arc<Hour>) {
    let mut kept = None;
    while !hour.is_over() {
        let begun = Instant::now();
        let stream = match kept.take() {
            Some(stream) => Some(stream),
            None => hour.connect().await,
        };
        let Some(mut stream) = stream else {
            hour.note("small", &Outcome::Unreachable);
            continue;
        };
        let asked = stream.write_all(&request("tools/list", "", "", 0)).await;
        let outcome = answer(&mut stream, Pace::Fast).await;
        hour.small.note(begun);
        hour.note("small", &outcome);
        kept = (asked.is_ok() && matches!(outcome, Outcome::Status(200))).then_some(stream);
        sleep(Duration::from_millis(20)).await;
    }
}
