//! `mcpool install`, `uninstall` and `clients`: each client's own file, as people and other programs leave it.

use super::{Run, mcpool, run};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Each client, its file below the home, and the ending of its fixtures.
const CLIENTS: [(&str, &str, &str); 9] = [
    ("claude-code", ".claude.json", "json"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json", "json"),
    ("cursor", ".cursor/mcp.json", "json"),
    ("vscode", ".config/Code/User/mcp.json", "json"),
    ("codex", ".codex/config.toml", "toml"),
    ("gemini", ".gemini/settings.json", "json"),
    ("windsurf", ".codeium/windsurf/mcp_config.json", "json"),
    ("zed", ".config/zed/settings.json", "json"),
    ("opencode", ".config/opencode/opencode.jsonc", "jsonc"),
];

/// A home without anything in it, and a project.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["home", "project"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = mcpool(arguments);
        // Nothing in the `PATH`, so that no client of this machine is found.
        command.env("HOME", self.home()).env("PATH", self.home().join("bin")).current_dir(self.project());
        command.output().expect("the program runs").into()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}\n{run:?}");
        run.stdout
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}\n{run:?}");
        run.stderr
    }

    fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("written");
        path
    }
}

fn fixture(name: &str, state: &str, ending: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients");
    std::fs::read_to_string(folder.join(format!("{name}.{state}.{ending}"))).expect("a fixture")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("read")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).expect("JSON")
}

fn backup_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.mcpool-backup", path.display()))
}

fn backup_number(path: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}.mcpool-backup.{number}", path.display()))
}

/// Where the program is, as it sees that itself.
fn program() -> String {
    Path::new(env!("CARGO_BIN_EXE_mcpool")).canonicalize().expect("built").display().to_string()
}

