//! Reading: `read_text_file`, `read_media_file`, `read_multiple_files`.
//!
//! Files go through a buffer on the stack into the answer; none is ever held as a whole. Only regular
//! files are read: a pipe or a device could make a call wait for ever. No more is read than an answer can carry,
//! from either end, and before each piece the call is asked whether anybody still waits.

use super::arguments::{Path, ReadMultipleFiles, ReadTextFile};
use super::as_node::media;
use super::context::Context;
use super::error::{FsError, Stop, bounded, shown};
use super::room::{Remedy, Room};
use super::sandbox::access::{Sandbox, Target};
use crate::server::{CallContext, CancellationToken, TextBlock, ToolError};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// Opens without waiting, for a pipe without a writer, say.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// A regular file, open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    handle: OwnedFd,
    /// Its length when it was opened.
    pub(crate) bytes: u64,
}

impl OpenFile {
    /// Opens the file that a request means. `verb` is what errors call it.
    ///
    /// # Errors
    /// In the reference's words.
    fn open(sandbox: &Sandbox, request: &str, verb: &'static str) -> Result<Self, FsError> {
        let handle = match sandbox.open(request, READ)? {
            Ok(handle) => handle,
            Err(_) => sandbox.open_to_read(request, READ, verb)?.0,
        };
        Self::regular(handle, || Ok(shown(sandbox.resolve_to_read(request)?.path())))
    }

    /// Opens the file that a request means, for reading alone, and says where it is.
    fn open_with_target(sandbox: &Sandbox, request: &str) -> Result<(Self, Target), FsError> {
        let (handle, target) = sandbox.open_to_read(request, READ, "open")?;
        let file = Self::regular(handle, || Ok(shown(target.path())))?;
        Ok((file, target))
    }

    /// Opens the file that a request was found to mean.
    pub(crate) fn at(target: &Target) -> Result<Self, FsError> {
        let handle = target.open(READ).map_err(|errno| FsError::os(errno, "open", target.path()))?;
        Self::regular(handle, || Ok(shown(target.path())))
    }

    fn regular(handle: OwnedFd, path: impl FnOnce() -> Result<String, FsError>) -> Result<Self, FsError> {
        let stat = rustix::fs::fstat(&handle).map_err(FsError::read)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Self { handle, bytes: u64::try_from(stat.st_size).unwrap_or(0) }),
            FileType::Directory => Err(FsError::read(Errno::ISDIR)),
            kind => Err(FsError::NotRegular { path: path()?, kind: name_of(kind) }),
        }
    }

    /// Reads from the current position; the empty slice at the end.
    fn read<'b>(&self, buffer: &'b mut [u8; CHUNK]) -> Result<&'b [u8], FsError> {
        loop {
            match rustix::io::read(&self.handle, &mut buffer[..]) {
                Ok(len) => return Ok(&buffer[..len]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(FsError::read(errno)),
            }
        }
    }

    /// Reads up to `len` bytes at `offset`.
    fn read_at<'b>(&self, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], FsError> {
        loop {
            match rustix::io::pread(&self.handle, &mut buffer[..], offset) {
                Ok(len) => return Ok(&buffer[..len]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(FsError::read(errno)),
            }
        }
    }

    /// Gives the whole file to `each`, until it says that it has enough.
    ///
    /// # Errors
    /// Those of reading; when nobody waits any more; when a file that seemed short does not end.
    fn each_chunk(&self, context: &Context<'_>, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Stop> {
        let mut buffer = [0; CHUNK];
        let mut seen_bytes = 0;
        loop {
            context.cancellation.check()?;
            let chunk = self.read(&mut buffer)?;
            seen_bytes += chunk.len() as u64;
            context.check_inline(seen_bytes)?;
            if chunk.is_empty() || !each(chunk) {
                return Ok(());
            }
        }
    }

    /// The whole file.
    pub(crate) fn read_all(&self, limit_bytes: usize) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::with_capacity((self.bytes as usize).min(limit_bytes));
        let mut buffer = [0; CHUNK];
        while bytes.len() <= limit_bytes {
            let chunk = self.read(&mut buffer)?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }
}

/// What a file is, for people.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "named pipe (FIFO)",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Directory => "directory",
        _ => "special file",
    }
}

