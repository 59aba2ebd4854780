//! Once warm, the load generator allocates nothing for a request: ten times as many requests take as many blocks.
//!
//! The server is another process, this binary once more, so that what is counted is the generator's. Whole runs are
//! compared, with all that opens connections and makes the report, so the bound is for what depends on time: a vector
//! that grows once more, the quantiles of a wider histogram.

use mcpool::load::{Era, LoadPattern, LoadStep, LoadTarget, LoadTestScenario, LoadTestSuite, LoadTrace};
use mcpool_memtests::network::Host;
use mcpool_memtests::{Figure, Watch, server};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the process that serves, to the file where it says where.
const SERVES: &str = "MCPOOL_MEMTEST_SERVES";
const NAME: &str = "network_load_generator_allocates_nothing";
/// Requests of the shorter run; the longer one has ten times as many.
const REQUESTS: u64 = 300;
const RATE: f64 = 2_000.0;
/// Blocks that the longer run may take beyond the shorter one, for 2,700 requests more.
const ALLOWED: u64 = 64;
/// How long a server may take to listen, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn network_load_generator_allocates_nothing() {
    if let Some(file) = std::env::var_os(SERVES) {
        return serve(Path::new(&file));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let other = OtherProcess::start(&folder.path().join("targets"));
    for target in &other.targets {
        ten_times_as_many_take_as_many_blocks(target, Era::Modern, LoadPattern::Closed);
        ten_times_as_many_take_as_many_blocks(target, Era::Legacy, LoadPattern::Closed);
        ten_times_as_many_take_as_many_blocks(target, Era::Modern, LoadPattern::Constant { rate: RATE });
        a_trace_takes_none_either(target, folder.path());
    }
}

/// Requests of a trace of which each is another.
fn a_trace_takes_none_either(target: &LoadTarget, folder: &Path) {
    let blocks = |requests: u64| {
        let path = folder.join("trace");
        write_trace(&path, requests);
        let trace = LoadTrace::read(&path).expect("a trace");
        let scenario =
            LoadTestScenario::new("echo", target.clone()).era(Era::Modern).connections(2).in_flight(3);
        let scenario = scenario.time_out(PATIENCE).replay(trace);
        let watch = Watch::begin();
        let report = LoadTestSuite::new().run(&scenario, |_| ()).expect("the server is loaded");
        assert!(report.requests.answered > requests / 10 * 9, "{:?}", report.failures);
        (watch.stats().total_blocks, watch)
    };
    let (few, watch) = blocks(REQUESTS);
    drop(watch);
    let (many, watch) = blocks(REQUESTS * 10);
    println!("{target}, a trace: {few} blocks, {many} for ten times as many requests");
    if many > few + ALLOWED {
        watch.fail(
            Figure::Allocated,
            format_args!("{target}, a trace: {few} blocks, {many} for ten times as many"),
        );
    }
}

fn write_trace(path: &Path, requests: u64) {
    let mut text =
        r#"{"header":{"schema":"mcpool.traffic/1","version":"1","started_unix_ms":0,"arguments":"redacted"}}"#.to_owned();
    for number in 0..requests {
        let (at_us, length) = (number * 500, number % 300);
        write!(
            text,
            "\n{{\"request\":{{\"at_us\":{at_us},\"peer\":{},\"era\":\"modern\",\"method\":\"tools/call\",\"name\":\"echo\",\
             \"request_bytes\":1,\"answer_bytes\":1,\"took_us\":1,\"outcome\":\"ok\",\"redacted\":true,\
             \"params\":{{\"arguments\":{{\"text\":\"{{{{text {length}}}}}\"}}}}}}}}",
            number % 2
        )
        .expect("a text");
    }
    std::fs::write(path, text).expect("written");
}

fn ten_times_as_many_take_as_many_blocks(target: &LoadTarget, era: Era, pattern: LoadPattern) {
    // What a process makes once: tables of its thread, of its runtime.
    run(target, era, pattern, REQUESTS);
    let watch = Watch::begin();
    run(target, era, pattern, REQUESTS);
    let few = watch.stats().total_blocks;
    run(target, era, pattern, REQUESTS * 10);
    let many = watch.stats().total_blocks - few;
    println!("{target}, {era:?}, {pattern:?}: {few} blocks, {many} for ten times as many requests");
    if many > few + ALLOWED {
        let how = format!("{target}, {era:?}, {pattern:?}");
        let (requests, ten_times) = (REQUESTS, REQUESTS * 10);
        watch.fail(
            Figure::Allocated,
            format_args!("{how}: {few} blocks for {requests} requests, {many} for {ten_times}"),
        );
    }
}

fn run(target: &LoadTarget, era: Era, pattern: LoadPattern, requests: u64) {
    let text = serde_json::json!({"text": "{{text 40}} \"{{count}}\""});
    let scenario = LoadTestScenario::new("echo", target.clone())
        .era(era)
        .pattern(pattern)
        .connections(2)
        .in_flight(3)
        .warm_up(Duration::from_millis(200))
        .count(requests)
        .time_out(PATIENCE)
        .step(LoadStep::call("echo", text.as_object().cloned().expect("an object")).weight(3))
        .step(LoadStep::method("tools/list", serde_json::Map::new()));
    let report = LoadTestSuite::new().run(&scenario, |_| ()).expect("the server is loaded");
    let counts = &report.requests;
    assert!(counts.answered > requests / 10 * 9, "{counts:?}, {:?}", report.failures);
}

/// Serves until the input ends, which it does with the process that asked for it.
fn serve(file: &Path) {
    let host = Host::start(&server());
    let (path, address) = (host.path().display(), host.address());
    let targets = format!("unix-lines:{path}\nunix:{path}\nhttp://{address}/mcp\n");
    let whole = file.with_extension("whole");
    std::fs::write(&whole, targets).and_then(|()| std::fs::rename(&whole, file)).expect("a file");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The server's process, which ends when this is dropped.
struct OtherProcess {
    child: Child,
    input: Option<ChildStdin>,
    targets: Vec<LoadTarget>,
}

impl OtherProcess {
    fn start(file: &PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args([NAME, "--exact", "--nocapture"]).env(SERVES, file);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("a process");
        let input = child.stdin.take();
        let mut other = Self { child, input, targets: Vec::new() };
        let begun = Instant::now();
        while !file.exists() {
            let ended = other.child.try_wait().expect("a child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "the server does not listen: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let targets = std::fs::read_to_string(file).expect("the targets");
        other.targets = targets.lines().map(|line| LoadTarget::parse(line).expect("a target")).collect();
        assert_eq!(other.targets.len(), 3, "{targets}");
        other
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
