//! The built program, looked at from outside: what it holds, what it logs, and what it may not enter.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program at work, over pipes.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command, capabilities: &Value) -> Self {
        command.env("RUST_LOG", "info").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut program = Self { child, input, output };
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        program.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
        assert_eq!(program.receive()["id"], 0);
        program.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        program
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("the program reads");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the program writes");
        serde_json::from_str(&line).expect("JSON")
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let params = json!({"name": tool, "arguments": arguments});
        self.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
        super::text_of(&self.receive()["result"])
    }

    /// Ends it; gives what it logged.
    fn finish(mut self) -> String {
        drop(self.input);
        let mut logged = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut logged).expect("text");
        assert!(self.child.wait().expect("it ends").success(), "{logged}");
        logged
    }
}

/// The program, serving a directory.
fn serving(directory: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.arg("serve").args(flags).arg(directory);
    command
}

#[cfg(target_os = "linux")]
#[test]
fn many_roots_take_no_descriptors_and_one_line() {
    const ROOTS: usize = 15_000;
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let forged = format!("file:///nowhere/%0A%1B%5B31mERROR%20forged{}", "x".repeat(200));
    let own = format!("file://{}", root.display());
    for policy in ["replace", "narrow"] {
        let command = serving(&root, &["--client-roots", policy]);
        let mut program = Program::start(command, &json!({"roots": {"listChanged": true}}));
        let process = program.child.id();
        let open = || std::fs::read_dir(format!("/proc/{process}/fd")).expect("a directory").count();
        let mut before = None;
        for uris in [vec![&own[..]], vec!["file:///"; ROOTS], vec![&forged; ROOTS], vec![&own; ROOTS]] {
            let asked = program.receive();
            assert_eq!(asked["method"], "roots/list");
            let roots: Vec<_> = uris.iter().map(|uri| json!({"uri": uri})).collect();
            program.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}}));
            let listed = program.call("list_allowed_directories", &json!({}));
            assert_eq!(listed.lines().count(), 2, "{policy}: {listed}");
            let now = open();
            assert!(now <= *before.get_or_insert(now), "{policy}: {now} descriptors");
            program.send(&json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}));
        }
        program.receive();
        let logged = program.finish();
        // But for the line of each request.
        let of_roots: Vec<_> = logged.lines().filter(|line| !line.contains("mcpool::requests: ")).collect();
        let bytes: usize = of_roots.iter().map(|line| line.len()).sum();
        assert!(of_roots.len() <= 9 && bytes < 2_048, "{policy}: {logged}");
        assert!(!logged.contains("forged") && !logged.contains('\u{1b}'), "{policy}: {logged}");
    }
}

#[test]
fn a_client_whose_roots_lie_elsewhere_is_one_line() {
    let outer = tempfile::tempdir().expect("a directory");
    let mut program =
        Program::start(serving(outer.path(), &["--client-roots", "narrow"]), &json!({"roots": {}}));
    let asked = program.receive();
    let roots = json!([{"uri": "file:///usr"}, {"uri": "file:///bin"}]);
    program.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}}));
    program.call("list_allowed_directories", &json!({}));
    let logged = program.finish();
    let lines: Vec<_> = logged.lines().filter(|line| line.contains("root")).collect();
    assert_eq!(lines.len(), 1, "{logged}");
    assert!(lines[0].contains("INFO"), "{logged}");
}

#[cfg(target_os = "linux")]
/// The program as a user who is not root, who enters everything; `None` where nobody else can be had.
fn as_nobody(copy: &Path) -> Option<Command> {
    const NOBODY: &str = "65534";
    if !rustix::process::geteuid().is_root() {
        return Some(Command::new(env!("CARGO_BIN_EXE_mcpool")));
    }
    if Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: root enters everything, and there is no setpriv to be somebody else");
        return None;
    }
    // The one that was built may lie where nobody may go.
    std::fs::copy(env!("CARGO_BIN_EXE_mcpool"), copy).expect("copied");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(copy);
    Some(command)
}

#[cfg(target_os = "linux")]
#[test]
fn what_may_be_read_but_not_entered_is_listed() {
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    std::fs::create_dir_all(root.join("closed/sub")).expect("directories");
    std::fs::write(root.join("closed/f"), "x").expect("a file");
    symlink("f", root.join("closed/link")).expect("a link");
    std::fs::create_dir(root.join("shut")).expect("a directory");
    let set =
        |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
    set(outer.path(), 0o755);
    set(&root.join("closed"), 0o444);
    set(&root.join("shut"), 0o111);
    let copy = outer.path().join("mcpool");
    let Some(mut command) = as_nobody(&copy) else { return };
    command.env("HOME", outer.path()).arg("serve").arg(&root);
    let mut program = Program::start(command, &json!({}));
    let listed = program.call("list_directory", &json!({"path": "closed"}));
    assert_eq!(listed, "[FILE] f\n[FILE] link\n[DIR] sub");
    let sized = program.call("list_directory_with_sizes", &json!({"path": "closed"}));
    assert!(sized.starts_with("[FILE] f ") && sized.contains("[DIR] sub"), "{sized}");
    let refused = program.call("read_text_file", &json!({"path": "closed/f"}));
    assert!(refused.starts_with("EACCES: permission denied, "), "{refused}");
    let refused = program.call("list_directory", &json!({"path": "shut"}));
    assert!(refused.starts_with("EACCES: permission denied, scandir '"), "{refused}");
    // The same for a directory that is served itself.
    set(&root, 0o444);
    assert_eq!(program.call("list_directory", &json!({"path": "."})), "[DIR] closed\n[DIR] shut");
    program.finish();
    for path in [&root, &root.join("closed"), &root.join("shut")] {
        set(path, 0o755);
    }
}
