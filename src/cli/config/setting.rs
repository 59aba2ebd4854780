//! Every setting that is not a limit: where to listen, who has access, which tools are served.
//!
//! One list makes the fields of [`Settings`], the flags, the environment variables and the TOML keys, as `limits` does
//! for the bounds. Does not know where a value came from. Invariant: after [`Settings::validate`], no setting lacks
//! another one that it needs.

use crate::cli::toolsets::{Enabled, ToolsetError};
use crate::tools::filesystem::{ClientRoots, Compat};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Writes the struct and the table from one list, so that none of them can miss a setting.
macro_rules! settings {
    ($( $name:ident: $value:ty, $value_name:literal, $group:ident $(($table:literal))?, $help:literal, $unset:literal; )+) => {
        /// The settings in force, limits aside.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(crate) struct Settings {
            $( #[doc = $help] pub(crate) $name: $value, )+
        }

        impl Setting {
            /// Every setting, in the order in which help and reports show them.
            pub(in crate::cli) const ALL: &'static [Setting] = &[
                $( Setting {
                    name: stringify!($name),
                    shape: <$value as Value>::SHAPE,
                    expected: <$value as Value>::EXPECTED,
                    value_name: $value_name,
                    group: Group::$group $(($table))?,
                    help: $help,
                    unset: $unset,
                    store: |settings, texts| Value::read(texts).map(|value| settings.$name = value),
                    load: |settings| settings.$name.show(),
                }, )+
            ];
        }
    };
}

