//! What the reference server would have answered: the parts of Node.js and of its npm packages that show in answers.
//!
//! Knows nothing of the sandbox or the tools. Of the rooms beside it, it uses `text_edit` only, for the edits of the
//! reference:
//!
//! ```text
//! exclude                  which entries a search or a tree leaves out
//! glob  segment class braces   patterns of minimatch and brace-expansion
//! budget                   what the patterns of one call may cost
//! reference_edit  diff  flat_lines     edit_file
//! collate  local_time  media   the order of names, times, MIME types and URLs
//! ```

pub(crate) mod braces;
pub(crate) mod budget;
pub(crate) mod class;
pub(crate) mod collate;
pub(crate) mod diff;
pub(crate) mod exclude;
mod flat_lines;
pub(crate) mod glob;
pub(crate) mod local_time;
pub(crate) mod media;
pub(crate) mod reference_edit;
pub(crate) mod segment;
