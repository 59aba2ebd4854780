//! What a session keeps: the files that were made for it, and what goes on in it.

use super::running::Running;
use crate::lock::lock;
use crate::server::{CallContext, Lasting, SessionValues, ToolError};
use mcpool_pools::BudgetSpent;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

/// Where the files of a session are, before their names.
pub(super) const FILES: &str = "demo://resource/session/";
pub(super) const MIME_TYPE: &str = "application/gzip";
/// Files of a session.
const MAX_FILES: usize = 16;
/// Calls that are known to be repeated once their user has been elsewhere.
const MAX_FIRST_TRIES: usize = 16;
/// What a session takes beside its files: the lists, and two tasks that wait.
const SESSION_BYTES: usize = 2_304;
/// What a file takes beside its name and its bytes.
const FILE_BYTES: usize = 256;

/// Held while a session begins to keep something, so that two first calls at once find the same.
static BEGINNING: Mutex<()> = Mutex::new(());

/// The arguments of tools that have none.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Nothing {}

/// What one session keeps. Dropped with it.
#[derive(Debug)]
pub(super) struct Kept {
    files: Mutex<Vec<File>>,
    first_tries: Mutex<FirstTries>,
    pub(super) logging: Mutex<Option<Running>>,
    pub(super) updates: Mutex<Option<Running>>,
    _memory: Lasting,
}

/// Calls that were answered with an error first, as hashes of what a client repeats.
#[derive(Debug, Default)]
struct FirstTries {
    hasher: RandomState,
    hashes: VecDeque<u64>,
}

#[derive(Debug)]
struct File {
    name: Box<str>,
    bytes: Arc<[u8]>,
    _memory: Lasting,
}

/// The URI of a file, in which all but unreserved characters of its name are percent-encoded (RFC 3986, section 2.3).
pub(super) fn file_uri(name: &str) -> String {
    let mut uri = FILES.to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

impl Kept {
    /// What the session of a call keeps, from its first call on.
    ///
    /// # Errors
    /// When there is no memory to keep anything.
    pub(super) fn of(call: &CallContext) -> Result<Arc<Self>, ToolError> {
        let session = call.session_values();
        if let Some(kept) = session.find::<Self>() {
            return Ok(kept);
        }
        let _beginning = lock(&BEGINNING);
        if let Some(kept) = session.find::<Self>() {
            return Ok(kept);
        }
        let memory = call.reserve_lasting(SESSION_BYTES).map_err(no_memory)?;
        let kept = Arc::new(Self {
            files: Mutex::default(),
            first_tries: Mutex::default(),
            logging: Mutex::default(),
            updates: Mutex::default(),
            _memory: memory,
        });
        session.put(Arc::clone(&kept), SESSION_BYTES);
        Ok(kept)
    }

    /// Whether a call with these texts is the first, or the first after one that was repeated.
    pub(super) fn is_first_try(&self, texts: &[&str]) -> bool {
        let mut tries = lock(&self.first_tries);
        let hash = tries.hasher.hash_one(texts);
        if let Some(at) = tries.hashes.iter().position(|known| *known == hash) {
            tries.hashes.remove(at);
            return false;
        }
        if tries.hashes.len() == MAX_FIRST_TRIES {
            tries.hashes.pop_front();
        }
        tries.hashes.push_back(hash);
        true
    }

    /// The file of that URI, if the session has one.
    pub(super) fn find_file(session: &SessionValues, uri: &str) -> Option<Arc<[u8]>> {
        let kept = session.find::<Self>()?;
        let files = lock(&kept.files);
        files.iter().find(|file| file_uri(&file.name) == uri).map(|file| Arc::clone(&file.bytes))
    }
}

/// Keeps a file for the session of a call, in place of one of the same name.
///
/// # Errors
/// When it keeps as many as it may, and when there is no memory for it.
pub(super) fn keep_file(call: &CallContext, name: &str, bytes: &[u8]) -> Result<(), ToolError> {
    let kept = Kept::of(call)?;
    let mut files = lock(&kept.files);
    let known = files.iter().position(|file| *file.name == *name);
    if known.is_none() && files.len() == MAX_FILES {
        return Err(ToolError::failed(format_args!(
            "this session has {MAX_FILES} files, and no more are kept: give the name of one of them"
        )));
    }
    let older = known.map(|at| files.swap_remove(at));
    // Before the new one is reserved, as it may need the room.
    drop(older);
    let memory = call.reserve_lasting(FILE_BYTES + name.len() + bytes.len()).map_err(no_memory)?;
    files.push(File { name: name.into(), bytes: bytes.into(), _memory: memory });
    let heap_bytes: usize = files.iter().map(|file| FILE_BYTES + file.name.len() + file.bytes.len()).sum();
    drop(files);
    call.session_values().put(kept, SESSION_BYTES + heap_bytes);
    Ok(())
}

/// The answer where nothing more can be kept for a session.
fn no_memory(spent: BudgetSpent) -> ToolError {
    ToolError::failed(format_args!(
        "there is no memory to keep more for this session; end sessions that are not needed, or raise \
         memory_limit_bytes: {spent}"
    ))
}
