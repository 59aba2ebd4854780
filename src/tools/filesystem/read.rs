//! The tools `read_text_file` and `read_media_file`.
//!
//! No file is ever held in memory as a whole: its bytes go through a buffer on the stack into the answer. A tool reads
//! no more than an answer can carry, from either end of the file.

use super::answer_space::AnswerSpace;
use super::arguments::{Path, ReadTextFile};
use super::as_node::media;
use super::compat::Compat;
use super::context::Context;
use super::error::{FsError, Remedy, Stop};
use super::file_text::{FileData, FileText, LineEnds, write_text};
use super::last_lines::{read_last, tail_start};
use super::line_range::{Lines, read_first, read_lines};
use super::open_file::{CHUNK, OpenFile};
use crate::limits::price;
use crate::server::{CallContext, CancellationToken, DataKind, TextBlock};
use crate::wire::escaped_bytes;
use std::ops::Range;

/// The answer with a smaller file fits the buffers that are always there.
const LARGE_BYTES: u64 = price::LARGE_BYTES as u64;

/// What a call wants of a file: all, or so many lines.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    Head(f64),
    Tail(f64),
}

impl Part {
    fn remedy(self) -> Remedy {
        match self {
            Self::Whole => Remedy::HeadOrTail,
            Self::Head(lines) | Self::Tail(lines) if lines > 1.0 => Remedy::FewerLines,
            Self::Head(_) | Self::Tail(_) => Remedy::NoLines,
        }
    }

    fn line_ends(self) -> LineEnds {
        match self {
            Self::Whole | Self::Head(_) => LineEnds::Kept,
            Self::Tail(_) => LineEnds::Short,
        }
    }

    /// Answers with what fits of a part that does not.
    fn read_cut(self, file: OpenFile, context: &Context<'_>, call: &mut CallContext) -> Result<(), Stop> {
        match self {
            Self::Whole => read_first(file, Lines::first(None), context, call),
            Self::Head(lines) => read_first(file, Lines::first(Some(lines)), context, call),
            Self::Tail(lines) => read_last(file, lines, context, call),
        }
    }

    /// Where it is in the file; `None` where it does not fit into an answer.
    fn range(
        self,
        file: &OpenFile,
        space: AnswerSpace,
        cancellation: &CancellationToken,
    ) -> Result<Option<Range<u64>>, FsError> {
        Ok(match self {
            Self::Whole => Some(0..file.bytes).filter(|range| range.end <= space.text_bytes() as u64),
            Self::Head(lines) => head_end(file, lines, space, cancellation)?.map(|end| 0..end),
            Self::Tail(lines) => tail_start(file, lines, space, cancellation)?.map(|at| at..file.bytes),
        })
    }
}

/// `read_file` and `read_text_file`.
pub(crate) fn read_text_file(
    arguments: &ReadTextFile<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    // As in the reference, zero counts as not given.
    let given = |lines: Option<f64>| lines.filter(|lines| *lines != 0.0);
    let lines = match context.compat {
        Compat::Reference => None,
        Compat::Default => Lines::of(arguments.offset, arguments.limit)?,
    };
    if let Some(lines) = lines {
        if arguments.head.is_some() || arguments.tail.is_some() {
            return Err(FsError::EndsAndRange.into());
        }
        let file = OpenFile::open(context.sandbox, arguments.path, "open")?;
        context.check_inline(file.bytes)?;
        return read_lines(file, lines, context, call);
    }
    // When the reference reads from the end, it asks for the length first.
    let (part, verb) = match (given(arguments.head), given(arguments.tail)) {
        (Some(_), Some(_)) => {
            context.sandbox.resolve_to_read(arguments.path)?;
            return Err(FsError::HeadAndTail.into());
        }
        (Some(lines), None) => (Part::Head(lines), "open"),
        (None, Some(lines)) => (Part::Tail(lines), "stat"),
        (None, None) => (Part::Whole, "open"),
    };
    let file = OpenFile::open(context.sandbox, arguments.path, verb)?;
    context.check_inline(file.bytes)?;
    read_part(file, arguments.path, part, context, call)
}

