//! One load test from its start to its report.

use super::course::Course;
use super::error::LoadTestError;
use super::figures::{self, micros};
use super::mix::Mix;
use super::negotiation::{self, Patience};
use super::pace::Pace;
use super::pattern::{LoadPattern, Segment};
use super::pin::Pinned;
use super::progress::LoadProgress;
use super::recovery::Recovery;
use super::replay::{Replay, ReplayPlan};
use super::report::{GeneratorUse, LoadTestReport, SCHEMA, ScenarioFacts, SecondReport, ServerUse};
use super::request::{Era, Wording};
use super::scenario::LoadTestScenario;
use super::schedule::Schedule;
use super::tally::{MAX_SECONDS, Second, Tally, WINDOWS};
use super::target::LoadTarget;
use super::tls::Encryption;
use super::watch::ServerWatch;
use super::worker::{EarlyEnd, Setup, Unopened, Worker};
use crate::client::MODERN;
use crate::memory::ProcessFamily;
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SECOND: Duration = Duration::from_secs(1);
/// What reports add to a pattern with churn.
const CHURN: &str = ", a new connection for each request";
/// Fewer connections bring less than memory is counted in.
const LEAST_CONNECTIONS: usize = 50;
/// From this delay on, at one request in a hundred, the generator may be what is measured.
const MUCH_LAG_US: f64 = 1_000.0;
/// From this share of a processor on, a closed loop is as fast as the generator.
const MUCH_CPU: f64 = 0.95;

/// A test that is ready to run.
pub(super) struct Run<'a> {
    scenario: &'a LoadTestScenario,
    setup: Setup,
    mix: Mix,
    replay: Option<ReplayPlan>,
}

/// What happens when.
struct Times<'a> {
    scenario: &'a LoadTestScenario,
    begins: Instant,
    counts_from: Instant,
    /// `None` when a count or a trace ends it.
    ends: Option<Instant>,
    /// The time that is divided into windows.
    length: Duration,
    course: Course,
}

impl<'a> Times<'a> {
    /// Those of a test that begins now.
    fn of(scenario: &'a LoadTestScenario, replay: Option<ReplayPlan>, connections: usize) -> Self {
        let begins = Instant::now();
        if let Some(plan) = replay {
            let length = plan.span();
            let course = Course::Recorded(Replay::new(begins, plan.requests, connections, scenario.time_out));
            return Self { scenario, begins, counts_from: begins, ends: None, length, course };
        }
        let counts_from = begins + scenario.warm_up;
        let ends = scenario.count.is_none().then(|| counts_from + scenario.duration);
        let segments = match (scenario.pattern, scenario.count) {
            // A little longer than the count takes: the count ends it.
            (LoadPattern::Constant { rate }, Some(count)) => {
                Some(vec![Segment::even(count as f64 / rate + 1.0 + 1.0 / rate, rate)])
            }
            (pattern, _) => pattern.segments(scenario.duration),
        };
        let schedule = segments.map(|segments| {
            let warm_up = scenario.pattern.first_rate().unwrap_or_default();
            let mut all = vec![Segment::even(scenario.warm_up.as_secs_f64(), warm_up)];
            all.extend(segments);
            Schedule::new(begins, &all)
        });
        let course = Course::Rates(Pace::new(schedule, counts_from, ends, scenario.count));
        Self { scenario, begins, counts_from, ends, length: scenario.duration, course }
    }
}

