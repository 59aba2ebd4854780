//! Size classes of `BytesMut`.
//!
//! Owns the choice of a class and what a returned buffer must look like to be kept; each class is an ordinary
//! [`ObjectPool`], whose file says what a panic does to a lease.
//!
//! **Invariant:** an idle buffer is empty, and all of its storage is exactly its class's size.
//!
//! Traps of `bytes` that the recycle step answers, each with a test: `advance` and `split_to` make `capacity`
//! smaller while the storage stays; a part split off, or frozen, shares the storage as long as it lives; writing
//! through [`BytesMut`] itself (`put_slice`, `extend_from_slice`) grows past the class without a word.

use crate::budget::{BudgetSpent, MemoryBudget, Reservation};
use crate::pool::{Lease, ObjectPool, PoolConfig};
use crate::recycle::{Discard, Recycle, Verdict};
use crate::registry::{NameTaken, PoolControl, PoolRegistry};
use crate::stats::PoolKind;
use bytes::BytesMut;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Beyond this a buffer grows outside the classes: to keep large ones saves no time, and the class would be up to four
/// times as large as its contents.
const POOLED_GROWTH_BYTES: usize = 64 * KIB;

/// In debug builds a returned buffer is overwritten with this, so that a stale read shows.
#[cfg(debug_assertions)]
const POISON: u8 = 0xDB;
/// At least this many bytes are overwritten, because a buffer may have been cleared before its return. All bytes that
/// are still in it are always overwritten.
#[cfg(debug_assertions)]
const POISON_BYTES: usize = 64 * KIB;

/// One size of buffer.
///
/// ```
/// use mcpool_pools::{BufferClass, BufferConfig, BufferPool};
///
/// let class = |bytes, capacity| BufferClass { bytes, capacity, setting: None };
/// let config = BufferConfig { classes: vec![class(1_024, 64), class(65_536, 4)], ..BufferConfig::default() };
/// assert_eq!(BufferPool::new(config).acquire(2_000).capacity(), 65_536);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferClass {
    /// The size of each buffer, in bytes.
    pub bytes: usize,
    /// Most buffers of this size that may be idle.
    pub capacity: usize,
    /// The name of the setting that sizes the class, if the program has one.
    pub setting: Option<&'static str>,
}

/// Bounds what large buffers hold together while they are leased.
///
/// ```
/// use mcpool_pools::{BufferConfig, BufferPool, LeasedBudget, MemoryBudget};
///
/// let leased = LeasedBudget { budget: MemoryBudget::new(100_000), from_bytes: 65_536 };
/// let buffers = BufferPool::new(BufferConfig { leased: Some(leased), ..BufferConfig::default() });
/// let large = buffers.try_acquire(60_000)?;
/// assert!(buffers.try_acquire(60_000).is_err());
/// assert!(buffers.try_acquire(100).is_ok(), "small ones cost nothing");
/// # drop(large);
/// # Ok::<(), mcpool_pools::BudgetSpent>(())
/// ```
#[derive(Debug, Clone)]
pub struct LeasedBudget {
    /// The budget that they are charged to, each with the bytes of its class.
    pub budget: MemoryBudget,
    /// Buffers of at least this size are charged. Smaller ones cost nothing to lease.
    pub from_bytes: usize,
}

/// Bounds what small buffers hold together, leased or idle.
///
/// ```
/// use mcpool_pools::{BufferConfig, BufferPool, MemoryBudget, OwnedBudget};
///
/// let budget = MemoryBudget::new(1_000_000);
/// let owned = OwnedBudget { budget: budget.clone(), first_bytes: 1_024, left_bytes: 100_000 };
/// let buffers = BufferPool::new(BufferConfig { owned: Some(owned), ..BufferConfig::default() });
/// drop(buffers.acquire(100));
/// assert_eq!(budget.used_bytes(), 1_024, "idle as it is");
/// ```
#[derive(Debug, Clone)]
pub struct OwnedBudget {
    /// The budget that each small buffer is charged to from its making to its end.
    pub budget: MemoryBudget,
    /// Buffers up to this size may take all of the budget.
    pub first_bytes: usize,
    /// Larger ones leave this much of it to them.
    pub left_bytes: usize,
}

