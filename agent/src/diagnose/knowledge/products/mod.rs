//! Products by name, as data: how each server is told which origins, proxies and names it may believe, and how
//! each proxy passes a handshake on.
//!
//! A row says it in one line, with `https://app.example` for the page's origin and `10.0.0.5` for the proxy's
//! address, and names the public documentation or source where that stands. A row that is not known is left out:
//! advice without a product is better than a wrong one.

#![allow(clippy::needless_update, reason = "some rows know everything")]

/// Writes a table of [`Product`]s.
macro_rules! product_rows {
    ($($name:literal also [$($also:literal),*] $(, $field:ident = $value:expr)*
        => [$($source:literal),* $(,)?];)*) => {
        &[$(Product {
            name: $name,
            also: &[$($also),*],
            $($field: Some($value),)*
            sources: &[$($source),*],
            ..Product::NONE
        },)*]
    };
}

/// Writes a table of [`Proxy`]s.
macro_rules! proxy_rows {
    ($($name:literal also [$($also:literal),*] marks [$([$($mark:expr),*]),*] $(, $field:ident = $value:expr)*
        => [$($source:literal),* $(,)?];)*) => {
        &[$(Proxy {
            name: $name,
            also: &[$($also),*],
            marks: &[$(&[$($mark),*]),*],
            $($field: Some($value),)*
            sources: &[$($source),*],
            ..Proxy::NONE
        },)*]
    };
}

use crate::http::{RequestHead, ResponseHead, Version};

mod dotnet;
mod dynamic;
mod go;
mod jvm;
mod native;
mod node;
mod proxies;
mod python;
mod rust;

/// A WebSocket server, a framework, or an application that is one.
#[derive(Debug)]
pub struct Product {
    /// The name that events give (`server`).
    pub name: &'static str,
    /// Other names: of its packages, its processes, and in `Server`.
    also: &'static [&'static str],
    /// How it allows an origin.
    pub origin: Option<&'static str>,
    /// How it is told to believe what a proxy says of the client's scheme and address.
    pub proxy: Option<&'static str>,
    /// How it is told its public name, where it compares names.
    pub host: Option<&'static str>,
    /// How it chooses a subprotocol.
    pub subprotocol: Option<&'static str>,
    /// Where that is documented.
    pub sources: &'static [&'static str],
}

impl Product {
    /// Its name and all others.
    pub fn names(&'static self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }

    /// What is known of it, and what that is about.
    pub fn lines(&self) -> [(&'static str, Option<&'static str>); 4] {
        [
            ("origins", self.origin),
            ("proxies", self.proxy),
            ("its name", self.host),
            ("subprotocols", self.subprotocol),
        ]
    }

    const NONE: Self = Self {
        name: "",
        also: &[],
        origin: None,
        proxy: None,
        host: None,
        subprotocol: None,
        sources: &[],
    };
}

/// A proxy, and how it is told to pass a handshake on as it came.
#[derive(Debug)]
pub struct Proxy {
    /// Its name.
    pub name: &'static str,
    /// Other names: of its processes, and in `Server`.
    also: &'static [&'static str],
    /// What it leaves in requests: any of these sets, of headers with a part of their value (lower case; empty for any).
    marks: &'static [&'static [(&'static str, &'static str)]],
    /// Passes `Upgrade` and `Connection`.
    pub upgrade: Option<&'static str>,
    /// Speaks HTTP/1.1 to the server.
    pub version: Option<&'static str>,
    /// Passes `Host`.
    pub host: Option<&'static str>,
    /// Says the client's scheme.
    pub proto: Option<&'static str>,
    /// Passes `Origin`.
    pub origin: Option<&'static str>,
    /// Passes `Sec-WebSocket-*`.
    pub fields: Option<&'static str>,
    /// Passes the path.
    pub prefix: Option<&'static str>,
    /// Takes a longer head.
    pub head: Option<&'static str>,
    /// Sends a client to the same server again.
    pub sticky: Option<&'static str>,
    /// Translates an extended CONNECT (RFC 8441), or does not offer it.
    pub extended_connect: Option<&'static str>,
    /// Where that is documented.
    pub sources: &'static [&'static str],
}

