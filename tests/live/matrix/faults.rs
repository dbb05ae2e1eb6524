//! What is done wrong, and what must come of it at each server.

use super::proxies::Proxy;
use super::servers::{Check, Elsewhere, Kind};

/// What a proxy or a client does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    // Of the proxy.
    Nothing,
    NoUpgrade,
    Http10,
    ConnectionOverwritten,
    OriginRemoved,
    OriginRewritten,
    HostRewritten,
    PortDropped,
    ProtoMissing,
    ProtoHttp,
    ProtoWss,
    // Of the client.
    ForeignOrigin,
    NullOrigin,
    NoKey,
    OldVersion,
    WrongPath,
    // Of the client, beside one of the proxy.
    BadToken,
    WrongSubprotocol,
}

use Fault::{
    BadToken, ConnectionOverwritten, ForeignOrigin, HostRewritten, Http10, NoKey, NoUpgrade,
    Nothing, NullOrigin, OldVersion, OriginRemoved, OriginRewritten, PortDropped, ProtoHttp,
    ProtoMissing, ProtoWss, WrongPath, WrongSubprotocol,
};

/// The proxies' faults; each has a listener of its own.
pub(super) const OF_PROXY: &[Fault] = &[
    Nothing,
    NoUpgrade,
    Http10,
    ConnectionOverwritten,
    OriginRemoved,
    OriginRewritten,
    HostRewritten,
    PortDropped,
    ProtoMissing,
    ProtoHttp,
    ProtoWss,
];

/// The clients' faults, through a proxy that does nothing wrong.
pub(super) const OF_CLIENT: &[Fault] = &[ForeignOrigin, NullOrigin, NoKey, OldVersion, WrongPath];

impl Fault {
    /// The page's authority.
    pub(super) fn page(self) -> &'static str {
        if self == PortDropped { "app.example:8443" } else { "app.example" }
    }

    /// What a browser's handshake has, but for the fault.
    pub(super) fn request(self, path: &str, key: &str) -> String {
        self.request_of(self.page(), path, key)
    }

    /// The same of a page at `page`.
    pub(super) fn request_of(self, page: &str, path: &str, key: &str) -> String {
        let origin = match self {
            ForeignOrigin => "https://foreign.example".to_owned(),
            NullOrigin => "null".to_owned(),
            _ => format!("https://{page}"),
        };
        let version = if self == OldVersion { 8 } else { 13 };
        let key = if self == NoKey { "" } else { &format!("Sec-WebSocket-Key: {key}\r\n") };
        let offer = match self {
            WrongSubprotocol => "Sec-WebSocket-Protocol: stale.v1\r\n",
            _ => "",
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {page}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
             Accept-Language: en\r\nCookie: a=b\r\nOrigin: {origin}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
             Sec-WebSocket-Version: {version}\r\n{offer}{key}\r\n"
        )
    }
}

/// What may be said of a handshake.
pub(super) struct Truth {
    pub(super) outcomes: &'static [&'static str],
    /// The causes that are right; none for an accepted handshake.
    pub(super) causes: &'static [&'static str],
}

impl Truth {
    /// Whether the handshake is accepted, whatever else is wrong with it.
    pub(super) fn is_accepted(&self) -> bool {
        self.outcomes == ["accepted"]
    }
}

const ACCEPTED: Truth = Truth { outcomes: &["accepted"], causes: &[] };

fn rejected(causes: &'static [&'static str]) -> Truth {
    Truth { outcomes: &["rejected"], causes }
}

/// What comes of a fault. `joined`: the leg into the proxy is seen too, so that what the proxy did is known.
pub(super) fn truth(proxy: Proxy, kind: &Kind, fault: Fault, joined: bool) -> Truth {
    let by_host = kind.check != Check::List;
    // The forwarded host counts there, when the proxy sends it.
    let by_host_alone =
        by_host && !(kind.check == Check::SchemeAndHost && proxy.forwards_host(fault));
    match fault {
        Nothing => ACCEPTED,
        NoUpgrade => rejected(&["upgrade-stripped"]),
        Http10 => match kind.name {
            "py_websockets" => rejected(&["http-version"]),
            // It says 101 and closes at once.
            "py_tornado" => Truth {
                outcomes: &["accepted", "failed"],
                causes: &["http-version", "rejected-after-accept"],
            },
            _ => ACCEPTED,
        },
        ConnectionOverwritten => rejected(&["connection-stripped"]),
        OriginRemoved if kind.check != Check::List => ACCEPTED,
        OriginRemoved => rejected(&["origin-stripped"]),
        OriginRewritten if joined => rejected(&["origin-rewritten"]),
        OriginRewritten => rejected(&["origin-rewritten", "origin-not-allowed"]),
        HostRewritten if by_host_alone => rejected(&["host-rewritten"]),
        PortDropped if by_host_alone => rejected(&["port-mismatch"]),
        ProtoMissing if kind.check == Check::SchemeAndHost => {
            rejected(&["forwarded-proto-missing"])
        }
        ProtoHttp | ProtoWss if kind.check == Check::SchemeAndHost => {
            rejected(&["forwarded-proto-wrong"])
        }
        HostRewritten | PortDropped | ProtoMissing | ProtoHttp | ProtoWss => ACCEPTED,
        ForeignOrigin => rejected(&["origin-not-allowed"]),
        NullOrigin => rejected(&["origin-null"]),
        NoKey => rejected(&["key-missing"]),
        OldVersion if kind.refuses_version_8 => rejected(&["version-unsupported"]),
        OldVersion => ACCEPTED,
        BadToken => rejected(&["auth-required"]),
        WrongSubprotocol => rejected(&["subprotocol-required"]),
        WrongPath => match kind.elsewhere {
            Elsewhere::NotFound => rejected(&["route-not-found"]),
            Elsewhere::Refuses => rejected(&["route-not-found", "forbidden"]),
            Elsewhere::Fails => rejected(&["route-not-found", "server-error"]),
            Elsewhere::Silent => {
                Truth { outcomes: &["unanswered"], causes: &["unanswered", "route-not-found"] }
            }
        },
    }
}
