//! The contents of a file, or of a part of it, as a resource: text where all of it is UTF-8, base64 otherwise.
//!
//! A large one is read once to find out what it is and how long it becomes, and again while the answer is sent.

use super::as_node::media;
use super::error::FsError;
use super::file_text::{FileData, FileText, LineEnds, checksum};
use super::line_range::scan_bytes;
use super::open_file::{CHUNK, OpenFile};
use crate::limits::price::{AROUND_BYTES, LARGE_BYTES};
use crate::server::{CancellationToken, ContentsKind, ReadContext, ToolError};
use crate::wire::escaped_bytes;
use std::ops::Range;

/// Which part of a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Lines {
        /// The first line of a file has the number 1.
        first: u64,
        most: u64,
    },
    Bytes {
        at: u64,
        most: u64,
    },
}

/// What is read, and how it is written.
#[derive(Debug)]
struct Contents {
    range: Range<u64>,
    kind: ContentsKind,
    /// Bytes of it in JSON.
    bytes: usize,
    /// Of the text; 0 for data.
    checksum: u32,
}

/// Why there are no contents.
enum Fault {
    File(FsError),
    /// They do not fit into an answer.
    TooLong,
}

impl From<FsError> for Fault {
    fn from(error: FsError) -> Self {
        Self::File(error)
    }
}