/// What was seen beside the counts of the worker.
struct Seen {
    measured: Duration,
    early: Option<String>,
    seconds: Vec<SecondReport>,
    server_cpu: Option<Duration>,
    generator_cpu: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn prepare(
        scenario: &'a LoadTestScenario,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LoadTestError> {
        let token = scenario.bearer_token.as_deref();
        let encryption = encryption(scenario)?;
        // A ping belongs to the older revisions only.
        let has_ping = scenario.steps.iter().any(|step| step.method == "ping");
        let was_legacy = scenario.trace.as_ref().is_some_and(|trace| trace.era == Era::Legacy);
        let patience = Patience { time_out: scenario.greeting_time_out, stop };
        let has_batches = scenario.has_batches();
        let is_legacy = has_ping || was_legacy || has_batches;
        let era = match scenario.era.or_else(|| is_legacy.then_some(Era::Legacy)) {
            Some(era) if encryption.is_none() => era,
            // A certificate that is not trusted is told before so many connections are refused for it.
            said => {
                let found = negotiation::era(&scenario.target, encryption.as_ref(), token, &patience)?;
                said.unwrap_or(found)
            }
        };
        let wording = Wording::new(&scenario.target, era, token);
        let wording = if has_batches { wording.for_batches() } else { wording };
        let replay = scenario.trace.as_ref().map(|trace| ReplayPlan::of(trace, era, &scenario.steps));
        let mix = match &replay {
            Some(plan) if plan.requests.is_empty() => {
                return Err(LoadTestError::Scenario("no request of the trace exists in this revision"));
            }
            Some(plan) => Mix::of_trace(plan, scenario.trace.as_ref(), &wording)?,
            None => Mix::new(&scenario.steps_in(era), &wording)?,
        };
        let setup = Setup {
            target: scenario.target.clone(),
            encryption,
            wording,
            connections: scenario.connections,
            in_flight: scenario.in_flight,
            has_lanes: replay.is_some(),
            time_out: scenario.time_out,
            greeting_time_out: scenario.greeting_time_out,
            churns: scenario.churn,
            pin: scenario.pin.clone(),
        };
        Ok(Self { scenario, setup, mix, replay })
    }

    pub(super) fn report(
        self,
        stop: &dyn Fn() -> bool,
        on_progress: &mut dyn FnMut(&LoadProgress),
    ) -> Result<LoadTestReport, LoadTestError> {
        let Self { scenario, setup, mix, replay } = self;
        let replayed = replay.as_ref().map(|plan| plan.report.clone());
        let begun_unix_ms = unix_ms();
        let before_open = scenario.pid.and_then(|pid| ProcessFamily::of(pid)?.rss_bytes());
        let target = &scenario.target;
        let _pinned = pin(scenario).map_err(LoadTestError::Pin)?;
        let mut worker = Worker::new(&setup, mix).map_err(LoadTestError::connect(target))?;
        worker.open_all(stop).map_err(|unopened| unopened.at(target))?;
        let ids = match scenario.pid {
            Some(pid) => vec![pid],
            None => worker.children(),
        };
        let watch = ServerWatch::start(ids);
        if scenario.pid.is_some() && watch.is_none() {
            return Err(LoadTestError::Scenario("there is no process with that id, or it cannot be seen"));
        }
        let rss_before_bytes = watch.as_ref().map_or(0, ServerWatch::rss_bytes);
        let times = Times::of(scenario, replay, setup.connections);
        let seen = measure(times, &mut worker, watch.as_ref(), stop, on_progress);
        let connections = worker.connections();
        let requests = figures::requests(&worker.tally, seen.measured.as_secs_f64(), worker.broken);
        let server = watch.map(|watch| {
            let brought = before_open
                .filter(|_| connections >= LEAST_CONNECTIONS)
                .map(|before| rss_before_bytes.saturating_sub(before) as f64 / connections as f64);
            let figures = ServerUse {
                bytes_per_connection: brought,
                rss_before_bytes,
                ..server_use(&watch, &seen, requests.answered)
            };
            settle(scenario, &watch, figures, stop)
        });
        let generator = generator_use(&worker, &seen, scenario);
        Ok(LoadTestReport {
            schema: SCHEMA.to_owned(),
            begun_unix_ms,
            scenario: facts(scenario, &setup, &worker),
            measured_ms: seen.measured.as_secs_f64() * 1e3,
            ended_early: seen.early,
            latency: figures::latency(&worker.tally.all_latency()),
            latency_with_time_outs: figures::with_time_outs(&worker.tally),
            operations: figures::operations(&worker.tally, &worker.mix.steps),
            failures: figures::failures(&worker.tally, &worker.examples),
            warm_up_example: warm_up_example(&worker),
            unexpected_example: worker.examples.unexpected.clone().filter(|_| requests.unexpected > 0),
            seconds: seen.seconds,
            recovery: worker.recovery.as_ref().and_then(Recovery::report),
            replay: replayed,
            requests,
            server,
            generator,
            expectations: Vec::new(),
        })
    }
}

