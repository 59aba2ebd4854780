//! Why bytes could not be decoded.

use serde::de::{Expected, Unexpected};
use std::fmt::{self, Write as _};
use thiserror::Error;

/// Deepest nesting that is accepted, counted as `serde_json` counts it.
pub(super) const MAX_NESTING: usize = crate::limits::MAX_DEPTH - 1;

/// Longest message of [`DecodeFault::Data`] in bytes: a type's names and what was found fit.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Bytes of a peer's string that a message quotes. Printed as an escape, a byte becomes at most seven.
const MAX_QUOTED_BYTES: usize = 120;

/// A fault in a message's JSON, or a value that does not fit its type.
///
/// One box: every step of a walk may fail, and its result should pass in registers.
///
/// ```
/// use mcpool::wire::Raw;
///
/// let error = Raw::check("[1, ]").err().ok_or("it is no JSON")?;
/// assert!(error.is_syntax());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} at byte {}", .0.fault, .0.offset)]
pub struct DecodeError(Box<Located>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Located {
    offset: usize,
    fault: DecodeFault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// The text is not JSON.
    #[error("expected {expected}")]
    Syntax {
        /// What was expected.
        expected: &'static str,
    },
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Arrays and objects are nested deeper than the limit.
    #[error("nested deeper than {} levels", MAX_NESTING)]
    TooDeep,
    /// A string has half of a surrogate pair.
    #[error("half of a surrogate pair in a string")]
    LoneSurrogate,
    /// A number is beyond what a double can hold.
    #[error("number out of range")]
    NumberOutOfRange,
    /// What is made of a large message needs memory that is not reserved yet.
    #[error("no memory is reserved for what is made of the message")]
    NoRoom,
    /// The JSON is well-formed but does not fit the type that is wanted.
    #[error("{0}")]
    Data(Box<str>),
}

impl DecodeError {
    #[cold]
    pub(super) fn syntax(offset: usize, expected: &'static str) -> Self {
        Self::new(offset, DecodeFault::Syntax { expected })
    }

    #[cold]
    pub(super) fn new(offset: usize, fault: DecodeFault) -> Self {
        Self(Box::new(Located { offset, fault }))
    }

    /// Sets the position of an error that serde made.
    #[cold]
    pub(super) fn or_at(mut self, offset: usize) -> Self {
        if self.0.offset == 0 {
            self.0.offset = offset;
        }
        self
    }

    /// Bytes before the place of the fault.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What is wrong there.
    pub fn fault(&self) -> &DecodeFault {
        &self.0.fault
    }

    /// Whether memory has to be reserved before the text can be decoded.
    pub(crate) fn lacks_room(&self) -> bool {
        *self.fault() == DecodeFault::NoRoom
    }

    /// Whether the text is not JSON at all, or not within the depth limit; otherwise it is well-formed but
    /// does not fit.
    pub fn is_syntax(&self) -> bool {
        matches!(self.fault(), DecodeFault::Syntax { .. } | DecodeFault::Utf8 | DecodeFault::TooDeep)
    }
}

/// An error quotes what a peer sent, but only a short part of it: strings are as long as a frame may be, they grow when
/// they are escaped, and no pool accounts for the memory of an error.
impl serde::de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        let mut bounded = Bounded(String::new());
        // A full text refuses more, and has marked the cut by then.
        let _ = write!(bounded, "{message}");
        Self::new(0, DecodeFault::Data(bounded.0.into()))
    }

    #[cold]
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid type: {}, expected {}", Found(unexpected), Wanted(expected)))
    }

    #[cold]
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("invalid value: {}, expected {}", Found(unexpected), Wanted(expected)))
    }

    #[cold]
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown variant `{}`, {}", start_of(variant), OneOf(expected)))
    }

    #[cold]
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown field `{}`, {}", start_of(field), OneOf(expected)))
    }
}

/// A string's first characters, so that what was expected still fits after them.
fn start_of(text: &str) -> &str {
    &text[..border_before(text, MAX_QUOTED_BYTES)]
}

/// The value that came, in words of JSON instead of serde's.
struct Found<'u>(Unexpected<'u>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "{value}"),
            Unexpected::Unsigned(number) => write!(f, "number {number}"),
            Unexpected::Signed(number) => write!(f, "number {number}"),
            Unexpected::Float(number) => write!(f, "number {number}"),
            Unexpected::Str(text) => write!(f, "string {:?}", start_of(text)),
            Unexpected::Unit | Unexpected::Option => f.write_str("null"),
            Unexpected::Seq => f.write_str("array"),
            Unexpected::Map => f.write_str("object"),
            other => write!(f, "{other}"),
        }
    }
}

