//! The 101 that a browser must fail.

use std::time::Duration;

use super::{
    CERTAIN, KEY, LIKELY, POSSIBLE, accept_value, exchange, judge, request, said, switching,
};
use crate::{
    diagnose::{Outcome, PopulationEvidence, Verdict, diagnose},
    handshake::{Answer, CloseBy, EarlyClose, EarlyEnd, End, Opening, Violation},
    http::{RequestHead, ResponseHead, SUBPROTOCOLS, Version},
};

fn opened(head: RequestHead, opening: Opening) -> Verdict {
    let mut exchange = exchange(head, Answer::Response(switching(&[])));
    exchange.opening = Some(opening);
    diagnose(&exchange, &PopulationEvidence::default())
}

fn close(code: u16, from_client: u32) -> Opening {
    let close = EarlyClose {
        code,
        sender: Some(End::Local),
        after: Duration::from_millis(4),
        messages_from_server: 1,
        messages_from_client: from_client,
    };
    Opening { close: Some(close), ..Opening::default() }
}

#[test]
fn the_accept_value_is_the_specifications() {
    assert_eq!(accept_value("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let verdict = judge(request(&[]), switching(&[]));
    assert_eq!((verdict.outcome, verdict.cause), (Outcome::Accepted, None));
    for wrong in ["AAAAAAAAAAAAAAAAAAAAAAAAAAA=", ""] {
        let verdict = judge(request(&[]), switching(&[("Sec-WebSocket-Accept", wrong)]));
        assert_eq!(
            (verdict.outcome, said(&verdict)),
            (Outcome::Failed, ("accept-mismatch", CERTAIN))
        );
        assert!(!format!("{verdict:?}").contains(KEY), "the key never shows");
    }
}

#[test]
fn the_101_must_upgrade() {
    for (changes, cause) in [
        (&[("Upgrade", "")][..], "upgrade-stripped"),
        (&[("Upgrade", "h2c")], "upgrade-mangled"),
        (&[("Connection", "close")], "connection-stripped"),
    ] {
        let verdict = judge(request(&[]), switching(changes));
        assert_eq!((verdict.outcome, said(&verdict).0), (Outcome::Failed, cause));
    }
}

#[test]
fn subprotocols_are_compared_with_the_offer() {
    let protocol = |value| ("Sec-WebSocket-Protocol", value);
    for (offer, answer, want) in [
        ("", "", "none"),
        ("chat", "chat", "none"),
        ("v1, v2", "v2", "none"),
        ("chat", "", "subprotocol-mismatch"),
        ("chat", "Chat", "subprotocol-mismatch"),
        ("chat", "other", "subprotocol-mismatch"),
        ("", "chat", "subprotocol-mismatch"),
        ("v1, v2", "v1, v2", "subprotocol-mismatch"),
    ] {
        let verdict = judge(request(&[protocol(offer)]), switching(&[protocol(answer)]));
        assert_eq!(said(&verdict).0, want, "{offer} {answer}");
    }
}

#[test]
fn a_subprotocol_that_was_not_chosen_is_a_failure_when_the_client_leaves() {
    let browser = [
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-Fetch-Mode", "websocket"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ];
    let end =
        |initiator| Some(EarlyEnd { by: CloseBy::Fin, initiator, after: Duration::from_millis(1) });
    let close = |sender| {
        let close = EarlyClose {
            code: 1000,
            sender,
            after: Duration::from_millis(4),
            messages_from_server: 0,
            messages_from_client: 0,
        };
        Some(close)
    };
    let mismatch = "subprotocol-mismatch";
    for (watched, end, close, want) in [
        // Chromium and WebKit.
        (false, end(End::Peer), None, (mismatch, CERTAIN)),
        // Firefox goes on, perhaps for hours.
        (true, None, None, ("none", None)),
        (true, None, close(Some(End::Local)), ("none", None)),
        // It is not known whether the client stayed.
        (false, None, None, (mismatch, LIKELY)),
        // A client that fails the connection says no goodbye.
        (true, None, close(Some(End::Peer)), ("none", None)),
        (true, None, close(None), ("none", None)),
        (false, end(End::Peer), close(Some(End::Peer)), ("none", None)),
        (false, end(End::Local), None, ("dropped-after-accept", LIKELY)),
    ] {
        let opening = Opening { close, end, watched, ..Opening::default() };
        for head in [request(&browser), request(&browser[..1])] {
            assert_eq!(said(&opened(head, opening.clone())), want, "{opening:?}");
        }
    }
    let mut unknown = exchange(request(&browser), Answer::Response(switching(&[])));
    unknown.opening = None;
    let verdict = diagnose(&unknown, &PopulationEvidence::default());
    assert_eq!(said(&verdict), (mismatch, LIKELY));
}

#[test]
fn of_very_many_subprotocols_only_the_first_are_known() {
    for (offered, answer, want) in [
        (SUBPROTOCOLS - 1, "other", "subprotocol-mismatch"),
        (SUBPROTOCOLS, "other", "none"),
        (SUBPROTOCOLS, "", "subprotocol-mismatch"),
    ] {
        let offer = vec!["chat"; offered].join(", ");
        let head = request(&[("Sec-WebSocket-Protocol", &offer)]);
        let verdict = judge(head, switching(&[("Sec-WebSocket-Protocol", answer)]));
        assert_eq!(said(&verdict).0, want, "{offered} {answer}");
    }
}

#[test]
fn extensions_are_compared_with_the_offer() {
    let extension = |value| ("Sec-WebSocket-Extensions", value);
    for (offer, answer, want) in [
        ("permessage-deflate", "permessage-deflate", "none"),
        ("permessage-deflate", "permessage-deflate; server_no_context_takeover", "none"),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=\"15\"",
            "none",
        ),
        (
            "permessage-deflate; client_max_window_bits, permessage-deflate",
            "permessage-deflate; client_max_window_bits=9",
            "none",
        ),
        ("", "permessage-deflate", "extension-mismatch"),
        ("permessage-deflate", "x-webkit-deflate-frame", "extension-mismatch"),
        ("permessage-deflate", "permessage-deflate, permessage-deflate", "extension-mismatch"),
        (
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits=9",
            "extension-mismatch",
        ),
        (
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=7",
            "extension-mismatch",
        ),
        ("permessage-deflate", "permessage-deflate; made_up", "extension-mismatch"),
    ] {
        let verdict = judge(request(&[extension(offer)]), switching(&[extension(answer)]));
        assert_eq!(said(&verdict).0, want, "{offer} / {answer}");
    }
}

#[test]
fn first_bytes_that_are_no_frames() {
    for violation in [
        Violation::MaskedFromServer,
        Violation::ReservedBits,
        Violation::HttpHead,
        Violation::BadControlFrame,
    ] {
        let opening = Opening { violation: Some(violation), ..Opening::default() };
        let verdict = opened(request(&[]), opening);
        assert_eq!(
            (verdict.outcome, said(&verdict)),
            (Outcome::Failed, ("invalid-frames", CERTAIN))
        );
    }
}

#[test]
fn a_close_within_moments_is_a_refusal_by_its_code() {
    for (code, from_client, want) in [
        (1008, 0, ("rejected-after-accept", CERTAIN)),
        (3003, 1, ("rejected-after-accept", CERTAIN)),
        (4401, 1, ("rejected-after-accept", LIKELY)),
        (1011, 0, ("rejected-after-accept", LIKELY)),
        (1005, 0, ("rejected-after-accept", POSSIBLE)),
        (1005, 1, ("none", None)),
        (1000, 0, ("none", None)),
        (1001, 0, ("none", None)),
        (1012, 0, ("none", None)),
    ] {
        assert_eq!(said(&opened(request(&[]), close(code, from_client))), want, "{code}");
    }
    let mut own = close(4000, 0);
    own.close.as_mut().unwrap().sender = Some(End::Peer);
    assert_eq!(opened(request(&[]), own).outcome, Outcome::Accepted);
    // Whose it is cannot be told: it is not held against the server.
    let mut unknown = close(1008, 0);
    unknown.close.as_mut().unwrap().sender = None;
    assert_eq!(opened(request(&[]), unknown).outcome, Outcome::Accepted);
}

#[test]
fn a_101_to_http_1_0_that_is_dropped_at_once() {
    let end = EarlyEnd { by: CloseBy::Fin, initiator: End::Local, after: Duration::from_millis(1) };
    let opening = || Opening { end: Some(end), ..Opening::default() };
    assert_eq!(said(&opened(request(&[]), opening())), ("dropped-after-accept", LIKELY));
    let mut old = request(&[]);
    old.version = Version::Http10;
    assert_eq!(said(&opened(old, opening())), ("http-version", LIKELY));
}

#[test]
fn what_is_not_in_a_head_that_was_cut_off_is_not_missing() {
    let cut = |changes: &[(&str, &str)]| ResponseHead { truncated: true, ..switching(changes) };
    let offered = || request(&[("Sec-WebSocket-Protocol", "chat")]);
    let none = [("Upgrade", ""), ("Connection", ""), ("Sec-WebSocket-Accept", "")];
    let verdict = judge(offered(), cut(&none));
    assert_eq!((verdict.outcome, verdict.cause), (Outcome::Accepted, None));
    // What is there is judged.
    for (change, cause) in [
        (("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "accept-mismatch"),
        (("Sec-WebSocket-Extensions", "x"), "extension-mismatch"),
        (("Sec-WebSocket-Protocol", "x"), "subprotocol-mismatch"),
    ] {
        let verdict = judge(offered(), cut(&[change]));
        assert_eq!((verdict.outcome, said(&verdict)), (Outcome::Failed, (cause, CERTAIN)));
    }
}
