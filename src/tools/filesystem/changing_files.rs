//! Files that change while they are sent: each way to ask for one, over lines and HTTP, each change, at each moment.
//!
//! A moment is a number of bytes that the reader took, after which the server has done all that it can until the reader takes
//! more; and the stall of a reader passes while time stands still otherwise. So each moment is the same in each run, however
//! busy the machine is.

use super::Filesystem;
use crate::limits::Limits;
use crate::server::{Drain, FairLimit, Server};
use crate::transport::admission::{Admission, AdmissionConfig, PeerAddress};
use crate::transport::http::{HttpConnection, HttpShared};
use crate::transport::{Undetected, serve_lines};
use memchr::memmem;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::time::{sleep, timeout};

const KIB: usize = 1024;
/// Longer than what is written ahead of a reader, many times.
const FILE_BYTES: usize = 240 * KIB;
const LINE: &[u8] = b"abcdefghi\n";

/// What is done to a file while it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    ByteAt(usize),
    Rewritten,
    Grown,
    Appended,
    Cut,
    Removed,
    Replaced,
}

const EDITS: [Edit; 9] = [
    Edit::ByteAt(0),
    Edit::ByteAt(FILE_BYTES / 2),
    Edit::ByteAt(FILE_BYTES - 1),
    Edit::Rewritten,
    Edit::Grown,
    Edit::Appended,
    Edit::Cut,
    Edit::Removed,
    Edit::Replaced,
];

impl Edit {
    fn make(self, path: &Path) {
        let other = b"ABCDEFGHI\n".repeat(FILE_BYTES / LINE.len() + 1);
        let open = || OpenOptions::new().write(true).open(path).expect("the file");
        match self {
            Self::ByteAt(at) => open().write_all_at(b"#", at as u64).expect("written"),
            Self::Rewritten => open().write_all_at(&other[..FILE_BYTES], 0).expect("written"),
            Self::Grown => open().write_all_at(&other.repeat(2), 0).expect("written"),
            Self::Appended => open().write_all_at(b"more\n", FILE_BYTES as u64).expect("written"),
            Self::Cut => open().set_len(100).expect("cut"),
            Self::Removed => std::fs::remove_file(path).expect("removed"),
            Self::Replaced => {
                let beside = path.with_extension("new");
                std::fs::write(&beside, &other[..FILE_BYTES]).expect("written");
                std::fs::rename(beside, path).expect("renamed");
            }
        }
    }

    /// Whether who has the file open finds it as it was.
    fn keeps_the_open_file(self) -> bool {
        matches!(self, Self::Removed | Self::Replaced)
    }
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The reader took the first byte.
    Begun,
    /// It took all of the first copy of the text, of answers that have two, and some of the second.
    InTheCopy,
    /// It took some bytes, and then nothing for so long that what waits for it was dropped.
    Stalled,
}

const MOMENTS: [Moment; 3] = [Moment::Begun, Moment::InTheCopy, Moment::Stalled];

impl Moment {
    async fn come(self, answer: &mut Answer) {
        let (bytes, passes) = match self {
            Self::Begun => (1, Duration::from_millis(1)),
            Self::InTheCopy => (FILE_BYTES * 6 / 5, Duration::from_millis(1)),
            Self::Stalled => (16 * KIB, Duration::from_millis(2_500)),
        };
        answer.take(bytes).await;
        // It passes when nothing else can be done, here or on another thread.
        sleep(passes).await;
    }
}

/// How a file is asked for.
#[derive(Debug)]
struct Asking {
    method: &'static str,
    /// What a client names in a header.
    name: String,
    params: Value,
}

const ASKINGS: usize = 5;
/// The one that opens its files anew for each piece of the answer.
const SEVERAL: usize = 2;

/// Whole; its first lines; among several files; as a resource, as text and as bytes.
fn askings(path: &Path) -> [Asking; ASKINGS] {
    let uri = format!("file://{}", path.display());
    let part = format!("{uri}?byteOffset=0");
    let tool = |name: &str, arguments: Value| Asking {
        method: "tools/call",
        name: name.to_owned(),
        params: json!({"name": name, "arguments": arguments}),
    };
    let resource = |uri: String| Asking { method: "resources/read", params: json!({"uri": uri}), name: uri };
    [
        tool("read_text_file", json!({"path": path})),
        tool("read_text_file", json!({"path": path, "head": FILE_BYTES / LINE.len() - 7})),
        tool("read_multiple_files", json!({"paths": [path]})),
        resource(uri),
        resource(part),
    ]
}

/// How bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Lines,
    Http,
}

struct Host {
    server: Server,
    http: Arc<HttpShared>,
}

impl Host {
    fn new(folder: &Path) -> Self {
        let (tools, _) = Filesystem::new(&[folder.to_owned()], false).expect("usable");
        let files = tools.resources();
        let server = Server::builder("files", "1").toolset(tools).resources(files).build().expect("a server");
        let admission = Admission::new(AdmissionConfig::default(), &Limits::default()).expect("rules");
        let http = HttpShared::new(server.clone(), admission, Drain::default()).expect("not served yet");
        Self { server, http: Arc::new(http) }
    }

