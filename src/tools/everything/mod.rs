//! Tools, prompts and resources that exercise a client: `@modelcontextprotocol/server-everything`.
//!
//! Names, arguments and answers are those of the reference server. It is for tests of clients and never on by default:
//! `get-env` shows every client the whole environment of the process, with the secrets in it. What differs, on purpose:
//! - Tools that ask the client are listed for clients that can be asked, as in the reference; a call of one that is not
//!   listed fails and says what is missing. The two tools whose request becomes a task of the client (`-async`) are for
//!   clients of revision 2025-11-25, as later ones have none.
//! - `simulate-research-query` is for clients of revision 2025-11-25, and for later ones with the extension for tasks.
//! - `gzip-file-as-resource` fetches as the fetch tool does, from public addresses only, and keeps 16 files for a session,
//!   as far as there is memory for what lasts; they can be read, and are not listed.
//! - What the two `toggle-` tools start needs the session of a client that begins with `initialize`. A message that was not
//!   read is replaced by the next; the resources that are updated are the dynamic ones with ids up to 100.
//! - `errorPath` of `trigger-url-elicitation` is for clients of the older revisions, which know that error; the newest asks
//!   in rounds anyway. Of a session, the last 16 addresses are known that are to be visited first.
//! - The documents have the reference's names, and are about this program, but for the instructions.
//!
//! ```text
//! mod                    the toolset
//! simple                 tools that answer at once
//! ask client_tasks       tools that ask the client; those whose request becomes a task of the client
//! work                   tools that take their time
//! gzip                   the tool that compresses a file
//! simulated              what goes on without a call
//! session running        what a session keeps; a task that ends with it
//! demo documents         prompts, resources and completions; the texts among the resources
//! pretty js_number       values in texts, as JavaScript writes them
//! ```

mod ask;
mod client_tasks;
mod demo;
mod documents;
mod gzip;
mod js_number;
mod pretty;
mod running;
mod session;
mod simple;
mod simulated;
mod work;

pub use demo::Demo;
pub use documents::INSTRUCTIONS;

use super::at_once::serve;
use crate::protocol::{Capability, ToolDefinition};
use crate::server::{Finished, ToolRequest, Toolset};
use crate::tools::fetch::Fetch;
use gzip::Bounds;
use std::pin::Pin;
use std::sync::Arc;

/// The answer to `tools/list`, word for word that of the reference server.
const DEFINITIONS: &str = include_str!("definitions.json");

/// What a client declares that sees a tool; all others see it anyway.
fn needs(tool: &str) -> &'static [Capability] {
    match tool {
        "get-roots-list" => &[Capability::Roots],
        "trigger-elicitation-request" => &[Capability::Elicitation],
        "trigger-url-elicitation" => &[Capability::ElicitationUrl],
        "trigger-sampling-request" => &[Capability::Sampling],
        "trigger-sampling-request-async" => &[Capability::Sampling, Capability::SamplingTasks],
        "trigger-elicitation-request-async" => &[Capability::Elicitation, Capability::ElicitationTasks],
        _ => &[],
    }
}

/// The tools. [`Demo`] has the prompts and resources that go with them.
///
/// ```
/// use mcpool::tools::everything::{Demo, Everything, INSTRUCTIONS};
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let tools = Everything::default();
/// assert_eq!(tools.definitions()[0].name(), "echo");
/// let server = Server::builder("everything", "1.0.0").toolset(tools).resources(Demo).prompts(Demo).completer(Demo);
/// let server = server.tasks().instructions(INSTRUCTIONS).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Everything {
    fetch: Fetch,
    bounds: Arc<Bounds>,
}

impl Default for Everything {
    fn default() -> Self {
        Self::new(Fetch::new())
    }
}

impl Everything {
    /// The tools, of which one fetches as `fetch` does. How much it may compress is read from the environment, as the
    /// reference does: `GZIP_MAX_FETCH_SIZE` (bytes), `GZIP_MAX_FETCH_TIME_MILLIS`, `GZIP_ALLOWED_DOMAINS`.
    pub fn new(fetch: Fetch) -> Self {
        Self { fetch, bounds: Arc::new(Bounds::from_environment()) }
    }
}

/// A call that waits. In a box, as no other call of a server should have room for it.
type Waiting<'f> = Pin<Box<dyn Future<Output = Finished> + Send + 'f>>;

/// Starts a call that waits, with its arguments and whatever else it is given.
macro_rules! wait {
    ($request:ident, $run:path $(, $given:expr)*) => {
        match $request.admit() {
            Ok((arguments, mut call)) => Err(Box::pin(async move {
                let result = $run(arguments, $($given,)* &mut call).await;
                call.finish(result)
            })),
            Err(refused) => Ok(refused),
        }
    };
}

impl Toolset for Everything {
    fn definitions(&self) -> Vec<ToolDefinition> {
        // invariant: the text is part of the program, and a test reads it.
        let tools = ToolDefinition::parse_list(DEFINITIONS).expect("the definitions are readable");
        let with_needs = |tool: ToolDefinition| {
            let needs = needs(tool.name());
            tool.shown_if(needs)
        };
        tools.into_iter().map(with_needs).collect()
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let started: Result<Finished, Waiting<'f>> = match index {
            0 => Ok(serve(request, simple::echo)),
            1 => Ok(serve(request, simple::annotated_message)),
            2 => Ok(serve(request, simple::environment)),
            3 => Ok(serve(request, simple::resource_links)),
            4 => Ok(serve(request, simple::resource_reference)),
            5 => Ok(serve(request, simple::structured_content)),
            6 => Ok(serve(request, simple::sum)),
            7 => Ok(serve(request, simple::tiny_image)),
            8 => wait!(request, gzip::compress, &self.fetch, &self.bounds),
            9 => Ok(serve(request, simulated::toggle_logging)),
            10 => Ok(serve(request, simulated::toggle_updates)),
            11 => wait!(request, work::long_running),
            12 => wait!(request, ask::list_roots),
            13 => wait!(request, ask::form),
            14 => wait!(request, ask::visit),
            15 => wait!(request, ask::sample),
            16 => wait!(request, work::research),
            17 => wait!(request, client_tasks::sample),
            18 => wait!(request, client_tasks::fill_in),
            _ => Ok(request.refuse_unknown()),
        };
        async move {
            match started {
                Ok(finished) => finished,
                Err(waiting) => waiting.await,
            }
        }
    }

    fn state_bytes(&self) -> usize {
        size_of::<Bounds>() + self.bounds.heap_bytes() + self.fetch.state_bytes()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        // What a session keeps is reported with its other values.
        enter("everything tools", self.state_bytes());
    }
}
