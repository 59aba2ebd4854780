//! The shim to a Unix socket, both programs of it, between a client and a server that misbehave.

use super::connect::{SHIMS, command, command_that_waits};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A path for a socket, where a server may listen or not.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("m.sock")
    }

    fn listen(&self) -> UnixListener {
        let _ = std::fs::remove_file(self.socket());
        UnixListener::bind(self.socket()).expect("a socket")
    }

    fn command(&self, program: &[&str]) -> std::process::Command {
        command(program, &format!("unix:{}", self.socket().display()))
    }

    fn start(&self, program: &[&str]) -> Shim {
        Self::spawn(self.command(program))
    }

    /// One that does not wait for a server that is not there.
    fn start_impatient(&self, program: &[&str]) -> Shim {
        Self::spawn(command_that_waits(program, &format!("unix:{}", self.socket().display()), 0))
    }

    fn spawn(mut command: std::process::Command) -> Shim {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a shim");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("its stdout"));
        Shim { child, input, output: BufReader::new(output) }
    }
}

struct Shim {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shim {
    fn send(&mut self, text: &str) {
        self.input.as_mut().expect("open").write_all(text.as_bytes()).expect("the shim reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line
    }

    /// The error that the next line holds: its id and its text.
    fn error(&mut self) -> (Value, String) {
        let line = self.line();
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        (value["id"].clone(), value["error"]["message"].as_str().expect("an error").to_owned())
    }

    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to stop");
    }

    /// What is left on its streams, and how it ended.
    fn end(mut self) -> Output {
        drop(self.input.take());
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).expect("read");
        let mut output = self.child.wait_with_output().expect("ended");
        output.stdout = rest;
        output
    }
}

/// A request of about `bytes` bytes.
fn request(id: usize, bytes: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"text":"{}"}},"id":{id}}}"#, "x".repeat(bytes))
        + "\n"
}

fn answer(id: usize) -> String {
    long_answer(id, 1)
}

fn long_answer(id: usize, bytes: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","result":{{"text":"{}"}},"id":{id}}}"#, "x".repeat(bytes)) + "\n"
}

/// The lines of a connection, and its writing half.
fn accept(listener: &UnixListener) -> (BufReader<UnixStream>, UnixStream) {
    let (stream, _) = listener.accept().expect("a shim");
    (BufReader::new(stream.try_clone().expect("a copy")), stream)
}

fn line_of(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("text");
    line
}

/// A server that reads no further before its answer is written: the shim must read from it while it cannot write to it.
#[test]
fn both_directions_go_on_at_once() {
    const REQUESTS: usize = 30;
    const BYTES: usize = 300_000;
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let mut shim = site.start(program);
        let server = std::thread::spawn(move || {
            let (mut lines, mut writer) = accept(&listener);
            for id in 0..REQUESTS {
                assert!(line_of(&mut lines) == request(id, BYTES));
                writer.write_all(long_answer(id, BYTES).as_bytes()).expect("the shim reads");
            }
        });
        let mut input = shim.input.take().expect("open");
        let writer = std::thread::spawn(move || {
            for id in 0..REQUESTS {
                input.write_all(request(id, BYTES).as_bytes()).expect("the shim reads");
            }
            input
        });
        for id in 0..REQUESTS {
            assert!(shim.line() == long_answer(id, BYTES));
        }
        drop(writer.join().expect("written"));
        server.join().expect("served");
        let ended = shim.end();
        assert!(ended.status.success() && ended.stdout.is_empty());
    }
}

#[test]
fn what_was_in_flight_is_answered_and_half_a_line_is_dropped() {
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let mut shim = site.start(program);
        shim.send(&(request(1, 10) + &request(2, 10)));
        {
            let (mut lines, mut writer) = accept(&listener);
            assert_eq!((line_of(&mut lines), line_of(&mut lines)), (request(1, 10), request(2, 10)));
            writer.write_all((answer(1) + r#"{"jsonrpc":"2.0","id":2,"res"#).as_bytes()).expect("written");
        }
        assert_eq!(shim.line(), answer(1));
        let (id, why) = shim.error();
        assert_eq!(id, 2);
        assert!(why.contains("send the request again"), "{why}");
        // It is connected again, without anybody asking.
        let (mut lines, mut writer) = accept(&listener);
        shim.send(&request(3, 10));
        assert_eq!(line_of(&mut lines), request(3, 10));
        writer.write_all(answer(3).as_bytes()).expect("written");
        assert_eq!(shim.line(), answer(3));
    }
}

/// A server that ends reads no more, and answers what it has read.
#[test]
fn a_server_that_reads_no_more_is_heard_to_its_end() {
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let mut shim = site.start(program);
        shim.send(&request(1, 10));
        {
            let (mut lines, mut writer) = accept(&listener);
            assert_eq!(line_of(&mut lines), request(1, 10));
            writer.shutdown(std::net::Shutdown::Read).expect("shut");
            shim.send(&request(2, 10));
            writer.write_all(answer(1).as_bytes()).expect("the shim reads");
            assert_eq!(shim.line(), answer(1));
            writer.write_all(answer(7).as_bytes()).expect("the shim reads");
        }
        assert_eq!(shim.line(), answer(7));
        let (mut lines, _writer) = accept(&listener);
        assert_eq!(line_of(&mut lines), request(2, 10));
    }
}

