//! `mcpool capacity` as a person runs it.

use mcpool::report::meaning_of;
use serde_json::Value;
use std::process::Command;

fn capacity(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    let output = command.env_clear().arg("capacity").args(flags).output().expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

fn json(flags: &[&str]) -> Value {
    serde_json::from_str(&capacity(&[&["--json"], flags].concat()).1).expect("JSON")
}

#[test]
fn a_budget_is_enough_for_so_many_and_the_bounds_are_named() {
    let (code, said) = capacity(&["--clients", "50", "--mix", "idle", "--budget", "512MiB"]);
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["It fits ", " clients at 99 % hits. The bound is ", "the next one is ", "0.5 x", "1 x", "2 x"]
    {
        let on_one_line = said.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
        assert!(on_one_line.contains(part), "{part}: {said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let few = json(&["--clients", "50", "--mix", "idle", "--budget", "512MiB", "--max-sessions", "20"]);
    assert_eq!((&few["fits"], &few["bounds"][0]["name"]), (&Value::from(20), &Value::from("max_sessions")));
    let beyond = |row: usize| few["rows"][row]["beyond"].as_array().expect("a list").len();
    assert_eq!((beyond(0), beyond(1)), (1, 1), "25 and 50 clients are more than 20 sessions");
    let code =
        capacity(&["--clients", "50", "--mix", "idle", "--budget", "512MiB", "--max-sessions", "20"]).0;
    assert_eq!(code, Some(1));
}

#[test]
fn every_word_of_a_capacity_has_a_meaning() {
    let (_, said) = capacity(&["--clients", "50", "--mix", "idle", "--budget", "512MiB"]);
    let head = said.lines().find(|line| line.starts_with("  factor")).expect("a table");
    let words: Vec<&str> = head.split_whitespace().chain(["fits"]).collect();
    assert_eq!(words.len(), 7, "{said}");
    let unknown: Vec<_> = words.into_iter().filter(|word| meaning_of(word).is_none()).collect();
    assert_eq!(unknown, Vec::<&str>::new());
    assert!(said.ends_with("\nWhat the words mean: mcpool report --explain\n"), "{said}");
}

#[test]
fn more_memory_fits_more_clients_and_busier_ones_fit_less_often() {
    let memory = |mix: &str, budget: &str| {
        let found = json(&["--mix", mix, "--budget", budget]);
        let bounds = found["bounds"].as_array().expect("a list").clone();
        let memory = bounds.into_iter().find(|bound| bound["name"] == "memory").expect("a bound");
        memory["clients"].as_u64().expect("a number")
    };
    assert!(memory("agent", "64MiB") < memory("agent", "256MiB"));
    assert!(memory("agent", "256MiB") < memory("idle", "256MiB"));
}

#[test]
fn a_mix_is_read_from_a_file_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mix.toml");
    let run = |text: &str| {
        std::fs::write(&path, text).expect("written");
        capacity(&["--mix", path.to_str().expect("text"), "--clients", "1", "--budget", "256MiB"])
    };
    let (code, said) = run("sessions = 1\nreads = 0.5\nread_bytes = 4096\n");
    assert_eq!(code, Some(0), "{said}");
    for (text, want) in [
        ("reads = nan", "at most 1000"),
        ("reads = -1", "at most 1000"),
        ("other = 1", "unknown field"),
        ("connections = 0.0", "a client does something"),
    ] {
        let (code, said) = run(text);
        assert!(code == Some(2) && said.contains(want), "{text}: {said}");
    }
    let (code, said) = capacity(&["--mix", "/no/such/mix"]);
    assert!(code == Some(2) && said.contains("idle, editor or agent"), "{said}");
}
