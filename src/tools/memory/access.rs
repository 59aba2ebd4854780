//! Who may read and write a file that takes the place of another: the same as before, or fewer.
//!
//! Owner, group, permissions, access control list and extended attributes are copied. What cannot be copied, as only root
//! may give a file to another user, leaves the new file open to nobody to whom the old one was not: then its group has
//! no rights. The file is for its owner only until all of it is done.

use rustix::fs::{Gid, Mode, RawMode, Stat, Uid};
use rustix::io::Errno;
use std::fs::File;

/// The permissions of a group.
const GROUP: RawMode = 0o070;

/// Makes `new`, which is for its owner only, as accessible as `old`.
///
/// # Errors
/// When `old` cannot be looked at, or the permissions cannot be set.
pub(crate) fn copy(old: &File, new: &File) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(old)?;
    let has_group = give(new, &stat);
    let has_list = attributes::copy(old, new)?;
    let withheld = if has_group && has_list { 0 } else { GROUP };
    rustix::fs::fchmod(new, Mode::from_raw_mode(stat.st_mode & 0o777 & !withheld))
}

/// Gives a file to the owner and the group of another; says whether it has that group now.
fn give(new: &File, stat: &Stat) -> bool {
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    // A member of the group may give it to the group, if not to the owner.
    rustix::fs::fchown(new, Some(owner), Some(group)).is_ok()
        || rustix::fs::fchown(new, None, Some(group)).is_ok()
}

#[cfg(target_os = "linux")]
mod attributes {
    //! Extended attributes, the access control list among them.

    use super::{Errno, File};
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};

    /// Where the access control list is.
    const LIST: &str = "system.posix_acl_access";
    /// The longest value and list of names that Linux has.
    const MAX_BYTES: usize = 64 * 1024;

    /// Copies all that can be copied; says whether the new file has the list that the old one had, or none as well.
    pub(super) fn copy(old: &File, new: &File) -> Result<bool, Errno> {
        let mut buffer = vec![0; MAX_BYTES];
        for name in names(old, &mut buffer) {
            if name != LIST
                && let Ok(bytes) = fgetxattr(old, name.as_str(), &mut *buffer)
            {
                // Some are for root, or for other file systems, to set.
                let _ = fsetxattr(new, name.as_str(), &buffer[..bytes], XattrFlags::empty());
            }
        }
        match fgetxattr(old, LIST, &mut *buffer) {
            Ok(bytes) => Ok(fsetxattr(new, LIST, &buffer[..bytes], XattrFlags::empty()).is_ok()),
            // The directory may have given the new file one.
            Err(Errno::NODATA) => {
                let removed = fremovexattr(new, LIST);
                Ok(matches!(removed, Ok(()) | Err(Errno::NODATA | Errno::NOTSUP)))
            }
            Err(Errno::NOTSUP) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    fn names(file: &File, buffer: &mut [u8]) -> Vec<String> {
        let bytes = flistxattr(file, &mut *buffer).unwrap_or_default();
        let names = buffer[..bytes].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod attributes {
    //! Other systems keep their lists elsewhere.

    use super::{Errno, File};

    pub(super) fn copy(_: &File, _: &File) -> Result<bool, Errno> {
        Ok(true)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    const LIST: &str = "system.posix_acl_access";

    /// A list in the form of the kernel: a version, and for each entry whom it is for, what it allows, and an id.
    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (whom, rights, id) in entries {
            bytes.extend_from_slice(&whom.to_le_bytes());
            bytes.extend_from_slice(&rights.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    fn file(directory: &tempfile::TempDir, name: &str, mode: u32) -> File {
        let file = File::create(directory.path().join(name)).expect("a file");
        file.set_permissions(std::fs::Permissions::from_mode(mode)).expect("a mode");
        file
    }

    fn found(file: &File, name: &str) -> Option<Vec<u8>> {
        let mut buffer = [0; 256];
        let bytes = fgetxattr(file, name, &mut buffer).ok()?;
        Some(buffer[..bytes].to_vec())
    }

    #[test]
    fn a_list_and_other_attributes_are_copied_and_those_of_the_directory_are_not() {
        const NOBODY: u32 = u32::MAX;
        let directory = tempfile::tempdir().expect("a directory");
        let old = file(&directory, "old", 0o600);
        // The owner and user 12345 may write, the group may do nothing: the mode shows what is left of all but the owner.
        let entries = [(1, 6, NOBODY), (2, 6, 12_345), (4, 0, NOBODY), (0x10, 6, NOBODY), (0x20, 0, NOBODY)];
        let wanted = list(&entries);
        let set = |file: &File, name: &str, value: &[u8]| fsetxattr(file, name, value, XattrFlags::empty());
        if set(&old, LIST, &wanted).is_err() {
            return eprintln!("this file system has no lists: nothing is tested");
        }
        let has_more = set(&old, "user.note", b"mine").is_ok();
        assert_eq!(old.metadata().expect("there").mode() & 0o777, 0o660);
        let new = file(&directory, "new", 0o600);
        copy(&old, &new).expect("copied");
        assert_eq!(found(&new, LIST), Some(wanted.clone()));
        assert_eq!(new.metadata().expect("there").mode() & 0o777, 0o660);
        if has_more {
            assert_eq!(found(&new, "user.note").as_deref(), Some(&b"mine"[..]));
        }
        // A list that the new file has from elsewhere would let others in.
        let plain = file(&directory, "plain", 0o660);
        let inherits = file(&directory, "inherits", 0o600);
        set(&inherits, LIST, &wanted).expect("set");
        inherits.set_permissions(std::fs::Permissions::from_mode(0o600)).expect("a mode");
        copy(&plain, &inherits).expect("copied");
        assert_eq!(found(&inherits, LIST), None);
        assert_eq!(inherits.metadata().expect("there").mode() & 0o777, 0o660);
    }
}
