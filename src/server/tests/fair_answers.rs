//! Answers of peers that do not read leave room to those of other clients, however many there are.

use crate::limits::price;
use crate::server::state::answer_stream::{AnswerStream, StreamMeans};
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::memory_turns::MemoryTurns;
use crate::server::state::streamed::{
    BlockSource, Cursor, Ending, Filled, Skeleton, StreamedAnswer, StreamedItem,
};
use crate::server::state::windows::WindowBudget;
use crate::wire::{BufferRoom, escape_piece};
use mcpool_pools::{BufferConfig, BufferPool, LeasedBudget, MemoryBudget, OwnedBudget};
use proptest::prelude::*;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Lets so many segments of an answer be written.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self, segments: usize) {
        *self.open.lock().expect("no panic") = segments;
        self.opened.notify_all();
    }

    /// How many segments may still be written.
    pub(crate) fn left(&self) -> usize {
        *self.open.lock().expect("no panic")
    }
}

/// Text without an end that matters here.
#[derive(Debug)]
struct Gated {
    gate: Arc<Gate>,
}

impl BlockSource for Gated {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let open = self.gate.open.lock().expect("no panic");
        let mut open = self.gate.opened.wait_while(open, |open| *open == 0).expect("no panic");
        *open -= 1;
        let text = vec![b'x'; 64 * 1024];
        cursor.at += escape_piece(&text, false, room) as u64;
        Ok(Filled::Full)
    }
}

/// Windows of which one client may have three quarters of what the others leave.
pub(crate) fn windows_within(memory: &MemoryBudget) -> WindowBudget {
    WindowBudget::new(memory.clone(), MemoryTurns::new(memory), 75)
}

/// An answer of `block_bytes`, of which `gate` lets segments out.
pub(crate) fn gated_answer(
    windows: &WindowBudget,
    buffers: &BufferPool,
    client: u128,
    gate: &Arc<Gate>,
    block_bytes: usize,
) -> AnswerStream {
    let mut skeleton = buffers.acquire(10);
    skeleton.extend_from_slice(br#"{"a":""}"#);
    let answer = StreamedAnswer::from(StreamedItem {
        skeleton: Skeleton::Leased(skeleton),
        cuts: (6, None),
        block_end: 7,
        ending: Ending::Tool,
        tail_at: 7,
        source: Box::new(Gated { gate: Arc::clone(gate) }),
        block_bytes,
    });
    let means = StreamMeans {
        threads: FairPermits::new(4),
        key: SessionKey { principal: client, session: 1 },
        buffers: buffers.clone(),
        windows: windows.clone(),
        window: None,
    };
    AnswerStream::new(Arc::new(answer), means)
}

fn buffers(large: &MemoryBudget, small: &MemoryBudget) -> BufferPool {
    BufferPool::new(BufferConfig {
        leased: Some(LeasedBudget { budget: large.clone(), from_bytes: price::SMALL_BUFFER_BYTES + 1 }),
        owned: Some(OwnedBudget { budget: small.clone(), first_bytes: 4 * 1024, left_bytes: 0 }),
        ..BufferConfig::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Peers of some clients take a segment of each answer and stall: another client has its answers at once, no small
    /// object is missing for it, and what waited goes on when they are gone.
    #[test]
    fn peers_that_do_not_read_leave_room_to_other_clients(
        limit_kib in 1_024_usize..4_096,
        stalled in prop::collection::vec(1_usize..200, 1..3),
        reads in 1_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let (large, small) = (MemoryBudget::new(limit_kib << 10), MemoryBudget::new(4 << 20));
            let (buffers, windows) = (buffers(&large, &small), windows_within(&large));
            let gate = Arc::new(Gate::default());
            gate.open(usize::MAX >> 1);
            let mut held = Vec::new();
            for (client, answers) in stalled.iter().enumerate() {
                for _ in 0..*answers {
                    let mut answer = gated_answer(&windows, &buffers, client as u128, &gate, 1 << 20);
                    let taken = timeout(Duration::from_millis(1), poll_fn(|cx| answer.poll_segment(cx))).await;
                    held.push((answer, taken.ok()));
                }
            }
            // Each has its skeleton and the first few a segment of a class; none has a segment of the small objects.
            let skeletons = held.len() * 1_024;
            assert!(small.used_bytes() <= skeletons, "{} of {skeletons}", small.used_bytes());
            for _ in 0..reads {
                let mut answer = gated_answer(&windows, &buffers, 100, &gate, 1 << 20);
                for _ in 0..3 {
                    let taken = timeout(Duration::from_millis(1), poll_fn(|cx| answer.poll_segment(cx))).await;
                    let _ = taken.expect("it waits for nobody").expect("a segment");
                }
            }
            let waiting = held.iter().position(|(_, taken)| taken.is_none());
            let waiting = waiting.map(|at| held.swap_remove(at));
            drop(held);
            if let Some((mut answer, _)) = waiting {
                let taken = timeout(Duration::from_secs(1), poll_fn(|cx| answer.poll_segment(cx))).await;
                let _ = taken.expect("there is room now").expect("a segment");
            }
            assert_eq!(large.used_bytes(), 0, "all is given back");
        });
    }
}
