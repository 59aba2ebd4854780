//! A value that was checked but not decoded.

use super::de::{Deserializer as Source, RAW_TOKEN};
use super::error::DecodeError;
use super::lexer::{Kind, Lexer};
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

/// The JSON text of a value, borrowed from its frame; well-formed.
///
/// As a field of a decoded struct it takes any value without decoding it.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::{Kind, Raw};
///
/// let raw = Raw::check("[1, 2]")?;
/// assert_eq!((raw.kind(), raw.as_str()), (Kind::Array, "[1, 2]"));
/// assert_eq!(raw.decode::<Vec<u8>>(&Bump::new())?, [1, 2]);
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'f> {
    text: &'f str,
}

impl<'f> Raw<'f> {
    fn new(text: &'f str) -> Self {
        Self { text }
    }

    /// Checks that a text is one JSON value.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(text: &'f str) -> Result<Self, DecodeError> {
        let mut lexer = Lexer::from_text(text);
        let raw = lexer.raw()?;
        lexer.finish()?;
        Ok(raw)
    }

    /// Text that this crate read or wrote as one value before.
    pub(crate) const fn trusted(text: &'f str) -> Self {
        Self { text }
    }

    /// The value's text.
    pub fn as_str(self) -> &'f str {
        self.text
    }

    /// The value's kind.
    pub fn kind(self) -> Kind {
        // The text was checked, so its first byte tells.
        Lexer::from_text(self.text).kind().unwrap_or(Kind::Null)
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// When it does not fit `T`.
    pub fn decode<T: Deserialize<'f>>(self, arena: &'f Bump) -> Result<T, DecodeError> {
        Lexer::from_text(self.text).decode(arena)
    }

    /// Where in the value a decode into `T` fails: `edits[2].newText`; `None` where the value as a whole is at
    /// fault, or nothing is. Decodes a second time, keeping track: for errors only.
    #[cold]
    pub fn fault_path<T: Deserialize<'f>>(self, arena: &'f Bump) -> Option<String> {
        let mut lexer = Lexer::from_text(self.text);
        let failed = serde_path_to_error::deserialize::<_, T>(Source::new(&mut lexer, arena)).err()?;
        let path = failed.path().to_string();
        (path != ".").then_some(path)
    }
}

impl<'f> Lexer<'f> {
    /// Skips a value, checking it, and gives its text.
    ///
    /// # Errors
    /// When the value is malformed or nested too deeply.
    pub fn raw(&mut self) -> Result<Raw<'f>, DecodeError> {
        self.value_text().map(Raw::new)
    }

    /// The text from `start` to the current position; `start` must be the offset of a value that was just
    /// walked through.
    pub fn raw_since(&self, start: usize) -> Raw<'f> {
        Raw::new(self.text_since(start))
    }
}

impl<'f> From<&'f RawValue> for Raw<'f> {
    fn from(value: &'f RawValue) -> Self {
        Self { text: value.get() }
    }
}

impl<'de: 'f, 'f> Deserialize<'de> for Raw<'f> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<'f>(PhantomData<&'f ()>);
        impl<'de: 'f, 'f> Visitor<'de> for Text<'f> {
            type Value = Raw<'f>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value, decoded by mcpool")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Raw<'f>, E> {
                Ok(Raw { text })
            }
        }
        deserializer.deserialize_newtype_struct(RAW_TOKEN, Text(PhantomData))
    }
}

/// A list that is decoded while it is walked through, so that it needs no memory of its own.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::{Elements, Lexer};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Edit<'f> {
///     from: &'f str,
///     to: &'f str,
/// }
///
/// #[derive(Deserialize)]
/// struct Arguments<'f> {
///     #[serde(borrow)]
///     edits: Elements<'f, Edit<'f>>,
/// }
///
/// let arena = Bump::new();
/// let text = r#"{"edits": [{"from": "a", "to": "b\n"}]}"#;
/// let arguments: Arguments<'_> = Lexer::from_text(text).decode(&arena)?;
/// for edit in arguments.edits.iter(&arena) {
///     assert_eq!(edit?.to, "b\n");
/// }
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Elements<'f, T> {
    array: Raw<'f>,
    element: PhantomData<fn() -> T>,
}

impl<'f, T: Deserialize<'f>> Elements<'f, T> {
    /// Decodes the elements one after the other. An element that does not fit is the last one: after a
    /// fault the lexer may stand within it.
    pub fn iter(&self, arena: &'f Bump) -> impl Iterator<Item = Result<T, DecodeError>> {
        let mut lexer = Lexer::from_text(self.array.text);
        let mut goes_on = lexer.enter_array().is_ok();
        std::iter::from_fn(move || {
            // The text was checked: there is an element, or the end.
            goes_on = goes_on && lexer.next_element() == Ok(true);
            let element = goes_on.then(|| lexer.decode(arena))?;
            goes_on = element.is_ok();
            Some(element)
        })
    }

    /// Decodes all elements into the arena, for tools that need them at hand more than once.
    ///
    /// They are not dropped, since the arena drops nothing; so they are `Copy`, as borrowed parts of a frame
    /// are.
    ///
    /// # Errors
    /// When an element does not fit `T`.
    pub fn collect(&self, arena: &'f Bump) -> Result<&'f [T], DecodeError>
    where
        T: Copy,
    {
        let mut elements = BumpVec::new_in(arena);
        for element in self.iter(arena) {
            elements.push(element?);
        }
        Ok(elements.into_bump_slice())
    }
}

impl<'de: 'f, 'f, T> Deserialize<'de> for Elements<'f, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let array = Raw::deserialize(deserializer)?;
        if array.kind() != Kind::Array {
            return Err(D::Error::custom("expected an array"));
        }
        Ok(Self { array, element: PhantomData })
    }
}