#[test]
fn the_file_of_each_client_gets_an_entry_and_is_given_back_byte_for_byte() {
    type Way = fn(String) -> String;
    let ways: [Way; 4] = [
        |text| text,
        |text| text.replace('\n', "\r\n"),
        |text| format!("\u{feff}{text}"),
        |text| format!("\u{feff}{}", text.trim_end().replace('\n', "\r\n")),
    ];
    for (name, path, ending) in CLIENTS {
        for (number, way) in ways.iter().enumerate() {
            let machine = Machine::new();
            let before = way(fixture(name, "before", ending));
            let mut after = way(fixture(name, "after", ending));
            if ending == "toml" && number == 3 {
                // An entry begins on a line of its own, and TOML is written with an end of the last line.
                after.push_str("\r\n");
            }
            let file = machine.put(path, before.as_bytes());
            let install =
                ["install", name, "--command", "mcpool", "--tools", "filesystem,git", "--read-only", "/"];
            let told = machine.succeeds(&install);
            assert!(told.contains("mcpool serve --tools filesystem,git --read-only /"), "{told}");
            assert!(told.contains(".mcpool-backup"), "{told}");
            assert_eq!(String::from_utf8_lossy(&read(&file)), after, "{name}, way {number}");
            assert_eq!(read(&backup_of(&file)), before.as_bytes(), "{name}");
            let inode = file.metadata().expect("there").ino();
            assert!(machine.succeeds(&install).starts_with("unchanged: "), "{name}");
            assert_eq!(file.metadata().expect("there").ino(), inode, "{name}: nothing is written");
            let told = machine.succeeds(&["uninstall", name]);
            assert!(told.contains("byte for byte"), "{told}");
            assert_eq!(String::from_utf8_lossy(&read(&file)), before, "{name}, way {number}");
            assert!(!backup_of(&file).exists(), "{name}");
            assert!(machine.succeeds(&["uninstall", name]).starts_with("unchanged: "), "{name}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_made_and_goes_again_and_an_empty_one_stays() {
    for (name, path, _) in CLIENTS {
        let machine = Machine::new();
        let path = path.replace(".jsonc", ".json");
        let file = machine.home().join(&path);
        let told = machine.succeeds(&["install", name, "/"]);
        assert!(!told.contains("backup"), "{told}");
        assert_eq!(file.metadata().expect("made").mode() & 0o777, 0o600, "{name}");
        assert!(
            String::from_utf8(read(&file)).expect("text").contains(&program()),
            "{name}: an absolute path"
        );
        assert!(
            machine
                .succeeds(&["clients"])
                .lines()
                .any(|line| line.starts_with(name) && line.contains(" mcpool "))
        );
        machine.succeeds(&["uninstall", name]);
        assert!(!file.exists(), "{name}");
        machine.put(&path, b"");
        machine.succeeds(&["install", name, "/"]);
        assert!(!read(&file).is_empty(), "{name}");
        machine.succeeds(&["uninstall", name]);
        assert_eq!(read(&file), b"", "{name}");
    }
}

#[test]
fn what_is_written_starts_a_server() {
    let machine = Machine::new();
    std::fs::write(machine.project().join("note with space.txt"), "what is in it").expect("written");
    machine.succeeds(&["install", "claude-code", "--scope", "project"]);
    let file = machine.project().join(".mcp.json");
    let entry = json_of(&file)["mcpServers"]["mcpool"].clone();
    assert_eq!(entry["type"], "stdio");
    let arguments = entry["args"].as_array().expect("arguments");
    let words = [&entry["command"]].into_iter().chain(arguments).map(|word| word.as_str().expect("a text"));
    let command: Vec<_> = words.map(|word| shlex::try_quote(word).expect("text").into_owned()).collect();
    let called = machine.run(&[
        "call",
        "--server",
        &command.join(" "),
        "read_text_file",
        &format!("path={}", machine.project().join("note with space.txt").display()),
    ]);
    assert_eq!((called.code, called.stdout.trim_end()), (Some(0), "what is in it"), "{called:?}");
    // A file for everybody who opens the project is as accessible as others there.
    let mode = |path: &Path| path.metadata().expect("there").mode();
    assert_eq!(mode(&file), mode(&machine.project().join("note with space.txt")));
    let listed = machine.succeeds(&["clients"]);
    assert!(
        listed.lines().any(|line| line.starts_with("claude-code") && line.ends_with("  .mcp.json (project)")),
        "{listed}"
    );
}

#[test]
fn a_broken_file_is_refused_with_its_line_and_left_alone() {
    let machine = Machine::new();
    for (name, path, text, want) in [
        ("cursor", ".cursor/mcp.json", "{\n  \"mcpServers\": {\n    \"a\" 1\n  }\n}\n", "line 3, column 9: "),
        ("codex", ".codex/config.toml", "model = \"x\"\n[mcp_servers\n", "line 2, column "),
        (
            "zed",
            ".config/zed/settings.json",
            "{\"context_servers\": []}",
            "context_servers is there, but is no table",
        ),
        ("gemini", ".gemini/settings.json", "[]", "it is JSON, but no object"),
        (
            "windsurf",
            ".codeium/windsurf/mcp_config.json",
            "{\"mcpServers\": {}, \"mcpServers\": {}}",
            "is there twice",
        ),
    ] {
        let file = machine.put(path, text.as_bytes());
        for arguments in [
            &["install", name, "/"][..],
            &["install", name, "/", "--force"],
            &["install", name, "/", "--dry-run"],
        ] {
            let told = machine.refused(arguments);
            assert!(told.contains(want) && told.contains("left as it is"), "{told}");
        }
        assert_eq!(read(&file), text.as_bytes());
        assert!(!backup_of(&file).exists());
    }
    let listed = machine.succeeds(&["clients"]);
    assert!(listed.contains("unreadable") && listed.contains("line 3, column 9"), "{listed}");
}

#[test]
fn a_link_stays_a_link_and_what_is_read_only_is_left_alone() {
    let machine = Machine::new();
    let kept = machine.put("dotfiles/cursor.json", b"{\"mcpServers\": {}}\n");
    std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    std::fs::create_dir(machine.home().join(".cursor")).expect("a folder");
    let link = machine.home().join(".cursor/mcp.json");
    symlink("../dotfiles/cursor.json", &link).expect("a link");
    let told = machine.succeeds(&["install", "cursor", "/"]);
    assert!(told.contains("~/dotfiles/cursor.json"), "the file that was changed is named: {told}");
    assert!(link.symlink_metadata().expect("a link").is_symlink());
    assert_eq!(kept.metadata().expect("there").mode() & 0o777, 0o640);
    assert_eq!(json_of(&kept)["mcpServers"]["mcpool"]["args"], json!(["serve", "/"]));

    let text = b"{\"mcpServers\": {}}\n";
    let file = machine.put(".codeium/windsurf/mcp_config.json", text);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("a mode");
    let told = machine.refused(&["install", "windsurf", "/"]);
    assert!(told.contains("is read-only: make it writable (chmod u+w)"), "{told}");
    assert_eq!(read(&file), text);
    symlink("nowhere", machine.home().join(".claude.json")).expect("a link");
    let told = machine.refused(&["install", "claude-code", "/"]);
    assert!(told.contains("is a link to a file that is not there"), "{told}");
}

#[test]
fn an_entry_of_another_program_is_not_overwritten() {
    let machine = Machine::new();
    let text = br#"{"mcpServers": {"mcpool": {"command": "node", "args": ["pool.js"]}}}"#;
    let file = machine.put(".gemini/settings.json", text);
    let told = machine.refused(&["install", "gemini", "/"]);
    assert!(told.contains("is of another program (node pool.js): give --name another name"), "{told}");
    machine.refused(&["uninstall", "gemini"]);
    assert_eq!(read(&file), text);
    machine.succeeds(&["install", "gemini", "--name", "files", "/"]);
    let servers = json_of(&file)["mcpServers"].clone();
    assert_eq!(servers["mcpool"]["command"], "node");
    assert_eq!(servers["files"]["args"], json!(["serve", "/"]));
    machine.succeeds(&["uninstall", "gemini", "--name", "files"]);
    assert_eq!(read(&file), text);
    machine.succeeds(&["install", "gemini", "--force", "/"]);
    assert_eq!(json_of(&file)["mcpServers"]["mcpool"]["args"], json!(["serve", "/"]));
    assert_eq!(read(&backup_of(&file)), text);
}

#[test]
fn what_was_changed_since_stays_and_what_remains_is_told() {
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", b"{\"note\": 1}\n");
    machine.succeeds(&["install", "cursor", "/"]);
    let text = String::from_utf8(read(&file)).expect("text").replace("\"note\": 1", "\"note\": 2");
    machine.put(".cursor/mcp.json", text.as_bytes());
    let told = machine.succeeds(&["uninstall", "cursor"]);
    assert!(told.contains("The table mcpServers stays, empty."), "{told}");
    assert_eq!(json_of(&file), json!({"note": 2, "mcpServers": {}}));
    assert_eq!(read(&backup_of(&file)), b"{\"note\": 1}\n", "the file before the first change");
    assert_eq!(read(&backup_number(&file, 1)), text.as_bytes(), "the file as it was just before");
}

#[test]
fn clients_point_at_one_server_that_is_shared() {
    let machine = Machine::new();
    let socket = machine.home().join("mcpool.sock");
    let program = program();
    let unix = format!("unix:{}", socket.display());
    let told = machine.succeeds(&["install", "zed", &format!("--shared={unix}"), "/"]);
    assert!(told.contains(&format!("mcpool serve --unix {} /", socket.display())), "{told}");
    let entry =
        json_of(&machine.home().join(".config/zed/settings.json"))["context_servers"]["mcpool"].clone();
    assert_eq!(entry, json!({"command": program, "args": ["connect", unix]}));
    let told = machine.succeeds(&["install", "cursor", "--shared"]);
    assert!(told.contains("No server listens there yet: mkdir -p "), "{told}");
    let entry = json_of(&machine.home().join(".cursor/mcp.json"))["mcpServers"]["mcpool"].clone();
    let default = format!("unix:{}", machine.home().join(".mcpool/mcpool.sock").display());
    assert_eq!(entry["args"], json!(["connect", default]));

    let url = "http://127.0.0.1:8000/mcp";
    for (name, path, pointer, want) in [
        ("claude-code", ".claude.json", "/mcpServers/mcpool", json!({"type": "http", "url": url})),
        ("vscode", ".config/Code/User/mcp.json", "/servers/mcpool", json!({"type": "http", "url": url})),
        ("gemini", ".gemini/settings.json", "/mcpServers/mcpool", json!({"httpUrl": url})),
        ("windsurf", ".codeium/windsurf/mcp_config.json", "/mcpServers/mcpool", json!({"serverUrl": url})),
        (
            "opencode",
            ".config/opencode/opencode.json",
            "/mcp/mcpool",
            json!({"type": "remote", "url": url, "enabled": true}),
        ),
        (
            "claude-desktop",
            ".config/Claude/claude_desktop_config.json",
            "/mcpServers/mcpool",
            json!({"command": program, "args": ["connect", url]}),
        ),
    ] {
        machine.succeeds(&["install", name, &format!("--shared={url}")]);
        let file = machine.home().join(path);
        assert_eq!(json_of(&file).pointer(pointer), Some(&want), "{name}");
        machine.succeeds(&["uninstall", name]);
        assert!(!file.exists(), "{name}");
    }
    let told = machine.refused(&["install", "zed", "--shared=somewhere"]);
    assert!(told.contains("write unix:PATH or http://HOST:PORT/mcp"), "{told}");
}

#[test]
fn a_dry_run_shows_a_diff_and_print_shows_the_entry_alone() {
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", b"{\n  \"mcpServers\": {}\n}\n");
    let install = ["install", "cursor", "--command", "mcpool", "/", "--dry-run"];
    let diff = machine.succeeds(&install);
    for line in ["-  \"mcpServers\": {}", "+  \"mcpServers\": {", "+      \"command\": \"mcpool\",", " }"] {
        assert!(diff.lines().any(|found| found == line), "{line}\n{diff}");
    }
    assert_eq!(read(&file), b"{\n  \"mcpServers\": {}\n}\n");
    assert!(!backup_of(&file).exists());
    machine.succeeds(&install[..5]);
    assert!(machine.succeeds(&install).starts_with("unchanged: "));
    let diff = machine.succeeds(&["uninstall", "cursor", "--dry-run"]);
    assert!(diff.lines().any(|found| found == "+  \"mcpServers\": {}"), "{diff}");
    assert_eq!(json_of(&file)["mcpServers"]["mcpool"]["command"], "mcpool");

    let printed = machine.succeeds(&["install", "codex", "--command", "npx -y mcpool", "--print", "/"]);
    assert_eq!(
        printed,
        "[mcp_servers.mcpool]\ncommand = \"npx\"\nargs = [\"-y\", \"mcpool\", \"serve\", \"/\"]\n"
    );
    assert!(!machine.home().join(".codex").exists());
}

#[test]
fn settings_of_the_server_are_checked_and_written_down() {
    let machine = Machine::new();
    machine.succeeds(&[
        "install",
        "codex",
        "--command",
        "mcpool",
        "--tools",
        "memory,time",
        "--memory-file-path",
        "graph.jsonl",
        "--local-timezone",
        "Europe/Berlin",
        "--max-frame-bytes",
        "1MiB",
    ]);
    let text = String::from_utf8(read(&machine.home().join(".codex/config.toml"))).expect("text");
    let graph = machine.project().join("graph.jsonl");
    let want = format!(
        "[\"serve\", \"--tools\", \"memory,time\", \"--memory-file-path\", \"{}\", \"--local-timezone\", \
         \"Europe/Berlin\", \"--max-frame-bytes\", \"1MiB\"]",
        graph.display()
    );
    assert!(text.contains(&want), "{text}");
    for (arguments, want) in [
        (
            &["install", "codex", "--tools", "tiem"][..],
            "there is no toolset \"tiem\"; did you mean \"time\"?",
        ),
        (&["install", "codex", "--tools", "time", "/"], "are directories for the filesystem tools"),
        (&["install", "codex", "--max-frame-bytes", "x", "/"], "--max-frame-bytes"),
        (&["install", "codex", "/not/there"], "/not/there: it cannot be served: "),
        (&["install", "codex"], "name those that the tools may work in: mcpool install codex ~/projects"),
        (
            &["install", "cursr", "/"],
            "there is no client \"cursr\"; did you mean \"cursor\"?; there are claude-code, ",
        ),
        (&["install", "codex", "--name", "a b", "/"], "--name \"a b\": write A-Z"),
        (&["install", "windsurf", "--scope", "project", "/"], "Windsurf has no file for a project"),
        (&["install", "codex", "--command", "'", "/"], "a quote or backslash is left open"),
    ] {
        let told = machine.refused(arguments);
        assert!(told.contains(want), "{arguments:?}: {told}");
    }
    let told = machine.succeeds(&["install", "cursor"]);
    assert!(told.contains("those that are open in Cursor count"), "{told}");
    // The server reads the user's own file, too: it may name directories, and other places to listen at.
    machine.put(".config/mcpool/mcpool.toml", b"directories = [\"/\"]\nhttp = [\"127.0.0.1:1\"]\n");
    machine.succeeds(&["install", "zed", "--command", "mcpool"]);
    let entry =
        json_of(&machine.home().join(".config/zed/settings.json"))["context_servers"]["mcpool"].clone();
    assert_eq!(entry["args"], json!(["serve", "--stdio", "--http=", "--unix="]));
}

/// What `serve` says when it is started with the same settings.
#[test]
fn what_serve_would_refuse_is_refused_in_its_words() {
    let machine = Machine::new();
    std::fs::write(machine.project().join("wrong.toml"), "local_timezone = \"x\"\n[time]\n")
        .expect("written");
    for settings in [
        &["--tools", "time", "--local-timezone", "Nowhere/Town"][..],
        &["--tools", "fetch", "--user-agent", "a\nb"],
        &["--tools", "fetch", "--proxy-url", "socks5://127.0.0.1:1"],
        &["--tools", "git", "--repository", "/not/there"],
        &["--only", "read_txt_file", "/"],
        &["--prefix", "a b", "/"],
        &["--memory-limit-bytes", "1KiB", "/"],
        &["--config", "not_there.toml", "/"],
        &["--config", "wrong.toml", "/"],
    ] {
        let serve = machine.run(&[&["serve"], settings].concat());
        assert!(!matches!(serve.code, None | Some(0)), "{settings:?}: {serve:?}");
        let words = serve.stderr.trim_end().strip_prefix("mcpool: ").expect("an error of the program");
        // A path is as it was given, and the limit leaves room for what the process had at its start.
        let words = words
            .split(" MiB")
            .next()
            .unwrap_or_default()
            .trim_end_matches(|c: char| c.is_numeric() || c == '.');
        for client in ["codex", "cursor"] {
            let told = machine.refused(&[&["install", client], settings].concat());
            assert!(told.contains(words), "{settings:?}: {told:?} lacks {words:?}");
        }
    }
    assert!(!machine.home().join(".codex").exists() && !machine.home().join(".cursor").exists());
    // The user's own file counts as well, and one that keeps the server from its client is overruled.
    machine.put(".config/mcpool/mcpool.toml", b"[time]\nlocal_timezone = \"Nowhere/Town\"\n");
    let told = machine.refused(&["install", "codex", "--tools", "time"]);
    assert!(told.contains("the server would not start: ") && told.contains("Nowhere/Town"), "{told}");
    machine.put(".config/mcpool/mcpool.toml", b"stdio = false\n");
    let told = machine.succeeds(&["install", "codex", "--tools", "time"]);
    assert!(told.contains(" serve --stdio --http= --unix= --tools time"), "{told}");
}

#[test]
fn folders_that_were_made_go_with_the_file_unless_something_is_in_them() {
    let machine = Machine::new();
    let folder = machine.home().join(".codeium");
    machine.succeeds(&["install", "windsurf", "/"]);
    // Where the file system keeps no attributes, folders stay.
    let is_marked = rustix::fs::getxattr(&folder, "user.mcpool.made", &mut [0_u8; 8]).is_ok();
    let told = machine.succeeds(&["uninstall", "windsurf"]);
    assert_eq!(folder.exists(), !is_marked, "{told}");
    assert_eq!(
        told.matches("So is the folder that was made for it: ~/.codeium").count(),
        2 * usize::from(is_marked)
    );
    machine.succeeds(&["install", "windsurf", "/"]);
    machine.put(".codeium/theirs", b"");
    machine.succeeds(&["uninstall", "windsurf"]);
    assert!(folder.join("theirs").exists());
    assert_eq!(folder.join("windsurf").exists(), !is_marked);
    // A folder that the client made stays, empty or not.
    std::fs::create_dir(machine.home().join(".cursor")).expect("a folder");
    machine.succeeds(&["install", "cursor", "/"]);
    machine.succeeds(&["uninstall", "cursor"]);
    assert!(machine.home().join(".cursor").exists());
}

#[test]
fn what_a_person_put_into_an_entry_is_kept_and_told_when_it_goes() {
    let machine = Machine::new();
    let file = machine.home().join(".cursor/mcp.json");
    machine.succeeds(&["install", "cursor", "/"]);
    let text = String::from_utf8(read(&file)).expect("text");
    let own = text.replacen("\"command\"", "\"disabled\": false, \"env\": {\"A\": \"b\"}, \"command\"", 1);
    std::fs::write(&file, &own).expect("written");
    machine.succeeds(&["install", "cursor", "--read-only", "/"]);
    let entry = json_of(&file)["mcpServers"]["mcpool"].clone();
    assert_eq!((&entry["disabled"], &entry["env"]["A"]), (&json!(false), &json!("b")));
    let told = machine.succeeds(&["uninstall", "cursor"]);
    assert!(told.contains("What you had put into the entry went with it: disabled, env\n"), "{told}");
    assert_eq!(json_of(&file), json!({"mcpServers": {}}));
    // The backup that it names has them.
    let named = told.lines().find_map(|line| line.split_once(" is in ")).expect("a backup").1;
    let backup = machine.home().join(named.strip_prefix("~/").expect("below the home"));
    assert_eq!(json_of(&backup)["mcpServers"]["mcpool"]["env"]["A"], "b", "{told}");
    // OpenCode wants `enabled`, which is ours unless the person switched it off.
    for (value, want) in [("true", None), ("false", Some("went with it: enabled\n"))] {
        let file = machine.put(
            ".config/opencode/opencode.jsonc",
            format!(r#"{{"x": 1, "mcp": {{"mcpool": {{"type": "local", "command": ["mcpool", "serve"], "enabled": {value}}}}}}}"#).as_bytes(),
        );
        let told = machine.succeeds(&["uninstall", "opencode"]);
        assert_eq!(told.contains("went with it"), want.is_some(), "{told}");
        assert!(told.contains(want.unwrap_or_default()), "{told}");
        std::fs::remove_file(file).expect("removed");
    }
}

#[test]
fn clients_that_are_here_are_listed() {
    let machine = Machine::new();
    assert!(machine.succeeds(&["install"]).starts_with("No client was found here. Known are claude-code, "));
    machine.put(
        ".cursor/mcp.json",
        b"{\"mcpServers\": {\"files\": {\"command\": \"/gone/mcpool\"}, \"x\": {}}}",
    );
    machine.put(".codex/config.toml", b"");
    let zed = machine.put("bin/zed", b"#!/bin/sh\n");
    std::fs::set_permissions(&zed, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let listed = machine.succeeds(&["install"]);
    let names: Vec<_> = listed.lines().skip(1).map_while(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["cursor", "codex", "zed"], "{listed}");
    assert!(
        listed.contains("cursor: the program that is named there is gone: mcpool install cursor"),
        "{listed}"
    );
    let all = machine.succeeds(&["clients"]);
    for (name, _, _) in CLIENTS {
        assert!(all.lines().any(|line| line.starts_with(name)), "{all}");
    }
    assert!(all.lines().all(|line| line.chars().count() <= 80), "{all}");
    let listed: Value = serde_json::from_str(&machine.succeeds(&["clients", "--json"])).expect("JSON");
    let listed = listed.as_array().expect("a list");
    let cursor =
        listed.iter().find(|file| file["client"] == "cursor" && file["scope"] == "user").expect("listed");
    assert_eq!(cursor["is_installed"], true);
    assert_eq!(cursor["entries"], json!([{"name": "files", "reaches": "/gone/mcpool", "is_broken": true}]));
}

#[test]
fn the_help_fits_eighty_columns() {
    for command in ["install", "uninstall", "clients"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, Some(0));
        let long: Vec<_> = help.stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{command}: {long:#?}");
        assert!(!help.stdout.contains("--max-frame-bytes"), "{}", help.stdout);
    }
    let help = run(&["install", "--help"]).stdout;
    for flag in
        ["--scope", "--shared", "--tools", "--read-only", "--name", "--command", "--dry-run", "--print"]
    {
        assert!(help.contains(flag), "{flag}\n{help}");
    }
}

/// What a client or its user does to the file between two installs, and what was in the file before the first.
#[test]
fn the_file_before_the_first_install_is_never_lost() {
    let original = b"{\n  // mine\n  \"mcpServers\": {\"f\": {\"command\": \"x\"}}\n}\n";
    for meanwhile in [Some(&b""[..]), Some(b"{}\n"), None] {
        let machine = Machine::new();
        let file = machine.put(".cursor/mcp.json", original);
        machine.succeeds(&["install", "cursor", "/"]);
        match meanwhile {
            Some(bytes) => std::fs::write(&file, bytes).expect("written"),
            None => std::fs::remove_file(&file).expect("removed"),
        }
        machine.succeeds(&["install", "cursor", "/"]);
        assert_eq!(read(&backup_of(&file)), original, "{meanwhile:?}");
        machine.succeeds(&["uninstall", "cursor"]);
        assert_eq!(std::fs::read(&file).ok().as_deref(), meanwhile, "as before the second install");
        assert_eq!(read(&backup_of(&file)), original, "{meanwhile:?}");
    }
    // A client writes the file without its comments.
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", original);
    machine.succeeds(&["install", "cursor", "/"]);
    let bare = serde_json::to_vec(&json!({"mcpServers": {
        "f": {"command": "x"}, "mcpool": {"command": program(), "args": ["serve", "/"]}
    }}));
    std::fs::write(&file, bare.expect("JSON")).expect("written");
    machine.succeeds(&["uninstall", "cursor"]);
    assert_eq!(json_of(&file), json!({"mcpServers": {"f": {"command": "x"}}}));
    assert_eq!(read(&backup_of(&file)), original);
}

#[test]
fn a_file_of_the_user_with_the_name_of_a_backup_stays() {
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", b"{\"a\": 1}\n");
    std::fs::write(backup_of(&file), "theirs").expect("written");
    let told = machine.succeeds(&["install", "cursor", "/"]);
    assert!(told.contains(".mcpool-backup.1"), "{told}");
    machine.succeeds(&["uninstall", "cursor"]);
    assert_eq!(read(&file), b"{\"a\": 1}\n");
    assert_eq!(read(&backup_of(&file)), b"theirs");
    assert!(!backup_number(&file, 1).exists());
}

#[test]
fn an_entry_that_was_overwritten_comes_back_or_is_told_of() {
    let theirs = br#"{"mcpServers":{"mcpool":{"command":"other","args":["a"],"env":{"SECRET":"1"}}}}"#;
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", theirs);
    machine.succeeds(&["install", "cursor", "--force", "/"]);
    machine.succeeds(&["install", "cursor", "--read-only", "/"]);
    let told = machine.succeeds(&["uninstall", "cursor"]);
    assert!(told.contains("byte for byte"), "{told}");
    assert_eq!(read(&file), theirs);
    machine.succeeds(&["install", "cursor", "--force", "/"]);
    let text = String::from_utf8(read(&file)).expect("text").replacen('{', "{\"note\": 2,", 1);
    std::fs::write(&file, text).expect("written");
    let told = machine.succeeds(&["uninstall", "cursor"]);
    assert!(told.contains("An earlier entry mcpool, with what you had in it, is in "), "{told}");
    assert_eq!(read(&backup_of(&file)), theirs);

    let own = br#"{"mcpServers":{"mcpool":{"command":"/usr/bin/mcpool","args":["serve","/a"],"env":{"SECRET":"1"},"disabled":true}}}"#;
    let file = machine.put(".codeium/windsurf/mcp_config.json", own);
    machine.succeeds(&["install", "windsurf", "/"]);
    assert_eq!(json_of(&file)["mcpServers"]["mcpool"]["env"]["SECRET"], "1");
    let told = machine.succeeds(&["uninstall", "windsurf"]);
    assert!(told.contains("An earlier entry mcpool"), "{told}");
    assert_eq!(read(&backup_of(&file)), own);
}

#[test]
fn runs_at_the_same_time_lose_nothing() {
    let original = b"{\n  // mine\n  \"mcpServers\": {\"f\": {\"command\": \"x\"}}\n}\n";
    let all_at_once = |machine: &Machine, verb: &str| {
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let name = format!("--name=n_{number}");
                    let dirs = if verb == "install" { &["/"][..] } else { &[] };
                    machine.succeeds(&[&[verb, "cursor", &name], dirs].concat());
                });
            }
        });
    };
    for before in [Some(&original[..]), None] {
        let machine = Machine::new();
        let file = machine.home().join(".cursor/mcp.json");
        if let Some(bytes) = before {
            machine.put(".cursor/mcp.json", bytes);
        }
        all_at_once(&machine, "install");
        let servers = String::from_utf8(read(&file)).expect("text");
        for number in 0..8 {
            assert_eq!(servers.matches(&format!("\"n_{number}\":")).count(), 1, "{servers}");
        }
        assert_eq!(std::fs::read(backup_of(&file)).ok().as_deref(), before);
        all_at_once(&machine, "uninstall");
        assert_eq!(std::fs::read(&file).ok().as_deref(), before);
        let folder = file.parent().expect("a folder");
        let left = std::fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!(left, usize::from(before.is_some()), "nothing else is left");
    }
}

