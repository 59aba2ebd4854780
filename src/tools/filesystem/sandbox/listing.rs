//! Reads the entries of one directory through its handle, and sorts them by bytes.

use crate::tools::filesystem::error::{FsError, errno};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;
use std::collections::BinaryHeap;

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
pub(crate) fn each_name(
    directory: &OwnedFd,
    mut each: impl FnMut(&[u8], FileType) -> Result<(), FsError>,
) -> Result<(), ListingError> {
    // The handle itself is read: opening `.` fails where names may be read but not looked up.
    let names = directory.try_clone().map_err(|error| ListingError::System(errno(&error)))?;
    for entry in Dir::new(names).map_err(ListingError::System)? {
        let entry = entry.map_err(ListingError::System)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type()).map_err(ListingError::Caller)?;
        }
    }
    Ok(())
}

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
    let mut entries = BinaryHeap::new();
    let (mut bytes, mut is_cut, mut looked_at) = (0, false, 0);
    each_name(directory, |name, kind| {
        looked_at += 1;
        goes_on()?;
        if !is_wanted(name) {
            return Ok(());
        }
        bytes += name.len() + entry_bytes;
        entries.push(Entry { name: name.into(), kind: kind_of(directory, name, kind) });
        while bytes > most_bytes
            && entries.len() > 1
            && let Some(last) = entries.pop()
        {
            bytes -= last.name.len() + entry_bytes;
            is_cut = true;
        }
        Ok(())
    })?;
    Ok(Part { entries: entries.into_sorted_vec(), is_cut, looked_at })
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
/// The error of the system as `scandir` of `path`, or that of `goes_on`.
pub(crate) fn first_while(
    directory: &OwnedFd,
    path: &[u8],
    most_bytes: usize,
    mut goes_on: impl FnMut(usize, usize) -> Result<(), FsError>,
) -> Result<(Vec<Entry>, u64), FsError> {
    // The last of the first is the first to go where one before it comes later.
    let mut entries = BinaryHeap::new();
    let (mut bytes, mut left) = (0, 0);
    each_name(directory, |name, kind| {
        bytes += name.len() + 1;
        goes_on(entries.len() + 1, bytes)?;
        entries.push(Entry { name: name.into(), kind: kind_of(directory, name, kind) });
        while bytes > most_bytes
            && let Some(last) = entries.pop()
        {
            bytes -= last.name.len() + 1;
            left += 1;
        }
        Ok(())
    })
    .map_err(|ended| ended.unwrap_or_else(|errno| FsError::os(errno, "scandir", path)))?;
    Ok((entries.into_sorted_vec(), left))
}
