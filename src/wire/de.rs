//! The lexer as a source for serde.
//!
//! Differs from `serde_json` in one thing: strings are always handed out as borrowed, since those with
//! escapes live in the arena, so `&'f str` fields work for any string. In what is accepted, refused and
//! meant it follows `serde_json`; `tests/json_differential.rs` holds it to that.

use super::error::{DecodeError, DecodeFault};
use super::lexer::{Kind, Lexer};
use super::number::{Number, Precision};
use bumpalo::Bump;
use serde::de::{self, DeserializeSeed, Error as _, Expected, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use std::str::FromStr;

type Result<T> = std::result::Result<T, DecodeError>;

/// The name by which [`Raw`](super::Raw) asks for its text instead of a decoded value.
pub(super) const RAW_TOKEN: &str = "$mcpool::Raw";
/// The name by which [`EscapedText`](super::EscapedText) asks for a string as it is written.
pub(super) const ESCAPED_TOKEN: &str = "$mcpool::EscapedText";
/// The name by which [`Strings`](super::Strings) asks for a list of strings, and for its text behind the last one.
pub(super) const STRINGS_TOKEN: &str = "$mcpool::Strings";

/// A string that its type may copy, and a value that is decoded later, are free up to this size.
const FREE_BYTES: usize = 4 * 1024;
/// Elements of lists and members of objects that are free: a list has the more memory beside its text, the shorter its
/// elements are.
const FREE_ELEMENTS: usize = 256;

/// Decodes the value at a lexer's place.
#[derive(Debug)]
pub(super) struct Deserializer<'a, 'f> {
    lexer: &'a mut Lexer<'f>,
    arena: &'f Bump,
}

impl<'f> Lexer<'f> {
    /// Decodes a value into `T`; strings are borrowed as by [`Lexer::string`].
    ///
    /// # Errors
    /// When the value is malformed or does not fit `T`.
    #[inline]
    pub fn decode<T: de::Deserialize<'f>>(&mut self, arena: &'f Bump) -> Result<T> {
        let result = T::deserialize(Deserializer::new(self, arena));
        result.map_err(|error| error.or_at(self.offset()))
    }

    /// Whether what was decoded may have memory of its own, beside the arena, or may need some later.
    pub(crate) fn has_owned(&self) -> bool {
        self.has_owned
    }

    /// Hands out one more element of a list, which may be kept.
    #[inline]
    fn hand_out_element(&mut self, arena: &Bump) -> Result<()> {
        self.elements += 1;
        if self.elements > FREE_ELEMENTS { self.hand_out_owned(arena) } else { Ok(()) }
    }

    /// Hands out a text of which there may be a copy, or which is decoded later.
    #[inline]
    fn hand_out_text(&mut self, text: &str, arena: &Bump) -> Result<()> {
        if text.len() > FREE_BYTES { self.hand_out_owned(arena) } else { Ok(()) }
    }

    /// An arena with a limit is one of a message for which nothing is reserved yet.
    #[inline(never)]
    fn hand_out_owned(&mut self, arena: &Bump) -> Result<()> {
        self.has_owned = true;
        match arena.allocation_limit() {
            None => Ok(()),
            Some(_) => Err(DecodeError::new(self.offset(), DecodeFault::NoRoom)),
        }
    }
}

impl<'a, 'f> Deserializer<'a, 'f> {
    pub(super) fn new(lexer: &'a mut Lexer<'f>, arena: &'f Bump) -> Self {
        Self { lexer, arena }
    }

