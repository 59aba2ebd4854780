//! Help, version, and the settings as the program sees them.

use super::{Run, mcpool, run};
use mcpool::limits::LimitOption;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn help_and_version_go_to_stdout_and_mistakes_to_stderr() {
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), "mcpool 0.1.0\n"));
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in ["serve", "tools", "call", "config"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
    }
    let wrong = run(&["srve"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    assert!(wrong.stderr.contains("'serve'"), "{}", wrong.stderr);
}

#[test]
fn the_version_says_more_when_asked_to() {
    let verbose = run(&["--version", "--verbose"]);
    assert_eq!(verbose.code, Some(0), "{}", verbose.stderr);
    assert!(verbose.stdout.starts_with("mcpool 0.1.0\ncommit: "), "{}", verbose.stdout);
    assert!(verbose.stdout.contains("\nprotocol: 2026-07-28, "), "{}", verbose.stdout);
    let alone = run(&["--verbose"]);
    assert_eq!((alone.code, alone.stdout.as_str()), (Some(2), ""));
    assert_eq!(run(&["-V"]).stdout, "mcpool 0.1.0\n");
}

#[test]
fn shells_complete_every_setting_and_every_command_has_a_page() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{shell}");
        for option in LimitOption::ALL {
            assert!(script.stdout.contains(&option.flag()), "{shell}: {}", option.name);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let written = run(&["man", "--dir", &folder.path().join("man1").display().to_string()]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    let page = |name: &str| {
        std::fs::read_to_string(folder.path().join("man1").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let serve = page("mcpool-serve.1");
    for option in LimitOption::ALL {
        assert!(serve.contains(&option.flag().replace('-', "\\-")), "{}", option.name);
    }
    for name in ["mcpool.1", "mcpool-call.1", "mcpool-report-diff.1"] {
        assert!(page(name).contains(".TH MCPOOL"), "{name}");
    }
    assert_eq!(run(&["man", "serve"]).stdout, serve);
    let unknown = run(&["man", "srve"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("there are serve, "), "{}", unknown.stderr);
}

#[test]
fn a_configuration_to_begin_with_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = |arguments: &[&str]| -> Run {
        mcpool(arguments).env("XDG_CONFIG_HOME", folder.path()).output().expect("runs").into()
    };
    let path = folder.path().join("mcpool/mcpool.toml");
    let written = home(&["config", "--init"]);
    assert_eq!(
        (written.code, written.stdout),
        (Some(0), format!("{}\n", path.display())),
        "{}",
        written.stderr
    );
    std::fs::write(&path, "directories = [\"/\"]\ntools = \"time\"\n").expect("changed");
    let refused = home(&["config", "--init"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("--force replaces it"), "{}", refused.stderr);
    assert!(home(&["config"]).stdout.contains("\ndirectories = [\"/\"] "), "the one before is there");
    assert_eq!(home(&["config", "--init", "--force"]).code, Some(0));
    assert!(home(&["config"]).stdout.contains("\ndirectories = [] "), "the new one is there");
}

/// A server that a client starts without arguments serves what the file names, and toolsets without directories start.
#[test]
fn directories_and_tools_may_stand_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("mcpool.toml").display().to_string();
    let served = folder.path().join("served").display().to_string();
    std::fs::create_dir(&served).expect("made");
    std::fs::write(&config, format!("directories = [{served:?}]\ntools = [\"filesystem\", \"time\"]\n"))
        .expect("written");
    let ask = |arguments: &[&str], tool: &str| -> Run {
        let command =
            format!("{} serve --config {config} {}", env!("CARGO_BIN_EXE_mcpool"), arguments.join(" "));
        run(&["call", "--server", &command, tool, "--json", "{}"])
    };
    let listed = ask(&[], "list_allowed_directories");
    assert!(listed.stdout.contains(&served), "{listed:?}");
    let other = ask(&["/usr"], "list_allowed_directories");
    assert!(other.stdout.contains("/usr") && !other.stdout.contains(&served), "{other:?}");
    let time = run(&[
        "call",
        "--server",
        &format!("{} serve --config {config} --tools time", env!("CARGO_BIN_EXE_mcpool")),
        "get_current_time",
        "timezone=UTC",
    ]);
    assert_eq!(time.code, Some(0), "directories are no obstacle: {time:?}");
}

/// Options whose names alone are wider stand as they are.
#[test]
fn help_has_eighty_columns() {
    let commands = run(&["--help"]).stdout;
    let names = commands.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<&str> = names
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        for flag in ["-h", "--help"] {
            let help = run(&[name, flag]).stdout;
            let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(long.is_empty(), "{name} {flag}: {long:#?}");
        }
    }
}

#[test]
fn a_misspelt_variable_is_said() {
    let said: Run = mcpool(&["config"]).env("MCPOOL_MAX_FRAM_BYTES", "1MiB").output().expect("runs").into();
    assert_eq!(said.code, Some(0));
    assert!(said.stderr.contains("did you mean MCPOOL_MAX_FRAME_BYTES?"), "{}", said.stderr);
}

#[test]
fn every_limit_is_explained_with_its_default() {
    let help = run(&["serve", "--help"]).stdout;
    // Lines are wrapped.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for option in LimitOption::ALL {
        let default = match option.default {
            Some(default) => option.unit.show(default).to_string(),
            None => "derived".to_owned(),
        };
        assert!(help.contains(&format!("--{} ", option.flag())), "{}", option.name);
        assert!(help.contains(&format!("[default: {default}]")), "{}", option.name);
    }
    assert!(!run(&["serve", "-h"]).stdout.contains("--max-batch"), "the short help is short");
}

#[test]
fn every_other_setting_is_explained_and_the_short_help_has_what_most_need() {
    let (long, short) = (run(&["serve", "--help"]).stdout, run(&["serve", "-h"]).stdout);
    for (flag, is_common) in [
        ("--tools <NAME>", true),
        ("--only <TOOL>", true),
        ("--except <TOOL>", true),
        ("--prefix <[TOOLSET=]TEXT>", true),
        ("--repository <PATH>", false),
        ("--allow-git-programs", false),
        ("--memory-file-path <FILE>", false),
        ("--local-timezone <ZONE>", false),
        ("--disable-thought-logging", false),
        ("--user-agent <TEXT>", false),
        ("--ignore-robots-txt", false),
        ("--proxy-url <URL>", false),
        ("--allow-private-ips", false),
        ("--read-only", true),
        ("--http <ADDR:PORT>", true),
        ("--unix <PATH>", true),
        ("--stdio", true),
        ("--reuse-port", true),
        ("--tls-cert <FILE>", true),
        ("--tls-key <FILE>", true),
        ("--client-roots <MODE>", true),
        ("--compat <MODE>", true),
        ("--text-once", true),
        ("--allowed-hosts <HOST>", false),
        ("--allowed-origins <ORIGIN>", false),
        ("--cors", false),
        ("--token-file <FILE>", false),
        ("--oauth-issuer <URL>", false),
        ("--oauth-resource <URL>", false),
        ("--oauth-audience <TEXT>", false),
        ("--oauth-authorization-servers <URL>", false),
        ("--oauth-jwks <FILE|URL>", false),
        ("--oauth-scopes <SCOPE>", false),
        ("--insecure", false),
    ] {
        assert!(long.contains(flag), "{flag}\n{long}");
        assert_eq!(short.contains(flag), is_common, "{flag}\n{short}");
    }
}

#[test]
fn the_three_sources_reach_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mcpool.toml");
    let text = "max_batch = 1\nmax_blocking_threads = 2\nmax_frame_bytes = \"1MiB\"\n\
                http = [\"[::1]:1\"]\nunix = \"a.sock\"\nallowed_hosts = [\"a.example\"]\ncors = true\n";
    std::fs::write(&file, text).expect("written");
    let run: Run = mcpool(&["config", "--max-batch", "3", "--http", "[::1]:3", "--http=[::1]:4"])
        .env("MCPOOL_HTTP", "[::1]:2")
        .env("MCPOOL_UNIX", "b.sock,c.sock")
        .env("MCPOOL_CONFIG", &file)
        .env("MCPOOL_MAX_BATCH", "2")
        .env("MCPOOL_MAX_BLOCKING_THREADS", "3")
        .output()
        .expect("the program runs")
        .into();
    assert_eq!(run.code, Some(0), "{run:?}");
    let line = |name: &str| {
        let found = run.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("max_batch"), "max_batch = 3 # flag --max-batch");
    assert_eq!(line("max_blocking"), "max_blocking_threads = 3 # environment MCPOOL_MAX_BLOCKING_THREADS");
    assert_eq!(line("max_frame"), format!("max_frame_bytes = \"1MiB\" # file {}", file.display()));
    assert_eq!(line("max_reply"), "max_reply_bytes = \"64MiB\" # default");
    assert_eq!(line("http"), r#"http = ["[::1]:3", "[::1]:4"] # flag --http"#);
    assert_eq!(line("unix"), r#"unix = ["b.sock", "c.sock"] # environment MCPOOL_UNIX"#);
    assert_eq!(line("allowed_hosts"), format!("allowed_hosts = [\"a.example\"] # file {}", file.display()));
    assert_eq!(line("cors"), format!("cors = true # file {}", file.display()));
    assert_eq!(line("# token_file"), "# token_file # default: no tokens");
}

/// How a client of the legacy era begins.
const OPENING: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#,
    r#""clientInfo":{"name":"t","version":"1"}}}"#,
    "\n",
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
);

/// The limit is in the start line and in `mcpool config`, with what follows from it.
#[test]
fn what_follows_from_the_memory_limit_is_told_with_its_source() {
    let shown = run(&["config", "--memory-limit-bytes", "128MiB", "--max-task-bytes", "64MiB"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let line = |name: &str| {
        let found = shown.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(
        line("# memory ceiling: ").starts_with("# memory ceiling: 128.0 MiB (configured); "),
        "{shown:?}"
    );
    let pools = line("# pool_budget_bytes = ");
    let (value, origin) =
        pools.trim_start_matches("# pool_budget_bytes = ").split_once(" # ").expect("an origin");
    let option = LimitOption::named("pool_budget_bytes").expect("a setting");
    let bytes = option.parse(value.trim_matches('"')).expect("a size");
    // An eighth of what a process that begins with 4 to 40 MiB leaves.
    assert!((11 << 20..16 << 20).contains(&bytes), "{pools}");
    assert!(origin.starts_with("derived: an eighth of what the memory"), "{origin}");
    assert_eq!(shown.stdout.lines().find(|line| line.chars().count() > 80), None);
    assert_eq!(line("max_task_bytes = "), "max_task_bytes = \"64MiB\" # flag --max-task-bytes");
}

#[test]
fn a_limit_that_leaves_nothing_to_serve_with_stops_the_server_and_the_smallest_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    for command in ["serve", "plan", "config"] {
        let refused =
            run(&[command, "--memory-limit-bytes", "1", dir][..if command == "config" { 3 } else { 4 }]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        let said = refused.stderr.trim_end();
        assert!(
            said.starts_with("mcpool: memory_limit_bytes = 1 B is too small: the process has "),
            "{said}"
        );
        let least = said.split_once(" at its start, and ").and_then(|(_, rest)| rest.split_once(".0 MiB is"));
        let least: u64 = least.expect("the smallest limit").0.parse().expect("a number");
        if command == "serve" {
            // One more, as a process does not begin with the same pages each time.
            let limit = format!("{}MiB", least + 1);
            let mut child = mcpool(&["serve", "--memory-limit-bytes", &limit, dir])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the program runs");
            let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_allowed_directories"}}"#;
            let mut input = child.stdin.take().expect("a pipe");
            writeln!(input, "{OPENING}").expect("written");
            // Longer than it takes to look at the memory for the first time.
            writeln!(input, "{call}").expect("written");
            std::thread::sleep(Duration::from_millis(2_500));
            writeln!(input, "{call}").expect("written");
            drop(input);
            let answers = String::from_utf8(child.wait_with_output().expect("ended").stdout).expect("text");
            assert_eq!(answers.matches(dir).count(), 4, "{answers}");
            assert!(!answers.contains("error"), "{answers}");
        }
    }
}

#[test]
fn a_wrong_setting_stops_the_server_before_it_starts() {
    for (arguments, want) in [
        (
            vec!["--max-frame-bytes", "10MB"],
            "mcpool: flag --max-frame-bytes: max_frame_bytes = \"10MB\" is not a size",
        ),
        (vec!["--max-batch=-1"], "mcpool: flag --max-batch: max_batch = \"-1\" is not a whole number"),
        (
            vec!["--max-reply-bytes", "1MiB"],
            "mcpool: max_frame_bytes = 10MiB must not exceed max_reply_bytes = 1MiB",
        ),
        (
            vec!["--http", "8000"],
            "mcpool: flag --http: http must be addresses with a port, such as 127.0.0.1:8000",
        ),
        (vec!["--cors=ja"], "mcpool: flag --cors: cors must be true or false"),
        (vec!["--client-roots", "all"], "mcpool: flag --client-roots: client_roots must be replace, narrow"),
        (vec!["--compat", "node"], "mcpool: flag --compat: compat must be default or reference"),
        (vec!["--tls-key", "k.pem"], "mcpool: tls_key is set and tls_cert is not: a certificate and its key"),
        (vec!["--stdio=false"], "mcpool: nothing to serve on: give --http ADDR:PORT or --unix PATH"),
        (vec!["--config", "/nowhere"], "mcpool: cannot read the configuration /nowhere (named by --config)"),
    ] {
        let mut all = vec!["serve"];
        all.extend(arguments);
        let run = run(&all);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.stderr.starts_with(want), "{run:?}");
    }
}
