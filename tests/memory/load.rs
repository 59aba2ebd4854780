//! The program under test, and clients plain enough to count on: one blocking socket each.

use mcpool::memory::MemoryReport;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Waits for what is to come, at most a minute or two: a test fails on what does not come, not on how long it takes.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(2), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Bounds of time that no machine reaches, however busy: nothing here is about time.
const PATIENCE: [&str; 8] = [
    "--header-timeout-ms",
    "600000",
    "--body-timeout-ms",
    "3600000",
    "--write-timeout-ms",
    "3600000",
    "--idle-timeout-ms",
    "86400000",
];

/// A server that runs as long as this lives.
pub(crate) struct Program {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    // After the child, which has to be gone first.
    group: Option<ControlGroup>,
}

/// A control group of the memory controller, which goes when this does.
pub(crate) struct ControlGroup {
    path: PathBuf,
    is_v2: bool,
}

impl ControlGroup {
    /// A group whose processes may have so much memory together; an error where this user may make none.
    pub(crate) fn new(limit_bytes: u64) -> std::io::Result<Self> {
        // Tests of one process run at once.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = Path::new("/sys/fs/cgroup");
        let is_v2 = root.join("cgroup.controllers").exists();
        let path = if is_v2 { root.to_owned() } else { root.join("memory") };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = path.join(format!("mcpool-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path)?;
        let group = Self { path, is_v2 };
        let limit = if is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        std::fs::write(group.path.join(limit), limit_bytes.to_string())?;
        Ok(group)
    }

    /// How many processes the kernel killed in it.
    pub(crate) fn killed(&self) -> u64 {
        let file = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = std::fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or_default()
    }

    /// Has a command run in the group.
    fn enter(&self, command: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(self.path.join("cgroup.procs")).arg(command);
        shell
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of a process that ended.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Program {
    pub(crate) fn serve(options: &[&str]) -> Self {
        Self::start(Command::new(env!("CARGO_BIN_EXE_mcpool")), None, options)
    }

    /// Within what a control group allows.
    pub(crate) fn serve_in(group: ControlGroup, options: &[&str]) -> Self {
        Self::start(group.enter(env!("CARGO_BIN_EXE_mcpool")), Some(group), options)
    }

    pub(crate) fn group(&self) -> Option<&ControlGroup> {
        self.group.as_ref()
    }

    fn start(mut command: Command, group: Option<ControlGroup>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let admin = format!("unix:{}", folder.path().join("admin.sock").display());
        let mut child = command
            .args(["serve", "--http", "127.0.0.1:0", "--admin", &admin])
            .args(PATIENCE)
            .args(options)
            .arg(folder.path())
            .env_remove("MCPOOL_CONFIG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let port = lines.by_ref().map(|line| line.expect("text")).find_map(|line| {
            said += &line;
            let address = line.strip_prefix("mcpool: listening on ")?.split_once("://127.0.0.1:")?.1;
            address.split('/').next()?.parse().ok()
        });
        let Some(port) = port else { panic!("{options:?} ended before it listened: {said}") };
        // Whoever writes to a full pipe waits.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, folder, group }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory that the server may read.
    pub(crate) fn folder(&self) -> &str {
        self.folder.path().to_str().expect("text")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a file that the server may read, and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// The params of an edit whose new text has about so many bytes and an escape, so that it has to be copied into the
    /// arena. Its answer, a diff that has the text twice, is written before it is sent.
    pub(crate) fn edit_params(&self, bytes: usize) -> String {
        let path = serde_json::to_string(&self.file("edited.txt", "first\n")).expect("text");
        let edit = format!(r#"{{"oldText":"first","newText":"\n{}"}}"#, "x".repeat(bytes));
        format!(r#""name":"edit_file","arguments":{{"path":{path},"edits":[{edit}],"dryRun":true}}"#)
    }

    /// The params of a call whose answer has about so many bytes: the paths of files, each a few KiB long.
    pub(crate) fn search_params(&self, bytes: usize) -> String {
        const PATH_BYTES: usize = 3_500;
        let mut folder = self.folder.path().join(format!("search {bytes}"));
        while folder.as_os_str().len() < PATH_BYTES - 250 {
            folder.push("n".repeat(200));
        }
        std::fs::create_dir_all(&folder).expect("folders");
        folder.push("n".repeat(PATH_BYTES - 8 - folder.as_os_str().len()));
        // Each path is there twice.
        for number in 0..bytes.div_ceil(2 * PATH_BYTES) {
            let mut path = folder.clone().into_os_string();
            path.push(format!("{number:06}"));
            std::fs::write(path, "").expect("a file");
        }
        let folder = self.folder.path().join(format!("search {bytes}"));
        let arguments = serde_json::json!({"path": folder, "pattern": "**/*"});
        format!(r#""name":"search_files","arguments":{arguments}"#)
    }

    pub(crate) fn admin(&self) -> String {
        self.folder.path().join("admin.sock").to_str().expect("text").to_owned()
    }

    pub(crate) fn report(&self) -> MemoryReport {
        MemoryReport::from_json(&self.page("GET /report")).expect("a report")
    }

    /// What the admin socket answers.
    pub(crate) fn page(&self, request: &str) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(self.admin()).expect("an admin socket");
        write!(stream, "{request} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    /// What `mcpool doctor` prints, and its exit code.
    pub(crate) fn run_doctor(&self, options: &[&str]) -> (String, Option<i32>) {
        let target = format!("unix:{}", self.admin());
        let output = Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .args(["doctor", &target])
            .args(options)
            .output()
            .expect("ran");
        (String::from_utf8(output.stdout).expect("text"), output.status.code())
    }

    /// What `mcpool report` prints.
    pub(crate) fn run_report(&self, options: &[&str]) -> String {
        let target = format!("unix:{}", self.admin());
        let output = Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .args(["report", &target])
            .args(options)
            .output()
            .expect("ran");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request of the modern era; `members` are those of its params besides `_meta`.
pub(crate) fn message(method: &str, members: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{members},{meta}}}}}"#)
}

/// Bodies above this are sent only when the server says that it wants them.
const ASK_FROM_BYTES: usize = 64 * 1024;

/// A client with one connection.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        stream.set_read_timeout(Some(Duration::from_mins(2))).expect("a time-out");
        Self { stream, input: Vec::new() }
    }

    /// The same from another address of this machine, which is another client to the server.
    pub(crate) fn connect_from(address: [u8; 4], port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind((address, 0).into()).expect("an address of this machine");
            let stream = socket.connect(([127, 0, 0, 1], port).into()).await.expect("connects");
            stream.into_std().expect("a socket")
        });
        stream.set_nonblocking(false).expect("a blocking socket");
        stream.set_read_timeout(Some(Duration::from_mins(2))).expect("a time-out");
        Self { stream, input: Vec::new() }
    }

    /// Whether something came that was not read.
    pub(crate) fn has_input(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket");
        let came = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket");
        came.is_ok_and(|bytes| bytes > 0)
    }

    /// Leaves with a reset, as a process does that is killed with something unread.
    pub(crate) fn abort(self) {
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, linger).expect("a socket");
    }

    /// Sends bytes and reads nothing.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// Sends bytes that the server may have no ear for any more.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// A handshake of the legacy era, whose session nobody ends. Gives the session's id.
    pub(crate) fn open_session(&mut self) -> String {
        self.open_session_with(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#,
        )
    }

    /// The same with the client's own words.
    pub(crate) fn open_session_with(&mut self, body: &str) -> String {
        let head = head(body.len(), "");
        self.send(format!("{head}{body}").as_bytes());
        let (status, answer) = self.read_answer().expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let head = String::from_utf8_lossy(&self.input);
        let id = head.lines().find_map(|line| {
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("mcp-session-id"))
        });
        id.expect("a session").1.to_owned()
    }

    /// Reads the stream that answers a request, until `awaited` comes.
    pub(crate) fn listen(&mut self, body: &str, awaited: &str) -> String {
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        self.send(format!("{}{body}", head(body.len(), fields)).as_bytes());
        self.await_bytes(awaited)
    }

    /// Reads until `awaited` comes, and little more.
    pub(crate) fn await_bytes(&mut self, awaited: &str) -> String {
        let mut buffer = [0; 4 * 1024];
        while !String::from_utf8_lossy(&self.input).contains(awaited) {
            let bytes = self.stream.read(&mut buffer).expect("the stream goes on");
            assert!(bytes > 0, "{}", String::from_utf8_lossy(&self.input));
            self.input.extend_from_slice(&buffer[..bytes]);
        }
        String::from_utf8_lossy(&self.input).into_owned()
    }

    /// Status and body of the answer.
    pub(crate) fn call(&mut self, method: &str, name: Option<&str>, body: &str) -> (u16, String) {
        self.try_call(method, name, body).expect("an answer")
    }

    /// The same, unless the connection ends before the answer.
    pub(crate) fn try_call(&mut self, method: &str, name: Option<&str>, body: &str) -> Option<(u16, String)> {
        let name = name.map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default();
        let expect = if body.len() > ASK_FROM_BYTES { "expect: 100-continue\r\n" } else { "" };
        let era = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}{expect}");
        let head = head(body.len(), &era);
        self.stream.write_all(head.as_bytes()).ok()?;
        if body.len() > ASK_FROM_BYTES {
            match self.read_answer()? {
                (100, _) => {}
                refusal => return Some(refusal),
            }
            self.stream.write_all(body.as_bytes()).expect("what was asked for is read");
            return Some(self.read_answer().expect("what was accepted is answered"));
        }
        self.stream.write_all(body.as_bytes()).ok()?;
        self.read_answer()
    }