    #[inline]
    fn literal<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        let first = self.lexer.peek();
        self.lexer.skip_literal()?;
        match first {
            Some(b't') => visitor.visit_bool(true),
            Some(b'f') => visitor.visit_bool(false),
            _ => visitor.visit_unit(),
        }
    }

    #[inline]
    fn number<V: Visitor<'f>>(self, precision: Precision, visitor: V) -> Result<V::Value> {
        visit_number(self.lexer.number(precision)?, visitor)
    }

    #[inline]
    fn number_or_unwanted<V: Visitor<'f>>(self, precision: Precision, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Number => self.number(precision, visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn wide_integer<T: FromStr>(&mut self) -> Result<T> {
        self.lexer.kind()?;
        let parsed = self.lexer.wide_integer()?.parse();
        parsed.map_err(|_| DecodeError::new(self.lexer.offset(), DecodeFault::NumberOutOfRange))
    }

    /// The string that comes next, for a type that may copy it.
    #[inline]
    fn owned_string<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        let text = self.lexer.seen_string(self.arena)?;
        self.lexer.hand_out_text(text, self.arena)?;
        visitor.visit_borrowed_str(text)
    }

    #[inline]
    fn array<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.lexer.enter_array()?;
        let mut elements = Elements { lexer: self.lexer, arena: self.arena, is_done: false };
        let value = visitor.visit_seq(&mut elements)?;
        // A visitor may stop before it has seen the end, but not before there is one.
        if !elements.is_done && elements.lexer.next_element()? {
            return Err(DecodeError::custom("trailing elements in an array"));
        }
        Ok(value)
    }

    #[inline]
    fn object<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.lexer.enter_object()?;
        let mut members = Members { lexer: self.lexer, arena: self.arena, is_done: false };
        let value = visitor.visit_map(&mut members)?;
        if !members.is_done && members.lexer.next_key(members.arena)?.is_some() {
            return Err(DecodeError::custom("trailing members in an object"));
        }
        Ok(value)
    }

    /// The error for a value of a kind that is not wanted.
    #[cold]
    fn unwanted(self, wanted: &dyn Expected) -> DecodeError {
        let unexpected = |lexer: &mut Lexer<'f>, arena| -> Result<DecodeError> {
            Ok(match lexer.kind()? {
                Kind::Null => DecodeError::invalid_type(Unexpected::Unit, wanted),
                Kind::Bool => DecodeError::invalid_type(Unexpected::Bool(lexer.peek() == Some(b't')), wanted),
                Kind::Number => match lexer.number(Precision::Double)? {
                    Number::Positive(number) => {
                        DecodeError::invalid_type(Unexpected::Unsigned(number), wanted)
                    }
                    Number::Negative(number) => DecodeError::invalid_type(Unexpected::Signed(number), wanted),
                    Number::Float(number) => DecodeError::invalid_type(Unexpected::Float(number), wanted),
                },
                Kind::String => DecodeError::invalid_type(Unexpected::Str(lexer.string(arena)?), wanted),
                Kind::Array => DecodeError::invalid_type(Unexpected::Seq, wanted),
                Kind::Object => DecodeError::invalid_type(Unexpected::Map, wanted),
            })
        };
        unexpected(self.lexer, self.arena).unwrap_or_else(|error| error)
    }
}

#[inline]
fn visit_number<'f, V: Visitor<'f>>(number: Number, visitor: V) -> Result<V::Value> {
    match number {
        Number::Positive(number) => visitor.visit_u64(number),
        Number::Negative(number) => visitor.visit_i64(number),
        Number::Float(number) => visitor.visit_f64(number),
    }
}

/// Numbers of all sizes: the visitor checks the range.
macro_rules! deserialize_numbers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
            self.number_or_unwanted(Precision::Double, visitor)
        }
    )*};
}

/// Strings of all uses.
macro_rules! deserialize_strings {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
            match self.lexer.kind()? {
                Kind::String => visitor.visit_borrowed_str(self.lexer.seen_string(self.arena)?),
                _ => Err(self.unwanted(&visitor)),
            }
        }
    )*};
}

