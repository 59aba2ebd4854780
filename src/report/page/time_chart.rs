//! The chart of memory over time: the parts stacked, and the line of resident memory.
//!
//! Drawn twice, for wide and for narrow screens, because text shrinks with its drawing. Invariant: bands touch, and
//! empty ones are left out.

use super::axis::{Axis, LABEL_GAP, LABEL_HEIGHT, label_width, size_mark, sizes, times};
use super::markup::escape;
use crate::limits::units::{bytes, duration, round_duration};
use crate::memory::{MemoryReport, TimelinePoint};
use std::fmt::Write;

/// Parts with a colour of their own; the smaller ones share one.
const COLOURS: usize = 7;
/// A limit beyond this many times of the memory held is not drawn: it would flatten the rest.
const MAX_HEADROOM: u64 = 2;

/// A part, or all small ones, and its bytes at each point.
struct Band {
    name: String,
    class: String,
    bytes: Vec<u64>,
}

/// The figure, or the sentence that says why there is none.
pub(super) fn figure(report: &MemoryReport) -> String {
    let points = &report.timeline;
    let [first, .., last] = points.as_slice() else {
        return "<p class=\"none\">Memory was looked at less than twice: there is nothing to draw yet.</p>\n"
            .to_owned();
    };
    let bands = bands(points);
    let span = duration(last.at_ms.saturating_sub(first.at_ms));
    let mut caption = format!("{} samples over {span}. ", points.len());
    caption.push_str("The line is resident memory; what lies between it and the areas is the program itself, stacks, and memory that the allocator keeps.");
    let limit = shown_limit(report);
    if let (None, Some(limit)) = (limit, report.pressure.limit_bytes) {
        let _ = write!(caption, " The limit of {} lies far above.", bytes(limit));
    }
    let mut html = "<figure class=\"card\">\n".to_owned();
    html.push_str(&drawing(
        points,
        &bands,
        limit,
        &Frame { kind: "wide", width: 1040.0, height: 320.0, marks: 8 },
    ));
    html.push_str(&drawing(
        points,
        &bands,
        limit,
        &Frame { kind: "narrow", width: 360.0, height: 260.0, marks: 3 },
    ));
    html.push_str("<ul class=\"legend\">\n");
    let _ =
        writeln!(html, "<li><i class=\"key rss\"></i>resident <span>{}</span></li>", bytes(last.rss_bytes));
    for band in bands.iter().rev() {
        let now = bytes(band.bytes.last().copied().unwrap_or_default());
        let _ = writeln!(
            html,
            "<li><i class=\"key {}\"></i>{} <span>{now}</span></li>",
            band.class,
            escape(&band.name)
        );
    }
    let _ = writeln!(html, "</ul>\n<figcaption>{}</figcaption>\n</figure>", escape(&caption));
    html
}

/// The parts that ever held something, largest first, from the bottom up.
fn bands(points: &[TimelinePoint]) -> Vec<Band> {
    let mut parts: Vec<(&str, Vec<u64>)> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        for (name, bytes) in &point.parts {
            let place = parts.iter().position(|part| part.0 == name).unwrap_or_else(|| {
                parts.push((name, vec![0; points.len()]));
                parts.len() - 1
            });
            parts[place].1[at] = parts[place].1[at].saturating_add(*bytes);
        }
    }
    parts.retain(|(_, bytes)| bytes.iter().any(|bytes| *bytes > 0));
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.iter().copied().fold(0, u64::saturating_add)));
    // A single small part needs no common band.
    let own = if parts.len() == COLOURS + 1 { COLOURS + 1 } else { COLOURS };
    let small = parts.split_off(own.min(parts.len()));
    let named = parts.into_iter().enumerate();
    let mut bands: Vec<Band> = named
        .map(|(at, (name, bytes))| Band { name: name.to_owned(), class: format!("s{at}"), bytes })
        .collect();
    if !small.is_empty() {
        let sum = |at: usize| small.iter().map(|(_, bytes)| bytes[at]).fold(0, u64::saturating_add);
        let bytes = (0..points.len()).map(sum).collect();
        bands.push(Band { name: format!("{} smaller parts", small.len()), class: "s7".to_owned(), bytes });
    }
    bands
}

