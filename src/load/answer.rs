//! Reads a message of a server: which request it answers, and whether it has the shape of that answer.
//!
//! One pass over the text, with nothing kept and nothing allocated. Knows shapes, not which request is waited for.

use super::failure::FailureKind;
use crate::wire::{DecodeError, Kind, Lexer};
use bumpalo::Bump;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// What a server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// An answer with a result.
    Result {
        id: Id,
        shape: Shape,
    },
    /// An answer with an error.
    Error {
        id: Id,
        code: i64,
    },
    /// A request of the server's own.
    Request,
    Notification,
}

/// The id of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Id {
    Number(u64),
    /// A number written as a text.
    Quoted(u64),
    /// Anything that this generator would not ask with.
    Foreign,
    #[default]
    Absent,
}

/// What of a result tells which method it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shape {
    /// A bit for each shape whose member it has.
    members: u8,
    is_error: bool,
    /// Another `resultType` than `complete`: an input that is required, a task.
    is_unfinished: bool,
}

/// The answer that a request should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedShape {
    /// Any object.
    Object,
    /// That of `tools/call`.
    ToolResult,
    /// A list of this kind.
    Tools,
    Resources,
    Prompts,
    /// The contents of a resource.
    Contents,
    /// That of `server/discover`.
    Versions,
    /// That of `initialize`.
    Handshake,
}

impl ExpectedShape {
    pub(super) fn of_method(method: &str) -> Self {
        match method {
            "tools/call" => Self::ToolResult,
            "tools/list" => Self::Tools,
            "resources/list" => Self::Resources,
            "prompts/list" => Self::Prompts,
            "resources/read" => Self::Contents,
            "server/discover" => Self::Versions,
            "initialize" => Self::Handshake,
            _ => Self::Object,
        }
    }

    /// Checks a result.
    pub(super) fn check(self, shape: Shape) -> Result<(), FailureKind> {
        let is_right = self == Self::Object || shape.members & (1 << self as u8) != 0;
        match shape {
            _ if !is_right || shape.is_unfinished => Err(FailureKind::WrongAnswer),
            Shape { is_error: true, .. } if self == Self::ToolResult => Err(FailureKind::ToolError),
            _ => Ok(()),
        }
    }
}

/// Reads one message.
pub(super) fn read(text: &[u8]) -> Result<Message, DecodeError> {
    // `serde_json` allocates for each value that it skips in which two levels are nested. The arena takes memory only
    // for keys that are written with escapes.
    let arena = Bump::new();
    let mut lexer = Lexer::from_bytes(text)?;
    let envelope: Envelope = lexer.decode(&arena)?;
    lexer.finish()?;
    envelope.message()
}

/// Reads the messages of an array, or one that stands alone; each is given with its text.
pub(super) fn read_each(text: &[u8], mut on_message: impl FnMut(Message, &[u8])) -> Result<(), DecodeError> {
    let arena = Bump::new();
    let mut lexer = Lexer::from_bytes(text)?;
    if lexer.kind()? != Kind::Array {
        on_message(read(text)?, text);
        return Ok(());
    }
    lexer.enter_array()?;
    while lexer.next_element()? {
        let starts = lexer.offset();
        let message = lexer.decode::<Envelope>(&arena)?.message()?;
        on_message(message, text[starts..lexer.offset()].trim_ascii());
    }
    lexer.finish()
}

impl Envelope {
    fn message(self) -> Result<Message, DecodeError> {
        let malformed = |what| Err(de::Error::custom(what));
        if !self.is_version_2 {
            return malformed("`jsonrpc` is not \"2.0\"");
        }
        let Self { id, has_method, result, error_code, .. } = self;
        match (has_method, result, error_code) {
            (true, None, None) if id == Id::Absent => Ok(Message::Notification),
            (true, None, None) => Ok(Message::Request),
            (false, Some(shape), None) => Ok(Message::Result { id, shape }),
            (false, None, Some(code)) => Ok(Message::Error { id, code }),
            _ => malformed("a message has one of `method`, `result` and `error`"),
        }
    }
}

