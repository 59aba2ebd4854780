//! Which files there are, how they hang together, and what they say: the input of every rule.
//!
//! Cargo names the crate roots and the `mod` lines of each file name the next, so a file nobody names is known
//! to be an orphan and a file below `#[cfg(test)]` is known to be a test. It must not know any rule.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token};
use walkdir::WalkDir;

/// One line that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    place: String,
    fault: String,
}

impl Breach {
    pub(crate) fn new(path: &str, line: usize, fault: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), fault: fault.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// One file, parsed.
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: String,
    pub(crate) package: String,
    /// Its module inside its crate; empty for a crate root.
    pub(crate) module: Vec<String>,
    /// Compiled for tests, benches or examples only.
    pub(crate) test: bool,
    pub(crate) text: String,
    pub(crate) file: syn::File,
    pub(crate) tokens: TokenStream,
}

impl Source {
    fn parse(path: String, package: &str, module: Vec<String>, test: bool, code: String) -> Self {
        let tokens: TokenStream = code.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = syn::parse2(tokens.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path, package: package.to_owned(), module, test, text: code, file, tokens }
    }

    /// A file of the package `mcpool` that only a self-test has.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        let inner = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).unwrap_or_default();
        let module = inner.split('/').filter(|name| !matches!(*name, "" | "mod" | "lib" | "main"));
        let module = module.map(str::to_owned).collect();
        Self::parse(path.to_owned(), "mcpool", module, !path.starts_with("src/"), text.to_owned())
    }

    /// Whether it ships to users: the root crate and the pools, without their tests.
    pub(crate) fn ships(&self) -> bool {
        !self.test && matches!(self.package.as_str(), "mcpool" | "mcpool-pools")
    }

    pub(crate) fn breach(&self, line: usize, fault: impl Into<String>) -> Breach {
        Breach::new(&self.path, line, fault)
    }
}

/// The workspace, and the packages beside it.
pub(crate) struct Tree {
    /// Every Rust file, whether or not a crate reaches it.
    pub(crate) files: BTreeSet<String>,
    /// Every file a crate reaches.
    pub(crate) sources: Vec<Source>,
}

impl Tree {
    pub(crate) fn load() -> Self {
        let root = root();
        let (mut files, mut manifests) = (BTreeSet::new(), BTreeSet::new());
        let walk = WalkDir::new(&root).into_iter().filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let skipped = name.starts_with('.') || matches!(&*name, "target" | "node_modules" | "fixtures");
            entry.depth() == 0 || !skipped
        });
        for entry in walk.map(|entry| entry.expect("a readable folder")) {
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                files.insert(relative(&root, entry.path()));
            } else if entry.file_name() == "Cargo.toml" {
                manifests.insert(entry.into_path());
            }
        }
        let mut crates = BTreeMap::new();
        for manifest in &manifests {
            if !crates.contains_key(manifest) {
                crates.extend(packages(manifest));
            }
        }
        let mut sources = BTreeMap::new();
        for root_file in crates.values().flatten() {
            follow(&root, root_file, &mut sources);
        }
        Self { files, sources: sources.into_values().collect() }
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("inside the workspace").to_string_lossy().replace('\\', "/")
}

/// The first file of a crate.
struct CrateRoot {
    package: String,
    path: PathBuf,
    test: bool,
}

/// The packages of the workspace of `manifest`, each with its crates, as cargo sees them.
fn packages(manifest: &Path) -> Vec<(PathBuf, Vec<CrateRoot>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON of cargo");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter().map(|package| {
        let targets = package["targets"].as_array().expect("targets").iter().map(|target| CrateRoot {
            package: text(&package["name"]),
            path: PathBuf::from(text(&target["src_path"])),
            test: matches!(target["kind"][0].as_str(), Some("test" | "bench" | "example")),
        });
        (PathBuf::from(text(&package["manifest_path"])), targets.collect())
    });
    packages.collect()
}

/// A file to be read: what its `mod` line said about it.
struct Next {
    path: PathBuf,
    module: Vec<String>,
    test: bool,
    /// Where the files of its own modules are.
    folder: PathBuf,
}