settings! {
    directories: Vec<PathBuf>, "DIR", Tools,
        "Directories that tools may work in, where the command line names none; nothing outside them can be reached.", "";
    tools: Vec<String>, "NAME", Tools,
        "Toolsets to serve, with commas between them: filesystem, time, thinking, ...; all is all but everything. \
         [default: filesystem]", "";
    only: Vec<String>, "TOOL", Tools,
        "Offer these tools only, of all enabled toolsets. May be repeated.", "";
    except: Vec<String>, "TOOL", Tools,
        "Do not offer these tools. May be repeated.", "";
    prefix: Vec<String>, "[TOOLSET=]TEXT", Tools,
        "Put this before the names of all tools, or of those of one toolset (time=clock_). May be repeated.", "";
    read_only: bool, "BOOL", Tools,
        "Serve only tools that change nothing.", "";
    http: Vec<SocketAddr>, "ADDR:PORT", Listening,
        "Serve Streamable HTTP at this address; port 0 takes a free one. May be repeated.", "";
    unix: Vec<PathBuf>, "PATH", Listening,
        "Serve at this Unix socket, for this user only. May be repeated.", "";
    stdio: Option<bool>, "BOOL", Listening,
        "Serve the process that started this one, over stdin and stdout.",
        "on unless http, unix or a service manager says where to listen";
    reuse_port: bool, "BOOL", Listening,
        "Share the addresses of `--http` with other processes that do so too (`SO_REUSEPORT`).", "";
    tls_cert: Option<PathBuf>, "FILE", Listening,
        "Certificate chain (PEM) that makes `--http` HTTPS; read again when it changes.", "no encryption";
    tls_key: Option<PathBuf>, "FILE", Listening,
        "Key (PEM) of the certificate.", "no encryption";
    admin: Option<String>, "ADDR", Watching,
        "Address for reports and metrics, beside $XDG_RUNTIME_DIR/mcpool/PID.sock, where commands find the server: \
         unix:PATH, 127.0.0.1:PORT, or none to turn both off.",
        "$XDG_RUNTIME_DIR/mcpool/PID.sock alone";
    access_log: Option<PathBuf>, "FILE", Watching,
        "Append a line of JSON to this file for each request: who sent it, method and tool, result, bytes, time; never its \
         arguments. SIGHUP opens it anew. Empty turns it off.", "no file; a few lines a second on stderr, over sockets";
    record: Option<PathBuf>, "FILE", Watching,
        "Write a memory report to this file each `record_interval_ms`, one per line; a full one becomes FILE.1, in the \
         place of the one before. Empty turns it off.", "no record";
    record_traffic: Option<PathBuf>, "FILE", Watching,
        "Write down each request (method, tool, sizes, times, what became of it), for `mcpool load --replay`; \
         of arguments only keys, kinds and lengths. A trace that is there becomes FILE.1, in the place of the one before. \
         Empty turns it off.", "no record";
    record_arguments: bool, "BOOL", Watching,
        "Write the arguments of `--record-traffic` as they came: the file then has whatever clients sent, \
         contents of files and secrets too.", "";
    baseline: Option<PathBuf>, "FILE", Watching,
        "What was usual before: latencies are compared with it. Where it is not there, it is written at the end.",
        "what is learnt in this run";
    alert_command: Option<String>, "COMMAND", Watching,
        "Run this for each alert that begins or ends, with the alert as JSON on its standard input.", "only the log";
    alert_webhook_url: Option<String>, "URL", Watching,
        "Send each alert that begins or ends to this URL, signed as Standard Webhooks says.", "only the log";
    alert_webhook_secret_file: Option<PathBuf>, "FILE", Watching,
        "File of the secret that signs them: whsec_ and base64, or a text of 24 bytes at least.", "no webhook";
    black_box_dir: Option<PathBuf>, "DIR", Watching,
        "Write the last hour to a file here when work is refused for lack of memory, an alert begins, or on SIGUSR1.",
        "no files; the last hour is in memory all the same";
    client_roots: Option<ClientRoots>, "MODE", Tools,
        "How the roots of a client change the directories: replace, narrow or ignore.",
        "replace on stdio, narrow elsewhere";
    compat: Option<Compat>, "MODE", Tools,
        "Behaviour where the reference filesystem server may do harm or surprise: default avoids it, \
         reference does the same.", "default";
    text_once: bool, "BOOL", Tools,
        "Send the text of an answer once, not in `structuredContent` too; tools then have no `outputSchema`.", "";
    file_resources: bool, "BOOL", Tools,
        "Offer the files of the directories as resources, too: listed in pages, read whole or in parts. Not with \
         `--compat reference`.", "";
    allowed_hosts: Vec<String>, "HOST", Admission,
        "Host names that HTTP requests may be addressed to, besides those of this machine. May be repeated.", "";
    allowed_origins: Vec<String>, "ORIGIN", Admission,
        "Origins of web pages that may call, besides those of this machine. May be repeated.", "";
    cors: bool, "BOOL", Admission,
        "Tell browsers that pages of allowed origins may read the answers.", "";
    token_file: Option<PathBuf>, "FILE", Admission,
        "File of bearer tokens, one per line: TOKEN or NAME:TOKEN. Each request must carry one of them.",
        "no tokens";
    oauth_issuer: Option<String>, "URL", Admission,
        "Issuer whose OAuth 2.1 access tokens (JWT) are accepted.", "no OAuth";
    oauth_resource: Option<String>, "URL", Admission,
        "URL of this server as its clients know it; access tokens must be issued for it.", "no OAuth";
    oauth_audience: Option<String>, "TEXT", Admission,
        "Audience of access tokens.", "that of oauth_resource";
    oauth_authorization_servers: Vec<String>, "URL", Admission,
        "Servers where clients get access tokens [default: the issuer]. May be repeated.", "";
    oauth_jwks: Option<String>, "FILE|URL", Admission,
        "Keys of the issuer (JWKS), as a file or a URL; fetched again when they change.", "no OAuth";
    oauth_scopes: Vec<String>, "SCOPE", Admission,
        "Scopes that access tokens must have. May be repeated.", "";
    insecure: bool, "BOOL", Admission,
        "Listen beyond this machine without tokens.", "";
    repository: Option<PathBuf>, "PATH", Toolset("git"),
        "Repository that the git tools may use, with all that lies in it, in the place of the directories. \
         May lie anywhere in it.", "the directories";
    allow_git_programs: bool, "BOOL", Toolset("git"),
        "Let git run what a repository names (hooks, filters, external diffs, text converters, signers), and without a sandbox.", "";
    memory_file_path: Option<PathBuf>, "FILE", Toolset("memory"),
        "File of the knowledge graph, as JSON Lines; also taken from `MEMORY_FILE_PATH`. It need not exist.",
        "$XDG_DATA_HOME/mcpool/memory.jsonl, or ~/.local/share/mcpool/memory.jsonl";
    local_timezone: Option<String>, "ZONE", Toolset("time"),
        "IANA name of the time zone of the user, which the time tools name to the model.", "that of TZ or of the system";
    disable_thought_logging: bool, "BOOL", Toolset("thinking"),
        "Do not log thoughts; also taken from `DISABLE_THOUGHT_LOGGING=true`.", "";
    user_agent: Option<String>, "TEXT", Toolset("fetch"),
        "Name that the fetch tool gives to servers, and looks for in robots.txt.", "those of the reference server";
    ignore_robots_txt: bool, "BOOL", Toolset("fetch"),
        "Let models fetch pages that robots.txt forbids; what a user asks for by the prompt is fetched anyway.", "";
    proxy_url: Option<String>, "URL", Toolset("fetch"),
        "Proxy of HTTP that the fetch tool goes through. It looks names up itself, so it has to refuse private ones.",
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY";
    allow_private_ips: bool, "BOOL", Toolset("fetch"),
        "Let the fetch tool ask private, loopback and link-local addresses: all that this machine can reach.", "";
}

