//! The admin socket of a running server: the pages that it serves, and how commands read them.

use super::black_box::{BlackBoxFiles, Written};
use super::error::{self, CliError};
use super::find_servers::{found, runtime_folder, without_socket};
use super::serving::Serving;
use crate::memory::{AppliedChange, History, HistoryReason, MemoryReport, ReclaimOutcome};
use crate::report::{LivePage, write_html, write_prometheus, write_table};
use crate::server::{Drain, Server};
use crate::transport::admin::{AdminService, Page, Pages};
use crate::transport::listener::{Connections, serve_listeners};
use crate::transport::{Listener, LocalAddress, TcpOptions};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The most connections to the admin socket at once.
const MAX_CONNECTIONS: usize = 16;
/// The longest answer of a server that a command reads.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// What the page of a report may do in a browser: nothing but look as it does.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                             frame-ancestors 'none'";
/// How long a server may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the admin sockets: the one that is named, and the one by which commands find the server; none where they are
/// off.
pub(super) fn listen(setting: Option<&str>) -> Result<Vec<Listener>, CliError> {
    if setting == Some("none") {
        return Ok(Vec::new());
    }
    let named = setting.map(listen_at).transpose()?;
    Ok(named.into_iter().chain(listen_in(runtime_folder())).collect())
}

fn listen_at(target: &str) -> Result<Listener, CliError> {
    match Target::parse(target)? {
        Target::Unix(path) => Ok(Listener::unix(path)?),
        Target::Tcp(address) if address.ip().is_loopback() => {
            Ok(Listener::tcp(address, TcpOptions::default())?)
        }
        Target::Tcp(address) => {
            let why = "the admin socket shows everything and has no authentication";
            Err(CliError::Usage(format!("admin = {address} can be reached from other machines: {why}")))
        }
    }
}

/// The socket in the folder where commands look; a server works without it.
fn listen_in(folder: Option<PathBuf>) -> Option<Listener> {
    let folder = folder?;
    let path = folder.join(format!("{}.sock", std::process::id()));
    let opened = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    let listening = opened
        .map_err(|error| error.to_string())
        .and_then(|()| Listener::unix(&path).map_err(|error| error.to_string()));
    listening.inspect_err(|error| tracing::debug!(error, "no admin socket")).ok()
}

/// Serves the admin sockets for as long as the task lives.
pub(super) async fn serve(
    server: Server,
    black_box: Arc<BlackBoxFiles>,
    serving: Arc<OnceLock<Serving>>,
    listeners: Vec<Listener>,
) {
    let limits = server.limits().clone();
    let service = AdminService::new(Arc::new(ServerPages { server, black_box, serving }), &limits);
    let connections = Connections::new(MAX_CONNECTIONS, 100);
    serve_listeners(listeners, service, &limits, &connections, &Drain::default()).await;
}

/// The pages of a server.
struct ServerPages {
    server: Server,
    black_box: Arc<BlackBoxFiles>,
    /// What is served, as soon as it is.
    serving: Arc<OnceLock<Serving>>,
}

impl Pages for ServerPages {
    fn page(&self, verb: &str, path: &str) -> Option<Page> {
        let memory = self.server.memory();
        if (verb, path) == ("POST", "/reclaim") {
            let body = serde_json::to_vec(&memory.reclaim()).ok()?;
            return Some(Page { content_type: "application/json", policy: None, body });
        }
        let is_black_box = path == "/black-box";
        let json = |body| Some(Page { content_type: "application/json", policy: None, body });
        match verb {
            "GET" if is_black_box => {
                return json(serde_json::to_vec(&memory.history(HistoryReason::Asked)).ok()?);
            }
            "GET" if path == "/serving" => return json(serde_json::to_vec(self.serving.get()?).ok()?),
            "POST" if is_black_box => return json(serde_json::to_vec(&self.black_box.write_asked()).ok()?),
            _ => {}
        }
        if let ("POST", Some((pool, capacity))) = (verb, resize_of(path)) {
            let body = serde_json::to_vec(&memory.resize_pool(&pool, capacity)?).ok()?;
            return Some(Page { content_type: "application/json", policy: None, body });
        }
        if (verb, path) == ("GET", "/") {
            let LivePage { html, policy } = LivePage::new();
            let content_type = "text/html; charset=utf-8";
            return Some(Page { content_type, policy: Some(policy), body: html.into_bytes() });
        }
        let report = match (verb, path) {
            ("GET", "/metrics" | "/report" | "/report.txt" | "/report.html") => memory.report(),
            ("POST", "/optimize") => memory.optimize_memory_usage(),
            _ => return None,
        };
        let mut body = Vec::new();
        let (content_type, written) = match path {
            "/metrics" => ("text/plain; version=0.0.4; charset=utf-8", write_prometheus(&report, &mut body)),
            "/report.txt" => ("text/plain; charset=utf-8", write_table(&report, 100, &mut body)),
            "/report.html" => ("text/html; charset=utf-8", write_html(&report, &mut body)),
            _ => {
                let written = serde_json::to_writer(&mut body, &report).map_err(io::Error::from);
                ("application/json", written)
            }
        };
        let policy = (path == "/report.html").then(|| REPORT_POLICY.to_owned());
        written.ok().map(|()| Page { content_type, policy, body })
    }

