//! The program on sockets: what it says, whom it accepts, how it ends.

use super::{mcpool, run, signal};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

/// A server at work, killed when the test fails.
pub(crate) struct Serving {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Serving {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, stderr }
    }

    /// The next line that is more than information.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let line = self.any_line();
            if !is_information(&line) {
                return line;
            }
        }
    }

    /// The next line; empty at the end.
    pub(crate) fn any_line(&mut self) -> String {
        let mut line = String::new();
        while line.is_empty() || is_of_the_machine(&line) {
            line.clear();
            if self.stderr.read_line(&mut line).expect("a line") == 0 {
                break;
            }
        }
        line.trim_end().to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(name, &self.child.id().to_string()));
    }

    /// Its exit code, and what else it said beside information.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        let (code, rest) = self.end_with_all();
        (code, rest.split_inclusive('\n').filter(|line| !is_information(line)).collect())
    }

    /// Its exit code, and what else it said.
    pub(crate) fn end_with_all(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("read");
        let rest = rest.split_inclusive('\n').filter(|line| !is_of_the_machine(line)).collect();
        (self.child.wait().expect("ended").code(), rest)
    }
}

/// Whether a line tells how a server that is well goes on.
fn is_information(line: &str) -> bool {
    line.contains("Z  INFO mcpool::")
}

/// Whether a line depends on the machine: on how much memory it has, and on others who may be at work there.
fn is_of_the_machine(line: &str) -> bool {
    line.contains("memory pressure") || line.starts_with("mcpool: memory ceiling: ")
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a request is answered as such.
fn is_served(path: &Path) -> bool {
    let mut client = UnixStream::connect(path).expect("connects");
    let mut answer = String::new();
    let asked = client.write_all(PING).and_then(|()| BufReader::new(&client).read_line(&mut answer));
    asked.is_ok() && answer.contains("\"result\"")
}

/// One request and its answer, on a connection that stays.
fn ping(path: &Path) -> UnixStream {
    let mut client = UnixStream::connect(path).expect("connects");
    client.write_all(PING).expect("sent");
    let mut answer = String::new();
    BufReader::new(&client).read_line(&mut answer).expect("an answer");
    assert!(answer.contains("\"id\":1") && answer.contains("\"result\""), "{answer}");
    client
}

#[test]
fn it_says_where_it_listens_serves_there_and_cleans_up_when_told_to_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let socket = path.display().to_string();
    let arguments = ["serve", "--http", "127.0.0.1:0", "--unix", &socket, "."];
    for name in ["TERM", "INT"] {
        let mut serving = Serving::start(&mut mcpool(&arguments));
        let http = serving.line();
        let port = http.strip_prefix("mcpool: listening on http://127.0.0.1:").expect(&http);
        let port: u16 = port.strip_suffix("/mcp").expect(&http).parse().expect("a port");
        TcpStream::connect(("127.0.0.1", port)).expect("connects");
        assert_eq!(serving.line(), format!("mcpool: listening on unix:{socket}"));
        let (first, second) = (ping(&path), ping(&path));
        serving.signal(name);
        assert_eq!(serving.end(), (Some(0), String::new()), "{name}");
        assert!(!path.exists());
        TcpStream::connect(("127.0.0.1", port)).expect_err("closed");
        for mut client in [first, second] {
            assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        }
    }
}

#[test]
fn a_second_server_on_the_same_path_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let socket = path.display().to_string();
    let mut serving = Serving::start(&mut mcpool(&["serve", "--unix", &socket, "."]));
    serving.line();
    let (code, said) = Serving::start(&mut mcpool(&["serve", "--unix", &socket, "."])).end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.starts_with(&format!("mcpool: another server is listening on {socket}: ")), "{said}");
    ping(&path);
    // Killed, it leaves its file behind, and that is no obstacle.
    serving.signal("KILL");
    drop(serving);
    assert!(path.exists());
    let mut next = Serving::start(&mut mcpool(&["serve", "--unix", &socket, "."]));
    next.line();
    ping(&path);
}

/// As a service manager starts it: the listener is open already, and its number is in the environment.
#[test]
fn a_socket_of_a_service_manager_is_served_and_left_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let kept = listener.try_clone().expect("as the service manager keeps it");
    // Only a shell can give its own process id to the program that takes its place.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=tools LISTEN_PID=$$ exec \"$0\" serve .";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcpool")]).stdin(OwnedFd::from(listener));
    let mut serving = Serving::start(&mut command);
    assert_eq!(serving.line(), format!("mcpool: listening on unix:{}", path.display()));
    ping(&path);
    serving.signal("TERM");
    assert_eq!(serving.end(), (Some(0), String::new()));
    assert!(path.exists());
    drop(kept);
}

