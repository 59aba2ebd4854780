//! The flags of `mcpool load`, and the scenario that they describe.

use super::load_test::Test;
use super::{mcp_json, replay, requirements, scenario_file};
use crate::cli::error::CliError;
use crate::cli::token_file;
use crate::client::ServerCommand;
use crate::load::{
    Era, LoadExpectation, LoadPattern, LoadPin, LoadStep, LoadTarget, LoadTestScenario, LoadTrace,
    parse_duration,
};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const AFTER: &str = "Examples:
  mcpool load -- npx -y @modelcontextprotocol/server-everything
  mcpool load --rate 500 --call echo --arguments '{\"message\":\"{{text 100}}\"}' \\
      http://localhost:3001/mcp
  mcpool load --connections 64 --pid 4711 --json unix:/run/user/1000/mcpool.sock
  mcpool load --scenario load.toml --json
  mcpool load --find-max --slo p99=5ms,errors=0.1% http://localhost:3001/mcp
  mcpool load --replay traffic.jsonl --speed 2 http://localhost:3001/mcp
  mcpool load compare before.json after.json

With a rate requests begin at their times, whatever the server does, and latency
counts from those times. Otherwise each connection asks again as soon as it is
answered: that shows how much a server does at most.

In the strings of --arguments, {{number 1..100}}, {{text 32}}, {{count}} and
{{pick a|b}} differ in each request.

A trace for --replay is what `mcpool serve --record-traffic FILE` wrote. Requests
begin at its times, those of one recorded connection on one connection. Where it
says only how long a text was, another of that length is sent, which many tools
refuse: --call TOOL=OBJECT gives the arguments of a tool in their place.

