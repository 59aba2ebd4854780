//! What can be wrong with the text of a client's file, with line and column where there is one.

use std::ops::Range;

/// Why a text cannot be read or changed. The file is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum Fault {
    /// The bytes are no text.
    #[error("it is not UTF-8 text")]
    Encoding,
    /// The text is no JSON or TOML.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// The text is JSON of another kind.
    #[error("it is JSON, but no object {{...}}")]
    NoObject,
    /// The key of the servers has another kind of value.
    #[error("{key} is there, but is no table of servers")]
    NoTable {
        /// The key.
        key: String,
    },
    /// A key is there more than once: clients disagree which one counts.
    #[error("{key:?} is there twice: remove one of them")]
    Twice {
        /// The key.
        key: String,
    },
    /// An entry says in no known way how its server is reached.
    #[error("the server {name:?}: {what}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Some lines of TOML end with CR LF and others with LF, so that a change would touch foreign lines.
    #[error(
        "its lines end in two ways (CR LF and LF): make them all the same, or put in by hand what --print shows"
    )]
    LineEnds,
    /// The changed text would differ in more than the one entry.
    #[error("the change would touch more than the one entry: put in by hand what --print shows")]
    Foreign,
}

impl Fault {
    /// A fault of the syntax at the beginning of a range of bytes.
    pub(super) fn at(text: &str, range: Option<Range<usize>>, what: &str) -> Self {
        let start = range.map_or(0, |range| range.start.min(text.len()));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::Syntax {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: what.lines().next().unwrap_or("it cannot be read").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_its_line_and_its_character() {
        let told = |start: usize| Fault::at("a\nbä=x", Some(start..start), "bad\nmore").to_string();
        assert_eq!(told(0), "line 1, column 1: bad");
        assert_eq!(told(5), "line 2, column 3: bad");
        assert_eq!(told(99), "line 2, column 5: bad");
    }
}
