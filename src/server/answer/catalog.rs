//! The lists that a server shows, serialised once: each answer is these bytes with the request's id.
//!
//! A catalog is made as a whole when a list changes, and replaces the one before it. Requests in progress keep the
//! catalog with which they began. A cursor names its catalog; the server refuses cursors of older ones, because
//! other entries may follow there.

use crate::protocol::mirrored::{MirroredParam, mirrored};
use crate::protocol::{
    Capability, ClientCapabilities, Era, Prompt, Resource, ResourceTemplate, Revision, TaskSupport,
    ToolDefinition,
};
use crate::server::answer::chosen_tools::{ChosenPage, ChosenTools};
use crate::server::answer::envelope::{self, Handshake};
use crate::server::answer::page_cursor::PageCursor;
use crate::wire::Raw;
use hashlink::DefaultHashBuilder;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use thiserror::Error;

/// The name and version of the server, which the handshake and every modern result contain.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Implementation {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Why the tools, resources or prompts of a server cannot be listed.
///
/// ```
/// use mcpool::{BuildError, CatalogError, DynamicTool, Server, ToolDefinition};
///
/// let tool = || DynamicTool::new(ToolDefinition::new("echo", "Says back."), |_, _| Box::pin(async { Ok(()) }));
/// let refused = Server::builder("twice", "1.0.0").tool(tool()).tool(tool()).build();
/// assert!(matches!(refused, Err(BuildError::Catalog(CatalogError::DuplicateTool { name })) if name == "echo"));
/// ```
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
    /// A schema that is not valid.
    #[error("the schema of the tool {name}: {fault}")]
    Schema {
        /// The tool.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A definition cannot be written as JSON.
    #[error("a definition cannot be written as JSON")]
    Serialize(#[from] serde_json::Error),
}

/// The parts of a catalog.
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(crate) struct CatalogSource<'a> {
    pub(crate) implementation: &'a Implementation,
    pub(crate) instructions: Option<&'a str>,
    pub(crate) tools: &'a [ToolDefinition],
    /// Names of tools that the list leaves out at the moment.
    pub(crate) hidden: &'a HashSet<String>,
    pub(crate) resources: &'a [Resource],
    pub(crate) templates: &'a [ResourceTemplate],
    pub(crate) prompts: &'a [Prompt],
    pub(crate) has_resources: bool,
    /// Whether the list of resources may change in a way that is noticed.
    pub(crate) has_resource_list: bool,
    /// With which cursor the list of resources goes on behind those that are given here.
    pub(crate) resources_cursor: Option<&'a str>,
    pub(crate) has_prompts: bool,
    pub(crate) has_completions: bool,
    pub(crate) has_tasks: bool,
    pub(crate) page_entries: usize,
}

/// The lists that a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Tools,
    Resources,
    Templates,
    Prompts,
}

impl List {
    fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
}

/// The answers that stay the same until a list changes.
#[derive(Debug)]
pub(crate) struct Catalog {
    tools: ByName,
    /// The names of prompts and the URIs of resources.
    listed: HashSet<Box<str>>,
    lists: [Pages; 4],
    /// The tools, where not all clients see the same ones.
    chosen_tools: Option<ChosenTools>,
    discover: Box<RawValue>,
    handshake: Handshake,
}

/// Tools by name. The names come from this server, so no client can make them collide, and the fast hasher suffices.
type ByName = HashMap<Box<str>, Listed, DefaultHashBuilder>;

/// A listed tool.
#[derive(Debug)]
struct Listed {
    /// Its index in the toolset.
    index: usize,
    /// The arguments that HTTP clients repeat in headers.
    mirrored: Box<[MirroredParam]>,
    /// Whether calls go on as tasks in revision 2025-11-25; `None` where the server has no tasks.
    tasks: Option<TaskSupport>,
}

/// One list, in pages, for both eras.
#[derive(Debug)]
struct Pages {
    /// A digest of all entries, with which every cursor of this list begins.
    version: u32,
    modern: Vec<Box<RawValue>>,
    legacy: Vec<Box<RawValue>>,
}

