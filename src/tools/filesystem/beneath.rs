//! Opening by capability: below a directory that is held open, and never outside of it.
//!
//! Linux resolves the whole path in one call (`openat2`) and refuses to leave the directory, whatever
//! others do to it meanwhile. Elsewhere, and where that call is forbidden, each name is opened below the
//! one before it and links are refused; callers then resolve links beforehand.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Followed, as long as they stay below the directory. Not on all systems: then [`Errno::NOSYS`].
    Followed,
    /// Refused with [`Errno::LOOP`].
    Refused,
}

/// A directory to open others below: itself neither read nor written.
pub(super) const DIRECTORY_HANDLE: OFlags = HANDLE.union(OFlags::DIRECTORY);

/// A handle to ask about a file, without opening it.
#[cfg(target_os = "linux")]
pub(super) const HANDLE: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
pub(super) const HANDLE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// Opens `path`, which is relative and without `.` or `..`; the empty path is the directory itself.
///
/// # Errors
/// What the system says; [`Errno::LOOP`] or [`Errno::XDEV`] where links lead astray.
pub(super) fn open(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    links: Links,
) -> Result<OwnedFd, Errno> {
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
    walk(directory, path, flags)
}

/// Opens name by name.
fn walk(directory: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW;
    let Some((parents, last)) = super::lexical::split_last(path) else {
        return rustix::fs::openat(directory, c".", flags, Mode::empty());
    };
    let mut held: Option<OwnedFd> = None;
    for name in parents.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let from = held.as_ref().map_or(directory, AsFd::as_fd);
        let step = DIRECTORY_HANDLE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        held = Some(rustix::fs::openat(from, name, step, Mode::empty())?);
    }
    let from = held.as_ref().map_or(directory, AsFd::as_fd);
    let opened = rustix::fs::openat(from, last, flags, Mode::empty())?;
    #[cfg(target_os = "linux")]
    if flags.contains(OFlags::PATH) && is_link(&opened)? {
        // Such a handle is one of the link itself.
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
                let walked = walk(handle.as_fd(), path.as_bytes(), flags | OFlags::CLOEXEC);
                assert_eq!(walked.is_ok(), strict, "walk {path}");
                let opened = open(handle.as_fd(), path.as_bytes(), flags, Links::Refused);
                assert_eq!(opened.is_ok(), strict, "open {path}");
                let opened = open(handle.as_fd(), path.as_bytes(), flags, Links::Followed);
                assert_eq!(opened.is_ok(), follows || matches!(opened, Err(Errno::NOSYS)), "follow {path}");
            }
        }
    }
}