A scenario file:
  [[scenario]]
  name = \"reads\"
  target = \"http://127.0.0.1:8000/mcp\"  # or command = [\"mcpool\", \"serve\", \".\"]
  server = [\"mcpool\", \"serve\", \"--http\", \"127.0.0.1:8000\", \".\"]  # to start it, too
  pattern = { ramp = [100, 1000] }       # constant = 500, step = [100, 500, 5],
  duration = \"30s\"                     # spike = [100, 1000, \"2s\"], replay = \"FILE\"
  [[scenario.step]]
  call = \"read_text_file\"              # or method = \"tools/list\"
  arguments = { path = \"notes.txt\" }
  weight = 3                             # batch = 1000 to send so many as one
  [scenario.expect]
  p99 = \"5ms\"
  errors = \"0.1%\"

The memory of the generator is bounded: a request and an answer may have 64 MiB,
requests that are not taken yet 128 MiB together, answers that have come in part
256 MiB. A trace may have two million requests, 250,000 different ones and 64 MiB
of their parameters, and takes a quarter of a gibibyte at most.

Exit codes: 0 what is expected was met, or each request had its right answer, or
a rate was found that holds, 1 not, 2 wrong usage, 3 the server could not be reached or greeted, 130 ended by
Ctrl-C, which shows the report so far.";

/// How many connections and requests in flight there are where nobody says: a closed loop begins with one.
const OPEN_LOOP_SOCKETS: usize = 16;
const OPEN_LOOP_IN_FLIGHT: usize = 64;

/// A search has more of them, so that they are not what it finds, and steps of this length.
const SEARCH_SOCKETS: usize = 64;
const SEARCH_IN_FLIGHT: usize = 256;
const SEARCH_STEP: Duration = Duration::from_secs(2);
const SEARCH_TIME_OUT: Duration = Duration::from_secs(10);

/// Adds the flags of the command.
pub(in crate::cli) fn flags(load: Command) -> Command {
    let number = |name: &'static str| {
        Arg::new(name)
            .long(name.replace('_', "-"))
            .value_name("NUMBER")
            .value_parser(value_parser!(u64).range(1..))
    };
    load.subcommand(super::compare::command())
        .args_conflicts_with_subcommands(true)
        .after_help(AFTER)
        .arg(
            Arg::new("target")
                .value_name("URL|unix:PATH|unix-lines:PATH")
                .help("The server: http(s)://HOST:PORT/PATH, or a Unix socket that speaks HTTP or newline-framed messages"),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .value_parser(value_parser!(OsString))
                .conflicts_with("target")
                .help("Behind `--`: a command that serves on stdin and stdout; each connection starts it once"),
        )
        .args(sources())
        .args(steps())
        .args(patterns())
        .args(expected())
        .args(search())
        .args([
            text("duration", "TIME", "How long requests count; of each step with --find-max [default: 10s; 2s]").value_parser(time),
            number("count").conflicts_with("duration").help("End after so many requests"),
            text("warm_up", "TIME", "Time at the start that does not count [default: 1s; 0 with --count]")
                .value_parser(time),
            number("connections").help("Connections [default: 1; with a rate 16 over HTTP or with --churn]"),
            number("in_flight")
                .help("Requests in flight on each; over HTTP each takes a socket [default: 1; with a rate 64 over lines without --churn]"),
            text("time_out", "TIME", "A request without an answer fails after so long, the greeting too [default: 30s; 10s with --find-max; 1m for the greeting]")
                .value_parser(time),
            text("era", "modern|legacy", "Revision to speak: 2026-07-28, or an older one [default: what it speaks]")
                .value_parser(["modern", "legacy"]),
        ])
        .args(places())
        .args(outputs())
}

/// Where the server is seen, and what it asks for.
fn places() -> [Arg; 5] {
    [
        text("token_file", "FILE", "Send the bearer token in this file with each request")
            .value_parser(value_parser!(PathBuf)),
        text(
            "ca_file",
            "FILE",
            "Trust the certificates in this PEM file, and whom they sign for, at an https:// URL [default: public ones]",
        )
        .value_parser(value_parser!(PathBuf)),
        Arg::new("pid")
            .long("pid")
            .value_name("NUMBER")
            .value_parser(value_parser!(u32).range(1..))
            .help("Process of the server, whose memory and processor time are to be shown"),
        text(
            "settle",
            "TIME",
            "When to read the server's memory after the load [default: 5s, where it is seen]",
        )
        .value_parser(time),
        text("pin", "GENERATOR[/SERVER]", "Processors for the generator and the server, as 1/0 or 2-3/0,1")
            .value_parser(pin),
    ]
}

/// What becomes of the report.
fn outputs() -> [Arg; 5] {
    [
        text("name", "NAME", "What the test is called in its report [default: load]"),
        text("html", "FILE", "Write the report as a page with charts, too")
            .value_parser(value_parser!(PathBuf)),
        text("junit", "FILE", "Write what was expected and met as JUnit's XML, too")
            .value_parser(value_parser!(PathBuf)),
        switch("json", "Print the report as JSON"),
        switch("schema", "Print the JSON Schema of what --json prints").exclusive(true),
    ]
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name.replace('_', "-")).action(ArgAction::SetTrue).help(help)
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name.replace('_', "-")).value_name(value).help(help)
}

fn sources() -> [Arg; 3] {
    let file = |name, help| text(name, "FILE", help).value_parser(value_parser!(PathBuf));
    [
        file("mcp_json", "Take the server from this configuration of a client").requires("server"),
        text("server", "NAME", "Name of the server in --mcp-json")
            .requires("mcp_json")
            .conflicts_with_all(["target", "command"]),
        file(
            "scenario",
            "Run the scenarios of this TOML file; a server given besides takes the place of theirs",
        )
        .conflicts_with_all([
            "call",
            "method",
            "arguments",
            "batch",
            "rate",
            "ramp",
            "steps",
            "spike",
            "closed",
            "replay",
            "speed",
            "duration",
            "count",
            "warm_up",
            "connections",
            "in_flight",
            "churn",
            "expect",
            "requirements",
            "baseline",
            "name",
            "time_out",
            "era",
            "token_file",
            "ca_file",
            "pid",
            "settle",
            "pin",
        ]),
    ]
}