/// Settings that the reference servers take from the environment, too, under these names in capitals.
const REFERENCE_VARIABLES: &[&str] = &["memory_file_path", "disable_thought_logging"];

/// A setting whose value is one of a few names.
trait Choice: Copy + PartialEq + 'static {
    const EXPECTED: &'static str;
    const ALL: &'static [(Self, &'static str)];
}

impl Choice for ClientRoots {
    const EXPECTED: &'static str = "replace, narrow or ignore";
    const ALL: &'static [(Self, &'static str)] =
        &[(Self::Replace, "replace"), (Self::Narrow, "narrow"), (Self::Ignore, "ignore")];
}

impl Choice for Compat {
    const EXPECTED: &'static str = "default or reference";
    const ALL: &'static [(Self, &'static str)] =
        &[(Self::Default, "default"), (Self::Reference, "reference")];
}

/// Settings that belong together in help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Group {
    Tools,
    Listening,
    /// What tells how the server is.
    Watching,
    Admission,
    /// Those of one toolset, which have a table of its name in the TOML file.
    Toolset(&'static str),
}

impl Group {
    /// What it is called.
    pub(in crate::cli) fn heading(self) -> &'static str {
        match self {
            Self::Tools => "What to serve",
            Self::Listening => "Where to listen",
            Self::Watching => "Logs, reports and alerts",
            Self::Admission => "Access",
            Self::Toolset(name) => name,
        }
    }
}

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Shape {
    /// `--name`, `--name=false`; `true` or `false` elsewhere.
    Switch,
    /// One text.
    One,
    /// Repeated flags, texts with commas between them, or a TOML list.
    Many,
}

/// One setting: what the flags, the environment, the TOML file and the documentation are made from.
pub(in crate::cli) struct Setting {
    /// Name of the field, and key in the TOML file.
    pub(in crate::cli) name: &'static str,
    /// How it is written.
    pub(in crate::cli) shape: Shape,
    /// What a value must be.
    pub(super) expected: &'static str,
    /// The placeholder for the value in help.
    pub(in crate::cli) value_name: &'static str,
    /// Where help shows it.
    pub(in crate::cli) group: Group,
    /// What it does, in one or two sentences.
    pub(in crate::cli) help: &'static str,
    /// The behaviour without a value; empty where there always is one.
    pub(super) unset: &'static str,
    store: fn(&mut Settings, Vec<OsString>) -> Option<()>,
    load: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// Its long flag without dashes.
    pub(in crate::cli) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its environment variable.
    pub(super) fn environment(&self) -> String {
        format!("MCPOOL_{}", self.name.to_ascii_uppercase())
    }

