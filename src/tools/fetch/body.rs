//! Reads a body to its end or to its bound, whichever comes first, and undoes its compression on the way.
//!
//! The bound holds for what is sent and for what is made of it, so a small body that unfolds into a large one is cut like
//! any other.

use super::error::PageError;
use super::job::Job;
use brotli_decompressor::Decompressor;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Compressions of one body, one inside the other. Servers use one.
const MAX_LAYERS: usize = 3;
/// The most that brotli may ask for: a window of 2^24 bytes and its tables.
const BROTLI_BYTES: usize = 17 << 20;
/// What the other compressions ask for, and the buffers between them.
const LAYER_BYTES: usize = 96 * 1024;

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// Whether there was more.
    pub(crate) is_cut: bool,
}

/// What is read, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'u> {
    pub(crate) url: &'u str,
    /// The compressions, as the server lists them.
    pub(crate) encoding: &'u str,
    pub(crate) max_bytes: usize,
}

/// Reads a body; `progress` is called with the bytes so far.
///
/// # Errors
/// When the transfer or the compression is broken, when there is no memory or no time left, or when nobody waits.
pub(crate) fn read(
    body: impl Read,
    bounds: Bounds<'_>,
    job: &Job,
    progress: &mut dyn FnMut(usize),
) -> Result<Body, PageError> {
    let Bounds { url, max_bytes, .. } = bounds;
    let left = Cell::new(max_bytes + 1);
    let (mut reader, layer_bytes) = decoded(Sent { body, left: &left }, bounds, job)?;
    let mut bytes = Vec::new();
    let is_cut = loop {
        reserve(&mut bytes, max_bytes, |held| job.memory.hold(layer_bytes + held))?;
        job.left(url)?;
        let start = bytes.len();
        bytes.resize(start + CHUNK_BYTES, 0);
        let read = match reader.read(&mut bytes[start..]) {
            Ok(read) => read,
            // It ends early, as no more of it was read.
            Err(_) if left.get() == 0 => 0,
            Err(error) => return Err(job.failed(url, &error)),
        };
        bytes.truncate(start + read);
        progress(bytes.len());
        if bytes.len() > max_bytes || read == 0 {
            break bytes.len() > max_bytes || left.get() == 0;
        }
    };
    bytes.truncate(max_bytes);
    Ok(Body { bytes, is_cut })
}

/// Makes room for one more chunk, once `hold` allows what there is while the bytes move.
fn reserve(
    bytes: &mut Vec<u8>,
    max_bytes: usize,
    hold: impl FnOnce(usize) -> Result<(), PageError>,
) -> Result<(), PageError> {
    let needed = bytes.len() + CHUNK_BYTES;
    if needed > bytes.capacity() {
        let capacity = (2 * bytes.capacity()).min(max_bytes + CHUNK_BYTES + 1).max(needed);
        hold(bytes.capacity() + capacity)?;
        bytes.reserve_exact(capacity - bytes.len());
    }
    Ok(())
}

/// A body as it is sent, of which no more is read than is left.
struct Sent<'l, R> {
    body: R,
    left: &'l Cell<usize>,
}

impl<R: Read> Read for Sent<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.left.get());
        let read = loop {
            match self.body.read(&mut into[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                ended => break ended?,
            }
        };
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}

/// Undoes the compressions of a body, and says how much memory that takes.
fn decoded<'r>(
    sent: Sent<'r, impl Read + 'r>,
    bounds: Bounds<'_>,
    job: &Job,
) -> Result<(Box<dyn BufRead + 'r>, usize), PageError> {
    let mut reader: Box<dyn BufRead + 'r> = Box::new(BufReader::with_capacity(CHUNK_BYTES, sent));
    let named = bounds.encoding.split(',').map(|name| name.trim().to_ascii_lowercase());
    let layers: Vec<String> = named.filter(|name| !name.is_empty() && name != "identity").collect();
    if layers.len() > MAX_LAYERS {
        return Err(job.failed(bounds.url, &"its body is compressed too many times"));
    }
    let mut held = CHUNK_BYTES;
    for layer in layers.iter().rev() {
        held += if layer == "br" { BROTLI_BYTES } else { LAYER_BYTES };
        job.memory.hold(held)?;
        let inner: Box<dyn Read + 'r> = match layer.as_str() {
            "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(reader)),
            "deflate" if begins_as_zlib(&mut reader) => Box::new(ZlibDecoder::new(reader)),
            "deflate" => Box::new(DeflateDecoder::new(reader)),
            "br" if has_large_window(&mut reader) => {
                return Err(job.failed(bounds.url, &"its brotli window is too large"));
            }
            "br" => Box::new(Decompressor::new(reader, CHUNK_BYTES)),
            // As the reference: what it does not know is passed on.
            _ => continue,
        };
        reader = Box::new(BufReader::with_capacity(CHUNK_BYTES, inner));
    }
    Ok((reader, held))
}

/// Servers send either form under the name `deflate`.
fn begins_as_zlib(reader: &mut Box<dyn BufRead + '_>) -> bool {
    match reader.fill_buf() {
        Ok([first, second, ..]) => {
            first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
        }
        _ => false,
    }
}

