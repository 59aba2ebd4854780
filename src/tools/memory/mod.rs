//! The memory tools, a knowledge graph in a file: a drop-in for `@modelcontextprotocol/server-memory`.
//!
//! Names, arguments, answers and errors are those of the reference server, and so is the file: each reads what the other
//! writes. What differs, on purpose:
//! - Several processes, and several calls at once, may change the graph: none of their changes is lost (see `store.rs`).
//! - What a call was answered for is on the disk, whenever the process is killed (see `file.rs`). New entities and
//!   relations are appended, so a call that is killed may leave the first of them.
//! - What the reference drops when it writes stays in the file: lines of other types, and members that it does not know.
//!   So do a symbolic link, the owner, the permissions, an access control list and extended attributes; what cannot be
//!   kept of them leaves the file open to fewer. A file that is new is for its owner only.
//! - A line that cannot be read stays: answers leave it out and name it in a text of their own, and changes, and reads of
//!   the resource, which is JSON alone, are refused (see `unread.rs`). The beginning of a line that was never finished
//!   is put aside, into `FILE.unfinished`. An entity without type or observations is shown with empty ones.
//! - A relative path is one from the working directory.
//!
//! What changes or removes a line writes the file anew, as the reference does for every change: a line appended in its
//! place would be a second entity of its name for the reference, and after a kill for ever. In a graph of 1,000, 10,000
//! and 100,000 entities `add_observations` took 0.8, 4 and 60 ms at the median, most of it the disk's (the reference: 6,
//! 47 and 841 ms), and `create_entities`, which appends, 0.2 ms in all three (the reference: 8, 81 and 932 ms): `mcpool
//! load --in-flight 1 --call add_observations`, on two cores that were busy, ext4.
//!
//! ```text
//! mod                 the toolset and the resource: definitions, and which function a call runs
//! store               the graph of one file, in memory as it is on the disk
//! file                the file: locked, appended to, replaced
//! access              who may read and write it
//! answer              what clients read
//! change search       what tools change; what they find
//! graph               lines in memory, with an index by name
//! line json_text      one line; strings as they are written
//! lists               what the lists of a call take
//! unread              lines that cannot be read
//! arguments error     the vocabulary of all of them
//! ```

mod access;
mod answer;
mod arguments;
mod change;
mod error;
mod file;
mod graph;
mod json_text;
mod line;
mod lists;
mod search;
mod store;
mod unread;

// The commands that write the configuration of clients keep who may read it, too.
#[cfg(feature = "cli")]
pub(crate) use access::copy as copy_access;

use super::table::{self, Entry};
use crate::limits::Limits;
use crate::protocol::{Resource, ToolDefinition};
use crate::server::{
    ArgumentsPlace, CallContext, Finished, ReadContext, Resources, TextBlock, ThreadArguments, ToolError,
    ToolRequest, Toolset,
};
use answer::{Extent, List};
use arguments::{
    AddObservations, CreateEntities, DeleteEntities, DeleteObservations, Nothing, Open, Relations, Search,
};
use bumpalo::collections::Vec as ArenaVec;
use error::GraphError;
use graph::{Change, Graph};
use json_text::Json;
use mcpool_pools::MemoryBudget;
use search::{Found, Needle};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Loaded, Store};

/// The answer to `tools/list`, word for word that of the reference server. Each line holds a tool.
const DEFINITIONS: &str = include_str!("definitions.json");

/// The graph as a resource.
const URI: &str = "memory://knowledge-graph";
const MIME_TYPE: &str = "application/json";

/// How long the graph stays in memory while no call uses it.
const IDLE: Duration = Duration::from_mins(5);
/// How many bytes of a graph are looked through in the time in which one is written as an answer.
const LOOKED_THROUGH_FOR_ONE: usize = 8;

/// The memory tools over one file.
///
/// It is a [`Toolset`], and a family of [`Resources`] with one resource, `memory://knowledge-graph`. Clones share the
/// graph, so give the server one of each. The file is read at the first call, and let go of after five minutes without
/// any. In memory it takes its own bytes and about 40 for each line, which [`Limits::max_graph_bytes`](crate::Limits::max_graph_bytes)
/// bounds: a call that would need more fails, and changes nothing.
///
/// ```
/// use mcpool::Server;
/// use mcpool::tools::memory::KnowledgeGraph;
///
/// let graph = KnowledgeGraph::new("memory.jsonl");
/// let server = Server::builder("memory", "1.0.0").toolset(graph.clone()).resources(graph).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KnowledgeGraph {
    store: Arc<Store>,
}

