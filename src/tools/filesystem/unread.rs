//! What `search_content` did not search, as its answer says it: how many, and the first of them by name.

use super::error::shown;
use super::numbers::unseen;

/// The longest name that is said: notes have little space.
const MAX_NAME_BYTES: usize = 120;

/// Files or directories that were left out for one reason.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    count: u64,
    /// The first whose name is short enough.
    first: Option<String>,
}

impl Skipped {
    pub(super) fn add(&mut self, path: &[u8]) {
        self.count += 1;
        let is_plain = path.len() <= MAX_NAME_BYTES && !path.iter().any(u8::is_ascii_control);
        if self.first.is_none() && is_plain {
            self.first = Some(shown(path));
        }
    }

    /// Nothing where nothing was left out.
    fn note(&self, one: &str, many: &str, until: &str) -> Option<String> {
        let what = if self.count == 1 { one } else { many };
        let named = match (&self.first, self.count) {
            (_, 0) => return None,
            (None, _) => String::new(),
            (Some(first), 1) => format!(" ({first})"),
            (Some(first), _) => format!(" ({first} and others)"),
        };
        Some(format!("{} {what}{named}{until}", self.count))
    }
}

/// What was not searched.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) binary_files: Skipped,
    /// Files that have text first, and a zero byte later.
    pub(super) late_zeros: Skipped,
    pub(super) files: Skipped,
    pub(super) directories: Skipped,
    pub(super) long_lines: Skipped,
    pub(super) ignore_files: usize,
    /// Entries for whose names there was no room.
    pub(super) entries: u64,
}

impl Unread {
    /// At most some 1,000 bytes.
    pub(super) fn notes(&self) -> String {
        let notes = [
            self.binary_files.note("binary file", "binary files", ""),
            self.late_zeros.note("file", "files", " from the first zero byte on"),
            self.files.note("file that cannot be read", "files that cannot be read", ""),
            self.directories.note("directory that cannot be listed", "directories that cannot be listed", ""),
            self.long_lines.note("file", "files", " from the first line of more than 262144 bytes on"),
        ];
        let entries = (self.entries > 0).then(|| {
            format!("{} more names than are held for an answer (max_reply_bytes)", unseen(self.entries))
        });
        let notes: Vec<String> = notes.into_iter().chain([entries]).flatten().collect();
        let mut said = Vec::new();
        if !notes.is_empty() {
            said.push(format!("[Not searched: {}]", notes.join(", ")));
        }
        if self.ignore_files > 0 {
            said.push(format!("[Not respected: {} ignore files that are too long]", self.ignore_files));
        }
        said.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_count_and_name_what_was_left_out() {
        let mut unread = Unread::default();
        assert_eq!(unread.notes(), "");
        unread.binary_files.add(&[b'x'; MAX_NAME_BYTES + 1]);
        assert_eq!(unread.notes(), "[Not searched: 1 binary file]");
        unread.binary_files.add(b"/d/a");
        unread.binary_files.add(b"/d/b");
        unread.long_lines.add(b"/d/one");
        assert_eq!(
            unread.notes(),
            "[Not searched: 3 binary files (/d/a and others), \
             1 file (/d/one) from the first line of more than 262144 bytes on]"
        );
        unread.ignore_files = 2;
        unread.entries = 7;
        assert!(
            unread.notes().contains(" of more than 262144 bytes on, 7 entries and what is below them, as ")
        );
        assert!(unread.notes().ends_with("\n[Not respected: 2 ignore files that are too long]"));
    }
}
