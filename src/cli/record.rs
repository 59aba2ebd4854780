//! Writes the reports of `serve --record`: one per line, in a file of bounded size.

use super::error::CliError;
use crate::limits::Limits;
use crate::server::Server;
use crate::traffic::open_to_append;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user's mask decides who may read reports.
const MODE: u32 = 0o666;

/// The file that reports are written to. Invariant: it and its predecessor have at most `max_bytes` each, unless a
/// single report has more.
pub(super) struct Record {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    interval: Duration,
}

impl Record {
    /// Opens the file to append to it, or makes it.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, CliError> {
        let open = || {
            let file = open_to_append(path, MODE)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(|source: io::Error| {
            CliError::Usage(format!("cannot write reports to {}: {source}", path.display()))
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            max_bytes: limits.record_max_bytes as u64,
            interval: Duration::from_millis(limits.record_interval_ms as u64),
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            std::fs::rename(&self.path, before)?;
            self.file = open_to_append(&self.path, MODE)?;
            self.bytes = 0;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

/// Writes a report each interval, until the task is aborted.
pub(super) async fn run(server: Server, mut record: Record) {
    let mut ticks = tokio::time::interval(record.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to report.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let written =
            serde_json::to_vec(&server.memory().report()).map_err(io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                record.write(&line)
            });
        if let Err(error) = written {
            tracing::error!(%error, path = %record.path.display(), "a report is lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_record_makes_room_for_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("record");
        let mut record = Record::open(&path, &Limits::default()).expect("opens");
        record.max_bytes = 10;
        for line in ["1234\n", "5678\n", "9\n"] {
            record.write(line.as_bytes()).expect("written");
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("there");
        assert_eq!((read("record.1").as_str(), read("record").as_str()), ("1234\n5678\n", "9\n"));
        drop(record);
        let again = Record::open(&path, &Limits::default()).expect("opens");
        assert_eq!(again.bytes, 2, "goes on where it was");
    }
    /// Lines on `/dev/stdout` would be among those of the protocol, and a pipe may have no reader.
    #[test]
    fn reports_go_to_plain_files_only() {
        let refused = Record::open(Path::new("/dev/null"), &Limits::default());
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("it is no plain file"), "{error}");
    }
}