impl Unopened {
    fn at(self, target: &LoadTarget) -> LoadTestError {
        match self {
            Self::Stopped => LoadTestError::stopped(target),
            Self::Because(why) => LoadTestError::greeting(target, why),
        }
    }
}

/// The time now, in milliseconds since 1970 (UTC).
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// What is noted while a test runs.
struct Notes<'a> {
    watch: Option<&'a ServerWatch>,
    begins: Instant,
    counts_from: Instant,
    ends: Option<Instant>,
    next_second: Instant,
    windows: Windows,
    /// Resident memory of the server at the end of each second.
    rss: Vec<Option<u64>>,
    /// Processor time of the server and of the generator when requests began to count, and when they ceased to.
    at_start: Option<(Option<Duration>, Duration)>,
    at_end: Option<(Option<Duration>, Duration, Instant)>,
}

/// When the parts of a test end.
enum Windows {
    /// At these times; so many are left.
    OfTime { next: Instant, length: Duration, left: u32 },
    /// After so many right answers each.
    OfAnswers { next: u64, length: u64 },
}

impl Windows {
    fn of(times: &Times<'_>) -> Self {
        if let Some(count) = times.scenario.count {
            let length = (count / u64::from(WINDOWS)).max(1);
            return Self::OfAnswers { next: length, length };
        }
        let length = (times.length / WINDOWS).max(Duration::from_millis(1));
        Self::OfTime { next: times.counts_from + length, length, left: WINDOWS }
    }

    /// Ends those that are over.
    fn end_due(&mut self, tally: &mut Tally, now: Instant) {
        match self {
            // What comes late in a short test would end windows faster than they can be ended.
            Self::OfTime { next, length, left } => {
                while *left > 0 && now >= *next {
                    tally.end_window();
                    *next += *length;
                    *left -= 1;
                }
            }
            Self::OfAnswers { next, length } => {
                if tally.answers() >= *next {
                    tally.end_window();
                    *next = tally.answers() + *length;
                }
            }
        }
    }
}

impl Notes<'_> {
    fn cpu(&self) -> (Option<Duration>, Duration) {
        (self.watch.and_then(ServerWatch::cpu_time), own_cpu())
    }

    /// Notes what is due; `on_progress` learns of each second that is over.
    fn take(&mut self, worker: &mut Worker<'_>, now: Instant, on_progress: &mut dyn FnMut(&LoadProgress)) {
        if self.at_start.is_none() && now >= self.counts_from {
            self.at_start = Some(self.cpu());
        }
        if self.at_end.is_none() && self.ends.is_some_and(|ends| now >= ends) {
            let (server, own) = self.cpu();
            self.at_end = Some((server, own, now));
        }
        self.windows.end_due(&mut worker.tally, now);
        while now >= self.next_second {
            on_progress(&self.end_second(worker));
            self.next_second += SECOND;
        }
    }

    fn end_second(&mut self, worker: &mut Worker<'_>) -> LoadProgress {
        worker.tally.end_second();
        let server_rss_bytes = self.watch.map(ServerWatch::rss_bytes);
        if self.rss.len() < MAX_SECONDS {
            self.rss.push(server_rss_bytes);
        }
        let second = worker.tally.seconds.last().copied().unwrap_or_default();
        let [p50_us, p95_us, p99_us, _] = second.latency_ns.map(micros);
        LoadProgress {
            is_warm_up: self.next_second <= self.counts_from,
            elapsed: self.next_second.saturating_duration_since(self.counts_from),
            duration: self.ends.map(|ends| ends - self.counts_from),
            rate: second.answered as f64,
            p50_us,
            p95_us,
            p99_us,
            failed: worker.tally.failures(),
            in_flight: worker.in_flight(),
            server_rss_bytes,
        }
    }

    /// The seconds with their times; the first and the last may be shorter.
    fn seconds(&self, all: &[Second], course: &Course, ended: Instant) -> Vec<SecondReport> {
        let warm_up = (self.counts_from - self.begins).as_secs_f64();
        let first = if warm_up.fract() == 0.0 { 1.0 } else { warm_up.fract() };
        let total = (ended - self.begins).as_secs_f64();
        let mut before = 0.0;
        let reports = all.iter().zip(&self.rss).enumerate().map(|(index, (second, rss))| {
            let until = (first + index as f64).min(total);
            let at = self.begins + Duration::from_secs_f64(until);
            let sum = course.scheduled_until(at);
            let scheduled = sum.map(|sum| sum - before);
            before = sum.unwrap_or_default();
            let [p50_us, p95_us, p99_us, max_us] = second.latency_ns.map(micros);
            let Second { begun, answered, failed, .. } = *second;
            let (at_s, server_rss_bytes) = (until - warm_up, *rss);
            SecondReport {
                at_s,
                scheduled,
                begun,
                answered,
                failed,
                p50_us,
                p95_us,
                p99_us,
                max_us,
                server_rss_bytes,
            }
        });
        reports.collect()
    }
}

