//! The report as a page: well-formed, alone, true to its figures, and closed to what names would do.

use super::sample::{self, HOSTILE};
use mcpool::memory::{CurvePoint, MemoryReport, TimelinePoint};
use mcpool::report::write_html;
use std::collections::BTreeSet;

/// Elements that have no end.
const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
/// Every element a page may have: none that runs, loads or asks.
const ELEMENTS: [&str; 51] = [
    "!DOCTYPE",
    "a",
    "b",
    "body",
    "caption",
    "circle",
    "code",
    "dd",
    "desc",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "i",
    "li",
    "line",
    "main",
    "meta",
    "nav",
    "p",
    "path",
    "rect",
    "script",
    "section",
    "small",
    "span",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "text",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "ul",
    "dl",
    "dt",
    "dd",
    "b",
];

pub(super) fn page(report: &MemoryReport) -> String {
    let mut out = Vec::new();
    write_html(report, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

/// One start of an element, and the text up to the next tag.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn number(&self, name: &str) -> f64 {
        self.attribute(name).parse().unwrap_or_else(|_| panic!("{name} of {self:?}"))
    }

    fn is(&self, name: &str, class: &str) -> bool {
        self.name == name && self.attribute("class") == class
    }
}

/// All elements; panics where the page is not well-formed.
pub(super) fn parse(page: &str) -> Vec<Element> {
    let (mut elements, mut open, mut rest) = (Vec::<Element>::new(), Vec::new(), page);
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "before {rest:.80}");
            continue;
        }
        let is_closed = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, mut inside) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while let Some((key, value)) = inside.split_once("=\"") {
            let (value, more) = value.split_once('"').expect("an attribute ends");
            attributes.push((key.trim().to_owned(), value.to_owned()));
            inside = more;
        }
        // What is in a script ends at its end tag alone.
        let until = if name == "script" { "</script" } else { "<" };
        let text = rest[..rest.find(until).expect("more")].to_owned();
        if name == "script" {
            rest = &rest[text.len()..];
        }
        if !is_closed && !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        elements.push(Element { name: name.to_owned(), attributes, text });
        assert!(!open.is_empty() || name == "!DOCTYPE", "nothing is open after {name}");
        if rest.trim() == "</html>" {
            assert_eq!(open, ["html"]);
            break;
        }
    }
    elements
}

/// With a timeline, curves and demand worth drawing.
pub(super) fn busy() -> MemoryReport {
    let mut report = sample::full();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    report.timeline = (0..120_u64)
        .map(|at| TimelinePoint {
            at_ms: at * 30_000,
            rss_bytes: (20 << 20) + (at % 7) * 100_000,
            parts: names
                .iter()
                .zip(1..)
                .map(|(name, size)| ((*name).to_owned(), size * at * 1_000))
                .collect(),
        })
        .collect();
    for pool in &mut report.pools {
        pool.demand.buckets = (1..=60).map(|largest| (largest, 1_000.0 / largest as f64)).collect();
        pool.curve = (0..=12)
            .map(|power| CurvePoint {
                capacity: 1 << power,
                hit_ratio: 1.0 - 0.5_f64.powi(power + 1),
                bytes: (6 * 1_024) << power,
            })
            .collect();
    }
    report.hotspots.connection_buckets = vec![(4_096, 900), (65_536, 70), (1 << 20, 3)];
    report
}

