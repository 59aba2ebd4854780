//! The shim to a server over HTTP that is not there, that refuses, or that encrypts.

#[cfg(feature = "tls")]
use super::connect::Shim;
use super::connect::{SHIMS, Server, command_that_waits};
#[cfg(feature = "tls")]
use super::mcpool;
use serde_json::{Value, json};
use std::io::Write;
#[cfg(feature = "tls")]
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the shim answers to a message, after which its client closes.
fn answers(mut command: Command, message: &Value) -> (Vec<Value>, Output) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a shim");
    let mut input = child.stdin.take().expect("open");
    input.write_all(format!("{message}\n").as_bytes()).expect("the shim reads");
    drop(input);
    let ended = child.wait_with_output().expect("ended");
    let text = String::from_utf8(ended.stdout.clone()).expect("text");
    (text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), ended)
}

fn initialize() -> Value {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    json!({"jsonrpc": "2.0", "id": "one", "method": "initialize", "params": params})
}

/// The error that is the only answer.
fn error(answers: &[Value]) -> &str {
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["id"], "one", "{answers:?}");
    answers[0]["error"]["message"].as_str().expect("an error")
}

#[test]
fn a_server_that_was_never_there_is_given_up() {
    // Nobody listens there.
    let url = "http://127.0.0.1:1/mcp";
    let mut command = command_that_waits(SHIMS[0], url, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a shim");
    let mut input = child.stdin.take().expect("open");
    let messages = [json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), initialize()];
    for message in messages {
        input.write_all(format!("{message}\n").as_bytes()).expect("the shim reads");
    }
    // Its side stays open, and the shim ends all the same.
    let ended = child.wait_with_output().expect("ended");
    drop(input);
    let answer: Value = serde_json::from_slice(&ended.stdout).expect("one answer");
    let told = error(std::slice::from_ref(&answer));
    assert!(told.starts_with(&format!("no server can be reached at {url}: ")), "{told}");
    assert!(told.contains("refused") && told.contains("Start it"), "{told}");
    let said = String::from_utf8(ended.stderr).expect("text");
    assert!(ended.status.code() == Some(3) && said.contains("no server can be reached"), "{said}");
}

#[test]
fn who_is_refused_reads_the_words_of_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "a-token-0123456789abcdef\n").expect("written");
    let tokens = tokens.display().to_string();
    let server = Server::with(folder.path(), "127.0.0.1:0", &["--token-file", &tokens]);
    let shim = |url: &str, flags: &[&str]| {
        let mut command = command_that_waits(SHIMS[0], url, 600);
        command.args(flags);
        answers(command, &initialize()).0
    };
    let refused = shim(&server.url, &[]);
    let told = error(&refused);
    let want = format!("the server at {} answered 401 Unauthorized: Authorization required", server.url);
    assert!(told.starts_with(&want) && told.contains("--token-file FILE"), "{told}");
    assert_eq!(refused[0]["error"]["data"], json!({"reason": "refused", "status": 401}));
    let told = shim(&server.url, &["--header", "Authorization: Bearer another-token-012345"]);
    assert!(error(&told).contains("401 Unauthorized: The bearer token is not accepted"), "{told:?}");
    let elsewhere = format!("{}/elsewhere", server.url);
    let told = shim(&elsewhere, &["--token-file", &tokens]);
    assert!(
        error(&told).contains("answered 404 Not Found: nothing is here: MCP is spoken at /mcp"),
        "{told:?}"
    );
    let taken = shim(&server.url, &["--token-file", &tokens]);
    assert_eq!(taken[0]["result"]["protocolVersion"], "2025-11-25", "{taken:?}");
    // An answer with the request's own id is passed on as it is, whatever its status.
    let unknown = json!({"jsonrpc": "2.0", "id": "one", "method": "no/such", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mut command = command_that_waits(SHIMS[0], &server.url, 600);
    command.args(["--token-file", &tokens]);
    let (passed, _) = answers(command, &unknown);
    assert_eq!(passed[0]["error"]["code"], -32601, "{passed:?}");
    server.stop();
}

#[cfg(feature = "tls")]
fn certificate(folder: &Path, name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("c.pem"), folder.join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    [certificate, key].map(|path| path.display().to_string())
}

#[cfg(feature = "tls")]
#[test]
fn an_encrypted_server_is_reached_and_one_that_nobody_vouches_for_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("f"), "what is in f").expect("a file");
    let [certificate, key] = certificate(folder.path(), "127.0.0.1");
    let server = Server::with(folder.path(), "127.0.0.1:0", &["--tls-cert", &certificate, "--tls-key", &key]);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let trusting = [SHIMS[0], &["--ca-file", certificate.as_str()][..]].concat();
    let mut shim = Shim::start(&trusting, &server.url);
    shim.handshake();
    for id in 1..4 {
        assert_eq!(shim.call(id)["result"]["content"][0]["text"], "what is in f");
    }
    drop(shim);
    let call = ["call", "--server", &server.url, "--ca-file", &certificate, "read_text_file", "path=f"];
    let called = mcpool(&call).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&called.stdout), "what is in f", "{called:?}");
    let (told, ended) = answers(command_that_waits(SHIMS[0], &server.url, 0), &initialize());
    assert!(error(&told).contains("nobody who is trusted has signed its certificate"), "{told:?}");
    assert_eq!(ended.status.code(), Some(3));
    let plain = server.url.replacen("https", "http", 1);
    let (told, _) = answers(command_that_waits(SHIMS[0], &plain, 600), &initialize());
    assert!(told[0]["error"]["message"].is_string(), "{told:?}");
    server.stop();
}

/// Without the feature, a build says how to get one that has it.
#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_encryption_says_how_to_get_it() {
    let ended = command_that_waits(SHIMS[0], "https://127.0.0.1:1/mcp", 0).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("cargo install --git ") && said.contains("--features full"), "{said}");
    assert_eq!(ended.status.code(), Some(2));
}