    /// The table of the TOML file that it is in, if it is in one.
    pub(super) fn table(&self) -> Option<&'static str> {
        match self.group {
            Group::Toolset(table) => Some(table),
            Group::Tools | Group::Listening | Group::Watching | Group::Admission => None,
        }
    }

    /// The environment variable from which the reference server takes it, if it does.
    pub(super) fn reference_variable(&self) -> Option<String> {
        REFERENCE_VARIABLES.contains(&self.name).then(|| self.name.to_ascii_uppercase())
    }

    /// Reads the environment as the reference server does: a switch is on when the text is `true`, in any case.
    #[must_use]
    pub(super) fn store_reference(&self, settings: &mut Settings, text: OsString) -> Option<()> {
        let text = match self.shape {
            Shape::Switch => text.eq_ignore_ascii_case("true").to_string().into(),
            Shape::One | Shape::Many => text,
        };
        (self.store)(settings, vec![text])
    }

    /// Reads the texts of the command line or the environment; `None` when they are no value of this setting.
    #[must_use]
    pub(super) fn store_texts(&self, settings: &mut Settings, texts: &[OsString]) -> Option<()> {
        let texts = match self.shape {
            Shape::Many => texts.iter().flat_map(|text| split(text)).collect(),
            Shape::One if self.turns_off_when_empty() && texts.iter().all(|text| text.is_empty()) => {
                Vec::new()
            }
            Shape::Switch | Shape::One => texts.to_vec(),
        };
        // A variable that is not set would serve what nobody asked for: the filesystem.
        if texts.is_empty() && self.name == "tools" {
            return None;
        }
        (self.store)(settings, texts)
    }

    /// What its value has to be, in messages.
    pub(super) fn expected(&self) -> &'static str {
        if self.name == "tools" { "a list of toolsets, such as filesystem,time" } else { self.expected }
    }

    /// Whether an empty flag turns it off, whatever the file and the environment say. What protects a server has none:
    /// a variable that is not set would turn it off.
    fn turns_off_when_empty(&self) -> bool {
        matches!(self.name, "access_log" | "record" | "record_traffic")
    }

    /// Reads a value of a TOML file; `None` when it is no value of this setting.
    #[must_use]
    pub(super) fn store_toml(&self, settings: &mut Settings, value: &toml::Value) -> Option<()> {
        let text = |value: &toml::Value| value.as_str().map(OsString::from);
        let texts = match (self.shape, value) {
            (Shape::Switch, toml::Value::Boolean(is_on)) => vec![is_on.to_string().into()],
            (Shape::One, value) => vec![text(value)?],
            (Shape::Many, toml::Value::Array(items)) => {
                let filled = |item| text(item).filter(|text| !text.is_empty());
                items.iter().map(filled).collect::<Option<_>>()?
            }
            (Shape::Many, value) => split(&text(value)?),
            (Shape::Switch, _) => return None,
        };
        (self.store)(settings, texts)
    }

    /// A value of its kind as TOML, for a file to begin with.
    pub(super) fn example(&self) -> String {
        match (self.shape, self.expected) {
            (Shape::Switch, _) => "true".to_owned(),
            (Shape::Many, _) => "[]".to_owned(),
            (Shape::One, "a path") => toml_text("/path/to/it"),
            (Shape::One, "a text") => toml_text(self.value_name),
            // The first of its choices.
            (Shape::One, expected) => toml_text(expected.split([',', ' ']).next().unwrap_or_default()),
        }
    }

    /// Its value as TOML; `None` when it has none.
    pub(in crate::cli) fn show(&self, settings: &Settings) -> Option<String> {
        (self.load)(settings)
    }

    /// Its value as TOML without what may be a secret, if it has such a part.
    pub(super) fn show_in_part(&self, settings: &Settings) -> Option<String> {
        let url = settings.alert_webhook_url.as_ref().filter(|_| self.name == "alert_webhook_url")?;
        Some(host_of(url)).filter(|shown| shown != url).map(toml_text)
    }
}

/// Scheme and host of a URL; the rest may be a secret, as in the URLs that chat services give out.
fn host_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "...".to_owned() };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        None if matches!(behind, "" | "/") => url.to_owned(),
        None => format!("{scheme}://{authority}/..."),
        Some((_, host)) => format!("{scheme}://...@{host}/..."),
    }
}

