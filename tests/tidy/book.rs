//! The guide in `docs/src`: each chapter is listed and its code tested, each link leads somewhere, and each message that
//! it explains is one of the program.

use crate::source::Breach;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use walkdir::WalkDir;

const FOLDER: &str = "docs/src";
const SUMMARY: &str = "SUMMARY.md";
/// Where a reader of the book finds the files of the repository.
const REPOSITORY: &str = "https://github.com/mcpool/mcpool/blob/main/";
/// Parts of a message that are shorter stand anywhere.
const MIN_PART_CHARS: usize = 6;

/// The chapters by their file names.
pub(crate) struct Book(BTreeMap<String, String>);

impl Book {
    pub(crate) fn load(root: &Path) -> Self {
        let folder = std::fs::read_dir(root.join(FOLDER)).expect("the guide");
        let paths = folder.map(|entry| entry.expect("an entry").path());
        let chapters = paths.filter(|path| path.extension().is_some_and(|end| end == "md")).map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a chapter"))
        });
        Self(chapters.collect())
    }

    pub(crate) fn chapters(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|(name, text)| (format!("{FOLDER}/{name}"), text.as_str()))
    }

    /// The chapters that no reader comes to.
    pub(crate) fn unlisted(&self) -> Vec<Breach> {
        let listed: BTreeSet<String> = links(&self.0[SUMMARY]).into_iter().map(|(_, link)| link).collect();
        let names = self.0.keys().filter(|name| *name != SUMMARY && !listed.contains(*name));
        names.map(|name| Breach::new(&format!("{FOLDER}/{name}"), 1, "is not in SUMMARY.md")).collect()
    }

    /// The links into the book and into the repository that lead nowhere.
    pub(crate) fn dead_links(&self, root: &Path) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for (name, text) in &self.0 {
            let dead = links(text).into_iter().filter(|(_, link)| !self.leads_somewhere(name, link, root));
            breaches.extend(dead.map(|(line, link)| {
                Breach::new(&format!("{FOLDER}/{name}"), line, format!("`{link}` leads nowhere"))
            }));
        }
        breaches
    }

    fn leads_somewhere(&self, from: &str, link: &str, root: &Path) -> bool {
        if let Some(path) = link.strip_prefix(REPOSITORY) {
            return root.join(path).exists();
        }
        if link.contains("://") {
            return true; // nobody else's pages are asked for
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = if file.is_empty() { from } else { file };
        match self.0.get(file) {
            Some(text) => anchor.is_empty() || anchors(text).contains(anchor),
            None => file.starts_with("images/") && root.join(FOLDER).join(file).exists(),
        }
    }

    /// The chapters with Rust code that `guide`, the source of the guide's crate, does not have tested.
    pub(crate) fn untested(&self, guide: &str) -> Vec<Breach> {
        let names =
            self.0.iter().filter(|(name, text)| has_rust(text) && !guide.contains(&format!("\"{name}\"")));
        let breach = |name: &String| Breach::new(&format!("{FOLDER}/{name}"), 1, "is not in docs/guide.rs");
        names.map(|(name, _)| breach(name)).collect()
    }
}

/// The destinations of links and pictures, and their lines.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter();
    let links = events.filter_map(|(event, range)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some((line_at(markdown, range.start), dest_url.into_string()))
        }
        _ => None,
    });
    links.collect()
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The anchors of the headings, as mdBook and GitHub write them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None);
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                anchors.extend(heading.take().map(|text: String| anchor(&text)));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.map(|sign| if sign == ' ' { '-' } else { sign.to_ascii_lowercase() }).collect()
}

fn has_rust(markdown: &str) -> bool {
    let is_rust = |event| match event {
        Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => language.starts_with("rust"),
        _ => false,
    };
    Parser::new(markdown).any(is_rust)
}

/// The blocks of Rust code, in order.
pub(crate) fn rust_blocks(markdown: &str) -> Vec<String> {
    let (mut blocks, mut is_rust) = (Vec::new(), false);
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                is_rust = language.starts_with("rust");
                blocks.extend(is_rust.then(String::new));
            }
            Event::End(TagEnd::CodeBlock) => is_rust = false,
            Event::Text(text) if is_rust => {
                if let Some(block) = blocks.last_mut() {
                    block.push_str(&text);
                }
            }
            _ => {}
        }
    }
    blocks
}