fn patterns() -> [Arg; 8] {
    let open = |name, value, help| text(name, value, help).group("pattern");
    [
        open("rate", "NUMBER", "Requests a second, each at its time").value_parser(rate),
        open("ramp", "FROM..TO", "A rate that rises evenly"),
        open("steps", "FROM..TO/COUNT", "A rate that rises in steps, as 100..500/5"),
        open("spike", "BASE..PEAK/TIME", "A rate with a burst at a third of the time, as 100..1000/2s"),
        switch("closed", "Ask again as soon as answered [default]").group("pattern"),
        text("replay", "FILE", "The requests of a recorded trace, each at its time")
            .group("pattern")
            .value_parser(value_parser!(PathBuf))
            .conflicts_with_all(["count", "duration", "warm_up", "churn", "method", "arguments"]),
        text("speed", "NUMBER", "Replay so many times as fast [default: 1]")
            .requires("replay")
            .value_parser(value_parser!(f64)),
        switch("churn", "Leave after each answer without a word, and open another connection and session"),
    ]
}

fn expected() -> [Arg; 3] {
    [
        text(
            "expect",
            "LIST",
            "What must hold, as p99=5ms,errors=0.1%; beside a saved run p95=+15%,rate=-10%",
        ),
        text("requirements", "production", "Requirements that must hold").value_parser(["production"]),
        text("baseline", "FILE", "Saved report (--json) that relative expectations are beside")
            .value_parser(value_parser!(PathBuf)),
    ]
}

fn search() -> [Arg; 2] {
    [
        switch("find_max", "Look for the highest rate that holds --slo, from --rate on [default: from what a closed loop shows]")
            .conflicts_with_all(["scenario", "ramp", "steps", "spike", "closed", "replay", "churn", "count", "warm_up", "expect"])
            .conflicts_with_all(["requirements", "baseline", "junit"]),
        text("slo", "LIST", "What --find-max holds, as p99=5ms,errors=0.1% [default: p99=50ms,errors=0.1%]")
            .requires("find_max"),
    ]
}

fn steps() -> [Arg; 4] {
    [
        text("call", "TOOL", "Call this tool [default: ask for what costs least]; with --replay TOOL=OBJECT, arguments in the place of the recorded ones, for several tools")
            .action(ArgAction::Append),
        text("arguments", "OBJECT", "Arguments of the tool as a JSON object, or parameters of the method"),
        text("method", "METHOD", "Ask with this method, as ping or tools/list").conflicts_with("call"),
        text("batch", "NUMBER", "Send so many of them at once, as one batch that counts as one request (revision 2025-03-26)")
            .value_parser(value_parser!(u64).range(1..=100_000))
            .conflicts_with("replay"),
    ]
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("write how many requests a second, as 500".to_owned()),
    }
}

