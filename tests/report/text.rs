//! The report for people: plain text and Markdown.

use super::sample::{self, HOSTILE};
use mcpool::memory::{ClientReport, MemoryReport, OperationReport};
use mcpool::report::{write_markdown, write_table};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn plain(report: &MemoryReport, width: usize) -> String {
    let mut out = Vec::new();
    write_table(report, width, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

fn markdown(report: &MemoryReport) -> String {
    let mut out = Vec::new();
    write_markdown(report, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_table_of_80_columns_tells_everything() {
    let got = plain(&sample::full(), 80);
    assert!(got == include_str!("full.txt"), "{got}");
}

#[test]
fn the_same_as_markdown() {
    let got = markdown(&sample::full());
    assert!(got == include_str!("full.md"), "{got}");
}

/// The figure before a word of the first sentence of what it serves.
fn served(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let serves = text.split_once("Serves: ").expect("what it serves").1;
    let before = serves.split_once(word).expect(word).0;
    before.rsplit([' ', ';']).next().expect("a figure").replace(',', "").parse().expect("a number")
}

/// The totals of the first screen are the sums of the tables below it.
#[test]
fn requests_and_errors_are_counted_once() {
    let mut report = sample::full();
    let sum = |figure: fn(&ClientReport) -> u64| report.clients.iter().map(figure).sum::<u64>();
    let (requests, errors) = (sum(|client| client.requests), sum(|client| client.errors));
    assert!(requests > 0 && report.clients.len() > 1);
    let text = plain(&report, 80);
    assert_eq!(
        (served(&text, " since the start"), served(&text, " of them with an error")),
        (requests, errors)
    );
    // Where nobody counts by client, notifications and answers of clients are no requests.
    report.clients.clear();
    let of = |method: &str, error: Option<&str>, count| OperationReport {
        method: method.to_owned(),
        error: error.map(str::to_owned),
        counts: vec![0, count],
        sum_s: 1.0,
    };
    report.operations = vec![
        of("tools/call", None, 5),
        of("tools/call", Some("tool_error"), 2),
        of("_OTHER", Some("-32601"), 1),
        of("_OTHER", None, 100),
        of("notifications/initialized", None, 1_000),
    ];
    let text = plain(&report, 80);
    assert_eq!((served(&text, " since the start"), served(&text, " of them with an error")), (8, 3));
    assert!(text.contains("\nClients by name: not counted\n"), "{text}");
    let pools = text.lines().find(|line| line.starts_with("Pools: ")).expect("pools");
    let owned: u64 = report.pools.iter().map(|pool| pool.owned_bytes).sum();
    assert!(
        pools.contains(&format!("{:.1} KiB in all", owned as f64 / 1_024.0)) || owned >= 1 << 20,
        "{pools} {owned}"
    );
}

#[test]
fn of_a_server_that_just_started_no_empty_section_is_shown() {
    let headline = " 0.1.0 (pid 1) accounts for 0 B after 1 h 5 min: pressure is normal.\n";
    let verdict = "Wrong: nothing that 17 rules look for.\n";
    assert_eq!(plain(&sample::empty(), 80), format!("files{headline}\nAt a glance\n  {verdict}"));
    assert_eq!(
        markdown(&sample::empty()),
        format!("# Memory report\n\n`files`{headline}\n## At a glance\n\n- {verdict}")
    );
}

#[test]
fn no_line_is_wider_than_asked_for() {
    for report in [sample::full(), sample::empty(), sample::hostile()] {
        for width in (0..130).chain([1_000]) {
            for line in plain(&report, width).lines() {
                // The wide characters of the sample take two columns.
                let columns: usize = line.chars().map(|char| if char > '\u{2fff}' { 2 } else { 1 }).sum();
                assert!(columns <= width, "{width}: {line:?}");
            }
        }
    }
}

#[test]
fn hostile_names_neither_break_lines_nor_steer_the_terminal() {
    let (full, hostile) = (plain(&sample::full(), 200), plain(&sample::hostile(), 200));
    assert!(!hostile.contains(|char: char| char.is_control() && char != '\n' || char == '\u{202e}'));
    // The titles of sections are the same: no name made one.
    let titles = |text: &str| -> Vec<String> {
        text.split("\n\n")
            .skip(1)
            .map(|section| section.split(':').next().unwrap_or_default().trim().to_owned())
            .map(|title| title.lines().next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(titles(&hostile), titles(&full));
}

#[test]
fn hostile_names_are_cells_of_markdown_and_nothing_else() {
    let text = markdown(&sample::hostile());
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let (mut cells, mut headings, mut cell) = (Vec::new(), 0, None);
    for event in Parser::new_ext(&text, options) {
        match event {
            Event::Html(_) | Event::InlineHtml(_) => panic!("markup: {event:?}"),
            Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::Emphasis | Tag::Strong) => {
                panic!("markup: {event:?}")
            }
            Event::Start(Tag::Heading { .. }) => headings += 1,
            Event::Start(Tag::TableCell) => cell = Some(String::new()),
            Event::End(TagEnd::TableCell) => cells.extend(cell.take()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(cell) = &mut cell {
                    cell.push_str(&text);
                }
            }
            _ => {}
        }
    }
    assert_eq!(headings, 1 + text.lines().filter(|line| line.starts_with("## ")).count());
    for name in HOSTILE {
        let harmless = sample::shown(name);
        // As a part, a pool, a connection, a tool and a step.
        let found = cells.iter().filter(|cell| **cell == harmless).count();
        assert!(found >= 5, "{harmless:?} was found {found} times\n{text}");
    }
    // Outside of code, viewers make links of bare addresses.
    for line in text.lines() {
        let words: String = line.split('`').step_by(2).collect();
        assert!(!words.contains("://") && !words.contains("www."), "{words}");
    }
}