/// What a [`BufferPool`] is made with.
///
/// ```
/// use mcpool_pools::{BufferClass, BufferConfig, BufferPool};
///
/// let class = |bytes, capacity| BufferClass { bytes, capacity, setting: None };
/// let config = BufferConfig { classes: vec![class(1_024, 64), class(65_536, 4)], ..BufferConfig::default() };
/// assert_eq!(BufferPool::new(config).acquire(2_000).capacity(), 65_536);
/// ```
#[derive(Debug, Clone)]
pub struct BufferConfig {
    /// The first part of each class's name in reports and in the registry: `NAME/4KiB`, `NAME/oversized`.
    pub name: Cow<'static, str>,
    /// The sizes, in any order; of two equal sizes the first counts.
    pub classes: Vec<BufferClass>,
    /// The budget that the buffers are charged to, if any.
    pub budget: Option<MemoryBudget>,
    /// The budget of what large buffers hold while they are leased, if any.
    pub leased: Option<LeasedBudget>,
    /// The budget of the buffers that [`Self::leased`] does not charge, if any.
    pub owned: Option<OwnedBudget>,
}

impl Default for BufferConfig {
    /// 1 KiB to 16 MiB in steps of four, the last so that a frame of 10 MiB and its framing fit.
    ///
    /// Small classes keep up to 128 buffers, larger ones 2 MiB, the two largest two buffers each, as a message and its
    /// answer are there at once: 50 MiB if every class were full and no budget bound them. `trim` gives it back.
    fn default() -> Self {
        const STEPS: [usize; 8] = [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB];
        let capacity = |bytes: usize| (2 * MIB / bytes).clamp(2, 128);
        let class = |bytes| BufferClass { bytes, capacity: capacity(bytes), setting: None };
        let classes = STEPS.map(class).to_vec();
        Self { name: Cow::Borrowed("buffers"), classes, budget: None, leased: None, owned: None }
    }
}

/// Buffers in size classes, each class a pool of its own. Cloning makes another handle to the same pool.
///
/// ```
/// use mcpool_pools::BufferPool;
///
/// let buffers = BufferPool::default();
/// let mut line = buffers.acquire(100);
/// assert_eq!(line.capacity(), 1024);
/// line.extend_from_slice(b"the beginning of a long line");
///
/// line.reserve(3000); // moves to the class of 4 KiB, contents and all
/// assert_eq!((line.capacity(), &line[..13]), (4096, &b"the beginning"[..]));
/// ```
#[derive(Clone)]
pub struct BufferPool {
    family: Arc<Family>,
}

struct Family {
    /// By size, smallest first.
    classes: Box<[Class]>,
    /// Keeps nothing; counts what no class could serve.
    oversized: ObjectPool<Buffer>,
    leased: Option<LeasedBudget>,
    /// The size from which leased buffers are charged; `usize::MAX` without a budget.
    charged_from_bytes: usize,
}

struct Class {
    bytes: usize,
    /// What a new buffer leaves of the budget that it is charged to.
    left_bytes: usize,
    pool: ObjectPool<Buffer>,
}

/// A buffer and the way back to its classes.
struct Buffer {
    bytes: BytesMut,
    /// Weak, or an idle buffer would keep its own pool alive. It stays with the buffer, so no reference is counted
    /// on a hit.
    family: Weak<Family>,
    /// What the buffer is charged with while it is leased.
    charge: Option<Reservation>,
}