/// One page of a list.
pub(crate) enum Page<'c> {
    /// The same for all clients: the result as it is sent.
    Same(Raw<'c>),
    /// Written for each client.
    Chosen(ChosenPage<'c>),
}

/// How long a client may cache a list. Clients that subscribe are notified of changes earlier.
const TTL_MS: u32 = 3_600_000;

impl Catalog {
    /// Heap bytes of the serialised answers.
    pub(crate) fn bytes(&self) -> usize {
        let pages = self.lists.iter().flat_map(|list| list.modern.iter().chain(&list.legacy));
        let written = pages.chain([&self.discover, &self.handshake.capabilities]);
        let written = written.chain(&self.handshake.capabilities_with_tasks);
        let chosen = self.chosen_tools.as_ref().map_or(0, ChosenTools::bytes);
        written.map(|json| json.get().len()).sum::<usize>() + chosen
    }

    pub(crate) fn new(source: &CatalogSource<'_>) -> Result<Self, CatalogError> {
        let implementation = serde_json::to_string(source.implementation)?;
        let meta = envelope::server_meta(&implementation)?;
        let instructions = match source.instructions {
            Some(text) => format!(r#","instructions":{}"#, serde_json::to_string(text)?),
            None => String::new(),
        };
        let caching_for = |whom| format!(r#""ttlMs":{TTL_MS},"cacheScope":"{whom}","_meta":{meta}"#);
        let caching = caching_for("public");
        let versions = serde_json::to_string(&[Revision::MODERN.as_str()])?;
        let is_shown = |tool: &&ToolDefinition| !tool.is_vacant() && !source.hidden.contains(tool.name());
        let shown = source.tools.iter().filter(is_shown);
        let is_same_for_all = source.tools.iter().all(|tool| tool.is_vacant() || tool.needs().is_empty());
        let chosen_tools = (!is_same_for_all)
            .then(|| ChosenTools::new(shown.clone(), source.page_entries, caching_for("private")));
        let shown = shown.filter(|_| is_same_for_all);
        let tools: Vec<_> = shown.map(|tool| (tool.in_era(Era::Modern), tool.in_era(Era::Legacy))).collect();
        let form = PageForm { entries: source.page_entries, caching: &caching, last_cursor: None };
        let resources = PageForm { last_cursor: source.resources_cursor, ..form };
        let lists = [
            pages(List::Tools, tools.iter().map(|(modern, legacy)| (modern, legacy)), form)?,
            pages(List::Resources, source.resources.iter().map(|r| (r, r)), resources)?,
            pages(List::Templates, source.templates.iter().map(|t| (t, t)), form)?,
            pages(List::Prompts, source.prompts.iter().map(|p| (p, p)), form)?,
        ];
        let mut by_name = index(source.tools, source.has_tasks)?;
        by_name.retain(|name, _| !source.hidden.contains(&**name));
        let prompts = source.prompts.iter().map(Prompt::name);
        let resources = source.resources.iter().map(Resource::uri);
        let capabilities_in = |revision| RawValue::from_string(capabilities(source, revision));
        let modern = capabilities_in(Revision::MODERN)?;
        let with_tasks = source.has_tasks.then(|| capabilities_in(Revision::LATEST_HANDSHAKE));
        Ok(Self {
            tools: by_name,
            listed: prompts.chain(resources).map(Box::from).collect(),
            lists,
            chosen_tools: chosen_tools.transpose()?,
            discover: RawValue::from_string(format!(
                r#"{{"resultType":"complete","supportedVersions":{versions},"capabilities":{modern}{instructions},{caching}}}"#
            ))?,
            handshake: Handshake {
                capabilities: capabilities_in(Revision::V2025_06_18)?,
                capabilities_with_tasks: with_tasks.transpose()?,
                server_info: RawValue::from_string(implementation)?,
                instructions: source.instructions.map(str::to_owned),
            },
        })
    }

    /// The index of a tool in the toolset.
    pub(crate) fn tool(&self, name: &str) -> Option<usize> {
        self.tools.get(name).map(|tool| tool.index)
    }

    /// Whether calls of a tool go on as tasks in revision 2025-11-25; `None` where the server has no tasks.
    pub(crate) fn task_support(&self, name: &str) -> Option<TaskSupport> {
        self.tools.get(name)?.tasks
    }

    /// Whether a tool, prompt or resource has that name or URI.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.tools.contains_key(name) || self.listed.contains(name)
    }

    /// The arguments of a tool that clients repeat in headers.
    pub(crate) fn mirrored(&self, name: &str) -> &[MirroredParam] {
        self.tools.get(name).map_or(&[], |tool| &tool.mirrored)
    }

    /// A page of a list: the first, or the one that a cursor names. `None` if this catalog did not issue the cursor.
    pub(crate) fn page(
        &self,
        list: List,
        era: Era,
        client: ClientCapabilities,
        cursor: Option<&str>,
    ) -> Option<Page<'_>> {
        if let (List::Tools, Some(tools)) = (list, &self.chosen_tools) {
            return tools.page(era, client, cursor).map(Page::Chosen);
        }
        let pages = &self.lists[list as usize];
        let page = PageCursor::read(cursor, pages.version)?;
        let pages = match era {
            Era::Modern => &pages.modern,
            Era::Legacy => &pages.legacy,
        };
        pages.get(page).map(|page| Page::Same(Raw::from(&**page)))
    }

    /// The result of `server/discover`.
    pub(crate) fn discover(&self) -> Raw<'_> {
        Raw::from(&*self.discover)
    }

    /// The parts of the result of `initialize` that do not depend on the request.
    pub(crate) fn handshake(&self) -> &Handshake {
        &self.handshake
    }
}

