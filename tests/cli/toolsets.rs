//! Toolsets as the command line, the environment and the file enable them.

use super::{Run, mcpool, run};

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
    assert_eq!(filesystem.len(), 14, "{filesystem:?}");
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
    assert_eq!((without.len(), without.last().map(String::as_str)), (15, Some("get_current_time")));
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
fn what_is_not_there_is_refused_with_what_there_is() {
    for (arguments, code, want) in [
        (
            vec!["--tools", "tiem"],
            2,
            "there is no toolset \"tiem\"; did you mean \"time\"?; there are filesystem, ",
        ),
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
        ("[tiem]\nx = 1", "unknown key \"tiem\"; did you mean \"time\"?"),
        ("time = 1", "unknown key \"time\""),
    ] {
        std::fs::write(&file, text).expect("written");
        let refused = run(&["config", "--config", &path]);
        assert_eq!(refused.code, Some(2), "{text}");
        assert!(refused.stderr.contains(want), "{text}: {}", refused.stderr);
    }
}
