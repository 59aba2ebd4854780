//! The account as one page with charts: it loads nothing and runs nothing, and is readable in light and dark.
//!
//! Each row of the summary is a chart of its own, as units differ; growth is drawn as lines. Where the largest figure
//! is more than twenty times the smallest, equal distances are equal ratios, which is said beside it. No
//! colour says anything that a word does not say too.

use crate::account::Account;
use crate::peers::Peer;
use crate::sheet::{Cell, Row, Sheet, figure};
use std::fmt::Write as _;

const STYLE: &str = include_str!("chart.css");
const LOG_FROM: f64 = 20.0;
/// Of a chart: its width, the room for names at its left, for figures at its right, and the height of a line.
const WIDTH: f64 = 520.0;
const NAMES: f64 = 165.0;
const FIGURES: f64 = 85.0;
const LINE: f64 = 24.0;
/// Of a chart of growth.
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 60.0;
/// Sheets that are drawn as lines.
const GROWTH: [&str; 4] = ["growth-clients-cpu", "growth-clients-rss", "growth-frames-cpu", "growth-lines"];

/// The page.
pub fn page(account: &Account) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>mcpool beside others</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>mcpool beside others</h1>\n<p>{} <code>{}</code></p>\n<p class=\"note\">{}</p>\n",
        if account.is_quick { "A short run of" } else { "A full run of" },
        escape(&account.command),
        escape(&told(account)),
    );
    let summary = account.summary();
    html.push_str("<h2 id=\"short\">In short</h2>\n<p class=\"note\">The dot is the median, the band behind it goes from the least to the most, or from p50 to p99.9 where times are told. What is counted a second is better high, all else low.</p>\n<div class=\"cards\">\n");
    html.extend(summary.rows.iter().map(bars));
    html.push_str("</div>\n");
    let growth: Vec<_> = account
        .sheets
        .iter()
        .filter(|(_, sheet)| GROWTH.contains(&sheet.id) && !sheet.rows.is_empty())
        .collect();
    if !growth.is_empty() {
        let _ = write!(
            html,
            "<h2 id=\"growth\">As the work grows</h2>\n{}<div class=\"cards\">\n",
            legend(&growth)
        );
        html.extend(growth.iter().map(|(_, sheet)| lines(sheet)));
        html.push_str("</div>\n");
    }
    html.push_str("<h2 id=\"tables\">All tables</h2>\n");
    html.extend(account.sheets.iter().map(|(_, sheet)| table(sheet)));
    html.push_str("</body>\n</html>\n");
    html
}

/// The machine, the versions and the terms, in a sentence.
fn told(account: &Account) -> String {
    let facts = account.facts.iter().map(|(name, value)| format!("{name} {value}"));
    let versions = account.versions.iter().map(|(peer, version)| format!("{}: {version}", peer.name()));
    let missing = account.missing.iter().map(|(peer, why)| format!("{} left out: {why}", peer.name()));
    facts.chain(versions).chain(missing).chain([account.terms.clone()]).collect::<Vec<_>>().join("; ") + "."
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A sentence, in which what stands between backticks is code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let html = |(index, part)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.map(html).collect()
}

/// One direction of a chart.
#[derive(Debug)]
struct Axis {
    from: f64,
    to: f64,
    least: f64,
    most: f64,
    is_log: bool,
}

impl Axis {
    /// An axis on which all `values` lie: from zero, or in ratios where they are far apart.
    fn over(values: &[f64], from: f64, to: f64, is_log: bool) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let most = positive().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let least = positive().fold(most, f64::min);
        if is_log || most > least * LOG_FROM {
            let power = |value: f64| 10_f64.powf(value);
            let (least, most) = (power(least.log10().floor()), power(most.log10().ceil()));
            Self { from, to, least, most: most.max(least * 10.0), is_log: true }
        } else {
            Self { from, to, least: 0.0, most, is_log: false }
        }
    }

    /// Where a value is; the begin for what is not above zero.
    fn at(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.least).log10() / (self.most / self.least).log10()
        } else {
            value / self.most
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + (self.to - self.from) * share
    }

    /// The values that are written beside it.
    fn marks(&self) -> Vec<f64> {
        if self.is_log {
            let next = |value: &f64| Some(value * 10.0).filter(|next| *next <= self.most * 1.01);
            std::iter::successors(Some(self.least), next).collect()
        } else {
            vec![0.0, self.most / 2.0, self.most]
        }
    }
}

