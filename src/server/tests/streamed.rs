//! Answers that are written while they are sent: the same bytes as those that are written at once, and valid whatever
//! becomes of what they carry.

use crate::protocol::Era;
use crate::server::answer::content::{Content, StreamedBlock};
use crate::server::answer::outcome::Outcome;
use crate::server::state::answer_stream::{AnswerStream, StreamMeans};
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::streamed::{
    AnswerItem, BlockSource, Cursor, Filled, SegmentWriter, Skeleton, StreamedAnswer,
};
use crate::server::tests::fair_answers::windows_within;
use crate::wire::{BufferRoom, CountingRoom, Reply, escape_piece};
use bytes::BytesMut;
use mcpool_pools::{BufferPool, MemoryBudget};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What becomes of a source while it is read.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    /// It ends there.
    CutTo(usize),
    /// It has other bytes.
    Replaced(Vec<u8>),
    Fails,
}

/// Text that changes when it was asked for so often.
#[derive(Debug)]
struct Changing {
    text: Vec<u8>,
    change: Change,
    after: usize,
    asked: AtomicUsize,
}

impl Changing {
    fn now(&self) -> Result<&[u8], String> {
        let is_changed = self.asked.fetch_add(1, Ordering::Relaxed) >= self.after;
        match &self.change {
            _ if !is_changed => Ok(&self.text),
            Change::Nothing => Ok(&self.text),
            Change::CutTo(bytes) => Ok(&self.text[..*bytes.min(&self.text.len())]),
            Change::Replaced(text) => Ok(text),
            Change::Fails => Err("a \"failure\"\n".to_owned()),
        }
    }
}

/// Bytes of a text as it is sent.
fn counted_bytes(text: &[u8]) -> usize {
    let mut counted = CountingRoom::default();
    escape_piece(text, true, &mut counted);
    counted.bytes
}

impl Change {
    /// Whether the change can be seen at the number of bytes that are sent. Of a character of three bytes that is cut,
    /// a replacement character remains, which has three as well.
    fn changes_length(&self, text: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Fails => true,
            Self::CutTo(bytes) => counted_bytes(text) != counted_bytes(&text[..*bytes.min(&text.len())]),
            Self::Replaced(new) => counted_bytes(text) != counted_bytes(new),
        }
    }
}

impl BlockSource for Changing {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let text = self.now()?;
        let rest = text.get(cursor.at as usize..).unwrap_or_default();
        let taken = escape_piece(rest, true, room);
        cursor.at += taken as u64;
        Ok(if taken == rest.len() { Filled::End } else { Filled::Full })
    }
}

const META: &str = r#"{"io.modelcontextprotocol/serverInfo":{"name":"t","version":"1"}}"#;

/// Both forms of an answer: the text once or twice, in one of the eras.
#[derive(Debug, Clone, Copy)]
struct Form {
    is_twice: bool,
    is_modern: bool,
}

impl Form {
    fn close(self, mut content: Content) -> Outcome {
        if self.is_twice {
            content.structured_from_text();
        }
        let meta: Box<RawValue> = serde_json::from_str(META).expect("JSON");
        content.close(self.era(), &meta, false).expect("no limit")
    }

    fn open(self) -> Content {
        Content::open(Reply::new(BufferPool::default(), 1 << 30), "\"i\\\"d\"", self.era())
    }

    fn era(self) -> Era {
        if self.is_modern { Era::Modern } else { Era::Legacy }
    }

    /// The answer that is written at once.
    fn whole(self, text: &[u8]) -> Vec<u8> {
        let mut content = self.open();
        content.text_block(|block| block.push_lossy(text));
        self.close(content).into_answer().expect("an answer").to_vec()
    }

    /// An answer that nothing was sent of.
    fn stream(self, source: Changing) -> AnswerStream {
        let block_bytes = counted_bytes(&source.text);
        let windows = windows_within(&MemoryBudget::new(1 << 20));
        let window = windows.try_reserve(1).ok();
        let means = StreamMeans {
            threads: FairPermits::new(1),
            key: SessionKey { principal: 1, session: 1 },
            buffers: BufferPool::default(),
            windows,
            window,
        };
        let mut content = self.open();
        content.streamed_text(StreamedBlock::new(Box::new(source), block_bytes, means));
        let Outcome::Streamed(stream) = self.close(content) else { panic!("it is streamed") };
        *stream
    }

    /// The bytes that an answer was expected to have, and the answer as it is written in steps.
    fn streamed(self, source: Changing, step: usize) -> (usize, Vec<u8>) {
        let stream = self.stream(source);
        let total_bytes = stream.total_bytes();
        let answer = stream.into_kept();
        let kept = answer.kept_bytes();
        assert!(
            kept < 4 * 1024,
            "{kept} B are kept for a stream that nobody reads: no segment is among them"
        );
        let mut writer = SegmentWriter::new(answer);
        let mut written = Vec::new();
        while !writer.is_done() {
            let mut segment = BytesMut::new();
            writer.fill(&mut segment, step);
            assert!(!segment.is_empty() && segment.len() <= step, "each step gets further");
            written.extend_from_slice(&segment);
        }
        (total_bytes, written)
    }
}

fn forms() -> impl Strategy<Value = Form> {
    (any::<bool>(), any::<bool>()).prop_map(|(is_twice, is_modern)| Form { is_twice, is_modern })
}

