//! The tool `get_file_info`: what the file system knows of a file.

use super::arguments::Path;
use super::as_node::local_time;
use super::context::Context;
use super::error::{FsError, Stop, errno};
use super::sandbox::beneath::HANDLE;
use crate::server::CallContext;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// `get_file_info`.
pub(crate) fn file_info(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let (handle, target) = context.sandbox.open_to_read(arguments.path, HANDLE, "stat")?;
    let metadata =
        File::from(handle).metadata().map_err(|error| FsError::os(errno(&error), "stat", target.path()))?;
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    // Where the file system does not know when a file was made, the time of its last change is shown.
    let created = metadata.created().unwrap_or(modified);
    let accessed = metadata.accessed().unwrap_or(modified);
    call.text_with(|text| {
        // Writing into an answer does not fail.
        let _ = write!(
            text,
            "size: {}\ncreated: {}\nmodified: {}\naccessed: {}\nisDirectory: {}\nisFile: {}\npermissions: {:03o}",
            metadata.len(),
            local_time::javascript(created),
            local_time::javascript(modified),
            local_time::javascript(accessed),
            metadata.is_dir(),
            metadata.is_file(),
            metadata.mode() & 0o777,
        );
    });
    call.structured_from_text();
    Ok(())
}
