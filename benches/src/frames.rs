//! The frames that the benches of `wire` run on, made the same way each time.

use std::fmt::Write;

/// Bytes of the large ones.
pub const LARGE_BYTES: usize = 1 << 20;

/// A frame that calls a tool: with what name it is reported, and its bytes.
#[derive(Debug)]
pub struct NamedFrame {
    /// What it is.
    pub name: &'static str,
    /// The message, without its newline.
    pub bytes: Vec<u8>,
}

fn call(tool: &str, arguments: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":17}}}}}}"#
    )
    .into_bytes()
}

/// A short text, no escapes: 400 bytes.
pub fn echo() -> NamedFrame {
    let text = "the quick brown fox jumps over the lazy dog; ".repeat(5);
    let arguments = format!(r#"{{"path":"src/wire/lexer.rs","text":"{text}","line":118,"dry_run":false}}"#);
    NamedFrame { name: "tools/call 400 B", bytes: call("echo_text", &arguments) }
}

/// Nested arguments with escapes: a list of edits, 1.7 KiB.
pub fn edits() -> NamedFrame {
    let mut list = String::new();
    for number in 0..8 {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"from":"    let value_{number} = \"before\";\n    call(value_{number});\n","to":"    let value_{number} = \"behind\";\n\n    call(&value_{number});\n","range":{{"start":{},"end":{}}},"all":{}}}"#,
            number * 120,
            number * 120 + 44,
            number % 2 == 0
        );
    }
    let arguments = format!(r#"{{"path":"src\/server\/serve.rs","edits":[{list}],"dry_run":true}}"#);
    NamedFrame { name: "nested 1.7 KiB", bytes: call("edit_file", &arguments) }
}

/// One long string without escapes: 1 MiB.
pub fn plain() -> NamedFrame {
    let text = "Lorem ipsum dolor sit amet, consectetur adipiscing elit. ".repeat(LARGE_BYTES / 57);
    let arguments = format!(r#"{{"path":"a.txt","text":"{text}"}}"#);
    NamedFrame { name: "plain 1 MiB", bytes: call("write_file", &arguments) }
}

/// Source code as one string, an escape every 20 to 40 bytes: 1 MiB.
pub fn source() -> NamedFrame {
    const LINES: &str = concat!(
        r"    let Some(value) = arguments.first() else {\n        return Err(missing(name, place));\n    };\n",
        r"\tif value.is_empty() && !is_optional {\n        continue 'members;\n    }\n    total += value.len() * 2;\n",
        r#"    writeln!(out, \"{total} bytes in {number} members\")?;\n    // The rest is walked over when asked for.\n"#,
    );
    let text = LINES.repeat(LARGE_BYTES / LINES.len());
    let arguments = format!(r#"{{"path":"a.rs","text":"{text}"}}"#);
    NamedFrame { name: "escaped source 1 MiB", bytes: call("write_file", &arguments) }
}

/// An array of small objects: 1 MiB.
pub fn objects() -> NamedFrame {
    let mut list = String::new();
    for number in 0_usize.. {
        if list.len() >= LARGE_BYTES {
            break;
        }
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"id":{number},"name":"entry {number}","size":{},"is_dir":{},"tags":["a","b"]}}"#,
            number * 37 % 10_000,
            number % 3 == 0
        );
    }
    NamedFrame {
        name: "small objects 1 MiB",
        bytes: call("put_entries", &format!(r#"{{"entries":[{list}]}}"#)),
    }
}
