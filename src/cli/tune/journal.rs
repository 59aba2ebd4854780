//! The journal of `mcpool tune --apply`: one line for each event, written before what it tells happens.

use crate::cli::error::CliError;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The capacities are about to be set.
    Applying,
    /// They stay.
    Kept,
    /// They were set back.
    RolledBack,
    /// They were set back because somebody asked for it.
    Undone,
}

/// One pool and its capacities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resize {
    pub(super) pool: String,
    pub(super) before: u64,
    pub(super) after: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) at_unix_ms: u64,
    pub(super) event: Event,
    /// The process of the server.
    pub(super) pid: u32,
    pub(super) resizes: Vec<Resize>,
    #[serde(default)]
    pub(super) reasons: Vec<String>,
}

impl Entry {
    pub(super) fn new(event: Event, pid: u32, resizes: &[Resize], reasons: &[String]) -> Self {
        let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Self { at_unix_ms, event, pid, resizes: resizes.to_vec(), reasons: reasons.to_vec() }
    }

    /// Adds it to the end of the journal, and to the disk.
    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        let write = || {
            let mut line = serde_json::to_vec(self)?;
            line.push(b'\n');
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(|error: io::Error| {
            CliError::Usage(format!(
                "cannot write the journal {}: {error}; name another one: --journal FILE",
                path.display()
            ))
        })
    }
}

/// The change that is in force by the journal's text: the last one that was neither set back nor undone.
pub(super) fn in_force(text: &str) -> Option<Entry> {
    let mut found = None;
    // A line that was cut off told what did not happen.
    for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
        found = match entry.event {
            Event::Applying | Event::Kept => Some(entry),
            Event::RolledBack | Event::Undone => None,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_the_last_change_that_was_not_set_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let entry = |event, after| {
            Entry::new(event, 7, &[Resize { pool: "arenas".to_owned(), before: 1, after }], &[])
        };
        let in_force = || {
            let text = std::fs::read_to_string(&path).expect("read");
            in_force(&text).map(|entry| entry.resizes[0].after)
        };
        for (event, after, want) in [
            (Event::Applying, 2, Some(2)),
            (Event::Kept, 2, Some(2)),
            (Event::Applying, 3, Some(3)),
            (Event::RolledBack, 3, None),
            (Event::Applying, 4, Some(4)),
            (Event::Undone, 4, None),
        ] {
            entry(event, after).write(&path).expect("written");
            assert_eq!(in_force(), want, "{event:?}");
        }
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b"{\"at_unix_ms\":1,\"event\":\"app").expect("written");
        assert_eq!(in_force(), None, "a torn line is no event");
    }
}
