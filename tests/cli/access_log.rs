//! What a server says of its requests: on stderr, and in the file of `--access-log`.

use super::sockets::Serving;
use super::{mcpool, run};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What no log may have: a text of an argument.
const CANARY: &str = "canary-7f3a";
/// Far beyond what any machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client on a Unix socket, which says lines and waits for their answers.
struct Client {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Client {
    fn connect(path: &Path, name: &str) -> Self {
        let stream = UnixStream::connect(path).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let answers = BufReader::new(stream.try_clone().expect("cloned"));
        let mut client = Self { stream, answers };
        client.ask(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{{}},"clientInfo":{{"name":"{name}","version":"9"}}}}}}"#
        ));
        client
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.stream, "{request}").expect("sent");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        answer
    }

    fn call(&mut self, tool: &str, path: &str) -> String {
        self.ask(&format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"path":"{path}"}}}}}}"#
        ))
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

/// Method, tool and result of each line.
fn shown(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value, member: &str| line[member].as_str().map(|text| format!("{text} "));
    let shown = |line: &Value| {
        let words = ["method", "tool", "result"].map(|member| word(line, member).unwrap_or_default());
        words.concat().trim_end().to_owned()
    };
    lines.iter().map(shown).collect()
}

#[test]
fn each_request_has_a_line_and_a_hang_up_opens_the_file_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.txt"), CANARY).expect("written");
    let path = |name: &str| folder.path().join(name);
    let (socket, log, renamed) = (path("m.sock"), path("log"), path("log.1"));
    let [socket_text, log_text] = [&socket, &log].map(|path| path.display().to_string());
    let arguments = ["serve", "--unix", &socket_text, "--access-log", &log_text];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()));
    while !serving.line().contains("listening on") {}
    let mut client = Client::connect(&socket, "tester \\\"one\\\"");
    let file = path("file.txt").display().to_string();
    assert!(client.call("read_text_file", &file).contains(CANARY));
    assert!(client.call("read_text_file", CANARY).contains("isError"));
    client.call(CANARY, CANARY);
    client.ask(&format!(r#"{{"jsonrpc":"2.0","id":8,"method":"{CANARY}"}}"#));
    client.ask("{");
    until("six lines", || lines(&log).len() >= 6);
    let written = lines(&log);
    let want = [
        "initialize ok",
        "tools/call read_text_file ok",
        "tools/call read_text_file tool_error",
        "tools/call error",
        "error",
        "error",
    ];
    assert_eq!(shown(&written), want);
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(written[1]["client"], "tester \"one\"");
    assert_eq!(written[1]["principal"], format!("unix, user {uid}"));
    assert!(
        written[1]["bytes"].as_u64() > Some(40) && written[1]["ms"].as_f64() > Some(0.0),
        "{}",
        written[1]
    );
    assert!(written[1]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{}", written[1]);
    assert_eq!(written[3]["code"], -32602);
    std::fs::rename(&log, &renamed).expect("renamed");
    serving.signal("HUP");
    until("a new file", || log.exists());
    client.ask(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    serving.signal("TERM");
    drop(client);
    let (code, said) = serving.end_with_all();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((shown(&lines(&log)), lines(&renamed).len()), (vec!["ping ok".to_owned()], 6));
    for want in [
        "mcpool::requests: tools/call read_text_file ok ",
        "client=\"tester \\\"one\\\"\" from=\"unix, user ",
        "stopping, 0 requests in flight",
        "stopped",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
    let logged = [said, std::fs::read_to_string(&renamed).expect("there")].concat();
    assert!(!logged.contains(CANARY), "no argument is in a log: {logged}");
}

/// Sends a request over HTTP, and gives the status of its answer.
fn status(address: &str, headers: &str, body_bytes: usize) -> u16 {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head = format!(
        "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         {headers}content-length: {body_bytes}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

const TOKEN: &str = "ann-0123456789abcdef";

/// A server that knows one token, and its address. Its access log is the file `log` in `folder`.
fn serve_who_has_the_token(folder: &Path) -> (Serving, String) {
    let (log, tokens) = (folder.join("log"), folder.join("tokens"));
    std::fs::write(&tokens, format!("ann:{TOKEN}\n")).expect("written");
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).expect("private");
    let [log_text, tokens_text] = [&log, &tokens].map(|path| path.display().to_string());
    let mut arguments =
        vec!["serve", "--http", "127.0.0.1:0", "--token-file", &tokens_text, "--access-log", &log_text];
    arguments.extend(["--max-frame-bytes", "1KiB", "--max-auth-failures-per-minute", "0"]);
    let mut serving = Serving::start(mcpool(&arguments).arg(folder));
    loop {
        let line = serving.line();
        if let Some(rest) = line.strip_prefix("mcpool: listening on http://") {
            return (serving, rest.split('/').next().unwrap_or_default().trim().to_owned());
        }
    }
}

/// What is refused before it is read has a line as well: who, as far as that is known, and with which status.
#[test]
fn what_is_refused_over_http_has_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (serving, address) = serve_who_has_the_token(folder.path());
    let log = folder.path().join("log");
    let method = "host: localhost\r\nmcp-method: tools/call\r\n";
    let canary = format!("host: localhost\r\nmcp-method: {CANARY}\r\n");
    let known = format!("host: localhost\r\nauthorization: Bearer {TOKEN}\r\n");
    assert_eq!(status(&address, method, 0), 401);
    assert_eq!(status(&address, &canary, 0), 401);
    assert_eq!(status(&address, &format!("host: {CANARY}.example\r\n"), 0), 403);
    assert_eq!(status(&address, &known, 5_000), 413);
    // Who comes in is called by the name of the token.
    assert_eq!(status(&address, &known, 0), 400);
    until("five lines", || lines(&log).len() >= 5);
    let mut written = lines(&log);
    let let_in = written.pop().expect("a line");
    assert_eq!((&let_in["principal"], &let_in["result"]), (&"token ann".into(), &"error".into()), "{let_in}");
    let facts = |line: &Value| {
        let who =
            line["principal"].as_str().and_then(|who| who.split(' ').next()).unwrap_or_default().to_owned();
        (line["status"].clone(), who, line["method"].clone(), line["result"].clone())
    };
    let want = |status: u16, who: &str, method: Option<&str>| {
        (status.into(), who.to_owned(), method.map_or(Value::Null, Value::from), Value::from("refused"))
    };
    assert_eq!(
        written.iter().map(facts).collect::<Vec<_>>(),
        [
            want(401, "this", Some("tools/call")),
            want(401, "this", None),
            want(403, "this", None),
            want(413, "this", None)
        ]
    );
    assert!(written.iter().all(|line| line["bytes"].as_u64() > Some(40)), "{written:?}");
    // A flood of them has few lines, and nothing is lost without being counted.
    let begun = Instant::now();
    for _ in 0..500 {
        assert_eq!(status(&address, method, 0), 401);
    }
    let seconds = begun.elapsed().as_secs();
    serving.signal("TERM");
    let (code, said) = serving.end_with_all();
    assert_eq!(code, Some(0), "{said}");
    let flood = &lines(&log)[5..];
    let left_out: u64 = flood.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    let shown = flood.iter().filter(|line| line.get("ms").is_some()).count() as u64;
    assert!(shown <= 20 * (seconds + 2), "{shown} lines in {seconds} s");
    assert!(shown + left_out == 500 && shown >= 16, "{shown} lines, {left_out} left out");
    assert!(
        !std::fs::read_to_string(&log).expect("there").contains(CANARY),
        "no text of a stranger is in it"
    );
}

/// A connection too many has a line, whether it asks for something or not.
#[test]
fn what_is_refused_at_accept_has_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let arguments = [
        "serve",
        "--http",
        "127.0.0.1:0",
        "--max-connections",
        "1",
        "--access-log",
        &log.display().to_string(),
    ];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()));
    let address = loop {
        let line = serving.line();
        if let Some(rest) = line.strip_prefix("mcpool: listening on http://") {
            break rest.split('/').next().unwrap_or_default().trim().to_owned();
        }
    };
    let open: Vec<_> = (0..4).map(|_| TcpStream::connect(&address).expect("connects")).collect();
    until("three lines", || lines(&log).len() >= 3);
    for line in lines(&log) {
        let facts = (&line["status"], &line["principal"], &line["result"], line.get("method"));
        assert_eq!(facts, (&503.into(), &"this machine".into(), &"refused".into(), None), "{line}");
    }
    drop(open);
    serving.signal("TERM");
    let (code, said) = serving.end_with_all();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lines(&log).len(), 3, "{said}");
}

