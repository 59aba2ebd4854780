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
        let kind = match kind {
            // Some file systems do not tell the type. The entry may be gone by now, too.
            FileType::Unknown => rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            known => known,
        };
        let kind = match kind {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        entries.push(Entry { name: name.into(), kind });
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
