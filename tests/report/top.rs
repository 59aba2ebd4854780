//! `mcpool top` as a person and a program run it, against an admin socket that answers with known reports.
//!
//! The picture is checked in; `MCPOOL_WRITE_PICTURE=1 cargo test --test suite the_screen_is` rewrites it.

use super::sample;
use crate::cli::terminal::terminal;
use mcpool::memory::{MemoryReport, ReclaimOutcome};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server that answers each question for its report with the next one, and with the last for ever.
fn admin(reports: Vec<MemoryReport>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut reports = reports.into_iter().peekable();
        let mut report = reports.next().expect("a report");
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                asked.push(byte[0]);
            }
            let body = if asked.starts_with(b"POST /reclaim ") {
                let rss = |mib: u64| Some(mib << 20);
                let outcome =
                    ReclaimOutcome { rss_before_bytes: rss(9), rss_after_bytes: rss(6), steps: Vec::new() };
                serde_json::to_string(&outcome).expect("JSON")
            } else {
                let body = serde_json::to_string(&report).expect("JSON");
                if let Some(next) = reports.next() {
                    report = next;
                }
                body
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

/// Two reports, ten seconds apart.
fn two() -> Vec<MemoryReport> {
    let before = sample::full();
    let mut now = sample::full();
    now.taken_unix_ms += 10_000;
    now.uptime_ms += 10_000;
    now.usage.cpu_ms = Some(17_340);
    now.operations[0].counts[0] += 123_450;
    now.operations[1].counts[0] += 20;
    now.traffic.frames += 130_000;
    vec![before, now]
}

fn top(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.args(["top", &address.to_string(), "--interval-ms", "100"]).args(arguments).env_clear();
    command
}

fn printed(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_screen_is_the_picture_that_is_checked_in() {
    let mut seen = String::new();
    for pane in ["overview", "clients", "pools", "ledger", "tools", "alerts"] {
        let picture = printed(top(admin(two()), &["--once", "--pane", pane]));
        assert_eq!(picture.lines().count(), 24, "{picture}");
        seen += &picture;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/top.txt");
    if std::env::var_os("MCPOOL_WRITE_PICTURE").is_some() {
        std::fs::write(&path, &seen).expect("written");
    }
    assert_eq!(seen, std::fs::read_to_string(&path).expect("the picture"));
}

#[test]
fn a_program_gets_the_rates_and_the_report() {
    let json: Value = serde_json::from_str(&printed(top(admin(two()), &["--json"]))).expect("JSON");
    assert_eq!((json["schema"].as_str(), json["interval_ms"].as_u64()), (Some("mcpool.top/1"), Some(10_000)));
    let rates = &json["rates"];
    assert_eq!(rates["requests_per_s"], 12_347.0);
    assert_eq!((&rates["errors_per_s"], &rates["frames_per_s"]), (&Value::from(2.0), &Value::from(13_000.0)));
    assert_eq!(rates["cpu_percent"], 50.0);
    let report: MemoryReport = serde_json::from_str(&json["report"].to_string()).expect("a report");
    assert_eq!(report, two()[1]);
    let mut restarted = two();
    restarted[1].server.pid = 2;
    let json: Value = serde_json::from_str(&printed(top(admin(restarted), &["--json"]))).expect("JSON");
    assert_eq!(json["rates"], Value::Null, "no rate is computed across a restart");
}

#[test]
fn no_name_of_a_server_steers_the_terminal() {
    for pane in ["overview", "clients", "pools", "ledger", "tools", "alerts"] {
        let mut reports = vec![sample::hostile(), sample::hostile()];
        for report in &mut reports {
            report.alerts[0].subject = sample::HOSTILE.join(" ");
        }
        let picture = printed(top(admin(reports), &["--once", "--pane", pane]));
        assert_eq!(picture.lines().count(), 24, "{picture}");
        assert!(!picture.contains(|char: char| char.is_control() && char != '\n'), "{picture:?}");
        assert!(!picture.contains('\u{202e}'), "{picture:?}");
    }
}

/// A running view on a terminal.
struct Watched {
    person: File,
    program: File,
    child: Child,
    screen: vt100::Parser,
    seen: Vec<u8>,
}

impl Watched {
    fn start(folder: &Path) -> Self {
        Self::start_on(folder, (80, 24))
    }

    fn start_on(folder: &Path, (columns, lines): (u16, u16)) -> Self {
        let (person, program) = terminal();
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&program, size).expect("a size");
        let copy = || Stdio::from(program.try_clone().expect("a copy"));
        // In a session of its own, it has no other terminal to ask for its size.
        let mut command = Command::new("setsid");
        let view = top(admin(two()), &[]);
        command.arg(view.get_program()).args(view.get_args()).env_clear().env("TERM", "xterm");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(folder);
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().expect("the program runs");
        Self { person, program, child, screen: vt100::Parser::new(lines, columns, 0), seen: Vec::new() }
    }

    /// Reads until the screen shows the text.
    fn wait_for(&mut self, text: &str) {
        let mut part = [0; 4096];
        while !self.screen.screen().contents().contains(text) {
            let count = self.person.read(&mut part).expect("the program writes");
            self.screen.process(&part[..count]);
            self.seen.extend_from_slice(&part[..count]);
        }
    }

    fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).expect("typed");
    }

    /// Its exit code, once the terminal is as it was.
    fn end(mut self) -> Option<i32> {
        // A program that nobody reads from cannot end.
        let mut person = self.person.try_clone().expect("a copy");
        let reading = thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = person.read_to_end(&mut rest);
            rest
        });
        let code = self.child.wait().expect("it ends").code();
        let modes = tcgetattr(&self.program).expect("modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        drop(self.program);
        self.seen.extend(reading.join().expect("read"));
        let seen = String::from_utf8_lossy(&self.seen);
        assert!(seen.rfind("\x1b[?1049h") < seen.rfind("\x1b[?1049l"), "{seen:?}");
        code
    }
}

