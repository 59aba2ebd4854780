//! Where in a configuration file a key or a value stands, for messages about it.

use std::fmt;
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// A place in a file, counted from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct FilePosition {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// Which part of an entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

/// Line and column of an entry of the file, from a table or from above all tables.
pub(super) fn find(text: &str, table: Option<&str>, key: &str, part: Part) -> Option<(usize, usize)> {
    let root = DeTable::parse(text).ok()?.into_inner();
    let at = match table {
        None => offset(&root, key, part)?,
        Some(table) => {
            let (_, value) = root.iter().find(|(name, _)| **name.get_ref() == *table)?;
            let DeValue::Table(entries) = value.get_ref() else { return None };
            offset(entries, key, part)?
        }
    };
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

fn offset(entries: &DeTable<'_>, key: &str, part: Part) -> Option<usize> {
    let (name, value) = entries.iter().find(|(name, _)| **name.get_ref() == *key)?;
    Some(match part {
        Part::Key => name.span().start,
        Part::Value => value.span().start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_wherever_they_stand() {
        let text = "# first\nmax_batch = 1\n\n[git]\n  repository   = \"a\" # b\n\"\u{e9}\" = 2\n";
        for (table, key, part, want) in [
            (None, "max_batch", Part::Key, Some((2, 1))),
            (None, "max_batch", Part::Value, Some((2, 13))),
            (Some("git"), "repository", Part::Key, Some((5, 3))),
            (Some("git"), "repository", Part::Value, Some((5, 18))),
            (None, "repository", Part::Key, None),
            (Some("time"), "repository", Part::Key, None),
            (Some("max_batch"), "repository", Part::Key, None),
        ] {
            assert_eq!(find(text, table, key, part), want, "{table:?} {key}");
        }
        assert_eq!(find("a = ", None, "a", Part::Key), None, "what cannot be read has no places");
    }
}
