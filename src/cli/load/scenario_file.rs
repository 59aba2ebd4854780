//! Reads the scenarios of a TOML file.
//!
//! ```toml
//! [[scenario]]
//! name = "echo"
//! target = "http://127.0.0.1:8000/mcp"      # or command = ["mcpool", "serve", "."]
//! server = ["mcpool", "serve", "--http", "127.0.0.1:8000", "."]   # started before, ended after
//! terminate = { after = "5s", within = "30s" }                    # SIGTERM while it is loaded
//! pattern = { ramp = [100, 1000] }          # constant = 500, step = [100, 500, 5], spike = [100, 1000, "2s"]
//! # or pattern = { replay = "traffic.jsonl" } and perhaps speed = 2
//! duration = "30s"
//! connections = 16
//! baseline = "saved.json"
//! [[scenario.step]]
//! call = "echo"
//! arguments = { text = "{{text 100}}" }
//! weight = 3
//! batch = 1000                              # so many as one request
//! [scenario.expect]
//! p99 = "5ms"
//! errors = "0.1%"
//! rate = "-10%"
//! ```

use super::load_test::{Terminate, Test, TestServer};
use super::replay;
use crate::cli::error::CliError;
use crate::cli::named_file::{MAX_FILE_BYTES, read_text};
use crate::cli::token_file;
use crate::client::ServerCommand;
use crate::load::{
    Era, LoadExpectation, LoadPattern, LoadPin, LoadStep, LoadTarget, LoadTestScenario, parse_duration,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    scenario: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    target: Option<String>,
    command: Option<Vec<String>>,
    server: Option<Vec<String>>,
    terminate: Option<Termination>,
    era: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    pattern: Option<Pattern>,
    speed: Option<f64>,
    duration: Option<String>,
    warm_up: Option<String>,
    time_out: Option<String>,
    settle: Option<String>,
    count: Option<u64>,
    connections: Option<usize>,
    in_flight: Option<usize>,
    #[serde(default)]
    churn: bool,
    pid: Option<u32>,
    pin: Option<String>,
    baseline: Option<PathBuf>,
    requirements: Option<String>,
    #[serde(default)]
    step: Vec<Step>,
    #[serde(default)]
    expect: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Pattern {
    Constant(f64),
    Ramp([f64; 2]),
    Step((f64, f64, u32)),
    Spike((f64, f64, String)),
    Replay(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Termination {
    after: String,
    within: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    call: Option<String>,
    method: Option<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default = "one_message")]
    batch: usize,
}

fn one_message() -> usize {
    1
}

fn one() -> u32 {
    1
}

/// The tests of a file; `target` takes the place of theirs.
pub(super) fn read(path: &Path, target: Option<&LoadTarget>) -> Result<Vec<Test>, CliError> {
    let fault = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let text = read_text(path, MAX_FILE_BYTES).map_err(|error| fault(error.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    if file.scenario.is_empty() {
        return Err(fault("there is no [[scenario]]".to_owned()));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let tests = file.scenario.into_iter().map(|entry| {
        let name = entry.name.clone();
        let read =
            test(entry, folder, target).map_err(|error| fault(format!("scenario {name:?}: {error}")))?;
        Ok(Test { file: Some(path.to_owned()), ..read })
    });
    tests.collect()
}

fn test(mut entry: Entry, folder: &Path, target: Option<&LoadTarget>) -> Result<Test, CliError> {
    let mut expectations = Vec::new();
    for (name, bound) in &entry.expect {
        let text = bound.as_str().map_or_else(|| bound.to_string(), str::to_owned);
        let expectation = LoadExpectation::parse(name, &text);
        expectations.push(expectation.map_err(|error| CliError::Usage(error.to_string()))?);
    }
    if let Some(name) = &entry.requirements {
        expectations.extend(super::requirements::expectations(name)?);
    }
    let baseline = entry.baseline.as_ref().map(|path| folder.join(path));
    let is_relative = expectations.iter().any(LoadExpectation::is_relative);
    if is_relative != baseline.is_some() {
        return Err(usage(
            "expectations beside a saved run (p95 = \"+15%\") and baseline = \"FILE\" go together",
        ));
    }
    let server = server(&mut entry)?;
    if target.is_some() && server.is_some() {
        return Err(usage("it starts a server of its own: give none besides"));
    }
    Ok(Test { scenario: scenario(entry, folder, target)?, expectations, baseline, server, file: None })
}

/// The server that the scenario starts.
fn server(entry: &mut Entry) -> Result<Option<TestServer>, CliError> {
    let Some(words) = entry.server.take() else {
        let Some(_) = entry.terminate else { return Ok(None) };
        return Err(usage("terminate goes with server = [\"PROGRAM\", ..], which is what is ended"));
    };
    if entry.command.is_some() || entry.pid.is_some() {
        return Err(usage("server = [..] goes with target = \"URL\", and with neither command nor pid"));
    }
    let terminate = match entry.terminate.take() {
        Some(Termination { after, within }) => Some(Terminate {
            after: time("after", Some(&after))?.unwrap_or_default(),
            within: time("within", Some(&within))?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Some(TestServer { command: command(words)?, terminate }))
}

fn command(words: Vec<String>) -> Result<ServerCommand, CliError> {
    let mut words = words.into_iter().map(Into::into);
    let program = words.next().ok_or_else(|| usage("a command is empty"))?;
    Ok(ServerCommand { program, arguments: words.collect() })
}

fn usage(why: &str) -> CliError {
    CliError::Usage(why.to_owned())
}

/// Reads a time that may be missing.
fn time(name: &str, text: Option<&String>) -> Result<Option<Duration>, CliError> {
    let Some(text) = text else { return Ok(None) };
    match parse_duration(text) {
        Some(time) => Ok(Some(time)),
        None => Err(CliError::Usage(format!("{name} = {text:?}: write a time with its unit, as 10s"))),
    }
}

fn pattern(pattern: Pattern) -> Result<LoadPattern, CliError> {
    Ok(match pattern {
        Pattern::Constant(rate) => LoadPattern::Constant { rate },
        Pattern::Ramp([from, to]) => LoadPattern::Ramp { from, to },
        Pattern::Step((from, to, steps)) => LoadPattern::Step { from, to, steps },
        Pattern::Spike((base, peak, lasts)) => {
            let lasts = time("spike", Some(&lasts))?.unwrap_or_default();
            LoadPattern::Spike { base, peak, lasts }
        }
        Pattern::Replay(_) => return Err(usage("a replay has no rates")),
    })
}

fn step(Step { call, method, arguments, weight, batch }: Step) -> Result<LoadStep, CliError> {
    match (call, method) {
        (Some(tool), None) => Ok(LoadStep::call(tool, arguments).weight(weight).batch(batch)),
        (None, Some(method)) => Ok(LoadStep::method(method, arguments).weight(weight).batch(batch)),
        _ => Err(usage("a step has either call = \"TOOL\" or method = \"METHOD\"")),
    }
}

/// The scenario with its pattern and its connections.
fn course(
    scenario: LoadTestScenario,
    entry: &mut Entry,
    folder: &Path,
) -> Result<LoadTestScenario, CliError> {
    let is_http = matches!(scenario.target(), LoadTarget::Http(_) | LoadTarget::UnixHttp(_));
    let (mut connections, mut in_flight) = (1, 1);
    let scenario = match entry.pattern.take() {
        Some(Pattern::Replay(_)) if entry.duration.is_some() => {
            return Err(usage("a replay ends with its trace: leave out duration"));
        }
        Some(Pattern::Replay(path)) => {
            let trace = replay::read(&folder.join(path), entry.speed)?;
            (connections, in_flight) = replay::sockets(&trace, is_http);
            scenario.replay(trace)
        }
        _ if entry.speed.is_some() => return Err(usage("speed goes with pattern = { replay = \"FILE\" }")),
        Some(course) => scenario.pattern(pattern(course)?),
        None => scenario,
    };
    let connections = entry.connections.unwrap_or(connections);
    Ok(scenario.connections(connections).in_flight(entry.in_flight.unwrap_or(in_flight)).churn(entry.churn))
}

fn scenario(
    mut entry: Entry,
    folder: &Path,
    target: Option<&LoadTarget>,
) -> Result<LoadTestScenario, CliError> {
    let target = match (target, entry.target.take(), entry.command.take()) {
        (Some(target), ..) => target.clone(),
        (None, Some(text), None) => {
            LoadTarget::parse(&text).map_err(|error| CliError::Usage(error.to_string()))?
        }
        (None, None, Some(words)) => LoadTarget::Command(command(words)?),
        _ => return Err(usage("write either target = \"URL\" or command = [\"PROGRAM\", ..]")),
    };
    if entry.count.is_some() && entry.duration.is_some() {
        return Err(usage("a test ends either by count or after its duration"));
    }
    let mut scenario = course(LoadTestScenario::new(entry.name.clone(), target), &mut entry, folder)?;
    if let Some(count) = entry.count {
        scenario = scenario.count(count).warm_up(Duration::ZERO);
    }
    if let Some(duration) = time("duration", entry.duration.as_ref())? {
        scenario = scenario.duration(duration);
    }
    if let Some(warm_up) = time("warm_up", entry.warm_up.as_ref())? {
        scenario = scenario.warm_up(warm_up);
    }
    if let Some(time_out) = time("time_out", entry.time_out.as_ref())? {
        scenario = scenario.time_out(time_out).greeting_time_out(time_out);
    }
    scenario = scenario.settle(time("settle", entry.settle.as_ref())?.unwrap_or_default());
    if let Some(pid) = entry.pid {
        scenario = scenario.pid(pid);
    }
    if let Some(text) = entry.pin {
        let pin = LoadPin::parse(&text);
        scenario = scenario.pin(pin.ok_or_else(|| usage("pin = \"GENERATOR/SERVER\", as \"1/0\""))?);
    }
    match entry.era.as_deref() {
        None => {}
        Some("modern") => scenario = scenario.era(Era::Modern),
        Some("legacy") => scenario = scenario.era(Era::Legacy),
        Some(_) => return Err(usage("era is \"modern\" or \"legacy\"")),
    }
    if let Some(path) = entry.token_file {
        scenario = scenario.bearer_token(token_file::read(&folder.join(path))?);
    }
    if let Some(path) = entry.ca_file {
        scenario = scenario.ca_file(folder.join(path));
    }
    for entry in entry.step {
        scenario = scenario.step(step(entry)?);
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_this_repository_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/load");
        let tests = read(&folder.join("read.toml"), None).expect("scenarios");
        let expectations: Vec<_> = tests.iter().map(|test| test.expectations.len()).collect();
        assert_eq!(expectations, [2, 0]);
        let files = std::fs::read_dir(folder.join("production")).expect("the folder");
        let files = files.map(|file| file.expect("a file").path());
        let scenarios = files.filter(|path| path.extension().is_some_and(|end| end == "toml"));
        let tests: Vec<_> = scenarios.map(|path| read(&path, None).expect("a scenario")).collect();
        assert!(tests.len() > 5 && tests.iter().flatten().all(|test| test.server.is_some()));
    }
}
