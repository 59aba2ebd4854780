//! What MCP over HTTP costs, beside nginx with a static body and the official Rust SDK: same driver, same run.
//!
//! ```sh
//! cargo build --release && cargo build --release -p mcpool-benches --features peers
//! target/release/http                       # everything, some minutes
//! target/release/http throughput --connections 64 --rounds 5
//! target/release/http idle burst --json
//! ```
//!
//! Throughput: connections that are kept, each asking again once it is answered; the rounds of all servers take
//! turns, so that what else the machine does falls on all alike. The column `client busy` says whether the
//! client, which has threads of its own, was the limit; CPU time of the server per million requests is free of
//! that. Linux only: memory and CPU time are read from `/proc`.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use mcpool_benches::calls::{Call, Era, exchange, open_session};
use mcpool_benches::closed_loop::{Caller, Figures, Until, histogram, run};
use mcpool_benches::contenders::{Contender, Programs, Running};
use mcpool_benches::http_client::{AnswerReader, Expected, Verdict};
use mcpool_benches::report::{Cell, Table, median, print};
use mcpool_benches::server_process::{Memory, raise_descriptors};
use std::error::Error;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MEASUREMENTS: [&str; 3] = ["throughput", "idle", "burst"];
/// Before each round: connections find their threads, pools their size.
const WARM_UP: Duration = Duration::from_millis(200);
/// Until what was freed has gone back to the system.
const SETTLE: Duration = Duration::from_secs(2);
const BURST_BODY_BYTES: usize = 1024 * 1024;
const AFTER_BURST: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let matches = command().get_matches();
    match measure(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let numbers = |name: &'static str, default: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name("N,N…").value_delimiter(',').help(help);
        arg.default_values(default.split(',').collect::<Vec<_>>()).value_parser(value_parser!(usize))
    };
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name("N").help(help);
        arg.default_value(default).value_parser(value_parser!(usize))
    };
    Command::new("http")
        .about("Measures MCP servers over HTTP")
        .arg(Arg::new("what").num_args(0..).value_parser(MEASUREMENTS).help("What to measure [default: all]"))
        .arg(numbers("connections", "1,16,64,256,1000", "Connections of the throughput"))
        .arg(number("rounds", "3", "Rounds of each row of the throughput"))
        .arg(number("milliseconds", "1000", "Length of a round"))
        .arg(number("threads", "2", "Threads of each server"))
        .arg(number("client-threads", "1", "Threads of the client"))
        .arg(numbers("idle-connections", "1000,10000", "Connections that idle"))
        .arg(number("burst-connections", "1000", "Connections of the burst"))
        .arg(Arg::new("only").long("only").help("Only servers whose name contains this text"))
        .arg(
            Arg::new("mcpool")
                .long("mcpool")
                .value_parser(value_parser!(PathBuf))
                .help("The program mcpool [default: beside this one]"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON instead of tables"))
}

/// What was asked for.
struct Options {
    programs: Programs,
    contenders: Vec<Contender>,
    client_threads: usize,
    connections: Vec<usize>,
    rounds: usize,
    measured: Duration,
    idle_connections: Vec<usize>,
    burst_connections: usize,
}

fn number(matches: &ArgMatches, name: &str) -> usize {
    matches.get_one(name).copied().unwrap_or_default()
}

fn numbers(matches: &ArgMatches, name: &str) -> Vec<usize> {
    matches.get_many(name).unwrap_or_default().copied().collect()
}

fn measure(matches: &ArgMatches) -> Result<()> {
    let only = matches.get_one::<String>("only").map_or("", String::as_str);
    let options = Options {
        programs: Programs::new(matches.get_one("mcpool").cloned(), number(matches, "threads"))?,
        contenders: Contender::ALL.into_iter().filter(|each| each.name().contains(only)).collect(),
        client_threads: number(matches, "client-threads").max(1),
        connections: numbers(matches, "connections"),
        rounds: number(matches, "rounds").max(1),
        measured: Duration::from_millis(number(matches, "milliseconds") as u64),
        idle_connections: numbers(matches, "idle-connections"),
        burst_connections: number(matches, "burst-connections"),
    };
    let chosen: Vec<&str> = matches.get_many("what").unwrap_or_default().map(String::as_str).collect();
    let is_chosen = |what| chosen.is_empty() || chosen.contains(&what);
    let descriptors = raise_descriptors();
    let needed = options.idle_connections.iter().max().copied().unwrap_or_default() + 100;
    if is_chosen("idle") && needed > descriptors {
        eprintln!("only {descriptors} descriptors are allowed: fewer connections will be idle (ulimit -n)");
    }
    let mut tables = Vec::new();
    if is_chosen("throughput") {
        tables.extend(throughput(&options)?);
    }
    if is_chosen("idle") {
        tables.push(idle(&options, descriptors - 100)?);
    }
    if is_chosen("burst") {
        tables.push(burst(&options)?);
    }
    print(&tables, matches.get_flag("json"));
    Ok(())
}

/// Starts a contender, or says on standard error why it is left out.
fn start(options: &Options, contender: Contender) -> Result<Option<Running>> {
    Ok(match options.programs.start(contender)? {
        Ok(running) => Some(running),
        Err(reason) => {
            eprintln!("skipped {}: {reason}", contender.name());
            None
        }
    })
}

/// Opens connections that will all make one call; each has a session of its own where the era has sessions.
fn open(running: &Running, call: &Call, era: Era, count: usize) -> Result<Vec<Caller>> {
    let shared: Arc<[u8]> = call.modern().into();
    let mut callers = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = Caller::connect(running.server.address())?;
        let request = match era {
            Era::Modern => Arc::clone(&shared),
            Era::Legacy => call.legacy(&open_session(&mut socket)?).into(),
        };
        callers.push(Caller { socket, request });
    }
    Ok(callers)
}

