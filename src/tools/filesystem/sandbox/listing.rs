//! Reads the entries of one directory through its handle, and sorts them by bytes.

use crate::tools::filesystem::error::{FsError, errno};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;

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

/// Gives all entries in byte order. Before each name is stored, `goes_on` says whether the listing continues, given the
/// bytes of the names up to that one.
///
/// # Errors
/// The error of the system as `scandir` of `path`, or that of `goes_on`.
pub(crate) fn sorted_while(
    directory: &OwnedFd,
    path: &[u8],
    mut goes_on: impl FnMut(usize, usize) -> Result<(), FsError>,
) -> Result<Vec<Entry>, FsError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
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
        Ok(())
    })
    .map_err(|ended| ended.unwrap_or_else(|errno| FsError::os(errno, "scandir", path)))?;
    entries.sort_unstable();
    Ok(entries)
}
