//! Servers that send too much, too little, too slowly, or something else than they say.

use super::site::{Deaf, Site, html, response, wait_for_close};
use super::{MAX_PAGE_BYTES, Scene};
use crate::tools::fetch::error::PageError;
use crate::tools::fetch::proxy::Proxies;
use flate2::Compression;
use flate2::write::GzEncoder;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Answers everything with `bytes`, then waits for the client to go.
fn sending(bytes: Vec<u8>) -> Site {
    Site::new(move |_, stream| {
        let _ = stream.write_all(&bytes);
        wait_for_close(stream);
    })
}

#[track_caller]
fn assert_cut(scene: &Scene, site: &Site) {
    let page = scene.fetch(&site.url("/")).expect("a page");
    assert_eq!(page.text.len(), MAX_PAGE_BYTES);
    assert!(page.suffix.contains("fetch_max_page_bytes"), "{}", page.suffix);
}

#[test]
fn an_endless_page_is_cut() {
    let chunked = Site::new(|_, stream| {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/plain\r\n\r\n");
        while stream.write_all(b"3e8\r\n").is_ok()
            && stream.write_all(&[b'x'; 1_000]).is_ok()
            && stream.write_all(b"\r\n").is_ok()
        {}
    });
    assert_cut(&Scene::new(), &chunked);
    let until_close = Site::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
        while stream.write_all(&[b'x'; 1_000]).is_ok() {}
    });
    assert_cut(&Scene::new(), &until_close);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![b'x'; 16 << 20]).expect("written");
    let bomb = bomb.finish().expect("done");
    let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/plain\r\n\r\n";
    assert_cut(&Scene::new(), &sending([head, &*bomb].concat()));
    // As HTML, what came is simplified.
    let long = format!("<html><body><article>{}", "<p>Some words, and more of them.</p>".repeat(10_000));
    let page = Scene::simplified().fetch(&sending(html(&long)).url("/")).expect("a page");
    assert!(page.text.contains("Some words") && page.suffix.contains("<error>"), "{}", page.suffix);
}

