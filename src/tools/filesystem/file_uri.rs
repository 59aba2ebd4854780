//! `file:` URIs of resources (RFC 8089), and the part of the file that the query of one asks for.
//!
//! | URI | contents |
//! | --- | --- |
//! | `file:///dir/name` | the whole file |
//! | `file:///dir/name?offset=11&limit=20` | 20 lines from line 11 on, with their line ends, so that parts add up to the file |
//! | `file:///dir/name?byteOffset=4096&byteLimit=1024` | 1,024 bytes from that place on, as base64 |
//!
//! Either number of a pair may be missing: the part begins with the file, or reaches to its end.

use super::file_contents::Part;
use crate::limits::MAX_PATH_BYTES;
use crate::server::ToolError;
use crate::tools::client_roots::decode_path;

/// The templates of the URIs that have a query.
pub(super) const LINES_TEMPLATE: &str = "file:///{+path}{?offset,limit}";
pub(super) const BYTES_TEMPLATE: &str = "file:///{+path}{?byteOffset,byteLimit}";

/// The longest URI that is looked at: each byte of a path as three characters, and a query.
pub(super) const MAX_URI_BYTES: usize = 3 * MAX_PATH_BYTES + 256;

const NO_QUERY: &str = "a file: URI takes the numbers offset and limit (lines, from 1 on), or byteOffset and byteLimit, and nothing \
                        else behind its question mark";

/// What a URI names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileUri {
    /// Absolute, and not clean: it may have `..` in it.
    pub(super) path: Vec<u8>,
    pub(super) part: Part,
}

impl FileUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] where it can name no file of this machine, [`ToolError::InvalidParams`] where its query says
    /// nothing that is known here.
    pub(super) fn parse(uri: &str) -> Result<Self, ToolError> {
        let path = path_text(uri).ok_or(ToolError::NotFound)?;
        // A fragment names a place in a document, and there are none here.
        if path.contains('#') {
            return Err(ToolError::NotFound);
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = decode_path(path).ok_or(ToolError::NotFound)?;
        // What ends like this is a directory.
        if [&b"/"[..], b"/.", b"/.."].iter().any(|end| path.ends_with(end)) {
            return Err(ToolError::NotFound);
        }
        Ok(Self { path, part: part(query)? })
    }
}

/// Whether a URI has the scheme of files.
pub(super) fn is_file(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("file"))
}

/// The path and the query of a URI of this machine.
fn path_text(uri: &str) -> Option<&str> {
    if uri.len() > MAX_URI_BYTES {
        return None;
    }
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    // The short form has no host.
    let Some(rest) = rest.strip_prefix("//") else { return rest.starts_with('/').then_some(rest) };
    let slash = rest.find('/')?;
    let host = &rest[..slash];
    (host.is_empty() || host.eq_ignore_ascii_case("localhost")).then(|| &rest[slash..])
}

