//! The black box of the real program: what is recorded while it serves, and the files that it writes.

use crate::load::{self, Client, Program, message};
use mcpool::memory::{History, HistoryReason};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Command;

/// The files in a folder, oldest first.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    paths
}

fn read(path: &Path) -> History {
    History::from_json(&std::fs::read_to_string(path).expect("there")).expect("a history")
}

#[test]
fn a_running_server_is_asked_for_any_of_its_last_seconds_and_writes_them_on_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let within = folder.path().join("black box");
    let program = Program::serve(&["--black-box-dir", within.to_str().expect("text")]);
    let call = message("tools/list", r#""cursor":null"#);
    let mut client = Client::connect(program.port());
    for _ in 0..20 {
        client.call("tools/list", None, &call);
    }
    let mut history = History::from_json(&program.page("GET /black-box")).expect("a history");
    load::until("all messages are recorded", || {
        history = History::from_json(&program.page("GET /black-box")).expect("a history");
        history.samples.iter().map(|sample| sample.messages).sum::<u64>() >= 20
    });
    assert_eq!((history.server.pid, history.reason), (program.pid(), HistoryReason::Asked));
    assert!(history.samples.iter().any(|sample| sample.connections >= 1 && sample.rss_bytes > 1 << 20));
    assert!(history.parts.iter().any(|name| name == "black box"), "{:?}", history.parts);
    assert!(history.samples.iter().any(|sample| sample.p99_ns.is_some_and(|ns| ns > 0)));
    let target = format!("unix:{}", program.admin());
    let mut table = String::new();
    // A machine that is busy enough may have let more than a few seconds pass without a record.
    load::until("the second that has just ended is shown", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
        let shown = command.args(["report", &target, "--at", "-0"]).output().expect("ran");
        table = String::from_utf8(shown.stdout).expect("text");
        shown.status.success()
    });
    assert!(table.contains("What it held") && table.contains("requests in flight"), "{table}");
    let (text, _) = program.run_doctor(&["--since", "1h"]);
    assert!(text.contains("rule"), "{text}");

    let pid = Pid::from_raw(program.pid().cast_signed()).expect("a process");
    kill_process(pid, Signal::USR1).expect("sent");
    // On a busy machine an alert may have had one written as well.
    let asked = || {
        let written = files(&within).iter().map(|path| read(path)).collect::<Vec<_>>();
        written.into_iter().find(|written| written.reason == HistoryReason::Asked)
    };
    load::until("the file is written", || asked().is_some());
    let written = asked().expect("just seen");
    assert_eq!(written.server.pid, program.pid());
    assert!(written.samples.len() >= history.samples.len());
    let part = program.report();
    let line = part.part("black box").expect("a line of the ledger");
    assert!((200 << 10..=256 << 10).contains(&line.bytes), "{line:?}");
}

#[test]
fn a_server_without_a_folder_says_how_to_get_files() {
    let program = Program::serve(&[]);
    let answer = program.page("POST /black-box");
    assert!(answer.contains("--black-box-dir") && answer.contains(r#""path":null"#), "{answer}");
}

#[test]
fn a_refusal_for_lack_of_memory_has_the_black_box_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let within = folder.path().to_str().expect("text");
    let program = Program::serve(&["--black-box-dir", within, "--max-inflight-bytes", "4MiB"]);
    let list = message("tools/list", &format!(r#""pad":"{}""#, "x".repeat(1 << 20)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // Each may be lucky; all of them together are not for long.
                for _ in 0..10_000 {
                    let _ = Client::connect(program.port()).try_call("tools/list", None, &list);
                    if program.report().pressure.refused > 0 {
                        return;
                    }
                }
            });
        }
    });
    assert!(program.report().pressure.refused > 0);
    load::until("the file is written", || !files(folder.path()).is_empty());
    let written = read(&files(folder.path())[0]);
    assert_eq!(written.reason, HistoryReason::Refused);
    assert!(
        written.samples.iter().any(|sample| sample.refused > 0),
        "the second in which it was refused is there"
    );
}

/// Whether the machine was short or the group is told by the group's own counts. It needs a user who may make groups.
#[test]
fn a_server_in_a_control_group_records_what_the_group_has() {
    const LIMIT_BYTES: u64 = 512 << 20;
    let group = match load::ControlGroup::new(LIMIT_BYTES) {
        Ok(group) => group,
        Err(error) => return eprintln!("not run: no control group can be made here ({error})"),
    };
    let program = Program::serve_in(group, &[]);
    let mut history = None;
    load::until("a second is recorded", || {
        history = Some(History::from_json(&program.page("GET /black-box")).expect("a history"));
        history.as_ref().is_some_and(|history| history.samples.len() >= 2)
    });
    let samples = history.expect("recorded").samples;
    let Some(group) = samples.last().and_then(|sample| sample.group) else {
        return eprintln!("not run: the files of the group are not to be seen here");
    };
    let bytes = group.current_bytes.expect("the group is charged with something");
    assert!((1..=LIMIT_BYTES).contains(&bytes), "{bytes}");
    let events = group.events.expect("a second sample says what came since the first");
    assert_eq!((events.max, events.oom_kill), (0, 0), "it came to no limit");
}