#[test]
fn what_is_no_answer_is_an_error() {
    let endless_head = Site::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x-more: and more of it, without end\r\n").is_ok() {}
    });
    let error = Scene::new().error(&endless_head.url("/"));
    assert!(matches!(error, PageError::Failed { .. }), "{error}");
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-"),
        ("a body too short", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"),
        ("a bad chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx\r\n"),
        ("an open chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nshort"),
        ("no gzip", b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain"),
        ("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx"),
    ] {
        let site = Site::new(move |_, stream| {
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        });
        let error = Scene::new().error(&site.url("/"));
        assert!(matches!(error, PageError::Failed { .. }), "{what}: {error}");
    }
    // What is behind the length that was said is not part of the page.
    let long = sending(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole, and more".to_vec());
    assert_eq!(Scene::new().text(&long.url("/")), "whole");
    for status in [400, 404, 451, 500, 503, 599] {
        let site = Site::of(move |_| Some(response(&format!("{status} No"), "text/html", b"<p>no")));
        let error = Scene::new().error(&site.url("/"));
        assert_eq!(error.to_string(), format!("Failed to fetch {} - status code {status}", site.url("/")));
    }
}

#[test]
fn heads_up_to_the_bound_are_read() {
    for (head_bytes, is_read) in
        [(15_000, true), (17_000, true), (40_000, true), (64_000, true), (70_000, false)]
    {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx-long: {}\r\n\r\nx", "a".repeat(head_bytes));
        let site = sending(head.into_bytes());
        match Scene::new().fetch(&site.url("/")) {
            Ok(page) => assert!(is_read && page.text == "x", "{head_bytes}"),
            Err(error) => {
                assert!(
                    !is_read && error.to_string().contains("head of its response"),
                    "{head_bytes}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_slow_server_has_as_much_time_as_a_call() {
    let silent = Site::new(|_, stream| wait_for_close(stream));
    let drip = Site::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let slow_head = Site::new(|_, stream| {
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let scene = Scene { timeout_ms: 500, ..Scene::new() };
    for site in [&silent, &drip] {
        let error = scene.error(&site.url("/"));
        assert!(error.to_string().contains("fetch_timeout_ms"), "{error}");
    }
    // It is no head of HTTP from its second byte on.
    assert!(scene.fetch(&slow_head.url("/")).is_err());
    let polite = Scene { obeys_robots: true, ..scene };
    let error = polite.error(&silent.url("/"));
    assert!(matches!(error, PageError::TimedOut { .. }), "{error}");
}

/// Nothing is sent any more that would wake who reads.
#[test]
fn a_cancelled_call_does_not_wait_for_its_server() {
    let silent = Site::new(|_, stream| wait_for_close(stream));
    let half = Site::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        wait_for_close(stream);
    });
    for site in [&silent, &half] {
        let scene = Scene { cancelled_after: 8, timeout_ms: 3_600_000, ..Scene::new() };
        let error = scene.error(&site.url("/"));
        assert!(matches!(error, PageError::Cancelled(_)), "{error}");
    }
}

/// Without the token, it would wait for the connection until that has failed.
#[test]
fn a_cancelled_call_does_not_wait_for_a_connection() {
    let deaf = Deaf::new();
    let scene = Scene { timeout_ms: 3_600_000, ..Scene::new() };
    let error = Scene { cancelled_after: 8, ..scene }.error(&deaf.url("/"));
    assert!(matches!(error, PageError::Cancelled(_)), "{error}");
    // Nor to a proxy, plain or with a tunnel.
    for url in ["http://127.0.0.1/", "https://127.0.0.1/"] {
        let mut scene = Scene { cancelled_after: 8, timeout_ms: 3_600_000, ..Scene::new() };
        scene.network.proxies = Proxies::one(&deaf.url("")).expect("a proxy");
        let error = scene.error(url);
        assert!(matches!(error, PageError::Cancelled(_)), "{url}: {error}");
    }
}

#[test]
fn a_connection_that_is_not_answered_fails_in_its_time() {
    let deaf = Deaf::new();
    let error = Scene { timeout_ms: 300, ..Scene::new() }.error(&deaf.url("/"));
    assert!(matches!(error, PageError::TimedOut { .. }), "{error}");
    // A port that is taken, and that nobody listens on.
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    taken.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let port = taken.local_addr().expect("an address").as_socket().expect("one of IP").port();
    let error = Scene::new().error(&format!("http://127.0.0.1:{port}/"));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_page_is_read_in_its_encoding() {
    let article = |word: &[u8]| {
        let text =
            b"<p>Some words, and a few more words, so that there is a main part, which is found. ".repeat(8);
        [b"<html><body><article><p>", word, b"</p>", &*text, b"</article></body></html>"].concat()
    };
    for (content_type, word) in [
        ("text/html; charset=utf-8", &b"caf\xc3\xa9"[..]),
        ("text/html; charset=iso-8859-1", b"caf\xe9"),
        ("text/html; charset=windows-1252", b"caf\xe9"),
        ("text/html; charset=\"macintosh\"", b"caf\x8e"),
        ("", b"caf\xc3\xa9"),
        ("text/html; charset=unheard-of", b"caf\xc3\xa9"),
    ] {
        let body = article(word);
        let site = Site::of(move |_| Some(response("200 OK", content_type, &body)));
        let page = Scene::simplified().fetch(&site.url("/")).expect("a page");
        assert!(page.text.contains("caf\u{e9}"), "{content_type}: {}", page.text);
        assert_eq!(page.prefix, "");
    }
    // Neither invalid bytes nor another type are an error.
    let site = Site::of(|_| Some(response("200 OK", "application/octet-stream", b"\xff\x00\xfe<p>")));
    let page = Scene::simplified().fetch(&site.url("/")).expect("bytes");
    assert_eq!(page.text, "\u{fffd}\0\u{fffd}<p>");
    assert_eq!(
        page.prefix,
        "Content type application/octet-stream cannot be simplified to markdown, but here is the raw content:\n"
    );
}