#[test]
fn the_handshake_is_repeated_and_its_answer_kept_from_the_client() {
    let initialize = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"initialize\",\"params\":{}}\n";
    let initialized = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
    let greeted = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n";
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let mut shim = site.start(program);
        shim.send(initialize);
        for is_first in [true, false] {
            let (mut lines, mut writer) = accept(&listener);
            assert_eq!(line_of(&mut lines), initialize);
            let before = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n";
            writer.write_all((before.to_owned() + greeted).as_bytes()).expect("written");
            if is_first {
                assert_eq!((shim.line(), shim.line()), (before.to_owned(), greeted.to_owned()));
                shim.send(initialized);
            } else {
                shim.send(&request(5, 10));
            }
            assert_eq!(line_of(&mut lines), initialized);
            if !is_first {
                assert_eq!(line_of(&mut lines), request(5, 10));
                writer.write_all(answer(5).as_bytes()).expect("written");
                assert_eq!(shim.line(), answer(5));
            }
        }
    }
}

#[test]
fn messages_wait_for_the_server_up_to_a_mebibyte() {
    for program in SHIMS {
        let site = Site::new();
        let mut shim = site.start(program);
        let half = 500_000;
        for id in 0..3 {
            shim.send(&request(id, half));
        }
        let (id, why) = shim.error();
        assert_eq!((id, why.as_str()), (2.into(), "the server cannot be reached"));
        let listener = site.listen();
        let (mut lines, mut writer) = accept(&listener);
        for id in 0..2 {
            assert_eq!(line_of(&mut lines), request(id, half));
        }
        writer.write_all((answer(0) + &answer(1)).as_bytes()).expect("written");
        assert_eq!((shim.line(), shim.line()), (answer(0), answer(1)));
        drop((lines, writer, listener));
        let said = String::from_utf8(shim.end().stderr).expect("text");
        let told = said.lines().filter(|line| line.contains("cannot reach the server at unix:")).count();
        assert!(told >= 1 && said.contains("is back"), "{said}");
    }
}

/// A server that was never there is given up, and who asked is told; one that was there is waited for.
#[test]
fn a_server_that_was_never_there_is_given_up() {
    for program in SHIMS {
        let site = Site::new();
        let mut shim = site.start_impatient(program);
        // Nobody would hear of it yet.
        shim.send("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}\n");
        shim.send(&(request(1, 10) + &request(2, 10)));
        let mut told: Vec<(Value, String)> = vec![shim.error(), shim.error()];
        told.sort_by_key(|(id, _)| id.as_u64());
        let want = format!("no server can be reached at unix:{}: ", site.socket().display());
        for (at, (id, why)) in told.iter().enumerate() {
            assert_eq!(id, &Value::from(at + 1));
            assert!(
                why.starts_with(&want) && why.contains("No such file") && why.contains("Start it"),
                "{why}"
            );
        }
        assert_eq!(shim.line(), "", "it ends though its client goes on");
        let ended = shim.end();
        let said = String::from_utf8(ended.stderr).expect("text");
        assert!(ended.status.code() == Some(3) && said.contains(&want), "{said}");

        let listener = site.listen();
        let mut shim = site.start_impatient(program);
        let connection = accept(&listener);
        drop((connection, listener));
        shim.send(&request(3, 10));
        let (mut lines, mut writer) = accept(&site.listen());
        assert_eq!(line_of(&mut lines), request(3, 10));
        writer.write_all(answer(3).as_bytes()).expect("written");
        assert_eq!(shim.line(), answer(3));
    }
}