#[test]
fn beside_a_socket_stdio_is_served_when_asked_for_and_ends_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let arguments = ["serve", "--stdio", "--unix", &path.display().to_string(), "."];
    let mut serving = Serving::start(mcpool(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()));
    serving.line();
    let _client = ping(&path);
    let mut stdin = serving.child.stdin.take().expect("a pipe");
    stdin.write_all(PING).expect("sent");
    let mut stdout = BufReader::new(serving.child.stdout.take().expect("a pipe"));
    let mut answer = String::new();
    stdout.read_line(&mut answer).expect("an answer");
    assert!(answer.contains("\"result\""), "{answer}");
    drop(stdin);
    assert_eq!(serving.end(), (Some(0), String::new()));
    assert!(!path.exists());
}

/// More clients than descriptors: those that fit are served, the rest are told so, the log says so once, at the start.
#[test]
fn want_of_descriptors_is_survived() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let script = "ulimit -n 40; exec \"$0\" serve --unix \"$1\" --worker-threads 1 .";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcpool")]).arg(&path).stdin(Stdio::null());
    let mut serving = Serving::start(&mut command);
    let warning = serving.line();
    let want =
        "max_connections is 20 instead of 10000: the system allows 40 file descriptors, of which 20 are for";
    assert!(warning.contains(want), "{warning}");
    serving.line();
    // Three quarters of them are one user's.
    let served: Vec<_> = (0..15).map(|_| ping(&path)).collect();
    let mut answers = 0;
    for _ in 0..60 {
        let mut client = UnixStream::connect(&path).expect("queued");
        let mut answer = String::new();
        // When many are rejected at once, those beyond a bound are closed without an answer.
        if client.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            answers += 1;
        }
    }
    assert!(answers > 0);
    drop(served);
    // It takes a moment until the server has seen that they are gone.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !is_served(&path) {
        assert!(std::time::Instant::now() < deadline, "never served again");
    }
    serving.signal("TERM");
    let (code, said) = serving.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().all(|line| line.contains("refused: a connection too many")), "{said}");
    assert!((1..=60).contains(&said.lines().count()), "as many as are refused in a moment: {said}");
}

/// The soft limit of descriptors, 1,024 nearly everywhere, is not what bounds the connections.
#[test]
fn as_many_descriptors_as_it_may_have_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let script = "ulimit -Sn 40; exec \"$0\" serve --unix \"$1\" --max-connections 100 .";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcpool")]).arg(&path).stdin(Stdio::null());
    let mut serving = Serving::start(&mut command);
    assert_eq!(serving.line(), format!("mcpool: listening on unix:{}", path.display()));
    let _clients: Vec<_> = (0..60).map(|_| ping(&path)).collect();
    serving.signal("TERM");
    assert_eq!(serving.end(), (Some(0), String::new()));
}

/// `tools` and `call` start a server of their own, on stdin and stdout, whatever the settings say of sockets.
#[test]
fn the_server_behind_a_call_opens_no_sockets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.sock");
    let output = mcpool(&["tools", "."]).env("MCPOOL_UNIX", &path).env("MCPOOL_HTTP", "127.0.0.1:1").output();
    let output = output.expect("the program runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(!path.exists());
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_that_cannot_be_used_stops_the_server_before_it_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.pem").display().to_string();
    let arguments = ["serve", "--http", "127.0.0.1:0", "--tls-cert", &file, "--tls-key", &file];
    let (code, said) = Serving::start(&mut mcpool(&arguments)).end();
    assert_eq!(code, Some(3), "{said}");
    let want = format!("mcpool: cannot read the certificate {file}: No such file or directory");
    assert!(said.starts_with(&want), "{said}");
}

/// What people copy must be what the program takes.
#[test]
fn the_files_for_service_managers_name_flags_that_there_are() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy");
    let read = |name: &str| std::fs::read_to_string(deploy.join(name)).expect("read");
    let help = run(&["serve", "--help"]).stdout;
    let mut flags = 0;
    let lines = [read("mcpool.service"), read("mcpool.plist"), read("README.md")].concat();
    for line in lines.lines().filter(|line| line.contains("mcpool serve ") || line.contains("<string>--")) {
        let words = line.split(|c: char| c.is_whitespace() || "<>`=".contains(c));
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}[")), "{line}");
            flags += 1;
        }
    }
    assert!(flags >= 4, "{flags}");
    assert!(read("README.md").contains(&read("mcp.json")), "the README shows mcp.json as it is");
    serde_json::from_str::<serde_json::Value>(&read("mcp.json")).expect("JSON");
}
