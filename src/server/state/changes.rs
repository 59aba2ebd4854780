//! Subscriptions to changes of lists and resources.
//!
//! Changes are not queued one by one: each list and each resource waits at most once. A change marks it in each
//! subscription that asked for it and wakes the subscriber, which writes the message once the client has read the one
//! before: `Listener::poll_changes` for modern clients, `next_notice` for legacy ones (`serving/listen.rs`). So a slow
//! reader is notified once and late, and costs no more memory.
//! A resource is kept as a keyed hash of its URI ([`ResourceKey`]): what a client names may be long and is kept for hours,
//! and its blocks would lie among what passes. The text comes with the first change, from the server, and stays as long
//! as somebody names it, so that further changes allocate nothing.
//! Invariants: at most `max_subscriptions` are open, and each names at most `max_subscribed_uris` resources; a dropped
//! subscription leaves no entry; no text of a client is kept. The hub holds the flags of a subscription and not the subscription itself, as
//! dropping a subscription locks the hub, and a notification may drop the last reference.

use crate::limits::Limits;
use crate::lock::lock;
use crate::memory::lasting;
use crate::protocol::Method;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::fair_limit::{FairLimit, Permit};
use crate::server::state::give_back::give_back;
use crate::server::state::lasting::{Lasting, LastingBudget};
use crate::server::state::resource_watch::ResourceWatch;
use crate::server::state::wake_list::Guarded;
use atomic_waker::AtomicWaker;
use mcpool_pools::BudgetSpent;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use thiserror::Error;

/// A list that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The changes that a subscription asks for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Filter {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    pub(crate) uris: Vec<Box<str>>,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The list changed.
    List(Kind),
    /// The contents of the resource changed.
    Resource(Arc<str>),
}

impl Change {
    /// The method of the notification that reports the change.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::List(Kind::Tools) => Method::TOOLS_CHANGED,
            Self::List(Kind::Prompts) => Method::PROMPTS_CHANGED,
            Self::List(Kind::Resources) => Method::RESOURCES_CHANGED,
            Self::Resource(_) => Method::RESOURCE_UPDATED,
        }
    }
}

/// Why a client is not notified of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CannotSubscribe {
    /// `max_subscriptions` are open, or one names `max_subscribed_uris` resources.
    #[error("there are as many subscriptions as there may be")]
    Full,
    /// There is no memory for it.
    #[error("there is no memory for the subscription at the moment")]
    OutOfMemory,
}

impl From<BudgetSpent> for CannotSubscribe {
    fn from(_: BudgetSpent) -> Self {
        Self::OutOfMemory
    }
}

/// All subscriptions of a server.
#[derive(Debug)]
pub(crate) struct Changes {
    hub: Arc<Hub>,
    permits: Arc<FairLimit>,
    /// What the subscriptions are charged to.
    memory: LastingBudget,
}

#[derive(Debug, Default)]
struct Hub {
    /// How many resources one subscription may name.
    max_uris: usize,
    /// The subscriptions to lists.
    lists: Guarded<Vec<Arc<Flags>>>,
    /// The subscriptions to each resource.
    uris: Guarded<ByUri>,
    /// Heap of the resources that subscriptions list, without what all share.
    watched: Sum,
    /// Heap of the URIs of changes of which a subscription was not notified yet.
    updated: Sum,
}

type ByUri = HashMap<ResourceKey, Subscribed>;

/// A resource that subscriptions name.
#[derive(Debug)]
struct Subscribed {
    by: Subscribers,
    /// Its URI, since its first change: further ones allocate nothing.
    updated: Option<Arc<Updated>>,
    /// Looks for its changes, if that is needed. Dropped when the hub is free.
    watch: Option<ResourceWatch>,
}

/// A keyed hash of a URI. Two URIs share one only by chance, of 2^128, as no client knows the key of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ResourceKey([u64; 2]);

impl ResourceKey {
    fn of(uri: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self([0_u8, 1].map(|half| HASHER.hash_one((half, uri))))
    }
}

