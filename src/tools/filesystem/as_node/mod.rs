//! What the reference server would have answered: the parts of Node.js and of its npm packages that show in answers.

pub(crate) mod braces;
pub(crate) mod budget;
pub(crate) mod class;
pub(crate) mod collate;
pub(crate) mod diff;
pub(crate) mod exclude;
pub(crate) mod glob;
pub(crate) mod local_time;
pub(crate) mod media;
pub(crate) mod reference_edit;
pub(crate) mod segment;
