//! A sender and receivers that accept, fail, redirect, and never answer.

use super::*;
use crate::monitor::{AlertKind, Severity};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver as Received, sync_channel};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// No test waits that long unless it fails.
const PATIENCE: Duration = Duration::from_mins(2);

fn alert(number: usize, resolved_unix_ms: Option<u64>) -> Alert {
    Alert {
        severity: Severity::Warning,
        kind: AlertKind::Regression,
        subject: format!("tool {number}"),
        what: "takes longer".to_owned(),
        against: "usual".to_owned(),
        cause: "itself".to_owned(),
        command: "mcpool report".to_owned(),
        since_unix_ms: 1_700_000_000_000,
        resolved_unix_ms,
        times: 1,
    }
}

fn facts() -> ServerFacts {
    ServerFacts { name: "t".to_owned(), version: "1".to_owned(), pid: 7, os: "linux".to_owned() }
}

/// The folder lives as long as the secret is needed.
fn secret() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, SECRET).expect("written");
    (folder, path)
}

fn sink_to(address: &str) -> AlertSink {
    let (_folder, secret) = secret();
    sink(&format!("http://{address}/alerts?token=hidden"), &secret, facts()).expect("a sink")
}

/// A request that came.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Self {
        let mut input = BufReader::new(stream);
        let mut text = || {
            let mut line = String::new();
            input.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        };
        let line = text();
        let mut headers = Vec::new();
        loop {
            let header = text();
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { line, headers, body: Vec::new() };
        let length = request.header("content-length").parse().expect("a length");
        request.body.resize(length, 0);
        input.read_exact(&mut request.body).expect("a body");
        request
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).expect(name)
    }

    fn subject(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        body["data"]["alert"]["subject"].as_str().expect("text").to_owned()
    }
}

/// A receiver that gives one answer after the other, the last one again and again, and what it received.
fn receiver(answers: &'static [&'static str]) -> (String, Received<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, told) = sync_channel(1_000);
    thread::spawn(move || {
        let last = answers.last().expect("an answer");
        for answer in answers.iter().chain(std::iter::repeat(last)) {
            let (mut stream, _) = listener.accept().expect("a connection");
            let request = Request::read(&stream);
            // The sender may be gone already.
            let _ = write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn an_alert_is_sent_with_a_signature_that_its_receiver_can_verify() {
    let (address, received) = receiver(&["204 No Content"]);
    let sink = sink_to(&address);
    sink(&alert(1, None));
    sink(&alert(1, Some(1_700_000_060_000)));
    let (first, second) =
        (received.recv_timeout(PATIENCE).expect("sent"), received.recv_timeout(PATIENCE).expect("sent"));
    assert_eq!(first.line, "POST /alerts?token=hidden HTTP/1.1");
    let (folder, path) = secret();
    let signer = Signer::read(&path).expect("a key");
    drop(folder);
    for request in [&first, &second] {
        let timestamp_s = request.header("webhook-timestamp").parse().expect("seconds");
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(now_s - timestamp_s < 300, "{timestamp_s}");
        let want = signer.sign(request.header("webhook-id"), timestamp_s, &request.body);
        assert_eq!(request.header("webhook-signature"), want);
        assert_ne!(want, signer.sign(request.header("webhook-id"), timestamp_s + 1, &request.body));
        assert_eq!(request.header("content-type"), "application/json");
    }
    assert_ne!(first.header("webhook-id"), second.header("webhook-id"));
    let bodies = [&first, &second]
        .map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).expect("JSON"));
    assert_eq!((&bodies[0]["type"], &bodies[1]["type"]), (&"alert.firing".into(), &"alert.resolved".into()));
    assert_eq!(bodies[1]["timestamp"], "2023-11-14T22:14:20.000Z");
    assert_eq!((&bodies[0]["data"]["server"]["pid"], &bodies[0]["data"]["dropped"]), (&7.into(), &0.into()));
    assert_eq!(bodies[0]["data"]["alert"], serde_json::to_value(alert(1, None)).expect("JSON"));
}

#[test]
fn what_a_receiver_cannot_take_now_is_sent_again_with_the_same_id() {
    let (address, received) =
        receiver(&["500 Oops", "429 Too Many Requests\r\nretry-after: 1", "200 OK", "410 Gone", "200 OK"]);
    let sink = sink_to(&address);
    sink(&alert(1, None));
    let attempts: Vec<Request> =
        (0..3).map(|_| received.recv_timeout(PATIENCE).expect("sent again")).collect();
    assert!(attempts.iter().all(|request| request.header("webhook-id") == attempts[0].header("webhook-id")));
    // What is refused for good is not sent again: what follows is the next alert.
    sink(&alert(2, None));
    sink(&alert(3, None));
    let subjects = [(); 2].map(|()| received.recv_timeout(PATIENCE).expect("sent").subject());
    assert_eq!(subjects, ["tool 2", "tool 3"]);
}

#[test]
fn nobody_is_sent_elsewhere() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    elsewhere.set_nonblocking(true).expect("a socket");
    let answer =
        format!("307 Temporary Redirect\r\nlocation: http://{}/", elsewhere.local_addr().expect("bound"));
    let (address, received) = receiver(Box::leak(vec![&*answer.leak(), "200 OK"].into_boxed_slice()));
    let sink = sink_to(&address);
    sink(&alert(1, None));
    sink(&alert(2, None));
    let subjects = [(); 2].map(|()| received.recv_timeout(PATIENCE).expect("sent").subject());
    assert_eq!(subjects, ["tool 1", "tool 2"]);
    assert!(elsewhere.accept().is_err(), "the redirect was not followed");
}

