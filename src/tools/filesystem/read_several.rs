//! The tool `read_multiple_files`.

use super::answer_space::AnswerSpace;
use super::arguments::ReadMultipleFiles;
use super::context::Context;
use super::error::{FsError, Stop, bounded};
use super::file_text::{LineEnds, write_text};
use super::line_range::beginning;
use super::open_file::OpenFile;
use super::read::push_all;
use super::several_files::SeveralFiles;
use super::shares::{ERROR, HEADING_END, SEPARATOR, Shares};
use crate::limits::price;
use crate::server::{CallContext, TextBlock, ToolError};
use crate::wire::{MemoryLack, Strings};
use mcpool_pools::Reservation;

/// Sets aside what the files keep in memory while they are sent.
fn reserve_kept(files: &SeveralFiles, call: &mut CallContext) -> Result<Option<Reservation>, FsError> {
    let bytes = files.kept_bytes();
    call.reserve_memory(bytes).map_err(|spent| FsError::OutOfMemory(MemoryLack::of(spent, bytes)))
}

/// `read_multiple_files`.
pub(crate) fn read_multiple_files(
    arguments: &ReadMultipleFiles<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let paths = arguments.paths;
    let most_bytes = if call.may_stream() { price::LARGE_BYTES } else { usize::MAX };
    let mut streamed = None;
    let fits = call.text_with(|text| {
        let begun_bytes = text.written_bytes();
        let begin = text.mark();
        match push_several(paths, context, space, most_bytes, text)? {
            Pushed::TooMuch => Ok(false),
            Pushed::All => Ok(true),
            Pushed::Large => {
                text.cut(begin);
                streamed = SeveralFiles::count(paths, context, space, begun_bytes)?;
                let is_written = streamed.is_none();
                let pushed =
                    is_written.then(|| push_several(paths, context, space, usize::MAX, text)).transpose()?;
                Ok::<_, Stop>(!matches!(pushed, Some(Pushed::TooMuch)))
            }
        }
    })?;
    if let Some((files, bytes)) = streamed {
        let memory = reserve_kept(&files, call)?;
        call.stream_last_text(files.holding(memory), bytes);
    }
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::OutOfMemory(lack).into());
    }
    if !fits {
        return Err(space.answer_too_large().into());
    }
    call.structured_from_text();
    Ok(())
}

/// How far the texts of several files came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    All,
    /// They are more than the call wanted to write at once.
    Large,
    /// They are more than fit into an answer.
    TooMuch,
}

/// Writes the texts of several files, unless those are more than `most_bytes`.
fn push_several(
    paths: Strings<'_>,
    context: &Context<'_>,
    space: AnswerSpace,
    most_bytes: usize,
    text: &mut TextBlock<'_>,
) -> Result<Pushed, Stop> {
    let begun_bytes = text.written_bytes();
    let mut shares = Shares::new(paths, space, context.compat);
    for (index, path) in paths.iter().enumerate() {
        context.cancellation.check()?;
        let path = &*path;
        shares.begin(path);
        let entry = text.mark();
        if index > 0 {
            text.push_str(SEPARATOR);
        }
        text.push_str(&bounded(path));
        let mark = text.mark();
        let file = OpenFile::open(context.sandbox, path, "open");
        let file_bytes = file.as_ref().map_or(0, |file| file.bytes);
        let pushed_bytes = text.written_bytes() - begun_bytes;
        if file_bytes.saturating_add(pushed_bytes as u64) > most_bytes as u64 {
            return Ok(Pushed::Large);
        }
        let pushed = file.map_err(Stop::from).and_then(|file| push_one(path, &file, context, &shares, text));
        if let (Err(_), Some(lack)) = (&pushed, text.memory_lack()) {
            return Err(FsError::OutOfMemory(lack).into());
        }
        let is_shown = match pushed {
            Ok(is_shown) => is_shown,
            Err(Stop::Fail(ToolError::Failed(error))) => {
                text.cut(mark);
                text.push_str(ERROR);
                text.push_str(&error);
                true
            }
            Err(stop) => return Err(stop),
        };
        if !is_shown || text.is_full() || !shares.hold(text.written_bytes()) {
            let Some(note) = shares.end_note() else { return Ok(Pushed::TooMuch) };
            text.cut(entry);
            text.push_str(&note);
            break;
        }
    }
    Ok(Pushed::All)
}

/// Writes one of several files, or its beginning if the space is not enough for all of it. Returns `false` if it is to be
/// left out.
fn push_one(
    path: &str,
    file: &OpenFile,
    context: &Context<'_>,
    shares: &Shares,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    let left_bytes = shares.left_bytes(text.written_bytes());
    text.push_str(HEADING_END);
    let mark = text.mark();
    if file.bytes > left_bytes as u64 || !push_all(file, context, left_bytes, text)? {
        if let Some(lack) = text.memory_lack() {
            return Err(FsError::OutOfMemory(lack).into());
        }
        let Some(share_bytes) = shares.share_bytes(path, file, left_bytes)? else { return Ok(false) };
        text.cut(mark);
        let begun = beginning(file, share_bytes, context.cancellation)?;
        write_text(file, 0..begun.bytes, LineEnds::Kept, text, context.cancellation)?;
        text.push_str(&begun.note);
    }
    text.push_str("\n");
    Ok(true)
}
