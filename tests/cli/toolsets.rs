//! Toolsets as the command line, the environment and the file enable them.

use super::{Run, fake_server, mcpool, run};
use std::io::Write;
use std::process::Stdio;

/// The names that `mcpool tools` lists.
fn listed(flags: &[&str], variables: &[(&str, &str)]) -> Result<Vec<String>, Run> {
    let mut command = mcpool(&["tools", "--json"]);
    let run: Run =
        command.args(flags).envs(variables.iter().copied()).output().expect("the program runs").into();
    if run.code != Some(0) {
        return Err(run);
    }
    let tools: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).expect("JSON");
    Ok(tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect())
}

#[test]
fn toolsets_are_enabled_by_name() {
    let filesystem = listed(&[], &[]).expect("tools");
    assert_eq!(filesystem.len(), 15, "{filesystem:?}");
    let time = listed(&["--tools", "time"], &[]).expect("tools, and no directory is needed");
    assert_eq!(time, ["get_current_time", "convert_time"]);
    let both = listed(&["--tools", "time,filesystem"], &[]).expect("tools");
    assert_eq!(both, [filesystem, time.clone()].concat());
    assert_eq!(listed(&[], &[("MCPOOL_TOOLS", "time")]).expect("tools"), time);
    let all = listed(&["--tools=all"], &[]).expect("tools");
    assert!(both.iter().all(|name| all.contains(name)), "{all:?}");
    assert!(!all.iter().any(|name| name == "echo"), "the exerciser is asked for by name: {all:?}");
}

#[test]
fn single_tools_are_chosen_and_named() {
    let of = |variables: &[(&str, &str)]| listed(&["--tools", "time,filesystem"], variables).expect("tools");
    assert_eq!(of(&[("MCPOOL_ONLY", "convert_time,read_file")]), ["read_file", "convert_time"]);
    let without = of(&[("MCPOOL_EXCEPT", "convert_time")]);
    assert_eq!((without.len(), without.last().map(String::as_str)), (16, Some("get_current_time")));
    let named = of(&[("MCPOOL_PREFIX", "time=clock_"), ("MCPOOL_ONLY", "clock_convert_time")]);
    assert_eq!(named, ["clock_convert_time"]);
    let called = mcpool(&["call", "clock_convert_time", "--tools=time", "time=1:30", "source_timezone=UTC"])
        .arg("target_timezone=Asia/Tokyo")
        .env("MCPOOL_PREFIX", "clock_")
        .output();
    let called: Run = called.expect("the program runs").into();
    assert!(called.stdout.contains("\"time_difference\": \"+9.0h\""), "{called:?}");
}

#[test]
fn prompts_and_resources_go_with_the_last_tool_of_their_toolset() {
    let initialize = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    for (flags, has_prompts, has_resources) in [
        (&[][..], true, true),
        (&["--except", "fetch"], false, true),
        (&["--only", "fetch"], true, false),
        (&["--only", "get_current_time"], false, false),
    ] {
        let mut serve =
            mcpool(&["serve", "--tools", "fetch,memory,time", "--memory-file-path", "/nowhere/graph"]);
        let serve = serve.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut serve = serve.expect("the program runs");
        let mut input = serve.stdin.take().expect("its input");
        input.write_all(&[initialize, &b"\n"[..]].concat()).expect("written");
        drop(input);
        let run: Run = serve.wait_with_output().expect("an end").into();
        let answer: serde_json::Value = serde_json::from_str(&run.stdout).expect("one answer");
        let capabilities = &answer["result"]["capabilities"];
        let found = (capabilities.get("prompts").is_some(), capabilities.get("resources").is_some());
        assert_eq!(found, (has_prompts, has_resources), "{flags:?}: {answer}");
    }
}

