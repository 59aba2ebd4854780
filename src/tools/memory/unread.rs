//! Lines of the file that cannot be read, as another program wrote them.
//!
//! Answers leave them out and say so. Nothing is changed while they are there, so that none of them is lost.

use std::path::Path;

/// Which line cannot be read, counted from 1 on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineFault {
    pub(crate) line: usize,
    pub(crate) fault: String,
}

/// The first line that cannot be read, and how many there are: a file may have millions of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    first: Option<LineFault>,
    lines: usize,
}

impl Unread {
    pub(crate) fn add(&mut self, line: usize, fault: String) {
        self.lines += 1;
        if self.first.as_ref().is_none_or(|first| line < first.line) {
            self.first = Some(LineFault { line, fault });
        }
    }

    pub(crate) fn first(&self) -> Option<&LineFault> {
        self.first.as_ref()
    }

    pub(crate) fn into_first(self) -> Option<LineFault> {
        self.first
    }

    /// What answers say of them; `None` where all lines were read.
    pub(crate) fn note(&self, path: &Path) -> Option<String> {
        let LineFault { line, fault } = self.first()?;
        let (more, them) = match self.lines - 1 {
            0 => (String::new(), "it"),
            1 => (", as is 1 more line that cannot be read".to_owned(), "them"),
            more => (format!(", as are {more} more lines that cannot be read"), "them"),
        };
        Some(format!(
            "[Line {line} of the knowledge graph {} {fault}, so it is left out here{more}, and nothing can be changed: \
             correct or remove {them}]",
            path.display()
        ))
    }
}

/// The text of a file. Lines that are no UTF-8 are blank in it, so that those behind them keep their numbers.
pub(crate) fn text(mut bytes: Vec<u8>, unread: &mut Unread) -> String {
    let (mut from, mut lines) = (0, 0);
    while let Err(error) = std::str::from_utf8(&bytes[from..]) {
        let at = from + error.valid_up_to();
        let start = memchr::memrchr(b'\n', &bytes[from..at]).map_or(from, |newline| from + newline + 1);
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline);
        lines += memchr::memchr_iter(b'\n', &bytes[from..start]).count();
        unread.add(lines + 1, "is not UTF-8".to_owned());
        bytes[start..end].fill(b' ');
        from = end;
    }
    // invariant: what was no UTF-8 is blank.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Lines that are UTF-8 stay where they are, and the others are counted.
        #[test]
        fn only_lines_that_are_no_utf8_are_blank(
            lines in prop::collection::vec(
                prop_oneof![
                    "[a\u{e9}\u{20ac}]{0,3}".prop_map(String::into_bytes),
                    prop::collection::vec(prop_oneof![Just(b'a'), Just(0xff), Just(0xe2), Just(0x82), Just(0xac)], 0..5),
                ],
                0..9,
            ),
        ) {
            let mut unread = Unread::default();
            let read = text(lines.join(&b'\n'), &mut unread);
            let mut want = Unread::default();
            let blank = |(line, bytes): (usize, &Vec<u8>)| {
                String::from_utf8(bytes.clone()).unwrap_or_else(|_| {
                    want.add(line + 1, "is not UTF-8".to_owned());
                    " ".repeat(bytes.len())
                })
            };
            let blank: Vec<String> = lines.iter().enumerate().map(blank).collect();
            prop_assert_eq!(read, blank.join("\n"));
            prop_assert_eq!(unread, want);
        }
    }

    #[test]
    fn the_first_of_them_is_named() {
        let mut unread = Unread::default();
        let path = Path::new("/g");
        assert_eq!(unread.note(path), None);
        unread.add(7, "is not JSON".to_owned());
        let note = "[Line 7 of the knowledge graph /g is not JSON, so it is left out here, and nothing can be changed: \
                    correct or remove it]";
        assert_eq!(unread.note(path).as_deref(), Some(note));
        unread.add(3, "is not UTF-8".to_owned());
        let note = "[Line 3 of the knowledge graph /g is not UTF-8, so it is left out here, as is 1 more line that cannot \
                    be read, and nothing can be changed: correct or remove them]";
        assert_eq!(unread.note(path).as_deref(), Some(note));
        unread.add(9, "is not JSON".to_owned());
        assert!(
            unread
                .note(path)
                .is_some_and(|note| note.contains(", as are 2 more lines that cannot be read, "))
        );
    }
}
