//! The command `mcpool report`: shows the report of a running server, or a saved one, to people and programs.

mod at;
mod changes;
mod diff;
mod meanings;
mod source;

use super::admin;
use super::error::CliError;
use crate::limits::units::bytes;
use crate::memory::MemoryReport;
use crate::report::{write_html, write_markdown, write_table};
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) use meanings::WHERE_WORDS_ARE;
pub(super) use source::{is_saved, nothing_in, read, read_all, read_history};

/// The schema files; a test compares them with the types.
const HISTORY_SCHEMA_JSON: &str = include_str!("../memory/black_box.schema.json");
const SCHEMA_JSON: &str = include_str!("../memory/report.schema.json");

/// Prints the report in the format that the flags name.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    match matches.subcommand() {
        Some(("diff", matches)) => return diff::run(matches),
        Some(("changes", matches)) => return changes::run(matches),
        _ => {}
    }
    let stdout = io::stdout();
    let width = source::width(&stdout);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("schema") {
        out.write_all(SCHEMA_JSON.as_bytes())?;
    } else if matches.get_flag("black_box_schema") {
        out.write_all(HISTORY_SCHEMA_JSON.as_bytes())?;
    } else if let Some(at) = matches.get_one::<String>("at") {
        at::show(at, matches, width, &mut out)?;
    } else if matches.get_flag("black_box") {
        let source = matches.get_one::<String>("source").map(String::as_str);
        write_black_box(source, matches.get_flag("json"), &mut out)?;
    } else if matches.get_flag("reclaim") {
        let source = matches.get_one::<String>("source").map(String::as_str);
        reclaim(source, matches.get_flag("json"), &mut out)?;
    } else {
        let source = matches.get_one::<String>("source").map(String::as_str);
        let report = read(source)?;
        match matches.get_one::<PathBuf>("html") {
            Some(path) => save_page(&report, path, source)?,
            None => show(&report, matches, width, &mut out)?,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Has a running server write its black box to a file, and prints its path.
fn write_black_box(source: Option<&str>, is_json: bool, out: &mut impl Write) -> Result<(), CliError> {
    if let Some(file) = source.filter(|source| is_saved(source)) {
        let what = "names a file, which has no black box of its own; name an admin socket";
        return Err(CliError::Usage(format!("{file:?} {what}")));
    }
    let written = admin::write_black_box(source)?;
    if is_json {
        visible::write_json(&mut *out, &written)?;
        writeln!(out)?;
        return Ok(());
    }
    match (written.path, written.why) {
        (Some(path), _) => writeln!(out, "{}", visible::line(&path.display().to_string()))?,
        (None, why) => {
            let why = why.unwrap_or_default();
            return Err(CliError::Usage(format!("the server did not write its black box: {why}")));
        }
    }
    Ok(())
}

/// Asks a running server for its idle memory, and shows what it gave back.
fn reclaim(source: Option<&str>, is_json: bool, out: &mut impl Write) -> Result<(), CliError> {
    if let Some(file) = source.filter(|source| is_saved(source)) {
        let what = "names a saved report, which has nothing to give back; name an admin socket";
        return Err(CliError::Usage(format!("{file:?} {what}")));
    }
    let outcome = admin::reclaim(source)?;
    if is_json {
        visible::write_json(&mut *out, &outcome)?;
        writeln!(out)?;
        return Ok(());
    }
    if let (Some(before), Some(after)) = (outcome.rss_before_bytes, outcome.rss_after_bytes) {
        let given = bytes(before.saturating_sub(after));
        writeln!(out, "Given back: {given}; resident {} before, {} now.", bytes(before), bytes(after))?;
    }
    for step in &outcome.steps {
        writeln!(out, "  {}: {} freed", visible::line(&step.step), bytes(step.bytes))?;
    }
    Ok(())
}

fn show(
    report: &MemoryReport,
    matches: &ArgMatches,
    width: usize,
    out: &mut impl Write,
) -> Result<(), CliError> {
    if matches.get_flag("json") {
        visible::write_json(&mut *out, report)?;
        writeln!(out)?;
    } else if matches.get_flag("markdown") {
        write_markdown(report, out)?;
    } else {
        write_table(report, width, out)?;
        meanings::write(matches.get_flag("explain"), width, out)?;
    }
    Ok(())
}

/// Writes the whole page or nothing, and prints its path.
fn save_page(report: &MemoryReport, path: &Path, source: Option<&str>) -> Result<(), CliError> {
    let fault = |error: &dyn std::fmt::Display| {
        CliError::Usage(format!("cannot write the page to {}: {error}", path.display()))
    };
    let is_source = source.is_some_and(|source| {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(path).is_some_and(|path| Some(path) == real(Path::new(source)))
    });
    if is_source {
        return Err(fault(&"the report is read from there; name another file"));
    }
    let is_special = std::fs::metadata(path).is_ok_and(|facts| !facts.is_file());
    if is_special {
        return Err(fault(&"that is no file; name one that is to be made"));
    }
    let mut page = Vec::new();
    write_html(report, &mut page)?;
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(".unfinished");
    let written = std::fs::write(&unfinished, page).and_then(|()| std::fs::rename(&unfinished, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        fault(&error)
    })?;
    // The page is written even if stderr is closed.
    let _ = writeln!(io::stderr(), "{}", visible::line(&path.display().to_string()));
    Ok(())
}