/// `read_file` and `read_text_file`.
pub(crate) fn read_text_file(
    arguments: &ReadTextFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    // Zero counts as not given, as in the reference.
    let head = arguments.head.filter(|lines| *lines != 0.0);
    let tail = arguments.tail.filter(|lines| *lines != 0.0);
    if head.is_some() && tail.is_some() {
        context.sandbox.resolve_to_read(arguments.path)?;
        return Err(FsError::HeadAndTail.into());
    }
    // The reference asks for the length first when it reads from the end.
    let verb = if tail.is_some() { "stat" } else { "open" };
    let file = OpenFile::open(context.sandbox, arguments.path, verb)?;
    context.check_inline(file.bytes)?;
    let room = Room::of(call.limits());
    let fits = call.text_with(|text| match (head, tail) {
        (Some(lines), _) => push_head(&file, lines, context, room, text),
        (_, Some(lines)) => match tail_start(&file, lines, room, context.cancellation)? {
            Some(start) => push_tail(&file, start, context, room, text),
            None => Ok(false),
        },
        _ if file.bytes > room.text_bytes() as u64 => Ok(false),
        _ => push_all(&file, context, room.text_bytes(), text),
    })?;
    if !fits {
        let remedy = match (head, tail) {
            (Some(lines), _) => Remedy::of_head(lines),
            (_, Some(lines)) => Remedy::of_tail(lines),
            _ => Remedy::HeadOrTail,
        };
        return Err(room.text_too_large(arguments.path, file.bytes, remedy).into());
    }
    call.structured_from_text();
    Ok(())
}

/// Writes the whole file; whether `room_bytes` of the answer were enough.
fn push_all(
    file: &OpenFile,
    context: &Context<'_>,
    room_bytes: usize,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    let end = text.written_bytes() + room_bytes;
    file.each_chunk(context, |chunk| {
        text.push_lossy(chunk);
        text.written_bytes() <= end && !text.is_full()
    })?;
    Ok(text.written_bytes() <= end && !text.is_full())
}

/// The first lines, without the last one's end. A part of a line counts as a line.
fn push_head(
    file: &OpenFile,
    lines: f64,
    context: &Context<'_>,
    room: Room,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    // The cast saturates, and takes negative numbers to zero.
    let mut wanted = lines.ceil() as u64;
    if wanted == 0 {
        return Ok(true);
    }
    // A line's end is shown only when another line follows.
    let mut owed = false;
    file.each_chunk(context, |chunk| {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut owed) {
                text.push_str("\n");
            }
            match part.split_last() {
                Some((b'\n', line)) => {
                    text.push_lossy(line);
                    wanted -= 1;
                    owed = true;
                    if wanted == 0 {
                        return false;
                    }
                }
                _ => text.push_lossy(part),
            }
        }
        room.holds(text)
    })?;
    Ok(room.holds(text))
}

/// The reference reads backwards in pieces of this many bytes, which shows when less than a line is asked
/// for.
const PIECE: u64 = 1024;

/// Where the last lines begin: behind the newline that is that many from the end. A newline at the end
/// of the file counts. `None` where that is more than an answer has room for: what is before it is not looked at.
fn tail_start(
    file: &OpenFile,
    lines: f64,
    room: Room,
    cancellation: &CancellationToken,
) -> Result<Option<u64>, FsError> {
    if lines < 0.0 {
        return Ok(Some(file.bytes));
    }
    let mut wanted = lines.max(1.0) as u64;
    let mut buffer = [0; CHUNK];
    let mut end = file.bytes;
    while end > 0 {
        cancellation.check()?;
        if file.bytes - end > room.text_bytes() as u64 {
            return Ok(None);
        }
        let start = end.saturating_sub(CHUNK as u64);
        let chunk = file.read_at(&mut buffer[..(end - start) as usize], start)?;
        for at in memchr::memrchr_iter(b'\n', chunk) {
            wanted -= 1;
            if wanted == 0 {
                let newline = start + at as u64;
                let pieces = (file.bytes - newline).div_ceil(PIECE);
                let piece = file.bytes.saturating_sub(pieces * PIECE);
                return Ok(Some(if lines < 1.0 { piece } else { newline + 1 }));
            }
        }
        end = start;
    }
    Ok(Some(0))
}

/// The file from an offset up to the length it had, `\r\n` as `\n`; whether the answer has room for it.
fn push_tail(
    file: &OpenFile,
    mut at: u64,
    context: &Context<'_>,
    room: Room,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    let mut buffer = [0; CHUNK];
    let mut owed = false;
    while at < file.bytes && room.holds(text) {
        context.cancellation.check()?;
        let len = (file.bytes - at).min(CHUNK as u64) as usize;
        let chunk = file.read_at(&mut buffer[..len], at)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        // A return is shown once it is known that no newline follows it.
        for part in chunk.split_inclusive(|byte| *byte == b'\r') {
            if std::mem::take(&mut owed) && part[0] != b'\n' {
                text.push_str("\r");
            }
            match part.split_last() {
                Some((b'\r', line)) => {
                    text.push_lossy(line);
                    owed = true;
                }
                _ => text.push_lossy(part),
            }
        }
    }
    if owed {
        text.push_str("\r");
    }
    Ok(room.holds(text))
}