/// Who subscribed to a resource: mostly one, which takes no list.
#[derive(Debug)]
enum Subscribers {
    One(Arc<Flags>),
    Several(Vec<Arc<Flags>>),
}

impl Subscribers {
    fn as_slice(&self) -> &[Arc<Flags>] {
        match self {
            Self::One(flags) => slice::from_ref(flags),
            Self::Several(list) => list,
        }
    }

    /// Heap of the list.
    fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Several(list) => list.capacity() * size_of::<Arc<Flags>>(),
        }
    }

    fn add(&mut self, flags: Arc<Flags>) {
        match self {
            Self::One(first) => *self = Self::Several(vec![Arc::clone(first), flags]),
            Self::Several(list) => list.push(flags),
        }
    }

    /// Removes one. Returns whether any is left.
    fn remove(&mut self, leaver: &Arc<Flags>) -> bool {
        match self {
            Self::One(flags) => !Arc::ptr_eq(flags, leaver),
            Self::Several(list) => {
                list.retain(|other| !Arc::ptr_eq(other, leaver));
                give_back(list);
                !list.is_empty()
            }
        }
    }
}

/// The URI of a resource that changed, shared by all subscriptions that were not notified of it.
#[derive(Debug)]
struct Updated {
    key: ResourceKey,
    uri: Arc<str>,
    _heap: Charge,
}

impl Updated {
    fn new(key: ResourceKey, uri: &str, heap: &Sum) -> Arc<Self> {
        const COUNTERS: usize = 2 * size_of::<usize>();
        let bytes = size_of::<Self>() + COUNTERS + block_bytes(uri.len() + COUNTERS);
        lasting(|| Arc::new(Self { key, uri: Arc::from(uri), _heap: heap.charge(bytes) }))
    }
}

/// Heap of a subscription, without the resources that it names.
pub(crate) const SUBSCRIPTION_BYTES: usize = size_of::<Subscription>() + size_of::<Flags>() + 32;
/// Heap of a resource that a subscription names, beside its text: entries of two maps that may be half empty, an entry
/// among the updated ones, the list of its subscribers, and what the text has around it.
const URI_BYTES: usize = 336;

/// The most heap of a resource that a subscription names: its text is there from a change until the notification, and has
/// its memory set aside for that.
pub(crate) const fn resource_bytes(uri_bytes: usize) -> usize {
    // Sizes of blocks are an eighth apart at most.
    URI_BYTES + uri_bytes + uri_bytes / 8
}

/// Heap of a map: its buckets, a power of two of which at most seven of eight are used, and a byte for each.
fn map_bytes<K, V>(map: &HashMap<K, V>) -> usize {
    let buckets = (map.capacity() * 8).div_ceil(7).next_power_of_two();
    if map.capacity() == 0 { 0 } else { buckets * (size_of::<(K, V)>() + 1) }
}

/// What an allocator takes for a block of so many bytes: sizes are an eighth to a quarter of a power of two apart.
const fn block_bytes(bytes: usize) -> usize {
    bytes.next_multiple_of(if bytes < 64 { 8 } else { bytes.next_power_of_two() / 8 })
}

impl Changes {
    /// Subscriptions that are charged to `memory`.
    pub(crate) fn new(limits: &Limits, memory: LastingBudget) -> Self {
        Self {
            memory,
            hub: Arc::new(Hub { max_uris: limits.max_subscribed_uris, ..Hub::default() }),
            permits: FairLimit::new(limits.max_subscriptions, limits.principal_share_percent),
        }
    }

