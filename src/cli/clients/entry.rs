//! What one entry says: how a client starts or reaches mcpool, in the form of that client.

use super::servers::ServerEntry;

/// How a client reaches a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// It starts this program, with these arguments.
    Command(Vec<String>),
    /// It asks this URL.
    Url(String),
}

/// How a client writes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `command` and `args`; a URL under this key, if the client speaks HTTP.
    Plain {
        /// The key of the URL.
        url: Option<&'static str>,
    },
    /// The same, with a `type`: `stdio` or `http`.
    Typed,
    /// `type` is `local` or `remote`, `command` is one list, and `enabled` has to be there.
    Listed,
}

impl Shape {
    /// Whether an entry can be a URL.
    pub(super) fn takes_url(self) -> bool {
        self != Self::Plain { url: None }
    }
}

/// The members that say how a server is reached.
const REACHING: [&str; 6] = ["type", "command", "args", "url", "httpUrl", "serverUrl"];
/// Members for a server that is started: clients refuse them beside a URL, Codex with its whole file.
const OF_COMMANDS: [&str; 5] = ["cwd", "env", "environment", "envFile", "env_vars"];
/// Members for a server that is asked.
const OF_URLS: [&str; 6] =
    ["headers", "http_headers", "env_http_headers", "bearer_token_env_var", "oauth", "oauth_resource"];

/// Whether a member belongs to another way to reach a server than these say. All others are the user's own, and stay.
pub(super) fn is_of_other_way(key: &str, fields: &[Field]) -> bool {
    let is_command = fields.iter().any(|field| field.key == "command");
    let others = if is_command { &OF_URLS[..] } else { &OF_COMMANDS[..] };
    others.contains(&key) || REACHING.contains(&key) && fields.iter().all(|field| field.key != key)
}

/// One member of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) value: FieldValue,
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldValue {
    Text(String),
    List(Vec<String>),
    /// `true`, unless the user set it.
    UnlessSet,
}

impl FieldValue {
    /// Whether a member of a file has this value.
    pub(super) fn is(&self, found: Option<&serde_json::Value>) -> bool {
        match (self, found) {
            (_, None) => false,
            (Self::Text(text), Some(found)) => found.as_str() == Some(text),
            (Self::List(list), Some(found)) => found.as_array().is_some_and(|items| {
                items.len() == list.len()
                    && items.iter().zip(list).all(|(item, text)| item.as_str() == Some(text))
            }),
            (Self::UnlessSet, Some(_)) => true,
        }
    }

    /// Whether a value of a file is what is written where there was none.
    pub(super) fn is_as_written(&self, found: &serde_json::Value) -> bool {
        match self {
            Self::UnlessSet => found == &serde_json::Value::Bool(true),
            Self::Text(_) | Self::List(_) => self.is(Some(found)),
        }
    }
}

fn text(key: &'static str, text: &str) -> Field {
    Field { key, value: FieldValue::Text(text.to_owned()) }
}

fn list(key: &'static str, list: &[String]) -> Field {
    Field { key, value: FieldValue::List(list.to_vec()) }
}

impl Reach {
    /// The members of the entry, in the order in which they are written.
    pub(super) fn fields(&self, shape: Shape) -> Vec<Field> {
        let enabled = Field { key: "enabled", value: FieldValue::UnlessSet };
        match (self, shape) {
            (Self::Command(words), Shape::Listed) => {
                vec![text("type", "local"), list("command", words), enabled]
            }
            (Self::Url(url), Shape::Listed) => vec![text("type", "remote"), text("url", url), enabled],
            (Self::Command(words), shape) => {
                let (program, arguments) =
                    words.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
                let typed = (shape == Shape::Typed).then(|| text("type", "stdio"));
                typed.into_iter().chain([text("command", program), list("args", arguments)]).collect()
            }
            (Self::Url(url), Shape::Typed) => vec![text("type", "http"), text("url", url)],
            (Self::Url(address), Shape::Plain { url }) => vec![text(url.unwrap_or("url"), address)],
        }
    }

    /// What an entry of a file says, if it says one of both.
    pub(super) fn of(entry: &ServerEntry) -> Option<Self> {
        let words = entry.command();
        if !words.is_empty() {
            return Some(Self::Command(words.into_iter().map(str::to_owned).collect()));
        }
        entry.url.clone().map(Self::Url)
    }