#[derive(Default)]
struct Envelope {
    is_version_2: bool,
    id: Id,
    has_method: bool,
    result: Option<Shape>,
    error_code: Option<i64>,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Jsonrpc => envelope.is_version_2 = map.next_value::<Version>()?.0,
                Key::Id => envelope.id = map.next_value()?,
                Key::Method => {
                    map.next_value::<IgnoredAny>()?;
                    envelope.has_method = true;
                }
                Key::Result => envelope.result = Some(map.next_value()?),
                Key::Error => envelope.error_code = Some(map.next_value::<Fault>()?.0),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(envelope)
    }
}

/// The keys that are looked at, of the envelope, of a result and of an error.
#[derive(Clone, Copy)]
enum Key {
    Jsonrpc,
    Id,
    Method,
    Result,
    Error,
    Code,
    Content,
    IsError,
    ResultType,
    Tools,
    SupportedVersions,
    ProtocolVersion,
    Resources,
    Prompts,
    Contents,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a key")
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(match text {
                    "jsonrpc" => Key::Jsonrpc,
                    "id" => Key::Id,
                    "method" => Key::Method,
                    "result" => Key::Result,
                    "error" => Key::Error,
                    "code" => Key::Code,
                    "content" => Key::Content,
                    "isError" => Key::IsError,
                    "resultType" => Key::ResultType,
                    "tools" => Key::Tools,
                    "supportedVersions" => Key::SupportedVersions,
                    "protocolVersion" => Key::ProtocolVersion,
                    "resources" => Key::Resources,
                    "prompts" => Key::Prompts,
                    "contents" => Key::Contents,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// Whether `jsonrpc` is what it must be.
struct Version(bool);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;
        impl Visitor<'_> for VersionVisitor {
            type Value = Version;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("\"2.0\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<Version, E> {
                Ok(Version(text == "2.0"))
            }
        }
        deserializer.deserialize_str(VersionVisitor)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number or a string")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id::Number(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Id, E> {
                Ok(Id::Foreign)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Id, E> {
                Ok(Id::Foreign)
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(text.parse().map_or(Id::Foreign, Id::Quoted))
            }

            fn visit_unit<E>(self) -> Result<Id, E> {
                Ok(Id::Absent)
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// The code of an error object.
struct Fault(i64);

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FaultVisitor;
        impl<'de> Visitor<'de> for FaultVisitor {
            type Value = Fault;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an error object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fault, A::Error> {
                let mut code = None;
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Code => code = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                code.map(Fault).ok_or_else(|| de::Error::missing_field("code"))
            }
        }
        deserializer.deserialize_map(FaultVisitor)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a result object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        while let Some(key) = map.next_key::<Key>()? {
            let found = match key {
                Key::Content => ExpectedShape::ToolResult,
                Key::Tools => ExpectedShape::Tools,
                Key::SupportedVersions => ExpectedShape::Versions,
                Key::Resources => ExpectedShape::Resources,
                Key::Prompts => ExpectedShape::Prompts,
                Key::Contents => ExpectedShape::Contents,
                Key::ProtocolVersion => ExpectedShape::Handshake,
                Key::IsError => {
                    shape.is_error = map.next_value()?;
                    continue;
                }
                Key::ResultType => {
                    shape.is_unfinished = map.next_value::<ResultType>()?.0;
                    continue;
                }
                _ => ExpectedShape::Object,
            };
            if matches!(found, ExpectedShape::Object | ExpectedShape::Handshake) {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value::<List>()?;
            }
            shape.members |= 1 << found as u8;
        }
        Ok(shape)
    }
}

/// A list, whatever is in it.
struct List;

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<List, A::Error> {
                while entries.next_element::<IgnoredAny>()?.is_some() {}
                Ok(List)
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

/// Whether a result is none yet.
struct ResultType(bool);

impl<'de> Deserialize<'de> for ResultType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypeVisitor;
        impl Visitor<'_> for TypeVisitor {
            type Value = ResultType;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a result type")
            }

