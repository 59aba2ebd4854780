//! Copies owner, permissions, access lists and extended attributes from one file to another.
//!
//! A file that replaces another one gets the attributes of the old one, as if that had been written in place. Kept are
//! the owner and the group where this process may set them, permissions, access lists (`system.posix_acl_access`) and
//! extended attributes. Not kept, as writing in place does not keep them either, are capabilities of the program
//! (`security.capability`), signatures of the content (`security.ima`, `security.evm`) and, except for root,
//! set-user-id and set-group-id. Where the group cannot be kept, the new group gets no more rights than everybody.
//! Other names of the old file (hard links) keep the old content.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, RawMode, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// Bytes of the longest list of names, and of the longest value, on Linux.
const LONGEST: usize = 64 * 1024;

/// The access list of a file. If it cannot be set, the file is not replaced.
const ACCESS: &[u8] = b"system.posix_acl_access";

/// Attributes of the content, not of the file.
const OF_CONTENT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];

/// The permission bits set-user-id and set-group-id.
const PROGRAM_BITS: RawMode = 0o6000;

/// Extended attributes: names and values.
type Extended = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of a file.
#[derive(Debug)]
pub(crate) struct Attributes {
    uid: Uid,
    gid: Gid,
    mode: RawMode,
    /// Names and values; `None` where they could not be read.
    extended: Option<Extended>,
}

impl Attributes {
    /// Takes the attributes of a file; the extended ones only if there is a handle to read them from.
    pub(crate) fn of(stat: &Stat, file: Option<&OwnedFd>) -> Self {
        Self {
            uid: Uid::from_raw(stat.st_uid),
            gid: Gid::from_raw(stat.st_gid),
            mode: Mode::from_raw_mode(stat.st_mode).bits() & 0o7777,
            extended: file.and_then(|file| extended(file).ok()),
        }
    }

    /// Sets them on a file with a new content.
    pub(crate) fn give_to_new_content(mut self, file: &OwnedFd) -> Result<(), Errno> {
        if let Some(extended) = &mut self.extended {
            extended.retain(|(name, _)| !OF_CONTENT.contains(&&name[..]));
        }
        if !rustix::process::geteuid().is_root() {
            self.mode &= !PROGRAM_BITS;
        }
        self.give_to(file)
    }

    /// Sets them on a file.
    pub(crate) fn give_to(&self, file: &OwnedFd) -> Result<(), Errno> {
        let mut mode = self.mode;
        if rustix::fs::fchown(file, Some(self.uid), Some(self.gid)).is_err() {
            // The file now has a different owner, whose rights the program must not run with.
            mode &= !PROGRAM_BITS;
            if rustix::fs::fchown(file, None, Some(self.gid)).is_err() {
                mode &= !0o070 | (mode & 0o007) << 3;
            }
        }
        if let Some(wanted) = &self.extended {
            set_extended(file, wanted)?;
        }
        // This comes last, as a change of the owner clears bits.
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
    // The new file may have got an access list from its directory.
    for (name, value) in extended(&file).unwrap_or_default() {
        if name == ACCESS && !wanted.contains(&(name.clone(), value)) {
            fremovexattr(&file, &name[..])?;
        }
    }
    for (name, value) in wanted {
        match fsetxattr(&file, &name[..], value, XattrFlags::empty()) {
            Err(errno) if name == ACCESS => return Err(errno),
            // Some can be set only by the kernel, or need rights that this process does not have.
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
