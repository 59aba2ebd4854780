//! The report as one HTML page with charts, without scripts and without other files.
//!
//! Owns the content of the page and its order; the tables and their words are those of [`super::table`]. Invariants: no
//! address, script or style from elsewhere; an empty part is replaced by a sentence.

mod axis;
mod markup;
mod pool_chart;
mod time_chart;

use super::advised::advised;
use super::latency_table::latencies;
use super::layout::{Align, Cell, Column, Section, Sentence};
use super::legend::{LegendEntry, legend, meaning_of};
use super::{overview, table};
use crate::limits::units::{self, rfc3339};
use crate::memory::{MemoryReport, PoolReport};
use markup::{escape, part};
use std::fmt::Write as _;
use std::io;

const STYLE: &str = include_str!("page.css");
/// Most rows of the distribution of connections.
const MAX_BUCKETS: usize = 64;

/// Writes the report as one HTML page: tables, charts and the report itself as JSON in `<script id="report">`.
///
/// The page loads nothing from anywhere, so that it can be kept, mailed and read without a network.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::write_html;
///
/// let report = Server::builder("demo", "1.0.0").build()?.memory().report();
/// let mut text = Vec::new();
/// write_html(&report, &mut text)?;
/// assert!(!text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_html(report: &MemoryReport, out: &mut impl io::Write) -> io::Result<()> {
    let json = serde_json::to_string(report)?;
    let name = escape(&report.server.name);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Memory of {name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    )?;
    write!(out, "{}<main id=\"main\" tabindex=\"-1\">\n{}", header(report), figures(report))?;
    for section in sections(report) {
        out.write_all(section.as_bytes())?;
    }
    write!(out, "</main>\n{}</body>\n</html>\n", markup::data("report", &json))
}

fn header(report: &MemoryReport) -> String {
    let links = [
        ("glance", "At a glance"),
        ("clients", "Clients"),
        ("calls", "Calls"),
        ("timeline", "Over time"),
        ("ledger", "Ledger"),
        ("pools", "Pools"),
        ("connections", "Connections"),
        ("settings", "Settings"),
        ("legend", "What the words mean"),
    ];
    let links = links.map(|(id, title)| format!("<li><a href=\"#{id}\">{title}</a></li>"));
    let taken = rfc3339(report.taken_unix_ms);
    // To the second, without the letters around the time.
    let shown = format!("{} UTC", taken.get(..19).unwrap_or_default().replace('T', " "));
    format!(
        "<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header>\n<h1>Memory of {}</h1>\n<p class=\"sub\">Taken <time datetime=\"{taken}\">{shown}</time></p>\n\
         <p class=\"lead\">{}</p>\n\
         <nav aria-label=\"Parts of the report\"><ul>{}</ul></nav>\n</header>\n",
        escape(&report.server.name),
        markup::sentence(&table::headline(report)),
        links.concat()
    )
}

/// The most important figures.
fn figures(report: &MemoryReport) -> String {
    let (usage, pressure) = (&report.usage, &report.pressure);
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "not known".to_owned(), units::bytes);
    let peak = usage.peak_rss_bytes.map(|peak| format!("at most {}", units::bytes(peak)));
    let (rate, p99, p50) = match overview::overall(report) {
        Some((rate, window)) => {
            (rate, units::latency(window.p99_ns), format!("p50 {}", units::latency(window.p50_ns)))
        }
        None => ("0".to_owned(), "-".to_owned(), String::new()),
    };
    let ended = format!("{} since the start", units::grouped(overview::requests(report)));
    let heap = usage.heap_bytes.map(|heap| format!("{} of live heap", units::bytes(heap)));
    let refused = format!("refused {} x", units::grouped(pressure.refused));
    let shown = [
        ("Resident", size(usage.rss_bytes), peak.unwrap_or_default()),
        ("Private", size(usage.private_bytes), heap.unwrap_or_default()),
        ("Requests a second", rate, ended),
        ("p99", p99, p50),
        ("Pressure", table::level(pressure.level).to_owned(), refused),
        ("Limit", size(pressure.limit_bytes), pressure.limit_source.clone().unwrap_or_default()),
    ];
    let figure = |(name, value, remark): &(&str, String, String)| {
        let class = if *name == "Pressure" { " class=\"pressure\"" } else { "" };
        let meaning = meaning(name);
        format!(
            "<div{class}><dt{meaning}>{name}</dt><dd>{}<small>{}</small></dd></div>\n",
            escape(value),
            escape(remark)
        )
    };
    let level = table::level(pressure.level);
    format!("<dl id=\"figures\" class=\"{level}\">\n{}</dl>\n", shown.iter().map(figure).collect::<String>())
}

