//! The program as a person runs it, against a scripted server, and the client against real processes.

#[cfg(target_os = "linux")]
mod abandoned;
mod access_log;
mod admission;
mod call;
mod client;
mod client_messages;
#[cfg(target_os = "linux")]
mod clients;
mod colours;
mod connect;
mod gate;
mod git;
mod guides;
mod killed;
mod lint;
mod running;
mod settings;
mod shim;
mod shim_http;
mod sockets;
pub(crate) mod terminal;
mod toolsets;
mod valgrind;

use std::path::Path;
use std::process::{Command, Output};

/// What a run of the program left behind.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, with nothing of the environment that could change what it does.
fn mcpool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(arguments: &[&str]) -> Run {
    mcpool(arguments).output().expect("the program runs").into()
}

fn fake_server_script() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/fake_server.sh").display().to_string()
}

/// The value of `--server` for the scripted server.
fn fake_server(mode: &str) -> String {
    format!("sh '{}' {mode}", fake_server_script())
}

/// Waits until the scripted server has noted `line`.
fn wait_for_note(notes: &Path, line: &str) {
    // Far beyond what any machine needs: the test fails on what did not happen, not on how long it took.
    for _ in 0..6_000 {
        if std::fs::read_to_string(notes).unwrap_or_default().lines().any(|noted| noted == line) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the server never noted {line:?}");
}

/// Process id that the scripted server noted.
fn noted_pid(notes: &Path) -> String {
    let text = std::fs::read_to_string(notes).expect("notes");
    text.lines().find_map(|line| line.strip_prefix("pid ")).expect("a process id").to_owned()
}

/// Sends a signal with the system's own command; false when there is no such process.
fn signal(name: &str, pid: &str) -> bool {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>/dev/null")]).status();
    status.expect("sh runs").success()
}
