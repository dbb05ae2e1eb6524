//! What to do about each cause, in a few words, for those who are really there.
//!
//! In: the cause, and who is there. Out: one line. A product is named only when it is there; else the words are for
//! any proxy, or, where nothing shows a proxy, for client and server.

use std::borrow::Cow;

use super::products::{self, Product, Proxy};
use crate::{
    diagnose::{Cause, Verdict, client, forwarded},
    http::RequestHead,
};

/// Who stands in front of the server.
#[derive(Clone, Copy, Debug)]
pub enum Hop {
    /// This proxy.
    Named(&'static Proxy),
    /// Some proxy.
    Unnamed,
    /// Nothing shows one.
    None,
}

impl Hop {
    /// A proxy is there, and this is the one, if it is known.
    pub(in crate::diagnose) fn of(proxy: Option<&'static Proxy>) -> Self {
        proxy.map_or(Self::Unnamed, Self::Named)
    }
}

/// Who is there, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    cause: Cause,
    in_front: Hop,
    /// Who answered is the hop in front of who refused: what failed was seen on the leg behind it.
    relayed: bool,
    server: Option<&'static Product>,
    /// Who answered, when it is a proxy.
    answering: Option<&'static Proxy>,
}

impl Scene {
    /// The scene of a verdict that names a cause and brings no fix of its own. `in_front` and `relayed` are what the
    /// other legs show.
    pub fn of(
        request: &RequestHead,
        verdict: &Verdict,
        in_front: Hop,
        relayed: bool,
    ) -> Option<Self> {
        let cause = verdict.cause.filter(|_| verdict.fix.is_none())?;
        let in_front = match in_front {
            Hop::Named(proxy) => Hop::Named(proxy),
            Hop::Unnamed if relayed => Hop::Unnamed,
            Hop::Unnamed | Hop::None => match products::marked(request) {
                Some(proxy) => Hop::Named(proxy),
                None if forwarded::proxied(request) || shows_a_hop(cause, request) => Hop::Unnamed,
                None => in_front,
            },
        };
        let name = verdict.server.as_deref();
        let (server, answering) = (name.and_then(products::server), name.and_then(products::proxy));
        Some(Self { cause, in_front, relayed, server, answering })
    }

    /// The processes at the ends are known by name: `proxy` made the changes, `local` accepted the connection, or
    /// opened it (`client`).
    pub fn meet(&mut self, proxy: Option<&str>, local: Option<&str>, client: bool) {
        let sender = proxy.or(local.filter(|_| client || self.relayed));
        if let Some(proxy) = sender.and_then(products::proxy) {
            self.in_front = Hop::Named(proxy);
        }
        if self.server.is_none() && !client {
            self.server = local.and_then(products::server);
        }
    }

    /// What to do, in one line.
    pub fn fix(&self) -> Option<Cow<'static, str>> {
        let advice = advice(self.cause)?;
        let named = |name: &str, line: &str| format!("{name}: {line}");
        let by_answering =
            self.answering.and_then(|p| Some(named(p.name, (advice.of_answering)(p)?)));
        let by_proxy = match self.in_front {
            Hop::Named(p) => (advice.of_proxy)(p).map(|line| named(p.name, line)),
            Hop::Unnamed | Hop::None => None,
        };
        let mut words: Cow<'static, str> = match (by_answering.or(by_proxy), self.in_front) {
            (Some(line), _) => line.into(),
            (None, Hop::None) => advice.direct.into(),
            (None, _) => advice.proxy.into(),
        };
        if let Some((server, line)) = self.server.and_then(|s| Some((s, (advice.of_server)(s)?))) {
            words = format!("{words}; {}: {line}", server.name).into();
        }
        Some(words)
    }
}

