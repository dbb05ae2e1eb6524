//! Two faults at a time, of which the server overlooks one: what it overlooks is not why it refused.

use super::faults::{Fault, Truth, truth};
use super::proxies::Proxy;
use super::servers::{Check, Elsewhere, Kind};

use Fault::{
    BadToken, ConnectionOverwritten, ForeignOrigin, HostRewritten, Http10, NoKey, NoUpgrade,
    NullOrigin, OldVersion, OriginRemoved, OriginRewritten, PortDropped, ProtoHttp, ProtoMissing,
    ProtoWss, WrongPath, WrongSubprotocol,
};

/// The proxies that make every fault.
pub(super) const PROXIES: &[Proxy] = &[Proxy::Nginx, Proxy::Caddy];

/// What the proxy does wrong.
pub(super) const OF_PROXY: &[Fault] = &[
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

/// What the client does wrong at the same time.
pub(super) const OF_CLIENT: &[Fault] =
    &[ForeignOrigin, NullOrigin, NoKey, OldVersion, WrongPath, BadToken, WrongSubprotocol];

/// What must come of both, when the server refuses the client's fault and does not look at the proxy's.
pub(super) fn pair(proxy: Proxy, kind: &Kind, of_proxy: Fault, of_client: Fault) -> Option<Truth> {
    let both_are_origins = matches!(of_proxy, OriginRemoved | OriginRewritten)
        && matches!(of_client, ForeignOrigin | NullOrigin);
    // A path that was not found is looked for after the origin, or before it.
    let either = matches!(of_proxy, OriginRemoved | OriginRewritten) && kind.check == Check::List;
    let refused = truth(proxy, kind, of_client, false);
    let overlooked = truth(proxy, kind, of_proxy, false).is_accepted();
    let is_first = kind.asks_first(of_client)
        // It reads no HTTP/1.0, and so no token.
        && !(kind.name == "py_websockets" && of_proxy == Http10);
    let fits = match of_client {
        BadToken | WrongSubprotocol => kind.can_refuse(of_client) && (overlooked || is_first),
        _ => overlooked && !both_are_origins && !either,
    };
    (fits && !refused.is_accepted()).then_some(refused)
}

/// Whether the server refuses the fault without a word of what was wrong.
pub(super) fn is_silent(kind: &Kind, refused: Fault) -> bool {
    match refused {
        ForeignOrigin | NullOrigin => kind.refuses_without_a_word,
        NoKey | OldVersion => kind.name == "gorilla",
        WrongPath => kind.elsewhere != Elsewhere::NotFound,
        _ => false,
    }
}