/// A row of the summary as a chart: a line for each peer.
fn bars(row: &Row) -> String {
    let values: Vec<f64> =
        row.cells.values().flat_map(|cell| [cell.figure(), cell.ends().0, cell.ends().1]).collect();
    let axis = Axis::over(&values, NAMES, WIDTH - FIGURES, false);
    let height = LINE * row.cells.len() as f64;
    let mut svg = String::new();
    for mark in axis.marks() {
        let x = axis.at(mark);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height + 14.0,
            short(mark)
        );
    }
    for (index, (peer, cell)) in row.cells.iter().enumerate() {
        svg.push_str(&bar(&axis, *peer, cell, LINE * (index as f64 + 0.5)));
    }
    let cells = row.cells.iter().map(|(peer, cell)| format!("{} {cell}", peer.name()));
    format!(
        "<figure><figcaption><h3>{}</h3>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n{svg}</svg></figure>\n",
        escape(&row.label),
        scale(&axis),
        height + 20.0,
        escape(&cells.collect::<Vec<_>>().join("; "))
    )
}

fn scale(axis: &Axis) -> &'static str {
    if axis.is_log { "<p class=\"note\">Logarithmic scale.</p>" } else { "" }
}

fn bar(axis: &Axis, peer: Peer, cell: &Cell, y: f64) -> String {
    let (x, (least, most)) = (axis.at(cell.figure()), cell.ends());
    let series = series(peer);
    let ours = if peer.is_ours() { " class=\"ours\"" } else { "" };
    format!(
        "<text{ours} x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <line class=\"stem {series}\" x1=\"{NAMES}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <line class=\"range {series}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <circle class=\"{series}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
         <text{ours} x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        NAMES - 10.0,
        y + 4.5,
        escape(peer.name()),
        axis.at(least),
        axis.at(most),
        WIDTH - FIGURES + 12.0,
        y + 4.5,
        figure(cell.figure())
    )
}

/// The class of a peer's colour.
fn series(peer: Peer) -> String {
    let index = Peer::ALL.iter().position(|other| *other == peer).unwrap_or_default();
    format!("s{index}")
}

fn legend(sheets: &[&(&'static str, Sheet)]) -> String {
    let is_there = |peer: &Peer| sheets.iter().any(|(_, sheet)| sheet.columns().contains(peer));
    let item =
        |peer: Peer| format!("<li><span class=\"key {}\"></span>{}</li>", series(peer), escape(peer.name()));
    let items: String = Peer::ALL.into_iter().filter(is_there).map(item).collect();
    format!("<ul class=\"legend\">{items}</ul>\n")
}

/// A sheet whose rows are one, ten and a hundred times the work, as lines in ratios both ways.
fn lines(sheet: &Sheet) -> String {
    let values: Vec<f64> = sheet.rows.iter().flat_map(|row| row.cells.values().map(Cell::figure)).collect();
    let axis = Axis::over(&values, HEIGHT - 24.0, 10.0, true);
    let step = (WIDTH - MARGIN * 2.0) / (sheet.rows.len().max(2) - 1) as f64;
    let x = |index: usize| MARGIN + step * index as f64;
    let mut svg = String::new();
    for mark in axis.marks() {
        let y = axis.at(mark);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{MARGIN}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - MARGIN,
            MARGIN - 8.0,
            y + 4.0,
            short(mark)
        );
    }
    for (index, row) in sheet.rows.iter().enumerate() {
        let (x, label) = (x(index), escape(&row.label));
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            HEIGHT - 4.0
        );
    }
    for peer in sheet.columns() {
        let cells =
            sheet.rows.iter().enumerate().filter_map(|(index, row)| Some((x(index), row.cells.get(&peer)?)));
        let points: Vec<_> =
            cells.map(|(x, cell)| (x, axis.at(cell.figure()), figure(cell.figure()))).collect();
        let path: Vec<String> = points.iter().map(|(x, y, _)| format!("{x:.1} {y:.1}")).collect();
        let (class, name) = (series(peer), escape(peer.name()));
        let _ = write!(
            svg,
            "<path class=\"line {class}\" d=\"M{}\"><title>{name}</title></path>",
            path.join("L")
        );
        for (x, y, figure) in &points {
            let _ = write!(
                svg,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{name}: {figure}</title></circle>"
            );
        }
        svg.push('\n');
    }
    let heading = escape(&sheet.heading());
    format!(
        "<figure><figcaption><h3>{heading}</h3><p class=\"note\">Logarithmic scales. {}</p></figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{heading}\">\n{svg}</svg></figure>\n",
        prose(&sheet.about)
    )
}

