//! Draws the screen: eight lines of what matters, the pane below them, and the keys.

use super::panes::{Column, Pane, Row};
use super::rates::overall;
use super::view::View;
use crate::limits::units::{bytes, duration, grouped, latency};
use crate::memory::{MemoryReport, PressureLevel};
use crate::monitor::Alert;
use crate::report::cut;
use crate::visible;
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use std::collections::VecDeque;
use std::io;
use unicode_width::UnicodeWidthStr;

/// Lines above the pane.
const HEAD: u16 = 8;
/// Least width of the column of names.
const MIN_NAME: usize = 20;
const KEYS: &str = "q quit  1-6 pane  s sort  i invert  / filter  p pause  r reclaim  w report";

const TITLE: Style = Style::new().add_modifier(Modifier::REVERSED);
const HEADING: Style = Style::new().add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const CHART: Style = Style::new().fg(Color::Cyan);

/// The screen as lines of text.
pub(super) fn picture(view: &View, (width, height): (u16, u16)) -> io::Result<Vec<String>> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(io::Error::other)?;
    terminal.draw(|frame| draw(frame, view)).map_err(io::Error::other)?;
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for y in 0..height {
        let (mut line, mut x) = (String::new(), 0);
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // The cell after a wide character is part of it.
            x += symbol.width().max(1) as u16;
        }
        lines.push(line.trim_end().to_owned());
    }
    Ok(lines)
}

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let Some(report) = &view.report else { return };
    let row = |y: u16| Rect::new(area.x, y, area.width, u16::from(y < area.height));
    let width = usize::from(area.width);
    frame.render_widget(Line::styled(title(view, report, width), TITLE), row(0));
    frame.render_widget(Line::from(memory(report)), row(1));
    frame.render_widget(Line::from(traffic(view, report)), row(2));
    frame.render_widget(Line::from(clients(report)), row(3));
    frame.render_widget(Line::from(latencies(report)), row(4));
    charts(frame, view, row(5));
    frame.render_widget(alert_line(view, report), row(6));
    frame.render_widget(tabs(view), row(7));
    let below = HEAD.min(area.height);
    let body = Rect::new(area.x, below, area.width, area.height.saturating_sub(below + 1));
    if view.pane == Pane::Overview {
        overview(frame, view, report, body);
    } else {
        let lines = table(view, report, view.pane, (width, usize::from(body.height)));
        frame.render_widget(Paragraph::new(lines), body);
    }
    frame.render_widget(foot(view), row(area.height.saturating_sub(1)));
}

fn title(view: &View, report: &MemoryReport, width: usize) -> String {
    let s = report.taken_unix_ms / 1_000 % 86_400;
    let clock = format!("{:02}:{:02}:{:02} UTC", s / 3_600, s / 60 % 60, s % 60);
    let state = if view.is_paused { "PAUSED " } else { "" };
    let server = &report.server;
    let name = cut(&visible::line(&format!("{} {}", server.name, server.version)), 30);
    let left = format!(" mcpool top  {name}  pid {}  up {}", server.pid, duration(report.uptime_ms));
    let right = format!("{state}{clock} ");
    let gap = width.saturating_sub(left.width() + right.width()).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

fn memory(report: &MemoryReport) -> Vec<Span<'static>> {
    let usage = &report.usage;
    let shown = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), bytes);
    let limit = match (usage.rss_bytes, report.pressure.limit_bytes) {
        (Some(rss), Some(limit)) if limit > 0 => {
            format!(" of {} ({:.0} %)", bytes(limit), rss as f64 * 100.0 / limit as f64)
        }
        _ => String::new(),
    };
    let level = match report.pressure.level {
        PressureLevel::Normal => Span::raw(""),
        PressureLevel::Elevated => Span::styled("ELEVATED", BAD),
        PressureLevel::Critical => Span::styled("CRITICAL", BAD),
    };
    let heap = shown(usage.heap_bytes);
    let text = format!(
        "memory {}{limit}  peak {}  heap {heap}  ",
        shown(usage.rss_bytes),
        shown(usage.peak_rss_bytes)
    );
    vec![Span::raw(text), level]
}

