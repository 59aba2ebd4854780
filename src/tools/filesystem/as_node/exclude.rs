//! Patterns that leave entries out of a search or a tree, and whatever is below them.

use super::budget::{Budget, Steps};
use super::glob::{Depth, Glob, GlobPath};
use crate::tools::filesystem::Compat;
use crate::tools::filesystem::error::FsError;
use crate::tools::filesystem::sandbox::listing::Kind;

/// What is left out.
#[derive(Debug)]
pub(crate) struct Exclusions {
    globs: Vec<Glob>,
    /// Those that leave out directories only.
    of_directories: Vec<Glob>,
    /// What only has its contents left out is not opened.
    knows_contents: bool,
}

impl Exclusions {
    /// The exclusions of either tool: a pattern without a slash is a name at any depth, and one without a star
    /// may begin at any depth. With a slash behind it it leaves out directories only.
    ///
    /// # Errors
    /// When the patterns cost more than the budget has.
    pub(crate) fn new(patterns: &[&str], budget: &mut Budget) -> Result<Self, FsError> {
        let (mut globs, mut of_directories) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let (pattern, globs) = match pattern.strip_suffix('/') {
                Some(pattern) => (pattern, &mut of_directories),
                None => (*pattern, &mut globs),
            };
            globs.push(Glob::new(pattern, Depth::Any, budget)?);
            // A pattern that begins with # is a comment, which no name is meant to be.
            if pattern.contains('/') && !pattern.contains('*') || pattern.starts_with('#') {
                globs.push(Glob::new(&format!("**/{pattern}"), Depth::Top, budget)?);
            }
        }
        Ok(Self { globs, of_directories, knows_contents: true })
    }

    /// Those of the reference's `search_files`: each as it is written.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    fn of_reference_search(patterns: &[&str], budget: &mut Budget) -> Result<Self, FsError> {
        let globs: Result<Vec<Glob>, FsError> =
            patterns.iter().map(|pattern| Glob::new(pattern, Depth::Top, budget)).collect();
        Ok(Self { globs: globs?, of_directories: Vec::new(), knows_contents: false })
    }

    /// Those of the reference's `directory_tree`: where a pattern has no star, also as a name at any depth and
    /// all below it.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    fn of_reference_tree(patterns: &[&str], budget: &mut Budget) -> Result<Self, FsError> {
        let mut globs = Vec::new();
        for pattern in patterns {
            globs.push(Glob::new(pattern, Depth::Top, budget)?);
            if !pattern.contains('*') {
                globs.push(Glob::new(&format!("**/{pattern}"), Depth::Top, budget)?);
                globs.push(Glob::new(&format!("**/{pattern}/**"), Depth::Top, budget)?);
            }
        }
        Ok(Self { globs, of_directories: Vec::new(), knows_contents: false })
    }

    /// Those of `search_files`.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    pub(crate) fn of_search(patterns: &[&str], compat: Compat, budget: &mut Budget) -> Result<Self, FsError> {
        match compat {
            Compat::Default => Self::new(patterns, budget),
            Compat::Reference => Self::of_reference_search(patterns, budget),
        }
    }

    /// Those of `directory_tree`.
    ///
    /// # Errors
    /// As for [`Exclusions::new`].
    pub(crate) fn of_tree(patterns: &[&str], compat: Compat, budget: &mut Budget) -> Result<Self, FsError> {
        match compat {
            Compat::Default => Self::new(patterns, budget),
            Compat::Reference => Self::of_reference_tree(patterns, budget),
        }
    }

    /// Whether an entry is left out, with all below it.
    pub(crate) fn match_entry(&self, path: &GlobPath, kind: Kind, steps: &Steps) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path, steps));
        matches(&self.globs) || kind == Kind::Directory && matches(&self.of_directories)
    }

    /// Whether nothing that is in a directory would be shown, so that it need not be opened.
    pub(crate) fn match_contents(&self, path: &GlobPath, steps: &Steps) -> bool {
        self.knows_contents && self.globs.iter().any(|glob| glob.matches_all_below(path, steps))
    }
}