fn pin(text: &str) -> Result<LoadPin, String> {
    LoadPin::parse(text).ok_or_else(|| "write numbers of processors, as 1/0 or 2-3/0,1".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time with its unit, as 500ms, 10s or 5m".to_owned())
}

/// The tests that the flags describe.
pub(super) fn tests(matches: &ArgMatches) -> Result<Vec<Test>, CliError> {
    let target = target(matches)?;
    if let Some(path) = matches.get_one::<PathBuf>("scenario") {
        return scenario_file::read(path, target.as_ref());
    }
    let target = target.ok_or_else(|| {
        CliError::Usage("no server was given: write a URL, unix:PATH, or a command behind `--`".to_owned())
    })?;
    let list = matches.get_one::<String>("expect").map(String::as_str).unwrap_or_default();
    let mut expectations =
        LoadExpectation::parse_list(list).map_err(|error| CliError::Usage(error.to_string()))?;
    if let Some(name) = matches.get_one::<String>("requirements") {
        expectations.extend(requirements::expectations(name)?);
    }
    let baseline = matches.get_one::<PathBuf>("baseline").cloned();
    if baseline.is_some() && !expectations.iter().any(LoadExpectation::is_relative) {
        let why = "--baseline is for what --expect says beside it, as p95=+15%";
        return Err(CliError::Usage(why.to_owned()));
    }
    Ok(vec![Test { scenario: scenario(matches, target)?, expectations, baseline, server: None, file: None }])
}

/// The rates that the flags describe; `None` for a closed loop.
fn pattern(matches: &ArgMatches) -> Result<Option<LoadPattern>, CliError> {
    let given = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    if let Some(rate) = matches.get_one::<f64>("rate") {
        return Ok(Some(LoadPattern::Constant { rate: *rate }));
    }
    let parsed = if let Some(text) = given("ramp") {
        range(text)
            .map(|(from, to)| LoadPattern::Ramp { from, to })
            .ok_or("--ramp: write FROM..TO, as 100..1000")
    } else if let Some(text) = given("steps") {
        let pattern = text.split_once('/').and_then(|(rates, steps)| {
            let ((from, to), steps) = (range(rates)?, steps.parse().ok().filter(|steps| *steps > 0)?);
            Some(LoadPattern::Step { from, to, steps })
        });
        pattern.ok_or("--steps: write FROM..TO/COUNT, as 100..500/5")
    } else if let Some(text) = given("spike") {
        let pattern = text.split_once('/').and_then(|(rates, lasts)| {
            let ((base, peak), lasts) = (range(rates)?, parse_duration(lasts)?);
            Some(LoadPattern::Spike { base, peak, lasts })
        });
        pattern.ok_or("--spike: write BASE..PEAK/TIME, as 100..1000/2s")
    } else {
        return Ok(None);
    };
    parsed.map(Some).map_err(|why| CliError::Usage(why.to_owned()))
}

/// Two rates, as `100..1000`.
fn range(text: &str) -> Option<(f64, f64)> {
    let (from, to) = text.split_once("..")?;
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
}

/// Connections where nobody says how many, and requests in flight on each.
fn sockets(pattern: Option<LoadPattern>, is_http: bool, churn: bool, is_search: bool) -> (usize, usize) {
    match pattern {
        _ if is_search && is_http => (SEARCH_SOCKETS, 1),
        _ if is_search => (1, SEARCH_IN_FLIGHT),
        Some(_) if churn => (OPEN_LOOP_SOCKETS, 1),
        Some(_) if is_http => (OPEN_LOOP_SOCKETS, 1),
        Some(_) => (1, OPEN_LOOP_IN_FLIGHT),
        None => (1, 1),
    }
}

/// The scenario that the flags describe.
fn scenario(matches: &ArgMatches, target: LoadTarget) -> Result<LoadTestScenario, CliError> {
    let is_http = matches!(target, LoadTarget::Http(_) | LoadTarget::UnixHttp(_));
    let is_seen = matches!(target, LoadTarget::Command(_)) || matches.contains_id("pid");
    let name = matches.get_one::<String>("name").map_or("load", String::as_str);
    let duration = |name: &str| matches.get_one::<Duration>(name).copied();
    let number = |name: &str| matches.get_one::<u64>(name).map(|number| *number as usize);
    let pattern = pattern(matches)?;
    let trace = trace(matches)?;
    let churn = matches.get_flag("churn");
    let is_search = matches.get_flag("find_max");
    let (connections, in_flight) = match &trace {
        Some(trace) => replay::sockets(trace, is_http),
        None => sockets(pattern, is_http, churn, is_search),
    };
    let mut scenario = LoadTestScenario::new(name, target)
        .connections(number("connections").unwrap_or(connections))
        .in_flight(number("in_flight").unwrap_or(in_flight))
        .churn(churn);
    if let Some(pattern) = pattern {
        scenario = scenario.pattern(pattern);
    }
    if let Some(count) = number("count") {
        scenario = scenario.count(count as u64).warm_up(Duration::ZERO);
    }
    if let Some(duration) = duration("duration").or(is_search.then_some(SEARCH_STEP)) {
        scenario = scenario.duration(duration);
    }
    if let Some(warm_up) = duration("warm_up") {
        scenario = scenario.warm_up(warm_up);
    }
    if let Some(time_out) = duration("time_out") {
        scenario = scenario.time_out(time_out).greeting_time_out(time_out);
    } else if is_search {
        scenario = scenario.time_out(SEARCH_TIME_OUT);
    }
    let settle = duration("settle").or_else(|| is_seen.then(|| Duration::from_secs(5)));
    scenario = scenario.settle(settle.unwrap_or_default());
    if let Some(pid) = matches.get_one::<u32>("pid") {
        scenario = scenario.pid(*pid);
    }
    if let Some(pin) = matches.get_one::<LoadPin>("pin") {
        scenario = scenario.pin(pin.clone());
    }
    if let Some(era) = matches.get_one::<String>("era") {
        scenario = scenario.era(if era == "modern" { Era::Modern } else { Era::Legacy });
    }
    if let Some(path) = matches.get_one::<PathBuf>("token_file") {
        scenario = scenario.bearer_token(token_file::read(path)?);
    }
    if let Some(path) = matches.get_one::<PathBuf>("ca_file") {
        scenario = scenario.ca_file(path);
    }
    Ok(match trace {
        Some(trace) => replaced(matches)?.into_iter().fold(scenario, LoadTestScenario::step).replay(trace),
        None => step(matches)?.into_iter().fold(scenario, LoadTestScenario::step),
    })
}

/// The trace that is to be replayed.
fn trace(matches: &ArgMatches) -> Result<Option<LoadTrace>, CliError> {
    let Some(path) = matches.get_one::<PathBuf>("replay") else { return Ok(None) };
    replay::read(path, matches.get_one::<f64>("speed").copied()).map(Some)
}

/// The calls whose arguments take the place of recorded ones.
fn replaced(matches: &ArgMatches) -> Result<Vec<LoadStep>, CliError> {
    let given = matches.get_many::<String>("call").into_iter().flatten();
    let steps = given.map(|text| {
        let (tool, arguments) = text.split_once('=').ok_or_else(|| {
            CliError::Usage(format!(
                "--call {text:?}: with --replay write TOOL=OBJECT, as read={{\"path\":\"a\"}}"
            ))
        })?;
        Ok(LoadStep::call(tool, object("--call", arguments)?))
    });
    steps.collect()
}

fn object(flag: &str, text: &str) -> Result<Map<String, Value>, CliError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(CliError::Usage(format!("{flag} {text:?}: write a JSON object"))),
    }
}

