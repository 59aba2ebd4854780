//! Text that is made anew for each request, so that a cache of the server does not flatter it.
//!
//! | in a string | becomes |
//! | --- | --- |
//! | `{{number 1..100}}` | a random number from 1 to 100; as the whole string, a JSON number |
//! | `{{text 32}}` | 32 random letters |
//! | `{{count}}` | how many requests were made before; as the whole string, a JSON number |
//! | `{{pick red|green|blue}}` | one of these words |
//!
//! Invariant: what is generated needs no escape in JSON, and writing it allocates nothing but room in the buffer. A
//! template is one run of bytes, so that a recorded trace keeps a quarter of a million of them in little more than their
//! text.

use super::random::Random;
use crate::limits::units::bytes;
use serde_json::{Map, Value};
use std::io::Write;
use thiserror::Error;

/// The most bytes of one request.
pub(super) const MAX_REQUEST_BYTES: u64 = 64 * 1024 * 1024;
/// A letter has 6 bits of a random number.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
/// The longest number, in digits.
const MAX_DIGITS: u64 = 20;

/// Why a template cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A placeholder that cannot be understood.
    #[error(
        "{{{{{0}}}}} is no placeholder: write {{{{number 1..100}}}}, {{{{text 32}}}}, {{{{count}}}} or {{{{pick a|b}}}}"
    )]
    Placeholder(String),
    /// The request would be too long; in bytes.
    #[error(
        "a request of {name} would have {}: its texts are to come to {} at most together",
        bytes(*.request_bytes),
        bytes(MAX_REQUEST_BYTES)
    )]
    TooLong {
        /// The tool, or the method.
        name: String,
        /// What it would have.
        request_bytes: u64,
    },
}

/// Stands before each part that is no literal text: JSON text has no such byte.
const MARK: u8 = 1;
/// What follows the mark: a kind, and numbers of 8 bytes.
const ID: u8 = b'i';
const COUNT: u8 = b'c';
/// The least number, and how many there are.
const NUMBER: u8 = b'n';
/// The length.
const TEXT: u8 = b't';
/// How many words, then each behind its length.
const PICK: u8 = b'p';

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Count,
    Number { from: u64, span: u64 },
    Text { bytes: u64 },
    Pick { words: Vec<Vec<u8>> },
}

/// What the parts of one request are made of.
pub(super) struct Sources<'a> {
    pub(super) id: u64,
    pub(super) count: u64,
    pub(super) random: &'a mut Random,
}

/// A text with parts that are made anew for each request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// The most bytes that it becomes.
    most_bytes: u64,
}

