//! Checks the hosts that requests are addressed to and the origins of pages, against DNS rebinding.
//!
//! A foreign page can make a browser send requests to this machine under the page's own host name, but not under a
//! name of this machine. `gate.rs` asks [`Hosts`] and [`Origins`] for each request. Names are compared as ASCII without
//! case, and ports where the rule gives one.

use super::error::AdmissionError;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names of this machine.
const OWN: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A host, with a port where only that one is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostRule {
    name: Box<str>,
    port: Option<u16>,
}

impl HostRule {
    fn parse(text: &str) -> Option<Self> {
        let (name, port) = split_port(text)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_literal = name.starts_with('[') && is_ip_literal(name);
        if name.is_empty() || !(is_literal || name.bytes().all(is_name)) {
            return None;
        }
        let port = match port {
            None | Some("*") => None,
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { name: name.into(), port })
    }

    fn allows(&self, name: &str, port: Option<&str>) -> bool {
        self.name.eq_ignore_ascii_case(name)
            && self.port.is_none_or(|rule| port.and_then(|port| port.parse().ok()) == Some(rule))
    }
}

/// A host and what follows its colon.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let colon = match text.rfind(']') {
        Some(end) if end + 1 == text.len() => None,
        Some(end) => Some(end + 1),
        None => text.find(':'),
    };
    match colon {
        None => Some((text, None)),
        Some(colon) => Some((&text[..colon], Some(text[colon..].strip_prefix(':')?))),
    }
}

fn is_ip_literal(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Whether the text after a colon is a port.
fn is_port(port: Option<&str>) -> bool {
    port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

/// Whether a host, with a port or without, is one of the names of this machine.
pub(super) fn is_own(host: &[u8]) -> bool {
    let name = std::str::from_utf8(host).ok().and_then(split_port).map(|(name, _)| name);
    name.is_some_and(|name| OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
}

/// Names that requests may be addressed to.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    rules: Box<[HostRule]>,
}

impl Hosts {
    pub(super) fn new(allowed: &[String]) -> Result<Self, AdmissionError> {
        let parse =
            |text: &String| HostRule::parse(text).ok_or_else(|| AdmissionError::Host { text: text.clone() });
        Ok(Self { rules: allowed.iter().map(parse).collect::<Result<_, _>>()? })
    }

    pub(super) fn allow(&self, host: &[u8]) -> bool {
        let Some((name, port)) = std::str::from_utf8(host).ok().and_then(split_port) else { return false };
        // An address cannot be rebound: DNS rebinding works with names only.
        let is_safe = OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) || is_ip_literal(name);
        is_port(port) && (is_safe || self.rules.iter().any(|rule| rule.allows(name, port)))
    }
}

/// Origins of pages that may call.
#[derive(Debug, Default)]
pub(super) struct Origins {
    rules: Box<[(Box<str>, HostRule)]>,
}

impl Origins {
    pub(super) fn new(allowed: &[String]) -> Result<Self, AdmissionError> {
        let parse = |text: &String| {
            let parsed = text.split_once("://").and_then(|(scheme, host)| {
                let is_scheme = !scheme.is_empty()
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                let mut rule = HostRule::parse(host).filter(|_| is_scheme)?;
                // Without a port the scheme's own is meant, unlike for hosts.
                if rule.port.is_none() && !host.ends_with(":*") {
                    rule.port = default_port(scheme);
                }
                Some((Box::from(scheme), rule))
            });
            parsed.ok_or_else(|| AdmissionError::Origin { text: text.clone() })
        };
        Ok(Self { rules: allowed.iter().map(parse).collect::<Result<_, _>>()? })
    }

    pub(super) fn allow(&self, origin: &[u8]) -> bool {
        let Some((scheme, host)) =
            std::str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"))
        else {
            return false;
        };
        let Some((name, port)) = split_port(host).filter(|(_, port)| is_port(*port)) else { return false };
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        if is_web && OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return true;
        }
        self.rules.iter().any(|(allowed, rule)| {
            let port_text = port.and_then(|port| port.parse().ok()).or_else(|| default_port(scheme));
            allowed.eq_ignore_ascii_case(scheme)
                && rule.name.eq_ignore_ascii_case(name)
                && rule.port.is_none_or(|port| Some(port) == port_text)
        })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_as_names_and_ports() {
        let hosts =
            Hosts::new(&["mcp.example.com".to_owned(), "other.example.com:8443".to_owned()]).expect("hosts");
        for (host, want) in [
            ("localhost", true),
            ("LocalHost:8000", true),
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::1]", true),
            ("192.168.1.7:8000", true),
            ("[fe80::1]:80", true),
            ("mcp.example.com", true),
            ("MCP.example.com:9", true),
            ("other.example.com:8443", true),
            ("other.example.com", false),
            ("other.example.com:844", false),
            ("evil.example.com", false),
            ("localhost.evil.com", false),
            ("evil.com:localhost", false),
            ("localhost:evil", false),
            ("localhost:99999", false),
            ("127.0.0.1.evil.com", false),
            ("[::1].evil.com", false),
            ("[evil.com]", false),
            ("localhost:80:80", false),
            ("", false),
        ] {
            assert_eq!(hosts.allow(host.as_bytes()), want, "{host}");
        }
        assert!(!hosts.allow(b"\xff"));
    }

    #[test]
    fn origins_are_compared_as_a_whole() {
        let allowed = ["https://app.example.com", "http://dev.example.com:*", "vscode-webview://panel"];
        let origins = Origins::new(&allowed.map(str::to_owned)).expect("origins");
        for (origin, want) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1", true),
            ("http://[::1]:9", true),
            ("https://app.example.com", true),
            ("https://app.example.com:443", true),
            ("https://app.example.com:444", false),
            ("http://app.example.com", false),
            ("http://dev.example.com:1", true),
            ("http://dev.example.com", true),
            ("vscode-webview://panel", true),
            ("https://app.example.com.evil.com", false),
            ("https://evil.com", false),
            ("http://192.168.1.7", false),
            ("file://localhost", false),
            ("null", false),
            ("", false),
            ("localhost", false),
            ("http://localhost:x", false),
        ] {
            assert_eq!(origins.allow(origin.as_bytes()), want, "{origin}");
        }
    }

    #[test]
    fn rules_that_are_none_are_named() {
        for text in ["", "a b", "a:b", "http://x", "[x]", "a:99999"] {
            assert!(Hosts::new(&[text.to_owned()]).is_err(), "{text}");
        }
        for text in ["", "example.com", "://x", "http://", "http://a/b", "http://a:b"] {
            let error = Origins::new(&[text.to_owned()]).expect_err(text).to_string();
            assert!(error.contains("https://app.example.com"), "{error}");
        }
    }
}
