//! Reading: `read_text_file`, `read_media_file`, `read_multiple_files`.
//!
//! Files go through a buffer on the stack into the answer; none is ever held as a whole. Only regular
//! files are read: a pipe or a device could make a call wait for ever.

use super::arguments::{Path, ReadMultipleFiles, ReadTextFile};
use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::media;
use super::sandbox::{Sandbox, Target};
use crate::server::{CallContext, Stopper, TextBlock};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// Opens without waiting, for a pipe without a writer, say.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// A regular file, open.
#[derive(Debug)]
pub(super) struct OpenFile {
    handle: OwnedFd,
    /// Its length when it was opened.
    pub(super) bytes: u64,
}

impl OpenFile {
    /// Opens the file that a request means. `verb` is what errors call it.
    ///
    /// # Errors
    /// In the reference's words.
    fn open(sandbox: &Sandbox, request: &str, verb: &'static str) -> Result<Self, FsError> {
        let handle = match sandbox.open(request, READ)? {
            Ok(handle) => handle,
            Err(_) => sandbox.open_resolved(request, READ, verb)?.0,
        };
        Self::regular(handle, || sandbox.resolve(request))
    }

    /// Opens the file that a request means, and says where it is.
    pub(super) fn open_with_target(sandbox: &Sandbox, request: &str) -> Result<(Self, Target), FsError> {
        let (handle, target) = sandbox.open_resolved(request, READ, "open")?;
        let file = Self::regular(handle, || sandbox.resolve(request))?;
        Ok((file, target))
    }

    fn regular(handle: OwnedFd, target: impl FnOnce() -> Result<Target, FsError>) -> Result<Self, FsError> {
        let stat = rustix::fs::fstat(&handle).map_err(FsError::read)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Self { handle, bytes: u64::try_from(stat.st_size).unwrap_or(0) }),
            FileType::Directory => Err(FsError::read(Errno::ISDIR)),
            kind => Err(FsError::NotRegular { path: shown(target()?.path()), kind: name_of(kind) }),
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
    fn each_chunk(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), FsError> {
        let mut buffer = [0; CHUNK];
        loop {
            let chunk = self.read(&mut buffer)?;
            if chunk.is_empty() || !each(chunk) {
                return Ok(());
            }
        }
    }

    /// The whole file.
    pub(super) fn read_all(&self, limit_bytes: usize) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::with_capacity((self.bytes as usize).min(limit_bytes));
        self.each_chunk(|chunk| {
            bytes.extend_from_slice(chunk);
            bytes.len() <= limit_bytes
        })?;
        Ok(bytes)
    }

    /// Fails where an answer could never carry `bytes`, which it repeats as structured content.
    fn check_fits(&self, bytes: u64, request: &str, limit_bytes: usize) -> Result<(), FsError> {
        if bytes.saturating_mul(2) > limit_bytes as u64 {
            return Err(FsError::FileTooLarge { path: request.to_owned(), bytes: self.bytes, limit_bytes });
        }
        Ok(())
    }
}

/// What a file is, for people.
pub(super) fn name_of(kind: FileType) -> &'static str {
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
pub(super) fn read_text_file(
    arguments: &ReadTextFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    // Zero counts as not given, as in the reference.
    let head = arguments.head.filter(|lines| *lines != 0.0);
    let tail = arguments.tail.filter(|lines| *lines != 0.0);
    if head.is_some() && tail.is_some() {
        context.sandbox.resolve(arguments.path)?;
        return Err(FsError::HeadAndTail.into());
    }
    // The reference asks for the length first when it reads from the end.
    let verb = if tail.is_some() { "stat" } else { "open" };
    let file = OpenFile::open(context.sandbox, arguments.path, verb)?;
    context.check_inline(file.bytes)?;
    let limit_bytes = call.limits().max_reply_bytes;
    let is_full = call.text_with(|text| {
        match (head, tail) {
            (Some(lines), _) => push_head(&file, lines, text)?,
            (_, Some(lines)) => {
                let start = tail_start(&file, lines, context.stopper)?;
                file.check_fits(file.bytes - start, arguments.path, limit_bytes)?;
                push_tail(&file, start, text)?;
            }
            _ => {
                file.check_fits(file.bytes, arguments.path, limit_bytes)?;
                push_all(&file, text)?;
            }
        }
        Ok::<_, FsError>(text.is_full())
    })?;
    if is_full {
        return Err(FsError::AnswerTooLarge { limit_bytes }.into());
    }
    call.structured_from_text();
    Ok(())
}

