//! Writes down the parameters of a request, with or without their values.
//!
//! Works on text that a decoder has accepted, in one walk without a stack, so that deep and long parameters cost no
//! memory. Invariant: of a redacted text come keys, kinds and lengths, and no value.

use std::io::Write;

/// The longest text that is written for one request.
pub(crate) const MAX_SHAPE_BYTES: usize = 64 * 1024;
/// A longer key is a text of the client: only its length is written.
const MAX_KEY_BYTES: usize = 128;
/// What a request says about itself alone, or is written elsewhere. Rounds of answers and sealed state are of no use in
/// another session.
const OMITTED: [&[u8]; 5] = [b"_meta", b"name", b"uri", b"requestState", b"inputResponses"];

/// The parameters need more than [`MAX_SHAPE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Appends the object `params` to `out`, compact and without the members in [`OMITTED`]. With `redacts`, a string
/// becomes `{{text N}}` with its length in bytes, a number 0 or 0.5, a boolean `false`. Returns whether anything was
/// redacted.
pub(crate) fn write_shape(params: &str, redacts: bool, out: &mut Vec<u8>) -> Result<bool, TooLong> {
    let mut shaper = Shaper {
        json: params.as_bytes(),
        at: 0,
        max: out.len() + MAX_SHAPE_BYTES,
        out,
        redacts,
        has_redacted: false,
    };
    shaper.members()?;
    Ok(shaper.has_redacted)
}

struct Shaper<'j, 'o> {
    json: &'j [u8],
    at: usize,
    max: usize,
    out: &'o mut Vec<u8>,
    redacts: bool,
    has_redacted: bool,
}

