//! The files of the allowed directories as resources.

use super::as_node::media;
use super::complete_path;
use super::error::FsError;
use super::file_contents::{self, refusal};
use super::file_list;
use super::file_uri::{self, BYTES_TEMPLATE, FileUri, LINES_TEMPLATE};
use super::file_watches::FileWatches;
use super::open_file::{OpenFile, READ};
use super::sandbox::directories::Directories;
use crate::protocol::{Resource, ResourceTemplate};
use crate::server::{
    Completer, CompletionRequest, CompletionTarget, Completions, ReadContext, RequestContext, ResourcePage,
    ResourceWatch, Resources, ToolError,
};
use std::sync::Arc;

/// The files of the directories of [`Filesystem`](super::Filesystem) as resources, which
/// [`Filesystem::resources`](super::Filesystem::resources) makes.
///
/// They are listed in pages, as they are at that moment: the names of each directory in byte order, and what is in a
/// directory where its name comes, so that `a/x` is before `a-b`. A file that is there all the time is listed once, in
/// directories of any number of names. Links are not listed, nor what ignore files (`.gitignore`, `.ignore`) exclude, nor what is in
/// `.git`; other names that begin with a dot are. Nor is what lies so deep that its path is longer than the system takes. All others can be read. A file that is UTF-8 is read as text, any other
/// one as base64; `?offset=11&limit=20` behind a URI reads lines, `?byteOffset=0&byteLimit=1024` bytes.
///
/// Changes of a file are told to who is subscribed to it, whether it is written, replaced, removed or made again, within a
/// tenth of a second, or a few seconds where its directory is replaced. Of a link it is the file that counts to which it led
/// when the client subscribed.
///
/// As a [`Completer`] it proposes how the `path` of such a URI goes on: the names in the directory that is typed so far, those
/// of directories with a slash behind them, in byte order and percent-encoded. Names that begin with a dot and those that
/// ignore files exclude are proposed too, as they can be read; links that lead outside are not.
///
/// [`Filesystem::resources`](super::Filesystem::resources) has an example.
///
/// [`Filesystem::resources`](super::Filesystem::resources) has an example.
#[derive(Debug, Clone)]
pub struct FileResources {
    directories: Arc<Directories>,
    watches: Arc<FileWatches>,
}

impl FileResources {
    pub(super) fn new(directories: Arc<Directories>) -> Self {
        Self { directories, watches: Arc::default() }
    }
}

impl Resources for FileResources {
    fn list(&self) -> Vec<Resource> {
        Vec::new()
    }

    fn has_pages(&self) -> bool {
        true
    }

    fn list_page(&self, page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
        let directories = self.directories.of_session(page.session_values());
        let sandbox = directories.enter(None, Some(page.cancellation()));
        file_list::list(&sandbox, page)
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        let path = "The path has its characters percent-encoded, but for its slashes.";
        vec![
            ResourceTemplate::new(LINES_TEMPLATE, "lines-of-file").title("File, or lines of it").description(format!(
                "A file in the allowed directories. offset is the number of the first line, 1 without it; limit the number of \
                 lines, all without it. {path}"
            )),
            ResourceTemplate::new(BYTES_TEMPLATE, "bytes-of-file").title("Bytes of a file").description(format!(
                "Bytes of a file in the allowed directories, as base64, from byteOffset (0 without it) on, byteLimit of them \
                 at most. {path}"
            )),
        ]
    }

    fn watches(&self, uri: &str) -> bool {
        file_uri::is_file(uri)
    }

    fn watch(&self, uri: &str, request: &RequestContext) -> Result<ResourceWatch, ToolError> {
        let FileUri { path, .. } = FileUri::parse(uri)?;
        let directories = self.directories.of_session(request.session_values());
        let sandbox = directories.enter(None, Some(request.cancellation()));
        self.watches.watch((uri, &path), &sandbox, request).map(ResourceWatch::new)
    }

    async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
        let FileUri { path, part } = FileUri::parse(uri)?;
        let directories = self.directories.of_session(read.session_values());
        let uri = uri.to_owned();
        let write = move |read: &mut ReadContext| {
            let sandbox = directories.enter(None, Some(read.cancellation()));
            let opened = sandbox.open_absolute(&path, READ);
            let file = opened.and_then(|opened| {
                // The error names no path, as what is no file is not found.
                OpenFile::regular(opened, || Ok(String::new()))
            });
            let mime_type = Some(media::mime_type(&path)).filter(|known| *known != media::UNKNOWN);
            file_contents::write(file.map_err(refusal)?, part, (&uri, mime_type), read)
        };
        read.write_on_thread(write).await
    }
}

impl Completer for FileResources {
    async fn complete(
        &self,
        request: &CompletionRequest,
        context: &mut RequestContext,
    ) -> Result<Completions, ToolError> {
        match &request.target {
            CompletionTarget::Resource(uri) if [LINES_TEMPLATE, BYTES_TEMPLATE].contains(&&**uri) => {}
            _ => return Err(ToolError::NotFound),
        }
        if request.argument != "path" {
            return Ok(Completions::default());
        }
        let directories = self.directories.of_session(context.session_values());
        let typed = request.value.clone();
        let complete = move |context: &mut RequestContext| {
            let sandbox = directories.enter(None, Some(context.cancellation()));
            complete_path::complete(&sandbox, &typed)
        };
        context.on_thread(complete).await?.map_err(|error| match error {
            FsError::Cancelled(_) => ToolError::Cancelled,
            error => error.into(),
        })
    }
}