/// What a static server answers has nothing to do with what was asked.
fn expected(contender: Contender, call: &Call) -> Expected {
    if contender.is_static() { Call::Echo.expected() } else { call.expected() }
}

/// A server, what it is asked, and what the rounds have shown.
struct Case<'a> {
    contender: Contender,
    running: &'a Running,
    call: Call,
    era: Era,
    before: Option<Memory>,
    after: Memory,
    rates: Vec<f64>,
    cpu_per_million: Vec<f64>,
    figures: Vec<Figures>,
}

impl<'a> Case<'a> {
    fn new(contender: Contender, running: &'a Running, call: Call, era: Era) -> Self {
        let (rates, cpu_per_million, figures) = (Vec::new(), Vec::new(), Vec::new());
        let after = Memory::default();
        Self { contender, running, call, era, before: None, after, rates, cpu_per_million, figures }
    }

    fn round(&mut self, options: &Options, connections: usize) -> Result<()> {
        let server = &self.running.server;
        if self.before.is_none() {
            self.before = Some(server.memory()?);
        }
        let callers = open(self.running, &self.call, self.era, connections)?;
        let expected = expected(self.contender, &self.call);
        let until = Until::Over { warm_up: WARM_UP, measured: options.measured };
        let (figures, sockets) = run(server, callers, &expected, until, options.client_threads)
            .map_err(|error| format!("{}, {}: {error}", self.contender.name(), self.what()))?;
        self.after = server.memory()?;
        drop(sockets);
        self.rates.push(figures.rate());
        self.cpu_per_million.push(figures.server_cpu_per_million());
        self.figures.push(figures);
        Ok(())
    }

    fn what(&self) -> String {
        if self.contender.is_static() {
            return "a static body".to_owned();
        }
        let call = match &self.call {
            Call::Ping => "ping",
            Call::Discover => "server/discover",
            Call::ListTools => "tools/list",
            Call::Echo => "echo",
            Call::Length(_) => "length",
            Call::ReadFile { .. } => "read_text_file",
        };
        let era = match self.era {
            Era::Modern => "modern",
            Era::Legacy => "legacy, a session each",
        };
        format!("{call}, {era}")
    }