impl Proxy {
    /// Its name and all others.
    pub fn names(&'static self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }

    /// What is known of it, and what that is about.
    pub fn lines(&self) -> [(&'static str, Option<&'static str>); 10] {
        [
            ("Upgrade", self.upgrade),
            ("HTTP/1.1", self.version),
            ("Host", self.host),
            ("X-Forwarded-Proto", self.proto),
            ("Origin", self.origin),
            ("Sec-WebSocket-*", self.fields),
            ("path", self.prefix),
            ("longer heads", self.head),
            ("sticky sessions", self.sticky),
            ("extended CONNECT", self.extended_connect),
        ]
    }

    const NONE: Self = Self {
        name: "",
        also: &[],
        marks: &[],
        upgrade: None,
        version: None,
        host: None,
        proto: None,
        origin: None,
        fields: None,
        prefix: None,
        head: None,
        sticky: None,
        extended_connect: None,
        sources: &[],
    };
}

/// All servers.
pub fn servers() -> impl Iterator<Item = &'static Product> {
    const ALL: &[&[Product]] = &[
        python::PRODUCTS,
        node::PRODUCTS,
        go::PRODUCTS,
        rust::PRODUCTS,
        jvm::PRODUCTS,
        dotnet::PRODUCTS,
        dynamic::PRODUCTS,
        native::PRODUCTS,
    ];
    ALL.iter().copied().flatten()
}

/// All proxies.
pub fn proxies() -> impl Iterator<Item = &'static Proxy> {
    proxies::PROXIES.iter()
}

/// The server that is called `name`, in any case.
pub fn server(name: &str) -> Option<&'static Product> {
    servers().find(|known| is_called(known.name, known.also, name))
}

/// The proxy that is called `name`, in any case.
pub fn proxy(name: &str) -> Option<&'static Proxy> {
    proxies().find(|known| is_called(known.name, known.also, name))
}

fn is_called(own: &str, also: &[&str], name: &str) -> bool {
    own.eq_ignore_ascii_case(name) || also.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The proxy whose marks a request bears; of several the one that usually stands nearest to the server.
pub fn marked(request: &RequestHead) -> Option<&'static Proxy> {
    let holds = |(name, part): &(&str, &str)| {
        let mut values = request.headers.all(name);
        values.any(|value| part.is_empty() || value.to_ascii_lowercase().contains(part))
    };
    let written = proxies().find(|known| known.marks.iter().any(|set| set.iter().all(holds)));
    // What nginx sends to a server when nothing is configured (before 1.29.7), and no other proxy does.
    let by_default = || {
        let closes = request.headers.first("connection").is_some_and(|v| v.trim() == "close");
        (request.version == Version::Http10 && closes).then(|| proxy("nginx")).flatten()
    };
    written.or_else(by_default)
}

/// The proxy that wrote its name into an answer: in `Server`, or in `Via` (RFC 9110 section 7.6.3).
pub fn answered(response: &ResponseHead) -> Option<&'static Proxy> {
    let named = response.headers.first("server").and_then(|server| {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        proxy(server.split(ends).next()?)
    });
    let passed = |proxy: &&Proxy| {
        let via = proxy.marks.iter().copied().flatten().filter(|(name, _)| *name == "via");
        via.copied().any(|(name, part)| {
            let mut values = response.headers.all(name);
            values.any(|value| value.to_ascii_lowercase().contains(part))
        })
    };
    named.or_else(|| proxies().find(passed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_row() {
        let mut names = HashSet::new();
        for product in servers() {
            for name in product.names() {
                assert_eq!(name, name.to_ascii_lowercase());
                assert!(names.insert(name), "{name} twice");
            }
        }
        names.clear();
        for proxy in proxies() {
            for name in proxy.names() {
                assert_eq!(name, name.to_ascii_lowercase());
                assert!(names.insert(name), "{name} twice");
            }
        }
        assert!(servers().count() >= 60, "{}", servers().count());
    }

    #[test]
    fn every_row_has_its_source_and_says_something_in_one_line() {
        let rows = servers()
            .map(|product| (product.name, product.lines().to_vec(), product.sources))
            .chain(proxies().map(|proxy| (proxy.name, proxy.lines().to_vec(), proxy.sources)));
        for (name, lines, sources) in rows {
            assert!(!sources.is_empty(), "{name}: no source");
            assert!(sources.iter().all(|s| s.starts_with("https://") || s.starts_with("http://")));
            assert!(lines.iter().any(|(_, line)| line.is_some()), "{name}: says nothing");
            for line in lines.into_iter().filter_map(|(_, line)| line) {
                assert!(!line.contains('\n') && line.len() <= 180, "{name}: {line}");
            }
        }
    }
}
