//! The program on real descriptors: pipes, sockets and files, and every way in which they end.

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
const PONG: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n";

fn mcpool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.arg("serve").arg(env!("CARGO_MANIFEST_DIR")).env_remove("RUST_LOG");
    command
}

fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn end_of_input_answers_what_came_and_exits_well() {
    let mut child = mcpool().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("mcpool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(PING).expect("it reads");
    stdin.write_all(PING.trim_ascii_end()).expect("it reads");
    drop(stdin);
    let mut answers = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut answers).expect("it writes text");
    assert_eq!(answers, [PONG, PONG].concat());
    assert!(wait(&mut child).success());
}

/// A file that may not grow further is an error of the call that writes it. A shell sets the limit for its program.
#[test]
fn a_limit_for_the_size_of_files_costs_a_call_and_not_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "ulimit -f 8 && exec \"$0\" serve --stdio \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcpool")]).arg(folder.path()).env_remove("RUST_LOG");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let hello = r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let arguments = serde_json::json!({"path": folder.path().join("file"), "content": "x".repeat(100_000)});
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call",
        "params": {"name": "write_file", "arguments": arguments}});
    writeln!(stdin, "{hello}\n{call}").expect("it reads");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut answer = || answers.next().expect("an answer").expect("text");
    assert!(answer().contains("protocolVersion"));
    let written = answer();
    assert!(written.contains(r#""isError":true"#), "{written}");
    stdin.write_all(PING).expect("it reads");
    assert_eq!(answer() + "\n", PONG);
    drop(stdin);
    assert!(wait(&mut child).success());
    assert!(!folder.path().join("file").exists(), "nothing is left of the attempt");
}

/// A plain file server shows what the server that it stands in for shows: no resources and no prompts.
#[test]
fn the_memory_report_is_offered_where_the_admin_socket_is_on() {
    for (options, is_offered) in
        [(&[][..], false), (&["--admin", "none"], false), (&["--admin", "127.0.0.1:0"], true)]
    {
        let mut child = mcpool()
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("mcpool starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        for (id, method) in ["server/discover", "resources/list", "prompts/list"].iter().enumerate() {
            let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
            writeln!(
                stdin,
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{meta}}}}}"#
            )
            .expect("it reads");
        }
        drop(stdin);
        let mut answers = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut answers).expect("it writes text");
        let has = ["\"resources\":{", "\"prompts\":{", "mcpool://memory/report", "tune-memory"]
            .map(|part| answers.contains(part));
        assert_eq!(has, [is_offered; 4], "{options:?}: {answers}");
        assert!(wait(&mut child).success());
    }
}

#[test]
fn the_signals_to_stop_end_it_well() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut child = mcpool().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("mcpool starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdin.write_all(PING).expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it answers");
        assert_eq!(line, PONG);
        kill_process(Pid::from_child(&child), signal).expect("it can be signalled");
        assert!(wait(&mut child).success(), "{signal:?}");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_what_is_in_flight() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in 0..5_000 {
        std::fs::write(folder.path().join(format!("x{name}")), "").expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    let mut child = command
        .args(["serve", "--drain-timeout-ms", "600000"])
        .args(["--max-pattern-bytes", "64MiB", "--max-pattern-steps", "100000000"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    // A search that takes seconds: each file is matched against each of the exclusions.
    let exclusions: Vec<_> = (0..2_000).map(|number| format!("\"**/x*y{number}*[a-f]?z\"")).collect();
    let search = format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"search_files","arguments":{{"path":".","pattern":"**/never","excludePatterns":[{}]}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#,
        exclusions.join(",")
    );
    stdin.write_all(search.as_bytes()).expect("it reads");
    stdin.write_all(&[b"\n", PING].concat()).expect("it reads");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it answers");
    assert_eq!(line, PONG, "the search is still under way");
    let begun = Instant::now();
    let process = Pid::from_child(&child);
    kill_process(process, Signal::TERM).expect("it can be signalled");
    std::thread::sleep(Duration::from_millis(100));
    assert!(
        child.try_wait().expect("it can be waited for").is_none(),
        "the first signal lets the search finish"
    );
    kill_process(process, Signal::TERM).expect("it can be signalled");
    assert!(wait(&mut child).success());
    assert!(begun.elapsed() < Duration::from_mins(2), "the second signal does not");
}

#[test]
fn a_closed_output_ends_it_quietly() {
    let mut command = mcpool();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mcpool starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(PING).expect("it reads");
    assert!(wait(&mut child).success());
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("it writes text");
    assert_eq!(said, "");
}

/// An answer that is lost is no success, whether the client still talks or has said all.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_the_output_is_said() {
    for ends in [true, false] {
        let full = File::options().write(true).open("/dev/full").expect("the device");
        let mut command = mcpool();
        let mut child =
            command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().expect("mcpool starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(PING).expect("it reads");
        let kept = (!ends).then_some(stdin);
        assert!(!wait(&mut child).success(), "the answer is lost");
        drop(kept);
        let mut said = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("it writes text");
        assert!(said.contains("cannot write") && said.contains("No space left on device"), "{said}");
    }
}

#[test]
fn whatever_it_logs_the_output_is_protocol_only() {
    let mut child = mcpool()
        .env("RUST_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mcpool starts");
    child.stdin.take().expect("a pipe").write_all(&[b"nonsense\n", PING].concat()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let answers = String::from_utf8(output.stdout).expect("it writes text");
    assert_eq!(answers.lines().count(), 2, "{answers}");
    for line in answers.lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("a message");
        assert_eq!(message["jsonrpc"], "2.0");
    }
    assert!(!output.stderr.is_empty(), "it logs when it is told to");
}

#[test]
fn files_serve_as_input_and_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::write(&input, PING.repeat(3)).expect("a file");
    let status = mcpool()
        .stdin(File::open(&input).expect("a file"))
        .stdout(File::create(&output).expect("a file"))
        .status()
        .expect("mcpool runs");
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(&output).expect("a file"), PONG.repeat(3));
}

