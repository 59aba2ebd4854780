//! The rules of the house, held by a test each, so that a review need not look for them.
//!
//! Each rule is a function from a parsed file to its [`Breach`]es, and has a test of its own that shows it
//! firing on a sample: a rule that stopped seeing anything would fail there. The order of the rooms is the
//! table in [`directions`]; a new room fails until it has a line in it.

#[path = "tidy/book.rs"]
mod book;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/dialect.rs"]
mod dialect;
#[path = "tidy/directions.rs"]
mod directions;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/face.rs"]
mod face;
#[path = "tidy/figures.rs"]
mod figures;
#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/inside.rs"]
mod inside;
#[path = "tidy/invariants.rs"]
mod invariants;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use source::{Breach, Source, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What looks at one file.
type Rule = fn(&Source) -> Vec<Breach>;

const RULES: [(&str, Rule); 13] = [
    ("pools", directions::pools),
    ("long file", shape::long_file),
    ("long functions", shape::long_functions),
    ("parameters", shape::many_parameters),
    ("first sentence", shape::first_sentence),
    ("dialect", dialect::dialect),
    ("empty name", shape::empty_name),
    ("undocumented", shape::undocumented),
    ("unstated", invariants::unstated),
    ("unfinished", words::unfinished),
    ("ignored", words::ignored),
    ("type names", words::type_names),
    ("getters", words::getters),
];

/// All breaches of the workspace by rule: read and parsed once, as that takes longer than all rules together.
static FOUND: LazyLock<BTreeMap<&str, Vec<Breach>>> = LazyLock::new(|| {
    let tree = Tree::load();
    let sources = &tree.sources;
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    let names = directions::Names::of(sources);
    let mut found: BTreeMap<&str, Vec<Breach>> =
        RULES.iter().map(|(name, rule)| (*name, sources.iter().flat_map(rule).collect())).collect();
    found.insert("rooms", sources.iter().flat_map(|source| directions::rooms(source, &names)).collect());
    let uses = house::House::of(sources).uses();
    found.insert("parts", inside::upwards(&uses));
    found.insert("circles", circles::circles(&uses));
    let all = |root: &str| {
        sources.iter().find(|source| source.path == root).map(face::exported).unwrap_or_default()
    };
    let roots: BTreeMap<&str, BTreeMap<String, BTreeSet<String>>> =
        [("mcpool", "src/lib.rs"), ("mcpool-pools", "pools/src/lib.rs")]
            .map(|(name, root)| (name, all(root)))
            .into();
    let exported: BTreeMap<&str, BTreeSet<String>> =
        roots.iter().map(|(name, modules)| (*name, modules.values().flatten().cloned().collect())).collect();
    let none = BTreeSet::new();
    let lacking = sources
        .iter()
        .flat_map(|source| face::without_example(source, exported.get(&*source.package).unwrap_or(&none)));
    found.insert("examples", lacking.collect());
    found.insert("orphans", shape::orphans(&tree.files, sources));
    found
});

/// Fails with all that breaks `rule`.
#[track_caller]
fn hold(rule: &str) {
    report(&FOUND[rule]);
}

#[track_caller]
fn report(breaches: &[Breach]) {
    let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} to tidy:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    hold("rooms");
}

#[test]
fn pools_know_no_runtime_no_json_and_no_protocol() {
    hold("pools");
}

#[test]
fn no_file_is_over_800_lines() {
    hold("long file");
}

#[test]
fn no_function_is_over_60_lines() {
    hold("long functions");
}

#[test]
fn no_function_takes_more_than_5_parameters() {
    hold("parameters");
}

#[test]
fn parts_of_a_room_use_only_the_parts_below_them() {
    hold("parts");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    hold("circles");
}

#[test]
fn each_public_name_has_an_example() {
    hold("examples");
}

