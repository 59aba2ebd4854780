//! A reply as a target for serde.
//!
//! Writes what `serde_json` writes, byte for byte, and fails where it fails; `tests/json_encode.rs` holds it to that. It
//! is a serializer of its own because `serde_json` looks at strings byte by byte and writes each piece by itself.

use super::writer::{NUMBER_BYTES, Target, Writer};
use serde::ser::{self, Error as _, Serialize};
use serde_json::Error;
use serde_json::ser::{CompactFormatter, Formatter};
use std::fmt::{self, Display, Write as _};
use std::io::{self, Cursor};

type Result<T> = std::result::Result<T, Error>;

/// Where a number is written.
type Room<'a> = Cursor<&'a mut [u8]>;

/// The names by which `serde_json` passes text that is JSON already on to a serializer: a `RawValue`, and a number if it
/// is built to keep the digits.
const RAW_TOKENS: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// Writes a value into a message.
///
/// # Errors
/// When the value cannot be JSON. A part of it may be written then.
#[inline]
pub(super) fn write_value<T: Serialize + ?Sized>(target: &mut dyn Target, value: &T) -> Result<()> {
    let mut writer = Writer::new(target);
    let written = value.serialize(Value { writer: &mut writer });
    writer.hand_over();
    written
}

/// The position of a value; of a key, if `IS_KEY`: then a number becomes a string, and what has parts is refused.
struct Position<'a, 'r, const IS_KEY: bool> {
    writer: &'a mut Writer<'r>,
}

type Value<'a, 'r> = Position<'a, 'r, false>;
type Key<'a, 'r> = Position<'a, 'r, true>;

/// An array or an object that is being written.
struct Parts<'a, 'r> {
    writer: &'a mut Writer<'r>,
    is_first: bool,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    Object,
    /// An array that is the one member of an object: a variant with its fields.
    ArrayInObject,
    ObjectInObject,
    /// No object but text that is JSON, in the one field of a struct.
    Raw,
}

#[cold]
fn no_key<T>() -> Result<T> {
    Err(Error::custom("key must be a string"))
}

impl<'a, 'r, const IS_KEY: bool> Position<'a, 'r, IS_KEY> {
    /// Writes what has no quotes as a value, and has them as a key.
    #[inline]
    fn scalar(self, write: impl FnOnce(&mut Writer<'r>)) {
        if IS_KEY {
            self.writer.byte(b'"');
        }
        write(self.writer);
        if IS_KEY {
            self.writer.byte(b'"');
        }
    }

    #[inline]
    fn literal(self, literal: &'static str) {
        self.scalar(|writer| writer.short(literal.as_bytes()));
    }

    #[inline]
    fn integer(self, integer: impl itoa::Integer) {
        self.scalar(|writer| writer.short(itoa::Buffer::new().format(integer).as_bytes()));
    }

    /// Writes a finite number as `serde_json` does.
    #[inline]
    fn float(self, is_finite: bool, write: impl FnOnce(&mut Room<'_>) -> io::Result<()>) -> Result<()> {
        if !is_finite {
            return if IS_KEY {
                Err(Error::custom("float key must be finite (got NaN or +/-inf)"))
            } else {
                self.null()
            };
        }
        self.scalar(|writer| {
            writer.number(|room| {
                let mut room = Cursor::new(room);
                // There is room for the longest number; what did not fit would be left out.
                let written = write(&mut room);
                debug_assert!(written.is_ok(), "a number longer than {NUMBER_BYTES} bytes");
                room.position() as usize
            });
        });
        Ok(())
    }

    #[inline]
    fn null(self) -> Result<()> {
        if IS_KEY {
            return no_key();
        }
        self.literal("null");
        Ok(())
    }

    #[inline]
    fn open(self, shape: Shape, bracket: u8) -> Result<Parts<'a, 'r>> {
        if IS_KEY {
            return no_key();
        }
        self.writer.byte(bracket);
        Ok(Parts { writer: self.writer, is_first: true, shape })
    }

    /// Writes the beginning of an object whose one member is a variant.
    #[inline]
    fn open_variant(self, variant: &'static str, shape: Shape, bracket: u8) -> Result<Parts<'a, 'r>> {
        if IS_KEY {
            return no_key();
        }
        self.writer.byte(b'{');
        self.writer.string(variant);
        self.writer.byte(b':');
        self.open(shape, bracket)
    }
}

/// Integers of all sizes.
macro_rules! serialize_integers {
    ($($method:ident $integer:ty),*) => {$(
        #[inline]
        fn $method(self, integer: $integer) -> Result<()> {
            self.integer(integer);
            Ok(())
        }
    )*};
}

impl<'a, 'r, const IS_KEY: bool> ser::Serializer for Position<'a, 'r, IS_KEY> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a, 'r>;
    type SerializeTuple = Parts<'a, 'r>;
    type SerializeTupleStruct = Parts<'a, 'r>;
    type SerializeTupleVariant = Parts<'a, 'r>;
    type SerializeMap = Parts<'a, 'r>;
    type SerializeStruct = Parts<'a, 'r>;
    type SerializeStructVariant = Parts<'a, 'r>;

    serialize_integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.literal(if value { "true" } else { "false" });
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, number: f32) -> Result<()> {
        self.float(number.is_finite(), |room| CompactFormatter.write_f32(room, number))
    }