#[test]
fn every_page_is_well_formed_and_stands_alone() {
    for report in [sample::full(), sample::empty(), sample::hostile(), busy()] {
        let text = page(&report);
        assert!(text.starts_with("<!DOCTYPE html>\n") && text.ends_with("</html>\n"));
        let elements = parse(&text);
        let mut ids = BTreeSet::new();
        for element in &elements {
            assert!(ELEMENTS.contains(&element.name.as_str()), "{element:?}");
            for (key, value) in &element.attributes {
                assert!(key != "src" && !key.starts_with("on") && !key.contains(':'), "{element:?}");
                assert!(key != "href" || value.starts_with('#'), "{element:?}");
                assert!(key != "style" || value.starts_with("width:") && value.ends_with('%'), "{element:?}");
                assert!(!value.contains("NaN") && !value.contains("inf"), "{element:?}");
                assert!(key != "id" || ids.insert(value.clone()), "twice: {value}");
            }
        }
        for element in &elements {
            let named = element.attribute("aria-labelledby").split(' ').filter(|id| !id.is_empty());
            let linked = element.attribute("href").strip_prefix('#');
            assert!(named.chain(linked).all(|id| ids.contains(id)), "{element:?}");
        }
        let style = elements.iter().find(|element| element.name == "style").expect("a style");
        for outside in ["http", "url(", "@import", "src"] {
            assert!(!style.text.contains(outside), "{outside}");
        }
    }
    // Nothing foreign: no address at all, but for the name of the policy.
    let text = page(&busy()).replace("http-equiv", "");
    assert!(["http", "src=", "@import", "url("].iter().all(|outside| !text.contains(outside)));
}

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let text = page(&sample::hostile());
    let elements = parse(&text);
    let scripts: Vec<_> = elements.iter().filter(|element| element.name == "script").collect();
    assert_eq!((scripts.len(), scripts[0].attribute("type")), (1, "application/json"));
    assert!(!text.contains(|char: char| char.is_control() && char != '\n'));
    let shown = &text[..text.find("<script ").expect("a script")];
    assert!(!shown.contains('\u{202e}') && !shown.contains("<script"));
    for name in HOSTILE {
        let harmless = sample::shown(name);
        let escaped = harmless.replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let found = elements.iter().filter(|element| element.text == escaped).count();
        // As a part, a pool, a connection, a tool, a step and a change.
        assert!(found >= 6, "{name:?}: {found}");
    }
}

#[test]
fn the_report_is_in_its_page() {
    for report in [sample::full(), sample::empty(), sample::hostile(), busy()] {
        let text = page(&report);
        let elements = parse(&text);
        let data = elements.iter().find(|element| element.attribute("id") == "report").expect("data");
        assert!(!data.text.contains('<'));
        assert_eq!(MemoryReport::from_json(&data.text).expect("a report"), report);
    }
}

#[test]
fn every_used_pool_has_its_whole_curve_and_marks_where_its_capacities_are() {
    let report = busy();
    let text = page(&report);
    let figures: Vec<_> =
        text.split("<figure ").skip(1).filter(|figure| figure.contains("data-pool=")).collect();
    assert_eq!(figures.len(), 2, "two pools of the sample are used");
    for (figure, name) in figures.iter().zip(["arenas", "buffers/4096"]) {
        let pool = report.pool(name).expect("a pool");
        assert!(figure.contains(&format!("data-pool=\"{name}\"")), "{name}");
        let html = format!("<figure {}", figure.split("</figure>").next().expect("a figure"));
        let elements = parse(&format!("<html>{html}</figure></html>"));
        // An axis of objects up to 4096, from 58 to 346: zero has a place on it.
        let x = |objects: u64| 58.0 + 288.0 * (objects as f64).ln_1p() / 4_096_f64.ln_1p();
        let is_at = |found: f64, objects: u64| (found - x(objects)).abs() < 0.06;
        let points: Vec<_> = elements.iter().filter(|element| element.is("circle", "point")).collect();
        assert_eq!(points.len(), pool.curve.len());
        for (point, want) in points.iter().zip(&pool.curve) {
            assert!(is_at(point.number("cx"), want.capacity), "{point:?}");
            let y = 138.0 - 94.0 * want.hit_ratio;
            assert!((point.number("cy") - y).abs() < 0.06, "{point:?}");
        }
        for class in ["curve hits", "curve bytes"] {
            let path = elements.iter().find(|element| element.is("path", class)).expect("a path");
            assert_eq!(path.attribute("d").split(['M', 'L']).count(), 1 + pool.curve.len());
        }
        let mark = |class: &str| elements.iter().find(|element| element.is("line", class));
        let advised = pool.advice.as_ref().expect("advice").capacity;
        assert!(is_at(mark("mark now").expect("a mark").number("x1"), pool.capacity));
        match mark("mark advised") {
            Some(mark) => assert!(is_at(mark.number("x1"), advised)),
            None => assert_eq!(advised, pool.capacity),
        }
        let rows = elements.iter().filter(|element| element.name == "tr").count();
        assert_eq!(rows, 1 + pool.curve.len());
        assert!(elements.iter().any(|element| element.is("rect", "demand")));
    }
}

