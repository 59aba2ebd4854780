//! The account of a run: the machine, the peers, how it was measured, the tables. As Markdown and as JSON.
//!
//! Every section with figures says the command that takes them again, because a table without one proves nothing.

use crate::peers::Peer;
use crate::sheet::Sheet;
use crate::summary;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// All that is written about a run.
#[derive(Debug)]
pub struct Account {
    /// The command as a user types it, without the files that are written.
    pub command: String,
    /// Whether it was the short form.
    pub is_quick: bool,
    /// The machine: names and values.
    pub facts: Vec<(&'static str, String)>,
    /// Who was measured, in which version.
    pub versions: Vec<(Peer, String)>,
    /// Who was not, and why.
    pub missing: Vec<(Peer, String)>,
    /// What failed on the way.
    pub failures: Vec<(Peer, String)>,
    /// Rounds, lengths, threads.
    pub terms: String,
    /// The tables, each with the question that it answers.
    pub sheets: Vec<(&'static str, Sheet)>,
}

/// What holds for all tables.
const RULES: &str = "One generator for all, that of `mcpool load`, which shares the cores with the server that it asks \
and checks each answer; the rounds of all servers take turns; each round has a warm-up that does not count. Cells are \
the median of the rounds, with the least and the most in brackets; a cell with one figure was measured once. Latencies \
are p50 / p99 / p99.9, each the median of the rounds. \
An empty cell means that the server has no such thing: mcpool and the Node filesystem server have the filesystem \
tools, `mcpool library` and the SDKs have `echo` and `length`, nginx answers bodies that never change. Node and Python \
serve from one thread, nginx from one worker or from as many as the others have threads. \
Answers over HTTP are plain JSON, but for rmcp in a session, which has streams only; no idle connection is closed; \
rmcp has mcpool's allocator and its own faster way to read pipes. Everything else is as it comes.";

impl Account {
    /// The table in front.
    pub fn summary(&self) -> Sheet {
        summary::of(&self.sheets.iter().map(|(_, sheet)| sheet.clone()).collect::<Vec<_>>())
    }

    /// The command that answers one question.
    fn command_for(&self, question: &str) -> String {
        let separator = if self.command.contains(" -- ") { "" } else { " --" };
        format!("{}{separator} {question}", self.command)
    }

    /// The whole account as a document.
    pub fn markdown(&self) -> String {
        let kind = if self.is_quick { "a short run" } else { "a full run" };
        let mut text = format!("# mcpool beside others\n\nWhat `{}` printed, {kind}.\n\n", self.command);
        let _ = write!(
            text,
            "## Machine and versions\n\nAs `{}` found them.\n\n| | |\n| --- | --- |\n",
            self.command
        );
        for (name, value) in &self.facts {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        for (peer, version) in &self.versions {
            let _ = writeln!(text, "| {} | {version} |", peer.name());
        }
        for (peer, reason) in &self.missing {
            let _ = writeln!(text, "| {} | left out: {reason} |", peer.name());
        }
        let _ = write!(text, "\n## How\n\n{RULES}\n\n{}, by `{}`.\n\n", self.terms, self.command);
        write_sheet(&mut text, &self.summary(), &self.command);
        for (question, sheet) in &self.sheets {
            write_sheet(&mut text, sheet, &self.command_for(question));
        }
        if !self.failures.is_empty() {
            let _ = write!(text, "## What failed\n\nIn `{}`:\n\n", self.command);
            for (peer, failure) in &self.failures {
                let _ = writeln!(text, "- {}: {}", peer.name(), failure.lines().next().unwrap_or_default());
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    /// The whole account as an object.
    pub fn json(&self) -> Value {
        let named = |pairs: &[(Peer, String)]| -> Vec<Value> {
            pairs.iter().map(|(peer, text)| json!({ "peer": peer.name(), "text": text })).collect()
        };
        let facts: Vec<Value> =
            self.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let sheets: Vec<Value> = self.sheets.iter().map(|(_, sheet)| sheet.json()).collect();
        json!({
            "command": self.command,
            "quick": self.is_quick,
            "machine": facts,
            "versions": named(&self.versions),
            "missing": named(&self.missing),
            "failures": named(&self.failures),
            "terms": self.terms,
            "rules": RULES,
            "summary": self.summary().json(),
            "sheets": sheets,
        })
    }
}

fn write_sheet(text: &mut String, sheet: &Sheet, command: &str) {
    if sheet.rows.is_empty() {
        return;
    }
    let _ = write!(text, "## {}\n\n", sheet.heading());
    if !sheet.about.is_empty() {
        let _ = write!(text, "{}\n\n", sheet.about);
    }
    let _ = write!(text, "{}\n`{command}`\n\n", sheet.markdown());
}

#[cfg(test)]
pub(crate) fn sample() -> Account {
    let mut start = Sheet::new("start", "Start", "ms", "From the spawn on.");
    start.put_rounds("spawn to first answer", Peer::Mcpool, &[2.0, 1.5, 2.5]);
    start.put_rounds("spawn to first answer", Peer::TypeScript, &[200.0, 250.0, 260.0]);
    Account {
        command: "cargo run --release -p mcpool-benches --bin versus".to_owned(),
        is_quick: false,
        facts: vec![("processor", "a <fast> one".to_owned())],
        versions: vec![(Peer::Mcpool, "mcpool 0.1.0".to_owned())],
        missing: vec![(Peer::Nginx, "nginx is not here".to_owned())],
        failures: vec![(Peer::Python, "its start: gone\nand more".to_owned())],
        terms: "3 rounds".to_owned(),
        sheets: vec![("start", start)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_with_figures_says_its_command() {
        let text = sample().markdown();
        for section in text.split("\n## ").filter(|section| section.contains("spawn to first answer")) {
            assert!(section.contains("`cargo run --release -p mcpool-benches --bin versus"), "{section}");
        }
        for line in [
            "| spawn to first answer, ms | 2.00 (1.50 to 2.50) | 250 (200 to 260) |",
            "`cargo run --release -p mcpool-benches --bin versus -- start`",
            "| nginx | left out: nginx is not here |",
            "- Python SDK: its start: gone",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn machines_are_told_the_same() {
        let json = sample().json();
        assert_eq!(json["sheets"][0]["rows"][0]["peers"]["TypeScript SDK"]["median"], 250.0);
        assert_eq!(json["summary"]["rows"][0]["what"], "spawn to first answer, ms");
        assert_eq!(json["missing"][0]["peer"], "nginx");
    }
}