/// A power of ten, or a round figure, in few letters.
fn short(value: f64) -> String {
    match value {
        _ if value >= 999_999.0 => {
            format!("{}M", figure(value / 1e6).trim_end_matches(".00").trim_end_matches(".0"))
        }
        _ if value >= 9_999.0 => {
            format!("{}k", figure(value / 1e3).trim_end_matches(".00").trim_end_matches(".0"))
        }
        _ if value > 0.0 && value < 0.01 => format!("{value:.0e}"),
        _ => figure(value).trim_end_matches(".00").trim_end_matches(".0").to_owned(),
    }
}

fn table(sheet: &Sheet) -> String {
    if sheet.rows.is_empty() {
        return String::new();
    }
    let columns = sheet.columns();
    let names: Vec<_> = columns.iter().map(|peer| escape(peer.name())).collect();
    let heads = names.join("</th><th scope=\"col\">");
    let mut rows = String::new();
    for row in &sheet.rows {
        let cell = |peer| row.cells.get(peer).map_or(String::new(), |cell| escape(&cell.to_string()));
        let cells = columns.iter().map(cell).collect::<Vec<_>>().join("</td><td>");
        let _ = writeln!(rows, "<tr><th scope=\"row\">{}</th><td>{cells}</td></tr>", escape(&row.label));
    }
    format!(
        "<details><summary>{}</summary><p class=\"note\">{}</p><div class=\"scroll\"><table><thead><tr><th></th><th scope=\"col\">{heads}</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div></details>\n",
        escape(&sheet.heading()),
        prose(&sheet.about)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::sample;

    fn is(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-6
    }

    #[test]
    fn what_is_far_apart_is_drawn_in_ratios() {
        let near = Axis::over(&[5.0, 10.0], 0.0, 100.0, false);
        assert!(!near.is_log && is(near.at(5.0), 50.0) && is(near.at(0.0), 0.0));
        assert_eq!(near.marks(), [0.0, 5.0, 10.0]);

        let far = Axis::over(&[0.0, 2.0, 900.0], 0.0, 300.0, false);
        assert!(far.is_log && is(far.at(10.0), 100.0) && is(far.at(1000.0), 300.0), "{far:?}");
        assert_eq!(
            far.marks().iter().map(|mark| mark.round() as u64).collect::<Vec<_>>(),
            [1, 10, 100, 1000]
        );
    }

    #[test]
    fn whatever_is_drawn_lies_on_the_axis() {
        for values in [vec![], vec![0.0], vec![1.0], vec![1e-9, 1e9], vec![-5.0, f64::NAN]] {
            for is_log in [false, true] {
                let axis = Axis::over(&values, 10.0, 90.0, is_log);
                for value in [0.0, -1.0, 1.0, 1e300, f64::NAN, f64::INFINITY] {
                    assert!((10.0..=90.0).contains(&axis.at(value)), "{axis:?} {value}");
                }
                assert!(axis.marks().len() < 700);
            }
        }
    }

    #[test]
    fn the_page_has_all_and_loads_nothing() {
        let mut account = sample();
        let mut growth = Sheet::new("growth-clients-cpu", "CPU", "us", "");
        for (label, cost) in [("10 clients", 1.0), ("100 clients", 20.0), ("1000 clients", 30.0)] {
            growth.put_rounds(label, Peer::Rmcp, &[cost]);
        }
        account.sheets.push(("growth", growth));
        let page = page(&account);
        for part in [
            "a &lt;fast&gt; one",
            ">250</text>",
            "spawn to first answer, ms",
            "As the work grows",
            "1000 clients",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for foreign in ["http://", "https://", "<script", "url(", "NaN", "inf"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<circle").count(), 2 + 3);
        assert_eq!(page.matches("<figure>").count(), page.matches("</figure>").count());
    }

    #[test]
    fn code_is_set_apart_and_harmless() {
        assert_eq!(prose("`a<b` & `c`"), "<code>a&lt;b</code> &amp; <code>c</code>");
    }

    #[test]
    fn marks_are_short() {
        for (value, text) in [
            (0.001, "1e-3"),
            (0.1, "0.10"),
            (1.0, "1"),
            (1000.0, "1,000"),
            (1e4, "10k"),
            (1e6, "1M"),
            (2.5e6, "2.50M"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
