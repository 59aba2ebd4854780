//! The plan of a load and the process under that load agree.

use super::limit::{Asked, read_request, resident};
use super::load::{Client, Program, message, until};
use mcpool::report::meaning_of;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const MIB: usize = 1024 * 1024;

/// Runs `mcpool plan`; its output, and its exit code.
fn run_plan(options: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcpool"))
        .arg("plan")
        .args(options)
        .env_remove("MCPOOL_CONFIG")
        .output()
        .expect("ran");
    let is_usage = output.status.code() == Some(2);
    assert_eq!(output.stderr.is_empty(), !is_usage, "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).expect("text"), output.status.code())
}

pub(crate) fn json_plan(options: &[&str]) -> Value {
    let (text, _) = run_plan(&[options, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

fn bytes_of(plan: &Value, name: &str) -> u64 {
    plan[name].as_u64().expect("a number")
}

/// Has several clients write files of that many bytes at the same time.
fn write_at_once(program: &Program, clients: usize, bytes: usize) {
    let content = "x".repeat(bytes);
    std::thread::scope(|scope| {
        for at in 0..clients {
            let path = program.file(&format!("written{at}.txt"), "");
            let content = &content;
            scope.spawn(move || {
                let arguments = format!(r#""arguments":{{"path":"{path}","content":"{content}"}}"#);
                let call = message("tools/call", &format!(r#""name":"write_file",{arguments}"#));
                for _ in 0..3 {
                    let mut client = Client::connect(program.port());
                    let (status, body) = client.call("tools/call", Some("write_file"), &call);
                    assert_eq!(status, 200, "{body}");
                }
            });
        }
    });
}

/// Answers that nobody reads, messages on their way in, sessions and idle connections, all at once: the process stays
/// below what was planned, and the plan is no more than three times what it takes.
#[test]
fn a_planned_load_stays_below_its_plan_and_near_it() {
    const READS: usize = 10;
    const READ_BYTES: usize = 3 * MIB;
    const WRITES: usize = 4;
    const WRITE_BYTES: usize = MIB / 2;
    const SESSIONS: usize = 200;
    let plan = json_plan(&[
        "--sessions",
        &SESSIONS.to_string(),
        "--connections",
        &(SESSIONS + READS + WRITES).to_string(),
        "--reads",
        &format!("{READS}x{READ_BYTES}"),
        "--writes",
        &format!("{WRITES}x{WRITE_BYTES}"),
    ]);
    assert_eq!(plan["fits"], true, "{plan}");
    let planned = bytes_of(&plan, "process_bytes");
    let program = Program::serve(&[]);
    let sessions: Vec<Client> = (0..SESSIONS)
        .map(|_| {
            let mut client = Client::connect(program.port());
            client.open_session();
            client
        })
        .collect();
    let request = read_request(&program, READ_BYTES, Asked::Whole);
    let mut readers: Vec<Client> = (0..READS).map(|_| Client::connect(program.port())).collect();
    for reader in &mut readers {
        reader.send(&request);
    }
    until("all requests are there", || program.report().traffic.frames >= (SESSIONS + READS) as u64);
    write_at_once(&program, WRITES, WRITE_BYTES);
    let (_, peak) = resident(&program);
    assert!(peak <= planned, "{planned} bytes are planned, {peak} were taken: {plan:#}");
    assert!(peak * 3 >= planned, "{planned} bytes are planned, {peak} were taken: {plan:#}");
    drop((sessions, readers));
}

#[test]
fn the_exit_code_says_whether_the_load_fits() {
    let load = ["--sessions", "500", "--reads", "20x1MiB", "--writes", "5x4MiB"];
    let (text, code) = run_plan(&[&load[..], &["--limit", "48MiB"]].concat());
    assert_eq!(code, Some(1), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("48MiB are allowed: raise memory_limit_bytes to"), "{text}");
    let needed = bytes_of(&json_plan(&[&load[..], &["--limit", "48MiB"]].concat()), "needed_limit_bytes");
    // A process does not start with the same resident bytes each time.
    let enough = (needed + MIB as u64).to_string();
    let (text, code) = run_plan(&[&load[..], &["--limit", &enough]].concat());
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = run_plan(&["--reads", "many"]);
    assert_eq!((text.as_str(), code), ("", Some(2)));
}

/// The words of the table, those of its terms among them, and lines that fit a terminal of 80 columns.
#[test]
fn a_plan_fits_the_terminal_and_each_of_its_words_has_a_meaning() {
    let load = ["--sessions", "500", "--streams", "20", "--reads", "20x1MiB", "--writes", "5x4MiB"];
    for options in [&[&load[..], &["--limit", "48MiB"]].concat()[..], &["--limit", "256MiB"], &[]] {
        let (text, _) = run_plan(options);
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None);
        assert!(text.contains("Prices: "), "{text}");
        let titles = text.lines().filter(|line| line.starts_with(char::is_uppercase));
        let titles: Vec<&str> = titles
            .map(|line| line.split(": ").next().unwrap_or_default())
            .filter(|title| ["Resident", "Kernel", "What does"].iter().any(|word| title.starts_with(word)))
            .collect();
        assert!(titles.len() >= 2, "{text}");
        let head = text.lines().find(|line| line.starts_with("  term")).expect("a table");
        let plan = json_plan(options);
        let terms = plan["terms"].as_array().expect("terms").iter();
        let terms: Vec<&str> = terms.map(|term| term["name"].as_str().expect("a name")).collect();
        assert!(terms.len() > 8, "{plan}");
        let words = titles.into_iter().chain(head.split_whitespace()).chain(terms).chain(["sum", "Prices"]);
        let unknown: Vec<_> = words.filter(|word| meaning_of(word).is_none()).collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }
}

/// The first line of `serve` begins as the summary of the plan: the same limit from the same place.
#[test]
fn a_server_says_at_its_start_what_it_stays_below() {
    let folder = tempfile::tempdir().expect("a folder");
    for options in [&["--memory-limit-bytes", "96MiB"][..], &[]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .args(["serve", "--http", "127.0.0.1:0"])
            .args(options)
            .arg(folder.path())
            .env_remove("MCPOOL_CONFIG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        // The log says before what is served to whom.
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let said = lines.map_while(Result::ok).find(|line| line.starts_with("mcpool: "));
        let said = said.expect("a line");
        child.kill().expect("killed");
        child.wait().expect("ended");
        let (plan, _) = run_plan(options);
        let last = plan.lines().find(|line| line.starts_with("memory ceiling: ")).expect("a line");
        let limit = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
        assert_eq!(limit(said.trim_start_matches("mcpool: ")), limit(last));
        assert!(
            said.starts_with("mcpool: memory ceiling: ") && said.contains(" in large messages"),
            "{said}"
        );
        let is_configured = said.contains("96.0 MiB (configured)");
        assert_eq!(is_configured, !options.is_empty(), "{said}");
    }
}
