//! Several processes on one file, and those that are killed while they write it.

use super::{entity, line};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program, serving the graph of a file.
struct Process {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
    calls: u64,
}

impl Process {
    fn start(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        command.args(["serve", "--tools", "memory"]);
        Self::of(command, Some(file))
    }

    fn of(mut command: Command, file: Option<&Path>) -> Self {
        command.env_remove("RUST_LOG").env_remove("MEMORY_FILE_PATH");
        command.envs(file.map(|file| ("MEMORY_FILE_PATH", file)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut process = Self { child, input, answers, calls: 0 };
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        process.ask(&hello).expect("an answer");
        process
    }

    /// The answer; `None` where the process is gone.
    fn ask(&mut self, message: &Value) -> Option<Value> {
        writeln!(self.input, "{message}").ok()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        answer.ends_with('\n').then(|| serde_json::from_str(&answer).expect("JSON"))
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Option<Value> {
        self.calls += 1;
        let params = json!({"name": tool, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": self.calls, "method": "tools/call", "params": params});
        self.ask(&message).map(|mut answer| answer["result"].take())
    }

    fn done(&mut self, tool: &str, arguments: &Value) -> Value {
        let mut result = self.call(tool, arguments).expect("an answer");
        assert_eq!(result.get("isError"), None, "{tool} {arguments}: {result}");
        result["structuredContent"].take()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn create(name: &str) -> Value {
    json!({"entities": [entity(name, &[])]})
}

fn observe(name: &str, observation: &str) -> Value {
    json!({"observations": [{"entityName": name, "contents": [observation]}]})
}

/// Names and observations of all lines, each of which must be readable.
fn in_file(file: &Path) -> HashSet<String> {
    let content = std::fs::read_to_string(file).expect("a file");
    let mut found = HashSet::new();
    for line in content.lines().filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} in {content}"));
        let texts = line["observations"].as_array().expect("a list").iter().chain([&line["name"]]);
        found.extend(texts.map(|text| text.as_str().expect("a text").to_owned()));
    }
    found
}

#[test]
fn two_processes_lose_nothing_of_each_other() {
    const EACH: usize = 60;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("memory.jsonl");
    std::fs::write(&file, line("shared")).expect("a file");
    std::thread::scope(|scope| {
        for writer in ["one", "two"] {
            let file = &file;
            scope.spawn(move || {
                let mut process = Process::start(file);
                for number in 0..EACH {
                    // Lines that are appended, and files that are replaced, in turn.
                    process.done("create_entities", &create(&format!("{writer} {number}")));
                    if number % 3 == 0 {
                        process
                            .done("add_observations", &observe("shared", &format!("{writer} saw {number}")));
                    }
                    if number % 10 == 9 {
                        let gone = format!("{writer} {}", number - 5);
                        process.done("delete_entities", &json!({"entityNames": [gone]}));
                    }
                }
                process.end();
            });
        }
    });
    let mut want = HashSet::from(["shared".to_owned()]);
    for writer in ["one", "two"] {
        want.extend((0..EACH).filter(|number| number % 10 != 4).map(|number| format!("{writer} {number}")));
        want.extend((0..EACH).step_by(3).map(|number| format!("{writer} saw {number}")));
    }
    assert_eq!(in_file(&file), want);
    let mut process = Process::start(&file);
    let shared = process.done("open_nodes", &json!({"names": ["shared"]}));
    assert_eq!(shared["entities"][0]["observations"].as_array().map(Vec::len), Some(EACH / 3 * 2));
    process.end();
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_was_answered_is_there_whenever_the_process_is_killed() {
    const ROUNDS: u64 = 16;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("memory.jsonl");
    std::fs::write(&file, line("shared")).expect("a file");
    let mut answered = HashSet::from(["shared".to_owned()]);
    let mut asked = answered.clone();
    for round in 0..ROUNDS {
        let mut process = Process::start(&file);
        let mut killer = None;
        for number in 0.. {
            if number == 3 {
                // From here on at any moment: in a call, or between two.
                let pid = rustix::process::Pid::from_child(&process.child);
                killer = Some(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_micros(round * 700));
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs still");
                }));
            }
            let text = format!("{round}.{number}");
            let result = if number % 2 == 0 {
                // Long enough that it may be written in part.
                let long =
                    json!({"entities": [entity(&text, &[]), entity(&format!("{text}+"), &["x"; 3_000])]});
                asked.insert(format!("{text}+"));
                process.call("create_entities", &long)
            } else {
                process.call("add_observations", &observe("shared", &text))
            };
            asked.insert(text.clone());
            let Some(result) = result else { break };
            assert_eq!(result.get("isError"), None, "{result}");
            if number % 2 == 0 {
                answered.insert(format!("{text}+"));
            }
            answered.insert(text);
        }
        killer.expect("it was killed").join().expect("it was killed");
        process.child.wait().expect("it ended");
        // The next process finds what there is, and puts aside what was begun.
        let mut next = Process::start(&file);
        next.done("create_entities", &create("after"));
        next.done("delete_entities", &json!({"entityNames": ["after"]}));
        next.end();
        let mut found = in_file(&file);
        found.remove("x");
        assert!(answered.is_subset(&found), "round {round}: {:?} is lost", answered.difference(&found));
        assert!(found.is_subset(&asked), "round {round}: {:?} was never asked for", found.difference(&asked));
        let entries = std::fs::read_dir(directory.path()).expect("a directory");
        let names: HashSet<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        let known = ["memory.jsonl", "memory.jsonl.unfinished"].map(std::ffi::OsString::from);
        assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    }
}

#[test]
fn a_limit_for_the_size_of_files_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("memory.jsonl");
    let mut command = Command::new("sh");
    let script = "ulimit -f 8 && exec \"$0\" serve --tools memory";
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcpool")]);
    let mut process = Process::of(command, Some(&file));
    process.done("create_entities", &create("a"));
    let before = std::fs::read_to_string(&file).expect("a file");
    let long = "x".repeat(20_000);
    for (tool, arguments) in [
        ("create_entities", json!({"entities": [entity("b", &[]), entity("c", &[&long])]})),
        ("add_observations", observe("a", &long)),
    ] {
        let result = process.call(tool, &arguments).expect("an answer");
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().expect("a text");
        assert!(text.contains("cannot be written: File too large"), "{text}");
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), before);
        let graph = process.done("read_graph", &json!({}));
        assert_eq!(graph, json!({"entities": [entity("a", &[])], "relations": []}));
    }
    process.done("create_entities", &create("d"));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), before + &line("d") + "\n");
    process.end();
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_file_is_where_the_settings_say() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = |name: &str, value: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        command.args(["call", "--tools", "memory", "create_relations", "relations=[]"]);
        command.env_clear().env(name, value).current_dir(directory.path());
        command
    };
    let run = |mut command: Command| {
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(program("XDG_DATA_HOME", &directory.path().join("data")));
    assert!(directory.path().join("data/mcpool/memory.jsonl").is_file());
    run(program("HOME", &directory.path().join("home")));
    assert!(directory.path().join("home/.local/share/mcpool/memory.jsonl").is_file());
    run(program("MEMORY_FILE_PATH", Path::new("relative.jsonl")));
    assert!(directory.path().join("relative.jsonl").is_file());
    let config = directory.path().join("mcpool.toml");
    std::fs::write(&config, "[memory]\nmemory_file_path = \"table.jsonl\"\n").expect("a file");
    let serve = |flag: &str, value: &Path, variable: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        command.args(["serve", "--tools", "memory", flag]).arg(value).current_dir(directory.path());
        let mut process = Process::of(command, variable);
        process.done("create_entities", &create("a"));
        process.end();
    };
    serve("--config", &config, None);
    assert!(directory.path().join("table.jsonl").is_file());
    serve("--memory-file-path", Path::new("flag.jsonl"), Some(Path::new("ignored.jsonl")));
    assert!(directory.path().join("flag.jsonl").is_file());
    assert!(!directory.path().join("ignored.jsonl").exists());
}