impl BufferPool {
    /// A pool with these classes.
    pub fn new(config: BufferConfig) -> Self {
        let BufferConfig { name, mut classes, budget, leased, owned } = config;
        let charged_from_bytes = leased.as_ref().map_or(usize::MAX, |leased| leased.from_bytes);
        classes.sort_by_key(|class| class.bytes);
        classes.dedup_by_key(|class| class.bytes);
        let family = Arc::new_cyclic(|family: &Weak<Family>| {
            let owned = owned.as_ref();
            let pool = |label: &str, capacity, class_bytes, setting| {
                let is_small = (1..charged_from_bytes).contains(&class_bytes);
                let config = PoolConfig {
                    kind: PoolKind::Buffers,
                    setting,
                    budget: budget.clone(),
                    owned: owned.filter(|_| is_small).map(|owned| owned.budget.clone()),
                    ..PoolConfig::new(format!("{name}/{label}"), capacity)
                };
                ObjectPool::with_config(config, RetainBuffer { class_bytes, family: family.clone() })
            };
            let classes = classes
                .iter()
                .map(|class| Class {
                    bytes: class.bytes,
                    left_bytes: owned.map_or(0, |owned| {
                        if class.bytes > owned.first_bytes { owned.left_bytes } else { 0 }
                    }),
                    pool: pool(&size_label(class.bytes), class.capacity, class.bytes, class.setting),
                })
                .collect();
            // It keeps nothing, so no setting sizes it.
            let oversized = pool("oversized", 0, 0, None);
            Family { classes, oversized, leased, charged_from_bytes }
        });
        Self { family }
    }

    /// Leases an empty buffer with room for at least `min_bytes`: the smallest class that has it.
    ///
    /// A request beyond the largest class is served by the allocator, and counted as
    /// [`Discard::Oversized`] on return. A large buffer is charged to the budget of leased bytes even if that is
    /// spent; [`Self::try_acquire`] asks first.
    #[inline]
    pub fn acquire(&self, min_bytes: usize) -> BufferLease {
        match self.class_for(min_bytes) {
            Some(class) if class.bytes < self.family.charged_from_bytes => class.lease(),
            class => self.acquire_large(class, min_bytes),
        }
    }

    /// Leases an empty buffer as [`Self::acquire`] does, if its budget has room for it: that of leased bytes for a large
    /// one, that of owned bytes for a small one, if none is idle.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if it has none.
    #[inline]
    pub fn try_acquire(&self, min_bytes: usize) -> Result<BufferLease, BudgetSpent> {
        match self.class_for(min_bytes) {
            Some(class) if class.bytes < self.family.charged_from_bytes => class.try_lease(),
            class => self.try_acquire_large(class, min_bytes),
        }
    }

    /// Leases an empty buffer of exactly `bytes`, which no class keeps: for a large one whose length is known, where the
    /// next class is up to four times as large.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget of leased bytes has no room for it.
    pub fn try_acquire_exact(&self, bytes: usize) -> Result<BufferLease, BudgetSpent> {
        self.try_acquire_large(None, bytes)
    }

    /// Leases an empty buffer as [`Self::try_acquire_exact`] does, even if the budget of leased bytes is spent.
    pub fn acquire_exact(&self, bytes: usize) -> BufferLease {
        self.acquire_large(None, bytes)
    }

    /// Leases an empty buffer of exactly `bytes` for contents that come bit by bit. It is charged with
    /// `charged_bytes` of them: memory that nobody writes to takes no pages. Its holder charges what is to come with
    /// [`BufferLease::try_charge_filled`], before it comes.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget of leased bytes has no room for `charged_bytes`.
    pub fn try_acquire_announced(
        &self,
        bytes: usize,
        charged_bytes: usize,
    ) -> Result<BufferLease, BudgetSpent> {
        let leased = self.family.leased.as_ref();
        let charge = leased.map(|leased| leased.budget.try_reserve(charged_bytes)).transpose()?;
        Ok(self.lease_charged(None, bytes, charge))
    }

    /// Makes a charge to the budget of leased bytes at least so large; without a budget there is none.
    pub(crate) fn try_charge(
        &self,
        charge: &mut Option<Reservation>,
        bytes: usize,
    ) -> Result<(), BudgetSpent> {
        let Some(leased) = &self.family.leased else { return Ok(()) };
        match charge {
            Some(charge) => charge.try_grow_to(bytes),
            None => leased.budget.try_reserve(bytes).map(|reserved| *charge = Some(reserved)),
        }
    }

