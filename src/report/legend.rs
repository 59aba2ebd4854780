//! What the words and figures of a report mean: one list, for the terminal, the page and the JSON report.
//!
//! `tests/report/legend.rs` checks every column, title, part, pool and JSON field against it.

use super::layout::wrap;
use std::io;

mod entry;
mod words;

pub use entry::LegendEntry;

/// All entries, in the order in which a report uses them.
///
/// ```
/// let entry = mcpool::report::legend().iter().find(|entry| entry.fields.contains(&"private_bytes"));
/// assert!(entry.unwrap().meaning.contains("no other process"));
/// ```
pub fn legend() -> &'static [LegendEntry] {
    words::LEGEND
}

/// What a label means; `None` for a word that is in no report.
///
/// ```
/// assert!(mcpool::report::meaning_of("hit %").unwrap().contains("reused"));
/// assert_eq!(mcpool::report::meaning_of("glorp"), None);
/// ```
pub fn meaning_of(label: &str) -> Option<&'static str> {
    words::LEGEND.iter().find(|entry| entry.is_about(label)).map(|entry| entry.meaning)
}

/// Writes the legend in lines of at most `width` columns.
///
/// ```
/// let mut text = Vec::new();
/// mcpool::report::write_legend(80, &mut text)?;
/// assert!(String::from_utf8_lossy(&text).contains("heap"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_legend(width: usize, out: &mut impl io::Write) -> io::Result<()> {
    for line in wrap("What the words mean, with the fields of the JSON report in brackets", width, 0) {
        writeln!(out, "{line}")?;
    }
    for entry in words::LEGEND {
        let fields =
            if entry.fields.is_empty() { String::new() } else { format!(" [{}]", entry.fields.join(", ")) };
        for line in wrap(&format!("{}{fields}: {}", entry.words.join(", "), entry.meaning), width, 2) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
