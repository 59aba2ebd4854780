//! One JSON-RPC message, read in one pass over its frame.
//!
//! The envelope is walked member by member, in whatever order they come. When the walk reaches the
//! `arguments` of a `tools/call` whose tool is already named, it stops there, so that the caller can
//! decode them straight into that tool's own type ([`MessageDecoder::arguments`]) and then go on to the
//! end. Only a frame that puts `arguments` before the names it depends on costs a second pass over them.
//!
//! The walk rejects nothing: it remembers the first fault of shape, and the dispatcher answers it once the id is
//! known. Malformed JSON anywhere in the frame ends the walk.

use super::id::{Id, IdField};
use super::meta::Meta;
use super::method::Method;
use crate::wire::{DecodeError, Kind, Lexer, Raw, match_key};
use bumpalo::Bump;
use serde::Deserialize;

/// The members of a message that this server reads; others are ignored.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::protocol::{ArgumentsAt, MessageDecoder};
///
/// let arena = Bump::new();
/// let frame = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"}}}"#;
/// let mut decoder = MessageDecoder::new(frame, &arena)?;
/// assert_eq!(decoder.begin()?, ArgumentsAt::Here);
/// assert_eq!(decoder.message().name, Some("echo"));
/// let arguments: std::collections::BTreeMap<&str, &str> = decoder.arguments()??;
/// assert_eq!(arguments["text"], "a");
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "which members were seen, each on its own")]
pub struct Message<'f> {
    /// The `id`.
    pub id: IdField<'f>,
    /// The `method`, when it is a string.
    pub method: Option<&'f str>,
    /// The `params` as a whole.
    pub params: ParamsField<'f>,
    /// `params._meta`.
    pub meta: Meta<'f>,
    /// `params.name`, when it is a string.
    pub name: Option<&'f str>,
    /// `params.arguments`.
    pub arguments: Option<Raw<'f>>,
    /// `params.uri`, when it is a string.
    pub uri: Option<&'f str>,
    /// `params.taskId`, when it is a string.
    pub task_id: Option<&'f str>,
    /// `params.task`: a client of revision 2025-11-25 wants the call to go on as a task. The error says what is wrong with it.
    pub task: Option<Result<WantedTask, &'static str>>,
    /// `params.cursor`, whatever its type.
    pub cursor: Option<Raw<'f>>,
    /// `params.inputResponses`: what the client answers to the requests of an earlier round.
    pub input_responses: Option<Raw<'f>>,
    /// `params.requestState`, whatever its type.
    pub request_state: Option<Raw<'f>>,
    /// `result`: the message answers a request of ours.
    pub result: Option<Raw<'f>>,
    /// `error`: the message answers a request of ours.
    pub error: Option<Raw<'f>>,
    /// The first fault of shape, if any.
    pub fault: Option<ShapeFault>,
    has_version: bool,
    has_method: bool,
    has_name: bool,
    has_meta: bool,
}

impl<'f> Message<'f> {
    /// Decodes `params` as a whole; a message without any has an empty object.
    ///
    /// # Errors
    /// When they do not fit `P`.
    pub fn decode_params<P: Deserialize<'f>>(&self, arena: &'f Bump) -> Result<P, DecodeError> {
        match self.params {
            ParamsField::Object(text) => Lexer::from_text(text).decode(arena),
            _ => Lexer::from_text("{}").decode(arena),
        }
    }
}

/// What a client of revision 2025-11-25 wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedTask {
    /// How long it is to be kept, in milliseconds since its beginning; `u32::MAX` if the client does not say, or more.
    pub ttl_ms: u32,
}

impl Default for WantedTask {
    fn default() -> Self {
        Self { ttl_ms: u32::MAX }
    }
}

impl WantedTask {
    /// Reads `task`. A `ttl` of `null` is none, as in the official SDKs.
    ///
    /// # Errors
    /// In words, where a member is of another type.
    fn decode<'f>(task: Raw<'f>, arena: &'f Bump) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Metadata<'f> {
            #[serde(borrow, default)]
            ttl: Option<Raw<'f>>,
        }
        if task.kind() != Kind::Object {
            return Err("task must be an object");
        }
        let Ok(Metadata { ttl }) = task.decode::<Metadata<'f>>(arena) else {
            return Err("task must be an object with ttl once at most");
        };
        let Some(ttl) = ttl.filter(|ttl| ttl.kind() != Kind::Null) else { return Ok(Self::default()) };
        match ttl.as_str().parse::<f64>() {
            // What is more than fits is as much as fits.
            Ok(ms) if ttl.kind() == Kind::Number && ms >= 0.0 => Ok(Self { ttl_ms: ms as u32 }),
            _ => Err("task.ttl must be a number of milliseconds, 0 or more"),
        }
    }
}