/// Escapes of both lengths, characters of all lengths, and bytes that are none.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "[a-z ]{1,30}".prop_map(String::into_bytes),
        2 => "[\"\\\\\n\t\u{0}-\u{1f}]{1,3}".prop_map(String::into_bytes),
        2 => "[é€😀]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..300_usize).prop_map(Change::CutTo),
        text().prop_map(Change::Replaced),
        Just(Change::Fails),
    ]
}

fn unchanged(text: Vec<u8>) -> Changing {
    Changing { text, change: Change::Nothing, after: 0, asked: AtomicUsize::new(0) }
}

#[test]
fn a_text_that_loses_the_end_of_its_last_character_is_a_valid_answer() {
    let text = "aaa\u{20ac}".as_bytes().to_vec();
    let change = Change::CutTo(5);
    assert!(!change.changes_length(&text), "three bytes for three bytes");
    let form = Form { is_twice: true, is_modern: true };
    let source = Changing { text, change, after: 0, asked: AtomicUsize::new(0) };
    let (expected, written) = form.streamed(source, 6);
    assert_eq!(written.len(), expected);
    let answer: Value = serde_json::from_slice(&written).expect("valid JSON");
    assert_eq!(answer["result"]["content"][0]["text"], "aaa\u{fffd}");
}

/// What an answer that could not be sent whole has more than one that was.
const MOST_TOLD_BYTES: usize = 160;

proptest! {
    #[test]
    fn in_steps_of_any_size_an_answer_is_the_one_that_is_written_at_once(
        text in text(),
        form in forms(),
        step in 6..300_usize,
    ) {
        let want = form.whole(&text);
        let (expected, written) = form.streamed(unchanged(text), step);
        prop_assert_eq!(expected, want.len());
        prop_assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&want));
    }

    #[test]
    fn whatever_changes_while_it_is_sent_an_answer_is_valid_and_one_line(
        text in text(),
        change in changes(),
        after in 0..20_usize,
        form in forms(),
        step in 6..200_usize,
    ) {
        let whole: Value = serde_json::from_slice(&form.whole(&text)).expect("JSON");
        let source = Changing { text: text.clone(), change: change.clone(), after, asked: AtomicUsize::new(0) };
        let (expected, written) = form.streamed(source, step);
        prop_assert!(written.len() <= expected + MOST_TOLD_BYTES, "{} of {expected}", written.len());
        prop_assert!(!written.contains(&b'\n'));
        let answer: Value = serde_json::from_slice(&written).expect("valid JSON");
        let (result, wanted) = (&answer["result"], &whole["result"]);
        prop_assert_eq!(&answer["id"], &whole["id"]);
        prop_assert_eq!(&result["_meta"], &wanted["_meta"]);
        let is_error = result["isError"] == true;
        // Bytes that were replaced by as many others cannot be told from those, and a text of which a part was sent
        // before it was replaced may come out at the same number.
        let is_told = !matches!(change, Change::Replaced(_)) && change.changes_length(&text);
        if !is_error && is_told {
            prop_assert_eq!(&answer, &whole);
        }
        if is_error {
            let told = &result["content"][1]["text"];
            prop_assert!(told.is_null() || matches!(change, Change::Fails) == (told == "a \"failure\"\n"));
        }
    }

    /// Whatever one of them becomes, the answers of a batch around it are the same, and from each mark on the rest is.
    #[test]
    fn the_answers_of_a_batch_do_not_change_each_other(
        texts in prop::collection::vec(text(), 1..5),
        changed in 0..5_usize,
        change in prop_oneof![Just(Change::Nothing), changes()],
        form in forms(),
        step in 6..300_usize,
    ) {
        let literal = |text: &'static [u8]| AnswerItem::Whole(Skeleton::Literal(text));
        let mut items = vec![literal(b"[")];
        let mut wanted = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let change = if at == changed { change.clone() } else { Change::Nothing };
            let source = Changing { text: text.clone(), change, after: 0, asked: AtomicUsize::new(0) };
            items.extend(form.stream(source).into_items().expect("nothing of it was sent"));
            items.push(literal(b",1,"));
            wanted.push(form.whole(text));
        }
        items.push(literal(b"2]"));
        let answer = Arc::new(StreamedAnswer::of_batch(items));
        let (total_bytes, mut writer) = (answer.total_bytes(), SegmentWriter::new(Arc::clone(&answer)));
        let (mut written, mut marks) = (Vec::new(), Vec::new());
        while !writer.is_done() {
            marks.extend(writer.mark().map(|mark| (written.len(), mark)));
            let mut segment = BytesMut::new();
            writer.fill(&mut segment, step);
            prop_assert!(!segment.is_empty() && segment.len() <= step, "each step gets further");
            written.extend_from_slice(&segment);
        }
        let batch: Vec<Value> = serde_json::from_slice(&written).expect("valid JSON");
        prop_assert_eq!(batch.len(), 2 * texts.len() + 1);
        for (at, want) in wanted.iter().enumerate().filter(|(at, _)| *at != changed) {
            prop_assert_eq!(&batch[2 * at], &serde_json::from_slice::<Value>(want).expect("JSON"));
        }
        if matches!(change, Change::Nothing) || changed >= texts.len() {
            prop_assert_eq!(written.len(), total_bytes);
            for (at, mark) in marks {
                let mut rest = BytesMut::new();
                SegmentWriter::resume(Arc::clone(&answer), mark).fill(&mut rest, usize::MAX);
                prop_assert_eq!(&rest[..], &written[at..]);
            }
        }
    }
}