/// Whether the window is larger than HTTP allows (RFC 9841): it would take up to a GiB.
fn has_large_window(reader: &mut Box<dyn BufRead + '_>) -> bool {
    matches!(reader.fill_buf(), Ok([first, ..]) if first & 0x7f == 0x11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::CancellationToken;
    use crate::tools::fetch::job::HeldMemory;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use mcpool_pools::MemoryBudget;
    use std::io::Write;

    fn job(budget: &MemoryBudget) -> Job {
        Job::new(CancellationToken::after(u64::MAX), HeldMemory::new(budget.clone()), 60_000, 0)
    }

    fn read_as(encoding: &str, bytes: &[u8], max_bytes: usize) -> Result<Body, PageError> {
        let budget = MemoryBudget::new(64 << 20);
        let bounds = Bounds { url: "http://test/", encoding, max_bytes };
        read(bytes, bounds, &job(&budget), &mut |_| {})
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("done")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("done")
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("done")
    }

    /// `hello` as one uncompressed metablock, with a window of 2^16.
    const BROTLI_HELLO: &[u8] = &[0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];

    #[test]
    fn each_compression_is_undone() {
        let text = "a page ".repeat(10_000).into_bytes();
        for (encoding, bytes) in [
            ("", text.clone()),
            ("identity", text.clone()),
            ("unheard-of", text.clone()),
            ("gzip", gzip(&text)),
            ("X-GZip", gzip(&text)),
            ("gzip", [gzip(&text[..7]), gzip(&text[7..])].concat()),
            ("deflate", zlib(&text)),
            ("deflate", deflate(&text)),
            ("deflate, gzip", gzip(&zlib(&text))),
        ] {
            let body = read_as(encoding, &bytes, 1 << 20).expect(encoding);
            assert!(body.bytes == text && !body.is_cut, "{encoding}: {} bytes", body.bytes.len());
        }
        assert_eq!(read_as("br", BROTLI_HELLO, 100).expect("brotli").bytes, b"hello");
        for encoding in ["gzip", "deflate", "br"] {
            assert!(read_as(encoding, b"\xff\xff not compressed", 100).is_err(), "{encoding}");
            assert!(read_as(encoding, &gzip(&text)[..40], 1 << 20).is_err(), "{encoding}");
        }
        assert!(read_as("gzip,gzip,gzip,gzip", &text, 100).is_err());
        let large_window = read_as("br", &[0x11, 0x1e, 0, 0, 0, 0, 0, 0], 100);
        assert!(large_window.is_err_and(|error| error.to_string().contains("window")));
    }

    #[test]
    fn what_is_too_long_is_cut_sent_or_unfolded() {
        for max_bytes in [1, 1_000, CHUNK_BYTES, 100_000] {
            let exact = vec![b'x'; max_bytes];
            let longer = vec![b'x'; max_bytes + 1];
            for (bytes, is_cut) in [(exact, false), (longer, true)] {
                for (encoding, sent) in
                    [("", bytes.clone()), ("gzip", gzip(&bytes)), ("deflate", zlib(&bytes))]
                {
                    // Of short texts, the compressed form is the longer one.
                    if sent.len() <= max_bytes.max(bytes.len()) {
                        let body = read_as(encoding, &sent, max_bytes).expect("read");
                        assert_eq!(
                            (body.bytes.len(), body.is_cut),
                            (max_bytes, is_cut),
                            "{encoding} {max_bytes}"
                        );
                    }
                }
            }
        }
    }

    /// A gibibyte in a mebibyte: read up to the bound, within the memory of the bound.
    #[test]
    fn a_bomb_takes_no_more_than_any_page() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&zeros).expect("written");
        }
        let bomb = encoder.finish().expect("done");
        assert!(bomb.len() < 1 << 20);
        let budget = MemoryBudget::new(4 << 20);
        let bounds = Bounds { url: "http://test/", encoding: "gzip", max_bytes: 1 << 20 };
        let job = job(&budget);
        let mut seen = 0;
        let body = read(&*bomb, bounds, &job, &mut |bytes| seen = bytes).expect("cut");
        assert!(body.is_cut && body.bytes.len() == 1 << 20 && seen > 1 << 20);
        assert!(budget.used_bytes() >= body.bytes.capacity(), "what there is was not reserved");
        let small = MemoryBudget::new(128 * 1024);
        let refused = read(&*bomb, bounds, &self::job(&small), &mut |_| {});
        assert!(matches!(refused, Err(PageError::TooLarge { .. })), "{refused:?}");
    }

    #[test]
    fn a_cancelled_call_stops_reading() {
        let budget = MemoryBudget::new(64 << 20);
        let job = Job::new(CancellationToken::after(3), HeldMemory::new(budget), 60_000, 0);
        let bounds = Bounds { url: "http://test/", encoding: "", max_bytes: 32 << 20 };
        let cancelled = read(io::repeat(b'x'), bounds, &job, &mut |_| {});
        assert!(matches!(cancelled, Err(PageError::Cancelled(_))), "{cancelled:?}");
    }
}
