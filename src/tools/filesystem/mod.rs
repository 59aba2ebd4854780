//! The filesystem tools: a drop-in for `@modelcontextprotocol/server-filesystem`.
//!
//! Names, arguments, answers and errors are those of the reference server. What differs, on purpose:
//! - A file is opened below the open handle of an allowed directory (see `sandbox/`), never by a name that was checked
//!   before. A path that differs from an allowed directory in blanks or quotes at its ends is a different path.
//! - Only one call at a time writes a file; what is written is on the disk when the call is answered.
//! - Pipes, sockets and devices are refused: no call waits for them or replaces them.
//! - A listing with sizes shows 0 for links that lead outside; an allowed directory itself cannot be moved.
//! - An edit of a file that is not UTF-8 is refused instead of destroying its other bytes.
//! - A file that is replaced keeps its owner, access lists and extended attributes; its other names (hard links) keep
//!   the old content. A move to another file system takes them along, and the times.
//! - By default, and not with [`Compat::Reference`]: an edit changes the one place that it names and keeps line ends
//!   (see `text_edit/`), and arguments of the wrong type are accepted if they have only one meaning.
//! - An escaped `|` in a pattern is a character; in the reference it splits the pattern in two.
//!
//! A tool is a plain function of its arguments, the sandbox and the call. A tool that is quick runs at once; the
//! others, and all that must wait for a disk, run on a thread that may block.
//!
//! From the top down, each line uses only the lines below it:
//!
//! ```text
//! mod                     the toolset: definitions, and which function a call runs
//! read read_several write edit rename list tree search search_content info    the tools
//! file_resources                                  files as resources, beside the tools
//! file_list file_contents complete_path file_uri file_watches    what those need
//! found_lines line_pattern ignore_files           what searching contents needs
//! several_files shares   what reading several files needs
//! last_lines line_range walk file_text open_file write_target    what several tools do
//! answer_space cut context attributes numbers
//! as_node/                what the reference server would have answered
//! sandbox/   text_edit/   what may be opened; what an edit does to a text
//! arguments error         the vocabulary of all of them
//! compat                  what may differ from the reference
//! ```

mod answer_space;
mod arguments;
mod as_node;
mod attributes;
#[cfg(all(test, target_os = "linux"))]
mod changing_files;
mod compat;
mod complete_path;
mod context;
mod cut;
mod edit;
mod error;
mod file_contents;
mod file_list;
mod file_resources;
mod file_text;
mod file_uri;
mod file_watches;
mod found_lines;
mod held;
mod held_text;
mod ignore_files;
mod info;
mod last_lines;
mod line_pattern;
mod line_range;
mod list;
mod numbers;
mod open_file;
mod read;
mod read_several;
mod rename;
mod sandbox;
mod search;
mod search_content;
mod several_files;
mod shares;
mod text_edit;
mod tree;
mod unread;
mod walk;
mod write;
mod write_target;

pub use super::client_roots::ClientRoots;
#[cfg(feature = "cli")]
pub(crate) use as_node::diff::Diff as TextDiff;
pub use compat::Compat;
pub use file_resources::FileResources;

use super::client_roots;
use super::table::{self, Entry, tools};
use crate::protocol::ToolDefinition;
use crate::server::{
    ArgumentsPlace, CallContext, CancellationToken, Finished, SessionValues, ThreadArguments, ToolError,
    ToolRequest, Toolset,
};
use compat::Copies;
use context::Context;
use error::Stop;
use sandbox::access::Sandbox;
use sandbox::directories::Directories;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// The answer to `tools/list`, word for word that of the reference server. Each line holds a tool: schemas are sent as
/// they are written here, and a message may not contain a newline.
const DEFINITIONS: &str = include_str!("definitions.json");

/// The definitions that differ from those, unless with [`Compat::Reference`].
const OWN_DEFINITIONS: &str = include_str!("own_definitions.json");

/// The tools that the reference does not have, unless with [`Compat::Reference`]; the last of the table.
const ADDED_DEFINITIONS: &str = include_str!("added_definitions.json");

/// The filesystem tools over some directories.
///
/// ```
/// use mcpool::tools::filesystem::Filesystem;
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let here = std::env::current_dir()?;
/// let (filesystem, warnings) = Filesystem::new(&[here], true)?;
/// assert!(warnings.is_empty());
/// assert!(filesystem.definitions().iter().all(|tool| tool.name() != "write_file"));
/// let server = Server::builder("files", "1.0.0").toolset(filesystem).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filesystem {
    directories: Arc<Directories>,
    /// The tools that clients see, in order.
    tools: Vec<&'static Entry<Self>>,
    client_roots: Option<ClientRoots>,
    compat: Compat,
    copies: Copies,
}