/// The `params` member of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum ParamsField<'f> {
    /// There is none.
    #[default]
    Absent,
    /// An object, as its JSON text.
    Object(&'f str),
    /// Anything else.
    Other,
}

/// What is wrong with a message whose JSON is well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeFault {
    /// It is not an object.
    NotAnObject,
    /// A member that the server reads came twice.
    DuplicateMember,
    /// `jsonrpc` is missing or not `"2.0"`.
    Version,
    /// The `id` is `null`, a fraction, too long or of another type.
    Id,
    /// `method` is not a string.
    Method,
}

impl ShapeFault {
    /// The fault in words, with what was expected.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::NotAnObject => "a message is a JSON object",
            Self::DuplicateMember => "a member came twice",
            Self::Version => "jsonrpc must be \"2.0\"",
            Self::Id => "id must be a string or an integer of at most 256 bytes",
            Self::Method => "method must be a string",
        }
    }
}

/// A key of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EnvelopeKey {
    Version,
    Id,
    Method,
    Params,
    Result,
    Error,
    Other,
}

/// A key of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParamsKey {
    Name,
    Arguments,
    Meta,
    Uri,
    TaskId,
    Cursor,
    InputResponses,
    RequestState,
    Task,
    Other,
}

/// The position of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Envelope,
    Params { start: usize },
}

/// Whether the walk stopped at the arguments of a tool or reached the end of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentsAt {
    /// The lexer stands at the arguments: take them with [`MessageDecoder::arguments`].
    Here,
    /// The whole message has been read; arguments, if any, are in [`Message::arguments`].
    End,
}

/// The walk over one message.
///
/// ```
/// use bumpalo::Bump;
/// use mcpool::protocol::{ArgumentsAt, MessageDecoder};
///
/// let arena = Bump::new();
/// let frame = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a"}}}"#;
/// let mut decoder = MessageDecoder::new(frame, &arena)?;
/// assert_eq!(decoder.begin()?, ArgumentsAt::Here);
/// assert_eq!(decoder.message().name, Some("echo"));
/// let arguments: std::collections::BTreeMap<&str, &str> = decoder.arguments()??;
/// assert_eq!(arguments["text"], "a");
/// # Ok::<(), mcpool::wire::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MessageDecoder<'f> {
    lexer: Lexer<'f>,
    arena: &'f Bump,
    position: Position,
    message: Message<'f>,
}

impl<'f> MessageDecoder<'f> {
    /// Begins at the first byte of a frame.
    ///
    /// # Errors
    /// When the frame is not UTF-8.
    pub fn new(frame: &'f [u8], arena: &'f Bump) -> Result<Self, DecodeError> {
        Ok(Self::at(Lexer::from_bytes(frame)?, arena))
    }

    /// Begins at the lexer's place: an element of a batch.
    pub fn at(lexer: Lexer<'f>, arena: &'f Bump) -> Self {
        Self { lexer, arena, position: Position::Envelope, message: Message::default() }
    }

