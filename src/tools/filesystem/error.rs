//! Why a file tool failed, in the words of the reference server: clients and models have learned to read them.

use super::compat::Copies;
use crate::limits::{LimitOption, MAX_PATH_BYTES, MAX_PATH_DEPTH};
use crate::server::{Cancelled, ToolError};
use crate::wire::MemoryLack;
use rustix::io::Errno;
use std::borrow::Cow;
use std::fmt;
use thiserror::Error;

fn no_memory(lack: MemoryLack) -> &'static str {
    match lack {
        MemoryLack::ForNow => {
            "There is no memory for this at the moment: try again later, or ask for less, as with head, tail or a narrower path \
             (setting max_inflight_bytes)"
        }
        MemoryLack::Always => {
            "There is never memory for this, as it needs more than all large messages may have together: ask for \
             less, as with head, tail or a narrower path (settings max_inflight_bytes and memory_limit_bytes)"
        }
    }
}

fn no_memory_to_edit(lack: MemoryLack) -> &'static str {
    match lack {
        MemoryLack::ForNow => {
            "There is no memory for this edit at the moment, and the file was left as it is: try again later \
             (setting max_inflight_bytes)"
        }
        MemoryLack::Always => {
            "There is never memory for this edit, as a file of this length needs more than all large messages may \
             have together, and the file was left as it is (settings max_inflight_bytes and memory_limit_bytes)"
        }
    }
}

/// A failure of a file tool.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum FsError {
    #[error("Access denied - path outside allowed directories: {path} not in {allowed}")]
    Outside { path: String, allowed: String },
    #[error("Access denied - symlink target outside allowed directories: {path} not in {allowed}")]
    LinkOutside { path: String, allowed: String },
    #[error("Access denied - Windows-style path received on a POSIX host: {path}")]
    WindowsPath { path: String },
    #[error("Access denied - an allowed directory itself cannot be moved: {path}")]
    MovesAllowed { path: String },
    #[error("Parent directory does not exist: {path}")]
    NoParent { path: String },
    #[error("Ambiguous Unicode path component: {name}")]
    AmbiguousName { name: String },
    #[error(
        "Ambiguous name: no file is called '{name}', and two differ from it only in the kind of their \
         blanks: '{}' and '{}'; ask for one of them", first.escape_debug(), second.escape_debug()
    )]
    AmbiguousBlanks { name: String, first: String, second: String },
    #[error(
        "ENAMETOOLONG: name too long, a path may have {MAX_PATH_BYTES} bytes and this one has {bytes}: '{path}'"
    )]
    PathTooLong { path: String, bytes: usize },
    #[error(
        "ENAMETOOLONG: name too long, a path may have {MAX_PATH_DEPTH} names and this one has {names}: '{path}'"
    )]
    PathTooDeep { path: String, names: usize },
    /// Clients do not see it: the call begins again on a thread that may block.
    #[error("this takes longer than a call may that others wait for")]
    TakesLong,
    #[error("Cannot specify both head and tail parameters simultaneously")]
    HeadAndTail,
    #[error(
        "Cannot specify head or tail together with offset or limit: offset and limit name lines by their numbers"
    )]
    EndsAndRange,
    #[error("Could not find exact match for edit:\n{old_text}{hint}")]
    NoMatch { old_text: String, hint: String },
    #[error(
        "oldText is empty, which names no place: give the text that is to be replaced; to insert, give the text \
         beside the place, and that text with the new one as newText"
    )]
    EmptyOldText,
    #[error(
        "oldText occurs {count} times, beginning in lines {lines}: give more of the text around the place, so that \
         it occurs once, or set replaceAll to true:\n{old_text}"
    )]
    Ambiguous { count: usize, lines: String, old_text: String },
    #[error(
        "Too many edits for a file of this length: together they look through more than {limit_bytes} bytes; make \
         fewer in one call, or raise max_edit_scan_bytes"
    )]
    EditsTooLong { limit_bytes: usize },
    #[error(
        "The file would have more than {limit_bytes} bytes after the edit, namely {bytes}: it was left as it is; \
         make it in parts, or raise max_reply_bytes"
    )]
    EditedTooLong { bytes: usize, limit_bytes: usize },
    #[error("{}", no_memory(*.0))]
    OutOfMemory(MemoryLack),
    #[error("{}: {path}", no_memory_to_edit(*lack))]
    NoMemoryToEdit { path: String, lack: MemoryLack },
    #[error("Destination already exists: {path}")]
    DestinationExists { path: String },
    #[error("The pattern cannot be used: {why}")]
    InvalidPattern { why: String },
    #[error("{name} must be a whole number from {min} to {max}")]
    NotInRange { name: &'static str, min: u64, max: u64 },
    #[error("pattern is too long")]
    PatternTooLong,
    #[error(
        "The patterns stand for too much: pattern and excludePatterns of one call may take {max_bytes} bytes \
         once braces are expanded; write ranges and sets with fewer members, or give fewer patterns \
         (setting max_pattern_bytes)"
    )]
    PatternsTooLarge { max_bytes: usize },
    #[error(
        "The regular expression is too large: what is compiled of it may take {max_bytes} bytes; repeat and count less in it, \
         use [a-z] instead of \\w, or set literal to search for a plain text (setting max_pattern_bytes)"
    )]
    ExpressionTooLarge { max_bytes: usize },
    #[error(
        "The patterns take too long: they may take {max_steps} steps for one name; use fewer groups such \
         as +( ) and !( ) (setting max_pattern_steps)"
    )]
    PatternsTooSlow { max_steps: usize },
    #[error("The pattern has too many !( ) between two slashes: {max} are allowed")]
    TooManyNots { max: usize },
    #[error("Not a regular file: {path} is a {kind}; only regular files can be read or replaced")]
    NotRegular { path: String, kind: &'static str },
    #[error(
        "File is not valid UTF-8 from byte {offset} on: {path} was left as it is, because writing it back \
         as text would destroy those bytes"
    )]
    NotUtf8 { path: String, offset: usize },
    #[error(
        "Too large for one answer: {path} has {bytes} bytes and an answer may have {limit_bytes}; read a \
         part with head or tail, or raise max_reply_bytes"
    )]
    FileTooLarge { path: String, bytes: u64, limit_bytes: usize },
    #[error(
        "Too large for one answer: {path} has {bytes} bytes{}, and there is room for {fits_bytes} (an answer \
         carries {carries} {copies} and may have max_reply_bytes); {remedy}",
        if *.grows { ", more once control characters are escaped" } else { "" }
    )]
    FileDoesNotFit {
        path: String,
        bytes: u64,
        /// The file is short enough, but its text in JSON is not.
        grows: bool,
        fits_bytes: usize,
        carries: &'static str,
        copies: Copies,
        remedy: Remedy,
    },
    #[error(
        "Too large for one answer: it grew beyond {} bytes of text, which an answer of {limit_bytes} bytes \
         carries {copies}; ask for less of it", *.limit_bytes / .copies.count()
    )]
    AnswerTooLarge { limit_bytes: usize, copies: Copies },
    #[error(
        "Line {line} does not begin in the first {limit_bytes} bytes of the file, and no lines are looked for behind \
         those (setting max_line_scan_bytes); read_text_file with tail shows the last lines"
    )]
    LineTooFar { line: u64, limit_bytes: u64 },
    #[error("The file became shorter while it was read: read it again")]
    Shrank,
    #[error("The file changed while it was sent, and what is here of it is not of one moment: read it again")]
    Changed,
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("{}: {}, {call}{}", code(*.errno), message(*.errno), Paths(path.as_deref(), to.as_deref()))]
    Os { errno: Errno, call: &'static str, path: Option<String>, to: Option<String> },
}

