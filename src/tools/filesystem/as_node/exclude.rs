//! The patterns that exclude entries, and all below them, from a search or a tree.

use super::budget::{Budget, Steps};
use super::glob::{Depth, Glob, GlobPath};
use crate::tools::filesystem::compat::Compat;
use crate::tools::filesystem::error::FsError;

/// The patterns of one call.
#[derive(Debug)]
pub(crate) struct Exclusions {
    globs: Vec<Glob>,
    /// Those that exclude only directories.
    of_directories: Vec<Glob>,
    /// Whether a directory is left unopened when a pattern excludes all that is in it.
    knows_contents: bool,
}

impl Exclusions {
    /// The rules of both tools: a pattern without a slash is a name at any depth, and one without a star may begin at
    /// any depth. A pattern that ends with a slash excludes only directories.
    ///
    /// # Errors
    /// When the patterns cost more than the budget allows.
    pub(crate) fn new(
        patterns: impl IntoIterator<Item: AsRef<str>>,
        budget: &mut Budget,
    ) -> Result<Self, FsError> {
        let (mut globs, mut of_directories) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let (pattern, globs) = match pattern.strip_suffix('/') {
                Some(pattern) => (pattern, &mut of_directories),
                None => (pattern, &mut globs),
            };
            globs.push(Glob::new(pattern, Depth::Any, budget)?);
            // `minimatch` takes a pattern that begins with # for a comment, which is never meant for a name.
            if pattern.contains('/') && !pattern.contains('*') || pattern.starts_with('#') {
                globs.push(Glob::new(&format!("**/{pattern}"), Depth::Top, budget)?);
            }
        }
        Ok(Self { globs, of_directories, knows_contents: true })
    }

    /// The rules of the reference's `search_files`: each pattern as it is written.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    fn of_reference_search(
        patterns: impl IntoIterator<Item: AsRef<str>>,
        budget: &mut Budget,
    ) -> Result<Self, FsError> {
        let globs: Result<Vec<Glob>, FsError> =
            patterns.into_iter().map(|pattern| Glob::new(pattern.as_ref(), Depth::Top, budget)).collect();
        Ok(Self { globs: globs?, of_directories: Vec::new(), knows_contents: false })
    }

    /// The rules of the reference's `directory_tree`: a pattern without a star is also a name at any depth, with all
    /// below it.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    fn of_reference_tree(
        patterns: impl IntoIterator<Item: AsRef<str>>,
        budget: &mut Budget,
    ) -> Result<Self, FsError> {
        let mut globs = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            globs.push(Glob::new(pattern, Depth::Top, budget)?);
            if !pattern.contains('*') {
                globs.push(Glob::new(&format!("**/{pattern}"), Depth::Top, budget)?);
                globs.push(Glob::new(&format!("**/{pattern}/**"), Depth::Top, budget)?);
            }
        }
        Ok(Self { globs, of_directories: Vec::new(), knows_contents: false })
    }

    /// The patterns of `search_files`.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    pub(crate) fn of_search(
        patterns: impl IntoIterator<Item: AsRef<str>>,
        compat: Compat,
        budget: &mut Budget,
    ) -> Result<Self, FsError> {
        match compat {
            Compat::Default => Self::new(patterns, budget),
            Compat::Reference => Self::of_reference_search(patterns, budget),
        }
    }

    /// The patterns of `directory_tree`.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    pub(crate) fn of_tree(
        patterns: impl IntoIterator<Item: AsRef<str>>,
        compat: Compat,
        budget: &mut Budget,
    ) -> Result<Self, FsError> {
        match compat {
            Compat::Default => Self::new(patterns, budget),
            Compat::Reference => Self::of_reference_tree(patterns, budget),
        }
    }

    /// Tells whether an entry is excluded, with all below it.
    pub(crate) fn match_entry(&self, path: &GlobPath, is_directory: bool, steps: &Steps) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path, steps));
        matches(&self.globs) || is_directory && matches(&self.of_directories)
    }

    /// Tells whether all that is in a directory is excluded, so that the directory need not be opened.
    pub(crate) fn match_contents(&self, path: &GlobPath, steps: &Steps) -> bool {
        self.knows_contents && self.globs.iter().any(|glob| glob.matches_all_below(path, steps))
    }
}
