//! Files whose text is sent while it is read: over lines and over HTTP, to readers of all kinds.

use super::Scene;
use crate::test_client::{TestClient, meta};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcpool::tools::filesystem::Filesystem;
use mcpool::transport::{HttpConfig, Listener, serve_http};
use mcpool::{Drain, Limits, Server};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const KIB: usize = 1024;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn server(directory: &Path, limits: Limits) -> Server {
    let (tools, _) = Filesystem::new(&[directory.to_owned()], false).expect("the directory is usable");
    Server::builder("files", "1").limits(limits).toolset(tools).build().expect("a server")
}

/// A server over HTTP, on a runtime of its own.
pub(super) struct Host {
    path: PathBuf,
    drain: Drain,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// The answer of a line that came in part.
pub(super) fn rest_of_line(stream: &mut UnixStream, mut line: Vec<u8>) -> Value {
    let mut buffer = vec![0; 16 * KIB];
    while !line.ends_with(b"\n") {
        let read = stream.read(&mut buffer).expect("the line goes on");
        assert!(read > 0, "the connection ended");
        line.extend_from_slice(&buffer[..read]);
    }
    serde_json::from_slice(&line).expect("valid JSON")
}

impl Host {
    pub(super) fn start(server: Server) -> Self {
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
        Self { path, drain, thread: Some(thread), _folder: folder }
    }

    pub(super) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// A connection on which a message was sent.
    pub(super) fn post(&self, fields: &str, body: &str) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(request("HTTP/1.1", fields, body).as_bytes()).expect("sent");
        stream
    }

    /// A connection on which a file is asked for.
    fn ask(&self, path: &str) -> UnixStream {
        self.post(OF_CALL, &call(7, path, true))
    }

    /// The fields of a session of the legacy era.
    fn open_session(&self) -> String {
        self.open_session_in("2025-06-18")
    }

    /// The fields of a session in that revision.
    pub(super) fn open_session_in(&self, revision: &str) -> String {
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let mut received = Received::default();
        received.read_to(&mut self.post("", &hello.to_string()), usize::MAX).expect("an answer");
        let head = String::from_utf8_lossy(&received.bytes).to_ascii_lowercase();
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).expect("a session");
        format!("mcp-protocol-version: {revision}\r\nmcp-session-id: {id}\r\n")
    }
}

/// The fields of a call that asks for a file.
const OF_CALL: &str =
    "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: read_text_file\r\n";