impl<'j> Shaper<'j, '_> {
    /// The members of the outermost object.
    fn members(&mut self) -> Result<(), TooLong> {
        self.peek();
        self.at += 1;
        self.push(b"{")?;
        let mut is_first = true;
        while self.peek() == Some(b'"') {
            let key = self.string();
            self.peek();
            self.at += 1;
            if OMITTED.contains(&key) {
                self.skip_value();
            } else {
                self.push(if is_first { b"" } else { b"," })?;
                is_first = false;
                self.key(key)?;
                self.push(b":")?;
                self.value()?;
            }
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        self.push(b"}")
    }

    /// The value at hand, to its end.
    fn value(&mut self) -> Result<(), TooLong> {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let string = self.string();
                    if self.peek() == Some(b':') && depth > 0 {
                        self.key(string)?;
                    } else {
                        self.text(string)?;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    self.push(&[byte])?;
                }
                b'}' | b']' | b',' if depth == 0 => return Ok(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                    self.push(&[byte])?;
                }
                b',' | b':' => {
                    self.at += 1;
                    self.push(&[byte])?;
                }
                _ => {
                    let word = self.word();
                    self.scalar(word)?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    self.word();
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.json.get(self.at).copied()
    }

    /// The string at hand, as it is spelled, without its quotes.
    fn string(&mut self) -> &'j [u8] {
        let from = self.at + 1;
        let mut end = from;
        while let Some(found) = self.json.get(end..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            end += found;
            if self.json[end] == b'"' {
                self.at = end + 1;
                return &self.json[from..end];
            }
            end += 2;
        }
        self.at = self.json.len();
        self.json.get(from..).unwrap_or_default()
    }

    /// The number or the name at hand.
    fn word(&mut self) -> &'j [u8] {
        let rest = &self.json[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b':' | b'}' | b']') || byte.is_ascii_whitespace();
        let word = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn key(&mut self, spelled: &[u8]) -> Result<(), TooLong> {
        if self.redacts && spelled.len() > MAX_KEY_BYTES {
            self.has_redacted = true;
            return self.push(format!("\"a key of {} bytes\"", decoded_bytes(spelled)).as_bytes());
        }
        self.quoted(spelled)
    }

    fn text(&mut self, spelled: &[u8]) -> Result<(), TooLong> {
        if !self.redacts {
            return self.quoted(spelled);
        }
        self.has_redacted = true;
        // Writing to a vector does not fail.
        let _ = write!(self.out, "\"{{{{text {}}}}}\"", decoded_bytes(spelled));
        self.push(b"")
    }

    fn scalar(&mut self, word: &[u8]) -> Result<(), TooLong> {
        let kept = match word.first() {
            Some(b'n') | None => word,
            _ if !self.redacts => word,
            Some(b't' | b'f') => b"false",
            Some(_) if word.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => b"0.5",
            Some(_) => b"0",
        };
        self.has_redacted |= kept != word;
        self.push(kept)
    }

    fn quoted(&mut self, spelled: &[u8]) -> Result<(), TooLong> {
        self.push(b"\"")?;
        self.push(spelled)?;
        self.push(b"\"")
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.out.len() + bytes.len() > self.max {
            return Err(TooLong);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// How many bytes of UTF-8 a string has that is spelled so.
fn decoded_bytes(spelled: &[u8]) -> usize {
    let mut bytes = spelled.len();
    let mut rest = spelled;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = &rest[at..];
        let (spelled, decoded) = match escape.get(1..6) {
            Some([b'u', digits @ ..]) => match hex(digits) {
                ..0x80 => (6, 1),
                // The latter are halves of a pair, which has 4 bytes.
                0x80..0x800 | 0xD800..0xE000 => (6, 2),
                _ => (6, 3),
            },
            _ => (2, 1),
        };
        bytes -= spelled - decoded;
        rest = escape.get(spelled..).unwrap_or_default();
    }
    bytes
}

fn hex(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value * 16 + char::from(*digit).to_digit(16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn shape(params: &str, redacts: bool) -> (String, bool) {
        let mut out = Vec::new();
        let redacted = write_shape(params, redacts, &mut out).expect("short enough");
        (String::from_utf8(out).expect("text"), redacted)
    }

    #[test]
    fn of_redacted_parameters_keys_kinds_and_lengths_are_left() {
        let params = r#" { "name" : "t" , "_meta":{"a":[1,{"b":"c"}]}, "arguments" : { "path":"secret\n\u00e9",
            "list" : [ "a" , 17, -1.5, true , null, {}, [] , {"deep":{"x":"\ud83d\ude00"}}], "k\"ey": "" },
            "uri":"file:///secret", "cursor":"abc"}"#;
        let want = r#"{"arguments":{"path":"{{text 9}}","list":["{{text 1}}",0,0.5,false,null,{},[],{"deep":{"x":"{{text 4}}"}}],"k\"ey":"{{text 0}}"},"cursor":"{{text 3}}"}"#;
        assert_eq!(shape(params, true), (want.to_owned(), true));
        assert_eq!(shape(r#"{"name":"x"}"#, true), ("{}".to_owned(), false));
        assert_eq!(
            shape(r#"{"arguments":{"a":null}}"#, true),
            (r#"{"arguments":{"a":null}}"#.to_owned(), false)
        );
    }

    #[test]
    fn whole_parameters_are_one_line() {
        let params = "{\n  \"arguments\": {\n \"text\": \"a {{text 3}} b\", \"n\": 1.50 }\n}";
        let want = r#"{"arguments":{"text":"a {{text 3}} b","n":1.50}}"#;
        assert_eq!(shape(params, false), (want.to_owned(), false));
    }

    #[test]
    fn long_parameters_and_long_keys_are_bounded() {
        let list = format!(r#"{{"arguments":{{"a":[{}0]}}}}"#, "0,".repeat(MAX_SHAPE_BYTES));
        assert_eq!(write_shape(&list, true, &mut Vec::new()), Err(TooLong));
        let text = format!(r#"{{"arguments":{{"a":"{}"}}}}"#, "x".repeat(10_000_000));
        assert_eq!(shape(&text, true).0, r#"{"arguments":{"a":"{{text 10000000}}"}}"#);
        let key = format!(r#"{{"arguments":{{"{}":1}}}}"#, "k".repeat(1_000));
        assert_eq!(shape(&key, true).0, r#"{"arguments":{"a key of 1000 bytes":0}}"#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same value without its values.
    fn redacted(value: &Value) -> Value {
        match value {
            Value::Null => Value::Null,
            Value::Bool(_) => json!(false),
            Value::Number(_) => json!(0),
            Value::String(text) => json!(format!("{{{{text {}}}}}", text.len())),
            Value::Array(entries) => entries.iter().map(redacted).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.clone(), redacted(value))).collect())
            }
        }
    }

    proptest! {
        #[test]
        fn shapes_are_those_of_the_values(arguments in any_json(), is_pretty: bool) {
            let params = json!({"name": "t", "arguments": arguments});
            let text = if is_pretty { serde_json::to_string_pretty(&params) } else { serde_json::to_string(&params) };
            let text = text.expect("written");
            let parsed = |redacts| serde_json::from_str::<Value>(&shape(&text, redacts).0).expect("JSON");
            prop_assert_eq!(parsed(false), json!({"arguments": arguments}));
            let want = redacted(&arguments);
            // Keys are at most 128 bytes long as they are spelled; generated ones may be longer.
            if !shape(&text, true).0.contains("a key of ") {
                prop_assert_eq!(parsed(true), json!({"arguments": want}));
            }
        }
    }
}