impl Template {
    /// The template as bytes, for [`write`].
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    pub(super) fn push_text(&mut self, text: &str) {
        debug_assert!(!text.as_bytes().contains(&MARK), "JSON escapes control characters");
        self.most_bytes = self.most_bytes.saturating_add(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn push_id(&mut self) {
        self.push_mark(ID, &[], MAX_DIGITS);
    }

    fn push_mark(&mut self, kind: u8, numbers: &[u64], most_bytes: u64) {
        self.most_bytes = self.most_bytes.saturating_add(most_bytes);
        self.bytes.extend([MARK, kind]);
        for number in numbers {
            self.bytes.extend(number.to_le_bytes());
        }
    }

    fn push_part(&mut self, part: &Part) {
        match part {
            Part::Count => self.push_mark(COUNT, &[], MAX_DIGITS),
            Part::Number { from, span } => self.push_mark(NUMBER, &[*from, *span], MAX_DIGITS),
            Part::Text { bytes } => self.push_mark(TEXT, &[*bytes], *bytes),
            Part::Pick { words } => {
                let longest = words.iter().map(Vec::len).max().unwrap_or_default();
                self.push_mark(PICK, &[words.len() as u64], longest as u64);
                for word in words {
                    self.bytes.extend((word.len() as u64).to_le_bytes());
                    self.bytes.extend_from_slice(word);
                }
            }
        }
    }

    /// Adds the members of an object, without its braces: `name` first, so that a server knows whose arguments follow.
    /// Strings of a literal one hold no placeholders.
    pub(super) fn push_members(
        &mut self,
        members: &Map<String, Value>,
        is_literal: bool,
    ) -> Result<(), TemplateError> {
        let name = members.get_key_value("name");
        let others = members.iter().filter(|(key, _)| *key != "name");
        for (index, (key, member)) in name.into_iter().chain(others).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            self.push_text(&format!("{comma}{}:", Value::from(key.as_str())));
            if is_literal {
                self.push_text(&member.to_string());
            } else {
                self.push_json(member)?;
            }
        }
        Ok(())
    }

    /// Adds a JSON value whose strings may hold placeholders.
    fn push_json(&mut self, value: &Value) -> Result<(), TemplateError> {
        match value {
            Value::String(text) => self.push_string(text),
            Value::Array(entries) => {
                self.push_text("[");
                for (index, entry) in entries.iter().enumerate() {
                    self.push_text(if index == 0 { "" } else { "," });
                    self.push_json(entry)?;
                }
                self.push_text("]");
                Ok(())
            }
            Value::Object(members) => {
                self.push_text("{");
                self.push_members(members, false)?;
                self.push_text("}");
                Ok(())
            }
            other => {
                self.push_text(&other.to_string());
                Ok(())
            }
        }
    }

    fn push_string(&mut self, text: &str) -> Result<(), TemplateError> {
        if let Some(inner) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"))
            && let Some(part @ (Part::Number { .. } | Part::Count)) = placeholder(inner)
        {
            self.push_part(&part);
            return Ok(());
        }
        self.push_text("\"");
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inner, behind)) = after.split_once("}}") else { break };
            self.push_escaped(before);
            let part = placeholder(inner).ok_or_else(|| TemplateError::Placeholder(inner.to_owned()))?;
            self.push_part(&part);
            rest = behind;
        }
        self.push_escaped(rest);
        self.push_text("\"");
        Ok(())
    }

    fn push_escaped(&mut self, text: &str) {
        let quoted = Value::from(text).to_string();
        self.push_text(quoted.get(1..quoted.len() - 1).unwrap_or_default());
    }
}

/// Writes the text of one request after the bytes of a [`Template`].
pub(super) fn write(template: &[u8], sources: &mut Sources<'_>, out: &mut Vec<u8>) {
    let mut rest = template;
    while let Some(at) = memchr::memchr(MARK, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        // Only `Template` makes such bytes, so nothing is cut off.
        if write_part(&mut rest, sources, out).is_none() {
            return;
        }
    }
    out.extend_from_slice(rest);
}

/// Writes the part whose mark was read; `None` if its bytes are cut off.
fn write_part(rest: &mut &[u8], sources: &mut Sources<'_>, out: &mut Vec<u8>) -> Option<()> {
    match *rest.split_off_first()? {
        ID => push_number(out, sources.id),
        COUNT => push_number(out, sources.count),
        NUMBER => {
            let (from, span) = (take_number(rest)?, take_number(rest)?);
            push_number(out, from + sources.random.below(span));
        }
        TEXT => push_letters(out, take_number(rest)?, sources.random),
        PICK => {
            let words = take_number(rest)?;
            let picked = sources.random.below(words);
            for number in 0..words {
                let length = usize::try_from(take_number(rest)?).ok()?;
                let word = rest.split_off(..length)?;
                if number == picked {
                    out.extend_from_slice(word);
                }
            }
        }
        _ => return None,
    }
    Some(())
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let bytes = rest.split_off(..size_of::<u64>())?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{number}");
}

fn push_letters(out: &mut Vec<u8>, bytes: u64, random: &mut Random) {
    let mut left = bytes;
    while left > 0 {
        let mut bits = random.draw();
        for _ in 0..left.min(10) {
            out.push(LETTERS[(bits & 63) as usize]);
            bits >>= 6;
        }
        left -= left.min(10);
    }
}

