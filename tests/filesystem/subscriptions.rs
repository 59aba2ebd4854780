//! Subscriptions to files: who hears of which change, and what is left of one that ended.

use super::Scene;
use crate::test_client::{TestClient, meta};
use mcpool::tools::filesystem::Filesystem;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);
/// The watcher's thread, and ours, by their names.
#[cfg(feature = "cli")]
const THREADS: [&str; 2] = ["notify-rs inoti", "file-watches"];

fn server(scene: &Scene, limits: Limits) -> Server {
    let (tools, _) = Filesystem::new(&[scene.path("")], false).expect("usable");
    let files = tools.resources();
    Server::builder("files", "1").limits(limits).toolset(tools).resources(files).build().expect("a server")
}

fn uri(scene: &Scene, name: &str) -> String {
    format!("file://{}/{name}", scene.path("").canonicalize().expect("a path").display())
}

/// A client, with the URIs that it was notified of and that no test has looked at.
struct Client {
    connection: TestClient,
    is_modern: bool,
    requests: u64,
    told: Vec<String>,
}

impl Client {
    async fn legacy(server: &Server) -> Self {
        let connection = TestClient::legacy(server, "2025-11-25").await;
        Self { connection, is_modern: false, requests: 0, told: Vec::new() }
    }

    fn modern(server: &Server) -> Self {
        let connection = TestClient::open(server);
        Self { connection, is_modern: true, requests: 0, told: Vec::new() }
    }

    fn note(&mut self, message: &Value) {
        assert_eq!(message["method"], "notifications/resources/updated", "{message}");
        self.told.push(message["params"]["uri"].as_str().expect("a URI").to_owned());
    }

    async fn ask(&mut self, method: &str, mut params: Value) -> Value {
        if self.is_modern {
            params["_meta"] = meta();
        }
        self.requests += 1;
        let id = self.requests;
        self.connection.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        loop {
            let message = self.connection.receive().await;
            if message["id"] == id || message["method"] == "notifications/subscriptions/acknowledged" {
                return message;
            }
            self.note(&message);
        }
    }

    /// Subscribes to resources; gives the answer, or the acknowledgement.
    async fn subscribe(&mut self, uris: &[String]) -> Value {
        if self.is_modern {
            return self
                .ask("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": uris}}))
                .await;
        }
        let mut answer = Value::Null;
        for uri in uris {
            answer = self.ask("resources/subscribe", json!({"uri": uri})).await;
        }
        answer
    }

    /// Waits until it is notified of a resource.
    async fn expect(&mut self, uri: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.told.iter().any(|told| told == uri) {
            assert!(Instant::now() < until, "not notified of {uri}");
            let message = self.connection.receive().await;
            self.note(&message);
        }
    }

    /// Forgets what it was notified of, and receives all that is still to be told: what was told with the first change of `last`
    /// comes before its second.
    async fn settle(&mut self, scene: &Scene, last: &str) {
        let uri = uri(scene, last);
        self.told.clear();
        for _ in 0..2 {
            scene.write(last, format!("{:?}", Instant::now()));
            self.told.retain(|told| *told != uri);
            self.expect(&uri).await;
        }
    }
}