/// Something that can be told what to do about a cause.
pub trait Told {
    /// What it is told; `None` where it has no setting for that.
    fn told(&'static self, cause: Cause) -> Option<&'static str>;
}

impl Told for Product {
    fn told(&'static self, cause: Cause) -> Option<&'static str> {
        (advice(cause)?.of_server)(self)
    }
}

impl Told for Proxy {
    fn told(&'static self, cause: Cause) -> Option<&'static str> {
        let advice = advice(cause)?;
        (advice.of_proxy)(self).or_else(|| (advice.of_answering)(self))
    }
}

/// A browser sends what is missing here: some hop took it.
fn shows_a_hop(cause: Cause, request: &RequestHead) -> bool {
    let taken = matches!(
        cause,
        Cause::UpgradeStripped
            | Cause::ConnectionStripped
            | Cause::UpgradeMangled
            | Cause::KeyMissing
            | Cause::HttpVersion
            | Cause::OriginStripped
            | Cause::OriginRewritten
            | Cause::HostRewritten
            | Cause::HostMissing
    );
    taken && client::is_browser(request)
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
        Cause::ExtendedConnectUntranslated => Advice::to_all(
            "the gateway must make an HTTP/1.1 handshake of an extended CONNECT, or not offer it (RFC 8441)",
        )
        .proxies(|p| p.extended_connect),
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
        Cause::DroppedAfterAccept => Advice::to_all(
            "look at the server's log at this time: what it expects right after the 101",
        ),
        Cause::AnswerMalformed => Advice::to_all("check that this port speaks HTTP, without TLS"),
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

    fn fix(cause: Cause, proxy: Option<&str>, server: &str) -> String {
        let in_front = match proxy {
            None => Hop::None,
            Some("") => Hop::Unnamed,
            Some(name) => Hop::Named(products::proxy(name).unwrap()),
        };
        let (server, answering) = (products::server(server), products::proxy(server));
        let scene = Scene { cause, in_front, relayed: false, server, answering };
        scene.fix().unwrap_or_default().into_owned()
    }

    #[test]
    fn a_product_is_named_only_where_it_is() {
        let names: Vec<_> = products::proxies().map(|proxy| proxy.name).collect();
        for &cause in Cause::ALL {
            for nobody in [fix(cause, None, ""), fix(cause, Some(""), "")] {
                assert!(!names.iter().any(|name| nobody.contains(name)), "{cause}: {nobody}");
                for directive in ["proxy_set_header", "proxy_pass", "http-request", "header_up"] {
                    assert!(!nobody.contains(directive), "{cause}: {nobody}");
                }
            }
            let caddy = fix(cause, Some("caddy"), "");
            assert!(
                !names.iter().any(|name| *name != "caddy" && caddy.starts_with(name)),
                "{caddy}"
            );
        }
    }

    #[test]
    fn who_is_there_decides() {
        let text = fix(Cause::UpgradeStripped, Some("caddy"), "tornado");
        assert!(text.starts_with("caddy: reverse_proxy") && !text.contains("tornado"), "{text}");
        let text = fix(Cause::HostRewritten, Some("Apache2"), "gorilla/websocket");
        assert!(text.starts_with("apache: ProxyPreserveHost On; gorilla/websocket: "), "{text}");
        let text = fix(Cause::OriginNotAllowed, None, "nats");
        assert!(text.contains("; nats: websocket { allowed_origins"), "{text}");
        let text = fix(Cause::UpgradeStripped, None, "tornado");
        assert!(text.starts_with("the client must send Upgrade"), "{text}");
        let text = fix(Cause::HeaderTooLarge, None, "nginx");
        assert_eq!(text, "nginx: large_client_header_buffers 4 32k");
    }

    #[test]
    fn a_process_tells_who_the_proxy_is() {
        let cause = Cause::UpgradeStripped;
        let mut scene =
            Scene { cause, in_front: Hop::Unnamed, relayed: false, server: None, answering: None };
        scene.meet(None, Some("nginx"), false);
        assert!(
            !scene.fix().unwrap().contains("nginx"),
            "it took the connection: it is the server"
        );
        scene.meet(Some("haproxy"), Some("ttyd"), false);
        assert!(scene.fix().unwrap().starts_with("haproxy: "));
        scene.in_front = Hop::Unnamed;
        scene.meet(None, Some("nginx"), true);
        assert!(scene.fix().unwrap().starts_with("nginx: "), "it opened the connection");
    }
}
