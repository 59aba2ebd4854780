//! A thousand hostile clients against the program, for an hour or a minute: its resident bytes must stay within the limit.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p mcpool-memtests --features long_run --bin hostile_hour -- \
//!     --program target/release/mcpool [--limit-mib 128] [--clients 1000] [--seconds 3600] [--json]
//! ```
//!
//! The clients read slowly, never, half, or leave; their messages are bodies, lines, streams and sessions of all sizes.
//! Ends with 1 when the peak is above the limit, when a request that was taken got no answer, when 5 s after the last
//! client the process has more than [`MAX_KEPT_BYTES`] beyond what it began with, or when it ended. How fast small requests
//! were answered all the while is reported; no time fails, because machines differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

const MIB: u64 = 1024 * 1024;
/// What a process may keep of the hour.
const MAX_KEPT_BYTES: u64 = 2 * MIB;
/// When that is looked at, after the last client left.
const REST: Duration = Duration::from_secs(5);
/// Clients and seconds before that.
const WARM_UP: (u64, u64) = (8, 3);
/// Longer than any time-out of the server: who hears nothing for so long is not answered.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let Some(wanted) = Wanted::parse(std::env::args().skip(1)) else {
        eprintln!(
            "usage: hostile_hour --program PATH [--limit-mib N] [--clients N] [--seconds N] [--json]\n\
             The program is built with: cargo build --release"
        );
        return ExitCode::from(2);
    };
    raise_descriptors();
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let program = Program::start(&wanted, folder.path());
    let serve = |clients, seconds| {
        let hour = Arc::new(Hour::new(&program, folder.path()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(&hour, clients, Duration::from_secs(seconds)));
        drop(runtime);
        std::thread::sleep(REST);
        hour
    };
    // Code that ran for the first time is resident from then on.
    serve(WARM_UP.0, WARM_UP.1);
    let base = program.memory().expect("it runs").resident;
    let hour = serve(wanted.clients, wanted.seconds);
    let end = program.memory();
    // Who holds what is left, before anything is asked again.
    let report =
        Command::new(&wanted.program).arg("report").arg(admin(folder.path())).output().expect("reports");
    eprintln!("{}", String::from_utf8_lossy(&report.stdout));
    let verdict = Verdict { wanted: &wanted, base, end, hour: &hour };
    println!("{}", if wanted.json { verdict.json() } else { verdict.text() });
    if verdict.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the command line asks for.
struct Wanted {
    program: PathBuf,
    limit_mib: u64,
    clients: u64,
    seconds: u64,
    json: bool,
}

impl Wanted {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut wanted =
            Self { program: PathBuf::new(), limit_mib: 128, clients: 1_000, seconds: 3_600, json: false };
        while let Some(name) = arguments.next() {
            match &*name {
                "--json" => wanted.json = true,
                "--program" => wanted.program = arguments.next()?.into(),
                "--limit-mib" => wanted.limit_mib = arguments.next()?.parse().ok()?,
                "--clients" => wanted.clients = arguments.next()?.parse().ok()?,
                "--seconds" => wanted.seconds = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        wanted.program.is_file().then_some(wanted)
    }
}

/// Three thousand sockets are more than some systems give at first.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The files that are read, and the ones that are edited.
const READ: [(&str, usize); 4] = [("small", 700), ("a", 300_000), ("b", 2_000_000), ("c", 9_000_000)];
const EDITED: [(&str, usize); 3] = [("e0", 40_000), ("e1", 400_000), ("e2", 3_000_000)];

fn write_files(folder: &Path) {
    let line = "a line with \"quotes\", as in sources\n";
    for (name, bytes) in READ.into_iter().chain(EDITED) {
        let text = format!("first\n{}", line.repeat(bytes / line.len()));
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// The program under test.
struct Program {
    child: Child,
    port: u16,
    socket: PathBuf,
}

#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    peak: u64,
}

impl Program {
    fn start(wanted: &Wanted, folder: &Path) -> Self {
        use std::io::{BufRead, BufReader};
        let socket = folder.join("lines.sock");
        let mut child = Command::new(&wanted.program)
            .args(["serve", "--http", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .arg("--admin")
            .arg(admin(folder))
            .args(["--memory-limit-bytes", &(wanted.limit_mib * MIB).to_string()])
            .arg(folder)
            .env_remove("MCPOOL_CONFIG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let port = lines.by_ref().map(|line| line.expect("text")).find_map(|line| {
            line.strip_prefix("mcpool: listening on http://127.0.0.1:")?.split('/').next()?.parse().ok()
        });
        // Whoever writes to a full pipe waits.
        std::thread::spawn(move || lines.for_each(drop));
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port: port.expect("listens"), socket }
    }

    /// `None` once it has ended.
    fn memory(&self) -> Option<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
        };
        Some(Memory { resident: line("VmRSS:")?, peak: line("VmHWM:")? })
    }
}

fn admin(folder: &Path) -> String {
    format!("unix:{}", folder.join("admin.sock").display())
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What all clients share, and what they count.
struct Hour {
    port: u16,
    socket: PathBuf,
    folder: String,
    is_over: AtomicBool,
    /// Outcomes by what was done.
    outcomes: Mutex<BTreeMap<String, u64>>,
    lost: AtomicU64,
    small_us: Mutex<Vec<u32>>,
}

impl Hour {
    fn new(program: &Program, folder: &Path) -> Self {
        Self {
            port: program.port,
            socket: program.socket.clone(),
            folder: folder.to_str().expect("text").to_owned(),
            is_over: AtomicBool::new(false),
            outcomes: Mutex::default(),
            lost: AtomicU64::new(0),
            small_us: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Counts an answer, or that none came to a request that was sent whole.
    fn note(&self, act: &str, outcome: &Outcome) {
        if matches!(outcome, Outcome::Lost(_)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        *self.outcomes.lock().expect("no panic").entry(format!("{act}: {outcome}")).or_default() += 1;
    }

    async fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }
}

async fn run(hour: &Arc<Hour>, clients: u64, length: Duration) {
    let local = tokio::task::LocalSet::new();
    let clients = local.run_until(async {
        let mut clients: Vec<_> =
            (0..clients).map(|number| tokio::task::spawn_local(client(Arc::clone(hour), number))).collect();
        clients.push(tokio::task::spawn_local(small_requests(Arc::clone(hour))));
        let begun = Instant::now();
        while begun.elapsed() < length {
            sleep(Duration::from_secs(10).min(length.saturating_sub(begun.elapsed()))).await;
            eprintln!("{:>5} s of {}", begun.elapsed().as_secs(), length.as_secs());
        }
        hour.is_over.store(true, Ordering::Relaxed);
        // Who waits for an answer has it, or is lost.
        for client in clients {
            let _ = client.await;
        }
    });
    clients.await;
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next(of.len() as u64) as usize]
    }

    /// Waits, but not for longer than the hour.
    async fn pause(&mut self, hour: &Hour, at_most_ms: u64) {
        let end = Instant::now() + Duration::from_millis(self.next(at_most_ms));
        while Instant::now() < end && !hour.is_over() {
            sleep(Duration::from_millis(100).min(end.saturating_duration_since(Instant::now()))).await;
        }
    }
}

async fn client(hour: Arc<Hour>, number: u64) {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    dice.pause(&hour, 3_000).await;
    while !hour.is_over() {
        match dice.next(20) {
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
            _ => listen(&hour, &mut dice).await,
        }
        dice.pause(&hour, 1_500).await;
    }
}

/// A request of the modern era, whole.
fn request(method: &str, name: &str, members: &str, further_bytes: usize) -> Vec<u8> {
    let body = message(method, members);
    let named = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
    let fields = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{named}");
    post(&body, &fields, further_bytes)
}

fn message(method: &str, members: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"hostile","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{members}{meta}}}}}"#)
}

fn post(body: &str, fields: &str, further_bytes: usize) -> Vec<u8> {
    let length = body.len() + further_bytes;
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn call(name: &str, arguments: &str) -> Vec<u8> {
    request("tools/call", name, &format!(r#""name":"{name}","arguments":{{{arguments}}},"#), 0)
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
    let outcome = match tokio::time::timeout(PATIENCE, answer(&mut stream, pace)).await {
        Ok(Outcome::Lost(_)) if !is_sent => Outcome::Unreachable,
        Ok(outcome) => outcome,
        Err(_) => Outcome::Lost("no answer in two minutes"),
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

/// A session of a handshake revision: some calls, a stream, and no end.
async fn session(hour: &Hour, dice: &mut Dice) {
    let Some(mut stream) = hour.connect().await else { return };
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    if stream.write_all(&post(hello, "", 0)).await.is_err() {
        return;
    }
    let Ok(Some(head)) = tokio::time::timeout(PATIENCE, head_of_answer(&mut stream)).await else { return };
    let Some(id) = head.field("mcp-session-id") else {
        return hour.note("session", &Outcome::Status(head.status));
    };
    let fields = format!("MCP-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-06-18\r\n");
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

/// One client that asks for little, and measures.
async fn small_requests(hour: Arc<Hour>) {
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
        let us = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        hour.small_us.lock().expect("no panic").push(us);
        hour.note("small", &outcome);
        kept = (asked.is_ok() && matches!(outcome, Outcome::Status(200))).then_some(stream);
        sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Clone, Copy)]
enum Pace {
    Fast,
    Slow,
}

/// How a request ended.
enum Outcome {
    Status(u16),
    /// With what the tool says.
    Failed(String),
    Unreachable,
    Lost(&'static str),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Failed(text) => write!(f, "200, an error of the tool: {text}"),
            Self::Unreachable => f.write_str("refused before the request was whole"),
            Self::Lost(why) => write!(f, "LOST, {why}"),
        }
    }
}

/// Status and fields of an answer, and what came of its body with them.
struct Head {
    status: u16,
    text: String,
    begun: Vec<u8>,
}

impl Head {
    fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

async fn head_of_answer(stream: &mut TcpStream) -> Option<Head> {
    let mut input = Vec::new();
    loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&input[..end]).into_owned();
            let status = text.split(' ').nth(1)?.parse().ok()?;
            return Some(Head { status, text, begun: input.split_off(end + 4) });
        }
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
    }
}

async fn answer(stream: &mut TcpStream, pace: Pace) -> Outcome {
    let Some(head) = head_of_answer(stream).await else {
        return Outcome::Lost("the connection ended before the answer");
    };
    let length = head.field("content-length").and_then(|length| length.parse().ok());
    let is_chunked = head.field("transfer-encoding").is_some();
    let mut body = Body { length, seen: 0, first: String::new(), last: Vec::new(), is_error: false };
    body.take(&head.begun);
    if !is_chunked && length.is_none() {
        return Outcome::Status(head.status);
    }
    match body.read(stream, pace).await {
        true if body.is_error => Outcome::Failed(body.text()),
        true => Outcome::Status(head.status),
        false => Outcome::Lost("the answer ended in the middle"),
    }
}

/// A body of known length, or in chunks.
struct Body {
    length: Option<u64>,
    seen: u64,
    first: String,
    last: Vec<u8>,
    is_error: bool,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let more = bytes.len().min(240_usize.saturating_sub(self.first.len()));
        self.first.push_str(&String::from_utf8_lossy(&bytes[..more]));
        self.last.extend_from_slice(bytes);
        self.is_error |= self.last.windows(14).any(|part| part == br#""isError":true"#);
        let old = self.last.len().saturating_sub(16);
        self.last.drain(..old);
    }

    /// What the first text of the answer says, without the names of files.
    fn text(&self) -> String {
        let text = self.first.split_once(r#""text":""#).map_or(&*self.first, |(_, text)| text);
        text.split(' ').filter(|word| !word.contains('/')).take(12).collect::<Vec<_>>().join(" ")
    }

    fn is_whole(&self) -> bool {
        self.length.map_or_else(|| self.last.ends_with(b"\r\n0\r\n\r\n"), |length| self.seen >= length)
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin), pace: Pace) -> bool {
        let mut part = vec![0; 64 * 1024];
        while !self.is_whole() {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return false,
                Ok(bytes) => self.take(&part[..bytes]),
            }
            if matches!(pace, Pace::Slow) {
                sleep(Duration::from_millis(50)).await;
            }
        }
        true
    }
}

/// What came of it.
struct Verdict<'a> {
    wanted: &'a Wanted,
    base: u64,
    end: Option<Memory>,
    hour: &'a Hour,
}

impl Verdict<'_> {
    fn faults(&self) -> Vec<String> {
        let Some(end) = self.end else { return vec!["the program ended".to_owned()] };
        let mut faults = Vec::new();
        if end.peak > self.wanted.limit_mib * MIB {
            faults.push(format!("the peak is {} B above the limit", end.peak - self.wanted.limit_mib * MIB));
        }
        if end.resident > self.base + MAX_KEPT_BYTES {
            faults.push(format!("{} B are kept 5 s after the last client", end.resident - self.base));
        }
        let lost = self.hour.lost.load(Ordering::Relaxed);
        if lost > 0 {
            faults.push(format!("{lost} requests were taken and not answered"));
        }
        faults
    }

    /// Times of small requests in milliseconds: median, of 99 in 100, most.
    fn small_ms(&self) -> [f64; 3] {
        let mut small = self.hour.small_us.lock().expect("no panic").clone();
        small.sort_unstable();
        let at = |part: f64| small.get((small.len() as f64 * part) as usize).or(small.last()).copied();
        [0.5, 0.99, 1.0].map(|part| f64::from(at(part).unwrap_or_default()) / 1e3)
    }

    fn json(&self) -> String {
        let [p50, p99, max] = self.small_ms();
        serde_json::json!({
            "limit_bytes": self.wanted.limit_mib * MIB,
            "clients": self.wanted.clients,
            "seconds": self.wanted.seconds,
            "base_bytes": self.base,
            "peak_bytes": self.end.map(|end| end.peak),
            "bytes_after_5_s": self.end.map(|end| end.resident),
            "small_ms": { "p50": p50, "p99": p99, "max": max },
            "outcomes": *self.hour.outcomes.lock().expect("no panic"),
            "faults": self.faults(),
        })
        .to_string()
    }

    fn text(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        let mut text = String::new();
        for (outcome, count) in self.hour.outcomes.lock().expect("no panic").iter() {
            let _ = writeln!(text, "{count:>9} {outcome}");
        }
        let (base, limit) = (mib(self.base), self.wanted.limit_mib);
        if let Some(end) = self.end {
            let (peak, kept) = (mib(end.peak), mib(end.resident));
            let _ = writeln!(
                text,
                "resident MiB: base {base:.1}, peak {peak:.1} of {limit}, after 5 s {kept:.1}"
            );
        }
        let [p50, p99, max] = self.small_ms();
        let _ = writeln!(text, "small requests, ms: p50 {p50:.1}, p99 {p99:.1}, max {max:.1}");
        let faults = self.faults();
        text + &if faults.is_empty() { "fine".to_owned() } else { format!("NOT fine: {}", faults.join("; ")) }
    }
}
