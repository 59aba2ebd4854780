//! The texts of several files, read while the answer is sent that carries them.
//!
//! Each file is opened again for each segment of the answer that it has a part in, so that no call keeps many open. What
//! is kept is a path for each, and the error of those that cannot be shown. A place in the text is the number of a file
//! and a number of bytes: those of its heading first, then those of the file, then what is behind them.

use super::answer_space::AnswerSpace;
use super::context::Context;
use super::error::{FsError, Stop, bounded};
use super::file_text::{FileText, LineEnds};
use super::line_range::beginning;
use super::open_file::OpenFile;
use super::sandbox::access::{Reach, Sandbox};
use super::shares::{ERROR, HEADING_END, SEPARATOR, Shares};
use crate::memory::lasting;
use crate::server::{BlockSource, Cursor, Filled, ToolError};
use crate::wire::{BufferRoom, CountingRoom, Strings, escape_piece};
use mcpool_pools::Reservation;

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
    memory: Option<Reservation>,
}

#[derive(Debug)]
struct ShownFile {
    path: Box<str>,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    /// A part of the file.
    Text(CountedText),
    Error(Box<str>),
    /// Neither this file nor one after it, but this note.
    LeftOut(Box<str>),
}

/// The begin of a file, or all of it.
#[derive(Debug)]
struct CountedText {
    bytes: u64,
    checksum: u32,
    /// What is said about the rest, if there is one.
    note: Box<str>,
}

impl CountedText {
    fn of(text: &FileText, note: Box<str>) -> Shown {
        Shown::Text(Self { bytes: text.bytes(), checksum: text.checksum(), note })
    }
}

impl Shown {
    fn kept_bytes(&self) -> usize {
        match self {
            Self::Text(CountedText { note: text, .. }) | Self::Error(text) | Self::LeftOut(text) => {
                text.len()
            }
        }
    }
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
        let mut shares = Shares::new(paths, space, context.compat);
        for (index, path) in paths.iter().enumerate() {
            let path = &*path;
            context.cancellation.check()?;
            shares.begin(path);
            let begun = written;
            written += if index == 0 { 0 } else { escaped(SEPARATOR) } + escaped(&bounded(path));
            let counted = match count_one(path, context, &shares, written) {
                Err(Stop::Fail(ToolError::Failed(error))) => {
                    let error_bytes = escaped(ERROR) + escaped(&error);
                    Some((Shown::Error(error.into()), error_bytes))
                }
                counted => counted?,
            };
            let fits = counted.filter(|(_, text_bytes)| shares.hold(written + text_bytes));
            let is_last = fits.is_none();
            let shown = if let Some((shown, text_bytes)) = fits {
                written += text_bytes;
                shown
            } else {
                let note = shares.end_note().ok_or_else(|| space.answer_too_large())?;
                written = begun + escaped(&note);
                Shown::LeftOut(note.into())
            };
            kept_bytes += size_of::<ShownFile>() + path.len() + shown.kept_bytes();
            if kept_bytes > MOST_KEPT_BYTES {
                return Ok(None);
            }
            lasting(|| files.push(ShownFile { path: path.into(), shown }));
            if is_last {
                break;
            }
        }
        let reach = context.sandbox.reach();
        Ok(Some((Self { reach, files, kept_bytes, memory: None }, written - begun_bytes)))
    }

    /// Bytes that are kept for paths and errors.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Takes the memory over that was reserved for what is kept.
    pub(crate) fn holding(self, memory: Option<Reservation>) -> Self {
        Self { memory, ..self }
    }
}

/// Bytes of a text in JSON.
fn escaped(text: &str) -> usize {
    let mut room = CountingRoom::default();
    escape_piece(text.as_bytes(), true, &mut room);
    room.bytes
}