fn sections(report: &MemoryReport) -> Vec<String> {
    let (used, unused): (Vec<_>, Vec<_>) = report.pools.iter().partition(|pool| table::is_used(pool));
    vec![
        section("glance", &overview::glance(report)),
        part_or_reason("clients", overview::clients(report), "Clients by name", overview::UNCOUNTED),
        part_or_reason("calls", overview::calls(report), "Calls by tool", "No tool was called."),
        part("timeline", "Memory over time", &time_chart::figure(report)),
        ledger(report),
        part_or_reason("kernel", table::kernel(report), "Kernel", "The kernel tells nothing."),
        pools(report, &used, &unused),
        advice(report),
        part_or_reason(
            "pressure",
            table::pressure(report),
            "Pressure",
            "There was none, and nothing was given back.",
        ),
        connections(report),
        part_or_reason(
            "sessions",
            table::sessions(report),
            "Largest sessions",
            &unnamed("session", report.traffic.sessions),
        ),
        part_or_reason("tools", table::tools(report), "Tools", "No tool is named in this report."),
        part_or_reason(
            "applied",
            table::applied(report),
            "Applied by the last optimisation",
            "Nothing was changed.",
        ),
        part_or_reason("latencies", latencies(report), "Latencies", "Nothing was measured in the last hour."),
        settings(report),
        part("legend", "What the words mean", &words()),
    ]
}

/// The legend, as a list of words with their meanings.
fn words() -> String {
    let entry = |entry: &LegendEntry| {
        let fields = entry.fields.iter().map(|field| format!(" <code>{field}</code>"));
        format!(
            "<div><dt>{}{}</dt><dd>{}</dd></div>\n",
            escape(&entry.words.join(", ")),
            fields.collect::<String>(),
            escape(entry.meaning)
        )
    };
    let entries: String = legend().iter().map(entry).collect();
    format!(
        "<details open><summary>Every word of this page, and of the JSON report</summary>\n<dl class=\"words\">\n{entries}</dl></details>\n"
    )
}

/// What a label means, for the attribute that is shown beside the pointer.
fn meaning(label: &str) -> String {
    meaning_of(label).map(|text| format!(" title=\"{}\"", escape(text))).unwrap_or_default()
}

fn section(id: &str, section: &Section) -> String {
    part(id, &section.title, &markup::section(section, &[]))
}

fn none(words: &str) -> String {
    format!("<p class=\"none\">{}</p>\n", escape(words))
}

/// Reports may count holders without naming them.
fn unnamed(what: &str, open: u64) -> String {
    match open {
        0 => format!("No {what} is open."),
        _ => format!("Open: {}. None is named in this report.", units::grouped(open)),
    }
}

fn part_or_reason(id: &str, section: Option<Section>, title: &str, otherwise: &str) -> String {
    match section {
        Some(section) => part(id, &section.title, &markup::section(&section, &[])),
        None => part(id, title, &none(otherwise)),
    }
}

fn ledger(report: &MemoryReport) -> String {
    let Some(section) = table::ledger(report) else {
        return part("ledger", "Ledger", &none("Nobody entered anything yet."));
    };
    let shown = || report.parts.iter().filter(|part| table::is_shown(part)).map(|part| part.bytes as f64);
    let most = shown().fold(0.0, f64::max);
    let bars: Vec<f64> = shown().map(|bytes| if most > 0.0 { bytes / most } else { 0.0 }).collect();
    part("ledger", &section.title, &markup::section(&section, &bars))
}

