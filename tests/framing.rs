//! Frames in a stream of bytes: wherever the stream is cut, they are those of a naive split.

use mcpool::wire::{FrameError, FrameReader};
use mcpool_pools::BufferPool;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMIT: usize = 1 << 20;

/// What a reader gives for a line: the message, or the refusal of one that is too long.
type Line = Result<Vec<u8>, ()>;

#[expect(clippy::unnecessary_wraps, reason = "beside refusals in the tables")]
fn message(bytes: impl AsRef<[u8]>) -> Line {
    Ok(bytes.as_ref().to_vec())
}

/// The oracle: the whole stream, split.
fn naive(stream: &[u8], limit: usize) -> Vec<Line> {
    let messages = stream.split(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit { Err(()) } else { Ok(line.to_vec()) }
    });
    let is_blank = |line: &Line| {
        line.as_ref().is_ok_and(|line| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')))
    };
    messages.filter(|line| !is_blank(line)).collect()
}

fn drain(reader: &mut FrameReader, lines: &mut Vec<Line>) {
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => lines.push(message(frame.bytes())),
            Ok(None) => return,
            Err(FrameError::TooLong { limit_bytes, seen_bytes, .. }) => {
                assert!(seen_bytes > limit_bytes, "{seen_bytes} are no more than {limit_bytes}");
                lines.push(Err(()));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads chunk by chunk, as much at once as the spare capacity takes, to the end of the stream.
fn read<'c>(reader: &mut FrameReader, chunks: impl IntoIterator<Item = &'c [u8]>, lines: &mut Vec<Line>) {
    for mut chunk in chunks {
        while !chunk.is_empty() {
            let spare = reader.spare();
            let room = spare.capacity() - spare.len();
            assert!(room > 0, "no room to read into");
            let (now, later) = chunk.split_at(room.min(chunk.len()));
            spare.extend_from_slice(now);
            chunk = later;
            drain(reader, lines);
        }
    }
    loop {
        match reader.finish() {
            Ok(Some(frame)) => lines.push(message(frame.bytes())),
            Ok(None) => return,
            Err(_) => lines.push(Err(())),
        }
    }
}

fn lines_of(chunks: &[&[u8]], limit: usize) -> Vec<Line> {
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), limit);
    let mut lines = Vec::new();
    read(&mut reader, chunks.iter().copied(), &mut lines);
    assert!(reader.holds_no_buffer(), "nothing is buffered at the end");
    assert_eq!(in_use(&buffers), 0);
    lines
}

fn check(stream: &[u8], limit: usize, expected: &[Line]) {
    assert_eq!(naive(stream, limit), expected, "the oracle");
    assert_eq!(lines_of(&[stream], limit), expected, "in one read");
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(lines_of(&bytes, limit), expected, "byte by byte");
    for cut in 0..stream.len() {
        let (before, behind) = stream.split_at(cut);
        assert_eq!(lines_of(&[before, behind], limit), expected, "cut at {cut}");
    }
}

fn in_use(buffers: &BufferPool) -> u64 {
    buffers.classes().map(|class| class.snapshot().in_use).sum()
}

fn owned_bytes(buffers: &BufferPool) -> u64 {
    buffers.classes().map(|class| class.snapshot().owned_bytes).sum()
}

/// The classes of which buffers are leased.
fn held(buffers: &BufferPool) -> Vec<String> {
    let held = buffers.classes().filter(|class| class.snapshot().in_use > 0);
    held.map(|class| class.name().to_owned()).collect()
}

/// The largest class that was ever leased.
fn largest_leased(buffers: &BufferPool) -> String {
    let leased = buffers.classes().filter(|class| class.snapshot().high_water_mark > 0).last();
    leased.map_or_else(String::new, |class| class.name().to_owned())
}

#[test]
fn lines_are_messages() {
    check(b"", LIMIT, &[]);
    check(b"{}\n", LIMIT, &[message("{}")]);
    check(b"{}\n[]\n1\n", LIMIT, &[message("{}"), message("[]"), message("1")]);
}