/// How many lines of code are no blank ones.
pub(crate) fn lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The messages in the columns `message` of the tables of `markdown` that stand nowhere in `sources`. Three dots stand
/// for a part that differs.
pub(crate) fn unknown_messages(path: &str, markdown: &str, sources: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (line, message) in messages(markdown) {
        let parts = message.split("...").filter(|part| part.trim().chars().count() >= MIN_PART_CHARS);
        let parts: Vec<&str> = parts.collect();
        if parts.is_empty() {
            breaches.push(Breach::new(path, line, format!("`{message}` could be anything")));
        }
        let unknown = parts.into_iter().filter(|part| !sources.contains(*part));
        breaches.extend(unknown.map(|part| Breach::new(path, line, format!("no message has `{part}`"))));
    }
    breaches
}

/// The code in the columns `message`, and its lines.
fn messages(markdown: &str) -> Vec<(usize, String)> {
    let (mut found, mut wanted, mut in_head, mut column) = (Vec::new(), None, false, 0);
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::TableHead) => (wanted, in_head, column) = (None, true, 0),
            Event::Start(Tag::TableRow) => (in_head, column) = (false, 0),
            Event::End(TagEnd::TableCell) => column += 1,
            Event::Text(text) if in_head && &*text == "message" => wanted = Some(column),
            Event::Code(code) if !in_head && wanted == Some(column) => {
                found.push((line_at(markdown, range.start), code.into_string()));
            }
            _ => {}
        }
    }
    found
}

/// The text of the program's sources, in which a string that goes on in the next line is one.
pub(crate) fn sources(root: &Path) -> String {
    let continued = Regex::new(r"\\\n\s*").expect("a pattern");
    let mut all = String::new();
    for entry in WalkDir::new(root.join("src")) {
        let entry = entry.expect("a readable folder");
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(entry.path()).expect("a source");
            all.push_str(&continued.replace_all(&text, ""));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(chapters: &[(&str, &str)]) -> Book {
        Book(chapters.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn a_chapter_that_nobody_lists_and_code_that_nobody_tests_are_found() {
        let book = book(&[
            ("SUMMARY.md", "- [A](a.md)"),
            ("a.md", "```rust\nlet x = 1;\n```"),
            ("b.md", "```sh\nmcpool\n```"),
        ]);
        assert_eq!(book.unlisted(), [Breach::new("docs/src/b.md", 1, "is not in SUMMARY.md")]);
        assert_eq!(book.untested(""), [Breach::new("docs/src/a.md", 1, "is not in docs/guide.rs")]);
        assert_eq!(book.untested(r#"a: "a.md""#), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let here = "# A `b` c?\n[1](b.md) [2](b.md#two-words) [3](#a-b-c) [4](https://example.com/none)\n\
                    [5](https://github.com/mcpool/mcpool/blob/main/Cargo.toml)";
        let book = book(&[("SUMMARY.md", "[A](a.md) [B](b.md)"), ("a.md", here), ("b.md", "## Two words")]);
        assert_eq!(book.dead_links(&crate::source::root()), []);
        for link in ["c.md", "b.md#three", "#a", "images/none.svg", "../b.md"] {
            let book = Book(BTreeMap::from([("a.md".to_owned(), format!("\n[x]({link})"))]));
            let dead = book.dead_links(&crate::source::root());
            assert_eq!(dead, [Breach::new("docs/src/a.md", 2, format!("`{link}` leads nowhere"))]);
        }
        let gone = Book(BTreeMap::from([("a.md".to_owned(), format!("[x]({REPOSITORY}src/none.rs)"))]));
        assert_eq!(gone.dead_links(&crate::source::root()).len(), 1);
    }

    #[test]
    fn blocks_of_rust_are_told_from_others() {
        let text = "```rust,ignore\nuse a;\n\nfn b() {}\n```\nx\n```sh\nls\n```\n```rust\nc();\n```";
        assert_eq!(rust_blocks(text), ["use a;\n\nfn b() {}\n", "c();\n"]);
        assert_eq!(lines(&rust_blocks(text)[0]), 2);
    }

    #[test]
    fn a_message_that_is_no_longer_said_is_found() {
        let table = |message: &str| {
            format!("| status | message | do |\n| --- | --- | --- |\n| `1` | `{message}` | `x` |")
        };
        let sources = "\"the port {port} is taken: choose another\"";
        assert_eq!(unknown_messages("a.md", &table("the port ... is taken: ..."), sources), []);
        let unknown = unknown_messages("a.md", &table("the port ... is in use"), sources);
        assert_eq!(unknown, [Breach::new("a.md", 3, "no message has ` is in use`")]);
        assert_eq!(unknown_messages("a.md", &table("...: ..."), sources).len(), 1);
    }
}
