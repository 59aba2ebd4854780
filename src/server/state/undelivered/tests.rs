//! The rule against a model of it, and what it is for.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::task::Wake;

const LIMIT: usize = 1000;

fn key(principal: u128, session: u64) -> SessionKey {
    SessionKey { principal, session }
}

/// A connection that was woken to its end.
#[derive(Debug, Default)]
struct Woken(Mutex<usize>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().expect("no panic") += 1;
    }
}

/// A connection as the model knows it: what it said last.
#[derive(Debug, Clone, Copy)]
struct Connection {
    owner: SessionKey,
    bytes: usize,
    taken: Instant,
    is_ending: bool,
}

fn sum<'a>(connections: impl Iterator<Item = &'a Connection>) -> usize {
    connections.map(|connection| connection.bytes).sum()
}

/// The rule once more, from a list and by division at the end: `held` times the number of shares against the limit.
fn comes_before(living: &[Connection], waiting: SessionKey, holding: SessionKey) -> bool {
    let of_principal = |principal| sum(living.iter().filter(move |c| c.owner.principal == principal));
    let mut principals: BTreeSet<_> = living.iter().map(|c| c.owner.principal).collect();
    principals.insert(waiting.principal);
    let share = LIMIT / principals.len();
    if waiting.principal != holding.principal {
        return of_principal(waiting.principal) < share && of_principal(holding.principal) > share;
    }
    let own = || living.iter().filter(|c| c.owner.principal == waiting.principal);
    let mut sessions: BTreeSet<_> = own().map(|c| c.owner.session).collect();
    sessions.insert(waiting.session);
    let of_session = |key: SessionKey| sum(own().filter(move |c| c.owner == key));
    let share = share / sessions.len();
    of_session(waiting) < share && of_session(holding) > share
}