/// Why the filesystem tools cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesystemError {
    /// None of the directories that were given can be used.
    #[error("None of the specified directories are accessible: {}", warnings.join("; "))]
    NoDirectory {
        /// One warning for each of them.
        warnings: Vec<String>,
    },
}

impl Filesystem {
    /// Makes the tools over `directories`: absolute, relative to the working directory, or below `~`. Without any
    /// directory, every path is refused until the client offers some. `read_only` leaves out all tools that change
    /// anything.
    ///
    /// Directories that cannot be used are left out, with a warning for each.
    ///
    /// # Errors
    /// When directories are given and none can be used.
    pub fn new(directories: &[PathBuf], read_only: bool) -> Result<(Self, Vec<String>), FilesystemError> {
        let (usable, warnings) = Directories::new(directories);
        if usable.is_empty() && !directories.is_empty() {
            return Err(FilesystemError::NoDirectory { warnings });
        }
        if !read_only {
            usable.clean();
        }
        let filesystem = Self {
            directories: Arc::new(usable),
            tools: table::listed(TOOLS, read_only),
            client_roots: None,
            compat: Compat::Default,
            copies: Copies::Twice,
        };
        Ok((filesystem, warnings))
    }

    /// Sets what the roots of clients do. By default, those of the client that started this process replace the
    /// directories, and those of all other clients narrow them.
    #[must_use]
    pub fn client_roots(mut self, policy: ClientRoots) -> Self {
        self.client_roots = Some(policy);
        self
    }

    /// Sets what the tools do where the reference server does harm.
    #[must_use]
    pub fn compat(mut self, compat: Compat) -> Self {
        self.compat = compat;
        self
    }

    /// Sets whether an answer carries its text or data once, in `content`, and not in `structuredContent` too: about half
    /// the bytes. Then no tool has a schema of its structured answer, as clients would miss what that promises.
    #[must_use]
    pub fn text_once(mut self, is_once: bool) -> Self {
        self.copies = if is_once { Copies::Once } else { Copies::Twice };
        self
    }

    /// The files of the directories as resources, for [`ServerBuilder::resources`](crate::ServerBuilder::resources), and what
    /// completes their paths, for [`ServerBuilder::completer`](crate::ServerBuilder::completer).
    ///
    /// ```
    /// use mcpool::Server;
    /// use mcpool::tools::filesystem::Filesystem;
    ///
    /// let (filesystem, _) = Filesystem::new(&[std::env::current_dir()?], true)?;
    /// let files = filesystem.resources();
    /// let server = Server::builder("files", "1.0.0").toolset(filesystem);
    /// let server = server.resources(files.clone()).completer(files).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resources(&self) -> FileResources {
        FileResources::new(Arc::clone(&self.directories))
    }

    /// Replaces the directories by those of `roots` that can be used, for all calls that begin after this; when none
    /// can be used, nothing changes. Gives a warning for each that is left out.
    pub fn set_roots(&self, roots: &[PathBuf]) -> Vec<String> {
        self.directories.replace(roots)
    }

    /// The sandbox of one call: over the directories of its session, or else of the server.
    fn enter(
        &self,
        call: &CallContext,
        inline_names: Option<usize>,
        cancellation: Option<CancellationToken>,
    ) -> Sandbox {
        let directories = self.directories.of_session(call.session_values());
        directories.enter(inline_names, cancellation).compat(self.compat)
    }

    fn context<'s>(
        &self,
        sandbox: &'s Sandbox,
        cancellation: &'s CancellationToken,
        inline_bytes: Option<u64>,
    ) -> Context<'s> {
        Context { sandbox, compat: self.compat, copies: self.copies, cancellation, inline_bytes }
    }
}

impl Toolset for Filesystem {
    fn definitions(&self) -> Vec<ToolDefinition> {
        let added = match self.compat {
            Compat::Reference => Vec::new(),
            Compat::Default => table::definitions(ADDED_DEFINITIONS, &self.tools),
        };
        let listed = table::definitions(DEFINITIONS, &self.tools).into_iter().chain(added);
        let own = table::definitions(OWN_DEFINITIONS, &self.tools);
        let changed = |tool: ToolDefinition| match self.compat {
            Compat::Reference => tool.exact_arguments(),
            Compat::Default => own.iter().find(|own| own.name() == tool.name()).cloned().unwrap_or(tool),
        };
        let declared = |tool: ToolDefinition| match self.copies {
            Copies::Once => tool.without_output(),
            Copies::Twice => tool,
        };
        listed.map(changed).map(declared).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(table::start(self.tools.get(index).copied(), self, request))
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        table::work(self.tools.get(index).copied(), self, arguments, call)
    }

