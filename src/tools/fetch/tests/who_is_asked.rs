//! Nobody is asked whose address may not be asked, however a page or a name leads there.

use super::site::{Site, html, redirect, response};
use super::{AGENT, Scene};
use crate::tools::fetch::client::Network;
use crate::tools::fetch::error::PageError;
use crate::tools::fetch::lookup::Lookups;
use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Names with the addresses that they have at each look, the last one for ever.
#[derive(Debug)]
struct Names {
    addresses: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    looks: AtomicUsize,
}

impl Names {
    fn new(names: &[(&'static str, &[&[&str]])]) -> Arc<Self> {
        let parse = |look: &&[&str]| look.iter().map(|ip| ip.parse().expect("an address")).collect();
        let addresses = names.iter().map(|(name, looks)| (*name, looks.iter().map(parse).collect()));
        Arc::new(Self { addresses: addresses.collect(), looks: AtomicUsize::new(0) })
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

/// They, as they are asked.
#[derive(Debug)]
struct Asked(Arc<Names>);

impl Resolver for Asked {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let look = self.0.looks.fetch_add(1, Ordering::SeqCst);
        let looks = self.0.addresses.get(uri.host().unwrap_or_default()).ok_or(ureq::Error::HostNotFound)?;
        let mut found = self.empty();
        for ip in &looks[look.min(looks.len() - 1)] {
            found.push(SocketAddr::new(*ip, uri.port_u16().unwrap_or(80)));
        }
        Ok(found)
    }
}

fn with_names(scene: Scene, names: &Arc<Names>) -> Scene {
    let Scene { network, .. } = scene;
    let network = Network { lookups: Lookups::new(Asked(Arc::clone(names))), ..network };
    Scene { network, ..scene }
}

/// A site at an address of this machine that may not be asked.
fn private_site() -> Site {
    Site::at(Ipv4Addr::new(127, 0, 0, 2).into(), |_, stream| {
        let _ = stream.write_all(&response("200 OK", "text/plain", b"secret"));
    })
}

#[track_caller]
fn assert_refused(error: &PageError, what: &str) {
    assert!(matches!(error, PageError::Refused { .. } | PageError::RefusedName { .. }), "{what}: {error}");
    assert!(error.to_string().contains("--allow-private-ips"), "{error}");
}

/// What of this machine and its network may be written like.
const HOSTS: &str = "127.0.0.1 127.1 127.0.0.1. 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 \u{ff11}27.0.0.1 0 \
    0.0.0.0 [::] [::1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::127.0.0.1] \
    [64:ff9b:1::7f00:1] [2002:7f00:1::] [2001:0:7f00:1::] [fe80::1] [fd00:ec2::254] [ff02::1] \
    10.0.0.1 100.100.100.200 169.254.169.254 0xa9fea9fe 172.16.0.1 192.168.0.1 192.0.2.1 198.18.0.1 \
    224.0.0.1 255.255.255.255 localhost LocalHost localhost. a.localhost metadata.google.internal \
    127.0.0.1.nip.example mapped.example mixed.example nat64.example";

#[test]
fn no_spelling_of_a_private_address_is_asked() {
    let site = Site::of(|_| Some(response("200 OK", "text/plain", b"secret")));
    let port = site.address().port();
    let names = Names::new(&[
        ("localhost", &[&["127.0.0.1"]]),
        ("localhost.", &[&["127.0.0.1"]]),
        ("a.localhost", &[&["::1"]]),
        ("metadata.google.internal", &[&["169.254.169.254"]]),
        ("127.0.0.1.nip.example", &[&["127.0.0.1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("mixed.example", &[&["1.1.1.1", "127.0.0.1"]]),
        ("nat64.example", &[&["64:ff9b::7f00:1"]]),
    ]);
    let scene = with_names(Scene::strict(), &names);
    for host in HOSTS.split_whitespace() {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            assert_refused(&scene.error(&url), &url);
        }
    }
    assert!(site.heads().is_empty());
    let polite = Scene { obeys_robots: true, ..with_names(Scene::strict(), &names) };
    assert_refused(&polite.error(&site.url("/")), "robots.txt");
}

#[test]
fn a_redirect_leads_to_no_private_address() {
    let private = private_site();
    let to_private = private.url("/");
    let site = Site::of(move |path| match path {
        "/away" => Some(redirect(&to_private)),
        "/file" => Some(redirect("file:///etc/passwd")),
        "/spelled" => Some(redirect("http://0x7f.2/")),
        "/twice" => Some(redirect("/away")),
        "/nowhere" => Some(b"HTTP/1.1 302 Found\r\ncontent-length: 5\r\n\r\nstays".to_vec()),
        "/fine" => Some(redirect("/end#x")),
        "/end" => Some(response("200 OK", "text/plain", b"the end")),
        "/loop" => Some(redirect("/loop")),
        _ => None,
    });
    let scene = Scene::new();
    for path in ["/away", "/spelled", "/twice"] {
        assert_refused(&scene.error(&site.url(path)), path);
    }
    assert!(private.heads().is_empty());
    assert!(scene.error(&site.url("/file")).to_string().contains("only http and https"));
    assert_eq!(scene.text(&site.url("/nowhere")), "stays");
    assert_eq!(scene.text(&site.url("/fine")), "the end");
    assert!(matches!(scene.error(&site.url("/loop")), PageError::Redirects { limit: 20, .. }));
    assert_eq!(site.paths().iter().filter(|path| *path == "/loop").count(), 21);
    assert!(site.heads().iter().all(|head| head.to_lowercase().contains("\r\nuser-agent: tester/1.0\r\n")));
}

/// One look for one connection, and each look is checked.
#[test]
fn a_name_that_changes_its_address_leads_nowhere() {
    let (site, private) = (Site::of(|_| Some(response("200 OK", "text/plain", b"public"))), private_site());
    let names = Names::new(&[("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let scene = with_names(Scene::new(), &names);
    let url = |site: &Site| format!("http://rebind.example:{}/", site.address().port());
    assert_eq!(scene.text(&url(&site)), "public");
    assert_eq!(names.looks(), 1, "what was checked is not what was connected to");
    assert_refused(&scene.error(&url(&private)), "the second look");
    assert!(private.heads().is_empty());
    // Within one call: `robots.txt` at one address, the page at another.
    let names = Names::new(&[("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let polite = Scene { obeys_robots: true, ..with_names(Scene::new(), &names) };
    assert_refused(&polite.error(&url(&site)), "the page");
    let unknown = scene.error("http://unknown.example/");
    assert!(matches!(unknown, PageError::Failed { .. }), "{unknown}");
}

#[test]
fn robots_txt_is_asked_for_each_server() {
    let other = Site::of(|path| match path {
        "/robots.txt" => Some(response("200 OK", "text/plain", b"User-agent: tester\nDisallow: /private")),
        _ => Some(response("200 OK", "text/plain", b"other")),
    });
    let (to_private, to_public) = (other.url("/private/x"), other.url("/public"));
    let site = Site::of(move |path| match path {
        "/to-private" => Some(redirect(&to_private)),
        "/to-public" => Some(redirect(&to_public)),
        _ => None,
    });
    let scene = Scene::polite();
    assert_eq!(scene.text(&site.url("/to-public")), "other");
    let error = scene.error(&site.url("/to-private"));
    let text = error.to_string();
    assert!(matches!(error, PageError::Disallowed { .. }), "{text}");
    for part in [&*other.url("/robots.txt"), AGENT, "Disallow: /private", &*other.url("/private/x")] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(other.paths(), ["/robots.txt", "/public", "/robots.txt"]);
}

#[test]
fn the_status_of_robots_txt_decides_as_in_the_reference() {
    const FORBIDS: &[u8] = b"User-agent: *\nDisallow: /";
    for (status, body, want) in [
        ("200 OK", FORBIDS, false),
        ("200 OK", b"".as_slice(), true),
        ("401 Unauthorized", b"", false),
        ("403 Forbidden", b"", false),
        ("404 Not Found", FORBIDS, true),
        ("429 Too Many Requests", FORBIDS, true),
        ("500 Internal Server Error", FORBIDS, false),
        ("503 Service Unavailable", b"down", true),
    ] {
        let site = Site::of(move |path| match path {
            "/robots.txt" => Some(response(status, "text/plain", body)),
            _ => Some(response("200 OK", "text/plain", b"page")),
        });
        let fetched = Scene::polite().fetch(&site.url("/x?y"));
        assert_eq!(fetched.is_ok(), want, "{status}: {fetched:?}");
        assert_eq!(site.paths().contains(&"/x?y".to_owned()), want);
        assert!(Scene::new().fetch(&site.url("/x")).is_ok(), "{status}: asked although it is ignored");
    }
    let silent = Site::new(|_, stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    let error = Scene::polite().error(&silent.url("/"));
    assert!(matches!(&error, PageError::RobotsUnreachable { why, .. } if !why.is_empty()), "{error}");
    // The end of a file that is too long does not count, and none is read for ever.
    let endless = Site::new(|first, stream| {
        if !first.contains("robots") {
            let _ = stream.write_all(&response("200 OK", "text/plain", b"page"));
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\n");
        while stream.write_all(b"Disallow: /other\n").is_ok() {}
    });
    assert_eq!(Scene::polite().text(&endless.url("/x")), "page");
}

/// A proxy that opens no tunnels.
fn proxy() -> Site {
    Site::new(|first, stream| {
        let answer = match first {
            first if first.starts_with("CONNECT") => b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec(),
            first if first.contains("/away") => redirect("https://public.example/"),
            _ => html("<html>behind the proxy"),
        };
        let _ = stream.write_all(&answer);
    })
}

/// Plain pages are asked for with their whole URL, and tunnels are for encrypted ones.
#[test]
fn a_proxy_is_told_what_it_is_asked_for() {
    let proxy = proxy();
    let names = Names::new(&[("public.example", &[&["1.1.1.1"]])]);
    let with_password = proxy.url("").replace("://", "://user:word@");
    let scene = with_names(Scene::through(&with_password), &names);
    for url in ["http://public.example/a?b#c", "http://public.example:8080/"] {
        assert_eq!(scene.text(url), "<html>behind the proxy", "{url}");
    }
    let error = scene.error("http://public.example/away").to_string();
    assert!(error.contains("403"), "{error}");
    let heads = proxy.heads();
    let asked: Vec<_> = heads.iter().map(|head| head.lines().next().unwrap_or_default()).collect();
    let want = [
        "GET http://public.example/a?b HTTP/1.1",
        "GET http://public.example:8080/ HTTP/1.1",
        "GET http://public.example/away HTTP/1.1",
        "CONNECT public.example:443 HTTP/1.1",
    ];
    assert_eq!(asked, want);
    for head in heads {
        let head = head.to_lowercase();
        assert!(head.contains("\r\nproxy-authorization: basic dxnlcjp3b3jk\r\n"), "{head}");
        assert!(head.contains("\r\nhost: public.example"), "{head}");
    }
}

/// The proxy is asked for names that this machine does not know, and for no address that may not be asked.
#[test]
fn through_a_proxy_addresses_are_checked_here() {
    let proxy = proxy();
    let names = Names::new(&[("public.example", &[&["1.1.1.1"]]), ("private.example", &[&["10.0.0.1"]])]);
    let scene = with_names(Scene::through(&proxy.url("")), &names);
    for url in ["http://public.example/", "http://only-the-proxy-knows.example/"] {
        assert_eq!(scene.text(url), "<html>behind the proxy", "{url}");
    }
    let asked = proxy.heads().len();
    for url in [
        "http://10.0.0.1/",
        "http://127.1/",
        "https://[::1]/",
        "http://private.example/",
        "http://168.63.129.16/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://a.localhost/",
        "https://metadata.google.internal./",
        "http://metadata/",
        "http://instance-data/",
    ] {
        assert_refused(&scene.error(url), url);
    }
    let to_metadata = Site::of(|_| Some(redirect("http://metadata.google.internal/")));
    let hops = with_names(Scene::through(&to_metadata.url("")), &names);
    assert_refused(&hops.error("http://public.example/"), "a redirect");
    assert!(!to_metadata.heads().iter().any(|head| head.contains("google")));
    assert_eq!(proxy.heads().len(), asked);
}
