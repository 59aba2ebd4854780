//! The Prometheus text, read back by a parser of the format as it is documented.

use super::sample::{self, HOSTILE};
use mcpool::memory::MemoryReport;
use mcpool::report::write_prometheus;
use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;
/// Name, labels and value of a series.
type Row = (&'static str, &'static [(&'static str, &'static str)], f64);

/// One metric with all its samples.
struct Metric {
    kind: String,
    samples: Vec<(Labels, f64)>,
}

fn exposed(report: &MemoryReport) -> BTreeMap<String, Metric> {
    let mut out = Vec::new();
    write_prometheus(report, &mut out).expect("written");
    let text = String::from_utf8(out).expect("UTF-8");
    parse(&text).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

/// Reads the text format 0.0.4; whatever Prometheus or its linter would refuse is a fault.
fn parse(text: &str) -> Result<BTreeMap<String, Metric>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    let mut helped: Option<String> = None;
    let mut series = BTreeSet::new();
    // Not `lines`: a carriage return is no end of a line here.
    for line in text.split_terminator('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').ok_or("HELP without words")?;
            if words.trim().is_empty() {
                return Err(format!("{name}: empty HELP"));
            }
            helped = Some(name.to_owned());
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').ok_or("TYPE without a type")?;
            if helped.take().as_deref() != Some(name) {
                return Err(format!("{name}: TYPE does not follow its HELP"));
            }
            if !matches!(kind, "counter" | "gauge" | "histogram")
                || (kind == "counter") != name.ends_with("_total")
            {
                return Err(format!("{name} is a {kind}"));
            }
            let metric = Metric { kind: kind.to_owned(), samples: Vec::new() };
            if metrics.insert(name.to_owned(), metric).is_some() {
                return Err(format!("{name}: two blocks"));
            }
            name.clone_into(&mut current);
        } else {
            let (name, labels, value) = sample(line).map_err(|fault| format!("{fault}: {line:?}"))?;
            let is_histogram = metrics.get(&current).is_some_and(|metric| metric.kind == "histogram");
            let ending = name.strip_prefix(current.as_str());
            let belongs = if is_histogram {
                ending.is_some_and(|ending| matches!(ending, "_bucket" | "_sum" | "_count"))
                    && (ending == Some("_bucket")) == labels.contains_key("le")
            } else {
                name == current
            };
            if !belongs {
                return Err(format!("{name} stands in the block of {current}"));
            }
            if !series.insert((name, labels.clone())) {
                return Err(format!("{line:?} comes twice"));
            }
            let metric = metrics.get_mut(&current).ok_or("no block")?;
            metric.samples.push((labels, value));
        }
    }
    match metrics.iter().find(|(_, metric)| metric.samples.is_empty()) {
        Some((name, _)) => Err(format!("{name}: a head without samples")),
        None => Ok(metrics),
    }
}

/// `name{label="value",..} value`.
fn sample(line: &str) -> Result<(String, Labels, f64), &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("no name of a metric");
    }
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without value")?;
            if !is_name(label) || label.contains(':') || label.starts_with("__") {
                return Err("no name of a label");
            }
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label comes twice");
            }
            if let Some(end) = after.strip_prefix('}') {
                rest = end;
                break;
            }
            rest = after.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number if number.starts_with(|char: char| char.is_ascii_digit() || char == '-') => {
            number.parse().map_err(|_| "no number")?
        }
        _ => return Err("no number"),
    };
    Ok((name.to_owned(), labels, value))
}

/// The text up to the closing quotation mark, which is not in front any more, and what follows.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, same @ ('\\' | '"'))) => same,
                _ => return Err("an unknown escape"),
            }),
            _ => value.push(char),
        }
    }
    Err("a label's value has no end")
}

fn is_name(name: &str) -> bool {
    let is_first = |char: char| char.is_ascii_alphabetic() || char == '_' || char == ':';
    name.starts_with(is_first) && name.chars().all(|char| is_first(char) || char.is_ascii_digit())
}