#[test]
fn a_person_looks_around_and_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut watched = Watched::start(folder.path());
    watched.wait_for("q quit");
    watched.press("3");
    watched.wait_for("in use");
    watched.press("s");
    watched.wait_for("*pool");
    watched.press("/4096\r");
    watched.wait_for("filter: 4096");
    assert!(!watched.screen.screen().contents().contains("arenas"), "filtered");
    watched.press("r");
    watched.wait_for("given back: 3.0 MiB");
    watched.press("p");
    watched.wait_for("PAUSED");
    watched.press("w");
    watched.wait_for("written: mcpool-report-4711-");
    watched.press("q");
    assert_eq!(watched.end(), Some(0));
    let written = std::fs::read_dir(folder.path()).expect("a folder").flatten().next().expect("a file");
    let text = std::fs::read_to_string(written.path()).expect("read");
    assert!(two().contains(&MemoryReport::from_json(&text).expect("a report")));
}

#[test]
fn a_terminal_that_is_too_small_shows_what_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    for size in [(20, 5), (7, 9), (12, 2), (300, 3)] {
        let mut watched = Watched::start_on(folder.path(), size);
        watched.wait_for("q quit");
        for pane in ["1", "2", "3", "4", "5", "6"] {
            watched.press(pane);
        }
        // What is typed is shown after all of them were.
        watched.press("/x");
        watched.wait_for("filter");
        watched.press("\rq");
        assert_eq!(watched.end(), Some(0), "{size:?}");
    }
}

#[test]
fn clients_and_requests_that_reached_nothing_have_rows() {
    let mut reports = two();
    for report in &mut reports {
        report.hotspots.clients[0].bytes = 9 << 20;
        report.operations[1].error = Some("-32602".to_owned());
        report
            .latencies
            .iter_mut()
            .filter(|l| l.name == "slow|tool")
            .for_each(|l| l.name = "_OTHER".to_owned());
    }
    let clients = printed(top(admin(reports.clone()), &["--once", "--pane", "clients"]));
    let first = clients.lines().nth(9).expect("a row");
    assert!(first.starts_with("127.0.1.2, all sessions ") && first.contains("9.0 MiB"), "{clients}");
    let tools = printed(top(admin(reports), &["--once", "--pane", "tools"]));
    assert!(tools.contains("\n(all other tools) ") && !tools.contains("_OTHER"), "{tools}");
    assert!(tools.contains("\ntools/call -32602, 27 in all "), "{tools}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut watched = Watched::start(folder.path());
    watched.wait_for("q quit");
    let pid = watched.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert_eq!(watched.end(), Some(143));
}

/// A terminal that closes without a signal, as one that is not the controlling one does.
#[test]
fn a_program_whose_terminal_is_gone_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut watched = Watched::start(folder.path());
    watched.wait_for("q quit");
    let Watched { person, program, mut child, .. } = watched;
    drop((person, program));
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > Duration::from_mins(1) {
            child.kill().expect("killed");
            panic!("it goes on without a terminal");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_wrong_address_is_told_before_the_screen_is_taken() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let output = top(closed, &["--once"]).stdin(Stdio::null()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot reach the server at"), "{output:?}");
}
