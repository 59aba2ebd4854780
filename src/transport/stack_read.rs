//! A read into a small buffer on the stack, for a stream that is probably empty.
//!
//! After a read that did not fill its buffer, the stream is probably empty, and the next read only registers the waker.
//! Such a read uses a small buffer on the stack, as a leased one would be given back unused (880 of the 9,900
//! instructions of a small request; `cargo run --profile bench -p mcpool-benches --bin instructions`).

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of the buffer: enough for a small request.
const STACK_BYTES: usize = 512;

/// Reads a little; `take` gets what came. Ready with the number of bytes, 0 at the end of the stream, and whether
/// more may be there.
pub(super) fn poll_stack_read<R: AsyncRead + Unpin>(
    reader: &mut R,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<(usize, bool)>> {
    let mut bytes = [const { MaybeUninit::uninit() }; STACK_BYTES];
    let mut buffer = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(reader).poll_read(cx, &mut buffer))?;
    let found = buffer.filled();
    if !found.is_empty() {
        take(found);
    }
    Poll::Ready(Ok((found.len(), found.len() == STACK_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test]
    async fn a_read_takes_what_is_there_and_no_more_than_it_has_room_for() {
        let (mut near, mut far) = duplex(4 * STACK_BYTES);
        let mut seen = Vec::new();
        let mut read = async |seen: &mut Vec<u8>| {
            poll_fn(|cx| {
                let polled = poll_stack_read(&mut far, cx, |bytes| seen.extend_from_slice(bytes));
                Poll::Ready(polled.map(|read| read.expect("a stream")))
            })
            .await
        };
        assert_eq!(read(&mut seen).await, Poll::Pending);
        near.write_all(b"few").await.expect("room");
        assert_eq!(read(&mut seen).await, Poll::Ready((3, false)));
        near.write_all(&[b'x'; STACK_BYTES + 1]).await.expect("room");
        assert_eq!(read(&mut seen).await, Poll::Ready((STACK_BYTES, true)));
        assert_eq!(read(&mut seen).await, Poll::Ready((1, false)));
        drop(near);
        assert_eq!(read(&mut seen).await, Poll::Ready((0, false)));
        assert_eq!(seen.len(), 3 + STACK_BYTES + 1);
    }
}
