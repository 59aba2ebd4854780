//! Where each value comes from, and what is refused.

use super::*;
use std::collections::HashMap;

/// A command line as a table, by the names of settings.
#[derive(Default, Clone)]
struct TestFlags {
    texts: HashMap<&'static str, Vec<OsString>>,
    config: Option<PathBuf>,
}

impl TestFlags {
    fn of(texts: &[(&'static str, &str)]) -> Self {
        let mut given = Self::default();
        for (name, text) in texts {
            given.texts.entry(*name).or_default().push(text.into());
        }
        given
    }

    fn with_file(path: &Path) -> Self {
        Self { config: Some(path.to_owned()), ..Self::default() }
    }
}

impl Flags for TestFlags {
    fn limit(&self, option: &LimitOption) -> Option<String> {
        self.texts.get(option.name).map(|texts| texts[0].to_string_lossy().into_owned())
    }
    fn setting(&self, setting: &Setting) -> Option<Vec<OsString>> {
        self.texts.get(setting.name).cloned()
    }
    fn config(&self) -> Option<PathBuf> {
        self.config.clone()
    }
}

fn environment<'v>(variables: &'v [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'v {
    |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
}

fn resolve(flags: &TestFlags, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::resolve(flags, environment(variables))
}

fn origin_of(config: &Config, name: &str) -> Origin {
    let limit = LimitOption::ALL.iter().position(|option| option.name == name);
    let setting = Setting::ALL.iter().position(|setting| setting.name == name);
    let limit = limit.map(|index| &config.limit_origins[index]);
    limit.or(setting.map(|index| &config.setting_origins[index])).expect("a setting").clone()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mcpool.toml");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

/// Every subset of the three sources, for every setting: the strongest one wins.
#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    // A switch has no three values to tell apart.
    for option in LimitOption::ALL.iter().filter(|option| option.max - option.min > 3) {
        // Just below the default, or just above a default of next to nothing, all are in range and in
        // keeping with the other settings.
        let default = option.load(&Limits::default());
        let near = |step| if default < option.min + step { default + step } else { default - step };
        let [by_file, by_variable, by_flag] = [near(1), near(2), near(3)];
        let (_folder, path) = file(&format!("{} = {by_file}", option.name));
        let (variable, by_variable_text) = (option.environment(), by_variable.to_string());
        for sources in 0..8 {
            let (in_file, in_environment, in_flags) = (sources & 1 > 0, sources & 2 > 0, sources & 4 > 0);
            let by_flag_text = by_flag.to_string();
            let in_flags_text = [(option.name, by_flag_text.as_str())];
            let mut flags = TestFlags::of(&in_flags_text[..usize::from(in_flags)]);
            flags.config = in_file.then(|| path.clone());
            let variables = [(variable.as_str(), by_variable_text.as_str())];
            let config = resolve(&flags, &variables[..usize::from(in_environment)]).expect("resolved");
            let want = match (in_flags, in_environment, in_file) {
                (true, ..) => (by_flag, Origin::Flag(format!("--{}", option.flag()))),
                (_, true, _) => (by_variable, Origin::Environment(variable.clone())),
                (_, _, true) => (by_file, Origin::File(path.clone())),
                _ => (default, Origin::Default),
            };
            let found = (option.load(&config.limits), origin_of(&config, option.name));
            assert_eq!(found, want, "{} {sources:03b}", option.name);
        }
    }
}

/// The same for the settings that are no limits; whether they go together is not asked here.
#[test]
fn other_settings_follow_the_same_order() {
    for setting in Setting::ALL {
        let [by_file, by_variable, by_flag] = match (setting.expected, setting.shape) {
            ("true or false", _) => ["true", "false", "true"],
            ("replace, narrow or ignore", _) => ["replace", "narrow", "ignore"],
            ("default or reference", _) => ["reference", "default", "reference"],
            (_, Shape::Many) if setting.name == "http" => ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
            _ => ["one", "two", "three"],
        };
        let shown = |text: &str| match setting.shape {
            Shape::Switch => text.to_owned(),
            Shape::One => format!("\"{text}\""),
            Shape::Many => format!("[\"{text}\"]"),
        };
        let table = setting.table().map(|table| format!("[{table}]\n")).unwrap_or_default();
        let (_folder, path) = file(&format!("{table}{} = {}", setting.name, shown(by_file)));
        let variable = setting.environment();
        for sources in 0..8 {
            let (in_file, in_environment, in_flags) = (sources & 1 > 0, sources & 2 > 0, sources & 4 > 0);
            let mut flags = TestFlags::of(&[(setting.name, by_flag)][..usize::from(in_flags)]);
            flags.config = in_file.then(|| path.clone());
            let variables = [(variable.as_str(), by_variable)];
            let variables = environment(&variables[..usize::from(in_environment)]);
            let config = Config::collect(&flags, variables).expect("collected");
            let want = match (in_flags, in_environment, in_file) {
                (true, ..) => (Some(shown(by_flag)), Origin::Flag(format!("--{}", setting.flag()))),
                (_, true, _) => (Some(shown(by_variable)), Origin::Environment(variable.clone())),
                (_, _, true) => (Some(shown(by_file)), Origin::File(path.clone())),
                _ => (setting.show(&Settings::default()), Origin::Default),
            };
            let found = (setting.show(&config.settings), origin_of(&config, setting.name));
            assert_eq!(found, want, "{} {sources:03b}", setting.name);
        }
    }
}

#[test]
fn the_file_is_the_one_named_or_the_one_at_the_usual_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, value: usize| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, format!("max_batch = {value}")).expect("written");
        path
    };
    let by_flag = write("flag.toml", 1);
    let by_variable = write("variable.toml", 2).display().to_string();
    write("xdg/mcpool/mcpool.toml", 3);
    write("home/.config/mcpool/mcpool.toml", 4);
    let (xdg, home) = (folder.path().join("xdg"), folder.path().join("home"));
    let (xdg, home) = (xdg.display().to_string(), home.display().to_string());
    let all =
        [("MCPOOL_CONFIG", by_variable.as_str()), ("XDG_CONFIG_HOME", xdg.as_str()), ("HOME", home.as_str())];
    let flags = TestFlags::with_file(&by_flag);
    let batch = |flags: &TestFlags, variables: &[(&str, &str)]| {
        resolve(flags, variables).expect("resolved").limits.max_batch
    };
    assert_eq!(batch(&flags, &all), 1);
    assert_eq!(batch(&TestFlags::default(), &all), 2);
    assert_eq!(batch(&TestFlags::default(), &all[1..]), 3);
    assert_eq!(batch(&TestFlags::default(), &all[2..]), 4);
    assert_eq!(batch(&TestFlags::default(), &[("XDG_CONFIG_HOME", "relative"), all[2]]), 4);
    assert_eq!(batch(&TestFlags::default(), &[("MCPOOL_CONFIG", ""), all[1]]), 3);
    assert_eq!(batch(&TestFlags::default(), &[("XDG_CONFIG_HOME", "/nowhere"), all[2]]), 1_000);
}