fn part(query: &str) -> Result<Part, ToolError> {
    const NAMES: [&str; 4] = ["offset", "limit", "byteOffset", "byteLimit"];
    let mut given = [None; NAMES.len()];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let refusal = ToolError::InvalidParams(NO_QUERY);
        let Some((name, value)) = pair.split_once('=') else { return Err(refusal) };
        let Some(place) = NAMES.iter().position(|known| *known == name) else { return Err(refusal) };
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse::<u64>().ok().filter(|_| is_number);
        // Only bytes are counted from 0 on.
        let number = number.filter(|number| *number > 0 || name == "byteOffset");
        if number.is_none() || given[place].replace(number).is_some() {
            return Err(refusal);
        }
    }
    match given.map(Option::flatten) {
        [None, None, None, None] => Ok(Part::Whole),
        [first, most, None, None] => {
            Ok(Part::Lines { first: first.unwrap_or(1), most: most.unwrap_or(u64::MAX) })
        }
        [None, None, at, most] => Ok(Part::Bytes { at: at.unwrap_or(0), most: most.unwrap_or(u64::MAX) }),
        _ => Err(ToolError::InvalidParams(NO_QUERY)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::as_node::media::file_url;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uris_name_files_and_parts_of_them() {
        let lines = |first, most| Part::Lines { first, most };
        let bytes = |at, most| Part::Bytes { at, most };
        for (uri, path, part) in [
            ("file:///a", "/a", Part::Whole),
            ("FILE:///a", "/a", Part::Whole),
            ("file:/a", "/a", Part::Whole),
            ("file://localhost/a", "/a", Part::Whole),
            ("file://LOCALHOST/a", "/a", Part::Whole),
            ("file:///a%20b/%C3%A9", "/a b/é", Part::Whole),
            ("file:///a%3Fb%23c%25", "/a?b#c%", Part::Whole),
            ("file:///a+b", "/a+b", Part::Whole),
            ("file:///a?", "/a", Part::Whole),
            ("file:////a", "//a", Part::Whole),
            ("file:///a?offset=2", "/a", lines(2, u64::MAX)),
            ("file:///a?limit=3", "/a", lines(1, 3)),
            ("file:///a?limit=3&offset=2", "/a", lines(2, 3)),
            ("file:///a?byteOffset=0", "/a", bytes(0, u64::MAX)),
            ("file:///a?byteLimit=1&byteOffset=18446744073709551615", "/a", bytes(u64::MAX, 1)),
        ] {
            let want = FileUri { path: path.into(), part };
            assert_eq!(FileUri::parse(uri), Ok(want), "{uri}");
        }
    }

    #[test]
    fn what_names_no_file_of_this_machine_is_not_found() {
        let long = format!("file:///{}", "a".repeat(MAX_URI_BYTES));
        for uri in [
            "",
            "file",
            "file:",
            "file:a",
            "file://",
            "file:///",
            "file:///a/",
            "file:///a/.",
            "file:///a/..",
            "file:///a/%2e%2E",
            "file://other/a",
            "file://127.0.0.1/a",
            "file://user@localhost/a",
            "file://localhost:80/a",
            "file://%6cocalhost/a",
            "file:///a%2Fb",
            "file:///a%2fb",
            "file:///a%00",
            "file:///a\0",
            "file:///a%",
            "file:///a%4",
            "file:///a%+1",
            "file:///a%zz",
            "file:///a#b",
            "file:///a?offset=1#b",
            "http://localhost/a",
            "xfile:///a",
            " file:///a",
            &long,
        ] {
            assert_eq!(FileUri::parse(uri), Err(ToolError::NotFound), "{uri:?}");
        }
    }

    #[test]
    fn a_query_that_is_not_known_is_refused() {
        for query in [
            "x=1",
            "offset",
            "offset=",
            "offset=0",
            "limit=0",
            "byteLimit=0",
            "offset=-1",
            "offset=+1",
            "offset=1.5",
            "offset=1&offset=2",
            "offset=99999999999999999999999",
            "offset=1&byteOffset=1",
            "Offset=1",
        ] {
            let parsed = FileUri::parse(&format!("file:///a?{query}"));
            assert!(matches!(parsed, Err(ToolError::InvalidParams(_))), "{query}: {parsed:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_its_uri(
            names in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..40), 1..6),
        ) {
            let names = names.iter().map(|name| name.iter().filter(|byte| **byte != b'/').copied().collect());
            let names = names.filter(|name: &Vec<u8>| !name.is_empty() && name != b"." && name != b"..");
            let path: Vec<u8> = names.flat_map(|name| [vec![b'/'], name].concat()).collect();
            prop_assume!(!path.is_empty());
            let uri = file_url(&path);
            prop_assert!(uri.is_ascii());
            prop_assert_eq!(FileUri::parse(&uri), Ok(FileUri { path, part: Part::Whole }));
        }
    }
}
