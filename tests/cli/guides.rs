//! The commands that the documents show: each subcommand and each option is one of the program.

use super::run;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The documents for users.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapters = std::fs::read_dir(root.join("docs/src")).expect("the guide");
    let chapters = chapters.map(|entry| entry.expect("an entry").path());
    let mut documents: Vec<PathBuf> =
        chapters.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    documents.extend(["README.md", "examples/deploy/README.md"].map(|path| root.join(path)));
    documents
}

/// The lines of a document that could be commands: those of its shell blocks, one where they go on, and its code spans.
fn lines(markdown: &str) -> Vec<String> {
    let (mut lines, mut in_shell) = (Vec::new(), false);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => in_shell = &*language == "sh",
            Event::End(TagEnd::CodeBlock) => in_shell = false,
            Event::Text(text) if in_shell => {
                lines.extend(text.replace("\\\n", " ").lines().map(str::to_owned));
            }
            Event::Code(code) => lines.push(code.into_string()),
            _ => {}
        }
    }
    lines
}

/// The words behind `mcpool`, if a line runs it; up to the end of the command, and to a `--` behind which another command
/// stands.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let words = shlex::split(line)?;
    let words = words.into_iter().skip_while(|word| word.contains('=') && !word.starts_with('-'));
    let mut words = words.take_while(|word| !matches!(&**word, "|" | "&&" | "&" | ">" | "--" | "..."));
    (words.next()? == "mcpool").then(|| words.collect())
}

/// What a document shows that the program does not have.
fn unknown(words: &[String], help: &mut impl FnMut(&[&str]) -> Option<String>) -> Option<String> {
    let names: Vec<&str> =
        words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    let Some(name) = names.first() else {
        let own = help(&[])?;
        return words.iter().find(|word| !has_option(&own, word)).cloned();
    };
    let Some(mut known) = help(&[name]) else { return Some((*name).to_owned()) };
    if let Some(below) = names.get(1).and_then(|below| help(&[name, below])) {
        known = format!("{known}\n{below}");
    }
    words.iter().filter(|word| word.starts_with('-')).find(|word| !has_option(&known, word)).cloned()
}

/// Whether a help text has the option that a word of a command is.
fn has_option(help: &str, word: &str) -> bool {
    let option = word.split('=').next().unwrap_or_default();
    let ends = |sign: char| !(sign.is_ascii_alphanumeric() || sign == '-');
    help.split(ends).any(|known| known == option)
}

/// The help of a command, if there is such a command.
fn help_of(command: &[&str]) -> Option<String> {
    let shown = run(&[command, &["--help"]].concat());
    // Behind a command without commands of its own, its help is the same.
    let usage = command.iter().fold("Usage: mcpool".to_owned(), |usage, name| format!("{usage} {name}"));
    (shown.code == Some(0) && shown.stdout.contains(&usage)).then_some(shown.stdout)
}

#[test]
fn each_option_that_a_document_shows_is_one_of_the_program() {
    let mut helps: HashMap<String, Option<String>> = HashMap::new();
    let mut help =
        |command: &[&str]| helps.entry(command.join(" ")).or_insert_with(|| help_of(command)).clone();
    let (mut faults, mut commands) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a document");
        for line in lines(&text) {
            let Some(words) = words(&line) else { continue };
            commands += 1;
            if let Some(fault) = unknown(&words, &mut help) {
                faults.push(format!("{}: there is no `{fault}` in `{line}`", document.display()));
            }
        }
    }
    assert!(commands > 50, "only {commands} commands were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_option_that_is_not_there_is_found() {
    let mut help = |command: &[&str]| match command {
        [] => Some("Options:\n  -V, --version".to_owned()),
        ["serve"] => Some("Options:\n      --http <ADDR:PORT>\n  -r, --repository <PATH>".to_owned()),
        ["report"] => Some("Commands:\n  diff\nOptions:\n --json".to_owned()),
        ["report", "diff"] => Some("--least <SIZE>".to_owned()),
        _ => None,
    };
    let cases = [
        ("mcpool serve --http 127.0.0.1:8000 -r x ~/projects  # --none", None),
        ("A=1 mcpool serve --https x | grep --http", Some("--https")),
        ("mcpool serve --http=x -- other --option", None),
        ("mcpool report diff --least 1 a b", None),
        ("mcpool report --least 1", Some("--least")),
        ("mcpool sevre --http x", Some("sevre")),
        ("mcpool --version", None),
        ("mcpool --verzion", Some("--verzion")),
    ];
    for (line, fault) in cases {
        let words = words(line).expect("a command");
        assert_eq!(unknown(&words, &mut help).as_deref(), fault, "{line}");
    }
    for line in ["docker run mcpool serve --none", "mcpool-connect --none", "echo 'open"] {
        assert_eq!(words(line), None, "{line}");
    }
}