/// Makes the load and takes notes each second.
fn measure(
    mut times: Times<'_>,
    worker: &mut Worker<'_>,
    watch: Option<&ServerWatch>,
    stop: &dyn Fn() -> bool,
    on_progress: &mut dyn FnMut(&LoadProgress),
) -> Seen {
    let Times { scenario, begins, counts_from, ends, .. } = times;
    // Seconds are those of what counts, so the warm-up begins with a shorter one.
    let first = Duration::from_nanos(u64::from(scenario.warm_up.subsec_nanos()));
    let mut notes = Notes {
        watch,
        begins,
        counts_from,
        ends,
        next_second: begins + if first.is_zero() { SECOND } else { first },
        windows: Windows::of(&times),
        rss: Vec::with_capacity(MAX_SECONDS),
        at_start: None,
        at_end: None,
    };
    worker.recovery = scenario
        .pattern
        .spike(scenario.duration)
        .map(|(begins, ends, base_rate)| Recovery::new(counts_from + begins, counts_from + ends, base_rate));
    let early = worker.run(&mut times.course, |worker, now| {
        notes.take(worker, now, on_progress);
        !stop()
    });
    let ended = Instant::now();
    notes.end_second(worker);
    let (server, own) = notes.cpu();
    let (end_server, end_own, at) = notes.at_end.unwrap_or((server, own, ended));
    let (start_server, start_own) = notes.at_start.unwrap_or((end_server, end_own));
    Seen {
        measured: ends.map_or(at, |ends| ends.min(at)).saturating_duration_since(counts_from),
        early: early.map(|early| match early {
            EarlyEnd::Interrupted => "interrupted".to_owned(),
            EarlyEnd::ServerGone(why) => why,
        }),
        seconds: notes.seconds(&worker.tally.seconds, &times.course, ended),
        server_cpu: end_server.zip(start_server).map(|(end, start)| end.saturating_sub(start)),
        generator_cpu: end_own.saturating_sub(start_own),
    }
}

/// What encrypts connections, where the target asks for it.
fn encryption(scenario: &LoadTestScenario) -> Result<Option<Encryption>, LoadTestError> {
    let LoadTarget::Http(url) = &scenario.target else { return Ok(None) };
    if !url.is_encrypted() {
        return Ok(None);
    }
    let encryption = Encryption::new(url.host(), scenario.ca_file.as_deref());
    encryption.map(Some).map_err(|source| LoadTestError::encryption(&scenario.target, source))
}

/// Has this thread run where the generator is to, and the server where it is to if it is there already.
fn pin(scenario: &LoadTestScenario) -> io::Result<Option<Pinned>> {
    let Some(pin) = &scenario.pin else { return Ok(None) };
    if let Some(pid) = scenario.pid {
        pin.process(pid)?;
    }
    pin.generator().map(Some)
}