fn traffic(view: &View, report: &MemoryReport) -> Vec<Span<'static>> {
    let rates = view.rates.unwrap_or_default();
    let count = |figure: f64| grouped(figure.round() as u64);
    let errors = format!("  errors {}/s", count(rates.errors_per_s));
    let refused = format!("  refused {}", grouped(report.pressure.refused));
    let bad = |is_bad: bool, text: String| if is_bad { Span::styled(text, BAD) } else { Span::raw(text) };
    let cpu = rates.cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0} %"));
    vec![
        Span::raw(format!("requests {}/s", count(rates.requests_per_s))),
        bad(rates.errors_per_s > 0.0, errors),
        bad(rates.refused_per_s > 0.0, refused),
        Span::raw(format!("  processor {cpu}")),
    ]
}

fn clients(report: &MemoryReport) -> String {
    let traffic = &report.traffic;
    format!(
        "connections {}  sessions {}  in flight {}  subscriptions {}  tasks {}",
        grouped(traffic.connections),
        grouped(traffic.sessions),
        grouped(traffic.in_flight),
        grouped(traffic.subscriptions),
        grouped(traffic.tasks)
    )
}

fn latencies(report: &MemoryReport) -> String {
    match overall(report) {
        Some(window) => format!(
            "latency p50 {}  p95 {}  p99 {}  max {}  over {} s",
            latency(window.p50_ns),
            latency(window.p95_ns),
            latency(window.p99_ns),
            latency(window.max_ns),
            window.covered_ms.div_ceil(1_000)
        ),
        None => "latency: no requests yet".to_owned(),
    }
}

/// Two charts beside each other: requests per second, and the latency of 99 %.
fn charts(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let half = area.width / 2;
    let charts = [("rate ", &view.request_history, area.x), ("p99 ", &view.p99_history, area.x + half)];
    for (label, history, x) in charts {
        let place = Rect::new(x, area.y, half, area.height);
        frame.render_widget(Line::styled(label, QUIET), place);
        let used = (label.len() as u16).min(half);
        // A blank stays between the two.
        let chart = Rect::new(x + used, area.y, half.saturating_sub(used + 1), area.height);
        let data = latest(history, usize::from(chart.width));
        frame.render_widget(Sparkline::default().data(&data).style(CHART), chart);
    }
}

fn latest(history: &VecDeque<u64>, count: usize) -> Vec<u64> {
    history.iter().skip(history.len().saturating_sub(count)).copied().collect()
}

fn alert_line(view: &View, report: &MemoryReport) -> Line<'static> {
    if let Some(fault) = &view.fault {
        return Line::styled(visible::line(fault), BAD);
    }
    let active = || report.alerts.iter().filter(|alert| Alert::is_active(alert));
    match active().max_by_key(|alert| alert.severity) {
        Some(alert) => {
            let text = format!("{} alert(s): {} {}", active().count(), alert.subject, alert.what);
            Line::styled(visible::line(&text), BAD)
        }
        None => Line::raw("no alerts"),
    }
}

fn tabs(view: &View) -> Line<'static> {
    let mut spans = Vec::new();
    for (at, pane) in Pane::ALL.into_iter().enumerate() {
        let style = if pane == view.pane { TITLE } else { QUIET };
        spans.extend([Span::styled(format!(" {} {} ", at + 1, pane.title()), style), Span::raw(" ")]);
    }
    if !view.filter.is_empty() && !view.is_filtering {
        spans.push(Span::styled(format!(" filter: {}", view.filter), HEADING));
    }
    Line::from(spans)
}

fn foot(view: &View) -> Line<'static> {
    if view.is_filtering {
        return Line::styled(format!("filter: {}_  (Enter keeps it, Esc drops it)", view.filter), HEADING);
    }
    match &view.message {
        Some(message) => Line::styled(visible::line(message), HEADING),
        None => Line::styled(KEYS, QUIET),
    }
}

