//! Opens files below an open directory, and never outside of it.
//!
//! Linux resolves the whole path in one call (`openat2`) and refuses to leave the directory, whatever others do to it
//! meanwhile. Elsewhere, and where that call is forbidden, each name is opened below the one before it and links are
//! refused; callers then resolve links beforehand.
//!
//! All system calls that look up a name on the way to a file are in this file, so that a test can count them.

use super::lexical::{self, PathBytes};
#[cfg(target_os = "linux")]
use rustix::fd::AsRawFd;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(target_os = "linux")]
use rustix::fs::CWD;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use std::io::Write as _;

/// What happens to symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are followed as long as they stay below the directory. [`Errno::NOSYS`] on systems that cannot do that.
    Followed,
    /// They are refused with [`Errno::LOOP`].
    Refused,
}

/// Opens a directory to open others below it; it is neither read nor written.
pub(crate) const DIRECTORY_HANDLE: OFlags = HANDLE.union(OFlags::DIRECTORY);

/// Opens a handle to ask about a file, without reading it.
#[cfg(target_os = "linux")]
pub(crate) const HANDLE: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(crate) const HANDLE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// Opens a directory by its name, and follows links. Only for names from the user who runs this server, or from the
/// client that started it.
pub(crate) fn open_by_name(path: &[u8]) -> Result<OwnedFd, Errno> {
    count();
    rustix::fs::open(path, DIRECTORY_HANDLE | OFlags::CLOEXEC, Mode::empty())
}

/// The most links that the system follows in one path.
pub(crate) const MAX_LINKS: usize = 40;

/// Gives every directory on the way to a name, those included to which its links lead. Only for comparisons: others may
/// change the way at any time.
pub(crate) fn directories_on_the_way(name: &[u8]) -> Vec<PathBytes> {
    let mut steps = Vec::new();
    let mut at = PathBytes::from_slice(b"/");
    let mut ahead: Vec<Vec<u8>> = Vec::new();
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
    };
    ahead.extend(names(name));
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        let next = lexical::joined(&at, &name);
        steps.push(next.clone());
        match rustix::fs::readlink(&next[..], Vec::new()) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.as_bytes().starts_with(b"/") {
                    at = PathBytes::from_slice(b"/");
                }
                ahead.extend(names(target.as_bytes()));
            }
            _ => at = next,
        }
    }
    steps
}

