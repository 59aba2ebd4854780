//! Who comes in to the program, and that this follows its files while it runs.

use super::mcpool;
use super::sockets::Serving;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what any machine needs.
const PATIENCE: Duration = Duration::from_mins(1);
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";
const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
/// Somebody who is not the one that runs the tests.
const STRANGER: u32 = 54_321;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// The client that [`as_stranger`] starts, and nothing without it. What a peer's user is shows when it connects, so
/// that connecting takes a process of that user.
#[test]
fn stranger() {
    let Some(path) = std::env::var_os("STRANGER_SOCKET") else { return };
    let request = std::env::var("STRANGER_REQUEST").expect("a request");
    let mut stream = UnixStream::connect(path).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    println!("<<{answer}>>");
}

/// What a process of another user is answered; `None` where there cannot be one here.
fn as_stranger(path: &Path, request: &str) -> Option<String> {
    let program = std::env::current_exe().expect("the tests");
    let mut command = Command::new(program);
    // By the name it has in whatever binary it is compiled into.
    let (_, module) = module_path!().split_once("::").expect("a module of the tests");
    command.args([&format!("{module}::stranger"), "--exact", "--nocapture"]);
    command.env("STRANGER_SOCKET", path).env("STRANGER_REQUEST", request).uid(STRANGER).gid(STRANGER);
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!(
                "skipped: a second user is needed, and {error} (run it as root, where others can read it)"
            );
            None
        }
        output => {
            let output = output.expect("the client runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let answer = text.split_once("<<").and_then(|(_, rest)| rest.rsplit_once(">>"));
            Some(answer.unwrap_or_else(|| panic!("{output:?}")).0.to_owned())
        }
    }
}

/// The program on a listener of a service manager, whose mode lets in everybody.
fn serve_open(path: &Path, further: &str) -> Serving {
    let listener = UnixListener::bind(path).expect("bound");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("open to all");
    let script = format!("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve {further} .");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_mcpool")]).stdin(OwnedFd::from(listener));
    let mut serving = Serving::start(&mut command);
    let warning = serving.line();
    assert!(warning.contains("users other than the server's can connect to"), "{warning}");
    assert!(warning.contains("SocketMode=0600"), "{warning}");
    assert!(serving.line().starts_with("mcpool: listening on unix:"));
    serving
}