    #[inline]
    fn serialize_f64(self, number: f64) -> Result<()> {
        self.float(number.is_finite(), |room| CompactFormatter.write_f64(room, number))
    }

    #[inline]
    fn serialize_char(self, character: char) -> Result<()> {
        self.writer.string(character.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        self.writer.string(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        self.collect_seq(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.null()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.null()
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.null()
    }

    #[inline]
    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = self.open(Shape::Object, b'{')?;
        object.member(variant, value)?;
        object.close();
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, _len: Option<usize>) -> Result<Parts<'a, 'r>> {
        self.open(Shape::Array, b'[')
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Parts<'a, 'r>> {
        self.open(Shape::Array, b'[')
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Parts<'a, 'r>> {
        self.open(Shape::Array, b'[')
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts<'a, 'r>> {
        self.open_variant(variant, Shape::ArrayInObject, b'[')
    }

    #[inline]
    fn serialize_map(self, _len: Option<usize>) -> Result<Parts<'a, 'r>> {
        self.open(Shape::Object, b'{')
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Parts<'a, 'r>> {
        if !IS_KEY && RAW_TOKENS.contains(&name) {
            return Ok(Parts { writer: self.writer, is_first: true, shape: Shape::Raw });
        }
        self.open(Shape::Object, b'{')
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts<'a, 'r>> {
        self.open_variant(variant, Shape::ObjectInObject, b'{')
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.writer.byte(b'"');
        let written = write!(Escaped(self.writer), "{value}");
        self.writer.byte(b'"');
        written.map_err(|_| Error::custom("a value that cannot be displayed"))
    }
}

impl Parts<'_, '_> {
    /// Writes the comma that is due.
    #[inline]
    fn go_on(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.writer.byte(b',');
        }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.go_on();
        value.serialize(Value { writer: self.writer })
    }

    #[inline]
    fn member<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        if self.shape == Shape::Raw {
            return self.raw(value);
        }
        self.go_on();
        self.writer.string(key);
        self.writer.byte(b':');
        value.serialize(Value { writer: self.writer })
    }

    /// Writes a string that is JSON already. A formatter as a serializer shows it as it is.
    #[inline(never)]
    fn raw<T: Serialize + ?Sized>(&mut self, json: &T) -> Result<()> {
        struct Shown<'a, T: ?Sized>(&'a T);
        impl<T: Serialize + ?Sized> Display for Shown<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.serialize(f)
            }
        }
        write!(Unescaped(self.writer), "{}", Shown(json))
            .map_err(|_| Error::custom("expected text that is JSON"))
    }

    #[inline]
    fn close(self) {
        let brackets: &[u8] = match self.shape {
            Shape::Array => b"]",
            Shape::Object => b"}",
            Shape::ArrayInObject => b"]}",
            Shape::ObjectInObject => b"}}",
            Shape::Raw => b"",
        };
        self.writer.short(brackets);
    }
}

/// Takes formatted text in as a part of a string.
struct Escaped<'a, 'r>(&'a mut Writer<'r>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.text(text.as_bytes());
        Ok(())
    }
}

/// Takes formatted text in as JSON.
struct Unescaped<'a, 'r>(&'a mut Writer<'r>);

impl fmt::Write for Unescaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.json(text);
        Ok(())
    }
}

/// The traits of what has elements.
macro_rules! serialize_elements {
    ($($sequence:ident $method:ident),*) => {$(
        impl ser::$sequence for Parts<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.close();
                Ok(())
            }
        }
    )*};
}

serialize_elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

/// The traits of what has members with names.
macro_rules! serialize_members {
    ($($object:ident),*) => {$(
        impl ser::$object for Parts<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.member(key, value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.close();
                Ok(())
            }
        }
    )*};
}

serialize_members! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Parts<'_, '_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.go_on();
        key.serialize(Key { writer: self.writer })
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.byte(b':');
        value.serialize(Value { writer: self.writer })
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}
