//! Tests of the diagnosis: heads written by hand, judged, and compared with what a person would say.

mod accepted;
mod extended_connect;
mod legs;
mod origins;
mod population;
mod properties;
mod refusals;
mod structure;
mod weighing;

use std::time::Duration;

use super::{Cause, Confidence, PopulationEvidence, Verdict, diagnose, hypotheses::accept_value};
use crate::{
    handshake::{Answer, CloseBy, Connection, End, Exchange, Opening, Role},
    http::{Headers, RequestHead, ResponseHead, Secret, Version},
};

pub(super) const KEY: &str = "wXhlx+dhAMYFkOlMIdyNOg==";
pub(super) const SOUND: &[(&str, &str)] = &[
    ("Host", "app.example.test"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
    ("Origin", "https://app.example.test"),
];

/// A sound handshake with `changes`: a value replaces the field, or is added; an empty one removes it.
pub(super) fn request(changes: &[(&str, &str)]) -> RequestHead {
    let mut fields: Vec<(&str, &str)> = SOUND.to_vec();
    for (name, value) in changes {
        fields.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    head(&fields)
}

pub(super) fn head(fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead {
        method: "GET".into(),
        path: "/ws".into(),
        names_session: false,
        version: Version::Http11,
        headers: Headers::default(),
        key: None,
        subprotocols: Vec::new(),
        defect: None,
        malformed: Vec::new(),
    };
    for (name, value) in fields {
        head.headers.push(name, value);
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            head.key = Some(Secret::new(*value));
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            head.subprotocols.extend(value.split(',').map(|token| Secret::new(token.trim())));
        }
    }
    head
}

/// An answer with a reason phrase of the usual kind.
pub(super) fn response(status: u16, fields: &[(&str, &str)], body: &str) -> ResponseHead {
    let mut headers = Headers::default();
    let mut subprotocols = Vec::new();
    for (name, value) in fields {
        headers.push(name, value);
        if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            subprotocols.extend(value.split(',').map(|token| Secret::new(token.trim())));
        }
    }
    let reason = match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        426 => "Upgrade Required",
        _ => "",
    };
    ResponseHead {
        version: Version::Http11,
        status,
        reason: reason.into(),
        headers,
        subprotocols,
        body: body.as_bytes().into(),
        truncated: false,
    }
}

/// The 101 that belongs to [`KEY`], with `changes` as in [`request`].
pub(super) fn switching(changes: &[(&str, &str)]) -> ResponseHead {
    let accept = accept_value(KEY);
    let mut fields = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept.as_str()),
    ];
    for (name, value) in changes {
        fields.retain(|(have, _)| have != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    response(101, &fields, "")
}

pub(super) fn exchange(request: RequestHead, answer: Answer) -> Exchange {
    let accepted = matches!(&answer, Answer::Response(response) if response.status == 101);
    Exchange {
        connection: Connection {
            cookie: 1,
            role: Role::Server,
            local: "10.0.0.5:8080".parse().unwrap(),
            peer: "10.0.0.9:40000".parse().unwrap(),
            cgroup: 0,
            holder: None,
        },
        time: Duration::from_secs(1000),
        request: request.into(),
        answer,
        duration: Duration::from_millis(3),
        opening: accepted.then(Opening::default),
    }
}

pub(super) fn judge(request: RequestHead, response: ResponseHead) -> Verdict {
    diagnose(&exchange(request, Answer::Response(response)), &PopulationEvidence::default())
}

pub(super) fn closed(initiator: End) -> Answer {
    Answer::Closed { by: CloseBy::Fin, initiator }
}

/// The cause, and whether it is told as certain.
pub(super) fn said(verdict: &Verdict) -> (&'static str, Option<Confidence>) {
    (verdict.cause.map_or("none", Cause::code), verdict.confidence)
}

pub(super) const CERTAIN: Option<Confidence> = Some(Confidence::Certain);
pub(super) const LIKELY: Option<Confidence> = Some(Confidence::Likely);
pub(super) const POSSIBLE: Option<Confidence> = Some(Confidence::Possible);
