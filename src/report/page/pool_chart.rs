//! One pool: hits and bytes by capacity, and beneath them how many objects were wanted, on one axis of objects.
//!
//! Invariant: a chart has a point for each point of the report's curve, and a mark where each capacity lies.

use super::axis::{Axis, LABEL_GAP, LABEL_HEIGHT, label_width, size_mark, sizes};
use super::markup::escape;
use crate::limits::units::{bytes, grouped};
use crate::memory::{CurvePoint, PoolReport};
use crate::report::table::hit_percent;
use std::fmt::Write;

/// Of the drawing, in its own units: about a pixel on a phone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 316.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 346.0;
/// Top and bottom of each panel.
const HITS: (f64, f64) = (44.0, 138.0);
const BYTES: (f64, f64) = (160.0, 214.0);
const DEMAND: (f64, f64) = (236.0, 280.0);
/// Narrowest visible bar.
const MIN_BAR: f64 = 5.0;
/// The width of a bucket of demand is at most the largest value in it divided by this, as in `MissCurve`.
const BUCKET_SHARE: u64 = 16;

/// The figure, or the sentence that says why there is none.
pub(super) fn figure(pool: &PoolReport, advised: Option<u64>, at: usize) -> String {
    let name = escape(&pool.name);
    let mut html = format!(
        "<figure class=\"card\" data-pool=\"{name}\">\n<figcaption><h3>{name}</h3><p>{}</p></figcaption>\n",
        summary(pool)
    );
    if pool.curve.is_empty() {
        html.push_str("<p class=\"none\">No acquire of it was followed yet: there is no curve.</p>\n");
    } else {
        html.push_str(&drawing(pool, &marks(pool, advised), &name, at));
        html.push_str(&points(&pool.curve, &name));
    }
    html.push_str("</figure>\n");
    html
}

fn summary(pool: &PoolReport) -> String {
    let hits = pool.hit_ratio_1h.or(pool.hit_ratio_1m).or(pool.hit_ratio_now);
    let hits = hits.map(|ratio| format!("{} % hits. ", hit_percent(ratio))).unwrap_or_default();
    let demand = &pool.demand;
    escape(&format!(
        "{hits}In use: half of the time at most {}, 99 % at most {}, ever {}.",
        grouped(demand.p50),
        grouped(demand.p99),
        grouped(demand.max)
    ))
}

