//! The headers by which a proxy says what the client used: set where TLS ends, right, once, and not the client's own.

use super::{Facts, Observer, Seen, arrived::host_port, header_values};
use crate::{
    audit::{
        behind::Arrived,
        plan::{FORGED_FOR, FORGED_HOST, FORGED_PORT, forged_scheme},
    },
    check::{Code, Finding, Own, Verdict},
    diagnose::Cause,
};

/// Other headers by which hops say that the client used TLS, and how they say it.
const OTHER_SCHEMES: &[(&str, &str)] = &[
    ("X-Forwarded-Scheme", "https"),
    ("X-Forwarded-Protocol", "https"),
    ("X-Forwarded-Ssl", "on"),
    ("Front-End-Https", "on"),
    ("X-Url-Scheme", "https"),
    ("X-Scheme", "https"),
    ("CloudFront-Forwarded-Proto", "https"),
];

/// The findings about both handshakes: the good one, and this with headers that a client made up.
pub(super) fn judge(facts: &Facts<'_>, forged: &Seen) -> Vec<Finding> {
    let good = facts.good().and_then(|good| good.arrived.as_ref());
    if facts.observer == Observer::Nobody {
        return Vec::new();
    }
    let (Some(good), Some(_)) = (good, forged.attempt()) else {
        let why = "nothing arrived behind the chain";
        return vec![Finding::new("forwarded/proto", Verdict::Inconclusive, why)];
    };
    let both = Both { facts, good, forged: forged.arrived.as_ref(), seen: forged };
    let all = [both.proto(), both.host(), both.port(), both.client(), both.forwarded()];
    all.into_iter().map(|finding| facts.fixed(finding)).collect()
}

struct Both<'a> {
    facts: &'a Facts<'a>,
    good: &'a Arrived,
    forged: Option<&'a Arrived>,
    seen: &'a Seen,
}