#[test]
fn a_carriage_return_before_the_newline_is_no_part_of_the_message() {
    check(b"{}\r\n[]\r\n", LIMIT, &[message("{}"), message("[]")]);
    check(b"\r{}\r\r\n", LIMIT, &[message("\r{}\r")]);
    check(b"{}\r", LIMIT, &[message("{}")]);
}

#[test]
fn blank_lines_are_no_messages() {
    check(b"\n\n \n\t\r\n\r\n{}\n\n\n  \n", LIMIT, &[message("{}")]);
    check(b"   ", LIMIT, &[]);
    check(b" {} \n", LIMIT, &[message(" {} ")]);
}

#[test]
fn a_form_feed_is_no_white_space_of_json() {
    check(b"\x0C\n", LIMIT, &[message("\x0C")]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_message() {
    check(b"\xEF\xBB\xBF{}\n", LIMIT, &[message("{}")]);
    check(b"\xEF\xBB\xBF\n{}\n", LIMIT, &[message("{}")]);
    check(b"\xEF\xBB\xBF{}", LIMIT, &[message("{}")]);
}

#[test]
fn the_last_line_may_lack_its_newline() {
    check(b"{}\n[1]", LIMIT, &[message("{}"), message("[1]")]);
}

#[test]
fn characters_may_be_split() {
    let text = "{\"a\":\"äöü \u{20AC} \u{1F600}\"}\n\"\u{1F600}\"";
    let (first, second) = text.split_once('\n').unwrap();
    check(text.as_bytes(), LIMIT, &[message(first), message(second)]);
}

#[test]
fn bytes_that_are_no_text_are_framed_like_any() {
    check(b"\xFF\x00\xC3\n\xC3\n", LIMIT, &[message(b"\xFF\x00\xC3"), message(b"\xC3")]);
}

#[test]
fn the_limit_is_exact() {
    check(b"", 0, &[]);
    check(b"\n\r\n", 0, &[]);
    check(b"1\n\n", 0, &[Err(())]);
    check(b"1\n22\n3\n", 1, &[message("1"), Err(()), message("3")]);
    check(b"1234\n12345\n123456\n", 5, &[message("1234"), message("12345"), Err(())]);
    check(b"12345\r\n12345", 5, &[message("12345"), message("12345")]);
    check(b"123456", 5, &[Err(())]);
}

/// Found by comparing with the oracle: the mark counted as long as the newline had not come, so that the
/// message was served or refused depending on where the stream was cut.
#[test]
fn the_mark_and_the_carriage_return_do_not_count() {
    check(b"\xEF\xBB\xBF12345\r\n7\n", 5, &[message("12345"), message("7")]);
    check(b"\xEF\xBB\xBF123456\r\n7\n", 5, &[Err(()), message("7")]);
}

#[test]
fn a_message_too_long_is_one_error_and_the_next_one_is_served() {
    let mut stream = vec![b'x'; 300];
    stream.extend_from_slice(b"\n{}\n");
    check(&stream, 100, &[Err(()), message("{}")]);
}

#[test]
fn two_thousand_frames_in_one_read() {
    let digits: Vec<_> = (0..2_000_u32).map(|id| b'0' + (id % 10) as u8).collect();
    let stream: Vec<u8> = digits.iter().flat_map(|digit| [*digit, b'\n']).collect();
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), LIMIT);
    let spare = reader.spare();
    assert!(spare.capacity() >= stream.len());
    spare.extend_from_slice(&stream);
    for digit in digits {
        let frame = reader.next_frame().unwrap().unwrap();
        assert_eq!(frame.bytes(), [digit]);
    }
    assert!(reader.next_frame().unwrap().is_none());
    reader.release_if_empty();
    assert_eq!(in_use(&buffers), 0);
}

#[test]
fn one_frame_in_two_thousand_reads() {
    let line = vec![b'x'; 20_000];
    let mut chunks: Vec<&[u8]> = line.chunks(10).collect();
    chunks.push(b"\n");
    assert_eq!(lines_of(&chunks, LIMIT), [message(&line)]);
}

