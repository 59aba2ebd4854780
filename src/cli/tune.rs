//! The command `mcpool tune`: computes settings from reports, with the evidence for each.
//!
//! It writes only settings that `serve --config` takes, and does not change a file that it has not written.

use super::error::CliError;
use super::report;
use crate::limits::LimitOption;
use crate::memory::{MemoryReport, Plan, Policy, PoolReport, advise, merge};
use clap::ArgMatches;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// First line of a file that this command has written and may replace.
const MARK: &str = "# Written by `mcpool tune`";

/// One setting: its value now, and the one that the evidence supports.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Change {
    setting: &'static str,
    now: u64,
    advised: u64,
    evidence: Vec<String>,
}

/// Prints the settings that the reports support, and writes them to a file with `--write`.
pub(super) fn run(matches: &ArgMatches) -> Result<(), CliError> {
    let sources: Vec<&String> = matches.get_many("reports").into_iter().flatten().collect();
    let mut reports = Vec::new();
    for source in &sources {
        if report::is_saved(source) {
            reports.extend(report::read_all(source)?);
        } else {
            reports.push(report::read(Some(source))?);
        }
    }
    if sources.is_empty() {
        reports.push(report::read(None)?);
    }
    reports.sort_by_key(|report| report.taken_unix_ms);
    let Some(last) = reports.last() else {
        return Err(CliError::Usage("there is no report".to_owned()));
    };
    let budget = match matches.get_one::<String>("budget") {
        Some(text) => LimitOption::named("pool_budget_bytes")
            .ok_or_else(|| CliError::Usage("no pool_budget_bytes".to_owned()))?
            .parse(text)
            .map_err(|error| CliError::Usage(format!("--budget: {error}")))? as u64,
        None => last.budget.limit_bytes,
    };
    let target_hit_ratio = matches.get_one::<f64>("target_hit").copied().unwrap_or(0.99);
    let plan = Plan { target_hit_ratio, budget_bytes: budget, policy: Policy::MissCurve };
    let changes = changes(&merge(&reports), last, &plan);
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("json") {
        serde_json::to_writer_pretty(&mut out, &changes).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        show(&changes, reports.len(), &mut out)?;
    }
    out.flush()?;
    match matches.get_one::<std::path::PathBuf>("write") {
        Some(path) => write(path, &changes),
        None => Ok(()),
    }
}

/// The settings that should change. Several pools may share one: the largest need counts, as the pools with smaller
/// needs hold only what they use.
fn changes(pools: &[PoolReport], last: &MemoryReport, plan: &Plan) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (pool, advice) in pools.iter().zip(advise(pools, plan)) {
        let Some(option) = pool.setting.as_deref().and_then(LimitOption::named) else { continue };
        let now = last.settings.get(option.name).copied().unwrap_or(pool.capacity);
        if pool.curve.is_empty() {
            continue;
        }
        let certainty = advice.confidence * 100.0;
        let evidence = format!("{}: {} ({certainty:.0} % certain)", pool.name, advice.reason);
        let advised = advice.capacity.clamp(option.min as u64, option.max as u64);
        match changes.iter_mut().find(|change| change.setting == option.name) {
            Some(change) => {
                change.advised = change.advised.max(advised);
                change.evidence.push(evidence);
            }
            None => changes.push(Change { setting: option.name, now, advised, evidence: vec![evidence] }),
        }
    }
    let budget = Change {
        setting: "pool_budget_bytes",
        now: last.budget.limit_bytes,
        advised: plan.budget_bytes,
        evidence: vec!["as requested".to_owned()],
    };
    changes.push(budget);
    changes.retain(|change| change.now != change.advised);
    changes
}

fn show(changes: &[Change], reports: usize, out: &mut impl Write) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(out, "{reports} report(s) support the settings as they are.");
    }
    for change in changes {
        writeln!(out, "-{} = {}\n+{} = {}", change.setting, change.now, change.setting, change.advised)?;
        for evidence in &change.evidence {
            writeln!(out, "  # {evidence}")?;
        }
    }
    Ok(())
}

/// Writes the whole file or nothing.
fn write(path: &Path, changes: &[Change]) -> Result<(), CliError> {
    let fault =
        |error: &dyn std::fmt::Display| CliError::Usage(format!("cannot write {}: {error}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) if !text.starts_with(MARK) => {
            return Err(fault(
                &"the file was not written by `mcpool tune`; name another file and merge the two",
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(&error)),
        _ => {}
    }
    let mut text = format!("{MARK}: written again when it runs again.\n");
    for change in changes {
        for evidence in &change.evidence {
            let _ = writeln!(text, "# {evidence}");
        }
        let _ = writeln!(text, "{} = {}", change.setting, change.advised);
    }
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(".unfinished");
    let written = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, path));
    written.map_err(|error| fault(&error))
}