/// The beginning of four panes: two beside two.
fn overview(frame: &mut Frame<'_>, view: &View, report: &MemoryReport, body: Rect) {
    let left = body.width / 2;
    let top = body.height.div_ceil(2);
    let right = body.width - left;
    for (pane, x, width, y, height) in [
        (Pane::Ledger, body.x, left, body.y, top),
        (Pane::Pools, body.x + left, right, body.y, top),
        (Pane::Clients, body.x, left, body.y + top, body.height - top),
        (Pane::Tools, body.x + left, right, body.y + top, body.height - top),
    ] {
        // A blank column and a blank line stay between them.
        let lines = table(view, report, pane, (usize::from(width.saturating_sub(1)), usize::from(height)));
        frame.render_widget(Paragraph::new(lines), Rect::new(x, y, width.saturating_sub(1), height));
    }
}

/// A pane as lines: its titles, then the rows that pass the filter.
fn table(
    view: &View,
    report: &MemoryReport,
    pane: Pane,
    (width, height): (usize, usize),
) -> Vec<Line<'static>> {
    let filter = view.filter.to_lowercase();
    let mut rows: Vec<Row> = pane.rows(report).into_iter().filter(|row| row.has(&filter)).collect();
    let sorted_by = view.sorted_by(pane);
    if let Some(column) = sorted_by {
        rows.sort_by(|one, other| one.compare(other, column));
    }
    if view.is_reversed && pane == view.pane {
        rows.reverse();
    }
    let first = if pane == view.pane { view.first_row.min(rows.len().saturating_sub(1)) } else { 0 };
    let rows = &rows[first..];
    let columns = pane.columns();
    let title = |at: usize, column: &Column| {
        let mark = if sorted_by == Some(at) { "*" } else { "" };
        format!("{mark}{}", column.title)
    };
    let titles: Vec<String> = columns.iter().enumerate().map(|(at, column)| title(at, column)).collect();
    let widths = fit(columns, &titles, rows, width);
    let mut lines =
        vec![Line::styled(row_text(columns, titles.iter().map(String::as_str), &widths), HEADING)];
    for row in rows.iter().take(height.saturating_sub(1)) {
        lines.push(Line::raw(row_text(columns, row.cells.iter().map(|cell| cell.shown.as_str()), &widths)));
    }
    if rows.is_empty() {
        lines.push(Line::styled("  nothing", QUIET));
    }
    lines
}

/// The width of each column; 0 for those that there is no room for.
fn fit(columns: &[Column], titles: &[String], rows: &[Row], width: usize) -> Vec<usize> {
    let widest = |at: usize| {
        rows.iter().map(|row| row.cells[at].shown.width()).chain([titles[at].width()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    let text = columns.iter().position(|column| column.is_text);
    loop {
        let others = (1..widths.len()).filter(|at| Some(*at) != text && widths[*at] > 0);
        let used: usize = others.map(|at| widths[at] + 2).sum();
        let least = MIN_NAME.min(widths[0]);
        let dropped = (1..columns.len())
            .filter(|at| widths[*at] > 0 && columns[*at].rank > 0)
            .max_by_key(|at| columns[*at].rank);
        match dropped {
            Some(at) if used + least > width => widths[at] = 0,
            _ => {
                let left = width.saturating_sub(used);
                if let Some(text) = text {
                    widths[0] = widths[0].min(left / 3);
                    widths[text] = left.saturating_sub(widths[0] + 2);
                } else {
                    widths[0] = left;
                }
                return widths;
            }
        }
    }
}

fn row_text<'t>(columns: &[Column], cells: impl Iterator<Item = &'t str>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let text = cut(cell, *width);
        let fill = " ".repeat(width.saturating_sub(text.width()));
        match at {
            0 => line.extend([text.as_str(), &fill]),
            at if columns[at].is_text => line.extend(["  ", &text, &fill]),
            _ => line.extend(["  ", &fill, &text]),
        }
    }
    line
}