/// Writes a part of a file as the contents of the resource `uri`, or has it sent while it is read. `mime_type` is what its
/// name says of it.
///
/// # Errors
/// Those of reading, and where it does not fit into an answer.
pub(super) fn write(
    file: OpenFile,
    part: Part,
    (uri, mime_type): (&str, Option<&'static str>),
    read: &mut ReadContext,
) -> Result<(), ToolError> {
    let cancellation = read.cancellation();
    let max_bytes = read.limits().max_reply_bytes;
    // The URI is in the answer once.
    let space_bytes = max_bytes.saturating_sub(AROUND_BYTES + escaped_bytes(uri.as_bytes()));
    let bounds = (space_bytes, scan_bytes(read.limits()));
    let contents = match Contents::of(&file, part, bounds, &cancellation) {
        Ok(contents) => contents,
        Err(Fault::TooLong) => return Err(too_long(file.bytes, max_bytes)),
        Err(Fault::File(error)) => return Err(refusal(error)),
    };
    let Contents { range, kind, bytes, checksum } = contents;
    let mime_type = mime_type.or((kind == ContentsKind::Text).then_some("text/plain"));
    let mime_type = mime_type.unwrap_or(media::UNKNOWN);
    if bytes > LARGE_BYTES && read.may_stream() {
        match kind {
            ContentsKind::Text => {
                let text = FileText::new(file, range, LineEnds::Kept).counted(checksum);
                read.stream(uri, Some(mime_type), kind, text, bytes);
            }
            ContentsKind::Blob => {
                read.stream(uri, Some(mime_type), kind, FileData::part(file, range), bytes);
            }
        }
        return Ok(());
    }
    let written = match kind {
        ContentsKind::Text => read.text_with(uri, Some(mime_type), |text| {
            each_piece(&file, range, &cancellation, |piece| text.push_lossy(piece))
        }),
        ContentsKind::Blob => read.blob_with(uri, Some(mime_type), |data| {
            each_piece(&file, range, &cancellation, |piece| data.push(piece))
        }),
    };
    written.map_err(refusal)
}

/// The error of a resource. What cannot be reached, whatever the reason, does not exist.
pub(super) fn refusal(error: FsError) -> ToolError {
    use rustix::io::Errno;
    match error {
        FsError::Cancelled(_) => ToolError::Cancelled,
        FsError::Outside { .. }
        | FsError::LinkOutside { .. }
        | FsError::AmbiguousName { .. }
        | FsError::NoParent { .. }
        | FsError::NotRegular { .. }
        | FsError::PathTooLong { .. }
        | FsError::PathTooDeep { .. }
        | FsError::Os {
            errno:
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::XDEV
                | Errno::INVAL,
            ..
        } => ToolError::NotFound,
        error => ToolError::from(error),
    }
}

fn too_long(file_bytes: u64, max_bytes: usize) -> ToolError {
    ToolError::failed(format_args!(
        "Too large for one answer: the file has {file_bytes} bytes, and an answer may have {max_bytes} (setting \
         max_reply_bytes), of text with its escapes or of base64; read a part of it: ?offset=1&limit=100 are the first 100 \
         lines, ?byteOffset=0&byteLimit=65536 the first bytes"
    ))
}

impl Contents {
    fn of(
        file: &OpenFile,
        part: Part,
        (space_bytes, scan_bytes): (usize, u64),
        cancellation: &CancellationToken,
    ) -> Result<Self, Fault> {
        let space = space_bytes as u64;
        let range = match part {
            Part::Whole => 0..file.bytes,
            Part::Lines { first, most } => lines(file, (first, most), (space, scan_bytes), cancellation)?,
            Part::Bytes { at, most } => at.min(file.bytes)..at.saturating_add(most).min(file.bytes),
        };
        if let Part::Bytes { .. } = part {
            return Self::blob(range, space_bytes);
        }
        // Text takes no fewer bytes than its file has, and base64 takes more.
        if range.end - range.start > space {
            return Err(Fault::TooLong);
        }
        match text(file, range.clone(), space_bytes, cancellation)? {
            Some(contents) => Ok(contents),
            None => Self::blob(range, space_bytes),
        }
    }

    fn blob(range: Range<u64>, space_bytes: usize) -> Result<Self, Fault> {
        let bytes = (range.end - range.start).div_ceil(3).saturating_mul(4);
        if bytes > space_bytes as u64 {
            return Err(Fault::TooLong);
        }
        Ok(Self { range, kind: ContentsKind::Blob, bytes: bytes as usize, checksum: 0 })
    }
}

/// The range as text; `None` where it is no UTF-8.
fn text(
    file: &OpenFile,
    range: Range<u64>,
    space_bytes: usize,
    cancellation: &CancellationToken,
) -> Result<Option<Contents>, Fault> {
    let mut buffer = [0; CHUNK];
    let (mut at, mut bytes, mut sum) = (range.start, 0, 0);
    while at < range.end {
        cancellation.check().map_err(FsError::from)?;
        let most = (range.end - at).min(CHUNK as u64) as usize;
        let piece = file.read_at(&mut buffer[..most], at)?;
        if piece.is_empty() {
            // It ends before its length, as files do that are no files on a disk.
            break;
        }
        let valid = match simdutf8::compat::from_utf8(piece) {
            Ok(_) => piece,
            Err(error) => {
                let is_last = at + piece.len() as u64 == range.end;
                // A character may go on in the next piece, which begins with it.
                if error.error_len().is_some() || is_last || error.valid_up_to() == 0 {
                    return Ok(None);
                }
                &piece[..error.valid_up_to()]
            }
        };
        at += valid.len() as u64;
        bytes += escaped_bytes(valid);
        sum = checksum(sum, valid);
        if bytes > space_bytes {
            return Err(Fault::TooLong);
        }
    }
    Ok(Some(Contents { range: range.start..at, kind: ContentsKind::Text, bytes, checksum: sum }))
}

/// Where lines are, with their line ends. The first is not looked for behind `scan_bytes`.
fn lines(
    file: &OpenFile,
    (first, most): (u64, u64),
    (space, scan_bytes): (u64, u64),
    cancellation: &CancellationToken,
) -> Result<Range<u64>, Fault> {
    let end = first.saturating_add(most);
    let (mut line, mut at) = (1, 0);
    let mut start = (first == 1).then_some(0);
    let mut buffer = [0; CHUNK];
    loop {
        cancellation.check().map_err(FsError::from)?;
        let piece = file.read_at(&mut buffer, at)?;
        if piece.is_empty() {
            return Ok(start.unwrap_or(at)..at);
        }
        for newline in memchr::memchr_iter(b'\n', piece) {
            line += 1;
            let behind = at + newline as u64 + 1;
            if line == first {
                start = Some(behind);
            }
            if line == end {
                return Ok(start.unwrap_or(behind)..behind);
            }
        }
        at += piece.len() as u64;
        if start.is_none() && at >= scan_bytes {
            return Err(FsError::LineTooFar { line: first, limit_bytes: scan_bytes }.into());
        }
        // Neither a long line nor many of them are looked through to their end.
        if start.is_some_and(|start| at - start > space.saturating_add(CHUNK as u64)) {
            return Err(Fault::TooLong);
        }
    }
}

/// Calls `each` with a range of the file, piece by piece.
fn each_piece(
    file: &OpenFile,
    range: Range<u64>,
    cancellation: &CancellationToken,
    mut each: impl FnMut(&[u8]),
) -> Result<(), FsError> {
    let mut buffer = [0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        cancellation.check()?;
        let most = (range.end - at).min(CHUNK as u64) as usize;
        let piece = file.read_at(&mut buffer[..most], at)?;
        if piece.is_empty() {
            return Err(FsError::Shrank);
        }
        each(piece);
        at += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_not_looked_for_behind_the_bound() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        let file = OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file");
        let cancellation = CancellationToken::after(u64::MAX);
        let found = lines(&file, (2, 1), (1 << 16, 1 << 20), &cancellation);
        assert!(matches!(found, Err(Fault::File(FsError::LineTooFar { line: 2, .. }))));
        assert!(cancellation.checked() <= (1 << 20) / CHUNK as u64 + 1, "{}", cancellation.checked());
    }
}
