//! Every label of a report has an entry in the legend, and the legend has nothing else to be looked up in vain.

use super::{html, sample};
use mcpool::Server;
use mcpool::memory::MemoryReport;
use mcpool::report::{legend, meaning_of, write_legend, write_markdown, write_table};
use std::collections::BTreeSet;
use std::path::Path;

/// Units of figures, which are no words of their own.
const UNITS: [&str; 12] = ["B", "KiB", "MiB", "GiB", "TiB", "ms", "s", "min", "h", "d", "x", "%"];

fn markdown(report: &MemoryReport) -> String {
    let mut out = Vec::new();
    write_markdown(report, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

fn is_figure(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_digit()) || UNITS.contains(&word)
}

/// The words of a fact such as `heap 6.0 MiB` or `3 threads`: those before its figure, or else those behind it.
fn words_of(fact: &str) -> String {
    let words: Vec<&str> = fact.trim_end_matches('.').split(' ').collect();
    let before: Vec<&str> = words.iter().take_while(|word| !is_figure(word)).copied().collect();
    if !before.is_empty() {
        return before.join(" ");
    }
    words.iter().skip_while(|word| is_figure(word)).copied().collect::<Vec<_>>().join(" ")
}

/// The titles, columns, facts and remarks of a report in Markdown, as the terminal shows them.
fn labels_of_tables(report: &MemoryReport) -> BTreeSet<String> {
    let text = markdown(report);
    let lines: Vec<&str> = text.lines().collect();
    let (mut labels, mut section) = (BTreeSet::new(), "");
    for (at, line) in lines.iter().enumerate() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.split(": ").next().unwrap_or_default();
            labels.insert(section.to_owned());
        } else if lines.get(at + 1).is_some_and(|next| next.starts_with("| ---")) {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            labels.extend(cells.filter(|cell| !cell.is_empty()).map(str::to_owned));
        } else if let Some(note) = line.strip_prefix("- ") {
            let Some((about, facts)) = note.split_once(": ") else { continue };
            if section == "At a glance" {
                labels.insert(about.to_owned());
            } else if ["Process", "Traffic", "Since the start"].contains(&about) {
                labels.insert(about.to_owned());
                labels.extend(facts.split(", ").map(words_of));
            }
        }
    }
    labels
}

/// The columns, titles, figures and marks of a page.
fn labels_of_page(report: &MemoryReport) -> BTreeSet<String> {
    let text = html::page(report);
    let mut labels = BTreeSet::new();
    let mut is_legend = false;
    for element in html::parse(&text) {
        is_legend |= element.attribute("id") == "legend";
        let is_label = match element.name.as_str() {
            "th" => element.attribute("scope") == "col",
            "dt" => !is_legend,
            "h2" | "h3" => true,
            "text" => element.attribute("class") == "panel",
            _ => false,
        };
        if is_label {
            labels.insert(element.text.trim().to_owned());
        } else if element.name == "text" && element.attribute("class").starts_with("label ") {
            labels.extend(element.text.split(", ").map(words_of));
        }
    }
    labels
}

fn unknown<'l>(labels: impl IntoIterator<Item = &'l String>) -> Vec<&'l String> {
    labels.into_iter().filter(|label| meaning_of(label).is_none()).collect()
}

#[test]
fn every_label_of_tables_and_page_has_a_meaning() {
    let mut report = html::busy();
    report.usage.unwritten_bytes = Some(1 << 20);
    report.usage.huge_page_bytes = Some(1 << 20);
    report.traffic.subscriptions = 3;
    report.traffic.tasks = 3;
    report.pressure.cgroup_limit_bytes = Some(1 << 30);
    let tables = labels_of_tables(&report);
    assert!(tables.len() > 70 && tables.contains("hit %") && tables.contains("threads"), "{tables:?}");
    assert_eq!(unknown(&tables), Vec::<&String>::new());
    let page = labels_of_page(&report);
    assert!(page.len() > 70 && page.contains("Private") && page.contains("advised"), "{page:?}");
    assert_eq!(unknown(&page), Vec::<&String>::new());
    // The same of a report without a limit to draw near, and of findings of every severity.
    for report in [sample::full(), sample::empty()] {
        assert_eq!(unknown(&labels_of_tables(&report)), Vec::<&String>::new());
        assert_eq!(unknown(&labels_of_page(&report)), Vec::<&String>::new());
    }
}