    /// Status and body of the next answer, unless the connection ends before.
    pub(crate) fn read_answer(&mut self) -> Option<(u16, String)> {
        self.input.clear();
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(answer) = whole_answer(&self.input) {
                return Some(answer);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
            }
        }
    }
}

/// Status and body of an answer that is there to its end: one body, or a stream of events, as which an answer comes that
/// takes longer than the interval of the signs of life.
fn whole_answer(input: &[u8]) -> Option<(u16, String)> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&input[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &input[end + 4..];
    if head.contains("transfer-encoding: chunked") {
        // Nothing that is sent here has such a line end.
        return body.ends_with(b"\r\n0\r\n\r\n").then(|| (status, unchunked(body)));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = body.get(..length.unwrap_or(0))?;
    Some((status, String::from_utf8_lossy(body).into_owned()))
}

/// The body that was sent in chunks.
fn unchunked(mut chunks: &[u8]) -> String {
    let mut body = Vec::new();
    loop {
        let end = chunks.iter().position(|byte| *byte == b'\r').expect("a size");
        let size = std::str::from_utf8(&chunks[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            return String::from_utf8_lossy(&body).into_owned();
        }
        let rest = &chunks[end + 2..];
        body.extend_from_slice(&rest[..size]);
        chunks = rest[size..].strip_prefix(b"\r\n").expect("the end of a chunk");
    }
}

/// The head of a POST with those further fields.
pub(crate) fn head(length: usize, fields: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{fields}content-length: {length}\r\n\r\n"
    )
}

/// A thousand sockets are more than some systems give at first.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