/// A list that is folded into `C` while the arguments are decoded: one pass, and no memory for the list.
///
/// `C` is told how to take elements in by `Extend`. An element that does not fit `T` fails the decode, as it does for a
/// `Vec`; [`Elements`] finds it later, and walks over the list twice.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::wire::{Folded, Lexer};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Entry<'f> {
///     name: &'f str,
///     size: u64,
/// }
///
/// #[derive(Default)]
/// struct Total {
///     bytes: u64,
///     longest: usize,
/// }
///
/// impl<'f> Extend<Entry<'f>> for Total {
///     fn extend<I: IntoIterator<Item = Entry<'f>>>(&mut self, entries: I) {
///         for entry in entries {
///             self.bytes += entry.size;
///             self.longest = self.longest.max(entry.name.len());
///         }
///     }
/// }
///
/// #[derive(Deserialize)]
/// struct Arguments<'f> {
///     #[serde(borrow)]
///     entries: Folded<Entry<'f>, Total>,
/// }
///
/// let arena = Bump::new();
/// let text = r#"{"entries": [{"name": "a", "size": 3}, {"name": "bc", "size": 4}]}"#;
/// let arguments: Arguments<'_> = Lexer::from_text(text).decode(&arena)?;
/// let Total { bytes, longest } = arguments.entries.into_inner();
/// assert_eq!((bytes, longest), (7, 2));
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Folded<T, C> {
    collection: C,
    element: PhantomData<fn() -> T>,
}

impl<T, C> Folded<T, C> {
    /// What the elements were folded into.
    pub fn into_inner(self) -> C {
        self.collection
    }

    /// What the elements were folded into.
    pub fn get(&self) -> &C {
        &self.collection
    }
}

impl<'de, T: Deserialize<'de>, C: Default + Extend<T>> Deserialize<'de> for Folded<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fold<T, C>(Folded<T, C>);
        impl<'de, T: Deserialize<'de>, C: Default + Extend<T>> Visitor<'de> for Fold<T, C> {
            type Value = Folded<T, C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            #[inline]
            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Folded<T, C>, A::Error> {
                let mut fault = None;
                self.0.collection.extend(std::iter::from_fn(|| {
                    // After a fault the lexer may stand within the element.
                    let element = if fault.is_none() { list.next_element() } else { Ok(None) };
                    element.unwrap_or_else(|error| {
                        fault = Some(error);
                        None
                    })
                }));
                if let Some(fault) = fault {
                    return Err(fault);
                }
                // The collection may have stopped before the end.
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(self.0)
            }
        }
        deserializer.deserialize_seq(Fold(Folded { collection: C::default(), element: PhantomData }))
    }
}

#[cfg(test)]
mod tests {
    use super::{Elements, Folded};
    use crate::wire::Lexer;
    use bumpalo::Bump;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Edit {
        #[serde(rename = "from")]
        _from: u8,
    }

    /// What followed a fault was taken from within the faulty element, and from after the end.
    #[test]
    fn a_faulty_element_is_the_last() {
        let arena = Bump::new();
        for text in [
            r#"[{"from":1},{"from":"x","to":[{"from":3}]},{"from":4}]"#,
            r#"[{"from":1},[["x"],2],{"from":4}]"#,
            r#"[{"from":1},[256],{"from":4}]"#,
        ] {
            let list = Lexer::from_text(text).decode::<Elements<'_, Edit>>(&arena).unwrap();
            let mut elements = list.iter(&arena);
            assert!(elements.next().unwrap().is_ok());
            assert!(elements.next().unwrap().is_err());
            assert!((0..5).all(|_| elements.next().is_none()), "{text}");
        }
        let list = Lexer::from_text("[[1],[2]]").decode::<Elements<'_, Vec<u8>>>(&arena).unwrap();
        let mut elements = list.iter(&arena);
        assert_eq!(elements.by_ref().collect::<Result<Vec<_>, _>>(), Ok(vec![vec![1], vec![2]]));
        assert!(elements.next().is_none());
    }

    /// Takes elements in until one is 9, and asks on after the end, as an `Extend` may.
    #[derive(Debug, Default, PartialEq)]
    struct UpToNine(Vec<u8>);

    impl Extend<u8> for UpToNine {
        fn extend<I: IntoIterator<Item = u8>>(&mut self, elements: I) {
            let mut elements = elements.into_iter();
            self.0.extend(elements.by_ref().take_while(|element| *element != 9));
            if !self.0.is_empty() && self.0.len().is_multiple_of(2) {
                assert_eq!(elements.next(), None);
            }
        }
    }

    #[test]
    fn a_fold_takes_in_what_a_list_has() {
        let fold = |text| -> Result<Vec<u8>, String> {
            let arena = Bump::new();
            let mut lexer = Lexer::from_text(text);
            let folded = lexer.decode::<Folded<u8, UpToNine>>(&arena).map_err(|error| error.to_string())?;
            lexer.finish().map_err(|error| error.to_string())?;
            Ok(folded.into_inner().0)
        };
        assert_eq!(fold("[]"), Ok(vec![]));
        assert_eq!(fold("[1, 2]"), Ok(vec![1, 2]));
        assert_eq!(fold(r#"[1, 9, {"not": "looked at"}, 3]"#), Ok(vec![1]));
        for (text, fault) in [
            ("[1,2,256,[3]]", "256"),
            ("[1,2,[3],4]", "invalid type: array"),
            ("[1,9,tru]", "true, false or null"),
            ("[1,2", "a comma or the end of the array"),
            ("[1,9,2}", "a comma or the end of the array"),
            ("{}", "an array"),
        ] {
            let error = fold(text).expect_err(text);
            assert!(error.contains(fault), "{text}: {error}");
        }
    }
}
