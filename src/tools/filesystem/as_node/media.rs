//! The MIME type for the name of a file, and the URL of a file, as the reference gives them.

use std::fmt::Write as _;

/// The MIME type of what has no other one.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// The MIME type for the extension of a name, in upper or lower case.
pub(crate) fn mime_type(path: &[u8]) -> &'static str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let extension = match name.iter().rposition(|byte| *byte == b'.') {
        // A name that only begins with a dot has no extension.
        Some(dot) if dot > 0 => name[dot + 1..].to_ascii_lowercase(),
        _ => Vec::new(),
    };
    match &extension[..] {
        b"png" => "image/png",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"webp" => "image/webp",
        b"bmp" => "image/bmp",
        b"svg" => "image/svg+xml",
        b"mp3" => "audio/mpeg",
        b"wav" => "audio/wav",
        b"ogg" => "audio/ogg",
        b"flac" => "audio/flac",
        _ => UNKNOWN,
    }
}

/// The `file:` URL of an absolute path.
pub(crate) fn file_url(path: &[u8]) -> String {
    format!("file://{}", encoded(path))
}

/// A path as URLs have it. The characters that Node.js leaves as they are stay as they are.
pub(crate) fn encoded(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"!$&'()*+,-./:;=@_".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        for (path, want) in [
            ("/a/x.PNG", "image/png"),
            ("/a/.png", "application/octet-stream"),
            ("/a/..png", "image/png"),
            ("/a.png/x", "application/octet-stream"),
            ("/a/x.Jpeg", "image/jpeg"),
            ("/a/x.mp3", "audio/mpeg"),
            ("/a/x.", "application/octet-stream"),
        ] {
            assert_eq!(mime_type(path.as_bytes()), want, "{path}");
        }
    }

    #[test]
    fn urls_are_encoded_as_in_node() {
        let plain: Vec<u8> = (1..128).filter(|byte| *byte != b'/').collect();
        let want = "file://%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13%14%15%16%17%18%19%1A%1B%1C%1D\
            %1E%1F%20!%22%23$%25&'()*+,-.0123456789:;%3C=%3E%3F@ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefg\
            hijklmnopqrstuvwxyz%7B%7C%7D%7E%7F";
        assert_eq!(file_url(&plain), want);
        assert_eq!(file_url("/a/é".as_bytes()), "file:///a/%C3%A9");
    }
}