    /// Leases an empty buffer of exactly `bytes`, which no class keeps and which is charged to no budget: its holder has a
    /// reservation for it.
    pub fn uncharged(&self, bytes: usize) -> BufferLease {
        self.lease_charged(None, bytes, None)
    }

    #[inline]
    fn class_for(&self, min_bytes: usize) -> Option<&Class> {
        self.family.classes.iter().find(|class| class.bytes >= min_bytes)
    }

    #[cold]
    fn acquire_large(&self, class: Option<&Class>, min_bytes: usize) -> BufferLease {
        let bytes = class.map_or(min_bytes, |class| class.bytes);
        let charge = self.family.leased.as_ref().map(|leased| leased.budget.reserve(bytes));
        self.lease_charged(class, min_bytes, charge)
    }

    #[cold]
    fn try_acquire_large(&self, class: Option<&Class>, min_bytes: usize) -> Result<BufferLease, BudgetSpent> {
        let bytes = class.map_or(min_bytes, |class| class.bytes);
        let leased = self.family.leased.as_ref();
        let charge = leased.map(|leased| leased.budget.try_reserve(bytes)).transpose()?;
        Ok(self.lease_charged(class, min_bytes, charge))
    }

    fn lease_charged(
        &self,
        class: Option<&Class>,
        min_bytes: usize,
        charge: Option<Reservation>,
    ) -> BufferLease {
        let Some(class) = class else {
            let bytes = BytesMut::with_capacity(min_bytes);
            let buffer = Buffer { bytes, family: Arc::downgrade(&self.family), charge };
            return BufferLease { lease: self.family.oversized.adopt(buffer) };
        };
        let mut lease = class.lease();
        lease.lease.charge = charge;
        lease
    }

    /// The pools of all classes, smallest first, and last the one that counts oversized requests.
    pub fn classes(&self) -> impl Iterator<Item = &dyn PoolControl> {
        self.pools().map(|pool| pool as &dyn PoolControl)
    }

    /// Enters every class into `registry`.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if a pool of such a name is there; classes entered before it stay.
    pub fn register(&self, registry: &PoolRegistry) -> Result<(), NameTaken> {
        self.pools().try_for_each(|pool| registry.register(pool.clone()))
    }

    fn pools(&self) -> impl Iterator<Item = &ObjectPool<Buffer>> {
        self.family.classes.iter().map(|class| &class.pool).chain([&self.family.oversized])
    }
}

impl Class {
    #[inline]
    fn lease(&self) -> BufferLease {
        BufferLease { lease: self.pool.acquire() }
    }

    #[inline]
    fn try_lease(&self) -> Result<BufferLease, BudgetSpent> {
        self.pool.try_acquire(self.bytes, self.left_bytes).map(|lease| BufferLease { lease })
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(BufferConfig::default())
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.classes().map(|pool| (pool.name(), pool.snapshot()))).finish()
    }
}

/// The size of a class as a part of its name: whole units, without a space. The crate has this small function of its
/// own because it knows nothing of the server, whose `limits` write sizes for people.
fn size_label(bytes: usize) -> String {
    match bytes {
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => format!("{bytes}B"),
    }
}

/// A buffer on loan from a [`BufferPool`]; returns on drop.
///
/// It is a [`BytesMut`] in every other respect. Make room with [`BufferLease::reserve`] before writing: `BytesMut`
/// grows by itself when it is full, and a buffer so grown fits no class and is let go.
///
/// ```
/// use mcpool_pools::{BufferLease, BufferPool};
///
/// let buffers = BufferPool::default();
/// let mut line: BufferLease = buffers.acquire(100);
/// line.extend_from_slice(b"a line");
/// let line = line.detach(); // it belongs to no pool any more
/// assert_eq!(&line[..], b"a line");
/// ```
#[must_use = "a lease returns its buffer as soon as it is dropped"]
pub struct BufferLease {
    lease: Lease<Buffer>,
}