#[test]
fn a_lone_message_takes_its_buffer_along_and_others_are_copied_to_their_own_size() {
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), LIMIT);
    reader.spare().extend_from_slice(b"{}\n");
    let frame = reader.next_frame().unwrap().unwrap();
    assert!(reader.holds_no_buffer());
    assert_eq!((frame.bytes(), in_use(&buffers)), (&b"{}"[..], 1));
    drop(frame);

    reader.spare().extend_from_slice(b"1\n2\n");
    let first = reader.next_frame().unwrap().unwrap();
    let last = reader.next_frame().unwrap().unwrap();
    assert_eq!((first.bytes(), last.bytes(), in_use(&buffers)), (&b"1"[..], &b"2"[..], 2));
    assert!(reader.holds_no_buffer());
    drop((first, last));
    assert_eq!(in_use(&buffers), 0);
}

#[test]
fn a_small_message_does_not_pin_a_large_buffer() {
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), LIMIT);
    let mut lines = Vec::new();
    let large = vec![b'x'; 500_000];
    read(&mut reader, [&large[..], b"\n"], &mut lines);
    reader.spare().extend_from_slice(b"1\n");
    let _small = reader.next_frame().unwrap().unwrap();
    reader.release_if_empty();
    assert_eq!(held(&buffers), ["buffers/1KiB"]);
}

/// A large message is copied out when the next one has begun; then its buffer must not stay behind for as
/// long as messages go on overlapping reads.
#[test]
fn the_rest_behind_a_large_message_moves_to_a_small_buffer() {
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), LIMIT);
    let mut stream = vec![b'x'; 500_000];
    stream.extend_from_slice(b"\n[1,");
    let mut rest = &stream[..];
    let mut frame = None;
    while !rest.is_empty() {
        let spare = reader.spare();
        let (now, later) = rest.split_at((spare.capacity() - spare.len()).min(rest.len()));
        spare.extend_from_slice(now);
        rest = later;
        while let Some(found) = reader.next_frame().unwrap() {
            frame = Some(found);
        }
    }
    assert_eq!(frame.take().map(|frame| frame.bytes().len()), Some(500_000));
    assert_eq!(held(&buffers), ["buffers/64KiB"]);
    reader.spare().extend_from_slice(b"2]\n");
    assert_eq!(reader.next_frame().unwrap().unwrap().bytes(), b"[1,2]");
}

#[test]
fn a_message_far_too_long_costs_constant_memory() {
    const LINE_BYTES: usize = 50 << 20;
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), 10_000);
    let chunk = vec![b'x'; 30_000];
    let (mut errors, mut fed) = (0, 0);
    while fed < LINE_BYTES {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let spare = reader.spare();
            let (now, later) = rest.split_at((spare.capacity() - spare.len()).min(rest.len()));
            spare.extend_from_slice(now);
            rest = later;
            errors += usize::from(reader.next_frame().is_err());
            assert!(reader.next_frame().unwrap().is_none());
        }
        fed += chunk.len();
        assert!(owned_bytes(&buffers) <= 64 << 10, "{} bytes after {fed}", owned_bytes(&buffers));
    }
    assert_eq!(errors, 0, "what is said of it is said at its end");
    assert_eq!(largest_leased(&buffers), "buffers/16KiB");
    reader.release_if_empty();
    assert_eq!(in_use(&buffers), 0, "not even while a line is skipped");

    reader.spare().extend_from_slice(b"xx\n{}\n");
    let FrameError::TooLong { seen_bytes, .. } = reader.next_frame().unwrap_err() else { panic!("too long") };
    assert_eq!(seen_bytes, fed + 2);
    assert_eq!(reader.next_frame().unwrap().unwrap().bytes(), b"{}");
}

#[test]
fn an_idle_reader_holds_no_lease() {
    let buffers = BufferPool::default();
    let mut reader = FrameReader::new(buffers.clone(), LIMIT);
    assert!(reader.holds_no_buffer() && reader.next_frame().unwrap().is_none());
    reader.spare();
    assert!(!reader.holds_no_buffer());
    reader.release_if_empty();
    assert!(reader.holds_no_buffer());

    reader.spare().extend_from_slice(b"{");
    assert!(reader.next_frame().unwrap().is_none());
    reader.release_if_empty();
    assert!(!reader.holds_no_buffer(), "what has come is kept");
    reader.spare().extend_from_slice(b"}\n");
    drop(reader.next_frame().unwrap().unwrap());
    assert!(reader.holds_no_buffer());
    assert_eq!(in_use(&buffers), 0);
}

