//! The capabilities that a client declares: in the handshake, or with each modern request.

use crate::wire::{Kind, Lexer, Raw};
use bumpalo::Bump;

/// An optional feature of clients.
///
/// ```
/// use mcpool::{CallContext, Capability, ToolError};
///
/// fn check(call: &mut CallContext) -> Result<(), ToolError> {
///     call.require(Capability::Elicitation)?; // a client that cannot be asked gets an error
///     if call.client_can(Capability::Sampling) {
///         call.text("your model could sum this up");
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Capability {
    /// Let its model write a message.
    Sampling,
    /// Let its model use tools while it does.
    SamplingTools,
    /// Let its user fill in a form.
    Elicitation,
    /// Send its user to an address.
    ElicitationUrl,
    /// List its root directories.
    Roots,
    /// Poll for the result of a task.
    Tasks,
    /// Let its model write a message as a task of its own; revision 2025-11-25 only.
    SamplingTasks,
    /// Let its user fill in a form as a task of its own; revision 2025-11-25 only.
    ElicitationTasks,
}

impl Capability {
    /// Id of the tasks extension.
    pub const TASKS: &'static str = "io.modelcontextprotocol/tasks";

    /// The capability as an error names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::SamplingTools => "sampling with tools",
            Self::Elicitation => "elicitation",
            Self::ElicitationUrl => "elicitation by URL",
            Self::Roots => "roots",
            Self::Tasks => "tasks",
            Self::SamplingTasks => "sampling as a task of its own",
            Self::ElicitationTasks => "elicitation as a task of its own",
        }
    }

    /// The capabilities object that a client would have to declare.
    pub const fn required_json(self) -> &'static str {
        match self {
            Self::Sampling => r#"{"sampling":{}}"#,
            Self::SamplingTools => r#"{"sampling":{"tools":{}}}"#,
            Self::Elicitation => r#"{"elicitation":{"form":{}}}"#,
            Self::ElicitationUrl => r#"{"elicitation":{"url":{}}}"#,
            Self::Roots => r#"{"roots":{}}"#,
            Self::Tasks => r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
            Self::SamplingTasks => {
                r#"{"sampling":{},"tasks":{"requests":{"sampling":{"createMessage":{}}}}}"#
            }
            Self::ElicitationTasks => {
                r#"{"elicitation":{},"tasks":{"requests":{"elicitation":{"create":{}}}}}"#
            }
        }
    }
}

/// The capabilities of one client.
///
/// ```
/// use mcpool::Capability;
/// use mcpool::protocol::ClientCapabilities;
///
/// let capabilities: ClientCapabilities = [Capability::Sampling].into_iter().collect();
/// assert_ne!(capabilities, ClientCapabilities::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientCapabilities {
    bits: u8,
}

impl ClientCapabilities {
    /// Reads a capabilities object; members that are no objects count as absent.
    pub fn decode(raw: Raw<'_>, arena: &Bump) -> Self {
        let mut capabilities = Self::default();
        let _ = capabilities.read(raw.as_str(), arena);
        capabilities
    }

    /// Whether the client declared it.
    pub const fn has(self, capability: Capability) -> bool {
        self.bits & (1 << capability as u8) != 0
    }

    /// Whether the client declared all of `others`.
    pub(crate) const fn includes(self, others: Self) -> bool {
        self.bits & others.bits == others.bits
    }

    /// Whether it declared nothing.
    pub(crate) const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// All of them as a number, for [`ClientCapabilities::from_bits`].
    pub(crate) const fn to_bits(self) -> u8 {
        self.bits
    }

