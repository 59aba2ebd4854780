//! Text that is made anew for each request, so that a cache of the server does not flatter it.
//!
//! | in a string | becomes |
//! | --- | --- |
//! | `{{number 1..100}}` | a random number from 1 to 100; as the whole string, a JSON number |
//! | `{{text 32}}` | 32 random letters |
//! | `{{count}}` | how many requests were made before; as the whole string, a JSON number |
//! | `{{pick red|green|blue}}` | one of these words |
//!
//! Invariant: what is generated needs no escape in JSON, and writing it allocates nothing but room in the buffer.

use super::random::Random;
use serde_json::Value;
use std::io::Write;
use thiserror::Error;

/// The longest text that is generated.
const MAX_TEXT_BYTES: u64 = 64 * 1024 * 1024;
/// A letter has 6 bits of a random number.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";

/// A placeholder that cannot be understood.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{{{{{0}}}}} is no placeholder: write {{{{number 1..100}}}}, {{{{text 32}}}}, {{{{count}}}} or {{{{pick a|b}}}}"
)]
pub struct TemplateError(String);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Id,
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

/// A text in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    pub(super) fn push_text(&mut self, text: &str) {
        if let Some(Part::Literal(bytes)) = self.parts.last_mut() {
            bytes.extend_from_slice(text.as_bytes());
        } else {
            self.parts.push(Part::Literal(text.as_bytes().to_vec()));
        }
    }

    pub(super) fn push_id(&mut self) {
        self.parts.push(Part::Id);
    }

    /// Adds a JSON value whose strings may hold placeholders.
    pub(super) fn push_json(&mut self, value: &Value) -> Result<(), TemplateError> {
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
                for (index, (name, member)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    self.push_text(&format!("{comma}{}:", Value::from(name.as_str())));
                    self.push_json(member)?;
                }
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
            self.parts.push(part);
            return Ok(());
        }
        self.push_text("\"");
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inner, behind)) = after.split_once("}}") else { break };
            self.push_escaped(before);
            self.parts.push(placeholder(inner).ok_or_else(|| TemplateError(inner.to_owned()))?);
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

    /// Writes the text of one request.
    pub(super) fn write(&self, sources: &mut Sources<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Id => push_number(out, sources.id),
                Part::Count => push_number(out, sources.count),
                Part::Number { from, span } => push_number(out, from + sources.random.below(*span)),
                Part::Text { bytes } => push_letters(out, *bytes, sources.random),
                Part::Pick { words } => {
                    let word = sources.random.below(words.len() as u64) as usize;
                    out.extend_from_slice(&words[word]);
                }
            }
        }
    }
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
            let bytes = bytes.parse().ok().filter(|bytes| *bytes <= MAX_TEXT_BYTES)?;
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
        template.write(&mut Sources { id: 7, count: 41, random: &mut Random(1) }, &mut out);
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
            template.write(&mut Sources { id: 1, count, random: &mut random }, &mut out);
            texts.push(out);
        }
        assert_ne!(texts[0], texts[1]);
    }

    proptest! {
        #[test]
        fn text_without_placeholders_comes_out_as_it_went_in(text in "[^{]*", number: i64) {
            let value = json!({ text.clone(): [text, number] });
            prop_assert_eq!(rendered(&value).expect("a template"), value);
        }
    }
}