    /// Opens a subscription of a principal. Dropping it ends it.
    pub(crate) fn subscribe(
        &self,
        principal: u128,
        filter: &Filter,
    ) -> Result<Arc<Subscription>, CannotSubscribe> {
        let permit = self.permits.acquire(principal).ok_or(CannotSubscribe::Full)?;
        let memory = self.memory.try_reserve(principal, SUBSCRIPTION_BYTES)?;
        let wanted = [
            (filter.tools, Kind::Tools),
            (filter.prompts, Kind::Prompts),
            (filter.resources, Kind::Resources),
        ];
        let kinds =
            wanted.iter().filter(|(is_wanted, _)| *is_wanted).fold(0, |bits, (_, kind)| bits | kind.bit());
        let subscription = lasting(|| {
            Arc::new(Subscription {
                flags: Arc::new(Flags { kinds, ..Flags::default() }),
                hub: Arc::clone(&self.hub),
                memory: Mutex::new(memory),
                _permit: permit,
            })
        });
        if kinds != 0 {
            let flags = Arc::clone(&subscription.flags);
            self.hub.lists.with(|lists, _| lasting(|| lists.push(flags)));
        }
        for uri in &filter.uris {
            subscription.subscribe(uri)?;
        }
        Ok(subscription)
    }

    /// Notifies the subscriptions to a list that changed.
    pub(crate) fn changed(&self, kind: Kind) {
        self.hub.lists.with(|lists, wakes| {
            for flags in lists.iter().filter(|flags| flags.kinds & kind.bit() != 0) {
                flags.pending.fetch_or(kind.bit(), Ordering::AcqRel);
                wakes.push(flags.owner.take());
            }
        });
    }

    /// Notifies the subscriptions to a resource whose contents changed.
    pub(crate) fn updated(&self, uri: &str) {
        let key = ResourceKey::of(uri);
        self.hub.uris.with(|uris, wakes| {
            let Some(Subscribed { by, updated, .. }) = uris.get_mut(&key) else { return };
            for flags in by.as_slice() {
                if let Some(watched) = lock(&flags.resources).as_mut() {
                    watched.mark(key, || {
                        Arc::clone(updated.get_or_insert_with(|| Updated::new(key, uri, &self.hub.updated)))
                    });
                }
                wakes.push(flags.owner.take());
            }
        });
    }

    /// How many subscriptions are open, and their bytes.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let shared: usize = self.hub.uris.with(|uris, _| {
            let watching = uris.values().map(|watched| watched.by.bytes());
            watching.sum::<usize>() + map_bytes(uris)
        });
        let open = self.len();
        let resources = shared + self.hub.watched.get() + self.hub.updated.get();
        (open, resources + self.permits.bytes() + open * SUBSCRIPTION_BYTES)
    }

    /// How many subscriptions are open.
    pub(crate) fn len(&self) -> usize {
        self.permits.held()
    }
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    flags: Arc<Flags>,
    hub: Arc<Hub>,
    /// For itself and the resources that it names. Locked last.
    memory: Mutex<Lasting>,
    /// Counts the subscription among those of its principal.
    _permit: Permit,
}

/// The changes of which a subscription was not notified yet.
#[derive(Debug, Default)]
struct Flags {
    /// The lists that it asked for, a bit each.
    kinds: u8,
    /// The lists that changed since their last notification, a bit each.
    pending: AtomicU8,
    /// Boxed at the first resource: most subscriptions name none, and each idle connection has one.
    resources: Mutex<Option<Box<Watched>>>,
    owner: AtomicWaker,
}

/// The resources of a subscription. Invariant: `updated` names each of them at most once.
#[derive(Debug, Default)]
struct Watched {
    /// Each resource, and whether it is in `updated`.
    uris: HashMap<ResourceKey, bool>,
    updated: VecDeque<Arc<Updated>>,
    /// Its part of [`Hub::watched`].
    charge: Option<Charge>,
}

impl Watched {
    /// Heap of the list.
    fn bytes(&self) -> usize {
        size_of::<Self>() + map_bytes(&self.uris) + self.updated.capacity() * size_of::<Arc<Updated>>()
    }

    fn mark(&mut self, key: ResourceKey, updated: impl FnOnce() -> Arc<Updated>) {
        if let Some(is_marked) = self.uris.get_mut(&key)
            && !std::mem::replace(is_marked, true)
        {
            self.updated.push_back(updated());
        }
    }

    fn take(&mut self) -> Option<Arc<str>> {
        let updated = self.updated.pop_front()?;
        if let Some(is_marked) = self.uris.get_mut(&updated.key) {
            *is_marked = false;
        }
        Some(Arc::clone(&updated.uri))
    }
}

