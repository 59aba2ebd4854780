//! The texts of several files, read while the answer is sent that carries them.
//!
//! Each file is opened again for each segment of the answer that it has a part in, so that no call keeps many open. What
//! is kept is a path for each, and the error of those that cannot be shown. A place in the text is the number of a file
//! and a number of bytes: those of its heading first, then those of the file, then the line end behind it.

use super::answer_space::AnswerSpace;
use super::context::Context;
use super::error::{Stop, bounded};
use super::file_text::{FileText, LineEnds};
use super::open_file::OpenFile;
use super::sandbox::access::{Reach, Sandbox};
use crate::memory::lasting;
use crate::server::{BlockSource, Filled, ToolError};
use crate::wire::{BufferRoom, CountingRoom, Strings, escape_piece};
use mcpool_pools::Reservation;
use std::fmt::Write as _;

/// What stands between two files.
pub(crate) const SEPARATOR: &str = "\n---\n";
/// What stands between the path of a file and its error.
pub(crate) const ERROR: &str = ": Error - ";
/// What stands between the path of a file and its text.
pub(crate) const HEADING_END: &str = ":\n";
/// Most bytes of paths and errors that a call keeps while its answer is sent.
const MOST_KEPT_BYTES: usize = 256 * 1024;
/// Bits of a place that are bytes, more than an answer may have; those above are the number of a file.
const OFFSET_BITS: u32 = 40;

/// The texts of several files, one after the other.
#[derive(Debug)]
pub(crate) struct SeveralFiles {
    reach: Reach,
    files: Vec<ShownFile>,
    kept_bytes: usize,
    _memory: Option<Reservation>,
}

#[derive(Debug)]
struct ShownFile {
    path: Box<str>,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    /// So many bytes of the file.
    Text(u64),
    Error(Box<str>),
}

/// Bytes that are reserved for the error of a file that cannot be shown: it has the path up to three times.
pub(crate) fn error_bytes(path: &str) -> usize {
    640 + 3 * path.len()
}

impl SeveralFiles {
    /// Reads all files once, and returns their texts and the bytes that these have in JSON. `begun_bytes` are those of
    /// the answer before them. `None` where paths and errors are more than a call may keep.
    ///
    /// # Errors
    /// When all together do not fit into an answer, or nobody waits for it any more.
    pub(crate) fn count(
        paths: Strings<'_>,
        context: &Context<'_>,
        space: AnswerSpace,
        begun_bytes: usize,
    ) -> Result<Option<(Self, usize)>, Stop> {
        let mut files = Vec::new();
        let mut kept_bytes = 0;
        let mut written = begun_bytes;
        // Whatever one file takes, there is space left for the errors of those after it.
        let mut reserved_bytes: usize = paths.iter().map(|path| error_bytes(&path)).sum();
        for path in paths.iter() {
            let path = &*path;
            context.cancellation.check()?;
            reserved_bytes -= error_bytes(path);
            written += if files.is_empty() { 0 } else { escaped(SEPARATOR) } + escaped(&bounded(path));
            let left_bytes = space.text_bytes().saturating_sub(written).saturating_sub(reserved_bytes);
            let (shown, text_bytes) = match count_one(path, context, space, left_bytes) {
                Ok((file_bytes, text_bytes)) => {
                    (Shown::Text(file_bytes), escaped(HEADING_END) + text_bytes + escaped("\n"))
                }
                Err(Stop::Fail(ToolError::Failed(error))) => {
                    let error_bytes = escaped(ERROR) + escaped(&error);
                    kept_bytes += error.len();
                    (Shown::Error(error.into()), error_bytes)
                }
                Err(stop) => return Err(stop),
            };
            written += text_bytes;
            if written > space.text_bytes() {
                return Err(space.answer_too_large().into());
            }
            kept_bytes += size_of::<ShownFile>() + path.len();
            if kept_bytes > MOST_KEPT_BYTES {
                return Ok(None);
            }
            lasting(|| files.push(ShownFile { path: path.into(), shown }));
        }
        let reach = context.sandbox.reach();
        Ok(Some((Self { reach, files, kept_bytes, _memory: None }, written - begun_bytes)))
    }