impl KnowledgeGraph {
    /// The tools over the graph in `file`: JSON Lines as the reference server writes them. It need not exist; its
    /// directory must. Nothing is opened here.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { store: Arc::new(Store::new(file.into(), false)) }
    }

    /// The tools over the file that is used where none is named: `mcpool/memory.jsonl` in `$XDG_DATA_HOME`, or else in
    /// `~/.local/share`. Its directory is made when something is written. `None` where the user has no home.
    pub fn in_data_directory() -> Option<Self> {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        Some(Self { store: Arc::new(Store::new(data?.join("mcpool/memory.jsonl"), true)) })
    }

    /// The file of the graph.
    pub fn file(&self) -> &Path {
        self.store.path()
    }
}

impl Toolset for KnowledgeGraph {
    fn definitions(&self) -> Vec<ToolDefinition> {
        table::definitions(DEFINITIONS, &table::listed(&TOOLS, false))
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(table::start(TOOLS.get(index), &*self.store, request))
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        table::work(TOOLS.get(index), &self.store, arguments, call)
    }

    fn state_bytes(&self) -> usize {
        size_of::<Store>() + self.store.bytes()
    }

    fn max_state_bytes(&self, limits: &Limits) -> usize {
        limits.max_graph_bytes()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        // A server looks each second at what it holds, whether there are calls or not.
        self.store.let_go_after(IDLE);
        enter("knowledge graph", self.state_bytes());
    }
}

impl Resources for KnowledgeGraph {
    fn list(&self) -> Vec<Resource> {
        let graph = Resource::new(URI, "knowledge-graph").title("Knowledge Graph").mime_type(MIME_TYPE);
        vec![graph.description("The full knowledge graph with all entities and relations")]
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        if uri != URI {
            return Err(ToolError::NotFound);
        }
        let store = Arc::clone(&self.store);
        let (max_bytes, max_reply_bytes) = (read.limits().max_graph_bytes(), read.limits().max_reply_bytes);
        let write = move |text: &mut TextBlock<'_>| {
            let current = store.current(max_bytes).map_err(GraphError::into_tool_error)?;
            store.check_all_read(&current.loaded).map_err(GraphError::into_tool_error)?;
            let graph = &current.loaded.graph;
            graph.write(&mut Json::new(text, true), graph.entities(), graph.relations());
            if text.is_full() && text.memory_lack().is_none() {
                return Err(GraphError::LongAnswer { max_bytes: max_reply_bytes }.into_tool_error());
            }
            Ok(())
        };
        read.text_on_thread(URI, Some(MIME_TYPE), write).await
    }
}

/// All tools, in the order of the reference.
static TOOLS: [Entry<Store>; 9] = [
    changes::<CreateEntitiesTool>("create_entities"),
    changes::<CreateRelationsTool>("create_relations"),
    changes::<AddObservationsTool>("add_observations"),
    changes::<DeleteEntitiesTool>("delete_entities"),
    changes::<DeleteObservationsTool>("delete_observations"),
    changes::<DeleteRelationsTool>("delete_relations"),
    reads::<ReadGraphTool>("read_graph"),
    reads::<SearchTool>("search_nodes"),
    reads::<OpenTool>("open_nodes"),
];

const fn changes<T: ChangingTool>(name: &'static str) -> Entry<Store> {
    let start = |_: &_, request: ToolRequest<'_>| request.admit_for_thread::<T::Arguments<'_>>();
    Entry { name, changes: true, may_repeat: false, start, work: change::<T> }
}

const fn reads<T: ReadingTool>(name: &'static str) -> Entry<Store> {
    Entry { name, changes: false, may_repeat: true, start: start_reading::<T>, work: read::<T> }
}

/// A tool that answers with a part of the graph.
trait ReadingTool {
    type Arguments<'a>: Deserialize<'a>;

    /// Bytes of the graph that are looked through before there is an answer.
    fn looked_through_bytes(graph: &Graph) -> usize;

    /// Answers, if the lines of the answer are not longer than `max_bytes`; otherwise writes nothing.
    fn answer(
        arguments: &Self::Arguments<'_>,
        graph: &Graph,
        max_bytes: usize,
        call: &mut CallContext,
    ) -> Result<Extent, GraphError>;
}