impl FsError {
    /// The operating system refused `call` on a path.
    #[cold]
    pub(crate) fn os(errno: Errno, call: &'static str, path: &[u8]) -> Self {
        Self::Os { errno, call, path: Some(shown(path)), to: None }
    }

    /// The operating system refused to read.
    #[cold]
    pub(crate) fn read(errno: Errno) -> Self {
        Self::Os { errno, call: "read", path: None, to: None }
    }

    /// The operating system refused `call` on two paths.
    #[cold]
    pub(crate) fn two(errno: Errno, call: &'static str, from: &[u8], to: &[u8]) -> Self {
        Self::Os { errno, call, path: Some(shown(from)), to: Some(shown(to)) }
    }
}

impl From<FsError> for Stop {
    fn from(error: FsError) -> Self {
        match error {
            FsError::Cancelled(stopped) => stopped.into(),
            FsError::TakesLong => Self::Offload,
            error => Self::Fail(ToolError::from(error)),
        }
    }
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Self {
        Self::Fail(ToolError::Cancelled)
    }
}

/// Why a tool stops before its answer is complete.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It would take too long on this thread; what it has written is thrown away.
    Offload,
    Fail(ToolError),
}

/// What a caller may do who asked for more than fits into an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    HeadOrTail,
    FewerLines,
    /// One line alone is too long.
    NoLines,
    /// The file fits into an answer of its own.
    Alone,
    /// Only a limit of so many bytes helps.
    Raise(u64),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadOrTail => f.write_str("read a part of it with read_text_file and head or tail"),
            Self::FewerLines => f.write_str("ask for fewer lines"),
            Self::NoLines => f.write_str(
                "a single line of it is longer than that, so that asking for fewer lines does not help",
            ),
            Self::Alone => f.write_str("read it by itself, with read_text_file"),
            Self::Raise(bytes) => {
                let max = LimitOption::named("max_reply_bytes").map_or(0, |option| option.max);
                if *bytes > max as u64 {
                    f.write_str("no setting allows for that much")
                } else {
                    write!(f, "the operator would have to set max_reply_bytes to {bytes} or more")
                }
            }
        }
    }
}