/// Splits at commas; spaces around items and empty items are dropped.
fn split(text: &OsStr) -> Vec<OsString> {
    let items = text.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    items.filter(|item| !item.is_empty()).map(|item| OsString::from_vec(item.to_vec())).collect()
}

/// What a field of [`Settings`] can be.
trait Value: Sized {
    const SHAPE: Shape;
    const EXPECTED: &'static str;
    fn read(texts: Vec<OsString>) -> Option<Self>;
    fn show(&self) -> Option<String>;
}

fn only(texts: Vec<OsString>) -> Option<OsString> {
    <[OsString; 1]>::try_from(texts).ok().map(|[text]| text).filter(|text| !text.is_empty())
}

/// A string as TOML writes it: as JSON does, except for one character.
fn toml_text(text: impl Into<String>) -> String {
    serde_json::Value::String(text.into()).to_string().replace('\u{7f}', "\\u007F")
}

fn toml_list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(toml_text).collect::<Vec<_>>().join(", "))
}

impl Value for bool {
    const SHAPE: Shape = Shape::Switch;
    const EXPECTED: &'static str = "true or false";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        match only(texts)?.to_str()? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Option<bool> {
    const SHAPE: Shape = Shape::Switch;
    const EXPECTED: &'static str = bool::EXPECTED;

    fn read(texts: Vec<OsString>) -> Option<Self> {
        bool::read(texts).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.map(|is_on| is_on.to_string())
    }
}

impl<C: Choice> Value for Option<C> {
    const SHAPE: Shape = Shape::One;
    const EXPECTED: &'static str = C::EXPECTED;

    fn read(texts: Vec<OsString>) -> Option<Self> {
        let text = only(texts)?;
        C::ALL.iter().find(|(_, name)| text == *name).map(|(choice, _)| Some(*choice))
    }

    fn show(&self) -> Option<String> {
        C::ALL.iter().find(|(choice, _)| Some(*choice) == *self).map(|(_, name)| toml_text(*name))
    }
}

impl Value for Option<String> {
    const SHAPE: Shape = Shape::One;
    const EXPECTED: &'static str = "a text";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        only(texts)?.into_string().ok().map(Some)
    }

    fn show(&self) -> Option<String> {
        self.clone().map(toml_text)
    }
}

impl Value for Option<PathBuf> {
    const SHAPE: Shape = Shape::One;
    const EXPECTED: &'static str = "a path";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        if texts.is_empty() {
            return Some(None);
        }
        Some(Some(only(texts)?.into()))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|path| toml_text(path.to_string_lossy()))
    }
}

impl Value for Vec<String> {
    const SHAPE: Shape = Shape::Many;
    const EXPECTED: &'static str = "a list of texts";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        texts.into_iter().map(|text| text.into_string().ok()).collect()
    }

    fn show(&self) -> Option<String> {
        Some(toml_list(self.iter().cloned()))
    }
}

impl Value for Vec<PathBuf> {
    const SHAPE: Shape = Shape::Many;
    const EXPECTED: &'static str = "a list of paths";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        Some(texts.into_iter().map(PathBuf::from).collect())
    }

    fn show(&self) -> Option<String> {
        Some(toml_list(self.iter().map(|path| path.to_string_lossy().into_owned())))
    }
}

impl Value for Vec<SocketAddr> {
    const SHAPE: Shape = Shape::Many;
    const EXPECTED: &'static str = "addresses with a port, such as 127.0.0.1:8000 or [::1]:8000";

    fn read(texts: Vec<OsString>) -> Option<Self> {
        let address = |text: OsString| {
            let text = text.to_str()?;
            // The one host name that means the same everywhere.
            match text.strip_prefix("localhost:") {
                Some(port) => format!("127.0.0.1:{port}").parse().ok(),
                None => text.parse().ok(),
            }
        };
        texts.into_iter().map(address).collect()
    }

