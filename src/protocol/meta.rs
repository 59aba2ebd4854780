//! The `_meta` member of a request's parameters.

use crate::wire::{DecodeError, Kind, Lexer, Raw, match_key};
use bumpalo::Bump;

/// What this server reads in a request's `_meta`; other members are ignored.
///
/// ```
/// use mcpool::protocol::Meta;
///
/// assert!(!Meta::default().claims_version, "a message without `_meta` is one of the legacy era");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "which members were seen, each on its own")]
pub struct Meta<'f> {
    /// Whether the protocol version is present at all, be it well-formed or not: the mark of the modern
    /// era.
    pub claims_version: bool,
    /// `io.modelcontextprotocol/protocolVersion`, when it is a string.
    pub protocol_version: Option<&'f str>,
    /// `io.modelcontextprotocol/clientCapabilities`, when it is an object.
    pub client_capabilities: Option<Raw<'f>>,
    /// `io.modelcontextprotocol/clientInfo`, whatever its type.
    pub client_info: Option<Raw<'f>>,
    /// `io.modelcontextprotocol/logLevel`, whatever its type.
    pub log_level: Option<Raw<'f>>,
    /// `progressToken`, when it is a string or an integer.
    pub progress_token: Option<Raw<'f>>,
    /// `traceparent`, when it is a string: the span of the caller, whether well-formed or not.
    #[cfg(feature = "otel")]
    pub trace_parent: Option<&'f str>,
    /// `tracestate`, when it is a string.
    #[cfg(feature = "otel")]
    pub trace_state: Option<&'f str>,
    /// Whether the same member came twice.
    pub has_duplicate: bool,
    has_capabilities: bool,
    has_token: bool,
}

/// A key of `_meta`.
enum MetaKey {
    ProtocolVersion,
    ClientCapabilities,
    ClientInfo,
    LogLevel,
    ProgressToken,
    #[cfg(feature = "otel")]
    TraceParent,
    #[cfg(feature = "otel")]
    TraceState,
    Other,
}

impl MetaKey {
    /// Walks over the key at the lexer's place.
    #[cfg(not(feature = "otel"))]
    #[inline]
    fn next<'f>(lexer: &mut Lexer<'f>, arena: &'f Bump) -> Result<Self, DecodeError> {
        Ok(match_key!(lexer, arena, {
            "io.modelcontextprotocol/protocolVersion" => Self::ProtocolVersion,
            "io.modelcontextprotocol/clientInfo" => Self::ClientInfo,
            "io.modelcontextprotocol/clientCapabilities" => Self::ClientCapabilities,
            "progressToken" => Self::ProgressToken,
            "io.modelcontextprotocol/logLevel" => Self::LogLevel,
        }, Self::Other))
    }

    /// The same with what spans need besides: who exports none has no keys to compare with.
    #[cfg(feature = "otel")]
    #[inline]
    fn next<'f>(lexer: &mut Lexer<'f>, arena: &'f Bump) -> Result<Self, DecodeError> {
        Ok(match_key!(lexer, arena, {
            "io.modelcontextprotocol/protocolVersion" => Self::ProtocolVersion,
            "io.modelcontextprotocol/clientInfo" => Self::ClientInfo,
            "io.modelcontextprotocol/clientCapabilities" => Self::ClientCapabilities,
            "progressToken" => Self::ProgressToken,
            "io.modelcontextprotocol/logLevel" => Self::LogLevel,
            "traceparent" => Self::TraceParent,
            "tracestate" => Self::TraceState,
        }, Self::Other))
    }
}

impl<'f> Meta<'f> {
    /// Key of the claimed revision.
    pub const PROTOCOL_VERSION: &'static str = "io.modelcontextprotocol/protocolVersion";
    /// Key of the client's capabilities.
    pub const CLIENT_CAPABILITIES: &'static str = "io.modelcontextprotocol/clientCapabilities";
    /// Key of the wanted log level.
    pub const LOG_LEVEL: &'static str = "io.modelcontextprotocol/logLevel";
    /// Key of the server's name in results.
    pub const SERVER_INFO: &'static str = "io.modelcontextprotocol/serverInfo";
    /// Key of the task that a message of revision 2025-11-25 belongs to.
    pub const RELATED_TASK: &'static str = "io.modelcontextprotocol/related-task";

    /// Reads the object at the lexer's place.
    pub(super) fn decode(lexer: &mut Lexer<'f>, arena: &'f Bump) -> Result<Self, DecodeError> {
        let mut meta = Self::default();
        lexer.enter_object()?;
        while lexer.next_member()? {
            meta.member(lexer, arena)?;
        }
        Ok(meta)
    }

    fn member(&mut self, lexer: &mut Lexer<'f>, arena: &'f Bump) -> Result<(), DecodeError> {
        let key = MetaKey::next(lexer, arena)?;
        let kind = lexer.kind()?;
        match key {
            MetaKey::ProtocolVersion => {
                self.has_duplicate |= self.claims_version;
                self.claims_version = true;
                if kind == Kind::String {
                    self.protocol_version = Some(lexer.string(arena)?);
                    return Ok(());
                }
                lexer.raw()?;
            }
            MetaKey::ClientCapabilities => {
                let raw = lexer.raw()?;
                self.has_duplicate |= self.has_capabilities;
                self.has_capabilities = true;
                self.client_capabilities = (kind == Kind::Object).then_some(raw);
            }
            MetaKey::ClientInfo => self.client_info = Some(lexer.raw()?),
            MetaKey::LogLevel => {
                self.has_duplicate |= self.log_level.is_some();
                self.log_level = Some(lexer.raw()?);
            }
            MetaKey::ProgressToken => {
                let raw = lexer.raw()?;
                self.has_duplicate |= self.has_token;
                self.has_token = true;
                self.progress_token = super::Id::from_raw(raw, arena).map(|_| raw);
            }
            #[cfg(feature = "otel")]
            MetaKey::TraceParent if kind == Kind::String => self.trace_parent = Some(lexer.string(arena)?),
            #[cfg(feature = "otel")]
            MetaKey::TraceState if kind == Kind::String => self.trace_state = Some(lexer.string(arena)?),
            _ => {
                lexer.raw()?;
            }
        }
        Ok(())
    }
}