#[test]
fn sockets_serve_as_input_and_output() {
    let (mut ours, theirs) = UnixStream::pair().expect("sockets");
    let output = theirs.try_clone().expect("a descriptor");
    let mut child =
        mcpool().stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(output)).spawn().expect("mcpool starts");
    ours.write_all(PING).expect("it reads");
    let mut answer = [0; PONG.len()];
    ours.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, *PONG.as_bytes());
    ours.shutdown(std::net::Shutdown::Write).expect("a socket closes");
    assert!(wait(&mut child).success());
}

#[test]
fn descriptors_are_put_back_as_they_were() {
    let (input, mut requests) = std::io::pipe().expect("a pipe");
    let (mut answers, output) = std::io::pipe().expect("a pipe");
    let (their_input, their_output) =
        (input.try_clone().expect("a descriptor"), output.try_clone().expect("one"));
    let mut command = mcpool();
    let mut child = command.stdin(their_input).stdout(their_output).spawn().expect("mcpool starts");
    drop(command);
    requests.write_all(PING).expect("it reads");
    let mut answer = [0; PONG.len()];
    answers.read_exact(&mut answer).expect("it answers");
    let is_waitable = |flags: rustix::io::Result<OFlags>| flags.expect("flags").contains(OFlags::NONBLOCK);
    assert!(is_waitable(rustix::fs::fcntl_getfl(&input)), "while it serves, the shared pipe does not block");
    drop(requests);
    assert!(wait(&mut child).success());
    assert!(!is_waitable(rustix::fs::fcntl_getfl(&input)), "the input stays non-blocking");
    assert!(!is_waitable(rustix::fs::fcntl_getfl(&output)), "the output stays non-blocking");
}

#[test]
fn a_missing_descriptor_is_said_clearly() {
    // A shell is the plain way to start a program without one of its standard descriptors.
    let script = format!("exec '{}' serve . <&-", env!("CARGO_BIN_EXE_mcpool"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell runs");
    // The Rust runtime opens a closed standard descriptor as /dev/null, which ends at once.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
}

/// Nobody waits for a page of a server that never answers longer than the drain may take, once the input has ended; and not
/// at all where nobody is left to read the answer.
#[cfg(feature = "fetch")]
#[test]
fn a_fetch_in_flight_keeps_the_program_no_longer_than_the_drain_may_take() {
    let site = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", site.local_addr().expect("an address"));
    let hello = r#"{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let arguments = serde_json::json!({"name": "fetch", "arguments": {"url": url}});
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": arguments});
    for (drain_ms, closes_output) in [("2000", false), ("600000", true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        command.args(["serve", "--tools", "fetch", "--allow-private-ips", "--ignore-robots-txt"]);
        // Longer than the test waits.
        command.args(["--fetch-timeout-ms", "600000", "--drain-timeout-ms", drain_ms]).env_remove("RUST_LOG");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        writeln!(stdin, "{hello}\n{call}").expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the handshake");
        let asked = site.accept().expect("the fetch");
        drop(stdin);
        let output = (!closes_output).then_some(stdout);
        if !closes_output {
            kill_process(Pid::from_child(&child), Signal::TERM).expect("it is there");
        }
        assert!(wait(&mut child).success());
        drop((asked, output));
    }
}