impl BufferLease {
    /// Makes room for at least `additional` more bytes, moving the contents to a larger class if need be.
    ///
    /// Beyond 64 KiB, or the largest class if that is smaller, a buffer grows by half and belongs to no class: appending
    /// stays linear in all, and neither it nor those that it outgrew are kept.
    pub fn reserve(&mut self, additional: usize) {
        // False also when a part split off still shares the storage: then only a move helps.
        if !self.lease.bytes.try_reclaim(additional) {
            self.move_up(additional);
        }
    }

    /// Makes room as [`Self::reserve`] does, if the budget of the larger buffer has room for it.
    ///
    /// While the contents move, both buffers are charged.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if it has none; the buffer and its contents stay as they are.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), BudgetSpent> {
        if self.lease.bytes.try_reclaim(additional) { Ok(()) } else { self.try_move_up(additional) }
    }

    /// Charges a large buffer with `bytes` more until it returns: with what its holder makes of its contents. A small
    /// buffer is not charged, and none is charged with more than the whole budget: alone, each has room.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget of leased bytes has no room.
    pub fn try_charge(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let limit_bytes = self.pool().family.leased.as_ref().map_or(0, |leased| leased.budget.limit_bytes());
        let Some(charge) = &mut self.lease.charge else { return Ok(()) };
        charge.try_grow(bytes.min(limit_bytes.saturating_sub(charge.bytes())))
    }

    /// Reserves `bytes` beside what a charged buffer holds, in the same budget: for what its holder makes of its contents,
    /// and not more than the budget has beside the buffer: alone, each has room. A buffer that is not charged needs none.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget has no room.
    pub fn try_reserve_beside(&self, bytes: usize) -> Result<Option<Reservation>, BudgetSpent> {
        self.lease.charge.as_ref().map(|charge| charge.try_reserve_beside(bytes)).transpose()
    }

    /// Charges a large buffer with at least so many bytes of its contents, of which it may have been charged with some.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] if the budget of leased bytes has no room; the charge stays as it is.
    pub fn try_charge_filled(&mut self, filled_bytes: usize) -> Result<(), BudgetSpent> {
        let Some(charge) = &mut self.lease.charge else { return Ok(()) };
        charge.try_grow_to(filled_bytes)
    }

    /// Whether the buffer is charged to the budget of leased bytes, or holds a reservation.
    pub fn is_charged(&self) -> bool {
        self.lease.charge.is_some()
    }

    /// Bytes that the buffer is charged with to the budget of leased bytes.
    pub fn charged_bytes(&self) -> usize {
        self.lease.charge.as_ref().map_or(0, Reservation::bytes)
    }

    /// Holds a reservation until the buffer returns, for what it was made of. It replaces the charge of a large buffer.
    pub fn hold(&mut self, reservation: Reservation) {
        self.lease.charge = Some(reservation);
    }

    /// Takes the charge off a buffer whose bytes are charged elsewhere from now on.
    pub(crate) fn take_charge(&mut self) -> Option<Reservation> {
        self.lease.charge.take()
    }

    #[cold]
    fn move_up(&mut self, additional: usize) {
        let pool = self.pool();
        let larger = match self.wanted(&pool, additional) {
            Wanted::Pooled(bytes) => pool.acquire(bytes),
            Wanted::Exact(bytes) => pool.acquire_exact(bytes),
        };
        self.move_to(larger);
    }

    #[cold]
    fn try_move_up(&mut self, additional: usize) -> Result<(), BudgetSpent> {
        let pool = self.pool();
        let larger = match self.wanted(&pool, additional) {
            Wanted::Pooled(bytes) => pool.try_acquire(bytes),
            Wanted::Exact(bytes) => pool.try_acquire_exact(bytes),
        }?;
        self.move_to(larger);
        Ok(())
    }

    fn wanted(&self, pool: &BufferPool, additional: usize) -> Wanted {
        let needed = self.len().saturating_add(additional);
        let largest = pool.family.classes.last().map_or(0, |class| class.bytes);
        if needed <= largest.min(POOLED_GROWTH_BYTES) {
            return Wanted::Pooled(needed);
        }
        // By the contents: `capacity` is smaller than the storage when a part of it was taken from the front.
        let grown = self.len() + self.len() / 2;
        // An absurd size stays as it is, for the allocator to refuse.
        Wanted::Exact(needed.max(grown))
    }

    fn move_to(&mut self, mut larger: Self) {
        larger.extend_from_slice(self);
        *self = larger;
    }

    /// The pool that this lease came from; one that keeps nothing if its last handle is gone.
    ///
    /// Counts a reference that all threads share: a holder that needs it for each frame keeps a handle of its own.
    pub fn pool(&self) -> BufferPool {
        match self.lease.family.upgrade() {
            Some(family) => BufferPool { family },
            None => BufferPool::new(BufferConfig { classes: Vec::new(), ..BufferConfig::default() }),
        }
    }

    /// Takes the buffer out of the pool for good.
    #[must_use]
    pub fn detach(self) -> BytesMut {
        self.lease.detach().bytes
    }
}

