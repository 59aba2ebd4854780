//! The command `mcpool tune`: computes settings that pay from reports, with the evidence for each.
//!
//! It writes only settings that `serve --config` takes, and does not change a file that it has not written.

mod apply;
mod journal;

use super::error::CliError;
use super::named_file::{MAX_FILE_BYTES, read_text};
use super::report;
use super::terminal::{self, write_wrapped};
use crate::limits::LimitOption;
use crate::limits::units::bytes;
use crate::memory::MemoryReport;
use crate::report::{Change, Prices, Proposal, Terms, propose};
use crate::visible;
use apply::Subject;
use clap::ArgMatches;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// First line of a file that this command has written and may replace.
const MARK: &str = "# Written by `mcpool tune`";

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;

/// Prints the settings that pay, writes them to a file with `--write`, and tries them with `--apply`.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    if matches.get_flag("undo") {
        return Subject::of(matches)?.undo(&mut io::stdout().lock());
    }
    let subject = matches.get_flag("apply").then(|| Subject::of(matches)).transpose()?;
    let reports = read(matches)?;
    let proposal = propose(&reports, &terms(matches)?);
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &proposal)?;
        writeln!(out)?;
    } else {
        show(&proposal, reports.len(), width, &mut out)?;
    }
    out.flush()?;
    if let Some(path) = matches.get_one::<PathBuf>("write") {
        let told = write_if_changed(path, &proposal)?;
        // Whoever reads JSON reads nothing else there.
        if matches.get_flag("json") {
            let _ = writeln!(io::stderr(), "{told}");
        } else {
            write_wrapped("", &told, width, &mut out)?;
            out.flush()?;
        }
    }
    match (subject, reports.last()) {
        (Some(subject), Some(report)) => subject.apply(report, &proposal, &mut out),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// All reports, oldest first.
fn read(matches: &ArgMatches) -> Result<Vec<MemoryReport>, CliError> {
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
    if reports.is_empty() {
        return Err(report::nothing_in(sources));
    }
    reports.sort_by_key(|report| report.taken_unix_ms);
    Ok(reports)
}

fn terms(matches: &ArgMatches) -> Result<Terms, CliError> {
    let budget_bytes = match matches.get_one::<String>("budget") {
        Some(text) => {
            let option = LimitOption::named("pool_budget_bytes")
                .ok_or_else(|| CliError::Usage("no pool_budget_bytes".to_owned()))?;
            let parsed = option.parse(text);
            Some(parsed.map_err(|error| CliError::Usage(format!("--budget: {error}")))? as u64)
        }
        None => None,
    };
    let of = |name: &str, default: f64| matches.get_one::<f64>(name).copied().unwrap_or(default);
    let usual = Prices::default();
    let prices = Prices {
        gib_month: of("gib_price", usual.gib_month),
        cpu_month: of("cpu_price", usual.cpu_month),
        least_gain: of("least_gain", usual.least_gain),
    };
    let least_window_ms = (of("least_window", 60.0) * 1_000.0) as u64;
    Ok(Terms {
        prices,
        budget_bytes,
        target_hit_ratio: matches.get_one("target_hit").copied(),
        least_window_ms,
    })
}

fn show(proposal: &Proposal, reports: usize, width: usize, out: &mut impl Write) -> io::Result<()> {
    let Prices { gib_month, cpu_month, least_gain } = proposal.prices;
    if let Some(minutes) = proposal.missing_minutes {
        let text =
            format!("Too little data in {reports} report(s): run {minutes} more minute(s) under load.");
        return write_wrapped("", &text, width, out);
    }
    for Change { setting, now, advised, saved_bytes, saved_us_per_s, gain, evidence } in &proposal.changes {
        let verb = if *saved_bytes < 0.0 { "costs" } else { "saves" };
        writeln!(out, "-{setting} = {now}\n+{setting} = {advised}")?;
        let saved = format!(
            "{verb} {}, saves {saved_us_per_s:.0} us/s of a processor: {gain:.2} a month",
            bytes(saved_bytes.abs() as u64)
        );
        for text in std::iter::once(&saved).chain(evidence) {
            write_wrapped("  # ", &visible::line(text), width, out)?;
        }
    }
    if proposal.changes.is_empty() {
        let text = format!("{reports} report(s) support the settings as they are.");
        write_wrapped("", &text, width, out)?;
    }
    let prices = format!(
        "At {gib_month} a month for a GiB and {cpu_month} for a processor (--gib-price, --cpu-price); what gains less than \
         {least_gain} is left out (--least-gain)."
    );
    write_wrapped("", &prices, width, out)
}

/// Writes the settings that change, and says what became of the file.
fn write_if_changed(path: &Path, proposal: &Proposal) -> Result<String, CliError> {
    let file = visible::line(&path.display().to_string());
    if proposal.changes.is_empty() {
        let why = match proposal.missing_minutes {
            Some(_) => "there is too little data",
            None => "no setting changes",
        };
        return Ok(format!("{file} is not written: {why}."));
    }
    write(path, &proposal.changes)?;
    Ok(format!("{file} is written: `mcpool serve --config {file}` takes it."))
}

/// Writes the whole file or nothing. Settings of an earlier run stay unless this one changes them.
fn write(path: &Path, changes: &[Change]) -> Result<(), CliError> {
    let fault =
        |error: &dyn std::fmt::Display| CliError::Usage(format!("cannot write {}: {error}", path.display()));
    let before = match read_text(path, MAX_FILE_BYTES) {
        Ok(text) if !text.starts_with(MARK) => {
            return Err(fault(
                &"the file was not written by `mcpool tune`; name another file and merge the two",
            ));
        }
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fault(&error)),
    };
    let mut text = format!("{MARK}: written again when it runs again.\n");
    text.push_str(&kept(&before, changes));
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

/// The settings of an earlier run that are not changed, each with the comments above it.
fn kept(before: &str, changes: &[Change]) -> String {
    let (mut kept, mut comments) = (String::new(), String::new());
    for line in before.lines().skip(1) {
        let Some((setting, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            let _ = writeln!(comments, "{line}");
            continue;
        };
        if !changes.iter().any(|change| change.setting == setting) {
            let _ = writeln!(kept, "{comments}{line}");
        }
        comments.clear();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(setting: &'static str, advised: u64) -> Change {
        let evidence = vec![format!("evidence for {advised} = enough")];
        Change { setting, now: 1, advised, saved_bytes: 0.0, saved_us_per_s: 0.0, gain: 1.0, evidence }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let evidence = "word ".repeat(60);
        let changes = LimitOption::ALL
            .iter()
            .map(|option| Change {
                setting: option.name,
                now: u64::MAX,
                advised: u64::MAX,
                saved_bytes: -1e18,
                saved_us_per_s: 1e12,
                gain: 1e12,
                evidence: vec![evidence.clone()],
            })
            .collect();
        let full =
            Proposal { changes, promises: Vec::new(), missing_minutes: None, prices: Prices::default() };
        let none = Proposal { changes: Vec::new(), ..full.clone() };
        let early = Proposal { missing_minutes: Some(u64::MAX), ..full.clone() };
        for proposal in [&full, &none, &early] {
            let mut out = Vec::new();
            show(proposal, usize::MAX, 80, &mut out).expect("written");
            let text = String::from_utf8(out).expect("text");
            let wide = text.lines().find(|line| terminal::columns(line) > 80);
            assert!(wide.is_none() && !text.is_empty(), "{wide:?}");
        }
        let mut out = Vec::new();
        show(&full, 1, 80, &mut out).expect("written");
        let words = String::from_utf8(out).expect("text").matches("word").count();
        assert_eq!(words, 60 * full.changes.len(), "nothing is cut");
    }

    #[test]
    fn what_an_earlier_run_wrote_stays_unless_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mcpool.toml");
        write(&path, &[change("message_capacity", 5), change("arena_capacity", 6)]).expect("written");
        write(&path, &[change("arena_capacity", 7)]).expect("written");
        let text = std::fs::read_to_string(&path).expect("a file");
        let want = "# evidence for 5 = enough\nmessage_capacity = 5\n# evidence for 7 = enough\narena_capacity = 7\n";
        assert_eq!(text.split_once('\n').expect("lines").1, want);
        let proposal = |changes, missing_minutes| Proposal {
            changes,
            promises: Vec::new(),
            missing_minutes,
            prices: Prices::default(),
        };
        let other = folder.path().join("other.toml");
        for (nothing, why) in [
            (proposal(Vec::new(), None), "no setting changes"),
            (proposal(Vec::new(), Some(1)), "too little data"),
        ] {
            let told = write_if_changed(&other, &nothing).expect("told");
            assert!(told.contains("other.toml is not written: ") && told.contains(why), "{told}");
            assert!(!other.exists());
        }
        let told =
            write_if_changed(&other, &proposal(vec![change("arena_capacity", 7)], None)).expect("written");
        assert!(told.contains("other.toml is written") && other.exists(), "{told}");
        std::fs::write(&path, "mine = 1\n").expect("written");
        assert!(write(&path, &[change("arena_capacity", 7)]).is_err());
    }
}
