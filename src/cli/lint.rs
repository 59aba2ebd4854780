//! The command `mcpool lint`: which clients would refuse which tool of a server, and where that was seen.

mod rules;
mod schema;

use super::error::CliError;
use super::peer::{self, Peer};
use super::render::one_line;
use super::terminal::{self, wrap, write_wrapped};
use crate::client::{ServerCommand, ToolList};
use crate::limits::units::grouped;
use crate::visible;
use clap::ArgMatches;
use rules::{Check, RULES, Refusal, Rule, Severity};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 60;
/// Columns before what stands beside a label.
const INDENT: usize = 12;
/// Columns of the longest name of a tool or place that is shown.
const MAX_NAME: usize = 44;
/// Most tools of one finding that are shown, and most places of one tool; `--json` has them all.
const MAX_TOOLS: usize = 24;
const MAX_PLACES: usize = 4;
/// The name of a server whose program has none.
const UNNAMED: &str = "server";

/// What all rules say of a list of tools.
#[derive(Debug, Serialize)]
struct Lint {
    /// The name that the server is taken to have in its client.
    server: String,
    tools: usize,
    findings: Vec<Finding>,
    /// Rules that found nothing.
    passed: Vec<&'static str>,
}

/// What one rule says.
#[derive(Debug, Serialize)]
struct Finding {
    rule: &'static str,
    severity: Severity,
    problem: &'static str,
    remedy: &'static str,
    refused_by: &'static [Refusal],
    /// The tools, with the places in their schemas; empty for what is wrong with the whole list.
    tools: Vec<Found>,
    /// What is wrong with the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<String>,
}

/// One tool.
#[derive(Debug, Serialize)]
struct Found {
    tool: String,
    at: Vec<String>,
}

/// Prints what the rules find. The exit code is 1 when a client would refuse something.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("rules") {
        write_rules(width, &mut out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let peer = peer(matches)?;
    let tools = peer.list(matches)?;
    let named = matches.get_one::<String>("name").cloned();
    let lint = Lint::of(&tools, &named.unwrap_or_else(|| name_of(peer.command())));
    if matches.get_flag("json") {
        visible::write_json(&mut out, &lint)?;
        writeln!(out)?;
    } else {
        lint.write(width, &mut out)?;
    }
    out.flush()?;
    Ok(if lint.is_refused() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The command behind `--`, or what `mcpool tools` would ask.
fn peer(matches: &ArgMatches) -> Result<Peer, CliError> {
    let mut words = matches.get_many::<OsString>("command").into_iter().flatten().cloned();
    match words.next() {
        Some(program) => Ok(Peer::started(ServerCommand { program, arguments: words.collect() })),
        None => peer::peer(matches, "dirs"),
    }
}

/// The name that most give a server in their client: that of its program.
fn name_of(command: &ServerCommand) -> String {
    let program = Path::new(&command.program).file_stem();
    program.map_or_else(|| UNNAMED.to_owned(), |name| name.to_string_lossy().into_owned())
}

impl Lint {
    fn of(list: &ToolList, server: &str) -> Self {
        let (mut findings, mut passed) = (Vec::new(), Vec::new());
        for rule in RULES {
            match Finding::of(rule, list, server) {
                Some(finding) => findings.push(finding),
                None => passed.push(rule.name),
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { server: server.to_owned(), tools: list.len(), findings, passed }
    }

    fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Refused)
    }

    fn write(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            finding.write(width, out)?;
            writeln!(out)?;
        }
        let checked = RULES.len();
        let of = format!("{} tools of {}", self.tools, one_line(&self.server, MAX_NAME));
        if self.findings.is_empty() {
            return write_wrapped(
                "",
                &format!("No issues: {of} were checked against {checked} rules."),
                width,
                out,
            );
        }
        let found = self.findings.len();
        write_wrapped("", &format!("{found} of {checked} rules found something in {of}."), width, out)?;
        for (client, count) in self.refusals() {
            write_wrapped("  ", &format!("{client} refuses {count}."), width, out)?;
        }
        Ok(())
    }

    /// How much each client refuses.
    fn refusals(&self) -> BTreeMap<&'static str, String> {
        let refused = self.findings.iter().filter(|finding| finding.severity == Severity::Refused);
        let mut tools = BTreeMap::<&str, Vec<&str>>::new();
        let mut lists = BTreeMap::new();
        for finding in refused {
            for refusal in finding.refused_by {
                let names = tools.entry(refusal.client).or_default();
                names.extend(finding.tools.iter().map(|found| found.tool.as_str()));
                if finding.list.is_some() {
                    lists.insert(refusal.client, "the length of the list");
                }
            }
        }
        let told = tools.into_iter().map(|(client, mut names)| {
            names.sort_unstable();
            names.dedup();
            let count = match names.len() {
                0 => None,
                1 => Some("1 tool".to_owned()),
                count => Some(format!("{} tools", grouped(count as u64))),
            };
            let list = lists.get(client).map(|list| (*list).to_owned());
            (client, count.into_iter().chain(list).collect::<Vec<_>>().join(" and "))
        });
        told.collect()
    }
}