fn read_part(
    mut file: OpenFile,
    path: &str,
    part: Part,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let bytes = file.bytes;
    let space = AnswerSpace::of(call.limits(), context.copies);
    let too_large = || Stop::from(space.text_too_large(path, bytes, part.remedy()));
    let is_cut = context.compat == Compat::Default;
    if bytes > LARGE_BYTES && call.may_stream() || is_cut && may_be_longer(bytes, space) {
        let range = part.range(&file, space, context.cancellation)?;
        let mut fits = range.is_some();
        if let Some(range) = range
            && (range.end - range.start > LARGE_BYTES || !call.may_stream() || is_cut)
        {
            let mut text = FileText::new(file, range, part.line_ends());
            let counted = text.count(space.text_bytes(), context.cancellation)?;
            if let Some(escaped) = counted.filter(|_| text.bytes() > LARGE_BYTES && call.may_stream()) {
                return stream_text(text, escaped, call);
            }
            if let Some(escaped) = counted.filter(|_| is_cut) {
                return write_counted(&text, escaped, space, context, call);
            }
            fits = counted.is_some();
            file = text.into_file();
        }
        if !fits {
            return if is_cut { part.read_cut(file, context, call) } else { Err(too_large()) };
        }
    }
    let fits = call.text_with(|text| match part {
        Part::Head(lines) => push_head(&file, lines, context, space, text),
        Part::Tail(lines) => match tail_start(&file, lines, space, context.cancellation)? {
            Some(start) => {
                write_text(&file, start..bytes, part.line_ends(), text, context.cancellation)?;
                Ok(space.holds(text))
            }
            None => Ok(false),
        },
        Part::Whole if bytes > space.text_bytes() as u64 => Ok(false),
        Part::Whole if expect_copies(&file, space, context.cancellation, text)? => {
            push_all(&file, context, space.text_bytes(), text)
        }
        Part::Whole => Ok(false),
    })?;
    if !fits {
        return Err(call.memory_lack().map_or_else(too_large, |lack| FsError::OutOfMemory(lack).into()));
    }
    call.structured_from_text();
    Ok(())
}

/// Whether the text of a file of so many bytes may be longer than an answer: one of them becomes six where it is a control
/// character. Others are not gone through once more.
fn may_be_longer(bytes: u64, space: AnswerSpace) -> bool {
    bytes > space.text_bytes() as u64 / 6
}

/// Has a part of a file sent while it is read. It was read once before, as only its content tells how long its text is.
fn stream_text(text: FileText, bytes: usize, call: &mut CallContext) -> Result<(), Stop> {
    call.stream_text(text, bytes);
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::OutOfMemory(lack).into());
    }
    call.structured_from_text();
    Ok(())
}

/// Writes a part of a file that was read once before, and fits.
fn write_counted(
    text: &FileText,
    bytes: usize,
    space: AnswerSpace,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    call.text_with(|block| {
        if bytes > price::LARGE_BYTES {
            block.make_room(space.answer_bytes(bytes));
        }
        text.write(block, context.cancellation)
    })?;
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::OutOfMemory(lack).into());
    }
    call.structured_from_text();
    Ok(())
}

/// Makes room for the text of a large file, and for its copy in the structured answer if there is one. Returns `false` if there is none,
/// or if the answer would be too long.
///
/// The file is read once more for that, as only its content tells how long its text becomes.
fn expect_copies(
    file: &OpenFile,
    space: AnswerSpace,
    cancellation: &CancellationToken,
    text: &mut TextBlock<'_>,
) -> Result<bool, FsError> {
    if file.bytes > LARGE_BYTES {
        let mut buffer = [0; CHUNK];
        let (mut at, mut escaped) = (0, 0);
        while at < file.bytes {
            cancellation.check()?;
            let chunk = file.read_at(&mut buffer, at)?;
            if chunk.is_empty() {
                break;
            }
            at += chunk.len() as u64;
            escaped += escaped_bytes(chunk);
            if escaped > space.text_bytes() {
                return Ok(false);
            }
        }
        text.make_room(space.answer_bytes(escaped));
    }
    Ok(!text.is_full())
}

/// Writes the whole file; tells whether `space_bytes` of the answer were enough.
pub(super) fn push_all(
    file: &OpenFile,
    context: &Context<'_>,
    space_bytes: usize,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    let end = text.written_bytes() + space_bytes;
    file.each_chunk(context, |chunk| {
        text.push_lossy(chunk);
        text.written_bytes() <= end && !text.is_full()
    })?;
    // A character that does not end counts as what is written for it.
    text.end_part();
    Ok(text.written_bytes() <= end && !text.is_full())
}

