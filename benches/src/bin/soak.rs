//! Whether the memory of an MCP server over HTTP stays where it is under mixed traffic.
//!
//! ```sh
//! cargo build --release -p mcpool-benches
//! target/release/soak --minutes 10 --rate 2000
//! ```
//!
//! Starts `mcpool_echo`, from beside this program, on a folder of its own, and has `mcpool::load` ask it at a fixed rate,
//! in several load tests at once: kept connections, sessions that go on, sessions and connections that are left after a
//! call, changes that are notified. Time-outs of the server are short, so that what was abandoned goes within the run.
//! The memory is sampled each second. Fails on answers that are wrong or missing, never on timing. Clients that stall,
//! cut off or send nonsense are those of `hostile_hour` (memtests). Linux only: memory is read from `/proc`.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use mcpool::load::{
    Era, FailureKind, LoadPattern, LoadStep, LoadTarget, LoadTestReport, LoadTestScenario, LoadTestSuite,
};
use mcpool_benches::calls::{Call, SMALL_BYTES, file_text};
use mcpool_benches::report::{Cell, Table, print};
use mcpool_benches::server_process::{Memory, ServerProcess, raise_descriptors};
use mcpool_benches::trend::{Trend, settled};
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// After the traffic: longer than the longest of the time-outs below.
const SETTLE: Duration = Duration::from_secs(30);
/// What is abandoned is to go within the run, in its first fifth already if that lasts two minutes.
const LIMITS: [&str; 3] = ["session_timeout_ms=20000", "event_retention_ms=10000", "idle_timeout_ms=20000"];
/// A session that is asked less often would be too old for the time-outs.
const LEAST_RATE: f64 = 100.0;
const LARGE_BYTES: usize = 1 << 20;

fn main() -> ExitCode {
    match soak(&command().get_matches()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let number = |name: &'static str, default: &'static str| {
        Arg::new(name).long(name).value_name("N").default_value(default).value_parser(value_parser!(f64))
    };
    Command::new("soak")
        .about("Asks an MCP server over HTTP at a fixed rate and watches its memory")
        .arg(number("minutes", "10"))
        .arg(number("rate", "2000").help("Requests a second, 100 or more"))
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .default_value("2")
                .help("Threads of the server"),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .help("A limit of the server, beside the short time-outs"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON instead of tables"))
}

/// A part of the traffic.
struct Part {
    name: &'static str,
    era: Era,
    /// Whether connection and session are left after each answer.
    churns: bool,
    /// What is asked, and how often.
    steps: Vec<(u32, LoadStep)>,
}

impl Part {
    fn weight(&self) -> f64 {
        f64::from(self.steps.iter().map(|(weight, _)| weight).sum::<u32>())
    }
}

/// The traffic: what is asked, and how often beside the rest.
fn traffic(read_file: &Call) -> Vec<Part> {
    let echo = || Call::Echo(SMALL_BYTES).step();
    let call = |tool: &str, arguments: serde_json::Value| {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}});
        LoadStep::method("tools/call", params.as_object().cloned().unwrap_or_default())
    };
    let discover = LoadStep::method("server/discover", serde_json::Map::new());
    let kept = vec![
        (300, echo()),
        (60, Call::ListTools.step()),
        (40, discover),
        (120, read_file.step()),
        // More often than each 50 ms no progress is sent.
        (30, call("count", json!({"steps": 2, "interval_ms": 80}))),
        (5, call("change", json!({}))),
        (2, Call::Length(LARGE_BYTES).step()),
    ];
    let in_sessions = vec![(200, echo()), (60, Call::Ping.step()), (60, read_file.step())];
    let part = |name, era, churns, steps| Part { name, era, churns, steps };
    vec![
        part("kept connections", Era::Modern, false, kept),
        part("sessions", Era::Legacy, false, in_sessions),
        part("sessions, left after a call", Era::Legacy, true, vec![(35, echo())]),
        part("connections, left after a call", Era::Modern, true, vec![(20, echo())]),
    ]
}