impl Subscription {
    /// The next change of which the subscriber was not notified. Lists come before resources.
    pub(crate) fn next(&self) -> Option<Change> {
        let pending = self.flags.pending.load(Ordering::Acquire);
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| pending & kind.bit() != 0) {
            self.flags.pending.fetch_and(!kind.bit(), Ordering::AcqRel);
            return Some(Change::List(kind));
        }
        lock(&self.flags.resources).as_mut()?.take().map(Change::Resource)
    }

    /// Ready when [`Subscription::next`] has a change.
    pub(crate) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let flags = &self.flags;
        flags.owner.register(cx.waker());
        let has_update =
            || lock(&flags.resources).as_ref().is_some_and(|watched| !watched.updated.is_empty());
        let has_change = flags.pending.load(Ordering::Acquire) != 0 || has_update();
        if has_change { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Forgets who is notified, and wakes it, as it may be another one by now that registers again. A waker keeps the
    /// memory of its task, however long ago that ended.
    pub(crate) fn forget_owner(&self) {
        self.flags.owner.wake();
    }

    /// Marks a resource as changed for this subscriber alone, if it subscribed to it.
    #[cfg(feature = "everything")]
    pub(crate) fn updated(&self, uri: &str) {
        let key = ResourceKey::of(uri);
        if let Some(watched) = lock(&self.flags.resources).as_mut() {
            watched.mark(key, || Updated::new(key, uri, &self.hub.updated));
        }
        self.flags.owner.wake();
    }

    /// Adds a resource, unless the subscription has it.
    pub(crate) fn subscribe(&self, uri: &str) -> Result<(), CannotSubscribe> {
        let key = ResourceKey::of(uri);
        // The hub is locked before the subscription, as in `Changes::updated`.
        self.hub.uris.with(|by_uri, _| {
            let mut watched = lock(&self.flags.resources);
            let watched = lasting(|| watched.get_or_insert_default());
            if watched.uris.contains_key(&key) {
                return Ok(());
            }
            if watched.uris.len() >= self.hub.max_uris {
                return Err(CannotSubscribe::Full);
            }
            lock(&self.memory).try_grow(resource_bytes(uri.len()))?;
            lasting(|| {
                // Room for all resources, so that a change allocates nothing but its text.
                let room = watched.uris.len() + 1 - watched.updated.len();
                watched.updated.reserve(room);
                watched.uris.insert(key, false);
                let flags = Arc::clone(&self.flags);
                match by_uri.entry(key) {
                    Entry::Occupied(mut watching) => watching.get_mut().by.add(flags),
                    Entry::Vacant(nobody) => {
                        let by = Subscribers::One(flags);
                        nobody.insert(Subscribed { by, updated: None, watch: None });
                    }
                }
            });
            let bytes = watched.bytes();
            if watched.charge.as_ref().map(Charge::amount) != Some(bytes) {
                watched.charge = Some(self.hub.watched.charge(bytes));
            }
            Ok(())
        })
    }

    /// Keeps what looks for changes of a resource that was added, until nobody is subscribed to it. If it is kept already,
    /// or if the resource was removed, `watch` is dropped.
    pub(crate) fn keep_watch(&self, uri: &str, watch: ResourceWatch) {
        let key = ResourceKey::of(uri);
        let dropped = self.hub.uris.with(|by_uri, _| match by_uri.get_mut(&key) {
            Some(Subscribed { watch: kept @ None, .. }) => {
                *kept = Some(watch);
                None
            }
            _ => Some(watch),
        });
        drop(dropped);
    }

    /// Removes a resource.
    pub(crate) fn unsubscribe(&self, uri: &str) {
        let key = ResourceKey::of(uri);
        let dropped = self.hub.uris.with(|by_uri, _| {
            let mut dropped = None;
            if let Some(watched) = lock(&self.flags.resources).as_mut()
                && watched.uris.remove(&key).is_some()
            {
                watched.updated.retain(|updated| updated.key != key);
                // They are charged with the resources that they name, and not with those that they named.
                give_back(&mut watched.uris);
                let room = watched.uris.len() - watched.updated.len();
                if watched.updated.capacity() > 4 * watched.uris.len() {
                    watched.updated.shrink_to_fit();
                    watched.updated.reserve(room);
                }
                let mut memory = lock(&self.memory);
                let left_bytes = memory.bytes() - resource_bytes(uri.len());
                memory.shrink_to(left_bytes);
                dropped = leave(by_uri, key, &self.flags);
            }
            dropped
        });
        drop(dropped);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // `self` holds the flags too, so their waker is dropped after these locks.
        if self.flags.kinds != 0 {
            self.hub.lists.with(|lists, _| {
                lists.retain(|other| !Arc::ptr_eq(other, &self.flags));
                give_back(lists);
            });
        }
        let watched = lock(&self.flags.resources).take();
        if let Some(watched) = watched {
            let dropped: Vec<ResourceWatch> = self.hub.uris.with(|by_uri, _| {
                watched.uris.keys().filter_map(|key| leave(by_uri, *key, &self.flags)).collect()
            });
            drop(dropped);
        }
    }
}