    /// Whether a member is one of those that are written.
    pub(super) fn has_key(key: &str) -> bool {
        REACHING.contains(&key)
    }

    /// Whether it starts mcpool, or asks a server of this machine. Who wrote an entry is not written in it: strict
    /// clients allow no member of ours.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Command(words) => match words.split_first() {
                None => false,
                Some((program, arguments)) if RUNNERS.contains(&stem(program)) => {
                    arguments.iter().any(|word| word == PROGRAM || word.starts_with("mcpool@"))
                }
                Some((program, arguments)) => {
                    let is_command = |word: &String| matches!(word.as_str(), "serve" | "connect");
                    let starts = |pair: &[String]| is_mcpool(&pair[0]) && is_command(&pair[1]);
                    is_mcpool(program) || arguments.windows(2).any(starts)
                }
            },
            Self::Url(url) => is_of_this_machine(url),
        }
    }

    /// In one line, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Command(words) => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
            Self::Url(url) => url.clone(),
        }
    }
}

/// The name of this program.
const PROGRAM: &str = "mcpool";
/// Programs that run a package by its name.
const RUNNERS: [&str; 6] = ["npx", "uvx", "bunx", "pnpx", "uv", "pipx"];

/// Whether a program is this one, perhaps under another name, or one of a version or build, as `mcpool-0.1`.
fn is_mcpool(program: &str) -> bool {
    let stem = stem(program);
    let is_suffix = |rest: &str| !rest.starts_with(char::is_alphabetic);
    let this = std::env::current_exe();
    stem.strip_prefix(PROGRAM).is_some_and(is_suffix)
        || this.is_ok_and(|this| this.file_name().is_some_and(|name| name == stem))
}

/// The name of a program without folders and without the ending that Windows needs.
fn stem(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    [".exe", ".cmd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn is_of_this_machine(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=,@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    shlex::try_quote(word).map_or_else(|_| format!("{word:?}"), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Reach {
        Reach::Command(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_client_has_its_own_form() {
        let keys =
            |reach: &Reach, shape| reach.fields(shape).iter().map(|field| field.key).collect::<Vec<_>>();
        let (started, asked) = (command(&["m", "serve"]), Reach::Url("http://h".to_owned()));
        let gemini = Shape::Plain { url: Some("httpUrl") };
        assert_eq!(keys(&started, gemini), ["command", "args"]);
        assert_eq!(keys(&asked, gemini), ["httpUrl"]);
        assert_eq!(keys(&started, Shape::Typed), ["type", "command", "args"]);
        assert_eq!(keys(&asked, Shape::Typed), ["type", "url"]);
        assert_eq!(keys(&started, Shape::Listed), ["type", "command", "enabled"]);
        assert_eq!(keys(&asked, Shape::Listed), ["type", "url", "enabled"]);
        assert!(!Shape::Plain { url: None }.takes_url());
    }

    #[test]
    fn mcpool_is_known_however_it_is_started() {
        for (reach, want) in [
            (command(&["mcpool", "serve", "/a"]), true),
            (command(&["/opt/x/bin/mcpool"]), true),
            (command(&[r"C:\Program Files\mcpool.exe", "serve"]), true),
            (command(&["mcpool-connect", "unix:/a"]), true),
            (command(&["npx", "-y", "mcpool", "serve"]), true),
            (command(&["npx.cmd", "-y", "mcpool@0.1.0"]), true),
            (command(&["npx", "-y", "@modelcontextprotocol/server-filesystem", "/mcpool"]), false),
            (command(&["/opt/mcpool/other"]), false),
            (command(&["mcpool2"]), true),
            (command(&["mcpool-0.1.0", "serve"]), true),
            (command(&["docker", "run", "-i", "mcpool", "serve"]), true),
            (command(&["mcpooler"]), false),
            (command(&["node", "pool.js", "mcpool"]), false),
            (command(&[]), false),
            (Reach::Url("http://127.0.0.1:8000/mcp".to_owned()), true),
            (Reach::Url("http://[::1]:8000/mcp".to_owned()), true),
            (Reach::Url("https://localhost/mcp".to_owned()), true),
            (Reach::Url("https://localhost.example/mcp".to_owned()), false),
            (Reach::Url("https://mcp.example:8000".to_owned()), false),
        ] {
            assert_eq!(reach.is_ours(), want, "{reach:?}");
        }
        assert_eq!(command(&["a b", "c,d", ""]).shown(), "'a b' c,d ''");
    }
}
