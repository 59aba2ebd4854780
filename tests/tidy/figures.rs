//! Figures of the documents: a reader can take again each one that is given.
//!
//! A section is what stands between two headings. A section with a figure, or with a table whose head names a
//! unit, must hold a command, in a code span or block.

use crate::source::Breach;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;

const PROGRAMS: [&str; 6] = ["cargo", "mcpool", "node", "python", "python3", "python3.11"];
const UNITS: &str = "ns|us|µs|μs|ms|s|sec|seconds?|[KMG]iB|[kKMG]B|B|bytes?|[xX×]|times|alloc(?:ation)?s?";
const RATE: &str = r"(?:[a-z]+ )?(?:/s|(?:a|per) second)";

pub(crate) fn without_command(path: &str, markdown: &str) -> Vec<Breach> {
    let figure = Regex::new(&format!(
        r"(?m)(?:^|[^\w.])(\d[\d,._]*[ \u{{a0}}]?(?:%|(?:{UNITS}|{RATE})(?:\b|[^\w])|[x×]$))"
    ));
    let unit = Regex::new(&format!(r"(?:^|[\s,(/])(?:{UNITS}|%|{RATE})(?:$|[\s,)/])"));
    let (figure, unit) = (figure.expect("a pattern"), unit.expect("a pattern"));
    let mut breaches = Vec::new();
    for section in sections(markdown, &unit) {
        let in_text = figure.captures(&section.text).map(|found| found[1].trim().to_owned());
        let found = in_text.or(section.in_table);
        if let Some(found) = found.filter(|_| !section.code.iter().any(|code| code.lines().any(is_command))) {
            let heading = section.heading.trim();
            let fault = format!("`{found}` in the section `{heading}` without the command that measures it");
            breaches.push(Breach::new(path, section.line, fault));
        }
    }
    breaches
}

#[derive(Default)]
struct Section {
    heading: String,
    line: usize,
    text: String,
    code: Vec<String>,
    /// The first figure below a table head that names a unit.
    in_table: Option<String>,
}

/// What the text that is read belongs to.
#[derive(Default, PartialEq)]
enum Inside {
    #[default]
    Prose,
    Heading,
    CodeBlock,
    TableHead,
}

/// Where in the document the reader is.
#[derive(Default)]
struct Position {
    inside: Inside,
    table_has_unit: bool,
    cell: String,
}

fn sections(markdown: &str, unit: &Regex) -> Vec<Section> {
    let mut sections = vec![Section { line: 1, ..Section::default() }];
    let mut position = Position::default();
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        if let Event::Start(Tag::Heading { .. }) = event {
            let line = markdown[..range.start].lines().count() + 1;
            sections.push(Section { line, ..Section::default() });
            position.inside = Inside::Heading;
        }
        let Some(section) = sections.last_mut() else { continue };
        match event {
            Event::Start(Tag::CodeBlock(_)) => {
                position.inside = Inside::CodeBlock;
                section.code.push(String::new());
            }
            Event::Start(Tag::TableHead) => {
                (position.inside, position.table_has_unit) = (Inside::TableHead, false);
            }
            Event::Start(Tag::TableCell) => position.cell.clear(),
            Event::Start(_) => {}
            Event::End(end) => {
                position.close(end, section, unit);
                if !matches!(end, TagEnd::Strong | TagEnd::Emphasis | TagEnd::Link) {
                    section.text.push('\n');
                }
            }
            Event::Code(code) => {
                section.code.push(code.to_string());
                position.add(&code, section);
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => position.add(&text, section),
            _ => position.add(" ", section),
        }
    }
    sections
}

impl Position {
    fn add(&mut self, text: &str, section: &mut Section) {
        section.text.push_str(text);
        self.cell.push_str(text);
        if self.inside == Inside::Heading {
            section.heading.push_str(text);
        }
        if let Some(code) = section.code.last_mut().filter(|_| self.inside == Inside::CodeBlock) {
            code.push_str(text);
        }
    }

    fn close(&mut self, end: TagEnd, section: &mut Section, unit: &Regex) {
        match end {
            TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::TableHead => self.inside = Inside::Prose,
            TagEnd::TableCell if self.inside == Inside::TableHead => {
                self.table_has_unit |= unit.is_match(&self.cell);
            }
            TagEnd::TableCell => {
                let figure =
                    self.table_has_unit && self.cell.trim_start().starts_with(|c: char| c.is_ascii_digit());
                if figure && section.in_table.is_none() {
                    section.in_table = Some(self.cell.trim().to_owned());
                }
            }
            _ => {}
        }
    }
}

/// Whether a line of code runs one of our programs with an argument, or a script of `.ci/`.
fn is_command(line: &str) -> bool {
    line.split(['|', '&', ';']).any(|part| {
        let words = part.split_whitespace();
        let mut words = words.skip_while(|word| matches!(*word, "$" | "time") || word.contains('='));
        let Some(program) = words.next() else { return false };
        let name = program.rsplit('/').next().unwrap_or_default();
        let script =
            program.trim_start_matches("./").strip_prefix(".ci/").is_some_and(|name| !name.is_empty());
        script || (PROGRAMS.contains(&name) && words.next().is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_without_its_command_is_found() {
        for text in [
            "It takes 12 ns.",
            "It takes 12ms",
            "3.5 us",
            "3.5 µs",
            "4,096 B per connection",
            "16 KiB",
            "2 MiB/s",
            "1 GiB",
            "30 %",
            "30%",
            "5 x faster",
            "5× faster",
            "4 times",
            "0 allocations",
            "20,700 echoes a second",
            "1,000/s",
            "**12** ms",
            "`12 ms`",
            "12\nms",
            "```\n12 ms\n```",
            "| a | b |\n| --- | --- |\n| x | 3 ms |",
            "| a | median, ns |\n| --- | --- |\n| x | 153 |",
            "Run `mcpool`: 12 ms",
            "In `mcpool-pools`: 12 ms",
            "See `cargo`: 12 ms",
            "`cargobench x`: 12 ms",
            "<td>12 ms</td>",
            "`cargo bench`\n\n# Other\n12 ms",
            "# One\n12 ms\n# Two\n`cargo bench`",
        ] {
            assert_eq!(without_command("README.md", text).len(), 1, "{text}");
        }
        let found = without_command("README.md", "# A\n\n## Speed\n12 ms");
        assert_eq!(
            found[0].to_string(),
            "README.md:3: `12 ms` in the section `Speed` without the command that measures it"
        );
    }

    #[test]
    fn a_figure_beside_its_command_and_plain_numbers_are_free() {
        for text in [
            "`cargo bench -p mcpool-benches`: 12 ms",
            "12 ms\n```sh\n$ FOO=1 ./target/release/mcpool load --rate 5\n```",
            "12 ms, `.ci/run`",
            "12 ms, `python3.11 benches/peers.py`",
            "12 ms\n\n    echo x | node peer.js a",
            "| median, ns |\n| --- |\n| 153 |\n\n`cargo bench x`",
            "Rust 1.95, 2 cores, port 8000, in 2026, RFC 8259, 0x10, 3 tools, v1.2 support, 5 slots",
            "| tools |\n| --- |\n| 12 |",
            "",
        ] {
            assert_eq!(without_command("README.md", text), [], "{text}");
        }
    }
}
