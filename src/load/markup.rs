//! Texts of others inside HTML and XML.

use crate::visible;

/// A text of others as text of HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // XML has no room for some that do not show, even as entities. Writing to a string does not fail.
            c => _ = visible::write_char(&mut out, c),
        }
    }
    out
}