/// The load tests that make it together.
fn load_tests(target: &LoadTarget, pid: u32, read_file: &Call, rate: f64) -> Vec<LoadTestScenario> {
    let traffic = traffic(read_file);
    let all: f64 = traffic.iter().map(Part::weight).sum();
    let test = |part: Part| {
        let pattern = LoadPattern::Constant { rate: rate * part.weight() / all };
        let connections = if part.churns { 32 } else { 64 };
        let scenario = LoadTestScenario::new(part.name, target.clone())
            .pid(pid)
            .era(part.era)
            .churn(part.churns)
            .connections(connections)
            .warm_up(Duration::ZERO)
            .pattern(pattern);
        part.steps.into_iter().fold(scenario, |scenario, (weight, step)| scenario.step(step.weight(weight)))
    };
    traffic.into_iter().map(test).collect()
}

/// Runs it all; true if every answer was right.
fn soak(matches: &ArgMatches) -> Result<bool> {
    let number = |name: &str, default: f64| matches.get_one(name).copied().unwrap_or(default);
    let (minutes, rate) = (number("minutes", 10.0), number("rate", 2_000.0).max(LEAST_RATE));
    raise_descriptors();
    let folder = tempfile::tempdir()?;
    let server = start(matches, folder.path())?;
    let path = folder.path().join("note.txt");
    std::fs::write(&path, file_text(SMALL_BYTES))?;
    let read_file = Call::ReadFile { path: path.display().to_string(), bytes: SMALL_BYTES };
    let target = LoadTarget::parse(&format!("http://{}/mcp", server.address()))?;
    let one = LoadTestScenario::new("one echo", target.clone()).era(Era::Modern).warm_up(Duration::ZERO);
    let one = one.count(1).step(Call::Echo(SMALL_BYTES).step());
    LoadTestSuite::new().run(&one, |_progress| ())?;
    let before = server.memory()?;
    let length = Duration::from_secs_f64(minutes * 60.0);
    let tests = load_tests(&target, server.id(), &read_file, rate);
    let (reports, samples) = run(&tests, length, &server)?;
    thread::sleep(SETTLE);
    let alive = LoadTestSuite::new().run(&one, |_progress| ())?;
    let mut tables = vec![
        requests(&reports, rate, length),
        schedule(&reports),
        memory(&samples, before, server.memory()?, &reports),
    ];
    if matches.get_flag("json") {
        tables.push(sample_table(&samples));
    }
    print(&tables, matches.get_flag("json"));
    let faults: Vec<_> = reports.iter().chain([&alive]).filter_map(fault).collect();
    for fault in &faults {
        eprintln!("soak: {fault}");
    }
    if !alive.is_flawless() {
        eprintln!("soak: after the traffic the server does not answer");
    }
    Ok(faults.is_empty() && alive.is_flawless())
}

fn start(matches: &ArgMatches, folder: &Path) -> Result<ServerProcess> {
    let program = std::env::current_exe()?.with_file_name("mcpool_echo");
    let mut command = std::process::Command::new(program);
    command.arg(matches.get_one::<String>("threads").map_or("2", String::as_str)).args(LIMITS);
    command.args(matches.get_many::<String>("limit").unwrap_or_default()).arg(folder);
    Ok(ServerProcess::start(&mut command)?)
}

type Samples = Vec<(f64, Memory)>;

