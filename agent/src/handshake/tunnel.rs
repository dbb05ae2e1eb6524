//! After a 101: what the kernel's frame walk says, as the first moments and as the end of a connection.

use std::time::Duration;

use wstap_common::record::{HalfSummary, Summary, half, half_flags};

use super::{
    CloseBy, Closure, Connection, EarlyClose, EarlyEnd, End, Opened, Opening, Role, Violation,
};

/// An open connection.
pub(super) struct Tunnel {
    pub(super) connection: Connection,
    pub(super) handshake: Option<Opened>,
    /// The first FIN or RST, and when it passed.
    pub(super) end: Option<(CloseBy, End, u64)>,
    /// What was last known of an older connection of which one side has ended.
    pub(super) half_closed: Option<Box<Summary>>,
}

impl Tunnel {
    pub(super) fn new(connection: Connection, handshake: Option<Opened>) -> Self {
        Self { connection, handshake, end: None, half_closed: None }
    }
}

/// Whether nothing more can pass: both sides have ended, or one has broken off.
pub(super) fn is_over(summary: &Summary) -> bool {
    let (request, response) = (summary.request.flags, summary.response.flags);
    (request | response) & half_flags::RST != 0 || request & response & half_flags::FIN != 0
}

impl Tunnel {
    /// How many bytes of texts it holds.
    pub(super) fn held(&self) -> usize {
        let origin = |opened: &Opened| opened.origin.as_ref().map_or(0, |origin| origin.len());
        let mark = |opened: &Opened| opened.audit.as_ref().map_or(0, |mark| mark.len());
        let texts = |opened: &Opened| opened.path.len() + origin(opened) + mark(opened);
        self.handshake.as_ref().map_or(0, texts)
    }
}

/// Who sends the half with this number.
pub(super) fn sender(role: Role, of: u8) -> End {
    if (of == half::REQUEST) == (role == Role::Server) { End::Peer } else { End::Local }
}

fn violation(half: &HalfSummary) -> Option<Violation> {
    Violation::from_wire(half.violation)
}

/// Whether the walk of a half lost its place: a close frame may have passed unseen.
fn is_lost(half: &HalfSummary) -> bool {
    half.flags & (half_flags::LOST_PLACE | half_flags::UNSYNCHRONISED) != 0
}

/// The first close frame: its code, when it passed, and who sent it, unless it may be the answer to one of the
/// other half that was not seen.
fn first_close(summary: &Summary, role: Role) -> Option<(u16, u64, Option<End>)> {
    let (request, response) = (&summary.request, &summary.response);
    let halves = [(request, response, half::REQUEST), (response, request, half::RESPONSE)];
    let closes = halves.into_iter().filter(|(walk, ..)| walk.close_code != 0);
    let (walk, other, of) = closes.min_by_key(|(walk, ..)| walk.close_ns)?;
    // Behind a broken rule nothing of a half is looked at; the side that breaks the connection off for it (1002, RFC 6455
    // section 7.4.1) is the first all the same.
    let was_followed = !is_lost(other) && (other.violation == 0 || walk.close_code == 1002);
    let is_first = other.close_code != 0 || was_followed;
    Some((walk.close_code, walk.close_ns, is_first.then(|| sender(role, of))))
}

/// Takes what a summary says of the first moments after a 101 into `opening`.
///
/// `extended`: the answer agreed on an extension, or may have done so, which may define RSV1.
pub(super) fn open(
    opening: &mut Opening,
    summary: &Summary,
    role: Role,
    extended: bool,
    window_ns: u64,
) {
    let undefined_rsv1 = !extended && summary.response.flags & half_flags::RSV1 != 0;
    opening.violation = opening
        .violation
        .or_else(|| violation(&summary.response))
        .or(undefined_rsv1.then_some(Violation::ReservedBits))
        .or_else(|| violation(&summary.request));
    opening.messages_from_server = summary.response.messages;
    opening.messages_from_client = summary.request.messages;
    if opening.close.is_none()
        && let Some((code, close_ns, sender)) = first_close(summary, role)
    {
        let after = close_ns.saturating_sub(summary.opened_ns);
        opening.close = (after <= window_ns).then(|| EarlyClose {
            code,
            sender,
            after: Duration::from_nanos(after),
            messages_from_server: summary.response.messages,
            messages_from_client: summary.request.messages,
        });
    }
}

/// Takes a FIN or RST after the 101 into `opening`.
pub(super) fn end(opening: &mut Opening, end: (CloseBy, End), after_ns: u64, window_ns: u64) {
    if opening.end.is_none() && after_ns <= window_ns {
        let (by, initiator) = end;
        opening.end = Some(EarlyEnd { by, initiator, after: Duration::from_nanos(after_ns) });
    }
}

/// The end of a connection, from the last summary.
pub(super) fn closure(
    tunnel: Tunnel,
    summary: &Summary,
    now_ns: u64,
    wall: impl Fn(u64) -> Duration,
) -> Closure {
    let role = tunnel.connection.role;
    let close = first_close(summary, role);
    let ended_ns = tunnel.end.map_or(now_ns, |(.., at)| at);
    let has = |walk: &HalfSummary, flag: u8| walk.flags & flag != 0;
    let ended = |walk: &HalfSummary| has(walk, half_flags::FIN | half_flags::RST);
    let by = match tunnel.end {
        Some((by, ..)) => by,
        None if has(&summary.request, half_flags::RST)
            || has(&summary.response, half_flags::RST) =>
        {
            CloseBy::Rst
        }
        None if ended(&summary.request) || ended(&summary.response) => CloseBy::Fin,
        // Of a TLS connection whose socket is not known it is seen that the program freed it.
        None if tunnel.connection.is_unbound() => CloseBy::Fin,
        None => CloseBy::Timeout,
    };
    let only_ended = match (ended(&summary.request), ended(&summary.response)) {
        (true, false) => Some(sender(role, half::REQUEST)),
        (false, true) => Some(sender(role, half::RESPONSE)),
        _ => None,
    };
    let initiator = match (close, tunnel.end) {
        (Some((.., sender)), _) => sender,
        (None, Some((_, end, _))) => Some(end),
        (None, None) => only_ended,
    };
    let (from_peer, from_local) = match role {
        Role::Server => (&summary.request, &summary.response),
        Role::Client => (&summary.response, &summary.request),
    };
    let last_ns = summary.request.last_ns.max(summary.response.last_ns).max(summary.opened_ns);
    let since =
        |from: u64| Duration::from_nanos(if from == 0 { 0 } else { ended_ns.saturating_sub(from) });
    Closure {
        time: wall(ended_ns),
        code: close.map_or(1006, |(code, ..)| code),
        clean: summary.request.close_code != 0 && summary.response.close_code != 0,
        initiator,
        by_close_frame: close.is_some(),
        by,
        lasted: since(summary.opened_ns),
        older: false,
        idle: since(last_ns),
        messages_in: from_peer.messages,
        messages_out: from_local.messages,
        pings_in: from_peer.pings,
        pings_out: from_local.pings,
        pongs_in: from_peer.pongs,
        pongs_out: from_local.pongs,
        synchronised: !is_lost(&summary.request) && !is_lost(&summary.response),
        violation: violation(&summary.response)
            .map(|rule| (rule, sender(role, half::RESPONSE)))
            .or_else(|| {
                violation(&summary.request).map(|rule| (rule, sender(role, half::REQUEST)))
            }),
        connection: tunnel.connection,
        handshake: tunnel.handshake,
    }
}