/// `read_media_file`.
pub(crate) fn read_media_file(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let (file, target) = OpenFile::open_with_target(context.sandbox, arguments.path)?;
    context.check_inline(file.bytes)?;
    let room = Room::of(call.limits());
    if file.bytes > room.data_bytes() as u64 {
        return Err(room.data_too_large(arguments.path, file.bytes).into());
    }
    let mime_type = media::mime_type(target.path());
    let write = |data: &mut crate::server::DataBlock<'_>| {
        file.each_chunk(context, |chunk| {
            data.push(chunk);
            !data.is_full()
        })
    };
    if mime_type.starts_with("image/") {
        call.image_with(mime_type, write)?;
    } else if mime_type.starts_with("audio/") {
        call.audio_with(mime_type, write)?;
    } else {
        call.blob_with(&media::file_url(target.path()), mime_type, write)?;
    }
    call.structured_from_block();
    Ok(())
}

/// `read_multiple_files`.
pub(crate) fn read_multiple_files(
    arguments: &ReadMultipleFiles<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let room = Room::of(call.limits());
    // Whatever one file takes, there is room for what is said of those behind it.
    let mut kept_bytes: usize = arguments.paths.iter().map(|path| said_bytes(path)).sum();
    let fits = call.text_with(|text| {
        for (index, path) in arguments.paths.iter().enumerate() {
            context.cancellation.check()?;
            kept_bytes -= said_bytes(path);
            if index > 0 {
                text.push_str("\n---\n");
            }
            text.push_str(&bounded(path));
            let left_bytes = room.left_bytes(text).saturating_sub(kept_bytes);
            let mark = text.mark();
            match push_one(path, context, room, left_bytes, text) {
                Ok(()) => {}
                Err(Stop::Fail(ToolError::Failed(error))) => {
                    text.cut(mark);
                    text.push_str(": Error - ");
                    text.push_str(&error);
                }
                Err(stop) => return Err(stop),
            }
            if !room.holds(text) {
                return Ok(false);
            }
        }
        Ok::<_, Stop>(true)
    })?;
    if !fits {
        return Err(FsError::AnswerTooLarge { limit_bytes: call.limits().max_reply_bytes }.into());
    }
    call.structured_from_text();
    Ok(())
}

/// Bytes that are kept for what is said of a file which cannot be shown: its path three times, once in words.
fn said_bytes(path: &str) -> usize {
    640 + 3 * path.len()
}

/// Writes one of several files.
fn push_one(
    path: &str,
    context: &Context<'_>,
    room: Room,
    left_bytes: usize,
    text: &mut TextBlock<'_>,
) -> Result<(), Stop> {
    let file = OpenFile::open(context.sandbox, path, "open")?;
    text.push_str(":\n");
    if file.bytes > left_bytes as u64 || !push_all(&file, context, left_bytes, text)? {
        return Err(room.one_too_large(path, file.bytes, left_bytes).into());
    }
    text.push_str("\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn sparse() -> OpenFile {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        OpenFile { handle: file.into(), bytes: 1 << 40 }
    }

    #[test]
    fn the_way_back_through_a_file_ends_when_nobody_waits() {
        let cancellation = CancellationToken::after(3);
        let room = Room::of(&Limits::default());
        assert!(matches!(tail_start(&sparse(), 1.0, room, &cancellation), Err(FsError::Cancelled(_))));
        assert_eq!(cancellation.checked(), 4);
    }

    #[test]
    fn the_way_back_through_a_file_is_no_longer_than_an_answer() {
        let cancellation = CancellationToken::after(u64::MAX);
        for max_reply_bytes in [1 << 10, 1 << 16, 1 << 24] {
            let room = Room::of(&Limits { max_reply_bytes, ..Limits::default() });
            let before = cancellation.checked();
            assert!(matches!(tail_start(&sparse(), 1.0, room, &cancellation), Ok(None)));
            let steps = cancellation.checked() - before;
            assert!(steps as usize <= max_reply_bytes / 2 / CHUNK + 2, "{steps} for {max_reply_bytes}");
        }
    }
}
