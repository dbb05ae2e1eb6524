//! Serialised origins and authorities: parsing, normalising, comparing (RFC 6454 section 6, RFC 9110 section 7.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::http::RequestHead;

/// A host and an optional port, lower case, as in `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::diagnose) struct Authority {
    /// Name or address; an IPv6 address keeps its brackets.
    pub(in crate::diagnose) host: String,
    /// The port, when it is written out.
    pub(in crate::diagnose) port: Option<u16>,
}

impl Authority {
    /// Reads `host[:port]`; `None` when it is neither.
    pub(in crate::diagnose) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => {
                (text.get(..colon)?, Some(text.get(colon + 1..)?.parse::<u16>().ok()?))
            }
            _ => (text, None),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let allowed =
            |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'%');
        let valid = if bracketed {
            host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok()
        } else {
            !host.is_empty() && host.bytes().all(allowed)
        };
        valid.then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    /// How far this host is from a name that a user could have typed.
    pub(in crate::diagnose) fn seclusion(&self) -> Seclusion {
        let name = self.host.trim_end_matches('.');
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return match address {
                a if a.is_loopback() || a.is_unspecified() => Seclusion::Loopback,
                a if a.is_private() || a.is_link_local() => Seclusion::PrivateAddress,
                _ => Seclusion::Public,
            };
        }
        if let Ok(address) = name.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
            return match address {
                a if a.is_loopback() || a.is_unspecified() => Seclusion::Loopback,
                a if a.is_unique_local() || a.is_unicast_link_local() => Seclusion::PrivateAddress,
                _ => Seclusion::Public,
            };
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Seclusion::Loopback;
        }
        // Names that only a proxy's configuration or a cluster's resolver knows.
        const CLUSTER: &[&str] =
            &[".svc", ".local", ".internal", ".localdomain", ".consul", ".docker", ".lan"];
        let upstream = !name.contains('.')
            || name.contains(".svc.")
            || CLUSTER.iter().any(|suffix| name.ends_with(suffix));
        if upstream { Seclusion::UpstreamName } else { Seclusion::Public }
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// How secluded a host is; a `Host` more secluded than the page's own was written by a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::diagnose) enum Seclusion {
    /// A dotted name or a public address.
    Public,
    /// An address of RFC 1918, RFC 4193 or link-local.
    PrivateAddress,
    /// A single label or a name that only a cluster's resolver knows.
    UpstreamName,
    /// This machine.
    Loopback,
}

/// A serialised origin: scheme, host, port (RFC 6454 section 6.2), lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnose) struct Origin {
    /// The scheme, for example `https`.
    pub(in crate::diagnose) scheme: String,
    /// Host and port as written.
    pub(in crate::diagnose) authority: Authority,
}

impl Origin {
    /// Reads one serialised origin; `None` for `null` and for anything else that is not one.
    pub(in crate::diagnose) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let starts_right = scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        let scheme_right =
            scheme.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'));
        // A page never has a ws or wss origin: these are what a client connects to.
        let page = !scheme.eq_ignore_ascii_case("ws") && !scheme.eq_ignore_ascii_case("wss");
        if !(starts_right && scheme_right && page) {
            return None;
        }
        Some(Self { scheme: scheme.to_ascii_lowercase(), authority: Authority::parse(rest)? })
    }

    /// The port that the origin means, written out or by its scheme's default.
    pub(in crate::diagnose) fn effective_port(&self) -> Option<u16> {
        self.authority.port.or_else(|| default_port(&self.scheme))
    }
}

impl std::fmt::Display for Origin {
    /// Without the scheme's default port.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.authority.port == default_port(&self.scheme) {
            write!(f, "{}://{}", self.scheme, self.authority.host)
        } else {
            write!(f, "{}://{}", self.scheme, self.authority)
        }
    }
}

/// The default port of a web scheme.
pub(in crate::diagnose) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// The `Origin` of a request, as a server must read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnose) enum OriginField {
    /// No such header.
    Absent,
    /// `null`, or the `file://` that some application web views send in its place.
    Opaque,
    /// One serialised origin.
    One(Origin),
    /// Repeated, or a list: some hop added one.
    Several,
    /// Not a serialised origin.
    Malformed,
}

impl OriginField {
    /// Reads the `Origin` of `request`.
    pub(in crate::diagnose) fn of(request: &RequestHead) -> Self {
        let mut fields = request.headers.all("origin");
        let Some(value) = fields.next() else { return Self::Absent };
        if fields.next().is_some() || value.contains(',') {
            return Self::Several;
        }
        match value.trim() {
            "" => Self::Absent,
            "null" | "file://" => Self::Opaque,
            value => Origin::parse(value).map_or(Self::Malformed, Self::One),
        }
    }
}

/// The normal form of an `Origin` value: lower case, no default port; `null` stays `null`.
/// `None` when the value is not a serialised origin.
pub fn normalised(value: &str) -> Option<String> {
    match value.trim() {
        "null" => Some("null".to_owned()),
        value => Origin::parse(value).map(|origin| origin.to_string()),
    }
}
