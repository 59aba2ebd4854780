//! Reads the entries of one directory through its handle, and sorts them by bytes.

use crate::tools::filesystem::error::FsError;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use std::collections::BinaryHeap;

#[cfg(not(target_os = "linux"))]
use crate::tools::filesystem::error::errno;
#[cfg(not(target_os = "linux"))]
use rustix::fs::Dir;
#[cfg(target_os = "linux")]
use rustix::fs::RawDir;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;

/// Opens a directory for reading its names.
pub(crate) const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// An entry. The name need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: Kind,
}

/// What an entry is. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Directory,
    Link,
    Other,
}

/// The error that ended a listing early: the caller's own, or the system's.
#[derive(Debug)]
pub(crate) enum ListingError {
    Caller(FsError),
    System(Errno),
}

impl ListingError {
    /// The caller's error, or what `name` makes of the system's.
    pub(crate) fn unwrap_or_else(self, name: impl FnOnce(Errno) -> FsError) -> FsError {
        match self {
            Self::Caller(error) => error,
            Self::System(errno) => name(errno),
        }
    }
}

/// Calls `each` with every name but `.` and `..`, in no order. A handle can be read once.
///
/// The handle itself is read: opening `.` fails where names may be read but not looked up.
pub(crate) fn each_name(
    directory: &OwnedFd,
    mut each: impl FnMut(&[u8], FileType) -> Result<(), FsError>,
) -> Result<(), ListingError> {
    let mut each = |name: &[u8], kind: FileType| match name {
        b"." | b".." => Ok(()),
        name => each(name, kind).map_err(ListingError::Caller),
    };
    #[cfg(target_os = "linux")]
    {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut names = RawDir::new(directory, &mut room);
        while let Some(entry) = names.next() {
            let entry = entry.map_err(ListingError::System)?;
            each(entry.file_name().to_bytes(), entry.file_type())?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let names = directory.try_clone().map_err(|error| ListingError::System(errno(&error)))?;
        for entry in Dir::new(names).map_err(ListingError::System)? {
            let entry = entry.map_err(ListingError::System)?;
            each(entry.file_name().to_bytes(), entry.file_type())?;
        }
    }
    Ok(())
}

/// What is read of a directory in one system call.
#[cfg(target_os = "linux")]
const READ_BYTES: usize = 16 * 1024;

/// The first entries of a directory in byte order, from a name on.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entries: Vec<Entry>,
    /// There are more, for which there was no room.
    pub(crate) is_cut: bool,
    /// Names that were looked at.
    pub(crate) looked_at: usize,
}

/// Gives the first entries in byte order whose names `is_wanted`, as long as they cost no more than `most_bytes` together:
/// each costs its name and `entry_bytes`. The first one is there whatever it costs.
///
/// # Errors
/// The error of the system, or that of `goes_on`, which is asked before each name.
pub(crate) fn first_wanted(
    directory: &OwnedFd,
    (most_bytes, entry_bytes): (usize, usize),
    is_wanted: impl Fn(&[u8]) -> bool,
    goes_on: impl Fn() -> Result<(), FsError>,
) -> Result<Part, ListingError> {
    let mut first = First { least: 1, ..First::new(most_bytes, entry_bytes) };
    let mut looked_at = 0;
    each_name(directory, |name, kind| {
        looked_at += 1;
        goes_on()?;
        if is_wanted(name) && first.takes(name) {
            first.add(Entry { name: name.into(), kind: kind_of(directory, name, kind) });
        }
        Ok(())
    })?;
    let is_cut = first.end.is_some();
    Ok(Part { entries: first.entries.into_sorted_vec(), is_cut, looked_at })
}

/// The first of some entries in byte order, as far as there is room. None is left out before one that is not.
#[derive(Debug)]
struct First {
    most_bytes: usize,
    /// What an entry costs beside its name.
    entry_bytes: usize,
    /// So many have room whatever they cost.
    least: usize,
    /// The last of them is the first to go where one before it comes later.
    entries: BinaryHeap<Entry>,
    bytes: usize,
    /// The first name that had no room. A shorter one behind it might have, but would hide it.
    end: Option<Box<[u8]>>,
}

impl First {
    fn new(most_bytes: usize, entry_bytes: usize) -> Self {
        Self { most_bytes, entry_bytes, least: 0, entries: BinaryHeap::new(), bytes: 0, end: None }
    }

    /// Whether there is room for a name, maybe at the cost of others.
    fn takes(&self, name: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| name < end)
    }

    /// Adds an entry whose name is taken, and drops the last ones that have no room any more. Returns how many.
    fn add(&mut self, entry: Entry) -> u64 {
        self.bytes += entry.name.len() + self.entry_bytes;
        self.entries.push(entry);
        let mut dropped = 0;
        while self.bytes > self.most_bytes
            && self.entries.len() > self.least
            && let Some(last) = self.entries.pop()
        {
            self.bytes -= last.name.len() + self.entry_bytes;
            self.end = Some(last.name);
            dropped += 1;
        }
        dropped
    }
}

fn kind_of(directory: &OwnedFd, name: &[u8], kind: FileType) -> Kind {
    let kind = match kind {
        // Some file systems do not tell the type. The entry may be gone by now, too.
        FileType::Unknown => rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
        known => known,
    };
    match kind {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

/// Gives the first entries in byte order, whose names have no more than `most_bytes` together, and how many are left.
/// Before each name is stored, `goes_on` says whether the listing continues, given the names so far and their bytes.
///
/// # Errors
/// What `name` makes of the error of the system, or that of `goes_on`.
pub(crate) fn first_while(
    directory: &OwnedFd,
    most_bytes: usize,
    mut goes_on: impl FnMut(usize, usize) -> Result<(), FsError>,
    name: impl FnOnce(Errno) -> FsError,
) -> Result<(Vec<Entry>, u64), FsError> {
    let mut first = First::new(most_bytes, 1);
    let mut left = 0;
    let read = each_name(directory, |name, kind| {
        goes_on(first.entries.len() + 1, first.bytes + name.len() + 1)?;
        left += if first.takes(name) {
            first.add(Entry { name: name.into(), kind: kind_of(directory, name, kind) })
        } else {
            1
        };
        Ok(())
    });
    read.map_err(|ended| ended.unwrap_or_else(name))?;
    Ok((first.entries.into_sorted_vec(), left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However long the names are and however they come, those that are kept are the first, and none is lost.
        #[test]
        fn what_is_kept_is_first(
            names in prop::collection::hash_set("[a-c]{1,12}", 0..40),
            most_bytes in 0..200_usize,
            least in 0..2_usize,
        ) {
            let mut first = First { least, ..First::new(most_bytes, 8) };
            let mut left = 0;
            for name in &names {
                let entry = Entry { name: name.as_bytes().into(), kind: Kind::Other };
                left += if first.takes(&entry.name) { first.add(entry) } else { 1 };
            }
            let (bytes, is_cut) = (first.bytes, first.end.is_some());
            let kept = first.entries.into_sorted_vec();
            let mut sorted: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            sorted.sort_unstable();
            prop_assert!(kept.iter().map(|entry| &entry.name[..]).eq(sorted.iter().copied().take(kept.len())));
            prop_assert_eq!((kept.len() as u64 + left, is_cut), (names.len() as u64, left > 0));
            prop_assert_eq!(kept.iter().map(|entry| entry.name.len() + 8).sum::<usize>(), bytes);
            prop_assert!(bytes <= most_bytes || kept.len() <= least);
            prop_assert!(kept.len() >= least.min(names.len()));
        }
    }
}