    fn state_bytes(&self) -> usize {
        self.directories.toolset_bytes() + self.tools.capacity() * size_of::<&Entry<Self>>()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        enter("filesystem tools", self.state_bytes());
    }

    fn wants_roots(&self) -> bool {
        self.client_roots != Some(ClientRoots::Ignore)
    }

    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        let policy = self.client_roots.unwrap_or_else(|| ClientRoots::by_default(session));
        if policy == ClientRoots::Ignore {
            return;
        }
        let Some(paths) = client_roots::paths(uris) else {
            tracing::info!("the client's roots are not all file:// URIs; the directories stay as they are");
            return;
        };
        let applied = self.directories.for_roots(&paths, policy == ClientRoots::Narrow);
        let (roots, left_out) = (uris.len(), uris.len() - paths.len() + applied.left_out);
        // One line, whatever the client sent: it holds no text of the client.
        let Some(directories) = applied.directories else {
            tracing::info!(
                roots,
                ?policy,
                "no root of the client can be used; the directories stay as they are"
            );
            return;
        };
        tracing::info!(roots, left_out, ?policy, "the client's roots are the directories of its session");
        let heap_bytes = directories.heap_bytes();
        session.put(Arc::new(directories), heap_bytes);
    }
}

/// When a tool runs, and what it does.
#[derive(Debug, Clone, Copy)]
struct Flags {
    /// The call is tried at once. If not, it waits for a disk, or looks at many files.
    at_once: bool,
    changes: bool,
    /// A call that lacks memory waits for it, on a thread, and runs again: it changes nothing, or has all its memory
    /// before it does.
    waits: bool,
}

/// A tool: its arguments and its function.
trait FileTool {
    type Arguments<'a>: Deserialize<'a>;

    const NAME: &'static str;
    const FLAGS: Flags;

    fn run(
        arguments: &Self::Arguments<'_>,
        context: &Context<'_>,
        call: &mut CallContext,
    ) -> Result<(), Stop>;
}

/// The line of a tool in the table.
const fn entry<T: FileTool>() -> Entry<Filesystem> {
    let Flags { changes, waits, .. } = T::FLAGS;
    Entry { name: T::NAME, changes, may_repeat: waits, start: start::<T>, work: work::<T> }
}

fn start<'f, T: FileTool>(tools: &'f Filesystem, request: ToolRequest<'f>) -> Finished {
    if !T::FLAGS.at_once {
        return request.admit_for_thread::<T::Arguments<'f>>();
    }
    let frame = request.frame();
    let (arguments, json, mut call) = match request.admit_with_json::<T::Arguments<'f>>() {
        Ok(decoded) => decoded,
        Err(refused) => return refused,
    };
    let cancellation = call.cancellation();
    let sandbox = tools.enter(&call, Some(call.limits().inline_names), None);
    let inline_bytes = Some(call.limits().inline_read_bytes as u64);
    let context = tools.context(&sandbox, &cancellation, inline_bytes);
    let result = run::<T>(&arguments, &context, &mut call);
    if T::FLAGS.waits && call.lacking().is_some() {
        return call.restart_on_thread(ArgumentsPlace::of(json, frame));
    }
    match result {
        Ok(()) => call.finish(Ok(())),
        Err(Stop::Fail(error)) => call.finish(Err(error)),
        Err(Stop::Offload) => call.restart_on_thread(ArgumentsPlace::of(json, frame)),
    }
}

/// Serves a call on a thread that may block.
fn work<T: FileTool>(
    tools: &Filesystem,
    arguments: ThreadArguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let arguments = arguments.decode::<T::Arguments<'_>>(call)?;
    let cancellation = call.cancellation();
    let sandbox = tools.enter(call, None, Some(cancellation.clone()));
    match run::<T>(&arguments, &tools.context(&sandbox, &cancellation, None), call) {
        Ok(()) => Ok(()),
        Err(Stop::Fail(error)) => Err(error),
        Err(Stop::Offload) => Err(ToolError::failed("nothing is too long for this thread")),
    }
}

/// Runs a tool. It gives its structured answer as a copy of its text, which is left out here where that is asked for.
fn run<T: FileTool>(
    arguments: &T::Arguments<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    T::run(arguments, context, call)?;
    if context.copies == Copies::Once {
        call.leave_out_copy();
    }
    Ok(())
}

