//! The directories that a client offers (its roots): what they change, and their URIs as paths.

use crate::limits::MAX_PATH_BYTES;
use crate::server::SessionValues;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// How the directories that a client offers (its roots) change which directories its calls may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRoots {
    /// They replace the server's own, as in the reference server. This is right for a client that started this process,
    /// as it could have started it with any directory.
    Replace,
    /// Those that lie inside the server's own replace them.
    Narrow,
    /// They change nothing.
    Ignore,
}

impl ClientRoots {
    /// What holds for a session where the operator said nothing.
    pub(crate) fn by_default(session: &SessionValues) -> Self {
        if session.owns_process() { Self::Replace } else { Self::Narrow }
    }
}

/// The paths of a list of roots. As in the reference, the whole list counts for nothing when one is no `file:` URI. A
/// root that names no path of this machine is left out, and so is one that is too long for a path.
pub(crate) fn paths(uris: &[&str]) -> Option<Vec<PathBuf>> {
    let rests: Option<Vec<&str>> = uris.iter().map(|uri| uri.strip_prefix("file://")).collect();
    Some(rests?.into_iter().filter_map(path).collect())
}

/// The path in what follows `file://`.
fn path(rest: &str) -> Option<PathBuf> {
    // Each byte may be written as three characters.
    if rest.len() > 3 * MAX_PATH_BYTES {
        return None;
    }
    let slash = rest.find('/')?;
    if !matches!(&rest[..slash], "" | "localhost") {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    decode_path(rest.get(slash..end)?).map(|path| PathBuf::from(OsString::from_vec(path)))
}

/// The bytes of a path as URIs write it. `None` where it is no path: a name holds neither a slash nor a zero byte.
pub(crate) fn decode_path(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let byte = (digit()? * 16 + digit()?) as u8;
        if byte == b'/' {
            return None;
        }
        decoded.push(byte);
    }
    (!decoded.contains(&0)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_become_paths() {
        let rows: [(&[&str], Option<&[&str]>); 6] = [
            (&["file:///a/b%20c/%C3%A9"], Some(&["/a/b c/é"])),
            (&["file://localhost/a"], Some(&["/a"])),
            (&["file://other/a", "file:///b"], Some(&["/b"])),
            (&["file:///a%2Fb", "file:///%zz", "file:///%4"], Some(&[])),
            (&["file:///a", "https://x/"], None),
            (&[], Some(&[])),
        ];
        for (uris, want) in rows {
            let want = want.map(|paths| paths.iter().map(PathBuf::from).collect::<Vec<_>>());
            assert_eq!(paths(uris), want, "{uris:?}");
        }
    }
}
