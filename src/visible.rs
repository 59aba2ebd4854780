//! Texts of others, for logs and terminals: what would steer a terminal, end a line, or hide or turn what stands around it
//! is written as an escape.
//!
//! Whatever a peer names (itself, a tool, a path, an error) goes through here before a person or a reader of lines gets
//! it. Invariants: this is the one list of such characters; escapes are of plain ASCII, so that a text that went through
//! stays as it is the next time.

#[cfg(feature = "cli")]
mod json;
mod text;

#[cfg(feature = "cli")]
pub(crate) use json::{json, write_json, write_json_string};
pub(crate) use text::Quoted;
#[cfg(any(feature = "client", feature = "load", feature = "report"))]
pub(crate) use text::line;
#[cfg(feature = "load")]
pub(crate) use text::write_char;
#[cfg(all(test, feature = "cli"))]
pub(crate) use text::{HOSTILE, is_harmless, is_visible};
#[cfg(feature = "cli")]
pub(crate) use text::{lines, prose};