/// One of several files, or its beginning if the space is not enough for all of it, and the bytes of that in JSON. `None`
/// if it is to be left out.
fn count_one(
    path: &str,
    context: &Context<'_>,
    shares: &Shares,
    written_bytes: usize,
) -> Result<Option<(Shown, usize)>, Stop> {
    let left_bytes = shares.left_bytes(written_bytes);
    let around_bytes = escaped(HEADING_END) + escaped("\n");
    let mut file = OpenFile::open(context.sandbox, path, "open")?;
    if file.bytes <= left_bytes as u64 {
        // To its end, wherever that is when it comes.
        let mut text = FileText::new(file, 0..u64::MAX, LineEnds::Kept);
        if let Some(text_bytes) = text.count(left_bytes, context.cancellation)? {
            return Ok(Some((CountedText::of(&text, Box::default()), around_bytes + text_bytes)));
        }
        file = text.into_file();
    }
    let Some(share_bytes) = shares.share_bytes(path, &file, left_bytes)? else { return Ok(None) };
    let begun = beginning(&file, share_bytes, context.cancellation)?;
    let mut text = FileText::new(file, 0..begun.bytes, LineEnds::Kept);
    let text_bytes = text.count(share_bytes, context.cancellation)?.ok_or(FsError::Shrank)?;
    let bytes = around_bytes + text_bytes + escaped(&begun.note);
    Ok(Some((CountedText::of(&text, begun.note.into()), bytes)))
}

impl ShownFile {
    /// All before the text of the file.
    fn heading(&self, is_first: bool) -> String {
        if let Shown::LeftOut(note) = &self.shown {
            return note.to_string();
        }
        let mut heading = if is_first { String::new() } else { SEPARATOR.to_owned() };
        heading.push_str(&bounded(&self.path));
        match &self.shown {
            Shown::Error(error) => heading.extend([ERROR, error]),
            _ => heading.push_str(HEADING_END),
        }
        heading
    }

    /// Writes what comes at the cursor, and moves that behind it.
    fn fill(
        &self,
        is_first: bool,
        sandbox: &Sandbox,
        cursor: &mut Cursor,
        room: &mut BufferRoom<'_>,
    ) -> Result<Filled, String> {
        let heading = self.heading(is_first);
        if fill_text(&heading, 0, &mut cursor.at, room) == Filled::Full {
            return Ok(Filled::Full);
        }
        let Shown::Text(CountedText { bytes, checksum, note }) = &self.shown else { return Ok(Filled::End) };
        let mut in_text = Cursor { at: cursor.at - heading.len() as u64, ..*cursor };
        if in_text.at < *bytes {
            let file = OpenFile::open(sandbox, &self.path, "open").map_err(|error| error.to_string())?;
            let text = FileText::new(file, 0..*bytes, LineEnds::Kept).counted(*checksum);
            let filled = text.fill(&mut in_text, room);
            *cursor = Cursor { at: heading.len() as u64 + in_text.at, ..in_text };
            if filled? == Filled::Full {
                return Ok(Filled::Full);
            }
        }
        let end = [note, "\n"].concat();
        Ok(fill_text(&end, heading.len() as u64 + bytes, &mut cursor.at, room))
    }
}

/// Writes the rest of a text that begins at the place `start`.
fn fill_text(text: &str, start: u64, at: &mut u64, room: &mut BufferRoom<'_>) -> Filled {
    let Some(rest) = text.as_bytes().get((*at - start) as usize..) else { return Filled::End };
    let taken = escape_piece(rest, true, room);
    *at += taken as u64;
    if taken < rest.len() { Filled::Full } else { Filled::End }
}

impl BlockSource for SeveralFiles {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let sandbox = self.reach.enter();
        loop {
            let index = cursor.at >> OFFSET_BITS;
            let Some(file) = self.files.get(index as usize) else { return Ok(Filled::End) };
            let offset = cursor.at & ((1 << OFFSET_BITS) - 1);
            let mut in_file = Cursor { at: offset, ..*cursor };
            let filled = file.fill(index == 0, &sandbox, &mut in_file, room);
            if filled? == Filled::Full {
                *cursor = Cursor { at: index << OFFSET_BITS | in_file.at, ..in_file };
                return Ok(Filled::Full);
            }
            // Each file has a checksum of its own.
            *cursor = Cursor { at: (index + 1) << OFFSET_BITS, checksum: 0 };
        }
    }

    fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.kept_bytes
    }

    fn reserved_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, Reservation::bytes)
    }
}