impl<'f> de::Deserializer<'f> for Deserializer<'_, 'f> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Null | Kind::Bool => self.literal(visitor),
            Kind::Number => self.number(Precision::Double, visitor),
            Kind::String => self.owned_string(visitor),
            Kind::Array => self.array(visitor),
            Kind::Object => self.object(visitor),
        }
    }

    deserialize_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f64
    }

    fn deserialize_f32<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.number_or_unwanted(Precision::Single, visitor)
    }

    deserialize_strings! { deserialize_char deserialize_str deserialize_identifier }

    fn deserialize_string<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::String => self.owned_string(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn deserialize_i128<V: Visitor<'f>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_i128(self.wide_integer()?)
    }

    fn deserialize_u128<V: Visitor<'f>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_u128(self.wide_integer()?)
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Bool => self.literal(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Null => self.literal(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'f>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_bytes<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::String => {
                let text = self.lexer.string(self.arena)?;
                self.lexer.hand_out_text(text, self.arena)?;
                visitor.visit_borrowed_bytes(text.as_bytes())
            }
            Kind::Array => self.array(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        if self.lexer.kind()? == Kind::Null {
            self.lexer.skip_literal()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'f>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == RAW_TOKEN {
            let text = self.lexer.value_text()?;
            self.lexer.hand_out_text(text, self.arena)?;
            return visitor.visit_borrowed_str(text);
        }
        if name == ESCAPED_TOKEN {
            return match self.lexer.kind()? {
                Kind::String => visitor.visit_borrowed_str(self.lexer.seen_written_string()?),
                _ => Err(self.unwanted(&visitor)),
            };
        }
        if name == STRINGS_TOKEN {
            return match self.lexer.kind()? {
                Kind::Array => visitor.visit_seq(WrittenStrings::enter(self.lexer, self.arena)?),
                _ => Err(self.unwanted(&visitor)),
            };
        }
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Array => self.array(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'f>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'f>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Object => self.object(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'f>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::Object => self.object(visitor),
            Kind::Array => self.array(visitor),
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'f>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.lexer.kind()? {
            Kind::String => {
                let variant = self.lexer.string(self.arena)?;
                visitor.visit_enum(de::value::BorrowedStrDeserializer::new(variant))
            }
            Kind::Object => {
                self.lexer.enter_object()?;
                let value = visitor.visit_enum(Variant { lexer: &mut *self.lexer, arena: self.arena })?;
                if self.lexer.next_key(self.arena)?.is_some() {
                    return Err(DecodeError::custom("a variant is an object with one member"));
                }
                Ok(value)
            }
            _ => Err(self.unwanted(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.lexer.value_text()?;
        visitor.visit_unit()
    }
}

/// The elements of the array that was entered.
struct Elements<'a, 'f> {
    lexer: &'a mut Lexer<'f>,
    arena: &'f Bump,
    /// The closing bracket was read.
    is_done: bool,
}

impl<'f> de::SeqAccess<'f> for &mut Elements<'_, 'f> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'f>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.is_done || !self.lexer.next_element()? {
            self.is_done = true;
            return Ok(None);
        }
        self.lexer.hand_out_element(self.arena)?;
        seed.deserialize(Deserializer::new(self.lexer, self.arena)).map(Some)
    }
}

/// The strings of a list as they are written, and behind them the list.
struct WrittenStrings<'a, 'f> {
    lexer: &'a mut Lexer<'f>,
    arena: &'f Bump,
    start: usize,
    is_done: bool,
}

impl<'a, 'f> WrittenStrings<'a, 'f> {
    fn enter(lexer: &'a mut Lexer<'f>, arena: &'f Bump) -> Result<Self> {
        let start = lexer.offset();
        lexer.enter_array()?;
        Ok(Self { lexer, arena, start, is_done: false })
    }
}

impl<'f> de::SeqAccess<'f> for WrittenStrings<'_, 'f> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'f>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.is_done {
            let list = self.lexer.text_since(self.start);
            return seed.deserialize(de::value::BorrowedStrDeserializer::new(list)).map(Some);
        }
        if !self.lexer.next_element()? {
            self.is_done = true;
            return Ok(None);
        }
        let start = self.lexer.offset();
        let string = seed.deserialize(Deserializer::new(self.lexer, self.arena))?;
        // A long one takes as much again when it is unescaped.
        self.lexer.hand_out_text(self.lexer.text_since(start), self.arena)?;
        Ok(Some(string))
    }
}

