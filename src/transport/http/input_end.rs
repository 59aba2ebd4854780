//! A peer that sends nothing more while its request is served: it waits for its answer, or it is gone.
//!
//! A peer that closed its connection and one that only ended what it sends look alike over TCP until something is
//! written: the first answers with a reset, which comes within a round trip. So it is sent something that any client
//! skips (`Sender::probe`), and looked at a few times; on one machine the reset is there before the first look. Over a
//! Unix socket the system tells at once.

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

    /// How long until the next look, if one is due before the next sign of life.
    pub(super) fn next_look(self) -> Option<Duration> {
        match self {
            Self::Shown { looks } if looks < LOOKS => Some(FIRST_LOOK * (1 << looks)),
            Self::Open | Self::Told | Self::Shown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_few() {
        let mut end = InputEnd::Shown { looks: 0 };
        let mut looks = Vec::new();
        for _ in 0..300 {
            looks.extend(end.next_look());
            end.note_look();
        }
        assert_eq!(looks.len(), usize::from(LOOKS));
        assert!(looks.iter().sum::<Duration>() < Duration::from_secs(3), "{looks:?}");
        end.note_written();
        assert_eq!(end.next_look(), Some(FIRST_LOOK));
        let mut told = InputEnd::Told;
        told.note_written();
        assert_eq!(told.next_look(), None);
    }
}
