//! The examples that serve end as a service has to: with 0, when they are told to.

use crate::test_client::meta;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `cargo test` builds the examples; where one test binary alone was asked for, this does.
fn example(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a path");
    // From `target/debug/deps/suite-0123`.
    folder.pop();
    folder.pop();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--example",
            name,
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        assert!(build.status().expect("cargo starts").success(), "the example {name} does not build");
    }
    path
}

fn ends_well(mut child: Child, name: &str) {
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it can be signalled");
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            assert!(status.success(), "{name}: {status}");
            return;
        }
        if begun.elapsed() > Duration::from_mins(1) {
            child.kill().expect("it can be killed");
            panic!("{name} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same server, by the trait and by the attribute.
#[test]
fn echo_and_hello_answer_and_end_with_0_when_they_are_told_to() {
    for name in ["echo", "hello"] {
        let mut child = Command::new(example(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let params = json!({"name": "echo", "arguments": {"text": "hi"}, "_meta": meta()});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        writeln!(stdin, "{call}").expect("it reads");
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut answer).expect("it answers");
        assert!(answer.contains(r#"{"type":"text","text":"hi"}"#), "{name}: {answer}");
        ends_well(child, name);
    }
}

#[test]
fn conformance_ends_with_0_when_it_is_told_to() {
    let mut child = Command::new(example("conformance"))
        .arg("127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    assert!(line.starts_with("listening on "), "{line}");
    // Somebody who reads on, so that it is not the pipe that ends it.
    let reading = std::thread::spawn(move || stderr.read_to_string(&mut line));
    ends_well(child, "conformance");
    reading.join().expect("no panic").expect("text");
}
