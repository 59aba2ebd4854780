//! What a soak does to a server, and how often: the everyday calls, and everything that leaves something behind.

/// One thing that a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A call of the modern era on a kept connection.
    Echo,
    /// A list of the modern era.
    List,
    /// `server/discover`.
    Discover,
    /// A file is read.
    ReadFile,
    /// A call in one of some sessions that go on.
    SessionEcho,
    /// A ping in such a session.
    SessionPing,
    /// A call that streams its progress, read to its end.
    Progress,
    /// Such a call, left when its first progress came.
    ProgressLeft,
    /// A session that is opened, used, ended, and then unknown.
    SessionEnded,
    /// A session that is opened, used and forgotten.
    SessionForgotten,
    /// The stream of a session, left open for a while and dropped.
    SessionStream,
    /// A connection for one call.
    OneCall,
    /// A client that closes its side before its answer comes.
    HalfClosed,
    /// A connection that ends within a head.
    CutHead,
    /// A connection that ends within a body.
    CutBody,
    /// A connection that is reset within a body.
    ResetBody,
    /// A body that is no JSON.
    Malformed,
    /// A body that is said to be longer than allowed.
    Oversized,
    /// A body of a mebibyte.
    LargeBody,
    /// A method that does not exist.
    UnknownMethod,
    /// A tool that does not exist.
    UnknownTool,
    /// A change that all who listen are notified of.
    Change,
    /// Somebody who listens and then reads no more.
    StalledListener,
    /// Somebody who asks for a mebibyte and does not read it.
    StalledAnswer,
}

impl Action {
    /// All of them: how often in [`Action::parts`], and the name in reports.
    pub const ALL: [(Self, u64, &'static str); 24] = [
        (Self::Echo, 300, "echo, modern"),
        (Self::List, 60, "tools/list, modern"),
        (Self::Discover, 40, "server/discover"),
        (Self::ReadFile, 120, "read_text_file, modern"),
        (Self::SessionEcho, 200, "echo in a session"),
        (Self::SessionPing, 60, "ping in a session"),
        (Self::Progress, 30, "progress, read to its end"),
        (Self::ProgressLeft, 30, "progress, left halfway"),
        (Self::SessionEnded, 20, "session opened and deleted"),
        (Self::SessionForgotten, 15, "session opened and forgotten"),
        (Self::SessionStream, 4, "stream of a session, dropped"),
        (Self::OneCall, 20, "connection for one call"),
        (Self::HalfClosed, 5, "half-closed before the answer"),
        (Self::CutHead, 10, "connection cut within a head"),
        (Self::CutBody, 10, "connection cut within a body"),
        (Self::ResetBody, 10, "connection reset within a body"),
        (Self::Malformed, 20, "malformed JSON"),
        (Self::Oversized, 5, "body over the limit"),
        (Self::LargeBody, 2, "body of 1 MiB"),
        (Self::UnknownMethod, 10, "unknown method"),
        (Self::UnknownTool, 10, "unknown tool"),
        (Self::Change, 5, "change, told to listeners"),
        (Self::StalledListener, 3, "listener that stops reading"),
        (Self::StalledAnswer, 1, "answer of 1 MiB that is not read"),
    ];

    /// Into how many parts the traffic is divided.
    pub fn parts() -> u64 {
        Self::ALL.iter().map(|(_, parts, _)| parts).sum()
    }

    /// The action that a random number stands for.
    pub fn pick(random: u64) -> Self {
        let mut part = random % Self::parts();
        for (action, parts, _) in Self::ALL {
            if part < parts {
                return action;
            }
            part -= parts;
        }
        Self::Echo
    }

    /// Its place in [`Action::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Random numbers that are the same each time: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_picked_as_often_as_its_parts_say() {
        let mut counts = [0; Action::ALL.len()];
        for random in 0..Action::parts() * 3 {
            counts[Action::pick(random).index()] += 1;
        }
        for (index, (action, parts, name)) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action.index(), index, "{name} is at its place");
            assert_eq!(counts[index], parts * 3, "{name}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_paper() {
        // The first numbers for seed 1234567, as published with the reference implementation.
        let mut random = Random(1_234_567);
        assert_eq!(random.draw(), 6_457_827_717_110_365_317);
        assert_eq!(random.draw(), 3_203_168_211_198_807_973);
    }
}