    fn row(&self, connections: usize, client_threads: usize) -> Vec<Cell> {
        let mut latency = histogram();
        for figures in &self.figures {
            latency += &figures.latency;
        }
        let micros = |quantile| Cell::Figure(latency.value_at_quantile(quantile) as f64 / 1e3, 1);
        let extreme = |pick: fn(f64, f64) -> f64| self.rates.iter().copied().reduce(pick).unwrap_or_default();
        let busy: Vec<_> = self.figures.iter().map(|figures| figures.client_load(client_threads)).collect();
        let before = self.before.unwrap_or_default();
        vec![
            (connections as u64).into(),
            self.contender.name().into(),
            self.what().as_str().into(),
            Cell::Figure(median(&self.rates), 0),
            Cell::Figure(extreme(f64::min), 0),
            Cell::Figure(extreme(f64::max), 0),
            micros(0.5),
            micros(0.99),
            micros(0.999),
            Cell::Figure(median(&self.cpu_per_million), 2),
            Cell::Figure(median(&busy) * 100.0, 0),
            before.rss_kib.into(),
            self.after.rss_kib.into(),
            self.figures.iter().map(|figures| figures.refused).sum::<u64>().into(),
        ]
    }
}

const THROUGHPUT: [&str; 14] = [
    "connections",
    "server",
    "request",
    "requests/s, median",
    "least",
    "most",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "server CPU s per million",
    "client busy %",
    "RSS before KiB",
    "RSS after KiB",
    "refused",
];

fn throughput(options: &Options) -> Result<Vec<Table>> {
    let mut servers = Vec::new();
    for contender in &options.contenders {
        servers.extend(start(options, *contender)?.map(|running| (*contender, running)));
    }
    let title = format!(
        "Throughput: {} threads a server, {} of the client, {} rounds of {:?}",
        options.programs.threads(),
        options.client_threads,
        options.rounds,
        options.measured,
    );
    let mut table = Table::new(&title, &THROUGHPUT);
    let mut ratios = Table::new(
        "Ratios: the library mcpool, echo of the modern era, to others",
        &["connections", "to", "requests/s", "requests per CPU second"],
    );
    for &connections in &options.connections {
        let mut cases: Vec<Case<'_>> = Vec::new();
        for (contender, running) in &servers {
            let calls = running.calls(*contender).into_iter();
            cases.extend(calls.map(|(call, era)| Case::new(*contender, running, call, era)));
        }
        for _ in 0..options.rounds {
            for case in &mut cases {
                case.round(options, connections)?;
            }
        }
        for case in &cases {
            table.row(case.row(connections, options.client_threads));
        }
        add_ratios(&mut ratios, &cases, connections);
    }
    Ok(vec![table, ratios])
}

fn add_ratios(ratios: &mut Table, cases: &[Case<'_>], connections: usize) {
    let echo = |contender| {
        let is_it = |case: &&Case<'_>| {
            case.contender == contender && case.call == Call::Echo && case.era == Era::Modern
        };
        cases.iter().find(is_it).map(|case| (median(&case.rates), median(&case.cpu_per_million)))
    };
    let Some((rate, cpu)) = echo(Contender::Echo) else { return };
    for other in [Contender::Rmcp, Contender::Nginx, Contender::NginxAlone] {
        if let Some((its_rate, its_cpu)) = echo(other) {
            ratios.row(vec![
                (connections as u64).into(),
                other.name().into(),
                Cell::Figure(rate / its_rate, 2),
                Cell::Figure(its_cpu / cpu, 2),
            ]);
        }
    }
}

const IDLE: [&str; 9] = [
    "connections",
    "server",
    "era",
    "RSS before KiB",
    "RSS idle KiB",
    "RSS B per connection",
    "PSS B per connection",
    "RSS closed KiB",
    "RSS B per connection left",
];

/// What connections cost that have asked once and then say nothing: each row on a fresh server.
fn idle(options: &Options, most: usize) -> Result<Table> {
    let mut table = Table::new("Idle connections, after one request each", &IDLE);
    for &wanted in &options.idle_connections {
        let connections = wanted.min(most);
        for contender in options.contenders.iter().copied().filter(|each| *each != Contender::NginxAlone) {
            let eras: &[Era] =
                if contender.is_static() { &[Era::Modern] } else { &[Era::Modern, Era::Legacy] };
            for era in eras {
                let Some(running) = start(options, contender)? else { break };
                table.row(idle_row(&running, contender, *era, connections)?);
            }
        }
    }
    Ok(table)
}