fn largest(points: &[TimelinePoint]) -> u64 {
    let sum = |point: &TimelinePoint| point.parts.iter().map(|part| part.1).fold(0, u64::saturating_add);
    points.iter().map(|point| point.rss_bytes.max(sum(point))).max().unwrap_or_default()
}

fn shown_limit(report: &MemoryReport) -> Option<u64> {
    let most = largest(&report.timeline).saturating_mul(MAX_HEADROOM);
    report.pressure.limit_bytes.filter(|limit| *limit <= most)
}

/// A size of drawing.
struct Frame {
    kind: &'static str,
    width: f64,
    height: f64,
    marks: u64,
}

fn drawing(points: &[TimelinePoint], bands: &[Band], limit: Option<u64>, frame: &Frame) -> String {
    let (left, right, top, bottom) = (66.0, frame.width - 12.0, 16.0, frame.height - 26.0);
    let marks = sizes(largest(points).max(limit.unwrap_or_default()));
    let end = marks.last().copied().unwrap_or(1);
    let y = Axis::linear(bottom, top, end as f64);
    let first = points.first().map_or(0, |point| point.at_ms);
    let last = points.last().map_or(0, |point| point.at_ms);
    let time = Axis::linear(left, right, last.saturating_sub(first) as f64);
    let x = |at_ms: u64| time.at(at_ms.saturating_sub(first) as f64);
    let (kind, width, height) = (frame.kind, frame.width, frame.height);
    let mut svg = format!(
        "<svg class=\"{kind}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"time-{kind}\">\n\
         <title id=\"time-{kind}\">Memory over time by part, up to {}</title>\n",
        bytes(end)
    );
    for size in marks {
        let at = y.at(size as f64);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 6.0,
            at + 4.0,
            size_mark(size)
        );
    }
    svg.push_str(&areas(points, bands, x, &y));
    let resident: Vec<String> = points
        .iter()
        .map(|point| format!("{:.1} {:.1}", x(point.at_ms), y.at(point.rss_bytes as f64)))
        .collect();
    let _ = writeln!(svg, "<path class=\"rss\" d=\"M{}\"/>", resident.join("L"));
    if let Some(limit) = limit {
        let at = y.at(limit as f64);
        let _ = writeln!(
            svg,
            "<line class=\"limit\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"label limit\" text-anchor=\"end\" x=\"{right}\" y=\"{:.1}\">limit {}</text>",
            if at >= LABEL_HEIGHT { at - 4.0 } else { at + LABEL_HEIGHT },
            bytes(limit)
        );
    }
    svg.push_str(&clock(&times(first, last, frame.marks), x, frame));
    svg.push_str("</svg>\n");
    svg
}

/// The times beneath the chart, as many as have room.
fn clock(times: &[u64], x: impl Fn(u64) -> f64, frame: &Frame) -> String {
    let mut svg = String::new();
    let mut free_from = 0.0;
    for &at_ms in times {
        let (at, text) = (x(at_ms), round_duration(at_ms));
        let width = label_width(&text);
        // The text stands below its mark, or ends with the drawing.
        let from = (at - width / 2.0).min(frame.width - width);
        if from < free_from {
            continue;
        }
        free_from = from + width + LABEL_GAP;
        let _ = writeln!(
            svg,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            from + width / 2.0,
            frame.height - 8.0
        );
    }
    svg
}

/// The bands, each on top of those before it.
fn areas(points: &[TimelinePoint], bands: &[Band], x: impl Fn(u64) -> f64, y: &Axis) -> String {
    let mut svg = String::new();
    let mut below = vec![0_u64; points.len()];
    for band in bands {
        let above: Vec<u64> =
            below.iter().zip(&band.bytes).map(|(low, more)| low.saturating_add(*more)).collect();
        let edge = |heights: &[u64]| -> Vec<String> {
            let places = points.iter().zip(heights);
            places
                .map(|(point, height)| format!("{:.1} {:.1}", x(point.at_ms), y.at(*height as f64)))
                .collect()
        };
        let mut back = edge(&below);
        back.reverse();
        let _ = writeln!(
            svg,
            "<path class=\"area {}\" d=\"M{}L{}Z\"><title>{}</title></path>",
            band.class,
            edge(&above).join("L"),
            back.join("L"),
            escape(&band.name)
        );
        below = above;
    }
    svg
}