/// Removes a subscriber of a resource. Returns what is to be dropped once the hub is free, if it was the last one.
fn leave(by_uri: &mut ByUri, key: ResourceKey, leaver: &Arc<Flags>) -> Option<ResourceWatch> {
    let watching = by_uri.get_mut(&key)?;
    if watching.by.remove(leaver) {
        return None;
    }
    let watch = by_uri.remove(&key)?.watch;
    give_back(by_uri);
    watch
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::MemoryBudget;
    use proptest::prelude::*;

    fn changes(max_subscriptions: usize, max_subscribed_uris: usize) -> Changes {
        let limits = Limits { max_subscriptions, max_subscribed_uris, ..Limits::default() };
        Changes::new(&limits, LastingBudget::new(MemoryBudget::new(1 << 30), limits.principal_share_percent))
    }

    fn about(uris: &[&str]) -> Filter {
        Filter { uris: uris.iter().map(|uri| Box::from(*uri)).collect(), ..Filter::default() }
    }

    #[test]
    fn what_subscriptions_name_is_charged_until_they_end() {
        let memory = MemoryBudget::new(100_000);
        let changes = Changes::new(&Limits::default(), LastingBudget::new(memory.clone(), 75));
        let uri = |number: usize| format!("file:///{number:0>2000}");
        let first = changes.subscribe(1, &about(&[&uri(0)])).expect("room");
        let one = memory.used_bytes();
        assert_eq!(one, SUBSCRIPTION_BYTES + resource_bytes(uri(0).len()));
        let subscribed = (1..1_000).take_while(|number| first.subscribe(&uri(*number)).is_ok()).count();
        assert!((10..15).contains(&subscribed) && memory.used_bytes() <= 37_500, "{subscribed}");
        assert_eq!(first.subscribe(&uri(99)), Err(CannotSubscribe::OutOfMemory));
        drop(changes.subscribe(2, &about(&[&uri(99)])).expect("it is kept for others"));
        assert_eq!(first.subscribe(&uri(1)), Ok(()), "it has this one");
        for number in 0..=subscribed {
            first.unsubscribe(&uri(number));
            first.unsubscribe(&uri(number));
        }
        assert_eq!(memory.used_bytes(), SUBSCRIPTION_BYTES);
        let other = changes.subscribe(2, &about(&[&uri(99)])).expect("room again");
        drop((first, other));
        assert_eq!((memory.used_bytes(), changes.bytes().0), (0, 0));
    }

    proptest! {
        /// One client subscribes to whatever it can, with names of any length: another client still can.
        #[test]
        fn whoever_names_much_keeps_nobody_out(
            subscriptions in prop::collection::vec((1_usize..300, 1_usize..2_000), 1..30),
        ) {
            let memory = MemoryBudget::new(2_000_000);
            let changes = Changes::new(&Limits::default(), LastingBudget::new(memory.clone(), 75));
            let mut held = Vec::new();
            for (at, (uris, bytes)) in subscriptions.iter().enumerate() {
                let Ok(subscription) = changes.subscribe(1, &Filter::default()) else { break };
                let uri = |number| format!("a:/{at}/{number}/{}", "x".repeat(*bytes));
                let _ = (0..*uris).try_for_each(|number| subscription.subscribe(&uri(number)));
                held.push(subscription);
            }
            prop_assert!(memory.used_bytes() <= 750_000);
            for client in 2..5 {
                let uri = format!("b:/{}", "x".repeat(1_000));
                held.push(changes.subscribe(client, &about(&[&uri])).expect("room of its own"));
            }
            drop(held);
            prop_assert_eq!((memory.used_bytes(), changes.bytes().0), (0, 0));
        }
    }

    #[test]
    fn what_is_no_longer_named_takes_no_room() {
        let changes = changes(64, 100_000);
        let (many, one) = (changes.subscribe(1, &about(&[])).expect("room"), about(&["a:/0"]));
        let others: Vec<_> =
            (0..7).map(|number| changes.subscribe(2 + number, &one).expect("room")).collect();
        for number in 0..10_000 {
            many.subscribe(&format!("a:/{number}")).expect("room");
        }
        for number in 1..10_000 {
            many.unsubscribe(&format!("a:/{number}"));
        }
        let room = |subscription: &Subscription| {
            let watched = lock(&subscription.flags.resources);
            watched.as_ref().map(|watched| watched.uris.capacity() + watched.updated.capacity())
        };
        assert!(room(&many).is_some_and(|room| room < 256), "{:?}", room(&many));
        changes.updated("a:/0");
        assert_eq!(many.next(), Some(Change::Resource("a:/0".into())), "it has room for its notification");
        many.unsubscribe("a:/0");
        assert_eq!(room(&many), Some(0));
        drop(others);
        assert_eq!(changes.hub.uris.with(|uris, _| uris.capacity()), 0);
    }

    /// A text that a client chooses takes no memory until its resource changes, and none once nobody names it.
    #[test]
    fn long_names_take_memory_from_their_first_change_on() {
        const LONG: usize = 100_000;
        let changes = changes(8, 8);
        let uri = |number: usize| format!("a:/{number}/{}", "x".repeat(LONG));
        let first = changes.subscribe(1, &about(&[&uri(1), &uri(2)])).expect("room");
        let second = changes.subscribe(2, &about(&[&uri(1)])).expect("room");
        let at_rest = changes.bytes().1;
        assert!(at_rest < 4_000, "{at_rest} B");
        for _ in 0..3 {
            changes.updated(&uri(1));
        }
        let waiting = changes.bytes().1 - at_rest;
        assert!((LONG..LONG * 5 / 4).contains(&waiting), "{waiting} B for one text that two wait for");
        assert_eq!(first.next(), Some(Change::Resource(uri(1).into())));
        assert_eq!(first.next(), None);
        assert!(changes.bytes().1 > at_rest + LONG, "the second was not notified yet");
        changes.updated(&uri(2));
        second.unsubscribe(&uri(1));
        assert_eq!(first.next(), Some(Change::Resource(uri(2).into())));
        drop(second);
        (1..3).for_each(|number| first.unsubscribe(&uri(number)));
        assert!(changes.bytes().1 <= at_rest, "{} B", changes.bytes().1);
    }

    #[test]
    fn each_subscription_gets_the_changes_it_asked_for() {
        let changes = changes(8, 8);
        let tools = changes.subscribe(1, &Filter { tools: true, ..Filter::default() }).expect("room");
        let prompts = changes.subscribe(1, &Filter { prompts: true, ..Filter::default() }).expect("room");
        let files = changes.subscribe(1, &about(&["a:/1", "a:/2"])).expect("room");
        changes.changed(Kind::Tools);
        changes.changed(Kind::Resources);
        changes.updated("a:/2");
        changes.updated("a:/3");
        assert_eq!(tools.next(), Some(Change::List(Kind::Tools)));
        assert_eq!(tools.next(), None);
        assert_eq!(prompts.next(), None);
        assert_eq!(files.next(), Some(Change::Resource("a:/2".into())));
        assert_eq!(files.next(), None);
    }

    #[test]
    fn a_slow_reader_is_notified_once() {
        let changes = changes(8, 8);
        let slow = changes
            .subscribe(
                1,
                &Filter { tools: true, uris: vec!["a:/1".into(), "a:/2".into()], ..Filter::default() },
            )
            .expect("room");
        for _ in 0..1_000 {
            changes.changed(Kind::Tools);
            changes.updated("a:/1");
            changes.updated("a:/2");
        }
        assert_eq!(std::iter::from_fn(|| slow.next()).count(), 3);
        changes.updated("a:/1");
        assert_eq!(slow.next(), Some(Change::Resource("a:/1".into())));
    }

    #[test]
    fn bounds_hold_and_dropping_leaves_nothing() {
        let changes = changes(2, 2);
        let first = changes.subscribe(1, &about(&["a:/1", "a:/2"])).expect("room");
        assert_eq!(first.subscribe("a:/3"), Err(CannotSubscribe::Full));
        first.unsubscribe("a:/1");
        assert_eq!(first.subscribe("a:/3"), Ok(()));
        assert!(changes.subscribe(1, &about(&["a:/1", "a:/2", "a:/3"])).is_err());
        assert_eq!(changes.len(), 1, "a refused one is not open");
        let _second = changes.subscribe(1, &Filter { tools: true, ..Filter::default() }).expect("room");
        assert!(changes.subscribe(1, &Filter::default()).is_err());
        drop(first);
        assert_eq!(changes.hub.uris.with(|uris, _| uris.len()), 0);
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn a_subscription_may_end_during_a_notification() {
        let changes = changes(64, 8);
        std::thread::scope(|scope| {
            let notifier = scope.spawn(|| {
                for _ in 0..20_000 {
                    changes.updated("a:/1");
                    changes.changed(Kind::Tools);
                }
            });
            while !notifier.is_finished() {
                let filter = Filter { tools: true, ..about(&["a:/1"]) };
                drop(changes.subscribe(1, &filter).expect("room"));
            }
        });
        assert_eq!(changes.len(), 0);
        assert!(changes.hub.uris.with(|uris, _| uris.is_empty()));
        assert!(changes.hub.lists.with(|lists, _| lists.is_empty()));
    }

    /// What looks for changes of a resource is dropped with its last subscriber, and may call the hub then.
    #[test]
    fn a_watch_lasts_as_long_as_anybody_is_subscribed() {
        struct Looking(Arc<Changes>, Arc<AtomicU8>);
        impl Drop for Looking {
            fn drop(&mut self) {
                self.0.updated("a:/1");
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (changes, dropped) = (Arc::new(changes(8, 8)), Arc::new(AtomicU8::new(0)));
        let looking = || ResourceWatch::new(Looking(Arc::clone(&changes), Arc::clone(&dropped)));
        let dropped = || dropped.load(Ordering::Relaxed);
        let first = changes.subscribe(1, &about(&["a:/1", "a:/2"])).expect("room");
        let second = changes.subscribe(2, &about(&["a:/1"])).expect("room");
        first.keep_watch("a:/1", looking());
        first.keep_watch("a:/2", looking());
        second.keep_watch("a:/1", looking());
        assert_eq!(dropped(), 1, "one is enough");
        second.keep_watch("a:/3", looking());
        assert_eq!(dropped(), 2, "nobody is subscribed to that");
        first.unsubscribe("a:/1");
        first.unsubscribe("a:/1");
        assert_eq!(dropped(), 2);
        drop(second);
        assert_eq!(dropped(), 3);
        drop(first);
        assert_eq!((dropped(), changes.len()), (4, 0));
    }

    #[test]
    fn an_unsubscribed_resource_is_silent() {
        let changes = changes(2, 2);
        let subscription = changes.subscribe(1, &about(&["a:/1"])).expect("room");
        changes.updated("a:/1");
        subscription.unsubscribe("a:/1");
        changes.updated("a:/1");
        assert_eq!(subscription.next(), None);
    }
}
