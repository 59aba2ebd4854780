//! A call's arguments, copied so that they outlive their frame.

use mcpool_pools::{Discard, Recycle, Verdict};

/// The arguments of a `tools/call` that goes on after its frame is gone, as on a blocking thread. Pooled: a recycled
/// one keeps the capacity of its strings.
///
/// ```
/// use mcpool::pools::ObjectPool;
/// use mcpool::protocol::{OwnedMessage, RetainMessage};
///
/// let messages = ObjectPool::<OwnedMessage>::new("messages", 8, RetainMessage { retain_bytes: 4_096 });
/// let mut message = messages.acquire();
/// message.copy_arguments(r#"{"text":"a"}"#);
/// assert_eq!(message.arguments().len(), 12);
/// ```
#[derive(Debug, Default)]
pub struct OwnedMessage {
    arguments: String,
}

impl OwnedMessage {
    /// Copies the arguments' JSON text.
    pub fn copy_arguments(&mut self, json: &str) {
        self.arguments.clear();
        self.arguments.push_str(json);
    }

    /// The arguments' JSON text, well-formed: it was decoded once already.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }
}

/// Keeps owned messages whose text is at most `retain_bytes` long.
#[derive(Debug, Clone, Copy)]
pub struct RetainMessage {
    /// Bytes of capacity that may stay in an idle message.
    pub retain_bytes: usize,
}

impl Recycle<OwnedMessage> for RetainMessage {
    fn create(&self) -> OwnedMessage {
        OwnedMessage::default()
    }

    fn recycle(&self, message: &mut OwnedMessage) -> Verdict {
        if message.arguments.capacity() > self.retain_bytes {
            return Verdict::Discard(Discard::Oversized);
        }
        message.arguments.clear();
        Verdict::Keep
    }

    fn bytes(&self, message: &OwnedMessage) -> usize {
        message.arguments.capacity()
    }
}