/// The value of the one series that has these labels and no others.
fn value(metrics: &BTreeMap<String, Metric>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let found = metrics.get(name)?.samples.iter().find(|(labels, _)| *labels == wanted)?;
    Some(found.1)
}

#[test]
fn the_parser_refuses_what_prometheus_refuses() {
    let head = "# HELP a b\n# TYPE a gauge\n";
    for (text, fault) in [
        ("a 1\n", "stands in the block of"),
        ("# TYPE a gauge\na 1\n", "does not follow its HELP"),
        ("# HELP a b\n# TYPE a counter\na 1\n", "is a counter"),
        ("# HELP a b\n# TYPE a histogram\na 1\n", "stands in the block of"),
        ("# HELP a b\n# TYPE a histogram\na_bucket 1\n", "stands in the block of"),
        ("# HELP a_total b\n# TYPE a_total gauge\na_total 1\n", "is a gauge"),
        (&format!("{head}a 1\na 2\n"), "comes twice"),
        (&format!("{head}a{{b=\"c\"}} 1\na{{b=\"c\"}} 2\n"), "comes twice"),
        (&format!("{head}a 1\n{head}a 2\n"), "two blocks"),
        (head, "a head without samples"),
        (&format!("{head}a 1"), "no end"),
        (&format!("{head}a{{b=\"\\x\"}} 1\n"), "an unknown escape"),
        (&format!("{head}a{{b=\"c}} 1\n"), "has no end"),
        (&format!("{head}a{{b=\"c\"d=\"e\"}} 1\n"), "no comma"),
        (&format!("{head}a{{b-c=\"d\"}} 1\n"), "no name of a label"),
        (&format!("{head}a inf\n"), "no number"),
        (&format!("{head}a{{b=\"c\"}}1\n"), "no blank"),
    ] {
        let found = parse(text).err().unwrap_or_default();
        assert!(found.contains(fault), "{text:?}: {found:?}");
    }
    let fine = parse(&format!("{head}a 1\na{{b=\"c\\n\\\"\\\\\",d=\"e}}\"}} +Inf\n")).expect("fine");
    assert_eq!(value(&fine, "a", &[("b", "c\n\"\\"), ("d", "e}")]), Some(f64::INFINITY));
}

const MIB: f64 = 1_048_576.0;

const REGRESSION: (&str, &str) = ("kind", "regression");
const SUBJECT: (&str, &str) = ("subject", "tool slow|tool");
const MESSAGE: (&str, &str) = ("kind", "message");
const TOOL: (&str, &str) = ("kind", "tool");
const NO_NAME: (&str, &str) = ("name", "");
const READ: (&str, &str) = ("name", "read_text_file");
const TEN_S: (&str, &str) = ("window_s", "10");
const MINUTE: (&str, &str) = ("window_s", "60");

