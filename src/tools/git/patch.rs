//! A patch as git writes it, turned into the reference's shorter form while it comes: of what stands before the changes
//! of a file only the two names stay.

use memchr::memchr;
use std::ops::ControlFlow;

/// Bytes of a line before the changes of a file. Names have 4,096 bytes at most, and four signs a byte.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Where the parts of an answer go.
type Sink<'s> = &'s mut dyn FnMut(&[u8]) -> ControlFlow<()>;

/// A patch on its way.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    /// The file whose names are not written yet.
    file: Option<FileHead>,
    /// The beginning of a line that has to be read whole.
    line: Vec<u8>,
    /// The rest of the current line belongs to the changes.
    is_in_change: bool,
}

/// What git says about a file before its changes.
#[derive(Debug, Default)]
struct FileHead {
    before: Vec<u8>,
    after: Vec<u8>,
    is_new: bool,
    is_deleted: bool,
}

impl Patch {
    pub(crate) fn push(&mut self, mut piece: &[u8], sink: Sink<'_>) -> ControlFlow<()> {
        while let Some(first) = piece.first() {
            let end = memchr(b'\n', piece).map_or(piece.len(), |end| end + 1);
            let (part, rest) = piece.split_at(end);
            let is_ended = part.ends_with(b"\n");
            // Lines of changes begin with a sign, `@`, `\` or `B` (of a binary file).
            let begins_file = self.line.is_empty() && *first == b'd';
            if self.is_in_change || self.file.is_none() && self.line.is_empty() && !begins_file {
                sink(part)?;
                self.is_in_change = !is_ended;
            } else {
                let room = MAX_LINE_BYTES - self.line.len();
                self.line.extend_from_slice(&part[..part.len().min(room)]);
                if is_ended {
                    let line = std::mem::take(&mut self.line);
                    self.head_line(line.strip_suffix(b"\n").unwrap_or(&line), sink)?;
                }
            }
            piece = rest;
        }
        ControlFlow::Continue(())
    }

    /// Ends the patch: its last file may have no changes.
    pub(crate) fn end(&mut self, sink: Sink<'_>) -> ControlFlow<()> {
        match self.file.take() {
            Some(file) => file.write(sink),
            None => ControlFlow::Continue(()),
        }
    }

    fn head_line(&mut self, line: &[u8], sink: Sink<'_>) -> ControlFlow<()> {
        if let Some(names) = line.strip_prefix(b"diff --git ") {
            self.end(sink)?;
            self.file = Some(FileHead::of(names));
            return ControlFlow::Continue(());
        }
        let Some(file) = &mut self.file else { return ControlFlow::Continue(()) };
        if let Some(name) = line.strip_prefix(b"rename from ") {
            file.before = unquoted(name);
        } else if let Some(name) = line.strip_prefix(b"rename to ") {
            file.after = unquoted(name);
        } else if line.starts_with(b"new file mode ") {
            file.is_new = true;
        } else if line.starts_with(b"deleted file mode ") {
            file.is_deleted = true;
        } else if line.starts_with(b"+++ ") {
            return self.end(sink);
        } else if line.starts_with(b"Binary files ") || line.starts_with(b"GIT binary patch") {
            self.end(sink)?;
            sink(line)?;
            return sink(b"\n");
        }
        ControlFlow::Continue(())
    }
}

impl FileHead {
    /// Reads the two names of a line like `a/NAME b/NAME`, of which a rename says the true ones later.
    fn of(names: &[u8]) -> Self {
        let name = |quoted: &[u8]| unquoted(quoted).get(2..).unwrap_or_default().to_vec();
        let (before, after) = if names.starts_with(b"\"") {
            let end = end_of_quoted(names);
            (&names[..end], names.get(end + 1..).unwrap_or_default())
        } else if let Some(quote) = memchr::memmem::find(names, b" \"") {
            (&names[..quote], &names[quote + 1..])
        } else {
            // Both are the same, so that the middle is where they part.
            let middle = names.len() / 2;
            (&names[..middle], names.get(middle + 1..).unwrap_or_default())
        };
        Self { before: name(before), after: name(after), ..Self::default() }
    }