#[test]
fn what_is_not_there_is_refused_with_what_there_is() {
    for (arguments, code, want) in [
        (
            vec!["--tools", "tiem"],
            2,
            "there is no toolset \"tiem\"; did you mean \"time\"?; there are filesystem, ",
        ),
        (vec!["--tools", ""], 2, "a list of toolsets, such as filesystem,time"),
        (vec!["--tools", " ,"], 2, "a list of toolsets, such as filesystem,time"),
        (
            vec!["--tools", "time", "/tmp"],
            2,
            "/tmp are directories for the filesystem tools, which are not enabled: write --tools filesystem,time",
        ),
        (
            vec!["--tools", "time", "--only", "convert_tme"],
            2,
            "only: no enabled toolset has a tool \"convert_tme\"; did you mean \"convert_time\"?",
        ),
        (
            vec!["--tools", "time", "--except", "read_file"],
            2,
            "except: no enabled toolset has a tool \"read_file\"",
        ),
        (vec!["--tools", "time", "--prefix", "a b"], 2, "prefix \"a b\""),
        (vec!["--tools", "time", "--local-timezone", "Mars"], 1, "invalid --local-timezone \"Mars\""),
        (
            vec!["--tools", "fetch", "--proxy-url", "socks5h://p:1080"],
            2,
            "SOCKS is not supported: name a proxy that speaks HTTP, as http://HOST:PORT",
        ),
    ] {
        let run = run(&[&["serve"], &*arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(want), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn a_toolset_has_its_own_table_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mcpool.toml");
    let path = file.display().to_string();
    std::fs::write(&file, "tools = [\"time\"]\n[time]\nlocal_timezone = \"Asia/Tokyo\"\n").expect("written");
    let shown: Run = mcpool(&["tools", "--json"]).env("MCPOOL_CONFIG", &file).output().expect("runs").into();
    assert!(shown.stdout.contains("Use 'Asia/Tokyo' as local timezone"), "{shown:?}");
    let config = run(&["config", "--config", &path, "--local-timezone", "Asia/Seoul"]).stdout;
    let (_, table) = config.split_once("\n[time]\n").expect("a table");
    assert!(table.starts_with("local_timezone = \"Asia/Seoul\""), "{config}");
    for (text, want) in [
        ("local_timezone = \"UTC\"", "unknown key \"local_timezone\"; it stands in the table [time]"),
        (
            "[time]\nlocal_timezon = \"UTC\"",
            "unknown key \"time.local_timezon\"; did you mean \"local_timezone\"?",
        ),
        ("[time]\nread_only = true", "unknown key \"time.read_only\"; it stands above all tables"),
        ("[time]\nmax_sessions = 3", "unknown key \"time.max_sessions\"; it stands above all tables"),
        ("[tiem]\nx = 1", "unknown key \"tiem\"; did you mean \"time\"?"),
        ("time = 1", "unknown key \"time\""),
    ] {
        std::fs::write(&file, text).expect("written");
        let refused = run(&["config", "--config", &path]);
        assert_eq!(refused.code, Some(2), "{text}");
        assert!(refused.stderr.contains(want), "{text}: {}", refused.stderr);
    }
}

/// What the list of tools costs is told for each toolset, and adds up.
#[test]
fn the_cost_of_each_tool_is_told() {
    let shown = run(&["tools", "--cost", "--json", "--tools", "time,thinking"]);
    let cost: serde_json::Value =
        serde_json::from_str(&shown.stdout).unwrap_or_else(|e| panic!("{e}: {shown:?}"));
    let toolsets = cost["toolsets"].as_array().expect("toolsets");
    let names: Vec<_> = toolsets.iter().map(|toolset| toolset["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["time", "thinking"]);
    let bytes = |value: &serde_json::Value| value["bytes"].as_u64().expect("bytes");
    assert_eq!(bytes(&cost), toolsets.iter().map(bytes).sum::<u64>());
    // As in the list that a client of the legacy era gets, by hand: without white space.
    let text = std::fs::read_to_string("tests/fixtures/reference/sequential-thinking/tools.json")
        .expect("a recording");
    let recorded: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(bytes(&toolsets[1]), recorded[0].to_string().len() as u64);
    let table = run(&["tools", "--cost", "--tools", "time,thinking"]).stdout;
    let lines: Vec<_> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        lines[1..7],
        ["time", "get_current_time", "convert_time", "thinking", "sequentialthinking", "all"],
        "{table}"
    );
    let of_another = run(&["tools", "--cost", "--server", &fake_server("modern")]);
    assert!(of_another.stdout.contains("\nserver "), "{of_another:?}");
}

/// What the program logs when it thinks once.
fn logged(variables: &[(&str, &str)]) -> String {
    let mut command = mcpool(&["serve", "--tools", "thinking"]);
    command
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let arguments = r#"{"thought":"so be it","nextThoughtNeeded":true,"thoughtNumber":1,"totalThoughts":2}"#;
    let params = format!(r#"{{"name":"sequentialthinking","arguments":{arguments}}}"#);
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let info = r#""clientInfo":{"name":"test","version":"1"}"#;
    let params = format!(r#"{{"protocolVersion":"2025-06-18","capabilities":{{}},{info}}}"#);
    let opening = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
    let opened = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    writeln!(child.stdin.take().expect("a pipe"), "{opening}\n{opened}\n{call}").expect("written");
    let run: Run = child.wait_with_output().expect("it ends").into();
    assert!(run.stdout.contains("thoughtHistoryLength"), "{run:?}");
    assert!(!run.stdout.contains("so be it"), "{run:?}");
    run.stderr
}

#[test]
fn thoughts_are_logged_unless_that_is_turned_off() {
    let shown = logged(&[]);
    assert!(shown.contains("mcpool::thought: thought 1/2: so be it"), "{shown}");
    assert_eq!(logged(&[("DISABLE_THOUGHT_LOGGING", "True")]), "");
    let shown = logged(&[("DISABLE_THOUGHT_LOGGING", "1")]);
    assert!(shown.contains("so be it"), "only true counts, as in the reference: {shown}");
    assert_eq!(logged(&[("DISABLE_THOUGHT_LOGGING", "1"), ("MCPOOL_DISABLE_THOUGHT_LOGGING", "1")]), "");
}