/// Reads what stands between the braces.
fn placeholder(inner: &str) -> Option<Part> {
    let inner = inner.trim();
    let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    match (name, rest.trim()) {
        ("count", "") => Some(Part::Count),
        ("number", range) => {
            let (from, to) = range.split_once("..")?;
            let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            let span = to.checked_sub(from)?.checked_add(1)?;
            Some(Part::Number { from, span })
        }
        ("text", bytes) => {
            let bytes = bytes.parse().ok().filter(|bytes| *bytes <= MAX_REQUEST_BYTES)?;
            Some(Part::Text { bytes })
        }
        ("pick", words) if !words.is_empty() => {
            let escaped = |word: &str| {
                let quoted = Value::from(word).to_string().into_bytes();
                quoted[1..quoted.len() - 1].to_vec()
            };
            Some(Part::Pick { words: words.split('|').map(escaped).collect() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rendered(value: &Value) -> Result<Value, TemplateError> {
        let mut template = Template::default();
        template.push_json(value)?;
        let mut out = Vec::new();
        let mut sources = Sources { id: 7, count: 41, random: &mut Random(1) };
        write(template.as_bytes(), &mut sources, &mut out);
        assert!(out.len() as u64 <= template.most_bytes(), "{} of {}", out.len(), template.most_bytes());
        Ok(serde_json::from_slice(&out).expect("JSON"))
    }

    #[test]
    fn placeholders_become_what_they_say() {
        let made = rendered(&json!({
            "n": "{{number 5..5}}", "c": "{{count}}", "mixed": "a \"{{number 5..5}}\" {{count}}", "t": "{{text 25}}",
            "pick": ["{{pick red}}", "{{ pick \"a\" }}"], "kept": [1, null, true, "plain \u{e9}\n", "{{", "}}"]
        }))
        .expect("a template");
        assert_eq!((&made["n"], &made["c"]), (&json!(5), &json!(41)));
        assert_eq!(made["mixed"], "a \"5\" 41");
        assert_eq!(made["t"].as_str().map(str::len), Some(25));
        assert_eq!(made["pick"], json!(["red", "\"a\""]));
        assert_eq!(made["kept"], json!([1, null, true, "plain \u{e9}\n", "{{", "}}"]));
    }

    #[test]
    fn what_is_no_placeholder_is_refused_by_name() {
        for inner in
            ["", "nmber 1..2", "number 2..1", "number 1", "text x", "text 99999999999", "pick", "count 3"]
        {
            let error = rendered(&json!(format!("x {{{{{inner}}}}}"))).expect_err(inner);
            assert!(error.to_string().starts_with(&format!("{{{{{inner}}}}} is no placeholder")), "{error}");
        }
    }

    #[test]
    fn requests_differ_in_what_is_generated() {
        let mut template = Template::default();
        template.push_json(&json!({"same": 1})).expect("a template");
        template.push_json(&json!("{{text 8}}")).expect("a template");
        let (mut random, mut texts) = (Random(3), Vec::new());
        for count in 0..2 {
            let mut out = Vec::new();
            write(template.as_bytes(), &mut Sources { id: 1, count, random: &mut random }, &mut out);
            texts.push(out);
        }
        assert_ne!(texts[0], texts[1]);
    }

    #[test]
    fn the_name_comes_before_what_it_explains() {
        let params = json!({"arguments": {"b": 1, "name": "x"}, "_meta": {}, "name": "echo"});
        let mut template = Template::default();
        template.push_members(params.as_object().expect("an object"), false).expect("a template");
        let text = String::from_utf8_lossy(template.as_bytes()).into_owned();
        assert!(text.starts_with(r#""name":"echo","#), "{text}");
    }

    /// A line of a trace that says how long many texts were stands for more bytes than it has.
    #[test]
    fn it_is_known_beforehand_how_long_a_request_becomes() {
        let mut template = Template::default();
        let texts = vec!["{{text 60000000}}"; 100];
        template.push_json(&json!(texts)).expect("a template");
        assert!(template.as_bytes().len() < 2_000, "{}", template.as_bytes().len());
        assert!(template.most_bytes() > 6_000_000_000, "{}", template.most_bytes());
    }

    proptest! {
        #[test]
        fn text_without_placeholders_comes_out_as_it_went_in(text in "[^{]*", number: i64) {
            let value = json!({ text.clone(): [text, number] });
            prop_assert_eq!(rendered(&value).expect("a template"), value);
        }
    }
}
