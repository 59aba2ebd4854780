//! What a session keeps of its thoughts: how many there were, and its branches in the order of the reference.
//!
//! Invariant: at most [`MAX_BRANCHES`] ids of [`MAX_BRANCH_BYTES`] in all, which are reserved among what lasts before they
//! are kept.

use crate::memory::lasting;
use crate::server::ToolError;
use crate::server::state::lasting::Lasting;
use mcpool_pools::BudgetSpent;

/// Branches that a session may have.
pub const MAX_BRANCHES: usize = 64;
/// Bytes of all branch ids of a session.
pub const MAX_BRANCH_BYTES: usize = 4_096;
/// What a history takes without branches: itself, and its place among the values of its session.
pub(super) const HISTORY_BYTES: usize = 256;
/// What a branch takes beside its id: its place in a list that may be half empty, and what its block is rounded up by.
const BRANCH_BYTES: usize = 64;
/// The largest index of a list in JavaScript.
const MAX_INDEX: u32 = u32::MAX - 1;

/// The thoughts of one session.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) thoughts: u64,
    /// Ids that could be indices of a list come first, by size, as the keys of an object do in JavaScript; then the
    /// others, in the order of their first use.
    branches: Vec<Box<str>>,
    /// How many of them could be indices.
    indices: usize,
    /// What is reserved for all of it.
    memory: Option<Lasting>,
}

impl History {
    /// An empty one, for which [`HISTORY_BYTES`] are reserved.
    pub(super) fn new(memory: Lasting) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// Notes a branch; tells whether it is a new one.
    ///
    /// # Errors
    /// When there are as many as are kept, and when there is no memory to keep one more.
    pub(super) fn open(&mut self, id: &str) -> Result<bool, ToolError> {
        if self.branches.iter().any(|known| **known == *id) {
            return Ok(false);
        }
        let bytes: usize = self.branches.iter().map(|known| known.len()).sum();
        if self.branches.len() == MAX_BRANCHES || bytes + id.len() > MAX_BRANCH_BYTES {
            return Err(ToolError::failed(format_args!(
                "this session has {} branches with ids of {bytes} bytes; {MAX_BRANCHES} with {MAX_BRANCH_BYTES} bytes in \
                 all are kept: go on in one of them, or choose a shorter id",
                self.branches.len()
            )));
        }
        if let Some(memory) = &mut self.memory {
            memory.try_grow(BRANCH_BYTES + id.len()).map_err(no_memory)?;
        }
        let at = match index(id) {
            Some(number) => {
                let at = self.branches[..self.indices]
                    .partition_point(|known| index(known).is_some_and(|known| known < number));
                self.indices += 1;
                at
            }
            None => self.branches.len(),
        };
        lasting(|| self.branches.insert(at, id.into()));
        Ok(true)
    }

    pub(super) fn branches(&self) -> &[Box<str>] {
        &self.branches
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let ids: usize = self.branches.iter().map(|id| id.len()).sum();
        ids + self.branches.capacity() * size_of::<Box<str>>()
    }
}

/// The answer where nothing more can be kept for a session.
pub(super) fn no_memory(spent: BudgetSpent) -> ToolError {
    ToolError::failed(format_args!(
        "there is no memory to keep more for this session; end sessions that are not needed, or raise \
         memory_limit_bytes: {spent}"
    ))
}

/// The number that a text is the usual spelling of, if it could be an index.
fn index(id: &str) -> Option<u32> {
    let is_canonical = id == "0" || !id.starts_with(['0', '+']);
    id.parse().ok().filter(|number| is_canonical && *number <= MAX_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::lasting::LastingBudget;
    use mcpool_pools::MemoryBudget;

    #[test]
    fn branches_have_the_order_of_keys_in_javascript() {
        let mut history = History::default();
        for id in ["b", "10", "a", "2", "02", "-1", "b", "0", "4294967294", "4294967295", "+3", "1.0", "2"] {
            history.open(id).expect("room");
        }
        let ids: Vec<&str> = history.branches().iter().map(|id| &**id).collect();
        assert_eq!(ids, ["0", "2", "10", "4294967294", "b", "a", "02", "-1", "4294967295", "+3", "1.0"]);
    }

    #[test]
    fn what_is_kept_is_reserved_and_refused_where_there_is_no_room() {
        let small = MemoryBudget::new(64 * 1024);
        let budget = LastingBudget::new(small.clone(), 75);
        let id = "x".repeat(MAX_BRANCH_BYTES);
        let mut kept = Vec::new();
        let refused = loop {
            assert!(kept.len() < 64, "{} bytes are used", small.used_bytes());
            let client = kept.len() as u128;
            let Ok(memory) = budget.try_reserve(client, HISTORY_BYTES) else { break None };
            let mut history = History::new(memory);
            if let Err(refused) = history.open(&id) {
                assert!(history.branches().is_empty(), "what is refused is not kept");
                break Some(refused);
            }
            kept.push(history);
        };
        let refused = format!("{refused:?}");
        assert!(refused.contains("no memory to keep more for this session"), "{refused}");
        assert!(!kept.is_empty());
        let held: usize = kept.iter().map(|history| history.heap_bytes() + size_of::<History>()).sum();
        assert!(held <= small.used_bytes(), "{held} are held, {} are reserved", small.used_bytes());
        drop(kept);
        assert_eq!(small.used_bytes(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut history = History::default();
        for number in 0..MAX_BRANCHES {
            assert!(history.open(&number.to_string()).expect("room"));
        }
        let refused = format!("{:?}", history.open("one more").expect_err("refused"));
        assert!(refused.contains("this session has 64 branches"), "{refused}");
        assert!(!history.open("7").expect("known"), "one that is there stays usable");
        let mut history = History::default();
        assert!(history.open(&"x".repeat(MAX_BRANCH_BYTES + 1)).is_err());
        assert!(history.open(&"x".repeat(MAX_BRANCH_BYTES)).expect("room"));
        assert!(history.open("y").is_err());
        assert!(history.heap_bytes() < MAX_BRANCH_BYTES + 256, "{}", history.heap_bytes());
    }
}
