//! The memory limit holds wherever the bytes are: in answers that nobody reads, in answers that are read, in bodies.

use super::load::{Client, Program, head, message, raise_descriptors, until};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Resident bytes of the program now, and the most there ever were.
pub(crate) fn resident(program: &Program) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("Linux tells");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * KIB
    };
    (line("VmRSS:"), line("VmHWM:"))
}

/// What the program has at the start: a debug build 35 MiB, most of them pages of its file, and a release build 6.
pub(crate) fn floor_bytes() -> u64 {
    resident(&Program::serve(&[])).1
}

/// A program that may have `more_bytes` beyond what it has at the start, and that limit.
pub(crate) fn serve_within(more_bytes: u64) -> (Program, u64) {
    let limit = floor_bytes() + more_bytes;
    (Program::serve(&["--memory-limit-bytes", &limit.to_string()]), limit)
}

/// What is asked of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Whole,
    /// Lines from its start, and there are no more.
    Head,
    /// Lines from its end, and there are no more.
    Tail,
    /// All of it, with another file.
    Several,
}

/// A call that reads a file of `bytes`, as bytes on the wire.
pub(crate) fn read_request(program: &Program, bytes: usize, asked: Asked) -> Vec<u8> {
    let line = "a line of source text, in which \"some\" \t characters are escaped\n";
    let path = program.file(&format!("{bytes}.txt"), &line.repeat(bytes / line.len()));
    let lines = match asked {
        Asked::Several => {
            let arguments = format!(r#"{{"paths":["{path}","{path}/none"]}}"#);
            let params = format!(r#""name":"read_multiple_files","arguments":{arguments}"#);
            return post("read_multiple_files", &params);
        }
        Asked::Whole => "",
        Asked::Head => r#","head":1000000000"#,
        Asked::Tail => r#","tail":1000000000"#,
    };
    post("read_text_file", &format!(r#""name":"read_text_file","arguments":{{"path":"{path}"{lines}}}"#))
}

/// A call of a tool, as bytes on the wire.
fn post(tool: &str, params: &str) -> Vec<u8> {
    let body = message("tools/call", params);
    let fields =
        format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n");
    format!("{}{body}", head(body.len(), &fields)).into_bytes()
}

#[test]
fn answers_that_nobody_reads_stay_within_the_limit() {
    let (program, limit) = serve_within(64 * MIB);
    let request = post("search_files", &program.search_params(12 * MIB as usize));
    let mut readers: Vec<Client> = (0..40).map(|_| Client::connect(program.port())).collect();
    for reader in &mut readers {
        reader.send(&request);
    }
    let mut other = Client::connect(program.port());
    let begun = Instant::now();
    // Some of the answers are written and held; the others wait for memory.
    until("some answers are there", || resident(&program).0 > limit - 57 * MIB);
    while begun.elapsed() < Duration::from_secs(3) {
        let (status, body) = other.call("tools/list", None, &message("tools/list", r#""n":1"#));
        assert_eq!(status, 200, "{body}");
    }
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} MiB of {}", peak / MIB, limit / MIB);
    // They are tried by turns, and hold little while one lacks memory.
    until("an answer is held", || resident(&program).0 > limit - 50 * MIB);
    let held = resident(&program).0;
    drop(readers);
    until("what nobody read is gone", || resident(&program).0 + 8 * MIB < held);
}

#[test]
fn a_file_that_is_read_costs_no_more_the_larger_it_is() {
    for asked in [Asked::Whole, Asked::Head, Asked::Tail, Asked::Several] {
        let program = Program::serve(&[]);
        let mut client = Client::connect(program.port());
        client.send(&read_request(&program, 100 * KIB as usize, asked));
        let (_, small) = client.read_answer().expect("an answer");
        let base = resident(&program).1;
        client.send(&read_request(&program, 10 * MIB as usize, asked));
        let (status, large) = client.read_answer().expect("an answer");
        assert!(status == 200 && large.len() > 100 * small.len(), "{status} {large:.200}");
        let (_, peak) = resident(&program);
        let most = MIB + large.len() as u64 / 10;
        assert!(peak - base <= most, "{asked:?}: {} KiB for {} KiB", (peak - base) / KIB, large.len() / 1024);
    }
}

#[test]
fn trees_that_are_walked_at_once_stay_within_the_limit() {
    const FILES: usize = 20_000;
    // A release build has 64 MiB in all.
    let (program, limit) = serve_within(58 * MIB);
    let folder = std::path::Path::new(program.folder()).join("tree");
    for number in 0..FILES {
        if number % 1_000 == 0 {
            std::fs::create_dir_all(folder.join(format!("d{}", number / 1_000))).expect("a folder");
        }
        let name = format!("d{}/a file with a name of some length {number}", number / 1_000);
        std::fs::write(folder.join(name), "").expect("a file");
    }
    let arguments = format!(r#"{{"path":"{}"}}"#, folder.display());
    let call = message("tools/call", &format!(r#""name":"directory_tree","arguments":{arguments}"#));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                // At the critical level a new connection is refused, and comes again.
                let (status, body) = loop {
                    let mut client = Client::connect(program.port());
                    match client.try_call("tools/call", Some("directory_tree"), &call) {
                        Some((503, _)) | None => std::thread::sleep(Duration::from_millis(100)),
                        Some(answer) => break answer,
                    }
                };
                // Each name is there twice.
                let names = body.matches("a file with a name of some length").count();
                assert!(status == 200 && names == 2 * FILES, "{status} {names} {body:.200}");
            });
        }
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} MiB of {}", peak / MIB, limit / MIB);
}

#[test]
fn files_that_nobody_takes_cost_two_segments_each() {
    let program = Program::serve(&[]);
    let request = read_request(&program, 10 * MIB as usize, Asked::Whole);
    let floor = resident(&program).1;
    let mut readers: Vec<Client> = (0..60).map(|_| Client::connect(program.port())).collect();
    for reader in &mut readers {
        reader.send(&request);
    }
    for reader in &mut readers {
        reader.await_bytes("HTTP/1.1 200");
    }
    // A search needs a thread, and has one.
    let search = message(
        "tools/call",
        &format!(r#""name":"search_files","arguments":{{"path":"{}","pattern":"*.txt"}}"#, program.folder()),
    );
    let (status, body) = Client::connect(program.port()).call("tools/call", Some("search_files"), &search);
    assert!(status == 200 && body.contains(".txt"), "{status} {body}");
    let (_, peak) = resident(&program);
    let each = (peak - floor) / 60;
    assert!(each <= 384 * KIB, "{} KiB for each answer of 21 MiB", each / KIB);
}

#[test]
fn files_are_sent_though_there_is_memory_for_few() {
    let (program, limit) = serve_within(24 * MIB);
    let text = "a \"line\"\n".repeat(MIB as usize / 2);
    let path = program.file("read.txt", &text);
    let call = message("tools/call", &format!(r#""name":"read_text_file","arguments":{{"path":"{path}"}}"#));
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let (status, body) = loop {
                    let mut client = Client::connect(program.port());
                    match client.try_call("tools/call", Some("read_text_file"), &call) {
                        Some((503, _)) | None => std::thread::sleep(Duration::from_millis(100)),
                        Some(answer) => break answer,
                    }
                };
                assert!(status == 200 && body.len() > 2 * text.len(), "{status} {body:.200}");
            });
        }
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} MiB of {}", peak / MIB, limit / MIB);
}

#[test]
fn whoever_reads_has_an_answer_though_all_together_are_more_than_the_limit() {
    let (program, limit) = serve_within(24 * MIB);
    let bytes = 3 * MIB as usize / 2;
    let path = program.file("read.txt", &"\"".repeat(bytes));
    let call = message("tools/call", &format!(r#""name":"read_text_file","arguments":{{"path":"{path}"}}"#));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                // At the critical level a new connection is refused, and comes again.
                let (status, body) = loop {
                    let mut client = Client::connect(program.port());
                    match client.try_call("tools/call", Some("read_text_file"), &call) {
                        Some((503, _)) | None => std::thread::sleep(Duration::from_millis(100)),
                        Some(answer) => break answer,
                    }
                };
                // Each quote has two bytes, and the text is there twice.
                assert!(status == 200 && body.len() > 4 * bytes, "{status} {body:.200}");
            });
        }
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} MiB of {}", peak / MIB, limit / MIB);
}

#[test]
fn bodies_are_charged_as_they_come_and_not_as_they_are_announced() {
    let (program, limit) = serve_within(48 * MIB);
    let port = program.port();
    // Each announces ten MiB and sends a few bytes.
    let announced: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = Client::connect(port);
            let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n";
            client.send(format!("{}{{\"jsonrpc\":", head(10 * MIB as usize, fields)).as_bytes());
            client
        })
        .collect();
    let written = program.file("written.txt", "");
    let content = "x".repeat(MIB as usize);
    let arguments =
        format!(r#""name":"write_file","arguments":{{"path":"{written}","content":"{content}"}}"#);
    let write = message("tools/call", &arguments);
    until("what is only announced is not expected any more", || {
        let answer = Client::connect(port).try_call("tools/call", Some("write_file"), &write);
        answer.is_some_and(|(status, _)| status == 200)
    });
    for _ in 0..5 {
        let (status, body) = Client::connect(port).call("tools/call", Some("write_file"), &write);
        assert_eq!(status, 200, "{body}");
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // One that is refused says so, or finds its connection closed.
                    if let Some((status, body)) =
                        Client::connect(port).try_call("tools/call", Some("write_file"), &write)
                    {
                        assert!(status == 200 || status == 503, "{status} {body}");
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        is_over.store(true, Ordering::Relaxed);
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} MiB of {}", peak / MIB, limit / MIB);
    drop(announced);
}

/// An answer that says less than there is, or that an edit failed which was made, is worse than none.
#[test]
fn what_never_has_room_is_an_error_and_changes_nothing() {
    let program = Program::serve(&["--max-inflight-bytes", "512KiB"]);
    let mut path = String::new();
    for number in 0..4_000 {
        path = program.file(&format!("{number:0>80}.txt"), "");
    }
    let directory = path.rsplit_once('/').expect("a directory").0;
    let before = "hello world\n".repeat(8_000);
    let edited = program.file("edited.txt", &before);
    let edits = r#""edits":[{"oldText":"hello","newText":"goodbye"}],"replaceAll":true"#;
    for (tool, arguments) in [
        ("list_directory", format!(r#""path":"{directory}""#)),
        ("list_directory_with_sizes", format!(r#""path":"{directory}""#)),
        ("directory_tree", format!(r#""path":"{directory}""#)),
        ("search_files", format!(r#""path":"{directory}","pattern":"*.txt""#)),
        ("edit_file", format!(r#""path":"{edited}",{edits}"#)),
    ] {
        let call = message("tools/call", &format!(r#""name":"{tool}","arguments":{{{arguments}}}"#));
        let (status, body) = Client::connect(program.port()).call("tools/call", Some(tool), &call);
        assert!(status == 200 && body.contains(r#""isError":true"#), "{tool}: {status} {body:.300}");
        assert!(body.contains("There is never memory for this"), "{tool}: {body:.300}");
    }
    assert_eq!(std::fs::read_to_string(&edited).expect("a file"), before, "an edit that failed was made");
}

/// Names and text that are held for an answer count as much as the answer.
#[test]
fn long_searches_at_once_stay_within_the_limit() {
    let (program, limit) = serve_within(48 * MIB);
    let name = "n".repeat(200);
    for number in 0..12_000 {
        program.file(&format!("{number:0>5}{name}"), "");
    }
    let call = message(
        "tools/call",
        &format!(r#""name":"search_files","arguments":{{"path":"{}","pattern":"*n"}}"#, program.folder()),
    );
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(program.port());
                let (status, body) = client.call("tools/call", Some("search_files"), &call);
                let is_whole = body.contains(&format!("11999{name}"));
                assert!(status == 200 && (is_whole || body.contains("memory")), "{status} {body:.300}");
            });
        }
    });
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} KiB of {}", peak / KIB, limit / KIB);
}

/// A request of which all has come but the last bytes.
#[derive(Debug, Clone, Copy)]
enum Unfinished {
    Head(usize),
    Body(usize),
    /// Whole requests that wait, and the beginning of another.
    Behind(usize),
}

impl Unfinished {
    fn bytes(self) -> Vec<u8> {
        let listen = message("subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        let text = match self {
            Self::Head(bytes) => format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(bytes)),
            Self::Body(bytes) => format!("{}{}", head(bytes + 100, ""), " ".repeat(bytes)),
            Self::Behind(bytes) => {
                format!(
                    "{}{listen}{}{}",
                    head(listen.len(), fields),
                    head(bytes + 100, ""),
                    " ".repeat(bytes)
                )
            }
        };
        text.into_bytes()
    }
}

/// Asks each path of health on a connection of its own, and for a list.
fn others_are_served(port: u16) {
    for path in ["/livez", "/readyz"] {
        let mut client = Client::connect(port);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        client.await_bytes("HTTP/1.1 200");
    }
    let mut client = Client::connect(port);
    let list = message("tools/list", r#""n":1"#);
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n";
    client.send(format!("{}{list}", head(list.len(), fields)).as_bytes());
    client.await_bytes("HTTP/1.1 200");
}

#[test]
fn messages_of_any_size_that_never_become_whole_stay_within_the_limit() {
    raise_descriptors();
    for unfinished in [
        Unfinished::Body(62_000),
        Unfinished::Body(15_000),
        Unfinished::Body(3_000),
        Unfinished::Head(15_000),
        Unfinished::Head(100),
        Unfinished::Behind(60_000),
        Unfinished::Behind(3_000),
    ] {
        let (program, limit) = serve_within(24 * MIB);
        let port = program.port();
        let request = unfinished.bytes();
        let clients: Vec<Client> = (0..1_500)
            .map(|number| {
                let mut client = Client::connect(port);
                client.send(&request);
                if number % 100 == 99 {
                    others_are_served(port);
                }
                client
            })
            .collect();
        others_are_served(port);
        let (now, peak) = resident(&program);
        assert!(peak <= limit, "{unfinished:?}: {} KiB of {}", peak / KIB, limit / KIB);
        drop(clients);
        eprintln!("{unfinished:?}: {} KiB now, {} KiB at most, of {}", now / KIB, peak / KIB, limit / KIB);
        let call = message("tools/call", r#""name":"list_allowed_directories","arguments":{}"#);
        until("calls are served again", || {
            let answer =
                Client::connect(port).try_call("tools/call", Some("list_allowed_directories"), &call);
            answer.is_some_and(|(status, body)| status == 200 && !body.contains("memory"))
        });
    }
}

#[test]
fn what_subscriptions_name_stays_within_the_limit() {
    raise_descriptors();
    let (program, limit) = serve_within(24 * MIB);
    let uris: Vec<String> = (0..200).map(|number| format!(r#""file:///{number:0>270}""#)).collect();
    let filter = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
    let mut refused = 0;
    let clients: Vec<Client> = (0..900)
        .map(|number| {
            let mut client = Client::connect(program.port());
            let uris = filter.replace("file:///0", &format!("file:///{number}"));
            let body = message("subscriptions/listen", &uris);
            let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
            client.send(format!("{}{body}", head(body.len(), fields)).as_bytes());
            refused += u32::from(client.await_bytes("HTTP/1.1 ").contains(" 503 "));
            client
        })
        .collect();
    others_are_served(program.port());
    // Another client still has sessions and subscriptions.
    for _ in 0..20 {
        let mut other = Client::connect_from([127, 0, 0, 2], program.port());
        other.open_session();
        let body =
            message("subscriptions/listen", r#""notifications":{"resourceSubscriptions":["file:///a"]}"#);
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        let mut other = Client::connect_from([127, 0, 0, 2], program.port());
        other.send(format!("{}{body}", head(body.len(), fields)).as_bytes());
        assert!(other.await_bytes("HTTP/1.1 ").contains(" 200 "), "no subscription for another client");
    }
    // What lasts leaves a half to calls.
    let call = message("tools/call", r#""name":"list_allowed_directories","arguments":{}"#);
    let answer = Client::connect(program.port()).call("tools/call", Some("list_allowed_directories"), &call);
    assert!(answer.0 == 200 && !answer.1.contains("memory"), "{answer:?}");
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} KiB of {}", peak / KIB, limit / KIB);
    assert!((1..900).contains(&refused), "{refused} are refused");
    drop(clients);
}

#[test]
fn what_is_only_announced_keeps_no_short_message_out() {
    let (program, _) = serve_within(64 * MIB);
    let port = program.port();
    let announced: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(port);
            client.send(format!("{}{{", head(10 * MIB as usize, "")).as_bytes());
            client
        })
        .collect();
    let path = program.file("written.txt", "");
    let content = "x".repeat(100 * KIB as usize);
    let write = message(
        "tools/call",
        &format!(r#""name":"write_file","arguments":{{"path":"{path}","content":"{content}"}}"#),
    );
    for _ in 0..20 {
        let (status, body) = Client::connect(port).call("tools/call", Some("write_file"), &write);
        assert_eq!(status, 200, "{body}");
    }
    drop(announced);
}

/// Announcements cost nothing and can be made anew all the time, so they keep those of no other client out.
#[test]
fn what_one_client_announces_keeps_no_message_of_another_out() {
    let (program, _) = serve_within(64 * MIB);
    let port = program.port();
    let path = program.file("written.txt", "");
    let content = "x".repeat(2 * MIB as usize);
    let write = message(
        "tools/call",
        &format!(r#""name":"write_file","arguments":{{"path":"{path}","content":"{content}"}}"#),
    );
    for _ in 0..3 {
        let announced: Vec<Client> = (0..20)
            .map(|_| {
                let mut client = Client::connect_from([127, 0, 0, 2], port);
                client.send(head(8 * MIB as usize, "expect: 100-continue\r\n").as_bytes());
                client
            })
            .collect();
        let (status, body) = Client::connect(port).call("tools/call", Some("write_file"), &write);
        assert_eq!(status, 200, "{body}");
        drop(announced);
    }
}

/// A file that is read at once where there is room waits for its turn where there is none.
#[test]
fn a_file_of_middle_size_waits_for_memory_as_a_large_one_does() {
    let (program, _) = serve_within(24 * MIB);
    let port = program.port();
    let unfinished = Unfinished::Body(60_000).bytes();
    let held: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = Client::connect(port);
            client.send(&unfinished);
            client
        })
        .collect();
    let path = program.file("middle.txt", &"line\n".repeat(12_000));
    let call = message("tools/call", &format!(r#""name":"read_text_file","arguments":{{"path":"{path}"}}"#));
    std::thread::scope(|scope| {
        let read = scope.spawn(|| Client::connect(port).call("tools/call", Some("read_text_file"), &call));
        std::thread::sleep(Duration::from_millis(500));
        drop(held);
        let (status, body) = read.join().expect("an answer");
        assert!(status == 200 && body.len() > 120_000, "{status} {body:.300}");
    });
}

/// Readers that stall held all of the memory for large messages until they timed out: half a minute in which nobody else
/// could read a large file, and again after that. One client loses nothing while it is alone.
#[test]
fn stalled_readers_of_one_client_keep_no_other_from_reading() {
    const STALLED: u64 = 24;
    const READS: u64 = 3;
    // A sign of life is no answer.
    let program = Program::serve(&["--max-inflight-bytes", "512KiB", "--sse-keep-alive-ms", "600000"]);
    let port = program.port();
    // More than sockets take.
    let request = read_request(&program, 8 * MIB as usize, Asked::Whole);
    let stalled: Vec<Client> = (0..STALLED)
        .map(|_| {
            let mut client = Client::connect_from([127, 0, 0, 2], port);
            client.send(&request);
            client
        })
        .collect();
    // There is room for few of them at once: who stalls gives it back, and the next is answered.
    let answered = || stalled.iter().filter(|client| client.has_input()).count();
    until("the beginning of each answer is there", || answered() == STALLED as usize);
    assert_eq!(program.report().traffic.connections, STALLED, "nobody lacks what they hold");
    let request = read_request(&program, MIB as usize, Asked::Whole);
    for _ in 0..READS {
        let mut other = Client::connect(port);
        other.send(&request);
        let (status, body) = other.read_answer().expect("an answer");
        assert!(status == 200 && body.len() > 2 * MIB as usize, "{status} {body:.300}");
    }
    // Others have a part that these cannot take, so that none has to end.
    assert_eq!(program.report().traffic.connections, STALLED, "some have ended");
    drop(stalled);
}

/// In the legacy era, an answer goes out after its call, over a stream of its session.
#[test]
fn stalled_readers_of_sessions_keep_no_other_client_from_sessions_and_answers() {
    const STALLED: u64 = 160;
    raise_descriptors();
    let (program, limit) = serve_within(24 * MIB);
    let port = program.port();
    let path = program.file("long.txt", &"x".repeat(8 * MIB as usize));
    let stalled: Vec<Client> = (0..STALLED)
        .map(|_| {
            let mut client = Client::connect_from([127, 0, 0, 2], port);
            let session = client.open_session();
            let arguments = format!(r#"{{"name":"read_text_file","arguments":{{"path":"{path}"}}}}"#);
            let body = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{arguments}}}"#);
            let fields = format!("mcp-session-id: {session}\r\nmcp-protocol-version: 2025-06-18\r\n");
            client.send(format!("{}{body}", head(body.len(), &fields)).as_bytes());
            client
        })
        .collect();
    let request = read_request(&program, MIB as usize, Asked::Whole);
    for _ in 0..10 {
        Client::connect(port).open_session();
        let mut other = Client::connect(port);
        other.send(&request);
        let (status, body) = other.read_answer().expect("an answer");
        assert!(status == 200 && body.len() > 2 * MIB as usize, "{status} {body:.300}");
        others_are_served(port);
    }
    assert_eq!(program.report().traffic.connections, STALLED, "some have ended");
    let (_, peak) = resident(&program);
    assert!(peak <= limit, "{} KiB of {}", peak / KIB, limit / KIB);
    drop(stalled);
}
