//! JSON for logs and terminals: its strings have escapes for what does not show, and are the same for whoever reads them.
//!
//! Invariant: writing allocates nothing, but what `out` takes.

use super::text::{is_plain, is_visible};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use std::io;

/// JSON of others: what does not show stands in strings, where an escape is the same.
pub(crate) fn json(text: &str) -> String {
    let mut shown = Vec::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\n' | '\r' | '\t') {
            shown.push(b' ');
        } else {
            // Writing to a `Vec` does not fail.
            let _ = write_char(&mut shown, char);
        }
    }
    String::from_utf8(shown).unwrap_or_default()
}

/// Appends a text as a string of JSON.
pub(crate) fn write_json_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a `Vec` does not fail.
    let _ = text.serialize(&mut Serializer::with_formatter(out, Visible(CompactFormatter)));
}

/// Writes a value as JSON of several lines.
///
/// # Errors
/// Those of `out`, and of a value that has no form in JSON.
pub(crate) fn write_json(out: impl io::Write, value: &impl Serialize) -> io::Result<()> {
    let mut writer = Serializer::with_formatter(out, Visible(PrettyFormatter::new()));
    value.serialize(&mut writer).map_err(io::Error::from)
}

/// Writes a character of a string.
fn write_char<W: io::Write + ?Sized>(out: &mut W, char: char) -> io::Result<()> {
    let (mut bytes, mut units) = ([0; 4], [0; 2]);
    if is_visible(char) {
        return out.write_all(char.encode_utf8(&mut bytes).as_bytes());
    }
    char.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

/// JSON whose strings have escapes for what does not show: the same strings for whoever reads it.
struct Visible<F>(F);

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if is_plain(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        fragment.chars().try_for_each(|char| write_char(writer, char))
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::is_harmless;
    use super::*;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn json_is_the_same_value_and_harmless(text in any::<String>()) {
            let mut out = Vec::new();
            write_json(&mut out, &serde_json::json!({(text.clone()): [text.clone(), 1], "empty": {}})).expect("written");
            let json = String::from_utf8(out).expect("text");
            assert!(is_harmless(&json), "{json:?}");
            let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(value[&text][0], text.as_str());
            let mut out = Vec::new();
            write_json_string(&mut out, &text);
            let json = String::from_utf8(out).expect("text");
            assert!(json.chars().all(is_visible), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
            let given = serde_json::to_string(&[text.as_str()]).expect("JSON");
            let shown = super::json(&given);
            assert!(shown.chars().all(is_visible), "{shown:?}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&shown).expect("JSON"), [text]);
        }
    }

    #[test]
    fn hostile_json_has_the_escapes_of_json_and_the_form_of_serde() {
        let mut out = Vec::new();
        write_json_string(&mut out, "a\"\u{85}\u{e0041}\u{e9}");
        assert_eq!(out, "\"a\\\"\\u0085\\udb40\\udc41\u{e9}\"".as_bytes());
        let value = serde_json::json!({"a": [1, {"b": []}], "c": {}, "d": "\u{e9}"});
        let mut out = Vec::new();
        write_json(&mut out, &value).expect("written");
        assert_eq!(out, serde_json::to_vec_pretty(&value).expect("written"));
    }
}
