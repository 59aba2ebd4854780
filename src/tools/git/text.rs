//! The text of an answer, which ends with a clear word where git has more to say than an answer may hold.

use crate::server::TextBlock;
use std::ops::ControlFlow;

/// Bytes that may come of one byte of text when it is written in JSON: `\u0000`.
const MOST_ESCAPED: usize = 6;

/// Bytes of an answer that are not text: the envelope around it, and the word at the end.
const AROUND_BYTES: usize = 1_024;

/// The text of one answer.
pub(crate) struct Text<'t, 'r> {
    block: &'t mut TextBlock<'r>,
    /// Bytes of the whole answer, as it is written in JSON, that the text may reach.
    end: usize,
    max_bytes: usize,
    is_cut: bool,
}

impl<'t, 'r> Text<'t, 'r> {
    /// A text of at most `max_bytes`, in an answer of at most `max_reply_bytes`; both as it is written in JSON.
    pub(crate) fn new(block: &'t mut TextBlock<'r>, max_bytes: usize, max_reply_bytes: usize) -> Self {
        let end = (block.written_bytes() + max_bytes).min(max_reply_bytes.saturating_sub(AROUND_BYTES));
        Self { block, end, max_bytes, is_cut: false }
    }

    /// Appends what git wrote, as much as there is room for. Breaks if that was not all.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> ControlFlow<()> {
        while !piece.is_empty() {
            let room = self.end.saturating_sub(self.block.written_bytes()) / MOST_ESCAPED;
            if room == 0 {
                self.is_cut = true;
                return ControlFlow::Break(());
            }
            let (fits, rest) = piece.split_at(piece.len().min(room));
            self.block.push_lossy(fits);
            piece = rest;
            if self.block.is_full() || self.block.memory_lack().is_some() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn push_str(&mut self, text: &str) -> ControlFlow<()> {
        self.push(text.as_bytes())
    }

    /// Ends the text, and says if something was left out.
    pub(crate) fn close(self) {
        self.block.end_part();
        if self.is_cut {
            self.block.push_str(&format!(
                "\n\n[The rest is left out: an answer ends after {} bytes (setting max_git_answer_bytes). Ask for less, as \
                 with context_lines, max_count, or a revision and a path.]",
                self.max_bytes.min(self.end)
            ));
        }
    }
}

/// The output of a command without its last line end, as the reference gives it.
#[derive(Debug, Default)]
pub(crate) struct WithoutLastLineEnd {
    holds_line_end: bool,
}

impl WithoutLastLineEnd {
    pub(crate) fn push(&mut self, piece: &[u8], text: &mut Text<'_, '_>) -> ControlFlow<()> {
        let Some((last, rest)) = piece.split_last() else { return ControlFlow::Continue(()) };
        if self.holds_line_end {
            text.push(b"\n")?;
        }
        self.holds_line_end = *last == b'\n';
        text.push(if self.holds_line_end { rest } else { piece })
    }
}