    /// Bytes that are kept for paths and errors.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Takes the memory over that was reserved for what is kept.
    pub(crate) fn holding(self, memory: Option<Reservation>) -> Self {
        Self { _memory: memory, ..self }
    }
}

/// Bytes of a text in JSON.
fn escaped(text: &str) -> usize {
    let mut room = CountingRoom::default();
    escape_piece(text.as_bytes(), true, &mut room);
    room.bytes
}

/// The bytes of one of several files, and those of its text in JSON.
fn count_one(
    path: &str,
    context: &Context<'_>,
    space: AnswerSpace,
    left_bytes: usize,
) -> Result<(u64, usize), Stop> {
    let file = OpenFile::open(context.sandbox, path, "open")?;
    let file_bytes = file.bytes;
    let too_large = || space.one_too_large(path, file_bytes, left_bytes);
    if file_bytes > left_bytes as u64 {
        return Err(too_large().into());
    }
    // To its end, wherever that is when it comes.
    let mut text = FileText::new(file, 0..u64::MAX, LineEnds::Kept);
    let text_bytes = text.count(left_bytes, context.cancellation)?.ok_or_else(too_large)?;
    Ok((text.bytes(), text_bytes))
}

impl ShownFile {
    /// All before the text of the file.
    fn heading(&self, is_first: bool) -> String {
        let mut heading = if is_first { String::new() } else { SEPARATOR.to_owned() };
        let path = bounded(&self.path);
        // Writing to a string does not fail.
        let _ = match &self.shown {
            Shown::Text(_) => write!(heading, "{path}{HEADING_END}"),
            Shown::Error(error) => write!(heading, "{path}{ERROR}{error}"),
        };
        heading
    }

    /// Writes what comes at `at`, and moves `at` behind it.
    fn fill(
        &self,
        is_first: bool,
        sandbox: &Sandbox,
        at: &mut u64,
        room: &mut BufferRoom<'_>,
    ) -> Result<Filled, String> {
        let heading = self.heading(is_first);
        if let Some(rest) = heading.as_bytes().get(*at as usize..) {
            let taken = escape_piece(rest, true, room);
            *at += taken as u64;
            if taken < rest.len() {
                return Ok(Filled::Full);
            }
        }
        let Shown::Text(bytes) = self.shown else { return Ok(Filled::End) };
        let mut at_of_text = *at - heading.len() as u64;
        if at_of_text < bytes {
            let file = OpenFile::open(sandbox, &self.path, "open").map_err(|error| error.to_string())?;
            let text = FileText::new(file, 0..bytes, LineEnds::Kept);
            let filled = text.fill(&mut at_of_text, room);
            *at = heading.len() as u64 + at_of_text;
            if filled? == Filled::Full {
                return Ok(Filled::Full);
            }
        }
        match escape_piece(b"\n", true, room) {
            0 => Ok(Filled::Full),
            _ => Ok(Filled::End),
        }
    }
}

impl BlockSource for SeveralFiles {
    fn fill(&self, at: &mut u64, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let sandbox = self.reach.enter();
        loop {
            let index = *at >> OFFSET_BITS;
            let Some(file) = self.files.get(index as usize) else { return Ok(Filled::End) };
            let mut offset = *at & ((1 << OFFSET_BITS) - 1);
            let filled = file.fill(index == 0, &sandbox, &mut offset, room);
            if filled? == Filled::Full {
                *at = index << OFFSET_BITS | offset;
                return Ok(Filled::Full);
            }
            *at = (index + 1) << OFFSET_BITS;
        }
    }

    fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.kept_bytes
    }
}