/// Opens the directory of that name in another one. A link is refused: [`Errno::NOTDIR`] or [`Errno::LOOP`].
pub(crate) fn open_directory(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    count();
    let flags = DIRECTORY_HANDLE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Reads the path that the link of that name holds; `None` when the name is not that of a link.
pub(crate) fn read_link(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    count();
    match rustix::fs::readlinkat(directory, name, Vec::new()) {
        Ok(path) => Ok(Some(path.into_bytes())),
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens the file of a handle again, with other flags and without looking up a name.
pub(crate) fn reopen(handle: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    count();
    let flags = flags | OFlags::CLOEXEC;
    match rustix::fs::openat(handle, c".", flags, Mode::empty()) {
        // In a directory that may be read but not entered, `.` cannot be looked up.
        #[cfg(target_os = "linux")]
        Err(Errno::ACCESS) => rustix::fs::open(&own_name(handle)[..], flags, Mode::empty()),
        opened => opened,
    }
}

/// The absolute path that the directory of a handle has now; `None` where the system does not say.
pub(crate) fn current_path(handle: BorrowedFd<'_>) -> Option<PathBytes> {
    count();
    #[cfg(target_os = "linux")]
    let path = {
        let mut buffer = [0; crate::limits::MAX_PATH_BYTES];
        let len = rustix::fs::readlinkat_raw(CWD, &own_name(handle)[..], &mut buffer[..]).ok()?;
        PathBytes::from_slice(buffer.get(..len)?)
    };
    #[cfg(target_vendor = "apple")]
    let path = PathBytes::from_slice(rustix::fs::getpath(handle).ok()?.to_bytes());
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    let path = PathBytes::new();
    path.starts_with(b"/").then_some(path)
}

/// The system's name for an open file of this process.
#[cfg(target_os = "linux")]
fn own_name(handle: BorrowedFd<'_>) -> PathBytes {
    let mut buffer = std::io::Cursor::new([0; 32]);
    // A number of 32 bits has at most ten digits.
    let _ = write!(buffer, "/proc/self/fd/{}", handle.as_raw_fd());
    let len = buffer.position() as usize;
    PathBytes::from_slice(&buffer.get_ref()[..len])
}

/// The real path of what `path` leads to from a directory, wherever that is. Only to find out which allowed directory
/// it lies in: nothing is opened for reading, and the file is opened below that directory's handle afterwards.
pub(crate) fn real_path(directory: BorrowedFd<'_>, path: &[u8]) -> Result<PathBytes, Errno> {
    count();
    #[cfg(target_os = "linux")]
    {
        let found = rustix::fs::openat(directory, path, HANDLE | OFlags::CLOEXEC, Mode::empty())?;
        current_path(found.as_fd()).ok_or(Errno::NOENT)
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut from = current_path(directory).unwrap_or_default();
        from.push(b'/');
        from.extend_from_slice(path);
        let path = if path.starts_with(b"/") { path } else { &from[..] };
        let real = std::fs::canonicalize(std::ffi::OsStr::from_bytes(path));
        let real = real.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(PathBytes::from_vec(real.into_os_string().into_vec()))
    }
}

#[cfg(test)]
thread_local! {
    /// System calls that this thread made.
    pub(crate) static CALLS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn count() {
    #[cfg(test)]
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

/// Opens `path`, which is relative and without `.` or `..`; the empty path is the directory itself.
///
/// # Errors
/// Those of the system; [`Errno::LOOP`] or [`Errno::XDEV`] where a link leads outside or is refused.
pub(crate) fn open(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    links: Links,
) -> Result<OwnedFd, Errno> {
    count();
    let mut flags = flags | OFlags::CLOEXEC;
    if !flags.contains(HANDLE) {
        // The call refuses this flag for handles.
        flags |= OFlags::NOCTTY;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let name = if path.is_empty() { b"." } else { path };
        match rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
            // Old kernels do not know the call; some containers forbid it.
            Err(Errno::NOSYS | Errno::PERM) => {}
            result => return result,
        }
    }
    if links == Links::Followed {
        return Err(Errno::NOSYS);
    }
    open_name_by_name(directory, path, flags)
}

/// Opens a clean absolute path that has no link in it, from the root of all files down to the last name: without links and
/// without `..` each name is looked up in the directory before it, so that what is opened lay below every directory that the
/// path names when it was passed.
///
/// # Errors
/// Those of the system; [`Errno::LOOP`] where there is a link, [`Errno::NOSYS`] on systems that cannot do that.
pub(crate) fn open_without_links(path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        count();
        // The call refuses the second flag for handles.
        let more = if flags.contains(HANDLE) { OFlags::CLOEXEC } else { OFlags::CLOEXEC | OFlags::NOCTTY };
        let flags = flags | more;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (path, flags);
        Err(Errno::NOSYS)
    }
}

/// Opens one name after the other.
fn open_name_by_name(directory: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW;
    let Some((parents, last)) = lexical::split_last(path) else {
        return rustix::fs::openat(directory, c".", flags, Mode::empty());
    };
    let mut held: Option<OwnedFd> = None;
    for name in parents.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let from = held.as_ref().map_or(directory, AsFd::as_fd);
        held = Some(open_directory(from, name)?);
    }
    let from = held.as_ref().map_or(directory, AsFd::as_fd);
    let opened = rustix::fs::openat(from, last, flags, Mode::empty())?;
    #[cfg(target_os = "linux")]
    if flags.contains(OFlags::PATH) && is_link(&opened)? {
        // With this flag, a link opens as itself.
        return Err(Errno::LOOP);
    }
    Ok(opened)
}

#[cfg(target_os = "linux")]
fn is_link(opened: &OwnedFd) -> Result<bool, Errno> {
    use rustix::fs::FileType;
    Ok(FileType::from_raw_mode(rustix::fs::fstat(opened)?.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_refuse_what_leads_outside() {
        let outer = tempfile::tempdir().expect("a directory");
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).expect("directories");
        std::fs::write(root.join("a/b/file"), "inside").expect("a file");
        std::fs::write(outer.path().join("secret"), "outside").expect("a file");
        symlink("../secret", root.join("out")).expect("a link");
        symlink("a/b", root.join("in")).expect("a link");
        symlink(outer.path(), root.join("a/up")).expect("a link");
        let handle = rustix::fs::open(&root, DIRECTORY_HANDLE, Mode::empty()).expect("a handle");
        // (path, links refused, links followed)
        let rows: [(&str, bool, bool); 7] = [
            ("", true, true),
            ("a/b/file", true, true),
            ("out", false, false),
            ("in/file", false, true),
            ("in", false, true),
            ("a/up/secret", false, false),
            ("missing", false, false),
        ];
        for (path, strict, follows) in rows {
            for flags in [OFlags::RDONLY, HANDLE] {
                let walked = open_name_by_name(handle.as_fd(), path.as_bytes(), flags | OFlags::CLOEXEC);
                assert_eq!(walked.is_ok(), strict, "walk {path}");
                let opened = open(handle.as_fd(), path.as_bytes(), flags, Links::Refused);
                assert_eq!(opened.is_ok(), strict, "open {path}");
                let opened = open(handle.as_fd(), path.as_bytes(), flags, Links::Followed);
                assert_eq!(opened.is_ok(), follows || matches!(opened, Err(Errno::NOSYS)), "follow {path}");
            }
        }
    }
}