/// What the sample has, under the name that it is exposed by.
const FIGURES: [Row; 64] = [
    ("process_resident_memory_bytes", &[], 20.0 * MIB),
    ("process_cpu_seconds_total", &[], 12.34),
    ("process_open_fds", &[], 1_021.0),
    ("process_start_time_seconds", &[], 1_700_000_000_000.0),
    ("process_threads", &[], 3.0),
    ("mcpool_server_info", &[("name", "files"), ("version", "0.1.0"), ("os", "linux")], 1.0),
    ("mcpool_memory_part_bytes", &[("part", "buffers, idle"), ("heap", "true")], 4.0 * MIB),
    ("mcpool_memory_part_bytes", &[("part", "program"), ("heap", "false")], 2.0 * MIB),
    ("mcpool_memory_part_bytes", &[("part", "tool state"), ("heap", "true")], 0.0),
    ("mcpool_memory_part_peak_bytes", &[("part", "buffers, idle"), ("heap", "true")], 5.0 * MIB),
    ("mcpool_memory_private_bytes", &[], 8.5 * MIB),
    ("mcpool_memory_heap_bytes", &[], 6.0 * MIB),
    ("mcpool_memory_committed_bytes", &[], 9.0 * MIB),
    ("mcpool_memory_allocated_peak_bytes", &[], 7.0 * MIB),
    ("mcpool_memory_unwritten_bytes", &[], 0.0),
    ("mcpool_memory_shared_bytes", &[], 11.5 * MIB),
    ("mcpool_memory_explained_ratio", &[], 0.9),
    ("mcpool_memory_held_ratio", &[], 0.3),
    ("mcpool_memory_ledger_error_bytes", &[], -2.0 * MIB),
    ("mcpool_memory_limit_bytes", &[], 64.0 * MIB),
    ("mcpool_memory_pressure_level", &[], 1.0),
    ("mcpool_memory_pressure_entered_total", &[("level", "normal")], 2.0),
    ("mcpool_memory_pressure_entered_total", &[("level", "elevated")], 3.0),
    ("mcpool_memory_pressure_entered_total", &[("level", "critical")], 1.0),
    ("mcpool_memory_reclaimed_bytes_total", &[("step", "idle arenas")], 3.0 * MIB),
    ("mcpool_memory_reclaims_total", &[("step", "idle arenas")], 7.0),
    ("mcpool_memory_refused_total", &[], 1_234.0),
    ("mcpool_pool_in_use", &[("pool", "arenas")], 12.0),
    ("mcpool_pool_idle", &[("pool", "arenas")], 16.0),
    ("mcpool_pool_capacity", &[("pool", "arenas")], 16.0),
    ("mcpool_pool_advised_capacity", &[("pool", "arenas")], 40.0),
    ("mcpool_pool_acquires_total", &[("pool", "arenas")], 41_233.0),
    ("mcpool_pool_misses_total", &[("pool", "arenas")], 3_340.0),
    ("mcpool_pool_discards_total", &[("pool", "arenas"), ("reason", "full")], 3_312.0),
    ("mcpool_pool_discards_total", &[("pool", "arenas"), ("reason", "oversized")], 2.0),
    ("mcpool_pool_bytes", &[("pool", "arenas"), ("state", "idle")], 98_304.0),
    ("mcpool_pool_bytes", &[("pool", "arenas"), ("state", "in_use")], 65_536.0),
    ("mcpool_pool_demand", &[("pool", "arenas"), ("quantile", "0.5")], 4.0),
    ("mcpool_pool_demand", &[("pool", "arenas"), ("quantile", "0.99")], 31.0),
    ("mcpool_pool_demand", &[("pool", "arenas"), ("quantile", "0.999")], 37.0),
    ("mcpool_pool_demand", &[("pool", "arenas"), ("quantile", "1")], 41.0),
    ("mcpool_pool_hit_ratio", &[("pool", "arenas"), ("window", "now")], 0.9189),
    ("mcpool_pool_hit_ratio", &[("pool", "buffers/4096"), ("window", "1h")], 0.5),
    ("mcpool_pool_budget_limit_bytes", &[], 16.0 * MIB),
    ("mcpool_pool_budget_used_bytes", &[], 5.0 * MIB),
    ("mcpool_frames_total", &[], 1_300_000.0),
    ("mcpool_calls_decoded_total", &[("passes", "1")], 1_234_550.0),
    ("mcpool_calls_decoded_total", &[("passes", "2")], 17.0),
    ("mcpool_requests_parked_total", &[], 41.0),
    ("mcpool_requests_in_flight", &[], 2.0),
    ("mcpool_notifications_dropped_total", &[], 8.0),
    ("mcpool_sessions_opened_total", &[], 9.0),
    ("mcpool_sessions_expired_total", &[], 3.0),
    ("mcpool_connections", &[], 12.0),
    ("mcpool_unread_answers", &[], 2.0),
    ("mcpool_unread_answer_bytes", &[], 3.0 * MIB),
    ("mcpool_latest_return_milliseconds", &[], 2_500.0),
    ("mcpool_kernel_part_bytes", &[("part", "buffers of TCP"), ("scope", "network")], 628.0 * 1024.0),
    ("mcpool_kernel_part_bytes", &[("part", "page tables"), ("scope", "process")], 120.0 * 1024.0),
    ("mcpool_latency_seconds", &[MESSAGE, NO_NAME, TEN_S, ("quantile", "0.95")], 0.000_005),
    ("mcpool_latency_seconds", &[TOOL, READ, MINUTE, ("quantile", "0.99")], 0.003_75),
    ("mcpool_latency_seconds", &[TOOL, READ, MINUTE, ("quantile", "1")], 0.05),
    ("mcpool_alert_since_seconds", &[REGRESSION, ("severity", "warning"), SUBJECT], 1_700_000_003_780.0),
    ("mcpool_latency_window_count", &[TOOL, READ, MINUTE], 299.0),
];

