//! Which handshakes an audit makes.

use std::{borrow::Cow, time::Duration};

use super::{
    client::{
        handshake::Dialogue,
        request::{Form, Handshake},
    },
    expect::Expectation,
};

/// An audit makes no more handshakes than this.
pub const MAX_HANDSHAKES: usize = 60;
/// The head that every chain must take, in bytes.
pub const HEAD_BYTES: usize = 8 * 1024;
/// The head that most chains take.
pub const LARGE_HEAD_BYTES: usize = 16 * 1024;
/// What a client makes up, and what must not be taken for a proxy's: names and addresses for documentation (RFC 2606,
/// RFC 5737).
pub const FORGED_HOST: &str = "forged.example";
/// The made-up client.
pub const FORGED_FOR: &str = "203.0.113.66";
/// The made-up port.
pub const FORGED_PORT: &str = "6666";

/// What a probe is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The good origin, in full.
    Handshake,
    /// Another origin that must be let in.
    Allowed,
    /// Made-up forwarding headers.
    Forged,
    /// An origin that must be kept out: what it is.
    Foreign(&'static str),
    /// No origin at all.
    NoOrigin,
    /// Without TLS.
    Plain,
    /// Extended CONNECT.
    Http2,
    /// Another way to write the same: what it is, and whether a refusal is a fault.
    Form(Cow<'static, str>, bool),
    /// A quiet connection, with or without pings.
    Idle(bool),
    /// Compression.
    Deflate,
    /// Large messages.
    Messages,
}

/// One handshake that is to be made.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The stable name; with the origin behind it when that is the user's own.
    pub name: Cow<'static, str>,
    /// What it is for.
    pub purpose: Purpose,
    /// What it sends.
    pub handshake: Handshake,
    /// What is done with an open connection.
    pub dialogue: Dialogue,
}

/// What decides which probes there are.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The good origin.
    pub origin: &'a str,
    /// What is expected of this path.
    pub expect: &'a Expectation,
    /// The chain's end is a backend of our own.
    pub backend: bool,
    /// TLS is used.
    pub secure: bool,
    /// There is a plain port to try.
    pub plain: bool,
    /// How long quiet connections are kept.
    pub idle: Option<Duration>,
}

/// The close code that is sent: one of an application's own where it must come back, else the usual one.
fn close(backend: bool) -> u16 {
    if backend { 4000 } else { 1000 }
}

/// All probes, in the order in which they are made.
pub fn probes(choice: Choice<'_>) -> Vec<Probe> {
    let Choice { origin, expect, backend, secure, plain, idle } = choice;
    let talk = Dialogue::Talk { close: close(backend) };
    let good = Handshake {
        origin: Some(origin.to_owned()),
        subprotocols: expect.subprotocols.clone(),
        ..Handshake::default()
    };
    let probe = |name: Cow<'static, str>, purpose, handshake, dialogue| Probe {
        name,
        purpose,
        handshake,
        dialogue,
    };
    let mut all = vec![
        probe("handshake".into(), Purpose::Handshake, good.clone(), talk),
        probe(
            "forged".into(),
            Purpose::Forged,
            Handshake { extra: forged(secure), ..good.clone() },
            talk,
        ),
    ];
    for other in expect.origins.iter().filter(|other| *other != origin) {
        let handshake = Handshake { origin: Some(other.clone()), ..good.clone() };
        all.push(probe(
            format!("origin/allowed {other}").into(),
            Purpose::Allowed,
            handshake,
            talk,
        ));
    }
    for (name, what, foreign) in foreign(origin) {
        let handshake = Handshake { origin: Some(foreign), ..good.clone() };
        all.push(probe(name.into(), Purpose::Foreign(what), handshake, talk));
    }
    for other in &expect.foreign {
        let handshake = Handshake { origin: Some(other.clone()), ..good.clone() };
        let name = format!("origin/foreign {other}");
        all.push(probe(name.into(), Purpose::Foreign("a foreign origin"), handshake, talk));
    }
    let absent = Handshake { origin: None, ..good.clone() };
    all.push(probe("origin/absent".into(), Purpose::NoOrigin, absent, talk));
    if plain {
        all.push(probe("plain".into(), Purpose::Plain, good.clone(), talk));
    }
    if secure {
        all.push(probe("http2".into(), Purpose::Http2, good.clone(), talk));
    }
    for (name, what, form) in [
        ("form/firefox", "Firefox's form", Form::Firefox),
        ("form/chrome", "Chrome's form", Form::Chrome),
        ("form/lower-case", "field names in lower case", Form::LowerCase),
    ] {
        let handshake = Handshake { form, ..good.clone() };
        all.push(probe(name.into(), Purpose::Form(what.into(), true), handshake, talk));
    }
    let must = expect.head_bytes.unwrap_or(HEAD_BYTES);
    let mut sizes = vec![(HEAD_BYTES, "form/head-8k"), (LARGE_HEAD_BYTES, "form/head-16k")];
    if !sizes.iter().any(|(size, _)| *size == must) {
        sizes.push((must, "form/head"));
    }
    for (bytes, name) in sizes {
        let handshake = Handshake { bytes, ..good.clone() };
        let what = format!("a head of {bytes} bytes");
        all.push(probe(name.into(), Purpose::Form(what.into(), bytes <= must), handshake, talk));
    }
    let mut many = good.subprotocols.clone();
    many.extend((many.len()..20).map(|number| format!("wstap.audit.{number}")));
    let handshake = Handshake { subprotocols: many, ..good.clone() };
    // A server that knows none of them may refuse.
    let must = !good.subprotocols.is_empty();
    let purpose = Purpose::Form("an offer of 20 subprotocols".into(), must);
    all.push(probe("form/subprotocols".into(), purpose, handshake, talk));
    let deflate = Handshake { deflate: true, ..good.clone() };
    let dialogue = if backend { Dialogue::Deflate } else { talk };
    all.push(probe("deflate".into(), Purpose::Deflate, deflate, dialogue));
    if backend {
        all.push(probe("messages".into(), Purpose::Messages, good.clone(), Dialogue::Messages));
    }
    if let Some(most) = idle {
        let every = (most / 5).clamp(Duration::from_millis(100), Duration::from_secs(20));
        for (name, pings) in [("idle/silent", None), ("idle/pinged", Some(every))] {
            let dialogue = Dialogue::Idle { most, pings };
            all.push(probe(name.into(), Purpose::Idle(pings.is_some()), good.clone(), dialogue));
        }
    }
    all
}