/// How the pages of a list look.
#[derive(Debug, Clone, Copy)]
struct PageForm<'f> {
    /// Entries on a page.
    entries: usize,
    /// The members of modern pages about caching.
    caching: &'f str,
    /// The cursor on the last page, of a list that goes on elsewhere.
    last_cursor: Option<&'f str>,
}

fn pages<'a, D: Serialize + 'a>(
    list: List,
    entries: impl Iterator<Item = (&'a D, &'a D)>,
    form: PageForm<'_>,
) -> Result<Pages, serde_json::Error> {
    let PageForm { entries: page_entries, caching, last_cursor } = form;
    let mut written = Vec::new();
    let mut hasher = DefaultHasher::new();
    for (modern, legacy) in entries {
        let modern = serde_json::to_string(modern)?;
        modern.hash(&mut hasher);
        written.push((modern, serde_json::to_string(legacy)?));
    }
    let version = hasher.finish() as u32;
    let mut pages = Pages { version, modern: Vec::new(), legacy: Vec::new() };
    let count = written.len().div_ceil(page_entries).max(1);
    for page in 0..count {
        let from = page * page_entries;
        let of_page = &written[from..written.len().min(from + page_entries)];
        let next = if page + 1 < count {
            Some(PageCursor { version, page: page as u32 + 1 }.to_string())
        } else {
            last_cursor.map(str::to_owned)
        };
        let next = next.map_or_else(String::new, |cursor| format!(r#","nextCursor":"{cursor}""#));
        let member = list.member();
        let modern: Vec<&str> = of_page.iter().map(|(modern, _)| modern.as_str()).collect();
        let legacy: Vec<&str> = of_page.iter().map(|(_, legacy)| legacy.as_str()).collect();
        pages.modern.push(RawValue::from_string(format!(
            r#"{{"resultType":"complete","{member}":[{}]{next},{caching}}}"#,
            modern.join(",")
        ))?);
        pages.legacy.push(RawValue::from_string(format!(r#"{{"{member}":[{}]{next}}}"#, legacy.join(",")))?);
    }
    Ok(pages)
}

/// The capabilities, as JSON text.
fn capabilities(source: &CatalogSource<'_>, revision: Revision) -> String {
    let mut members = vec![r#""tools":{"listChanged":true}"#.to_owned()];
    if source.has_resources {
        members.push(resources_capability(source));
    }
    if source.has_prompts {
        members.push(r#""prompts":{"listChanged":true}"#.to_owned());
    }
    if source.has_completions {
        members.push(r#""completions":{}"#.to_owned());
    }
    members.push(r#""logging":{}"#.to_owned());
    if source.has_tasks && revision.is_modern() {
        members.push(format!(r#""extensions":{{"{}":{{}}}}"#, Capability::TASKS));
    }
    if source.has_tasks && revision.has_tasks() {
        members.push(r#""tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#.to_owned());
    }
    format!("{{{}}}", members.join(","))
}

fn resources_capability(source: &CatalogSource<'_>) -> String {
    let changes = if source.has_resource_list { r#","listChanged":true"# } else { "" };
    format!(r#""resources":{{"subscribe":true{changes}}}"#)
}

/// Whether these tools can be listed.
///
/// # Errors
/// When one of them cannot.
pub(crate) fn check_tools(tools: &[ToolDefinition]) -> Result<(), CatalogError> {
    index(tools, false).map(drop)
}

fn index(tools: &[ToolDefinition], has_tasks: bool) -> Result<ByName, CatalogError> {
    let mut index = ByName::with_capacity_and_hasher(tools.len(), DefaultHashBuilder::default());
    for (number, tool) in tools.iter().enumerate().filter(|(_, tool)| !tool.is_vacant()) {
        let name = tool.name();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(CatalogError::ToolName { name: name.to_owned() });
        }
        let refuse = |fault: String| CatalogError::Schema { name: name.to_owned(), fault };
        let schema: serde_json::Value = serde_json::from_str(tool.input_schema_text())?;
        if schema.get("type").and_then(serde_json::Value::as_str) != Some("object") {
            return Err(refuse("arguments are an object: it needs \"type\": \"object\"".to_owned()));
        }
        let mirrored = mirrored(&schema).map_err(|fault| refuse(fault.to_string()))?.into();
        let tasks = has_tasks.then(|| tool.supports_tasks());
        if index.insert(name.into(), Listed { index: number, mirrored, tasks }).is_some() {
            return Err(CatalogError::DuplicateTool { name: name.to_owned() });
        }
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(resources: &[Resource], page_entries: usize) -> Catalog {
        Catalog::new(&CatalogSource {
            implementation: &Implementation { name: "t".to_owned(), version: "1".to_owned() },
            instructions: None,
            tools: &[],
            hidden: &HashSet::new(),
            resources,
            templates: &[],
            prompts: &[],
            has_resources: true,
            has_resource_list: true,
            resources_cursor: None,
            has_prompts: false,
            has_completions: false,
            has_tasks: false,
            page_entries,
        })
        .expect("a catalog")
    }

    /// A client without capabilities.
    const NOTHING: ClientCapabilities = ClientCapabilities::from_bits(0);

    fn page<'c>(catalog: &'c Catalog, cursor: Option<&str>) -> Option<Page<'c>> {
        catalog.page(List::Resources, Era::Modern, NOTHING, cursor)
    }

    fn resources(count: usize) -> Vec<Resource> {
        (0..count).map(|n| Resource::new(format!("x://{n}"), format!("{n}"))).collect()
    }

    #[test]
    fn pages_lead_to_each_other_and_to_all_entries() {
        for (count, page_entries) in [(0, 3), (1, 3), (3, 3), (4, 3), (10, 3), (10, 1)] {
            let catalog = catalog(&resources(count), page_entries);
            for era in [Era::Modern, Era::Legacy] {
                let (mut cursor, mut seen) = (None::<String>, Vec::new());
                loop {
                    let page = catalog.page(List::Resources, era, NOTHING, cursor.as_deref());
                    let Some(Page::Same(page)) = page else { panic!("a page") };
                    let page: serde_json::Value = serde_json::from_str(page.as_str()).expect("JSON");
                    let entries = page["resources"].as_array().expect("a list");
                    assert!(entries.len() <= page_entries);
                    seen.extend(entries.iter().map(|entry| entry["uri"].as_str().map(str::to_owned)));
                    cursor = page["nextCursor"].as_str().map(str::to_owned);
                    if cursor.is_none() {
                        break;
                    }
                }
                let want: Vec<_> = (0..count).map(|n| Some(format!("x://{n}"))).collect();
                assert_eq!(seen, want);
            }
        }
    }

    #[test]
    fn cursors_of_others_are_refused() {
        let (old, new) = (catalog(&resources(5), 2), catalog(&resources(6), 2));
        let version = old.lists[List::Resources as usize].version;
        let cursor = PageCursor { version, page: 1 }.to_string();
        assert!(page(&old, Some(&cursor)).is_some());
        assert!(page(&new, Some(&cursor)).is_none(), "of an older list");
        for bad in ["", "x", "AAAAAAAAAAA", &format!("{cursor}A"), &cursor[1..], "äöüäöüäöüäö"] {
            assert!(page(&old, Some(bad)).is_none(), "{bad}");
        }
        let beyond = PageCursor { version, page: 99 }.to_string();
        assert!(page(&old, Some(&beyond)).is_none());
    }
}
