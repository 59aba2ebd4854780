//! What the server advertises, serialised once: each answer is these bytes with the request's id.

use super::answer;
use crate::protocol::{Era, Revision, ToolDefinition};
use serde::Serialize;
use std::collections::HashMap;
use thiserror::Error;

/// Who answers: named in the handshake and in every modern result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Implementation {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Why a server cannot be built of its tools.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Two tools have the same name.
    #[error("two tools are named {name}: rename one of them")]
    DuplicateTool {
        /// The name.
        name: String,
    },
    /// A name that clients may refuse.
    #[error("the tool name {name:?} is not 1 to 128 characters of A-Z a-z 0-9 _ . -")]
    ToolName {
        /// The name.
        name: String,
    },
    /// A definition cannot be written as JSON.
    #[error("a tool definition cannot be written as JSON")]
    Serialize(#[from] serde_json::Error),
}

/// The answers that do not change while the server runs.
#[derive(Debug)]
pub(crate) struct Catalog {
    tools: HashMap<Box<str>, usize>,
    tools_list_modern: String,
    tools_list_legacy: String,
    discover: String,
    initialize_rest: String,
}

/// How long a client may keep a list: it cannot change while this process runs.
const TTL_MS: u32 = 3_600_000;

impl Catalog {
    pub(crate) fn new(
        tools: &[ToolDefinition],
        implementation: &Implementation,
        instructions: Option<&str>,
    ) -> Result<Self, CatalogError> {
        let implementation = serde_json::to_string(implementation)?;
        let server_info = answer::server_info_member(&implementation);
        let instructions = match instructions {
            Some(text) => format!(r#","instructions":{}"#, serde_json::to_string(text)?),
            None => String::new(),
        };
        let caching = format!(r#""ttlMs":{TTL_MS},"cacheScope":"public",{server_info}"#);
        let capabilities = r#""capabilities":{"tools":{},"logging":{}}"#;
        let versions = serde_json::to_string(&[Revision::MODERN.as_str()])?;
        let list_modern = list(tools, Era::Modern)?;
        let list_legacy = list(tools, Era::Legacy)?;
        Ok(Self {
            tools: index(tools)?,
            tools_list_modern: format!(r#"{{"resultType":"complete",{list_modern},{caching}}}"#),
            tools_list_legacy: format!("{{{list_legacy}}}"),
            discover: format!(
                r#"{{"resultType":"complete","supportedVersions":{versions},{capabilities}{instructions},{caching}}}"#
            ),
            initialize_rest: format!(r#",{capabilities},"serverInfo":{implementation}{instructions}}}"#),
        })
    }

    /// The place of a tool in its toolset.
    pub(crate) fn tool(&self, name: &str) -> Option<usize> {
        self.tools.get(name).copied()
    }

    /// The result of `tools/list`.
    pub(crate) fn tools_list(&self, era: Era) -> &str {
        match era {
            Era::Modern => &self.tools_list_modern,
            Era::Legacy => &self.tools_list_legacy,
        }
    }

    /// The result of `server/discover`.
    pub(crate) fn discover(&self) -> &str {
        &self.discover
    }

    /// The result of `initialize` behind its `protocolVersion`.
    pub(crate) fn initialize_rest(&self) -> &str {
        &self.initialize_rest
    }
}

fn list(tools: &[ToolDefinition], era: Era) -> Result<String, serde_json::Error> {
    let tools: Vec<_> = tools.iter().map(|tool| tool.in_era(era)).collect();
    Ok(format!(r#""tools":{}"#, serde_json::to_string(&tools)?))
}

fn index(tools: &[ToolDefinition]) -> Result<HashMap<Box<str>, usize>, CatalogError> {
    let mut index = HashMap::with_capacity(tools.len());
    for (place, tool) in tools.iter().enumerate() {
        let name = tool.name();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(CatalogError::ToolName { name: name.to_owned() });
        }
        if index.insert(name.into(), place).is_some() {
            return Err(CatalogError::DuplicateTool { name: name.to_owned() });
        }
    }
    Ok(index)
}