#[test]
fn a_file_that_was_named_must_exist() {
    let flags = TestFlags::with_file(Path::new("/nowhere/x.toml"));
    for (flags, variables, by) in [
        (flags, vec![], "--config"),
        (TestFlags::default(), vec![("MCPOOL_CONFIG", "/nowhere/x.toml")], "MCPOOL_CONFIG"),
    ] {
        let message = resolve(&flags, &variables).expect_err("refused").to_string();
        assert!(message.starts_with("cannot read the configuration /nowhere/x.toml (named by "), "{message}");
        assert!(message.contains(by), "{message}");
    }
}

#[test]
fn errors_name_the_source_the_setting_and_the_remedy() {
    let cases = [
        (
            "max_fram_bytes = 1",
            r#"mcpool.toml:1:1: unknown key "max_fram_bytes"; did you mean "max_frame_bytes"?"#,
        ),
        ("readonly = true", r#"mcpool.toml:1:1: unknown key "readonly"; did you mean "read_only"?"#),
        ("zzz = 1", r#"mcpool.toml:1:1: unknown key "zzz""#),
        ("[limits]\nmax_batch = 1", r#"mcpool.toml:1:2: unknown key "limits""#),
        (
            "[git]\n# first\nrepo = 1",
            r#"mcpool.toml:3:1: unknown key "git.repo"; did you mean "repository"?"#,
        ),
        ("\n\nmax_batch =  0", "mcpool.toml:3:14: max_batch = 0 is out of range: choose 1 to 100000"),
        ("max_batch = true", "mcpool.toml:1:13: max_batch must be a whole number"),
        ("max_frame_bytes = 1.5", "max_frame_bytes must be a size such as \"10MiB\""),
        ("max_frame_bytes = \"10MB\"", "is not a size: write 10MiB, 64KiB or plain bytes"),
        ("max_frame_bytes = -1", "is not a size"),
        ("read_only = 1", "read_only must be true or false"),
        ("http = 8000", "http must be addresses with a port, such as 127.0.0.1:8000 or [::1]:8000"),
        ("http = [8000]", "http must be addresses with a port"),
        ("http = \"example.com:80\"", "http must be addresses with a port"),
        ("unix = [\"\"]", "unix must be a list of paths"),
        ("unix = false", "unix must be a list of paths"),
        ("client_roots = \"all\"", "client_roots must be replace, narrow or ignore"),
        ("text_once = \"yes\"", "text_once must be true or false"),
        ("compat = \"node\"", "compat must be default or reference"),
        ("token_file = \"\"", "token_file must be a path"),
        ("record_traffic = \"\"", "record_traffic must be a path"),
        (
            "record = \"a\"\nrecord_traffic = \"./a\"",
            "record and record_traffic are both set: each needs a file",
        ),
        ("record = \"a.1\"\nrecord_traffic = \"a\"", "record and record_traffic are both set"),
        ("tls_cert = \"c.pem\"", "tls_cert is set and tls_key is not: a certificate and its key are given"),
        ("tls_key = \"k.pem\"", "tls_key is set and tls_cert is not"),
        ("oauth_scopes = [\"a\"]", "oauth_scopes is set and oauth_issuer is not: without the issuer"),
        ("oauth_issuer = \"https://a\"", "oauth_issuer is set and oauth_jwks is not"),
        (
            "token_file = \"t\"\noauth_issuer = \"i\"\noauth_jwks = \"j\"\noauth_resource = \"r\"",
            "token_file and oauth_issuer are both set: a request carries either",
        ),
        ("max_batch = ", "is not valid TOML"),
    ];
    for (text, want) in cases {
        let (_folder, path) = file(text);
        let flags = TestFlags::with_file(&path);
        let message = resolve(&flags, &[]).expect_err(want).to_string();
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn errors_name_the_variable() {
    let message =
        resolve(&TestFlags::default(), &[("MCPOOL_MAX_BATCH", "0")]).expect_err("refused").to_string();
    assert_eq!(message, "environment MCPOOL_MAX_BATCH: max_batch = 0 is out of range: choose 1 to 100000");
    let message =
        resolve(&TestFlags::default(), &[("MCPOOL_READ_ONLY", "ja")]).expect_err("refused").to_string();
    assert_eq!(message, "environment MCPOOL_READ_ONLY: read_only must be true or false");
    let message = resolve(&TestFlags::default(), &[("MCPOOL_MAX_REPLY_BYTES", "1MiB")]).expect_err("refused");
    assert!(
        message.to_string().starts_with("max_frame_bytes = 10MiB must not exceed max_reply_bytes = 1MiB")
    );
}

/// All of it is in comments, and each line in them is a setting that is understood.
#[test]
fn a_file_to_begin_with_has_every_setting_and_changes_nothing() {
    let mut text = String::new();
    write_template(&mut text).expect("written");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let (_folder, path) = file(&text);
    let unchanged = resolve(&TestFlags::with_file(&path), &[]).expect("resolved");
    assert_eq!((unchanged.limits, unchanged.settings), (Limits::default(), Settings::default()));
    let is_setting =
        |line: &&str| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("##");
    let settings: Vec<&str> = text.lines().filter(is_setting).map(|line| &line[1..]).collect();
    assert_eq!(settings.len(), LimitOption::ALL.len() + Setting::ALL.len());
    for name in LimitOption::ALL.iter().map(|o| o.name).chain(Setting::ALL.iter().map(|s| s.name)) {
        assert!(settings.iter().any(|line| line.split(" = ").next() == Some(name)), "{name}");
    }
    let uncommented: Vec<&str> =
        text.lines().map(|line| if is_setting(&line) { &line[1..] } else { line }).collect();
    let (_folder, path) = file(&uncommented.join("\n"));
    let all = Config::collect(&TestFlags::with_file(&path), environment(&[])).expect("understood");
    assert_eq!(all.limits.max_batch, Limits::default().max_batch);
    let origins = all.limit_origins.iter().chain(&all.setting_origins);
    assert!(origins.into_iter().all(|origin| *origin == Origin::File(path.clone())));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let flags = TestFlags::of(&[
        ("read_only", "true"),
        ("max_concurrent_requests", "7"),
        ("arena_capacity", "3"),
        ("http", "127.0.0.1:0,[::1]:80"),
        ("http", "localhost:8000"),
        ("unix", "/run/\"a\".sock"),
        ("tls_cert", "c.pem"),
        ("tls_key", "k.pem"),
        ("client_roots", "narrow"),
        ("compat", "reference"),
        ("text_once", "true"),
        ("file_resources", "true"),
    ]);
    let variables = [("MCPOOL_MAX_FRAME_BYTES", "5000"), ("MCPOOL_ALLOWED_HOSTS", "a.example, b.example,")];
    let config = resolve(&flags, &variables).expect("resolved");
    let mut printed = Vec::new();
    config.write(&mut printed).expect("written");
    let printed = String::from_utf8(printed).expect("text");
    for line in [
        "max_frame_bytes = 5000                   # environment MCPOOL_MAX_FRAME_BYTES",
        "max_reply_bytes = \"64MiB\"                # default",
        "max_concurrent_requests = 7              # flag --max-concurrent-requests",
        "# message_capacity = 8                   # derived: one for each place that",
        "                                         # holds a message",
        "arena_capacity = 3                       # flag --arena-capacity",
        "read_only = true                         # flag --read-only",
        "http = [\"127.0.0.1:0\", \"[::1]:80\", \"127.0.0.1:8000\"] # flag --http",
        "unix = [\"/run/\\\"a\\\".sock\"]               # flag --unix",
        "# stdio                                  # default: on unless http, unix or a",
        "                                         # service manager says where to listen",
        "client_roots = \"narrow\"                  # flag --client-roots",
        "compat = \"reference\"                     # flag --compat",
        "text_once = true                         # flag --text-once",
        "file_resources = true                    # flag --file-resources",
        "allowed_hosts = [\"a.example\", \"b.example\"] # environment MCPOOL_ALLOWED_HOSTS",
        "cors = false                             # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
    let (_folder, path) = file(&printed);
    let again = resolve(&TestFlags::with_file(&path), &[]).expect("resolved");
    assert_eq!((again.limits, again.settings), (config.limits, config.settings));
}

/// The file at the default location may be missing; a file that was named may not.
#[test]
fn a_file_that_nobody_named_and_that_cannot_be_read_does_not_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mcpool/mcpool.toml");
    let xdg = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("mcpool")).expect("made");
    let pipe = || {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    };
    let make: [(&str, &dyn Fn()); 5] = [
        ("a folder", &|| std::fs::create_dir(&path).expect("made")),
        ("a pipe", &pipe),
        ("no text", &|| std::fs::write(&path, b"\xff").expect("written")),
        ("too long", &|| std::fs::write(&path, vec![b'#'; 2 << 20]).expect("written")),
        ("a loop", &|| std::os::unix::fs::symlink(&path, &path).expect("linked")),
    ];
    for (what, make) in make {
        make();
        let found = resolve(&TestFlags::default(), &[("XDG_CONFIG_HOME", &xdg)]).expect(what);
        assert_eq!(found.limits, Limits::default(), "{what}");
        let message = resolve(&TestFlags::with_file(&path), &[]).expect_err(what).to_string();
        assert!(message.contains("(named by --config)"), "{what}: {message}");
        if std::fs::remove_file(&path).is_err() {
            std::fs::remove_dir(&path).expect("removed");
        }
    }
    std::fs::write(&path, "max_batch = ").expect("written");
    let message = resolve(&TestFlags::default(), &[("XDG_CONFIG_HOME", &xdg)]).expect_err("refused");
    assert!(message.to_string().contains("is not valid TOML"), "what is read and wrong is refused");
}

/// Whoever starts a server for one call has it record nothing, whatever others have said.
#[test]
fn an_empty_flag_turns_a_record_off_and_protection_is_not_turned_off_so() {
    let (_folder, path) = file("record = \"a\"\nrecord_traffic = \"b\"\ntoken_file = \"c\"");
    let flags = TestFlags::of(&[("record", ""), ("record_traffic", "")]);
    let config = resolve(&TestFlags { config: Some(path.clone()), ..flags }, &[]).expect("resolved");
    let Settings { record, record_traffic, token_file, .. } = config.settings;
    assert_eq!((record, record_traffic, token_file), (None, None, Some("c".into())));
    let flags = TestFlags { config: Some(path), ..TestFlags::of(&[("token_file", "")]) };
    let message = resolve(&flags, &[]).expect_err("refused").to_string();
    assert!(message.contains("token_file must be a path"), "{message}");
}

#[test]
fn the_secret_part_of_a_webhook_is_not_written() {
    for (url, shown) in [
        ("https://hooks.test/T0/s3cret", "# alert_webhook_url = \"https://hooks.test/...\""),
        ("https://u:s3cret@hooks.test", "# alert_webhook_url = \"https://...@hooks.test/...\""),
        ("https://hooks.test?key=s3cret", "# alert_webhook_url = \"https://hooks.test/...\""),
        ("s3cret", "# alert_webhook_url = \"...\""),
        ("http://127.0.0.1:9/", "\nalert_webhook_url = \"http://127.0.0.1:9/\""),
    ] {
        let variables =
            [("MCPOOL_ALERT_WEBHOOK_URL", url), ("MCPOOL_ALERT_WEBHOOK_SECRET_FILE", "whsec.txt")];
        let mut out = Vec::new();
        resolve(&TestFlags::default(), &variables).expect("resolved").write(&mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains(shown) && !text.contains("s3cret"), "{url}: {text}");
    }
}
