//! Request ids: a string or an integer, kept as the peer wrote it where that is the shortest way to write it.

use crate::wire::Raw;
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use std::borrow::Cow;

/// A request id as its JSON text, so that the answer repeats it, whatever the integer's size or the string's
/// escapes. Integers are plain digits: JSON has one number in many spellings, and `1.0` is the integer 1 to JSON
/// Schema, to JavaScript and to most clients.
///
/// ```
/// use mcpool::protocol::Id;
///
/// assert!(Id::same("7", "7") && !Id::same("7", "\"7\""));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<'f> {
    json: &'f str,
}

impl<'f> Id<'f> {
    /// The longest id in bytes of its JSON text, as sent and as repeated. Ids are counters and UUIDs; the bound
    /// keeps a pending request within its kilobyte.
    pub const MAX_BYTES: usize = 256;

    /// Reads an id: `None` unless it is a string or an integer of at most [`Id::MAX_BYTES`]. Integers by value:
    /// `1.0` and `10e-1` are 1, `1e3` is 1000, `-0` is 0.
    pub fn from_raw(raw: Raw<'f>, arena: &'f Bump) -> Option<Self> {
        let json = raw.as_str();
        if json.len() > Self::MAX_BYTES {
            return None;
        }
        let first = json.bytes().next()?;
        if first == b'"' || is_plain(json) {
            return Some(Self { json });
        }
        let is_number = first == b'-' || first.is_ascii_digit();
        let json = if is_number { Integer::of(json)?.spell(arena) } else { return None };
        Some(Self { json })
    }

    /// The id as JSON text.
    pub fn as_json(self) -> &'f str {
        self.json
    }

    /// Whether two ids, given as JSON text, name the same request. Texts that differ only in escapes are
    /// the same string.
    pub fn same(left: &str, right: &str) -> bool {
        left == right || Self::canonical(left) == Self::canonical(right)
    }

    /// The one spelling that all spellings of the same id have in common; `json` is the text of an [`Id`].
    pub fn canonical(json: &str) -> Cow<'_, str> {
        if json.contains('\\') { plainly(json) } else { Cow::Borrowed(json) }
    }
}

/// Whether the text is digits alone, as nearly all ids are.
fn is_plain(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && json != "-0"
}

/// A string without unnecessary escapes. Half of a surrogate pair is no character and stays as it is.
#[cold]
fn plainly(json: &str) -> Cow<'_, str> {
    let spelled =
        serde_json::from_str::<String>(json).ok().and_then(|text| serde_json::to_string(&text).ok());
    spelled.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// A number of JSON that is an integer: its digits without zeros at either end, and how many it has in all.
#[derive(Debug, PartialEq, Eq)]
struct Integer<'f> {
    is_negative: bool,
    /// Before and after the point.
    digits: [&'f str; 2],
    /// Zeros that follow the digits.
    zeros: usize,
}

