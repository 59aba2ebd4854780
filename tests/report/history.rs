//! The last hour of a server: one moment of it as a table, and the rules about it, each where its trouble is.

use mcpool::memory::{
    GroupEvents, GroupSample, HISTORY_SCHEMA, History, HistoryReason, MemoryStalls, PressureLevel,
    ReadHistoryError, Sample, ServerFacts,
};
use mcpool::report::{Diagnosis, Finding, Moment, Severity, diagnose_history, meaning_of};
use std::path::PathBuf;
#[cfg(feature = "cli")]
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// 2023-11-14, 22:13:20 UTC.
const BEGUN_MS: u64 = 1_700_000_000_000;

/// So many quiet seconds.
pub(crate) fn quiet(seconds: u64) -> History {
    let samples = (1..=seconds).map(|second| Sample {
        at_unix_ms: BEGUN_MS + second * 1_000,
        span_ms: 1_000,
        rss_bytes: 10 * MIB,
        heap_bytes: Some(4 * MIB),
        parts_kib: vec![1_024, 512],
        connections: 3,
        sessions: 2,
        in_flight: 1,
        messages: 50,
        errors: 0,
        refused: 0,
        p50_ns: Some(20_000),
        p99_ns: Some(300_000),
        cpu_ms: 12,
        pressure: PressureLevel::Normal,
        machine: Some(MemoryStalls { some_avg10: 0.0, full_avg10: 0.0, has_stalled: Some(false) }),
        group: Some(GroupSample {
            current_bytes: Some(30 * MIB),
            stalls: Some(MemoryStalls { some_avg10: 0.0, full_avg10: 0.0, has_stalled: Some(false) }),
            events: Some(GroupEvents::default()),
        }),
    });
    History {
        schema: HISTORY_SCHEMA.to_owned(),
        taken_unix_ms: BEGUN_MS + seconds * 1_000,
        reason: HistoryReason::Asked,
        uptime_ms: seconds * 1_000,
        server: ServerFacts {
            name: "files".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 4711,
            os: "linux".to_owned(),
        },
        limit_bytes: Some(64 * MIB),
        parts: vec!["buffers, idle".to_owned(), "sessions".to_owned()],
        samples: samples.collect(),
    }
}

/// With one second, or some, changed.
fn with(seconds: std::ops::RangeInclusive<usize>, change: impl Fn(&mut Sample)) -> History {
    let mut history = quiet(600);
    history.samples[seconds].iter_mut().for_each(change);
    history
}

/// Seconds since the begin.
fn clock(unix_ms: u64) -> String {
    format!("second {}", (unix_ms - BEGUN_MS) / 1_000)
}

fn check(history: &History) -> Diagnosis {
    diagnose_history(history, 0, &clock)
}

/// The only finding.
fn only(history: &History) -> Finding {
    let mut diagnosis = check(history);
    assert_eq!(diagnosis.findings.len(), 1, "{:#?}", diagnosis.findings);
    let finding = diagnosis.findings.remove(0);
    for words in [&finding.problem, &finding.cause, &finding.evidence, &finding.remedy, &finding.cost] {
        assert!(words.ends_with('.') && words.len() > 7, "{finding:#?}");
    }
    finding
}