fn target(matches: &ArgMatches) -> Result<Option<LoadTarget>, CliError> {
    let mut words = matches.get_many::<OsString>("command").into_iter().flatten().cloned();
    if let Some(program) = words.next() {
        return Ok(Some(LoadTarget::Command(ServerCommand { program, arguments: words.collect() })));
    }
    if let (Some(path), Some(name)) =
        (matches.get_one::<PathBuf>("mcp_json"), matches.get_one::<String>("server"))
    {
        return mcp_json::target(path, name, matches.contains_id("token_file")).map(Some);
    }
    let text = matches.get_one::<String>("target");
    text.map(|text| LoadTarget::parse(text)).transpose().map_err(|error| CliError::Usage(error.to_string()))
}

fn step(matches: &ArgMatches) -> Result<Option<LoadStep>, CliError> {
    let arguments = match matches.get_one::<String>("arguments") {
        Some(text) => object("--arguments", text)?,
        None => Map::new(),
    };
    let name = |flag: &str| matches.get_one::<String>(flag).cloned();
    if matches.get_many::<String>("call").is_some_and(|calls| calls.len() > 1) {
        return Err(CliError::Usage("one --call is made; several go with --replay".to_owned()));
    }
    let batch = matches.get_one::<u64>("batch").map(|batch| *batch as usize);
    let whole = |step: LoadStep| Ok(Some(step.batch(batch.unwrap_or(1))));
    match (name("call"), name("method")) {
        (Some(tool), _) => whole(LoadStep::call(tool, arguments)),
        (None, Some(method)) => whole(LoadStep::method(method, arguments)),
        (None, None) if arguments.is_empty() && batch.is_some() => whole(LoadStep::method("ping", arguments)),
        (None, None) if arguments.is_empty() => Ok(None),
        (None, None) => Err(CliError::Usage("--arguments needs --call or --method".to_owned())),
    }
}