    /// The capabilities of a number from [`ClientCapabilities::to_bits`].
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self { bits }
    }

    fn add(&mut self, capability: Capability) {
        self.bits |= 1 << capability as u8;
    }

    fn read(&mut self, json: &str, arena: &Bump) -> Option<()> {
        each_object(json, arena, |key, value| match key {
            "sampling" => {
                self.add(Capability::Sampling);
                each_object(value, arena, |key, _| {
                    if key == "tools" {
                        self.add(Capability::SamplingTools);
                    }
                });
            }
            "elicitation" => {
                let mut is_empty = true;
                each_object(value, arena, |key, _| {
                    is_empty = false;
                    match key {
                        "form" => self.add(Capability::Elicitation),
                        "url" => self.add(Capability::ElicitationUrl),
                        _ => {}
                    }
                });
                // An empty object means forms: older clients know nothing else.
                if is_empty {
                    self.add(Capability::Elicitation);
                }
            }
            "roots" => self.add(Capability::Roots),
            "tasks" => {
                each_object(value, arena, |key, requests| {
                    if key == "requests" {
                        self.read_task_requests(requests, arena);
                    }
                });
            }
            "extensions" => {
                each_object(value, arena, |key, _| {
                    if key == Capability::TASKS {
                        self.add(Capability::Tasks);
                    }
                });
            }
            _ => {}
        })
    }
}

impl ClientCapabilities {
    /// The requests that the client serves as tasks.
    fn read_task_requests(&mut self, json: &str, arena: &Bump) {
        each_object(json, arena, |family, methods| {
            each_object(methods, arena, |method, _| match (family, method) {
                ("sampling", "createMessage") => self.add(Capability::SamplingTasks),
                ("elicitation", "create") => self.add(Capability::ElicitationTasks),
                _ => {}
            });
        });
    }
}

impl FromIterator<Capability> for ClientCapabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut all = Self::default();
        capabilities.into_iter().for_each(|capability| all.add(capability));
        all
    }
}

/// Visits the members of an object that are objects themselves, with their JSON text.
fn each_object(json: &str, arena: &Bump, mut visit: impl FnMut(&str, &str)) -> Option<()> {
    let mut lexer = Lexer::from_text(json);
    if lexer.kind().ok()? != Kind::Object {
        return None;
    }
    lexer.enter_object().ok()?;
    while let Some(key) = lexer.next_key(arena).ok()? {
        let is_object = lexer.kind().ok()? == Kind::Object;
        let value = lexer.raw().ok()?;
        if is_object {
            visit(key, value.as_str());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{
        Elicitation, ElicitationTasks, ElicitationUrl, Roots, Sampling, SamplingTasks, SamplingTools, Tasks,
    };

    const ALL: [Capability; 8] =
        [Sampling, SamplingTools, Elicitation, ElicitationUrl, Roots, Tasks, SamplingTasks, ElicitationTasks];

    #[test]
    fn what_is_declared_is_known() {
        let rows: [(&str, &[Capability]); 11] = [
            (
                r#"{"tasks":{"list":{},"requests":{"sampling":{"createMessage":{}},"elicitation":{"create":{}}}}}"#,
                &[SamplingTasks, ElicitationTasks],
            ),
            (r#"{"tasks":{"cancel":{"sampling":{"createMessage":{}}},"requests":{"sampling":{}}}}"#, &[]),
            ("{}", &[]),
            (r#"{"sampling":{}}"#, &[Sampling]),
            (r#"{"sampling":{"tools":{}},"roots":{"listChanged":true}}"#, &[Sampling, SamplingTools, Roots]),
            (r#"{"elicitation":{}}"#, &[Elicitation]),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, &[Elicitation, ElicitationUrl]),
            (r#"{"elicitation":{"url":{}}}"#, &[ElicitationUrl]),
            (r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}"#, &[Tasks]),
            (r#"{"sampling":null,"roots":true,"elicitation":[]}"#, &[]),
            (r#"{"s\u0061mpling":{}}"#, &[Sampling]),
        ];
        let arena = Bump::new();
        for (json, want) in rows {
            let raw = Lexer::from_text(json).raw().expect("JSON");
            let found = ClientCapabilities::decode(raw, &arena);
            for capability in ALL {
                assert_eq!(found.has(capability), want.contains(&capability), "{json} {capability:?}");
            }
        }
    }

    #[test]
    fn what_is_required_would_be_enough() {
        let arena = Bump::new();
        for capability in ALL {
            let raw = Lexer::from_text(capability.required_json()).raw().expect("JSON");
            assert!(ClientCapabilities::decode(raw, &arena).has(capability), "{capability:?}");
        }
    }
}
