//! The context of one tool call: a [`RequestContext`], and the answer that the tool writes.
//!
//! The tool writes its answer straight into a leased buffer. The buffer is leased at the first write, so a call that
//! waits before it writes holds none. Methods that write do not fail: an answer that grows beyond `max_reply_bytes`
//! becomes an error when the call ends.

use crate::memory::lasting;
use crate::protocol::{Era, OwnedMessage, ProtocolError, ToolDefinition};
use crate::server::answer::content::{Content, DataBlock, DataKind, StreamedBlock, TextBlock};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::request_context::{CancelOnDrop, RequestContext};
use crate::server::incoming::handler_end::Finished;
#[cfg(any(feature = "filesystem", feature = "memory"))]
use crate::server::incoming::handler_end::{ArgumentsPlace, HandlerEnd, ThreadCall};
use crate::server::state::call_state::{Failure, InBatch};
use crate::server::state::memory_turns::MemoryTurn;
use crate::server::state::pools::{MemoryQueue, Pools};
use crate::server::state::streamed::BlockSource;
use crate::server::state::windows::Window;
#[cfg(feature = "memory")]
use crate::wire::Reply;
use crate::wire::{Lacking, MemoryLack};
use mcpool_pools::{BudgetSpent, Lease, Reservation};
use serde::Serialize;
use std::any::Any;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// One call of a tool, as the tool sees it: its methods write the answer. All else is in the [`RequestContext`] that it
/// dereferences to.
///
/// ```
/// use mcpool::{CallContext, ToolError};
///
/// fn answer(call: &mut CallContext) -> Result<(), ToolError> {
///     call.text_with(|text| {
///         for line in ["first", "second"] {
///             text.push_str(line);
///             text.push_str("\n");
///         }
///     });
///     call.structured(&["first", "second"])
/// }
/// ```
pub struct CallContext {
    request: RequestContext,
    content: Option<Content>,
    /// The number of the tool among all tools of the server, from 1 on; short, as each waiting request holds one.
    tool: Option<NonZeroU32>,
    /// What a call has which waited for it: room until it begins its answer, which has it then. One field for all that there
    /// is to wait for, as each waiting request holds it.
    room: Option<Box<Room>>,
    /// What it lacks is a window.
    lacks_window: bool,
}

/// What a tool waited for. Only the tool knows what it is.
type Erased = Box<dyn Any + Send + Sync>;

/// What a call waited for, or waits for.
#[cfg_attr(
    not(all(unix, feature = "git")),
    allow(dead_code, reason = "only calls of git wait for what comes")
)]
enum Room {
    Memory(Reservation),
    /// For an answer that is written while it is sent.
    Window(Window),
    /// What a tool waits for without its thread, and begins anew with; and memory that it had before.
    Coming(oneshot::Receiver<Erased>, Option<Reservation>),
    Given(Erased, Option<Reservation>),
}

impl Deref for CallContext {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.request
    }
}

impl DerefMut for CallContext {
    fn deref_mut(&mut self) -> &mut RequestContext {
        &mut self.request
    }
}

impl CallContext {
    pub(crate) fn new(request: RequestContext, tool: Option<usize>) -> Self {
        Self {
            request,
            content: None,
            tool: tool.and_then(|tool| NonZeroU32::new(tool as u32 + 1)),
            room: None,
            lacks_window: false,
        }
    }

    /// Adds a text block.
    pub fn text(&mut self, text: &str) {
        self.text_with(|block| block.push_str(text));
    }