/// Over standard input and output, only what matters is said, and the file has the requests all the same.
#[test]
fn a_server_of_one_client_is_quiet() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let arguments = ["serve", "--access-log", &log.display().to_string()];
    let mut child = mcpool(&arguments)
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, r#"{{"jsonrpc":"2.0","id":1,"method":"ping"}}"#).expect("sent");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let written = lines(&log);
    assert_eq!(
        (shown(&written), &written[0]["principal"]),
        (vec!["ping ok".to_owned()], &"the owner".into())
    );
}

/// Somebody started the server and reads its stderr no more: what it says is lost, and nothing else is.
#[test]
fn whoever_does_not_read_the_log_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("m.sock");
    let arguments = ["serve", "--unix", &socket.display().to_string()];
    let mut serving = Serving::start(mcpool(&arguments).arg(folder.path()).env("RUST_LOG", "debug"));
    while !serving.line().contains("listening on") {}
    let mut client = Client::connect(&socket, "tester");
    // Each refusal is a line; together they are several times what a pipe and the server itself hold.
    for _ in 0..6_000 {
        let answer = client.ask(r#"{"jsonrpc":"2.0","id":2,"method":"nothing/of/that/name/is/here"}"#);
        assert!(answer.contains("-32601"), "{answer}");
    }
    serving.signal("TERM");
    drop(client);
    let (code, said) = serving.end_with_all();
    assert_eq!(code, Some(0));
    assert!(said.contains("message refused"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_stops_the_server_before_it_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().display().to_string();
    let refused = run(&["serve", "--access-log", &text, &text]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("cannot open the access log {text}: ")), "{}", refused.stderr);
    let same = run(&["serve", "--access-log", "a", "--record", "./a", &text]);
    assert!(same.stderr.contains("record and access_log are both set"), "{}", same.stderr);
}