/// A path in a message: whole if it is short enough to be a path, otherwise its two ends.
pub(crate) fn shown(path: &[u8]) -> String {
    if path.len() > MAX_PATH_BYTES { shortened(path) } else { String::from_utf8_lossy(path).into_owned() }
}

/// A requested path in an answer: whole if it is short enough to be a path, otherwise its two ends.
pub(crate) fn bounded(request: &str) -> Cow<'_, str> {
    if request.len() > MAX_PATH_BYTES { shortened(request.as_bytes()).into() } else { request.into() }
}

/// The two ends of a text that is too long.
pub(crate) fn shortened(text: &[u8]) -> String {
    const END: usize = 64;
    if text.len() <= 2 * END {
        return String::from_utf8_lossy(text).into_owned();
    }
    let ends = [&text[..END], &text[text.len() - END..]].map(String::from_utf8_lossy);
    format!("{}\u{2026}{}", ends[0], ends[1])
}

struct Paths<'a>(Option<&'a str>, Option<&'a str>);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.0 {
            write!(f, " '{path}'")?;
        }
        if let Some(to) = self.1 {
            write!(f, " -> '{to}'")?;
        }
        Ok(())
    }
}

/// Names and texts of errors as Node.js prints them.
const TEXTS: &[(Errno, &str, &str)] = &[
    (Errno::ACCESS, "EACCES", "permission denied"),
    (Errno::BADF, "EBADF", "bad file descriptor"),
    (Errno::BUSY, "EBUSY", "resource busy or locked"),
    (Errno::EXIST, "EEXIST", "file already exists"),
    (Errno::FBIG, "EFBIG", "file too large"),
    (Errno::INTR, "EINTR", "interrupted system call"),
    (Errno::INVAL, "EINVAL", "invalid argument"),
    (Errno::IO, "EIO", "i/o error"),
    (Errno::ISDIR, "EISDIR", "illegal operation on a directory"),
    (Errno::LOOP, "ELOOP", "too many symbolic links encountered"),
    (Errno::MFILE, "EMFILE", "too many open files"),
    (Errno::MLINK, "EMLINK", "too many links"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG", "name too long"),
    (Errno::NFILE, "ENFILE", "file table overflow"),
    (Errno::NODEV, "ENODEV", "no such device"),
    (Errno::NOENT, "ENOENT", "no such file or directory"),
    (Errno::NOMEM, "ENOMEM", "not enough memory"),
    (Errno::NOSPC, "ENOSPC", "no space left on device"),
    (Errno::NOSYS, "ENOSYS", "function not implemented"),
    (Errno::NOTDIR, "ENOTDIR", "not a directory"),
    (Errno::NOTEMPTY, "ENOTEMPTY", "directory not empty"),
    (Errno::NXIO, "ENXIO", "no such device or address"),
    (Errno::PERM, "EPERM", "operation not permitted"),
    (Errno::ROFS, "EROFS", "read-only file system"),
    (Errno::STALE, "ESTALE", "stale file handle"),
    (Errno::TXTBSY, "ETXTBSY", "text file is busy"),
    (Errno::XDEV, "EXDEV", "cross-device link not permitted"),
];

fn code(errno: Errno) -> &'static str {
    TEXTS.iter().find(|row| row.0 == errno).map_or("UNKNOWN", |row| row.1)
}

fn message(errno: Errno) -> String {
    match TEXTS.iter().find(|row| row.0 == errno) {
        Some(row) => row.2.to_owned(),
        None => errno.to_string(),
    }
}

/// The number in an error of the standard library.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_as_in_node() {
        let rows = [
            (FsError::os(Errno::NOENT, "open", b"/a"), "ENOENT: no such file or directory, open '/a'"),
            (FsError::read(Errno::ISDIR), "EISDIR: illegal operation on a directory, read"),
            (
                FsError::two(Errno::XDEV, "rename", b"/a", b"/b"),
                "EXDEV: cross-device link not permitted, rename '/a' -> '/b'",
            ),
            (
                FsError::os(Errno::NOENT, "open", b"/\xff"),
                "ENOENT: no such file or directory, open '/\u{fffd}'",
            ),
        ];
        for (error, want) in rows {
            assert_eq!(error.to_string(), want);
        }
    }
}
