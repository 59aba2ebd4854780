//! Agrees on the protocol revision with a server.
//!
//! First comes `server/discover` of revision 2026-07-28. Any answer that is not of that revision, or none in time,
//! means an older server, which gets `initialize`. Does not know how bytes move.

use super::connection::Fault;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The revision without a handshake: each request carries all that the server needs.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest revision with a handshake.
pub(super) const NEWEST_WITH_HANDSHAKE: &str = "2025-11-25";
/// All revisions with a handshake that this client speaks.
const WITH_HANDSHAKE: [&str; 4] = [NEWEST_WITH_HANDSHAKE, "2025-06-18", "2025-03-26", "2024-11-05"];
/// JSON-RPC code of an unsupported revision.
const UNSUPPORTED_REVISION: i64 = -32022;

/// The form of requests that the server understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Every request carries revision, client and capabilities.
    Modern,
    /// They were exchanged once, in the handshake.
    Handshake {
        /// The revision that the server chose.
        revision: String,
    },
}

/// What to do after the probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// The server is of revision 2026-07-28.
    Modern,
    /// It is an older server: send `initialize`.
    Older,
    /// It supports no revision that this client supports.
    Foreign(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: Vec<String>,
}

#[derive(Deserialize)]
struct Unsupported {
    supported: Vec<String>,
}

/// Decides by the answer to `server/discover`.
pub(super) fn after_discover(answer: Result<&str, &Fault>) -> Probe {
    let offered = match answer {
        Ok(result) => serde_json::from_str::<Discovered>(result).map(|d| d.supported_versions).ok(),
        Err(fault) if fault.code == UNSUPPORTED_REVISION => fault
            .data
            .as_ref()
            .and_then(|data| serde_json::from_str::<Unsupported>(data.get()).ok())
            .map(|unsupported| unsupported.supported),
        Err(_) => None,
    };
    match offered {
        None => Probe::Older,
        Some(offered) if answer.is_ok() && offered.iter().any(|revision| revision == MODERN) => Probe::Modern,
        Some(offered) if offered.iter().any(|revision| supports(revision)) => Probe::Older,
        Some(offered) => Probe::Foreign(offered.join(", ")),
    }
}

/// Whether a message that answers `server/discover` comes from a server of revision 2026-07-28; otherwise it is an older
/// one. An error has the revisions that it offers, where this client speaks none of them.
#[cfg(feature = "load")]
pub(crate) fn answers_discover(message: &[u8]) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a serde_json::value::RawValue>,
        error: Option<Fault>,
    }
    let Ok(Answer { result, error }) = serde_json::from_slice(message) else { return Ok(false) };
    let probe = match (result, &error) {
        (Some(result), _) => after_discover(Ok(result.get())),
        (None, Some(fault)) => after_discover(Err(fault)),
        (None, None) => Probe::Older,
    };
    match probe {
        Probe::Modern => Ok(true),
        Probe::Older => Ok(false),
        Probe::Foreign(offered) => Err(offered),
    }
}

/// Tells whether this client supports `revision` in a handshake.
pub(super) fn supports(revision: &str) -> bool {
    WITH_HANDSHAKE.contains(&revision)
}

/// Who asks.
pub(crate) fn client_info() -> Value {
    json!({"name": "mcpool", "version": env!("CARGO_PKG_VERSION")})
}

/// Parameters of `initialize`.
pub(crate) fn initialize_params() -> Value {
    json!({"protocolVersion": NEWEST_WITH_HANDSHAKE, "capabilities": {}, "clientInfo": client_info()})
}

/// What each request of revision 2026-07-28 carries in its `_meta`.
pub(crate) fn modern_meta() -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), MODERN.into());
    meta.insert("io.modelcontextprotocol/clientInfo".to_owned(), client_info());
    meta.insert("io.modelcontextprotocol/clientCapabilities".to_owned(), json!({}));
    meta
}

impl Dialect {
    /// The revision in use.
    pub(super) fn revision(&self) -> &str {
        match self {
            Self::Modern => MODERN,
            Self::Handshake { revision } => revision,
        }
    }

    /// Adds to `params` what each request must carry.
    pub(super) fn params(&self, mut params: Map<String, Value>, progress_token: Option<u64>) -> Value {
        let mut meta = Map::new();
        if let Some(token) = progress_token {
            meta.insert("progressToken".to_owned(), token.into());
        }
        if *self == Self::Modern {
            meta.extend(modern_meta());
        }
        if !meta.is_empty() {
            params.insert("_meta".to_owned(), Value::Object(meta));
        }
        if params.is_empty() { Value::Null } else { Value::Object(params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).expect("an error object")
    }

    #[test]
    fn the_probe_distinguishes_the_eras() {
        let cases = [
            (Ok(r#"{"resultType":"complete","supportedVersions":["2026-07-28"]}"#), Probe::Modern),
            (Ok(r#"{"supportedVersions":["2027-01-01","2026-07-28"]}"#), Probe::Modern),
            (Ok(r#"{"supportedVersions":["2025-06-18"]}"#), Probe::Older),
            (Ok(r#"{"supportedVersions":["2031-01-01"]}"#), Probe::Foreign("2031-01-01".to_owned())),
            (Ok(r#"{"hello":"world"}"#), Probe::Older),
            (Err(r#"{"code":-32601,"message":"Method not found"}"#), Probe::Older),
            (Err(r#"{"code":-32602,"message":"Invalid request parameters","data":""}"#), Probe::Older),
            (Err(r#"{"code":-32020,"message":"x"}"#), Probe::Older),
            (Err(r#"{"code":-32022,"message":"x"}"#), Probe::Older),
            (Err(r#"{"code":-32022,"message":"x","data":{"supported":["2025-11-25"]}}"#), Probe::Older),
            (
                Err(
                    r#"{"code":-32022,"message":"x","data":{"supported":["2027-01-01"],"requested":"2026-07-28"}}"#,
                ),
                Probe::Foreign("2027-01-01".to_owned()),
            ),
        ];
        for (answer, want) in cases {
            let fault = answer.err().map(fault);
            let next = match (&answer, &fault) {
                (Ok(result), _) => after_discover(Ok(result)),
                (Err(_), Some(fault)) => after_discover(Err(fault)),
                (Err(_), None) => unreachable!("each refusal has its fault"),
            };
            assert_eq!(next, want, "{answer:?}");
        }
    }

    #[test]
    fn only_modern_requests_carry_who_asks() {
        let modern = Dialect::Modern.params(Map::new(), None);
        assert_eq!(modern["_meta"]["io.modelcontextprotocol/protocolVersion"], MODERN);
        assert_eq!(modern["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({}));
        let older = Dialect::Handshake { revision: NEWEST_WITH_HANDSHAKE.to_owned() };
        assert_eq!(older.params(Map::new(), None), Value::Null);
        assert_eq!(older.params(Map::new(), Some(7)), json!({"_meta": {"progressToken": 7}}));
    }
}
