//! The command `mcpool report`: shows the report of a running server, or a saved one, to people and programs.

mod changes;
mod diff;

use super::admin;
use super::error::CliError;
use super::terminal;
use crate::limits::units::bytes;
use crate::memory::MemoryReport;
use crate::report::{write_html, write_markdown, write_table};
use clap::ArgMatches;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;
/// The schema file; a test compares it with the type.
const SCHEMA_JSON: &str = include_str!("../memory/report.schema.json");

/// Prints the report in the format that the flags name.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    match matches.subcommand() {
        Some(("diff", matches)) => return diff::run(matches),
        Some(("changes", matches)) => return changes::run(matches),
        _ => {}
    }
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("schema") {
        out.write_all(SCHEMA_JSON.as_bytes())?;
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

/// Asks a running server for its idle memory, and shows what it gave back.
fn reclaim(source: Option<&str>, is_json: bool, out: &mut impl Write) -> Result<(), CliError> {
    if let Some(file) = source.filter(|source| is_saved(source)) {
        let what = "names a saved report, which has nothing to give back; name an admin socket";
        return Err(CliError::Usage(format!("{file:?} {what}")));
    }
    let outcome = admin::reclaim(source)?;
    if is_json {
        serde_json::to_writer_pretty(&mut *out, &outcome).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    if let (Some(before), Some(after)) = (outcome.rss_before_bytes, outcome.rss_after_bytes) {
        let given = bytes(before.saturating_sub(after));
        writeln!(out, "Given back: {given}; resident {} before, {} now.", bytes(before), bytes(after))?;
    }
    for step in &outcome.steps {
        writeln!(out, "  {}: {} freed", step.step, bytes(step.bytes))?;
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
        serde_json::to_writer_pretty(&mut *out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if matches.get_flag("markdown") {
        write_markdown(report, out)?;
    } else {
        write_table(report, width, out)?;
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
    let _ = writeln!(io::stderr(), "{}", path.display());
    Ok(())
}

/// The report at `source`: a file, `-` for standard input, or the admin socket of a running server.
pub(super) fn read(source: Option<&str>) -> Result<MemoryReport, CliError> {
    let Some(source) = source else { return admin::report(None) };
    if !is_saved(source) {
        return admin::report(Some(source));
    }
    let text = text_of(source)?;
    MemoryReport::from_json(latest(&text)).map_err(|error| CliError::Usage(format!("{source:?}: {error}")))
}

/// Tells whether a source is a file, not an admin socket.
pub(super) fn is_saved(source: &str) -> bool {
    let is_socket = source.starts_with("unix:")
        || source.starts_with("http:")
        || source.parse::<std::net::SocketAddr>().is_ok();
    !is_socket
}

/// Reads all reports of a file: one JSON text, or one per line as `serve --record` writes them.
pub(super) fn read_all(source: &str) -> Result<Vec<MemoryReport>, CliError> {
    let text = text_of(source)?;
    if let Ok(report) = MemoryReport::from_json(&text) {
        return Ok(vec![report]);
    }
    let mut reports = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let is_torn = !text.ends_with('\n') && at > 0 && !is_json(line);
        match MemoryReport::from_json(line) {
            Ok(report) => reports.push(report),
            Err(_) if is_torn => {}
            Err(error) => return Err(CliError::Usage(format!("{source:?}, line {}: {error}", at + 1))),
        }
    }
    Ok(reports)
}

fn text_of(source: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if source == "-" {
        io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(source).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| CliError::Usage(format!("cannot read {source:?}: {error}")))?;
    Ok(text)
}

/// The last line of JSON Lines, the whole of any other text.
fn latest(text: &str) -> &str {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_lines = lines.next().is_some_and(is_json);
    let mut from_last = lines.rev();
    let Some(last) = from_last.next().filter(|_| is_lines) else { return text };
    // A server that was killed may leave the last line incomplete; the line before it is complete.
    let is_torn = !text.ends_with('\n') && !is_json(last);
    if !is_torn {
        return last;
    }
    from_last.next().or_else(|| text.lines().find(|line| is_json(line))).unwrap_or(last)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_report_is_the_last_whole_line() {
        for (text, want) in [
            ("{\n \"a\": 1\n}\n", "{\n \"a\": 1\n}\n"),
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"a\":2}\n\n", "{\"a\":2}"),
            ("{\"a\":1}\n{\"a\":2}", "{\"a\":2}"),
            ("{\"a\":1}\n{\"a\":2}\n{\"a\"", "{\"a\":2}"),
            ("{\"a\":1}\n{\"a\"", "{\"a\":1}"),
            // A complete line that is wrong is an error; it is not skipped.
            ("{\"a\":1}\n{\"a\"\n", "{\"a\""),
            ("no report\nat all", "no report\nat all"),
            ("", ""),
        ] {
            assert_eq!(latest(text), want, "{text:?}");
        }
    }
}