fn push_all(file: &OpenFile, text: &mut TextBlock<'_>) -> Result<(), FsError> {
    file.each_chunk(|chunk| {
        text.push_lossy(chunk);
        !text.is_full()
    })
}

/// The first lines, without the last one's end. A part of a line counts as a line.
fn push_head(file: &OpenFile, lines: f64, text: &mut TextBlock<'_>) -> Result<(), FsError> {
    // The cast saturates, and takes negative numbers to zero.
    let mut wanted = lines.ceil() as u64;
    if wanted == 0 {
        return Ok(());
    }
    // A line's end is shown only when another line follows.
    let mut owed = false;
    file.each_chunk(|chunk| {
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
        !text.is_full()
    })
}

/// The reference reads backwards in pieces of this many bytes, which shows when less than a line is asked
/// for.
const PIECE: u64 = 1024;

/// Where the last lines begin: behind the newline that is that many from the end. A newline at the end
/// of the file counts.
fn tail_start(file: &OpenFile, lines: f64, stopper: &Stopper) -> Result<u64, FsError> {
    if lines < 0.0 {
        return Ok(file.bytes);
    }
    let mut wanted = lines.max(1.0) as u64;
    let mut buffer = [0; CHUNK];
    let mut end = file.bytes;
    while end > 0 {
        stopper.check()?;
        let start = end.saturating_sub(CHUNK as u64);
        let chunk = file.read_at(&mut buffer[..(end - start) as usize], start)?;
        for at in memchr::memrchr_iter(b'\n', chunk) {
            wanted -= 1;
            if wanted == 0 {
                let newline = start + at as u64;
                let pieces = (file.bytes - newline).div_ceil(PIECE);
                let piece = file.bytes.saturating_sub(pieces * PIECE);
                return Ok(if lines < 1.0 { piece } else { newline + 1 });
            }
        }
        end = start;
    }
    Ok(0)
}

/// The file from an offset up to the length it had, `\r\n` as `\n`.
fn push_tail(file: &OpenFile, mut at: u64, text: &mut TextBlock<'_>) -> Result<(), FsError> {
    let mut buffer = [0; CHUNK];
    let mut owed = false;
    while at < file.bytes && !text.is_full() {
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
    Ok(())
}

/// `read_media_file`.
pub(super) fn read_media_file(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let (file, target) = OpenFile::open_with_target(context.sandbox, arguments.path)?;
    context.check_inline(file.bytes)?;
    let limit_bytes = call.limits().max_reply_bytes;
    // Base64 makes four characters of three bytes.
    file.check_fits(file.bytes.div_ceil(3).saturating_mul(4), arguments.path, limit_bytes)?;
    let mime_type = media::mime_type(target.path());
    let write = |data: &mut crate::server::DataBlock<'_>| {
        file.each_chunk(|chunk| {
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
pub(super) fn read_multiple_files(
    arguments: &ReadMultipleFiles<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let limit_bytes = call.limits().max_reply_bytes;
    let is_full = call.text_with(|text| {
        for (index, path) in arguments.paths.iter().enumerate() {
            if index > 0 {
                text.push_str("\n---\n");
            }
            text.push_str(path);
            match OpenFile::open(context.sandbox, path, "open") {
                Ok(file) => {
                    file.check_fits(file.bytes, path, limit_bytes)?;
                    text.push_str(":\n");
                    push_all(&file, text)?;
                    text.push_str("\n");
                }
                Err(error) => {
                    text.push_str(": Error - ");
                    text.push_str(&error.to_string());
                }
            }
            if text.is_full() {
                return Ok(true);
            }
        }
        Ok::<_, FsError>(text.is_full())
    })?;
    if is_full {
        return Err(FsError::AnswerTooLarge { limit_bytes }.into());
    }
    call.structured_from_text();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_through_a_file_ends_when_nobody_waits() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        let file = OpenFile { handle: file.into(), bytes: 1 << 40 };
        let stopper = Stopper::after(3);
        assert!(matches!(tail_start(&file, 1.0, &stopper), Err(FsError::Stopped(_))));
        assert_eq!(stopper.asked(), 4);
    }
}