/// Forwarding headers that no proxy set: each says the opposite of what is true.
fn forged(secure: bool) -> Vec<(&'static str, String)> {
    let scheme = forged_scheme(secure);
    vec![
        ("X-Forwarded-Proto", scheme.to_owned()),
        ("X-Forwarded-Host", FORGED_HOST.to_owned()),
        ("X-Forwarded-For", FORGED_FOR.to_owned()),
        ("X-Forwarded-Port", FORGED_PORT.to_owned()),
        ("Forwarded", format!("for={FORGED_FOR};host={FORGED_HOST};proto={scheme}")),
    ]
}

/// The scheme that is not used.
pub const fn forged_scheme(secure: bool) -> &'static str {
    if secure { "http" } else { "https" }
}

/// Origins that are not `origin`, though some look like it.
fn foreign(origin: &str) -> Vec<(&'static str, &'static str, String)> {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("https", origin));
    // The colon of a port, not one of an IPv6 address.
    let port_at =
        authority.rfind(':').filter(|at| !authority.get(*at..).unwrap_or("").contains(']'));
    let (host, port) = match port_at {
        Some(at) => authority.split_at(at),
        None => (authority, ""),
    };
    let other_port = if port == ":8443" { ":8444" } else { ":8443" };
    let name = host.trim_start_matches('[').trim_end_matches(']').replace(':', "-");
    let mut all = vec![
        ("origin/foreign", "another site", "https://attacker.example".to_owned()),
        (
            "origin/null",
            "the origin null, as sandboxed frames and files have it",
            "null".to_owned(),
        ),
        (
            "origin/suffix",
            "a host that begins like the good one",
            format!("{scheme}://{name}.attacker.example{port}"),
        ),
        (
            "origin/prefix",
            "a host that ends like the good one",
            format!("{scheme}://attacker{name}{port}"),
        ),
        ("origin/port", "another port of the host", format!("{scheme}://{host}{other_port}")),
    ];
    if scheme == "https" {
        all.push(("origin/http", "the host without TLS", format!("http://{authority}")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_fits_the_bound_and_no_foreign_origin_is_the_good_one() {
        for origin in ["https://app.example", "https://localhost:8443", "http://[::1]:8080"] {
            for (name, _, foreign) in foreign(origin) {
                assert_ne!(foreign, origin, "{name}");
                let uri = foreign == "null" || foreign.parse::<http::Uri>().is_ok();
                assert!(uri, "{name}: {foreign}");
            }
            let choice = Choice {
                origin,
                expect: &Expectation::default(),
                backend: true,
                secure: true,
                plain: true,
                idle: Some(Duration::from_secs(75)),
            };
            let probes = probes(choice);
            assert!(probes.len() <= MAX_HANDSHAKES / 2, "{}", probes.len());
            let mut names: Vec<_> = probes.iter().map(|probe| &probe.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), probes.len());
        }
    }
}
