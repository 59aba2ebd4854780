//! Commands about servers that run already: which there are, and their tools by their addresses.

use super::sockets::Serving;
use super::{Run, mcpool, run};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// A server on a Unix socket and a port, with an admin socket where `ps` finds it.
fn serve(folder: &Path) -> (Serving, String, String) {
    let socket = format!("unix:{}", folder.join("m.sock").display());
    let path = socket.trim_start_matches("unix:").to_owned();
    let arguments = ["serve", "--unix", &path, "--http", "127.0.0.1:0"];
    let served = folder.join("served");
    std::fs::create_dir(&served).expect("made");
    let mut serving = Serving::start(mcpool(&arguments).arg(served).env("XDG_RUNTIME_DIR", folder));
    let url = loop {
        let line = serving.line();
        assert!(!line.is_empty(), "it ended");
        if let Some(url) = line.strip_prefix("mcpool: listening on http") {
            break format!("http{url}");
        }
    };
    while !serving.line().contains("listening on unix:") {}
    (serving, socket, url)
}

#[test]
fn a_server_that_runs_is_named_by_its_address_and_listed_by_what_it_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let (serving, socket, url) = serve(folder.path());
    let served = folder.path().join("served").display().to_string();
    for address in [&socket, &url] {
        let tools = run(&["tools", address]);
        assert!(tools.stdout.contains("read_text_file"), "{tools:?}");
        for flag in ["--dir", "--server"] {
            let listed = run(&["call", flag, address, "list_allowed_directories"]);
            assert!(listed.stdout.contains(&served), "{listed:?}");
        }
    }
    let both = run(&["tools", &socket, &served]);
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("name it alone"), "{}", both.stderr);
    let ps = |arguments: &[&str]| -> Run {
        mcpool(arguments).env("XDG_RUNTIME_DIR", folder.path()).output().expect("runs").into()
    };
    let shown = ps(&["ps"]);
    let words = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let want = format!("filesystem in {served}, on {url}, {socket}, for this machine");
    assert!(words.contains(&want) && words.contains(&serving.id().to_string()), "{want}: {words}");
    let json: Value = serde_json::from_str(&ps(&["ps", "--json"]).stdout).expect("JSON");
    assert_eq!((&json[0]["pid"], json.as_array().map(Vec::len)), (&serving.id().into(), Some(1)));
    drop(serving);
    assert!(ps(&["ps"]).stdout.starts_with("No server of this user"), "one that was killed is none");
}

/// A server that only has an admin socket where its flag says, or one where commands look.
fn watched(folder: &Path, admin: Option<&str>) -> Serving {
    let served = folder.join("served");
    std::fs::create_dir_all(&served).expect("made");
    let mut command = mcpool(&["serve", "--http", "127.0.0.1:0"]);
    command.args(admin.map(|admin| format!("--admin={admin}"))).arg(served).env("XDG_RUNTIME_DIR", folder);
    let mut serving = Serving::start(&mut command);
    loop {
        let line = serving.line();
        assert!(!line.is_empty(), "it ended");
        if line.contains("listening on http") {
            return serving;
        }
    }
}

#[test]
fn a_plain_report_finds_the_server_however_it_was_started_and_asks_which_of_several() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = |arguments: &[&str]| -> Run {
        mcpool(arguments).env("XDG_RUNTIME_DIR", folder.path()).output().expect("runs").into()
    };
    let none = report(&["report"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("no server with an admin socket is running"), "{none:?}");
    let elsewhere = format!("unix:{}", folder.path().join("elsewhere.sock").display());
    let first = watched(folder.path(), Some(&elsewhere));
    let pid = format!("(pid {})", first.id());
    for arguments in [vec!["report"], vec!["report", &elsewhere]] {
        let found = report(&arguments);
        let words = found.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(found.code == Some(0) && words.contains(&pid), "{arguments:?}: {found:?}");
    }
    let second = watched(folder.path(), Some("127.0.0.1:0"));
    let third = watched(folder.path(), None);
    let several = report(&["report"]);
    assert_eq!(several.code, Some(2), "{several:?}");
    let served = folder.path().join("served").display().to_string();
    for server in [&first, &second, &third] {
        let socket = format!("unix:{}/mcpool/{}.sock", folder.path().display(), server.id());
        let line = several.stderr.lines().find(|line| line.contains(&socket));
        assert!(line.is_some_and(|line| line.contains(&format!("filesystem in {served}"))), "{several:?}");
        assert_eq!(report(&["report", &socket]).code, Some(0));
    }
    drop((second, third));
    // Sockets of servers that were killed are none.
    assert_eq!(report(&["doctor", "--json"]).stderr, "");
    let off = watched(folder.path(), Some("none"));
    assert_eq!(report(&["ps", "--json"]).stdout.matches("\"pid\"").count(), 1, "it has none");
    drop(off);
}

/// Each command that goes to an address says at once, and in the same words, that nobody is there.
#[test]
fn where_nobody_listens_that_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = format!("unix:{}", folder.path().join("none.sock").display());
    // A port of the system that nobody uses.
    for (address, admin, why) in [
        (socket.as_str(), socket.as_str(), "No such file or directory"),
        ("http://127.0.0.1:1/mcp", "127.0.0.1:1", "Connection refused"),
    ] {
        let commands: [&[&str]; 8] = [
            &["tools", address],
            &["tools", "--server", address],
            &["tools", "--cost", address],
            &["call", "--dir", address, "read_text_file"],
            &["lint", address],
            &["load", address, "--duration", "1s"],
            &["report", admin],
            &["doctor", admin],
        ];
        for command in commands {
            let ended = run(command);
            // Of a report, 2 says that there is none.
            let code = if ["report", "doctor"].contains(&command[0]) { 2 } else { 3 };
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{command:?}: {ended:?}");
            assert!(ended.stderr.starts_with("mcpool: cannot reach the server "), "{command:?}: {ended:?}");
            assert!(ended.stderr.contains(why) && ended.stderr.contains(admin), "{command:?}: {ended:?}");
        }
    }
    // A client may start the shim before the server: it waits, and says so.
    for address in [&socket, "http://127.0.0.1:1/mcp"] {
        let mut shim = mcpool(&["connect", "--wait", "1", address]);
        let mut shim =
            shim.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let mut input = shim.stdin.take().expect("a pipe");
        input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").expect("asked");
        let ended = Run::from(shim.wait_with_output().expect("it ends"));
        assert!(ended.stderr.contains("; waiting 1 s for it"), "{ended:?}");
        assert!(ended.stdout.contains("no server can be reached at"), "{ended:?}");
        drop(input);
    }
}

#[test]
fn media_are_written_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (picture, copy) = (folder.path().join("a.png"), folder.path().join("b.png"));
    let bytes = b"\x89PNG\r\n\x1a\n\0\0\xff";
    std::fs::write(&picture, bytes).expect("written");
    let call = |tool: &str, path: &str| {
        let dir = folder.path().display().to_string();
        run(&["call", "--dir", &dir, tool, &format!("path={path}"), "--output", &copy.display().to_string()])
    };
    let saved = call("read_media_file", &picture.display().to_string());
    assert_eq!((saved.code, saved.stdout.as_str()), (Some(0), ""), "{}", saved.stderr);
    assert_eq!(std::fs::read(&copy).expect("written"), bytes);
    assert!(saved.stderr.contains("b.png: image/png, 11 B"), "{}", saved.stderr);
    std::fs::remove_file(&copy).expect("removed");
    let failed = call("read_media_file", "/nowhere");
    assert_eq!((failed.code, copy.exists()), (Some(1), false), "{}", failed.stderr);
}
