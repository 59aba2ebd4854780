//! Bytes to JSON-RPC frames and JSON values, and back, without IO.
//!
//! This room knows JSON and newlines; it does not know what a message means.

mod de;
mod encode;
mod error;
mod escaped;
mod frame;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzz;
mod keys;
mod lexer;
mod number;
mod raw;
mod reader;
mod scan;
mod ser;
mod skim;
mod strings;
mod text_pieces;
mod unescape;
mod writer;

pub(crate) use keys::match_key;

#[cfg(any(feature = "filesystem", feature = "memory"))]
pub(crate) use encode::escaped_bytes;
pub use encode::{Base64, LossyText, Reply, ReplyError};
pub(crate) use encode::{Lacking, Mark, MemoryLack};
pub use error::{DecodeError, DecodeFault};
pub use escaped::EscapedText;
pub use frame::Frame;
pub use lexer::{Kind, Lexer};
pub use raw::{Elements, Folded, Raw};
pub use reader::{FrameError, FrameReader};
pub use skim::Outline;
#[cfg(feature = "client")]
pub(crate) use skim::Skim;
pub use strings::Strings;
pub(crate) use text_pieces::{BufferRoom, CountingRoom, HEX_DIGITS, escape_piece, unit_floor};
#[cfg(feature = "filesystem")]
pub(crate) use text_pieces::{LONGEST_UNIT, Room, base64_piece};
