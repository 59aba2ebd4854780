//! Nothing that a command prints steers a terminal: no colours, whatever is asked for, and nothing of what others send.

use super::sockets::Serving;
use super::terminal::terminal;
use super::{Run, fake_server, mcpool};
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;

/// What the environment says of colours.
const ASKED: [&[(&str, &str)]; 4] = [
    &[("NO_COLOR", "1"), ("TERM", "xterm-256color")],
    &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
    &[("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1"), ("TERM", "xterm-256color")],
    &[("TERM", "dumb")],
];

fn command(arguments: &[&str], asked: &[(&str, &str)]) -> Command {
    let mut command = mcpool(arguments);
    command.envs(asked.iter().copied()).stdin(Stdio::null());
    command
}

/// What a command writes to a terminal, both streams together, and its exit code.
fn on_terminal(mut command: Command) -> (String, Option<i32>) {
    let (mut person, program) = terminal();
    command.stdout(program.try_clone().expect("a copy")).stderr(program);
    let mut child = command.spawn().expect("the program runs");
    // The command holds the program's end of the terminal open.
    drop(command);
    let reading = thread::spawn(move || {
        let mut seen = Vec::new();
        // Linux reports the end of a terminal as an error.
        let _ = person.read_to_end(&mut seen);
        seen
    });
    let code = child.wait().expect("it ends").code();
    (String::from_utf8_lossy(&reading.join().expect("read")).into_owned(), code)
}

#[track_caller]
fn assert_plain(text: &str, what: &[&str]) {
    let steers = |char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t');
    assert!(!text.contains(steers), "{what:?}: {text:?}");
    assert!(!text.trim().is_empty(), "{what:?} says something");
}

#[test]
fn no_command_colours_its_output_on_a_terminal_or_off_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (address, admin) = (format!("unix:{}", path("m.sock")), format!("unix:{}", path("a.sock")));
    let arguments = ["serve", "--unix", &path("m.sock"), "--admin", &admin, &path("")];
    let mut serving = Serving::start(&mut mcpool(&arguments));
    while !serving.any_line().contains("listening on unix:") {}
    let directory = format!("path={}", path(""));
    let commands: [&[&str]; 13] = [
        &["--help"],
        &["serve", "--help"],
        &["help", "call"],
        &["--version", "--verbose"],
        &["tools", &address],
        &["tools", "--cost", &address],
        &["call", "--server", &address, "list_allowed_directories"],
        &["call", "--server", &address, "list_directory", &directory],
        &["call", "--server", &address, "read_text_file", "path=/not/there"],
        &["report", &admin],
        &["doctor", &admin],
        &["config"],
        &["clients"],
    ];
    for arguments in commands {
        for asked in ASKED {
            let run = Run::from(command(arguments, asked).output().expect("the program runs"));
            assert_plain(&(run.stdout.clone() + &run.stderr), arguments);
            let (seen, code) = on_terminal(command(arguments, asked));
            assert_plain(&seen, arguments);
            assert!(code.is_some(), "{arguments:?}");
        }
    }
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

/// What a file holds reaches a pipe byte for byte, and a terminal as text.
#[test]
fn what_a_tool_answers_does_not_steer_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("f");
    std::fs::write(&file, "red \x1b[31malert\x07\r\n\ttab\n").expect("written");
    let dir = folder.path().display().to_string();
    let path = format!("path={}", file.display());
    let call = ["call", "--dir", &dir, "read_text_file", &path];
    let run = Run::from(command(&call, &[]).output().expect("the program runs"));
    assert_eq!(run.stdout, "red \x1b[31malert\x07\r\n\ttab\n");
    let (seen, code) = on_terminal(command(&call, &[]));
    assert_eq!((seen.as_str(), code), ("red \\u{1b}[31malert\\u{7}\r\n\ttab\r\n", Some(0)));
    // A tool that failed answers on stderr.
    let failed = ["call", "--dir", &dir, "read_text_file", "path=/a\x1b[31m"];
    let (seen, code) = on_terminal(command(&failed, &[]));
    assert_eq!(code, Some(1));
    assert_plain(&seen, &failed);
}

/// A line that is written anew needs a terminal that can do so.
#[test]
fn a_terminal_that_only_writes_lines_gets_no_progress() {
    let server = fake_server("modern");
    let (seen, code) = on_terminal(command(&["call", "--server", &server, "slow"], &[("TERM", "dumb")]));
    assert_eq!((seen.as_str(), code), ("done\r\n", Some(0)));
}
