//! What belongs to a file beside its content and its name: owner, permissions, access lists, further attributes.
//!
//! A file that takes the place of another one is given what that one had, as if it had been written where it was.
//! Kept: the owner and group where this process may set them, permissions, access lists (`system.posix_acl_access`)
//! and extended attributes. Not kept, as writing in place does not keep them either: capabilities of the program
//! (`security.capability`) and signatures of the content (`security.ima`, `security.evm`), nor set-user-id and
//! set-group-id but for root. Where the group cannot be kept, its members get no more than everybody. Further names
//! of the old file (hard links) keep the old content.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, RawMode, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// Longest list of names, and longest value, that Linux has.
const LONGEST: usize = 64 * 1024;

/// What says who may do what with a file: where it cannot be set, the file is not put there.
const ACCESS: &[u8] = b"system.posix_acl_access";

/// Attributes of a content, not of a file.
const OF_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];

/// Permissions that say how a program runs.
const PROGRAM_BITS: RawMode = 0o6000;

/// Extended attributes: names and values.
type Extended = Vec<(Vec<u8>, Vec<u8>)>;

/// What belongs to a file.
#[derive(Debug)]
pub(crate) struct Attributes {
    uid: Uid,
    gid: Gid,
    mode: RawMode,
    /// Names and values; `None` where they could not be read.
    extended: Option<Extended>,
}

impl Attributes {
    /// Those of a file, with the extended ones where there is a handle that they can be read from.
    pub(crate) fn of(stat: &Stat, file: Option<&OwnedFd>) -> Self {
        Self {
            uid: Uid::from_raw(stat.st_uid),
            gid: Gid::from_raw(stat.st_gid),
            mode: Mode::from_raw_mode(stat.st_mode).bits() & 0o7777,
            extended: file.and_then(|file| extended(file).ok()),
        }
    }

    /// Gives them to a file that has another content.
    pub(crate) fn give_to_new_content(mut self, file: &OwnedFd) -> Result<(), Errno> {
        if let Some(extended) = &mut self.extended {
            extended.retain(|(name, _)| !OF_CONTENT.contains(&&name[..]));
        }
        if !rustix::process::geteuid().is_root() {
            self.mode &= !PROGRAM_BITS;
        }
        self.give_to(file)
    }

    /// Gives them to a file.
    pub(crate) fn give_to(&self, file: &OwnedFd) -> Result<(), Errno> {
        let mut mode = self.mode;
        if rustix::fs::fchown(file, Some(self.uid), Some(self.gid)).is_err() {
            // Whose file it is now, it was not made by a program of theirs.
            mode &= !PROGRAM_BITS;
            if rustix::fs::fchown(file, None, Some(self.gid)).is_err() {
                mode &= !0o070 | (mode & 0o007) << 3;
            }
        }
        if let Some(wanted) = &self.extended {
            set_extended(file, wanted)?;
        }
        // Last, as a change of the owner takes bits away.
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn extended(file: impl AsFd) -> Result<Extended, Errno> {
    let mut names = vec![0; LONGEST];
    let len = rustix::fs::flistxattr(&file, &mut names[..])?;
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut value = vec![0; LONGEST];
    let each = names.filter_map(|name| {
        let len = rustix::fs::fgetxattr(&file, name, &mut value[..]).ok()?;
        Some((name.to_vec(), value[..len].to_vec()))
    });
    Ok(each.collect())
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn set_extended(file: impl AsFd, wanted: &Extended) -> Result<(), Errno> {
    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};
    // The directory may have given the new file an access list of its own.
    for (name, value) in extended(&file).unwrap_or_default() {
        if name == ACCESS && !wanted.contains(&(name.clone(), value)) {
            fremovexattr(&file, &name[..])?;
        }
    }
    for (name, value) in wanted {
        match fsetxattr(&file, &name[..], value, XattrFlags::empty()) {
            Err(errno) if name == ACCESS => return Err(errno),
            // Some are the kernel's to set, or need rights that this process does not have.
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn extended(_file: impl AsFd) -> Result<Extended, Errno> {
    Err(Errno::NOTSUP)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn set_extended(_file: impl AsFd, _wanted: &Extended) -> Result<(), Errno> {
    Ok(())
}