/// The value that was expected, in words of JSON instead of Rust.
struct Wanted<'e>(&'e dyn Expected);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wanted = Bounded(String::new());
        // It is cut where it is longer than an error may be.
        let _ = write!(wanted, "{}", self.0);
        let bits = |name: &str| name[1..].parse::<u32>().ok();
        f.write_str(match wanted.0.as_str() {
            "a borrowed string" | "a string" | "a character" => "a string",
            "a boolean" => "true or false",
            "a sequence" => "an array",
            "a map" => "an object",
            "unit" => "null",
            "f32" | "f64" => "a number",
            "usize" => "a whole number of at least 0",
            "isize" => "a whole number",
            name if name.starts_with("struct ") => "an object",
            name if name.starts_with(['u', 'i']) && bits(name).is_some() => return whole_number(f, name),
            other => other,
        })
    }
}

/// The range of a whole number that Rust names by its bits.
fn whole_number(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    match name {
        "u8" => f.write_str("a whole number from 0 to 255"),
        "u16" => f.write_str("a whole number from 0 to 65535"),
        "u32" => f.write_str("a whole number from 0 to 4294967295"),
        "i8" => f.write_str("a whole number from -128 to 127"),
        "i16" => f.write_str("a whole number from -32768 to 32767"),
        "i32" => f.write_str("a whole number from -2147483648 to 2147483647"),
        _ if name.starts_with('u') => f.write_str("a whole number of at least 0"),
        _ => f.write_str("a whole number"),
    }
}

/// The last character border that is not after `place`.
fn border_before(text: &str, place: usize) -> usize {
    (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The expected names, in serde's words.
struct OneOf(&'static [&'static str]);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there are none"),
            [only] => write!(f, "expected `{only}`"),
            [one, other] => write!(f, "expected `{one}` or `{other}`"),
            [first, rest @ ..] => {
                write!(f, "expected one of `{first}`")?;
                rest.iter().try_for_each(|name| write!(f, ", `{name}`"))
            }
        }
    }
}

/// Text of at most [`MAX_MESSAGE_BYTES`] and the mark of a cut.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = border_before(part, MAX_MESSAGE_BYTES - self.0.len().min(MAX_MESSAGE_BYTES));
        self.0.push_str(&part[..end]);
        if end == part.len() {
            return Ok(());
        }
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeFault, MAX_MESSAGE_BYTES, MAX_QUOTED_BYTES};
    use crate::wire::{DecodeError, Lexer};
    use bumpalo::Bump;
    use serde::Deserialize;
    use serde::de::Error as _;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        #[serde(rename = "level")]
        _level: Option<Level>,
        #[serde(rename = "count")]
        _count: Option<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
        Medium,
        High,
    }

    fn message(text: &str) -> String {
        let error = Lexer::from_text(text).decode::<Target>(&Bump::new()).unwrap_err();
        let DecodeFault::Data(message) = error.fault() else { panic!("{error}") };
        message.to_string()
    }

    /// A frame's string was quoted whole, seven times as long where each character must be escaped.
    #[test]
    fn an_error_stays_short_whatever_it_quotes() {
        for long in ["x".repeat(1 << 20), "\u{7F}".repeat(1 << 20), "é".repeat(1 << 20)] {
            for text in [
                format!(r#""{long}""#),
                format!(r#"{{"count":"{long}"}}"#),
                format!(r#"{{"level":"{long}"}}"#),
                format!(r#"{{"{long}":1}}"#),
            ] {
                let message = message(&text);
                assert!(message.len() <= MAX_MESSAGE_BYTES, "{}", message.len());
                assert!(message.contains("expected"), "{message}");
            }
            let error = DecodeError::custom(&long);
            let DecodeFault::Data(message) = error.fault() else { panic!() };
            assert!(
                message.len() <= MAX_MESSAGE_BYTES + '…'.len_utf8() && message.ends_with('…'),
                "{message}"
            );
        }
    }

    /// The shape is serde's own, so that what clients know from other servers does not change; the words are JSON's.
    #[test]
    fn errors_speak_of_json() {
        for (text, want) in [
            (r#""x""#, r#"invalid type: string "x", expected an object"#),
            (r#"{"count":"x"}"#, r#"invalid type: string "x", expected a whole number from 0 to 255"#),
            (r#"{"count":300}"#, "invalid value: number 300, expected a whole number from 0 to 255"),
            (r#"{"count":[1]}"#, "invalid type: array, expected a whole number from 0 to 255"),
            (r#"{"count":{}}"#, "invalid type: object, expected a whole number from 0 to 255"),
            (r#"{"count":true}"#, "invalid type: true, expected a whole number from 0 to 255"),
            ("null", "invalid type: null, expected an object"),
            (r#"{"level":"x"}"#, "unknown variant `x`, expected one of `low`, `medium`, `high`"),
            (r#"{"x":1}"#, "unknown field `x`, expected `level` or `count`"),
        ] {
            assert_eq!(message(text), want, "{text}");
        }
    }

    const _: () = assert!(7 * MAX_QUOTED_BYTES + 64 <= MAX_MESSAGE_BYTES);
}
