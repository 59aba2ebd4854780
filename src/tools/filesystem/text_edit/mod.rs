//! What an edit does to a text. No file is read or written here.

pub(crate) mod apply;
pub(crate) mod budget;
pub(crate) mod line_ends;
pub(crate) mod line_match;
pub(crate) mod shift;
