//! Draws lines over two axes, each even or logarithmic, as SVG.

use super::markup::escape;
use std::fmt::Write as _;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;
/// The most that a character of a label takes on average, the height of a label, and what is left free beside one.
const CHAR_WIDTH: f64 = 7.2;
const LABEL_HEIGHT: f64 = 13.0;
const LABEL_GAP: f64 = 6.0;
/// About so many marks has an even axis.
const MARKS: f64 = 5.0;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

/// A line through points, in the order of their x.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The class of the style sheet.
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart, without its lines.
pub(super) struct Chart<'a> {
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) x_label: &'a dyn Fn(f64) -> String,
    pub(super) y_label: &'a dyn Fn(f64) -> String,
}

/// One axis: what it shows, and where.
#[derive(Debug, Clone, Copy)]
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Where `low` and `high` are drawn.
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that shows all these values.
    fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max));
        if scale == Scale::Log {
            low = low.max(1e-3);
            high = high.max(low * 1.5);
        } else {
            high = if high > low { high } else { low + 1.0 };
        }
        Self { scale, low, high, from, to }
    }

    /// The same with 0, where it is even.
    fn with_zero(self) -> Self {
        match self.scale {
            Scale::Linear => Self { low: self.low.min(0.0), high: self.high * 1.05, ..self },
            Scale::Log => self,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        share.mul_add(self.to - self.from, self.from)
    }

    /// The values that are marked.
    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let rough = (self.high - self.low) / MARKS;
                let unit = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit);
                let step = step.into_iter().find(|step| *step >= rough).unwrap_or(unit * 10.0);
                let first = (self.low / step).ceil() as i64;
                (first..=(self.high / step).floor() as i64).map(|number| number as f64 * step).collect()
            }
            Scale::Log => {
                let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                let factors: &[f64] = if self.high / self.low > 100.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let all =
                    decades.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
                all.filter(|mark| (self.low..=self.high * 1.000_001).contains(mark)).collect()
            }
        }
    }
}

impl Chart<'_> {
    /// The chart with these lines as an element `svg`.
    pub(super) fn draw(&self, lines: &[Line]) -> String {
        let points = lines.iter().flat_map(|line| line.points.iter().copied());
        if points.clone().next().is_none() {
            return "<p>There are no figures for this.</p>\n".to_owned();
        }
        let x = Axis::of(self.x, points.clone().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::of(self.y, points.map(|point| point.1), HEIGHT - BOTTOM, TOP).with_zero();
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n");
        self.axes(&x, &y, &mut out);
        let mut right = WIDTH - RIGHT;
        for Line { name, class, points } in lines.iter().filter(|line| !line.points.is_empty()) {
            let _ = writeln!(
                out,
                "<text class=\"{class}\" x=\"{right:.0}\" y=\"14\" text-anchor=\"end\">{name}</text>"
            );
            right -= LABEL_GAP + width_of(name);
            if let [(only_x, only_y)] = points[..] {
                let (x, y) = (x.at(only_x), y.at(only_y));
                let _ = writeln!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
                continue;
            }
            let _ = write!(out, "<polyline class=\"{class}\" points=\"");
            for (at_x, at_y) in points {
                let _ = write!(out, "{:.1},{:.1} ", x.at(*at_x), y.at(*at_y));
            }
            out.push_str("\"/>\n");
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, x: &Axis, y: &Axis, out: &mut String) {
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut free_above = f64::MAX;
        for mark in y.marks() {
            let at = y.at(mark);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
            );
            // A mark without room for its label has its line alone.
            if at > free_above {
                continue;
            }
            free_above = at - LABEL_HEIGHT;
            let label = escape(&(self.y_label)(mark));
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 6.0,
                at + 4.0
            );
        }
        let mut free_from = 0.0;
        for mark in x.marks() {
            let (at, label) = (x.at(mark), (self.x_label)(mark));
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            );
            // It stands below its mark, or ends with the drawing.
            let width = width_of(&label);
            let from = (at - width / 2.0).min(WIDTH - width);
            if from < free_from {
                continue;
            }
            free_from = from + width + LABEL_GAP;
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                from + width / 2.0,
                bottom + 16.0,
                escape(&label)
            );
        }
    }
}

/// The most that a label takes.
fn width_of(label: &str) -> f64 {
    label.chars().count() as f64 * CHAR_WIDTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_are_round_and_within() {
        let axis = |scale, low, high| Axis { scale, low, high, from: 0.0, to: 100.0 };
        assert_eq!(axis(Scale::Linear, 0.0, 10.0).marks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(Scale::Log, 1.0, 10_000.0).marks(), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(axis(Scale::Log, 90.0, 600.0).marks(), [100.0, 200.0, 500.0]);
        let log = axis(Scale::Log, 1.0, 10_000.0);
        assert!((log.at(100.0) - 50.0).abs() < 1e-9);
    }

    /// The labels of a chart, and the boxes that they are in: left, right, top, bottom.
    fn labels(svg: &str) -> Vec<(String, [f64; 4])> {
        let texts = svg.split("<text ").skip(1).map(|rest| rest.split_once("</text>").expect("an end").0);
        texts
            .map(|text| {
                let (tag, label) = text.split_once('>').expect("a tag");
                let attribute = |name: &str| {
                    let value = tag.split_once(&format!("{name}=\"")).expect(name).1;
                    value.split_once('"').expect("a quotation mark").0
                };
                let [x, y] = ["x", "y"].map(|name| attribute(name).parse::<f64>().expect("a number"));
                let width = label.chars().count() as f64 * 7.0;
                let left = match attribute("text-anchor") {
                    "end" => x - width,
                    _ => x - width / 2.0,
                };
                (label.to_owned(), [left, left + width, y - 9.0, y + 2.0])
            })
            .collect()
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_lies_within_the_chart(
            points in proptest::collection::vec((-5.0..1e6_f64, 0.0..1e9_f64), 1..30), is_log: bool,
        ) {
            let (x, y) = if is_log { (Scale::Log, Scale::Log) } else { (Scale::Linear, Scale::Linear) };
            let (x_label, y_label) = (|value: f64| format!("{value:.2} s"), |value: f64| format!("{value:.1e}"));
            let line = |name| Line { name, class: "a", points: points.clone() };
            let lines = [line("all"), line("scheduled"), line("answered"), line("failed")];
            let text = Chart { x, y, x_label: &x_label, y_label: &y_label }.draw(&lines);
            prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            let boxes = labels(&text);
            prop_assert!(boxes.len() >= lines.len(), "{text}");
            for (at, (label, own)) in boxes.iter().enumerate() {
                prop_assert!(own[0] >= 0.0 && own[1] <= WIDTH, "{label} leaves the chart: {own:?}");
                for (other_label, other) in &boxes[at + 1..] {
                    let across = own[1].min(other[1]) - own[0].max(other[0]);
                    let down = own[3].min(other[3]) - own[2].max(other[2]);
                    prop_assert!(across <= 0.0 || down <= 0.0, "{label} covers {other_label}: {own:?} {other:?}");
                }
            }
            let x = Axis::of(x, points.iter().map(|point| point.0), LEFT, WIDTH - RIGHT);
            for (at, _) in &points {
                prop_assert!((LEFT - 0.1..=WIDTH - RIGHT + 0.1).contains(&x.at(*at)), "{at}");
            }
        }
    }
}
