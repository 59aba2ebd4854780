//! A peer that sends nothing more while its request is served: it waits for its answer, or it is gone.
//!
//! A peer that closed its connection and one that only ended what it sends look alike over TCP until something is
//! written: the first answers with a reset, which comes within a round trip. So it is sent something that any client
//! skips (`Sender::probe`), and looked at a few times; on one machine the reset is there before the first look. Over a
//! Unix socket the system tells at once. To a client of HTTP/1.0 nothing can be written before its answer: it counts as there
//! for as long as a peer may take to read, with its connection, which is one of those that its principal may have.

use std::time::Duration;

/// Time until a peer to which something was written is looked at first. Each later time is twice as long as the one before.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// So often it is looked at: within two seconds.
const LOOKS: u8 = 11;

/// Whether a peer sends more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum InputEnd {
    #[default]
    Open,
    /// It sends nothing more, and the system tells when it closes.
    Told,
    /// It sends nothing more, and whether it closed shows after something was written. So many looks were taken since.
    Shown { looks: u8 },
    /// It sends nothing more, and whether it closed shows when the answer is written: its connection ends at the first look.
    Hidden,
}

impl InputEnd {
    /// Whether the peer sends nothing more.
    pub(super) fn has_ended(self) -> bool {
        self != Self::Open
    }

    /// Something was written to the peer: it is looked at soon.
    pub(super) fn note_written(&mut self) {
        if let Self::Shown { looks } = self {
            *looks = 0;
        }
    }

    /// The peer was looked at.
    pub(super) fn note_look(&mut self) {
        if let Self::Shown { looks } = self {
            *looks = looks.saturating_add(1);
        }
    }

    /// Whether the connection of the peer ends at the next look, whatever is under way.
    pub(super) fn ends_at_look(self) -> bool {
        self == Self::Hidden
    }

    /// How long until the next look at a peer that may take so long to read, if one is due before the next sign of life.
    pub(super) fn next_look(self, may_take: Duration) -> Option<Duration> {
        match self {
            Self::Shown { looks } if looks < LOOKS => Some(FIRST_LOOK * (1 << looks)),
            Self::Hidden => Some(may_take),
            Self::Open | Self::Told | Self::Shown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_few() {
        const MAY_TAKE: Duration = Duration::from_secs(7);
        let mut end = InputEnd::Shown { looks: 0 };
        let mut looks = Vec::new();
        for _ in 0..300 {
            looks.extend(end.next_look(MAY_TAKE));
            end.note_look();
        }
        assert_eq!(looks.len(), usize::from(LOOKS));
        assert!(looks.iter().sum::<Duration>() < Duration::from_secs(3), "{looks:?}");
        end.note_written();
        assert_eq!(end.next_look(MAY_TAKE), Some(FIRST_LOOK));
        let mut told = InputEnd::Told;
        told.note_written();
        assert_eq!(told.next_look(MAY_TAKE), None);
        assert!(!told.ends_at_look() && !end.ends_at_look());
        let hidden = InputEnd::Hidden;
        assert_eq!((hidden.next_look(MAY_TAKE), hidden.ends_at_look()), (Some(MAY_TAKE), true));
    }
}
