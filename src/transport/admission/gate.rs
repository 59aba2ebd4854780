//! The gate that every endpoint has: refuses what foreign web pages have a browser send.
//!
//! MCP, health, metadata and the admin pages ask the same [`Gate`] before anything else of a request is looked at. It
//! knows the host that a request is addressed to, and what browsers add of themselves: the origin of the page, and the
//! relation of its site to this one (Fetch Metadata), which pages cannot change. Programs send neither.

use super::error::AdmissionError;
use super::host_and_origin::{Hosts, Origins, is_own};
use super::refusal::Refusal;

/// What a request says of the page that caused it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestSource<'a> {
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) origin: Option<&'a [u8]>,
    /// The value of `Sec-Fetch-Site`.
    pub(crate) fetch_site: Option<&'a [u8]>,
}

/// The hosts and origins that are allowed.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: Hosts,
    origins: Origins,
}

impl Gate {
    /// A gate for this machine, and for the hosts and the pages of the origins named.
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Result<Self, AdmissionError> {
        Ok(Self { hosts: Hosts::new(hosts)?, origins: Origins::new(origins)? })
    }

    /// A gate for this machine alone.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn of_this_machine() -> Self {
        Self { hosts: Hosts::default(), origins: Origins::default() }
    }

    /// Lets a request pass, or says why not. The host of one that came over a Unix socket means nothing, and no
    /// browser reaches one.
    pub(crate) fn check(&self, source: &RequestSource<'_>, is_unix: bool) -> Result<(), Refusal> {
        if !is_unix && !source.host.is_some_and(|host| self.hosts.allow(host)) {
            return Err(Refusal::Host);
        }
        self.check_page(source)
    }

    /// As [`Self::check`], for what may be asked under any name.
    pub(crate) fn check_page(&self, source: &RequestSource<'_>) -> Result<(), Refusal> {
        match (source.origin, source.fetch_site) {
            // A page of an allowed origin is on another site as often as not.
            (Some(origin), _) if self.origins.allow(origin) => Ok(()),
            (Some(_), _) => Err(Refusal::Origin),
            (None, None | Some(b"none" | b"same-origin")) => Ok(()),
            // Another port of this machine, whose pages are allowed; elsewhere it may be any host of the same domain.
            (None, Some(b"same-site")) if source.host.is_some_and(is_own) => Ok(()),
            // Images, links and the like come without an origin.
            (None, Some(_)) => Err(Refusal::FetchSite),
        }
    }

    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.allow(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_allowed_pages_pass_and_no_other_pages() {
        let public = Gate::new(&["mcp.example.com".to_owned()], &["https://app.example.com".to_owned()])
            .expect("rules");
        let own = Gate::of_this_machine();
        for (gate, host, origin, fetch_site, want) in [
            (&own, "localhost:8000", None, None, Ok(())),
            (&own, "127.0.0.1", None, Some("none"), Ok(())),
            (&own, "[::1]:1", None, Some("same-origin"), Ok(())),
            (&own, "localhost:8000", None, Some("same-site"), Ok(())),
            (&own, "192.0.2.1", None, Some("same-site"), Err(Refusal::FetchSite)),
            (&own, "localhost:8000", None, Some("cross-site"), Err(Refusal::FetchSite)),
            (&own, "localhost:8000", None, Some("what-comes-next"), Err(Refusal::FetchSite)),
            (&own, "localhost:8000", None, Some(""), Err(Refusal::FetchSite)),
            (&own, "localhost:8000", Some("http://localhost:3000"), Some("same-site"), Ok(())),
            (&own, "127.0.0.1:8000", Some("http://localhost:3000"), Some("cross-site"), Ok(())),
            (&own, "localhost:8000", Some("null"), None, Err(Refusal::Origin)),
            (&own, "localhost:8000", Some("https://evil.example"), None, Err(Refusal::Origin)),
            (&own, "localhost:8000", Some("https://evil.example"), Some("none"), Err(Refusal::Origin)),
            (&own, "evil.example", None, None, Err(Refusal::Host)),
            (&own, "evil.example", Some("http://evil.example"), Some("same-origin"), Err(Refusal::Host)),
            (&public, "mcp.example.com", Some("https://app.example.com"), Some("same-site"), Ok(())),
            (&public, "mcp.example.com", None, Some("same-site"), Err(Refusal::FetchSite)),
            (&public, "mcp.example.com", None, None, Ok(())),
        ] {
            let source = RequestSource {
                host: Some(host.as_bytes()),
                origin: origin.map(str::as_bytes),
                fetch_site: fetch_site.map(str::as_bytes),
            };
            assert_eq!(gate.check(&source, false), want, "{host} {origin:?} {fetch_site:?}");
            let want_of_unix = if want == Err(Refusal::Host) { None } else { Some(want) };
            if let Some(want) = want_of_unix {
                assert_eq!(gate.check(&source, true), want, "{host} {origin:?} {fetch_site:?}");
            }
        }
        assert_eq!(own.check(&RequestSource::default(), false), Err(Refusal::Host));
        assert_eq!(own.check(&RequestSource::default(), true), Ok(()));
        assert_eq!(own.check_page(&RequestSource::default()), Ok(()));
    }
}
