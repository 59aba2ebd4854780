//! The checks that the fuzzers run; ordinary tests run each of them on a few inputs.
//!
//! Each takes any bytes and panics where a property does not hold. `fuzz/` calls them.

use super::{DecodeFault, FrameReader, Lexer, Raw, Reply, ReplyError};
use bumpalo::Bump;
use mcpool_pools::BufferPool;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Made once: making the pools costs more than a check.
static BUFFERS: LazyLock<BufferPool> = LazyLock::new(BufferPool::default);

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes, as JSON, are accepted, refused and understood as `serde_json` does.
///
/// # Panics
/// When they are not.
pub fn decode(bytes: &[u8]) {
    if bytes.starts_with(MARK) {
        return;
    }
    let arena = Bump::new();
    let text = std::str::from_utf8(bytes).ok();
    let theirs = |text| serde_json::from_str::<Value>(text).ok();
    assert_eq!(ours::<Value>(bytes, &arena), text.and_then(theirs));

    let list = ours::<Vec<Option<&str>>>(bytes, &arena);
    let theirs = text.and_then(|text| serde_json::from_str::<Vec<Option<String>>>(text).ok());
    assert_eq!(list, theirs.as_ref().map(|list| list.iter().map(Option::as_deref).collect()));

    let map = ours::<BTreeMap<&str, (i64, f32)>>(bytes, &arena);
    let theirs = text.and_then(|text| serde_json::from_str::<BTreeMap<String, (i64, f32)>>(text).ok());
    assert_eq!(map, theirs.as_ref().map(|map| map.iter().map(|(key, pair)| (&**key, *pair)).collect()));
    skip(bytes, text, &arena);
}

/// Values that are skipped. `serde_json` does not bound their depth; this crate does.
fn skip<'f>(bytes: &'f [u8], text: Option<&str>, arena: &'f Bump) {
    let raw = Lexer::from_bytes(bytes).and_then(|mut lexer| {
        let raw = lexer.raw()?;
        lexer.finish().map(|()| raw)
    });
    if raw.as_ref().is_err_and(|error| *error.fault() == DecodeFault::TooDeep) {
        return;
    }
    let theirs = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    assert_eq!(raw.ok().map(Raw::as_str), theirs.map(RawValue::get));
    assert_eq!(ours::<IgnoredAny>(bytes, arena).is_some(), theirs.is_some());
}

fn ours<'f, T: Deserialize<'f>>(bytes: &'f [u8], arena: &'f Bump) -> Option<T> {
    let mut lexer = Lexer::from_bytes(bytes).ok()?;
    let value = lexer.decode(arena).ok()?;
    lexer.finish().ok().map(|()| value)
}

/// A stream, cut anywhere, gives the frames that it gives when it is split as a whole. The first bytes tell
/// the limit and where to cut.
///
/// # Panics
/// When it does not.
pub fn framing(bytes: &[u8]) {
    let Some((&[limit, first_cut, step], stream)) = bytes.split_first_chunk() else { return };
    let limit = usize::from(limit);
    let mut reader = FrameReader::new(BUFFERS.clone(), limit);
    let mut lines = Vec::new();
    let (mut rest, mut cut) = (stream, usize::from(first_cut));
    while !rest.is_empty() {
        let spare = reader.spare();
        let (now, later) = rest.split_at(cut.clamp(1, spare.capacity() - spare.len()).min(rest.len()));
        spare.extend_from_slice(now);
        (rest, cut) = (later, (cut * 7 + usize::from(step)) % 300);
        while let Some(line) = reader.next_frame().transpose() {
            lines.push(line.ok().map(|frame| frame.bytes().to_vec()));
        }
    }
    while let Some(line) = reader.finish().transpose() {
        lines.push(line.ok().map(|frame| frame.bytes().to_vec()));
    }
    assert!(reader.holds_no_buffer());
    assert_eq!(lines, naive_lines(stream, limit));
}

fn naive_lines(stream: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
    let is_message = |line: &&[u8]| !line.iter().all(|byte| b" \t\r".contains(byte)) || line.len() > limit;
    let lines = stream.split(|byte| *byte == b'\n');
    let stripped = lines.map(|line| {
        let line = line.strip_prefix(MARK).unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    stripped.filter(is_message).map(|line| (line.len() <= limit).then(|| line.to_vec())).collect()
}

/// Bytes in chunks are written as the text that they are, or as their base64, within the limit. The first
/// two bytes tell the length of the chunks and the limit.
///
/// # Panics
/// When they are not.
pub fn encode(bytes: &[u8]) {
    let Some((&[chunk_bytes, max_bytes], bytes)) = bytes.split_first_chunk() else { return };
    let text = String::from_utf8_lossy(bytes);
    let chunks = || bytes.chunks(usize::from(chunk_bytes.max(1)));
    let json = serde_json::to_vec(&text).unwrap_or_default();

    let lossy = |reply: &mut Reply| {
        reply.literal("\"");
        let mut text = reply.lossy_text();
        chunks().for_each(|chunk| text.push(chunk));
        drop(text);
        reply.literal("\"");
    };
    assert_eq!(written(usize::MAX, lossy).as_ref(), Ok(&json));
    assert_eq!(written(usize::MAX, |reply| reply.string(&text)).as_ref(), Ok(&json));
    let limit_bytes = usize::from(max_bytes);
    let fits = (json.len() <= limit_bytes).then_some(&json).ok_or(ReplyError::TooLong { limit_bytes });
    assert_eq!(written(limit_bytes, lossy).as_ref(), fits.as_ref().map(|json| *json));
    let arena = Bump::new();
    assert_eq!(ours::<&str>(&json, &arena), Some(&*text));

    let whole = |reply: &mut Reply| reply.base64().push(bytes);
    let parts = |reply: &mut Reply| {
        let mut base64 = reply.base64();
        chunks().for_each(|chunk| base64.push(chunk));
    };
    assert_eq!(written(usize::MAX, parts), written(usize::MAX, whole));
}

fn written(max_bytes: usize, write: impl FnOnce(&mut Reply)) -> Result<Vec<u8>, ReplyError> {
    let mut reply = Reply::new(BUFFERS.clone(), max_bytes);
    write(&mut reply);
    reply.finish().map(|written| written.to_vec())
}

#[cfg(test)]
mod tests {
    #[test]
    fn entries_hold_on_a_small_corpus() {
        let corpus: [&[u8]; 12] = [
            b"",
            b"{\"a\":[1,-2.5e3,\"\\ud83d\\ude00\\n\",null,true]}",
            b"[\"a\",null,\"\\\"\"]",
            b"{\"a\":[1,2],\"b\":[3,1.00000017881393432617187499]}",
            b"[[[[[[1e400]]]]]]",
            b"\"\\ud800\"",
            b"\"\xC3\"",
            b"\x05\x02\x03{}\n12345\r\n123456\n\n \n[]",
            b"\x00\x01\x01\xEF\xBB\xBF\r\n1\n",
            b"\x02\x09abc\xC3\xA4\xF0\x9F\x98\xC3\"\\\x01\n",
            b"\x01\xFF\xE2\x82\xAC\xE2\x82",
            b"\xFF\xFF\xFF-0",
        ];
        for bytes in corpus {
            super::decode(bytes);
            super::framing(bytes);
            super::encode(bytes);
        }
    }
}
