//! Large messages that come at once are each answered, as long as they can be served one after the other.
//!
//! Over all transports, whole or in pieces, of one client or of several. In time that stands still while anything can move:
//! only counts decide.

use super::admission::{Admission, AdmissionConfig, PeerAddress};
use super::hang_up::Undetected;
use super::http::{HttpConnection, HttpShared};
use super::lines::{LineConnection, LineShared};
use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Drain, FairLimit, Server, Tool, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What large messages may have together, and the longest one: two of the longest never fit.
const ROOM_BYTES: usize = 7 * MIB / 4;
const MAX_FRAME_BYTES: usize = MIB;
/// How long a call holds its message.
const WORK: Duration = Duration::from_millis(30);

/// A tool that holds its message for a while, as one that writes a file does.
struct Work;

#[derive(Deserialize, JsonSchema)]
struct WorkArguments<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Tool for Work {
    type Arguments<'a> = WorkArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        // Nothing is made of the message.
        ToolDefinition::new("work", "Takes its time.").arguments::<WorkArguments<'_>>()
    }

    async fn call(&self, arguments: WorkArguments<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        sleep(WORK).await;
        call.text(&arguments.text.len().to_string());
        Ok(())
    }
}

/// Where the messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// One over standard input, the others from a Unix socket.
    Stdio,
    /// Lines from a Unix socket.
    Unix,
    /// Bodies that say how long they are.
    Http,
    /// Bodies that do not.
    Chunked,
}

/// How a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    AtOnce,
    /// A piece each millisecond.
    InPieces,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    over: Over,
    count: usize,
    bytes: usize,
    sent: Sent,
    /// Each message is of a client of its own.
    are_clients_apart: bool,
}

struct Host {
    lines: Arc<LineShared>,
    http: Arc<HttpShared>,
}

impl Host {
    fn new() -> Self {
        let limits =
            Limits { max_inflight_bytes: ROOM_BYTES, max_frame_bytes: MAX_FRAME_BYTES, ..Limits::default() };
        let server = Server::builder("test", "1").limits(limits).tool(Work).build().expect("a server");
        let admission = Admission::new(AdmissionConfig::default(), &Limits::default()).expect("rules");
        let drain = Drain::default();
        let lines = Arc::new(LineShared::new(&server, &drain));
        let http = Arc::new(HttpShared::new(server, admission, drain).expect("not served yet"));
        Self { lines, http }
    }

    /// The stream of the client of that number.
    fn connect(&self, row: Row, number: usize) -> DuplexStream {
        let (client, stream) = duplex(64 * KIB);
        let who = if row.are_clients_apart { u8::try_from(number).expect("few") + 1 } else { 1 };
        if matches!(row.over, Over::Stdio | Over::Unix) {
            let is_owner = row.over == Over::Stdio && number == 0;
            let peer = (!is_owner).then_some(PeerAddress::Unix { uid: u32::from(who) });
            let lines = Arc::clone(&self.lines);
            tokio::spawn(LineConnection::<_, Undetected>::new(lines, peer, stream));
        } else {
            let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::new(127, 0, 0, who)));
            let permit = FairLimit::new(1, 75).acquire(0).expect("a permit");
            let http = Arc::clone(&self.http);
            tokio::spawn(HttpConnection::<_, Undetected>::new(http, stream, address, permit));
        }
        client
    }
}

/// A call of the tool, of so many bytes.
fn call(bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"work","arguments":{{"text":"{text}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"t","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

fn request(over: Over, bytes: usize) -> String {
    let call = call(bytes);
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
                mcp-method: tools/call\r\nmcp-name: work\r\n";
    match over {
        Over::Stdio | Over::Unix => call + "\n",
        Over::Http => format!("{head}content-length: {}\r\n\r\n{call}", call.len()),
        Over::Chunked => {
            format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{call}\r\n0\r\n\r\n", call.len())
        }
    }
}

/// Sends a call, and gives the answer.
async fn ask(mut client: DuplexStream, row: Row) -> String {
    let request = request(row.over, row.bytes).into_bytes();
    for piece in request.chunks(if row.sent == Sent::AtOnce { request.len() } else { 64 * KIB }) {
        // Who is refused need not be read to the end.
        if client.write_all(piece).await.is_err() {
            break;
        }
        if row.sent == Sent::InPieces {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let mut answer = Vec::new();
    let is_line = matches!(row.over, Over::Stdio | Over::Unix);
    let reading = async {
        while !(is_line && answer.ends_with(b"\n")) {
            if client.read_buf(&mut answer).await.is_ok_and(|bytes| bytes > 0) {
                continue;
            }
            break;
        }
    };
    let _ = timeout(Duration::from_mins(1), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// How many of the messages are answered, and what the others are told.
async fn answered(row: Row) -> (usize, Vec<String>) {
    let host = Host::new();
    let asking: Vec<_> =
        (0..row.count).map(|number| tokio::spawn(ask(host.connect(row, number), row))).collect();
    let mut refusals = Vec::new();
    for asking in asking {
        let answer = asking.await.expect("no panic");
        if !answer.contains(&format!(r#""text":"{}""#, row.bytes)) {
            refusals.push(answer);
        }
    }
    (row.count - refusals.len(), refusals)
}

#[tokio::test(start_paused = true)]
async fn large_messages_that_come_at_once_are_answered_one_after_the_other() {
    let mut refused = Vec::new();
    for over in [Over::Stdio, Over::Unix, Over::Http, Over::Chunked] {
        for (count, kib) in
            [(2, 900), (4, 900), (20, 900), (2, 450), (20, 300), (4, 100), (20, 100), (60, 40)]
        {
            for (sent, are_clients_apart) in
                [(Sent::AtOnce, false), (Sent::InPieces, true), (Sent::AtOnce, true), (Sent::InPieces, false)]
                    .into_iter()
                    .take(if count < 20 { 4 } else { 2 })
            {
                let row = Row { over, count, bytes: kib * KIB, sent, are_clients_apart };
                let (answers, refusals) = answered(row).await;
                if answers < count {
                    refused.push(format!("{row:?}: {answers}, else {:?}", refusals.first()));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
