//! Where an answer of many entries is cut that would be longer than it may be: behind the last whole entry that leaves
//! space to say how many are left.
//!
//! Entries are measured while they are found. Only once they do not fit all is the answer taken back to where it was when
//! the space for that word began, so that an answer that fits is never cut.

use super::answer_space::AnswerSpace;
use super::compat::Compat;

/// Bytes that are kept for what is said at the end, as it is written in JSON.
pub(super) const NOTE_BYTES: usize = 512;

/// Measures an answer. A mark is whatever its caller needs to go back.
#[derive(Debug)]
pub(super) struct Cut<M> {
    /// Bytes of the longest answer in JSON.
    full_bytes: usize,
    written_bytes: usize,
    /// Where the space for the note began, before an entry.
    mark: Option<M>,
    /// Entries from there on.
    behind: u64,
    is_over: bool,
}

impl<M: Copy> Cut<M> {
    /// Nothing is cut for those who want what the reference does: there, what is too long is an error.
    pub(super) fn new(space: AnswerSpace, compat: Compat) -> Self {
        let full_bytes = match compat {
            Compat::Default => space.text_bytes(),
            Compat::Reference => usize::MAX,
        };
        Self { full_bytes, written_bytes: 0, mark: None, behind: 0, is_over: false }
    }

    /// Counts bytes that are no entry.
    pub(super) fn add(&mut self, bytes: usize) {
        self.written_bytes += bytes;
    }

    /// Counts an entry of so many bytes, behind which `end_bytes` are needed to end the answer. `mark` is the place before
    /// it. Tells whether it is to be written.
    pub(super) fn takes(&mut self, mark: M, bytes: usize, end_bytes: usize) -> bool {
        if !self.is_over {
            self.written_bytes += bytes;
            let needed_bytes = self.written_bytes.saturating_add(end_bytes);
            if self.mark.is_none() && needed_bytes > self.full_bytes.saturating_sub(NOTE_BYTES) {
                self.mark = Some(mark);
            }
            self.is_over = needed_bytes > self.full_bytes;
        }
        self.behind += u64::from(self.mark.is_some());
        !self.is_over
    }

    /// Leaves the space for the note, whether or not the entries need it.
    pub(super) fn with_note(&mut self, has_note: bool) {
        self.is_over |= has_note;
    }

    /// Whether no entry is taken any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The place where the answer is to be cut, and the entries behind it. `None` where all fit.
    pub(super) fn at(&self) -> Option<(M, u64)> {
        self.mark.filter(|_| self.is_over).map(|mark| (mark, self.behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::tools::filesystem::compat::Copies;

    /// Around the limit, what fits is whole, and what does not leaves space for the note.
    #[test]
    fn what_fits_is_not_cut() {
        let space = AnswerSpace::of(&Limits { max_reply_bytes: 8 << 10, ..Limits::default() }, Copies::Twice);
        for (compat, entry_bytes) in [1, 7, 99, 500, 3_000]
            .into_iter()
            .flat_map(|bytes| [(Compat::Default, bytes), (Compat::Reference, bytes)])
        {
            let most = space.text_bytes() / entry_bytes;
            for entries in most.saturating_sub(2)..most + 600 {
                let mut cut = Cut::new(space, compat);
                let taken = (0..entries).filter(|entry| cut.takes(*entry, entry_bytes, 0)).count();
                let Some((shown, left)) = cut.at() else {
                    assert_eq!(taken, entries);
                    assert!(entries <= most || compat == Compat::Reference);
                    continue;
                };
                assert!(entries > most && compat == Compat::Default);
                assert_eq!(shown as u64 + left, entries as u64);
                let room = space.text_bytes() - NOTE_BYTES;
                assert!(shown * entry_bytes <= room && (shown + 1) * entry_bytes > room);
            }
        }
    }
}