/// A POST with those further fields.
fn request(version: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /mcp {version}\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// A call that asks for a file.
fn call(id: u64, path: &str, is_modern: bool) -> String {
    let mut params = json!({"name": "read_text_file", "arguments": {"path": path}});
    if is_modern {
        params["_meta"] = meta();
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

impl Drop for Host {
    fn drop(&mut self) {
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

/// The end of a body that was sent in chunks, after another chunk.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// The body that was sent in chunks, and what comes after it.
fn unchunked(mut chunks: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = memchr::memchr(b'\r', chunks).expect("a size");
        let size = std::str::from_utf8(&chunks[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        let rest = &chunks[end + 2..];
        body.extend_from_slice(&rest[..size]);
        chunks = rest[size..].strip_prefix(b"\r\n").expect("the end of a chunk");
        if size == 0 {
            return (body, chunks);
        }
    }
}

/// The head of an answer in small letters, and what comes after it.
fn split_head(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    (head.replacen("http", "HTTP", 1), &answer[end + 4..])
}

/// An answer over HTTP that may have come in parts.
#[derive(Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
}

impl Received {
    /// Reads until so many bytes are there, or the answer is whole, or the connection ends. Returns the body once it
    /// is whole.
    pub(super) fn read_to(&mut self, stream: &mut UnixStream, bytes: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 16 * KIB];
        loop {
            if let Some(end) = self.bytes.windows(4).take(2_000).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.bytes[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let body = &self.bytes[end + 4..];
                match length {
                    Some(length) => {
                        let length: usize = length.parse().expect("a number");
                        assert!(body.len() <= length, "more than was told");
                        if body.len() == length {
                            return Some(body.to_vec());
                        }
                    }
                    // No JSON has such a line end.
                    None if body.ends_with(LAST_CHUNK) => {
                        assert!(head.contains("\ntransfer-encoding: chunked"), "{head}");
                        return Some(unchunked(body).0);
                    }
                    None => {}
                }
            }
            if self.bytes.len() >= bytes {
                return None;
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.bytes.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

/// The answer as it was before it could be streamed, as one text.
pub(super) fn expected(id: u64, bytes: &[u8], is_modern: bool) -> String {
    let text = serde_json::to_string(&String::from_utf8_lossy(bytes)).expect("text");
    let kind = if is_modern { r#""resultType":"complete","# } else { "" };
    let meta = r#","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"files","version":"1"}}"#;
    let meta = if is_modern { meta } else { "" };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{{kind}"content":[{{"type":"text","text":{text}}}],"structuredContent":{{"content":{text}}}{meta}}}}}"#
    )
}

/// A text of so many bytes with escapes, long characters and broken ones everywhere.
pub(super) fn text(bytes: usize) -> Vec<u8> {
    let unit =
        ["a line with \"quotes\"\t\u{1}\u{1f} and é€😀\r\n".as_bytes(), b"\xE2\x82\xFF\xF0\x9F\x98 \\"]
            .concat();
    let mut text = unit.repeat(bytes / unit.len() + 1);
    text.truncate(bytes);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_all_sizes_are_answered_as_if_they_were_written_at_once() {
    let scene = Scene::new().await;
    let server = server(&scene.path(""), Limits::default());
    let mut legacy = TestClient::legacy(&server, "2025-06-18").await;
    let host = Host::start(server);
    let session = host.open_session();
    // Around segments, around pieces of the file, and with each beginning of a unit on a border.
    let borders = [64 * KIB, 80 * KIB, 128 * KIB]
        .into_iter()
        .flat_map(|at| (0..60).step_by(11).map(move |by| at - 30 + by));
    for bytes in borders.chain([1 << 20]) {
        let text = text(bytes);
        scene.write("f", &text);
        let path = scene.path("f").display().to_string();
        legacy.send_bytes(format!("{}\n", call(7, &path, false)).as_bytes()).await;
        let old = expected(7, &text, false);
        assert!(legacy.receive_line().await.trim_end() == old, "{bytes} over lines");
        let modern = Received::default().read_to(&mut host.ask(&path), usize::MAX);
        assert!(modern.expect("whole") == expected(7, &text, true).as_bytes(), "{bytes} over HTTP");
        let of_session =
            Received::default().read_to(&mut host.post(&session, &call(7, &path, false)), usize::MAX);
        assert!(of_session.expect("whole") == old.as_bytes(), "{bytes} in a session");
    }
}

/// What becomes of a file while its answer is sent, and whether the answer must be the one from before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Becomes {
    Longer,
    Removed,
    Replaced,
    Shorter(u64),
    OtherText,
}

const CHANGES: [Becomes; 6] = [
    Becomes::Longer,
    Becomes::Removed,
    Becomes::Replaced,
    Becomes::Shorter(0),
    Becomes::Shorter(300 * 1024),
    Becomes::OtherText,
];

impl Becomes {
    pub(super) fn happen(self, path: &Path, bytes: usize) {
        match self {
            Self::Longer => {
                let mut file = OpenOptions::new().append(true).open(path).expect("a file");
                file.write_all(&text(1 << 20)).expect("written");
            }
            Self::Removed => std::fs::remove_file(path).expect("removed"),
            Self::Replaced => {
                std::fs::remove_file(path).expect("removed");
                std::fs::write(path, "other").expect("written");
            }
            Self::Shorter(to) => {
                OpenOptions::new().write(true).open(path).expect("a file").set_len(to).expect("cut");
            }
            // As many bytes, which need another number of bytes in JSON.
            Self::OtherText => {
                let mut file = OpenOptions::new().write(true).open(path).expect("a file");
                file.write_all(&b"\x01".repeat(bytes)).expect("written");
            }
        }
    }

    fn keeps_the_text(self) -> bool {
        matches!(self, Self::Longer | Self::Removed | Self::Replaced)
    }

    /// Whether the answer is one that may come of it.
    fn check(self, answer: &str, id: u64, text: &[u8], is_modern: bool) {
        let whole = expected(id, text, is_modern);
        if self.keeps_the_text() {
            return assert!(answer == whole, "{self:?}: another answer");
        }
        let answer: Value = serde_json::from_str(answer).expect("valid JSON");
        assert_eq!(answer["id"], id);
        // All of it may have been read before.
        if answer["result"]["isError"] != true {
            let whole: Value = serde_json::from_str(&whole).expect("JSON");
            assert!(answer == whole, "{self:?}: a wrong answer without an error");
        }
    }
}

#[test]
fn a_file_that_changes_on_the_way_gives_a_valid_answer_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let bytes = 600 * KIB;
    let text = text(bytes);
    let path = folder.path().join("f");
    let session = host.open_session();
    let mut errors = 0;
    // In the head, in the text, in the copy, and close to the end; in both eras.
    let places = [1, 30, 60, 95].into_iter().flat_map(|percent| [(percent, true), (percent, false)]);
    for change in CHANGES {
        for (percent, is_modern) in places.clone() {
            std::fs::write(&path, &text).expect("a file");
            let name = path.to_str().expect("text");
            let mut stream =
                if is_modern { host.ask(name) } else { host.post(&session, &call(7, name, false)) };
            let at = expected(7, &text, is_modern).len() * percent / 100;
            let mut received = Received::default();
            let early = received.read_to(&mut stream, at);
            assert!(early.is_none() && !received.bytes.is_empty(), "{percent} % are not all");
            change.happen(&path, bytes);
            let body = received.read_to(&mut stream, usize::MAX);
            let body = body.unwrap_or_else(|| panic!("{change:?} at {percent} %: the connection ended"));
            let answer = String::from_utf8(body).expect("text");
            errors += usize::from(answer.contains(r#""isError":true"#));
            change.check(&answer, 7, &text, is_modern);
            let _ = std::fs::remove_file(&path);
        }
    }
    assert!(errors > 8, "{errors} answers say that something is wrong");
}

#[test]
fn a_file_that_shrinks_on_the_way_costs_no_request_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let text = text(3 << 20);
    let path = folder.path().join("f");
    // In the text, and in its copy.
    for percent in [10, 60] {
        std::fs::write(&path, &text).expect("a file");
        let mut stream = host.ask(path.to_str().expect("text"));
        let ping = json!({"jsonrpc": "2.0", "id": 8, "method": "ping"}).to_string();
        let fields = format!("{}connection: close\r\n", host.open_session());
        stream.write_all(request("HTTP/1.1", &fields, &ping).as_bytes()).expect("sent");
        let mut received = Received::default();
        let at = expected(7, &text, true).len() * percent / 100;
        assert!(received.read_to(&mut stream, at).is_none(), "{percent} % are not all");
        Becomes::Shorter(1).happen(&path, text.len());
        stream.read_to_end(&mut received.bytes).expect("the connection goes on to its end");
        let (head, chunks) = split_head(&received.bytes);
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
        let (answer, rest) = unchunked(chunks);
        let answer: Value = serde_json::from_slice(&answer).expect("valid JSON");
        assert!(answer["id"] == 7 && answer["result"]["isError"] == true, "{percent} %");
        let (head, answered) = split_head(rest);
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length"), "{head}");
        let answered: Value = serde_json::from_slice(answered).expect("valid JSON");
        assert_eq!(answered["id"], 8);
        assert!(answered["result"].is_object(), "{answered}");
    }
}

#[test]
fn to_a_client_of_http_1_0_a_file_ends_with_its_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let text = text(3 << 20);
    let path = folder.path().join("f");
    for change in [None, Some(Becomes::Shorter(1))] {
        std::fs::write(&path, &text).expect("a file");
        let call = call(7, path.to_str().expect("text"), true);
        let mut stream = host.connect();
        let fields = format!("{OF_CALL}connection: keep-alive\r\n");
        stream.write_all(request("HTTP/1.0", &fields, &call).as_bytes()).expect("sent");
        let mut answer = vec![0; 100 * KIB];
        stream.read_exact(&mut answer).expect("the answer begins");
        if let Some(change) = change {
            change.happen(&path, text.len());
        }
        stream.read_to_end(&mut answer).expect("the answer ends");
        let (head, body) = split_head(&answer);
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
        if change.is_none() {
            assert!(body == expected(7, &text, true).as_bytes(), "another answer");
        } else {
            let answer: Value = serde_json::from_slice(body).expect("valid JSON");
            assert_eq!(answer["result"]["isError"], true);
        }
    }
}

#[test]
fn a_file_that_changes_on_the_way_gives_a_valid_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let bytes = 600 * KIB;
    let text = text(bytes);
    let path = folder.path().join("f");
    for change in CHANGES {
        let mut stream = host.connect();
        for (id, percent) in [(1, 1), (2, 30), (3, 60), (4, 90)] {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, &text).expect("a file");
            writeln!(stream, "{}", call(id, path.to_str().expect("text"), true)).expect("sent");
            let mut line = vec![0; expected(id, &text, true).len() * percent / 100];
            stream.read_exact(&mut line).expect("the answer begins");
            change.happen(&path, bytes);
            let mut buffer = vec![0; 16 * KIB];
            while !line.ends_with(b"\n") {
                let read = stream.read(&mut buffer).expect("the line goes on");
                assert!(read > 0, "{change:?} at {percent} %: the connection ended");
                line.extend_from_slice(&buffer[..read]);
            }
            let line = String::from_utf8(line).expect("text");
            change.check(line.trim_end(), id, &text, true);
        }
    }
}

#[test]
fn a_client_that_comes_back_gets_the_whole_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let text = text(700 * KIB);
    let path = folder.path().join("f");
    std::fs::write(&path, &text).expect("a file");
    let want = format!("data: {}\n\n", expected(7, &text, false));
    // Each request of a session has a stream, and they are counted.
    for (number, at) in [(1, 1), (2, 100 * KIB), (3, 900 * KIB)] {
        let session = host.open_session();
        let mut stream = host.post(&session, &call(7, path.to_str().expect("text"), false));
        assert!(Received::default().read_to(&mut stream, at).is_none());
        drop(stream);
        // The stream of the first request, from its start; twice, as it is kept for a while.
        for _ in 0..2 {
            let mut stream = host.connect();
            let get = format!(
                "GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nlast-event-id: {number}-0\r\n\
                 {session}connection: close\r\n\r\n"
            );
            stream.write_all(get.as_bytes()).expect("sent");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("the stream ends");
            let (head, chunks) = split_head(&answer);
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(unchunked(chunks).0.ends_with(want.as_bytes()), "another answer");
        }
    }
}

#[tokio::test]
async fn many_answers_of_one_connection_are_whole_lines() {
    let scene = Scene::new().await;
    let server = server(&scene.path(""), Limits::default());
    let mut client = TestClient::open_with(&server, 16 * KIB);
    let sizes: Vec<usize> = (0..20).map(|at| at * 29 * KIB).collect();
    for (id, bytes) in sizes.iter().enumerate() {
        scene.write(&format!("f{id}"), text(*bytes));
        let path = scene.path(&format!("f{id}"));
        let params = json!({"name": "read_text_file", "arguments": {"path": path}, "_meta": meta()});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        client.send(&call).await;
    }
    let mut seen = vec![false; sizes.len()];
    for _ in &sizes {
        let line = client.receive_line().await;
        let id = serde_json::from_str::<Value>(&line).expect("JSON")["id"].as_u64().expect("a number");
        let bytes = sizes[id as usize];
        assert!(line.trim_end() == expected(id, &text(bytes), true), "{id}");
        assert!(!std::mem::replace(&mut seen[id as usize], true), "{id} twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stall_keep_no_thread_from_others() {
    let scene = Scene::new().await;
    // Nothing but one thread, and nobody is let go.
    let limits = Limits { max_blocking_threads: 1, write_timeout_ms: 3_600_000, ..Limits::default() };
    let server = server(&scene.path(""), limits);
    scene.write("f", text(1 << 20));
    let path = scene.path("f").display().to_string();
    let host = Host::start(server.clone());
    let stalled: Vec<(UnixStream, Received)> = (0..100)
        .map(|_| {
            let mut stream = host.ask(&path);
            let mut received = Received::default();
            // Its answer has begun.
            assert!(received.read_to(&mut stream, 1).is_none());
            (stream, received)
        })
        .collect();
    let mut other = TestClient::open(&server);
    for id in 0..5 {
        let result = other.call(id, "search_files", json!({"path": scene.path(""), "pattern": "**/f"})).await;
        assert_eq!(result.get("isError"), None, "{result}");
    }
    let leased: u64 = server
        .memory()
        .report()
        .pools
        .iter()
        .filter(|pool| pool.name.starts_with("buffers/"))
        .map(|pool| pool.owned_bytes)
        .sum();
    assert!(leased <= 100 * 256 * KIB as u64, "{leased} bytes for a hundred answers of 3 MiB");
    // Each has its whole answer as soon as it reads.
    let want = expected(7, &text(1 << 20), true);
    for (mut stream, mut received) in stalled.into_iter().take(10) {
        let body = received.read_to(&mut stream, usize::MAX).expect("whole");
        assert!(body == want.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_answer_goes_with_its_client() {
    let scene = Scene::new().await;
    let server = server(&scene.path(""), Limits::default());
    scene.write("f", text(2 << 20));
    let path = scene.path("f");
    let is_open = || {
        let handles = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
        let path = path.canonicalize().expect("it is there");
        handles.filter(|handle| std::fs::read_link(handle.path()).is_ok_and(|to| to == path)).count()
    };
    let host = Host::start(server.clone());
    for at in [1, 100 * KIB, 1 << 20, 4 << 20] {
        let mut stream = host.ask(path.to_str().expect("text"));
        assert!(Received::default().read_to(&mut stream, at).is_none());
        assert_eq!(is_open(), 1, "it is being sent");
        drop(stream);
        let end = std::time::Instant::now() + PATIENCE;
        while is_open() > 0 {
            assert!(std::time::Instant::now() < end, "nobody closed the file");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn data_of_all_sizes_is_the_base64_of_the_file() {
    let scene = Scene::new().await;
    let server = server(&scene.path(""), Limits::default());
    let mut client = TestClient::legacy(&server, "2025-06-18").await;
    let kinds = [("a.png", "image"), ("a.mp3", "audio"), ("a.bin", "resource")];
    let sizes = [64 * KIB - 1, 64 * KIB + 1, 96 * KIB, 96 * KIB + 1, 96 * KIB + 2, 700 * KIB];
    for (id, bytes) in sizes.into_iter().enumerate() {
        let data = text(bytes);
        let base64 = BASE64.encode(&data);
        for (name, kind) in kinds {
            scene.write(name, &data);
            let result = client.call(id as u64, "read_media_file", json!({"path": name})).await;
            let block = &result["content"][0];
            assert_eq!(block["type"], kind, "{name}");
            let sent = if kind == "resource" { &block["resource"]["blob"] } else { &block["data"] };
            assert!(sent == &base64, "{bytes} bytes of {name}");
            assert!(
                result["structuredContent"] == json!({"content": [block]}) && result.get("isError").is_none()
            );
        }
    }
}

#[test]
fn data_that_changes_on_the_way_gives_a_valid_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(server(folder.path(), Limits::default()));
    let data = text(600 * KIB);
    let path = folder.path().join("f.png");
    let mut stream = host.connect();
    for (id, percent) in [(1, 1), (2, 40), (3, 90)] {
        std::fs::write(&path, &data).expect("a file");
        let params = json!({"name": "read_media_file", "arguments": {"path": path}, "_meta": meta()});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        writeln!(stream, "{call}").expect("sent");
        let mut line = vec![0; 2 * data.len() / 3 * 4 * percent / 100];
        stream.read_exact(&mut line).expect("the answer begins");
        Becomes::Shorter(1).happen(&path, data.len());
        let answer = rest_of_line(&mut stream, line);
        let is_whole = answer["result"]["structuredContent"]["content"][0]["data"] == BASE64.encode(&data);
        assert!(answer["id"] == id && is_whole != (answer["result"]["isError"] == true), "{percent} %");
    }
}