#[test]
fn the_root_has_few_names_and_each_has_one_path() {
    let tree = Tree::load();
    let root = tree.sources.iter().find(|source| source.path == "src/lib.rs").expect("the root");
    let exported = face::exported(root);
    let at_root = exported[""].len();
    assert!(at_root <= face::MAX_ROOT_NAMES, "{at_root} names: put some into a module of their subject");
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (module, names) in &exported {
        for name in names {
            paths.entry(name).or_default().push(module);
        }
    }
    paths.retain(|_, modules| modules.len() > 1);
    assert!(paths.is_empty(), "names with several paths: {paths:?}");
}

#[test]
fn each_module_opens_with_a_plain_sentence() {
    hold("first sentence");
}

#[test]
fn names_and_comments_are_plain() {
    hold("dialect");
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    hold("empty name");
}

#[test]
fn each_module_says_what_it_owns() {
    hold("undocumented");
}

#[test]
fn each_source_file_is_named_by_a_mod() {
    hold("orphans");
}

#[test]
fn each_panic_outside_tests_states_its_invariant() {
    hold("unstated");
}

#[test]
fn nothing_is_left_to_do() {
    hold("unfinished");
}

#[test]
fn no_test_is_ignored() {
    hold("ignored");
}

#[test]
fn no_type_is_a_manager_or_a_monitor() {
    hold("type names");
}

#[test]
fn no_function_is_a_getter() {
    hold("getters");
}

#[test]
fn each_figure_stands_beside_its_command() {
    let root = source::root();
    let documents = ["README.md", "ARCHITECTURE.md", "benches/RESULTS.md", "docs/src/figures.md"];
    let breaches = documents.iter().filter_map(|path| {
        let text = std::fs::read_to_string(root.join(path)).ok()?; // a document not yet written has no figures
        Some(figures::without_command(path, &text))
    });
    report(&breaches.flatten().collect::<Vec<_>>());
}

#[test]
fn each_file_that_a_document_names_is_there() {
    let root = source::root();
    let breaches = ["README.md", "ARCHITECTURE.md", "SECURITY.md"].iter().flat_map(|path| {
        let text = std::fs::read_to_string(root.join(path)).expect("a document");
        documents::missing_files(path, &text, &root)
    });
    report(&breaches.collect::<Vec<_>>());
}

#[test]
fn each_file_that_the_guide_and_the_examples_name_is_there() {
    let root = source::root();
    let index = std::fs::read_to_string(root.join("examples/README.md")).expect("the index");
    let mut breaches = documents::missing_files("examples/README.md", &index, &root);
    for (path, text) in book::Book::load(&root).chapters() {
        breaches.extend(documents::missing_files(&path, text, &root));
    }
    report(&breaches);
}

#[test]
fn each_chapter_of_the_guide_is_listed_and_its_code_tested() {
    let root = source::root();
    let book = book::Book::load(&root);
    report(&book.unlisted());
    let guide = std::fs::read_to_string(root.join("docs/guide.rs")).expect("the crate of the guide");
    report(&book.untested(&guide));
}

#[test]
fn the_server_of_the_guide_is_no_longer_than_the_same_on_rmcp() {
    let root = source::root();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file");
    let blocks = book::rust_blocks(&read("docs/src/from_rmcp.md"));
    let [theirs, ours] = &blocks[..] else { panic!("{} servers", blocks.len()) };
    // Theirs is compiled as a program, ours as part of the guide.
    let compiled = read("benches/src/bin/rmcp_tools.rs");
    let program: Vec<&str> =
        compiled.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).collect();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), program, "the guide shows another program");
    for name in ["echo", "add", "visit"] {
        assert!(ours.contains(&format!("fn {name}")) && theirs.contains(&format!("fn {name}")), "{name}");
    }
    assert!(book::lines(ours) <= book::lines(theirs), "{} and {}", book::lines(ours), book::lines(theirs));
}

#[test]
fn each_link_of_the_guide_leads_somewhere() {
    let root = source::root();
    report(&book::Book::load(&root).dead_links(&root));
}

#[test]
fn each_message_that_the_guide_explains_is_in_the_program() {
    let root = source::root();
    let sources = book::sources(&root);
    let breaches: Vec<Breach> = book::Book::load(&root)
        .chapters()
        .flat_map(|(path, text)| book::unknown_messages(&path, text, &sources))
        .collect();
    report(&breaches);
}