fn start_reading<'f, T: ReadingTool>(store: &'f Store, request: ToolRequest<'f>) -> Finished {
    let frame = request.frame();
    let (arguments, json, mut call) = match request.admit_with_json::<T::Arguments<'f>>() {
        Ok(decoded) => decoded,
        Err(refused) => return refused,
    };
    let max_bytes = call.limits().inline_read_bytes;
    let max_looked_through_bytes = max_bytes.saturating_mul(LOOKED_THROUGH_FOR_ONE);
    let loaded = store.at_hand();
    let loaded = loaded.filter(|loaded| T::looked_through_bytes(&loaded.graph) <= max_looked_through_bytes);
    let answered = loaded.map(|loaded| respond::<T>(store, &loaded, &arguments, max_bytes, &mut call));
    match answered {
        Some(Ok(Extent::Whole)) if call.lacking().is_none() => call.finish(Ok(())),
        Some(Err(error)) if call.lacking().is_none() => call.finish(Err(error.into_tool_error())),
        // The file has to be read, there is much to look through or to write, or there was no memory for the answer.
        _ => call.restart_on_thread(ArgumentsPlace::of(json, frame)),
    }
}

fn read<T: ReadingTool>(
    store: &Store,
    arguments: ThreadArguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let arguments = arguments.decode::<T::Arguments<'_>>(call)?;
    let current = store.current(call.limits().max_graph_bytes()).map_err(GraphError::into_tool_error)?;
    if current.is_new {
        call.resource_updated(URI);
    }
    let answered = respond::<T>(store, &current.loaded, &arguments, usize::MAX, call);
    answered.map(|_| ()).map_err(GraphError::into_tool_error)
}

/// Answers, and says what the answer lacks: in a text of its own, as the first is JSON.
fn respond<T: ReadingTool>(
    store: &Store,
    loaded: &Loaded,
    arguments: &T::Arguments<'_>,
    max_bytes: usize,
    call: &mut CallContext,
) -> Result<Extent, GraphError> {
    let extent = T::answer(arguments, &loaded.graph, max_bytes, call)?;
    if extent == Extent::Whole
        && let Some(note) = store.unread_note(loaded)
    {
        call.text(&note);
    }
    Ok(extent)
}

struct ReadGraphTool;

impl ReadingTool for ReadGraphTool {
    type Arguments<'a> = Nothing;

    fn looked_through_bytes(_: &Graph) -> usize {
        0
    }

    fn answer(
        _: &Nothing,
        graph: &Graph,
        max_bytes: usize,
        call: &mut CallContext,
    ) -> Result<Extent, GraphError> {
        if graph.text_bytes() > max_bytes {
            return Ok(Extent::TooLong);
        }
        answer::parts(graph, call, graph.text_bytes(), || (graph.entities(), graph.relations()))
    }
}

struct SearchTool;

impl ReadingTool for SearchTool {
    type Arguments<'a> = Search<'a>;

    fn looked_through_bytes(graph: &Graph) -> usize {
        graph.text_bytes().max(graph.record_bytes())
    }

    fn answer(
        search: &Search<'_>,
        graph: &Graph,
        max_bytes: usize,
        call: &mut CallContext,
    ) -> Result<Extent, GraphError> {
        let arena = call.arena();
        let mut entities = ArenaVec::new_in(&arena);
        let go_on = || if call.is_cancelled() { Err(GraphError::Cancelled) } else { Ok(()) };
        Needle::new(search.query, &arena).find(graph, |at| entities.push(at), go_on)?;
        answer::found(graph, call, max_bytes, &Found::new(graph, entities, &arena))
    }
}

struct OpenTool;

impl ReadingTool for OpenTool {
    type Arguments<'a> = Open<'a>;

    /// All lines are looked at for relations, but not what is in them.
    fn looked_through_bytes(graph: &Graph) -> usize {
        graph.record_bytes()
    }

    fn answer(
        open: &Open<'_>,
        graph: &Graph,
        max_bytes: usize,
        call: &mut CallContext,
    ) -> Result<Extent, GraphError> {
        let _held = lists::hold_names(open.names.len(), &call.large_messages())?;
        let arena = call.arena();
        let mut entities = ArenaVec::new_in(&arena);
        for name in &open.names {
            graph.each_entity(name, |at| entities.push(at));
        }
        entities.sort_unstable();
        entities.dedup();
        answer::found(graph, call, max_bytes, &Found::new(graph, entities, &arena))
    }
}

/// A tool that changes the graph.
trait ChangingTool {
    type Arguments<'a>: Deserialize<'a>;
    /// What the answer is made of.
    type Result<'a>;
    /// What an element of a list takes while the call is served, when it is short: it has a place in a list, which may be
    /// half empty and be copied while it grows, and one in a table of the change.
    const ELEMENT_BYTES: usize = 128;

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        memory: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError>;

