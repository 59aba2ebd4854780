//! The thinking tool: a drop-in for `@modelcontextprotocol/server-sequential-thinking`.
//!
//! The name, the arguments, what they are coerced from, and the answers are those of the reference server. What differs,
//! on purpose:
//! - A session has its own count and branches, and a client over HTTP does not see those of another. What is kept is
//!   the number of thoughts and the branch ids, not the thoughts: the answers need no more. [`MAX_BRANCHES`] ids of
//!   [`MAX_BRANCH_BYTES`] in all are kept, as far as there is memory for what lasts; a thought that opens one more is
//!   refused and not counted.
//! - A client of the modern era has a session only if it started the process. Over a socket, each of its calls is a
//!   history of one thought.
//! - A thought is logged (`tracing`, target [`LOG_TARGET`], one line) and not drawn in a box.
//! - An optional argument may be `null`, and the branch `__proto__` is one as any other.
//!
//! ```text
//! mod          the toolset: definition, answer
//! arguments    coerced as JavaScript does it
//! history      what a session keeps
//! ```

mod arguments;
mod history;

pub use history::{MAX_BRANCH_BYTES, MAX_BRANCHES};

use super::json_text;
use crate::lock::lock;
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Finished, SessionValues, ToolError, ToolRequest, Toolset};
use arguments::Step;
use history::{HISTORY_BYTES, History, no_memory};
use serde::Serialize;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// The answer to `tools/list`, word for word that of the reference server.
const DEFINITIONS: &str = include_str!("definitions.json");
/// The target of the log lines of thoughts, at the level `INFO`.
pub const LOG_TARGET: &str = "mcpool::thought";

/// The tool `sequentialthinking`.
///
/// ```
/// use mcpool::tools::thinking::Thinking;
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let thinking = Thinking::new().log_thoughts(false);
/// assert_eq!(thinking.definitions()[0].name(), "sequentialthinking");
/// let server = Server::builder("thinking", "1.0.0").toolset(thinking).build()?;
/// # Ok::<(), mcpool::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Thinking {
    logs: bool,
    /// Held while a session gets its history, so that two first calls at once get the same.
    beginning: Mutex<()>,
}

impl Default for Thinking {
    fn default() -> Self {
        Self::new()
    }
}

impl Thinking {
    /// Makes the tool; thoughts are logged.
    pub fn new() -> Self {
        Self { logs: true, beginning: Mutex::default() }
    }

    /// Sets whether thoughts are logged.
    #[must_use]
    pub fn log_thoughts(mut self, logs: bool) -> Self {
        self.logs = logs;
        self
    }

    fn think(&self, thought: &Step<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        let total = thought.total_thoughts.0.max(thought.thought_number.0);
        if !call.has_session() {
            let branch = thought.branch();
            self.log(thought, total);
            return answer(call, thought, total, branch.as_slice(), 1);
        }
        let history = self.history(call)?;
        let mut history = lock(&history);
        if let Some(branch) = thought.branch()
            && history.open(branch)?
        {
            note_bytes(call.session_values(), history.heap_bytes());
        }
        history.thoughts += 1;
        let answered = answer(call, thought, total, history.branches(), history.thoughts);
        drop(history);
        self.log(thought, total);
        answered
    }

    /// What the session keeps, from its first thought on.
    ///
    /// # Errors
    /// When there is no memory to keep anything for it.
    fn history(&self, call: &CallContext) -> Result<Arc<Mutex<History>>, ToolError> {
        let session = call.session_values();
        if let Some(history) = session.find::<Mutex<History>>() {
            return Ok(history);
        }
        let _beginning = lock(&self.beginning);
        if let Some(history) = session.find::<Mutex<History>>() {
            return Ok(history);
        }
        let memory = call.reserve_lasting(HISTORY_BYTES).map_err(no_memory)?;
        let history = Arc::new(Mutex::new(History::new(memory)));
        session.put(Arc::clone(&history), 0);
        Ok(history)
    }

    fn log(&self, thought: &Step<'_>, total: u64) {
        if !self.logs {
            return;
        }
        let number = thought.thought_number.0;
        tracing::info!(target: LOG_TARGET, "{}{number}/{total}: {}", thought.kind(), thought.thought);
    }
}

/// Tells the memory report what the history of a session holds now.
#[cold]
fn note_bytes(session: &SessionValues, heap_bytes: usize) {
    if let Some(history) = session.find::<Mutex<History>>() {
        session.put(history, heap_bytes);
    }
}

/// The answer to a thought.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a, B> {
    thought_number: u64,
    total_thoughts: u64,
    next_thought_needed: bool,
    branches: &'a [B],
    thought_history_length: u64,
}

fn answer<B: Serialize>(
    call: &mut CallContext,
    thought: &Step<'_>,
    total_thoughts: u64,
    branches: &[B],
    thought_history_length: u64,
) -> Result<(), ToolError> {
    let answer = Answer {
        thought_number: thought.thought_number.0,
        total_thoughts,
        next_thought_needed: thought.next_thought_needed.0,
        branches,
        thought_history_length,
    };
    json_text::answer(call, &answer)
}

impl Toolset for Thinking {
    fn definitions(&self) -> Vec<ToolDefinition> {
        // invariant: the text is part of the program, and a test reads it.
        ToolDefinition::parse_list(DEFINITIONS).expect("the definitions are readable")
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(match index {
            0 => match request.admit::<Step<'_>>() {
                Ok((thought, mut call)) => {
                    let result = self.think(&thought, &mut call);
                    call.finish(result)
                }
                Err(refused) => refused,
            },
            _ => request.refuse_unknown(),
        })
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        // What a session keeps is reported with its other values.
        enter("thinking tools", self.state_bytes());
    }
}
