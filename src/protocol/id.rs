//! Request ids: a string or an integer, kept exactly as the peer wrote it.

use crate::wire::Raw;

/// A request id as its JSON text, so that the answer repeats it to the letter, whatever the integer's
/// size or the string's escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<'f> {
    json: &'f str,
}

impl<'f> Id<'f> {
    /// The longest id in bytes of its JSON text. Ids are counters and UUIDs; the bound keeps a pending
    /// request within its kilobyte.
    pub const MAX_BYTES: usize = 256;

    /// Reads an id: `None` unless it is a string or an integer of at most [`Id::MAX_BYTES`].
    pub fn from_raw(raw: Raw<'f>) -> Option<Self> {
        let json = raw.as_str();
        let is_string = json.starts_with('"');
        let is_integer = || {
            let digits = json.strip_prefix('-').unwrap_or(json);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        (json.len() <= Self::MAX_BYTES && (is_string || is_integer())).then_some(Self { json })
    }

    /// The id as JSON text.
    pub fn as_json(self) -> &'f str {
        self.json
    }

    /// Whether two ids, given as JSON text, name the same request. Texts that differ only in escapes are
    /// the same string.
    pub fn same(left: &str, right: &str) -> bool {
        left == right || ((left.contains('\\') || right.contains('\\')) && same_unescaped(left, right))
    }
}

#[cold]
fn same_unescaped(left: &str, right: &str) -> bool {
    let unescape = |json: &str| serde_json::from_str::<String>(json).ok();
    unescape(left).is_some_and(|left| Some(left) == unescape(right))
}

/// The `id` member of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdField<'f> {
    /// There is none: a notification, or a message that could not be read that far.
    #[default]
    Absent,
    /// A string or an integer.
    Valid(Id<'f>),
    /// Something else: `null`, a fraction, an object, or longer than [`Id::MAX_BYTES`].
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn ids_are_compared_by_value() {
        assert!(Id::same("1", "1"));
        assert!(!Id::same("1", "\"1\""));
        assert!(Id::same(r#""aA""#, r#""a\u0041""#));
        assert!(!Id::same(r#""aA""#, r#""a\u0042""#));
        assert!(!Id::same("12345678901234567890123", "12345678901234567890124"));
    }
}
