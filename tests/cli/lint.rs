//! `mcpool lint` against this program and against others.

use super::{Run, fake_server, run};
use serde_json::Value;
use std::collections::BTreeMap;

fn json(ended: &Run) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The tools that each rule names.
fn named(lint: &Value) -> BTreeMap<&str, Vec<&str>> {
    let findings = lint["findings"].as_array().expect("findings");
    findings
        .iter()
        .map(|finding| {
            let tools = finding["tools"].as_array().expect("tools");
            let names = tools.iter().map(|tool| tool["tool"].as_str().expect("a name")).collect();
            (finding["rule"].as_str().expect("a rule"), names)
        })
        .collect()
}

/// Of the tools of a model's servers, only what is taken over from the reference word for word is refused anywhere.
#[test]
fn our_own_tools_are_taken_by_all_but_where_the_reference_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join(".git")).expect("made");
    let ended = run(&["lint", "--tools", "filesystem,fetch,memory,time,thinking", "--json", &dir]);
    let lint = json(&ended);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let mut found = named(&lint);
    // What only warns, or may: schemas of the reference name their dialect, and one description is long.
    for hint in ["schema-keyword", "long-description"] {
        found.remove(hint);
    }
    let want = BTreeMap::from([("string-format", vec!["fetch"]), ("type-list", vec!["sequentialthinking"])]);
    assert_eq!(found, want);
    let ended = run(&["lint", "--tools", "filesystem,memory,time", "--json", &dir]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(lint["tools"].as_u64().is_some_and(|tools| tools > 20), "{lint}");
}

#[test]
fn any_server_is_asked_behind_two_dashes() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().display().to_string();
    let program = env!("CARGO_BIN_EXE_mcpool");
    let ended = run(&["lint", "--json", "--", program, "serve", "--stdio", "--tools", "fetch"]);
    let lint = json(&ended);
    assert_eq!((ended.code, &lint["server"]), (Some(1), &"mcpool".into()), "{ended:?}");
    assert_eq!(named(&lint).get("string-format"), Some(&vec!["fetch"]));
    // A name that leaves no room for those of tools.
    let ended = run(&["lint", "--name", &"n".repeat(60), &dir]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("refused: ") && ended.stdout.contains("[long-name-cursor]"), "{ended:?}");
    assert!(ended.stdout.contains("https://github.com/idosal/git-mcp/issues/31"), "{ended:?}");
    let ended = run(&["lint", "--server", &fake_server("modern")]);
    assert!(matches!(ended.code, Some(0 | 1)) && ended.stdout.contains("tools of sh"), "{ended:?}");
    let both = run(&["lint", &dir, "--", program, "serve"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

/// What cannot be read is a finding, and ends neither this nor what lists or calls the tools beside it.
#[test]
fn a_list_with_what_is_no_tool_is_read_to_its_end() {
    let ended = run(&["lint", "--json", "--server", &fake_server("odd")]);
    let lint = json(&ended);
    assert_eq!((ended.code, &lint["tools"]), (Some(1), &4.into()), "{ended:?}");
    let want =
        BTreeMap::from([("duplicate-name", vec!["twice"]), ("unreadable-entry", vec!["entry 1", "flat"])]);
    assert_eq!(named(&lint), want);
    let ended = run(&["tools", "--server", &fake_server("odd")]);
    assert_eq!((ended.code, ended.stdout.matches("twice").count()), (Some(0), 2), "{ended:?}");
    assert!(
        ended.stderr.contains("what is no tool: entry 1: ") && ended.stderr.contains("(and 1 more)"),
        "{ended:?}"
    );
}

#[test]
fn the_rules_are_shown_with_their_sources_and_without_a_server() {
    let ended = run(&["lint", "--rules"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.matches("https://").count() > 25 && ended.stdout.contains("root-combinator: "));
    let wide = ended.stdout.lines().find(|line| line.chars().count() > 80 && !line.contains("https://"));
    assert_eq!(wide, None);
}