fn drawing(pool: &PoolReport, marks: &[Mark], name: &str, at: usize) -> String {
    let x = Axis::log(LEFT, RIGHT, end(pool, marks) as f64);
    let labels: Vec<&str> = marks.iter().map(|mark| mark.words.as_str()).collect();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"pool-{at}-title pool-{at}-desc\">\n\
         <title id=\"pool-{at}-title\">Miss curve of {name}</title>\n\
         <desc id=\"pool-{at}-desc\">Hit ratio and idle bytes by capacity, and demand, in objects on a logarithmic axis. Capacity {}.</desc>\n",
        escape(&labels.join(", "))
    );
    let largest = pool.curve.iter().map(|point| point.bytes).max().unwrap_or_default();
    let byte_marks = ends(&sizes(largest));
    let hits = Axis::linear(HITS.1, HITS.0, 1.0);
    let held = Axis::linear(BYTES.1, BYTES.0, byte_marks[1] as f64);
    let ratios = [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")];
    svg.push_str(&grid(&ratios.map(|(ratio, text)| (hits.at(ratio), text.to_owned()))));
    svg.push_str(&grid(&byte_marks.map(|size| (held.at(size as f64), size_mark(size)))));
    svg.push_str(&demand(pool, &x));
    svg.push_str(&mark_lines(marks, &x));
    for (y, text) in
        [(HITS.0, "hits"), (BYTES.0, "idle bytes at most"), (DEMAND.0, "acquires by objects in use")]
    {
        let _ = writeln!(svg, "<text class=\"panel\" x=\"{LEFT}\" y=\"{:.1}\">{text}</text>", y - 6.0);
    }
    svg.push_str(&line("curve hits", &pool.curve, &x, |point| hits.at(point.hit_ratio)));
    svg.push_str(&line("curve bytes", &pool.curve, &x, |point| held.at(point.bytes as f64)));
    svg.push_str(&ticks(&x));
    svg.push_str("<text class=\"tick\" text-anchor=\"end\" x=\"346\" y=\"312\">objects, log scale</text>\n");
    for point in &pool.curve {
        let (at, y) = (x.at(point.capacity as f64), hits.at(point.hit_ratio));
        let label = format!(
            "{} objects: {} % hits, {}",
            grouped(point.capacity),
            hit_percent(point.hit_ratio),
            bytes(point.bytes)
        );
        let _ = writeln!(
            svg,
            "<circle class=\"point\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"2.2\"><title>{label}</title></circle>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The numbers of objects beneath the chart, as many as have room.
fn ticks(x: &Axis) -> String {
    let mut svg = String::new();
    let mut free_from = 0.0;
    for value in x.powers(12.0) {
        let (at, text) = (x.at(value as f64), short(value));
        let half = label_width(&text) / 2.0;
        // The last one would leave the drawing.
        if at - half < free_from || at + half > WIDTH {
            continue;
        }
        free_from = at + half + LABEL_GAP;
        let _ = writeln!(
            svg,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"296\">{text}</text>"
        );
    }
    svg
}

/// The largest number of objects that is drawn.
fn end(pool: &PoolReport, marks: &[Mark]) -> u64 {
    let curve = pool.curve.iter().map(|point| point.capacity);
    let buckets = pool.demand.buckets.iter().map(|(largest, _)| *largest);
    let marked = marks.iter().map(|mark| mark.objects);
    curve.chain(buckets).chain(marked).chain([1]).max().unwrap_or(1)
}

fn ends(marks: &[u64]) -> [u64; 2] {
    [0, marks.last().copied().unwrap_or(1)]
}

fn grid(marks: &[(f64, String)]) -> String {
    let line = |(y, text): &(f64, String)| {
        format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\n",
            LEFT - 6.0,
            y + 4.0
        )
    };
    marks.iter().map(line).collect()
}

fn line(class: &str, curve: &[CurvePoint], x: &Axis, y: impl Fn(&CurvePoint) -> f64) -> String {
    let mut path = String::new();
    for (at, point) in curve.iter().enumerate() {
        let step = if at == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{step}{:.1} {:.1}", x.at(point.capacity as f64), y(point));
    }
    format!("<path class=\"{class}\" d=\"{path}\"/>\n")
}

/// Bars from one bucket to the next; neighbours too narrow to be seen are one bar.
fn demand(pool: &PoolReport, x: &Axis) -> String {
    let mut bars: Vec<(f64, f64, f64, u64)> = Vec::new();
    let mut before = 0;
    for &(largest, acquires) in &pool.demand.buckets {
        let least = before.max(largest.saturating_sub((largest / BUCKET_SHARE).max(1)));
        let (from, to) = (x.at(least as f64), x.at(largest as f64));
        match bars.last_mut() {
            Some(bar) if from - bar.1 < 1.0 && bar.1 - bar.0 < MIN_BAR => {
                (bar.1, bar.2, bar.3) = (to, bar.2 + acquires, largest);
            }
            _ => bars.push((from, to, acquires, largest)),
        }
        before = largest;
    }
    let most = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
    let y = Axis::linear(DEMAND.1, DEMAND.0, most);
    let mut svg = format!(
        "<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\n",
        DEMAND.1
    );
    if bars.is_empty() {
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{LEFT}\" y=\"{:.1}\">nobody counted yet</text>",
            DEMAND.1 - 8.0
        );
    }
    for (from, to, acquires, largest) in bars {
        let (top, width) = (y.at(acquires), (to - from - 1.0).max(1.5));
        let label =
            format!("up to {} in use: {} acquires", grouped(largest), grouped(acquires.round() as u64));
        let _ = writeln!(
            svg,
            "<rect class=\"demand\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\"><title>{label}</title></rect>",
            DEMAND.1 - top
        );
    }
    svg
}

/// A capacity that is marked.
struct Mark {
    class: &'static str,
    words: String,
    objects: u64,
}

fn marks(pool: &PoolReport, advised: Option<u64>) -> Vec<Mark> {
    let now = pool.capacity;
    let mark = |class, words: String, objects| Mark { class, words, objects };
    match advised {
        Some(advised) => vec![
            mark("now", format!("now {}", grouped(now)), now),
            mark("advised", format!("advised {}", grouped(advised)), advised),
        ],
        None if pool.advice.as_ref().is_some_and(|advice| advice.capacity == now) => {
            vec![mark("now", format!("now {}, as advised", grouped(now)), now)]
        }
        None => vec![mark("now", format!("now {}", grouped(now)), now)],
    }
}

/// A line for each mark, and its words in a row of their own above the chart.
fn mark_lines(marks: &[Mark], x: &Axis) -> String {
    let mut svg = String::new();
    for (row, Mark { class, words, objects }) in marks.iter().enumerate() {
        let (at, y) = (x.at(*objects as f64), 12.0 + LABEL_HEIGHT * row as f64);
        let width = label_width(words);
        let (anchor, beside) = if at + 5.0 + width <= WIDTH {
            ("start", at + 5.0)
        } else if at - 5.0 - width >= 0.0 {
            ("end", at - 5.0)
        } else {
            ("end", WIDTH)
        };
        let _ = writeln!(
            svg,
            "<line class=\"mark {class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"label {class}\" text-anchor=\"{anchor}\" x=\"{beside:.1}\" y=\"{y:.1}\">{words}</text>",
            y - 10.0,
            DEMAND.1
        );
    }
    svg
}

/// The same in words, for readers who do not see the drawing.
fn points(curve: &[CurvePoint], name: &str) -> String {
    let mut html = format!(
        "<details><summary>The curve as a table</summary><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Curve of {name}\">\
         <table><thead><tr><th scope=\"col\" class=\"n\">capacity</th><th scope=\"col\" class=\"n\">hit %</th><th scope=\"col\" class=\"n\">bytes</th></tr></thead><tbody>\n"
    );
    for point in curve {
        let (capacity, hits, size) =
            (grouped(point.capacity), hit_percent(point.hit_ratio), bytes(point.bytes));
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" class=\"n\">{capacity}</th><td class=\"n\">{hits}</td><td class=\"n\">{size}</td></tr>"
        );
    }
    html.push_str("</tbody></table></div></details>\n");
    html
}

/// A count that fits beneath its mark.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}