#[derive(Debug, Clone, Copy)]
enum Act {
    /// A connection says what it holds.
    Hold { at: usize, owner: (u128, u64), bytes: usize, has_taken: bool },
    /// A connection is gone.
    Leave(usize),
    /// Time passes.
    Pass(u64),
    /// A call lacks memory.
    Want { waiting: (u128, u64), missing_bytes: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let owner = || (0..3_u128, 0..3_u64);
    let act = prop_oneof![
        5 => (0..8_usize, owner(), 0..500_usize, any::<bool>())
            .prop_map(|(at, owner, bytes, has_taken)| Act::Hold { at, owner, bytes, has_taken }),
        1 => (0..8_usize).prop_map(Act::Leave),
        1 => (0..12_000_u64).prop_map(Act::Pass),
        4 => (owner(), 1..600_usize)
            .prop_map(|(waiting, missing_bytes)| Act::Want { waiting, missing_bytes }),
    ];
    prop::collection::vec(act, 0..80)
}

/// What must follow from the model when a call wants memory: the connection that is to end, if any.
fn first_to_end(
    model: &BTreeMap<usize, Connection>,
    waiting: SessionKey,
    missing_bytes: usize,
    has_stalled: impl Fn(&Connection) -> bool,
) -> Option<usize> {
    if sum(model.values().filter(|c| c.is_ending)) >= missing_bytes {
        return None;
    }
    let living: Vec<_> = model.values().filter(|c| !c.is_ending).copied().collect();
    let may_end = model
        .iter()
        .filter(|(_, c)| !c.is_ending && has_stalled(c) && comes_before(&living, waiting, c.owner));
    let weight = |key: SessionKey| {
        let principal = sum(living.iter().filter(|c| c.owner.principal == key.principal));
        (key.principal != waiting.principal, principal, sum(living.iter().filter(|c| c.owner == key)))
    };
    let most = may_end.clone().map(|(_, c)| weight(c.owner)).max()?;
    may_end.filter(|(_, c)| weight(c.owner) == most).min_by_key(|(at, c)| (c.taken, **at)).map(|(at, _)| *at)
}

async fn run(acts: Vec<Act>) {
    let table = Arc::new(Undelivered::default());
    let woken: Vec<_> = (0..8).map(|_| Arc::new(Woken::default())).collect();
    let mut entries: Vec<_> = (0..8).map(|_| table.open()).collect();
    let mut model: BTreeMap<usize, Connection> = BTreeMap::new();
    for act in acts {
        match act {
            Act::Hold { at, owner, bytes, has_taken } => {
                let (owner, now) = (key(owner.0, owner.1), Instant::now());
                let waker = Waker::from(Arc::clone(&woken[at]));
                let goes_on = entries[at].update(HeldAnswers { owner, bytes, has_taken }, &waker);
                let before = model.get(&at).copied();
                // Whoever holds nothing any more need not end.
                assert_eq!(goes_on, bytes == 0 || before.is_none_or(|before| !before.is_ending));
                let taken = before.filter(|_| !has_taken).map_or(now, |before| before.taken);
                let is_ending = before.is_some_and(|before| before.is_ending);
                if bytes == 0 {
                    model.remove(&at);
                } else {
                    model.insert(at, Connection { owner, bytes, taken, is_ending });
                }
            }
            Act::Leave(at) => {
                entries[at].clear();
                model.remove(&at);
            }
            Act::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            Act::Want { waiting, missing_bytes } => {
                let (waiting, now) = (key(waiting.0, waiting.1), Instant::now());
                let has_stalled = |c: &Connection| now - c.taken >= PATIENCE;
                let first = first_to_end(&model, waiting, missing_bytes, has_stalled);
                let counts = || woken.iter().map(|w| *w.0.lock().expect("no panic")).collect::<Vec<_>>();
                let before = counts();
                let shortage = Shortage { waiting, limit_bytes: LIMIT, missing_bytes };
                assert_eq!(table.end_one(&shortage, now), first.is_some());
                let ended: Vec<_> = (0..8).filter(|at| counts()[*at] > before[*at]).collect();
                assert_eq!(ended, Vec::from_iter(first));
                if let Some(connection) = first.and_then(|at| model.get_mut(&at)) {
                    connection.is_ending = true;
                }
            }
        }
        assert_eq!(table.entries.with(|entries, _| entries.len()), model.len());
    }
    drop(entries);
    assert!(table.entries.with(|entries, _| entries.is_empty()));
}

proptest! {
    #[test]
    fn answers_end_by_the_rule_and_in_its_order(acts in acts()) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            run(acts).await;
        });
    }

    /// What the rule is for, whatever is held: who is within its share loses nothing to anybody, two never come before
    /// each other, and who has nothing comes before the one that has all.
    #[test]
    fn nobody_within_its_share_loses_anything(
        held in prop::collection::vec(((0..4_u128, 0..3_u64), 1..700_usize), 0..12),
        waiting in (0..4_u128, 0..3_u64),
        holding in (0..4_u128, 0..3_u64),
    ) {
        let (waiting, holding) = (key(waiting.0, waiting.1), key(holding.0, holding.1));
        let mut principals: BTreeMap<u128, BTreeMap<u64, usize>> = BTreeMap::new();
        for ((principal, session), bytes) in held {
            *principals.entry(principal).or_default().entry(session).or_default() += bytes;
        }
        let shares = Shares { limit_bytes: LIMIT, principals };
        let displaces = shares.may_displace(waiting, holding);
        prop_assert!(!(displaces && shares.may_displace(holding, waiting)));
        let all_hold = LIMIT / (shares.principals.len() + 1);
        if shares.of_principal(holding.principal) <= all_hold && waiting.principal != holding.principal {
            prop_assert!(!displaces, "it is within the share of one more");
        }
        prop_assert!(!shares.may_displace(waiting, waiting));
        let has_all = shares.of_principal(holding.principal) >= LIMIT;
        if has_all && shares.of_principal(waiting.principal) == 0 && waiting.principal != holding.principal {
            prop_assert!(displaces);
        }
    }
}
