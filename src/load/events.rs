//! Finds server-sent events in the body of an answer, while it comes.

/// Where a reader of events stands.
#[derive(Default)]
pub(super) struct EventReader {
    /// Bytes of the body that were read.
    read: usize,
    /// Bytes of the body that were searched: a line that does not end is not searched again with each piece of it.
    searched: usize,
    /// The data of the event that is being read.
    data: Vec<u8>,
    is_given: bool,
}

impl EventReader {
    /// Bytes of room that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.data.capacity()
    }

    /// Forgets what has come, and lets go of its room.
    pub(super) fn shrink(&mut self) {
        *self = Self::default();
    }

    /// Makes ready for the next body.
    pub(super) fn reset(&mut self) {
        self.read = 0;
        self.searched = 0;
        self.data.clear();
        self.is_given = false;
    }

    /// The data of the next event that has ended in `body`, which has grown since the last call. Events without data
    /// are passed over. The lines of one event are joined with a newline, which in JSON is white space.
    pub(super) fn next(&mut self, body: &[u8]) -> Option<&[u8]> {
        if std::mem::take(&mut self.is_given) {
            self.data.clear();
        }
        while let Some(end) = memchr::memchr(b'\n', body.get(self.searched..)?) {
            let line = &body[self.read..self.searched + end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.searched += end + 1;
            self.read = self.searched;
            if let Some(value) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            } else if line.is_empty() && !self.data.is_empty() {
                self.is_given = true;
                return Some(&self.data);
            }
        }
        self.searched = body.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let body = b"id: 1\ndata:\n\nevent: message\r\ndata: {\"a\":\r\ndata:1}\r\n\r\n: ping\n\ndata: two\n\ndata: cut";
        for first in 0..=body.len() {
            let (mut reader, mut events) = (EventReader::default(), Vec::new());
            for until in [first, body.len()] {
                while let Some(data) = reader.next(&body[..until]) {
                    events.push(String::from_utf8_lossy(data).into_owned());
                }
            }
            assert_eq!(events, ["{\"a\":\n1}", "two"], "cut at {first}");
            reader.reset();
            assert_eq!(reader.next(b"data: x\n\n"), Some(&b"x"[..]));
        }
    }
}