    fn event(&self) -> Option<Vec<u8>> {
        let mut report = self.server.memory().report();
        // Who looks on has the time before from the events before.
        report.timeline.clear();
        serde_json::to_vec(&report).ok()
    }
}

/// The path at which a pool gets a capacity.
fn resize_path(pool: &str, capacity: u64) -> String {
    let mut path = "/pools/".to_owned();
    for byte in pool.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path + &format!("/capacity/{capacity}")
}

/// The pool and the capacity in such a path.
fn resize_of(path: &str) -> Option<(String, usize)> {
    let (pool, capacity) = path.strip_prefix("/pools/")?.split_once("/capacity/")?;
    let mut bytes = Vec::with_capacity(pool.len());
    let mut rest = pool.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?].map(char::from);
            let digit = |at: usize| digits[at].to_digit(16);
            bytes.push((digit(0)? * 16 + digit(1)?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    Some((String::from_utf8(bytes).ok()?, capacity.parse().ok()?))
}

/// The address of an admin socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Target {
    fn parse(text: &str) -> Result<Self, CliError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        address.parse().map(Self::Tcp).map_err(|_| {
            CliError::Usage(format!("{text:?} is no admin socket: write unix:PATH or 127.0.0.1:PORT"))
        })
    }

    fn ask(&self, verb: &str, path: &str) -> io::Result<String> {
        match self {
            Self::Unix(socket) => {
                let stream = UnixStream::connect(socket)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                ask(stream, UnixStream::set_read_timeout, PATIENCE, (verb, path))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                ask(stream, TcpStream::set_read_timeout, PATIENCE, (verb, path))
            }
        }
    }
}

/// Asks once; the whole answer has to come within `patience`, however it trickles.
fn ask<S: Read + Write>(
    mut stream: S,
    set_timeout: fn(&S, Option<Duration>) -> io::Result<()>,
    patience: Duration,
    (verb, path): (&str, &str),
) -> io::Result<String> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing whole within {patience:?}"));
    let begun = Instant::now();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let (mut answer, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let left = patience.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()).ok_or_else(late)?;
        set_timeout(&stream, Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            // A read with a deadline is not taken up again after a signal.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(io::Error::other(format!("it is longer than {} MiB", MAX_ANSWER_BYTES >> 20)));
        }
    }
    let answer =
        String::from_utf8(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"));
    };
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(io::Error::other(format!("the server answered {status}: {}", body.trim_end())));
    }
    Ok(body.to_owned())
}

/// Reads the report of a running server: the one at `target`, or the only one of this user that has an admin socket.
pub(super) fn report(target: Option<&str>) -> Result<MemoryReport, CliError> {
    Ok(MemoryReport::from_json(&ask_server(target, "GET", "/report")?)?)
}

/// Reads what a running server serves.
pub(super) fn serving(target: &str) -> Result<Serving, CliError> {
    let json = ask_server(Some(target), "GET", "/serving")?;
    serde_json::from_str(&json)
        .map_err(|error| CliError::Usage(format!("the server's answer cannot be read: {error}")))
}

/// Reads what the black box of a running server recorded.
pub(super) fn history(target: Option<&str>) -> Result<History, CliError> {
    let json = ask_server(target, "GET", "/black-box")?;
    History::from_json(&json)
        .map_err(|error| CliError::Usage(format!("the server's answer cannot be read: {error}")))
}

/// Has a running server write its black box to a file.
pub(super) fn write_black_box(target: Option<&str>) -> Result<Written, CliError> {
    let json = ask_server(target, "POST", "/black-box")?;
    serde_json::from_str(&json)
        .map_err(|error| CliError::Usage(format!("the server's answer cannot be read: {error}")))
}