    fn show(&self) -> Option<String> {
        Some(toml_list(self.iter().map(ToString::to_string)))
    }
}

/// Two settings that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingConflict {
    /// The toolsets are not there.
    #[error(transparent)]
    Toolset(#[from] ToolsetError),
    /// One setting needs the other.
    #[error("{given} is set and {missing} is not: {why}")]
    Missing {
        /// The setting that has a value.
        given: &'static str,
        /// The one that has none.
        missing: &'static str,
        /// Why both are needed.
        why: &'static str,
    },
    /// Only one of them can be set.
    #[error("{one} and {other} are both set: {why}")]
    Both {
        /// A setting that has a value.
        one: &'static str,
        /// The other one.
        other: &'static str,
        /// Why only one can be set.
        why: &'static str,
    },
}

impl Settings {
    /// Checks that the settings go together.
    ///
    /// # Errors
    /// Names the first two that do not go together.
    pub(super) fn validate(&self) -> Result<(), SettingConflict> {
        Enabled::parse(&self.tools)?;
        let certificate = ("tls_cert", self.tls_cert.is_some());
        let key = ("tls_key", self.tls_key.is_some());
        let together = "a certificate and its key are given together";
        need(certificate, key, together)?;
        need(key, certificate, together)?;
        let url = ("alert_webhook_url", self.alert_webhook_url.is_some());
        let secret = ("alert_webhook_secret_file", self.alert_webhook_secret_file.is_some());
        let why = "what is sent to a webhook is signed";
        need(url, secret, why)?;
        need(secret, url, why)?;
        let issuer = ("oauth_issuer", self.oauth_issuer.is_some());
        let jwks = ("oauth_jwks", self.oauth_jwks.is_some());
        let resource = ("oauth_resource", self.oauth_resource.is_some());
        let audience = ("oauth_audience", self.oauth_audience.is_some());
        let servers = ("oauth_authorization_servers", !self.oauth_authorization_servers.is_empty());
        let scopes = ("oauth_scopes", !self.oauth_scopes.is_empty());
        let why = "without the issuer, its keys and the URL of this server no access token can be checked";
        for given in [issuer, jwks, resource, audience, servers, scopes] {
            for needed in [issuer, jwks, resource] {
                need(given, needed, why)?;
            }
        }
        let why = "arguments are written down with the traffic that they belong to";
        need(
            ("record_arguments", self.record_arguments),
            ("record_traffic", self.record_traffic.is_some()),
            why,
        )?;
        self.check_files()?;
        if self.token_file.is_some() && self.oauth_issuer.is_some() {
            let why = "a request carries either a token of the file or an access token";
            return Err(SettingConflict::Both { one: "token_file", other: "oauth_issuer", why });
        }
        Ok(())
    }
}

impl Settings {
    /// Checks that no two things are written to one file.
    fn check_files(&self) -> Result<(), SettingConflict> {
        let files = [
            ("record", &self.record),
            ("record_traffic", &self.record_traffic),
            ("access_log", &self.access_log),
        ];
        let set: Vec<_> = files.iter().filter_map(|(name, file)| Some((*name, file.as_ref()?))).collect();
        for (index, (one, file)) in set.iter().enumerate() {
            if let Some((other, _)) = set[index + 1..].iter().find(|(_, other)| share_a_file(file, other)) {
                let why = "each needs a file of its own, and the name FILE.1 beside it";
                return Err(SettingConflict::Both { one, other, why });
            }
        }
        Ok(())
    }
}

/// Whether two files that are rotated have a name in common.
fn share_a_file(one: &Path, other: &Path) -> bool {
    let names = |path: &Path| {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut rotated = file.clone().into_os_string();
        rotated.push(".1");
        [file, rotated.into()]
    };
    let others = names(other);
    names(one).iter().any(|name| others.contains(name))
}

fn need(
    given: (&'static str, bool),
    needed: (&'static str, bool),
    why: &'static str,
) -> Result<(), SettingConflict> {
    if given.1 && !needed.1 {
        return Err(SettingConflict::Missing { given: given.0, missing: needed.0, why });
    }
    Ok(())
}
