//! A test in a process of its own, though its binary has others.
//!
//! dhat's profiler is one for the whole process, so each test needs one; a binary for each would link the whole library
//! as often. So what the harness runs starts the same binary once more, for that one test, and says what it said.
//! Invariant: one such process at a time, as they count what a machine does; and one that ran nothing has not passed.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Set in the process of a test, to its name.
const NAME: &str = "MCPOOL_MEMTEST";

static TURN: Mutex<()> = Mutex::new(());

/// Runs `test`, which the harness knows as `name`, in a process of its own.
///
/// # Panics
/// When the test fails, or does not run.
#[track_caller]
pub fn alone(name: &str, test: fn()) {
    if own_name().as_deref() == Some(name) {
        return test();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let said =
        run(name).unwrap_or_else(|fault| panic!("{name} cannot be run in a process of its own: {fault}"));
    assert!(said.has_passed, "{name} failed in its own process: what it said is above");
}

/// The test that this process is for, if it is for one.
pub(crate) fn own_name() -> Option<String> {
    std::env::var(NAME).ok()
}

struct Said {
    has_passed: bool,
}

/// Starts the binary for one test and passes on what that says, as it comes, but for the words of the inner harness: who
/// counts results would count twice.
fn run(name: &str) -> io::Result<Said> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([name, "--exact", "--show-output"]).env(NAME, name);
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // It holds the writing ends too, and reading would never end.
    drop(command);
    let mut has_passed = false;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        has_passed |= line.starts_with("test result: ok. 1 passed;");
        if !line.starts_with("test result: ") && !line.starts_with("running 1 test") && !line.is_empty() {
            println!("    {line}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        println!("    its process ended with {status}");
    }
    Ok(Said { has_passed: has_passed && status.success() })
}