/// The directories that handles of this process hold, below one.
fn held_directories(scene: &Scene) -> usize {
    let below = scene.path("").canonicalize().expect("a path");
    let handles = std::fs::read_dir("/proc/self/fd").expect("handles");
    let paths = handles.flatten().filter_map(|handle| std::fs::read_link(handle.path()).ok());
    paths.filter(|path| path.starts_with(&below)).count()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts a new file in the place of another, as editors do.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).expect("a file");
    std::fs::rename(new, path).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_subscribed_hears_of_each_kind_of_change() {
    let scene = Scene::new().await;
    for name in ["sub/f", "other", "end"] {
        scene.write(name, "");
    }
    symlink("sub/f", scene.path("link")).expect("a link");
    let server = server(&scene, Limits::default());
    for mut client in [Client::legacy(&server).await, Client::modern(&server)] {
        let (file, part) = (uri(&scene, "sub/f"), uri(&scene, "sub/f?offset=2"));
        let odd = file.replace("sub/f", "sub/%66");
        let all = [
            file.clone(),
            part.clone(),
            odd.clone(),
            uri(&scene, "link"),
            uri(&scene, "sub/later"),
            uri(&scene, "end"),
        ];
        let answer = client.subscribe(&all).await;
        assert!(answer.get("error").is_none(), "{answer}");
        if client.is_modern {
            assert_eq!(answer["params"]["notifications"]["resourceSubscriptions"], json!(all));
        }
        let changes: [(&str, &dyn Fn()); 6] = [
            ("written", &|| scene.write("sub/f", "new")),
            ("appended to", &|| {
                use std::io::Write as _;
                let file = std::fs::OpenOptions::new().append(true).open(scene.path("sub/f"));
                file.expect("a file").write_all(b"more").expect("written");
            }),
            ("replaced", &|| replace(&scene.path("sub/f"), "replaced")),
            ("moved away", &|| std::fs::rename(scene.path("sub/f"), scene.path("sub/g")).expect("moved")),
            ("moved back", &|| std::fs::rename(scene.path("sub/g"), scene.path("sub/f")).expect("moved")),
            ("removed", &|| std::fs::remove_file(scene.path("sub/f")).expect("removed")),
        ];
        for (what, change) in changes {
            change();
            for uri in [&file, &part, &odd, &all[3]] {
                client.expect(uri).await;
            }
            client.settle(&scene, "end").await;
            assert!(!client.told.contains(&all[4]), "{what}: nothing happened to it");
            client.told.clear();
        }
        scene.write("sub/later", "");
        client.expect(&all[4]).await;
        client.settle(&scene, "end").await;
        scene.write("other", "nobody asked");
        let _ = std::fs::read(scene.path("sub/later")).expect("reading changes nothing");
        client.settle(&scene, "end").await;
        assert!(client.told.iter().all(|told| *told == all[5]), "{:?}", client.told);
        std::fs::remove_file(scene.path("sub/later")).expect("removed");
        scene.write("sub/f", "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_made_again_is_followed() {
    let scene = Scene::new().await;
    scene.write("a/b/f", "");
    let server = server(&scene, Limits::default());
    let mut client = Client::legacy(&server).await;
    let file = uri(&scene, "a/b/f");
    client.subscribe(std::slice::from_ref(&file)).await;
    // The directory above moves away, which the one that is watched is not notified of.
    std::fs::rename(scene.path("a"), scene.path("gone")).expect("moved");
    client.expect(&file).await;
    client.told.clear();
    scene.write("a/b/f", "made again");
    client.expect(&file).await;
    client.told.clear();
    scene.write("a/b/f", "and written");
    client.expect(&file).await;
    until("the old directory is let go of", || {
        let old = scene.path("gone/b").canonicalize().expect("a path");
        let handles = std::fs::read_dir("/proc/self/fd").expect("handles");
        !handles.flatten().any(|handle| std::fs::read_link(handle.path()).is_ok_and(|path| path == old))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_lasts_as_long_as_somebody_is_subscribed() {
    let scene = Scene::new().await;
    for name in ["a/f", "b/f"] {
        scene.write(name, "");
    }
    let server = server(&scene, Limits::default());
    assert_eq!(held_directories(&scene), 0);
    let (mut first, mut second) = (Client::legacy(&server).await, Client::legacy(&server).await);
    let files = [uri(&scene, "a/f"), uri(&scene, "b/f")];
    first.subscribe(&files).await;
    first.subscribe(&files).await;
    second.subscribe(&files[..1]).await;
    until("one for each directory", || held_directories(&scene) == 2).await;
    first.ask("resources/unsubscribe", json!({"uri": files[1]})).await;
    until("the directory that nobody needs is let go of", || held_directories(&scene) == 1).await;
    first.ask("resources/unsubscribe", json!({"uri": files[0]})).await;
    scene.write("a/f", "new");
    second.expect(&files[0]).await;
    until("the other client needs it", || held_directories(&scene) == 1).await;
    let answer = first.ask("ping", json!({})).await;
    assert!(answer.get("result").is_some() && first.told.is_empty(), "it has unsubscribed: {:?}", first.told);
    // A client that goes unsubscribes.
    second.connection.vanish().await.expect("it ends");
    until("nothing is watched", || held_directories(&scene) == 0).await;
    first.subscribe(&files[..1]).await;
    scene.write("a/f", "again");
    first.expect(&files[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_cannot_reach_is_not_watched() {
    let scene = Scene::new().await;
    scene.write("f", "");
    std::fs::write(scene.outside("secret"), "").expect("a file");
    symlink(scene.outside("secret"), scene.path("leads_out")).expect("a link");
    let server = server(&scene, Limits::default());
    let (mut legacy, mut modern) = (Client::legacy(&server).await, Client::modern(&server));
    let outside = [
        "file:///etc/passwd".to_owned(),
        uri(&scene, "leads_out"),
        uri(&scene, "../secret"),
        uri(&scene, "missing/f"),
        uri(&scene, ""),
        "file://elsewhere/f".to_owned(),
    ];
    for uri in &outside {
        let answer = legacy.subscribe(std::slice::from_ref(uri)).await;
        assert_eq!(answer["error"]["code"], -32002, "{uri}: {answer}");
    }
    let mut asked = outside.to_vec();
    asked.push(uri(&scene, "f"));
    let acknowledged = modern.subscribe(&asked).await;
    let watched = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(watched, &json!([uri(&scene, "f")]), "only that one is there");
    let refused = legacy.subscribe(&[uri(&scene, "f?x=1")]).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

/// Ten thousand subscriptions: those that may be are watched, the others are told which setting bounds them.
#[tokio::test(flavor = "multi_thread")]
async fn watches_are_bounded() {
    let scene = Scene::new().await;
    let limits = Limits { max_file_watches: 300, max_subscribed_uris: 20_000, ..Limits::default() };
    let server = server(&scene, limits);
    let mut client = Client::legacy(&server).await;
    let (mut watched, mut refused) = (0, 0);
    for number in 0..10_000 {
        let params = json!({"uri": uri(&scene, &format!("f{number}"))});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params});
        // Validating each answer takes longer than all else.
        client.connection.send_bytes(format!("{request}\n").as_bytes()).await;
        let answer = client.connection.receive_line().await;
        let is_refused = answer.contains("error");
        assert!(!is_refused || answer.contains("max_file_watches"), "{answer}");
        if is_refused { refused += 1 } else { watched += 1 }
    }
    assert!((1..=300).contains(&watched) && watched + refused == 10_000, "{watched} {refused}");
    until("one directory", || held_directories(&scene) == 1).await;
    let mut other = Client::modern(&server);
    let answer = other.subscribe(&[uri(&scene, "f0"), uri(&scene, "x")]).await;
    let text = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(watched < 300 || text.contains("max_file_watches"), "{answer}");
    for number in 0..watched {
        client.ask("resources/unsubscribe", json!({"uri": uri(&scene, &format!("f{number}"))})).await;
    }
    let answer = client.subscribe(&[uri(&scene, "x")]).await;
    assert!(answer.get("error").is_none(), "there is room again: {answer}");
    scene.write("x", "");
    client.expect(&uri(&scene, "x")).await;
}

#[cfg(feature = "cli")]
#[test]
fn a_server_without_subscribers_has_no_thread_for_files() {
    use std::io::{BufRead, BufReader, Write};
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("f"), "").expect("a file");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcpool"));
    command.args(["serve", "--file-resources"]).arg(directory.path());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut ask = |request: Value| {
        writeln!(input, "{request}").expect("the program reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("the program writes");
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let hello = ask(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}));
    assert_eq!(hello["result"]["capabilities"]["resources"], json!({"subscribe": true}));
    let tasks = format!("/proc/{}/task", child.id());
    let found = |name: &str| {
        let tasks = std::fs::read_dir(&tasks).expect("threads").flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|found| found.trim_end() == name).count()
    };
    let wait_for = |threads: [usize; 2]| {
        let end = Instant::now() + PATIENCE;
        while THREADS.map(found) != threads {
            assert!(Instant::now() < end, "{:?} and not {threads:?}", THREADS.map(found));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let root = directory.path().canonicalize().expect("a path");
    let params = json!({"uri": format!("file://{}/f", root.display())});
    for _ in 0..3 {
        assert_eq!(THREADS.map(found), [0, 0], "nobody is subscribed");
        ask(json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params}));
        wait_for([1, 1]);
        ask(json!({"jsonrpc": "2.0", "id": 2, "method": "resources/unsubscribe", "params": params}));
        wait_for([0, 0]);
    }
    drop(input);
    assert!(child.wait().expect("it ends").success());
}
