//! `mcpool connect` and `mcpool-connect`: messages go through, and a restart of the server costs nothing but the wait.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcpool");
/// What starts a shim to a Unix socket: the subcommand, and the program that is nothing else.
pub(super) const SHIMS: [&[&str]; 2] = [&[PROGRAM, "connect"], &[env!("CARGO_BIN_EXE_mcpool-connect")]];

/// A server that runs already.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
}

impl Server {
    fn start(folder: &Path, http: &str) -> Self {
        Self::with(folder, http, &[])
    }

    pub(super) fn with(folder: &Path, http: &str, flags: &[&str]) -> Self {
        let socket = folder.join("m.sock");
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--http", http, "--unix"])
            .arg(&socket)
            .args(flags)
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let mut texts = lines.by_ref().map(|line| line.expect("text"));
        let address = |line: String| Some(line.split_once("listening on ")?.1.to_owned());
        let url = texts.find_map(address).expect("an address");
        lines.next().expect("a path").expect("text");
        // What it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    pub(super) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to stop");
        assert!(self.child.wait().expect("ended").success());
    }
}

/// A client of the shim.
pub(super) struct Shim {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shim {
    pub(super) fn start(program: &[&str], target: &str) -> Self {
        let mut command = command(program, target);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a shim");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("its stdout"));
        Self { child, input, output: BufReader::new(output) }
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("open");
        input.write_all(format!("{message}\n").as_bytes()).expect("the shim reads");
    }

    pub(super) fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    pub(super) fn handshake(&mut self) {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let opened = self.ask(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
        assert_eq!(opened["result"]["protocolVersion"], "2025-11-25", "{opened}");
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    pub(super) fn call(&mut self, id: u64) -> Value {
        self.read(id, "f")
    }

    fn read(&mut self, id: u64, path: &str) -> Value {
        let params = json!({"name": "read_text_file", "arguments": {"path": path}});
        self.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
    }
}

/// A shim that waits for its server longer than any machine needs.
pub(super) fn command(program: &[&str], target: &str) -> Command {
    command_that_waits(program, target, 600)
}

pub(super) fn command_that_waits(program: &[&str], target: &str, seconds: u64) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(["--wait", &seconds.to_string(), target]);
    command
}

#[test]
fn a_shim_outlives_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("f"), "what is in f").expect("a file");
    // Its answer is sent while it is read, in parts.
    let large = "a \"line\"\n".repeat(30_000);
    std::fs::write(folder.path().join("large"), &large).expect("a file");
    let mut server = Server::start(folder.path(), "127.0.0.1:0");
    let address = server
        .url
        .strip_prefix("http://")
        .and_then(|url| url.strip_suffix("/mcp"))
        .expect("a URL")
        .to_owned();
    let (socket, url) = (format!("unix:{}", folder.path().join("m.sock").display()), server.url.clone());
    for (program, target) in [(SHIMS[0], &socket), (SHIMS[1], &socket), (SHIMS[0], &url)] {
        let mut shim = Shim::start(program, target);
        shim.handshake();
        assert_eq!(shim.call(1)["result"]["content"][0]["text"], "what is in f", "{target}");
        let answer = shim.read(10, "large");
        assert!(answer["id"] == 10 && answer["result"]["content"][0]["text"] == large, "{target}");
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
        let discover =
            json!({"jsonrpc": "2.0", "id": 2, "method": "server/discover", "params": {"_meta": meta}});
        assert_eq!(shim.ask(&discover)["result"]["supportedVersions"][0], "2026-07-28", "{target}");
        server.stop();
        server = Server::start(folder.path(), &address);
        let mut answer = shim.call(3);
        // The restart may show only when the message is on its way: then the client is told to send it again.
        for id in 4..9 {
            if answer["error"]["data"]["reason"] != "connection_lost" {
                break;
            }
            answer = shim.call(id);
        }
        assert_eq!(answer["result"]["content"][0]["text"], "what is in f", "{target}: {answer}");
        drop(shim.input.take());
        assert!(shim.child.wait().expect("ended").success());
    }
    server.stop();
}

#[test]
fn targets_that_are_none_are_named() {
    for (program, target, want) in [
        (SHIMS[0], "nowhere", "neither unix:PATH nor http"),
        (SHIMS[0], "ftp://example.com/mcp", "the shim speaks http://, https:// and unix:"),
        (SHIMS[0], "http:///mcp", "there is no host"),
        (SHIMS[1], "nowhere", "is not unix:PATH"),
        (SHIMS[1], "unix:", "is not unix:PATH"),
        (SHIMS[1], "http://127.0.0.1:1/mcp", "`mcpool connect` speaks http://"),
    ] {
        let ended = command(program, target).stdin(Stdio::null()).output().expect("ended");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains(want), "{target}: {said}");
        assert_eq!(ended.status.code(), Some(2), "{target}");
    }
}