fn rules(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_quiet_hour_has_no_findings_and_what_is_not_known_is_said() {
    let diagnosis = check(&quiet(600));
    assert_eq!((diagnosis.findings.len(), diagnosis.passed.len(), diagnosis.unchecked.len()), (0, 7, 0));
    let mut history = quiet(60);
    history.limit_bytes = None;
    for sample in &mut history.samples {
        (sample.machine, sample.group) = (None, None);
    }
    let unchecked: Vec<_> = check(&history).unchecked.iter().map(|unchecked| unchecked.rule).collect();
    assert_eq!(unchecked, ["peak-near-limit", "group-was-short", "machine-was-short", "memory-grew"]);
}

#[test]
fn a_peak_of_one_second_is_found_with_its_time_and_its_largest_part() {
    let finding = only(&with(200..=200, |sample| {
        sample.rss_bytes = 60 * MIB;
        sample.parts_kib = vec![1_024, 48 * 1_024];
    }));
    assert_eq!((finding.rule, finding.severity), ("peak-near-limit", Severity::Warning));
    assert!(finding.problem.contains("second 201") && finding.problem.contains("93 %"), "{finding:?}");
    assert!(finding.evidence.contains("largest: sessions 48.0 MiB"), "{finding:?}");
    let beyond = only(&with(200..=200, |sample| sample.rss_bytes = 65 * MIB));
    assert_eq!(beyond.severity, Severity::Critical);
}

#[test]
fn refusals_are_counted_and_their_worst_second_is_named() {
    let mut history = with(100..=109, |sample| sample.refused = 1);
    history.samples[105].refused = 7;
    let finding = only(&history);
    assert_eq!((finding.rule, finding.severity), ("work-was-refused", Severity::Critical));
    assert!(
        finding.problem.contains("16 times") && finding.problem.contains("between second 101 and second 110")
    );
    assert!(finding.evidence.contains("second 106: 7 refusals"), "{finding:?}");
}

#[test]
fn pressure_is_found_with_its_time() {
    let finding = only(&with(10..=19, |sample| sample.pressure = PressureLevel::Elevated));
    assert_eq!((finding.rule, finding.severity), ("pressure-was-high", Severity::Hint));
    assert!(finding.problem.contains("for 10.0 s, between second 11 and second 20"), "{finding:?}");
    let critical = only(&with(10..=10, |sample| sample.pressure = PressureLevel::Critical));
    assert_eq!(critical.severity, Severity::Warning);
    assert!(critical.problem.contains("at second 11"), "{critical:?}");
}

fn waits(sample: &mut Sample, percent: f64) {
    sample.machine = Some(MemoryStalls { some_avg10: percent, full_avg10: 1.0, has_stalled: None });
}

fn events(sample: &mut Sample, events: GroupEvents) {
    sample.group = sample.group.map(|group| GroupSample { events: Some(events), ..group });
}

/// The same waiting tasks, and two different causes.
#[test]
fn a_machine_that_was_short_is_told_from_a_group_that_was() {
    let machine = only(&with(50..=69, |sample| waits(sample, 40.0)));
    assert_eq!(machine.rule, "machine-was-short");
    assert!(machine.problem.contains("for 20.0 s, between second 51 and second 70"), "{machine:?}");
    assert!(machine.evidence.contains("40.0 %"), "{machine:?}");

    // A trigger says it at once, where the averages are still low.
    let at_once = only(&with(50..=50, |sample| {
        sample.machine = Some(MemoryStalls { some_avg10: 2.0, full_avg10: 0.0, has_stalled: Some(true) });
    }));
    assert_eq!(at_once.rule, "machine-was-short");

    let mut history = with(50..=69, |sample| waits(sample, 40.0));
    // The group came to its limit just before, and again meanwhile: its own tasks are who waited.
    for second in [48, 57, 66] {
        events(&mut history.samples[second], GroupEvents { max: 3, ..GroupEvents::default() });
    }
    let group = only(&history);
    assert_eq!((group.rule, group.severity), ("group-was-short", Severity::Critical));
    assert!(group.problem.contains("between second 49 and second 67"), "{group:?}");
    assert!(group.evidence.contains("at memory.max 9 times"), "{group:?}");

    let high = only(&with(5..=5, |sample| events(sample, GroupEvents { high: 2, ..GroupEvents::default() })));
    assert_eq!(high.severity, Severity::Warning);
    let killed =
        only(&with(5..=5, |sample| events(sample, GroupEvents { oom_kill: 1, ..GroupEvents::default() })));
    assert!(killed.severity == Severity::Critical && killed.evidence.contains("1 processes killed"));

    // A minute later it is the machine again.
    let mut both = with(300..=320, |sample| waits(sample, 40.0));
    events(&mut both.samples[100], GroupEvents { max: 1, ..GroupEvents::default() });
    let both = check(&both);
    assert_eq!(rules(&both), ["group-was-short", "machine-was-short"]);
}

#[test]
fn a_spike_of_one_second_is_found_and_many_requests_all_the_time_are_none() {
    let finding = only(&with(321..=321, |sample| sample.in_flight = 500));
    assert_eq!(finding.rule, "requests-spiked");
    assert!(finding.problem.contains("500 requests were in flight at second 322, where 1 are usual"));
    assert!(check(&with(0..=599, |sample| sample.in_flight = 500)).findings.is_empty());
    assert!(check(&with(5..=5, |sample| sample.in_flight = 31)).findings.is_empty());
}

#[test]
fn memory_that_goes_on_growing_is_found_and_a_start_or_a_step_is_not() {
    let mut history = quiet(600);
    for (second, sample) in history.samples.iter_mut().enumerate() {
        sample.rss_bytes += second as u64 * 32 * 1024;
        sample.parts_kib[1] += second as u32 * 30;
    }
    let finding = only(&history);
    assert_eq!(finding.rule, "memory-grew");
    assert!(finding.evidence.contains("most of it sessions (+"), "{finding:?}");
    let mut start = quiet(600);
    for (second, sample) in start.samples.iter_mut().enumerate() {
        sample.rss_bytes += 20 * MIB * second.min(100) as u64 / 100;
    }
    assert!(check(&start).findings.is_empty());
    assert!(check(&with(400..=599, |sample| sample.rss_bytes = 20 * MIB)).findings.is_empty());
}

#[test]
fn only_what_is_asked_for_is_looked_at() {
    let history = with(100..=100, |sample| sample.refused = 1);
    let found =
        |since_s: u64| !diagnose_history(&history, BEGUN_MS + since_s * 1_000, &clock).findings.is_empty();
    assert!(found(0) && found(101) && !found(102));
}

#[test]
fn a_moment_is_shown_beside_the_minute_before() {
    let mut history = quiet(600);
    let sample = &mut history.samples[299];
    (sample.rss_bytes, sample.parts_kib) = (58 * MIB, vec![1_024, 40 * 1_024]);
    (sample.in_flight, sample.p99_ns, sample.refused) = (400, Some(2_000_000), 3);
    let moment = Moment::of(&history, BEGUN_MS + 300_000).expect("a sample");
    assert_eq!(moment.at, history.samples[299]);
    assert_eq!(moment.before.as_ref(), Some(&history.samples[239]));
    let mut text = Vec::new();
    moment.write(&clock, 80, &mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let row = |name: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
        line.trim_start().strip_prefix(name).expect("its name").split_whitespace().collect()
    };
    assert_eq!(row("resident"), ["10.0", "MiB", "58.0", "MiB", "+48.0", "MiB"], "{text}");
    assert_eq!(row("sessions").first(), Some(&"512.0"), "the largest part comes first: {text}");
    assert_eq!(row("requests in flight"), ["1", "400", "+399"]);
    assert_eq!(row("refused, memory was short"), ["0", "3", "+3"]);
    assert_eq!(row("p99 of messages"), ["300", "us", "2.00", "ms", "+1.70", "ms"]);
    assert!(
        text.starts_with("files (pid 4711) at second 300: 58.0 MiB resident of 64.0 MiB (90 %)"),
        "{text}"
    );
}

#[test]
fn every_word_of_a_moment_has_a_meaning() {
    let history = quiet(600);
    let moment = Moment::of(&history, BEGUN_MS + 300_000).expect("a sample");
    let mut text = Vec::new();
    moment.write(&clock, 80, &mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    let row = |line: &str| line.strip_prefix("  ").and_then(|row| row.split("  ").next()).map(str::to_owned);
    let mut labels: Vec<String> = text.lines().filter_map(row).filter(|label| !label.is_empty()).collect();
    // The parts are lines of the ledger.
    labels.retain(|label| !history.parts.contains(label));
    labels.extend(["What it held", "What it did", "before", "then", "change"].map(str::to_owned));
    assert!(labels.len() > 18 && labels.iter().any(|label| label == "killed in the group"), "{labels:?}");
    let unknown: Vec<_> = labels.iter().filter(|label| meaning_of(label).is_none()).collect();
    assert_eq!(unknown, Vec::<&String>::new());
}

#[test]
fn a_moment_is_the_nearest_sample_and_none_far_away() {
    let mut history = quiet(120);
    // Ten seconds of the time before.
    let ten = Sample { at_unix_ms: BEGUN_MS, span_ms: 10_000, messages: 500, ..history.samples[0].clone() };
    history.samples.insert(0, ten.clone());
    let at = |ms: i64| Moment::of(&history, BEGUN_MS.checked_add_signed(ms).expect("a moment"));
    for (ms, want) in
        [(-9_000, Some(0)), (0, Some(0)), (400, Some(1)), (1_000, Some(1)), (130_000, Some(120))]
    {
        assert_eq!(
            at(ms).map(|moment| moment.at),
            want.map(|index: usize| history.samples[index].clone()),
            "{ms}"
        );
    }
    assert_eq!(at(-40_000), None);
    assert_eq!(at(136_000), None);
    let first = at(0).expect("ten seconds");
    assert_eq!((first.at, first.before), (ten, None));
}

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/memory/black_box.schema.json")
}

#[test]
fn the_schema_is_that_of_the_type_and_histories_follow_it() {
    let mut generated = schemars::schema_for!(History).to_value();
    generated.sort_all_objects();
    if std::env::var_os("MCPOOL_WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&generated).expect("written") + "\n";
        std::fs::write(checked_in(), text).expect("saved");
    }
    let text = std::fs::read_to_string(checked_in()).expect("a schema is checked in");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(schema == generated, "src/memory/black_box.schema.json: MCPOOL_WRITE_SCHEMA=1 writes it anew");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let history = quiet(3);
    let json = serde_json::to_value(&history).expect("JSON");
    assert!(validator.is_valid(&json));
    assert_eq!(History::from_json(&json.to_string()).expect("read back"), history);
    let other = History { schema: "mcpool.black-box/2".to_owned(), ..history };
    let json = serde_json::to_string(&other).expect("JSON");
    assert!(matches!(History::from_json(&json), Err(ReadHistoryError::OtherSchema { .. })));
    assert!(matches!(History::from_json("{}"), Err(ReadHistoryError::Unreadable(_))));
}

#[cfg(feature = "cli")]
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpool"));
    let output =
        command.args(arguments).env_clear().env("TZ", "UTC").stdin(Stdio::null()).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[cfg(feature = "cli")]
#[test]
fn a_file_of_the_black_box_is_read_by_report_and_doctor() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("black-box.json");
    let history = with(299..=299, |sample| sample.refused = 3);
    std::fs::write(&path, serde_json::to_vec(&history).expect("JSON")).expect("written");
    let path = path.to_str().expect("text");
    for at in [
        "22:18:20",
        "22:18",
        "2023-11-14T22:18:20Z",
        "2023-11-14 22:18:20",
        "2023-11-14T23:18:20+01:00",
        "-5m",
    ] {
        let (code, json, error) = run(&["report", path, "--at", at, "--json"]);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{at}");
        let moment: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let want = if at == "22:18" { 280 } else { 300 };
        assert_eq!(moment["at"]["at_unix_ms"], BEGUN_MS + want * 1_000, "{at}");
        assert_eq!(moment["before"]["at_unix_ms"], BEGUN_MS + (want - 60) * 1_000, "{at}");
    }
    let (code, text, _) = run(&["report", path, "--at", "22:18:20"]);
    assert!(code == Some(0) && text.contains("22:18:20"), "{text}");
    let reach = "it reaches from 2023-11-14 22:13:21 to 2023-11-14 22:23:20";
    for (at, moment) in [
        ("-2h", "2023-11-14 20:23:20"),
        ("2023-11-13T22:18:20", "2023-11-13 22:18:20"),
        ("1969-07-20T20:17:40Z", "1969-07-20 20:17:40"),
        ("9999-12-01T00:00:00Z", "9999-12-01 00:00:00"),
    ] {
        let (code, _, error) = run(&["report", path, "--at", at]);
        assert!(code == Some(2) && error.contains(&format!("nothing of {moment}: {reach}")), "{error}");
    }
    let (code, _, error) = run(&["report", path, "--at", "noon"]);
    assert!(code == Some(2) && error.contains("is no moment"), "{error}");
    let (code, text, _) = run(&["doctor", path, "--since", "1h"]);
    assert!(code == Some(1) && text.contains("3 times for lack of memory, at 22:18:20"), "{text}");
    let (code, text, _) = run(&["doctor", path, "--since", "1m"]);
    assert!(code == Some(0) && text.starts_with("No issues: 6 rules"), "{text}");
    let (code, _, error) = run(&["doctor", path, "--since", "soon"]);
    assert!(code == Some(2) && error.contains("is no duration"), "{error}");
    for arguments in [&["report", "/dev/zero", "--at", "-5m"], &["doctor", "/dev/zero", "--since", "1h"]] {
        let (code, _, error) = run(arguments);
        assert!(code == Some(2) && error.contains("it is a device"), "{error}");
    }
    let (code, schema, _) = run(&["report", "--black-box-schema"]);
    assert_eq!((code, schema), (Some(0), std::fs::read_to_string(checked_in()).expect("a schema")));
}