/// Writes the first lines, without the line end of the last one. A part of a line counts as a line.
fn push_head(
    file: &OpenFile,
    lines: f64,
    context: &Context<'_>,
    space: AnswerSpace,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    // The cast saturates, and takes negative numbers to zero.
    let mut wanted = lines.ceil() as u64;
    if wanted == 0 {
        return Ok(true);
    }
    // A line end is written only when another line follows.
    let mut pending_newline = false;
    file.each_chunk(context, |chunk| {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut pending_newline) {
                text.push_str("\n");
            }
            match part.split_last() {
                Some((b'\n', line)) => {
                    text.push_lossy(line);
                    wanted -= 1;
                    pending_newline = true;
                    if wanted == 0 {
                        return false;
                    }
                }
                _ => text.push_lossy(part),
            }
        }
        space.holds(text)
    })?;
    Ok(space.holds(text))
}

/// Finds where the first lines end, without the line end of the last one, as [`push_head`] writes them. `None` where they
/// do not fit into an answer; what is behind them is not read.
fn head_end(
    file: &OpenFile,
    lines: f64,
    space: AnswerSpace,
    cancellation: &CancellationToken,
) -> Result<Option<u64>, FsError> {
    let mut wanted = lines.ceil() as u64;
    if wanted == 0 {
        return Ok(Some(0));
    }
    let mut buffer = [0; CHUNK];
    let mut end = 0;
    let mut ends_line = false;
    // Text is no shorter than its bytes; the last of these may be the line end that is left out.
    while end <= space.text_bytes() as u64 + 1 {
        cancellation.check()?;
        let chunk = file.read_at(&mut buffer, end)?;
        let Some(last) = chunk.last() else { return Ok(Some(end - u64::from(ends_line))) };
        for at in memchr::memchr_iter(b'\n', chunk) {
            wanted -= 1;
            if wanted == 0 {
                return Ok(Some(end + at as u64));
            }
        }
        ends_line = *last == b'\n';
        end += chunk.len() as u64;
    }
    Ok(None)
}

/// `read_media_file`.
pub(crate) fn read_media_file(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let (file, target) = OpenFile::open_with_target(context.sandbox, arguments.path)?;
    context.check_inline(file.bytes)?;
    let space = AnswerSpace::of(call.limits(), context.copies);
    if file.bytes > space.data_bytes() as u64 {
        return Err(space.data_too_large(arguments.path, file.bytes).into());
    }
    let mime_type = media::mime_type(target.path());
    if file.bytes > LARGE_BYTES && call.may_stream() {
        return stream_data(FileData::new(file), mime_type, target.path(), call);
    }
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

/// Has the data of a whole file sent while it is read.
fn stream_data(data: FileData, mime_type: &str, path: &[u8], call: &mut CallContext) -> Result<(), Stop> {
    let uri;
    let kind = if mime_type.starts_with("image/") {
        DataKind::Image(mime_type)
    } else if mime_type.starts_with("audio/") {
        DataKind::Audio(mime_type)
    } else {
        uri = media::file_url(path);
        DataKind::Blob { uri: &uri, mime_type }
    };
    let bytes = data.base64_bytes();
    call.stream_data(kind, data, bytes);
    if let Some(lack) = call.memory_lack() {
        return Err(FsError::OutOfMemory(lack).into());
    }
    call.structured_from_block();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::tools::filesystem::compat::Copies;

    #[test]
    fn the_way_through_a_file_ends_when_nobody_waits_and_is_no_longer_than_an_answer() {
        let space = AnswerSpace::of(&Limits::default(), Copies::Twice);
        let cancellation = CancellationToken::after(3);
        assert!(matches!(
            head_end(&OpenFile::sparse(), 1.0, space, &cancellation),
            Err(FsError::Cancelled(_))
        ));
        assert_eq!(cancellation.checked(), 4);
        let cancellation = CancellationToken::after(u64::MAX);
        let space = AnswerSpace::of(&Limits { max_reply_bytes: 1 << 16, ..Limits::default() }, Copies::Twice);
        assert!(matches!(head_end(&OpenFile::sparse(), 1.0, space, &cancellation), Ok(None)));
        assert!(cancellation.checked() as usize <= (1 << 15) / CHUNK + 2);
    }
}