fn idle_row(running: &Running, contender: Contender, era: Era, connections: usize) -> Result<Vec<Cell>> {
    let expected = expected(contender, &Call::ListTools);
    let mut answer = AnswerReader::new(1024 * 1024);
    let mut ask = |caller: &mut Caller| -> Result<()> {
        exchange(&mut caller.socket, &caller.request, &mut answer)?;
        match expected.judge(&answer) {
            Verdict::Right => Ok(()),
            _ => {
                Err(format!("{} answered {} to an idle connection", contender.name(), answer.status()).into())
            }
        }
    };
    // What a server sets up with its first request is no cost of a connection.
    for mut caller in open(running, &Call::ListTools, era, 1)? {
        ask(&mut caller)?;
    }
    thread::sleep(SETTLE);
    let before = running.server.memory()?;
    let mut callers = open(running, &Call::ListTools, era, connections)?;
    for caller in &mut callers {
        ask(caller)?;
    }
    thread::sleep(SETTLE);
    let open = running.server.memory()?;
    drop(callers);
    thread::sleep(SETTLE);
    let closed = running.server.memory()?;
    let each = |kib: i64| Cell::Figure(kib as f64 * 1024.0 / connections as f64, 0);
    Ok(vec![
        (connections as u64).into(),
        contender.name().into(),
        if era == Era::Modern { "modern" } else { "legacy, a session each" }.into(),
        before.rss_kib.into(),
        open.rss_kib.into(),
        each((open - before).rss_kib),
        each((open - before).pss_kib),
        closed.rss_kib.into(),
        each((closed - before).rss_kib),
    ])
}

const BURST: [&str; 9] = [
    "server",
    "request",
    "answered",
    "refused",
    "seconds",
    "RSS before KiB",
    "RSS peak KiB",
    "RSS 5 s after KiB",
    "left KiB",
];

/// Bodies of a mebibyte on many connections at once: each row on a fresh server.
fn burst(options: &Options) -> Result<Table> {
    let connections = options.burst_connections;
    let title = format!("Burst: {connections} connections with a body of 1 MiB each, at once");
    let mut table = Table::new(&title, &BURST);
    for contender in options.contenders.iter().copied().filter(|each| *each != Contender::NginxAlone) {
        let Some(running) = start(options, contender)? else { continue };
        table.row(burst_row(options, &running, contender)?);
    }
    Ok(table)
}

fn burst_row(options: &Options, running: &Running, contender: Contender) -> Result<Vec<Cell>> {
    let server = &running.server;
    drop(one_answer(open(running, &Call::ListTools, Era::Modern, 1)?)?);
    // The program mcpool has no tool that takes much and does little: a list is asked for, with blanks behind it.
    let (what, call, blanks) = match contender {
        Contender::Mcpool => ("tools/list and blanks", Call::ListTools, BURST_BODY_BYTES),
        _ => ("length", Call::Length(BURST_BODY_BYTES), 0),
    };
    let body = call.body(Era::Modern) + &" ".repeat(blanks);
    let request: Arc<[u8]> = call.modern_with(&body).into();
    let mut callers = open(running, &Call::ListTools, Era::Modern, options.burst_connections)?;
    for caller in &mut callers {
        caller.request = Arc::clone(&request);
    }
    thread::sleep(SETTLE);
    let before = server.memory()?.rss_kib;
    let expected = expected(contender, &call);
    let (figures, sockets) = run(server, callers, &expected, Until::Once, options.client_threads)
        .map_err(|error| format!("{}, burst: {error}", contender.name()))?;
    let peak = server.peak_rss_kib()?;
    drop(sockets);
    thread::sleep(AFTER_BURST);
    let after = server.memory()?.rss_kib;
    Ok(vec![
        contender.name().into(),
        what.into(),
        figures.answers.into(),
        figures.refused.into(),
        Cell::Figure(figures.elapsed.as_secs_f64(), 2),
        before.into(),
        peak.into(),
        after.into(),
        (after - before).into(),
    ])
}

fn one_answer(callers: Vec<Caller>) -> Result<Vec<TcpStream>> {
    let mut answer = AnswerReader::new(1024 * 1024);
    let mut sockets = Vec::new();
    for mut caller in callers {
        exchange(&mut caller.socket, &caller.request, &mut answer)?;
        sockets.push(caller.socket);
    }
    Ok(sockets)
}
