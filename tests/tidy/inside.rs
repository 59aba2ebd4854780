//! Which part of a room may use which: the same law as between rooms, one step further in.

use crate::house::Use;
use crate::source::Breach;

/// A room that is divided. Its lines stand from the top down; a part uses the lines below its own, never its own
/// line. `*` stands for all parts that no line names.
struct Divided {
    folder: &'static str,
    lines: &'static [&'static [&'static str]],
}

const DIVIDED: [Divided; 3] = [
    Divided {
        folder: "src/server/",
        lines: &[
            &["server", "builder"],
            &["serving"],
            &["handler"],
            &["incoming"],
            &["shared"],
            &["answer"],
            &["state"],
        ],
    },
    Divided { folder: "src/transport/http/", lines: &[&["*"], &["codec"]] },
    Divided {
        folder: "src/tools/filesystem/",
        lines: &[&["*"], &["as_node"], &["sandbox", "text_edit"], &["arguments", "error"], &["compat"]],
    },
];
/// Folders that use nothing of the room around them, by folder and room.
const APART: [(&str, &str); 2] = [
    ("src/transport/http/codec/", "src/transport/"),
    ("src/tools/filesystem/as_node/", "src/tools/filesystem/sandbox/"),
];
/// Pairs of files of the same part that the law of parts says nothing about: the face of the server is one part.
const FACE: [&str; 2] = ["server", "builder"];

/// The uses inside a room that do not lead downwards.
pub(crate) fn upwards(uses: &[Use]) -> Vec<Breach> {
    uses.iter().filter_map(fault).collect()
}

fn fault(used: &Use) -> Option<Breach> {
    let breach = |why: String| {
        let fault = format!("`{}` of {}: {why}", used.path, used.to);
        Some(Breach::new(&used.from, used.line, fault))
    };
    for (folder, room) in APART {
        if used.from.starts_with(folder) && used.to.starts_with(room) && !used.to.starts_with(folder) {
            return breach(format!("{folder} uses nothing of {room}"));
        }
    }
    for room in &DIVIDED {
        let Some((from, to)) = part(&used.from, room.folder).zip(part(&used.to, room.folder)) else {
            continue;
        };
        if from == to || FACE.contains(&from) && FACE.contains(&to) {
            continue;
        }
        match (line(from, room.lines), line(to, room.lines)) {
            (Some(above), Some(below)) if above < below => {}
            // All parts that no line names are one.
            (Some(above), Some(below)) if above == below && !named(from, room) && !named(to, room) => {}
            (Some(_), Some(_)) => return breach(format!("`{from}` may not use `{to}`: it is not below it")),
            _ => return breach(format!("`{from}` or `{to}` has no line in tests/tidy/inside.rs")),
        }
    }
    None
}

fn named(part: &str, room: &Divided) -> bool {
    room.lines.iter().any(|line| line.contains(&part))
}

/// The first name below `folder`, of a file or of a folder.
fn part<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let inside = path.strip_prefix(folder)?;
    Some(inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs"))
}

fn line(part: &str, lines: &[&[&str]]) -> Option<usize> {
    let named = lines.iter().position(|line| line.contains(&part));
    named.or_else(|| lines.iter().position(|line| line.contains(&"*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, to: &str) -> Vec<String> {
        let used = Use { from: from.to_owned(), to: to.to_owned(), line: 3, path: "X".to_owned() };
        upwards(&[used]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_use_upwards_or_sideways_is_found() {
        assert_eq!(
            found("src/server/state/session.rs", "src/server/answer/content.rs"),
            [
                "src/server/state/session.rs:3: `X` of src/server/answer/content.rs: `state` may not use `answer`: \
              it is not below it"
            ]
        );
        for (from, to) in [
            ("src/server/shared.rs", "src/server/handler/tool.rs"),
            ("src/server/handler/tool.rs", "src/server/serving/slot.rs"),
            ("src/server/serving/slot.rs", "src/server/server.rs"),
            ("src/server/state/session.rs", "src/server/attic.rs"),
            ("src/transport/http/codec/head.rs", "src/transport/http/work.rs"),
            ("src/transport/http/codec/head.rs", "src/transport/outbox.rs"),
            ("src/tools/filesystem/sandbox/roots.rs", "src/tools/filesystem/read.rs"),
            ("src/tools/filesystem/as_node/glob.rs", "src/tools/filesystem/sandbox/roots.rs"),
        ] {
            assert_eq!(found(from, to).len(), 1, "{from} {to}");
        }
    }

    #[test]
    fn a_use_downwards_or_of_the_own_part_is_free() {
        for (from, to) in [
            ("src/server/builder.rs", "src/server/server.rs"),
            ("src/server/serving/slot.rs", "src/server/state/session.rs"),
            ("src/server/state/session.rs", "src/server/state/sessions.rs"),
            ("src/transport/http/work.rs", "src/transport/http/stream.rs"),
            ("src/transport/http/work.rs", "src/transport/http/codec/head.rs"),
            ("src/transport/http/codec/head.rs", "src/transport/http/codec/words.rs"),
            ("src/transport/http/codec/head.rs", "src/wire/scan.rs"),
            ("src/tools/filesystem/read.rs", "src/tools/filesystem/sandbox/roots.rs"),
            ("src/tools/filesystem/read.rs", "src/server/state/session.rs"),
        ] {
            assert_eq!(found(from, to), [""; 0], "{from} {to}");
        }
    }
}