#[test]
fn members_for_the_other_way_go_and_are_named() {
    let machine = Machine::new();
    let file = machine.put(
        ".codex/config.toml",
        b"[mcp_servers.mcpool]\ncommand = \"mcpool\"\nargs = [\"serve\"]\ncwd = \"/x\"\nenv = { A = \"b\" }\nstartup_timeout_sec = 5\n",
    );
    let told = machine.succeeds(&["install", "codex", "--shared=http://127.0.0.1:8000/mcp"]);
    assert!(told.contains("Gone from the entry, as it reaches its server otherwise now: cwd, env"), "{told}");
    let text = String::from_utf8(read(&file)).expect("text");
    assert_eq!(text, "[mcp_servers.mcpool]\nstartup_timeout_sec = 5\nurl = \"http://127.0.0.1:8000/mcp\"\n");
    let file = machine.put(
        ".claude.json",
        br#"{"mcpServers": {"mcpool": {"type": "http", "url": "http://127.0.0.1:8000/mcp", "headers": {"A": "b"}, "timeout": 5}}}"#,
    );
    let told = machine.succeeds(&["install", "claude-code", "--command", "mcpool", "/"]);
    assert!(told.contains("otherwise now: headers"), "{told}");
    let want = json!({"type": "stdio", "command": "mcpool", "args": ["serve", "/"], "timeout": 5});
    assert_eq!(json_of(&file)["mcpServers"]["mcpool"], want);
}

