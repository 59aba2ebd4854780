//! The file of a trace: made for this user alone, of bounded size, and never a pipe or a device.
//!
//! Invariants: it never grows beyond its bound, and a line is cut only where the disk is full; it is locked as long as it is
//! written, and what is no trace stays where it is.

use super::format::TrafficLine;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::borrow::Cow;
use std::fs::{File, OpenOptions, rename, symlink_metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Room that is left for the line which says that the trace is full.
const LAST_LINE_BYTES: u64 = 128;

/// What a trace begins with.
const BEGINNING: &[u8] = b"{\"header\":{\"schema\":\"mcpool.traffic/";

/// Makes the file. A trace that is there already becomes FILE.1.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::ResourceBusy`] when another server writes to it; and when something else than a
/// trace has that name: writing to a pipe or a device waits for others, a link leads elsewhere, and another file is
/// somebody's.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and no plain file"));
        }
        Ok(_) => {
            check_trace(path)?;
            let mut before = path.to_owned().into_os_string();
            before.push(".1");
            rename(path, before)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    lock_file(&file)?;
    Ok(file)
}

/// Whether a file is a trace that nobody writes any more, or empty.
fn check_trace(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    lock_file(&file)?;
    let mut beginning = [0; BEGINNING.len()];
    let read = file.read(&mut beginning)?;
    // One that was cut off at once is a trace, too.
    if BEGINNING.starts_with(&beginning[..read]) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and no trace of traffic"))
}

/// Locks a file until it is closed.
fn lock_file(file: &File) -> io::Result<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        Errno::WOULDBLOCK => io::Error::new(io::ErrorKind::ResourceBusy, "another server records to it"),
        error => error.into(),
    })
}

/// What lines are written to.
pub(super) struct TraceFile<W> {
    out: W,
    written: u64,
    max_bytes: u64,
    is_stopped: bool,
}

impl<W: Write> TraceFile<W> {
    pub(super) fn new(out: W, max_bytes: u64) -> Self {
        Self { out, written: 0, max_bytes, is_stopped: false }
    }

    /// Whether nothing more is written.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Writes whole lines, as many as there is room for. What goes wrong is logged once, and ends it.
    pub(super) fn write(&mut self, lines: &[u8]) {
        if self.is_stopped || lines.is_empty() {
            return;
        }
        let room = self.max_bytes.saturating_sub(self.written + LAST_LINE_BYTES);
        let fits = lines.len() as u64 <= room;
        let end = if fits {
            lines.len()
        } else {
            let within = &lines[..usize::try_from(room).unwrap_or(usize::MAX).min(lines.len())];
            memchr::memrchr(b'\n', within).map_or(0, |at| at + 1)
        };
        self.write_all(&lines[..end]);
        if !fits && !self.is_stopped {
            tracing::warn!(
                bytes = self.written,
                "the trace of traffic has record_traffic_max_bytes and ends"
            );
            let why = TrafficLine::Stopped(Cow::Borrowed("record_traffic_max_bytes"));
            self.write_line(&why);
            self.is_stopped = true;
        }
    }

    /// Writes a line about the trace itself.
    pub(super) fn write_line(&mut self, line: &TrafficLine<'_>) {
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            self.write_all(&text);
        }
    }

    fn write_all(&mut self, bytes: &[u8]) {
        if self.is_stopped {
            return;
        }
        match self.out.write_all(bytes) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => {
                tracing::error!(%error, "the recording of traffic ends: its file takes no more");
                self.is_stopped = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_trace_ends_at_its_bound_with_whole_lines() {
        let mut out = Vec::new();
        let mut file = TraceFile::new(&mut out, LAST_LINE_BYTES + 10);
        file.write(b"1234\n");
        file.write(b"56\n78901234\n");
        file.write(b"never\n");
        assert!(file.is_stopped());
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "1234\n56\n{\"stopped\":\"record_traffic_max_bytes\"}\n");
        assert!(text.len() as u64 <= LAST_LINE_BYTES + 10);
    }

    #[test]
    fn a_full_disk_ends_it_once() {
        struct Full(u32);
        impl Write for Full {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut full = Full(0);
        let mut file = TraceFile::new(&mut full, 1_000);
        for _ in 0..3 {
            file.write(b"line\n");
        }
        assert!(file.is_stopped());
        assert_eq!(full.0, 1, "nobody tries again");
    }

    #[test]
    fn only_a_plain_file_is_written_to_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace");
        let mut file = create(&path).expect("made");
        file.write_all(BEGINNING).expect("written");
        assert_eq!(file.metadata().expect("there").mode() & 0o777, 0o600);
        let busy = create(&path).expect_err("it is written to");
        assert_eq!((busy.kind(), path.exists()), (io::ErrorKind::ResourceBusy, true), "{busy}");
        drop(file);
        create(&path).expect("made anew");
        let kept = std::fs::read(folder.path().join("trace.1")).expect("kept");
        assert_eq!(kept, BEGINNING);
        let notes = folder.path().join("notes");
        std::fs::write(&notes, "precious").expect("written");
        let error = create(&notes).expect_err("somebody's file");
        assert!(error.to_string().contains("no trace"), "{error}");
        assert_eq!(std::fs::read_to_string(&notes).expect("there"), "precious");
        let link = folder.path().join("link");
        symlink(&path, &link).expect("linked");
        let pipe = folder.path().join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.expect("a pipe");
        for special in [&link, &pipe, &folder.path().to_owned()] {
            let error = create(special).expect_err("refused");
            assert!(error.to_string().contains("no plain file"), "{error}");
        }
    }
}