/// Has a running server give its idle memory back, and returns what it gave back.
pub(super) fn reclaim(target: Option<&str>) -> Result<ReclaimOutcome, CliError> {
    let json = ask_server(target, "POST", "/reclaim")?;
    serde_json::from_str(&json)
        .map_err(|error| CliError::Usage(format!("the server's answer cannot be read: {error}")))
}

/// Has a pool of a running server keep so many idle objects at most.
pub(super) fn resize_pool(
    target: Option<&str>,
    pool: &str,
    capacity: u64,
) -> Result<AppliedChange, CliError> {
    let json = ask_server(target, "POST", &resize_path(pool, capacity))?;
    serde_json::from_str(&json)
        .map_err(|error| CliError::Usage(format!("the server's answer cannot be read: {error}")))
}

fn ask_server(target: Option<&str>, verb: &str, path: &str) -> Result<String, CliError> {
    let target = match target {
        Some(target) => Target::parse(target)?,
        None => only_one(&found())?,
    };
    target.ask(verb, path).map_err(|error| {
        let why = error::unreachable(&target.show(), &error);
        CliError::Usage(format!("{why}; is a server with `--admin` running there? `mcpool ps` lists them"))
    })
}

/// The only one of the servers that were found.
fn only_one(found: &[String]) -> Result<Target, CliError> {
    let remedy = "name one: unix:PATH or 127.0.0.1:PORT as given to serve --admin, or the file of a report";
    match found {
        [one] => Target::parse(one),
        [] => {
            let hidden: Vec<String> = without_socket().iter().map(u32::to_string).collect();
            let hidden = match hidden.as_slice() {
                [] => String::new(),
                pids => format!(
                    " (without one that is found here: pid {}, started without XDG_RUNTIME_DIR or with another one)",
                    pids.join(", ")
                ),
            };
            Err(CliError::Usage(format!("no server with an admin socket is running{hidden}; {remedy}")))
        }
        several => {
            let mut text = "several servers are running; name the one that is meant:".to_owned();
            for address in several {
                let serves =
                    serving(address).map_or_else(|_| "(no answer)".to_owned(), |serving| serving.show());
                let _ = write!(text, "\n  {address}  {serves}");
            }
            Err(CliError::Usage(text))
        }
    }
}

impl Target {
    fn show(&self) -> String {
        match self {
            Self::Unix(path) => LocalAddress::Unix(path.clone()).to_string(),
            Self::Tcp(address) => address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a question that `serve` has the other end of.
    fn asked(patience: Duration, serve: impl FnOnce(UnixStream) + Send + 'static) -> io::Result<String> {
        let (own, other) = UnixStream::pair().expect("a pair");
        let serving = std::thread::spawn(move || serve(other));
        let answer = ask(own, UnixStream::set_read_timeout, patience, ("GET", "/report"));
        serving.join().expect("it ends");
        answer
    }

    #[test]
    fn an_answer_that_trickles_or_never_comes_has_a_deadline() {
        let short = Duration::from_millis(200);
        // Each byte comes long before the deadline, and the last one never.
        let trickles = |mut peer: UnixStream| {
            while peer.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let is_silent = |mut peer: UnixStream| drop(peer.read_to_end(&mut Vec::new()));
        for error in [asked(short, trickles), asked(short, is_silent)] {
            let error = error.expect_err("no answer");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(error.to_string().contains("nothing whole within 200ms"), "{error}");
        }
        let answers = |mut peer: UnixStream| {
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\nhe").expect("written");
            std::thread::sleep(Duration::from_millis(20));
            peer.write_all(b"re").expect("written");
            // Whoever closes with bytes unread resets the connection.
            peer.shutdown(std::net::Shutdown::Write).expect("shut down");
            let _ = peer.read_to_end(&mut Vec::new());
        };
        assert_eq!(asked(Duration::from_mins(1), answers).expect("an answer"), "here");
    }

    #[test]
    fn a_pool_is_found_by_its_path_whatever_its_name_is() {
        for pool in ["arenas", "buffers/4096", "line exchanges", "100 %", "\u{e9}", "../capacity/3"] {
            let path = resize_path(pool, 7);
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
            assert_eq!(resize_of(&path), Some((pool.to_owned(), 7)), "{path}");
        }
        for path in [
            "/pools/a",
            "/pools/a/capacity/",
            "/pools/a/capacity/-1",
            "/pools/%f/capacity/1",
            "/pools/%ff/capacity/1",
        ] {
            assert_eq!(resize_of(path), None, "{path}");
        }
    }
}