/// The members of the object that was entered.
struct Members<'a, 'f> {
    lexer: &'a mut Lexer<'f>,
    arena: &'f Bump,
    /// The closing bracket was read.
    is_done: bool,
}

impl<'f> de::MapAccess<'f> for &mut Members<'_, 'f> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'f>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.is_done {
            return Ok(None);
        }
        let Some(key) = self.lexer.next_key(self.arena)? else {
            self.is_done = true;
            return Ok(None);
        };
        self.lexer.hand_out_element(self.arena)?;
        seed.deserialize(Key(key)).map(Some)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'f>>(&mut self, seed: T) -> Result<T::Value> {
        seed.deserialize(Deserializer::new(self.lexer, self.arena))
    }
}

/// A key that was read: a string to most, a number or a truth value to maps keyed by those.
struct Key<'f>(&'f str);

impl<'f> Key<'f> {
    /// What the key spells if that is a number of JSON and nothing else.
    fn spells<T>(&self, number: impl FnOnce(&mut Lexer<'f>) -> Result<T>) -> Result<Option<T>> {
        if !self.0.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Ok(None);
        }
        let mut lexer = Lexer::from_text(self.0);
        let number = number(&mut lexer)?;
        Ok((lexer.offset() == self.0.len()).then_some(number))
    }

    fn number<V: Visitor<'f>>(self, precision: Precision, visitor: V) -> Result<V::Value> {
        match self.spells(|lexer| lexer.number(precision))? {
            Some(number) => visit_number(number, visitor),
            None => visitor.visit_borrowed_str(self.0),
        }
    }

    fn wide_integer<T: FromStr>(&self) -> Result<Option<T>> {
        Ok(self.spells(Lexer::wide_integer)?.and_then(|text| text.parse().ok()))
    }
}

macro_rules! deserialize_number_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
            self.number(Precision::Double, visitor)
        }
    )*};
}

impl<'f> de::Deserializer<'f> for Key<'f> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    deserialize_number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f64
    }

    fn deserialize_f32<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        self.number(Precision::Single, visitor)
    }

    fn deserialize_i128<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.wide_integer()? {
            Some(number) => visitor.visit_i128(number),
            None => visitor.visit_borrowed_str(self.0),
        }
    }

    fn deserialize_u128<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.wide_integer()? {
            Some(number) => visitor.visit_u128(number),
            None => visitor.visit_borrowed_str(self.0),
        }
    }

    fn deserialize_bool<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            key => visitor.visit_borrowed_str(key),
        }
    }

    fn deserialize_option<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'f>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'f>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(de::value::BorrowedStrDeserializer::new(self.0))
    }

    fn deserialize_bytes<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'f>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    forward_to_deserialize_any! {
        <V: Visitor<'f>>
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The one member of an object that stands for a variant with contents.
struct Variant<'a, 'f> {
    lexer: &'a mut Lexer<'f>,
    arena: &'f Bump,
}

impl<'f> de::EnumAccess<'f> for Variant<'_, 'f> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'f>>(self, seed: S) -> Result<(S::Value, Self)> {
        let Some(name) = self.lexer.next_key(self.arena)? else {
            return Err(DecodeError::custom("a variant is an object with one member"));
        };
        Ok((seed.deserialize(Key(name))?, self))
    }
}

impl<'f> de::VariantAccess<'f> for Variant<'_, 'f> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        de::Deserialize::deserialize(Deserializer::new(self.lexer, self.arena))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'f>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(Deserializer::new(self.lexer, self.arena))
    }

    fn tuple_variant<V: Visitor<'f>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_seq(Deserializer::new(self.lexer, self.arena), visitor)
    }

    fn struct_variant<V: Visitor<'f>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_struct(Deserializer::new(self.lexer, self.arena), "", fields, visitor)
    }
}
