//! The tools `read_text_file`, `read_media_file` and `read_multiple_files`.
//!
//! No file is ever held in memory as a whole: its bytes go through a buffer on the stack into the answer. A tool reads
//! no more than an answer can carry, from either end of the file.

use super::answer_space::AnswerSpace;
use super::arguments::{Path, ReadMultipleFiles, ReadTextFile};
use super::as_node::media;
use super::compat::Compat;
use super::context::Context;
use super::error::{FsError, Remedy, Stop, bounded};
use super::file_text::{FileData, FileText, LineEnds};
use super::line_range::{Lines, read_first, read_lines};
use super::open_file::{CHUNK, OpenFile};
use super::several_files::{ERROR, HEADING_END, SEPARATOR, SeveralFiles, error_bytes};
use crate::limits::price;
use crate::server::{CallContext, CancellationToken, DataKind, TextBlock, ToolError};
use crate::wire::{MemoryLack, Strings, escaped_bytes};
use mcpool_pools::Reservation;
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

    /// The lines from the first on that may be cut where they do not fit.
    fn first_lines(self, compat: Compat) -> Option<Lines> {
        match (compat, self) {
            (Compat::Reference, _) | (_, Self::Tail(_)) => None,
            (Compat::Default, Self::Whole) => Some(Lines::first(None)),
            (Compat::Default, Self::Head(lines)) => Some(Lines::first(Some(lines))),
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
        return read_lines(file, arguments.path, lines, context, call);
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
    let first = part.first_lines(context.compat);
    if bytes > LARGE_BYTES && call.may_stream() || first.is_some() && may_be_longer(bytes, space) {
        let range = part.range(&file, space, context.cancellation)?;
        let mut fits = range.is_some();
        if let Some(range) = range
            && (range.end - range.start > LARGE_BYTES || !call.may_stream() || first.is_some())
        {
            let mut text = FileText::new(file, range, part.line_ends());
            let counted = text.count(space.text_bytes(), context.cancellation)?;
            if let Some(escaped) = counted.filter(|_| text.bytes() > LARGE_BYTES && call.may_stream()) {
                return stream_text(text, escaped, call);
            }
            fits = counted.is_some();
            file = text.into_file();
        }
        if !fits {
            let first = first.ok_or_else(too_large)?;
            return read_first(file, first, context, call);
        }
    }
    let fits = call.text_with(|text| match part {
        Part::Head(lines) => push_head(&file, lines, context, space, text),
        Part::Tail(lines) => match tail_start(&file, lines, space, context.cancellation)? {
            Some(start) => push_tail(&file, start, context, space, text),
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
fn push_all(
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

/// The reference reads backwards in pieces of this many bytes, which shows when less than a line is asked for.
const PIECE: u64 = 1024;

/// Finds where the last lines begin: after the newline that is that many from the end. A newline at the end of the file
/// counts. `None` where the lines do not fit into an answer; what is before them is not read.
fn tail_start(
    file: &OpenFile,
    lines: f64,
    space: AnswerSpace,
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
        if file.bytes - end > space.text_bytes() as u64 {
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

/// Writes the file from an offset up to the length it had, `\r\n` as `\n`; tells whether the answer has space for it.
fn push_tail(
    file: &OpenFile,
    mut at: u64,
    context: &Context<'_>,
    space: AnswerSpace,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    let mut buffer = [0; CHUNK];
    let mut pending_return = false;
    while at < file.bytes && space.holds(text) {
        context.cancellation.check()?;
        let len = (file.bytes - at).min(CHUNK as u64) as usize;
        let chunk = file.read_at(&mut buffer[..len], at)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        // A carriage return is written once it is known that no newline follows it.
        for part in chunk.split_inclusive(|byte| *byte == b'\r') {
            if std::mem::take(&mut pending_return) && part[0] != b'\n' {
                text.push_str("\r");
            }
            match part.split_last() {
                Some((b'\r', line)) => {
                    text.push_lossy(line);
                    pending_return = true;
                }
                _ => text.push_lossy(part),
            }
        }
    }
    if pending_return {
        text.push_str("\r");
    }
    Ok(space.holds(text))
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
    // Whatever one file takes, there is space left for the errors of those after it.
    let mut reserved_bytes: usize = paths.iter().map(|path| error_bytes(&path)).sum();
    for (index, path) in paths.iter().enumerate() {
        context.cancellation.check()?;
        let path = &*path;
        reserved_bytes -= error_bytes(path);
        if index > 0 {
            text.push_str(SEPARATOR);
        }
        text.push_str(&bounded(path));
        let left_bytes = space.left_bytes(text).saturating_sub(reserved_bytes);
        let mark = text.mark();
        let file = OpenFile::open(context.sandbox, path, "open");
        let file_bytes = file.as_ref().map_or(0, |file| file.bytes);
        let pushed_bytes = text.written_bytes() - begun_bytes;
        if file_bytes.saturating_add(pushed_bytes as u64) > most_bytes as u64 {
            return Ok(Pushed::Large);
        }
        let pushed = file.map_err(Stop::from).and_then(|file| push_one(&file, context, left_bytes, text));
        if let (Ok(false) | Err(_), Some(lack)) = (&pushed, text.memory_lack()) {
            return Err(FsError::OutOfMemory(lack).into());
        }
        let error = match pushed {
            Ok(true) => None,
            Ok(false) => Some(space.one_too_large(path, file_bytes, left_bytes).to_string()),
            Err(Stop::Fail(ToolError::Failed(error))) => Some(error),
            Err(stop) => return Err(stop),
        };
        if let Some(error) = error {
            text.cut(mark);
            text.push_str(ERROR);
            text.push_str(&error);
        }
        if !space.holds(text) {
            return Ok(Pushed::TooMuch);
        }
    }
    Ok(Pushed::All)
}

/// Writes one of several files; tells whether `left_bytes` were enough.
fn push_one(
    file: &OpenFile,
    context: &Context<'_>,
    left_bytes: usize,
    text: &mut TextBlock<'_>,
) -> Result<bool, Stop> {
    text.push_str(HEADING_END);
    if file.bytes > left_bytes as u64 || !push_all(file, context, left_bytes, text)? {
        return Ok(false);
    }
    text.push_str("\n");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::tools::filesystem::compat::Copies;

    fn sparse() -> OpenFile {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        OpenFile::regular(file.into(), || Ok(String::new())).expect("a regular file")
    }

    #[test]
    fn the_way_back_through_a_file_ends_when_nobody_waits() {
        let cancellation = CancellationToken::after(3);
        let space = AnswerSpace::of(&Limits::default(), Copies::Twice);
        assert!(matches!(tail_start(&sparse(), 1.0, space, &cancellation), Err(FsError::Cancelled(_))));
        assert_eq!(cancellation.checked(), 4);
    }

    #[test]
    fn the_way_through_a_file_ends_when_nobody_waits_and_is_no_longer_than_an_answer() {
        let space = AnswerSpace::of(&Limits::default(), Copies::Twice);
        let cancellation = CancellationToken::after(3);
        assert!(matches!(head_end(&sparse(), 1.0, space, &cancellation), Err(FsError::Cancelled(_))));
        assert_eq!(cancellation.checked(), 4);
        let cancellation = CancellationToken::after(u64::MAX);
        let space = AnswerSpace::of(&Limits { max_reply_bytes: 1 << 16, ..Limits::default() }, Copies::Twice);
        assert!(matches!(head_end(&sparse(), 1.0, space, &cancellation), Ok(None)));
        assert!(cancellation.checked() as usize <= (1 << 15) / CHUNK + 2);
    }

    #[test]
    fn the_way_back_through_a_file_is_no_longer_than_an_answer() {
        let cancellation = CancellationToken::after(u64::MAX);
        for max_reply_bytes in [1 << 10, 1 << 16, 1 << 24] {
            let space = AnswerSpace::of(&Limits { max_reply_bytes, ..Limits::default() }, Copies::Twice);
            let before = cancellation.checked();
            assert!(matches!(tail_start(&sparse(), 1.0, space, &cancellation), Ok(None)));
            let steps = cancellation.checked() - before;
            assert!(steps as usize <= max_reply_bytes / 2 / CHUNK + 2, "{steps} for {max_reply_bytes}");
        }
    }
}