/// Titles, columns, and what facts begin with, of a report as the terminal shows it.
fn labels_of_text(text: &str) -> BTreeSet<String> {
    let (mut labels, mut section) = (BTreeSet::new(), "");
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let is_first = at == 0 || lines[at - 1].is_empty();
        if is_first && lines.get(at + 1).is_some_and(|next| next.starts_with("  ")) {
            section = line.split(": ").next().unwrap_or_default();
            labels.insert(section.to_owned());
        } else if let Some(note) = line.strip_prefix("  ").filter(|note| !note.starts_with(' ')) {
            let is_head = lines[at - 1].starts_with(|char: char| char.is_ascii_uppercase());
            if section == "At a glance"
                || ["Process: ", "Traffic: "].iter().any(|fact| note.starts_with(fact))
            {
                labels.insert(note.split(": ").next().unwrap_or_default().to_owned());
            } else if is_head {
                let cells = note.split("  ").map(str::trim);
                labels.extend(cells.filter(|cell| !cell.is_empty()).map(str::to_owned));
            }
        }
    }
    labels
}

/// What the guide and the picture of the README show is what the program says.
#[test]
fn the_labels_of_the_samples_are_those_of_the_program() {
    let mut out = Vec::new();
    let mut report = html::busy();
    report.clients = sample::full().clients;
    write_table(&report, 100, &mut out).expect("written");
    let program = labels_of_text(&String::from_utf8(out).expect("UTF-8"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src");
    let guide = std::fs::read_to_string(docs.join("report.md")).expect("the guide");
    let blocks: Vec<&str> =
        guide.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let picture = std::fs::read_to_string(docs.join("images/report.txt")).expect("what the picture shows");
    let picture = picture.split_once('\n').expect("a command").1;
    assert!(blocks.len() >= 2, "{blocks:?}");
    for sample in [blocks[0], picture] {
        for title in [
            "At a glance",
            "Costs",
            "Serves",
            "Most of the memory",
            "Clients by name",
            "Calls by tool",
            "Ledger",
        ] {
            assert!(labels_of_text(sample).contains(title), "{title} is not in the first screen of {sample}");
        }
    }
    for sample in blocks.into_iter().chain([picture]) {
        let labels = labels_of_text(sample);
        assert!(labels.len() > 5, "{sample}");
        let unknown: Vec<_> = labels.difference(&program).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{sample}\n{program:?}");
        assert!(sample.lines().all(|line| line.chars().count() <= 80), "{sample}");
    }
    let drawn = std::fs::read_to_string(docs.join("images/report.svg")).expect("the picture");
    for line in picture.lines().filter(|line| !line.is_empty()) {
        let text = line.trim().replace('&', "&amp;").replace('<', "&lt;");
        assert!(drawn.contains(&text), "the picture lacks {line:?}");
    }
}

#[test]
fn every_part_pool_and_step_has_a_meaning() {
    let server = Server::builder("demo", "1.0.0").build().expect("a server");
    let report = server.memory().report();
    let mut names: BTreeSet<String> = report.parts.iter().map(|part| part.name.clone()).collect();
    names.extend(report.pools.iter().map(|pool| pool.name.clone()));
    names.extend(report.kernel.iter().map(|part| part.name.clone()));
    names.extend(server.memory().reclaim().steps.into_iter().map(|step| step.step));
    assert!(names.contains("arenas") && names.contains("sessions"), "{names:?}");
    // Those that are entered only where something is in use, from the code.
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for text in files {
        for call in ["enter(", "enter_leased(", "PoolConfig::new(", "LargeArenas::new("] {
            let literals = text.split(call).skip(1).filter_map(|rest| {
                let (name, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
                Some(name.to_owned())
            });
            names.extend(literals);
        }
    }
    // Of a test of the ledger.
    names.remove("held");
    assert!(names.contains("knowledge graph") && names.contains("line exchanges"), "{names:?}");
    assert_eq!(unknown(&names), Vec::<&String>::new());
}

/// The texts of all files of code below a folder.
fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

#[test]
fn every_field_of_the_json_report_has_a_meaning_and_no_other_has() {
    let schema = schemars::schema_for!(MemoryReport).to_value();
    let types = schema["$defs"].as_object().expect("definitions").values().chain([&schema]);
    let fields: BTreeSet<&str> = types
        .filter_map(|part| part["properties"].as_object())
        .flat_map(|properties| properties.keys().map(String::as_str))
        .collect();
    let told: BTreeSet<&str> = legend().iter().flat_map(|entry| entry.fields).copied().collect();
    assert!(fields.len() > 150, "{}", fields.len());
    assert_eq!(fields.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new(), "without a meaning");
    assert_eq!(told.difference(&fields).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the schema");
}

#[test]
fn words_are_told_once_in_whole_sentences_and_in_the_width_of_the_terminal() {
    let mut seen = BTreeSet::new();
    for entry in legend() {
        for word in entry.words {
            assert!(seen.insert(word.to_lowercase()), "{word} twice");
        }
        assert!(entry.meaning.ends_with('.') && entry.meaning.len() >= 20, "{}", entry.meaning);
        assert!(!entry.words.is_empty());
    }
    for width in [40, 80, 120] {
        let mut out = Vec::new();
        write_legend(width, &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for entry in legend() {
            let meaning = entry.meaning.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&meaning), "{width}: {meaning}");
        }
    }
}