fn pools(report: &MemoryReport, used: &[&PoolReport], unused: &[&PoolReport]) -> String {
    let Some(mut section) = table::pools(report) else {
        return part("pools", "Pools", &none("There are no pools."));
    };
    // All reasons stand in a part of their own.
    section.notes = table::unused_note(unused).into_iter().collect();
    let mut body = markup::section(&section, &[]);
    if used.is_empty() {
        body.push_str(&none("No pool was used yet: there is no curve to draw."));
    } else {
        body.push_str("<div class=\"cards\" id=\"curves\">\n");
        body.extend(
            used.iter().enumerate().map(|(at, pool)| pool_chart::figure(pool, advised(report, pool), at)),
        );
        body.push_str("</div>\n");
    }
    part("pools", &section.title, &body)
}

fn advice(report: &MemoryReport) -> String {
    let reasons: Vec<Sentence> = table::advice(report, usize::MAX);
    if reasons.is_empty() {
        return part("advice", "Advice", &none("No pool needs another capacity, as far as it was used."));
    }
    let items = reasons.iter().map(|reason| format!("<li>{}</li>\n", markup::sentence(reason)));
    part("advice", "Advice", &format!("<ul class=\"advice\">\n{}</ul>\n", items.collect::<String>()))
}

fn connections(report: &MemoryReport) -> String {
    let mut body = match spread(&report.hotspots.connection_buckets) {
        Some((section, bars)) => {
            format!("<h3>{}</h3>\n{}", escape(&section.title), markup::section(&section, &bars))
        }
        None => none(&unnamed("connection", report.traffic.connections)),
    };
    if let Some(section) = table::connections(report) {
        let _ = write!(body, "<h3>{}</h3>\n{}", escape(&section.title), markup::section(&section, &[]));
    }
    part("connections", "Connections", &body)
}

/// The number of connections by size, empty sizes in between included, with a bar for each row.
fn spread(buckets: &[(u64, u64)]) -> Option<(Section, Vec<f64>)> {
    let first = buckets.iter().map(|bucket| bucket.0).min()?;
    let last = buckets.iter().map(|bucket| bucket.0).max()?;
    let mut sizes: Vec<u64> = buckets.iter().map(|bucket| bucket.0).collect();
    let between = std::iter::successors(Some(first.max(1)), |size| size.checked_mul(2));
    sizes.extend(between.take_while(|size| *size < last));
    sizes.sort_unstable();
    sizes.dedup();
    sizes.truncate(MAX_BUCKETS);
    let count = |size: u64| {
        buckets.iter().filter(|bucket| bucket.0 == size).map(|bucket| bucket.1).fold(0, u64::saturating_add)
    };
    let most = sizes.iter().map(|size| count(*size)).max().filter(|most| *most > 0)?;
    let rows = sizes.iter().map(|size| {
        let cells = [format!("up to {}", units::bytes(*size)), units::grouped(count(*size)), String::new()];
        cells.map(Cell::text).into()
    });
    let section = Section {
        title: "How many hold how much".to_owned(),
        columns: vec![
            Column { align: Align::Right, ..Column::name("bytes") },
            Column::figure("connections", 0),
            Column { is_plain_only: true, ..Column::figure("", 1) },
        ],
        rows: rows.collect(),
        notes: Vec::new(),
    };
    let bars = sizes.iter().map(|size| count(*size) as f64 / most as f64).collect();
    Some((section, bars))
}

fn settings(report: &MemoryReport) -> String {
    let rows = report.settings.iter().map(|(name, value)| {
        let value = match name.rsplit_once('_') {
            Some((_, "bytes")) => units::bytes(*value),
            Some((_, "ms")) => units::duration(*value),
            Some((_, "percent")) => format!("{value} %"),
            _ => units::grouped(*value),
        };
        vec![Cell::name(name), Cell::text(value)]
    });
    let section = Section {
        title: "Settings".to_owned(),
        columns: vec![Column::name("setting"), Column::figure("value", 0)],
        rows: rows.collect(),
        notes: Vec::new(),
    };
    part_or_reason("settings", section.unless_empty(), "Settings", "None are reported.")
}