#[test]
fn the_error_tells_the_limit_and_what_came() {
    let mut reader = FrameReader::new(BufferPool::default(), 3);
    reader.spare().extend_from_slice(b"12345\n");
    let error = reader.next_frame().unwrap_err();
    assert_eq!(error.to_string(), "a message may have 3 bytes, this one has 5");
}

/// Streams of which most are lines, some short, some beyond small limits, some beyond a read.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => vec(any::<u8>(), 0..12),
        8 => Just(b"\n".to_vec()),
        3 => Just(b"\r\n".to_vec()),
        2 => Just(b"\xEF\xBB\xBF".to_vec()),
        2 => Just(b" \t".to_vec()),
        2 => (0_usize..40).prop_map(|length| vec![b'x'; length]),
        1 => (4_000_usize..9_000).prop_map(|length| vec![b'y'; length]),
        1 => (60_000_usize..70_000).prop_map(|length| vec![b'z'; length]),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_stream_cut_anywhere_is_split_as_the_oracle_splits_it(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..12),
        limit in prop_oneof![0_usize..20, 4_000_usize..70_000, Just(LIMIT)],
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(lines_of(&chunks, limit), naive(&stream, limit));
    }
}

/// What is skipped lets its buffer go at each pause, and still the end of the input is the end of the message.
#[test]
fn a_message_too_long_may_end_with_the_input() {
    let mut reader = FrameReader::new(BufferPool::default(), 64);
    let message = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":"{}"}}"#, "a".repeat(5_000));
    for piece in message.as_bytes().chunks(16) {
        reader.spare().extend_from_slice(piece);
        assert!(reader.next_frame().expect("not at its end").is_none());
    }
    let FrameError::TooLong { seen_bytes, .. } = reader.finish().unwrap_err() else { panic!("too long") };
    assert_eq!(seen_bytes, message.len());
    assert!(reader.finish().expect("nothing is left").is_none());
}

/// A budget that is spent by others refuses a long line, wherever the line is when that happens; the lines after it are
/// served, and the line is served once there is room.
#[test]
fn a_line_for_which_there_is_no_memory_is_skipped_and_told() {
    use mcpool_pools::{BufferConfig, LeasedBudget, MemoryBudget};
    for line_bytes in [70 * 1024, 300 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024] {
        let budget = MemoryBudget::new(8 * 1024 * 1024);
        let leased = Some(LeasedBudget { budget: budget.clone(), from_bytes: 64 * 1024 + 1 });
        let buffers = BufferPool::new(BufferConfig { leased, ..BufferConfig::default() });
        let mut reader = FrameReader::new(buffers, 10 * 1024 * 1024);
        let long = format!(r#"{{"id":7,"method":"m","pad":"{}"}}"#, "x".repeat(line_bytes));
        let input = format!("{long}\n{{\"id\":8}}\n");
        let others = budget.reserve(8 * 1024 * 1024);
        let mut chunk = input.as_bytes();
        let mut refused = None;
        let mut served = Vec::new();
        while !chunk.is_empty() {
            let spare = reader.spare();
            let taken = chunk.len().min(spare.capacity() - spare.len());
            spare.extend_from_slice(&chunk[..taken]);
            chunk = &chunk[taken..];
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => served.push(frame.bytes().to_vec()),
                    Ok(None) => break,
                    Err(error) => refused = Some(error),
                }
            }
        }
        let Some(FrameError::OutOfMemory { seen_bytes, never_fits: false, outline }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((seen_bytes, outline.id.as_deref(), outline.has_method), (long.len(), Some("7"), true));
        assert_eq!(served, [br#"{"id":8}"#.to_vec()]);
        drop(others);
        let mut lines = Vec::new();
        read(&mut reader, [input.as_bytes()], &mut lines);
        assert!(lines.len() == 2 && lines.iter().all(Result::is_ok), "{} lines", lines.len());
        drop(lines);
        reader.release_if_empty();
        assert_eq!(budget.used_bytes(), 0);
    }
}
