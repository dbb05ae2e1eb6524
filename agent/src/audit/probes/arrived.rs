//! What arrived against what was sent, field by field.

use super::{Facts, Observer, Seen, header_values};
use crate::{
    audit::{behind::Arrived, client::request::Request},
    check::{Code, Finding, Own, Value, Verdict},
    diagnose::Cause,
    http::MASKED,
};

/// The findings about the good handshake's request; `known`: what was told of it already.
pub(super) fn judge(facts: &Facts<'_>, seen: &Seen, known: Option<Code>) -> Vec<Finding> {
    if facts.observer == Observer::Nobody {
        return Vec::new();
    }
    let (Some(attempt), Some(arrived)) = (seen.attempt(), &seen.arrived) else { return Vec::new() };
    let request = &attempt.request;
    let mut found = vec![
        origin(request, arrived),
        host(facts, request, arrived),
        path(facts, request, arrived),
    ];
    found.extend(query(request, arrived));
    found.extend(subprotocols(request, arrived));
    found.extend(cookies(request, arrived));
    let told = |finding: &Finding| finding.cause.is_some() && finding.cause == known;
    found.into_iter().filter(|finding| !told(finding)).map(|finding| facts.fixed(finding)).collect()
}

fn check(part: &'static str, fault: Option<(Code, &str)>, value: Value) -> Finding {
    let name = format!("arrived/{part}");
    match fault {
        Some((cause, summary)) => {
            Finding::new(name, Verdict::Fail, summary).because(cause).with(value)
        }
        None => Finding::new(name, Verdict::Pass, "arrives as it was sent"),
    }
}

fn origin(request: &Request, arrived: &Arrived) -> Finding {
    let sent = request.field("Origin");
    let came = arrived.joined("Origin");
    let fault: Option<(Code, _)> = match &came {
        None => Some((Cause::OriginStripped.into(), "a hop removes Origin")),
        Some(_) if came.as_deref() == sent => None,
        Some(_) => Some((Cause::OriginRewritten.into(), "a hop changes Origin")),
    };
    check("origin", fault, header_values("Origin", sent, Some(arrived)))
}

fn host(facts: &Facts<'_>, request: &Request, arrived: &Arrived) -> Finding {
    let sent = request.field("Host").unwrap_or_default();
    let own_port = if facts.target.secure { 443 } else { 80 };
    let fault: Option<(Code, _)> = match arrived.joined("Host") {
        None => Some((Cause::HostMissing.into(), "Host does not arrive")),
        Some(came) => {
            let (one, other) = (host_port(sent, own_port), host_port(&came, own_port));
            if one == other {
                None
            } else if one.0 == other.0 {
                Some((Cause::PortMismatch.into(), "a hop changes the port in Host"))
            } else {
                Some((Cause::HostRewritten.into(), "a hop changes Host"))
            }
        }
    };
    check("host", fault, header_values("Host", Some(sent), Some(arrived)))
}

/// Name in lower case, and port; the scheme's own when there is none.
pub(super) fn host_port(value: &str, own_port: u16) -> (String, u16) {
    let split = value.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let port = split.and_then(|(_, port)| port.parse().ok());
    let name = split.filter(|_| port.is_some()).map_or(value, |(name, _)| name);
    (name.to_ascii_lowercase(), port.unwrap_or(own_port))
}

fn path(facts: &Facts<'_>, request: &Request, arrived: &Arrived) -> Finding {
    let came = arrived.target.split('?').next().unwrap_or_default();
    let sent = request.target.split('?').next().unwrap_or_default();
    // What the agent tells has masks in it.
    let same = came == sent || (!arrived.complete && came.contains(MASKED));
    let fault = (!same).then_some((Cause::RouteNotFound.into(), "a hop changes the path"));
    let _ = facts;
    check("path", fault, Value::of("path").sent(sent).arrived(Some(came)))
}

fn query(request: &Request, arrived: &Arrived) -> Option<Finding> {
    let query = |target: &str| target.split_once('?').map(|(_, query)| query.to_owned());
    let sent = query(&request.target)?;
    if !arrived.complete {
        return None;
    }
    let came = query(&arrived.target);
    let fault = match &came {
        None => Some((Own::RequestAltered.into(), "a hop removes the query")),
        Some(came) if *came == sent => None,
        Some(_) => Some((Own::RequestAltered.into(), "a hop changes the query")),
    };
    let value = Value::of("query").sent(MASKED).arrived(came.map(|_| MASKED));
    Some(check("query", fault, value))
}

fn subprotocols(request: &Request, arrived: &Arrived) -> Option<Finding> {
    let sent = request.field("Sec-WebSocket-Protocol")?;
    let list = |value: &str| value.split(',').map(|e| e.trim().to_owned()).collect::<Vec<_>>();
    let came = arrived.joined("Sec-WebSocket-Protocol");
    let fault: Option<(Code, _)> = match &came {
        None => Some((Cause::SubprotocolRequired.into(), "a hop removes Sec-WebSocket-Protocol")),
        Some(came) if list(came) == list(sent) || came.contains(MASKED) => None,
        Some(_) => Some((Own::RequestAltered.into(), "a hop changes Sec-WebSocket-Protocol")),
    };
    let value = header_values("Sec-WebSocket-Protocol", Some(sent), Some(arrived));
    Some(check("sec-websocket-protocol", fault, value))
}

/// The names of cookies: their values are nobody's business.
fn cookies(request: &Request, arrived: &Arrived) -> Option<Finding> {
    let sent = cookie_names(request.field("Cookie")?);
    let came = arrived.joined("Cookie");
    let names = came.as_deref().map(cookie_names).unwrap_or_default();
    let missing = if arrived.complete {
        sent.iter().any(|name| !names.contains(name))
    } else {
        came.is_none()
    };
    let fault = missing.then_some((Cause::AuthRequired.into(), "a hop removes cookies"));
    let value = Value::of("Cookie (names)").sent(sent.join(", "));
    let arrived_names = if arrived.complete { names.join(", ") } else { MASKED.to_owned() };
    Some(check("cookie", fault, value.arrived(came.map(|_| arrived_names).as_deref())))
}

fn cookie_names(value: &str) -> Vec<String> {
    let pairs = value.split([';', ',']).map(|pair| pair.split('=').next().unwrap_or_default());
    pairs.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}