impl<'f> Integer<'f> {
    /// Reads the text of a number; `None` for a fraction and for what has more than [`Id::MAX_BYTES`] digits. Takes
    /// no longer for a large exponent.
    fn of(json: &'f str) -> Option<Self> {
        let (is_negative, json) = json.strip_prefix('-').map_or((false, json), |rest| (true, rest));
        let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let behind_point = fraction.len();
        // Where nothing follows the point, zeros before it belong to the exponent.
        let digits = if fraction.is_empty() { whole.trim_end_matches('0') } else { whole };
        let trailing = whole.len() - digits.len();
        let leading = digits.trim_start_matches('0');
        let (whole, fraction) =
            if leading.is_empty() { ("", fraction.trim_start_matches('0')) } else { (leading, fraction) };
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { is_negative: false, digits: ["0", ""], zeros: 0 });
        }
        // The mantissa is bounded, so that an exponent of ten digits decides by itself.
        let exponent = exponent.trim_start_matches('+');
        let (is_down, magnitude) = exponent.strip_prefix('-').map_or((false, exponent), |rest| (true, rest));
        let magnitude = magnitude.trim_start_matches('0');
        let magnitude = if magnitude.len() > 9 { usize::MAX / 2 } else { magnitude.parse().unwrap_or(0) };
        let zeros = if is_down {
            trailing.checked_sub(behind_point)?.checked_sub(magnitude)?
        } else {
            (trailing + magnitude).checked_sub(behind_point)?
        };
        let bytes = usize::from(is_negative) + whole.len() + fraction.len() + zeros;
        (bytes <= Id::MAX_BYTES).then_some(Self { is_negative, digits: [whole, fraction], zeros })
    }

    /// All its digits; borrowed where the text has them.
    fn spell(&self, arena: &'f Bump) -> &'f str {
        let [whole, fraction] = self.digits;
        if !self.is_negative && fraction.is_empty() && self.zeros == 0 {
            return whole;
        }
        let mut text = BumpString::with_capacity_in(1 + whole.len() + fraction.len() + self.zeros, arena);
        text.push_str(if self.is_negative { "-" } else { "" });
        text.push_str(whole);
        text.push_str(fraction);
        text.extend(std::iter::repeat_n('0', self.zeros));
        text.into_bump_str()
    }
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
    use crate::wire::Lexer;
    use bumpalo::Bump;
    use proptest::prelude::*;

    fn read(json: &str) -> Option<String> {
        let arena = Bump::new();
        let raw = Lexer::from_text(json).raw().expect("JSON");
        Id::from_raw(raw, &arena).map(|id| id.as_json().to_owned())
    }

    #[test]
    fn ids_are_compared_by_value() {
        assert!(Id::same("1", "1"));
        assert!(!Id::same("1", "\"1\""));
        assert!(Id::same(r#""aA""#, r#""a\u0041""#));
        assert!(Id::same(r#""\/""#, r#""/""#));
        assert!(!Id::same(r#""aA""#, r#""a\u0042""#));
        assert!(!Id::same(r#""\ud800""#, r#""\ud801""#));
        assert!(!Id::same("12345678901234567890123", "12345678901234567890124"));
    }

    #[test]
    fn an_integer_has_one_spelling() {
        let long = "9".repeat(Id::MAX_BYTES);
        let rows = [
            ("1", "1"),
            ("-7", "-7"),
            ("9007199254740993", "9007199254740993"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1.0", "1"),
            ("-1.000", "-1"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("1E+03", "1000"),
            ("-1.5e1", "-15"),
            ("1.25e2", "125"),
            ("1.25e3", "1250"),
            ("10e-1", "1"),
            ("12300e-2", "123"),
            ("100.0e-2", "1"),
            ("0.5e1", "5"),
            ("0.05e2", "5"),
            ("0.050e4", "500"),
            ("10.05e2", "1005"),
            ("0", "0"),
            ("-0", "0"),
            ("0.0", "0"),
            ("-0.0", "0"),
            ("0e999999999999", "0"),
            ("0.000e-999999999999", "0"),
            ("9007199254740993.0", "9007199254740993"),
            (long.as_str(), long.as_str()),
        ];
        for (sent, repeated) in rows {
            assert_eq!(read(sent).as_deref(), Some(repeated), "{sent}");
        }
        assert_eq!(read("1e255").map(|id| id.len()), Some(Id::MAX_BYTES));
        assert_eq!(read("1e-0").as_deref(), Some("1"));
    }

    #[test]
    fn fractions_and_what_is_too_long_are_no_ids() {
        let exponent = format!("1e{}", "9".repeat(Id::MAX_BYTES - 2));
        let long = "9".repeat(Id::MAX_BYTES + 1);
        let rows = [
            "1.5",
            "-0.1",
            "1e-1",
            "15e-1",
            "1.25e1",
            "1e256",
            "-1e255",
            "1e400",
            "1e-400",
            "1e999999999999",
            "1e-999999999999",
            "1e2147483648",
            "1e4294967296",
            "1e18446744073709551616",
            "null",
            "true",
            "[1]",
            "{}",
            &exponent,
            &long,
        ];
        for sent in rows {
            assert_eq!(read(sent), None, "{sent}");
        }
    }

    proptest! {
        /// However a number is spelled, it is the integer that it is.
        #[test]
        fn every_spelling_is_the_same_id(
            number in any::<i64>(), zeros in 0_usize..5, shift in 0_usize..20, upper in any::<bool>()
        ) {
            let plain = number.to_string();
            let (sign, digits) = plain.strip_prefix('-').map_or(("", &*plain), |digits| ("-", digits));
            let e = if upper { 'E' } else { 'e' };
            let noughts = "0".repeat(zeros);
            let with_point = format!("{sign}{digits}.0{noughts}");
            let up = format!("{sign}{digits}{noughts}{e}-{zeros}");
            let padded = format!("{digits:0>width$}", width = shift + 1);
            let (whole, fraction) = padded.split_at(padded.len() - shift);
            let whole = whole.trim_start_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            let down = if shift == 0 { plain.clone() } else { format!("{sign}{whole}.{fraction}{e}+{shift}") };
            for spelled in [with_point, up, down] {
                prop_assert_eq!(read(&spelled), Some(plain.clone()), "{}", spelled);
            }
        }

        /// Numbers that differ as doubles are different ids, and equal doubles are the same.
        #[test]
        fn whole_numbers_are_those_of_a_double(mantissa in 0_u32..100_000, point in 0_usize..5, exponent in -6_i32..6) {
            let digits = mantissa.to_string();
            let (whole, fraction) = digits.split_at(digits.len().saturating_sub(point).max(1));
            let number = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
            // Exactly: a product of powers of two and five.
            let tens = exponent - i32::try_from(fraction.len()).expect("few digits");
            let is_whole = tens >= 0 || u64::from(mantissa).is_multiple_of(10_u64.pow(tens.unsigned_abs()));
            prop_assert_eq!(read(&format!("{number}e{exponent}")).is_some(), is_whole, "{}e{}", number, exponent);
        }
    }
}
