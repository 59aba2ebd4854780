//! The cursors of lists that are held in memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// Where a page of a list begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageCursor {
    /// A digest of all entries, so that a cursor is of no use once other entries may follow there.
    pub(super) version: u32,
    pub(super) page: u32,
}

impl PageCursor {
    /// Characters of a cursor: eight bytes in base64.
    pub(super) const LENGTH: usize = 11;

    /// The page that a cursor names in the list of that version: the first without a cursor, none if the list did not give
    /// it out.
    pub(super) fn read(cursor: Option<&str>, version: u32) -> Option<usize> {
        let Some(cursor) = cursor else { return Some(0) };
        let mut bytes = [0; 8];
        // The text comes from a client: a longer one is not decoded.
        let written =
            URL_SAFE_NO_PAD.decode_slice(cursor.as_bytes().get(..Self::LENGTH)?, &mut bytes).ok()?;
        let (found, page) = bytes.split_at(4);
        let is_ours = cursor.len() == Self::LENGTH && written == 8 && found == version.to_be_bytes();
        let page = u32::from_be_bytes(page.try_into().ok()?);
        // The first page has no cursor.
        is_ours.then_some(page as usize).filter(|page| *page > 0)
    }

    /// The cursor as text, without memory of its own.
    pub(super) fn write(self, text: &mut [u8; Self::LENGTH]) -> &str {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.version.to_be_bytes());
        bytes[4..].copy_from_slice(&self.page.to_be_bytes());
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, text).unwrap_or_default();
        std::str::from_utf8(&text[..written]).unwrap_or_default()
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut [0; Self::LENGTH]))
    }
}