            fn visit_str<E>(self, text: &str) -> Result<ResultType, E> {
                Ok(ResultType(text != "complete"))
            }
        }
        deserializer.deserialize_str(TypeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an answer to a request with id 7.
    fn outcome(method: &str, text: &str) -> Result<(), FailureKind> {
        match read(text.as_bytes()) {
            Ok(Message::Result { id: Id::Number(7), shape }) => ExpectedShape::of_method(method).check(shape),
            Ok(Message::Error { id: Id::Number(7), .. }) => Err(FailureKind::Protocol),
            _ => Err(FailureKind::WrongAnswer),
        }
    }

    #[test]
    fn each_answer_is_right_or_fails_in_its_own_way() {
        let (wrong, tool) = (Err(FailureKind::WrongAnswer), Err(FailureKind::ToolError));
        for (method, answer, want) in [
            ("ping", r#""result":{}"#, Ok(())),
            ("ping", r#""result":[]"#, wrong),
            ("ping", r#""result":null"#, wrong),
            ("tools/call", r#""result":{"content":[{"type":"text","text":"a\n\u00e9"}]}"#, Ok(())),
            (
                "tools/call",
                r#""result":{"content":[],"isError":false,"structuredContent":{"a":[1]}}"#,
                Ok(()),
            ),
            ("tools/call", r#""result":{"content":[],"isError":true}"#, tool),
            ("tools/call", r#""result":{"resultType":"complete","content":[]}"#, Ok(())),
            ("tools/call", r#""result":{"resultType":"input_required","content":[]}"#, wrong),
            ("tools/call", r#""result":{"content":{}}"#, wrong),
            ("tools/call", r#""result":{}"#, wrong),
            ("tools/list", r#""result":{"tools":[{"name":"a"}]}"#, Ok(())),
            ("tools/list", r#""result":{"content":[]}"#, wrong),
            ("server/discover", r#""result":{"supportedVersions":["2026-07-28"]}"#, Ok(())),
            ("initialize", r#""result":{"protocolVersion":"2025-11-25"}"#, Ok(())),
            ("ping", r#""error":{"message":"no","code":-32601,"data":[]}"#, Err(FailureKind::Protocol)),
            ("ping", r#""error":{"message":"no code"}"#, wrong),
            ("ping", r#""result":{},"error":{"code":1,"message":""}"#, wrong),
            ("ping", r#""method":"ping""#, wrong),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,{answer}}}"#);
            assert_eq!(outcome(method, &text), want, "{method}: {text}");
        }
    }

    #[test]
    fn ids_must_be_those_that_were_asked_with() {
        for (id, want) in [
            ("7", Ok(())),
            ("8", Err(FailureKind::WrongAnswer)),
            ("-7", Err(FailureKind::WrongAnswer)),
            ("7.0", Err(FailureKind::WrongAnswer)),
            ("\"7\"", Err(FailureKind::WrongAnswer)),
            ("null", Err(FailureKind::WrongAnswer)),
            ("[7]", Err(FailureKind::WrongAnswer)),
        ] {
            assert_eq!(
                outcome("ping", &format!(r#"{{"result":{{}},"id":{id},"jsonrpc":"2.0"}}"#)),
                want,
                "{id}"
            );
        }
    }

    #[test]
    fn each_message_of_an_array_is_read() {
        let read = |text: &str| {
            let mut messages = Vec::new();
            let whole = read_each(text.as_bytes(), |message, text| messages.push((message, text.to_vec())));
            (messages, whole.is_ok())
        };
        let (one, two) =
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, r#"{"jsonrpc":"2.0","id":8,"error":{"code":1}}"#);
        let (messages, is_whole) = read(&format!(" [{one} , {two}] "));
        assert!(is_whole && matches!(messages[1].0, Message::Error { id: Id::Number(8), code: 1 }));
        assert_eq!(
            messages.iter().map(|(_, text)| text.as_slice()).collect::<Vec<_>>(),
            [one.as_bytes(), two.as_bytes()]
        );
        assert_eq!(read(one).0.len(), 1);
        for text in ["", "[", "[1]", "[{}]", "[[]]"] {
            let (messages, is_whole) = read(text);
            assert!(messages.is_empty() && !is_whole, "{text}");
        }
        let (messages, is_whole) = read(&format!("[{one},"));
        assert!(messages.len() == 1 && !is_whole, "what came before the fault was given");
    }

    #[test]
    fn what_a_server_asks_or_reports_is_no_answer() {
        let read = |text: &str| read(text.as_bytes()).ok();
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
        assert_eq!(read(progress), Some(Message::Notification));
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#), Some(Message::Request));
        for text in ["", "[]", "{}", "null", r#"{"jsonrpc":"1.0","id":7,"result":{}}"#, r#"{"jsonrpc":"2.0""#]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(read(r#"{"jsonrpc":"2.0","id":7,"result":{}} {}"#).is_none(), "two messages are none");
    }
}