impl Deref for BufferLease {
    type Target = BytesMut;

    #[inline]
    fn deref(&self) -> &BytesMut {
        &self.lease.bytes
    }
}

impl DerefMut for BufferLease {
    #[inline]
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.lease.bytes
    }
}

impl fmt::Debug for BufferLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferLease").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

/// What a buffer that grows moves to.
enum Wanted {
    /// A buffer of the class for so many bytes.
    Pooled(usize),
    /// A buffer of so many bytes.
    Exact(usize),
}

/// Keeps buffers whose storage is exactly `class_bytes`; none if that is 0.
struct RetainBuffer {
    class_bytes: usize,
    family: Weak<Family>,
}

impl Recycle<Buffer> for RetainBuffer {
    fn create(&self) -> Buffer {
        Buffer { bytes: BytesMut::with_capacity(self.class_bytes), family: self.family.clone(), charge: None }
    }

    fn recycle(&self, buffer: &mut Buffer) -> Verdict {
        buffer.charge = None;
        let bytes = &mut buffer.bytes;
        if self.class_bytes == 0 {
            return Verdict::Discard(Discard::Oversized);
        }
        #[cfg(debug_assertions)]
        overwrite(bytes);
        bytes.clear();
        // Asked for what an intact buffer does not have, `try_reclaim` says no without touching it. It says yes
        // where `capacity` hides storage in front of the view, which a look at `capacity` would miss.
        if bytes.try_reclaim(self.class_bytes + 1) {
            return Verdict::Discard(Discard::Oversized);
        }
        if bytes.try_reclaim(self.class_bytes) {
            return Verdict::Keep;
        }
        Verdict::Discard(Discard::Poisoned)
    }

    fn bytes(&self, buffer: &Buffer) -> usize {
        buffer.bytes.capacity()
    }
}

#[cfg(debug_assertions)]
fn overwrite(bytes: &mut BytesMut) {
    bytes.fill(POISON);
    let end = bytes.capacity().min(POISON_BYTES);
    if bytes.len() < end {
        bytes.resize(end, POISON);
    }
}

#[cfg(all(test, debug_assertions, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_is_overwritten_in_place() {
        for (capacity, filled) in [(KIB, 0), (KIB, 10), (KIB, KIB), (256 * KIB, 200 * KIB)] {
            let mut bytes = BytesMut::with_capacity(capacity);
            bytes.resize(filled, b'x');
            overwrite(&mut bytes);
            assert_eq!(bytes.capacity(), capacity);
            assert_eq!(bytes.len(), filled.max(capacity.min(POISON_BYTES)));
            assert!(bytes.iter().all(|byte| *byte == POISON), "{capacity} {filled}");
        }
    }
}
