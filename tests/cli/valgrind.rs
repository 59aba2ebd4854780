//! The program under valgrind, which the bench `instructions` counts with.
//!
//! It shows a process another auxiliary vector than the kernel's own, as some sandboxes do.

use std::io::Write;
use std::process::{Command, Stdio};

const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n";

#[test]
fn the_program_answers_where_the_kernels_auxiliary_vector_is_hidden() {
    let is_here = Command::new("valgrind").arg("--version").output();
    if !is_here.is_ok_and(|version| version.status.success()) {
        return eprintln!("valgrind is not installed: nothing was tested");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new("valgrind")
        .args(["--tool=none", "-q", env!("CARGO_BIN_EXE_mcpool"), "serve"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind runs");
    child.stdin.take().expect("a pipe").write_all(PING).expect("written");
    let output = child.wait_with_output().expect("it ends with its input");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n",
        "{said}"
    );
}
