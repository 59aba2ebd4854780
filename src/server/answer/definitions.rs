//! The definitions of all tools of a server: those that it was built with, and those that come and go while it runs.
//!
//! A tool that comes takes one of the vacant numbers that the server was built with, so that the number of each other tool
//! stays what it is. What a tool was is kept until another one takes its number: its counts stay in the report.

use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::answer::catalog::{self, CatalogError};
#[cfg(feature = "validation")]
use crate::server::answer::validation::Validators;
use arc_swap::ArcSwap;
use std::ops::{Deref, Range};
use std::sync::Arc;
use thiserror::Error;

/// Why a tool cannot be added to a server that runs.
///
/// ```
/// use mcpool::{AddToolError, DynamicTool, Server, ToolDefinition};
///
/// let tool = |name| DynamicTool::new(ToolDefinition::new(name, "A tool."), |_, _| Box::pin(async { Ok(()) }));
/// let server = Server::builder("plugins", "1.0.0").dynamic_tools(1).build()?;
/// server.add_tool(tool("a"))?;
/// assert!(matches!(server.add_tool(tool("b")), Err(AddToolError::NoRoom { most: 1 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AddToolError {
    /// All places are taken.
    #[error(
        "{most} tools were added, and no more have room: remove one, or build the server with more \
         (ServerBuilder::dynamic_tools)"
    )]
    NoRoom {
        /// How many tools can be there at once.
        most: usize,
    },
    /// The tool cannot be advertised.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The definitions of all tools, by number.
pub(crate) struct Definitions {
    built: Vec<ToolDefinition>,
    added: Option<Added>,
}

struct Added {
    numbers: Range<usize>,
    now: ArcSwap<Now>,
}

/// All tools at one moment.
#[derive(Clone)]
struct Now {
    tools: Vec<ToolDefinition>,
    /// Of the numbers of added tools.
    #[cfg(feature = "validation")]
    validators: Vec<Arc<Validators>>,
}

/// All definitions, as they were when somebody asked.
pub(crate) struct AllDefinitions<'d>(Held<'d>);

enum Held<'d> {
    Built(&'d [ToolDefinition]),
    Now(Arc<Now>),
}

impl Deref for AllDefinitions<'_> {
    type Target = [ToolDefinition];

    fn deref(&self) -> &[ToolDefinition] {
        match &self.0 {
            Held::Built(tools) => tools,
            Held::Now(now) => &now.tools,
        }
    }
}

/// One definition.
pub(crate) struct Definition<'d> {
    all: AllDefinitions<'d>,
    number: usize,
}

impl Deref for Definition<'_> {
    type Target = ToolDefinition;

    fn deref(&self) -> &ToolDefinition {
        &self.all[self.number]
    }
}

impl Definitions {
    /// Of a server with these tools, of which those with the numbers `vacant` are there to be taken.
    pub(crate) fn new(built: Vec<ToolDefinition>, vacant: Option<Range<usize>>) -> Self {
        let added = vacant.map(|numbers| {
            let now = Now {
                tools: built.clone(),
                #[cfg(feature = "validation")]
                validators: vec![Arc::default(); numbers.len()],
            };
            Added { numbers, now: ArcSwap::from_pointee(now) }
        });
        Self { built, added }
    }

    /// Those that the server was built with.
    pub(crate) fn built(&self) -> &[ToolDefinition] {
        &self.built
    }