/// The thread that sends hangs in a receiver that never answers, and nothing else does.
#[test]
fn a_receiver_that_never_answers_holds_nothing_up_and_what_waits_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (url, key) = (listener.local_addr().expect("bound"), Signer::of_test(SECRET));
    let url: Uri = format!("http://{url}/").parse().expect("a URL");
    let silent = Receiver { agent: agent(&url), url, signer: key };
    let queue = Arc::new(Queue::default());
    let sending = thread::spawn({
        let queue = Arc::clone(&queue);
        move || send_all(&silent, &queue)
    });
    push(&queue, &facts(), &alert(0, None));
    let (open, _) = listener.accept().expect("it connects");
    for number in 1..=queue::MAX_QUEUED + 10 {
        push(&queue, &facts(), &alert(number, None));
    }
    assert_eq!(queue.dropped(), 10);
    // A server that ends closes the queue. The thread ends by itself, after its time-out at the latest.
    queue.close();
    sending.join().expect("no panic");
    drop(open);
}

#[test]
fn a_server_that_ends_does_not_wait_for_a_pause() {
    let (address, received) = receiver(&["503 Later\r\nretry-after: 300"]);
    let (tell, told) = sync_channel(1);
    let url: Uri = format!("http://{address}/").parse().expect("a URL");
    let busy = Receiver { agent: agent(&url), url, signer: Signer::of_test(SECRET) };
    let queue = Arc::new(Queue::default());
    let closing = Closing(Arc::clone(&queue));
    thread::spawn(move || {
        send_all(&busy, &queue);
        tell.send(()).expect("somebody waits");
    });
    push(&closing.0, &facts(), &alert(1, None));
    received.recv_timeout(PATIENCE).expect("sent once");
    drop(closing);
    told.recv_timeout(PATIENCE).expect("it ended before the five minutes were over");
}

#[test]
fn statuses_say_whether_to_try_again() {
    let later = |status| matches!(of_status(status, None), Attempt::Later { .. });
    assert!([408, 429, 500, 502, 503, 599].into_iter().all(later));
    assert!(![200, 204, 301, 307, 400, 401, 404, 410].into_iter().any(later));
    assert_eq!(of_status(202, None), Attempt::Accepted);
    let now = UNIX_EPOCH + Duration::from_secs(1_445_412_400);
    for (text, want) in [
        ("120", Some(Duration::from_mins(2))),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(Duration::from_secs(80))),
        ("Wed, 21 Oct 2015 07:00:00 GMT", None),
        ("soon", None),
    ] {
        assert_eq!(retry_after(text, now), want, "{text}");
    }
}

#[test]
fn urls_are_absolute_and_without_a_password() {
    for (url, want) in [
        ("https://hooks.example.com/a?b=c", true),
        ("http://127.0.0.1:8080/", true),
        ("https://user:secret@example.com/", false),
        ("ftp://example.com/", false),
        ("/alerts", false),
        ("example.com", false),
        ("https://", false),
        ("not a URL", false),
    ] {
        assert_eq!(receiver_url(url).is_ok(), want, "{url}");
    }
    let (_folder, secret) = secret();
    let Err(error) = sink("https://user:secret@example.com/", &secret, facts()) else { panic!("accepted") };
    assert!(!error.to_string().contains("secret@"), "{error}");
}
