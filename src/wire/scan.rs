//! Finding the end of the plain part of a JSON string.
//!
//! A plain byte is one that stands for itself: neither a quote, nor a backslash, nor a control character.
//! Short strings are looked at in words of eight bytes (SWAR), longer ones in blocks that the compiler turns
//! into vector instructions. There is no unsafe and nothing that depends on the processor.

/// From the byte after a backslash to the character it means; 0 where there is no such escape.
/// A table, because which escape comes next cannot be predicted.
pub(super) const SHORT_ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b'f' as usize] = 0x0C;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
pub(super) const WORD: usize = 8;
/// Bytes looked at by words before blocks take over: keys and names end before.
const SHORT: usize = 4 * WORD;
/// Bytes of a block: four vectors of 16.
const BLOCK: usize = 64;

/// The place of the first byte from `start` on that is not plain; the length if all are.
#[expect(clippy::inline_always, reason = "a call costs as much as most keys are long")]
#[inline(always)]
pub(super) fn plain_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(word) = bytes.get(at..at + WORD) {
        if at - start >= SHORT {
            return plain_end_long(bytes, at);
        }
        if let Some(offset) = first_special(word) {
            return at + offset;
        }
        at += WORD;
    }
    tail_end(bytes, at)
}

#[inline(never)]
fn plain_end_long(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        // No early exit within a block, so that it is compared as a whole.
        if block.iter().fold(false, |found, byte| found | is_special(*byte)) {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..at + WORD) {
        if let Some(offset) = first_special(word) {
            return at + offset;
        }
        at += WORD;
    }
    tail_end(bytes, at)
}

#[inline(never)]
fn tail_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| is_special(*byte)).map_or(bytes.len(), |offset| at + offset)
}

#[inline]
fn is_special(byte: u8) -> bool {
    // Two comparisons for three, as in `first_special`.
    (byte ^ 0x02) < 0x21 || byte == b'\\'
}

/// The first special byte of a word. A borrow may mark bytes after the first hit falsely; the first is
/// exact (Hacker's Delight, 6-1).
///
/// Control characters and the quote are one comparison: with its second bit turned round, the quote (0x22) is the
/// number after the last control character (0x1F), and no control character leaves its range.
#[inline]
pub(super) fn first_special(word: &[u8]) -> Option<usize> {
    let word = u64::from_le_bytes(word.try_into().ok()?);
    let turned = word ^ (ONES * 0x02);
    let controls_and_quote = turned.wrapping_sub(ONES * 0x21) & !turned;
    let difference = word ^ (ONES * u64::from(b'\\'));
    let backslash = difference.wrapping_sub(ONES) & !difference;
    let hits = (controls_and_quote | backslash) & HIGH;
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}

/// The special bytes of a word, each as its highest bit. All are exact, as nothing is carried from byte to byte.
#[inline]
pub(super) fn specials(word: u64) -> u64 {
    const LOW: u64 = !HIGH;
    let turned = word ^ (ONES * 0x02);
    let others = ((turned & LOW) + ONES * (0x80 - 0x21)) | turned;
    let difference = word ^ (ONES * u64::from(b'\\'));
    let no_backslash = ((difference & LOW) + LOW) | difference;
    !(others & no_backslash) & HIGH
}

/// Longest text that is searched for line breaks by words: the search of `memchr` costs more to begin than ten words.
const MAX_WORDS_BYTES: usize = 10 * WORD;

/// Whether there is a line feed or a carriage return in `bytes`.
pub(super) fn has_line_break(bytes: &[u8]) -> bool {
    if bytes.len() > MAX_WORDS_BYTES {
        return memchr::memchr2(b'\n', b'\r', bytes).is_some();
    }
    let (words, tail) = bytes.as_chunks::<WORD>();
    // No early exit: in nearly all texts there is none.
    let hits = words.iter().fold(0, |hits, word| {
        let word = u64::from_le_bytes(*word);
        let (feed, carriage) = (word ^ (ONES * u64::from(b'\n')), word ^ (ONES * u64::from(b'\r')));
        hits | (feed.wrapping_sub(ONES) & !feed) | (carriage.wrapping_sub(ONES) & !carriage)
    });
    hits & HIGH != 0 || tail.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::{WORD, has_line_break, is_special, plain_end, specials};

    #[test]
    fn a_line_break_is_found_wherever_it_is_and_nothing_else_is_one() {
        for length in (0..100).chain([200]) {
            for neighbour in [0_u8, 9, 11, 12, 14, 0x7F, 0x8A, 0x8D, 0xFF, b'x'] {
                let bytes = vec![neighbour; length];
                assert!(!has_line_break(&bytes), "{length} times {neighbour}");
                for (place, line_break) in (0..length).flat_map(|place| [(place, b'\n'), (place, b'\r')]) {
                    let mut bytes = bytes.clone();
                    bytes[place] = line_break;
                    assert!(has_line_break(&bytes), "{line_break} at {place} among {length} of {neighbour}");
                }
            }
        }
    }

    fn naive(bytes: &[u8], start: usize) -> usize {
        (start..bytes.len()).find(|at| is_special(bytes[*at])).unwrap_or(bytes.len())
    }

    #[test]
    fn special_bytes_are_those_of_json() {
        for byte in 0..=255_u8 {
            let want = byte < 0x20 || byte == b'"' || byte == b'\\';
            assert_eq!(is_special(byte), want, "{byte:#x}");
        }
    }

    #[test]
    fn every_special_byte_of_a_word_is_marked_and_no_other() {
        let of_each = |bytes: [u8; WORD]| bytes.map(|byte| u8::from(is_special(byte)) << 7);
        for byte in 0..=255_u8 {
            for neighbour in [0, 0x01, 0x1F, 0x20, b'"', b'#', b'[', b'\\', b']', 0x7F, 0x80, 0xFF] {
                for place in 0..WORD {
                    let mut bytes = [neighbour; WORD];
                    bytes[place] = byte;
                    assert_eq!(
                        specials(u64::from_le_bytes(bytes)).to_le_bytes(),
                        of_each(bytes),
                        "{bytes:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_special_byte_is_found_at_every_place() {
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 40, 63, 64, 65, 200] {
            for special in (0..=255_u8).filter(|byte| is_special(*byte) || *byte >= 0x7F) {
                for place in 0..length {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = special;
                    for start in [0, place / 2, place, length.min(place + 1)] {
                        assert_eq!(plain_end(&bytes, start), naive(&bytes, start), "{special} at {place}");
                    }
                }
            }
        }
    }
}