    /// All of them, vacant ones too.
    pub(crate) fn all(&self) -> AllDefinitions<'_> {
        AllDefinitions(match &self.added {
            None => Held::Built(&self.built),
            Some(added) => Held::Now(added.now.load_full()),
        })
    }

    /// The definition with this number.
    pub(crate) fn find(&self, number: usize) -> Option<Definition<'_>> {
        if number >= self.built.len() {
            return None;
        }
        let is_built = self.added.as_ref().is_none_or(|added| !added.numbers.contains(&number));
        let all = if is_built { AllDefinitions(Held::Built(&self.built)) } else { self.all() };
        Some(Definition { all, number })
    }

    /// What validates the calls of an added tool; nothing for the others.
    #[cfg(feature = "validation")]
    pub(crate) fn validators(&self, number: usize) -> Option<Arc<Validators>> {
        let added = self.added.as_ref().filter(|added| added.numbers.contains(&number))?;
        added.now.load().validators.get(number - added.numbers.start).cloned()
    }

    /// Gives a tool one of the vacant numbers, and says which, and whether another tool had it. One call at a time.
    ///
    /// # Errors
    /// When no number is vacant, or when the tool cannot be listed beside the others.
    pub(crate) fn add(&self, tool: ToolDefinition, limits: &Limits) -> Result<(usize, bool), AddToolError> {
        let Some(added) = &self.added else { return Err(AddToolError::NoRoom { most: 0 }) };
        let mut now = Now::clone(&added.now.load());
        let most = added.numbers.len();
        let number = added.vacant(&now.tools, tool.name()).ok_or(AddToolError::NoRoom { most })?;
        let is_taken_over = !["", tool.name()].contains(&now.tools[number].name());
        #[cfg(feature = "validation")]
        {
            let validators = Validators::new(std::slice::from_ref(&tool), limits)?;
            now.validators[number - added.numbers.start] = Arc::new(validators);
        }
        let _ = limits;
        now.tools[number] = tool;
        catalog::check_tools(&now.tools)?;
        added.now.store(Arc::new(now));
        Ok((number, is_taken_over))
    }

    /// Makes the number of an added tool vacant, and says which it is. One call at a time.
    pub(crate) fn remove(&self, name: &str) -> Option<usize> {
        let added = self.added.as_ref()?;
        let mut now = Now::clone(&added.now.load());
        let is_meant = |number: &usize| !now.tools[*number].is_vacant() && now.tools[*number].name() == name;
        let number = added.numbers.clone().find(is_meant)?;
        now.tools[number] = now.tools[number].clone().left();
        #[cfg(feature = "validation")]
        {
            now.validators[number - added.numbers.start] = Arc::default();
        }
        added.now.store(Arc::new(now));
        Some(number)
    }

    /// The number that an added tool was given before.
    pub(crate) fn first_added(&self) -> usize {
        self.added.as_ref().map_or(self.built.len(), |added| added.numbers.start)
    }
}

impl Added {
    /// The vacant number for a tool of this name: the one it had, one that nobody had, or any.
    fn vacant(&self, tools: &[ToolDefinition], name: &str) -> Option<usize> {
        let vacant = || self.numbers.clone().filter(|number| tools[*number].is_vacant());
        let had = |name: &str| vacant().find(|number| tools[*number].name() == name);
        had(name).or_else(|| had("")).or_else(|| vacant().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &'static str) -> ToolDefinition {
        ToolDefinition::new(name, "A tool.")
    }

    fn definitions(vacant: usize) -> Definitions {
        let mut built = vec![tool("a")];
        built.extend((0..vacant).map(|_| ToolDefinition::vacant()));
        built.push(tool("z"));
        Definitions::new(built, Some(1..1 + vacant))
    }

    fn names(definitions: &Definitions) -> Vec<String> {
        let all = definitions.all();
        all.iter().filter(|tool| !tool.is_vacant()).map(|tool| tool.name().to_owned()).collect()
    }

    #[test]
    fn a_tool_has_the_number_that_it_had_or_one_that_nobody_had() {
        let (definitions, limits) = (definitions(2), Limits::default());
        let add = |name| definitions.add(tool(name), &limits).map_err(|error| error.to_string());
        assert_eq!(add("b"), Ok((1, false)));
        assert_eq!(definitions.remove("b"), Some(1));
        assert_eq!(definitions.remove("b"), None);
        assert_eq!(add("c"), Ok((2, false)), "what b was is kept");
        assert_eq!(add("b"), Ok((1, false)), "it is what it was");
        assert_eq!(names(&definitions), ["a", "b", "c", "z"]);
        assert!(add("d").is_err_and(|error| error.starts_with("2 tools were added")));
        assert_eq!(definitions.remove("c"), Some(2));
        assert_eq!(add("d"), Ok((2, true)));
        assert_eq!(definitions.find(2).map(|tool| tool.name().to_owned()).as_deref(), Some("d"));
    }

    #[test]
    fn what_cannot_be_listed_changes_nothing() {
        let (definitions, limits) = (definitions(2), Limits::default());
        for refused in [tool("a"), tool("z"), tool("with space"), tool(""), tool("b").input_schema("[1]")] {
            assert!(definitions.add(refused, &limits).is_err());
        }
        assert_eq!(names(&definitions), ["a", "z"]);
        assert_eq!((definitions.remove("a"), definitions.remove("")), (None, None));
        assert_eq!(Definitions::new(vec![tool("a")], None).remove("a"), None);
    }
}
