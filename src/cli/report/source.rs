//! Where `mcpool report` and its kin take reports from: files, standard input, a running server.

use crate::cli::error::CliError;
use crate::cli::named_file::{self, MAX_FILE_BYTES, MAX_RECORD_BYTES};
use crate::cli::{admin, terminal};
use crate::memory::{History, MemoryReport};
use std::io::{self, Stdout};
use std::path::Path;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;

/// How wide tables are.
pub(super) fn width(stdout: &Stdout) -> usize {
    terminal::width(stdout, MIN_WIDTH, FILE_WIDTH)
}

/// The report at `source`: a file, `-` for standard input, or the admin socket of a running server.
pub(in crate::cli) fn read(source: Option<&str>) -> Result<MemoryReport, CliError> {
    let Some(source) = source else { return admin::report(None) };
    if !is_saved(source) {
        return admin::report(Some(source));
    }
    let text = text_of(source, MAX_RECORD_BYTES)?;
    if text.trim().is_empty() {
        return Err(nothing_in([&source.to_owned()]));
    }
    MemoryReport::from_json(latest(&text)).map_err(|error| CliError::Usage(format!("{source:?}: {error}")))
}

/// The history at `source`: a file that the black box was written to, `-` for standard input, or the admin socket of a
/// running server.
pub(in crate::cli) fn read_history(source: Option<&str>) -> Result<History, CliError> {
    match source.filter(|source| is_saved(source)) {
        None => admin::history(source),
        Some(file) => {
            let text = text_of(file, MAX_FILE_BYTES)?;
            History::from_json(&text).map_err(|error| CliError::Usage(format!("{file:?}: {error}")))
        }
    }
}

/// Tells whether a source is a file, not an admin socket.
pub(in crate::cli) fn is_saved(source: &str) -> bool {
    let is_socket = source.starts_with("unix:")
        || source.starts_with("http:")
        || source.parse::<std::net::SocketAddr>().is_ok();
    !is_socket
}

/// What to say of records that have no report yet.
pub(in crate::cli) fn nothing_in<'s>(sources: impl IntoIterator<Item = &'s String>) -> CliError {
    let names: Vec<_> = sources.into_iter().map(|source| format!("{source:?}")).collect();
    let (names, verb) = (names.join(", "), if names.len() == 1 { "is" } else { "are" });
    CliError::Usage(format!(
        "{names} {verb} empty: `serve --record FILE` writes the first report when record_interval_ms has gone by"
    ))
}

/// Reads all reports of a file: one JSON text, or one per line as `serve --record` writes them.
pub(in crate::cli) fn read_all(source: &str) -> Result<Vec<MemoryReport>, CliError> {
    let text = text_of(source, MAX_RECORD_BYTES)?;
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

fn text_of(source: &str, max_bytes: u64) -> Result<String, CliError> {
    let read = if source == "-" {
        named_file::text_of(io::stdin().lock(), max_bytes)
    } else {
        named_file::read_text(Path::new(source), max_bytes)
    };
    read.map_err(|error| CliError::Usage(format!("cannot read {source:?}: {error}")))
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
