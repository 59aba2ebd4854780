//! What stands below a table: what its words mean, or where that is said.

use crate::report::write_legend;
use std::io::{self, Write};

/// What tables end with whose words the legend has.
pub(in crate::cli) const WHERE_WORDS_ARE: &str = "What the words mean: mcpool report --explain";

/// Writes what the words mean if that is asked for, or else where it is said.
pub(super) fn write(is_asked_for: bool, width: usize, out: &mut impl Write) -> io::Result<()> {
    if is_asked_for {
        writeln!(out)?;
        return write_legend(width, out);
    }
    writeln!(out, "\n{WHERE_WORDS_ARE}")
}