    fn write(&self, sink: Sink<'_>) -> ControlFlow<()> {
        sink(b"\n--- ")?;
        Self::write_name(&self.before, b"a/", self.is_new, sink)?;
        sink(b"\n+++ ")?;
        Self::write_name(&self.after, b"b/", self.is_deleted, sink)?;
        sink(b"\n")
    }

    fn write_name(name: &[u8], side: &[u8], is_missing: bool, sink: Sink<'_>) -> ControlFlow<()> {
        if is_missing {
            return sink(b"/dev/null");
        }
        sink(side)?;
        sink(name)
    }
}

/// Where a name in quotes ends that `text` begins with.
fn end_of_quoted(text: &[u8]) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A name without the quotes that git puts around one with unusual bytes.
fn unquoted(name: &[u8]) -> Vec<u8> {
    let Some(inside) = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")) else {
        return name.to_vec();
    };
    let mut plain = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            plain.push(*first);
            continue;
        }
        let (byte, used) = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                ((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'), 3)
            }
            [letter, ..] => (escaped(*letter), 1),
            [] => (b'\\', 0),
        };
        plain.push(byte);
        rest = &after[used..];
    }
    plain
}

fn escaped(letter: u8) -> u8 {
    match letter {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &[u8] = b"diff --git a/new b/new
new file mode 100644
index 0000..1111
--- /dev/null
+++ b/new
@@ -0,0 +1 @@
+diff --git a/x b/x
diff --git a/empty file b/empty file
new file mode 100644
index 0000..1111
diff --git a/gone b/gone
deleted file mode 100644
index 0000..1111
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
---- a
\\ No newline at end of file
diff --git \"a/q\\\"\\303\\244\" \"b/q\\\"\\303\\244\"
index 0000..1111 100644
--- \"a/q\\\"\\303\\244\"
+++ \"b/q\\\"\\303\\244\"
@@ -1 +1 @@
-x
+y
diff --git a/old name b/d/new name
similarity index 100%
rename from old name
rename to d/new name
diff --git a/bin b/bin
index 0000..1111 100644
Binary files a/bin and b/bin differ
diff --git a/mode b/mode
old mode 100644
new mode 100755
";

    const SHORT: &str = "
--- /dev/null
+++ b/new
@@ -0,0 +1 @@
+diff --git a/x b/x

--- /dev/null
+++ b/empty file

--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
---- a
\\ No newline at end of file

--- a/q\"\u{e4}
+++ b/q\"\u{e4}
@@ -1 +1 @@
-x
+y

--- a/old name
+++ b/d/new name

--- a/bin
+++ b/bin
Binary files a/bin and b/bin differ

--- a/mode
+++ b/mode
";

    #[test]
    fn pieces_of_any_length_give_the_same() {
        for length in (1..=64).chain([PATCH.len()]) {
            let (mut patch, mut out) = (Patch::default(), Vec::new());
            let mut sink = |part: &[u8]| {
                out.extend_from_slice(part);
                ControlFlow::Continue(())
            };
            for piece in PATCH.chunks(length) {
                assert!(patch.push(piece, &mut sink).is_continue());
            }
            assert!(patch.end(&mut sink).is_continue());
            assert_eq!(String::from_utf8_lossy(&out), SHORT, "pieces of {length}");
        }
    }

    #[test]
    fn names_in_quotes_are_read() {
        for (quoted, plain) in [
            (&b"plain"[..], &b"plain"[..]),
            (br#""a\tb\n\\\"""#, b"a\tb\n\\\""),
            (br#""\377\001""#, b"\xff\x01"),
            (br#""cut\"#, br#""cut\"#),
            (br#""\8""#, b"8"),
        ] {
            assert_eq!(unquoted(quoted), plain, "{}", String::from_utf8_lossy(quoted));
        }
        assert_eq!(end_of_quoted(br#""a\"b" "c""#), 6);
    }
}
