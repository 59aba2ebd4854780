//! Reads the files that a user names for a command: reports, scenarios, arguments.
//!
//! A pipe is waited for, as in `mcpool report <(ssh host mcpool report --json)`. Invariant: no file takes more memory than
//! its bound; a device, which may never end, is refused.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Bytes of the longest file: reports have some 100 KiB, and the last hour of a server has less than a MiB.
pub(super) const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of the longest file of reports, one a line: `record_max_bytes` is 64 MiB if nobody sets it.
pub(super) const MAX_RECORD_BYTES: u64 = 512 * 1024 * 1024;

/// Reads a text of at most `max_bytes`.
///
/// # Errors
/// Those of the system; and when it is no text, longer, or a device.
pub(super) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a device, which may never end"));
    }
    text_of(File::open(path)?, max_bytes)
}

/// Reads all that comes from `source`, at most `max_bytes`.
pub(super) fn text_of(source: impl Read, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = source.take(max_bytes.saturating_add(1)).read_to_string(&mut text)?;
    if read as u64 > max_bytes {
        let message = format!("it is longer than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn nothing_is_read_beyond_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "12345678").expect("written");
        assert_eq!(read_text(&path, 8).expect("read"), "12345678");
        let told = |path: &Path, max_bytes| read_text(path, max_bytes).expect_err("refused").to_string();
        assert_eq!(told(&path, 7), "it is longer than 7 bytes");
        assert_eq!(told(Path::new("/dev/zero"), 7), "it is a device, which may never end");
        assert!(read_text(folder.path(), 7).is_err());
        let error = text_of(io::repeat(b'x'), 1_000).expect_err("without an end");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let missing = read_text(&folder.path().join("none"), 7).expect_err("none");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (read, mut write) = io::pipe().expect("a pipe");
        io::Write::write_all(&mut write, b"text").expect("written");
        drop(write);
        let path = format!("/proc/self/fd/{}", read.as_raw_fd());
        if cfg!(target_os = "linux") {
            assert_eq!(read_text(Path::new(&path), 4).expect("read"), "text");
        }
    }
}