#[test]
fn another_user_of_the_machine_is_nobody_until_a_token_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("open to look");
    let (path, tokens) = (folder.path().join("m.sock"), folder.path().join("tokens"));
    std::fs::write(&tokens, ANN).expect("written");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).expect("private");
    let (knows, guesses) = (bearer(ANN), bearer(BOB));
    let with_tokens = format!("--token-file '{}'", tokens.display());
    for (further, rows) in [
        ("", [(String::new(), "403"), (knows.clone(), "403"), (guesses.clone(), "403")]),
        (&with_tokens, [(String::new(), "401"), (knows, "200"), (guesses, "401")]),
    ] {
        let _serving = serve_open(&path, further);
        for (headers, want) in rows {
            let Some(answer) = as_stranger(&path, &post(&headers, INITIALIZE)) else { return };
            assert!(answer.starts_with(&format!("HTTP/1.1 {want} ")), "{further} {headers}: {answer}");
        }
        // Lines have no place for a token.
        for line in [PING, INITIALIZE, "[", "{\"half"] {
            let Some(answer) = as_stranger(&path, line) else { return };
            assert_eq!(answer.lines().count(), 1, "{answer}");
            assert!(answer.contains(r#""error":{"code":-32600"#) && answer.contains("token"), "{answer}");
        }
        // Its own user is served as ever, though the other has just been there.
        let mut own = UnixStream::connect(&path).expect("connects");
        own.write_all(PING.as_bytes()).expect("sent");
        let mut answer = String::new();
        BufReader::new(&own).read_line(&mut answer).expect("an answer");
        assert!(answer.contains(r#""result""#), "{answer}");
        std::fs::remove_file(&path).expect("removed");
    }
}

/// The program on a port, with a file of tokens.
fn serve_tokens(tokens: &Path, further: &[&str]) -> (Serving, u16) {
    let tokens = tokens.display().to_string();
    let arguments = [&["serve", "--http", "127.0.0.1:0", "--token-file", &tokens], further, &["."]].concat();
    let mut serving = Serving::start(&mut mcpool(&arguments));
    let line = serving.line();
    let port = line.strip_prefix("mcpool: listening on http://127.0.0.1:").expect(&line);
    (serving, port.strip_suffix("/mcp").expect(&line).parse().expect("a port"))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

fn ask(port: u16, request: &str) -> String {
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let (header, value) = line.split_once(": ")?;
        header.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn a_token_that_leaves_the_file_takes_its_sessions_and_streams_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    let write = |text: &str| {
        std::fs::write(&tokens, text).expect("written");
        std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).expect("private");
    };
    write(&format!("{ANN}\n{BOB}\n"));
    let (serving, port) = serve_tokens(&tokens, &[]);
    let open = |token: &str| {
        let opened = ask(port, &post(&bearer(token), INITIALIZE));
        assert_eq!(status(&opened), "200", "{opened}");
        let session = header(&opened, "mcp-session-id").expect("a session").to_owned();
        let mut stream = connect(port);
        let request = format!(
            "GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
             connection: close\r\nmcp-session-id: {session}\r\n{}\r\n",
            bearer(token)
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut head = String::new();
        BufReader::new(&stream).read_line(&mut head).expect("a head");
        assert_eq!(status(&head), "200", "{head}");
        (session, stream)
    };
    let ((_, mut of_ann), (session, _of_bob)) = (open(ANN), open(BOB));
    write(BOB);
    assert_eq!(status(&ask(port, &post(&bearer(ANN), PING))), "401", "at once");
    let headers = format!("{}mcp-session-id: {session}\r\n", bearer(BOB));
    assert_eq!(status(&ask(port, &post(&headers, PING))), "200");
    let mut rest = String::new();
    of_ann.read_to_string(&mut rest).expect("the end of the stream");
    assert_eq!(status(&ask(port, &post(&headers, PING))), "200", "the other's stay");
    serving.signal("KILL");
}

#[test]
fn a_hang_up_has_the_files_read_again_and_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, ANN).expect("written");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).expect("private");
    let (mut serving, port) = serve_tokens(&tokens, &[]);
    for _ in 0..3 {
        serving.signal("HUP");
        assert_eq!(status(&ask(port, &post(&bearer(ANN), PING))), "400", "it lives, and wants a session");
    }
    std::fs::write(&tokens, "short").expect("written");
    serving.signal("HUP");
    let warning = serving.line();
    assert!(warning.contains("its former content stays in force"), "{warning}");
    assert_eq!(status(&ask(port, &post(&bearer(ANN), INITIALIZE))), "200");
    std::fs::write(&tokens, BOB).expect("written");
    serving.signal("HUP");
    assert_eq!(status(&ask(port, &post(&bearer(BOB), INITIALIZE))), "200");
    assert_eq!(status(&ask(port, &post(&bearer(ANN), INITIALIZE))), "401");
    serving.signal("TERM");
    let (code, _) = serving.end();
    assert_eq!(code, Some(0));
}

#[test]
fn guesses_from_one_address_are_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("{ANN}\n{BOB}")).expect("written");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).expect("private");
    let (serving, port) = serve_tokens(&tokens, &["--max-auth-failures-per-minute", "3"]);
    assert_eq!(status(&ask(port, &post(&bearer(ANN), INITIALIZE))), "200");
    for _ in 0..5 {
        assert_eq!(status(&ask(port, &post("", INITIALIZE))), "401", "asking what is needed is no guess");
    }
    let begun = Instant::now();
    let guesses: Vec<_> =
        (0..6).map(|n| ask(port, &post(&bearer(&format!("guess-{n}-0123456789")), INITIALIZE))).collect();
    // One more is allowed each twenty seconds, which a slow machine may take for these.
    if begun.elapsed() < Duration::from_secs(20) {
        let statuses: Vec<_> = guesses.iter().map(|answer| status(answer)).collect();
        assert_eq!(statuses, ["401", "401", "401", "429", "429", "429"]);
        let wait = header(&guesses[5], "retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "{}", guesses[5]);
    }
    assert_eq!(status(&ask(port, &post(&bearer(ANN), INITIALIZE))), "200", "came in before");
    serving.signal("KILL");
}

/// Whatever stands where a small file should, the start fails with its name, and does not wait for it.
#[test]
fn files_that_never_end_do_not_hold_up_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    let huge = folder.path().join("huge");
    std::fs::File::create(&huge).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let oauth = ["--oauth-issuer", "https://a.example", "--oauth-resource", "https://b.example/mcp"];
    let certificate = folder.path().join("c.pem").display().to_string();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&certificate, signed.cert.pem()).expect("written");
    for path in [pipe.display().to_string(), "/dev/zero".to_owned(), huge.display().to_string()] {
        let mut rows = vec![vec!["--token-file", &path], vec!["--config", &path]];
        if cfg!(feature = "oauth") {
            rows.push([&oauth[..], &["--oauth-jwks", &path]].concat());
        }
        if cfg!(feature = "tls") {
            rows.push(vec!["--tls-cert", &path, "--tls-key", &path]);
            rows.push(vec!["--tls-cert", &certificate, "--tls-key", &path]);
        }
        for row in rows {
            let arguments = [&["serve", "--http", "127.0.0.1:0"], &row[..], &["."]].concat();
            let mut child = mcpool(&arguments).stderr(Stdio::piped()).spawn().expect("the program runs");
            let deadline = Instant::now() + PATIENCE;
            while child.try_wait().expect("a child").is_none() {
                if Instant::now() > deadline {
                    child.kill().expect("killed");
                    panic!("{row:?} holds up the start");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let output = child.wait_with_output().expect("ended");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(&path), "{row:?}: {said}");
        }
    }
}