/// Requests that nobody got are answered, too, when the client closes its side.
#[test]
fn a_client_that_closes_its_side_still_gets_its_answers() {
    for program in SHIMS {
        let site = Site::new();
        let mut shim = site.start(program);
        shim.send(&request(1, 10));
        let ended = shim.end();
        let text = String::from_utf8(ended.stdout).expect("text");
        assert!(ended.status.success() && text.contains("cannot be reached"), "{text}");

        let listener = site.listen();
        let mut shim = site.start(program);
        // The last line lacks its newline.
        shim.send(&(request(1, 10) + request(2, 10).trim_end()));
        drop(shim.input.take());
        let (mut lines, mut writer) = accept(&listener);
        assert_eq!((line_of(&mut lines), line_of(&mut lines)), (request(1, 10), request(2, 10)));
        assert_eq!(line_of(&mut lines), "", "our side is closed");
        writer.write_all(answer(1).as_bytes()).expect("written");
        drop((lines, writer));
        assert_eq!(shim.line(), answer(1));
        let (id, why) = shim.error();
        assert_eq!((id, why.as_str()), (2.into(), "the server ended before it answered"));
        assert!(shim.end().status.success());
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_and_the_next_one_passes() {
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let mut shim = site.start(program);
        let (mut lines, _writer) = accept(&listener);
        shim.send(&(request(1, 11 * 1024 * 1024) + &request(2, 10)));
        assert_eq!(shim.error(), (1.into(), "the message is longer than 10485760 bytes".to_owned()));
        assert_eq!(line_of(&mut lines), request(2, 10));
    }
}

#[test]
fn a_signal_ends_it_with_success_whether_or_not_there_is_a_server() {
    for program in SHIMS {
        for has_server in [false, true] {
            let site = Site::new();
            let listener = has_server.then(|| site.listen());
            let mut shim = site.start(program);
            shim.send(&request(1, 10));
            // It has set itself up when its message arrives, or when it says that there is no server.
            let connection = listener.as_ref().map(accept);
            if let Some((mut lines, _)) = connection {
                assert_eq!(line_of(&mut lines), request(1, 10));
            } else {
                let mut said = BufReader::new(shim.child.stderr.take().expect("its stderr"));
                assert!(line_of(&mut said).contains("cannot reach"));
            }
            shim.stop();
            assert!(shim.child.wait().expect("ended").success(), "{program:?}, a server: {has_server}");
        }
    }
}

/// Files, sockets and a closed pipe as standard streams.
#[test]
fn standard_streams_of_each_kind_serve() {
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let serve = || {
            let (mut lines, mut writer) = accept(&listener);
            assert_eq!(line_of(&mut lines), request(1, 100_000));
            let _ = writer.write_all((answer(1) + &long_answer(1, 1_000_000)).as_bytes());
        };
        let (question, reply) = (site.0.path().join("question"), site.0.path().join("reply"));
        std::fs::write(&question, request(1, 100_000)).expect("a file");
        let want = answer(1) + &long_answer(1, 1_000_000);

        let mut command = site.command(program);
        let input = std::fs::File::open(&question).expect("a file");
        command.stdin(input).stdout(std::fs::File::create(&reply).expect("a file"));
        let mut child = command.spawn().expect("a shim");
        serve();
        assert!(child.wait().expect("ended").success());
        assert!(std::fs::read_to_string(&reply).expect("a file") == want);

        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut command = site.command(program);
        command.stdin(OwnedFd::from(theirs.try_clone().expect("a copy"))).stdout(OwnedFd::from(theirs));
        let mut child = command.spawn().expect("a shim");
        drop(command);
        (&ours).write_all(request(1, 100_000).as_bytes()).expect("written");
        ours.shutdown(std::net::Shutdown::Write).expect("shut");
        serve();
        let mut got = String::new();
        (&ours).read_to_string(&mut got).expect("text");
        assert!(got == want && child.wait().expect("ended").success());

        let mut command = site.command(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a shim");
        drop(child.stdout.take());
        let mut input = child.stdin.take().expect("open");
        input.write_all(request(1, 100_000).as_bytes()).expect("the shim reads");
        serve();
        let ended = child.wait_with_output().expect("ended");
        let said = String::from_utf8(ended.stderr).expect("text");
        assert!(ended.status.code() == Some(3) && said.contains("standard input or output broke"), "{said}");
    }
}

/// A server that closes each connection without a word is not asked without end.
#[test]
fn a_server_that_hangs_up_is_given_time() {
    for program in SHIMS {
        let site = Site::new();
        let listener = site.listen();
        let begun = Instant::now();
        let _shim = site.start(program);
        for _ in 0..5 {
            drop(listener.accept().expect("a shim"));
        }
        let pauses = Duration::from_millis(50 + 100 + 200 + 400);
        assert!(begun.elapsed() >= pauses, "{:?}", begun.elapsed());
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn kib(child: &Child, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// At rest the program of its own holds little, and a long answer once.
#[test]
fn a_shim_of_its_own_is_small() {
    const ANSWER_BYTES: usize = 16 * 1024 * 1024;
    let site = Site::new();
    let listener = site.listen();
    let mut shim = site.start(SHIMS[1]);
    let (mut lines, mut writer) = accept(&listener);
    let mut ask = |shim: &mut Shim, id, bytes| {
        shim.send(&request(id, 200));
        line_of(&mut lines);
        let answer = long_answer(id, bytes);
        let writer = &mut writer;
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(answer.as_bytes()).expect("the shim reads"));
            assert!(shim.line() == answer);
        });
    };
    for id in 0..100 {
        ask(&mut shim, id, 5_000);
    }
    let (heap, all) = (kib(&shim.child, "RssAnon:"), kib(&shim.child, "VmRSS:"));
    assert!(heap <= 512, "{heap} KiB of heap and stack at rest");
    ask(&mut shim, 100, ANSWER_BYTES);
    let peak = kib(&shim.child, "VmHWM:") - all;
    assert!(peak <= ANSWER_BYTES / 1024 * 5 / 4, "{peak} KiB for {} KiB", ANSWER_BYTES / 1024);
}