impl Both<'_> {
    fn proto(&self) -> Finding {
        const NAME: &str = "X-Forwarded-Proto";
        let secure = self.facts.target.secure;
        let came: Vec<String> = self.good.list(NAME).map(str::to_ascii_lowercase).collect();
        // Traefik says wss, and means the same.
        let right = |value: &String| is_scheme(value, secure);
        let fault: Option<(Code, &str)> = if came.is_empty() {
            let said = OTHER_SCHEMES.iter().any(|(name, value)| {
                self.good.all(name).any(|came| came.eq_ignore_ascii_case(value))
            });
            let said = said || self.element("proto").is_some_and(|value| is_scheme(&value, secure));
            // Without TLS there is nothing to say.
            let missing = secure && !said;
            missing.then_some((
                Cause::ForwardedProtoMissing.into(),
                "no hop says that the client used TLS",
            ))
        } else if !came.iter().all(right) {
            Some((
                Cause::ForwardedProtoWrong.into(),
                "X-Forwarded-Proto does not say what the client used",
            ))
        } else if came.len() > 1 {
            Some((Own::ForwardedIncomplete.into(), "X-Forwarded-Proto says it more than once"))
        } else {
            None
        };
        let wrong = matches!(fault, Some((Code::Cause(Cause::ForwardedProtoWrong), _)));
        // A value that is always wrong tells nothing about a made-up one.
        let survives = !wrong
            && self.survives(NAME, |value| value.eq_ignore_ascii_case(forged_scheme(secure)));
        self.finding("forwarded/proto", NAME, fault, survives, true)
    }

    fn host(&self) -> Finding {
        const NAME: &str = "X-Forwarded-Host";
        let own_port = if self.facts.target.secure { 443 } else { 80 };
        let sent = host_port(&self.facts.target.authority(), own_port);
        let came: Vec<&str> = self.good.list(NAME).collect();
        let wrong = came.iter().any(|value| host_port(value, sent.1).0 != sent.0);
        let fault = if wrong {
            Some((
                Own::ForwardedIncomplete.into(),
                "X-Forwarded-Host is not the host that was asked",
            ))
        } else {
            (came.len() > 1).then_some((
                Own::ForwardedIncomplete.into(),
                "X-Forwarded-Host says it more than once",
            ))
        };
        let survives = self.survives(NAME, |value| value == FORGED_HOST);
        self.finding("forwarded/host", NAME, fault, survives, !came.is_empty())
    }

    fn port(&self) -> Finding {
        const NAME: &str = "X-Forwarded-Port";
        let port = self.facts.target.port.to_string();
        let came: Vec<&str> = self.good.list(NAME).collect();
        let wrong = came.iter().any(|value| *value != port);
        let fault = wrong.then_some((
            Own::ForwardedIncomplete.into(),
            "X-Forwarded-Port is not the port that was asked",
        ));
        let survives = self.survives(NAME, |value| value == FORGED_PORT);
        self.finding("forwarded/port", NAME, fault, survives, !came.is_empty())
    }

    /// Hops append to X-Forwarded-For: what counts is the last element, which the last hop wrote.
    fn client(&self) -> Finding {
        const NAME: &str = "X-Forwarded-For";
        let came: Vec<&str> = self.good.list(NAME).collect();
        let wrong = came.iter().any(|value| !is_address(value));
        let fault = wrong.then_some((
            Own::ForwardedIncomplete.into(),
            "X-Forwarded-For holds what is no address",
        ));
        let survives =
            self.forged.is_some_and(|forged| forged.list(NAME).last() == Some(FORGED_FOR));
        self.finding("forwarded/for", NAME, fault, survives, !came.is_empty())
    }

    fn forwarded(&self) -> Finding {
        const NAME: &str = "Forwarded";
        let secure = self.facts.target.secure;
        let came = self.good.list(NAME).count();
        let wrong = self.element("proto").is_some_and(|value| !is_scheme(&value, secure));
        let fault =
            wrong.then_some((Own::ForwardedIncomplete.into(), "Forwarded names another scheme"));
        let last = self.forged.and_then(|forged| forged.list(NAME).last());
        let survives = last.is_some_and(|last| last.contains(FORGED_FOR));
        self.finding("forwarded/forwarded", NAME, fault, survives, came > 0)
    }

    /// A parameter of the first element of `Forwarded` (RFC 7239 section 4).
    fn element(&self, parameter: &str) -> Option<String> {
        let first = self.good.list("Forwarded").next()?;
        let mut pairs = first.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(parameter))?;
        Some(value.trim().trim_matches('"').to_ascii_lowercase())
    }

    /// Whether any value that the client made up arrives.
    fn survives(&self, name: &str, is_forged: impl Fn(&str) -> bool) -> bool {
        self.forged.is_some_and(|forged| forged.list(name).any(is_forged))
    }

    /// `trusted`: the backend has reason to believe the header, because the chain sets it or must set it.
    fn finding(
        &self,
        check: &'static str,
        name: &'static str,
        fault: Option<(Code, &str)>,
        survives: bool,
        trusted: bool,
    ) -> Finding {
        let sent = self.seen.attempt().and_then(|attempt| attempt.request.field(name));
        let value = header_values(name, sent, self.forged);
        if survives && trusted {
            let (cause, so) = match fault {
                Some((cause, summary)) => {
                    (cause, format!("{summary}, and a client's own {name} arrives"))
                }
                None => (
                    Own::ForwardedForged.into(),
                    format!("a client's own {name} arrives as if a hop had set it"),
                ),
            };
            return Finding::new(check, Verdict::Exposed, so).because(cause).with(value);
        }
        if let Some((cause, summary)) = fault {
            let value = header_values(name, None, Some(self.good));
            return Finding::new(check, Verdict::Fail, summary).because(cause).with(value);
        }
        if survives {
            let summary = format!(
                "no hop sets {name}, and a client's own arrives: exposed if the server believes it"
            );
            return Finding::new(check, Verdict::Inconclusive, summary).with(value);
        }
        if self.forged.is_none() {
            let summary = "the request with made-up headers did not arrive";
            return Finding::new(check, Verdict::Inconclusive, summary);
        }
        let summary = match self.good.joined(name) {
            Some(_) => "set by the chain, and a client cannot make it up",
            None => "not used, and a client cannot make it up",
        };
        Finding::new(check, Verdict::Pass, summary)
    }
}

fn is_scheme(value: &str, secure: bool) -> bool {
    if secure { matches!(value, "https" | "wss") } else { matches!(value, "http" | "ws") }
}

/// An address, as it may stand in X-Forwarded-For: with a port too.
fn is_address(value: &str) -> bool {
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok() || value.parse::<std::net::SocketAddr>().is_ok()
}
