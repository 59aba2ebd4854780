//! Who is given each request when it has ended, and the names that clients give themselves.
//!
//! Invariants: names have a bound in number and length, however many clients there are; a client is a number of eight
//! bits, so that sessions and requests hold no text; once a name is known, nothing is allocated.

use crate::traffic::EndedRequest;
use std::fmt;
use std::sync::OnceLock;

/// Names that are kept; what a process serves are a handful of programs.
const MAX_NAMES: usize = 64;
/// The longest name; the rest is cut off.
const MAX_NAME_BYTES: usize = 64;

/// What is given the requests.
type Sink = Box<dyn Fn(&EndedRequest<'_>) + Send + Sync>;

/// The number of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClientNumber(u8);

impl ClientNumber {
    /// A client without a name, or with one too many.
    pub(crate) const UNNAMED: Self = Self(1);
    const FIRST_NAME: u8 = 2;

    pub(crate) const fn of_u8(number: u8) -> Self {
        Self(number)
    }

    pub(crate) const fn to_u8(self) -> u8 {
        self.0
    }

    /// Whether it stands for no client.
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// It, or else [`Self::UNNAMED`].
    pub(crate) fn or_unnamed(self) -> Self {
        if self.is_none() { Self::UNNAMED } else { self }
    }
}

/// Who is given the requests that end.
pub(crate) struct RequestObserver {
    sink: Sink,
    names: [OnceLock<Box<str>>; MAX_NAMES],
}

impl RequestObserver {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, names: [const { OnceLock::new() }; MAX_NAMES] }
    }

    /// The number of the client that calls itself so.
    pub(crate) fn number_of(&self, name: &str) -> ClientNumber {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        if name.is_empty() {
            return ClientNumber::UNNAMED;
        }
        for (entry, number) in self.names.iter().zip(ClientNumber::FIRST_NAME..) {
            if &**entry.get_or_init(|| name.into()) == name {
                return ClientNumber(number);
            }
        }
        ClientNumber::UNNAMED
    }

    /// The name of a client; `None` if it has none.
    pub(crate) fn name_of(&self, client: ClientNumber) -> Option<&str> {
        let index = client.0.checked_sub(ClientNumber::FIRST_NAME)?;
        self.names.get(usize::from(index))?.get().map(|name| &**name)
    }

    pub(crate) fn note(&self, request: &EndedRequest<'_>) {
        (self.sink)(request);
    }

    /// Heap bytes of the names.
    pub(crate) fn bytes(&self) -> usize {
        self.names.iter().filter_map(|name| Some(name.get()?.len())).sum()
    }
}

impl fmt::Debug for RequestObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestObserver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_and_bounded() {
        let observer = RequestObserver::new(Box::new(|_| {}));
        let first = observer.number_of("one");
        assert_eq!((observer.name_of(first), observer.number_of("one")), (Some("one"), first));
        let long = "\u{e9}".repeat(1_000);
        let cut = observer.number_of(&long);
        assert_eq!(observer.name_of(cut).map(str::len), Some(MAX_NAME_BYTES));
        assert_eq!(observer.number_of(""), ClientNumber::UNNAMED);
        for n in 0..1_000 {
            observer.number_of(&n.to_string());
        }
        assert_eq!(observer.number_of("one too many"), ClientNumber::UNNAMED);
        assert_eq!((observer.name_of(ClientNumber::UNNAMED), observer.name_of(first)), (None, Some("one")));
        assert!(observer.bytes() <= MAX_NAMES * MAX_NAME_BYTES, "{}", observer.bytes());
    }
}
