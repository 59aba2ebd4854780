//! Numbers of JSON.
//!
//! An integer that surely fits is computed while its digits are walked over; all else is checked against
//! the grammar and then parsed by `std`, which rounds exactly. Classes and ranges are those of `serde_json`:
//! unsigned, else negative, else a double.

use super::error::{DecodeError, DecodeFault};
use super::lexer::Lexer;

type Result<T> = std::result::Result<T, DecodeError>;

/// So many digits always fit 64 bits with a sign.
const SURE_DIGITS: usize = 18;

/// A number as `serde_json` classifies it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Positive(u64),
    Negative(i64),
    Float(f64),
}

/// How exactly a number that is no integer is wanted: rounding twice may change the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Single,
    Double,
}

impl<'f> Lexer<'f> {
    /// The number that comes next; white space before it must have been skipped.
    #[inline]
    pub(super) fn number(&mut self, precision: Precision) -> Result<Number> {
        let (bytes, start) = (self.bytes(), self.offset());
        let is_negative = bytes.get(start) == Some(&b'-');
        let first = start + usize::from(is_negative);
        let (mut end, mut magnitude) = (first, 0_u64);
        while let Some(digit @ 0..=9) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
            end += 1;
        }
        let digits = end - first;
        let is_sure = match digits {
            1 => !is_negative || magnitude != 0,
            2..=SURE_DIGITS => bytes[first] != b'0',
            _ => false,
        };
        if !is_sure || matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
            return self.other_number(precision);
        }
        self.move_to(end);
        // So few digits fit either type.
        Ok(if is_negative { Number::Negative(-magnitude.cast_signed()) } else { Number::Positive(magnitude) })
    }

    #[inline(never)]
    fn other_number(&mut self, precision: Precision) -> Result<Number> {
        let (text, is_integer) = self.skip_number()?;
        if is_integer {
            if !text.starts_with('-') {
                if let Ok(number) = text.parse() {
                    return Ok(Number::Positive(number));
                }
            } else if let Ok(number) = text.parse() {
                // An integer cannot be minus zero, a double can.
                return Ok(if number == 0 { Number::Float(-0.0) } else { Number::Negative(number) });
            }
        }
        let number = match precision {
            Precision::Single => text.parse::<f32>().map(f64::from),
            Precision::Double => text.parse::<f64>(),
        };
        match number {
            Ok(number) if number.is_finite() => Ok(Number::Float(number)),
            _ => Err(DecodeError::new(self.offset(), DecodeFault::NumberOutOfRange)),
        }
    }

    /// Walks over an integer of any size and gives its text.
    pub(super) fn wide_integer(&mut self) -> Result<&'f str> {
        let start = self.offset();
        match self.skip_number()? {
            (text, true) => Ok(text),
            _ => Err(DecodeError::new(start, DecodeFault::Data("expected an integer".into()))),
        }
    }

    /// Walks over a number and gives its text and whether it is an integer.
    pub(super) fn skip_number(&mut self) -> Result<(&'f str, bool)> {
        let (bytes, start) = (self.bytes(), self.offset());
        let mut end = start + usize::from(bytes.get(start) == Some(&b'-'));
        end = if bytes.get(end) == Some(&b'0') { end + 1 } else { self.digits_end(end)? };
        let integer_end = end;
        if bytes.get(end) == Some(&b'.') {
            end = self.digits_end(end + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let has_sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            end = self.digits_end(end + 1 + usize::from(has_sign))?;
        }
        self.move_to(end);
        Ok((self.text_since(start), end == integer_end))
    }

    /// The end of the digits from `start` on, of which there must be one.
    #[inline]
    fn digits_end(&self, start: usize) -> Result<usize> {
        let mut end = start;
        while self.bytes().get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
        if end == start { Err(DecodeError::syntax(end, "a digit")) } else { Ok(end) }
    }
}
