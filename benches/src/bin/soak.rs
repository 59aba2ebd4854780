//! Whether the memory of an MCP server over HTTP stays where it is under mixed traffic, friendly and hostile.
//!
//! ```sh
//! cargo build --release -p mcpool-benches
//! target/release/soak --minutes 10 --rate 2000
//! ```
//!
//! Starts `mcpool_echo`, from beside this program, on a folder of its own, and asks at a fixed rate: each action has
//! its time, whether the one before has ended or not, and latency counts from that time, so that a server that
//! stands still is not asked less (no coordinated omission). What could not begin in time is reported as late.
//! Time-outs of the server are short, so that what was abandoned goes within the run. The memory is sampled each
//! second. Fails on answers that are wrong or missing, never on timing. Linux only: memory is read from `/proc`.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hdrhistogram::Histogram;
use mcpool_benches::calls::{Call, SMALL_BYTES, file_text};
use mcpool_benches::figures::histogram;
use mcpool_benches::mix::{Action, Random};
use mcpool_benches::report::{Cell, Table, print};
use mcpool_benches::server_process::{Memory, ServerProcess, raise_descriptors};
use mcpool_benches::soak_client::{Fault, SoakClient};
use mcpool_benches::trend::{Trend, settled};
use std::cell::RefCell;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Actions under way at once; stalled ones count.
const MAX_UNDER_WAY: u32 = 2_000;
/// Longest time for one action.
const PATIENCE: Duration = Duration::from_secs(30);
/// From here on an action counts as late.
const LATE: Duration = Duration::from_millis(10);
/// After the traffic: longer than the longest of the time-outs below.
const SETTLE: Duration = Duration::from_secs(30);
/// What is abandoned is to go within the run, in its first fifth already if that lasts two minutes.
const LIMITS: [&str; 6] = [
    "session_timeout_ms=20000",
    "event_retention_ms=10000",
    "idle_timeout_ms=20000",
    "header_timeout_ms=5000",
    "body_timeout_ms=5000",
    "write_timeout_ms=5000",
];
/// Texts of wrong answers that are shown.
const SHOWN: usize = 10;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(Into::into).and_then(|runtime| LocalSet::new().block_on(&runtime, soak(&matches)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    Command::new("soak")
        .about("Asks an MCP server over HTTP at a fixed rate and watches its memory")
        .arg(
            Arg::new("minutes")
                .long("minutes")
                .value_name("N")
                .default_value("10")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_name("N")
                .default_value("2000")
                .value_parser(value_parser!(f64))
                .help("Actions a second"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .default_value("2")
                .help("Threads of the server"),
        )
        .arg(
            Arg::new("seed").long("seed").value_name("N").default_value("1").value_parser(value_parser!(u64)),
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

/// What has come of the actions of one kind.
#[derive(Debug, Clone)]
struct Tally {
    right: u64,
    refused: u64,
    broken: u64,
    wrong: u64,
    timed_out: u64,
    latency: Histogram<u64>,
}

/// All that is counted while the traffic goes on.
#[derive(Debug)]
struct Counts {
    tallies: Vec<Tally>,
    lateness: Histogram<u64>,
    late: u64,
    shown: Vec<String>,
    samples: Vec<(f64, Memory)>,
}

impl Counts {
    fn new() -> Self {
        let empty = Tally { right: 0, refused: 0, broken: 0, wrong: 0, timed_out: 0, latency: histogram() };
        Self {
            tallies: vec![empty; Action::ALL.len()],
            lateness: histogram(),
            late: 0,
            shown: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Counts an action; `None`: it did not end in time.
    fn count(&mut self, action: Action, outcome: Option<std::result::Result<(), Fault>>, took: Duration) {
        let tally = &mut self.tallies[action.index()];
        let fault = match outcome {
            None => {
                tally.timed_out += 1;
                return;
            }
            Some(Ok(())) => {
                tally.right += 1;
                tally.latency.saturating_record(nanos(took));
                return;
            }
            Some(Err(Fault::Refused(_))) => {
                tally.refused += 1;
                return;
            }
            Some(Err(fault)) => fault,
        };
        match fault {
            Fault::Broken(_) => tally.broken += 1,
            _ => tally.wrong += 1,
        }
        if self.shown.len() < SHOWN {
            self.shown.push(format!("{}: {fault}", Action::ALL[action.index()].2));
        }
    }

    fn total(&self, field: fn(&Tally) -> u64) -> u64 {
        self.tallies.iter().map(field).sum()
    }

    fn faults(&self) -> u64 {
        self.total(|tally| tally.broken + tally.wrong)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs it all; true if every answer was right.
async fn soak(matches: &ArgMatches) -> Result<bool> {
    let minutes = matches.get_one("minutes").copied().unwrap_or(10.0_f64);
    let rate = matches.get_one("rate").copied().unwrap_or(2_000.0_f64).max(1.0);
    let seed = matches.get_one("seed").copied().unwrap_or(1);
    raise_descriptors();
    let folder = tempfile::tempdir()?;
    let server = start(matches, folder.path())?;
    let path = folder.path().join("note.txt");
    std::fs::write(&path, file_text(SMALL_BYTES))?;
    let read_file = Call::ReadFile { path: path.display().to_string(), bytes: SMALL_BYTES };
    let client = Rc::new(SoakClient::new(server.address(), read_file));
    client.act(Action::Echo).await?;
    let before = server.memory()?;
    let counts = Rc::new(RefCell::new(Counts::new()));
    let length = Duration::from_secs_f64(minutes * 60.0);
    let server = Rc::new(server);
    let watcher = tokio::task::spawn_local(watch(Rc::clone(&server), Rc::clone(&counts)));
    let cpu_before = server.cpu()?;
    traffic(&client, &counts, Random(seed), rate, length).await;
    let cpu = server.cpu()?.saturating_sub(cpu_before);
    watcher.abort();
    sleep(SETTLE).await;
    let alive = client.act(Action::Echo).await;
    if let Err(fault) = &alive {
        eprintln!("soak: after the traffic: {fault}");
    }
    let (after, peak_rss_kib) = (server.memory()?, server.peak_rss_kib()?);
    let counts = counts.borrow();
    let total: u64 = counts.tallies.iter().map(|tally| tally.latency.len()).sum();
    let cpu_per_million = cpu.as_secs_f64() * 1e6 / total.max(1) as f64;
    let mut tables = vec![
        actions(&counts, rate, length),
        schedule(&counts, &client, cpu_per_million),
        memory(&counts, before, after, peak_rss_kib),
    ];
    if matches.get_flag("json") {
        tables.push(samples(&counts));
    }
    print(&tables, matches.get_flag("json"));
    for text in &counts.shown {
        eprintln!("soak: {text}");
    }
    Ok(counts.faults() == 0 && alive.is_ok())
}

fn start(matches: &ArgMatches, folder: &Path) -> Result<ServerProcess> {
    let program = std::env::current_exe()?.with_file_name("mcpool_echo");
    let mut command = std::process::Command::new(program);
    command.arg(matches.get_one::<String>("threads").map_or("2", String::as_str)).args(LIMITS);
    command.args(matches.get_many::<String>("limit").unwrap_or_default()).arg(folder);
    Ok(ServerProcess::start(&mut command)?)
}

/// Samples the memory each second.
async fn watch(server: Rc<ServerProcess>, counts: Rc<RefCell<Counts>>) {
    let begun = Instant::now();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        if let Ok(memory) = server.memory() {
            counts.borrow_mut().samples.push((begun.elapsed().as_secs_f64(), memory));
        }
    }
}

/// Starts each action at its time, and waits for the last ones.
async fn traffic(
    client: &Rc<SoakClient>,
    counts: &Rc<RefCell<Counts>>,
    mut random: Random,
    rate: f64,
    length: Duration,
) {
    let permits = Arc::new(Semaphore::new(MAX_UNDER_WAY as usize));
    let begun = Instant::now();
    for turn in 0_u64.. {
        let after = Duration::from_secs_f64(turn as f64 / rate);
        if after > length {
            break;
        }
        let due = begun + after;
        if due > Instant::now() {
            sleep_until(due).await;
        }
        // invariant: nobody closes this semaphore.
        let permit = Arc::clone(&permits).acquire_owned().await.expect("an open semaphore");
        {
            let late = due.elapsed();
            let mut counts = counts.borrow_mut();
            counts.lateness.saturating_record(nanos(late).max(1));
            counts.late += u64::from(late > LATE);
        }
        let action = Action::pick(random.draw());
        let (client, counts) = (Rc::clone(client), Rc::clone(counts));
        tokio::task::spawn_local(async move {
            let outcome = timeout(PATIENCE, client.act(action)).await.ok();
            counts.borrow_mut().count(action, outcome, due.elapsed());
            drop(permit);
        });
    }
    // All permits are back when all actions have ended.
    drop(permits.acquire_many(MAX_UNDER_WAY).await);
}

fn actions(counts: &Counts, rate: f64, length: Duration) -> Table {
    let title = format!("Soak: {rate:.0} actions a second for {:.1} minutes", length.as_secs_f64() / 60.0);
    let columns = [
        "action",
        "right",
        "refused",
        "no answer",
        "wrong",
        "timed out",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
    ];
    let mut table = Table::new(&title, &columns);
    let mut row = |name: &str, tally: &Tally| {
        let millis = |nanos: u64| Cell::Figure(nanos as f64 / 1e6, 2);
        let at = |quantile| millis(tally.latency.value_at_quantile(quantile));
        table.row(vec![
            name.into(),
            tally.right.into(),
            tally.refused.into(),
            tally.broken.into(),
            tally.wrong.into(),
            tally.timed_out.into(),
            at(0.5),
            at(0.99),
            at(0.999),
            millis(tally.latency.max()),
        ]);
    };
    let mut all = counts.tallies[0].clone();
    for tally in &counts.tallies[1..] {
        all.latency += &tally.latency;
    }
    all.right = counts.total(|tally| tally.right);
    all.refused = counts.total(|tally| tally.refused);
    all.broken = counts.total(|tally| tally.broken);
    all.wrong = counts.total(|tally| tally.wrong);
    all.timed_out = counts.total(|tally| tally.timed_out);
    for ((_, _, name), tally) in Action::ALL.iter().zip(&counts.tallies) {
        row(name, tally);
    }
    row("all", &all);
    table
}

fn schedule(counts: &Counts, client: &SoakClient, cpu_per_million: f64) -> Table {
    let columns = [
        "lateness p50 ms",
        "p99 ms",
        "max ms",
        "later than 10 ms",
        "kept connections closed meanwhile",
        "server CPU s per million actions",
    ];
    let mut table = Table::new("Schedule", &columns);
    let millis = |nanos: u64| Cell::Figure(nanos as f64 / 1e6, 2);
    table.row(vec![
        millis(counts.lateness.value_at_quantile(0.5)),
        millis(counts.lateness.value_at_quantile(0.99)),
        millis(counts.lateness.max()),
        counts.late.into(),
        client.reconnected().into(),
        Cell::Figure(cpu_per_million, 2),
    ]);
    table
}

fn memory(counts: &Counts, before: Memory, after: Memory, peak_rss_kib: i64) -> Table {
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
    let mut row = |name: &str, pick: fn(&Memory) -> i64, peak: i64| {
        let samples: Vec<_> =
            counts.samples.iter().map(|(time, memory)| (*time, pick(memory) as f64)).collect();
        let Some(trend) = Trend::of(settled(&samples)) else { return };
        let most = samples.iter().map(|(_, kib)| *kib).fold(0.0, f64::max);
        table.row(vec![
            name.into(),
            pick(&before).into(),
            Cell::Figure(trend.slope_per_minute, 1),
            Cell::Figure(trend.least, 0),
            Cell::Figure(trend.most, 0),
            // The system's own high-water mark runs a little behind.
            Cell::Figure(most.max(peak as f64), 0),
            pick(&after).into(),
        ]);
    };
    row("RSS", |memory| memory.rss_kib, peak_rss_kib);
    row("PSS", |memory| memory.pss_kib, 0);
    table
}

fn samples(counts: &Counts) -> Table {
    let mut table = Table::new("Samples", &["second", "RSS KiB", "PSS KiB"]);
    for (second, memory) in &counts.samples {
        table.row(vec![Cell::Figure(*second, 1), memory.rss_kib.into(), memory.pss_kib.into()]);
    }
    table
}