#[test]
fn memory_over_time_has_a_band_for_each_large_part() {
    let report = busy();
    let text = page(&report);
    let elements = parse(&text);
    let areas: Vec<_> =
        elements.iter().filter(|element| element.attribute("class").starts_with("area ")).collect();
    // Seven large ones and the small together, for wide screens and for narrow ones.
    assert_eq!(areas.len(), 2 * 8);
    for area in areas {
        assert_eq!(area.attribute("d").split(['M', 'L']).count(), 1 + 2 * report.timeline.len());
    }
    assert_eq!(elements.iter().filter(|element| element.is("path", "rss")).count(), 2);
    assert!(text.contains("3 smaller parts") && text.contains("The limit of 64.0 MiB lies far above."));
    let mut near = report;
    near.pressure.limit_bytes = Some(30 << 20);
    assert_eq!(parse(&page(&near)).iter().filter(|element| element.is("line", "limit")).count(), 2);
}

/// A label of a chart: its text, and its left, right, top and bottom edge.
type Label = (String, [f64; 4]);

/// The labels of each chart, in boxes as wide as a wide font makes them.
fn labels(text: &str) -> Vec<(f64, Vec<Label>)> {
    let charts = text.split("<svg ").skip(1).map(|chart| chart.split("</svg>").next().expect("a chart"));
    charts
        .map(|chart| {
            let elements = parse(&format!("<html><svg {chart}</svg></html>"));
            let view = elements.iter().find(|element| element.name == "svg").expect("a chart");
            let view = view.attribute("viewBox").split(' ').nth(2).expect("a width");
            let width = view.parse().expect("a number");
            let texts = elements.iter().filter(|element| element.name == "text");
            let boxes = texts.map(|text| {
                let (x, y) = (text.number("x"), text.number("y"));
                let wide = text.text.chars().count() as f64 * 7.2;
                let left = match text.attribute("text-anchor") {
                    "end" => x - wide,
                    "middle" => x - wide / 2.0,
                    _ => x,
                };
                (text.text.clone(), [left, left + wide, y - 10.0, y + 2.0])
            });
            (width, boxes.collect())
        })
        .collect()
}

/// Reports whose labels have long texts and stand close to each other.
fn crowded() -> Vec<MemoryReport> {
    let mut reports = vec![sample::full(), sample::hostile(), busy()];
    for (capacity, advised) in
        [(0, 1), (1, 2), (63, 64), (64, 63), (1_000_000, 1_000_001), (12_345_678, 3), (3, 12_345_678)]
    {
        let mut report = busy();
        for pool in &mut report.pools {
            pool.capacity = capacity;
            if let Some(advice) = &mut pool.advice {
                (advice.capacity, advice.hit_ratio) = (advised, 1.0);
            }
            pool.hit_ratio_1m = Some(0.2);
            pool.hit_ratio_1h = Some(0.2);
            pool.idle = 1 << 20;
            pool.curve.push(CurvePoint { capacity: capacity.max(advised), hit_ratio: 1.0, bytes: 768 << 10 });
        }
        reports.push(report);
    }
    for (step_ms, limit) in [(1, 21 << 20), (1_000, 20 << 20), (86_399_000, 41 << 20), (3_600_001, 30 << 20)]
    {
        let mut report = busy();
        report.pressure.limit_bytes = Some(limit);
        for (point, at) in report.timeline.iter_mut().zip(0..) {
            point.at_ms = at * step_ms;
        }
        reports.push(report);
    }
    reports
}

