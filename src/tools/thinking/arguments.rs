//! The arguments of a thought, coerced from other types as JavaScript does it: models write numbers as texts.

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The largest whole number of which a double knows that it is no other.
const MAX_SAFE: u64 = 9_007_199_254_740_991;

/// `sequentialthinking`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step<'a> {
    pub(super) thought: &'a str,
    pub(super) next_thought_needed: Flag,
    pub(super) thought_number: Count,
    pub(super) total_thoughts: Count,
    #[serde(default, deserialize_with = "present")]
    is_revision: Option<Flag>,
    #[serde(default, deserialize_with = "present")]
    revises_thought: Option<Count>,
    #[serde(default, deserialize_with = "present")]
    branch_from_thought: Option<Count>,
    #[serde(default, borrow, deserialize_with = "present")]
    branch_id: Option<&'a str>,
    /// Only checked, as by the reference.
    #[serde(default, deserialize_with = "present", rename = "needsMoreThoughts")]
    _needs_more_thoughts: Option<Flag>,
}

impl<'a> Step<'a> {
    /// The branch that the thought belongs to.
    pub(super) fn branch(&self) -> Option<&'a str> {
        self.branch_id.filter(|id| !id.is_empty() && self.branch_from_thought.is_some())
    }

    /// What a log says before its number.
    pub(super) fn kind(&self) -> Kind<'_> {
        match (self.is_revision, self.branch_from_thought) {
            (Some(Flag(true)), _) => Kind::Revision { of: self.revises_thought },
            (_, Some(from)) => Kind::Branch { from, id: self.branch_id.unwrap_or_default() },
            _ => Kind::Thought,
        }
    }
}

/// What a thought is to those before it, as a log says it.
pub(super) enum Kind<'a> {
    Thought,
    Revision { of: Option<Count> },
    Branch { from: Count, id: &'a str },
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thought => f.write_str("thought "),
            Self::Revision { of: Some(Count(of)) } => write!(f, "revision of thought {of}, "),
            Self::Revision { of: None } => f.write_str("revision, "),
            Self::Branch { from: Count(from), id } => write!(f, "branch {id:?} from thought {from}, "),
        }
    }
}

/// A value that is there: `null` is none that fits.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// True or false, also as a text in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
        if text.eq_ignore_ascii_case("true") {
            return Ok(Flag(true));
        }
        if text.eq_ignore_ascii_case("false") {
            return Ok(Flag(false));
        }
        let start = text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end]);
        Err(E::custom(format_args!("Expected boolean or \"true\"/\"false\" string, received {start:?}")))
    }
}

/// A whole number from 1 to 2^53 - 1, also as what JavaScript's `Number` takes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor { is_item: false })
    }
}

/// A number, or the only item of a list, which JavaScript takes for a number by way of its text.
struct CountVisitor {
    is_item: bool,
}

