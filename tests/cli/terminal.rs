//! What changes when a person is at the other end: the program on a pseudo-terminal.

use super::{Run, fake_server, mcpool};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

/// The two ends of a pseudo-terminal: the person's and the program's.
pub(crate) fn terminal() -> (File, File) {
    // Not for children: a program that held this end would never be alone.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = openpt(flags).expect("a pseudo-terminal");
    grantpt(&person).expect("granted");
    unlockpt(&person).expect("unlocked");
    let name = ptsname(&person, Vec::new()).expect("its name");
    let path = std::ffi::OsStr::from_bytes(name.as_bytes());
    let program = OpenOptions::new().read(true).write(true).open(path).expect("opened");
    (person.into(), program)
}

#[test]
fn a_person_who_starts_the_server_is_told_what_it_is() {
    let (mut person, program) = terminal();
    let child = mcpool(&["serve", "."])
        .stdin(program)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // Ctrl-D, for a server that waits.
    person.write_all(b"\x04").expect("typed");
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert!(run.stderr.starts_with("mcpool waits for the messages of an MCP client"), "{run:?}");
    assert!(run.stderr.contains("mcpool call list_directory path=."), "{run:?}");
    assert_eq!(run.stdout, "", "stdout belongs to the protocol");
}

#[test]
fn a_client_is_not_greeted() {
    let run: Run = mcpool(&["serve", "."]).stdin(Stdio::null()).output().expect("the program runs").into();
    assert!(!run.stderr.contains("waits for the messages"), "{run:?}");
}

#[test]
fn progress_is_shown_on_a_terminal_and_wiped_before_the_answer() {
    let (mut person, program) = terminal();
    let server = fake_server("modern");
    let mut command = mcpool(&["call", "--server", &server, "slow"]);
    command.stdin(Stdio::null()).stdout(program.try_clone().expect("a copy")).stderr(program);
    let mut child = command.spawn().expect("the program runs");
    // The command holds the program's end of the terminal open.
    drop(command);
    let mut seen = Vec::new();
    let mut part = [0; 1024];
    // Linux reports the end of a terminal as an error.
    while let Ok(count @ 1..) = person.read(&mut part) {
        seen.extend_from_slice(&part[..count]);
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&seen), "\r\x1b[K50 %\r\x1b[Kdone\r\n");
}