impl Finding {
    fn of(rule: &Rule, tools: &ToolList, server: &str) -> Option<Self> {
        let (mut found, mut list) = (Vec::new(), None);
        match rule.check {
            Check::Tool(check) => found.extend(tools.tools.iter().filter_map(|tool| {
                let at = check(tool, server);
                (!at.is_empty()).then(|| Found { tool: tool.name.clone(), at })
            })),
            Check::Entries(check) => {
                found.extend(check(tools).into_iter().map(|(tool, at)| Found { tool, at }));
            }
            Check::List(check) => list = check(tools),
        }
        let is_wrong = !found.is_empty() || list.is_some();
        is_wrong.then_some(Self {
            rule: rule.name,
            severity: rule.severity,
            problem: rule.problem,
            remedy: rule.remedy,
            refused_by: rule.refused_by,
            tools: found,
            list,
        })
    }

    fn write(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        let severity = match self.severity {
            Severity::Refused => "refused",
            Severity::Hint => "hint",
        };
        write_wrapped("", &format!("{severity}: {} [{}]", self.problem, self.rule), width, out)?;
        let mut tools: Vec<String> = self.tools.iter().take(MAX_TOOLS).map(Found::show).collect();
        if let more @ 1.. = self.tools.len().saturating_sub(MAX_TOOLS) {
            tools.push(format!("and {} more (--json has them all)", grouped(more as u64)));
        }
        beside("In:", &tools.join(", "), width, out)?;
        beside("Seen:", self.list.as_deref().unwrap_or_default(), width, out)?;
        beside("Do:", self.remedy, width, out)?;
        write_refusals(self.refused_by, width, out)
    }
}

impl Found {
    fn show(&self) -> String {
        let name = one_line(&self.tool, MAX_NAME);
        let mut places: Vec<String> =
            self.at.iter().take(MAX_PLACES).map(|at| one_line(at, MAX_NAME)).collect();
        if let more @ 1.. = self.at.len().saturating_sub(MAX_PLACES) {
            places.push(format!("{more} more"));
        }
        if places == [name.as_str()] { name } else { format!("{name} ({})", places.join(", ")) }
    }
}

/// The table of rules, with their sources.
fn write_rules(width: usize, out: &mut impl Write) -> io::Result<()> {
    for rule in RULES {
        write_wrapped("", &format!("{}: {}", rule.name, rule.problem), width, out)?;
        beside("Do:", rule.remedy, width, out)?;
        write_refusals(rule.refused_by, width, out)?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_refusals(refusals: &[Refusal], width: usize, out: &mut impl Write) -> io::Result<()> {
    for (at, Refusal { client, source }) in refusals.iter().enumerate() {
        beside(if at == 0 { "By:" } else { "" }, client, width, out)?;
        // An address is not broken: it could not be followed.
        writeln!(out, "{:INDENT$}{source}", "")?;
    }
    Ok(())
}

/// A label, and a text beside it; nothing for no text.
fn beside(label: &str, text: &str, width: usize, out: &mut impl Write) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    for (at, line) in wrap(text, width - INDENT).iter().enumerate() {
        let label = if at == 0 { format!("  {label}") } else { String::new() };
        writeln!(out, "{label:<INDENT$}{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