fn facts(scenario: &LoadTestScenario, setup: &Setup, worker: &Worker<'_>) -> ScenarioFacts {
    ScenarioFacts {
        name: scenario.name.clone(),
        target: scenario.target.to_string(),
        transport: scenario.target.transport().to_owned(),
        revision: match setup.wording.era {
            Era::Modern => MODERN.to_owned(),
            Era::Legacy => worker.revision().unwrap_or_default().to_owned(),
        },
        pattern: pattern(scenario),
        connections: worker.connections() as u64,
        in_flight: if scenario.target.is_http() { 1 } else { scenario.in_flight as u64 },
        warm_up_ms: scenario.warm_up.as_millis() as u64,
        time_out_ms: scenario.time_out.as_millis() as u64,
    }
}

/// The course of the load in words.
fn pattern(scenario: &LoadTestScenario) -> String {
    match &scenario.trace {
        Some(trace) if (trace.speed - 1.0).abs() < f64::EPSILON => "replay of a trace".to_owned(),
        Some(trace) => format!("replay of a trace, {} times as fast", trace.speed),
        None => scenario.pattern.describe() + if scenario.churn { CHURN } else { "" },
    }
}

fn server_use(watch: &ServerWatch, seen: &Seen, answered: u64) -> ServerUse {
    let cpu = seen.server_cpu;
    let peak = watch.peak_rss_bytes().unwrap_or_default();
    ServerUse {
        pids: watch.ids().to_vec(),
        rss_before_bytes: 0,
        rss_peak_bytes: watch.most_rss_bytes().max(peak),
        rss_after_bytes: None,
        settle_ms: 0,
        bytes_per_connection: None,
        cpu_load: cpu.map(|cpu| cpu.as_secs_f64() / seen.measured.as_secs_f64().max(1e-9)),
        cpu_per_request_us: cpu.filter(|_| answered > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / answered as f64),
        allowed_cpus: watch.allowed_cpus(),
    }
}

/// Reads the memory once more after the load, with the connections still open.
fn settle(
    scenario: &LoadTestScenario,
    watch: &ServerWatch,
    figures: ServerUse,
    stop: &dyn Fn() -> bool,
) -> ServerUse {
    let begun = Instant::now();
    while begun.elapsed() < scenario.settle && !stop() {
        thread::sleep(Duration::from_millis(20).min(scenario.settle));
    }
    let settle_ms = begun.elapsed().as_millis() as u64;
    ServerUse { rss_after_bytes: watch.rss_bytes_now(), settle_ms, ..figures }
}

fn generator_use(worker: &Worker<'_>, seen: &Seen, scenario: &LoadTestScenario) -> GeneratorUse {
    let lag = &worker.tally.generator_lag;
    let lag_p99_us = micros(lag.value_at_quantile(0.99));
    let cpu_load = seen.generator_cpu.as_secs_f64() / seen.measured.as_secs_f64().max(1e-9);
    let latency_p99_us = micros(worker.tally.all_latency().value_at_quantile(0.99));
    let is_open = scenario.pattern != LoadPattern::Closed || scenario.trace.is_some();
    let bottleneck = if cpu_load > MUCH_CPU {
        Some(format!("it used {:.0} % of a processor: the server can do more than this", cpu_load * 100.0))
    } else if is_open && lag_p99_us > MUCH_LAG_US.max(latency_p99_us / 2.0) {
        // Latency counts from when a request was to begin, so this is a part of it.
        Some(format!(
            "the machine kept it waiting for {:.1} ms or more at one request in a hundred, more than half of what \
             the server seems to take: give it a processor of its own",
            lag_p99_us / 1e3
        ))
    } else {
        None
    };
    GeneratorUse {
        version: format!("mcpool {}", env!("CARGO_PKG_VERSION")),
        cpu_load,
        lag_p99_us,
        lag_max_us: micros(lag.max()),
        bottleneck,
        allowed_cpus: ProcessFamily::of(std::process::id()).and_then(|own| own.allowed_cpus()),
    }
}

/// How the first request of the warm-up failed.
fn warm_up_example(worker: &Worker<'_>) -> Option<String> {
    let kind = worker.tally.warm_up_failure?;
    let text = worker.examples.of(kind).unwrap_or_default();
    Some(format!("{}: {text}", kind.name()))
}

/// Processor time of this process so far.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