#[test]
fn every_figure_is_there_under_its_name() {
    let metrics = exposed(&sample::full());
    for (name, labels, want) in FIGURES {
        let found = value(&metrics, name, labels);
        assert_eq!(found, Some(want), "{name} {labels:?}");
    }
    for metric in metrics.values() {
        assert!(metric.kind != "counter" || metric.samples.iter().all(|(_, value)| *value >= 0.0));
    }
}

/// Buckets are cumulative, the last one holds all, and it is what the count says.
#[test]
fn durations_are_histograms_of_each_method_and_error() {
    let metrics = exposed(&sample::full());
    let samples = |name: &str, labels: &[(&str, &str)]| -> Vec<f64> {
        let wanted: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let is_of = |found: &Labels| {
            let mut found = found.clone();
            found.remove("le");
            found == wanted
        };
        let samples = metrics[name].samples.iter();
        samples.filter(|(labels, _)| is_of(labels)).map(|(_, value)| *value).collect()
    };
    let operations = "mcp_server_operation_duration_seconds";
    let good = samples(operations, &[("mcp_method_name", "tools/call")]);
    assert_eq!(good[..4], [90.0, 94.0, 94.0, 95.0]);
    assert_eq!(good[14..], [96.0, 4.5, 96.0], "all of them, their sum, their count");
    assert!(good[..15].is_sorted());
    let failed = samples(operations, &[("mcp_method_name", "tools/call"), ("error_type", "tool_error")]);
    assert_eq!((failed[0], failed[16]), (7.0, 7.0));
    let sessions = samples("mcp_server_session_duration_seconds", &[]);
    assert_eq!((sessions[14], sessions[15]), (3.0, 700.0));
    let first = &metrics[operations].samples[0].0;
    assert_eq!(first.get("le").map(String::as_str), Some("0.01"));
}

#[test]
fn what_is_not_known_is_absent_not_zero() {
    let metrics = exposed(&sample::empty());
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_threads",
        "mcpool_memory_explained_ratio",
        "mcpool_memory_held_ratio",
        "mcpool_memory_ledger_error_bytes",
        "mcpool_memory_limit_bytes",
        "mcpool_memory_part_bytes",
        "mcpool_pool_capacity",
    ] {
        assert!(!metrics.contains_key(name), "{name}");
    }
    assert_eq!(value(&metrics, "mcpool_frames_total", &[]), Some(0.0));
    let full = exposed(&sample::full());
    assert_eq!(value(&full, "mcpool_pool_hit_ratio", &[("pool", "arenas"), ("window", "1h")]), None);
    assert_eq!(value(&full, "mcpool_pool_advised_capacity", &[("pool", "exchanges")]), None);
}

#[test]
fn hostile_names_stay_in_their_labels() {
    let metrics = exposed(&sample::hostile());
    assert!(!metrics.contains_key("mcpool_fake"));
    for name in HOSTILE {
        let name = &*sample::shown(name);
        assert_eq!(value(&metrics, "mcpool_pool_capacity", &[("pool", name)]), Some(16.0), "{name:?}");
        let labels = [("pool", name), ("reason", name)];
        assert_eq!(value(&metrics, "mcpool_pool_discards_total", &labels), Some(1.0), "{name:?}");
    }
    assert_eq!(metrics["mcpool_pool_capacity"].samples.len(), HOSTILE.len());
}
