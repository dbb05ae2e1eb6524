//! What to do about each cause, in a few words, for those who are really there.
//!
//! In: the cause, and who is there. Out: one line. A product is named only when it is there; else the words are for
//! any proxy, or, where nothing shows a proxy, for client and server.

use std::borrow::Cow;

use super::products::{self, Product, Proxy};
use crate::diagnose::Cause;

/// Who stands in front of the server.
#[derive(Clone, Copy, Debug, Default)]
pub enum Hop {
    /// This proxy.
    Named(&'static Proxy),
    /// Some proxy.
    Unnamed,
    /// Nothing shows one.
    #[default]
    None,
}

/// Who is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene {
    /// Between the client and who answered.
    pub in_front: Hop,
    /// Who answered.
    pub server: Option<&'static Product>,
    /// Who answered, when it is a proxy.
    pub answering: Option<&'static Proxy>,
}

impl Scene {
    /// The server or proxy that is called `name` answered.
    pub fn answered_by(self, name: Option<&str>) -> Self {
        let server = name.and_then(products::server);
        Self { server, answering: name.and_then(products::proxy), ..self }
    }
}

/// What is to be done about a cause, by whom.
struct Advice {
    /// For a proxy in front that is not known by name.
    proxy: &'static str,
    /// The line of a known proxy in front that says it.
    of_proxy: fn(&'static Proxy) -> Option<&'static str>,
    /// Where nothing shows a proxy.
    direct: &'static str,
    /// The line of a known server that says it, or does away with the need.
    of_server: fn(&'static Product) -> Option<&'static str>,
    /// The line of a proxy that answered by itself.
    of_answering: fn(&'static Proxy) -> Option<&'static str>,
}

impl Advice {
    /// The same words for everybody.
    const fn to_all(words: &'static str) -> Self {
        Self::to(words, words)
    }

    const fn to(proxy: &'static str, direct: &'static str) -> Self {
        let (of_proxy, of_answering) = (|_: &'static Proxy| None, |_: &'static Proxy| None);
        Self { proxy, of_proxy, direct, of_server: |_| None, of_answering }
    }

    const fn proxies(self, of_proxy: fn(&'static Proxy) -> Option<&'static str>) -> Self {
        Self { of_proxy, ..self }
    }

    const fn servers(self, of_server: fn(&'static Product) -> Option<&'static str>) -> Self {
        Self { of_server, ..self }
    }

    const fn answering(self, of_answering: fn(&'static Proxy) -> Option<&'static str>) -> Self {
        Self { of_answering, ..self }
    }
}

/// What to do about `cause` where `scene` is.
pub fn fix(cause: Cause, scene: &Scene) -> Option<Cow<'static, str>> {
    let advice = advice(cause)?;
    let named = |name: &str, line: &str| format!("{name}: {line}");
    let by_answering =
        scene.answering.and_then(|p| Some(named(p.name, (advice.of_answering)(p)?)));
    let by_proxy = match scene.in_front {
        Hop::Named(p) => (advice.of_proxy)(p).map(|line| named(p.name, line)),
        Hop::Unnamed | Hop::None => None,
    };
    let mut words: Cow<'static, str> = match (by_answering.or(by_proxy), scene.in_front) {
        (Some(line), _) => line.into(),
        (None, Hop::None) => advice.direct.into(),
        (None, _) => advice.proxy.into(),
    };
    if let Some((server, line)) = scene.server.and_then(|s| Some((s, (advice.of_server)(s)?))) {
        words = format!("{words}; {}: {line}", server.name).into();
    }
    Some(words)
}

#[expect(clippy::too_many_lines, reason = "one row a cause")]
const fn advice(cause: Cause) -> Option<Advice> {
    const UPGRADE: &str = "the proxy must pass Upgrade and Connection on, over HTTP/1.1";
    const HOST: &str = "the proxy must pass the client's Host, with its port";
    const PROTO: &str =
        "the hop that ends TLS must send X-Forwarded-Proto: https, and inner hops must pass it on";
    Some(match cause {
        Cause::UpgradeStripped => {
            Advice::to(UPGRADE, "the client must send Upgrade: websocket and Connection: Upgrade")
                .proxies(|p| p.upgrade)
        }
        Cause::ConnectionStripped => {
            Advice::to(UPGRADE, "Connection must say Upgrade where Upgrade says websocket")
                .proxies(|p| p.upgrade)
        }
        Cause::UpgradeMangled => {
            Advice::to("the proxy must pass Upgrade as it came", "Upgrade must say websocket")
                .proxies(|p| p.upgrade)
        }
        Cause::KeyMissing => Advice::to(
            "the proxy must pass Sec-WebSocket-Key on",
            "the client must send Sec-WebSocket-Key: 16 random bytes in base64",
        )
        .proxies(|p| p.fields),
        Cause::KeyInvalid => Advice::to_all("the client must send 16 random bytes in base64"),
        Cause::VersionUnsupported => {
            Advice::to_all("the client must speak version 13 (RFC 6455)")
        }
        Cause::HttpVersion => {
            Advice::to("the proxy must speak HTTP/1.1 to the server", "the client must speak HTTP/1.1")
                .proxies(|p| p.version)
        }
        Cause::MethodNotGet => Advice::to_all("open the WebSocket with a GET"),
        Cause::OriginStripped => {
            Advice::to("the proxy must pass Origin on", "whatever removes Origin must let it pass")
                .proxies(|p| p.origin)
        }
        Cause::OriginAbsent => Advice::to_all(
            "the client must send Origin, or the server must let native clients in by credentials",
        ),
        Cause::OriginNull => {
            Advice::to_all("serve the page from an origin of its own; do not allow null")
        }
        Cause::OriginMalformed => {
            Advice::to_all("send scheme://host[:port] of the page, without path or slash")
        }
        Cause::OriginRewritten => Advice::to(
            "the proxy must pass Origin as it came",
            "whatever rewrites Origin must pass it as it came",
        )
        .proxies(|p| p.origin),
        Cause::OriginNotAllowed => {
            Advice::to_all("if the page is yours, add exactly this origin to the server's list")
                .servers(|s| s.origin)
        }
        Cause::HostRewritten => {
            Advice::to(HOST, "connect by the name that the page was loaded from")
                .proxies(|p| p.host)
                .servers(|s| s.host)
        }
        Cause::HostMissing => Advice::to(HOST, "the client must send Host").proxies(|p| p.host),
        Cause::PortMismatch => {
            Advice::to(HOST, "the port in Host must be that of the page's origin")
                .proxies(|p| p.host)
                .servers(|s| s.host)
        }
        Cause::ForwardedProtoMissing | Cause::ForwardedProtoWrong => {
            Advice::to_all(PROTO).proxies(|p| p.proto).servers(|s| s.proxy)
        }
        Cause::UntrustedProxy => {
            Advice::to_all("add the proxy's address to the server's trusted proxies")
                .servers(|s| s.proxy)
        }
        Cause::CorsMiddleware => Advice::to_all(
            "allow the origin in the CORS configuration, or exempt the WebSocket path",
        )
        .servers(|s| s.origin),
        Cause::AuthRequired => Advice::to(
            "send the cookie or token with the handshake; the proxy must pass it",
            "send the cookie or token with the handshake",
        ),
        Cause::Forbidden => Advice::to_all("look at the server's log: authorisation or route"),
        Cause::RouteNotFound => Advice::to(
            "check the path, and what the proxy cuts from it or puts before it",
            "check the path that the client asks for",
        )
        .proxies(|p| p.prefix)
        .answering(|p| p.prefix),
        Cause::Redirected => Advice::to(
            "connect to the final address; tell the server the scheme by X-Forwarded-Proto",
            "connect to the final address: WebSocket clients do not follow redirects",
        ),
        Cause::UpgradeIgnored => Advice::to_all("route this path to the WebSocket handler"),
        Cause::SessionUnknown => Advice::to(
            "the load balancer must send a client to the same server again, or use the WebSocket transport only",
            "use the WebSocket transport only, or one server",
        )
        .proxies(|p| p.sticky),
        Cause::SubprotocolMismatch => Advice::to(
            "the server must choose one of the offered subprotocols; the proxy must pass Sec-WebSocket-Protocol",
            "the server must choose one of the offered subprotocols, or the client must offer what it knows",
        )
        .servers(|s| s.subprotocol),
        Cause::SubprotocolRequired => Advice::to(
            "offer a subprotocol of the server's; the proxy must pass Sec-WebSocket-Protocol",
            "offer a subprotocol of the server's",
        )
        .servers(|s| s.subprotocol),
        Cause::ExtensionMismatch => Advice::to_all("the server may accept offered extensions only"),
        Cause::AcceptMismatch => {
            Advice::to_all("a cache or a second WebSocket layer answers: take it out of the way")
        }
        Cause::InvalidFrames => {
            Advice::to_all("only one upgrade handler may write to the connection")
        }
        Cause::RejectedAfterAccept => {
            Advice::to_all("look at the close code in the application's own list")
        }
        Cause::HeaderTooLarge => {
            Advice::to_all("send fewer or smaller cookies, or raise the limit of who answered")
                .answering(|p| p.head)
        }
        Cause::RateLimited => Advice::to_all("reconnect with backoff, or raise the limit"),
        Cause::UpstreamUnavailable => {
            Advice::to_all("start the backend, or correct the upstream's address")
        }
        Cause::ServerError => Advice::to_all("look at the server's log"),
        Cause::ClientGaveUp | Cause::TimedOut => {
            Advice::to_all("find what keeps the server from answering")
        }
        Cause::Unanswered => {
            Advice::to_all("check the path and whether anything handles upgrades there")
        }
        Cause::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(proxy: Option<&str>, server: &str) -> Scene {
        let in_front = match proxy {
            None => Hop::None,
            Some("") => Hop::Unnamed,
            Some(name) => Hop::Named(products::proxy(name).unwrap()),
        };
        Scene { in_front, ..Scene::default() }.answered_by(Some(server))
    }

    #[test]
    fn a_product_is_named_only_where_it_is() {
        let names: Vec<_> = products::proxies().map(|proxy| proxy.name).collect();
        for &cause in Cause::ALL {
            for nobody in [scene(None, ""), scene(Some(""), "")] {
                let Some(fix) = fix(cause, &nobody) else { continue };
                assert!(!names.iter().any(|name| fix.contains(name)), "{cause}: {fix}");
                for directive in ["proxy_set_header", "proxy_pass", "http-request", "header_up"] {
                    assert!(!fix.contains(directive), "{cause}: {fix}");
                }
            }
            let fix = fix(cause, &scene(Some("caddy"), "")).unwrap_or_default();
            assert!(!names.iter().any(|name| *name != "caddy" && fix.starts_with(name)), "{fix}");
        }
    }

    #[test]
    fn who_is_there_decides() {
        let told = |cause, proxy, server| fix(cause, &scene(proxy, server)).unwrap();
        let fix = told(Cause::UpgradeStripped, Some("caddy"), "tornado");
        assert!(fix.starts_with("caddy: reverse_proxy") && !fix.contains("tornado"), "{fix}");
        let fix = told(Cause::HostRewritten, Some("Apache2"), "gorilla/websocket");
        assert!(fix.starts_with("apache: ProxyPreserveHost On; gorilla/websocket: "), "{fix}");
        let fix = told(Cause::OriginNotAllowed, None, "nats");
        assert!(fix.contains("; nats: websocket { allowed_origins"), "{fix}");
        let fix = told(Cause::UpgradeStripped, None, "tornado");
        assert!(fix.starts_with("the client must send Upgrade"), "{fix}");
        let fix = told(Cause::HeaderTooLarge, None, "nginx");
        assert_eq!(fix, "nginx: large_client_header_buffers 4 32k");
    }
}