    /// Writes the text of the answer: the JSON of its list, or a sentence.
    fn answer(arguments: &Self::Arguments<'_>, result: &Self::Result<'_>, call: &mut CallContext);
}

fn change<T: ChangingTool>(
    store: &Store,
    arguments: ThreadArguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let memory = call.large_messages();
    let held = lists::hold(arguments.json(), T::ELEMENT_BYTES, &memory);
    let _held = held.map_err(GraphError::into_tool_error)?;
    let arguments = arguments.decode::<T::Arguments<'_>>(call)?;
    let is_cancelled = || call.is_cancelled();
    let work = |graph: &Graph| T::change(&arguments, graph, &memory);
    let changed = store.change(call.limits().max_graph_bytes(), &is_cancelled, work);
    let result = changed.map_err(GraphError::into_tool_error)?;
    // As in the reference, also when nothing was different from before.
    call.resource_updated(URI);
    T::answer(&arguments, &result, call);
    Ok(())
}

struct CreateEntitiesTool;

impl ChangingTool for CreateEntitiesTool {
    type Arguments<'a> = CreateEntities<'a>;
    type Result<'a> = Vec<usize>;

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        _: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        Ok(change::create_entities(graph, &arguments.entities))
    }

    fn answer(arguments: &CreateEntities<'_>, new: &Vec<usize>, call: &mut CallContext) {
        answer::list(call, &List::Entities(&arguments.entities, new));
    }
}

struct CreateRelationsTool;

impl ChangingTool for CreateRelationsTool {
    type Arguments<'a> = Relations<'a>;
    type Result<'a> = Vec<usize>;

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        _: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        Ok(change::create_relations(graph, &arguments.relations))
    }

    fn answer(arguments: &Relations<'_>, new: &Vec<usize>, call: &mut CallContext) {
        answer::list(call, &List::Relations(&arguments.relations, new));
    }
}

struct AddObservationsTool;

impl ChangingTool for AddObservationsTool {
    type Arguments<'a> = AddObservations<'a>;
    type Result<'a> = Vec<Vec<&'a str>>;

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        memory: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        change::add_observations(graph, &arguments.observations, memory)
    }

    fn answer(arguments: &AddObservations<'_>, added: &Vec<Vec<&str>>, call: &mut CallContext) {
        answer::list(call, &List::Observations(&arguments.observations, added));
    }
}

struct DeleteEntitiesTool;

impl ChangingTool for DeleteEntitiesTool {
    type Arguments<'a> = DeleteEntities<'a>;
    type Result<'a> = ();

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        _: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        Ok((change::delete_entities(graph, &arguments.entity_names), ()))
    }

    fn answer(_: &DeleteEntities<'_>, (): &(), call: &mut CallContext) {
        answer::success(call, "Entities deleted successfully");
    }
}

struct DeleteObservationsTool;

impl ChangingTool for DeleteObservationsTool {
    type Arguments<'a> = DeleteObservations<'a>;
    type Result<'a> = ();

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        memory: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        Ok((change::delete_observations(graph, &arguments.deletions, memory)?, ()))
    }

    fn answer(_: &DeleteObservations<'_>, (): &(), call: &mut CallContext) {
        answer::success(call, "Observations deleted successfully");
    }
}

struct DeleteRelationsTool;

impl ChangingTool for DeleteRelationsTool {
    /// Three texts each.
    const ELEMENT_BYTES: usize = 3 * 96;
    type Arguments<'a> = Relations<'a>;
    type Result<'a> = ();

    fn change<'a>(
        arguments: &Self::Arguments<'a>,
        graph: &Graph,
        _: &MemoryBudget,
    ) -> Result<(Change, Self::Result<'a>), GraphError> {
        Ok((change::delete_relations(graph, &arguments.relations), ()))
    }

    fn answer(_: &Relations<'_>, (): &(), call: &mut CallContext) {
        answer::success(call, "Relations deleted successfully");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_tools_are_those_of_the_reference() {
        let ours: Value = serde_json::from_str(DEFINITIONS).expect("JSON");
        let recorded = include_str!("../../../tests/fixtures/reference/memory/tools.json");
        assert_eq!(ours, serde_json::from_str::<Value>(recorded).expect("JSON"));
        let tools = ours.as_array().expect("a list");
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(names, TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>());
        let given = serde_json::to_value(KnowledgeGraph::new("x").definitions()).expect("JSON");
        assert_eq!(given, ours);
    }
}
