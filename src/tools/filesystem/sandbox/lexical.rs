//! Paths as text: what a request means before any file is looked at.
//!
//! The rules are those of the reference: `~` is the home directory, `.` and `..` are removed as text, a relative path
//! belongs to the first allowed directory that can hold it. Nothing here decides whether a file may be opened;
//! `access.rs` does, with handles.

use smallvec::SmallVec;

/// The bytes of a clean path: absolute, without `.`, `..` or repeated slashes. Paths of usual length stay on the stack.
pub(crate) type PathBytes = SmallVec<[u8; 512]>;

/// Joins `base` and `path` to a clean path. An absolute `path` replaces the base.
pub(crate) fn joined(base: &[u8], path: &[u8]) -> PathBytes {
    let mut clean = PathBytes::new();
    if !path.starts_with(b"/") {
        push_parts(&mut clean, base);
    }
    push_parts(&mut clean, path);
    if clean.is_empty() {
        clean.push(b'/');
    }
    clean
}

fn push_parts(clean: &mut PathBytes, path: &[u8]) {
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let parent = clean.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                clean.truncate(parent);
            }
            name => {
                clean.push(b'/');
                clean.extend_from_slice(name);
            }
        }
    }
}

/// The rest of `path` below `directory`, without a leading slash; `None` when it lies elsewhere. Both are clean paths.
pub(crate) fn below<'p>(path: &'p [u8], directory: &[u8]) -> Option<&'p [u8]> {
    if directory == b"/" {
        return path.strip_prefix(b"/");
    }
    match path.strip_prefix(directory)? {
        b"" => Some(b""),
        rest => rest.strip_prefix(b"/"),
    }
}

/// The directory that holds `path`, and the last name; `None` for the empty path.
pub(crate) fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None => Some((b"", path)),
    }
}

/// The rest of a path that begins with the home directory.
pub(crate) fn below_home(path: &str) -> Option<&str> {
    match path.strip_prefix('~')? {
        rest if rest.is_empty() || rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// Tells whether a path names a Windows drive: on this system it would become a file of that name in some directory.
pub(crate) fn is_windows_drive(path: &str) -> bool {
    match path.as_bytes() {
        [letter, b':'] | [letter, b':', b'/' | b'\\', ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_up_as_text() {
        let rows = [
            ("/r", "", "/r"),
            ("/r", "a", "/r/a"),
            ("/r", "a/", "/r/a"),
            ("/r", "./a//b/.", "/r/a/b"),
            ("/r", "a/../../b", "/b"),
            ("/r", "../../../..", "/"),
            ("/r", "/a/../b", "/b"),
            ("/", "a", "/a"),
            ("/r/", "a b/..c", "/r/a b/..c"),
            ("/r", "a\\..\\b", "/r/a\\..\\b"),
        ];
        for (base, path, want) in rows {
            assert_eq!(&joined(base.as_bytes(), path.as_bytes())[..], want.as_bytes(), "{base} {path}");
        }
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_elsewhere() {
        let rows = [
            ("/r", "/r", Some("")),
            ("/r/a/b", "/r", Some("a/b")),
            ("/rfoo", "/r", None),
            ("/", "/r", None),
            ("/a", "/", Some("a")),
            ("/", "/", Some("")),
        ];
        for (path, directory, want) in rows {
            assert_eq!(
                below(path.as_bytes(), directory.as_bytes()),
                want.map(str::as_bytes),
                "{path} {directory}"
            );
        }
    }

    #[test]
    fn only_drives_are_drives() {
        for (path, want) in
            [("C:", true), ("c:/x", true), ("Z:\\x", true), ("C:x", false), ("1:/", false), ("", false)]
        {
            assert_eq!(is_windows_drive(path), want, "{path}");
        }
        for (path, want) in [("~", Some("")), ("~/x", Some("/x")), ("~user", None), ("x~", None)] {
            assert_eq!(below_home(path), want, "{path}");
        }
    }
}