    /// What has been read so far.
    pub fn message(&self) -> &Message<'f> {
        &self.message
    }

    /// The arena that strings with escapes go to.
    pub fn arena(&self) -> &'f Bump {
        self.arena
    }

    /// Whether what was decoded may have memory of its own, beside the arena.
    pub(crate) fn has_owned(&self) -> bool {
        self.lexer.has_owned()
    }

    /// Walks from the start to the arguments of a tool, or to the end.
    ///
    /// # Errors
    /// When the JSON is malformed; [`MessageDecoder::message`] then tells what was read before.
    pub fn begin(&mut self) -> Result<ArgumentsAt, DecodeError> {
        if self.lexer.kind()? != Kind::Object {
            self.lexer.raw()?;
            self.lexer.finish()?;
            self.message.fault = Some(ShapeFault::NotAnObject);
            return Ok(ArgumentsAt::End);
        }
        self.lexer.enter_object()?;
        self.walk()
    }

    /// Decodes the arguments at which [`MessageDecoder::begin`] stopped, and walks on to the end.
    ///
    /// # Errors
    /// The outer error is malformed JSON. The inner one tells that the arguments are well-formed but
    /// do not fit `A`.
    pub fn arguments<A: Deserialize<'f>>(&mut self) -> Result<Result<A, DecodeError>, DecodeError> {
        let before = self.lexer.clone();
        let start = self.lexer.offset();
        let decoded = match self.lexer.decode::<A>(self.arena) {
            Ok(arguments) => {
                self.message.arguments = Some(self.lexer.raw_since(start));
                Ok(arguments)
            }
            Err(error) if error.is_syntax() || error.lacks_room() => return Err(error),
            Err(error) => {
                self.lexer = before;
                self.message.arguments = Some(self.lexer.raw()?);
                Err(error)
            }
        };
        self.walk().map(|_| decoded)
    }

    /// Skips the arguments at which [`MessageDecoder::begin`] stopped, and walks on to the end.
    ///
    /// # Errors
    /// When the JSON is malformed.
    pub fn skip_arguments(&mut self) -> Result<(), DecodeError> {
        self.message.arguments = Some(self.lexer.raw()?);
        self.walk().map(|_| ())
    }

    /// Skips the arguments as [`MessageDecoder::skip_arguments`] does. What is malformed is told as
    /// [`MessageDecoder::arguments`] of `A` tells it.
    ///
    /// # Errors
    /// When the JSON is malformed.
    pub fn skip_arguments_of<A: Deserialize<'f>>(&mut self) -> Result<(), DecodeError> {
        let before = self.lexer.clone();
        if let Ok(arguments) = self.lexer.raw() {
            self.message.arguments = Some(arguments);
            return self.walk().map(|_| ());
        }
        self.lexer = before;
        self.arguments::<A>().map(|_| ())
    }

    fn walk(&mut self) -> Result<ArgumentsAt, DecodeError> {
        loop {
            match self.position {
                Position::Params { start } => {
                    if !self.lexer.next_member()? {
                        self.message.params = ParamsField::Object(self.lexer.raw_since(start).as_str());
                        self.position = Position::Envelope;
                        continue;
                    }
                    let key = self.params_key()?;
                    if key == ParamsKey::Arguments && self.may_stop_here()? {
                        return Ok(ArgumentsAt::Here);
                    }
                    self.params_member(key)?;
                }
                Position::Envelope => {
                    if !self.lexer.next_member()? {
                        self.lexer.finish()?;
                        self.check_envelope();
                        return Ok(ArgumentsAt::End);
                    }
                    let key = self.envelope_key()?;
                    self.envelope_member(key)?;
                }
            }
        }
    }

    fn may_stop_here(&mut self) -> Result<bool, DecodeError> {
        Ok(self.message.name.is_some()
            && self.message.arguments.is_none()
            && self.message.method == Some(Method::ToolsCall.as_str())
            && self.lexer.kind()? == Kind::Object)
    }

    #[inline]
    fn envelope_key(&mut self) -> Result<EnvelopeKey, DecodeError> {
        Ok(match_key!(self.lexer, self.arena, {
            "jsonrpc" => EnvelopeKey::Version,
            "id" => EnvelopeKey::Id,
            "method" => EnvelopeKey::Method,
            "params" => EnvelopeKey::Params,
            "result" => EnvelopeKey::Result,
            "error" => EnvelopeKey::Error,
        }, EnvelopeKey::Other))
    }

    #[inline]
    fn params_key(&mut self) -> Result<ParamsKey, DecodeError> {
        Ok(match_key!(self.lexer, self.arena, {
            "name" => ParamsKey::Name,
            "arguments" => ParamsKey::Arguments,
            "_meta" => ParamsKey::Meta,
            "uri" => ParamsKey::Uri,
            "cursor" => ParamsKey::Cursor,
            "taskId" => ParamsKey::TaskId,
            "inputResponses" => ParamsKey::InputResponses,
            "requestState" => ParamsKey::RequestState,
            "task" => ParamsKey::Task,
        }, ParamsKey::Other))
    }

    fn envelope_member(&mut self, key: EnvelopeKey) -> Result<(), DecodeError> {
        let kind = self.lexer.kind()?;
        match key {
            EnvelopeKey::Version => {
                self.once(!self.message.has_version);
                self.message.has_version = true;
                let is_right = if kind == Kind::String {
                    self.lexer.take("\"2.0\"") || self.lexer.string(self.arena)? == "2.0"
                } else {
                    self.lexer.raw()?;
                    false
                };
                self.fault_unless(is_right, ShapeFault::Version);
            }
            EnvelopeKey::Id => {
                let is_first = self.message.id == IdField::Absent;
                self.once(is_first);
                // Of two ids neither can be trusted to be the one that the peer waits for.
                let id = Id::from_raw(self.lexer.raw()?, self.arena).filter(|_| is_first);
                self.message.id = id.map_or(IdField::Invalid, IdField::Valid);
            }
            EnvelopeKey::Method => {
                self.once(!self.message.has_method);
                self.message.has_method = true;
                if kind == Kind::String {
                    self.message.method = Some(self.lexer.string(self.arena)?);
                } else {
                    self.lexer.raw()?;
                    self.fault_unless(false, ShapeFault::Method);
                }
            }
            EnvelopeKey::Params => {
                self.once(self.message.params == ParamsField::Absent);
                self.message.params = ParamsField::Other;
                if kind == Kind::Object {
                    self.position = Position::Params { start: self.lexer.offset() };
                    self.lexer.enter_object()?;
                } else {
                    self.lexer.raw()?;
                }
            }
            EnvelopeKey::Result => {
                self.once(self.message.result.is_none());
                self.message.result = Some(self.lexer.raw()?);
            }
            EnvelopeKey::Error => {
                self.once(self.message.error.is_none());
                self.message.error = Some(self.lexer.raw()?);
            }
            EnvelopeKey::Other => {
                self.lexer.raw()?;
            }
        }
        Ok(())
    }

    fn params_member(&mut self, key: ParamsKey) -> Result<(), DecodeError> {
        let kind = self.lexer.kind()?;
        match key {
            ParamsKey::Name => {
                self.once(!self.message.has_name);
                self.message.has_name = true;
                if kind == Kind::String {
                    self.message.name = Some(self.lexer.string(self.arena)?);
                } else {
                    self.lexer.raw()?;
                }
            }
            ParamsKey::Arguments => {
                self.once(self.message.arguments.is_none());
                self.message.arguments = Some(self.lexer.raw()?);
            }
            ParamsKey::Uri | ParamsKey::TaskId if kind == Kind::String => {
                let place =
                    if key == ParamsKey::Uri { &mut self.message.uri } else { &mut self.message.task_id };
                let is_first = place.is_none();
                *place = Some(self.lexer.string(self.arena)?);
                self.once(is_first);
            }
            ParamsKey::Cursor | ParamsKey::InputResponses | ParamsKey::RequestState => {
                let place = match key {
                    ParamsKey::Cursor => &mut self.message.cursor,
                    ParamsKey::InputResponses => &mut self.message.input_responses,
                    _ => &mut self.message.request_state,
                };
                let is_first = place.is_none();
                *place = Some(self.lexer.raw()?);
                self.once(is_first);
            }
            ParamsKey::Task => {
                self.once(self.message.task.is_none());
                let task = self.lexer.raw()?;
                self.message.task = Some(WantedTask::decode(task, self.arena));
            }
            ParamsKey::Meta => {
                self.once(!self.message.has_meta);
                self.message.has_meta = true;
                if kind == Kind::Object {
                    self.message.meta = Meta::decode(&mut self.lexer, self.arena)?;
                    self.once(!self.message.meta.has_duplicate);
                } else {
                    self.lexer.raw()?;
                }
            }
            ParamsKey::Uri | ParamsKey::TaskId | ParamsKey::Other => {
                self.lexer.raw()?;
            }
        }
        Ok(())
    }

    fn check_envelope(&mut self) {
        self.fault_unless(self.message.has_version, ShapeFault::Version);
        self.fault_unless(self.message.id != IdField::Invalid, ShapeFault::Id);
    }

    fn once(&mut self, is_first: bool) {
        self.fault_unless(is_first, ShapeFault::DuplicateMember);
    }

    fn fault_unless(&mut self, holds: bool, fault: ShapeFault) {
        if !holds && self.message.fault.is_none() {
            self.message.fault = Some(fault);
        }
    }
}