/// Reads the files of one crate into `sources`. A file that ships and is tested too counts as shipped.
fn follow(root: &Path, crate_root: &CrateRoot, sources: &mut BTreeMap<PathBuf, Source>) {
    let folder = crate_root.path.parent().expect("a folder").to_path_buf();
    let path = crate_root.path.clone();
    let mut left = vec![Next { path, module: Vec::new(), test: crate_root.test, folder }];
    while let Some(next) = left.pop() {
        let text =
            std::fs::read_to_string(&next.path).unwrap_or_else(|e| panic!("{}: {e}", next.path.display()));
        let path = relative(root, &next.path);
        let source = Source::parse(path, &crate_root.package, next.module.clone(), next.test, text);
        modules(&source.file.items, &next, &mut left);
        if sources.get(&next.path).is_none_or(|known| known.test && !source.test) {
            sources.insert(next.path, source);
        }
    }
}

/// The files that the `mod` lines among `items` name. `place` is the file they stand in, or the inline module.
fn modules(items: &[Item], place: &Next, left: &mut Vec<Next>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let name = module.ident.to_string();
        let test = place.test || is_test(&module.attrs);
        let inside = [&place.module[..], std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = &module.content {
            let folder = place.folder.join(&name);
            modules(items, &Next { path: place.path.clone(), module: inside, test, folder }, left);
            continue;
        }
        let (path, folder) = if let Some(path) = path_attribute(&module.attrs) {
            let path = place.path.parent().expect("a folder").join(path);
            (path.clone(), path.parent().expect("a folder").to_path_buf())
        } else {
            let folder = place.folder.join(&name);
            let beside = place.folder.join(format!("{name}.rs"));
            (if beside.exists() { beside } else { folder.join("mod.rs") }, folder)
        };
        left.push(Next { path, module: inside, test, folder });
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else { return None };
    Some(path.value())
}

/// Whether what carries `attributes` exists in tests only.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "test")
            || attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
    })
}

pub(crate) fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
    if list.path.is_ident("all") {
        parts.iter().any(needs_test)
    } else {
        list.path.is_ident("any") && !parts.is_empty() && parts.iter().all(needs_test)
    }
}

/// Calls `visit` with each token and the tokens of its level, at every depth, macros included.
pub(crate) fn each_token(tokens: TokenStream, visit: &mut impl FnMut(&[TokenTree], usize)) {
    let level: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in level.iter().enumerate() {
        visit(&level, index);
        if let TokenTree::Group(group) = token {
            each_token(group.stream(), visit);
        }
    }
}

pub(crate) fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token? {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}

pub(crate) fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// The tokens inside, if `token` is a group in `delimiter`s.
pub(crate) fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<TokenStream> {
    match token? {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

pub(crate) fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(text: &str) -> Vec<Attribute> {
        syn::parse_str::<syn::ItemMod>(&format!("{text} mod sample {{}}")).expect("a module").attrs
    }

    #[test]
    fn tests_are_told_from_code_that_ships() {
        for text in ["#[test]", "#[tokio::test]", "#[cfg(test)]", "#[cfg(all(test, not(loom)))]"] {
            assert!(is_test(&attributes(text)), "{text}");
        }
        for text in ["", "#[cfg(not(test))]", "#[cfg(any(test, unix))]", "#[cfg(loom)]", "#[allow(test)]"] {
            assert!(!is_test(&attributes(text)), "{text}");
        }
    }

    #[test]
    fn the_tree_knows_what_ships_and_what_is_a_test() {
        let tree = Tree::load();
        let find = |path: &str| tree.sources.iter().find(|source| source.path == path).expect("reached");
        assert!(find("src/lib.rs").ships() && find("pools/src/pool.rs").ships());
        assert!(!find("tests/tidy/source.rs").ships() && !find("memtests/src/lib.rs").ships());
        assert_eq!(find("src/wire/lexer.rs").module, ["wire", "lexer"]);
        assert_eq!(find("tests/tidy/source.rs").module, ["source"]);
    }
}