#[test]
fn what_was_written_is_known_again_and_other_texts_are_refused() {
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", b"{\"a\": 1}\n");
    for command in ["/opt/wrap run", "docker run -i mcpool", "/opt/mcpool-0.2.0"] {
        machine.succeeds(&["install", "cursor", "--command", command, "/"]);
        machine.succeeds(&["install", "cursor", "--command", command, "--read-only", "/"]);
        machine.succeeds(&["uninstall", "cursor"]);
        assert_eq!(read(&file), b"{\"a\": 1}\n", "{command}");
    }
    std::fs::create_dir_all(machine.project().join("${HOME}/{env:A}")).expect("a folder");
    let long = format!("--name={}", "x".repeat(65));
    for (arguments, want) in [
        (&["install", "cursor", "${HOME}"][..], "Cursor reads ${ in its file as a variable"),
        (&["install", "gemini", "${HOME}"], "Gemini CLI reads $ in its file as a variable"),
        (&["install", "opencode", "${HOME}/{env:A}"], "OpenCode reads {env: in its file as a variable"),
        (&["install", "cursor", "--name=__proto__", "/"], "write A-Z"),
        (&["install", "cursor", &long, "/"], "at most 64"),
        (&["install", "cursor", "--shared=http://a b/"], "write unix:PATH"),
    ] {
        let told = machine.refused(arguments);
        assert!(told.contains(want), "{arguments:?}: {told}");
    }
    assert!(machine.succeeds(&["install", "codex", "${HOME}"]).contains("${HOME}"));
    for text in ["{\"mcpServers\": {\"mcpool\": {\"command\": \"mcpool\"}}, \"mcpServers\": {}}", "null"] {
        std::fs::write(&file, text).expect("written");
        for arguments in [&["install", "cursor", "/"][..], &["uninstall", "cursor"]] {
            let told = machine.refused(arguments);
            assert!(told.contains("left as it is"), "{told}");
        }
        assert_eq!(read(&file), text.as_bytes());
    }
    let told = machine.succeeds(&["install", "zed", "--shared", "--read-only", "/"]);
    assert!(told.contains("not in the entry is --read-only /"), "{told}");
    let printed = machine.run(&["install", "zed", "--shared", "--read-only", "--print", "/"]);
    assert!(printed.stderr.contains("not in the entry is --read-only /"), "{printed:?}");
}

#[test]
fn a_limit_of_the_file_size_leaves_the_file() {
    let machine = Machine::new();
    let file = machine.put(".cursor/mcp.json", b"{\"a\": 1}\n");
    let script = format!("ulimit -f 0; exec '{}' install cursor /", program());
    let mut limited = std::process::Command::new("/bin/sh");
    limited.args(["-c", &script]).env("HOME", machine.home()).env_remove("XDG_CONFIG_HOME");
    let output = limited.current_dir(machine.project()).output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("cannot be written: "), "{told}");
    assert_eq!(read(&file), b"{\"a\": 1}\n");
    let left = std::fs::read_dir(file.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(left, 1);
}