    /// Adds a text block that `write` fills piece by piece. Each piece goes straight into the answer.
    pub fn text_with<R>(&mut self, write: impl FnOnce(&mut TextBlock<'_>) -> R) -> R {
        self.content().text_block(write)
    }

    /// Adds a text block as [`CallContext::text_with`] does, beside the request: for progress while it is written.
    #[cfg(feature = "git")]
    pub(crate) fn text_beside_request<R>(
        &mut self,
        write: impl FnOnce(&mut TextBlock<'_>, &mut RequestContext) -> R,
    ) -> R {
        self.content();
        let Self { request, content, .. } = self;
        // invariant: opened above.
        let content = content.as_mut().expect("content was opened");
        content.text_block(|block| write(block, request))
    }

    /// Adds an image whose bytes `write` pushes piece by piece.
    pub fn image_with<R>(&mut self, mime_type: &str, write: impl FnOnce(&mut DataBlock<'_>) -> R) -> R {
        self.content().data_block("image", mime_type, write)
    }

    /// Adds an audio clip whose bytes `write` pushes piece by piece.
    pub fn audio_with<R>(&mut self, mime_type: &str, write: impl FnOnce(&mut DataBlock<'_>) -> R) -> R {
        self.content().data_block("audio", mime_type, write)
    }

    /// Adds an embedded resource whose bytes `write` pushes piece by piece.
    pub fn blob_with<R>(
        &mut self,
        uri: &str,
        mime_type: &str,
        write: impl FnOnce(&mut DataBlock<'_>) -> R,
    ) -> R {
        self.content().blob_block(uri, mime_type, write)
    }

    /// Adds an embedded resource with its text.
    pub fn resource(&mut self, uri: &str, mime_type: &str, text: &str) {
        self.content().resource_block(uri, mime_type, text);
    }

    /// Adds a block that is given as a value, for what the others have no member for.
    #[cfg(feature = "everything")]
    pub(crate) fn block<T: Serialize + ?Sized>(&mut self, block: &T) -> Result<(), ToolError> {
        self.content().block(block).map_err(|error| ToolError::failed(error.to_string()))
    }

    /// Sets the structured answer. If the answer has no content block, the JSON of the value becomes a text block too,
    /// for clients that read only text.
    ///
    /// # Errors
    /// When the value cannot be serialised, such as a map whose keys are not strings; or when it does not fit the
    /// schema that the tool gave as text.
    pub fn structured<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToolError> {
        if self.repeats_content() {
            return Ok(());
        }
        self.content().structured(value)?;
        // A value that is too long was not written to its end. `finish` reports it.
        let Some(written) = self.content.as_ref().and_then(Content::structured_json) else { return Ok(()) };
        let checked = self.request.shared.check_output(self.tool(), written);
        checked
            .map_err(|fault| ToolError::failed(format_args!("the answer does not fit its schema: {fault}")))
    }

    /// Sets the structured answer to the JSON that `write` writes, which is one value and fits the tool's schema.
    #[cfg(feature = "memory")]
    pub(crate) fn structured_with(&mut self, write: impl FnOnce(&mut Reply)) {
        if !self.repeats_content() {
            self.content().structured_with(write);
        }
    }

    /// Whether the answer carries its text or data in `content` alone.
    pub(crate) fn is_text_once(&self) -> bool {
        let tools = self.shared.description.tools.built();
        self.tool().and_then(|tool| tools.get(tool)).is_some_and(ToolDefinition::is_text_once)
    }

    /// Whether a structured answer would be left out: not even its room is needed then.
    fn repeats_content(&self) -> bool {
        self.content.as_ref().is_some_and(Content::has_block) && self.is_text_once()
    }

    /// Sets the structured answer to `{"content": T}`, where `T` is the text of the last text block.
    pub fn structured_from_text(&mut self) {
        self.content().structured_from_text();
    }

    /// Sets the structured answer to `{"content": [B]}`, where `B` is the whole last block.
    pub fn structured_from_block(&mut self) {
        self.content().structured_from_block();
    }

    /// Takes a structured answer back that repeats a block, so that the block is sent once.
    pub(crate) fn leave_out_copy(&mut self) {
        if let Some(content) = &mut self.content {
            content.leave_out_copy();
        }
    }

    /// Runs `work` on a thread that may block, with the context of this call; the connection continues meanwhile.
    ///
    /// A thread cannot be stopped from outside: **long work should check [`RequestContext::is_cancelled`] in each of
    /// its loops**. When the call is cancelled, the check returns `true` and the answer is dropped.
    ///
    /// At most `max_blocking_threads` calls run on threads at once. One principal gets all but one of them, so that its
    /// calls never keep another principal waiting for a thread.
    ///
    /// ```
    /// use mcpool::{CallContext, ToolError};
    ///
    /// async fn count_lines(path: String, call: &mut CallContext) -> Result<(), ToolError> {
    ///     call.offload(move |call| {
    ///         let lines = std::fs::read_to_string(&path)?.lines().count();
    ///         call.structured(&lines)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ToolError::Failed`] when `work` panics.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps what it is given twice")]
    pub fn offload<W>(&mut self, work: W) -> impl Future<Output = Result<(), ToolError>> + Send
    where
        W: FnOnce(&mut Self) -> Result<(), ToolError> + Send + 'static,
    {
        async move {
            let permit = self.acquire_thread().await.ok_or(ToolError::Cancelled)?;
            let (content, room) = (self.content.take(), self.room.take());
            let mut moved = Self {
                content,
                request: self.request.moved(),
                tool: self.tool,
                room,
                lacks_window: self.lacks_window,
            };
            let guard = CancelOnDrop::new(&self.call);
            let thread = tokio::task::spawn_blocking(move || {
                if moved.is_cancelled() {
                    return (moved, Err(ToolError::Cancelled));
                }
                let result = work(&mut moved);
                // Dropped before the answer is sent: the client's next call may need it.
                drop(permit);
                (moved, result)
            });
            let ended = thread.await;
            guard.disarm();
            let Ok((moved, result)) = ended else {
                return Err(ToolError::failed("the tool panicked"));
            };
            *self = moved;
            result
        }
    }

    pub(crate) fn tool(&self) -> Option<usize> {
        self.tool.map(|tool| tool.get() as usize - 1)
    }

    /// Whether the answer may have a block that is written while it is sent.
    pub(crate) fn may_stream(&self) -> bool {
        self.call.details().takes_streams
    }

    /// Adds a text block whose text `source` gives while the answer is sent: `bytes` of it, as it is written in JSON.
    /// Memory for that is reserved here; without it, the call may succeed later.
    pub(crate) fn stream_text(&mut self, source: impl BlockSource + 'static, bytes: usize) {
        self.stream(source, bytes, Content::streamed_text);
    }

    /// Has `source` give the text of the last block, which is empty so far, as [`CallContext::stream_text`] does.
    pub(crate) fn stream_last_text(&mut self, source: impl BlockSource + 'static, bytes: usize) {
        self.stream(source, bytes, Content::stream_last_text);
    }

    /// Adds a block whose data `source` gives while the answer is sent: `bytes` of base64. Memory is reserved as for
    /// [`CallContext::stream_text`].
    pub(crate) fn stream_data(
        &mut self,
        kind: DataKind<'_>,
        source: impl BlockSource + 'static,
        bytes: usize,
    ) {
        self.stream(source, bytes, |content, block| content.streamed_data(kind, block));
    }

    fn stream(
        &mut self,
        source: impl BlockSource + 'static,
        bytes: usize,
        add: impl FnOnce(&mut Content, StreamedBlock),
    ) {
        let waited = match self.room.take().map(|room| *room) {
            Some(Room::Window(window)) => Some(window),
            _ => None,
        };
        let (key, windows) = (self.session_key(), &self.shared.pools.windows);
        // The answers of a batch are sent through one window, once all are there.
        let in_batch = self.call.details().in_batch != InBatch::No;
        let reserve = || windows.try_reserve(key.principal).map(Some);
        let window = match if waited.is_some() || in_batch { Ok(waited) } else { reserve() } {
            Ok(window) => window,
            Err(spent) => {
                self.lacks_window = true;
                return self.content().note_lack(spent);
            }
        };
        let means = self.stream_means(window);
        // A slow reader has it for long, and a session keeps it for a client that comes back.
        let source = lasting(|| Box::new(source));
        add(self.content(), StreamedBlock::new(source, bytes, means));
    }

    /// Copies arguments that must outlive their frame into a pooled message, for [`CallContext::offload`] for example.
    /// The metrics count the copy.
    pub fn own_arguments(&self, json: &str) -> Lease<OwnedMessage> {
        let mut owned = self.shared.pools.owned_messages.acquire();
        owned.copy_arguments(json);
        self.shared.metrics.owned_messages.add(1);
        owned
    }

    /// Leases an arena for decoding [`OwnedMessage::arguments`].
    pub fn arena(&self) -> mcpool_pools::ArenaLease {
        self.shared.pools.arenas.acquire()
    }

    /// Gives back as much of the room that the call waited for as it is about to reserve.
    pub(crate) fn give_way_to(&mut self, bytes: usize) {
        if let Some(Room::Memory(room)) = self.room.as_deref_mut() {
            room.resize(room.bytes().saturating_sub(bytes));
        }
    }

    /// Sets memory aside for what a call makes of a large file, among the large messages. A small one needs none.
    ///
    /// # Errors
    /// When there is no room for it. The call may succeed later.
    pub(crate) fn reserve_memory(&mut self, bytes: usize) -> Result<Option<Reservation>, BudgetSpent> {
        if bytes <= Pools::LARGE_BYTES {
            return Ok(None);
        }
        self.give_way_to(bytes);
        let reserved = self.shared.pools.leased.try_reserve(bytes);
        reserved.map(Some).inspect_err(|spent| self.content().note_lack(*spent))
    }

    /// The room that the call waited for, for what it holds before its answer is written.
    pub(crate) fn take_room(&mut self) -> Option<Reservation> {
        match *self.room.take_if(|room| matches!(**room, Room::Memory(_)))? {
            Room::Memory(room) => Some(room),
            _ => None,
        }
    }

    /// Notes what there was no room for, so that the call waits for it.
    pub(crate) fn note_lack(&mut self, spent: BudgetSpent) {
        self.content().note_lack(spent);
    }

    /// Makes room for the end of a large answer, so that a lack of it shows while the call may still wait.
    pub(crate) fn make_room_to_close(&mut self) {
        if let Some(content) = &mut self.content {
            content.make_room_to_close();
        }
    }

    /// What there was no room for, where the call may succeed later.
    pub(crate) fn lacking(&self) -> Option<Lacking> {
        self.content.as_ref().and_then(Content::lacking)
    }

    /// Whether a part of the answer was left out for lack of memory.
    pub(crate) fn memory_lack(&self) -> Option<MemoryLack> {
        let lack = self.content.as_ref().and_then(Content::memory_lack)?;
        Some(if self.call.has_all_memory() { MemoryLack::Always } else { lack })
    }

    /// Has the call leave its thread, and begin anew once something has come. What the tool returns now counts for nothing;
    /// it has done nothing and written nothing yet.
    #[cfg(all(unix, feature = "git"))]
    pub(crate) fn begin_again_after(&mut self, something: oneshot::Receiver<Erased>) {
        let memory = self.take_room();
        self.room = Some(Box::new(Room::Coming(something, memory)));
    }

    /// What the call waited for, once.
    #[cfg(all(unix, feature = "git"))]
    pub(crate) fn take_given(&mut self) -> Option<Erased> {
        match *self.room.take_if(|room| matches!(**room, Room::Given(..)))? {
            Room::Given(given, memory) => {
                self.room = memory.map(|memory| Box::new(Room::Memory(memory)));
                Some(given)
            }
            _ => None,
        }
    }

    /// Whether the call holds room that it waited for.
    #[cfg(all(unix, feature = "git"))]
    pub(crate) fn has_room(&self) -> bool {
        self.room.as_deref().is_some_and(|room| matches!(room, Room::Memory(_) | Room::Window(_)))
    }

    /// Waits for what a tool asked for, if it did: whether the call is to begin anew.
    pub(crate) async fn wait_for_tool(&mut self) -> bool {
        let Some(coming) = self.room.take_if(|room| matches!(**room, Room::Coming(..))) else { return false };
        let Room::Coming(something, memory) = *coming else { return false };
        // Nothing comes where its giver is gone; the tool looks itself then.
        self.room = match something.await {
            Ok(given) => Some(Box::new(Room::Given(given, memory))),
            Err(_) => memory.map(|memory| Box::new(Room::Memory(memory))),
        };
        true
    }

    /// Whether the call is to be refused rather than to wait for memory.
    pub(crate) fn must_not_wait(&self) -> bool {
        self.call.details().in_batch == InBatch::MustNotWait
    }

    /// Drops what was written, and waits for its turn and for room for more than was lacking. The turn is to be held
    /// while the call runs again; `turn` is the one that it had. The call's own message holds `own_bytes` of the room.
    ///
    /// `None` if the wait took longer than a peer may take to read, or if the call had all the room that one may wait
    /// for. It must end then, as nothing is left of its answer.
    pub(crate) async fn wait_for_memory(
        &mut self,
        turn: Option<MemoryTurn>,
        lacking: Lacking,
        own_bytes: usize,
    ) -> Option<MemoryTurn> {
        self.content = None;
        self.room = None;
        let shared = &self.request.shared;
        let key = self.session_key();
        let deadline = turn.as_ref().map(MemoryTurn::deadline);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + shared.limits.write_timeout());
        if std::mem::take(&mut self.lacks_window) {
            // Others have their turns meanwhile.
            drop(turn);
            let window = timeout_at(deadline, shared.pools.windows.wait(key, None)).await.ok().flatten()?;
            self.room = Some(Box::new(Room::Window(window)));
            return Some(shared.pools.turns.without_turn(key, deadline));
        }
        let MemoryQueue { turns, room } = shared.pools.queue_for(lacking.is_small, own_bytes);
        // A turn among the small objects is none among the large messages.
        let mut turn = match turn.filter(|turn| turns.gave(turn)) {
            Some(turn) => turn,
            None => turns.wait(key, deadline).await?,
        };
        // The answers of clients that left are the first to go.
        let give_up = || !lacking.is_small && shared.events.give_up_unread(Pools::LARGE_BYTES);
        let collected = turn.collect(room, lacking.bytes, give_up).await?;
        self.room = Some(Box::new(Room::Memory(collected)));
        if !lacking.is_small && turn.has_all(room) {
            self.request.call.note_all_memory();
        }
        Some(turn)
    }

    /// A call that begins anew on a thread that may block, with the frame that it came in. Drops what was written.
    #[cfg(any(feature = "filesystem", feature = "memory"))]
    pub(crate) fn restart_on_thread(self, arguments: ArgumentsPlace) -> Finished {
        let tool = self.tool();
        let request = self.request.into_admitted();
        Finished(HandlerEnd::OnThread(ThreadCall { request, tool, arguments, may_repeat: false }))
    }

    /// Ends the call with the answer that was written, or with an error.
    pub fn finish(mut self, result: Result<(), ToolError>) -> Finished {
        let text = match result {
            Ok(()) => {
                let mut content = self.content.take().unwrap_or_else(|| self.open_content());
                if self.is_text_once() {
                    content.leave_out_structured();
                }
                match content.close(self.era, &self.shared.server_meta, false) {
                    Ok(outcome) => {
                        self.shared.tool_usage.note_reply(self.tool(), outcome.answer_bytes());
                        return Finished::from(outcome);
                    }
                    Err(error) => ProtocolError::from(error).to_string(),
                }
            }
            Err(ToolError::Failed(text)) => text,
            Err(ToolError::MissingCapability(capability)) if self.era == Era::Legacy => {
                format!("the client does not support {}", capability.name())
            }
            Err(error) => return self.request.end(&error),
        };
        self.content = None;
        self.shared.metrics.tool_errors.add(1);
        self.call.fail(Failure::Tool);
        let mut content = self.open_content();
        content.text_block(|block| block.push_str(&text));
        match content.close(self.era, &self.shared.server_meta, true) {
            Ok(outcome) => Finished::from(outcome),
            Err(error) => self.request.refuse(&error.into()),
        }
    }

    fn content(&mut self) -> &mut Content {
        if self.content.is_none() {
            let mut content = self.open_content();
            if let Some(room) = self.take_room() {
                content.give_room(Box::new(room));
            }
            self.content = Some(content);
        }
        // invariant: set above.
        self.content.as_mut().expect("content was opened")
    }

    fn open_content(&self) -> Content {
        Content::open(self.shared.reply(), &self.call.details().id, self.era)
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext").field("request", &self.request).finish_non_exhaustive()
    }
}
