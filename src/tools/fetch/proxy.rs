//! Through whom pages are fetched: nobody, one proxy for all, or those that the environment names.

use super::error::FetchError;
use super::target;
use std::sync::Arc;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};
use url::Url;

/// The proxies, by the scheme of what is fetched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    /// What `NO_PROXY` says, as a proxy that is asked for nothing else.
    exceptions: Option<Proxy>,
}

/// A proxy, or why what was named cannot be used.
type Named = Result<Proxy, Arc<FetchError>>;

impl Proxies {
    /// One proxy for everything.
    ///
    /// # Errors
    /// When `url` names no proxy that this client can use.
    pub(crate) fn one(url: &str) -> Result<Self, FetchError> {
        let proxy = parse(url)?;
        Ok(Self { http: Some(Ok(proxy.clone())), https: Some(Ok(proxy)), exceptions: None })
    }

    /// Those that `variable` names: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in small letters as well.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            value.filter(|value| !value.trim().is_empty())
        };
        let of_scheme = |name| {
            let url = read(name).or_else(|| read("ALL_PROXY"))?;
            Some(parse(&url).map_err(Arc::new))
        };
        let exceptions = read("NO_PROXY").map(|names| {
            let listed = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            // A name stands for its whole domain.
            let patterns =
                listed.flat_map(|name| [name.to_owned(), format!(".{}", name.trim_start_matches('.'))]);
            let nobody = Proxy::builder(ProxyProtocol::Http).host("none.invalid");
            patterns.fold(nobody, |proxy, pattern| proxy.no_proxy(&pattern))
        });
        let exceptions = exceptions.and_then(|proxy| proxy.build().ok());
        Self { http: of_scheme("HTTP_PROXY"), https: of_scheme("HTTPS_PROXY"), exceptions }
    }

    /// The proxy for `url`, if it goes through one.
    ///
    /// # Errors
    /// When the one that was named for it cannot be used.
    pub(crate) fn of(&self, url: &Url, uri: &Uri) -> Result<Option<&Proxy>, &FetchError> {
        if self.exceptions.as_ref().is_some_and(|exceptions| exceptions.is_no_proxy(uri)) {
            return Ok(None);
        }
        let named = if url.scheme() == "https" { &self.https } else { &self.http };
        named.as_ref().map(|named| named.as_ref().map_err(AsRef::as_ref)).transpose()
    }

    /// Heap bytes, for the memory report.
    pub(crate) fn heap_bytes(&self) -> usize {
        // A proxy keeps its URL in parts.
        const PROXY_BYTES: usize = 512;
        let named = usize::from(self.http.is_some()) + usize::from(self.https.is_some());
        (named + usize::from(self.exceptions.is_some())) * PROXY_BYTES
    }
}

fn parse(text: &str) -> Result<Proxy, FetchError> {
    let refuse = |why| FetchError::Proxy { url: target::without_password(text), why };
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match full.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("http" | "https") => {}
        Some("socks" | "socks4" | "socks4a" | "socks5" | "socks5h") => {
            return Err(refuse(
                "SOCKS is not supported: name a proxy that speaks HTTP, as http://HOST:PORT or https://HOST:PORT, for \
                 instance Privoxy in front of the one of SOCKS",
            ));
        }
        _ => return Err(refuse("a proxy is named as http://HOST:PORT or https://HOST:PORT")),
    }
    let proxy = Proxy::new(&full).map_err(|_| refuse("it is not a URL with a host"))?;
    if proxy.host().is_empty() { Err(refuse("it is not a URL with a host")) } else { Ok(proxy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        let uri: Uri = url.parse().expect("a URI");
        proxies
            .of(&url.parse().expect("a URL"), &uri)
            .expect("one that can be used")
            .map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn the_environment_names_proxies_by_scheme() {
        let variables = [
            ("HTTP_PROXY", "http://a.example:1"),
            ("http_proxy", "b.example:2"),
            ("ALL_PROXY", "https://user:word@c.example"),
            ("NO_PROXY", " internal.example, .local,"),
        ];
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let proxies = Proxies::from_variables(find);
        for (url, want) in [
            ("http://x.example/", Some("b.example:2")),
            ("https://x.example/", Some("c.example:443")),
            ("http://internal.example/", None),
            ("https://deep.internal.example/", None),
            ("https://printer.local/", None),
            ("http://notinternal.example/", Some("b.example:2")),
        ] {
            assert_eq!(through(&proxies, url).as_deref(), want, "{url}");
        }
        let none = Proxies::from_variables(|_| None);
        assert_eq!(through(&none, "http://x.example/"), None);
    }

    /// Nothing is fetched past a proxy because of a mistake in its name.
    #[test]
    fn a_proxy_of_the_environment_that_cannot_be_used_is_not_passed_by() {
        for (name, value) in [
            ("ALL_PROXY", "socks5://p:1"),
            ("all_proxy", "socks5h://user:secret@p:1"),
            ("HTTP_PROXY", "SOCKS4a://p:1"),
        ] {
            let proxies = Proxies::from_variables(|asked| (asked == name).then(|| value.to_owned()));
            let url: Url = "http://x.example/".parse().expect("a URL");
            let error = proxies.of(&url, &"http://x.example/".parse().expect("a URI")).expect_err("no proxy");
            let text = error.to_string();
            assert!(text.contains("SOCKS is not supported") && text.contains("http://HOST:PORT"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        assert_eq!(
            through(&Proxies::one("p.example").expect("a proxy"), "https://x/").as_deref(),
            Some("p.example:80")
        );
        for url in ["socks5://user:secret@p:1", "ftp://user:secret@p", "http://", "http://user:secret@:80:80"]
        {
            let error = Proxies::one(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