#[test]
fn labels_of_charts_neither_cover_each_other_nor_leave_their_chart() {
    let mut seen = 0;
    for report in crowded() {
        for (width, labels) in labels(&page(&report)) {
            seen += labels.len();
            for (at, (text, own)) in labels.iter().enumerate() {
                assert!(own[0] >= -2.0 && own[1] <= width + 2.0, "{text:?} leaves its chart: {own:?}");
                for (other_text, other) in &labels[at + 1..] {
                    let across = own[1].min(other[1]) - own[0].max(other[0]);
                    let down = own[3].min(other[3]) - own[2].max(other[2]);
                    assert!(
                        across <= 0.0 || down <= 0.0,
                        "{text:?} covers {other_text:?}: {own:?} {other:?}"
                    );
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

#[test]
fn tables_show_that_they_scroll_and_labels_say_what_they_mean() {
    let text = page(&busy());
    let style = text.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    let scrolled = style.split(".scroll {").nth(1).and_then(|rest| rest.split('}').next()).expect("a rule");
    assert!(scrolled.contains("overflow-x: auto") && scrolled.contains("--shadow"), "{scrolled}");
    let elements = parse(&text);
    let tables = elements.iter().filter(|element| element.name == "table").count();
    let frames = elements.iter().filter(|element| element.is("div", "scroll")).count();
    assert!(tables == frames && tables > 8, "{tables} {frames}");
    for element in
        elements.iter().filter(|element| element.name == "th" && element.attribute("scope") == "col")
    {
        let is_of_curve = ["capacity", "hit %", "bytes"].contains(&element.text.as_str());
        assert!(is_of_curve || element.attribute("title").ends_with('.'), "{element:?}");
    }
    let legend = text.split("id=\"legend\"").nth(1).expect("a legend");
    assert_eq!(legend.matches("<dt>").count(), mcpool::report::legend().len());
}

#[test]
fn what_is_empty_leaves_a_sentence() {
    let text = page(&sample::empty());
    assert!(!text.contains("<svg") && !text.contains("<table"));
    for sentence in [
        "Memory was looked at less than twice",
        "Nobody entered anything yet.",
        "There are no pools.",
        "No pool needs another capacity",
        "There was none, and nothing was given back.",
        "No connection is open.",
        "No session is open.",
        "No tool is named in this report.",
        "Nothing was changed.",
        "None are reported.",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
    let mut report = sample::empty();
    report.traffic.connections = 1_200;
    assert!(page(&report).contains("Open: 1,200. None is named in this report."));
    let mut report = sample::full();
    report.pools[0].curve.clear();
    assert!(page(&report).contains("No acquire of it was followed yet"));
}

#[test]
fn figures_beyond_all_bounds_are_drawn_all_the_same() {
    let mut report = busy();
    for (at, pool) in report.pools.iter_mut().enumerate() {
        pool.capacity = u64::MAX;
        pool.demand.buckets = vec![(0, 0.0), (u64::MAX, 1e300), (u64::MAX, 1e300)];
        pool.curve[at].bytes = u64::MAX;
        pool.curve[at].hit_ratio = 7.0;
    }
    report.timeline[3].rss_bytes = u64::MAX;
    report.timeline[4].at_ms = u64::MAX;
    report.timeline[5].parts = vec![("a".to_owned(), u64::MAX), ("a".to_owned(), u64::MAX)];
    report.hotspots.connection_buckets = vec![(0, 1), (u64::MAX, u64::MAX), (u64::MAX, u64::MAX)];
    report.taken_unix_ms = u64::MAX;
    for element in parse(&page(&report)) {
        assert!(element.attributes.iter().all(|(_, value)| !value.contains("NaN") && !value.contains("inf")));
    }
}

#[cfg(feature = "cli")]
mod program {
    use super::*;
    use std::process::{Command, Output};

    fn mcpool(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mcpool"))
            .arg("report")
            .args(arguments)
            .env_clear()
            .output()
            .expect("it runs")
    }

    #[test]
    fn the_page_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (saved, html) = (path("saved.json"), path("page.html"));
        let report = busy();
        let json = serde_json::to_string(&report).expect("JSON");
        std::fs::write(&saved, &json).expect("saved");
        let ended = mcpool(&[&saved, "--html", &html]);
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(0), 0));
        assert_eq!(String::from_utf8_lossy(&ended.stderr), format!("{html}\n"));
        assert_eq!(std::fs::read_to_string(&html).expect("a page"), page(&report));
        // Again, in its own place.
        assert_eq!(mcpool(&[&saved, "--html", &html]).status.code(), Some(0));
        for (target, reason) in [
            (path("missing/page.html"), "No such file"),
            (path("."), "that is no file"),
            (saved.clone(), "the report is read from there"),
        ] {
            let ended = mcpool(&[&saved, "--html", &target]);
            let stderr = String::from_utf8_lossy(&ended.stderr);
            assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0), "{target}");
            assert!(stderr.contains("cannot write the page to ") && stderr.contains(reason), "{stderr}");
        }
        assert_eq!(std::fs::read_to_string(&saved).expect("the report"), json);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 2);
        for flag in ["--json", "--markdown"] {
            assert_eq!(mcpool(&[&saved, flag, "--html", &html]).status.code(), Some(2));
        }
    }
}
