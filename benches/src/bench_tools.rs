//! The tools that requests are timed with: nothing done, text said back, a list decoded, walked and written again.

use mcpool::wire::Elements;
use mcpool::{CallContext, Tool, ToolDefinition, ToolError};
use mcpool_pools::ArenaLease;
use schemars::JsonSchema;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};

/// A tool that takes nothing and answers nothing: what is left is the way there and back.
#[derive(Debug)]
pub struct Nothing;

/// The arguments of [`Nothing`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NoArguments {}

impl Tool for Nothing {
    type Arguments<'a> = NoArguments;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("nothing", "Does nothing.").arguments::<NoArguments>()
    }

    async fn call(&self, _: NoArguments, _: &mut CallContext) -> Result<(), ToolError> {
        Ok(())
    }
}

/// A tool that says back what it is told.
#[derive(Debug)]
pub struct Echo;

/// The arguments of [`Echo`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EchoArguments<'a> {
    /// What to say back.
    pub text: &'a str,
}

impl Tool for Echo {
    type Arguments<'a> = EchoArguments<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says back what it is told.").arguments::<EchoArguments<'_>>()
    }

    async fn call<'a>(
        &'a self,
        arguments: EchoArguments<'a>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        call.text(arguments.text);
        Ok(())
    }
}

/// A tool that answers with the list that it is given, each entry decoded to its leaves and written anew.
#[derive(Debug)]
pub struct PutEntries;

/// The arguments of [`PutEntries`].
#[derive(Debug, Deserialize)]
pub struct Entries<'a> {
    /// The list, decoded while it is walked.
    #[serde(borrow)]
    pub entries: Elements<'a, Entry<'a>>,
}

/// One entry.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Entry<'a> {
    /// A number.
    pub id: u64,
    /// A short string.
    pub name: &'a str,
    /// Another number.
    pub size: u64,
    /// A flag.
    pub is_dir: bool,
    /// A list in the list.
    pub tags: [&'a str; 2],
}

const ENTRIES_SCHEMA: &str = r#"{"type":"object","properties":{"entries":{"type":"array","items":{"type":"object"}}},"required":["entries"]}"#;

impl Tool for PutEntries {
    type Arguments<'a> = Entries<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("put_entries", "Gives back the entries.").input_schema(ENTRIES_SCHEMA)
    }

    async fn call<'a>(&'a self, arguments: Entries<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        let walked = Walked { entries: arguments.entries, arena: call.arena() };
        // With a block of its own the answer carries the list once, not as text besides.
        call.text("written");
        call.structured(&walked)
    }
}

/// The list as an answer: each entry is decoded when its turn comes.
struct Walked<'a> {
    entries: Elements<'a, Entry<'a>>,
    arena: ArenaLease,
}

#[derive(Serialize)]
struct Answer<'w, 'a> {
    entries: List<'w, 'a>,
}

struct List<'w, 'a>(&'w Walked<'a>);

impl Serialize for Walked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Answer { entries: List(self) }.serialize(serializer)
    }
}

impl Serialize for List<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for entry in self.0.entries.iter(&self.0.arena) {
            list.serialize_element(&entry.map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}
