//! A list of strings that is checked when it is decoded, and unescaped while it is walked over.
//!
//! A `Vec` of strings takes up to sixteen times the bytes of a list of short ones, and a string with escapes as much
//! again in the arena. **Invariant:** the list was checked, so that walking over it finds no fault.

use super::de::STRINGS_TOKEN;
use super::escaped::EscapedText;
use super::lexer::{Kind, Lexer};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A list of strings that takes no memory, however many there are. Each is borrowed where it is plain, and unescaped
/// when it is asked for where it is not. As a field of a decoded struct it takes what `Vec<&str>` takes.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::{Lexer, Strings};
///
/// let arena = Bump::new();
/// let paths: Strings<'_> = Lexer::from_text(r#"["a.txt", "b\t.txt"]"#).decode(&arena)?;
/// assert_eq!(paths.iter().collect::<Vec<_>>(), ["a.txt", "b\t.txt"]);
/// assert_eq!(arena.allocated_bytes(), 0);
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Strings<'f> {
    /// The list as it is written, or nothing: then it is empty.
    array: &'f str,
}

impl<'f> Strings<'f> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The strings, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'f, str>> + use<'f> {
        let mut lexer = Lexer::from_text(self.array);
        let mut goes_on = lexer.enter_array().is_ok();
        std::iter::from_fn(move || {
            goes_on = goes_on && lexer.next_element() == Ok(true);
            if !goes_on || lexer.kind() != Ok(Kind::String) {
                return None;
            }
            let written = lexer.seen_written_string().ok()?;
            Some(EscapedText::from_written(written).to_text())
        })
    }
}

impl<'de: 'f, 'f> Deserialize<'de> for Strings<'f> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<'f>(PhantomData<&'f ()>);
        impl<'de: 'f, 'f> Visitor<'de> for List<'f> {
            type Value = Strings<'f>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings, decoded by mcpool")
            }

            /// Behind its elements stands the list as a whole.
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strings<'f>, A::Error> {
                while list.next_element::<EscapedText<'de>>()?.is_some() {}
                let array = list.next_element::<&'de str>()?;
                array.map(|array| Strings { array }).ok_or_else(|| A::Error::custom("the list has no text"))
            }
        }
        deserializer.deserialize_newtype_struct(STRINGS_TOKEN, List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Raw;
    use bumpalo::Bump;

    #[derive(Debug, Deserialize)]
    struct Arguments<'f> {
        #[serde(default, borrow)]
        names: Strings<'f>,
        after: u8,
    }

    /// What a `Vec` refuses is refused here, at the same element and in the same words.
    #[test]
    fn a_list_of_strings_is_what_a_vec_of_them_is() {
        for list in [
            "[]",
            r#" [ "a" , "" ] "#,
            r#"["a\n\u00e9","\ud83d\ude00","plain"]"#,
            r#"["a",1]"#,
            r#"["a",["b"]]"#,
            r#"["a","\x"]"#,
            r#"["a","\ud83d"]"#,
            r#"["a""b"]"#,
            r#"["a",]"#,
            r#"["a""#,
        ] {
            let arena = Bump::new();
            let want = Lexer::from_text(list).decode::<Vec<&str>>(&arena).map_err(|error| error.to_string());
            let taken = arena.allocated_bytes();
            let got = Lexer::from_text(list).decode::<Strings<'_>>(&arena);
            assert_eq!(arena.allocated_bytes(), taken, "{list}");
            let got = got.map_err(|error| error.to_string());
            match (got, want) {
                (Ok(got), Ok(want)) => {
                    assert_eq!(got.iter().collect::<Vec<_>>(), want, "{list}");
                    assert_eq!(got.is_empty(), want.is_empty(), "{list}");
                }
                (Err(got), Err(want)) => assert_eq!(got, want, "{list}"),
                (got, want) => panic!("{list}: {got:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn a_field_is_walked_over_in_place_and_faults_have_their_path() {
        let arena = Bump::new();
        let text = r#"{"names":["a","b\t"],"after":3}"#;
        let arguments: Arguments<'_> = Lexer::from_text(text).decode(&arena).expect("fits");
        assert_eq!((arguments.names.iter().count(), arguments.after), (2, 3));
        let arguments: Arguments<'_> = Lexer::from_text(r#"{"after":3}"#).decode(&arena).expect("fits");
        assert!(arguments.names.is_empty());
        let faulty = Raw::check(r#"{"names":["a",{}],"after":3}"#).expect("JSON");
        assert_eq!(faulty.fault_path::<Arguments<'_>>(&arena).as_deref(), Some("names[1]"));
        for wrong in
            [r#"{"names":"a","after":3}"#, r#"{"names":{},"after":3}"#, r#"{"names":null,"after":3}"#]
        {
            Lexer::from_text(wrong).decode::<Arguments<'_>>(&arena).expect_err(wrong);
        }
    }
}