/// Runs the load tests, each on a thread of its own, and samples the memory each second meanwhile.
fn run(
    tests: &[LoadTestScenario],
    length: Duration,
    server: &ServerProcess,
) -> Result<(Vec<LoadTestReport>, Samples)> {
    let (begun, mut samples) = (Instant::now(), Vec::new());
    let outcomes = thread::scope(|scope| {
        let start = |test: &LoadTestScenario| {
            let test = test.clone().duration(length);
            scope.spawn(move || LoadTestSuite::new().run(&test, |_progress| ()))
        };
        let threads: Vec<_> = tests.iter().map(start).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            if let Ok(memory) = server.memory() {
                samples.push((begun.elapsed().as_secs_f64(), memory));
            }
            thread::sleep(Duration::from_secs(1));
        }
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut reports = Vec::new();
    for outcome in outcomes {
        reports.push(outcome.map_err(|_| "a load test panicked")??);
    }
    Ok((reports, samples))
}

/// What was wrong or missing. A refusal is an answer, and a machine may be too slow for a time.
fn fault(report: &LoadTestReport) -> Option<String> {
    let is_fault = |kind| !matches!(kind, FailureKind::Refused | FailureKind::TimeOut);
    let failure = report.failures.iter().find(|failure| is_fault(failure.kind)).map(|failure| {
        let example = failure.example.as_deref().unwrap_or_default();
        format!("{}, {} times: {example:.400}", failure.kind.name(), failure.count)
    });
    let fault = failure.or_else(|| report.unexpected_example.clone()).or_else(|| report.ended_early.clone());
    fault.map(|fault| format!("{}: {fault}", report.scenario.name))
}

fn requests(reports: &[LoadTestReport], rate: f64, length: Duration) -> Table {
    let title = format!("Soak: {rate:.0} requests a second for {:.1} minutes", length.as_secs_f64() / 60.0);
    let columns = ["requests", "right", "failed", "timed out", "p50 ms", "p99 ms", "p99.9 ms", "max ms"];
    let mut table = Table::new(&title, &columns);
    for report in reports {
        for operation in &report.operations {
            let name = operation.tool.as_deref().unwrap_or(&operation.method);
            let latency = operation.latency.as_ref();
            let millis = |us: Option<f64>| Cell::Figure(us.unwrap_or_default() / 1e3, 2);
            table.row(vec![
                format!("{}: {name}", report.scenario.name).as_str().into(),
                operation.answered.into(),
                (operation.failed - operation.timed_out).into(),
                operation.timed_out.into(),
                millis(latency.map(|latency| latency.p50_us)),
                millis(latency.map(|latency| latency.p99_us)),
                millis(latency.map(|latency| latency.p999_us)),
                millis(latency.map(|latency| latency.max_us)),
            ]);
        }
    }
    table
}

fn schedule(reports: &[LoadTestReport]) -> Table {
    let columns = [
        "load test",
        "scheduled",
        "later than 1 ms",
        "never begun",
        "refused",
        "connections that broke",
        "generator's own delay, p99 ms",
        "server CPU s per million requests of all",
    ];
    let mut table = Table::new("Schedule", &columns);
    let answered: u64 = reports.iter().map(|report| report.requests.answered).sum();
    for report in reports {
        let counts = &report.requests;
        let refused = report.failures.iter().filter(|failure| failure.kind == FailureKind::Refused);
        let cpu = report.server.as_ref().and_then(|server| server.cpu_load).unwrap_or_default();
        table.row(vec![
            report.scenario.name.as_str().into(),
            counts.scheduled.into(),
            counts.late.into(),
            counts.dropped.into(),
            refused.map(|failure| failure.count).sum::<u64>().into(),
            counts.broken_connections.into(),
            Cell::Figure(report.generator.lag_p99_us / 1e3, 2),
            Cell::Figure(cpu * report.measured_ms * 1e3 / answered.max(1) as f64, 2),
        ]);
    }
    table
}

fn memory(samples: &Samples, before: Memory, after: Memory, reports: &[LoadTestReport]) -> Table {
    let columns = [
        "memory",
        "before KiB",
        "slope KiB/min, last 80 %",
        "least KiB, last 80 %",
        "most KiB, last 80 %",
        "peak KiB",
        "30 s after KiB",
    ];
    let mut table = Table::new("Memory of the server", &columns);
    let mut row = |name: &str, pick: fn(&Memory) -> i64, peak: u64| {
        let samples: Vec<_> = samples.iter().map(|(time, memory)| (*time, pick(memory) as f64)).collect();
        let Some(trend) = Trend::of(settled(&samples)) else { return };
        let most = samples.iter().map(|(_, kib)| *kib).fold(0.0, f64::max);
        table.row(vec![
            name.into(),
            pick(&before).into(),
            Cell::Figure(trend.slope_per_minute, 1),
            Cell::Figure(trend.least, 0),
            Cell::Figure(trend.most, 0),
            // The system's own high-water mark runs a little behind.
            Cell::Figure(most.max(peak as f64 / 1024.0), 0),
            pick(&after).into(),
        ]);
    };
    let peaks = reports.iter().filter_map(|report| Some(report.server.as_ref()?.rss_peak_bytes));
    row("RSS", |memory| memory.rss_kib, peaks.max().unwrap_or_default());
    row("PSS", |memory| memory.pss_kib, 0);
    table
}

fn sample_table(samples: &Samples) -> Table {
    let mut table = Table::new("Samples", &["second", "RSS KiB", "PSS KiB"]);
    for (second, memory) in samples {
        table.row(vec![Cell::Figure(*second, 1), memory.rss_kib.into(), memory.pss_kib.into()]);
    }
    table
}