    /// Asks for a file on a connection of its own, which has room for little.
    async fn ask(&self, asking: &Asking, over: Over) -> Answer {
        let Asking { method, name, params } = asking;
        let mut params = params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        let (mut stream, peer) = duplex(16 * KIB);
        let sent = match over {
            Over::Lines => {
                let server = self.server.clone();
                tokio::spawn(async move {
                    let (reader, writer) = split(peer);
                    let _ = serve_lines(&server, reader, writer, &Drain::default()).await;
                });
                message + "\n"
            }
            Over::Http => {
                let address = PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let permit = FairLimit::new(1, 75).acquire(0).expect("a permit");
                tokio::spawn(HttpConnection::<_, Undetected>::new(
                    Arc::clone(&self.http),
                    peer,
                    address,
                    permit,
                ));
                format!(
                    "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json, \
                     text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {name}\r\n\
                     content-length: {}\r\n\r\n{message}",
                    message.len()
                )
            }
        };
        stream.write_all(sent.as_bytes()).await.expect("sent");
        Answer { stream, received: Vec::new(), over }
    }
}

/// An answer on its way.
struct Answer {
    stream: DuplexStream,
    received: Vec<u8>,
    over: Over,
}

impl Answer {
    /// Takes bytes until there are so many, or the answer is whole.
    async fn take(&mut self, bytes: usize) {
        while self.received.len() < bytes && self.whole().is_none() {
            let room = (bytes - self.received.len()).min(16 * KIB);
            let before = self.received.len();
            self.received.resize(before + room, 0);
            let taken = self.stream.read(&mut self.received[before..]).await.expect("it goes on");
            assert!(taken > 0, "the connection ended");
            self.received.truncate(before + taken);
        }
    }

    /// The message, once it is whole.
    fn whole(&self) -> Option<Vec<u8>> {
        if self.over == Over::Lines {
            return self.received.ends_with(b"\n").then(|| self.received.clone());
        }
        let end = memmem::find(&self.received, b"\r\n\r\n")? + 4;
        let (head, body) = self.received.split_at(end);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            Some(length) => (length.parse() == Ok(body.len())).then(|| body.to_vec()),
            // No JSON has such a line end.
            None => body.ends_with(b"\r\n0\r\n\r\n").then(|| unchunked(body)),
        }
    }

    async fn result(mut self) -> Value {
        self.take(usize::MAX).await;
        let whole = self.whole().expect("it is whole");
        let mut message: Value = serde_json::from_slice(&whole).expect("valid JSON");
        assert_eq!(message["id"], 7);
        message["result"].take()
    }
}

/// The body that was sent in chunks.
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = memmem::find(chunks, b"\r\n").expect("a size");
        let size = std::str::from_utf8(&chunks[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[end + 2..][..size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}

/// A file that was last changed long ago, so that a change at any time later is another time.
fn write_file(path: &Path) {
    let mut text = LINE.repeat(FILE_BYTES / LINE.len() + 1);
    text.truncate(FILE_BYTES);
    std::fs::write(path, text).expect("a file");
    let file = File::options().write(true).open(path).expect("the file");
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).expect("a time");
}

/// The row of the table: whether the answer says that it is not whole. All else that it may be, is checked.
async fn row(host: &Host, path: &Path, before: &Value, (kind, over, moment, edit): Row) -> bool {
    let row = format!("{kind} over {over:?}, {edit:?} when {moment:?}");
    write_file(path);
    let asking = &askings(path)[kind];
    let mut answer = host.ask(asking, over).await;
    moment.come(&mut answer).await;
    edit.make(path);
    let result = answer.result().await;
    let is_kept = edit.keeps_the_open_file() && kind != SEVERAL;
    if result["isError"] == true {
        assert!(!is_kept, "{row}: nothing that it reads has changed");
        return true;
    }
    let copy = &result["structuredContent"]["content"];
    assert!(copy.is_null() || *copy == result["content"][0]["text"], "{row}: the copies differ");
    if result != *before {
        assert!(!is_kept, "{row}: not as it was");
        let now = host.ask(asking, over).await.result().await;
        assert!(result == now, "{row}: of two moments");
    }
    false
}

type Row = (usize, Over, Moment, Edit);

/// Whatever is done to a file, and whenever: each answer is valid, and is whole and the same in both copies, or an error.
#[tokio::test(start_paused = true)]
async fn a_file_that_changes_while_it_is_sent_is_whole_or_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::new(folder.path());
    let path = folder.path().join("f");
    for kind in 0..ASKINGS {
        for over in [Over::Lines, Over::Http] {
            write_file(&path);
            let before = host.ask(&askings(&path)[kind], over).await.result().await;
            assert!(before["isError"].is_null(), "{kind} over {over:?}: {before:.300}");
            for moment in MOMENTS {
                for edit in EDITS {
                    let answered = row(&host, &path, &before, (kind, over, moment, edit));
                    // As time stands still, this ends at once what waits for ever.
                    let is_error = timeout(Duration::from_hours(1), answered).await;
                    let is_error =
                        is_error.unwrap_or_else(|_| panic!("{kind} {over:?} {moment:?} {edit:?}: no end"));
                    // Most of it was not read, and what was is not there any more.
                    let is_torn = matches!(edit, Edit::Rewritten | Edit::Cut) && moment != Moment::InTheCopy;
                    assert!(is_error || !is_torn, "{kind} over {over:?}, {edit:?} when {moment:?}: no error");
                }
            }
        }
    }
}
