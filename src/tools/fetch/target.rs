//! What is fetched: a URL of the web, as browsers read it.
//!
//! Reading it that way gives each address one spelling: `0x7f.1`, `2130706433`, `127.0.0.1.` and digits of other scripts
//! all become `127.0.0.1` before anything is checked.

use super::error::PageError;
use url::{Host, Url};

/// Longest URL. Servers refuse longer ones.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Reads the URL that a client gave.
///
/// # Errors
/// When it is none, is not of the web, or has a user or a password in it.
pub(crate) fn parse(text: &str) -> Result<Url, PageError> {
    // What cannot be read may have a password anywhere before an `@`.
    let refuse = |why: String| PageError::Url { url: without_password(text), why };
    if text.len() > MAX_URL_BYTES {
        return Err(refuse(format!("it is longer than {MAX_URL_BYTES} bytes")));
    }
    let url = Url::parse(text).map_err(|error| refuse(format!("it is not an absolute URL ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(PageError::Url {
            url: without_user(&url).to_string(),
            why: "it has a user or a password in it, which would be sent to whoever answers".to_owned(),
        });
    }
    check_scheme(&url).and_then(|()| check_length(&url)).map_err(refuse)?;
    Ok(url)
}

/// The URL that a redirect from `from` leads to, without the user and password that it may have.
///
/// # Errors
/// When it leads out of the web.
pub(crate) fn redirected(from: &Url, location: &str) -> Result<Url, PageError> {
    let refuse = |why: String| PageError::Failed {
        url: from.to_string(),
        why: format!("it redirects to {:?}: {why}", without_password(location)),
    };
    if location.len() > MAX_URL_BYTES {
        return Err(refuse(format!("that is longer than {MAX_URL_BYTES} bytes")));
    }
    let mut url = from.join(location).map_err(|error| refuse(format!("that is no URL ({error})")))?;
    check_scheme(&url).and_then(|()| check_length(&url)).map_err(refuse)?;
    if url.fragment().is_none() {
        url.set_fragment(from.fragment());
    }
    Ok(without_user(&url))
}

/// The URL of the file that says what robots may fetch from the same server.
pub(crate) fn robots(url: &Url) -> Url {
    let mut robots = url.clone();
    robots.set_path("/robots.txt");
    robots.set_query(None);
    robots.set_fragment(None);
    robots
}

/// The host, as it is looked up.
pub(crate) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// Escapes make a URL up to nine times as long as what it was read from.
fn check_length(url: &Url) -> Result<(), String> {
    match url.as_str().len() {
        ..=MAX_URL_BYTES => Ok(()),
        bytes => Err(format!("it has {bytes} bytes when it is escaped, and {MAX_URL_BYTES} are allowed")),
    }
}

fn check_scheme(url: &Url) -> Result<(), String> {
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(Host::Domain(name))) if name.trim_matches('.').is_empty() => {
            Err("it names no host".to_owned())
        }
        ("http" | "https", Some(_)) => Ok(()),
        ("http" | "https", None) => Err("it names no host".to_owned()),
        (scheme, _) => Err(format!("only http and https are fetched, not {scheme}")),
    }
}

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail for URLs without a host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// A text that may be a URL, without what may be a user and a password in it.
pub(crate) fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("...@{}", shown(rest)),
        None => shown(text),
    }
}

/// The beginning of a text that may be long.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_spelling() {
        for (text, want) in [
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://127.0.1/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http:127.0.0.1", "127.0.0.1"),
            ("http:\\\\127.0.0.1\\", "127.0.0.1"),
            ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "127.0.0.1"),
            ("http://127\u{3002}0\u{3002}0\u{3002}1/", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("http://[::1]/", "[::1]"),
            ("http://[0:0:0:0:0:0:0:1]/", "[::1]"),
            ("http://[::127.0.0.1]/", "[::7f00:1]"),
            ("http://[::ffff:127.0.0.1]/", "[::ffff:7f00:1]"),
            ("http://[::FFFF:7f00:1]/", "[::ffff:7f00:1]"),
            ("http://LOCALHOST/", "localhost"),
            ("http://loc%61lhost/", "localhost"),
            ("http://\u{24db}ocalhost/", "localhost"),
            ("http://localhost./", "localhost."),
            ("http://b\u{fc}cher.example/", "xn--bcher-kva.example"),
            ("http://example.com#@127.0.0.1/", "example.com"),
            ("http://example.com?@127.0.0.1/", "example.com"),
            ("  http://example.com\t/ ", "example.com"),
        ] {
            let url = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(host(&url), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_of_the_web_is_refused() {
        for text in [
            "",
            "example.com",
            "/path",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_",
            "data:text/html,x",
            "javascript:alert(1)",
            "http://",
            "http:///",
            "http://./",
            "http://user@example.com/",
            "http://user:secret@example.com/",
            "http://:secret@example.com/",
            "http://[fe80::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "http://1.2.3.4.5/",
            "http://256.256.256.256/",
            "http://127.0.0.1:99999/",
            "http://exa mple.com/",
            "http://example.com:80:80/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES))).is_err());
        assert!(parse(&format!("http://example.com/{}", "\u{e9}".repeat(MAX_URL_BYTES / 3))).is_err());
        for text in [
            "http://user:secret@example.com/",
            "http://user:secret@exa mple.com/",
            "http://user:secret@example.com:99999/",
            "http://user:secret@/",
            "ftp://user:secret@example.com/",
            "user:secret@example.com",
            "//user:secret@example.com",
        ] {
            let error = parse(text).expect_err("a password").to_string();
            assert!(!error.contains("secret"), "{error}");
            let long =
                parse(&format!("{text}{}", "a".repeat(MAX_URL_BYTES))).expect_err("too long").to_string();
            assert!(!long.contains("secret"), "{long}");
        }
    }

    #[test]
    fn redirects_stay_in_the_web_and_take_no_password_along() {
        let from = parse("https://example.com/a/b?c#d").expect("a URL");
        for (location, want) in [
            ("/x", "https://example.com/x#d"),
            ("x#y", "https://example.com/a/x#y"),
            ("//other.example", "https://other.example/#d"),
            ("http://user:secret@other.example/", "http://other.example/#d"),
        ] {
            assert_eq!(redirected(&from, location).expect("a URL").as_str(), want);
        }
        let error = redirected(&from, "ftp://user:secret@x/").expect_err("not of the web").to_string();
        assert!(!error.contains("secret"), "{error}");
        for location in ["file:///etc/passwd", "ftp://x/", "http://", "http://[", "gopher://x:70/"] {
            assert!(redirected(&from, location).is_err(), "{location}");
        }
        assert_eq!(robots(&from).as_str(), "https://example.com/robots.txt");
    }
}