tools! {
    Filesystem: FileTool(Context<'_>) -> Stop;
    ReadFile "read_file" (arguments::ReadTextFile<'a>) read::read_text_file, at_once: true, changes: false, waits: true;
    ReadTextFile "read_text_file" (arguments::ReadTextFile<'a>) read::read_text_file, at_once: true, changes: false, waits: true;
    ReadMediaFile "read_media_file" (arguments::Path<'a>) read::read_media_file, at_once: true, changes: false, waits: true;
    ReadMultipleFiles "read_multiple_files" (arguments::ReadMultipleFiles<'a>) read_several::read_multiple_files, at_once: false, changes: false, waits: true;
    WriteFile "write_file" (arguments::WriteFile<'a>) write::write_file, at_once: false, changes: true, waits: false;
    EditFile "edit_file" (arguments::EditFile<'a>) edit::edit_file, at_once: false, changes: true, waits: true;
    CreateDirectory "create_directory" (arguments::Path<'a>) write::create_directory, at_once: true, changes: true, waits: false;
    ListDirectory "list_directory" (arguments::Path<'a>) list::list_directory, at_once: true, changes: false, waits: true;
    ListDirectoryWithSizes "list_directory_with_sizes" (arguments::ListWithSizes<'a>) list::list_with_sizes, at_once: false, changes: false, waits: true;
    DirectoryTree "directory_tree" (arguments::DirectoryTree<'a>) tree::directory_tree, at_once: false, changes: false, waits: true;
    MoveFile "move_file" (arguments::MoveFile<'a>) rename::move_file, at_once: false, changes: true, waits: false;
    SearchFiles "search_files" (arguments::SearchFiles<'a>) search::search_files, at_once: false, changes: false, waits: true;
    GetFileInfo "get_file_info" (arguments::Path<'a>) info::file_info, at_once: true, changes: false, waits: true;
    ListAllowedDirectories "list_allowed_directories" (arguments::Nothing) list::list_allowed, at_once: true, changes: false, waits: true;
    SearchContent "search_content" (arguments::SearchContent<'a>) search_content::search_content, at_once: false, changes: false, waits: true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_tools_are_those_of_the_reference() {
        let ours: Value = serde_json::from_str(DEFINITIONS).expect("JSON");
        let recorded = include_str!("../../../tests/fixtures/reference/filesystem/tools.json");
        assert_eq!(ours, serde_json::from_str::<Value>(recorded).expect("JSON"));
        let names: Vec<&str> =
            ours.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
        let added: Vec<Value> = serde_json::from_str(ADDED_DEFINITIONS).expect("JSON");
        let all: Vec<&str> =
            names.iter().copied().chain(added.iter().filter_map(|tool| tool["name"].as_str())).collect();
        assert_eq!(all, TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>());
        for (text, tools) in [(DEFINITIONS, names.len()), (ADDED_DEFINITIONS, added.len())] {
            assert_eq!(text.trim().lines().count(), tools + 2, "a definition on more than one line");
        }
        for (tool, entry) in ours.as_array().expect("a list").iter().chain(&added).zip(TOOLS) {
            assert_eq!(tool["annotations"]["readOnlyHint"], !entry.changes, "{}", entry.name);
        }
    }

    /// Without what it adds, each is the reference's, down to the texts that say so.
    #[test]
    fn own_definitions_only_add() {
        let read = |text| serde_json::from_str::<Vec<Value>>(text).expect("JSON");
        let recorded = read(DEFINITIONS);
        for mut own in read(OWN_DEFINITIONS) {
            let mut theirs =
                recorded.iter().find(|tool| tool["name"] == own["name"]).expect("a tool of theirs").clone();
            for tool in [&mut own, &mut theirs] {
                leave_out_additions(tool);
            }
            assert_eq!(own, theirs);
        }
        let (default, _) = Filesystem::new(&[], false).expect("no directories");
        let reference = default.clone().compat(Compat::Reference);
        let json = |tools: &Filesystem| serde_json::to_value(tools.definitions()).expect("JSON");
        assert_eq!(json(&reference), Value::from(recorded));
        assert!(json(&default).to_string().contains("replaceAll"));
        assert!(json(&default).to_string().contains("search_content"));
    }

    fn leave_out_additions(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for added in ["replaceAll", "offset", "limit"] {
                    members.remove(added);
                }
                members.remove("description");
                members.values_mut().for_each(leave_out_additions);
            }
            Value::Array(items) => items.iter_mut().for_each(leave_out_additions),
            _ => {}
        }
    }

    #[test]
    fn directories_that_cannot_be_used_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let missing = directory.path().join("missing");
        let (_, warnings) = Filesystem::new(&[file.clone(), directory.path().into(), missing.clone()], false)
            .expect("one is usable");
        let want = [
            format!("{} is not a directory, skipping", file.display()),
            format!("Cannot access directory {}, skipping", missing.display()),
        ];
        assert_eq!(warnings, want);
        assert!(Filesystem::new(&[missing], false).is_err());
        assert!(Filesystem::new(&[], false).is_ok());
    }
}
