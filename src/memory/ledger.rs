//! The ledger: who holds bytes, in lines that are summed only when somebody asks.
//!
//! Knows no holder. Each holder of memory opens an [`Account`], which is read when a report is made, so requests pay
//! nothing for it. Invariant: a dropped account has no line.

use super::latency_report::LatencyReport;
use super::report::{
    ClientReport, ClientSpot, ConnectionSpot, OperationReport, SessionSpot, ToolSpot, Traffic,
};
use crate::lock::lock;
use crate::monitor::Alert;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, Weak};

/// Lines, and accounts, that fit in place; more go to the heap.
const MAX_LINES: usize = 32;
const MAX_ACCOUNTS: usize = 8;

/// What the holders enter into one reading of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// In place, because the reading of each second must not allocate.
    pub(crate) lines: SmallVec<[Line; MAX_LINES]>,
    /// Bytes and number of the leased buffers that lines of their holders stand for.
    pub(crate) leased: (u64, u64),
    /// Whether holders should be listed one by one, and not only summed up.
    pub(crate) is_detailed: bool,
    pub(crate) traffic: Traffic,
    /// Connections that hold more than an idle one.
    pub(crate) connections: Vec<ConnectionSpot>,
    /// Bytes of each idle connection.
    pub(crate) idle_connection_bytes: u64,
    pub(crate) sessions: Vec<SessionSpot>,
    pub(crate) clients: Vec<ClientSpot>,
    /// What clients did, by the names that they give themselves.
    pub(crate) client_activity: Vec<ClientReport>,
    pub(crate) tools: Vec<ToolSpot>,
    pub(crate) operations: Vec<OperationReport>,
    pub(crate) latencies: Vec<LatencyReport>,
    /// p50 and p99 of the latest messages in nanoseconds; read where holders are only summed up.
    pub(crate) latest_latencies: Option<(u64, u64)>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) session_durations: Option<OperationReport>,
}

/// Bytes under one name; lines of the same name are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) count: Option<u64>,
}

impl Entries {
    /// Adds `count` objects that hold `bytes` together to the line `name`.
    pub(crate) fn enter(&mut self, name: &'static str, bytes: usize, count: usize) {
        let (bytes, count) = (bytes as u64, count as u64);
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => {
                line.bytes += bytes;
                *line.count.get_or_insert(0) += count;
            }
            None => self.lines.push(Line { name, bytes, count: Some(count) }),
        }
    }

    /// Adds `count` leased buffers to the line of their holder, and takes them off the line of all leased ones.
    pub(crate) fn enter_leased(&mut self, name: &'static str, bytes: usize, count: usize) {
        self.enter(name, bytes, count);
        self.leased.0 += bytes as u64;
        self.leased.1 += count as u64;
    }

    /// Takes the leased buffers that have a line of their own off `name`, the line of all of them.
    pub(crate) fn settle_leased(&mut self, name: &'static str) {
        let (bytes, count) = std::mem::take(&mut self.leased);
        // Buffers come and go between the two readings, so the difference may be below zero for a moment.
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.bytes = line.bytes.saturating_sub(bytes);
            line.count = line.count.map(|all| all.saturating_sub(count));
        }
    }
}

/// A holder of memory.
pub(crate) trait Account: Send + Sync + 'static {
    /// Enters what the holder has now.
    fn enter(&self, entries: &mut Entries);

    /// Moves what lasts out of the way of pages that are about to be returned, as a burst is over.
    fn pack(&self) {}

    /// Frees what the holder can do without, more of it if `is_critical`, and returns the bytes of each step.
    fn reclaim(&self, _is_critical: bool) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// All accounts.
#[derive(Default)]
pub(crate) struct Ledger {
    accounts: Mutex<Vec<Weak<dyn Account>>>,
}

impl Ledger {
    /// Opens an account; it is closed when its holder is dropped.
    pub(crate) fn open<A: Account>(&self, account: &Arc<A>) {
        let account: Weak<A> = Arc::downgrade(account);
        let mut accounts = lock(&self.accounts);
        accounts.retain(|account| account.strong_count() > 0);
        accounts.push(account);
    }

    /// Reads all accounts.
    pub(crate) fn read(&self, is_detailed: bool) -> Entries {
        let mut entries = Entries { is_detailed, ..Entries::default() };
        for account in self.live() {
            account.enter(&mut entries);
        }
        entries
    }

    /// Asks all holders to move what lasts out of the way.
    pub(crate) fn pack(&self) {
        self.live().iter().for_each(|account| account.pack());
    }

    /// Asks all holders to free what they can do without.
    pub(crate) fn reclaim(&self, is_critical: bool) -> Vec<(&'static str, u64)> {
        self.live().iter().flat_map(|account| account.reclaim(is_critical)).collect()
    }

    /// The accounts, read outside the lock, so that a holder may open another account meanwhile.
    fn live(&self) -> SmallVec<[Arc<dyn Account>; MAX_ACCOUNTS]> {
        let accounts = lock(&self.accounts);
        accounts.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Holder(usize);

    impl Account for Holder {
        fn enter(&self, entries: &mut Entries) {
            entries.enter("held", self.0, 1);
        }
    }

    #[test]
    fn lines_of_one_name_add_up_and_go_with_their_holder() {
        let ledger = Ledger::default();
        let (first, second) = (Arc::new(Holder(5)), Arc::new(Holder(7)));
        ledger.open(&first);
        ledger.open(&second);
        assert_eq!(ledger.read(false).lines[..], [Line { name: "held", bytes: 12, count: Some(2) }]);
        drop(first);
        assert_eq!(ledger.read(false).lines[..], [Line { name: "held", bytes: 7, count: Some(1) }]);
        drop(second);
        assert!(ledger.read(false).lines.is_empty());
    }
}