/// The only item of a list.
struct Item(Count);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor { is_item: true }).map(Item)
    }
}

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX_SAFE}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Count, E> {
        let count = Some(value).filter(|value| (1..=MAX_SAFE).contains(value));
        count.map(Count).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Count, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Count, E> {
        whole(value).map(Count).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Count, E> {
        // The text of `true` is no number, `true` itself is 1.
        if value && !self.is_item {
            Ok(Count(1))
        } else {
            Err(E::invalid_value(Unexpected::Bool(value), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Count, E> {
        number(text).and_then(whole).map(Count).ok_or_else(|| {
            let start = text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end]);
            E::invalid_value(Unexpected::Str(start), &self)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
        let first = items.next_element::<Item>()?;
        match (first, items.next_element::<serde::de::IgnoredAny>()?) {
            (Some(Item(count)), None) => Ok(count),
            _ => Err(A::Error::invalid_value(Unexpected::Seq, &self)),
        }
    }
}

fn whole(value: f64) -> Option<u64> {
    let is_count = value.fract() == 0.0 && (1.0..=MAX_SAFE as f64).contains(&value);
    is_count.then_some(value as u64)
}

/// What JavaScript's `Number` makes of a text; `None` for what it takes for no number, and for an empty text, as 0 is no
/// count.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(|char: char| char.is_whitespace() && char != '\u{85}' || char == '\u{feff}');
    let radix = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => Some(16),
        [b'0', b'o' | b'O', ..] => Some(8),
        [b'0', b'b' | b'B', ..] => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let digits =
            text.get(2..).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_alphanumeric()))?;
        return u64::from_str_radix(digits, radix).ok().map(|value| value as f64);
    }
    // Rust also reads `inf`, `nan` and their like.
    let is_decimal =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-' | b'e' | b'E'));
    text.parse().ok().filter(|_| is_decimal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn counts_are_what_javascript_takes_for_whole_numbers() {
        for (value, want) in [
            (json!(1), 1),
            (json!(3.0), 3),
            (json!(1e1), 10),
            (json!("2"), 2),
            (json!(" 5 "), 5),
            (json!("\u{feff}5\u{a0}\n"), 5),
            (json!("3.0"), 3),
            (json!("+7."), 7),
            (json!("1e1"), 10),
            (json!("0x10"), 16),
            (json!("0B11"), 3),
            (json!("0o17"), 15),
            (json!("007"), 7),
            (json!(true), 1),
            (json!([5]), 5),
            (json!([["6"]]), 6),
            (json!(MAX_SAFE), MAX_SAFE),
        ] {
            let count: Count =
                serde_json::from_str(&value.to_string()).unwrap_or_else(|e| panic!("{value}: {e}"));
            assert_eq!(count, Count(want), "{value}");
        }
        for value in [
            json!(null),
            json!(""),
            json!(" "),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(false),
            json!("abc"),
            json!("1_0"),
            json!("inf"),
            json!("Infinity"),
            json!("nan"),
            json!("0x"),
            json!("0x-1"),
            json!("-0x1"),
            json!("0x+1"),
            json!("1 2"),
            json!("2n"),
            json!([]),
            json!([1, 2]),
            json!([true]),
            json!([null]),
            json!({}),
            json!(MAX_SAFE + 1),
            json!(1e300),
            json!("\u{85}5"),
        ] {
            assert!(serde_json::from_str::<Count>(&value.to_string()).is_err(), "{value}");
        }
    }

    #[test]
    fn flags_may_be_texts() {
        for (value, want) in
            [(json!(true), true), (json!("TRUE"), true), (json!("false"), false), (json!(false), false)]
        {
            assert_eq!(serde_json::from_str::<Flag>(&value.to_string()).expect("a flag"), Flag(want));
        }
        for value in [json!(null), json!(1), json!("yes"), json!(" true"), json!(""), json!([true])] {
            assert!(serde_json::from_str::<Flag>(&value.to_string()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_branch_needs_where_it_begins_and_a_name() {
        let thought = |more: &Value| {
            let mut all =
                json!({"thought": "", "nextThoughtNeeded": true, "thoughtNumber": 1, "totalThoughts": 1});
            all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let text = all.to_string();
            let thought: Step<'_> = serde_json::from_str(&text).expect("a thought");
            (thought.branch().map(str::to_owned), thought.kind().to_string())
        };
        let none = (None, "thought ".to_owned());
        assert_eq!(thought(&json!({})), none);
        assert_eq!(thought(&json!({"branchId": "a"})), none);
        let named = (Some("a".to_owned()), "branch \"a\" from thought 2, ".to_owned());
        assert_eq!(thought(&json!({"branchId": "a", "branchFromThought": "2"})), named);
        assert_eq!(thought(&json!({"branchId": "", "branchFromThought": 2})).0, None);
        let revision = thought(&json!({"isRevision": "True", "revisesThought": 1, "unknown": 1})).1;
        assert_eq!(revision, "revision of thought 1, ");
    }
}
